//! What chats and queues say to an operator.

use std::sync::Arc;

use crate::domain::event::OfferEnd;
use crate::domain::limits::{ASSIGN_LIMIT_MS, LAST_CLOSED};
use crate::domain::operator::Standing;
use crate::domain::{ChatId, CommandId, Offer, OfferId, Place, QueueId, Reach, Timestamp};
use crate::machine::CallId;
use crate::machine::chat::Refusal;
use crate::machine::message::{AssignBy, AssignedAt, ChatAt, Peer, ToChat, ToOperator, ToQueue};
use crate::storage::OpenChat;

use super::{
    Gone, Held, Invite, Notice, Operator, OperatorAnswer, OperatorEffect, Owed, Reservation, Slot,
    Stage,
};

impl Operator {
    pub(super) fn on_said(
        &mut self,
        now: Timestamp,
        said: ToOperator,
        effects: &mut Vec<OperatorEffect>,
    ) {
        match said {
            ToOperator::At(at) => {
                let peer = Peer::Operator(self.id);
                let (placement, version) = (at.placement, at.version);
                let seen = ToChat::Seen { peer, placement, version };
                effects.push(OperatorEffect::ToChat(at.chat, seen));
                self.chat_at(now, at, effects);
            }
            ToOperator::AssignAnswer { command, by, result, at, chat } => {
                self.assign_answered(now, chat, (command, by), result, at, effects);
            }
            ToOperator::Recalled { chat, command, result, at } => {
                let result = result.unwrap_or(Err(Refusal::OfferGone));
                let answer = self.answer_of(result, at.as_ref());
                self.answer_recalls(chat, &command, answer, effects);
                self.decline_refused(chat, &command, answer, effects);
                if let Some(at) = at {
                    self.chat_at(now, at, effects);
                }
            }
            ToOperator::Reserve { queue, offer, chat, rank, expires_at } => {
                let result = self.on_reserve(now, queue, (offer, chat, rank), expires_at);
                let state = self.state(queue, now);
                let answer = ToQueue::ReserveAnswer { offer, chat, result, state };
                effects.push(OperatorEffect::ToQueue(queue, answer));
            }
            ToOperator::Release { offer } => {
                if self.release(offer).is_some() {
                    self.wants_pull = true;
                }
            }
            ToOperator::ReserveTransfer { chat, queue, reservation, expires_at, .. } => {
                self.on_transfer(now, chat, queue, reservation, expires_at, effects);
            }
            ToOperator::Best { queue, pull, best } => self.quoted(now, queue, pull, best),
            ToOperator::GiveAnswer { offer, chat } => match chat {
                Some(_) => {
                    self.owed.settle(Owed::Give(offer));
                }
                None => {
                    if self.release(offer).is_some() {
                        self.wants_pull = true;
                    }
                }
            },
            ToOperator::StateSeen { queue, known: (life, version) } => {
                if life == self.life && version >= self.changed_version {
                    self.owed.settle(Owed::State(queue));
                }
            }
            ToOperator::AskState { queue } => {
                let state = self.state(queue, now);
                effects.push(OperatorEffect::ToQueue(queue, ToQueue::State(state)));
            }
        }
    }

    fn on_reserve(
        &mut self,
        now: Timestamp,
        queue: QueueId,
        (offer, chat, rank): (OfferId, ChatId, i64),
        expires_at: Timestamp,
    ) -> Result<(), Standing> {
        let live = self.slots.get(&chat).is_some_and(
            |slot| matches!(slot.held, Held::Offered { offer: live, .. } if live == offer),
        );
        if live || self.reserved.contains_key(&offer) {
            return Ok(());
        }
        if !self.account.queues.contains_key(&queue) {
            return Err(Standing::NotMember);
        }
        match self.standing() {
            Standing::Free if now >= expires_at => Err(Standing::Choosing),
            Standing::Free if self.make_room(queue, rank) => {
                self.reserve(offer, Reservation { queue, expires_at, given_for: None });
                Ok(())
            }
            Standing::Free if self.free_in(queue) > 0 => Err(Standing::Kept),
            Standing::Free => Err(Standing::Full),
            standing => Err(standing),
        }
    }

