//! What the feed is told before something is written, and after a claim; and what is owed to it.

use std::time::Duration;

use crate::domain::event::OfferEnd;
use crate::domain::limits::{REPEAT_MS, TOUCH_AGAIN_MS};
use crate::domain::{ChatEvent, Reach, Recorded, Timestamp};
use crate::machine::chat::driver::{Action, ChatAction, Driver, StoreAnswer, StoreCall};
use crate::machine::chat::tests::Bench;
use crate::machine::chat::{ChatInput, Refusal};
use crate::machine::fixture::*;
use crate::machine::index::Former;
use crate::machine::message::{Peer, ToChat};
use crate::storage::{Claimed, FEED_HOUR_MS, FeedHour, StoreError};

use super::{
    CLAIM, answers, appended, call, kinds, now, offered_to_ann, started_after, touched, waiting,
};

fn hour_of(actions: &[Action]) -> FeedHour {
    let [Action::Store(StoreCall::Touch(hour))] = actions else { panic!("{actions:?}") };
    *hour
}

#[test]
fn the_feed_is_told_once_an_hour_before_anything_is_written() {
    let (log, row) = waiting();
    let (mut driver, _) = started_after(&log, row, Some(log.len() as u64));
    let mut ask = |at: Timestamp, id: &str| {
        let mut asked = vec![driver.input(at, call(send(customer(), id, "hello")))];
        if kinds(&asked[0]) == ["Touch"] {
            assert_eq!(hour_of(&asked[0]), FeedHour::of(at));
            asked.push(touched(&mut driver, at));
        }
        driver.stored(at, StoreAnswer::Appended(Ok(())));
        asked.iter().flat_map(|actions| kinds(actions)).collect::<Vec<_>>()
    };
    let begin = FeedHour::of(now()).begin().plus_ms(FEED_HOUR_MS);
    assert_eq!(ask(now(), "m1"), ["Touch", "Append"]);
    assert_eq!(ask(begin.plus_ms(FEED_HOUR_MS - 1), "m2"), ["Touch", "Append"]);
    assert_eq!(ask(begin, "m3"), ["Append"], "of the same hour");
    assert_eq!(ask(begin.plus_ms(FEED_HOUR_MS), "m4"), ["Touch", "Append"]);
    assert_eq!(ask(begin, "m5"), ["Touch", "Append"], "a clock that went back");
}

#[test]
fn the_feed_is_told_of_what_a_claim_may_have_brought_to_light() {
    let (log, row) = waiting();
    let tail = log.len() as u64;
    for (rested, told) in [(None, true), (Some(tail - 1), true), (Some(tail), false)] {
        let former = Former { row: row.clone(), rested, ending: false };
        let (mut driver, _) = Driver::begin(CHAT, 1, 9, former);
        driver.stored(now(), StoreAnswer::Claimed(Ok(Claimed { claim: CLAIM, tail })));
        let actions = driver.stored(now(), StoreAnswer::Page(Ok(log.clone())));
        assert_eq!(!driver.is_idle(), told, "{rested:?}: {actions:?}");
        if told {
            assert_eq!(hour_of(&actions), FeedHour::of(now()));
            touched(&mut driver, now());
            assert!(driver.is_idle());
            let sent = driver.input(now(), call(send(customer(), "m1", "hello")));
            assert_eq!(kinds(&sent), ["Append"], "of the same hour");
        }
    }
    // Nothing can have come to light of a chat that nobody opened.
    let (mut driver, _) = Driver::begin(CHAT, 1, 9, Former::default());
    driver.wake();
    driver.stored(now(), StoreAnswer::Claimed(Ok(Claimed { claim: CLAIM, tail: 0 })));
    assert!(driver.is_idle());
}

/// Why a store that was to be told did not say that it was.
fn untold_feed() -> [StoreError; 2] {
    let limit = Duration::from_secs(10);
    [StoreError::Unavailable { reason: "busy".into() }, StoreError::Silent { limit }]
}

/// Claimed and read, with a feed that could not be told of what came to light.
fn owing(error: StoreError) -> (Driver, Vec<Action>) {
    let (log, row) = waiting();
    let tail = log.len() as u64;
    let (mut driver, _) = Driver::begin(CHAT, 1, 9, Former { row, ..Former::default() });
    driver.stored(now(), StoreAnswer::Claimed(Ok(Claimed { claim: CLAIM, tail })));
    assert_eq!(kinds(&driver.stored(now(), StoreAnswer::Page(Ok(log)))), ["Touch"]);
    let actions = driver.stored(now(), StoreAnswer::Touched(Err(error)));
    (driver, actions)
}

/// The queue has heard where the chat is.
fn heard(driver: &mut Driver) {
    let at = driver.chat().at().unwrap();
    let (placement, version) = (at.placement, at.version);
    let seen = ToChat::Seen { peer: Peer::Queue(QUEUE), placement, version };
    driver.input(now(), ChatInput::Said(seen));
}

