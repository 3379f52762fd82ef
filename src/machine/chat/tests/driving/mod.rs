//! The driver as the chat has it: what is done in which order, and what becomes of a store that refuses.

mod feed;
mod ids;
mod lives;
mod one_write;

use std::time::Duration;

use crate::domain::event::{OfferEnd, WithdrawReason};
use crate::domain::limits::REPEAT_MS;
use crate::domain::{Person, Place, Reach, Recorded, Timestamp};
use crate::machine::chat::driver::{Action, ChatAction, Driver, Failure, StoreAnswer, StoreCall};
use crate::machine::chat::tests::{Bench, variant};
use crate::machine::chat::{ChatCall, ChatInput, Refusal};
use crate::machine::fixture::*;
use crate::machine::index::Former;
use crate::machine::message::{Peer, ToChat};
use crate::storage::{AppendError, Claim, Claimed, OpenChat, StoreError};

const CLAIM: Claim = Claim { chat: CHAT, epoch: 1 };

fn now() -> Timestamp {
    Timestamp(20_000)
}

fn kinds(actions: &[Action]) -> Vec<String> {
    let kind = |action: &Action| match action {
        Action::Store(StoreCall::Prepare(preparation)) => variant(preparation),
        Action::Store(call) => variant(call),
        Action::Own(ChatAction::Row(None)) => "RowRemoved".to_owned(),
        Action::Own(action) => variant(action),
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
    let (mut driver, mut actions) =
        Driver::begin(CHAT, 1, 9, Former { row: listed, rested, ending: false });
    actions.extend(driver.wake());
    assert_eq!(kinds(&actions), ["Claim"]);
    let tail = log.len() as u64;
    let claimed = StoreAnswer::Claimed(Ok(Claimed { claim: CLAIM, tail }));
    let mut actions = driver.stored(now(), claimed);
    if tail > 0 {
        assert_eq!(kinds(&actions), ["Read"]);
        actions = paged(&mut driver, log);
    }
    assert!(driver.is_idle());
    (driver, actions)
}

fn marked(driver: &mut Driver) -> Vec<Action> {
    driver.stored(now(), StoreAnswer::Prepared(Ok(())))
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
    assert_eq!(kinds(&driver.input(now(), call(open()))), ["Touch"]);
    assert_eq!(kinds(&touched(&mut driver, now())), ["PutRow"]);
    let actions = marked(&mut driver);
    assert_eq!(kinds(&actions), ["Append"]);
    assert!(!driver.is_idle());
    assert_eq!(driver.chat().tail(), 0, "nothing is applied before it is durable");
    let actions = appended(&mut driver, Ok(()));
    assert_eq!(kinds(&actions), ["Row", "Publish", "Answer", "ToQueue"]);
    assert_eq!(answers(&actions), [(5, true)]);
    let [Action::Own(ChatAction::Row(Some(row))), ..] = actions.as_slice() else {
        panic!("{actions:?}")
    };
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

/// A page of the log, and of what is announced then.
fn paged(driver: &mut Driver, log: &[Recorded]) -> Vec<Action> {
    let actions = driver.stored(now(), StoreAnswer::Page(Ok(log.to_vec())));
    if kinds(&actions) == ["Touch"] { touched(driver, now()) } else { actions }
}

fn touched(driver: &mut Driver, at: Timestamp) -> Vec<Action> {
    driver.stored(at, StoreAnswer::Touched(Ok(())))
}

#[test]
fn an_accept_that_was_valid_before_the_mark_is_refused_when_its_time_ended_during_it() {
    let mut bench = Bench::opened();
    bench.now = now();
    bench.say(offer(1, OFFER, Reach::Directed, &[ANN]));
    let (mut driver, _) = started(&bench.log, bench.chat.row());
    let assign = ChatInput::Said(accept(ANN, OFFER, "yes", now()));
    assert_eq!(kinds(&driver.input(now(), assign)), ["MarkIndex", "Mark"]);
    let actions = driver.stored(now().plus_ms(1), StoreAnswer::Prepared(Ok(())));
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
fn a_silent_store_ends_the_life_and_the_failure_says_of_a_write_alone_that_it_is_unknown() {
    let silent = StoreError::Silent { limit: Duration::from_secs(10) };
    let read = Failure::Silent(silent.clone());
    assert!(!read.is_lasting());
    assert!(!read.to_string().contains("write"), "{read}");
    let (log, row) = waiting();
    let former = || Former { row: row.clone(), ..Former::default() };
    let begin = || Driver::begin(CHAT, 1, 9, former()).0;
    let mut driver = begin();
    let claimed = driver.stored(now(), StoreAnswer::Claimed(Err(silent.clone())));
    assert_eq!(claimed, [Action::Fail(read.clone())]);
    let mut driver = begin();
    driver.stored(now(), StoreAnswer::Claimed(Ok(Claimed { claim: CLAIM, tail: 2 })));
    let paged = driver.stored(now(), StoreAnswer::Page(Err(silent.clone())));
    assert_eq!(paged, [Action::Fail(read)]);
    let (mut driver, _) = started(&log, row);
    assert_eq!(kinds(&driver.input(now(), call(end(customer(), "bye"))))[1], "Mark");
    let marked = driver.stored(now(), StoreAnswer::Prepared(Err(silent.clone())));
    assert_eq!(marked, [Action::Fail(Failure::Unknown(silent.to_string()))]);
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
    let Action::Own(ChatAction::Row(Some(row))) = &actions[1] else { panic!("{actions:?}") };
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
    let actions = driver.stored(now(), StoreAnswer::Prepared(Err(refused)));
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
    driver.stored(deadline, StoreAnswer::Prepared(Err(refused)));
    assert_eq!(driver.next_deadline(), Some(deadline.plus_ms(REPEAT_MS.1)));
    assert!(driver.input(deadline, ChatInput::Tick).is_empty());
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
        driver.input(
            late,
            ChatInput::Said(ToChat::Lapse { placement, offer: OFFER, stands_ms: TIMEOUT_MS }),
        );
        driver.stored(late, StoreAnswer::Prepared(Ok(())));
        driver.stored(late, StoreAnswer::Appended(Ok(())));
        driver.chat().at().unwrap().last_offer.unwrap().1
    };
    assert_eq!(ended(true), OfferEnd::Lapsed);
    assert_eq!(ended(false), OfferEnd::Withdrawn(WithdrawReason::NotReserved));
}

/// Retention counts from the end: on a clock that is behind it would else be long ago at once.
#[test]
fn a_chat_that_ends_on_a_clock_that_is_behind_ended_no_earlier_than_its_latest_event() {
    let (log, row) = waiting();
    let latest = log.last().unwrap().at;
    let (mut driver, _) = started(&log, row);
    let behind = Timestamp(latest.0 / 2);
    driver.input(behind, call(end(customer(), "e1")));
    let actions = driver.stored(behind, StoreAnswer::Prepared(Ok(())));
    let [.., Action::Store(StoreCall::Append(_, events))] = actions.as_slice() else {
        panic!("{actions:?}")
    };
    assert!(events.iter().all(|recorded| recorded.at == latest), "{events:?}");
    let actions = driver.stored(behind, StoreAnswer::Appended(Ok(())));
    assert!(actions.contains(&Action::Own(ChatAction::Row(None))), "{actions:?}");
    assert_eq!(driver.chat().ended_row().unwrap().at, latest);
}

/// The log of a chat that is offered to Ann, and its row.
fn offered_to_ann() -> (Vec<Recorded>, Option<OpenChat>) {
    let mut bench = Bench::opened();
    bench.now = now();
    bench.say(offer(1, OFFER, Reach::Directed, &[ANN]));
    (bench.log.clone(), bench.chat.row())
}

/// Who is told of each event.
fn told(actions: &[Action]) -> Vec<(u64, Vec<Person>)> {
    let told = actions.iter().filter_map(|action| match action {
        Action::Publish(told) | Action::PublishLate(told) => Some(told),
        _ => None,
    });
    let each = told.flatten().map(|t| (t.recorded.seq, t.to.clone()));
    each.collect()
}

#[test]
fn of_one_append_whoever_leaves_with_an_event_is_told_of_that_one_and_of_none_behind_it() {
    let (log, row) = offered_to_ann();
    let (mut driver, _) = started(&log, row);
    let decline = ToChat::Decline { offer: OFFER, operator: ANN, stay: 0, command: command("no") };
    driver.input(now(), ChatInput::Said(decline));
    marked(&mut driver);
    let actions = appended(&mut driver, Ok(()));
    let tail = log.len() as u64;
    let customer = Person::Customer(CUSTOMER);
    let expected = [(tail + 1, vec![customer, Person::User(ANN)]), (tail + 2, vec![customer])];
    assert_eq!(told(&actions), expected, "declined, and the offer ended");
}