    /// A chat is to be transferred here: takes a slot and sends the `Assign` at once.
    fn on_transfer(
        &mut self,
        now: Timestamp,
        chat: ChatId,
        queue: QueueId,
        reservation: OfferId,
        expires_at: Timestamp,
        effects: &mut Vec<OperatorEffect>,
    ) {
        if self.slots.get(&chat).is_some_and(|slot| slot.is_transfer(reservation)) {
            self.owed.owe(Owed::Assign(chat), now);
            return;
        }
        let standing = match self.standing() {
            // In a pull there may still be room: the slots are counted here, not there.
            Standing::Choosing if self.is_live() && self.free() > 0 => Standing::Free,
            standing => standing,
        };
        let busy = self.slots.contains_key(&chat);
        if standing != Standing::Free || self.free_in(queue) == 0 || busy || now >= expires_at {
            let standing = match standing {
                Standing::Free if self.free_in(queue) == 0 => Standing::Full,
                Standing::Free => Standing::Choosing,
                standing => standing,
            };
            let refused = ToChat::ReserveRefused { reservation, standing };
            effects.push(OperatorEffect::ToChat(chat, refused));
            return;
        }
        let held = Held::Assigning {
            by: AssignBy::Transfer(reservation),
            command: None,
            valid_until: now.plus_ms(ASSIGN_LIMIT_MS),
            calls: Vec::new(),
        };
        self.drop_invite(chat, effects);
        self.slots.insert(chat, Slot { queue: Some(queue), placement: 0, held });
        self.owed.owe(Owed::Assign(chat), now);
    }

    fn assign_answered(
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
        let full = self.free_in(at.queue) == 0 && {
            // Its own slot counts already, whether its queue was known or not.
            let limit = self.account.per_operator_limits.get(&at.queue);
            let of_queue = |slot: &&Slot| slot.queue.is_none_or(|known| known == at.queue);
            let taken = self.slots.values().filter(of_queue).count() as u32;
            let reserved = self.reserved.values().filter(|held| held.queue == at.queue).count();
            limit.is_some_and(|limit| taken + reserved as u32 > *limit)
        };
        let slot = self.slots.get_mut(&chat)?;
        match (&at.place, &mut slot.held) {
            (
                Place::Waiting | Place::Offered(_),
                Held::Assigning { by: AssignBy::Take { placement, .. }, valid_until, .. },
            ) if *placement != at.placement && now < *valid_until => {
                if full {
                    return Some(Err(Refusal::NoSlot(Standing::Full)));
                }
                slot.queue = Some(at.queue);
                *placement = at.placement;
                self.owed.owe(Owed::Assign(chat), now);
                Some(Ok(()))
            }
            _ => None,
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
            // Another command of the same operator has won: the chat is the caller's all the same.
            (Err(_), Some(at)) if at.place.owner() == Some(self.id) => {
                Ok(OperatorAnswer::Assigned(assigned_at(at)))
            }
            (Err(refusal), _) => Err(refusal),
        }
    }

    /// A decline was refused, for its id was used for something else: the offer stands.
    fn decline_refused(
        &mut self,
        chat: ChatId,
        command: &CommandId,
        answer: Result<OperatorAnswer, Refusal>,
        effects: &mut Vec<OperatorEffect>,
    ) {
        let Err(refusal) = answer else { return };
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

    fn answer_recalls(
        &mut self,
        chat: ChatId,
        command: &CommandId,
        answer: Result<OperatorAnswer, Refusal>,
        effects: &mut Vec<OperatorEffect>,
    ) {
        let of_chat = self.recalls.range((chat, CallId::MIN)..=(chat, CallId::MAX));
        let asked = of_chat.filter(|(_, asked)| *asked == command);
        for key in asked.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.recalls.remove(&key);
            self.owed.settle(Owed::Recall(key.0, key.1));
            effects.push(OperatorEffect::Answer(key.1, answer));
        }
    }

