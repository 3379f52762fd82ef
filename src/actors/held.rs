//! What a call holds until it is known what became of it: a place in its addressee's mailbox, and what
//! its asker gave it, which outlives the asker's patience.

use std::any::Any;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::limits::CALLS_MAX;

/// Something to be held; whoever waits for its end sees it dropped.
pub type Held = Arc<dyn Any + Send + Sync>;

tokio::task_local! {
    /// Beside the parameters of some twenty calls, of which none looks at it.
    static HELD: Held;
}

/// Carries out work whose calls hold this: until it has ended, and each of them has been answered or
/// will never be.
pub async fn holding<R>(held: Held, work: impl Future<Output = R>) -> R {
    HELD.scope(held, work).await
}

/// What a call carries until it is answered, or its addressee's life ends without that.
pub struct CallPermit {
    mailbox: OwnedSemaphorePermit,
    _held: Option<Held>,
}

impl CallPermit {
    /// With a place in the addressee's mailbox.
    pub(super) fn new(mailbox: OwnedSemaphorePermit) -> Self {
        Self { mailbox, _held: HELD.try_with(Arc::clone).ok() }
    }

    /// How many calls it is for.
    pub(super) fn calls(&self) -> usize {
        self.mailbox.num_permits()
    }

    /// How many calls of the addressee are without an answer, in its mailbox or with it; these included.
    pub(super) fn calls_under_way(&self) -> usize {
        calls_under_way(self.mailbox.semaphore())
    }
}

/// How many of a mailbox's permits are in use.
pub(super) fn calls_under_way(mailbox: &Semaphore) -> usize {
    CALLS_MAX.saturating_sub(mailbox.available_permits())
}
