//! Which reason is answered when several hold at once: what is known before everything, who asks before what,
//! that it is over before whose it is, whose it is before its state.

use crate::domain::limits::CHAT_MESSAGES_MAX;
use crate::domain::{
    ChannelId, ChatEvent, ChatState, Customer, Party, Person, QueueId, Reach, Recorded, Timestamp,
    UserId,
};
use crate::machine::chat::tests::Bench;
use crate::machine::chat::{Author, ChatCall, ChatEffect, Decided, Refusal, Saying, Target};
use crate::machine::fixture::*;
use crate::machine::message::{AssignBy, ToChat, ToOperator};

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    /// As the first time.
    Known,
    /// As soon as it is known.
    Later,
    Refused(Refusal),
}
use Is::{Known, Later, Refused};

const ALWAYS: Timestamp = Timestamp(u64::MAX);
const OVER: Timestamp = Timestamp(0);
const ENDED: Refusal = Refusal::Ended { visitor_left: true, continued_in: None };
const WAITING: Refusal = Refusal::WrongState { state: ChatState::Waiting };

fn answered(decided: &Decided) -> Is {
    assert!(decided.events.is_empty(), "{decided:?}");
    match &decided.effects[..] {
        [ChatEffect::Answer(_, answer)] => answer.map_or_else(Refused, |_| Known),
        [ChatEffect::AnswerLater(..)] => Later,
        [ChatEffect::Own(Saying::ToOperator(_, said))] => match &**said {
            ToOperator::AssignAnswer { result, .. } => {
                result.as_ref().map_or_else(|refusal| Refused(*refusal), |_| Known)
            }
            said => panic!("{said:?}"),
        },
        effects => panic!("{effects:?}"),
    }
}

/// A customer has written, and it waits.
fn waiting() -> Bench {
    let mut bench = Bench::opened();
    bench.call(send(customer(), "m1", "hello"));
    bench
}

fn offered() -> Bench {
    let mut bench = waiting();
    bench.say(offer(1, OFFER, Reach::Directed, &[ANN]));
    bench
}

/// It is Ann's, who has written.
fn owned() -> Bench {
    let mut bench = offered();
    bench.say(accept(ANN, OFFER, "yes", ALWAYS));
    bench.call(send(user(ANN), "a1", "hello"));
    bench
}

/// On its way to Bob.
fn moving() -> Bench {
    let mut bench = owned();
    bench.call(to_operator(user(ANN), "t1", BOB));
    bench
}

fn given_away() -> Bench {
    let mut bench = owned();
    bench.call(to_queue(user(ANN), "t2", OTHER_QUEUE));
    bench
}

fn ended(mut bench: Bench) -> Bench {
    bench.call(end(customer(), "bye"));
    bench
}

fn continued() -> Bench {
    let mut bench = ended(waiting());
    bench.call(ChatCall::Continue { chat: OTHER_CHAT });
    bench
}

/// With as many messages as fit.
fn full() -> Bench {
    let mut bench = owned();
    let from = Party::Customer(CUSTOMER.id);
    for _ in 0..CHAT_MESSAGES_MAX {
        let seq = bench.chat.tail() + 1;
        let event = ChatEvent::Message { from, id: command("m9"), text: text("words") };
        bench.chat.apply(&Recorded { seq, at: bench.now, event, names: Default::default() });
    }
    bench
}

fn stranger() -> Author {
    let foreign = Customer { channel: ChannelId::from_u128(0xff), ..CUSTOMER };
    Author { person: Person::Customer(foreign), chat_administrator: false }
}

fn to_queue(by: Author, id: &str, queue: QueueId) -> ChatCall {
    ChatCall::Transfer { by, command: command(id), to: Target::Queue(queue) }
}

fn to_operator(by: Author, id: &str, to: UserId) -> ChatCall {
    ChatCall::Transfer { by, command: command(id), to: Target::Operator(to) }
}

fn to_nobody(by: Author, id: &str) -> ChatCall {
    let to = Target::Operator(CYD);
    ChatCall::TransferNowhere { by, command: command(id), to }
}

