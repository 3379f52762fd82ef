//! The shell of a queue.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::domain::QueueId;
use crate::machine::Life;
use crate::machine::queue::{Entry, Phase, Queue, QueueEffect, QueueInput};
use crate::routing::Turn;
use crate::storage::OpenChat;

use super::message::{ChatMessage, OperatorMessage, QueueMessage};
use super::roster::Roster;
use super::shared::Shared;
use super::timer::Timer;
use super::view::{LinePage, WaitingChat};

pub(super) struct QueueShell;

pub(super) struct QueueState {
    shared: Arc<Shared>,
    queue: QueueId,
    machine: Queue,
    timer: Timer,
    /// Its configuration is gone: it ends once its line is empty.
    removed: bool,
}

impl Actor for QueueShell {
    type Msg = QueueMessage;
    type State = QueueState;
    type Arguments = (Arc<Shared>, QueueId, Life);

    async fn pre_start(
        &self,
        myself: ActorRef<QueueMessage>,
        (shared, queue, life): Self::Arguments,
    ) -> Result<QueueState, ActorProcessingErr> {
        let (config, settings) =
            shared.roster.look(|roster| (roster.queues.get(&queue).cloned(), roster.settings));
        let config = config.ok_or_else(|| format!("queue {queue} is not configured"))?;
        let machine = Queue::new(config, settings, life, shared.now());
        myself.send_message(QueueMessage::Begin)?;
        Ok(QueueState { shared, queue, machine, timer: Timer::default(), removed: false })
    }

    async fn handle(
        &self,
        myself: ActorRef<QueueMessage>,
        message: QueueMessage,
        state: &mut QueueState,
    ) -> Result<(), ActorProcessingErr> {
        let now = state.shared.now();
        let input = match message {
            // Only now can it be reached, so that what the index does not say yet is told.
            QueueMessage::Begin => QueueInput::Recovered(state.recovered()),
            QueueMessage::Said(said) => QueueInput::Said(said),
            QueueMessage::Configured => {
                let look = |roster: &Roster| roster.queues.get(&state.queue).cloned();
                match state.shared.roster.look(look) {
                    Some(config) => {
                        state.removed = false;
                        QueueInput::Configure(config)
                    }
                    None => {
                        state.removed = true;
                        QueueInput::Tick
                    }
                }
            }
            QueueMessage::Settings => {
                QueueInput::Settings(state.shared.roster.look(|roster| roster.settings))
            }
            QueueMessage::Explain(chat, reply, _permit) => {
                let _ = reply.send(state.machine.explain(chat, now));
                return Ok(());
            }
            QueueMessage::Line { after, limit, reply, permit: _permit } => {
                let _ = reply.send(state.line(after, limit));
                return Ok(());
            }
            QueueMessage::Tick => {
                state.timer.disarm();
                QueueInput::Tick
            }
            #[allow(clippy::panic, reason = "this is what it is for")]
            QueueMessage::Crash => panic!("crashed by a test"),
        };
        for effect in state.machine.step(now, input) {
            match effect {
                QueueEffect::ToChat(chat, said) => {
                    state.shared.to_chat(chat, ChatMessage::Said(said));
                }
                QueueEffect::ToOperator(operator, said) => {
                    let said = OperatorMessage::Said(Box::new(said));
                    state.shared.to_operator(operator, said);
                }
            }
        }
        // A chat that came in the moment of the removal is still served.
        if state.removed && state.machine.line().is_empty() {
            myself.stop(None);
            return Ok(());
        }
        let (clock, next) = (&state.shared.clock, state.machine.next_deadline());
        state.timer.arm(clock, next, &myself, || QueueMessage::Tick);
        Ok(())
    }
}

impl QueueState {
    /// What the index knows of the queue.
    fn recovered(&self) -> Vec<OpenChat> {
        self.shared.indexes(|index| index.of_queue(self.queue)).flatten().collect()
    }

    /// The first `limit` of the line behind a position, those being offered included.
    fn line(&self, after: Option<Turn>, limit: usize) -> LinePage {
        let line = self.machine.line();
        let shown = |entry: &Entry| WaitingChat {
            chat: entry.at.chat,
            since: entry.at.since,
            rank: entry.rank,
            offered: entry.phase != Phase::Waiting,
        };
        let chats = line.behind(after).take(limit).map(shown).collect();
        LinePage { chats, total: line.len() }
    }
}
