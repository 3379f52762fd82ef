//! What a chat answers to an accept, a take or a decline, and what their callers are told.

use crate::domain::operator::Standing;
use crate::domain::{ChatId, CommandId, Party, Place, Timestamp};
use crate::machine::CallId;
use crate::machine::chat::Refusal;
use crate::machine::message::{Asked, AssignBy, AssignedAt, ChatAt};

use super::calls::hold;
use super::{Held, Operator, OperatorAnswer, OperatorEffect, Owed, Terms};

impl Operator {
    pub(super) fn assign_answered(
        &mut self,
        now: Timestamp,
        chat: ChatId,
        (command, by): (Option<CommandId>, AssignBy),
        result: Result<AssignedAt, Refusal>,
        at: Option<ChatAt>,
        effects: &mut Vec<OperatorEffect>,
    ) {
        let answer = self.answer_of(result, at.as_ref());
        let asked = self.slots.get_mut(&chat).is_some_and(|slot| match &slot.held {
            Held::Assigning { command: asked, by: ground, .. } => {
                *asked == command && *ground == by
            }
            Held::Offered { .. }
            | Held::Withdrawing { .. }
            | Held::Declining { .. }
            | Held::Active
            | Held::Unsure => false,
        });
        let answer = match self.take_again(now, chat, (asked, answer.is_err()), at.as_ref()) {
            None => answer,
            Some(Ok(())) => return,
            Some(Err(full)) => Err(full),
        };
        if asked && let Some(slot) = self.slots.get_mut(&chat) {
            let was = std::mem::replace(&mut slot.held, Held::Unsure);
            self.quiet(chat);
            if let Held::Assigning { calls, .. } = was {
                answer_all(calls, answer, effects);
            }
        }
        // The chat's word decides what becomes of the slot.
        match at {
            Some(at) => self.chat_at(now, at, effects),
            None if asked => {
                self.free_slot(chat, now);
            }
            None => {}
        }
    }

    /// A take was refused only because the chat's placement was not known: takes at that placement,
    /// if the queue's limit allows. None when there is nothing to take again.
    fn take_again(
        &mut self,
        now: Timestamp,
        chat: ChatId,
        (asked, refused): (bool, bool),
        at: Option<&ChatAt>,
    ) -> Option<Result<(), Refusal>> {
        let at = at.filter(|_| asked && refused)?;
        // Its own slot counts already. What a chat is heavier than that has to fit, too.
        let room = self.room_without(chat);
        let counted = self.slots.get(&chat)?.weight;
        let full = !room.fits_limit(at.queue, at.weight)
            || (at.weight > counted && !room.fits(None, at.weight));
        let slot = self.slots.get_mut(&chat)?;
        let Held::Assigning { by: AssignBy::Take { placement, .. }, valid_until, .. } =
            &mut slot.held
        else {
            return None;
        };
        match &at.place {
            Place::Waiting | Place::Offered(_)
                if *placement != at.placement && now < *valid_until =>
            {
                if full {
                    return Some(Err(Refusal::NoSlot(Standing::Full)));
                }
                (slot.queue, slot.weight) = (Some(at.queue), at.weight);
                *placement = at.placement;
                self.owed.owe(Owed::Assign(chat), now);
                Some(Ok(()))
            }
            Place::Waiting | Place::Offered(_) | Place::Assigned { .. } | Place::Ended { .. } => {
                None
            }
        }
    }

    /// What the caller is told, given what the chat answered and where it is.
    fn answer_of(
        &self,
        result: Result<AssignedAt, Refusal>,
        at: Option<&ChatAt>,
    ) -> Result<OperatorAnswer, Refusal> {
        match (result, at) {
            (Ok(assigned), _) => Ok(OperatorAnswer::Assigned(assigned)),
            // The id says something else already: its call is answered as such, whoever owns.
            (Err(Refusal::IdReused), _) => Err(Refusal::IdReused),
            // Another command of the same operator has won: the chat is the caller's all the same.
            (Err(_), Some(at)) if at.place.owner() == Some(self.id) => {
                Ok(OperatorAnswer::Assigned(assigned_at(at)))
            }
            (Err(refusal), _) => Err(refusal),
        }
    }

