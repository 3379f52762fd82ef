//! What is told once it is durable, and to whom.

use crate::domain::Timestamp;
use crate::domain::limits::{CALLS_HELD_MAX, REPEAT_MS};
use crate::machine::CallId;
use crate::machine::message::{Peer, ToOperator, ToQueue};

use super::super::answers::{Answer, Lookup};
use super::super::call::ChatEffect;
use super::super::notices::Owed;
use super::super::refusal::Refusal;
use super::{Action, Driver};

impl Driver {
    /// Carries out effects, after the events that they go with are durable.
    pub(super) fn carry_out(
        &mut self,
        now: Timestamp,
        effects: Vec<ChatEffect>,
        actions: &mut Vec<Action>,
    ) {
        for effect in effects {
            match effect {
                ChatEffect::AnswerRecorded(call, seq) => {
                    let at = self.chat.last_at;
                    actions.push(Action::Answer(call, Ok(Answer { seq, at })));
                }
                ChatEffect::Answer(call, answer) => actions.push(Action::Answer(call, answer)),
                ChatEffect::AnswerLater(call, _, _) if self.held.len() >= CALLS_HELD_MAX => {
                    actions.push(Action::Answer(call, Err(Refusal::Unavailable)));
                }
                ChatEffect::AnswerLater(call, party, command) => {
                    self.held.push((call, party, command));
                }
                ChatEffect::ToOperator(to, said) => actions.push(Action::ToOperator(to, *said)),
                ChatEffect::Tell(peer) => actions.extend(self.tell(peer, now)),
            }
        }
        let chat = &self.chat;
        self.held.retain(|(call, party, command)| match chat.recall(*party, command) {
            Lookup::Pending => true,
            Lookup::Known(answer) => {
                actions.push(Action::Answer(*call, answer));
                false
            }
            Lookup::New => {
                actions.push(Action::Answer(*call, Err(Refusal::Unavailable)));
                false
            }
        });
    }

    pub(super) fn tell_due(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        for owed in self.notices.take_due(now) {
            match (owed, self.chat.transfer()) {
                (Owed::At(peer), _) => actions.extend(self.tell(peer, now)),
                (Owed::Reserve(target), Some(transfer)) if transfer.to == target => {
                    let Some(queue) = self.chat.queue else {
                        continue;
                    };
                    let said = ToOperator::ReserveTransfer {
                        chat: self.chat.id(),
                        queue,
                        weight: self.chat.weight,
                        reservation: transfer.reservation,
                        by: transfer.by,
                        expires_at: transfer.expires_at,
                    };
                    actions.push(Action::ToOperator(target, said));
                }
                (Owed::Reserve(_), _) => {}
            }
        }
    }

    /// Nothing was written: the caller may ask again, the router's own deadlines wait a little.
    pub(super) fn unavailable(
        &mut self,
        now: Timestamp,
        call: Option<CallId>,
        actions: &mut Vec<Action>,
    ) {
        self.quiet_until = now.plus_ms(REPEAT_MS.1);
        actions.extend(call.map(|call| Action::Answer(call, Err(Refusal::Unavailable))));
        self.list(actions);
    }

    /// Brings the row in the index up to date.
    pub(super) fn list(&mut self, actions: &mut Vec<Action>) {
        let row = self.chat.row();
        if self.listed.as_ref() != Some(&row) {
            self.listed = Some(row.clone());
            actions.push(Action::Row(row));
        }
    }

    /// Where the chat is, for one of those whom it concerns: all of it for a queue, for an operator what
    /// is its own.
    fn tell(&self, peer: Peer, now: Timestamp) -> Option<Action> {
        match peer {
            Peer::Queue(queue) => {
                self.chat.told_at(now).map(|at| Action::ToQueue(queue, ToQueue::At(at)))
            }
            Peer::Operator(operator) => {
                let at = self.chat.told_to(operator, now);
                at.map(|at| Action::ToOperator(operator, ToOperator::At(at)))
            }
        }
    }
}
