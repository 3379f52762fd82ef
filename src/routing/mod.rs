//! Who gets which chat: pure functions and small types, without actors or messages.
//!
//! The problem. A queue has a line of waiting chats and a pool of members about whom it believes
//! something. Wanted:
//! 1. The line is served in the order of [`rank()`]: no operator gets a chat while one of smaller
//!    rank waits that this operator could serve and has not refused.
//! 2. Among the operators who could have a chat the queue's [`rule`] chooses; ties end at the
//!    smaller id, so the same facts lead to the same choice.
//! 3. Who refused a chat is not asked again while another who has not is eligible, and in any
//!    case not before the cool-down is over ([`standing`]).
//! 4. While others wait, an operator is not asked for one chat of a visitor after the other: not
//!    before a while has passed since the last one ([`shown`]).
//! 5. "Why does it wait" is answered by the function that decides ([`explain`]).
//! 6. A step does not cost what waits: whoever can serve nobody, however long the line, keeps nobody
//!    from being served, costs no walk past it, and is skipped until something changes for it. It costs the
//!    refusals of the chats that changed in it and what was shown, or counts as shown no more, of a visitor.
//!    Who is to be asked, or looked at, beyond a bound is left to the next step, which follows at once; so is
//!    what all who are eligible have refused, when others are than were.
//!
//! How. Between a chat and a member with room stands nothing but a refusal, or another chat of the same
//! visitor. What refusals exclude is kept by pairs ([`excluded`]), found out anew when something about that
//! chat changes: as many as there are refusals. What was shown is kept once for each visitor and operator
//! ([`shown`]), whatever waits of that visitor: its chats that wait are a set of their own, of which whoever
//! was shown one may have none but that one. All other pairs can. So
//! - the line is one set in order that knows positions ([`ranked`]),
//! - those with room are a set in the order of the rule, and one by what they have room for ([`pool`]),
//! - the first chat that a member may have is the first of the line that is in none of the sets that are
//!   excluded for it; the first that anybody may have is the smallest of these, of those members and chats
//!   for which something changed since nobody might have any ([`fresh`]),
//! - and the best member for a chat is the first with room that is not excluded from it.
//!
//! That this is what a walk past all chats and members gives is compared in a test
//! (`machine::queue::tests::naive`). After every step of the simulation the pairs are compared, and
//! that nobody may have a chat of those for whom nothing changed. A line is of chats that ask the same of a
//! member; today all do.

pub mod excluded;
pub mod explain;
pub mod fresh;
pub mod pool;
pub mod rank;
pub mod ranked;
pub mod rule;
pub mod shown;
pub mod standing;

pub use excluded::{Excluded, Turn};
pub use explain::{Candidate, Explanation, WhyWaits};
pub use fresh::Fresh;
pub use pool::{Case, Pool};
pub use rank::rank;
pub use ranked::Ranked;
pub use rule::{Asks, Otherwise, describe};
pub use shown::Shown;
