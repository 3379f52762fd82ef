//! What an operator says about an offer counts for the stay in which it said it: a late word of an
//! earlier one takes no later one out of the offer, and gets no chat by it. Counted by the logs and by
//! what operators said.

use std::collections::BTreeSet;

use switchboard::domain::event::{AssignedHow, WithdrawReason};
use switchboard::domain::{ChatEvent, ChatId, OfferId, Stay, UserId};
use switchboard::machine::chat::ChatInput;
use switchboard::machine::message::{AssignBy, ToChat};
use switchboard::machine::operator::OperatorEffect;

use crate::planted::Planted;
use crate::world::{Happening, World};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    Withdraw,
    Decline,
    Accept,
}

type Said = (ChatId, UserId, OfferId, Stay, Word);

/// All that operators said, as they said it.
#[derive(Debug, Default)]
pub struct Stays(BTreeSet<Said>);

impl Stays {
    /// An operator says something to a chat.
    pub fn said(&mut self, effects: &[OperatorEffect]) {
        for effect in effects {
            if let OperatorEffect::ToChat(chat, said) = effect {
                self.0.extend(word(*chat, said));
            }
        }
    }

    /// By this event the operator left the offer in this stay, or got the chat by it.
    pub fn left(&self, chat: ChatId, operator: UserId, stay: Stay, event: &ChatEvent, seed: u64) {
        let (offer, word) = match event {
            ChatEvent::Declined { offer, .. } => (offer, Word::Decline),
            ChatEvent::OfferNarrowed { offer, reason: WithdrawReason::NotReady, .. } => {
                (offer, Word::Withdraw)
            }
            ChatEvent::Assigned { how: AssignedHow::Accepted { offer }, .. } => {
                (offer, Word::Accept)
            }
            _ => return,
        };
        assert!(
            self.0.contains(&(chat, operator, *offer, stay, word)),
            "{operator:?} never said {word:?} of {chat:?} in its stay {stay}: {event:?} (seed {seed})"
        );
    }
}

fn word(chat: ChatId, said: &ToChat) -> Option<Said> {
    Some(match said {
        ToChat::Withdraw { offer, operator, stay, .. } => {
            (chat, *operator, *offer, *stay, Word::Withdraw)
        }
        ToChat::Decline { offer, operator, stay, .. } => {
            (chat, *operator, *offer, *stay, Word::Decline)
        }
        ToChat::Assign { operator, by: AssignBy::Offer(offer, stay), .. } => {
            (chat, *operator, *offer, *stay, Word::Accept)
        }
        _ => return None,
    })
}

impl World {
    /// The message as it is without stays: each counts for the present one.
    pub fn without_stays(&self, mut what: Happening) -> Happening {
        if self.plan.planted == Some(Planted::MixesStays)
            && let Happening::ToChat(chat, ChatInput::Said(said)) = &mut what
            && let ToChat::Withdraw { operator, stay, .. }
            | ToChat::Decline { operator, stay, .. }
            | ToChat::Assign { operator, by: AssignBy::Offer(_, stay), .. } = said
        {
            let offer = self.checker.folds.get(chat).and_then(|fold| fold.place()?.offer());
            *stay = offer.and_then(|offer| offer.stay(*operator)).unwrap_or(*stay);
        }
        what
    }
}
