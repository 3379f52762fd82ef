//! The shell of an operator. When idle it is parked.

use std::collections::HashMap;
use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::domain::operator::OperatorRecord;
use crate::domain::{Person, Timestamp, UserId};
use crate::machine::chat::Refusal;
use crate::machine::operator::{
    Account, Beginning, Notice, OnScreen, Operator, OperatorAnswer, OperatorEffect, OperatorInput,
    first_inputs,
};
use crate::machine::{CallId, Life};
use crate::storage::{OperatorRecordError, StoreError};
use crate::telemetry::{self, DamagedRow};

use super::held::CallPermit;
use super::hub::Outgoing;
use super::message::{ChatMessage, OperatorMessage, QueueMessage, Reply};
use super::parked::Left;
use super::shared::{Screens, Shared, guarded};
use super::timer::Timer;
use super::view::{OperatorView, StatusSeen};

pub(super) struct OperatorShell;

pub(super) struct OperatorState {
    shared: Arc<Shared>,
    operator: UserId,
    life: Life,
    /// None until its record has been read, before anything else.
    machine: Option<Operator>,
    calls: HashMap<CallId, (Reply<Result<OperatorAnswer, Refusal>>, CallPermit)>,
    calls_made: CallId,
    timer: Timer,
    rest: Timer,
    /// When it last had something to do.
    used_at: Timestamp,
}

impl Actor for OperatorShell {
    type Msg = OperatorMessage;
    type State = Box<OperatorState>;
    type Arguments = ((Arc<Shared>, UserId, Life), Option<Box<OperatorState>>);

    async fn pre_start(
        &self,
        myself: ActorRef<OperatorMessage>,
        ((shared, operator, life), parked): Self::Arguments,
    ) -> Result<Box<OperatorState>, ActorProcessingErr> {
        if let Some(mut parked) = parked {
            parked.used_at = shared.now();
            parked.arm(&myself);
            return Ok(parked);
        }
        myself.send_message(OperatorMessage::Begin)?;
        Ok(Box::new(OperatorState {
            shared,
            operator,
            life,
            machine: None,
            calls: HashMap::new(),
            calls_made: 0,
            timer: Timer::default(),
            rest: Timer::default(),
            used_at: Timestamp::default(),
        }))
    }

    async fn handle(
        &self,
        myself: ActorRef<OperatorMessage>,
        message: OperatorMessage,
        state: &mut Box<OperatorState>,
    ) -> Result<(), ActorProcessingErr> {
        let inputs = match message {
            // On the heap: it happens once, and would be in the task of every operator.
            OperatorMessage::Begin => Box::pin(state.begin()).await?,
            // Whoever asked was told to ask again: its right to this call has ended with its wait.
            OperatorMessage::Call(_, reply, _) if reply.is_closed() => Vec::new(),
            OperatorMessage::Call(wanted, reply, permit) => {
                state.calls_made += 1;
                state.calls.insert(state.calls_made, (reply, permit));
                vec![OperatorInput::Call(state.calls_made, wanted)]
            }
            OperatorMessage::Said(said) => vec![OperatorInput::Said(*said)],
            OperatorMessage::AccountChanged => vec![OperatorInput::Account(state.account())],
            OperatorMessage::Connected(connection) => vec![OperatorInput::Connected(connection)],
            OperatorMessage::Disconnected(connection) => {
                vec![OperatorInput::Disconnected(connection)]
            }
            OperatorMessage::ProbeAnswered(connection, probe) => {
                vec![OperatorInput::ProbeAnswered(connection, probe)]
            }
            OperatorMessage::Look(reply, _permit) => {
                let view = state.machine.as_ref().filter(|machine| machine.is_live());
                let _ = reply.send(view.map(|m| OperatorView::of(state.operator, m)));
                return Ok(());
            }
            OperatorMessage::Saved(durable) => vec![OperatorInput::Saved(durable)],
            // What is durable is not known: the next life reads it.
            OperatorMessage::NotSaved(silent) => return Err(Box::new(silent)),
            OperatorMessage::Tick => {
                state.timer.disarm();
                vec![OperatorInput::Tick]
            }
            OperatorMessage::Rest => {
                state.rest(&myself);
                return Ok(());
            }
            OperatorMessage::Stop if state.may_rest() => {
                state.timer.disarm();
                state.rest.disarm();
                myself.stop(None);
                return Ok(());
            }
            OperatorMessage::Stop => {
                state.shared.operators.go_on(state.operator, state.life, myself.clone())?;
                Vec::new()
            }
            #[allow(clippy::panic, reason = "this is what it is for")]
            OperatorMessage::Crash => panic!("crashed by a test"),
        };
        for input in inputs {
            state.step(&myself, input);
        }
        state.used_at = state.shared.now();
        state.arm(&myself);
        Ok(())
    }
}

