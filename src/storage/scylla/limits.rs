//! Every bound of the distributed store, with its unit and its reason.

use std::time::Duration;

/// How far the removal of a forgotten chat's rows lies in the future, µs: rows of appends whose
/// outcome is not known get their timestamps when they arrive, and are removed as well until then.
/// Longer than any request lives, shorter than what servers take for a clock gone wrong.
pub(super) const LATE_US: i64 = 60_000_000;

/// Positions of a chat's log in one partition. At some hundred bytes an event about 2 MB, far
/// below what makes a partition heavy, and most chats have one.
pub(super) const BUCKET_EVENTS: u64 = 5_000;

/// Most events of one append: it is one row. The router appends a handful at a time.
pub(super) const APPEND_EVENTS_MAX: usize = 1_000;

/// Most bytes of one append. Servers refuse a mutation larger than half a segment of their commit
/// log; with the usual 32 MiB that is far above.
pub(super) const APPEND_BYTES_MAX: usize = 1024 * 1024;

/// Rows that a claim reads from the end of a log at first. The last append is nearly always among
/// the last two rows; claims that failed leave up to three rows each.
pub(super) const TAIL_ROWS: i32 = 16;

/// By how much more it reads when these show nothing but failed claims.
pub(super) const TAIL_ROWS_FACTOR: i32 = 8;

/// Rows of a log read at once, most of them of some hundred bytes.
pub(super) const LOG_PAGE_ROWS: i32 = 500;

/// Shards of an hour of open chats, and of a kind of documents: as many nodes as may usefully
/// share the load of one hour, and few enough to be asked one and all at a start.
pub(super) const SHARDS: i16 = 16;

/// The length of an hour, ms: open chats lie by the hour in which their ids were made.
pub(super) const HOUR_MS: u64 = 3_600_000;

/// Partitions of open chats asked at once when they are scanned.
pub(super) const SCAN_AT_ONCE: usize = 32;

/// Partitions of open chats that are listed at once. A chat lives 30 days at most, and an hour has
/// sixteen, so a list that is longer than this is read in pages.
pub(super) const LIST_PAGE_ROWS: i32 = 5_000;

/// Requests under way to the database from this process. Beyond it more concurrency only makes
/// each wait longer; the driver itself allows 32,768 a connection.
pub(super) const REQUESTS_MAX: usize = 1_024;

/// How long a read waits before a second node is asked as well. Far above a healthy answer.
pub(super) const SPECULATE_AFTER: Duration = Duration::from_millis(150);

/// The same for a serial read, which is several rounds of messages; two of them at a time hinder
/// each other, so the first gets longer.
pub(super) const SPECULATE_SERIAL_AFTER: Duration = Duration::from_millis(500);

/// How often a connection without traffic is asked whether it lives, and how long it may take to
/// answer: a node that hangs, or is gone without a word, is left for another within a lease.
pub(super) const KEEPALIVE_EVERY: Duration = Duration::from_secs(2);
pub(super) const KEEPALIVE_MAX: Duration = Duration::from_secs(3);

/// How much longer a conditional write may take than a plain one: it has four round trips.
pub(super) const CONDITION_FACTOR: u32 = 2;

/// How often a compare-and-set that lost to another is tried again. Only a handful can race.
pub(super) const CONDITION_TRIES: usize = 16;

/// Chats whose claims are remembered in each of two generations; about 200 bytes each. A chat that
/// is forgotten is refused as fenced, and claimed again by its holder.
pub(super) const KNOWN_CHATS_KEPT: usize = 131_072;

/// Bits of an epoch that count the claims of one life; the rest count lives.
pub(super) const EPOCH_CLAIM_BITS: u32 = 40;

/// How long an owner is one without renewing. A killed owner's successor waits this long and a
/// margin; an owner that cannot renew for this long refuses writes until it can.
pub(super) const LEASE: Duration = Duration::from_secs(5);

/// A renewal follows after this share of the lease: four may fail in a row.
pub(super) const RENEWALS_PER_LEASE: u32 = 5;

/// After this share of the lease without a renewal the database counts as away. One renewal may
/// fail without anybody hearing of it; and it is known before the lease ends and all is refused.
pub(super) const AWAY_PER_LEASE: u32 = 2;

/// How much earlier than granted an owner stops, and how much later than granted a successor
/// begins, as a share of the lease: covers clocks that run at different speeds.
pub(super) const MARGIN_PER_LEASE: u32 = 10;

/// How many looks at the lease a successor takes while it waits, per lease.
pub(super) const LOOKS_PER_LEASE: u32 = 10;

/// How far the last owner's timestamps may be ahead of this machine's clock. ScyllaDB refuses what
/// is dated three days ahead, and each owner begins behind the one before.
pub(super) const WRITTEN_AHEAD_MAX: Duration = Duration::from_secs(24 * 3_600);

/// How far this machine's clock and the database's may be apart. Clocks that are kept by a time
/// server differ by less than a second; an hour is a wrong zone or a wrong day.
pub(super) const CLOCKS_APART_MAX: Duration = Duration::from_secs(30 * 60);

/// How long closing the store may take to let go of the lease; else it runs out by itself.
pub(super) const RELEASE_MAX: Duration = Duration::from_secs(3);

