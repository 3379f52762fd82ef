//! What a chat does with what queues and operators say. Reads only, as all of
//! [`Chat::decide`].

use crate::domain::event::{AssignedHow, OfferEnd, PlacedCause, TransferFailure, WithdrawReason};
use crate::domain::limits::TO_ALL_STANDS_MAX_MS;
use crate::domain::{
    ChatEvent, CommandId, Offer, OfferId, Party, Place, QueueId, Reach, Stay, UserId,
};
use crate::machine::driver::Fingerprint;
use crate::machine::message::{Asked, AssignBy, AssignedAt, Peer, ToChat, ToOperator};

use super::call::{Context, Decided, Lookup, Saying};
use super::fold::Chat;
use super::refusal::Refusal;
use super::search::said_by;

impl Chat {
    pub(super) fn on_said(&self, context: &Context, said: &ToChat) -> Decided {
        match said {
            ToChat::Offer { queue, .. } => match self.offered(context, said) {
                Some(decided) => decided,
                None => Decided::saying(Saying::Tell(Peer::Queue(*queue))),
            },
            ToChat::Widen { placement, offer, to } => {
                let Some(live) = self.offer_at(*placement, *offer) else {
                    return self.tell_queue();
                };
                // Who dropped out of the offer comes back into it, in a stay of its own: a late word
                // of the first one does not find it.
                let fresh = to.iter().copied().filter(|operator| !live.to.contains(operator));
                let to: Vec<UserId> = fresh.collect();
                if to.is_empty() {
                    return self.tell_queue();
                }
                Decided::events(vec![ChatEvent::OfferWidened { offer: *offer, to }])
            }
            ToChat::Lapse { placement, offer, stands_ms } => {
                let live = self.offer_at(*placement, *offer);
                let over = |live: &Offer| {
                    let stood = context.now >= self.moved_at.plus_ms(*stands_ms);
                    context.now >= live.expires_at || (live.reach == Reach::ToAll && stood)
                };
                if live.is_some_and(over) { self.lapse(context) } else { self.tell_queue() }
            }
            ToChat::Withdraw { peer, offer, operator, stay, reason } => {
                self.withdraw(*peer, *offer, (*operator, *stay), *reason)
            }
            ToChat::Decline { offer, operator, stay, command } => {
                self.decline(context, *offer, (*operator, *stay), command)
            }
            ToChat::Assign { .. } => self.assign(context, said),
            ToChat::Recall { operator, command, asked } => {
                let said = said_by(*asked);
                let known = self.known(context, (Party::User(*operator), command, said));
                let recalled = ToOperator::Recalled {
                    chat: self.id,
                    command: command.clone(),
                    asked: *asked,
                    result: assigned_at(known),
                    at: self.told_to(*operator, context.now),
                };
                Decided::saying(Saying::ToOperator(*operator, Box::new(recalled)))
            }
            ToChat::OwnerGone { operator, placement } => match self.place() {
                Some(Place::Assigned { owner, .. })
                    if owner == operator && self.placement == *placement =>
                {
                    self.to_line_again(*operator)
                }
                Some(_) | None => Decided::saying(Saying::Tell(Peer::Operator(*operator))),
            },
            ToChat::ReserveRefused { reservation, standing } => match &self.transfer {
                Some(transfer) if transfer.reservation == *reservation => {
                    Decided::events(vec![ChatEvent::TransferFailed {
                        reservation: *reservation,
                        reason: TransferFailure::Refused(*standing),
                    }])
                }
                Some(_) | None => Decided::default(),
            },
            ToChat::Seen { peer, placement, .. } if *placement < self.placement => {
                Decided::saying(Saying::Tell(*peer))
            }
            ToChat::Seen { .. } => Decided::default(),
            ToChat::Rehome { queue, to } => self.rehome(*queue, *to),
            ToChat::Ask { peer } => Decided::saying(Saying::Tell(*peer)),
        }
    }

