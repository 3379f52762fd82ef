//! Every bound of the router, with its unit and its reason. What an installation may choose lies
//! in the configuration; its defaults lie here.

/// Longest command id, bytes. A UUID has 36; twice that leaves room for a client's own prefix.
pub const COMMAND_ID_MAX_BYTES: usize = 64;

/// Longest message, visible characters: extended grapheme clusters that are not white space.
pub const TEXT_MAX_VISIBLE: usize = 2_000;

/// Longest message in all, bytes of UTF-8: keeps a frame well below the socket's 64 KiB even when
/// every character is escaped.
pub const TEXT_MAX_BYTES: usize = 16 * 1024;

/// Longest name of anybody or anything, bytes: it stands in lists and frames.
pub const NAME_MAX_BYTES: usize = 128;

/// Highest priority of a queue or a chat; with the default step a chat gains at most 20 minutes.
pub const PRIORITY_MAX: u8 = 10;

/// How much waiting one point of priority is worth by default, ms.
pub const PRIORITY_STEP_MS: u64 = 60_000;

/// How long an operator who declined a chat is not asked for it again by default, ms.
pub const COOL_DOWN_MS: u64 = 30_000;

/// Lapsed directed offers in a row after which an operator is set away, by default.
pub const LAPSES_TO_AWAY: u32 = 3;

/// How many chats an operator holds by default.
pub const OPERATOR_CAPACITY: u32 = 5;

/// How many slots of an operator a chat takes by default, slots. Today every one does, and nothing may say
/// otherwise before queues choose by weight.
pub const CHAT_WEIGHT: u32 = 1;

/// Most slots that one chat takes, slots: what is heavier would fit nobody.
pub const CHAT_WEIGHT_MAX: u32 = OPERATOR_CAPACITY_MAX;

/// Highest capacity of an operator: nobody converses in more, and recovery is sized by it.
pub const OPERATOR_CAPACITY_MAX: u32 = 100;

/// How long an operator is not asked for another chat of the same visitor by default while others
/// wait, ms: about as long as it takes to read an offer and to see that it is gone.
pub const VISITOR_OFFER_EVERY_MS: u64 = 10_000;

/// Offers to one operator that a queue remembers for that: twenty to each of its members, some 300
/// bytes each. How many chats of a visitor wait adds nothing to that.
pub const SHOWN_REMEMBERED_MAX: usize = TO_ALL_OFFERS_MAX * QUEUE_MEMBERS_MAX;

/// How long an offer stands by default, ms.
pub const OFFER_TIMEOUT_MS: u64 = 30_000;

/// Shortest and longest time an offer may stand, ms: below the first nobody can read it; with the
/// second a forgotten tab blocks a customer for ten minutes.
pub const OFFER_TIMEOUT_RANGE_MS: (u64, u64) = (100, 600_000);

/// Most members of a queue: an offer to all, and the log's entry of it, name each who has room.
pub const QUEUE_MEMBERS_MAX: usize = 1_000;

/// Most queues of one operator: a pull asks each of them.
pub const OPERATOR_QUEUES_MAX: usize = 64;

/// How long a reservation lives unless the chat's offer confirms it, ms. Longer than
/// any healthy append; a store that is slower costs a retry, never an owner.
pub const RESERVATION_MS: u64 = 2_000;

/// How long an operator's `Assign` is valid, ms; also how long a restarted operator waits before
/// it counts its slots, so that none of its former life can still land (§3.6).
pub const ASSIGN_LIMIT_MS: u64 = 2_000;

/// How long a transfer waits for its target, ms (§3.5).
pub const TRANSFER_LIMIT_MS: u64 = 2_000;

/// Longest time for which a free slot is kept for a chat that is offered to all and that nobody
/// accepts, ms: long enough to see, read and press, short enough for an idle slot. A queue whose
/// offers stand shorter keeps it as long as they stand.
pub const SLOT_KEPT_MAX_MS: u64 = 10_000;

/// How long a slot is kept for an offer to all that is on its way, ms: any healthy append is
/// faster, and a chat that somebody else got meanwhile never comes.
pub const KEPT_ON_THE_WAY_MS: u64 = 500;

/// How long an operator in a pull waits for its queues, ms (§3.2).
pub const PULL_LIMIT_MS: u64 = 100;

/// First and longest wait before an unanswered message to another actor is sent again, ms.
pub const REPEAT_MS: (u64, u64) = (100, 2_000);

/// First and longest wait before the feed is told again of what it did not take, ms. A store in trouble is asked
/// by everything that is open: at last as seldom as what fails begins anew. No longer, since what a life was
/// to write first, and its own deadlines, wait for it. What anybody writes meanwhile tries by itself.
pub const TOUCH_AGAIN_MS: (u64, u64) = (REPEAT_MS.0, 10_000);

/// How much later than the queue a chat ends an offer itself, ms: the queue's timer comes first,
/// the chat stands behind it should the queue be down.
pub const OFFER_BACKSTOP_MS: u64 = 500;

/// How much later than its end an operator asks what became of an offer that it still holds, ms:
/// after the chat's own backstop.
pub const OFFER_ASK_MS: u64 = 1_000;

/// Most calls that wait for one and the same answer; a client has at most 64 unanswered, and one
/// that asks again has given up its former call.
pub const CALLS_HELD_MAX: usize = 64;

/// Most events of calls that came together and are appended in one piece. As many as a client may have calls
/// without an answer: what it sends in one go is one append.
pub const BATCH_EVENTS_MAX: usize = 64;

/// Most bytes of such a piece, about: a quarter of what the distributed store takes in one row.
pub const BATCH_BYTES_MAX: usize = 256 * 1024;

