//! Who has yet to hear where the chat is. Lost in a crash; then everybody concerned is told again.
//! A chat that goes to sleep owes nothing, and wakes in silence.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{Place, Placement, Priority, QueueId, Seq, Timestamp, UserId};
use crate::machine::driver::{self, Outbox};
use crate::machine::message::{Peer, ToChat, ToOperator};
use crate::machine::repeat::Repeater;

use super::driver::ChatAction;
use super::fold::Chat;

/// Something that a chat says until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owed {
    /// Where the chat is.
    At(Peer),
    /// To the target of the transfer: hold a slot.
    Reserve(UserId),
}

/// What a place concerned before an event, to be compared with after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Before {
    placement: Placement,
    version: Seq,
    priority: Priority,
    queue: Option<QueueId>,
    place: Option<Place>,
    target: Option<UserId>,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Notices {
    repeater: Repeater<Owed>,
    /// The version that each peer has to hear of at least.
    versions: BTreeMap<Peer, Seq>,
}

impl Notices {
    /// The peer has heard of that version. When it believes in an old place, it is told again
    /// until it has heard better: the word that misled it may have been a late one.
    pub(super) fn seen(
        &mut self,
        peer: Peer,
        (placement, version): (Placement, Seq),
        chat: &Chat,
        now: Timestamp,
    ) {
        if placement < chat.placement {
            self.owe(peer, chat, now);
        }
        if self.versions.get(&peer).is_some_and(|owed| version >= *owed) {
            self.versions.remove(&peer);
            if self.versions.is_empty() {
                self.versions = BTreeMap::new();
            }
            self.repeater.settle(Owed::At(peer));
        }
    }

    /// Whether the peer has yet to hear where the chat is.
    pub(super) fn owes(&self, peer: Peer) -> bool {
        self.versions.contains_key(&peer)
    }

    fn owe(&mut self, peer: Peer, chat: &Chat, now: Timestamp) {
        self.versions.insert(peer, chat.version);
        self.repeater.owe(Owed::At(peer), now);
    }
}

impl driver::Notices<Chat> for Notices {
    type Before = Before;

    fn before(chat: &Chat) -> Before {
        Before {
            placement: chat.placement,
            version: chat.version,
            priority: chat.profile().priority,
            queue: chat.queue,
            place: chat.place.clone(),
            target: chat.transfer.as_ref().map(|transfer| transfer.to),
        }
    }

    /// After a failure or in a new process: whoever is concerned may have missed the last words of
    /// the former life.
    fn resume(&mut self, chat: &Chat, now: Timestamp) {
        for peer in chat.concerned() {
            self.owe(peer, chat, now);
        }
        if let Some(transfer) = chat.transfer() {
            self.repeater.owe(Owed::Reserve(transfer.to), now);
        }
    }

    /// After events: tells those whom the change concerns.
    fn changed(&mut self, before: &Before, chat: &Chat, now: Timestamp) {
        let after = Self::before(chat);
        if before.version != after.version {
            let same = before.placement == after.placement && before.priority == after.priority;
            let operators = |before: &Before| -> BTreeSet<UserId> {
                before.place.iter().flat_map(Place::operators).collect()
            };
            let (were, are) = (operators(before), operators(&after));
            let operators: Vec<UserId> = if same {
                were.symmetric_difference(&are).copied().collect()
            } else {
                were.union(&are).copied().collect()
            };
            let queues = BTreeSet::from([before.queue, after.queue]);
            for peer in queues.into_iter().flatten().map(Peer::Queue) {
                self.owe(peer, chat, now);
            }
            for peer in operators.into_iter().map(Peer::Operator) {
                self.owe(peer, chat, now);
            }
        }
        if before.target != after.target {
            if let Some(target) = before.target {
                self.repeater.settle(Owed::Reserve(target));
            }
            if let Some(target) = after.target {
                self.repeater.owe(Owed::Reserve(target), now);
            }
        }
    }

    fn heard(&mut self, chat: &Chat, said: &ToChat, now: Timestamp) -> bool {
        let ToChat::Seen { peer, placement, version } = said else { return false };
        self.seen(*peer, (*placement, *version), chat, now);
        true
    }

    fn say_due(&mut self, chat: &Chat, now: Timestamp, out: &mut Outbox<'_, Chat>) {
        for owed in self.repeater.take_due(now) {
            match (owed, chat.transfer()) {
                (Owed::At(peer), _) => chat.tell(peer, now, out),
                (Owed::Reserve(target), Some(transfer)) if transfer.to == target => {
                    let Some(queue) = chat.queue else {
                        continue;
                    };
                    let said = ToOperator::ReserveTransfer {
                        chat: chat.id(),
                        queue,
                        weight: chat.weight,
                        reservation: transfer.reservation,
                        by: transfer.by,
                        expires_at: transfer.expires_at,
                    };
                    out.push(ChatAction::ToOperator(target, said));
                }
                (Owed::Reserve(_), _) => {}
            }
        }
    }

    fn next(&self) -> Option<Timestamp> {
        self.repeater.next()
    }

    fn is_empty(&self) -> bool {
        self.repeater.is_empty()
    }
}
