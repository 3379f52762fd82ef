//! The driver: what is done in which order, and what becomes of a store that refuses.

use crate::domain::event::{OfferEnd, WithdrawReason};
use crate::domain::limits::REPEAT_MS;
use crate::domain::{Place, Reach, Recorded, Timestamp};
use crate::machine::chat::driver::{Action, Driver, Failure, StoreAnswer};
use crate::machine::chat::tests::{Bench, variant};
use crate::machine::chat::{ChatCall, ChatInput, Refusal};
use crate::machine::fixture::*;
use crate::machine::message::Peer;
use crate::machine::message::ToChat;
use crate::storage::{AppendError, Claim, Claimed, OpenChat, StoreError};

const CLAIM: Claim = Claim { chat: CHAT, epoch: 1 };

fn now() -> Timestamp {
    Timestamp(20_000)
}

fn kinds(actions: &[Action]) -> Vec<String> {
    let kind = |action: &Action| match action {
        Action::Store(call) => variant(call),
        Action::Row(None) => "RowRemoved".to_owned(),
        action => variant(action),
    };
    actions.iter().map(kind).collect()
}

/// A driver over a log, claimed and read.
fn started(log: &[Recorded], listed: Option<OpenChat>) -> (Driver, Vec<Action>) {
    started_after(log, listed, None)
}

fn started_after(
    log: &[Recorded],
    listed: Option<OpenChat>,
    rested: Option<u64>,
) -> (Driver, Vec<Action>) {
    let (mut driver, actions) = Driver::begin(CHAT, 1, 9, listed, rested);
    assert_eq!(kinds(&actions), ["Claim"]);
    let tail = log.len() as u64;
    let claimed = StoreAnswer::Claimed(Ok(Claimed { claim: CLAIM, tail }));
    let mut actions = driver.stored(now(), claimed);
    if tail > 0 {
        assert_eq!(kinds(&actions), ["Read"]);
        actions = driver.stored(now(), StoreAnswer::Page(Ok(log.to_vec())));
    }
    assert!(driver.is_idle());
    (driver, actions)
}

fn marked(driver: &mut Driver) -> Vec<Action> {
    driver.stored(now(), StoreAnswer::Marked(Ok(())))
}

fn appended(driver: &mut Driver, result: Result<(), AppendError>) -> Vec<Action> {
    driver.stored(now(), StoreAnswer::Appended(result))
}

fn call(call: ChatCall) -> ChatInput {
    ChatInput::Call(5, call)
}

fn answers(actions: &[Action]) -> Vec<(u64, bool)> {
    let answers = actions.iter().filter_map(|action| match action {
        Action::Answer(call, answer) => Some((*call, answer.is_ok())),
        _ => None,
    });
    answers.collect()
}

/// An open chat's log, and its row.
fn waiting() -> (Vec<Recorded>, Option<OpenChat>) {
    let bench = Bench::opened();
    (bench.log.clone(), bench.chat.row())
}

#[test]
fn a_chat_is_listed_before_it_is_opened_and_answered_after_it_is_durable() {
    let (mut driver, actions) = started(&[], None);
    assert!(actions.is_empty());
    let actions = driver.input(now(), call(open()));
    assert_eq!(kinds(&actions), ["PutRow"]);
    let actions = marked(&mut driver);
    assert_eq!(kinds(&actions), ["Append"]);
    assert!(!driver.is_idle());
    assert_eq!(driver.chat().tail(), 0, "nothing is applied before it is durable");
    let actions = appended(&mut driver, Ok(()));
    assert_eq!(kinds(&actions), ["Row", "Publish", "Answer", "ToQueue"]);
    assert_eq!(answers(&actions), [(5, true)]);
    let [Action::Row(Some(row)), ..] = actions.as_slice() else { panic!("{actions:?}") };
    assert_eq!((&row.place, row.moving), (&Some(Place::Waiting), None));
}

#[test]
fn a_change_of_place_marks_the_row_in_memory_and_in_the_store_before_it_is_appended() {
    let (log, row) = waiting();
    let (mut driver, _) = started(&log, row);
    let offered = ChatInput::Said(offer(1, OFFER, Reach::Directed, &[ANN]));
    assert_eq!(kinds(&driver.input(now(), offered)), ["MarkIndex", "Mark"]);
    assert_eq!(kinds(&marked(&mut driver)), ["Append"]);
    let actions = appended(&mut driver, Ok(()));
    assert_eq!(kinds(&actions), ["Row", "Publish", "ToQueue", "ToOperator"]);
    // A message changes no place: no mark.
    let write = call(send(customer(), "m1", "hello"));
    assert_eq!(kinds(&driver.input(now(), write)), ["Append"]);
    assert_eq!(kinds(&appended(&mut driver, Ok(()))), ["Publish", "Answer"]);
}

