//! A store that writes what stands beside the log with the events.

use crate::domain::{ChatEvent, Priority, Profile};
use crate::machine::chat::driver::Beside;
use crate::storage::{EndedChat, FeedHour, Moving, RowUpdate};

use super::*;

/// The same over such a store.
fn started_in_one_write(log: &[Recorded], row: Option<OpenChat>) -> (Driver, Vec<Action>) {
    let (driver, actions) = started(log, row);
    (driver.in_one_write(true), actions)
}

/// What is written with the events of the last action.
fn beside(actions: &[Action]) -> &Beside {
    let [.., Action::Store(StoreCall::AppendWith(_, _, beside))] = actions else {
        panic!("{actions:?}")
    };
    beside
}

#[test]
fn a_chat_is_listed_announced_and_opened_at_once() {
    let (mut driver, actions) = started_in_one_write(&[], None);
    assert!(actions.is_empty());
    let actions = driver.input(now(), call(open()));
    assert_eq!(kinds(&actions), ["Index", "AppendWith"]);
    let Action::Own(ChatAction::Index(Some(first))) = &actions[0] else { panic!("{actions:?}") };
    assert!(first.place.is_none() && first.moving.is_some(), "the next life is started: {first:?}");
    let Beside { hour, rows } = beside(&actions).clone();
    assert_eq!(hour, Some(FeedHour::of(now())));
    assert_eq!(driver.chat().tail(), 0, "nothing is applied before it is durable");
    let actions = appended(&mut driver, Ok(()));
    assert_eq!(kinds(&actions), ["Index", "Publish", "Answer", "ToQueue"]);
    let row = driver.chat().row().unwrap();
    assert_eq!(actions[0], Action::Own(ChatAction::Index(Some(row.clone()))));
    assert_eq!(rows, [RowUpdate::Open(row)]);
    // The hour has been told, and nothing of the index changes.
    let write = call(send(customer(), "m1", "hello"));
    assert_eq!(kinds(&driver.input(now(), write)), ["Append"]);
    assert_eq!(kinds(&appended(&mut driver, Ok(()))), ["Publish", "Answer"]);
}

#[test]
fn a_change_of_place_marks_the_row_in_memory_alone_and_is_decided_once() {
    let (log, row) = waiting();
    let (mut driver, _) = started_in_one_write(&log, row);
    let offered = ChatInput::Said(offer(1, OFFER, Reach::Directed, &[ANN]));
    let actions = driver.input(now(), offered);
    assert_eq!(kinds(&actions), ["MarkIndex", "AppendWith"]);
    let rows = beside(&actions).rows.clone();
    let actions = appended(&mut driver, Ok(()));
    assert_eq!(kinds(&actions), ["Index", "Publish", "ToQueue", "ToOperator"]);
    let row = driver.chat().row().unwrap();
    assert!(row.moving.is_none() && row.place.as_ref().unwrap().offer().is_some());
    assert_eq!(rows, [RowUpdate::Open(row.kept())]);
}

#[test]
fn an_end_leaves_the_row_of_an_ended_chat_in_its_place() {
    let (log, row) = waiting();
    let (mut driver, _) = started_in_one_write(&log, row);
    let actions = driver.input(now(), call(end(customer(), "bye")));
    let rows = beside(&actions).rows.clone();
    let actions = appended(&mut driver, Ok(()));
    assert_eq!(actions[0], Action::Own(ChatAction::Index(None)));
    let ended = EndedChat { chat: CHAT, customer: CUSTOMER, at: now() };
    assert_eq!(rows, [RowUpdate::Ended(ended), RowUpdate::NotOpen]);
}

#[test]
fn the_first_message_of_an_hour_tells_the_feed_and_writes_no_row() {
    let (log, row) = waiting();
    let (mut driver, _) = started_in_one_write(&log, row);
    let next = FeedHour(FeedHour::of(now()).0 + 1);
    let mut wanted = vec![(1, send(customer(), "m1", "hello")), (2, send(customer(), "m2", "you"))];
    let actions = driver.calls(next.begin(), wanted.clone());
    let told = beside(&actions);
    assert_eq!((told.hour, told.rows.as_slice()), (Some(next), &[][..]));
    let [Action::Store(call)] = actions.as_slice() else { panic!("{actions:?}") };
    assert_eq!(call.events().len(), 2, "who comes with it need not wait for the hour");
    // Nothing of it is durable: the feed is told with the next one.
    let unavailable = AppendError::Unavailable { reason: "no".into() };
    appended(&mut driver, Err(unavailable));
    wanted.truncate(1);
    let actions = driver.calls(next.begin(), wanted);
    assert_eq!(beside(&actions).hour, Some(next));
    appended(&mut driver, Ok(()));
    let again = driver.calls(next.begin(), [(3, send(customer(), "m3", "there"))]);
    assert_eq!(kinds(&again), ["Append"]);
}

