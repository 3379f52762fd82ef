//! Messages: acknowledged once, seen once by each side, in one order.
//!
//! Invariants: a position of a chat holds one message; a message has one position; each client sees
//! positions grow. All three together make the order one for everybody.

use std::collections::{BTreeMap, BTreeSet};

use switchboard::domain::{ChatId, CommandId, Party, Seq, UserId};

use super::{Message, TextHash, Violation, Violations};

/// A message's sender and the sender's id of it.
type Key = (Party, CommandId);

/// What is known of all messages.
#[derive(Debug, Clone, Default)]
pub struct Messages {
    /// What was sent: the how-manieth of its sender, and what.
    sent: BTreeMap<Key, (u64, TextHash)>,
    sent_by: BTreeMap<Party, u64>,
    chats: BTreeMap<ChatId, Correspondence>,
    acknowledged: u64,
}

/// What is known of one chat's messages.
#[derive(Debug, Clone, Default)]
struct Correspondence {
    /// What stands where, as far as some client was told.
    at: BTreeMap<Seq, Message>,
    /// Where each message stands, seen or acknowledged.
    places: BTreeMap<Key, Seq>,
    acknowledged: BTreeMap<Seq, Key>,
    /// Of each sender, the acknowledged by the order of sending.
    order: BTreeMap<Party, BTreeMap<u64, (CommandId, Seq)>>,
    views: BTreeMap<Party, View>,
}

/// What one client saw.
#[derive(Debug, Clone, Default)]
struct View {
    seen: BTreeSet<Seq>,
}

impl Messages {
    /// Notes a first sending.
    pub fn sent(&mut self, message: Message) {
        let key = (message.from, message.id);
        if !self.sent.contains_key(&key) {
            let count = self.sent_by.entry(message.from).or_default();
            *count += 1;
            self.sent.insert(key, (*count, message.text));
        }
    }

    /// Notes an acknowledgement.
    pub fn acknowledged(
        &mut self,
        chat: ChatId,
        from: Party,
        id: CommandId,
        seq: Seq,
        found: &mut Violations,
    ) {
        let key = (from, id);
        let sent = self.sent.get(&key).copied();
        let known = self.chats.entry(chat).or_default();
        if known.acknowledged.get(&seq) == Some(&key) {
            return;
        }
        known.stands(chat, &key, seq, found);
        let other = known.at.get(&seq).map(|message| (message.from, message.id.clone()));
        let other = other.or_else(|| known.acknowledged.get(&seq).cloned());
        if let Some(other) = other.filter(|other| *other != key) {
            let (from, id) = key;
            found.add(Violation::SeqTaken { chat, from, id, seq, other });
            return;
        }
        known.acknowledged.insert(seq, key.clone());
        self.acknowledged += 1;
        if let Some((n, _)) = sent {
            known.in_order(chat, key, n, seq, found);
        }
    }

    /// Notes that a client got a message.
    pub fn seen(
        &mut self,
        chat: ChatId,
        by: Party,
        seq: Seq,
        message: Message,
        found: &mut Violations,
    ) {
        let known = self.chats.entry(chat).or_default();
        let view = known.views.entry(by).or_default();
        let last = view.seen.last().copied();
        if !view.seen.insert(seq) {
            found.add(Violation::SeenTwice { chat, by, seq });
        } else if let Some(after) = last.filter(|last| *last > seq) {
            found.add(Violation::SeenOutOfOrder { chat, by, seq, after });
        }
        self.stands(chat, by, seq, message, found);
    }

    /// Notes a history that was read from its beginning to its end.
    pub fn history(
        &mut self,
        chat: ChatId,
        by: Party,
        messages: Vec<(Seq, Message)>,
        found: &mut Violations,
    ) {
        for pair in messages.windows(2) {
            let (after, seq) = (pair[0].0, pair[1].0);
            if after >= seq {
                found.add(Violation::HistoryOrder { chat, by, seq, after });
            }
        }
        let read: BTreeSet<Seq> = messages.iter().map(|(seq, _)| *seq).collect();
        for (seq, message) in messages {
            self.stands(chat, by, seq, message, found);
        }
        let known = self.chats.entry(chat).or_default();
        for (seq, (from, id)) in known.acknowledged.iter().filter(|(seq, _)| !read.contains(seq)) {
            let (from, id, seq) = (*from, id.clone(), *seq);
            found.add(Violation::Missing { chat, by, from, id, seq });
        }
    }