impl OperatorState {
    /// Reads the record and finds the connections. A life that follows another in this process
    /// waits until nothing of the former can land any more.
    async fn begin(&mut self) -> Result<Vec<OperatorInput>, ActorProcessingErr> {
        let record = match self.shared.store.operators.load(self.operator).await {
            // As if it had none: a life that fails would do so for ever, and nobody else gives its chats
            // back to their lines. The next change writes it anew.
            Err(OperatorRecordError::Damaged { what }) => {
                note_damaged(&self.shared, self.operator, &what);
                OperatorRecord::default()
            }
            record => record?,
        };
        let account = self.account();
        let supervisors = self.shared.supervisors.get();
        let beginning = Beginning {
            now: self.shared.now(),
            follows: supervisors.is_some_and(|all| all.operator_lived(self.operator)),
            grace_until: self.shared.grace_until,
        };
        self.machine = Some(Operator::new(self.operator, account, record, self.life, beginning));
        let connections = self.shared.hub.of(Person::User(self.operator));
        Ok(first_inputs(self.on_screens(), connections))
    }

    /// What a former life has shown and not taken off.
    fn on_screens(&self) -> Vec<OnScreen> {
        let shown = self.shared.screens.get(&self.operator).map(|shown| shown.clone());
        let row = |chat| self.shared.index(chat, |index| index.get(chat).cloned());
        shown.unwrap_or_default().for_a_new_life(row)
    }

    /// Arms both timers. The one for rest stays where it is while there is something to do, and looks when it
    /// fires.
    fn arm(&mut self, myself: &ActorRef<OperatorMessage>) {
        let clock = &self.shared.clock;
        let next = self.next_deadline();
        self.timer.arm(clock, next, myself, || OperatorMessage::Tick);
        if self.may_rest() {
            let at = Some(self.rest_at());
            self.rest.arm(clock, at, myself, || OperatorMessage::Rest);
        }
    }

    /// Has its actor stop, if there is nothing to do. What is in its mailbox is handled before: of what it is told
    /// without being asked, as of connections, nothing is said again.
    fn rest(&mut self, myself: &ActorRef<OperatorMessage>) {
        self.rest.disarm();
        if self.rest_at() <= self.shared.now() && self.may_rest() {
            if self.shared.operators.begin_stop(self.operator, self.life) {
                // Refused only while the process ends, which stops it anyway.
                let _ = myself.send_message(OperatorMessage::Stop);
                return;
            }
            self.used_at = self.shared.now();
        }
        self.arm(myself);
    }

    /// What one that has stopped leaves to its next actor: all that it knows.
    pub(super) fn leaves(self: Box<Self>) -> Option<Left<Box<Self>>> {
        let due = self.next_deadline();
        self.can_rest().then_some(Left { state: self, due })
    }

    fn rest_at(&self) -> Timestamp {
        self.used_at.plus(self.shared.idle_operators_park_after)
    }

    /// Whether another actor can go on where this one is, and nothing is due before that would be worth it.
    fn may_rest(&self) -> bool {
        let after = self.shared.now().plus(self.shared.idle_operators_park_after);
        self.can_rest() && self.next_deadline().is_none_or(|at| at > after)
    }

    /// Whether nothing is on its way to its present actor alone.
    fn can_rest(&self) -> bool {
        self.calls.is_empty() && self.machine.as_ref().is_some_and(Operator::can_rest)
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        self.machine.as_ref()?.next_deadline(self.shared.now())
    }

    fn account(&self) -> Account {
        self.shared.roster.account(self.operator)
    }

    fn step(&mut self, myself: &ActorRef<OperatorMessage>, input: OperatorInput) {
        let mut inputs = vec![input];
        while let (Some(machine), Some(input)) = (&mut self.machine, inputs.pop()) {
            for effect in machine.step(self.shared.now(), input) {
                match effect {
                    OperatorEffect::ToChat(chat, said) => {
                        self.shared.to_chat(chat, ChatMessage::Said(said));
                    }
                    OperatorEffect::ToQueue(queue, said) => {
                        self.shared.to_queue(queue, QueueMessage::Said(said));
                    }
                    OperatorEffect::Answer(call, answer) => {
                        if let Some((reply, _permit)) = self.calls.remove(&call) {
                            let _ = reply.send(answer);
                        }
                    }
                    OperatorEffect::Save(record) => {
                        save(&self.shared, self.operator, record, myself);
                    }
                    OperatorEffect::ReadIndex => {
                        let shards = self.shared.indexes(|index| index.of_operator(self.operator));
                        inputs.push(OperatorInput::Recovered(shards.flatten().collect()));
                    }
                    OperatorEffect::Probe(connection, probe) => {
                        let person = Person::User(self.operator);
                        self.shared.hub.send_one(person, connection, &Outgoing::Probe(probe));
                    }
                    OperatorEffect::Show(notice) => {
                        note(&self.shared.screens, self.operator, &notice);
                        let seen = StatusSeen::of(machine);
                        self.shared.statuses.insert(self.operator, seen);
                        let to = [Person::User(self.operator)];
                        self.shared.hub.send(&to, &shown(machine, notice));
                    }
                }
            }
        }
    }
}

