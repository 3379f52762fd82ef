//! From an input to its events in the log: decide, tell the feed, mark the row, decide again, append,
//! apply.

use crate::domain::{Place, QueueId, Reach, Recorded, Timestamp, Weight};
use crate::machine::CallId;
use crate::machine::message::Peer;
use crate::storage::{AppendError, Claim, Moving, OpenChat, StoreError};

use super::super::call::{ChatCall, ChatEffect, ChatInput, Context, Decided};
use super::super::notices::Before;
use super::super::search::{Found, Search, Step};
use super::{Action, Driver, Failure, Phase, StoreCall, call_of};

impl Driver {
    pub(super) fn decide(
        &mut self,
        now: Timestamp,
        claim: Claim,
        input: ChatInput,
        found: Option<Found>,
        actions: &mut Vec<Action>,
    ) {
        let context = Context { found, ..self.context(now) };
        let decided = self.chat.decide(&context, &input);
        if let Some(hour) = self.to_announce(now, &decided) {
            self.announce(claim, hour, Some((input, found)), actions);
            return;
        }
        match decided.moving {
            Some(moving) => {
                let call = if self.chat.opened().is_none() {
                    let row = self.first_row(&input);
                    self.listed = Some(Some(row.clone()));
                    StoreCall::PutRow(row)
                } else {
                    self.listed = None;
                    actions.push(Action::MarkIndex(moving));
                    StoreCall::Mark(moving)
                };
                actions.push(Action::Store(call));
                self.phase = Phase::Marking { claim, input };
            }
            None => self.commit(now, claim, decided, actions),
        }
    }

    /// A page of the log in which the input's command may stand.
    pub(super) fn looked(
        &mut self,
        now: Timestamp,
        claim: Claim,
        input: ChatInput,
        mut search: Search,
        page: Result<Vec<Recorded>, StoreError>,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        match page.map(|page| search.page(&page)) {
            Ok(Step::Read(from)) => {
                self.phase = Phase::Looking { claim, input, search };
                actions.push(Action::Store(StoreCall::Read { from }));
            }
            Ok(Step::Over(found)) => self.decide(now, claim, input, found, &mut actions),
            Ok(Step::Gap(at)) => return self.fail(Failure::Broken(format!("no {at} any more"))),
            // Whoever speaks without a call says it again.
            Err(_) => {
                self.phase = Phase::Idle { claim };
                self.unavailable(now, call_of(&input), &mut actions);
            }
        }
        actions
    }

    pub(super) fn marked(
        &mut self,
        now: Timestamp,
        claim: Claim,
        input: ChatInput,
        result: Result<(), StoreError>,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        if result.is_err() {
            self.phase = Phase::Idle { claim };
            self.unavailable(now, call_of(&input), &mut actions);
            return actions;
        }
        // Time has passed: what was valid before the mark may be void now, and the hour may be over of
        // which the feed was told.
        let decided = self.chat.decide(&self.context(now), &input);
        if let Some(hour) = self.to_announce(now, &decided) {
            self.announce(claim, hour, Some((input, None)), &mut actions);
            return actions;
        }
        if decided.moving.is_none() {
            self.list(&mut actions);
        }
        self.commit(now, claim, decided, &mut actions);
        actions
    }

    pub(super) fn commit(
        &mut self,
        now: Timestamp,
        claim: Claim,
        decided: Decided,
        actions: &mut Vec<Action>,
    ) {
        if decided.events.is_empty() {
            self.phase = Phase::Idle { claim };
            self.carry_out(now, decided.effects, actions);
            return;
        }
        // An event is never before the one in front of it, whatever the clock says.
        let at = now.max(self.chat.last_at);
        let first = self.chat.tail() + 1;
        let names = self.chat.names_in(&decided.events, &self.called);
        let events: Vec<Recorded> = (first..)
            .zip(decided.events.into_iter().zip(names))
            .map(|(seq, (event, names))| Recorded { seq, at, event, names })
            .collect();
        actions.push(Action::Store(StoreCall::Append(claim, events.clone())));
        self.phase = Phase::Appending { claim, events, effects: decided.effects };
    }

    pub(super) fn appended(
        &mut self,
        now: Timestamp,
        claim: Claim,
        events: Vec<Recorded>,
        effects: Vec<ChatEffect>,
        result: Result<(), AppendError>,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        match result {
            Ok(()) => {}
            Err(AppendError::Unavailable { .. }) => {
                self.phase = Phase::Idle { claim };
                let call = effects.iter().find_map(call_in);
                self.unavailable(now, call, &mut actions);
                return actions;
            }
            Err(AppendError::Fenced) => return self.fail(Failure::Fenced),
            Err(AppendError::Unknown { reason }) => return self.fail(Failure::Unknown(reason)),
            Err(AppendError::Conflict { tail, first }) => {
                return self.fail(Failure::Broken(format!("{first} after {tail}")));
            }
        }
        let before = Before::of(&self.chat);
        let told = events.into_iter().map(|recorded| self.chat.apply_and_tell(recorded)).collect();
        self.phase = Phase::Idle { claim };
        self.list(&mut actions);
        self.notices.changed(&before, &self.chat, now);
        actions.push(Action::Publish(told));
        self.carry_out(now, effects, &mut actions);
        self.tell_due(now, &mut actions);
        actions
    }

    /// The row of a chat about to be opened: there before the log, so that no opened chat is
    /// missed by a start.
    pub(super) fn first_row(&self, input: &ChatInput) -> OpenChat {
        let (queue, priority) = match input {
            ChatInput::Call(_, ChatCall::Open { queue, profile, .. }) => (*queue, profile.priority),
            ChatInput::Call(..) | ChatInput::Started | ChatInput::Said(_) | ChatInput::Tick => {
                (QueueId::from_u128(0), crate::domain::Priority::default())
            }
        };
        OpenChat {
            chat: self.chat.id(),
            queue,
            placement: 0,
            priority,
            weight: Weight::default(),
            since: Timestamp::default(),
            refused_by: std::collections::BTreeMap::new(),
            place: None::<Place>,
            next_deadline: None,
            moving: Some(Moving { to: None }),
        }
    }

    pub(super) fn context(&self, now: Timestamp) -> Context {
        let directed = self.chat.offer().filter(|offer| offer.reach == Reach::Directed);
        let mut asked = directed.iter().flat_map(|offer| offer.to.iter());
        Context {
            now,
            process: self.process,
            life: self.life,
            unheard: asked.any(|operator| self.notices.owes(Peer::Operator(*operator))),
            found: None,
        }
    }
}

fn call_in(effect: &ChatEffect) -> Option<CallId> {
    match effect {
        ChatEffect::AnswerRecorded(call, _)
        | ChatEffect::Answer(call, _)
        | ChatEffect::AnswerLater(call, _, _) => Some(*call),
        ChatEffect::ToOperator(..) | ChatEffect::Tell(_) => None,
    }
}
