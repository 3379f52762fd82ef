//! The bounds of the actors, each with its unit and its reason. What an installation may choose is
//! in [`Options`](super::Options); what the machines keep to is in `domain::limits`.

use std::time::Duration;

use crate::domain::limits::OPERATOR_CONNECTIONS_MAX;

/// Most calls of clients in one actor's mailbox at a time: a chat has few participants, with at
/// most 64 unanswered calls each.
pub const CALLS_MAX: usize = 256;

/// Most messages that wait for one actor to start.
pub const PENDING_MAX: usize = 1_024;

/// Most messages that wait for one connection by default; then it is closed. A busy operator's
/// chats make a few a second.
pub const OUTBOX_MAX: usize = 512;

/// Most connections of one person (tabs, devices); a further one ends the oldest.
pub const CONNECTIONS_OF_ONE_MAX: usize = OPERATOR_CONNECTIONS_MAX;

/// How long a call may take by default: people wait for it.
pub const CALL_LIMIT: Duration = Duration::from_secs(5);

/// How long the store may take over one call of an actor by default. Longer than a disk that
/// stalls for a moment; who waits longer holds up a chat that another life could serve.
pub const STORE_LIMIT: Duration = Duration::from_secs(10);

/// How long an open chat is idle by default before its actor, which is about half of what the chat takes, ends
/// and leaves its state to the next one: longer than a pause between two lines of people who talk.
pub const IDLE_CHATS_PARK_AFTER: Duration = Duration::from_secs(10);

/// The same of an operator: much shorter than the time between two probes of a connection, which start its
/// actor.
pub const IDLE_OPERATORS_PARK_AFTER: Duration = Duration::from_secs(2);

/// How long a chat is idle before it goes to sleep by default.
pub const IDLE_AFTER: Duration = Duration::from_secs(60);

/// The same of a chat that has ended, which has little to do but to be read: at a thousand ends a second
/// those of a minute would be a gigabyte.
pub const ENDED_IDLE_AFTER: Duration = Duration::from_secs(5);

/// How long calls under way may take to end by default when the process stops: as long as a call.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// How long to wait before a call whose actor has failed is asked again: its first start again
/// comes sooner.
pub const AGAIN_AFTER: Duration = Duration::from_millis(20);

/// Chats that are forgotten in one piece: so many are written down at once as being forgotten.
pub const FORGET_SLICE: usize = 64;

/// The pause after each slice of what retention forgets by default: at most 64 chats a second, which
/// leaves the store to those who talk.
pub const SWEEP_PAUSE: Duration = Duration::from_secs(1);

/// How often retention looks for chats whose time has come by default. They are kept for days.
pub const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// How long a clock that jumped ahead is doubted by default, in time of running on it: whoever reads the
/// log or looks at the dates of chats finds it within a week.
pub const CLOCK_DOUBT: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Chats whose logs are read at once where it is not written down when they ended.
pub const FILL_PAGE: usize = 64;

/// The pause after each page of them: some 200 chats a second, ten million in half a day.
pub const FILL_PAUSE: Duration = Duration::from_millis(250);

/// How often a follower of the feed takes the chats that have changed: so much later than the router the
/// consumers are, and no more often a chat is read for each of them.
pub const FOLLOW_EVERY: Duration = Duration::from_secs(1);

/// The longest wait of a follower that fails, from [`FOLLOW_EVERY`] on, which doubles each time: a store in
/// trouble is left alone, and one that is back is followed soon.
pub const FOLLOW_AGAIN_MAX: Duration = Duration::from_secs(60);

/// How often chats that a consumer keeps failing on are tried again, ms. Each may take the store's limit.
pub const ASIDE_AGAIN_MS: u64 = 300_000;

/// Chats of those that a consumer is told of within the process that are taken before it is looked whether
/// the process stops: each may take the store's limit.
pub const HASTE_SLICE: usize = 64;

/// The pause after each page of all chats that a follower takes when its consumer begins from nothing: some
/// 200 chats a second, ten million in half a day.
pub const WALK_PAUSE: Duration = Duration::from_millis(250);

/// Most chats that a consumer is told of within the process and that it has not taken, 16 bytes each: more
/// than change in a second. Beyond that the feed is followed.
pub const HASTE_MAX: usize = 10_000;

/// Rows read at once at the start: some hundred KiB.
pub const SCAN_PAGE: usize = 1_000;

/// Damaged chats that a rebuild of the history tells of: more are for `store check`.
pub const DAMAGED_TOLD: usize = 1_000;

/// Rows of the history read at once for a page of chats: more than a page has, so that one without other
/// filters is read in one go, and some 100 KiB.
pub const HISTORY_PAGE: usize = 250;

/// Events read at once when the steps of a chat's routing are looked for.
pub const ROUTED_PAGE: usize = 1_000;

/// Latest steps that an explanation names: more than people read.
pub const ROUTED_MAX: usize = 20;

/// How often a claim of a conversation is tried anew because another ended chat stood in the way.
/// Each needs another call of the same customer in between.
pub const CLAIM_TRIES: usize = 8;

/// Ended chats that one message follows to the one that goes on; a page that is left open for
/// longer is told where it got to. Each costs a look into a log, since the message may be there.
pub const CONTINUATIONS_MAX: usize = 256;

/// The shortest time between two writes of one chat's watermarks, ms.
pub const WATERMARKS_EVERY_MS: u64 = 1_000;

/// Most calls that wait for one write of a chat's watermarks: as many as a mailbox holds, four
/// times over a second. Further ones are told to come back. While a write is under way, as many wait
/// for the next one.
pub const WATERMARKS_WAITING_MAX: usize = 4 * CALLS_MAX;

/// How often the alarm looks for chats without an actor whose deadline has come, and supervisors for what is due of
/// what is parked, ms.
pub const ALARM_EVERY_MS: u64 = 250;

/// The latest messages of a chat whose delivery is still to be timed; a side that is further
/// behind is not there, and its times would say nothing about the router.
pub const TIMED_MESSAGES: usize = 32;

/// How often the clock looks at the wall clock, ms. A look costs as much as reading the time.
pub const CLOCK_LOOKS_EVERY_MS: u64 = 1_000;

/// How much faster or slower the clock goes to follow a corrected wall clock, at most, ms a second: a
/// tenth, so that no time limit of people is felt to change, and a second off is gone in ten.
pub const CLOCK_FOLLOWS_PERMILLE: u64 = 100;
