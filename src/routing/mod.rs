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

pub mod explain;
pub mod pool;
pub mod rank;
pub mod rule;
pub mod shown;
pub mod standing;

pub use explain::{Candidate, Explanation, WhyWaits};
pub use pool::{Case, Pool};
pub use rank::rank;
pub use shown::Shown;
