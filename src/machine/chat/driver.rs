//! The chat as the driver has it: what stands of it in the index of open chats, how a change of place is
//! marked there first or written with the events, and what its actor does for it alone.
//!
//! Owns: the chat's row as the index has it, and the words of its actor. Refuses: the order in which things
//! are done (`machine::driver`), and what is decided (`decide.rs`).

use std::collections::BTreeMap;

use crate::domain::{
    ChatEvent, ChatId, CommandId, EventNames, Party, Person, Place, QueueId, Reach, Recorded,
    Timestamp, UserId, Weight,
};
use crate::machine::Life;
use crate::machine::driver::{
    self, EventSourced, Journal, Listing, Moment, Outbox, Recent, Refuses, Stands,
};
use crate::machine::index::Former;
use crate::machine::message::{Peer, ToChat, ToOperator, ToQueue};
use crate::storage::{Claim, Moving, OpenChat, RowUpdate};

use super::call::{ChatCall, ChatInput, Context, Decided, Saying};
use super::fold::{Chat, FOLD_VERSION};
use super::names::Called;
use super::notices::Notices;
use super::refusal::Refusal;
use super::search;

pub use crate::machine::driver::{Failure, READ_PAGE};

/// What an event takes in the log besides what somebody wrote, bytes, at most but for offers, of which
/// nothing joins a batch: four names and ids.
const EVENT_BYTES: usize = 512;

/// A chat's driver.
pub type Driver = driver::Driver<Chat>;
/// What a chat's actor has to do.
pub type Action = driver::Action<Chat>;
/// What is written with a chat's events.
pub type Beside = driver::Beside<Chat>;
/// A chat's call to the store.
pub type StoreCall = driver::StoreCall<Chat>;
/// The answer to it.
pub type StoreAnswer = driver::StoreAnswer<Chat>;

/// What a chat's actor does for it, besides what is done for everything that has a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChatAction {
    /// The row has changed: at once in the index in memory; in the store in order, not awaited.
    /// None: remove it.
    Row(Option<OpenChat>),
    /// The same where the store has it already: in the index in memory alone.
    Index(Option<OpenChat>),
    /// A change of place may be under way: mark the row in the index in memory.
    MarkIndex(Moving),
    /// Say something to a queue.
    ToQueue(QueueId, ToQueue),
    /// Say something to an operator.
    ToOperator(UserId, ToOperator),
}

/// What is written of a chat's row before events are appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Preparation {
    /// The first row, of a chat about to be opened.
    PutRow(OpenChat),
    /// That the row's chat may be on its way.
    Mark(Moving),
}

/// What a chat is given from without.
#[derive(Debug, Clone)]
pub struct Given {
    process: u64,
    life: Life,
    /// What those are called whom the input under way concerns.
    called: Called,
}

/// A chat's row as the index has it; none when it has been marked meanwhile, or nobody knows, so that it is
/// written anew whatever comes of it.
#[derive(Debug, Clone)]
pub struct Listed(Option<Option<OpenChat>>);

impl driver::Driver<Chat> {
    /// A new life of a chat, after what the former one left. Begins with a claim when the chat is
    /// open, or ended and somebody may not have heard of it; else asleep.
    pub fn begin(chat: ChatId, process: u64, life: Life, former: Former) -> (Self, Vec<Action>) {
        let awake = former.row.is_some() || former.ending;
        // Whether the store has heard that a chat ended, nobody knows after a failure.
        let listed = Listed((!former.ending).then_some(former.row));
        let given = Given { process, life, called: Called::default() };
        let mut driver = Self::new(Chat::new(chat), given, listed, former.rested);
        let actions = if awake { driver.wake() } else { Vec::new() };
        (driver, actions)
    }

    /// Keeps fewer answers in memory, or more; to be said at the beginning.
    pub fn remembering(self, recent: Recent) -> Self {
        let chat = self.chat().id();
        self.over(Chat::remembering(chat, recent))
    }

    /// The chat as it is durable.
    pub fn chat(&self) -> &Chat {
        self.fold()
    }

    /// What those are called whom the next input concerns ([`Chat::people_of`]); said before it.
    pub fn called(&mut self, called: Called) {
        self.given().called = called;
    }
}

impl Refuses for Refusal {
    const UNKNOWN: Self = Self::UnknownChat;
    const UNAVAILABLE: Self = Self::Unavailable;
    const ID_REUSED: Self = Self::IdReused;
}

impl EventSourced for Chat {
    type Claim = Claim;
    type Event = ChatEvent;
    type Call = ChatCall;
    type Said = ToChat;
    type Refusal = Refusal;
    type Effect = Saying;
    type Intent = Moving;
    type Preparation = Preparation;
    type Rows = Vec<RowUpdate>;
    type Action = ChatAction;
    type Given = Given;
    type Notices = Notices;
    type Listing = Listed;

    const FOLD_VERSION: u16 = FOLD_VERSION;

    fn journal(&self) -> &Journal<Refusal> {
        &self.journal
    }

    fn emptied(&self) -> Self {
        let mut chat = Self::new(self.id);
        chat.journal = self.journal.emptied();
        chat
    }