/// Says and counts it, once in a process.
fn note_damaged(shared: &Shared, operator: UserId, what: &str) {
    if shared.damaged_operators.insert(operator) {
        telemetry::store_damaged_rows(DamagedRow::Operator, shared.damaged_operators.len());
        tracing::error!(
            %operator, what,
            "the record of an operator is damaged: it goes on as one who is offline and has just begun, \
             and is written anew at its next change; see what else is with `switchboard store check`"
        );
    }
}

/// Keeps for the next life what the screens show.
fn note(screens: &Screens, operator: UserId, notice: &Notice) {
    match notice {
        Notice::OfferPresented { .. } => {
            screens.entry(operator).or_default().note(notice);
        }
        Notice::OfferWithdrawn { .. } => {
            screens.remove_if_mut(&operator, |_, shown| {
                shown.note(notice);
                shown.is_empty()
            });
        }
        Notice::Updated => {}
    }
}

fn shown(machine: &Operator, notice: Notice) -> Outgoing {
    match notice {
        Notice::Updated => Outgoing::Updated {
            status: machine.status().clone(),
            load: machine.load(),
            capacity: machine.account().capacity,
        },
        Notice::OfferPresented { .. } | Notice::OfferWithdrawn { .. } => Outgoing::Notice(notice),
    }
}

/// Saves beside the mailbox: chats wait for this operator. The machine asks for one at a time.
fn save(
    shared: &Arc<Shared>,
    operator: UserId,
    record: OperatorRecord,
    myself: &ActorRef<OperatorMessage>,
) {
    let (shared, myself) = (Arc::clone(shared), myself.clone());
    tokio::spawn(async move {
        let saving = async { shared.store.operators.save(operator, record).await };
        let said = match guarded(saving).await {
            Ok(()) => OperatorMessage::Saved(true),
            Err(silent @ StoreError::Silent { .. }) => OperatorMessage::NotSaved(silent),
            Err(error) => {
                tracing::warn!(%operator, %error, "the record of an operator was not saved");
                OperatorMessage::Saved(false)
            }
        };
        let _ = myself.send_message(said);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ChatId, OfferId, QueueId, Reach};
    use crate::machine::operator::Gone;

    const ANN: UserId = UserId::from_u128(1);
    const QUEUE: QueueId = QueueId::from_u128(2);

    fn came(chat: u128, offer: u128) -> Notice {
        Notice::OfferPresented {
            chat: ChatId::from_u128(chat),
            queue: QUEUE,
            offer: OfferId::from_u128(offer),
            reach: Reach::Directed,
            expires_at: Timestamp(9),
        }
    }

    fn went(chat: u128, offer: u128) -> Notice {
        let (chat, offer) = (ChatId::from_u128(chat), OfferId::from_u128(offer));
        Notice::OfferWithdrawn { chat, offer, reason: Gone::ChatEnded }
    }

    #[test]
    fn what_is_kept_of_screens_is_what_they_show() {
        let screens = Screens::new();
        let shown = || {
            let shown = screens.get(&ANN).map(|shown| shown.clone());
            let told = shown?.for_a_new_life(|_| None).into_iter();
            Some(told.map(|on| (on.chat.0.as_u128(), on.offer.0.as_u128())).collect::<Vec<_>>())
        };
        note(&screens, ANN, &came(1, 10));
        note(&screens, ANN, &came(2, 20));
        note(&screens, UserId::from_u128(3), &came(2, 20));
        note(&screens, ANN, &went(1, 10));
        assert_eq!(shown(), Some(vec![(2, 20)]));
        note(&screens, ANN, &came(2, 21));
        note(&screens, ANN, &went(2, 20));
        assert_eq!(shown(), Some(vec![(2, 21)]), "a later offer of the same chat stays");
        note(&screens, ANN, &went(2, 21));
        assert_eq!(shown(), None, "nothing is kept of one whose screens are empty");
    }
}
