//! Steps of a copy that are repeated while a store refuses them for now: one request that ran out of
//! time must not end a copy of hours. All steps may be repeated, whatever became of them before.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::storage::{AppendError, StoreError};

use super::ExportError;
use super::limits::{STEP_EVERY, STEP_MAX};

/// How long, and how often, a step is tried again that the store refuses for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// A pause before each repetition.
    pub every: Duration,
    /// No repetition begins later than this after the first try.
    pub max: Duration,
}

impl Patience {
    /// What a copy has.
    pub const USUAL: Self = Self { every: STEP_EVERY, max: STEP_MAX };

    /// Nothing is tried again.
    pub const NONE: Self = Self { every: Duration::ZERO, max: Duration::ZERO };

    /// Does a step until it is done, is refused for good, or was refused for too long.
    pub(crate) async fn keep_trying<T>(
        self,
        mut step: impl AsyncFnMut() -> Result<T, ExportError>,
    ) -> Result<T, ExportError> {
        let begun = Instant::now();
        loop {
            match step().await {
                Err(error) if may_pass(&error) && begun.elapsed() + self.every < self.max => {
                    tracing::debug!(%error, "a step of a copy is tried again");
                    sleep(self.every).await;
                }
                done => return done,
            }
        }
    }
}

/// Whether the same step may succeed later. `Fenced` is what a store says of a claim that it has
/// forgotten, and a step claims anew.
fn may_pass(error: &ExportError) -> bool {
    match error {
        ExportError::Store(StoreError::Unavailable { .. } | StoreError::Silent { .. })
        | ExportError::Append(
            AppendError::Unknown { .. } | AppendError::Unavailable { .. } | AppendError::Fenced,
        ) => true,
        ExportError::Store(
            StoreError::Damaged { .. }
            | StoreError::VersionConflict { .. }
            | StoreError::Forgotten { .. },
        )
        | ExportError::Append(AppendError::Conflict { .. })
        | ExportError::File { .. }
        | ExportError::NoExport
        | ExportError::Newer { .. }
        | ExportError::Damaged { .. }
        | ExportError::CutOff { .. }
        | ExportError::NotEmpty { .. }
        | ExportError::HalfImported
        | ExportError::Differs { .. } => false,
    }
}