    fn apply(&mut self, recorded: &Recorded) {
        Chat::apply(self, recorded);
    }

    fn decide(&self, moment: &Moment<'_, Self>, input: &ChatInput) -> Decided {
        let directed = self.offer().filter(|offer| offer.reach == Reach::Directed);
        let mut asked = directed.iter().flat_map(|offer| offer.to.iter());
        let context = Context {
            now: moment.now,
            process: moment.given.process,
            life: moment.given.life,
            unheard: asked.any(|operator| moment.notices.owes(Peer::Operator(*operator))),
            found: moment.found,
        };
        Chat::decide(self, &context, input)
    }

    fn asked_by<'a>(&self, input: &'a ChatInput) -> Option<(Party, &'a CommandId)> {
        search::asked_by(self, input)
    }

    fn command_in(event: &ChatEvent) -> Option<Stands<'_>> {
        search::command_in(event)
    }

    fn outcome_in(event: &ChatEvent, asked: &ChatEvent) -> Option<Result<(), Refusal>> {
        search::outcome_in(event, asked)
    }

    fn bytes_of(event: &ChatEvent) -> usize {
        let said = match event {
            ChatEvent::Message { id, text, .. } => id.as_str().len() + text.as_str().len(),
            _ => 0,
        };
        EVENT_BYTES + said
    }

    fn seen_by(&self) -> Vec<Person> {
        Chat::seen_by(self)
    }

    fn names_in(&self, events: &[ChatEvent], given: &Given) -> Vec<EventNames> {
        Chat::names_in(self, events, &given.called)
    }

    fn is_open(&self) -> bool {
        self.place().is_some_and(|place| !place.state().is_final())
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        Chat::next_deadline(self)
    }

    fn carry_out(&self, now: Timestamp, effect: Saying, out: &mut Outbox<'_, Self>) {
        match effect {
            Saying::ToOperator(to, said) => out.push(ChatAction::ToOperator(to, *said)),
            Saying::Tell(peer) => self.tell(peer, now, out),
        }
    }
}

impl Chat {
    /// Where the chat is, for one of those whom it concerns: all of it for a queue, for an operator what
    /// is its own.
    pub(super) fn tell(&self, peer: Peer, now: Timestamp, out: &mut Outbox<'_, Self>) {
        match peer {
            Peer::Queue(queue) => {
                if let Some(at) = self.told_at(now) {
                    out.push(ChatAction::ToQueue(queue, ToQueue::At(at)));
                }
            }
            Peer::Operator(operator) => {
                if let Some(at) = self.told_to(operator, now) {
                    out.push(ChatAction::ToOperator(operator, ToOperator::At(at)));
                }
            }
        }
    }

    /// The row of a chat about to be opened: there before the log, so that no opened chat is
    /// missed by a start.
    fn first_row(&self, input: &ChatInput) -> OpenChat {
        let (queue, priority) = match input {
            ChatInput::Call(_, ChatCall::Open { queue, profile, .. }) => (*queue, profile.priority),
            ChatInput::Call(..) | ChatInput::Started | ChatInput::Said(_) | ChatInput::Tick => {
                (QueueId::from_u128(0), crate::domain::Priority::default())
            }
        };
        OpenChat {
            chat: self.id(),
            queue,
            placement: 0,
            priority,
            weight: Weight::default(),
            since: Timestamp::default(),
            refused_by: BTreeMap::new(),
            place: None::<Place>,
            next_deadline: None,
            moving: Some(Moving { to: None }),
        }
    }
}

impl Listing<Chat> for Listed {
    fn prepare(
        &mut self,
        chat: &Chat,
        input: &ChatInput,
        moving: Moving,
        out: &mut Outbox<'_, Chat>,
    ) -> Preparation {
        if chat.opened().is_none() {
            let row = chat.first_row(input);
            self.0 = Some(Some(row.clone()));
            Preparation::PutRow(row)
        } else {
            self.doubt();
            out.push(ChatAction::MarkIndex(moving));
            Preparation::Mark(moving)
        }
    }

    fn begin(
        &mut self,
        chat: &Chat,
        input: &ChatInput,
        moving: Moving,
        out: &mut Outbox<'_, Chat>,
    ) {
        if chat.opened().is_none() {
            // So that the next life is started should this one end before anybody is told of the chat.
            let row = chat.first_row(input);
            self.0 = Some(Some(row.clone()));
            out.push(ChatAction::Index(Some(row)));
        } else {
            self.doubt();
            out.push(ChatAction::MarkIndex(moving));
        }
    }

    fn rows(&self, ahead: &Chat) -> Vec<RowUpdate> {
        ahead.row_updates(ahead.row())
    }

    fn written(&mut self, chat: &Chat, out: &mut Outbox<'_, Chat>) {
        let row = chat.row();
        self.0 = Some(row.clone());
        out.push(ChatAction::Index(row));
    }

    fn list(&mut self, chat: &Chat, out: &mut Outbox<'_, Chat>) {
        let row = chat.row();
        if self.0.as_ref() != Some(&row) {
            self.0 = Some(row.clone());
            out.push(ChatAction::Row(row));
        }
    }

    fn doubt(&mut self) {
        self.0 = None;
    }
}
