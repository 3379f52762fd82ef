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
