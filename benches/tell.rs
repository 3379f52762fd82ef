//! What it costs to tell every member of a `to_all` offer where its chat is, by the number of
//! members. The time a member must not grow with their number: all are told one shared value.
//!
//! Run with `cargo bench --bench tell`. Compare the last column; the figures depend on the machine.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run should say so and stop")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use switchboard::domain::event::{Decision, PlacedCause, Trigger};
use switchboard::domain::{
    ChannelId, ChatEvent, ChatId, CommandId, Customer, CustomerId, OfferId, Place, Profile,
    QueueId, Reach, Recorded, Rule, Timestamp, UserId,
};
use switchboard::machine::chat::Chat;
use switchboard::machine::message::{ChatAt, ToOperator};

/// Members of the queue.
const MEMBERS: [u128; 4] = [10, 100, 500, 1_000];

/// Rounds of each; the shortest counts.
const ROUNDS: usize = 50;

fn main() {
    // `cargo test --benches` passes this; a measurement without optimisation says nothing.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    println!("{:>8} {:>14} {:>22}", "members", "a member, ns", "with copies, ns");
    for members in MEMBERS {
        let chat = offered(members);
        let shared = best(members, || chat.at());
        let copied = best(members, || {
            let mut at = chat.at()?;
            at.refused_by = Arc::new(BTreeMap::clone(&at.refused_by));
            if let Place::Offered(offer) = &mut at.place {
                offer.to = Arc::new(BTreeSet::clone(&offer.to));
            }
            Some(at)
        });
        println!("{members:>8} {shared:>14} {copied:>22}");
    }
}

/// The shortest time that it took to tell all, a member.
#[allow(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn best(members: u128, say: impl Fn() -> Option<ChatAt>) -> u128 {
    let rounds = (0..ROUNDS).map(|_| {
        let started = Instant::now();
        // Held until all are made, as the mailboxes of the members hold them.
        let told: Vec<ToOperator> =
            (0..members).filter_map(|_| say()).map(ToOperator::At).collect();
        let took = started.elapsed().as_nanos();
        assert_eq!(told.len() as u128, members);
        took / members
    });
    rounds.min().unwrap()
}

/// A chat that is offered to that many, and that as many have refused before.
fn offered(members: u128) -> Chat {
    let id = ChatId::from_u128(1);
    let queue = QueueId::from_u128(2);
    let all: Vec<UserId> = (0..members).map(UserId::from_u128).collect();
    let decision = Decision {
        rule: Rule::ToAll,
        config_version: 1,
        trigger: Trigger::Push,
        runners_up: Vec::new(),
        standings: BTreeMap::new(),
    };
    let (offer, command) = (OfferId::from_u128(3), CommandId::new("c").unwrap());
    let offered = |offer, placement| ChatEvent::Offered {
        placement,
        offer,
        reach: Reach::ToAll,
        to: all.clone(),
        expires_at: Timestamp(30_000),
        process: 1,
        decision: decision.clone(),
    };
    let mut events = vec![
        ChatEvent::Opened {
            customer: Customer { channel: ChannelId::from_u128(4), id: CustomerId::from_u128(5) },
            command: command.clone(),
            profile: Profile::default(),
            continues: None,
        },
        ChatEvent::Placed {
            placement: 1,
            queue,
            weight: Default::default(),
            cause: PlacedCause::Opened,
        },
        offered(offer, 2),
    ];
    events.extend(all.iter().map(|operator| ChatEvent::Declined {
        offer,
        operator: *operator,
        command: command.clone(),
    }));
    let how = switchboard::domain::event::OfferEnd::Declined;
    events.push(ChatEvent::OfferEnded { placement: 3, offer, how });
    events.push(offered(OfferId::from_u128(6), 4));
    let mut chat = Chat::new(id);
    for (seq, event) in (1..).zip(events) {
        chat.apply(&Recorded { seq, at: Timestamp(1_000), event, names: Default::default() });
    }
    chat
}