fn begin(by: Author, id: &str) -> ChatCall {
    ChatCall::Begin { by, command: command(id) }
}

/// What is asked for where two reasons hold, and then where only the second of them does; and what is answered.
type Pair<T> = [(fn() -> Bench, T, Is); 2];

fn check<T: std::fmt::Debug>(pairs: Vec<Pair<T>>, ask: fn(&mut Bench, T) -> Decided) {
    for (n, pair) in pairs.into_iter().enumerate() {
        assert_ne!(pair[0].2, pair[1].2, "pair {n} tells nothing apart");
        for (bench, wanted, is) in pair {
            let what = format!("{wanted:?} of pair {n}");
            assert_eq!(answered(&ask(&mut bench(), wanted)), is, "{what}");
        }
    }
}

fn check_calls(pairs: Vec<Pair<ChatCall>>) {
    check(pairs, |bench, call| bench.call(call));
}

fn ended_line() -> Bench {
    ended(waiting())
}

fn ended_owned() -> Bench {
    ended(owned())
}

fn ended_full() -> Bench {
    ended(full())
}

#[test]
fn what_is_known_of_a_command_comes_before_everything_else() {
    let say = |by, id: &str| send(by, id, "hello");
    let other = |by, id: &str| send(by, id, "something else");
    let (not_yours, reused) = (Refused(Refusal::NotYours), Refused(Refusal::IdReused));
    let pending = Refused(Refusal::TransferPending);
    check_calls(vec![
        [
            (ended_line, say(customer(), "m1"), Known),
            (ended_line, say(customer(), "m2"), Refused(ENDED)),
        ],
        [
            (ended_line, other(customer(), "m1"), reused),
            (ended_line, other(customer(), "m2"), Refused(ENDED)),
        ],
        [(given_away, say(user(ANN), "a1"), Known), (given_away, say(user(ANN), "a2"), not_yours)],
        [
            (given_away, other(user(ANN), "a1"), reused),
            (given_away, other(user(ANN), "a2"), not_yours),
        ],
        [
            (full, send(customer(), "m9", "words"), Known),
            (full, send(customer(), "m8", "words"), Refused(Refusal::ChatFull)),
        ],
        [
            (moving, to_operator(user(ANN), "t1", BOB), Later),
            (moving, to_operator(user(ANN), "t2", BOB), pending),
        ],
        [
            (moving, to_operator(user(ANN), "t1", CYD), reused),
            (moving, to_operator(user(ANN), "t2", CYD), pending),
        ],
    ]);
}

#[test]
fn who_is_no_party_is_told_so_before_it_is_said_that_it_is_over() {
    let unknown = Refused(Refusal::UnknownChat);
    let not_yours = Refused(Refusal::NotYours);
    check_calls(vec![
        [
            (ended_line, send(stranger(), "m2", "hello"), not_yours),
            (ended_line, send(customer(), "m2", "hello"), Refused(ENDED)),
        ],
        [(Bench::new, end(user(BOB), "e1"), unknown), (waiting, end(user(BOB), "e1"), not_yours)],
        [
            // Into itself, whether it went on or not.
            (
                continued,
                ChatCall::Continue { chat: CHAT },
                Refused(Refusal::WrongState { state: ChatState::Missed }),
            ),
            (
                continued,
                ChatCall::Continue { chat: OTHER_CHAT },
                Refused(Refusal::Ended { visitor_left: true, continued_in: Some(OTHER_CHAT) }),
            ),
        ],
    ]);
}

#[test]
fn what_is_over_is_over_before_it_is_somebody_elses() {
    let not_yours = Refused(Refusal::NotYours);
    let by = user(BOB);
    let calls = [
        send(by, "b1", "hello"),
        end(by, "b1"),
        begin(by, "b1"),
        to_queue(by, "b1", OTHER_QUEUE),
        to_operator(by, "b1", CYD),
        to_nobody(by, "b1"),
    ];
    let pair = |call: ChatCall| {
        [(ended_owned as fn() -> Bench, call.clone(), Refused(ENDED)), (owned, call, not_yours)]
    };
    check_calls(calls.map(pair).into());
    check_calls(vec![[
        (ended_full, send(customer(), "m2", "hello"), Refused(ENDED)),
        (full, send(customer(), "m2", "hello"), Refused(Refusal::ChatFull)),
    ]]);
}