#[test]
fn a_life_that_cannot_tell_the_feed_what_came_to_light_goes_on_and_tries_again() {
    for error in untold_feed() {
        let (mut driver, actions) = owing(error.clone());
        assert!(driver.is_idle(), "{error}: {actions:?}");
        heard(&mut driver);
        assert!(!driver.can_rest(), "{error}: it is owed");
        let (mut at, mut waits) = (now(), Vec::new());
        while waits.len() < 9 {
            let again = driver.next_deadline().unwrap();
            waits.push(again.since_ms(at));
            let early = Timestamp(again.0 - 1);
            assert!(driver.input(early, ChatInput::Tick).is_empty());
            assert_eq!(hour_of(&driver.input(again, ChatInput::Tick)), FeedHour::of(again));
            // It is refused once more.
            assert!(driver.stored(again, StoreAnswer::Touched(Err(error.clone()))).is_empty());
            assert!(driver.is_idle() && !driver.can_rest());
            at = again;
        }
        assert_eq!(waits, [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000], "{error}");
        let later = driver.next_deadline().unwrap();
        assert_eq!(kinds(&driver.input(later, ChatInput::Tick)), ["Touch"]);
        assert!(touched(&mut driver, later).is_empty());
        assert!(driver.can_rest(), "{error}: nothing is owed");
        assert_eq!(driver.next_deadline(), None);
    }
}

#[test]
fn a_write_meanwhile_touches_before_it_and_settles_what_is_owed() {
    for error in untold_feed() {
        let (mut driver, _) = owing(error);
        heard(&mut driver);
        assert_eq!(kinds(&driver.input(now(), call(send(customer(), "m1", "hello")))), ["Touch"]);
        assert_eq!(kinds(&touched(&mut driver, now())), ["Append"]);
        assert_eq!(answers(&appended(&mut driver, Ok(()))), [(5, true)]);
        assert!(driver.can_rest(), "nothing is owed");
        assert_eq!(driver.next_deadline(), None);
    }
}

#[test]
fn an_offer_of_a_former_process_ends_once_the_feed_can_be_told() {
    let (log, row) = offered_to_ann();
    let tail = log.len() as u64;
    let (mut driver, _) = Driver::begin(CHAT, 2, 9, Former { row, ..Former::default() });
    driver.stored(now(), StoreAnswer::Claimed(Ok(Claimed { claim: CLAIM, tail })));
    driver.stored(now(), StoreAnswer::Page(Ok(log)));
    let refused = || StoreAnswer::Touched(Err(untold_feed()[0].clone()));
    assert_eq!(kinds(&driver.stored(now(), refused())), ["Touch"], "to write that it is over");
    driver.stored(now(), refused());
    let again = now().plus_ms(REPEAT_MS.1);
    assert_eq!(kinds(&driver.input(again, ChatInput::Tick)).last().unwrap(), "Touch");
    assert_eq!(kinds(&touched(&mut driver, again)), ["MarkIndex", "Mark"]);
    let actions = driver.stored(again, StoreAnswer::Prepared(Ok(())));
    let [Action::Store(StoreCall::Append(_, events))] = actions.as_slice() else {
        panic!("{actions:?}")
    };
    // By its time alone it would have lapsed meanwhile.
    assert_eq!(how_it_ended(events), Some(OfferEnd::Restart));
}

fn how_it_ended(events: &[Recorded]) -> Option<OfferEnd> {
    events.iter().find_map(|recorded| match recorded.event {
        ChatEvent::OfferEnded { how, .. } => Some(how),
        _ => None,
    })
}

#[test]
fn an_offer_of_a_former_process_ends_also_when_something_else_told_the_feed_first() {
    let (log, row) = offered_to_ann();
    let tail = log.len() as u64;
    let (mut driver, _) = Driver::begin(CHAT, 2, 9, Former { row, ..Former::default() });
    driver.stored(now(), StoreAnswer::Claimed(Ok(Claimed { claim: CLAIM, tail })));
    driver.stored(now(), StoreAnswer::Page(Ok(log)));
    for _ in ["of what came to light", "to write that the offer is over"] {
        driver.stored(now(), StoreAnswer::Touched(Err(untold_feed()[0].clone())));
    }
    driver.input(now(), call(send(customer(), "m1", "hello")));
    assert_eq!(kinds(&touched(&mut driver, now())), ["Append"]);
    appended(&mut driver, Ok(()));
    assert!(!driver.can_rest(), "it has yet to begin");
    let again = now();
    assert_eq!(driver.next_deadline(), Some(again), "at once, as the feed takes something again");
    assert_eq!(kinds(&driver.input(again, ChatInput::Tick)).last().unwrap(), "Touch");
    driver.stored(again, StoreAnswer::Touched(Err(untold_feed()[0].clone())));
    let again = again.plus_ms(TOUCH_AGAIN_MS.0);
    assert_eq!(driver.next_deadline(), Some(again), "soon, as the feed took something meanwhile");
    assert_eq!(kinds(&driver.input(again, ChatInput::Tick)).last().unwrap(), "Touch");
    touched(&mut driver, again);
    let actions = driver.stored(again, StoreAnswer::Prepared(Ok(())));
    let [Action::Store(StoreCall::Append(_, events))] = actions.as_slice() else {
        panic!("{actions:?}")
    };
    assert_eq!(how_it_ended(events), Some(OfferEnd::Restart));
    appended(&mut driver, Ok(()));
    assert!(driver.let_go().is_none(), "it is open");
}

