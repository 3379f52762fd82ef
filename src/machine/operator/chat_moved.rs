//! A chat says where it is, and the operator corrects itself by it: what it owns, what it is
//! offered, what is gone.

use crate::domain::event::OfferEnd;
use crate::domain::limits::LAST_CLOSED;
use crate::domain::{ChatId, Offer, OfferId, Place, Reach, Timestamp};
use crate::machine::chat::Refusal;
use crate::machine::message::{Asked, AssignBy, ChatAt};

use super::answers::{answer_all, assigned_at};
use super::{
    Gone, Held, Invite, Notice, Operator, OperatorAnswer, OperatorEffect, Owed, Recall, Slot, Stage,
};

impl Operator {
    /// A chat says where it is: true or old.
    pub(super) fn chat_at(
        &mut self,
        now: Timestamp,
        at: ChatAt,
        effects: &mut Vec<OperatorEffect>,
    ) {
        // What takes a slot is in one version of its placement; a `to_all` offer may have several.
        let known = self.slots.get(&at.chat).map(|slot| (slot.placement, 0));
        let invite = self.invites.get(&at.chat);
        let invited = invite.map(|invite| (invite.placement, invite.version));
        let lost = self.lost.at(at.chat);
        let said = (at.placement, at.version);
        if known.max(invited).max(lost).is_some_and(|known| said < known) {
            return;
        }
        self.compare_screens(&at);
        match &at.place {
            Place::Assigned { owner, .. } if *owner == self.id => self.owned(now, &at, effects),
            Place::Offered(offer) if offer.to.contains(&self.id) => {
                let offer = offer.clone();
                self.offered(now, &at, offer, effects);
            }
            Place::Waiting | Place::Offered(_) | Place::Assigned { .. } | Place::Ended { .. } => {
                self.not_mine(now, &at, effects);
            }
        }
    }

    fn owned(&mut self, now: Timestamp, at: &ChatAt, effects: &mut Vec<OperatorEffect>) {
        self.uninvite(at, Some(Gone::Accepted), effects);
        self.keep_no_more(at.chat);
        let was = self.slots.remove(&at.chat);
        let gained = was.as_ref().is_none_or(|slot| slot.held != Held::Active);
        // Nothing here expected the chat: a former life got it, or the word is a late one.
        let unexpected = was.is_none();
        if gained {
            self.quiet(at.chat);
        }
        match was.map(|slot| slot.held) {
            Some(Held::Assigning { calls, by, .. }) => {
                answer_all(calls, Ok(OperatorAnswer::Assigned(assigned_at(at))), effects);
                if let AssignBy::Offer(offer, _) = by {
                    let (chat, reason) = (at.chat, Gone::Accepted);
                    let gone = Notice::OfferWithdrawn { chat, offer, reason };
                    effects.push(OperatorEffect::Show(gone));
                }
            }
            Some(Held::Declining { calls, .. }) => {
                answer_all(calls, Err(Refusal::OfferGone), effects);
            }
            Some(Held::Offered { .. } | Held::Withdrawing { .. } | Held::Active | Held::Unsure)
            | None => {}
        }
        if gained {
            self.record.last_accept = self.record.last_accept.max(Some(at.moved_at));
            self.idle_since = now;
            self.unsaved = true;
            self.answered_an_offer();
        }
        let (queue, placement, weight) = (Some(at.queue), at.placement, at.weight);
        let held = if unexpected { Held::Unsure } else { Held::Active };
        self.slots.insert(at.chat, Slot { queue, placement, weight, held });
    }

    fn offered(
        &mut self,
        now: Timestamp,
        at: &ChatAt,
        offer: Offer,
        effects: &mut Vec<OperatorEffect>,
    ) {
        match offer.reach {
            Reach::Directed => self.offered_directly(now, at, &offer, effects),
            Reach::ToAll => self.invited(now, at, &offer, effects),
        }
    }

    fn offered_directly(
        &mut self,
        now: Timestamp,
        at: &ChatAt,
        offer: &Offer,
        effects: &mut Vec<OperatorEffect>,
    ) {
        let chat = at.chat;
        if self.stage != Stage::Live && self.screens.show(chat, offer.id) {
            // A former life held a slot for it: the index will say so.
            self.owed.settle(Owed::Ask(chat));
            return;
        }
        self.uninvite(at, None, effects);
        self.keep_no_more(chat);
        let slot = self.slots.get(&chat);
        let same = slot.is_some_and(|slot| slot.placement == at.placement);
        match slot.map(|slot| &slot.held) {
            // The answer to an `Assign` comes by itself.
            Some(Held::Assigning { .. }) => return,
            Some(Held::Offered { .. } | Held::Withdrawing { .. } | Held::Declining { .. })
                if same =>
            {
                return;
            }
            // The slot was kept through a restart, or through an `Assign` that was refused.
            Some(Held::Unsure) => {}
            Some(
                Held::Offered { .. }
                | Held::Withdrawing { .. }
                | Held::Declining { .. }
                | Held::Active,
            ) => {
                self.not_mine(now, at, effects);
                if self.release(offer.id).is_none() {
                    self.take_back(now, chat, offer.id);
                    return;
                }
            }
            None => {
                if self.release(offer.id).is_none() {
                    self.take_back(now, chat, offer.id);
                    return;
                }
            }
        }
        self.quiet(chat);
        let (offer_id, expires_at) = (offer.id, offer.expires_at);
        let held = Held::Offered { offer: offer_id, expires_at, since: now, shown: false };
        let (queue, placement, weight) = (Some(at.queue), at.placement, at.weight);
        let slot = Slot { queue, placement, weight, held };
        self.slots.insert(chat, slot);
        self.present(at, offer, effects);
    }

