//! What the operator's screens show: they outlive the operator's lives. A new life is told of it, and
//! takes off what is over at once, by the index and by the chats' own words, before its slots are
//! known. So what a screen shows is true, or is being asked about.

use std::collections::BTreeMap;

use crate::domain::{ChatId, OfferId, Place, QueueId, Timestamp};
use crate::machine::message::{AssignBy, ChatAt};
use crate::storage::OpenChat;

use super::{Gone, Held, Notice, Operator, OperatorEffect, Owed};

/// An offer that screens show at the start of a life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnScreen {
    /// The chat.
    pub chat: ChatId,
    /// The offer.
    pub offer: OfferId,
    /// Its queue.
    pub queue: QueueId,
    /// The chat's row in the index; none when it is not open.
    pub row: Option<OpenChat>,
}

/// An offer on the screens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shown {
    offer: OfferId,
    queue: QueueId,
}

/// The offers on an operator's screens, as the notices say that it was sent; kept from one life to
/// the next. At most one a chat, of those that are offered at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShownOffers(BTreeMap<ChatId, Shown>);

impl ShownOffers {
    /// The screens are sent this.
    pub fn note(&mut self, notice: &Notice) {
        match notice {
            Notice::OfferPresented { chat, offer, queue, .. } => {
                self.0.insert(*chat, Shown { offer: *offer, queue: *queue });
            }
            Notice::OfferWithdrawn { chat, offer, .. } if self.show(*chat, *offer) => {
                self.0.remove(chat);
            }
            Notice::OfferWithdrawn { .. } | Notice::Updated => {}
        }
    }

    /// Whether they show none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a new life is told of them, with what the index knows.
    pub fn for_a_new_life(&self, row: impl Fn(ChatId) -> Option<OpenChat>) -> Vec<OnScreen> {
        let shown = self.0.iter();
        let shown = shown.map(|(chat, shown)| OnScreen {
            chat: *chat,
            offer: shown.offer,
            queue: shown.queue,
            row: row(*chat),
        });
        shown.collect()
    }

    /// Whether they show this offer.
    fn show(&self, chat: ChatId, offer: OfferId) -> bool {
        self.0.get(&chat).is_some_and(|shown| shown.offer == offer)
    }
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Screens {
    shown: ShownOffers,
    /// To be taken off unless something in this step says it better.
    over: Vec<(ChatId, OfferId, Gone)>,
}

impl Screens {
    /// Whether they show this offer.
    pub(super) fn show(&self, chat: ChatId, offer: OfferId) -> bool {
        self.shown.show(chat, offer)
    }
}

impl Operator {
    /// A life begins, and this is on the screens.
    pub(super) fn take_over(&mut self, now: Timestamp, on_screens: Vec<OnScreen>) {
        for OnScreen { chat, offer, queue, row } in on_screens {
            self.screens.shown.0.insert(chat, Shown { offer, queue });
            let place = match row {
                Some(row) if row.moving.is_none() && row.place.is_some() => row.place,
                // Only the chat knows.
                Some(_) => {
                    self.owed.keep(Owed::Ask(chat), now);
                    continue;
                }
                None => None,
            };
            let live = place.as_ref().and_then(Place::offer);
            if live.is_some_and(|live| live.id == offer && live.to.contains(&self.id)) {
                continue;
            }
            let why = match place {
                None | Some(Place::Ended { .. }) => Gone::ChatEnded,
                Some(Place::Assigned { owner, .. }) if owner == self.id => Gone::Accepted,
                Some(Place::Assigned { .. }) => Gone::Taken,
                Some(Place::Waiting | Place::Offered(_)) => Gone::Moved,
            };
            self.screens.over.push((chat, offer, why));
        }
    }

    /// A chat has said where it is, which is no old word.
    pub(super) fn compare_screens(&mut self, at: &ChatAt) {
        let Some(Shown { offer, queue }) = self.screens.shown.0.get(&at.chat).copied() else {
            return;
        };
        let live = at.place.offer();
        if live.is_some_and(|live| live.id == offer && live.to.contains(&self.id)) {
            return;
        }
        let why = match at.place.owner() {
            Some(owner) if owner == self.id => Gone::Accepted,
            Some(_) | None => Gone::by(at, offer, queue),
        };
        self.screens.over.push((at.chat, offer, why));
    }

    /// The index has been read: what is shown and not held is over.
    pub(super) fn compare_with_held(&mut self) {
        for (chat, Shown { offer, .. }) in &self.screens.shown.0 {
            let invited = self.invites.get(chat).is_some_and(|invite| invite.offer == *offer);
            let held = self.slots.get(chat).is_some_and(|slot| match &slot.held {
                Held::Offered { offer: held, .. }
                | Held::Withdrawing { offer: held, .. }
                | Held::Declining { offer: held, .. }
                | Held::Assigning { by: AssignBy::Offer(held, _), .. } => held == offer,
                // Its own word will tell.
                Held::Unsure => true,
                Held::Assigning { .. } | Held::Active => false,
            });
            if !invited && !held && !self.owed.owes(Owed::Ask(*chat)) {
                self.screens.over.push((*chat, *offer, Gone::Moved));
            }
        }
    }

    /// Notes what this step shows, and takes off what is over.
    pub(super) fn renew_screens(&mut self, effects: &mut Vec<OperatorEffect>) {
        for effect in effects.iter() {
            if let OperatorEffect::Show(notice) = effect {
                self.screens.shown.note(notice);
            }
        }
        for (chat, offer, reason) in std::mem::take(&mut self.screens.over) {
            if self.screens.show(chat, offer) {
                let gone = Notice::OfferWithdrawn { chat, offer, reason };
                self.screens.shown.note(&gone);
                effects.push(OperatorEffect::Show(gone));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Reach;
    use crate::machine::fixture::*;

    fn presented(offer: OfferId) -> Notice {
        let (reach, expires_at) = (Reach::Directed, Timestamp(9_000));
        Notice::OfferPresented { chat: CHAT, queue: QUEUE, offer, reach, expires_at }
    }

    #[test]
    fn an_offer_that_is_taken_off_late_leaves_the_one_that_came_after_it() {
        let (mut shown, later) = (ShownOffers::default(), OfferId::from_u128(0xf2));
        shown.note(&presented(OFFER));
        shown.note(&presented(later));
        let gone = |offer| Notice::OfferWithdrawn { chat: CHAT, offer, reason: Gone::Lapsed };
        shown.note(&gone(OFFER));
        let told = shown.for_a_new_life(|_| None);
        assert_eq!(told, [OnScreen { chat: CHAT, offer: later, queue: QUEUE, row: None }]);
        shown.note(&gone(later));
        assert!(shown.is_empty());
    }

    #[test]
    fn a_new_life_is_told_what_the_index_knows_of_what_is_on_the_screens() {
        let mut shown = ShownOffers::default();
        shown.note(&presented(OFFER));
        let row = crate::machine::operator::tests::row(CHAT, Place::Waiting, None);
        let told = shown.for_a_new_life(|chat| (chat == CHAT).then(|| row.clone()));
        assert_eq!(told, [OnScreen { chat: CHAT, offer: OFFER, queue: QUEUE, row: Some(row) }]);
    }
}
