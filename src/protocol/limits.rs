//! The bounds of the wire, each with its unit and its reason. Those of the router itself lie in
//! [`domain::limits`](crate::domain::limits).

/// Largest frame in either direction, bytes. A message of the largest text fits with every
/// character escaped; a socket's buffers never shrink after a large frame, so no larger.
pub const FRAME_MAX_BYTES: usize = 64 * 1024;

/// Longest request id that is a text, bytes; it is sent back as it came.
pub const REQUEST_ID_MAX_BYTES: usize = 64;

/// Largest request id that is a number: the largest that every JSON reader keeps exact.
pub const REQUEST_ID_MAX_NUMBER: u64 = (1 << 53) - 1;

/// Longest method name that is looked up or quoted in an error, bytes.
pub const METHOD_MAX_BYTES: usize = 64;

/// Longest token, bytes. Ours have about 300.
pub const TOKEN_MAX_BYTES: usize = 1_024;

/// Longest text of an error, bytes: it may quote what the client sent.
pub const ERROR_MESSAGE_MAX_BYTES: usize = 512;

/// Most chats that one `session.open` resumes: more than an operator holds at the highest
/// capacity.
pub const RESUME_MAX: usize = 128;

/// Most events in one page of `chat.history`.
pub const HISTORY_LIMIT_MAX: u32 = 100;

/// Events in a page of `chat.history` that names no limit.
pub const HISTORY_LIMIT_DEFAULT: u32 = 50;

/// Most bytes of events in one page of `chat.history`, as JSON: the page and its envelope stay
/// within [`FRAME_MAX_BYTES`], and one event always fits.
pub const HISTORY_PAGE_MAX_BYTES: usize = 60 * 1024;

/// Most chats in an answer of `chat.list`: they fit a frame.
pub const CHAT_LIST_MAX: usize = 150;

/// Most offers in the answer of `session.open`, smallest ranks first; further ones follow as
/// `offer.presented`. Together with the chats they fit a frame.
pub const OPENED_OFFERS_MAX: usize = 100;

/// Longest text of a message as JSON, bytes. Only white space that JSON must escape can come near
/// it; the event that carries the text then still fits a frame.
pub const TEXT_ESCAPED_MAX_BYTES: usize = 48 * 1024;

/// How long a socket may live without a `session.open`, ms.
pub const SESSION_OPEN_LIMIT_MS: u64 = 10_000;

/// Most calls of one socket without an answer; a client waits before it sends more.
pub const UNANSWERED_MAX: usize = 64;

/// Most malformed frames of one socket before it is closed: a person who tries things out gets
/// answers, a broken client does not burn a core.
pub const BAD_FRAMES_MAX: u32 = 16;
