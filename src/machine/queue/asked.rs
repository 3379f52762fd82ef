//! To whom chats of each visitor are offered, and to whom they were only to be.
//!
//! Invariant: what counts as shown lately was before an operator, or may have been, or is on its way
//! there. An offer of which the chat says that it never came true leaves all as it was.

use crate::domain::{ChatId, Customer, Offer, OfferId, Placement, Timestamp, UserId};

use super::Queue;

/// An operator to whom a chat was to be offered, and that may not have come true.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    customer: Customer,
    /// Where the chat was then. An offer that came true is the next one.
    placement: Placement,
    offer: OfferId,
    to: UserId,
    at: Timestamp,
    /// What was known of the two before.
    before: Option<(ChatId, Timestamp)>,
}

impl Queue {
    /// A chat is to be offered to these. Until it says what became of it they count as if it had been.
    pub(super) fn note_asked(
        &mut self,
        (chat, offer): (ChatId, OfferId),
        to: &[UserId],
        now: Timestamp,
    ) {
        let Some(entry) = self.line.get(chat) else { return };
        let (placement, Some(customer)) = (entry.at.placement, entry.at.customer) else { return };
        let known = self.shown.of(customer);
        let before = |to: &UserId| known.and_then(|known| known.get(to)).copied();
        let note = |to: &UserId| Asked {
            customer,
            placement,
            offer,
            to: *to,
            at: now,
            before: before(to),
        };
        let notes: Vec<Asked> = to.iter().map(note).collect();
        self.asked.insert(chat, notes);
        self.note_shown(chat, to, now, now);
    }

    /// The chat says where it is. If it went on to something else than the offer that was asked for, nobody
    /// was shown that, but for those to whom its `live` offer goes. If it has gone on since then, nobody
    /// knows. Of an offer that came true some may have left already: they were shown it, too.
    pub(super) fn take_back_asked(
        &mut self,
        chat: ChatId,
        placement: Placement,
        live: Option<&Offer>,
        now: Timestamp,
    ) {
        let mut visitor = None;
        for asked in self.asked.remove(&chat).unwrap_or_default() {
            let Asked { customer, to, at, before, .. } = asked;
            let came_true =
                live.is_some_and(|live| live.id == asked.offer || live.to.contains(&to));
            if came_true || placement != asked.placement + 1 {
                continue;
            }
            self.shown.take_back((customer, chat), to, at, before);
            visitor = Some(customer);
            // Another chat may have been asked for since.
            let since = self.asked.values_mut().flatten().filter(|since| since.to == to);
            for since in since.filter(|since| since.before == Some((chat, at))) {
                since.before = before;
            }
        }
        // Others of it may be asked earlier than it seemed.
        let others = visitor.into_iter().flat_map(|customer| self.line.of_visitor(customer));
        for other in others.collect::<Vec<_>>() {
            self.look_again(other, now);
        }
    }

    /// A chat is offered to these, as of a time. Others of its visitor wait until that has passed.
    pub(super) fn note_shown(
        &mut self,
        chat: ChatId,
        to: &[UserId],
        at: Timestamp,
        now: Timestamp,
    ) {
        let Some(customer) = self.line.get(chat).and_then(|entry| entry.at.customer) else {
            return;
        };
        for operator in to {
            self.shown.note((customer, chat), *operator, at);
        }
        let others: Vec<ChatId> =
            self.line.of_visitor(customer).filter(|other| *other != chat).collect();
        for other in others {
            self.look_again(other, now);
        }
    }
}
