//! Random lives: whatever the log, any part of it and then the rest fold to the same chat, and
//! deciding changes nothing (every input of the bench checks it).

use proptest::prelude::*;

use crate::domain::event::{PlacedCause, WithdrawReason};
use crate::domain::{ChatEvent, OfferId, Place, Reach, Recorded, Timestamp, UserId, Weight};
use crate::machine::chat::driver::{Action, Driver, StoreAnswer, StoreCall};
use crate::machine::chat::tests::Bench;
use crate::machine::chat::{Author, Chat, ChatCall, ChatInput, FOLD_VERSION, Target};
use crate::machine::driver::Snapshot;
use crate::machine::fixture::*;
use crate::machine::index::Former;
use crate::machine::message::{AssignBy, ChatAt, Peer, ToChat};
use crate::storage::{Claim, Claimed};

const PEOPLE: [UserId; 3] = [ANN, BOB, CYD];

/// A random life: what, by whom, under which id, how much later.
type Steps = Vec<(u8, u8, u8, u64)>;

fn steps() -> impl Strategy<Value = Steps> {
    prop::collection::vec((any::<u8>(), any::<u8>(), any::<u8>(), 0u64..700), 1..120)
}

fn lived(steps: Steps) -> Bench {
    let mut bench = Bench::opened();
    for (what, who, id, later) in steps {
        bench.later(later);
        let input = said(&bench, what, who, id);
        bench.input(&input);
        if what == 255 {
            bench.process += 1;
        }
    }
    bench
}

/// The chat as its driver has it that begins with a state which was kept.
fn begun(state: Chat, bench: &Bench) -> Chat {
    let (tail, first) = (bench.chat.tail(), state.tail() as usize);
    let (driver, _) = Driver::begin(CHAT, bench.process, 9, Former::default());
    let mut driver = driver.kept(Snapshot { fold_version: FOLD_VERSION, state });
    driver.wake();
    let claim = Claim { chat: CHAT, epoch: 1 };
    let actions = driver.stored(bench.now, StoreAnswer::Claimed(Ok(Claimed { claim, tail })));
    if let [Action::Store(StoreCall::Read { .. })] = actions[..] {
        driver.stored(bench.now, StoreAnswer::Page(Ok(bench.log[first..].to_vec())));
    }
    driver.stored(bench.now, StoreAnswer::Touched(Ok(())));
    driver.chat().clone()
}

/// One thing said to the chat, made to fit its present offer and placement more often than not.
fn said(bench: &Bench, what: u8, who: u8, id: u8) -> ChatInput {
    let operator = PEOPLE[who as usize % 3];
    let other = PEOPLE[id as usize % 3];
    let command = command(&format!("c{id}"));
    let even = id & 1 == 0;
    let placement = bench.chat.placement();
    let live = bench.chat.place().and_then(Place::offer).map_or(OFFER, |offer| offer.id);
    let valid_until = bench.now;
    let by: Author = match who % 5 {
        0 | 1 => user(operator),
        2 => administrator(operator),
        _ => customer(),
    };
    let assign = |by| ToChat::Assign { operator, command: Some(command.clone()), by, valid_until };
    let fresh = OfferId::of(3, bench.chat.tail());
    let reservation = bench.chat.transfer().map_or(OFFER, |transfer| transfer.reservation);
    match what % 20 {
        0 => return ChatInput::Tick,
        1 => return ChatInput::Started,
        2 => return ChatInput::Call(1, open()),
        3 | 4 => return ChatInput::Call(1, send(by, &format!("m{id}"), "words")),
        5 => return ChatInput::Call(1, ChatCall::Begin { by, command }),
        6 if id < 60 => return ChatInput::Call(1, ChatCall::End { by, command }),
        6 => return ChatInput::Call(1, ChatCall::Continue { chat: OTHER_CHAT }),
        7 => {
            let to = Target::Queue(if even { QUEUE } else { OTHER_QUEUE });
            return ChatInput::Call(1, ChatCall::Transfer { by, command, to });
        }
        8 => {
            let to = Target::Operator(other);
            return ChatInput::Call(1, ChatCall::Transfer { by, command, to });
        }
        _ => {}
    }
    ChatInput::Said(match what % 20 {
        9 | 10 => offer(placement, fresh, Reach::Directed, &[operator]),
        11 => offer(placement, fresh, Reach::ToAll, &PEOPLE[..2]),
        12 => ToChat::Widen { placement, offer: live, to: vec![other] },
        13 => ToChat::Lapse { placement, offer: live, stands_ms: TIMEOUT_MS },
        14 => ToChat::Decline { offer: live, operator, stay: 0, command },
        15 => {
            let (peer, reason) = (Peer::Operator(operator), WithdrawReason::NotReady);
            ToChat::Withdraw { peer, offer: live, operator, stay: 0, reason }
        }
        16 => assign(AssignBy::Offer(live, 0)),
        17 => assign(AssignBy::Take { placement, queues: vec![QUEUE], any: even }),
        18 if even => ToChat::OwnerGone { operator, placement },
        _ => {
            let by = AssignBy::Transfer(reservation);
            ToChat::Assign { operator, command: None, by, valid_until }
        }
    })
}

