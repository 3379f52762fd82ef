//! What can be seen of chats and operators from outside, as plain values.

use std::collections::BTreeMap;

use crate::domain::event::{AssignedHow, Decision, PlacedCause};
use crate::domain::operator::OperatorRecord;
use crate::domain::{
    ChatEvent, ChatId, ChatState, Customer, OfferId, Party, Person, Place, Profile, QueueId,
    Recorded, Seq, Shown, Status, Timestamp, UserId,
};
use crate::machine::chat::Chat;
use crate::machine::operator::{Held, Operator};
use crate::routing::Turn;
use crate::storage::Watermark;

use super::watermarks::WatermarkBuffer;

/// One chat, as it is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatView {
    /// The chat.
    pub chat: ChatId,
    /// How and by whom it was opened; none when there is no such chat.
    pub opened: Option<OpenedView>,
    /// Where it is.
    pub place: Option<Place>,
    /// The state that people see.
    pub state: Option<ChatState>,
    /// Whoever owned it last; none: nobody ever did.
    pub last_owner: Option<UserId>,
    /// Whoever owned it when it ended; none: it has not ended, or ended in a line.
    pub owner_at_end: Option<UserId>,
    /// Its queue, or the last one.
    pub queue: Option<QueueId>,
    /// The first time of waiting.
    pub since: Timestamp,
    /// What the latest token that it knows of says of the customer.
    pub profile: Profile,
    /// The last position of its log.
    pub tail: Seq,
    /// The chat in which it goes on.
    pub continued_in: Option<ChatId>,
    /// How far each participant has come.
    pub watermarks: BTreeMap<Party, Watermark>,
    /// How many messages of others each participant has not read.
    pub unread: BTreeMap<Party, u64>,
}

/// How a chat began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenedView {
    /// Whose it is, by which channel.
    pub customer: Customer,
    /// When.
    pub at: Timestamp,
    /// The chat that it follows.
    pub continues: Option<ChatId>,
}

impl ChatView {
    pub(super) fn of<W>(chat: &Chat, watermarks: Option<&WatermarkBuffer<W>>) -> Self {
        let at = chat.at();
        let people = chat.seen_by();
        let parties: Vec<Party> = people.iter().filter_map(|one| chat.party(*one)).collect();
        let watermark =
            |party: &Party| watermarks.map(|known| known.of(*party)).unwrap_or_default();
        Self {
            chat: chat.id(),
            opened: chat.opened().map(|opened| OpenedView {
                customer: opened.customer,
                at: opened.at,
                continues: opened.continues,
            }),
            place: chat.place().cloned(),
            state: chat.state(),
            last_owner: chat.last_owner(),
            owner_at_end: chat.owner_at_end(),
            queue: at.as_ref().map(|at| at.queue),
            since: at.as_ref().map_or(Timestamp::default(), |at| at.since),
            profile: chat.profile().clone(),
            tail: chat.tail(),
            continued_in: chat.continued_in(),
            unread: parties.iter().map(|p| (*p, chat.unread(*p, watermark(p).read))).collect(),
            watermarks: parties.iter().map(|party| (*party, watermark(party))).collect(),
        }
    }

    /// Whether a user without further rights may read it: who takes part in it, or owned it when
    /// it ended. Who gave it away sees nothing of what came after.
    pub fn may_be_read_by(&self, user: UserId) -> bool {
        self.concerns(Person::User(user)) || self.owner_at_end == Some(user)
    }

    /// Whether somebody takes part in it at present.
    pub fn concerns(&self, person: Person) -> bool {
        match person {
            Person::Customer(customer) => {
                self.opened.as_ref().is_some_and(|opened| opened.customer == customer)
            }
            Person::User(user) => {
                self.place.as_ref().is_some_and(|place| place.operators().any(|one| one == user))
            }
            Person::System => false,
        }
    }

    /// How many messages of others somebody who takes part in it has not read.
    pub fn unread_by(&self, person: Person) -> u64 {
        let party = match person {
            Person::Customer(_) if !self.concerns(person) => return 0,
            Person::Customer(customer) => Party::Customer(customer.id),
            Person::User(user) => Party::User(user),
            Person::System => return 0,
        };
        self.unread.get(&party).copied().unwrap_or_default()
    }
}

/// A part of a chat's log, as an audience may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryPage {
    /// What it may see, in order.
    pub shown: Vec<Shown>,
    /// The last position that was read, whether it is shown or not; none: the log has nothing there.
    pub last: Option<Seq>,
}

/// One operator, as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorView {
    /// Who.
    pub operator: UserId,
    /// Status and latest chats.
    pub record: OperatorRecord,
    /// Whether a connection proves that somebody is there.
    pub present: bool,
    /// How many chats fit.
    pub capacity: u32,
    /// Reserved, offered and active chats.
    pub load: u32,
    /// The chats that it owns.
    pub active: Vec<ChatId>,
    /// Live offers: chat, queue, offer, when it lapses, and whether all members have it.
    pub offers: Vec<OfferView>,
}