#[test]
fn a_change_of_place_that_was_not_written_leaves_the_row_as_it_was() {
    let (log, row) = waiting();
    let (mut driver, _) = started_in_one_write(&log, row.clone());
    driver.input(now(), call(end(customer(), "bye")));
    let unavailable = AppendError::Unavailable { reason: "no".into() };
    let actions = appended(&mut driver, Err(unavailable.clone()));
    assert_eq!(kinds(&actions), ["Answer", "Row"]);
    assert_eq!(answers(&actions), [(5, false)]);
    assert_eq!(actions[1], Action::Own(ChatAction::Row(row)), "without its mark");
    // One that was to be opened is listed no more.
    let (mut driver, _) = started_in_one_write(&[], None);
    driver.input(now(), call(open()));
    let actions = appended(&mut driver, Err(unavailable));
    assert_eq!(kinds(&actions), ["Answer", "RowRemoved"]);
}

#[test]
fn a_life_after_one_whose_append_nobody_knows_writes_the_row_anew() {
    let (log, row) = waiting();
    let marked = row.clone().map(|row| OpenChat { moving: Some(Moving { to: None }), ..row });
    let (_, actions) = started_in_one_write(&log, marked);
    assert_eq!(kinds(&actions)[..1], ["Row"]);
    assert_eq!(actions[0], Action::Own(ChatAction::Row(row)));
}

#[test]
fn a_priority_that_changes_in_line_is_in_the_row_with_its_event() {
    let (log, row) = waiting();
    let (mut driver, _) = started_in_one_write(&log, row);
    let urgent =
        Profile { priority: Priority::new(1).unwrap(), issued_at: now(), ..Profile::default() };
    let update = ChatCall::UpdateCustomer { by: customer(), profile: urgent.clone() };
    let actions = driver.input(now(), call(update));
    let [RowUpdate::Open(row)] = beside(&actions).rows.as_slice() else { panic!("{actions:?}") };
    assert_eq!(row.priority, urgent.priority);
}

/// Else an offer of a dead process would stand until its operator gives it back.
#[test]
fn what_a_life_was_to_write_first_and_could_not_is_decided_again_whatever_was_written_meanwhile() {
    let mut bench = Bench::opened();
    bench.now = now();
    bench.say(offer(1, OFFER, Reach::Directed, &[ANN]));
    let former = Former { row: bench.chat.row(), ..Former::default() };
    let (driver, _) = Driver::begin(CHAT, 2, 9, former);
    let mut driver = driver.in_one_write(true);
    let tail = bench.log.len() as u64;
    driver.stored(now(), StoreAnswer::Claimed(Ok(Claimed { claim: CLAIM, tail })));
    let refused = || StoreError::Unavailable { reason: "no".into() };
    let touch = driver.stored(now(), StoreAnswer::Page(Ok(bench.log.clone())));
    assert_eq!(kinds(&touch), ["Touch"]);
    let actions = driver.stored(now(), StoreAnswer::Touched(Err(refused())));
    assert_eq!(kinds(&actions)[..2], ["MarkIndex", "AppendWith"]);
    appended(&mut driver, Err(AppendError::Unavailable { reason: "no".into() }));
    // A message comes through, and tells the feed.
    let write = call(send(customer(), "m1", "hello"));
    assert_eq!(kinds(&driver.input(now(), write)), ["AppendWith"]);
    appended(&mut driver, Ok(()));
    let due = driver.next_deadline().unwrap();
    assert!(due <= now().plus_ms(REPEAT_MS.1) && !driver.can_rest());
    assert_eq!(kinds(&driver.input(due, ChatInput::Tick)), ["Touch"]);
    let actions = touched(&mut driver, due);
    let [.., Action::Store(call)] = actions.as_slice() else { panic!("{actions:?}") };
    let ends =
        |event: &ChatEvent| matches!(event, ChatEvent::OfferEnded { how: OfferEnd::Restart, .. });
    assert!(call.events().iter().any(|recorded| ends(&recorded.event)), "{actions:?}");
    appended(&mut driver, Ok(()));
    assert!(driver.is_idle() && driver.chat().place().unwrap().offer().is_none());
}
