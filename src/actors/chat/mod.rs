//! The shell of a chat: feeds the driver, carries out what it says, arms its timer. It awaits the
//! store within one message, so that its mailbox is the buffer. When idle it is parked first, and goes to
//! sleep when it has been so for longer.

mod calls;
mod watermarks;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::domain::{ChatEvent, ChatId, Timestamp};
use crate::machine::Life;
use crate::machine::chat::driver::{
    self, Action, ChatAction, Driver, Preparation, READ_PAGE, StoreAnswer, StoreCall,
};
use crate::machine::chat::{ChatInput, Told};
use crate::machine::driver::EventSourced;
use crate::machine::message::ToQueue;
use crate::storage::{AppendError, Beside, FeedHour, FeedPeriod, OpenChat, StoreError};

use super::homeless::Homeless;
use super::message::{ChatMessage, OperatorMessage, QueueMessage};
use super::observe::{self, Deliveries};
use super::parked::Left;
use super::shared::Shared;
use super::timer::Timer;
use super::untold;

use calls::{Calls, When};
use watermarks::ChatWatermarks;

/// A store that cannot is not asked: the driver is told so.
const NOT_IN_ONE_WRITE: &str = "the store does not write rows with events";

pub(super) struct ChatShell;

pub(super) struct ChatState {
    shared: Arc<Shared>,
    chat: ChatId,
    life: Life,
    driver: Driver,
    begin: Vec<Action>,
    homeless: Homeless,
    /// An append that leads into a queue is under way.
    bound: bool,
    calls: Calls,
    watermarks: ChatWatermarks,
    deliveries: Deliveries,
    timer: Timer,
    rest: Timer,
    /// When it last had something to do.
    used_at: Timestamp,
}

impl Actor for ChatShell {
    type Msg = ChatMessage;
    type State = Box<ChatState>;
    type Arguments = ((Arc<Shared>, ChatId, Life), Option<Box<ChatState>>);

    async fn pre_start(
        &self,
        myself: ActorRef<ChatMessage>,
        ((shared, chat, life), parked): Self::Arguments,
    ) -> Result<Box<ChatState>, ActorProcessingErr> {
        let former = shared.index(chat, |index| index.wake(chat));
        if let Some(mut parked) = parked {
            parked.used_at = shared.now();
            parked.arm(&myself);
            return Ok(parked);
        }
        let untold_after = shared.untold.get(&chat).map(|after| *after);
        let (driver, begin) = Driver::begin(chat, shared.process, life, former);
        let driver = driver.untold(untold_after).in_one_write(shared.store.moves.is_some());
        // The first in the mailbox: nobody has this address yet.
        myself.send_message(ChatMessage::Begin)?;
        Ok(Box::new(ChatState {
            shared,
            chat,
            life,
            driver,
            begin,
            homeless: Homeless::default(),
            bound: false,
            calls: Calls::default(),
            watermarks: ChatWatermarks::default(),
            deliveries: Deliveries::default(),
            timer: Timer::default(),
            rest: Timer::default(),
            used_at: Timestamp::default(),
        }))
    }

    async fn handle(
        &self,
        myself: ActorRef<ChatMessage>,
        message: ChatMessage,
        state: &mut Box<ChatState>,
    ) -> Result<(), ActorProcessingErr> {
        // On the heap: the path through the store is long, and its locals would live in every
        // actor.
        Box::pin(state.take(&myself, message)).await
    }

    async fn post_stop(
        &self,
        _: ActorRef<ChatMessage>,
        state: &mut Box<ChatState>,
    ) -> Result<(), ActorProcessingErr> {
        state.flush_last_watermarks().await;
        Ok(())
    }
}

