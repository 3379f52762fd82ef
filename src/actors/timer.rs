//! An actor's one timer.

use ractor::ActorRef;
use tokio::task::JoinHandle;

use crate::domain::Timestamp;
use crate::machine::timer::Armed;

use super::clock::Clock;

/// Sends the actor a message when it is time, as [`Armed`] says.
#[derive(Debug, Default)]
pub(super) struct Timer {
    armed: Armed,
    task: Option<JoinHandle<()>>,
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
        let Some(at) = self.armed.arm(next) else { return };
        self.stop();
        let (actor, wait) = (actor.clone(), clock.until(at));
        let task = tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            // The actor is gone: so is the need.
            let _ = actor.send_message(message());
        });
        self.task = Some(task);
    }

    /// It has fired, or is not wanted any more.
    pub(super) fn disarm(&mut self) {
        self.armed.disarm();
        self.stop();
    }

    fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.stop();
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
