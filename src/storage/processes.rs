//! The port that numbers processes.

use super::StoreError;
use super::port::port;

port! {
    /// The numbering of processes.
    pub trait Processes {
        /// Answers a number larger than any that it answered before; durable when it answers.
        async fn begin(&self) -> Result<u64, StoreError>;
    }
}