impl ChatState {
    async fn take(
        &mut self,
        myself: &ActorRef<ChatMessage>,
        message: ChatMessage,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ChatMessage::Begin => {
                let mut begin = std::mem::take(&mut self.begin);
                // What a former life told nobody of is told whether somebody asks or not.
                if self.shared.untold.contains_key(&self.chat) {
                    begin.extend(self.driver.wake());
                }
                self.carry_out(begin).await?;
                self.told();
            }
            ChatMessage::Calls(calls) => match self.calls.came(calls) {
                When::Now => self.begin_calls().await?,
                When::Behind => {
                    myself.send_message(ChatMessage::CarryOut)?;
                    return Ok(());
                }
                When::AsSaid => return Ok(()),
            },
            ChatMessage::CarryOut => self.begin_calls().await?,
            ChatMessage::Said(said) => self.input(ChatInput::Said(said)).await?,
            ChatMessage::Tick => {
                self.timer.disarm();
                self.input(ChatInput::Tick).await?;
            }
            ChatMessage::Look(..) | ChatMessage::RaiseWatermark { .. }
                if self.must_read_watermarks() =>
            {
                self.read_for_a_look().await?;
                self.hold(myself, message);
            }
            ChatMessage::Look(reply, _permit) => {
                self.read_for_a_look().await?;
                self.look(reply);
            }
            ChatMessage::RaiseWatermark { person, up_to, read, reply, permit: _permit } => {
                self.raise_watermark(myself, (person, up_to, read), reply);
            }
            ChatMessage::WatermarksRead(read) => self.watermarks_read(myself, read),
            ChatMessage::FlushWatermarks => self.flush_watermarks(myself),
            ChatMessage::WatermarksWritten(batch, written) => {
                self.watermarks_written(myself, batch, written);
            }
            ChatMessage::LetGo(reply, _permit) => {
                let claim = self.driver.wake();
                self.carry_out(claim).await?;
                let actions = self.driver.let_go();
                let gone = actions.is_some();
                if gone {
                    // Whoever waits for a watermark asks again, and hears that there is no such chat.
                    self.watermarks = ChatWatermarks::default();
                }
                self.carry_out(actions.unwrap_or_default()).await?;
                let _ = reply.send(gone);
            }
            ChatMessage::Rest => {
                self.rest.disarm();
                if self.rest_at() <= self.shared.now() && self.may_rest() {
                    if self.shared.chats.begin_stop(self.chat, self.life) {
                        // Refused only while the process ends, which stops it anyway.
                        let _ = myself.send_message(ChatMessage::Stop);
                        return Ok(());
                    }
                    self.used_at = self.shared.now();
                }
                self.arm(myself);
                return Ok(());
            }
            ChatMessage::Stop if self.may_rest() => {
                if let Some(tail) = self.driver.told_up_to() {
                    self.shared.index(self.chat, |index| index.rest(self.chat, tail));
                }
                self.timer.disarm();
                self.rest.disarm();
                myself.stop(None);
                return Ok(());
            }
            ChatMessage::Stop => self.shared.chats.go_on(self.chat, self.life, myself.clone())?,
            #[allow(clippy::panic, reason = "this is what it is for")]
            ChatMessage::Crash => panic!("crashed by a test"),
        }
        while let Some((rehome, _way)) = self.homeless.take(self.chat) {
            self.input(ChatInput::Said(rehome)).await?;
        }
        self.used_at = self.shared.now();
        self.arm(myself);
        Ok(())
    }

    /// Arms both timers. The one for rest stays where it is while the chat is used, and looks when
    /// it fires: most messages arm nothing.
    fn arm(&mut self, myself: &ActorRef<ChatMessage>) {
        let (clock, next) = (&self.shared.clock, self.driver.next_deadline());
        self.timer.arm(clock, next, myself, || ChatMessage::Tick);
        if self.may_rest() {
            let at = Some(self.rest_at());
            self.rest.arm(&self.shared.clock, at, myself, || ChatMessage::Rest);
        }
    }

    /// What a chat that has stopped leaves to its next actor: all that it knows, until it would be asleep.
    pub(super) fn leaves(self: Box<Self>) -> Option<Left<Box<Self>>> {
        let asleep_at = self.used_at.plus(self.idle_after());
        let leaves = self.may_rest() && self.shared.now() < asleep_at;
        leaves.then_some(Left { state: self, due: Some(asleep_at) })
    }

    /// When its actor ends unless something happens.
    fn rest_at(&self) -> Timestamp {
        self.used_at.plus(self.idle_after().min(self.shared.idle_chats_park_after))
    }

    fn idle_after(&self) -> Duration {
        let is_open = self.driver.chat().is_open();
        if is_open { self.shared.idle_after } else { self.shared.ended_idle_after }
    }

    fn may_rest(&self) -> bool {
        self.driver.can_rest() && self.watermarks.is_at_rest()
    }

    /// What a look shows, of a chat that nobody has claimed.
    async fn read_for_a_look(&mut self) -> Result<(), ActorProcessingErr> {
        let actions = self.driver.look();
        self.carry_out(actions).await
    }

    /// Hands the calls that have come to the machine, and does what that says.
    async fn begin_calls(&mut self) -> Result<(), ActorProcessingErr> {
        let inputs = self.calls.begin();
        let (chat, roster) = (self.driver.chat(), &self.shared.roster);
        let calls = inputs.iter().map(|(_, call)| call);
        let called = roster.look(|roster| roster.called_by(chat, calls));
        self.driver.called(called);
        let actions = self.driver.calls(self.shared.now(), inputs);
        self.carry_out(actions).await
    }

    async fn input(&mut self, input: ChatInput) -> Result<(), ActorProcessingErr> {
        let called = self.shared.roster.look(|roster| roster.called(self.driver.chat(), &input));
        self.driver.called(called);
        let actions = self.driver.input(self.shared.now(), input);
        self.carry_out(actions).await
    }

    /// Carries out actions, and those that the store's answers lead to. A store that is silent is
    /// an unknown outcome: this life ends, and the next one claims the chat anew.
    async fn carry_out(&mut self, actions: Vec<Action>) -> Result<(), ActorProcessingErr> {
        // Where the chat was before the events that are being appended.
        let mut before = None;
        let mut todo = VecDeque::from(actions);
        // The row comes last: people wait for the answers, nobody waits for it.
        let mut row_changed = None;
        while let Some(action) = todo.pop_front() {
            match action {
                Action::Store(call) => {
                    let chat = self.driver.chat();
                    // Not at the claim: nothing of the log is known then.
                    if !call.events().is_empty() {
                        before = chat.at();
                    }
                    if let Some(row) = row_changed.take() {
                        self.write_row(row).await?;
                    }
                    self.bound |= self.shared.ways.begins(self.chat, &call);
                    untold::begins(&self.shared.untold, self.chat, &call);
                    let answer = self.call_store(call).await;
                    todo.extend(self.driver.stored(self.shared.now(), answer));
                }
                Action::Own(ChatAction::Row(row)) => {
                    self.put_in_index(row.clone());
                    row_changed = Some(row);
                }
                Action::Own(ChatAction::Index(row)) => self.put_in_index(row),
                Action::Own(ChatAction::MarkIndex(moving)) => {
                    self.shared.index(self.chat, |index| index.mark(self.chat, moving));
                }
                Action::Answer(call, answer) => {
                    self.calls.answered(call, answer);
                }
                Action::Own(ChatAction::ToQueue(queue, said)) => {
                    if let ToQueue::At(at) = &said {
                        self.homeless.look_at(&self.shared, self.driver.chat(), at);
                    }
                    self.shared.to_queue(queue, QueueMessage::Said(said));
                }
                Action::Own(ChatAction::ToOperator(operator, said)) => {
                    self.shared.to_operator(operator, OperatorMessage::Said(Box::new(said)));
                }
                Action::Publish(events) => {
                    let updates = |told: &Told| {
                        matches!(told.recorded.event, ChatEvent::CustomerUpdated { .. })
                    };
                    if events.iter().any(updates) {
                        let name = self.driver.chat().profile().name.as_ref();
                        self.shared.index(self.chat, |index| index.name_customer(self.chat, name));
                    }
                    observe::recorded(before.take().as_ref(), &events);
                    self.deliveries.recorded(&events);
                    self.publish(&events);
                }
                Action::PublishLate(events) => self.publish(&events),
                Action::Fail(failure) => {
                    if failure.is_lasting() {
                        self.shared.index(self.chat, |index| index.give_up_ending(self.chat));
                    }
                    return Err(Box::new(failure));
                }
            }
        }
        if std::mem::take(&mut self.bound) {
            self.shared.ways.settled(self.chat);
        }
        if let Some(row) = row_changed {
            self.write_row(row).await?;
        }
        Ok(())
    }

    fn put_in_index(&self, row: Option<OpenChat>) {
        let name = self.driver.chat().profile().name.as_ref();
        self.shared.index(self.chat, |index| {
            index.put(self.chat, row);
            index.name_customer(self.chat, name);
        });
    }

    /// All that is in the log has been told.
    fn told(&mut self) {
        let name = self.driver.chat().profile().name.as_ref();
        self.shared.index(self.chat, |index| index.name_customer(self.chat, name));
        self.shared.untold.remove(&self.chat);
        self.shared.ways.settled(self.chat);
    }

    /// Sends what is durable to those whom it concerns.
    fn publish(&self, events: &[Told]) {
        self.shared.hub.tell(self.chat, events);
        self.shared.changed(self.chat, events);
        self.shared.untold.remove(&self.chat);
    }

    async fn call_store(&self, call: StoreCall) -> StoreAnswer {
        let store = &self.shared.store;
        match call {
            StoreCall::Claim => StoreAnswer::Claimed(store.log.claim(self.chat).await),
            StoreCall::Read { from } => {
                StoreAnswer::Page(store.log.read(self.chat, from, READ_PAGE).await)
            }
            StoreCall::Prepare(Preparation::PutRow(row)) => {
                // In the index first: should this life end before the chat is told of, the next
                // one is started by its supervisor, though nobody calls again.
                self.shared.index(self.chat, |index| index.put(self.chat, Some(row.clone())));
                StoreAnswer::Prepared(store.open_chats.put(row).await)
            }
            StoreCall::Touch(hour) => {
                StoreAnswer::Touched(store.feed.touch(self.chat, self.period(hour)).await)
            }
            StoreCall::Prepare(Preparation::Mark(moving)) => {
                StoreAnswer::Prepared(store.open_chats.mark(self.chat, moving).await)
            }
            StoreCall::Append(claim, events) => {
                StoreAnswer::Appended(store.log.append(claim, events).await)
            }
            StoreCall::AppendWith(claim, events, driver::Beside { hour, rows }) => {
                let touched = hour.map(|hour| self.period(hour));
                StoreAnswer::Appended(match &store.moves {
                    Some(moves) => moves.append(claim, events, Beside { touched, rows }).await,
                    None => Err(AppendError::Unavailable { reason: NOT_IN_ONE_WRITE.to_owned() }),
                })
            }
        }
    }

    fn period(&self, hour: FeedHour) -> FeedPeriod {
        FeedPeriod { process: self.shared.process, hour }
    }

    /// The row after a change. Nobody waits for it but the chat itself, whose next write to it must
    /// come after. When it fails, the row stays as it was: marked, so that a start asks the chat, unless the store
    /// writes changes of place with their events. Errors when the
    /// store is silent: then nobody knows what it will say.
    async fn write_row(&self, row: Option<OpenChat>) -> Result<(), StoreError> {
        let store = &self.shared.store;
        for update in self.driver.chat().row_updates(row) {
            match store.update_row(self.chat, update).await {
                Ok(()) => {}
                Err(silent @ StoreError::Silent { .. }) => return Err(silent),
                Err(error) => {
                    let chat = self.chat;
                    tracing::warn!(%chat, %error, "the row of an open chat was not written");
                    break;
                }
            }
        }
        Ok(())
    }
}
