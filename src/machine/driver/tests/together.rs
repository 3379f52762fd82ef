//! Calls that come together: what joins one append, what waits for it, and what becomes of all when it fails.

use crate::domain::limits::{BATCH_BYTES_MAX, BATCH_EVENTS_MAX};
use crate::domain::{EventNames, Recorded, UserId};
use crate::machine::CallId;
use crate::machine::driver::{Action, Driver, StoreAnswer, StoreCall};
use crate::machine::fixture::{ANN, BOB, CYD, command};
use crate::storage::{AppendError, Claimed};

use super::group::{Ask, Deed, Done, Event, Group, INVITATION_MS, Refusal};
use super::steps::{NOW, asleep, claimed, touched};

fn call(call: CallId, who: UserId, deed: Deed) -> (CallId, Ask) {
    let wanted = Done { who, command: command(&format!("c{call}")), deed };
    (call, Ask { wanted, until: NOW })
}

fn writes(n: CallId) -> (CallId, Ask) {
    call(n, ANN, Deed::Writes(1))
}

/// A group that Ann and Bob have joined, idle.
fn joined() -> Driver<Group> {
    let mut driver = asleep();
    driver.calls(NOW, [call(1, ANN, Deed::Joins), call(2, BOB, Deed::Joins)]);
    claimed(&mut driver, 0);
    assert_eq!(appends(&touched(&mut driver)), [1, 2]);
    assert_eq!(answers(&stored(&mut driver, Ok(()))), [(1, Ok(1)), (2, Ok(2))]);
    driver
}

/// The first two of the log of such a group.
const LOG: [(UserId, CallId); 2] = [(ANN, 1), (BOB, 2)];

fn recorded(seq: u64, done: Done) -> Recorded<Event> {
    Recorded { seq, at: NOW, event: Event::Done(done), names: EventNames::default() }
}

fn stored(driver: &mut Driver<Group>, result: Result<(), AppendError>) -> Vec<Action<Group>> {
    driver.stored(NOW, StoreAnswer::Appended(result))
}

/// The positions of the one append.
fn appends(actions: &[Action<Group>]) -> Vec<u64> {
    let mut appends = actions.iter().filter_map(|action| match action {
        Action::Store(StoreCall::Append(_, events)) => Some(events),
        _ => None,
    });
    let events = appends.next().expect("something is appended");
    assert!(appends.next().is_none());
    events.iter().map(|recorded| recorded.seq).collect()
}

fn answers(actions: &[Action<Group>]) -> Vec<(CallId, Result<u64, Refusal>)> {
    let answers = actions.iter().filter_map(|action| match action {
        Action::Answer(call, answer) => Some((*call, answer.map(|answer| answer.seq))),
        _ => None,
    });
    answers.collect()
}

#[test]
fn calls_that_come_together_are_one_append_each_decided_by_what_is_in_front_of_it() {
    let mut driver = joined();
    let before = driver.fold().clone();
    let wanted = [
        writes(3),
        call(4, CYD, Deed::Writes(1)),
        call(5, CYD, Deed::Joins),
        call(6, CYD, Deed::Writes(1)),
        writes(3),
        call(7, BOB, Deed::Leaves),
        call(8, BOB, Deed::Writes(1)),
    ];
    let actions = driver.calls(NOW, wanted);
    assert_eq!(appends(&actions), [3, 4, 5, 6]);
    assert!(answers(&actions).is_empty(), "nothing is answered before it is durable");
    assert_eq!(*driver.fold(), before, "nor is anything applied");
    let actions = stored(&mut driver, Ok(()));
    let no = Err(Refusal::NotMember);
    let wanted = [(3, Ok(3)), (4, no), (5, Ok(4)), (6, Ok(5)), (3, Ok(3)), (7, Ok(6)), (8, no)];
    assert_eq!(answers(&actions), wanted);
    let told: Vec<_> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Publish(told) => Some(told.len()),
            _ => None,
        })
        .collect();
    assert_eq!(told, [4], "all at once, before anybody is answered");
    assert!(driver.is_idle());
}

#[test]
fn none_of_them_is_written_when_the_append_fails_and_none_behind_it() {
    let mut driver = joined();
    let before = driver.fold().clone();
    let many = (3..=BATCH_EVENTS_MAX as CallId + 12).map(writes);
    assert_eq!(appends(&driver.calls(NOW, many)).len(), BATCH_EVENTS_MAX);
    let refused = AppendError::Unavailable { reason: "no".into() };
    let answers = answers(&stored(&mut driver, Err(refused)));
    assert_eq!(answers.len(), BATCH_EVENTS_MAX + 10);
    assert!(answers.iter().all(|(_, answer)| *answer == Err(Refusal::Unavailable)));
    assert!(driver.is_idle() && *driver.fold() == before);
}