    /// Checks that a client saw every acknowledged message before a position.
    pub fn must_have_seen(&self, chat: ChatId, by: Party, until: Seq, found: &mut Violations) {
        let Some(known) = self.chats.get(&chat) else {
            return;
        };
        let none = View::default();
        let view = known.views.get(&by).unwrap_or(&none);
        for (seq, (from, id)) in known.acknowledged.range(..until) {
            if !view.seen.contains(seq) {
                let (from, id, seq) = (*from, id.clone(), *seq);
                found.add(Violation::NotSeen { chat, by, from, id, seq });
            }
        }
    }

    /// Who of the operators wrote which acknowledged message.
    pub fn acknowledged_of_operators(
        &self,
        chat: ChatId,
    ) -> impl Iterator<Item = (UserId, Seq)> + '_ {
        let all = self.chats.get(&chat).into_iter().flat_map(|known| &known.acknowledged);
        all.filter_map(|(seq, (from, _))| match from {
            Party::User(operator) => Some((*operator, *seq)),
            Party::Customer(_) | Party::System => None,
        })
    }

    /// How many messages were acknowledged, repeats not counted.
    pub fn count(&self) -> u64 {
        self.acknowledged
    }

    /// Notes what a client was told to stand at a position.
    fn stands(
        &mut self,
        chat: ChatId,
        by: Party,
        seq: Seq,
        message: Message,
        found: &mut Violations,
    ) {
        let key = (message.from, message.id.clone());
        let known = self.chats.entry(chat).or_default();
        match known.at.get(&seq) {
            Some(first) if *first == message => return,
            Some(first) => {
                let (first, second) = (first.clone(), message);
                found.add(Violation::Disagreement { chat, seq, first, second, by });
                return;
            }
            None => {}
        }
        known.stands(chat, &key, seq, found);
        let acknowledged = known.acknowledged.get(&seq);
        if let Some(other) = acknowledged.filter(|other| **other != key).cloned() {
            let (from, id) = key;
            found.add(Violation::SeqTaken { chat, from, id, seq, other });
            return;
        }
        if self.sent.get(&key).is_none_or(|(_, text)| *text != message.text) {
            let message = message.clone();
            found.add(Violation::NeverSent { chat, seq, message });
        }
        known.at.insert(seq, message);
    }
}

impl Correspondence {
    /// A message has one position.
    fn stands(&mut self, chat: ChatId, key: &Key, seq: Seq, found: &mut Violations) {
        let first = *self.places.entry(key.clone()).or_insert(seq);
        if first != seq {
            let (from, id) = key.clone();
            found.add(Violation::Doubled { chat, from, id, first, second: seq });
        }
    }

    /// A sender's messages stand in the order of sending: between its neighbours'.
    fn in_order(&mut self, chat: ChatId, key: Key, n: u64, seq: Seq, found: &mut Violations) {
        let (from, id) = key;
        let order = self.order.entry(from).or_default();
        let mut wrong = |earlier: (&CommandId, Seq), later: (&CommandId, Seq)| {
            if earlier.1 >= later.1 {
                found.add(Violation::Reordered {
                    chat,
                    from,
                    earlier: earlier.0.clone(),
                    earlier_seq: earlier.1,
                    later: later.0.clone(),
                    later_seq: later.1,
                });
            }
        };
        if let Some((_, (before, at))) = order.range(..n).next_back() {
            wrong((before, *at), (&id, seq));
        }
        if let Some((_, (after, at))) = order.range(n + 1..).next() {
            wrong((&id, seq), (after, *at));
        }
        order.insert(n, (id, seq));
    }
}
