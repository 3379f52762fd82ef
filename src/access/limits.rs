//! The bounds of access, each with its unit and its reason.

use crate::storage::CLOCK_JUMP_MAX_MS;

/// Bytes of the key that signs tokens: the block that HMAC-SHA256 is strongest with.
pub const KEY_BYTES: usize = 32;

/// Bytes of a password's salt.
pub const SALT_BYTES: usize = 16;

/// Memory of one password hash, KiB (OWASP's second recommendation for argon2id).
pub const HASH_MEMORY_KIB: u32 = 19 * 1024;

/// Room that is reserved for the memory of one at least, bytes. The process's allocator (`app/allocator.rs`) leaves
/// blocks of 32 MiB and more to the C library, which maps each by itself and unmaps it when it is freed; what is not
/// touched of it takes no memory.
pub const HASH_ROOM_MIN_BYTES: usize = 33 * 1024 * 1024;

/// Passes of one password hash.
pub const HASH_PASSES: u32 = 2;

/// Lanes of one password hash.
pub const HASH_LANES: u32 = 1;

/// Password hashes at a time: each keeps a core busy for tens of milliseconds, and chats come
/// first.
pub const HASHES_AT_A_TIME: usize = 2;

/// Password hashes that may wait for their turn; of further ones those of the networks that asked
/// most are refused at once. About two seconds of work for the one of [`HASHES_AT_A_TIME`] that
/// strangers have. Of who is known as many may wait again, so that strangers are in nobody's way there.
pub const HASHES_WAITING_MAX: usize = 64;

/// Longest time that a stranger waits for a hash: others who asked less may keep coming.
pub const STRANGER_WAIT_LIMIT: std::time::Duration = std::time::Duration::from_secs(10);

/// For how long each time counts that a network asked for a hash, ms: whoever comes again and again
/// gives way to whoever has just come.
pub const ASKED_MS: u64 = 1_000;

/// Shortest password, characters.
pub const PASSWORD_MIN_CHARS: usize = 10;

/// Longest password, bytes: nobody types more, and every byte is hashed.
pub const PASSWORD_MAX_BYTES: usize = 256;

/// Guesses at one login that a network has at once, and a device: who mistypes needs no more.
pub const GUESSES: u32 = 5;

/// After how long it has one more of them, ms: 1,440 a day.
pub const GUESS_EVERY_MS: u64 = 60_000;

/// Guesses at all logins that a network has at once: a whole office may sit behind it.
pub const NETWORK_GUESSES: u32 = 50;

/// After how long it has one more of them, ms.
pub const NETWORK_GUESS_EVERY_MS: u64 = 10_000;

/// Waits are told in steps of so many ms: the exact one would tell what others do.
pub const WAIT_STEP_MS: u64 = 10_000;

/// Wrong guesses at one login in an hour, above which it is guessed at from everywhere: twenty
/// people who forgot their password do not make as many.
pub const WRONG_IN_AN_HOUR_MAX: u32 = 100;

/// How much later answers come then to whoever never knew the password, ms: a person waits, and
/// who guesses from many networks needs as many more of them.
pub const UNSEEN_DELAY_MS: u64 = 2_000;

/// Networks from which one user's right password came that are remembered: office, home, phone,
/// and these again as their addresses change.
pub const SEEN_NETWORKS_MAX: usize = 16;

/// How long a device mark counts, ms; each log-in gives a new one.
pub const DEVICE_MARK_MS: u64 = 90 * 24 * 3_600_000;

/// Buckets, and logins with wrong guesses, that are remembered, some 100 bytes each. Hashing takes
/// fewer guesses in the minute that one of them lasts, so that none is forgotten before its time.
pub const GUESSERS_MAX: usize = 10_000;

/// Chats that one visitor may open in a minute by default: who lost the page or ended by mistake
/// needs no more, and each one asks for operators' eyes.
pub const VISITOR_OPENINGS: u64 = 6;

/// Chats that one address may open in a minute by default: a whole office may sit behind it.
pub const ADDRESS_OPENINGS: u64 = 60;

/// Most chats a minute that can be configured: one a millisecond.
pub const OPENINGS_MAX: u64 = 60_000;

/// Visitors and addresses whose openings are remembered, some 100 bytes each: as many as open one
/// in the ten seconds for which it is remembered by default, ten times over.
pub const OPENERS_MAX: usize = 100_000;

/// How long an access token lives by default, ms. Whoever steals one has it no longer.
pub const ACCESS_TOKEN_MS: u64 = 10 * 60_000;

/// How long a refresh token lives by default, ms; each use gives a new one.
pub const REFRESH_TOKEN_MS: u64 = 7 * 24 * 3_600_000;

/// How long a visitor's token lives by default, ms.
pub const VISITOR_TOKEN_MS: u64 = 24 * 3_600_000;

/// Longest life of any of them that can be configured, ms.
pub const TOKEN_MS_MAX: u64 = 90 * 24 * 3_600_000;

/// How long a revocation is kept, ms: for the longest life of what it revokes, and for as far as a clock
/// may be ahead before it is doubted. Set right again, it finds tokens alive that were not by then.
pub const REVOCATION_KEPT_MS: u64 = TOKEN_MS_MAX + CLOCK_JUMP_MAX_MS;

/// Longest token, bytes; a longer one is not even looked at.
pub const TOKEN_MAX_BYTES: usize = 1_024;

/// Sessions of one user; a further log-in ends the oldest.
pub const SESSIONS_PER_USER: usize = 32;

/// Customers of one channel whose tokens are revoked at one time, some 100 bytes each; entries end
/// after [`REVOCATION_KEPT_MS`]. By channel, so that no site uses up another's.
pub const REVOKED_CUSTOMERS_MAX: usize = 10_000;

/// The same up to which a customer may be erased, who is revoked with it: whoever has a right to be
/// forgotten does not wait for 120 days until there is room. Ten times as many: some 10 MB, and as many
/// documents for a start to read.
pub const REVOKED_FOR_ERASURE_MAX: usize = 100_000;

/// Chats that are forgotten in one piece when an erasure is applied again.
pub const ERASED_SLICE: usize = 64;

/// How often an erasure looks again at what is said of its customer, when others of the same customer
/// write it down, too: who asks as often at one time is refused, and asks again.
pub const BEGIN_ERASURE_TRIES: u32 = 3;

/// How often a revocation is written when an earlier try of the same one, whose outcome nobody knew, has
/// taken effect meanwhile: there is one at a time, so one such try.
pub const REVOKE_TRIES: u32 = 2;

/// How long a revocation waits for what began before it, at most: longer than the store may take
/// over a write, and short enough for whoever waits for the answer.
pub const SETTLE_LIMIT: std::time::Duration = std::time::Duration::from_secs(12);

/// Documents read at a time when sessions are loaded.
pub const LOAD_PAGE: usize = 256;

/// Revocations that whoever watches them may be behind. One that is further behind is told so, and
/// asks for everybody.
pub const REVOCATIONS_BEHIND_MAX: usize = 1_024;