#[test]
fn what_has_to_be_prepared_takes_its_turn_behind_the_append_and_so_does_what_follows_it() {
    let mut driver = joined();
    let wanted = [writes(3), call(4, ANN, Deed::Invites(CYD)), writes(5)];
    assert_eq!(appends(&driver.calls(NOW, wanted)), [3]);
    let actions = stored(&mut driver, Ok(()));
    assert_eq!(answers(&actions), [(3, Ok(3))]);
    let prepares = matches!(actions.last(), Some(Action::Store(StoreCall::Prepare(_))));
    assert!(prepares, "{actions:?}");
    let prepared = driver.stored(NOW, StoreAnswer::Prepared(Ok(())));
    assert_eq!(appends(&prepared), [4], "an invitation is joined by nothing");
    assert_eq!(appends(&stored(&mut driver, Ok(()))), [5]);
    assert_eq!(answers(&stored(&mut driver, Ok(()))), [(5, Ok(5))]);
}

#[test]
fn what_is_appended_at_once_is_bounded_in_events_and_bytes() {
    let mut driver = joined();
    let most = BATCH_EVENTS_MAX as CallId;
    let actions = driver.calls(NOW, (3..3 + most + 5).map(writes));
    assert_eq!(appends(&actions), (3..3 + most).collect::<Vec<_>>());
    assert_eq!(appends(&stored(&mut driver, Ok(()))).len(), 5);
    stored(&mut driver, Ok(()));
    let (kib, fit) = (100, BATCH_BYTES_MAX / (100 * 1_024));
    let tail = 2 + most + 5;
    let actions = driver.calls(NOW, (100..104).map(|n| call(n, ANN, Deed::Writes(kib))));
    assert_eq!(appends(&actions), (tail + 1..=tail + fit as u64).collect::<Vec<_>>());
    // One that is larger alone than what is appended at once goes alone.
    stored(&mut driver, Ok(()));
    while !driver.is_idle() {
        stored(&mut driver, Ok(()));
    }
    let large = (200..202).map(|n| call(n, ANN, Deed::Writes(255)));
    assert_eq!(appends(&driver.calls(NOW, large)).len(), 1);
}

#[test]
fn a_life_that_ends_answers_none_of_them() {
    let mut driver = joined();
    driver.calls(NOW, [writes(3), writes(4)]);
    let actions = stored(&mut driver, Err(AppendError::Fenced));
    assert!(matches!(actions[..], [Action::Fail(_)]), "{actions:?}");
    assert!(!driver.is_idle());
}

#[test]
fn whoever_is_written_to_is_a_member_of_the_event() {
    let mut driver = joined();
    driver.calls(NOW, [call(3, BOB, Deed::Leaves), writes(4)]);
    let actions = stored(&mut driver, Ok(()));
    let told = actions.iter().find_map(|action| match action {
        Action::Publish(told) => Some(told),
        _ => None,
    });
    let to: Vec<_> = told.unwrap().iter().map(|told| told.to.len()).collect();
    assert_eq!(to, [2, 1], "who has left is not told of what came after");
    let written = |at: usize| &told.unwrap()[at].recorded.event;
    assert!(matches!(written(1), Event::Done(done) if done.who == ANN));
}

#[test]
fn who_wakes_it_is_not_overtaken_by_who_came_behind() {
    let mut driver = joined();
    let invites = call(3, ANN, Deed::Invites(CYD));
    driver.calls(NOW, [invites]);
    let prepared = driver.stored(NOW, StoreAnswer::Prepared(Ok(())));
    let mut log = LOG.map(|(who, n)| call(n, who, Deed::Joins)).to_vec();
    log.push(call(3, ANN, Deed::Invites(CYD)));
    let log: Vec<_> = (1..).zip(log).map(|(seq, (_, ask))| recorded(seq, ask.wanted)).collect();
    assert_eq!(appends(&prepared), [3]);
    // Another life, in which the invitation lapses at once: that is written first, then what woke it.
    let late = NOW.plus_ms(INVITATION_MS);
    let mut driver = asleep();
    let wanted = [call(4, ANN, Deed::Writes(1)), call(5, ANN, Deed::Writes(1))];
    let wanted = wanted.map(|(call, ask)| (call, Ask { until: late, ..ask }));
    assert!(matches!(driver.calls(late, wanted)[..], [Action::Store(StoreCall::Claim)]));
    driver.stored(late, StoreAnswer::Claimed(Ok(Claimed { claim: 2, tail: 3 })));
    let mut actions = driver.stored(late, StoreAnswer::Page(Ok(log)));
    let mut answered = Vec::new();
    while let Some(Action::Store(call)) = actions.last() {
        let answer = match call {
            StoreCall::Touch(_) => StoreAnswer::Touched(Ok(())),
            StoreCall::Prepare(_) => StoreAnswer::Prepared(Ok(())),
            StoreCall::Append(..) => StoreAnswer::Appended(Ok(())),
            other => panic!("{other:?}"),
        };
        actions = driver.stored(late, answer);
        answered.extend(answers(&actions));
    }
    assert_eq!(answered, [(4, Ok(5)), (5, Ok(6))], "in the order in which they came");
}