/// How long an operator remembers the placement of a chat that it no longer holds, ms: a late word
/// of before is known by it. Longer than any repeat takes.
pub const GONE_REMEMBERED_MS: u64 = 10_000;

/// How long a queue waits for a chat that it asked to offer itself, or told that its offer is over,
/// before others need not wait for it, ms: one whose log cannot be read may never answer.
pub const SILENT_AFTER_MS: u64 = 2_000;

/// How long an operator waits for a chat that it asked what became of a command, ms: whoever called
/// has been told `unavailable` by then and asks again.
pub const RECALL_LIMIT_MS: u64 = 5_000;

/// Longest time that an offer to all stands, ms. One that nobody answered is made again for twice as
/// long as the one before, up to this: everybody who is free sees the chat all the time, and its log
/// grows by 300 entries a day at most, not by one for every queue's `offer_timeout_ms`. As long as
/// a queue may choose at most.
pub const TO_ALL_STANDS_MAX_MS: u64 = OFFER_TIMEOUT_RANGE_MS.1;

/// Most `to_all` offers of one queue at a time: more than a screen shows helps nobody (§3.3).
pub const TO_ALL_OFFERS_MAX: usize = 20;

/// Operators whom a queue asks in one step; an offer to all may go beyond, and is the last of its step. The
/// others are asked at once, after what came meanwhile: a step of this many takes half a
/// millisecond.
pub const ASKED_AT_ONCE_MAX: usize = 64;

/// Pairs of a waiting chat and a member that a queue looks at in one step, to find those who may have nothing;
/// it goes on with the others at once. So many take a quarter of a millisecond.
pub const LOOKED_AT_ONCE_MAX: usize = 4_096;

/// As so many of these pairs counts a look for the first chat of the line that a member may have.
pub const LOOK_OF_MEMBER_PAIRS: usize = 64;

/// As so many counts what it takes to note of one refusal that it keeps nobody from being asked, or does again.
pub const LIFT_PAIRS: usize = 8;

/// While so few members have room, a look for the first chat of each is less than one at the chats that
/// changed, where these are more; with more members there is no telling.
pub const FEW_WITH_ROOM: usize = 16;

/// How many runners-up a decision keeps beside its winner.
pub const RUNNERS_UP: usize = 5;

/// How many candidates an explanation lists; the rest are in its counts.
pub const EXPLAINED_CANDIDATES_MAX: usize = 50;

/// How much longer a queue in which nothing happens remembers what it has shown than it counts, ms: so it forgets
/// what was shown one after the other together.
pub const FORGET_TOGETHER_MS: u64 = 2_000;

/// How often a connection is asked to prove that a person can see it, ms.
pub const PROBE_EVERY_MS: u64 = 15_000;

/// How long a connection may take to answer a probe, ms.
pub const PROBE_LIMIT_MS: u64 = 5_000;

/// How long an operator without a proven connection keeps status and offers, ms.
pub const PRESENCE_GRACE_MS: u64 = 30_000;

/// Deadlines that wait for people fire no earlier than this after readiness, ms: nobody could
/// answer while we were away.
pub const RESTART_GRACE_MS: u64 = 60_000;

/// Most connections of one operator (tabs, devices).
pub const OPERATOR_CONNECTIONS_MAX: usize = 16;

/// How many answers to its latest commands a chat has in memory for each participant (§4). A client
/// has at most 64 unanswered, so four times that; older ones are looked up in the log.
pub const COMMANDS_REMEMBERED: usize = 256;

/// For how many participants a chat has answers in memory; those of the least recent are looked up.
pub const PARTIES_REMEMBERED: usize = 64;

/// How many ids of a chat's older commands are looked for in the log together, when one of them may be what
/// is asked for: half a page of the log.
pub const FILTER_LEAF_IDS: usize = 512;

/// How many former operators and queues a chat tells where it is after it restarted: everybody whom
/// its latest offer can have reached, and some before them.
pub const FORMER_PEERS_MAX: usize = QUEUE_MEMBERS_MAX + 32;

/// Shards of the chats of a process: each has its supervisor, who links and unlinks every chat of it, and
/// its part of the index of open chats. No look at one part holds up the chats of the others. Fixed,
/// so that one day each may be owned by another process.
pub const CHAT_SHARDS: usize = 16;

/// How many sleeping chats a shard of the index knows to have told everybody, so that they wake in silence. One
/// that is forgotten says again where it is, which is harmless.
pub const RESTED_REMEMBERED: usize = 65_536 / CHAT_SHARDS;

/// Most messages of one chat; a chat that has them takes no more and can only be moved and ended.
/// Bounds memory and the time to recover. What the router does with the chat has a bound of its own,
/// so that it takes no room from people.
pub const CHAT_MESSAGES_MAX: u64 = 100_000;

/// Most entries of one chat besides its messages; a chat that has them is offered no more, and can
/// only be moved by hand and ended. An offer to all that nobody answers makes two of them
/// in [`TO_ALL_STANDS_MAX_MS`]: so many last for a year.
pub const CHAT_ROUTING_EVENTS_MAX: u64 = 100_000;

/// How often a chat writes down that its customer has another name or priority; then it keeps those
/// that it has, and the customer's next chat begins with the latest. So often a page that is given a
/// new token every minute may be renamed for a week. They take no room from people and offers.
pub const CUSTOMER_UPDATES_MAX: u64 = 10_000;

/// Operators remembered as having refused one chat; the earliest is forgotten.
pub const REFUSALS_REMEMBERED: usize = 1_000;

/// How many closed chats an operator's list shows.
pub const LAST_CLOSED: usize = 10;

/// Longest reason of an `away` status, bytes.
pub const AWAY_REASON_MAX_BYTES: usize = 64;
