//! The bounds of the audit trail, each with its unit and its reason.

/// A day, ms.
const DAY_MS: u64 = 24 * 3_600_000;

/// How long entries are kept by default, days: whoever looks back a year finds all of it.
pub const KEPT_DAYS: u64 = 400;

/// Shortest time for which entries may be kept, days: what an attacker did is looked at for weeks.
pub const KEPT_DAYS_MIN: u64 = 30;

/// Longest time for which entries may be kept, days.
pub const KEPT_DAYS_MAX: u64 = 3_650;

/// A time in days, ms.
pub const fn days_ms(days: u64) -> u64 {
    days.saturating_mul(DAY_MS)
}

/// Acts whose outcome this process has not made durable yet, some 100 bytes each. With more, the
/// store does not answer, and nothing is done that it could not hold.
pub const OPEN_MAX: usize = 10_000;

/// Outcomes that are tried again at a time.
pub const CONCLUDED_AT_A_TIME: usize = 256;

/// How long what failed is counted in one entry, ms.
pub const COUNTED_MS: u64 = 60_000;

/// Entries of what failed in one minute; what is beyond is counted in one of no network. More than
/// a company has people who mistype, and a bound for whoever has many addresses.
pub const FAILURES_MAX: usize = 1_000;

/// Longest text of an origin in an entry, bytes: whoever sends it chose it.
pub const ORIGIN_MAX_BYTES: usize = 128;

/// Entries looked at for one page of a reader: who looks for a rare one goes on from there.
pub const SCANNED_MAX: usize = 2_000;

/// Entries read from the store at a time.
pub const READ_PAGE: usize = 500;

/// Slices of old entries that are removed in one go; a slice is an hour, or some hundred entries.
pub const REMOVED_AT_A_TIME: usize = 32;
