//! Events that may be durable though nobody was told of them: an append whose outcome nobody knows
//! ends a chat's life, and the next one finds in the log what became of it. Connections stay
//! meanwhile, and must not miss it.
//!
//! Invariant: who is connected gets every event once it is known to be durable, in order; the edge
//! leaves out what a connection has.

use dashmap::DashMap;

use crate::domain::{ChatId, Seq};
use crate::machine::chat::driver::StoreCall;

/// What the chats' appends under way leave behind, one entry for each chat that has one: after which
/// position nobody was told.
pub(super) type Untold = DashMap<ChatId, Seq>;

/// An append begins: until its events are told, they are untold. An earlier one stays.
pub(super) fn begins(untold: &Untold, chat: ChatId, call: &StoreCall) {
    let Some(first) = call.events().first() else { return };
    let after = first.seq.saturating_sub(1);
    untold.entry(chat).or_insert(after);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ChatEvent, Recorded, Timestamp};
    use crate::storage::Claim;

    const CHAT: ChatId = ChatId::from_u128(1);

    fn append(untold: &Untold, seq: Seq) {
        let event = ChatEvent::ContinuedIn { chat: CHAT };
        let event = Recorded { seq, at: Timestamp(seq), event, names: Default::default() };
        begins(untold, CHAT, &StoreCall::Append(Claim { chat: CHAT, epoch: 1 }, vec![event]));
    }

    #[test]
    fn an_append_that_nobody_was_told_of_stays_untold_when_a_later_one_begins() {
        let untold = Untold::new();
        append(&untold, 3);
        // The life that finds the third in the log goes on from there, and fails as well.
        append(&untold, 4);
        assert_eq!(untold.get(&CHAT).as_deref(), Some(&2));
    }
}