#[test]
fn an_end_removes_the_row() {
    let (log, row) = waiting();
    let (mut driver, _) = started(&log, row);
    driver.input(now(), call(end(customer(), "bye")));
    marked(&mut driver);
    let actions = appended(&mut driver, Ok(()));
    assert_eq!(kinds(&actions), ["RowRemoved", "Publish", "Answer", "ToQueue"]);
}

#[test]
fn a_row_whose_chat_was_never_opened_is_removed() {
    let (_, row) = waiting();
    let (_, actions) = started(&[], row);
    assert_eq!(kinds(&actions), ["RowRemoved"]);
}

#[test]
fn an_accept_that_was_valid_before_the_mark_is_refused_when_its_time_ended_during_it() {
    let mut bench = Bench::opened();
    bench.now = now();
    bench.say(offer(1, OFFER, Reach::Directed, &[ANN]));
    let (mut driver, _) = started(&bench.log, bench.chat.row());
    let assign = ChatInput::Said(accept(ANN, OFFER, "yes", now()));
    assert_eq!(kinds(&driver.input(now(), assign)), ["MarkIndex", "Mark"]);
    let actions = driver.stored(now().plus_ms(1), StoreAnswer::Marked(Ok(())));
    // The row is written anew without its mark, and the operator hears no.
    assert_eq!(kinds(&actions), ["Row", "ToOperator"]);
    assert!(driver.is_idle());
    assert_eq!(driver.chat().place().unwrap().owner(), None);
}

#[test]
fn an_append_of_unknown_outcome_ends_the_life_and_answers_nobody() {
    for (error, wanted) in [
        (AppendError::Unknown { reason: "lost".into() }, Failure::Unknown("lost".into())),
        (AppendError::Fenced, Failure::Fenced),
    ] {
        let (log, row) = waiting();
        let (mut driver, _) = started(&log, row);
        driver.input(now(), call(send(customer(), "m1", "hello")));
        let actions = appended(&mut driver, Err(error));
        assert_eq!(actions, [Action::Fail(wanted)]);
        assert_eq!(driver.chat().tail(), 2, "nothing is applied");
        assert!(!driver.is_idle());
    }
}

#[test]
fn an_append_that_the_store_refused_is_answered_unavailable_and_the_row_is_written_anew() {
    let (log, row) = waiting();
    let (mut driver, _) = started(&log, row);
    driver.input(now(), call(end(customer(), "bye")));
    marked(&mut driver);
    let actions = appended(&mut driver, Err(AppendError::Unavailable { reason: "full".into() }));
    assert_eq!(kinds(&actions), ["Answer", "Row"]);
    assert_eq!(actions[0], Action::Answer(5, Err(Refusal::Unavailable)));
    let Action::Row(Some(row)) = &actions[1] else { panic!("{actions:?}") };
    assert_eq!(row.moving, None, "the mark is gone");
    assert!(driver.is_idle());
    // The caller asks again with the same id, and it is done once.
    driver.input(now(), call(end(customer(), "bye")));
    marked(&mut driver);
    assert_eq!(answers(&appended(&mut driver, Ok(()))), [(5, true)]);
    assert_eq!(driver.chat().tail(), 3);
}

#[test]
fn a_mark_that_the_store_refused_changes_nothing() {
    let (log, row) = waiting();
    let (mut driver, _) = started(&log, row);
    driver.input(now(), call(end(customer(), "bye")));
    let refused = StoreError::Unavailable { reason: "busy".into() };
    let actions = driver.stored(now(), StoreAnswer::Marked(Err(refused)));
    assert_eq!(kinds(&actions), ["Answer", "Row"]);
    assert_eq!(answers(&actions), [(5, false)]);
}

