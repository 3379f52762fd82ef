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

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Screens {
    shown: BTreeMap<ChatId, (OfferId, QueueId)>,
    /// To be taken off unless something in this step says it better.
    over: Vec<(ChatId, OfferId, Gone)>,
}

impl Screens {
    /// Whether they show this offer.
    pub(super) fn show(&self, chat: ChatId, offer: OfferId) -> bool {
        self.shown.get(&chat).is_some_and(|(shown, _)| *shown == offer)
    }
}

impl Operator {
    /// A life begins, and this is on the screens.
    pub(super) fn take_over(&mut self, now: Timestamp, on_screens: Vec<OnScreen>) {
        for OnScreen { chat, offer, queue, row } in on_screens {
            self.screens.shown.insert(chat, (offer, queue));
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
        let Some((offer, queue)) = self.screens.shown.get(&at.chat).copied() else { return };
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
        for (chat, (offer, _)) in &self.screens.shown {
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
            match effect {
                OperatorEffect::Show(Notice::OfferPresented { chat, offer, queue, .. }) => {
                    self.screens.shown.insert(*chat, (*offer, *queue));
                }
                OperatorEffect::Show(Notice::OfferWithdrawn { chat, offer, .. })
                    if self.screens.show(*chat, *offer) =>
                {
                    self.screens.shown.remove(chat);
                }
                OperatorEffect::Show(Notice::OfferWithdrawn { .. } | Notice::Updated)
                | OperatorEffect::ToChat(..)
                | OperatorEffect::ToQueue(..)
                | OperatorEffect::Answer(..)
                | OperatorEffect::Save(_)
                | OperatorEffect::ReadIndex
                | OperatorEffect::Probe(..) => {}
            }
        }
        for (chat, offer, reason) in std::mem::take(&mut self.screens.over) {
            if self.screens.show(chat, offer) {
                self.screens.shown.remove(&chat);
                let gone = Notice::OfferWithdrawn { chat, offer, reason };
                effects.push(OperatorEffect::Show(gone));
            }
        }
    }
}
