//! An actor's one timer.

use ractor::ActorRef;
use tokio::task::JoinHandle;

use crate::domain::Timestamp;

use super::clock::Clock;

/// Fires once, at the earliest time that it was armed for. Firing too early is harmless, since a
/// machine only looks at what is due; so a later deadline leaves it as it is.
#[derive(Debug, Default)]
pub(super) struct Timer {
    armed: Option<(Timestamp, JoinHandle<()>)>,
}

impl Timer {
    /// Arms it for `next`, unless it fires before that anyway.
    pub(super) fn arm<M: ractor::Message>(
        &mut self,
        clock: &Clock,
        next: Option<Timestamp>,
        actor: &ActorRef<M>,
        message: fn() -> M,
    ) {
        let Some(at) = next else { return };
        if self.armed.as_ref().is_some_and(|(armed, _)| *armed <= at) {
            return;
        }
        self.disarm();
        let (actor, wait) = (actor.clone(), clock.until(at));
        let task = tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            // The actor is gone: so is the need.
            let _ = actor.send_message(message());
        });
        self.armed = Some((at, task));
    }

    /// It has fired, or is not wanted any more.
    pub(super) fn disarm(&mut self) {
        if let Some((_, task)) = self.armed.take() {
            task.abort();
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.disarm();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ractor::{Actor, ActorProcessingErr};
    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
    use tokio::time::timeout;

    use super::*;

    /// Far above what a message takes.
    const LIMIT: Duration = Duration::from_secs(20);
    const HOUR_MS: u64 = 3_600_000;

    /// Says that it was woken.
    struct Sleeper;

    impl Actor for Sleeper {
        type Msg = ();
        type State = UnboundedSender<()>;
        type Arguments = UnboundedSender<()>;

        async fn pre_start(
            &self,
            _: ActorRef<()>,
            woken: UnboundedSender<()>,
        ) -> Result<Self::State, ActorProcessingErr> {
            Ok(woken)
        }

        async fn handle(
            &self,
            _: ActorRef<()>,
            (): (),
            woken: &mut Self::State,
        ) -> Result<(), ActorProcessingErr> {
            woken.send(())?;
            Ok(())
        }
    }

    #[tokio::test]
    async fn it_moves_to_an_earlier_time_and_a_later_one_leaves_it_as_it_is() {
        let (clock, (woken, mut wakes)) = (Clock::start(), unbounded_channel());
        let (sleeper, _) = Actor::spawn(None, Sleeper, woken).await.unwrap();
        let mut timer = Timer::default();
        let now = clock.now();
        for ms in [HOUR_MS, 1, HOUR_MS] {
            timer.arm(&clock, Some(now.plus_ms(ms)), &sleeper, || ());
        }
        let fired = timeout(LIMIT, wakes.recv()).await;
        assert_eq!(fired.expect("it fires at the earliest time"), Some(()));
        sleeper.stop(None);
    }
}