#[test]
fn the_routers_own_deadlines_wait_while_the_store_refuses() {
    let mut bench = Bench::opened();
    bench.now = now();
    bench.say(offer(1, OFFER, Reach::Directed, &[ANN]));
    let (mut driver, _) = started(&bench.log, bench.chat.row());
    // Everybody has heard where it is.
    for peer in [Peer::Queue(QUEUE), Peer::Operator(ANN)] {
        let at = bench.chat.at().unwrap();
        let (placement, version) = (at.placement, at.version);
        driver.input(now(), ChatInput::Said(ToChat::Seen { peer, placement, version }));
    }
    assert!(driver.can_rest());
    let deadline = driver.next_deadline().unwrap();
    assert_eq!(kinds(&driver.input(deadline, ChatInput::Tick)), ["MarkIndex", "Mark"]);
    let refused = StoreError::Unavailable { reason: "busy".into() };
    driver.stored(deadline, StoreAnswer::Marked(Err(refused)));
    assert_eq!(driver.next_deadline(), Some(deadline.plus_ms(REPEAT_MS.1)));
    assert!(driver.input(deadline, ChatInput::Tick).is_empty());
}

#[test]
fn a_life_ends_when_the_log_is_not_what_the_claim_said() {
    let (log, row) = waiting();
    let (mut driver, _) = Driver::begin(CHAT, 1, 9, row, None);
    let tail = log.len() as u64;
    driver.stored(now(), StoreAnswer::Claimed(Ok(Claimed { claim: CLAIM, tail })));
    let gap = driver.stored(now(), StoreAnswer::Page(Ok(log[1..].to_vec())));
    assert!(matches!(gap.as_slice(), [Action::Fail(Failure::Broken(_))]), "{gap:?}");
}

#[test]
fn what_is_written_beyond_the_claimed_tail_is_not_read() {
    // A late write of a dead claim may be seen by the read, and is not part of the log.
    let mut bench = Bench::opened();
    let row = bench.chat.row();
    bench.call(send(customer(), "late", "hello"));
    let (mut driver, _) = Driver::begin(CHAT, 1, 9, row, None);
    driver.stored(now(), StoreAnswer::Claimed(Ok(Claimed { claim: CLAIM, tail: 2 })));
    driver.stored(now(), StoreAnswer::Page(Ok(bench.log)));
    assert!(driver.is_idle());
    assert_eq!(driver.chat().tail(), 2);
}

#[test]
fn an_input_while_the_store_is_busy_is_a_fault_of_the_shell() {
    let (log, row) = waiting();
    let (mut driver, _) = started(&log, row);
    driver.input(now(), call(send(customer(), "m1", "hello")));
    let actions = driver.input(now(), ChatInput::Tick);
    assert!(matches!(actions.as_slice(), [Action::Fail(Failure::Broken(_))]), "{actions:?}");
}

#[test]
fn a_chat_that_slept_wakes_in_silence_and_one_that_failed_says_where_it_is() {
    let (log, row) = waiting();
    let tail = log.len() as u64;
    let told = |rested| {
        let (mut driver, mut actions) = started_after(&log, row.clone(), rested);
        actions.extend(driver.input(now(), ChatInput::Tick));
        actions.iter().filter(|action| matches!(action, Action::ToQueue(..))).count()
    };
    assert_eq!(told(Some(tail)), 0);
    assert_eq!(told(None), 1);
    assert_eq!(told(Some(tail - 1)), 1, "something was written after it slept");
}

#[test]
fn whether_an_operator_heard_of_its_offer_is_known_by_its_word() {
    let bench = Bench::opened();
    let ended = |heard: bool| {
        let (mut driver, _) = started(&bench.log, None);
        driver.input(now(), ChatInput::Said(offer(1, OFFER, Reach::Directed, &[ANN])));
        marked(&mut driver);
        appended(&mut driver, Ok(()));
        let (placement, version) = (driver.chat().placement(), driver.chat().tail());
        if heard {
            let seen = ToChat::Seen { peer: Peer::Operator(ANN), placement, version };
            driver.input(now(), ChatInput::Said(seen));
        }
        let late = now().plus_ms(TIMEOUT_MS);
        driver.input(late, ChatInput::Said(ToChat::Lapse { placement, offer: OFFER }));
        driver.stored(late, StoreAnswer::Marked(Ok(())));
        driver.stored(late, StoreAnswer::Appended(Ok(())));
        driver.chat().at().unwrap().last_offer.unwrap().1
    };
    assert_eq!(ended(true), OfferEnd::Lapsed);
    assert_eq!(ended(false), OfferEnd::Withdrawn(WithdrawReason::NotReserved));
}
