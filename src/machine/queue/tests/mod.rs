//! The queue machine by itself. Here: what its tests share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::domain::event::{OfferEnd, WithdrawReason};
use crate::domain::limits::{
    OFFER_TIMEOUT_MS, RESERVATION_MS, SILENT_AFTER_MS, TO_ALL_OFFERS_MAX, TO_ALL_STANDS_MAX_MS,
};
use crate::domain::operator::{OperatorState, Standing};
use crate::domain::{
    self, ChatId, Offer, OfferId, Place, Priority, Reach, RoutingSettings, Rule, Timestamp, UserId,
};
use crate::machine::fixture::*;
use crate::machine::message::{ChatAt, ToChat, ToOperator, ToQueue};
use crate::machine::queue::{Phase, Queue, QueueEffect, QueueInput};
use crate::routing::WhyWaits;

mod configured;
mod explained;
mod given;
mod looks;
mod many;
mod naive;
mod reserved;
mod shown;
mod to_all;
mod told;

const COOL_DOWN_MS: u64 = 30_000;

fn now() -> Timestamp {
    Timestamp(100_000)
}

fn config(rule: Rule, members: &[UserId]) -> domain::Queue {
    let mut config = domain::Queue::new(QUEUE, "queue", rule);
    config.members = members.iter().copied().collect();
    config
}

fn queue(rule: Rule, members: &[(UserId, Standing)]) -> Queue {
    let ids: Vec<UserId> = members.iter().map(|(id, _)| *id).collect();
    let mut queue = Queue::new(config(rule, &ids), RoutingSettings::default(), 1, now());
    for (id, standing) in members {
        // Nobody has told anything yet of whom nothing is to be known.
        if *standing != Standing::Unknown {
            step(&mut queue, said(ToQueue::State(state(*id, 1, *standing))));
        }
    }
    queue
}

fn said(said: ToQueue) -> QueueInput {
    QueueInput::Said(said)
}

fn step(queue: &mut Queue, input: QueueInput) -> Vec<QueueEffect> {
    step_at(queue, now(), input)
}

fn step_at(queue: &mut Queue, now: Timestamp, input: QueueInput) -> Vec<QueueEffect> {
    let effects = queue.step(now, input);
    queue.assert_invariants();
    queue.assert_timers(now);
    effects
}

/// Goes on from deadline to deadline until this time, which has to be one.
fn woken_at(queue: &mut Queue, at: Timestamp) -> Vec<QueueEffect> {
    loop {
        let next = queue.next_deadline().expect("something is to come");
        assert!(next <= at, "nothing wakes it at {at}, but at {next}");
        let effects = step_at(queue, next.max(now()), QueueInput::Tick);
        if next == at {
            return effects;
        }
    }
}

fn waits(n: u128, since: u64) -> ChatAt {
    let chat = ChatId::from_u128(n);
    ChatAt { since: Timestamp(since), ..at(chat, 1, Place::Waiting) }
}

fn arrive(queue: &mut Queue, at: ChatAt) -> Vec<QueueEffect> {
    step(queue, said(ToQueue::At(at)))
}

fn why(queue: &Queue, chat: ChatId) -> WhyWaits {
    queue.explain(chat, now()).unwrap().why
}

fn offers(effects: &[QueueEffect]) -> BTreeMap<ChatId, (OfferId, Reach, Vec<UserId>)> {
    let offers = effects.iter().filter_map(|effect| match effect {
        QueueEffect::ToChat(chat, ToChat::Offer { offer, reach, to, .. }) => {
            Some((*chat, (*offer, *reach, to.clone())))
        }
        QueueEffect::ToChat(..) | QueueEffect::ToOperator(..) => None,
    });
    offers.collect()
}

/// Whom the chat of the tests is to be offered to as well.
fn widened(effects: &[QueueEffect]) -> Vec<UserId> {
    let widened = effects.iter().filter_map(|effect| match effect {
        QueueEffect::ToChat(CHAT, ToChat::Widen { to, .. }) => Some(to.clone()),
        QueueEffect::ToChat(..) | QueueEffect::ToOperator(..) => None,
    });
    widened.flatten().collect()
}

fn reservations(effects: &[QueueEffect]) -> Vec<(UserId, OfferId, ChatId)> {
    let reserves = effects.iter().filter_map(|effect| match effect {
        QueueEffect::ToOperator(to, ToOperator::Reserve { offer, chat, .. }) => {
            Some((*to, *offer, *chat))
        }
        QueueEffect::ToChat(..) | QueueEffect::ToOperator(..) => None,
    });
    reserves.collect()
}

/// The chat says that its offer stands.
fn live(chat: ChatId, offer: OfferId, reach: Reach, to: &[UserId]) -> ChatAt {
    let expires_at = now().plus_ms(TIMEOUT_MS);
    let to = Arc::new(to.iter().copied().collect());
    at(
        chat,
        2,
        Place::Offered(Offer { id: offer, reach, to, returned: Default::default(), expires_at }),
    )
}

/// Offers to all that nobody answered, made for ten minutes: as many as may be out.
fn long_offers(queue: &mut Queue) -> Vec<ChatId> {
    let chats = (0..TO_ALL_OFFERS_MAX as u128).map(|n| ChatId::from_u128(0x200 + n));
    for (n, chat) in chats.clone().enumerate() {
        let (id, expires_at) = (OfferId::of(70, n as u64), now().plus_ms(TO_ALL_STANDS_MAX_MS));
        let (reach, to) = (Reach::ToAll, Arc::new([ANN].into()));
        let offer = Offer { id, reach, to, returned: Default::default(), expires_at };
        let since = Timestamp(50_000 + n as u64);
        arrive(queue, ChatAt { since, moved_at: now(), ..at(chat, 2, Place::Offered(offer)) });
    }
    chats.collect()
}

fn lapses(effects: &[QueueEffect]) -> Vec<ChatId> {
    let lapses = effects.iter().filter_map(|effect| match effect {
        QueueEffect::ToChat(chat, ToChat::Lapse { .. }) => Some(*chat),
        QueueEffect::ToChat(..) | QueueEffect::ToOperator(..) => None,
    });
    lapses.collect()
}
