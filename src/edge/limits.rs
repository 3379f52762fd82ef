//! The bounds of the edge, each with its unit and its reason. What an installation may choose is
//! in [`EdgeOptions`](super::EdgeOptions); what stands in frames is in `protocol::limits`.

use std::time::Duration;

/// How long a client may take to send the head of a request: who is slower is not waited for.
pub const HEAD_LIMIT: Duration = Duration::from_secs(10);

/// Largest head of a request with what is read ahead, bytes: a token and a browser's headers.
pub const HEAD_MAX_BYTES: usize = 16 * 1_024;

/// Hops of a request that are looked at for its client, from the last one backwards: no installation
/// has more proxies in a row, and a list that goes on costs nothing.
pub const FORWARDED_HOPS_MAX: usize = 16;

/// How long a connection that is no socket may last: several requests, and the slowest reader of
/// the largest document. Then a request that has begun has [`REQUEST_LIMIT`] to end.
pub const HTTP_LIFE_MAX: Duration = Duration::from_secs(60);

/// How long to wait after the system refused a connection: it has none to give for the moment.
pub const REFUSED_WAIT: Duration = Duration::from_millis(50);

/// How long a REST request may take in all, its body included. A log-in waits at most about two
/// seconds for its turn, a call of the router five.
pub const REQUEST_LIMIT: Duration = Duration::from_secs(20);

/// How long the body of a REST request may take. What is left of [`REQUEST_LIMIT`] is for the
/// answer.
pub const BODY_LIMIT: Duration = Duration::from_secs(15);

/// Connections that may speak HTTP beside the sockets that are admitted.
pub const HTTP_CONNECTIONS_MAX: u64 = 1_024;

/// Of one address, beside its sockets: the pages of a whole office that load at once.
pub const HTTP_CONNECTIONS_OF_ONE_MAX: u64 = 256;

/// How long one write to a socket may take before the client counts as too slow. A phone in a
/// tunnel resumes.
pub const WRITE_LIMIT: Duration = Duration::from_secs(10);

/// How long to wait for the client's half of a close.
pub const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// Bytes that a socket reads at once, and the size of its buffer for that: it is a good part of what an idle socket
/// costs, and all of it that is free is written with zeros before each read. A message of 120 bytes is a frame of
/// some 300; the largest frame takes 64 reads.
pub const SOCKET_READ_BYTES: usize = 1_024;

/// Bytes of frames that wait for each other before a socket writes them.
pub const SOCKET_WRITE_BYTES: usize = 4_096;

/// Bytes that wait in a socket for the system to take them: a frame that did not go out whole,
/// and the next one.
pub const SOCKET_UNSENT_MAX_BYTES: usize = 256 * 1_024;

/// How often a silent socket is asked for a sign of life, ms.
pub const PING_EVERY_MS: u64 = 30_000;

/// How long a socket may be silent, ms: two pings and a slow network.
pub const SILENCE_MAX_MS: u64 = 75_000;

/// Probes in a row without an answer before a socket is closed: about a minute.
pub const PROBES_UNANSWERED_MAX: u32 = 3;

/// Calls above the pace that one socket is told of at once, and then a second, before it is
/// closed: a thousand calls at once are answered, a client that never stops is not.
pub const TOO_FAST: (u64, u64) = (2_000, 20);

/// Frames beside whole texts that one socket may send at once, and then a second: pings, pongs, and
/// the parts of messages. The largest message in pieces of 1 KiB at the pace of calls fits for
/// longer than a message takes; a stream of empty parts does not.
pub const FRAMES_BESIDE_CALLS: (u64, u64) = (1_000, 200);

/// Bytes that are still read, and thrown away, after a close was sent: a large frame that was on
/// its way, and no flood.
pub const FAREWELL_MAX_BYTES: usize = 4 << 20;

/// Frames of a client that are taken in one go: as many as it may have calls without an answer.
pub const FRAMES_AT_ONCE: usize = 64;

/// Messages of the outbox that are taken in one go before the socket is flushed.
pub const TAKEN_AT_ONCE: usize = 64;

/// Most missed events of one chat that a resume brings; a larger gap is loaded as history.
pub const MISSED_PER_CHAT_MAX: u64 = 500;

/// Most missed events of all chats that one resume brings.
pub const MISSED_IN_ALL_MAX: u64 = 2_000;

/// Chats of a resume that are not the person's at present and are looked at all the same: they ended
/// or went elsewhere meanwhile. Each costs a read of the store whether or not there is such a chat.
pub const RESUMED_OTHERS_MAX: usize = 16;

/// Events read from a log at a time.
pub const READ_PAGE: usize = 100;

/// Pages that are read to fill one page of a history: what a customer may not see is skipped.
pub const READ_PAGES_MAX: usize = 20;

/// Chats that one connection remembers as its own, or with the position that was sent.
pub const CHATS_REMEMBERED: usize = 1_024;

/// How long calls that a socket leaves under way are followed: longer than the router takes for
/// any. Of messages that go elsewhere, one behind the other, what is left by then is dropped, and answered to nobody.
pub const ABANDONED_LIMIT: Duration = Duration::from_secs(30);

/// How long a client waits before it repeats a call that found too much to do, ms.
pub const OVERLOADED_RETRY_MS: u64 = 250;

/// How long a client waits before it repeats a call that had no answer, ms.
pub const UNAVAILABLE_RETRY_MS: u64 = 500;

/// How long after it was due a call that was put off keeps its turn in front of later ones without
/// being sent again, ms: a client repeats it far sooner, or has given it up.
pub const TURN_KEPT_MS: u64 = 10_000;

/// How much later than the call in front of it a client repeats one that waits for it, ms.
pub const TURN_WAIT_MS: u64 = 50;

/// How long a client waits before it asks an unavailable store again, ms.
pub const STORE_RETRY_MS: u64 = 1_000;

/// How long a client waits when too many passwords are being hashed, ms: the work that may wait.
pub const HASH_RETRY_MS: u64 = 2_000;

/// How long one chat may take to answer when many are looked at: several times as long as a chat
/// takes to wake. One whose log cannot be read would take as long as a call may.
pub const LOOK_LIMIT: Duration = Duration::from_secs(2);

/// Chats that are looked at side by side for one answer: those that do not answer make the others
/// wait only when there are more of them. A chat that sleeps costs the store two reads.
pub const LOOKS_AT_ONCE: usize = 32;

/// How long all chats of one answer may take. With [`OPERATOR_WAIT`] it stays within
/// [`SESSION_ANSWER_LIMIT`].
pub const LOOKS_LIMIT: Duration = Duration::from_secs(8);

/// How long `session.open` may take in all: up to 128 chats are looked at.
pub const SESSION_ANSWER_LIMIT: Duration = Duration::from_secs(15);

/// How long `session.open` waits for an operator whose slots are being counted after a failure.
pub const OPERATOR_WAIT: Duration = Duration::from_secs(4);

/// How often it looks meanwhile.
pub const OPERATOR_LOOK_EVERY: Duration = Duration::from_millis(100);