#[test]
fn whose_it_is_comes_before_its_state_and_its_target() {
    let (ann, bob, lead) = (user(ANN), user(BOB), administrator(CYD));
    let not_yours = Refused(Refusal::NotYours);
    let there = Refused(Refusal::AlreadyThere);
    let pending = Refused(Refusal::TransferPending);
    check_calls(vec![
        [
            (full, send(bob, "b1", "hello"), not_yours),
            (full, send(ann, "b1", "hello"), Refused(Refusal::ChatFull)),
        ],
        [(waiting, begin(bob, "b1"), not_yours), (waiting, begin(lead, "b1"), Refused(WAITING))],
        [
            (waiting, to_queue(bob, "b1", QUEUE), not_yours),
            (waiting, to_queue(lead, "b1", QUEUE), there),
        ],
        [
            (owned, to_operator(bob, "b1", ANN), not_yours),
            (owned, to_operator(ann, "b1", ANN), there),
        ],
        [
            (moving, to_operator(bob, "b1", CYD), not_yours),
            (moving, to_operator(ann, "b1", CYD), pending),
        ],
        [
            (moving, to_operator(ann, "b1", ANN), there),
            (moving, to_operator(ann, "b1", CYD), pending),
        ],
        [
            (owned, to_nobody(bob, "b1"), not_yours),
            (owned, to_nobody(ann, "b1"), Refused(Refusal::UnknownTarget)),
        ],
    ]);
}

/// An `Assign` to Ann: what for, under which id, and until when.
fn assign(id: &str, by: AssignBy, valid_until: Timestamp) -> ToChat {
    ToChat::Assign { operator: ANN, command: Some(command(id)), by, valid_until }
}

#[test]
fn of_two_reasons_why_nobody_becomes_the_owner_the_first_is_answered() {
    let yes = AssignBy::Offer(OFFER, 0);
    let take = |placement, queue| AssignBy::Take { placement, queues: vec![queue], any: false };
    let gone = Refused(Refusal::OfferGone);
    let late = Refused(Refusal::Late);
    let owned_state = Refused(Refusal::WrongState { state: ChatState::InProgress });
    check(
        vec![
            // As it was answered, before the end and before its time.
            [
                (ended_owned, assign("yes", yes.clone(), ALWAYS), Known),
                (ended_owned, assign("y2", yes.clone(), ALWAYS), Refused(ENDED)),
            ],
            [
                (owned, assign("yes", yes.clone(), OVER), Known),
                (owned, assign("y2", yes.clone(), OVER), late),
            ],
            [
                (owned, assign("yes", take(1, QUEUE), OVER), Refused(Refusal::IdReused)),
                (owned, assign("y2", take(1, QUEUE), OVER), late),
            ],
            // The end before the time, the time before the state.
            [
                (ended_owned, assign("y2", yes.clone(), OVER), Refused(ENDED)),
                (owned, assign("y2", yes.clone(), OVER), late),
            ],
            [
                (waiting, assign("y2", yes.clone(), OVER), late),
                (waiting, assign("y2", yes, ALWAYS), gone),
            ],
            [
                (waiting, assign("y2", take(9, QUEUE), OVER), late),
                (waiting, assign("y2", take(9, QUEUE), ALWAYS), Refused(WAITING)),
            ],
            // Where it is before whose queue it is, and before whose it is.
            [
                (waiting, assign("y2", take(9, OTHER_QUEUE), ALWAYS), Refused(WAITING)),
                (
                    waiting,
                    assign("y2", take(1, OTHER_QUEUE), ALWAYS),
                    Refused(Refusal::UnknownChat),
                ),
            ],
            [
                (owned, assign("y2", take(1, QUEUE), ALWAYS), owned_state),
                (owned, assign("y2", take(3, QUEUE), ALWAYS), Refused(Refusal::AlreadyThere)),
            ],
        ],
        |bench, said| bench.say(said),
    );
}
