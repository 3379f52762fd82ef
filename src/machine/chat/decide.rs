//! What a chat does with an input: events to append, effects to carry out after. Reads only.
//!
//! Every answer is looked up by the client's command before anything else is checked, so that a
//! repeat gets its first answer however the chat has moved since.

use crate::domain::event::{AssignedHow, OfferEnd, PlacedCause, TransferFailure, WithdrawReason};
use crate::domain::limits::{
    CHAT_MESSAGES_MAX, CUSTOMER_UPDATES_MAX, OFFER_BACKSTOP_MS, TRANSFER_LIMIT_MS,
};
use crate::domain::{
    ChatEvent, CommandId, MessageText, Offer, OfferId, Outcome, Party, Place, Placement, Profile,
    QueueId, UserId,
};
use crate::machine::CallId;
use crate::machine::driver::{Answer, Fingerprint};
use crate::machine::message::Peer;
use crate::storage::Moving;

use super::call::{
    Author, ChatCall, ChatEffect, ChatInput, Context, Decided, Lookup, Saying, Target,
};
use super::fold::Chat;
use super::people::Speaker;
use super::refusal::Refusal;

impl Chat {
    /// Decides on an input, without changing anything.
    pub fn decide(&self, context: &Context, input: &ChatInput) -> Decided {
        match input {
            ChatInput::Started => self.on_started(context),
            ChatInput::Tick => self.on_tick(context),
            ChatInput::Call(call, wanted) => match self.on_call(context, *call, wanted) {
                Ok(decided) => decided,
                Err(refusal) => Decided::effect(ChatEffect::Answer(*call, Err(refusal))),
            },
            ChatInput::Said(said) => self.on_said(context, said),
        }
    }

    /// What is known of a command: by memory, else by the log.
    pub(super) fn known(
        &self,
        context: &Context,
        (party, command, said): (Party, &CommandId, Fingerprint),
    ) -> Lookup {
        match (self.journal.answers().lookup(party, command, said), context.found) {
            (Lookup::New, Some(found)) => found.lookup(said),
            (known, _) => known,
        }
    }

    /// The answer to a command that is in memory, whatever it said.
    pub fn recall(&self, party: Party, command: &CommandId) -> Lookup {
        self.journal.answers().recall(party, command)
    }

    fn on_started(&self, context: &Context) -> Decided {
        match self.offer() {
            Some(_) if self.offer_process != context.process => {
                self.end_offer(OfferEnd::Restart, Vec::new())
            }
            Some(_) | None => self.on_tick(context),
        }
    }

    fn on_tick(&self, context: &Context) -> Decided {
        let now = context.now;
        if let Some(offer) = self.offer()
            && now >= offer.expires_at.plus_ms(OFFER_BACKSTOP_MS)
        {
            return self.lapse(context);
        }
        match &self.transfer {
            // One that ends later than any can was asked for by another clock.
            Some(transfer)
                if now >= transfer.expires_at
                    || transfer.expires_at > now.plus_ms(TRANSFER_LIMIT_MS) =>
            {
                Decided::events(vec![ChatEvent::TransferFailed {
                    reservation: transfer.reservation,
                    reason: TransferFailure::NoAnswer,
                }])
            }
            Some(_) | None => Decided::default(),
        }
    }

    // ---- calls of clients ----

