//! What an operator's clients ask for.
//!
//! An accept, a decline or a take is answered only by the chat. What this life knows nothing of
//! may have been done in a former one: the chat is asked what became of the command, so that a
//! repeat gets its first answer.

use crate::domain::limits::{ASSIGN_LIMIT_MS, CALLS_HELD_MAX};
use crate::domain::operator::Standing;
use crate::domain::{ChatId, CommandId, OfferId, Status, Timestamp, Weight};
use crate::machine::CallId;
use crate::machine::chat::Refusal;
use crate::machine::message::{Asked, AssignBy};

use super::slots::DIRECTED_STAY;
use super::{
    Gone, Held, Notice, Operator, OperatorAnswer, OperatorCall, OperatorEffect, Owed, Recall, Slot,
};

impl Operator {
    pub(super) fn on_call(
        &mut self,
        now: Timestamp,
        call: CallId,
        wanted: OperatorCall,
        effects: &mut Vec<OperatorEffect>,
    ) {
        if !self.is_live() && !matches!(wanted, OperatorCall::SetStatus(_)) {
            effects.push(OperatorEffect::Answer(call, Err(Refusal::Unavailable)));
            return;
        }
        let refused = match wanted {
            OperatorCall::SetStatus(status) => self.choose_status(call, status),
            OperatorCall::Shown { chat, offer } => {
                self.shown(chat, offer);
                effects.push(OperatorEffect::Answer(call, Ok(OperatorAnswer::Done)));
                None
            }
            OperatorCall::Accept { chat, offer, command } => {
                self.accept(now, call, chat, offer, command, effects)
            }
            OperatorCall::Decline { chat, offer, command } => {
                self.decline(now, call, chat, offer, command, effects)
            }
            OperatorCall::Take { chat, command, chat_administrator } => {
                self.take(now, call, chat, command, chat_administrator, effects)
            }
        };
        effects.extend(refused.map(|refusal| OperatorEffect::Answer(call, Err(refusal))));
    }

    fn choose_status(&mut self, call: CallId, status: Status) -> Option<Refusal> {
        if !self.account.active {
            return Some(Refusal::NoSlot(Standing::Offline));
        }
        let (chosen, calls) = self.chosen.get_or_insert((status.clone(), Vec::new()));
        // The latest word counts; who asked before gets the same answer.
        *chosen = status;
        hold(calls, call)
    }

    fn shown(&mut self, chat: ChatId, offer: OfferId) {
        if let Some(Slot { held: Held::Offered { offer: live, shown, .. }, .. }) =
            self.slots.get_mut(&chat)
        {
            *shown |= *live == offer;
        }
    }

    fn accept(
        &mut self,
        now: Timestamp,
        call: CallId,
        chat: ChatId,
        offer: OfferId,
        command: CommandId,
        effects: &mut Vec<OperatorEffect>,
    ) -> Option<Refusal> {
        let fits = self.fits_beside_its_own(chat);
        if let Some(slot) = self.slots.get_mut(&chat) {
            match &mut slot.held {
                Held::Offered { offer: live, .. } | Held::Withdrawing { offer: live, .. }
                    if *live == offer && !fits =>
                {
                    return Some(Refusal::NoSlot(Standing::Full));
                }
                Held::Offered { offer: live, .. } if *live == offer => {
                    let by = AssignBy::Offer(offer, DIRECTED_STAY);
                    slot.held = assigning(by, command, call, now);
                    self.owed.settle(Owed::Ask(chat));
                    self.owed.owe(Owed::Assign(chat), now);
                    return None;
                }
                Held::Assigning { by: AssignBy::Offer(live, _), command: asked, calls, .. }
                    if *live == offer && asked.as_ref() == Some(&command) =>
                {
                    return hold(calls, call);
                }
                Held::Withdrawing { offer: live, .. } | Held::Declining { offer: live, .. }
                    if *live == offer =>
                {
                    return Some(Refusal::OfferGone);
                }
                Held::Offered { .. }
                | Held::Assigning { .. }
                | Held::Withdrawing { .. }
                | Held::Declining { .. }
                | Held::Active
                | Held::Unsure => {}
            }
        }
        let invited = self.invites.get(&chat).filter(|invite| invite.offer == offer).cloned();
        let Some(invite) = invited else {
            return self.recall(
                now,
                chat,
                call,
                Recall::of(command, Asked::Accept(offer), false, now),
            );
        };
        if !invite.is_open() {
            return Some(Refusal::OfferGone);
        }
        if !self.room().fits(Some(invite.queue), invite.weight) {
            return Some(Refusal::NoSlot(Standing::Full));
        }
        // The offer stays with the chat; here it becomes a slot.
        self.quiet(chat);
        self.invites.remove(&chat);
        self.keep_no_more(chat);
        let reason = Gone::Accepted;
        effects.push(OperatorEffect::Show(Notice::OfferWithdrawn { chat, offer, reason }));
        let held = assigning(AssignBy::Offer(offer, invite.stay), command, call, now);
        let (queue, placement, weight) = (Some(invite.queue), invite.placement, invite.weight);
        let slot = Slot { queue, placement, weight, held };
        self.slots.insert(chat, slot);
        self.owed.owe(Owed::Assign(chat), now);
        None
    }

