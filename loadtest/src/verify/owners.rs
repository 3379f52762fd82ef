//! Owners: at every position of a chat's log at most one, the same for everybody.
//!
//! Two sources are held against each other. What clients are told of a chat's owner, position by
//! position, must agree. What each operator is told of itself makes tenures, from a position to
//! before another; tenures of one chat must not overlap, and each must begin where the chat says.

use std::collections::{BTreeMap, BTreeSet};

use switchboard::domain::{ChatId, Party, Seq, UserId};

use super::{Violation, Violations};

/// What is known of all chats' owners.
#[derive(Debug, Clone, Default)]
pub struct Owners {
    chats: BTreeMap<ChatId, Ownership>,
}

/// What is known of one chat's.
#[derive(Debug, Clone, Default)]
struct Ownership {
    /// From each position on, as clients were told.
    told: BTreeMap<Seq, Option<UserId>>,
    /// As the operators were told of themselves.
    tenures: Vec<Tenure>,
    /// Overlaps that were found already, by the tenures' places.
    overlaps: BTreeSet<(usize, usize)>,
}

/// An operator's ownership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tenure {
    operator: UserId,
    from: Seq,
    to: Option<Seq>,
}

impl Owners {
    /// Notes what a client was told.
    pub fn owner_seen(
        &mut self,
        chat: ChatId,
        by: Party,
        seq: Seq,
        owner: Option<UserId>,
        found: &mut Violations,
    ) {
        let known = self.chats.entry(chat).or_default();
        let first = *known.told.entry(seq).or_insert(owner);
        if first != owner {
            let second = owner;
            found.add(Violation::OwnersDisagree { chat, seq, first, second, by });
        }
    }

    /// Notes that an operator was told to own a chat. Told again of the same, nothing changes.
    pub fn gained(&mut self, chat: ChatId, operator: UserId, seq: Seq, found: &mut Violations) {
        let known = self.chats.entry(chat).or_default();
        let again = |tenure: &Tenure| tenure.operator == operator && tenure.from == seq;
        if !known.tenures.iter().any(again) {
            known.tenures.push(Tenure { operator, from: seq, to: None });
            known.overlapping(chat, false, found);
        }
    }

    /// Notes that an operator was told to own a chat no more. Of a tenure that was never told,
    /// there is nothing to note.
    pub fn lost(&mut self, chat: ChatId, operator: UserId, seq: Seq, found: &mut Violations) {
        let known = self.chats.entry(chat).or_default();
        let own = |tenure: &&mut Tenure| {
            tenure.operator == operator && tenure.to.is_none() && tenure.from < seq
        };
        if let Some(tenure) = known.tenures.iter_mut().find(own) {
            tenure.to = Some(seq);
            known.overlapping(chat, false, found);
        }
    }

    /// A tenure whose end nobody told never ended; each begins where the chat says so.
    pub fn finish(&mut self, found: &mut Violations) {
        for (chat, known) in &mut self.chats {
            known.overlapping(*chat, true, found);
            for Tenure { operator, from, .. } in &known.tenures {
                let owner = known.told.get(from).copied();
                if let Some(owner) = owner.filter(|owner| *owner != Some(*operator)) {
                    let (chat, operator, seq) = (*chat, *operator, *from);
                    found.add(Violation::NotTheOwner { chat, operator, seq, owner });
                }
            }
        }
    }

    /// Who owned a chat, and before which position that ended for the last time.
    pub fn until(&self, chat: ChatId) -> impl Iterator<Item = (UserId, Seq)> {
        let mut until: BTreeMap<UserId, Seq> = BTreeMap::new();
        for tenure in self.chats.get(&chat).into_iter().flat_map(|known| &known.tenures) {
            let end = until.entry(tenure.operator).or_default();
            *end = (*end).max(tenure.to.unwrap_or(Seq::MAX));
        }
        until.into_iter()
    }

    /// Checks that an operator owned the chat where its message stands. A chat of whose owners no
    /// client was told anything gives no answer.
    pub fn may_write(&self, chat: ChatId, operator: UserId, seq: Seq, found: &mut Violations) {
        let Some(known) = self.chats.get(&chat).filter(|known| !known.told.is_empty()) else {
            return;
        };
        let owner = known.told.range(..=seq).next_back().and_then(|(_, owner)| *owner);
        if owner != Some(operator) {
            found.add(Violation::WroteWithoutOwning { chat, operator, seq, owner });
        }
    }
}

impl Ownership {
    /// Tells each pair of tenures that certainly overlaps, once; with `final_news`, a tenure
    /// without an end reaches to the end.
    fn overlapping(&mut self, chat: ChatId, final_news: bool, found: &mut Violations) {
        for (i, a) in self.tenures.iter().enumerate() {
            for (j, b) in self.tenures.iter().enumerate() {
                let earlier = (a.from, i) < (b.from, j);
                let lasts = match a.to {
                    Some(to) => to > b.from,
                    None => final_news || a.from == b.from,
                };
                if earlier && lasts && self.overlaps.insert((i, j)) {
                    found.add(Violation::TwoOwners {
                        chat,
                        first: a.operator,
                        first_from: a.from,
                        first_to: a.to,
                        second: b.operator,
                        second_from: b.from,
                    });
                }
            }
        }
    }
}