    /// The chat says what became of a command.
    pub(super) fn recalled(
        &mut self,
        chat: ChatId,
        command: &CommandId,
        asked: Asked,
        result: Option<Result<AssignedAt, Refusal>>,
        at: Option<&ChatAt>,
        effects: &mut Vec<OperatorEffect>,
    ) {
        let answer = |any| match (asked, result) {
            (Asked::Take, None) => self.answer_of(Err(self.not_taken(chat, any, at)), at),
            (Asked::Accept(_), None) => self.answer_of(Err(Refusal::OfferGone), at),
            (Asked::Decline(_), None) => Err(Refusal::OfferGone),
            (Asked::Accept(_) | Asked::Take, Some(known)) => self.answer_of(known, at),
            (Asked::Decline(_), Some(known)) => known.map(|_| OperatorAnswer::Done),
        };
        // By whether the caller may take from any queue.
        let (strictly, freely) = (answer(false), answer(true));
        let of_chat = self.recalls.range((chat, CallId::MIN)..=(chat, CallId::MAX));
        let same = of_chat.filter(|(_, of)| of.command == *command && of.asked == asked);
        for (key, any) in same.map(|(key, of)| (*key, of.any)).collect::<Vec<_>>() {
            let answer = if any { freely } else { strictly };
            self.recalls.remove(&key);
            self.owed.settle(Owed::Recall(key.0, key.1));
            let answer = match self.under_way(chat, asked) {
                // The id is new, and what it asks for is being done under another one.
                Some(calls) if result.is_none() => match hold(calls, key.1) {
                    None => continue,
                    Some(refusal) => Err(refusal),
                },
                Some(_) | None => answer,
            };
            effects.push(OperatorEffect::Answer(key.1, answer));
        }
        if let (Asked::Decline(_), Err(refusal)) = (asked, strictly)
            && result.is_some()
        {
            self.decline_refused(chat, command, refusal, effects);
        }
    }

    /// Why a take was not carried out of which the chat knows nothing: the chat is not there to be
    /// taken, or there is no slot for it here.
    fn not_taken(&self, chat: ChatId, any: bool, at: Option<&ChatAt>) -> Refusal {
        let Some(at) = at else { return Refusal::UnknownChat };
        let manual = self.account.queues.get(&at.queue).is_some_and(Terms::is_by_hand);
        let state = at.place.state();
        match &at.place {
            Place::Ended { by, .. } => {
                let visitor_left = matches!(by, Party::Customer(_));
                Refusal::Ended { visitor_left, continued_in: None }
            }
            Place::Assigned { .. } => Refusal::WrongState { state },
            Place::Waiting | Place::Offered(_) if !any && !manual => Refusal::UnknownChat,
            Place::Waiting | Place::Offered(_) if !self.slots.contains_key(&chat) => {
                Refusal::NoSlot(Standing::Full)
            }
            // It is on the way from this very operator, or to it.
            Place::Waiting => Refusal::Unavailable,
            Place::Offered(_) => Refusal::WrongState { state },
        }
    }

    /// Who waits for the same thing, if it is under way.
    fn under_way(&mut self, chat: ChatId, asked: Asked) -> Option<&mut Vec<CallId>> {
        let held = self.slots.get_mut(&chat).map(|slot| &mut slot.held);
        let invite = self.invites.get_mut(&chat).and_then(|invite| {
            let offer = invite.offer;
            invite.declining.as_mut().map(|(_, calls)| (Asked::Decline(offer), calls))
        });
        let (same, calls) = match held {
            Some(Held::Assigning { by: AssignBy::Offer(offer, _), calls, .. }) => {
                (Asked::Accept(*offer), calls)
            }
            Some(Held::Assigning { by: AssignBy::Take { .. }, calls, .. }) => (Asked::Take, calls),
            Some(Held::Declining { offer, calls, .. }) => (Asked::Decline(*offer), calls),
            Some(
                Held::Assigning { by: AssignBy::Transfer(_), .. }
                | Held::Offered { .. }
                | Held::Withdrawing { .. }
                | Held::Active
                | Held::Unsure,
            ) => return None,
            None => invite?,
        };
        (same == asked).then_some(calls)
    }

    /// A decline was refused, for its id was used for something else: the offer stands.
    fn decline_refused(
        &mut self,
        chat: ChatId,
        command: &CommandId,
        refusal: Refusal,
        effects: &mut Vec<OperatorEffect>,
    ) {
        if let Some(slot) = self.slots.get_mut(&chat)
            && matches!(&slot.held, Held::Declining { command: asked, .. } if asked == command)
        {
            let was = std::mem::replace(&mut slot.held, Held::Unsure);
            self.quiet(chat);
            if let Held::Declining { calls, .. } = was {
                answer_all(calls, Err(refusal), effects);
            }
        }
        let invite = self.invites.get(&chat).and_then(|invite| invite.declining.as_ref());
        if invite.is_some_and(|(asked, _)| asked == command)
            && let Some(invite) = self.invites.remove(&chat)
        {
            self.quiet(chat);
            let calls = invite.declining.map(|(_, calls)| calls).unwrap_or_default();
            answer_all(calls, Err(refusal), effects);
        }
    }
}

pub(super) fn assigned_at(at: &ChatAt) -> AssignedAt {
    AssignedAt { seq: at.version, at: at.moved_at }
}

pub(super) fn answer_all(
    calls: Vec<CallId>,
    answer: Result<OperatorAnswer, Refusal>,
    effects: &mut Vec<OperatorEffect>,
) {
    effects.extend(calls.into_iter().map(|call| OperatorEffect::Answer(call, answer)));
}
