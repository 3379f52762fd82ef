//! Events that may be durable though nobody was told of them: an append whose outcome nobody knows
//! ends a chat's life, and the next one finds in the log what became of it. Connections stay
//! meanwhile, and must not miss it.
//!
//! Invariant: who is connected gets every event once it is known to be durable, in order; the edge
//! leaves out what a connection has.

use std::collections::BTreeSet;
use std::sync::Arc;

use dashmap::DashMap;

use crate::domain::{ChatId, Person, Recorded, Seq};
use crate::machine::chat::driver::{StoreAnswer, StoreCall};

use super::hub::{Hub, Outgoing};

/// Since when nobody was told, and who saw the chat then.
#[derive(Debug, Clone)]
pub(super) struct Since {
    after: Seq,
    seen_by: BTreeSet<Person>,
}

/// What the chats' appends under way leave behind; one entry for each chat that has one.
pub(super) type Untold = DashMap<ChatId, Since>;

/// What a life finds that its predecessors told nobody of.
#[derive(Debug, Default)]
pub(super) struct Found {
    since: Option<Since>,
    events: Vec<Recorded>,
}

/// An append begins: until its events are told, they are untold. An earlier one stays.
pub(super) fn begins(
    untold: &Untold,
    chat: ChatId,
    call: &StoreCall,
    seen_by: impl FnOnce() -> BTreeSet<Person>,
) {
    let StoreCall::Append(_, events) = call else { return };
    let Some(first) = events.first() else { return };
    let after = first.seq.saturating_sub(1);
    untold.entry(chat).or_insert_with(|| Since { after, seen_by: seen_by() });
}

impl Found {
    /// What a new life of the chat has to look for.
    pub(super) fn new(untold: &Untold, chat: ChatId) -> Self {
        let since = untold.get(&chat).map(|since| since.clone());
        Self { since, events: Vec::new() }
    }

    /// Keeps what is read of the log while the chat recovers.
    pub(super) fn read(&mut self, answer: &StoreAnswer) {
        if let (Some(since), StoreAnswer::Page(Ok(page))) = (&self.since, answer) {
            self.events.extend(page.iter().filter(|read| read.seq > since.after).cloned());
        }
    }

    /// Tells it, once, before anything that comes later.
    pub(super) fn tell(&mut self, hub: &Hub, chat: ChatId, concerned: &BTreeSet<Person>) {
        let Some(mut since) = self.since.take() else { return };
        if self.events.is_empty() {
            return;
        }
        since.seen_by.extend(concerned);
        let events = Arc::from(std::mem::take(&mut self.events));
        hub.send(&since.seen_by, &Outgoing::Events { chat, events });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ChatEvent, Timestamp, UserId};
    use crate::storage::Claim;

    const CHAT: ChatId = ChatId::from_u128(1);

    fn event(seq: Seq) -> Recorded {
        let event = ChatEvent::ContinuedIn { chat: CHAT };
        Recorded { seq, at: Timestamp(seq), event, names: Default::default() }
    }

    fn append(untold: &Untold, seq: Seq, seen_by: u128) {
        let call = StoreCall::Append(Claim { chat: CHAT, epoch: 1 }, vec![event(seq)]);
        let seen_by = BTreeSet::from([Person::User(UserId::from_u128(seen_by))]);
        begins(untold, CHAT, &call, || seen_by);
    }

    #[test]
    fn an_append_that_nobody_was_told_of_stays_untold_when_a_later_one_begins() {
        let untold = Untold::new();
        append(&untold, 3, 0xa);
        // The life that finds the third in the log goes on from there, and fails as well.
        append(&untold, 4, 0xb);
        let mut found = Found::new(&untold, CHAT);
        found.read(&StoreAnswer::Page(Ok((1..=4).map(event).collect())));
        let seqs: Vec<Seq> = found.events.iter().map(|event| event.seq).collect();
        assert_eq!(seqs, [3, 4]);
        let seen_by = found.since.unwrap().seen_by;
        assert_eq!(seen_by, BTreeSet::from([Person::User(UserId::from_u128(0xa))]));
    }
}