    /// No slot is held for the offer any more: it is taken back.
    fn take_back(&mut self, now: Timestamp, chat: ChatId, offer: OfferId) {
        self.strays.insert(chat, offer);
        self.owed.keep(Owed::Withdraw(chat), now);
    }

    pub(super) fn invited(
        &mut self,
        now: Timestamp,
        at: &ChatAt,
        offer: &Offer,
        effects: &mut Vec<OperatorEffect>,
    ) {
        let chat = at.chat;
        match self.slots.get(&chat).map(|slot| &slot.held) {
            Some(Held::Assigning { .. }) => return,
            Some(
                Held::Offered { .. }
                | Held::Withdrawing { .. }
                | Held::Declining { .. }
                | Held::Active
                | Held::Unsure,
            ) => self.not_mine(now, at, effects),
            None => {}
        }
        let stay = offer.stay(self.id).unwrap_or_default();
        if let Some(invite) = self.invites.get_mut(&chat)
            && (invite.offer, invite.stay) == (offer.id, stay)
        {
            (invite.version, invite.waits) = (at.version, (at.since, at.priority));
            self.rank_kept(chat);
            return;
        }
        self.uninvite(at, None, effects);
        self.quiet(chat);
        let invite = Invite {
            queue: at.queue,
            placement: at.placement,
            weight: at.weight,
            version: at.version,
            offer: offer.id,
            stay,
            expires_at: offer.expires_at,
            since: now,
            room_since: None,
            waits: (at.since, at.priority),
            declining: None,
            withdrawing: false,
        };
        self.invites.insert(chat, invite);
        self.keep_for_invite(now, chat, at.queue);
        self.present(at, offer, effects);
    }

    /// Shows an offer.
    pub(super) fn present(&self, at: &ChatAt, offer: &Offer, effects: &mut Vec<OperatorEffect>) {
        effects.push(OperatorEffect::Show(Notice::OfferPresented {
            chat: at.chat,
            queue: at.queue,
            offer: offer.id,
            reach: offer.reach,
            expires_at: offer.expires_at,
        }));
    }

    /// The chat is neither owned by nor offered to this operator.
    fn not_mine(&mut self, now: Timestamp, at: &ChatAt, effects: &mut Vec<OperatorEffect>) {
        let chat = at.chat;
        self.uninvite(at, None, effects);
        self.keep_if_open(at, self.id);
        self.lost.note(now, chat, (at.placement, at.version));
        // An `Assign` on its way may still land: only its answer frees the slot.
        if self.slots.get(&chat).is_some_and(|s| matches!(s.held, Held::Assigning { .. })) {
            return;
        }
        let Some(slot) = self.free_slot(chat, now) else {
            self.quiet(chat);
            return;
        };
        match slot.held {
            Held::Offered { offer, shown, .. } => {
                let lapsed = at.last_offer == Some((offer, OfferEnd::Lapsed));
                if lapsed && shown && self.is_present() {
                    self.count_lapse();
                }
                let reason = Gone::by(at, offer, slot.queue.unwrap_or(at.queue));
                effects.push(OperatorEffect::Show(Notice::OfferWithdrawn { chat, offer, reason }));
            }
            Held::Withdrawing { offer, reason } => {
                let reason = Gone::given_back(at, reason);
                effects.push(OperatorEffect::Show(Notice::OfferWithdrawn { chat, offer, reason }));
            }
            Held::Declining { offer, calls, .. }
                if at.last_offer == Some((offer, OfferEnd::Declined)) =>
            {
                answer_all(calls, Ok(OperatorAnswer::Done), effects);
            }
            // It ended otherwise, or more has happened since: the chat says what became of the
            // command, which may have been used for something else before.
            Held::Declining { offer, command, calls } => {
                for call in calls {
                    let recall = Recall::of(command.clone(), Asked::Decline(offer), false, now);
                    if let Some(refusal) = self.recall(now, chat, call, recall) {
                        effects.push(OperatorEffect::Answer(call, Err(refusal)));
                    }
                }
            }
            Held::Active => {
                self.record.last_closed.retain(|closed| *closed != chat);
                self.record.last_closed.push_front(chat);
                self.record.last_closed.truncate(LAST_CLOSED);
                self.unsaved = true;
            }
            Held::Assigning { .. } | Held::Unsure => {}
        }
    }

    /// The chat is about to take a slot here: its invitation makes room.
    pub(super) fn drop_invite(&mut self, chat: ChatId, effects: &mut Vec<OperatorEffect>) {
        self.quiet(chat);
        self.keep_no_more(chat);
        let Some(invite) = self.invites.remove(&chat) else { return };
        match invite.declining {
            Some((_, calls)) => answer_all(calls, Err(Refusal::OfferGone), effects),
            None => {
                let (offer, reason) = (invite.offer, Gone::Accepted);
                effects.push(OperatorEffect::Show(Notice::OfferWithdrawn { chat, offer, reason }));
            }
        }
    }

    /// The chat's invitation is over here; why is seen by where it is, unless it is known better.
    fn uninvite(&mut self, at: &ChatAt, why: Option<Gone>, effects: &mut Vec<OperatorEffect>) {
        let chat = at.chat;
        let Some(invite) = self.invites.remove(&chat) else {
            return;
        };
        self.quiet(chat);
        match invite.declining {
            Some((_, calls)) => answer_all(calls, Ok(OperatorAnswer::Done), effects),
            None => {
                let offer = invite.offer;
                let reason = match why {
                    Some(why) => why,
                    None if invite.withdrawing => Gone::given_back(at, self.leaving()),
                    None => Gone::by(at, offer, invite.queue),
                };
                effects.push(OperatorEffect::Show(Notice::OfferWithdrawn { chat, offer, reason }));
            }
        }
    }
}
