//! Chats that ended long ago, as a release left them that wrote no row for them.

use switchboard::actors::Clock;
use switchboard::domain::chat::Outcome;
use switchboard::domain::event::PlacedCause;
use switchboard::domain::{
    ChatEvent, ChatId, CommandId, Customer, Party, Profile, QueueId, Recorded, Timestamp,
};
use switchboard::storage::{ClaimOpen, EndedChat, Store};

/// The length of a day, ms.
const DAY_MS: u64 = 24 * 3_600_000;

pub fn days_ago(days: u64) -> Timestamp {
    Timestamp(Clock::start().now().0 - days * DAY_MS)
}

/// A chat, the customer's first, that was made then and ended so many days ago.
pub async fn made_and_ended(
    store: &Store,
    (of, queue): (Customer, QueueId),
    made: Timestamp,
    days: u64,
) -> EndedChat {
    let at = days_ago(days);
    let n = of.id.0.as_u128() & 0xffff_ffff;
    let chat = ChatId::from_u128(ChatId::first_at(made).0.as_u128() + n);
    let command = CommandId::new("c-then").unwrap();
    let claimed = store.conversations.claim_open(of, &command, chat, None).await.unwrap();
    assert_eq!(claimed, ClaimOpen::Claimed);
    let (by, end) = (Party::Customer(of.id), Some(CommandId::new("e-then").unwrap()));
    let profile = Profile::default();
    let opened = ChatEvent::Opened { customer: of, command, profile, continues: None };
    let placed = ChatEvent::Placed {
        queue,
        placement: 1,
        weight: Default::default(),
        cause: PlacedCause::Opened,
    };
    let ended = ChatEvent::Ended { placement: 2, by, command: end, outcome: Outcome::Missed };
    let events = [(made, opened), (made, placed), (at, ended)];
    let events = (1..)
        .zip(events)
        .map(|(seq, (at, event))| Recorded { seq, at, event, names: Default::default() })
        .collect();
    let claim = store.log.claim(chat).await.unwrap().claim;
    store.log.append(claim, events).await.unwrap();
    EndedChat { chat, customer: of, at }
}
