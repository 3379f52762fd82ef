//! Words that find something else than what they mean, and change nothing.

use crate::domain::event::WithdrawReason;
use crate::domain::limits::REFUSALS_REMEMBERED;
use crate::domain::operator::Standing;
use crate::domain::{
    ChannelId, ChatEvent, Customer, OfferId, Person, Place, Reach, Recorded, Timestamp, UserId,
};
use crate::machine::chat::tests::{Bench, refusal};
use crate::machine::chat::{Author, ChatCall, Refusal, Target};
use crate::machine::fixture::*;
use crate::machine::message::{AssignBy, Peer, ToChat};

const ALWAYS: Timestamp = Timestamp(u64::MAX);

fn assign(operator: UserId, id: Option<&str>, by: AssignBy) -> ToChat {
    let command = id.map(command);
    ToChat::Assign { operator, command, by, valid_until: ALWAYS }
}

/// Ann owns it, and has it transferred to Bob.
fn moving(bench: &mut Bench, id: &str) -> OfferId {
    let to = Target::Operator(BOB);
    bench.call(ChatCall::Transfer { by: user(ANN), command: command(id), to });
    bench.chat.transfer().expect("it is under way").reservation
}

fn owned() -> Bench {
    let mut bench = Bench::opened();
    bench.say(offer(1, OFFER, Reach::Directed, &[ANN]));
    bench.say(accept(ANN, OFFER, "yes", ALWAYS));
    bench
}

#[test]
fn what_is_said_of_another_offer_does_not_touch_the_live_one() {
    let mut bench = Bench::opened();
    bench.say(offer(1, OFFER, Reach::Directed, &[ANN]));
    let other = OfferId::from_u128(0xf9);
    let (peer, reason) = (Peer::Operator(ANN), WithdrawReason::NotReady);
    for said in [
        accept(ANN, other, "yes", ALWAYS),
        ToChat::Decline { offer: other, operator: ANN, stay: 0, command: command("no") },
        ToChat::Withdraw { peer, offer: other, operator: ANN, stay: 0, reason },
    ] {
        assert!(bench.say(said.clone()).events.is_empty(), "{said:?}");
    }
    // Nor does a queue whose offers stand for a shorter time now end a directed one.
    bench.later(TIMEOUT_MS / 2);
    let lapse = ToChat::Lapse { placement: 2, offer: OFFER, stands_ms: 1 };
    assert!(bench.say(lapse).events.is_empty());
    assert!(!bench.say(accept(ANN, OFFER, "yes", ALWAYS)).events.is_empty());
}

#[test]
fn a_member_takes_out_of_its_manual_queues_only_and_an_administrator_out_of_any() {
    let take = |queues: &[_], any| AssignBy::Take { placement: 1, queues: queues.to_vec(), any };
    let mut bench = Bench::opened();
    assert!(bench.say(assign(ANN, Some("t1"), take(&[OTHER_QUEUE], false))).events.is_empty());
    assert!(!bench.clone().say(assign(ANN, Some("t2"), take(&[QUEUE], false))).events.is_empty());
    assert!(!bench.say(assign(ANN, Some("t3"), take(&[], true))).events.is_empty());
}

#[test]
fn a_transfer_goes_to_whom_it_was_meant_for_by_the_reservation_under_way() {
    let mut bench = owned();
    let first = moving(&mut bench, "t1");
    assert!(bench.say(assign(CYD, None, AssignBy::Transfer(first))).events.is_empty());
    let refused = |reservation| ToChat::ReserveRefused { reservation, standing: Standing::Full };
    assert_eq!(bench.say(refused(first)).events.len(), 1);
    let second = moving(&mut bench, "t2");
    // What was said of the first comes again.
    assert!(bench.say(assign(BOB, None, AssignBy::Transfer(first))).events.is_empty());
    assert!(bench.say(refused(first)).events.is_empty());
    assert_eq!(bench.say(assign(BOB, None, AssignBy::Transfer(second))).events.len(), 1);
    assert_eq!(bench.chat.place().and_then(Place::owner), Some(BOB));
}

#[test]
fn the_same_customer_id_by_another_channel_is_a_stranger() {
    let foreign = Customer { channel: ChannelId::from_u128(0xff), ..CUSTOMER };
    let mut bench = Bench::opened();
    let ChatCall::Open { command, queue, profile, continues, .. } = open() else {
        panic!("it opens")
    };
    let opening = ChatCall::Open { customer: foreign, command, queue, profile, continues };
    assert_eq!(refusal(&bench.call(opening)), Some(Refusal::UnknownChat));
    let by = Author { person: Person::Customer(foreign), chat_administrator: false };
    assert_eq!(refusal(&bench.call(send(by, "m", "hello"))), Some(Refusal::NotYours));
}

#[test]
fn of_too_many_who_refused_the_earliest_is_asked_again() {
    let mut bench = Bench::opened();
    let many: Vec<UserId> =
        (0..=REFUSALS_REMEMBERED as u128).map(|n| UserId::from_u128(0xe000 + n)).collect();
    bench.say(offer(1, OFFER, Reach::ToAll, &many));
    for (operator, n) in many.iter().zip(1..) {
        let (seq, at) = (bench.chat.tail() + 1, bench.now.plus_ms(n));
        let command = command("no");
        let event = ChatEvent::Declined { offer: OFFER, operator: *operator, command };
        bench.chat.apply(&Recorded { seq, at, event, names: Default::default() });
    }
    let refused_by = bench.chat.at().unwrap().refused_by;
    assert_eq!(refused_by.len(), REFUSALS_REMEMBERED);
    assert!(!refused_by.contains_key(&many[0]) && refused_by.contains_key(&many[1]));
}

#[test]
fn stays_are_counted_within_one_offer() {
    let mut bench = Bench::opened();
    let id = |n: u128| OfferId::from_u128(0xf0 + n);
    let gone = |offer| ToChat::Withdraw {
        peer: Peer::Operator(ANN),
        offer,
        operator: ANN,
        stay: 0,
        reason: WithdrawReason::NotReady,
    };
    bench.say(offer(1, id(1), Reach::ToAll, &[ANN]));
    bench.say(gone(id(1)));
    bench.say(offer(3, id(2), Reach::ToAll, &[ANN, BOB]));
    bench.say(gone(id(2)));
    bench.say(ToChat::Widen { placement: 4, offer: id(2), to: vec![ANN] });
    let live = bench.chat.place().and_then(Place::offer).unwrap();
    assert_eq!((live.stay(ANN), live.stay(BOB)), (Some(1), Some(0)));
}