    fn offered(&self, context: &Context, said: &ToChat) -> Option<Decided> {
        let ToChat::Offer { queue, placement, offer, reach, to, timeout_ms, decision } = said
        else {
            return None;
        };
        let waits = self.place() == Some(&Place::Waiting);
        if !waits
            || self.spent
            || self.placement != *placement
            || self.queue != Some(*queue)
            || to.is_empty()
        {
            return None;
        }
        let stands_ms = self.stands_ms(*reach, *timeout_ms);
        let expires_at = context.now.plus_ms(stands_ms);
        let (to, more) = match (reach, self.asked_before(context.process)) {
            (Reach::ToAll, Some(before)) => {
                let more = to.iter().filter(|operator| !before.contains(operator)).copied();
                (Vec::new(), more.collect())
            }
            (Reach::ToAll, None) | (Reach::Directed, _) => (to.clone(), Vec::new()),
        };
        Some(self.moved(None, None, |placement| {
            let mut events = vec![ChatEvent::Offered {
                placement,
                offer: *offer,
                reach: *reach,
                to,
                expires_at,
                process: context.process,
                decision: decision.clone(),
            }];
            if !more.is_empty() {
                events.push(ChatEvent::OfferWidened { offer: *offer, to: more });
            }
            events
        }))
    }

    /// How long an offer stands: one to all twice as long as the one that nobody answered.
    fn stands_ms(&self, reach: Reach, timeout_ms: u64) -> u64 {
        match reach {
            Reach::Directed => timeout_ms,
            Reach::ToAll => {
                let times = 1_u64.checked_shl(self.ignored).unwrap_or(u64::MAX);
                let longest = TO_ALL_STANDS_MAX_MS.max(timeout_ms);
                timeout_ms.saturating_mul(times).min(longest)
            }
        }
    }

    /// The queue is not there. Whoever serves the chat goes on; its age is kept.
    fn rehome(&self, queue: QueueId, to: QueueId) -> Decided {
        let waits = matches!(self.place(), Some(Place::Waiting | Place::Offered(_)));
        if !waits || self.queue != Some(queue) || queue == to {
            return Decided::default();
        }
        self.moved(None, None, |placement| {
            let command = CommandId::rehomed(placement);
            let cause = PlacedCause::Transferred { by: Party::System, command };
            vec![ChatEvent::Placed { placement, queue: to, weight: self.weight, cause }]
        })
    }

    fn withdraw(
        &self,
        peer: Peer,
        offer: OfferId,
        (operator, stay): (UserId, Stay),
        reason: WithdrawReason,
    ) -> Decided {
        let Some(live) = self.offer_in(offer, operator, stay) else {
            return Decided::saying(Saying::Tell(peer));
        };
        let narrowed = ChatEvent::OfferNarrowed { offer, operator, reason };
        match live.reach {
            Reach::Directed => self.end_offer(OfferEnd::Withdrawn(reason), Vec::new()),
            Reach::ToAll if live.to.len() == 1 => {
                self.end_offer(OfferEnd::Withdrawn(reason), vec![narrowed])
            }
            Reach::ToAll => Decided::events(vec![narrowed]),
        }
    }

    /// The live offer, if it is this one and the operator is in this stay in it.
    fn offer_in(&self, offer: OfferId, operator: UserId, stay: Stay) -> Option<&Offer> {
        self.offer().filter(|live| live.id == offer && live.stay(operator) == Some(stay))
    }

    fn decline(
        &self,
        context: &Context,
        offer: OfferId,
        (operator, stay): (UserId, Stay),
        command: &CommandId,
    ) -> Decided {
        let tell = Decided::saying(Saying::Tell(Peer::Operator(operator)));
        let asked = Asked::Decline(offer);
        let said = said_by(asked);
        match self.known(context, (Party::User(operator), command, said)) {
            Lookup::New => {}
            Lookup::Known(Err(refusal)) => {
                let refused = ToOperator::Recalled {
                    chat: self.id,
                    command: command.clone(),
                    asked,
                    result: Some(Err(refusal)),
                    at: self.told_to(operator, context.now),
                };
                return Decided::saying(Saying::ToOperator(operator, Box::new(refused)));
            }
            Lookup::Known(Ok(_)) | Lookup::Pending => return tell,
        }
        let Some(live) = self.offer_in(offer, operator, stay) else {
            return tell;
        };
        let declined = ChatEvent::Declined { offer, operator, command: command.clone() };
        if live.to.len() == 1 {
            self.end_offer(OfferEnd::Declined, vec![declined])
        } else {
            Decided::events(vec![declined])
        }
    }

