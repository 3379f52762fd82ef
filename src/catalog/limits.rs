//! The bounds of the catalog, each with its unit and its reason.

/// Most users. All are held in memory, about 500 bytes each.
pub const USERS_MAX: usize = 10_000;

/// Most queues: an explanation and the lint look at each.
pub const QUEUES_MAX: usize = 1_000;

/// Most channels.
pub const CHANNELS_MAX: usize = 1_000;

/// Most reasons to be away: each is shown to an operator at every start of its session, and nobody
/// chooses from a longer list.
pub const AWAY_REASONS_MAX: usize = 100;

/// Longest login, bytes.
pub const LOGIN_MAX_BYTES: usize = 64;

/// Longest language tag, bytes (RFC 5646 recommends room for 35).
pub const LANGUAGE_MAX_BYTES: usize = 35;

/// Longest address of an image, bytes.
pub const IMAGE_MAX_BYTES: usize = 2_048;

/// Longest external reference, bytes.
pub const REFERENCE_MAX_BYTES: usize = 256;

/// Fewest and most days that a channel can keep a chat after its end, where it does not keep it for
/// ever: a day, so that nobody loses what is still talked about; ten years, beyond which for ever is
/// meant.
pub const RETENTION_DAYS: std::ops::RangeInclusive<u16> = 1..=3_650;

/// Longest absence of an owner that can be configured, ms: a week. Longer means never.
pub const ABSENT_OWNER_LIMIT_MAX_MS: u64 = 7 * 24 * 3_600_000;

/// Documents read at a time when the catalog is loaded.
pub const LOAD_PAGE: usize = 256;
