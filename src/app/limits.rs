//! The bounds of the process, each with its unit and its reason.

use std::time::Duration;

/// How long sockets may take to close when the process stops: their half of a close, twice.
pub const SOCKETS_LIMIT: Duration = Duration::from_secs(5);

/// Most connections of the operations listener: a few scrapers and people.
pub const OPERATIONS_CONNECTIONS_MAX: u64 = 64;

/// Files that are no connections of clients: the store and its readers, the operations listener,
/// connections to a distributed store, the system's own.
pub const FILES_BESIDE_CONNECTIONS: u64 = 256;

/// Of few files, what stays for HTTP, and what stays for all that is no connection: one part each of
/// so many.
pub const FILES_SHARE: u64 = 4;

/// How long a start waits before it looks again for a store that is not there.
pub const STORE_LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a start goes on when all that it hears of its store is that the login is wrong. One
/// that has just been started may say so before it knows its users.
pub const LOGIN_PATIENCE: Duration = Duration::from_secs(60);

/// How often a start that waits for its store says so in the log, after the first time.
pub const STORE_TOLD_EVERY: Duration = Duration::from_secs(30);

/// How often what is left over of the audit trail is written: failures, outcomes.
pub const AUDIT_EVERY: Duration = Duration::from_secs(5);

/// How long a process that stops waits for the last of the audit trail.
pub const AUDIT_END_LIMIT: Duration = Duration::from_secs(5);

/// How long the store may take over an entry of a command: nobody else waits for it.
pub const ENTRY_LIMIT: Duration = Duration::from_secs(30);

/// How often what is over is removed from the store, a page at a time.
pub const PRUNE_EVERY: Duration = Duration::from_secs(600);

/// How long a step of the talk about a backup may take, and how often it is said how far it is.
pub const BACKUP_STEP: Duration = Duration::from_secs(1);

/// How long whoever asked for a backup waits for a word: its last step syncs the whole copy.
pub const BACKUP_SILENCE_MAX: Duration = Duration::from_secs(600);

/// Longest name of a file for a backup, bytes: what systems take.
pub const BACKUP_LINE_MAX_BYTES: u64 = 4_097;

/// Chats that are listed at once when the index of open chats is made anew.
pub const RELIST_PAGE: usize = 1_000;

/// How often the recorder of metrics tidies up: histograms that nobody reads grow until then.
pub const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// How often the sizes of the embedded store are looked at: as often as metrics are read.
pub const SIZES_EVERY: Duration = Duration::from_secs(15);

/// Chats of a page when the history is compared with the logs: some KiB.
pub const COMPARE_PAGE: usize = 256;

/// Chats that are compared at once: enough to hide a network's latency, few enough to leave a database air.
pub const COMPARED_AT_ONCE: usize = 64;

/// Chats that a comparison names of each kind of what it has found: enough to look at. A rebuild asks for none.
pub const FAULTY_TOLD: usize = 10;