    fn on_call(
        &self,
        context: &Context,
        call: CallId,
        wanted: &ChatCall,
    ) -> Result<Decided, Refusal> {
        if let Some((by, command, said)) = identity(wanted) {
            let party = self.speaker(by)?.party;
            match self.known(context, (party, command, said)) {
                Lookup::New => {}
                Lookup::Known(answer) => {
                    return Ok(Decided::effect(ChatEffect::Answer(call, answer)));
                }
                Lookup::Pending => {
                    let later = ChatEffect::AnswerLater(call, party, command.clone());
                    return Ok(Decided::effect(later));
                }
            }
        }
        match wanted {
            ChatCall::Open { .. } => self.open(call, wanted),
            ChatCall::Send { by, id, text, profile } => {
                self.send(call, self.speaker(by)?, (id, text), profile.as_ref())
            }
            ChatCall::UpdateCustomer { by, profile } => match self.speaker(by)?.party {
                Party::Customer(_) => {
                    let answer = Answer { seq: self.tail(), at: self.last_at() };
                    Ok(self.updated(profile).and(ChatEffect::Answer(call, Ok(answer))))
                }
                Party::User(_) | Party::System => Err(Refusal::NotYours),
            },
            ChatCall::Continue { chat } => match (self.place(), self.continued_in) {
                (None, _) => Err(Refusal::UnknownChat),
                // It would take no message ever again.
                (Some(place), _) if *chat == self.id => {
                    Err(Refusal::WrongState { state: place.state() })
                }
                (Some(Place::Ended { .. }), None) => {
                    Ok(self.answered(call, 0, vec![ChatEvent::ContinuedIn { chat: *chat }]))
                }
                (Some(Place::Ended { .. }), Some(_)) => Err(self.ended()),
                (Some(place), _) => Err(Refusal::WrongState { state: place.state() }),
            },
            ChatCall::End { by, command } => self.end(call, self.speaker(by)?, command),
            ChatCall::Begin { by, command } => self.begin(call, self.speaker(by)?, command),
            ChatCall::Transfer { by, command, to: Target::Queue(queue) } => {
                let by = self.speaker(by)?;
                self.may_move(by, true)?;
                let cause = PlacedCause::Transferred { by: by.party, command: command.clone() };
                if self.queue == Some(*queue) && self.place() == Some(&Place::Waiting) {
                    return Err(Refusal::AlreadyThere);
                }
                Ok(self.moved(Some(call), None, |placement| {
                    vec![ChatEvent::Placed { placement, queue: *queue, weight: self.weight, cause }]
                }))
            }
            ChatCall::Transfer { by, command, to: Target::Operator(to) } => {
                self.transfer_to(context, call, self.speaker(by)?, command, *to)
            }
            ChatCall::TransferNowhere { by, .. } => {
                self.may_move(self.speaker(by)?, true)?;
                Err(Refusal::UnknownTarget)
            }
        }
    }

    fn open(&self, call: CallId, wanted: &ChatCall) -> Result<Decided, Refusal> {
        let ChatCall::Open { customer, command, queue, profile, continues } = wanted else {
            return Err(Refusal::UnknownChat);
        };
        if let Some(opened) = &self.opened {
            // Somebody else's repeat has opened it meanwhile: the same chat, so the same answer.
            if opened.customer != *customer {
                return Err(Refusal::UnknownChat);
            }
            let answer = Answer { seq: 1, at: opened.at };
            return Ok(self.updated(profile).and(ChatEffect::Answer(call, Ok(answer))));
        }
        let opened = ChatEvent::Opened {
            customer: *customer,
            command: command.clone(),
            profile: profile.clone(),
            continues: *continues,
        };
        Ok(self.answered(call, 0, vec![opened]).then(self.agreed(*queue)))
    }

    /// The customer has agreed to all that the channel asks of it before it waits: no channel asks
    /// anything, so every chat that is opened goes on to its place at once.
    fn agreed(&self, queue: QueueId) -> Decided {
        self.first_placed(queue)
    }

    /// It goes into its first line.
    fn first_placed(&self, queue: QueueId) -> Decided {
        self.moved(None, None, |placement| {
            vec![ChatEvent::Placed {
                placement,
                queue,
                weight: self.weight,
                cause: PlacedCause::Opened,
            }]
        })
    }

    fn send(
        &self,
        call: CallId,
        by: Speaker,
        (id, text): (&CommandId, &MessageText),
        profile: Option<&Profile>,
    ) -> Result<Decided, Refusal> {
        let place = self.open_place()?;
        match by.party {
            Party::Customer(_) => {}
            Party::User(user) if place.owner() == Some(user) => {}
            Party::User(_) | Party::System => return Err(Refusal::NotYours),
        }
        if self.messages() >= CHAT_MESSAGES_MAX {
            return Err(Refusal::ChatFull);
        }
        let message = ChatEvent::Message { from: by.party, id: id.clone(), text: text.clone() };
        let mut decided = match (by.party, profile) {
            (Party::Customer(_), Some(profile)) => self.updated(profile),
            (Party::Customer(_) | Party::User(_) | Party::System, _) => Decided::default(),
        };
        let position = self.tail() + 1 + decided.events.len() as u64;
        // Room for what it is, mostly: one event, one answer.
        decided.events.reserve_exact(1);
        decided.events.push(message);
        Ok(decided.and(ChatEffect::AnswerRecorded(call, position)))
    }