/// How long a change of the schema may take until all nodes have it.
pub(super) const SCHEMA_CHANGE_MAX: Duration = Duration::from_secs(30);

/// Rows of open chats read at once from one partition.
pub(super) const SCAN_PAGE_ROWS: i32 = 1_000;

/// The length of a day, ms: ended chats lie by the day in which their ids were made, so that a day of
/// a busy channel (a million chats) is some 100 MB.
pub(super) const DAY_MS: u64 = 24 * HOUR_MS;

/// The length of a minute, ms: a crowded day of ended chats is read by minutes. At 1,000,000 chats an
/// hour on one channel a minute has 16,667, and with them tombstones; servers refuse a read that
/// passes over more than 100,000.
pub(super) const MINUTE_MS: u64 = 60_000;

/// The part of an hour, ms, in which a crowded partition of open chats is read. At 1,000,000 chats an
/// hour there are 5,208 in it; twelve reads a partition are all that a start has to do more.
pub(super) const OPEN_SLICE_MS: u64 = 300_000;

/// Removals that a tally stands for. A write more for each thousand, and for the first one of a life.
pub(super) const TALLIED_REMOVALS: u64 = 1_000;

/// With so many tallies a partition is read in parts; with fewer a read passes over 7,000 tombstones
/// at most: some milliseconds, and far below the 100,000 that servers refuse.
pub(super) const CROWDED_TALLIES: usize = 8;

/// Days of ended chats that are listed at once.
pub(super) const DAYS_PAGE_ROWS: i32 = 1_000;

/// Days of ended chats, and parts of the history, that this life knows something of, some 400 bytes each. With more it begins
/// anew, which costs a row of the list and a tally each, but for the doubtful ones, if they are no more than
/// half.
pub(super) const DAYS_KNOWN_MAX: usize = 65_536;

/// Entries of the audit trail read at once; of some hundred bytes each.
pub(super) const AUDIT_PAGE_ROWS: i32 = 500;

/// Hours of the audit trail listed at once. 400 days have 9,600.
pub(super) const AUDIT_HOURS_PAGE_ROWS: i32 = 1_000;

/// Slots of the feed listed at once. A fortnight has 336, and one more for each start.
pub(super) const FEED_PERIODS_PAGE_ROWS: i32 = 1_000;

/// Slots of the feed that a page of a shard visits: each is a read of its own, some milliseconds, and a page
/// is answered within the limit of a call.
pub(super) const FEED_PAGE_SLOTS: i32 = 48;

/// Parts of a list of the history that a page visits at most: a read each, of a ms or two when it is empty.
/// A page that has found nothing in so many hours of all chats, or days of a queue's, is answered, with the
/// place to go on.
pub(super) const HISTORY_PARTS_MAX: usize = 64;

/// Reads of a page of the history at most: where the server reads parts in pieces, for all that was removed
/// from them, a page ends within one.
pub(super) const HISTORY_READS_MAX: usize = 256;

/// The shortest piece of a part of the history that is read, ms. At 1,000,000 chats an hour 278 are opened
/// in a second: what is removed of one is far below what servers refuse.
pub(super) const HISTORY_SPAN_MIN_MS: i64 = 1_000;

/// Most letters of a keyspace's name: both servers refuse longer ones.
pub(super) const KEYSPACE_NAME_MAX: usize = 48;

/// How often the ring is halved for the parts in which whole tables are listed: 64 parts, which are all
/// that the copy of an empty keyspace has to read of a table, and each has a 64th of what was deleted.
pub(super) const PART_HALVINGS: u8 = 6;

/// How often at most, when the database refuses a part for all that was deleted there: 65,536 parts. At
/// 100,000 a read that is 6,500,000,000 tombstones; 1,000,000 chats an hour that are all forgotten leave
/// some 720,000,000 in the ten days that one stays.
pub(super) const PART_HALVINGS_MAX: u8 = 16;

/// Keys of a table listed at once.
pub(super) const RING_PAGE_ROWS: usize = 1_000;

/// How long a page of such a listing goes on to the next part. Whoever fills in rows while the router runs
/// waits 5 s for a page, and a read takes one of them at most.
pub(super) const RING_PAGE_MAX: Duration = Duration::from_millis(500);

/// Rows of a table shown at once to whoever looks for traces.
pub(super) const CELLS_PAGE_ROWS: i32 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// What the guide says of a second process: it follows a killed one after about 6 s.
    const TAKEOVER_MAX: Duration = Duration::from_secs(8);

    #[test]
    fn a_takeover_is_short_also_where_a_node_hangs() {
        let stands_still = LEASE + LEASE / MARGIN_PER_LEASE;
        let looks = LEASE / LOOKS_PER_LEASE + SPECULATE_SERIAL_AFTER;
        assert!(stands_still + looks < TAKEOVER_MAX);
        // The owner stops before the next one begins, and has had its tries by then.
        assert!(LEASE / RENEWALS_PER_LEASE * 2 < LEASE - LEASE / MARGIN_PER_LEASE);
        assert!(LEASE / AWAY_PER_LEASE < LEASE - LEASE / MARGIN_PER_LEASE);
        assert!(KEEPALIVE_EVERY + KEEPALIVE_MAX <= LEASE, "a hung node is left within a lease");
    }
}