#[test]
fn nothing_is_written_of_which_the_feed_was_not_told() {
    let (log, row) = waiting();
    let (mut driver, _) = started_after(&log, row, Some(log.len() as u64));
    for error in untold_feed() {
        // Nobody knows whether the one before was written: it is told again.
        let asked = driver.input(now(), call(send(customer(), "m1", "hello")));
        assert_eq!(kinds(&asked), ["Touch"]);
        let actions = driver.stored(now(), StoreAnswer::Touched(Err(error)));
        assert_eq!(actions, [Action::Answer(5, Err(Refusal::Unavailable))]);
        assert!(driver.is_idle() && driver.can_rest(), "nothing came to light that is owed");
    }
    driver.input(now(), call(send(customer(), "m1", "hello")));
    assert_eq!(kinds(&touched(&mut driver, now())), ["Append"]);
}

#[test]
fn the_feed_is_told_again_when_the_hour_ends_while_the_row_is_marked() {
    let (log, row) = waiting();
    let next = FeedHour::of(now()).begin().plus_ms(FEED_HOUR_MS);
    let mark = || {
        let (mut driver, _) = started_after(&log, row.clone(), Some(log.len() as u64));
        let offered = ChatInput::Said(offer(1, OFFER, Reach::Directed, &[ANN]));
        assert_eq!(kinds(&driver.input(now(), offered)), ["Touch"]);
        assert_eq!(kinds(&touched(&mut driver, now())), ["MarkIndex", "Mark"]);
        driver
    };
    let mut driver = mark();
    let within = Timestamp(next.0 - 1);
    assert_eq!(kinds(&driver.stored(within, StoreAnswer::Prepared(Ok(())))), ["Append"]);
    let mut driver = mark();
    let actions = driver.stored(next, StoreAnswer::Prepared(Ok(())));
    assert_eq!(hour_of(&actions), FeedHour::of(next));
    // Decided anew again, so marked again.
    assert_eq!(kinds(&touched(&mut driver, next)), ["MarkIndex", "Mark"]);
    assert_eq!(kinds(&driver.stored(next, StoreAnswer::Prepared(Ok(())))), ["Append"]);
}

#[test]
fn a_row_that_was_marked_for_what_is_void_once_the_feed_was_told_is_written_anew() {
    let mut bench = Bench::opened();
    bench.now = now();
    bench.say(offer(1, OFFER, Reach::Directed, &[ANN]));
    let tail = bench.log.len() as u64;
    let next = FeedHour::of(now()).begin().plus_ms(FEED_HOUR_MS);
    for (told, wanted) in [
        (Ok(()), ["Row", "ToOperator"].as_slice()),
        (Err(StoreError::Unavailable { reason: "busy".into() }), &["Row"]),
    ] {
        let (mut driver, _) = started_after(&bench.log, bench.chat.row(), Some(tail));
        let assign = ChatInput::Said(accept(ANN, OFFER, "yes", next));
        assert_eq!(kinds(&driver.input(now(), assign)), ["Touch"]);
        assert_eq!(kinds(&touched(&mut driver, now())), ["MarkIndex", "Mark"]);
        assert_eq!(kinds(&driver.stored(next, StoreAnswer::Prepared(Ok(())))), ["Touch"]);
        let actions = driver.stored(next.plus_ms(1), StoreAnswer::Touched(told));
        assert_eq!(kinds(&actions), wanted);
        let row = actions.iter().find_map(|action| match action {
            Action::Own(ChatAction::Row(row)) => row.clone(),
            _ => None,
        });
        assert_eq!(row.map(|row| row.moving), Some(None), "the mark is gone");
        assert!(driver.is_idle());
    }
}

#[test]
fn what_was_valid_before_the_feed_was_told_is_decided_anew() {
    let mut bench = Bench::opened();
    bench.now = now();
    bench.say(offer(1, OFFER, Reach::Directed, &[ANN]));
    let tail = bench.log.len() as u64;
    let (mut driver, _) = started_after(&bench.log, bench.chat.row(), Some(tail));
    let assign = ChatInput::Said(accept(ANN, OFFER, "yes", now()));
    assert_eq!(kinds(&driver.input(now(), assign)), ["Touch"]);
    assert_eq!(kinds(&touched(&mut driver, now().plus_ms(1))), ["ToOperator"], "and hears no");
    assert_eq!(driver.chat().place().unwrap().owner(), None);
}