    /// What a token says of the customer, if it counts from now on. The row must not miss a change
    /// of what a queue goes by.
    fn updated(&self, profile: &Profile) -> Decided {
        let open = self.open_place().is_ok();
        if !open || !profile.replaces(&self.profile) || self.updates >= CUSTOMER_UPDATES_MAX {
            return Decided::default();
        }
        let ranks = profile.priority != self.profile.priority && self.is_in_line();
        Decided {
            events: vec![ChatEvent::CustomerUpdated { profile: profile.clone() }],
            effects: Vec::new(),
            intent: ranks.then_some(Moving { to: None }),
        }
    }

    fn end(&self, call: CallId, by: Speaker, command: &CommandId) -> Result<Decided, Refusal> {
        let place = self.open_place()?;
        let owner = matches!((place.owner(), by.party), (Some(o), Party::User(u)) if o == u);
        let customer = matches!(by.party, Party::Customer(_));
        if !owner && !customer && !by.chat_administrator {
            return Err(Refusal::NotYours);
        }
        let outcome = if self.last_owner.is_some() { Outcome::Completed } else { Outcome::Missed };
        let (by, command) = (by.party, Some(command.clone()));
        Ok(self.moved(Some(call), None, |placement| {
            vec![ChatEvent::Ended { placement, by, command, outcome }]
        }))
    }

    fn begin(&self, call: CallId, by: Speaker, command: &CommandId) -> Result<Decided, Refusal> {
        self.may_move(by, false)?;
        match self.open_place()? {
            Place::Assigned { begun: false, .. } => {
                let begun = ChatEvent::Begun { by: by.party, command: command.clone() };
                Ok(self.answered(call, 0, vec![begun]))
            }
            place => Err(Refusal::WrongState { state: place.state() }),
        }
    }

    fn transfer_to(
        &self,
        context: &Context,
        call: CallId,
        by: Speaker,
        command: &CommandId,
        to: UserId,
    ) -> Result<Decided, Refusal> {
        let place = self.may_move(by, true)?;
        if place.owner() == Some(to) {
            return Err(Refusal::AlreadyThere);
        }
        if self.transfer.is_some() {
            return Err(Refusal::TransferPending);
        }
        let asked = ChatEvent::TransferAsked {
            by: by.party,
            command: command.clone(),
            to,
            reservation: OfferId::of(context.life, self.tail() + 1),
            expires_at: context.now.plus_ms(TRANSFER_LIMIT_MS),
        };
        Ok(Decided {
            events: vec![asked],
            effects: vec![ChatEffect::AnswerLater(call, by.party, command.clone())],
            // It brings a deadline, which the row must not miss.
            intent: Some(Moving { to: None }),
        })
    }

    // ---- shared ----

    pub(super) fn offer(&self) -> Option<&Offer> {
        self.place.as_ref().and_then(Place::offer)
    }

    pub(super) fn offer_at(&self, placement: Placement, offer: OfferId) -> Option<&Offer> {
        self.offer().filter(|live| live.id == offer && self.placement == placement)
    }

    pub(super) fn tell_queue(&self) -> Decided {
        self.queue
            .map(|queue| Decided::saying(Saying::Tell(Peer::Queue(queue))))
            .unwrap_or_default()
    }

    pub(super) fn ended(&self) -> Refusal {
        let visitor_left = matches!(self.place, Some(Place::Ended { by: Party::Customer(_), .. }));
        Refusal::Ended { visitor_left, continued_in: self.continued_in }
    }

    pub(super) fn open_place(&self) -> Result<&Place, Refusal> {
        match &self.place {
            None => Err(Refusal::UnknownChat),
            Some(Place::Ended { .. }) => Err(self.ended()),
            Some(place) => Ok(place),
        }
    }

    /// Only the owner or a chat administrator moves a chat.
    pub(super) fn may_move(&self, by: Speaker, from_line: bool) -> Result<&Place, Refusal> {
        let place = self.open_place()?;
        match (place.owner(), by.party) {
            (Some(owner), Party::User(user)) if owner == user => Ok(place),
            (Some(_), _) if by.chat_administrator => Ok(place),
            (None, _) if by.chat_administrator && from_line => Ok(place),
            (None, _) if by.chat_administrator => Err(Refusal::WrongState { state: place.state() }),
            (Some(_) | None, Party::User(_) | Party::Customer(_) | Party::System) => {
                Err(Refusal::NotYours)
            }
        }
    }

