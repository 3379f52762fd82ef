//! Every bound of exports and imports, with its unit and its reason.

use std::time::Duration;

/// Items that a listing is asked for at once: small answers, few calls.
pub(super) const PAGE_ITEMS: usize = 256;

/// Calls to a store that are under way at the same time: enough to hide a network's latency, few
/// enough to leave a database air.
pub(super) const CALLS_IN_FLIGHT: usize = 64;

/// Events of one line of a stream, and of one read; a chat with more takes several lines.
pub(super) const LINE_EVENTS: usize = 256;

/// Events of a damaged chat that are tried one after the other, in vain, before it counts as having
/// no more: as many as a repair takes for lost at once.
pub(super) const DAMAGED_IN_VAIN: u32 = 100_000;

/// Longest line that is read, bytes: `LINE_EVENTS` of the longest messages, each byte escaped, or
/// a customer with some ten thousand chats.
pub(super) const LINE_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Lines that are taken in together, at most, and their bytes: bounds the memory of an import.
pub(super) const BATCH_LINES: usize = 1_024;
/// See [`BATCH_LINES`].
pub(super) const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// Events of one append of an import. A distributed store writes an append as one batch and
/// refuses large ones; the router's own appends are of this size at most.
pub(super) const APPEND_EVENTS: usize = 16;

/// How long a step is repeated that the store refuses for now: longer than a node of a database
/// takes to restart, and short enough for somebody who waits for the end.
pub(super) const STEP_MAX: Duration = Duration::from_secs(60);

/// The pause before each repetition: a store that is overloaded gets air.
pub(super) const STEP_EVERY: Duration = Duration::from_secs(1);

/// Items between two reports of the progress: a report may cost a write to a terminal.
pub(super) const REPORT_ITEMS: u64 = 64;