    fn decline(
        &mut self,
        now: Timestamp,
        call: CallId,
        chat: ChatId,
        offer: OfferId,
        command: CommandId,
        effects: &mut Vec<OperatorEffect>,
    ) -> Option<Refusal> {
        if let Some(slot) = self.slots.get_mut(&chat) {
            match &mut slot.held {
                Held::Offered { offer: live, .. } if *live == offer => {
                    slot.held = Held::Declining { offer, command, calls: vec![call] };
                    self.owed.settle(Owed::Ask(chat));
                    self.owed.owe(Owed::Decline(chat), now);
                    self.answered_an_offer();
                    let reason = Gone::Declined;
                    let gone = Notice::OfferWithdrawn { chat, offer, reason };
                    effects.push(OperatorEffect::Show(gone));
                    return None;
                }
                Held::Declining { offer: live, command: asked, calls }
                    if *live == offer && *asked == command =>
                {
                    return hold(calls, call);
                }
                Held::Assigning { by: AssignBy::Offer(live, _), .. }
                | Held::Withdrawing { offer: live, .. }
                    if *live == offer =>
                {
                    return Some(Refusal::OfferGone);
                }
                Held::Offered { .. }
                | Held::Assigning { .. }
                | Held::Withdrawing { .. }
                | Held::Declining { .. }
                | Held::Active
                | Held::Unsure => {}
            }
        }
        match self.invites.get_mut(&chat).filter(|invite| invite.offer == offer) {
            Some(invite) => match &mut invite.declining {
                Some((asked, calls)) if *asked == command => return hold(calls, call),
                Some(_) => {
                    return self.recall(
                        now,
                        chat,
                        call,
                        Recall::of(command, Asked::Decline(offer), false, now),
                    );
                }
                None if invite.withdrawing => return Some(Refusal::OfferGone),
                None => {
                    invite.declining = Some((command, vec![call]));
                    self.pass_by(chat, now);
                    self.owed.settle(Owed::Ask(chat));
                    self.owed.owe(Owed::Decline(chat), now);
                    let reason = Gone::Declined;
                    let gone = Notice::OfferWithdrawn { chat, offer, reason };
                    effects.push(OperatorEffect::Show(gone));
                }
            },
            None => {
                return self.recall(
                    now,
                    chat,
                    call,
                    Recall::of(command, Asked::Decline(offer), false, now),
                );
            }
        }
        None
    }

    fn take(
        &mut self,
        now: Timestamp,
        call: CallId,
        chat: ChatId,
        command: CommandId,
        any: bool,
        effects: &mut Vec<OperatorEffect>,
    ) -> Option<Refusal> {
        match self.slots.get_mut(&chat).map(|slot| &mut slot.held) {
            Some(Held::Assigning { by: AssignBy::Take { .. }, command: asked, calls, .. })
                if asked.as_ref() == Some(&command) =>
            {
                return hold(calls, call);
            }
            Some(
                Held::Offered { .. }
                | Held::Withdrawing { .. }
                | Held::Declining { .. }
                | Held::Assigning { .. }
                | Held::Active
                | Held::Unsure,
            ) => {
                return self.recall(now, chat, call, Recall::of(command, Asked::Take, any, now));
            }
            None => {}
        }
        if !self.account.active || self.record.status == Status::Offline {
            return Some(Refusal::NoSlot(Standing::Offline));
        }
        // Until the chat says what it is, it is one like most.
        let weight = Weight::default();
        if !self.room().fits(None, weight) {
            // A repeat of a take that succeeded finds its own chat in the way.
            return self.recall(now, chat, call, Recall::of(command, Asked::Take, any, now));
        }
        let manual = self.account.queues.iter().filter(|(_, terms)| terms.is_by_hand());
        let queues = manual.map(|(queue, _)| *queue).collect();
        let held = assigning(AssignBy::Take { placement: 0, queues, any }, command, call, now);
        self.drop_invite(chat, effects);
        self.slots.insert(chat, Slot { queue: None, placement: 0, weight, held });
        self.owed.owe(Owed::Assign(chat), now);
        None
    }

    /// Asks the chat what became of a command of which this life knows nothing. Also when the same
    /// is under way under another id: that id may have been used for something else before.
    pub(super) fn recall(
        &mut self,
        now: Timestamp,
        chat: ChatId,
        call: CallId,
        recall: Recall,
    ) -> Option<Refusal> {
        if self.recalls.len() >= CALLS_HELD_MAX {
            return Some(Refusal::Unavailable);
        }
        self.recalls.insert((chat, call), recall);
        self.owed.owe(Owed::Recall(chat, call), now);
        None
    }

    /// Chats that do not say what became of a command are asked no longer.
    pub(super) fn expire_recalls(&mut self, now: Timestamp, effects: &mut Vec<OperatorEffect>) {
        let over = self.recalls.iter().filter(|(_, recall)| now >= recall.until);
        for (chat, call) in over.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.recalls.remove(&(chat, call));
            self.owed.settle(Owed::Recall(chat, call));
            effects.push(OperatorEffect::Answer(call, Err(Refusal::Unavailable)));
        }
    }

    /// An offer was answered: lapses are no longer in a row.
    pub(super) fn answered_an_offer(&mut self) {
        if self.record.lapses_in_row > 0 {
            self.record.lapses_in_row = 0;
            self.unsaved = true;
        }
    }
}

/// Lets a call wait for an answer that is under way.
pub(super) fn hold(calls: &mut Vec<CallId>, call: CallId) -> Option<Refusal> {
    if calls.len() >= CALLS_HELD_MAX {
        return Some(Refusal::Unavailable);
    }
    calls.push(call);
    None
}

fn assigning(by: AssignBy, command: CommandId, call: CallId, now: Timestamp) -> Held {
    let valid_until = now.plus_ms(ASSIGN_LIMIT_MS);
    Held::Assigning { by, command: Some(command), valid_until, calls: vec![call] }
}