/// A live offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfferView {
    /// The chat.
    pub chat: ChatId,
    /// Its queue.
    pub queue: QueueId,
    /// The offer.
    pub offer: OfferId,
    /// When it lapses.
    pub expires_at: Timestamp,
    /// Whether several have it.
    pub to_all: bool,
}

impl OperatorView {
    pub(super) fn of(id: UserId, operator: &Operator) -> Self {
        let slots = operator.slots().iter();
        let active = slots.clone().filter(|(_, slot)| slot.held == Held::Active);
        let directed = slots.filter_map(|(chat, slot)| match (&slot.held, slot.queue) {
            (Held::Offered { offer, expires_at, .. }, Some(queue)) => {
                let (chat, offer, expires_at) = (*chat, *offer, *expires_at);
                Some(OfferView { chat, queue, offer, expires_at, to_all: false })
            }
            (Held::Offered { .. }, None)
            | (
                Held::Withdrawing { .. }
                | Held::Declining { .. }
                | Held::Assigning { .. }
                | Held::Active
                | Held::Unsure,
                _,
            ) => None,
        });
        let invites = operator.invites().iter().map(|(chat, invite)| OfferView {
            chat: *chat,
            queue: invite.queue,
            offer: invite.offer,
            expires_at: invite.expires_at,
            to_all: true,
        });
        Self {
            operator: id,
            record: operator.record().clone(),
            present: operator.is_present(),
            capacity: operator.account().capacity,
            load: operator.load(),
            active: active.map(|(chat, _)| *chat).collect(),
            offers: directed.chain(invites).collect(),
        }
    }
}

/// What is counted of one operator.
#[derive(Debug, Clone, Copy)]
pub(super) struct StatusSeen {
    pub(super) status: &'static str,
    pub(super) load: u32,
    pub(super) capacity: u32,
}

impl StatusSeen {
    pub(super) fn of(operator: &Operator) -> Self {
        let status = match operator.status() {
            Status::Ready if !operator.is_present() => "not_connected",
            Status::Ready => "ready",
            Status::Away(_) => "away",
            Status::Busy => "busy",
            Status::Offline => "offline",
        };
        Self { status, load: operator.load(), capacity: operator.account().capacity }
    }
}

/// A part of a queue's line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinePage {
    /// In the order of the line.
    pub chats: Vec<WaitingChat>,
    /// How many chats the whole line has.
    pub total: usize,
}

/// A chat in a queue's line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitingChat {
    /// The chat.
    pub chat: ChatId,
    /// Since when it waits.
    pub since: Timestamp,
    /// Its rank.
    pub rank: i64,
    /// Whether it is offered, or about to be.
    pub offered: bool,
}

impl WaitingChat {
    /// When it is served. That stays what it is when other chats come and go.
    pub fn turn(&self) -> Turn {
        Turn { rank: self.rank, chat: self.chat }
    }
}

/// A step by which a chat went where it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Routed {
    /// It went into a queue's line, from its opening or from an owner.
    Placed {
        /// When.
        at: Timestamp,
        /// Which queue.
        queue: QueueId,
        /// Why.
        cause: PlacedCause,
    },
    /// It was offered.
    Offered {
        /// When.
        at: Timestamp,
        /// To whom; nobody when an offer to all was made again to those who had it.
        to: Vec<UserId>,
        /// Why so.
        decision: Decision,
    },
    /// It got an owner.
    Assigned {
        /// When.
        at: Timestamp,
        /// Who.
        operator: UserId,
        /// How.
        how: AssignedHow,
    },
}

impl Routed {
    pub(super) fn of(recorded: &Recorded) -> Option<Self> {
        let at = recorded.at;
        match &recorded.event {
            ChatEvent::Placed { queue, cause, .. } => {
                Some(Self::Placed { at, queue: *queue, cause: cause.clone() })
            }
            ChatEvent::Offered { to, decision, .. } => {
                Some(Self::Offered { at, to: to.clone(), decision: decision.clone() })
            }
            ChatEvent::Assigned { operator, how, .. } => {
                Some(Self::Assigned { at, operator: *operator, how: *how })
            }
            ChatEvent::Opened { .. }
            | ChatEvent::CustomerUpdated { .. }
            | ChatEvent::Message { .. }
            | ChatEvent::OfferWidened { .. }
            | ChatEvent::Declined { .. }
            | ChatEvent::OfferNarrowed { .. }
            | ChatEvent::OfferEnded { .. }
            | ChatEvent::Begun { .. }
            | ChatEvent::TransferAsked { .. }
            | ChatEvent::TransferFailed { .. }
            | ChatEvent::Ended { .. }
            | ChatEvent::ContinuedIn { .. } => None,
        }
    }
}
