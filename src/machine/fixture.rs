//! What the machines' tests share: names for people and things, and short ways to make words.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::event::Decision;
use crate::domain::event::Trigger;
use crate::domain::operator::{OperatorState, Standing};
use crate::domain::{
    ChannelId, ChatId, CommandId, Customer, CustomerId, MessageText, OfferId, Person, Place,
    Placement, Priority, Profile, QueueId, Reach, Rule, Timestamp, UserId,
};
use crate::machine::chat::{Author, ChatCall};
use crate::machine::message::{AssignBy, ChatAt, ToChat};

pub const CHAT: ChatId = ChatId::from_u128(0xc1);
pub const OTHER_CHAT: ChatId = ChatId::from_u128(0xc2);
pub const QUEUE: QueueId = QueueId::from_u128(0xb1);
pub const OTHER_QUEUE: QueueId = QueueId::from_u128(0xb2);
pub const CUSTOMER: Customer =
    Customer { channel: ChannelId::from_u128(1), id: CustomerId::from_u128(0xcc) };
pub const ANN: UserId = UserId::from_u128(0xa1);
pub const BOB: UserId = UserId::from_u128(0xa2);
pub const CYD: UserId = UserId::from_u128(0xa3);
pub const OFFER: OfferId = OfferId::from_u128(0xf1);
/// How long the offers of the tests stand, ms.
pub const TIMEOUT_MS: u64 = 1_000;

pub fn command(id: &str) -> CommandId {
    CommandId::new(id).unwrap()
}

pub fn text(text: &str) -> MessageText {
    MessageText::new(text).unwrap()
}

pub fn customer() -> Author {
    Author { person: Person::Customer(CUSTOMER), chat_administrator: false }
}

pub fn user(id: UserId) -> Author {
    Author { person: Person::User(id), chat_administrator: false }
}

pub fn administrator(id: UserId) -> Author {
    Author { person: Person::User(id), chat_administrator: true }
}

pub fn open() -> ChatCall {
    ChatCall::Open {
        customer: CUSTOMER,
        command: command("open"),
        queue: QUEUE,
        profile: Profile::default(),
        continues: None,
    }
}

pub fn send(by: Author, id: &str, words: &str) -> ChatCall {
    ChatCall::Send { by, id: command(id), text: text(words), profile: None }
}

pub fn end(by: Author, id: &str) -> ChatCall {
    ChatCall::End { by, command: command(id) }
}

pub fn decision() -> Decision {
    Decision {
        rule: Rule::LeastLoaded,
        config_version: 1,
        trigger: Trigger::Push,
        runners_up: Vec::new(),
        standings: BTreeMap::new(),
    }
}

pub fn offer(placement: Placement, offer: OfferId, reach: Reach, to: &[UserId]) -> ToChat {
    ToChat::Offer {
        queue: QUEUE,
        placement,
        offer,
        reach,
        to: to.to_vec(),
        timeout_ms: TIMEOUT_MS,
        decision: decision(),
    }
}

pub fn accept(operator: UserId, offer: OfferId, id: &str, valid_until: Timestamp) -> ToChat {
    let by = AssignBy::Offer(offer, 0);
    ToChat::Assign { operator, command: Some(command(id)), by, valid_until }
}

pub fn at(chat: ChatId, placement: Placement, place: Place) -> ChatAt {
    ChatAt {
        chat,
        placement,
        version: placement,
        customer: None,
        queue: QUEUE,
        since: Timestamp(1_000),
        priority: Priority::default(),
        weight: Default::default(),
        refused_by: Arc::default(),
        place,
        moved_at: Timestamp(1_000),
        last_offer: None,
        spent: false,
    }
}

/// The state of a member with one free slot, or the reason why it has none.
pub fn state(operator: UserId, version: u64, standing: Standing) -> OperatorState {
    OperatorState {
        operator,
        life: 1,
        version,
        standing,
        load: 0,
        free: u32::from(standing == Standing::Free),
        kept_below: None,
        last_accept: None,
        idle_since: Timestamp(0),
        at: Timestamp(0),
    }
}
