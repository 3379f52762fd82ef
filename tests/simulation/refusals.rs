//! Who refused each chat and when, by the events of its log: who declined it, let a directed offer of it
//! lapse or gave it away, since it had an owner last. What the chat says of it is compared.

use std::collections::BTreeMap;

use switchboard::domain::event::{OfferEnd, PlacedCause};
use switchboard::domain::{ChatEvent, ChatId, OfferId, Reach, Recorded, Timestamp, UserId};
use switchboard::machine::chat::driver::{Action, ChatAction};
use switchboard::machine::message::{ToOperator, ToQueue};

use crate::planted::Planted;
use crate::world::World;

/// What matters of one chat.
#[derive(Debug, Default)]
struct OfChat {
    refused: BTreeMap<UserId, Timestamp>,
    owner: Option<UserId>,
    /// The live directed offer.
    asked: Option<UserId>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Refusals {
    chats: BTreeMap<ChatId, OfChat>,
    /// To whom each directed offer was made.
    directed: BTreeMap<OfferId, UserId>,
}

impl Refusals {
    pub fn appended(&mut self, chat: ChatId, recorded: &Recorded) {
        let of = self.chats.entry(chat).or_default();
        match &recorded.event {
            ChatEvent::Offered { offer, reach: Reach::Directed, to, .. } => {
                of.asked = to.first().copied();
                self.directed.extend(of.asked.map(|who| (*offer, who)));
            }
            ChatEvent::Declined { operator, .. } => {
                of.refused.insert(*operator, recorded.at);
            }
            ChatEvent::OfferEnded { how, .. } => {
                let asked = of.asked.take();
                if let (OfferEnd::Lapsed, Some(asked)) = (how, asked) {
                    of.refused.insert(asked, recorded.at);
                }
            }
            ChatEvent::Assigned { operator, .. } => {
                of.refused.clear();
                (of.owner, of.asked) = (Some(*operator), None);
            }
            ChatEvent::Placed { cause, .. } => {
                of.asked = None;
                let owner = of.owner.take();
                if let (PlacedCause::Transferred { .. }, Some(owner)) = (cause, owner) {
                    of.refused.insert(owner, recorded.at);
                }
            }
            _ => {}
        }
    }

    /// Whether the offer was made to one alone, who held a slot for it.
    pub fn is_directed(&self, offer: OfferId) -> bool {
        self.directed.contains_key(&offer)
    }
}

impl World {
    /// What the chat says of who refused it: all to its queue, to an operator whether it did.
    pub fn says_who_refused(&self, chat: ChatId, action: &Action) {
        let (at, to) = match action {
            Action::Own(ChatAction::ToQueue(_, ToQueue::At(at))) => (at, None),
            Action::Own(ChatAction::ToOperator(operator, ToOperator::At(at))) => {
                (at, Some(*operator))
            }
            _ => return,
        };
        // That one counts by another clock than this check.
        if self.plan.planted == Some(Planted::ClockOfTheChat) {
            return;
        }
        let now = self.now();
        let refused = self.refusals.chats.get(&chat).map(|of| &of.refused);
        let concerned = |who: &UserId| to.is_none_or(|to| to == *who);
        let refused = refused.into_iter().flatten().filter(|(who, _)| concerned(who));
        let refused = refused.map(|(who, at)| (*who, now.min(*at)));
        if let Some(to) = to {
            let in_offer = at.place.offer().map(|offer| offer.to.iter().copied());
            let others = in_offer.into_iter().flatten().find(|who| *who != to);
            assert_eq!(
                others, None,
                "{to:?} hears who else is offered {chat:?} (seed {})",
                self.seed
            );
        }
        let told = at.refused_by.iter().map(|(who, at)| (*who, *at));
        assert!(
            told.eq(refused.clone()),
            "who refused {chat:?}: it says {:?} at {now}, its log {:?} (seed {})",
            at.refused_by,
            refused.collect::<Vec<_>>(),
            self.seed
        );
    }
}