    /// A chat says where it is: true or old.
    pub(super) fn chat_at(
        &mut self,
        now: Timestamp,
        at: ChatAt,
        effects: &mut Vec<OperatorEffect>,
    ) {
        let known = self.slots.get(&at.chat).map(|slot| slot.placement);
        let invited = self.invites.get(&at.chat).map(|invite| invite.placement);
        let gone = self.gone.get(&at.chat).map(|(placement, _)| *placement);
        if known.max(invited).max(gone).is_some_and(|known| at.placement < known) {
            return;
        }
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
                if let AssignBy::Offer(offer) = by {
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
        let (queue, placement) = (Some(at.queue), at.placement);
        let held = if unexpected { Held::Unsure } else { Held::Active };
        self.slots.insert(at.chat, Slot { queue, placement, held });
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
        let held = Held::Offered { offer: offer.id, expires_at: offer.expires_at, shown: false };
        let slot = Slot { queue: Some(at.queue), placement: at.placement, held };
        self.slots.insert(chat, slot);
        self.present(at, offer, effects);
    }

    /// No slot is held for the offer any more: it is taken back.
    fn take_back(&mut self, now: Timestamp, chat: ChatId, offer: OfferId) {
        self.strays.insert(chat, offer);
        self.owed.keep(Owed::Withdraw(chat), now);
    }

    fn invited(
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
        if self.invites.get(&chat).is_some_and(|invite| invite.offer == offer.id) {
            return;
        }
        self.uninvite(at, None, effects);
        self.quiet(chat);
        let invite = Invite {
            queue: at.queue,
            placement: at.placement,
            offer: offer.id,
            expires_at: offer.expires_at,
            since: now,
            waits: (at.since, at.priority),
            declining: None,
            withdrawing: false,
        };
        self.invites.insert(chat, invite);
        self.keep_for_invite(now, chat, at.queue);
        self.present(at, offer, effects);
    }

    fn present(&self, at: &ChatAt, offer: &Offer, effects: &mut Vec<OperatorEffect>) {
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
        self.gone.insert(chat, (at.placement, now));
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
            Held::Declining { calls, .. } => {
                answer_all(calls, Ok(OperatorAnswer::Done), effects);
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

    /// The index's rows, at the start of a life.
    pub(super) fn recovered(
        &mut self,
        now: Timestamp,
        rows: Vec<OpenChat>,
        effects: &mut Vec<OperatorEffect>,
    ) {
        if self.stage != Stage::Reading {
            return;
        }
        self.stage = Stage::Live;
        self.wants_pull = true;
        for row in rows {
            let (queue, placement) = (Some(row.queue), row.placement);
            let held = match (&row.place, row.moving) {
                (_, Some(_)) => Held::Unsure,
                (Some(Place::Assigned { owner, .. }), None) if *owner == self.id => Held::Active,
                (Some(Place::Offered(offer)), None) if offer.reach == Reach::ToAll => {
                    let at = recovered_at(&row);
                    let offer = offer.clone();
                    if let (Some(at), true) = (at, offer.to.contains(&self.id)) {
                        self.invited(now, &at, &offer, effects);
                    }
                    continue;
                }
                (Some(Place::Offered(offer)), None) if offer.to.contains(&self.id) => {
                    if let Some(at) = recovered_at(&row) {
                        self.present(&at, offer, effects);
                    }
                    let (offer, expires_at) = (offer.id, offer.expires_at);
                    Held::Offered { offer, expires_at, shown: false }
                }
                (Some(_) | None, None) => continue,
            };
            // A chat told where it is before the index was read: its word is newer.
            if self.invites.contains_key(&row.chat) {
                continue;
            }
            self.slots.entry(row.chat).or_insert(Slot { queue, placement, held });
        }
    }
}

impl Slot {
    fn is_transfer(&self, reservation: OfferId) -> bool {
        matches!(&self.held, Held::Assigning { by: AssignBy::Transfer(r), .. } if *r == reservation)
    }
}

fn recovered_at(row: &OpenChat) -> Option<ChatAt> {
    Some(ChatAt {
        chat: row.chat,
        placement: row.placement,
        version: 0,
        queue: row.queue,
        since: row.since,
        priority: row.priority,
        refused_by: Arc::new(row.refused_by.clone()),
        place: row.place.clone()?,
        moved_at: row.since,
        last_offer: None,
    })
}

fn assigned_at(at: &ChatAt) -> AssignedAt {
    AssignedAt { seq: at.version, at: at.moved_at }
}

fn answer_all(
    calls: Vec<CallId>,
    answer: Result<OperatorAnswer, Refusal>,
    effects: &mut Vec<OperatorEffect>,
) {
    effects.extend(calls.into_iter().map(|call| OperatorEffect::Answer(call, answer)));
}