fn fold(mut chat: Chat, log: &[crate::domain::Recorded]) -> Chat {
    for recorded in log {
        chat.apply(recorded);
    }
    chat
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_part_of_a_log_and_then_the_rest_fold_to_the_same_chat(
        steps in steps(),
    ) {
        let bench = lived(steps);
        prop_assert!(bench.now >= Timestamp(10_000));
        prop_assert_eq!(&bench.folded(), &bench.chat);
        let mut part = Chat::new(CHAT);
        for split in 0..=bench.log.len() {
            prop_assert_eq!(&fold(part.clone(), &bench.log[split..]), &bench.chat);
            if let Some(next) = bench.log.get(split) {
                part.apply(next);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_life_begun_with_a_state_that_was_kept_is_one_begun_with_the_first_event(steps in steps()) {
        let bench = lived(steps);
        let mut kept = Chat::new(CHAT);
        for split in 0..=bench.log.len() {
            prop_assert_eq!(&begun(kept.clone(), &bench), &bench.chat, "from {} on", split);
            if let Some(next) = bench.log.get(split) {
                kept.apply(next);
            }
        }
    }
}

#[test]
fn the_random_lives_are_eventful() {
    // The generator by itself, over a fixed sequence: every kind of event but the two that need
    // luck (a restart, a refused transfer) has to come up.
    let mut kinds = std::collections::BTreeSet::new();
    let mut n: u64 = 1;
    for _ in 0..200 {
        let mut bench = Bench::opened();
        for _ in 0..100 {
            n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let [what, who, id, later, ..] = (n >> 20).to_le_bytes();
            bench.later(u64::from(later) * 2);
            let input = said(&bench, what, who, id);
            bench.input(&input);
        }
        kinds.extend(bench.log.iter().map(|r| super::variant(&r.event)));
    }
    let wanted = [
        "Assigned",
        "Begun",
        "ContinuedIn",
        "Declined",
        "Ended",
        "Message",
        "OfferEnded",
        "OfferNarrowed",
        "OfferWidened",
        "Offered",
        "Opened",
        "Placed",
        "TransferAsked",
        "TransferFailed",
    ];
    assert_eq!(kinds.iter().map(String::as_str).collect::<Vec<_>>(), wanted);
}

#[test]
fn what_the_log_dates_later_than_now_counts_as_now() {
    let mut bench = Bench::opened();
    bench.say(offer(1, OFFER, Reach::Directed, &[ANN]));
    bench.say(ToChat::Decline { offer: OFFER, operator: ANN, stay: 0, command: command("no") });
    let now = Timestamp(bench.now.0 / 2);
    let told = bench.chat.told_at(now).unwrap();
    assert_eq!((told.since, told.moved_at, told.refused_by[&ANN]), (now, now, now));
    assert_eq!(bench.chat.told_at(bench.now), bench.chat.at());
    let told = bench.chat.told_to(ANN, now).unwrap();
    assert_eq!((told.since, told.moved_at, told.refused_by[&ANN]), (now, now, now));
}

#[test]
fn an_operator_is_told_of_an_offer_and_of_refusals_what_concerns_it_alone() {
    let mut bench = Bench::opened();
    bench.say(offer(1, OFFER, Reach::ToAll, &[ANN, BOB, CYD]));
    bench.say(ToChat::Decline { offer: OFFER, operator: ANN, stay: 0, command: command("no") });
    let (peer, reason) = (Peer::Operator(BOB), WithdrawReason::NotReady);
    bench.say(ToChat::Withdraw { peer, offer: OFFER, operator: BOB, stay: 0, reason });
    bench.say(ToChat::Widen { placement: 2, offer: OFFER, to: vec![BOB] });
    let told = |operator| {
        let at = bench.chat.told_to(operator, bench.now).unwrap();
        let offer = at.place.offer().unwrap();
        let to: Vec<UserId> = offer.to.iter().copied().collect();
        let refused: Vec<UserId> = at.refused_by.keys().copied().collect();
        (to, offer.returned.iter().map(|(who, stay)| (*who, *stay)).collect::<Vec<_>>(), refused)
    };
    assert_eq!(told(ANN), (vec![], vec![], vec![ANN]));
    assert_eq!(told(BOB), (vec![BOB], vec![(BOB, 1)], vec![]));
    assert_eq!(told(CYD), (vec![CYD], vec![], vec![]));
    let all = bench.chat.told_at(bench.now).unwrap();
    let one = bench.chat.told_to(CYD, bench.now).unwrap();
    let offer = all.place.offer().unwrap().for_one(CYD);
    let refused_by = Default::default();
    assert_eq!(one, ChatAt { place: Place::Offered(offer), refused_by, ..all });
}

#[test]
fn a_transfer_by_a_clock_that_was_ahead_is_over() {
    let mut bench = Bench::opened();
    bench.say(offer(1, OFFER, Reach::Directed, &[ANN]));
    bench.say(accept(ANN, OFFER, "yes", Timestamp(u64::MAX)));
    let (command, to) = (command("away"), Target::Operator(BOB));
    bench.call(ChatCall::Transfer { by: user(ANN), command, to });
    let still = bench.clone().input(&ChatInput::Started);
    assert!(still.events.is_empty(), "{still:?}");
    // As a process finds it whose clock is behind.
    bench.now = Timestamp(bench.now.0 / 2);
    let over = bench.input(&ChatInput::Started);
    assert!(matches!(over.events.as_slice(), [ChatEvent::TransferFailed { .. }]), "{over:?}");
}

#[test]
fn what_a_chat_weighs_is_said_by_its_placement_and_goes_with_it() {
    let mut bench = Bench::opened();
    assert_eq!(bench.chat.at().unwrap().weight.slots(), 1, "by default");
    let weight = Weight::new(3).unwrap();
    let placement = bench.chat.placement() + 1;
    let cause = PlacedCause::OwnerGone { operator: ANN };
    let event = ChatEvent::Placed { placement, queue: QUEUE, weight, cause };
    let (seq, at) = (bench.chat.tail() + 1, bench.now);
    bench.chat.apply(&Recorded { seq, at, event, names: Default::default() });
    assert_eq!(bench.chat.at().unwrap().weight, weight);
    assert_eq!(bench.chat.row().unwrap().weight, weight);
    let (by, command, to) = (administrator(BOB), command("t"), Target::Queue(OTHER_QUEUE));
    let moved = bench.call(ChatCall::Transfer { by, command, to });
    let placed = moved.events.iter().find_map(|event| match event {
        ChatEvent::Placed { weight, .. } => Some(*weight),
        _ => None,
    });
    assert_eq!(placed, Some(weight));
}