    fn assign(&self, context: &Context, said: &ToChat) -> Decided {
        let ToChat::Assign { operator, command, by, valid_until } = said else {
            return Decided::default();
        };
        if let Some(command) = command {
            let said = match by {
                AssignBy::Offer(offer, _) => said_by(Asked::Accept(*offer)),
                AssignBy::Take { .. } => said_by(Asked::Take),
                AssignBy::Transfer(_) => Fingerprint::of("transfer"),
            };
            let known = self.known(context, (Party::User(*operator), command, said));
            if let Some(result) = assigned_at(known) {
                return self.assign_answer(context, *operator, Some(command), by, result);
            }
        }
        let (how, command) = match self.may_assign(context, *operator, by, command, *valid_until) {
            Ok(granted) => granted,
            Err(refusal) => {
                return self.assign_answer(context, *operator, command.as_ref(), by, Err(refusal));
            }
        };
        let operator = *operator;
        self.moved(None, Some(operator), |placement| {
            vec![ChatEvent::Assigned { placement, operator, how, command }]
        })
    }

    /// Whether the operator may become the owner, and on what ground.
    fn may_assign(
        &self,
        context: &Context,
        operator: UserId,
        by: &AssignBy,
        command: &Option<CommandId>,
        valid_until: crate::domain::Timestamp,
    ) -> Result<(AssignedHow, CommandId), Refusal> {
        let place = self.open_place()?;
        if context.now > valid_until {
            return Err(Refusal::Late);
        }
        let state = place.state();
        match (by, command) {
            (AssignBy::Offer(offer, stay), Some(command)) => {
                match self.offer_in(*offer, operator, *stay) {
                    Some(_) => Ok((AssignedHow::Accepted { offer: *offer }, command.clone())),
                    None => Err(Refusal::OfferGone),
                }
            }
            (AssignBy::Take { placement, .. }, Some(_)) if *placement != self.placement => {
                Err(Refusal::WrongState { state })
            }
            (AssignBy::Take { queues, any, .. }, Some(command)) => {
                let allowed = *any || self.queue.is_some_and(|queue| queues.contains(&queue));
                match place {
                    Place::Waiting | Place::Offered(_) if allowed => {
                        Ok((AssignedHow::Taken, command.clone()))
                    }
                    Place::Waiting | Place::Offered(_) => Err(Refusal::UnknownChat),
                    Place::Assigned { owner, .. } if *owner == operator => {
                        Err(Refusal::AlreadyThere)
                    }
                    Place::Assigned { .. } | Place::Ended { .. } => {
                        Err(Refusal::WrongState { state })
                    }
                }
            }
            (AssignBy::Transfer(reservation), _) => match &self.transfer {
                Some(transfer)
                    if transfer.reservation == *reservation && transfer.to == operator =>
                {
                    let how =
                        AssignedHow::Transferred { by: transfer.by, reservation: *reservation };
                    Ok((how, transfer.command.clone()))
                }
                Some(_) | None => Err(Refusal::OfferGone),
            },
            (AssignBy::Offer(..) | AssignBy::Take { .. }, None) => Err(Refusal::OfferGone),
        }
    }

    fn assign_answer(
        &self,
        context: &Context,
        operator: UserId,
        command: Option<&CommandId>,
        by: &AssignBy,
        result: Result<AssignedAt, Refusal>,
    ) -> Decided {
        let answer = ToOperator::AssignAnswer {
            command: command.cloned(),
            by: by.clone(),
            result,
            at: self.told_to(operator, context.now),
            chat: self.id,
        };
        Decided::saying(Saying::ToOperator(operator, Box::new(answer)))
    }
}

/// What is known of a command, as an operator is told.
fn assigned_at(known: Lookup) -> Option<Result<AssignedAt, Refusal>> {
    match known {
        Lookup::Known(answer) => {
            Some(answer.map(|answer| AssignedAt { seq: answer.seq, at: answer.at }))
        }
        Lookup::New | Lookup::Pending => None,
    }
}