    pub(super) fn to_line_again(&self, operator: UserId) -> Decided {
        let Some(queue) = self.queue else {
            return Decided::default();
        };
        self.moved(None, None, |placement| {
            let cause = PlacedCause::OwnerGone { operator };
            vec![ChatEvent::Placed { placement, queue, weight: self.weight, cause }]
        })
    }

    /// The time of the offer is over. One that took so long to become durable, or to be told, that
    /// its operator never heard of it stood without a slot, and is nobody's fault.
    pub(super) fn lapse(&self, context: &Context) -> Decided {
        let how = if context.unheard {
            OfferEnd::Withdrawn(WithdrawReason::NotReserved)
        } else {
            OfferEnd::Lapsed
        };
        self.end_offer(how, Vec::new())
    }

    pub(super) fn end_offer(&self, how: OfferEnd, mut before: Vec<ChatEvent>) -> Decided {
        let Some(offer) = self.offer().map(|offer| offer.id) else {
            return Decided::default();
        };
        self.moved(None, None, |placement| {
            before.push(ChatEvent::OfferEnded { placement, offer, how });
            before
        })
    }

    /// A change of place. A transfer that it overtakes fails with it, unless it is its end.
    pub(super) fn moved(
        &self,
        call: Option<CallId>,
        to: Option<UserId>,
        events: impl FnOnce(Placement) -> Vec<ChatEvent>,
    ) -> Decided {
        let wanted = events(self.placement + 1);
        let completes = wanted.iter().any(|event| {
            matches!(event, ChatEvent::Assigned { how: AssignedHow::Transferred { .. }, .. })
        });
        let mut events = Vec::with_capacity(wanted.len() + 1);
        if let Some(transfer) = &self.transfer
            && !completes
        {
            events.push(ChatEvent::TransferFailed {
                reservation: transfer.reservation,
                reason: TransferFailure::Overtaken,
            });
        }
        let before = events.len() as u64;
        events.extend(wanted);
        let mut decided = match call {
            Some(call) => self.answered(call, before, events),
            None => Decided::events(events),
        };
        decided.intent = Some(Moving { to });
        decided
    }

    /// Answers the call with the event after the first `before` ones. The time is put in when the
    /// events are recorded: the answer is what the fold remembers.
    pub(super) fn answered(&self, call: CallId, before: u64, events: Vec<ChatEvent>) -> Decided {
        Decided {
            effects: vec![ChatEffect::AnswerRecorded(call, self.tail() + 1 + before)],
            events,
            intent: None,
        }
    }
}

impl Decided {
    pub(super) fn effect(effect: ChatEffect) -> Self {
        Self { effects: vec![effect], ..Self::default() }
    }

    pub(super) fn saying(saying: Saying) -> Self {
        Self::effect(ChatEffect::Own(saying))
    }

    pub(super) fn events(events: Vec<ChatEvent>) -> Self {
        Self { events, ..Self::default() }
    }

    /// What is decided next, in the same append.
    fn then(mut self, next: Self) -> Self {
        self.events.extend(next.events);
        self.effects.extend(next.effects);
        self.intent = next.intent.or(self.intent);
        self
    }

    fn and(mut self, effect: ChatEffect) -> Self {
        self.effects.reserve_exact(1);
        self.effects.push(effect);
        self
    }
}

/// By whom and by which id a call is known again, and what it says.
pub(super) fn identity(call: &ChatCall) -> Option<(&Author, &CommandId, Fingerprint)> {
    match call {
        // An opened chat answers every `Open` of its customer alike.
        ChatCall::Open { .. } => None,
        ChatCall::Send { by, id, text, .. } => Some((by, id, Fingerprint::of(("send", text)))),
        // Without an id: what counts already changes nothing.
        ChatCall::UpdateCustomer { .. } => None,
        ChatCall::Continue { .. } => None,
        ChatCall::End { by, command } => Some((by, command, Fingerprint::of("end"))),
        ChatCall::Begin { by, command } => Some((by, command, Fingerprint::of("begin"))),
        ChatCall::Transfer { by, command, to } | ChatCall::TransferNowhere { by, command, to } => {
            Some((by, command, Fingerprint::of(("transfer", to))))
        }
    }
}
