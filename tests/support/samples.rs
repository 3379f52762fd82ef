//! Values for tests of stores.

#![allow(clippy::unwrap_used, reason = "a wrong sample is a wrong test")]

use std::collections::BTreeMap;

use switchboard::domain::{
    ChannelId, ChatEvent, ChatId, CommandId, Customer, CustomerId, MessageText, Party, Place,
    Priority, QueueId, Recorded, Seq, Timestamp, UserId,
};
use switchboard::storage::OpenChat;

pub fn chat(n: u128) -> ChatId {
    ChatId::from_u128(n)
}

#[allow(dead_code, reason = "the benchmark needs no users")]
pub fn user(n: u128) -> UserId {
    UserId::from_u128(n)
}

pub fn channel(n: u128) -> ChannelId {
    ChannelId::from_u128(n)
}

pub fn customer(n: u128) -> Customer {
    customer_of(1, n)
}

pub fn customer_of(of: u128, n: u128) -> Customer {
    Customer { channel: channel(of), id: CustomerId::from_u128(n) }
}

pub fn command(text: &str) -> CommandId {
    CommandId::new(text).unwrap()
}

/// A message at `seq` with this text.
pub fn message(seq: Seq, text: &str) -> Recorded {
    Recorded {
        seq,
        at: Timestamp(1_700_000_000_000).plus_ms(seq),
        event: ChatEvent::Message {
            from: Party::Customer(customer(1).id),
            id: command(&format!("m-{seq}")),
            text: MessageText::new(text).unwrap(),
        },
        names: Default::default(),
    }
}

/// Messages at these positions, each with a text that names it.
#[allow(dead_code, reason = "the benchmark makes one at a time")]
pub fn messages(seqs: impl IntoIterator<Item = Seq>) -> Vec<Recorded> {
    seqs.into_iter().map(|seq| message(seq, &format!("text of {seq}"))).collect()
}

/// A waiting chat.
#[allow(dead_code, reason = "the benchmark needs no rows")]
pub fn open_chat(n: u128, since: u64) -> OpenChat {
    OpenChat {
        chat: chat(n),
        queue: QueueId::from_u128(1),
        placement: since,
        priority: Priority::default(),
        weight: Default::default(),
        since: Timestamp(since),
        refused_by: BTreeMap::from([(user(n), Timestamp(since))]),
        place: Some(Place::Waiting),
        next_deadline: Some(Timestamp(since + 1)),
        moving: None,
    }
}
