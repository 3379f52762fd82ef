//! How a life begins: what is claimed, what is only read, and what is told of what a former one left.

use crate::domain::{ChatEvent, Person, Reach, Recorded, UserId};
use crate::machine::chat::ChatInput;
use crate::machine::chat::driver::{Action, ChatAction, Driver, Failure, StoreAnswer};
use crate::machine::chat::tests::Bench;
use crate::machine::fixture::*;
use crate::machine::index::Former;
use crate::machine::message::ToOperator;
use crate::storage::Claimed;

use super::{
    CLAIM, answers, call, kinds, now, offered_to_ann, paged, started, started_after, told, touched,
    waiting,
};

/// An ended chat's log.
fn ended() -> Vec<Recorded> {
    let mut bench = Bench::opened();
    bench.call(end(customer(), "bye"));
    bench.log.clone()
}

#[test]
fn a_look_at_an_ended_chat_reads_and_claims_nothing() {
    let log = ended();
    let (mut driver, actions) =
        Driver::begin(CHAT, 1, 9, Former { rested: Some(2), ..Former::default() });
    assert!(actions.is_empty() && driver.is_idle(), "it sleeps until somebody wants something");
    assert_eq!(kinds(&driver.look()), ["Read"]);
    assert!(!driver.is_idle());
    assert!(paged(&mut driver, &log).is_empty());
    assert!(driver.is_idle() && driver.can_rest());
    assert_eq!(driver.chat().tail(), log.len() as u64);
    assert!(driver.look().is_empty(), "it is read once");
    assert_eq!((driver.next_deadline(), driver.told_up_to()), (None, Some(2)));
}

#[test]
fn whoever_wants_to_change_an_ended_chat_claims_it_and_reads_it_anew() {
    let log = ended();
    for looked in [false, true] {
        let (mut driver, _) = Driver::begin(CHAT, 1, 9, Former::default());
        if looked {
            driver.look();
            // An event that was not acknowledged may be seen, and be gone once the chat is claimed.
            let mut seen = log.clone();
            seen.push(Recorded {
                seq: log.len() as u64 + 1,
                at: now(),
                event: ChatEvent::ContinuedIn { chat: CHAT },
                names: Default::default(),
            });
            paged(&mut driver, &seen);
        }
        assert_eq!(kinds(&driver.input(now(), call(end(customer(), "bye")))), ["Claim"]);
        assert_eq!((driver.chat().tail(), driver.is_idle()), (0, false));
        let tail = log.len() as u64;
        let claimed = StoreAnswer::Claimed(Ok(Claimed { claim: CLAIM, tail }));
        assert_eq!(kinds(&driver.stored(now(), claimed)), ["Read"]);
        let actions = paged(&mut driver, &log);
        assert_eq!(answers(&actions), [(5, true)], "the repeat of its end");
        assert_eq!((driver.chat().tail(), driver.told_up_to()), (tail, Some(tail)));
    }
}

#[test]
fn a_chat_that_ended_and_failed_before_everybody_had_heard_tells_it_again_and_leaves_the_index() {
    let log = ended();
    let (mut driver, actions) =
        Driver::begin(CHAT, 1, 9, Former { ending: true, ..Former::default() });
    assert_eq!(kinds(&actions), ["Claim"], "whether somebody asks or not");
    let tail = log.len() as u64;
    driver.stored(now(), StoreAnswer::Claimed(Ok(Claimed { claim: CLAIM, tail })));
    let actions = paged(&mut driver, &log);
    assert_eq!(kinds(&actions), ["RowRemoved"], "the store may still have it");
    assert_eq!(kinds(&driver.input(now(), ChatInput::Tick)), ["ToQueue"]);
    assert!(!driver.can_rest(), "until they have");
}

#[test]
fn a_chat_that_is_opened_is_claimed_before_anything_is_read() {
    let (mut driver, _) = Driver::begin(CHAT, 1, 9, Former::default());
    assert_eq!(kinds(&driver.input(now(), call(open()))), ["Claim"]);
    let claimed = StoreAnswer::Claimed(Ok(Claimed { claim: CLAIM, tail: 0 }));
    assert_eq!(kinds(&driver.stored(now(), claimed)), ["Touch"]);
    assert_eq!(kinds(&touched(&mut driver, now())), ["PutRow"]);
}

#[test]
fn a_chat_that_is_open_though_it_is_not_listed_is_claimed_at_a_look() {
    let (log, _) = waiting();
    let (mut driver, _) = Driver::begin(CHAT, 1, 9, Former::default());
    driver.look();
    assert_eq!(kinds(&paged(&mut driver, &log)), ["Claim"]);
    let claimed = StoreAnswer::Claimed(Ok(Claimed { claim: CLAIM, tail: log.len() as u64 }));
    assert_eq!(kinds(&driver.stored(now(), claimed)), ["Read"]);
    assert_eq!(kinds(&paged(&mut driver, &log))[0], "Row", "and listed");
}

#[test]
fn a_row_whose_chat_was_never_opened_is_removed() {
    let (_, row) = waiting();
    let (_, actions) = started(&[], row);
    assert_eq!(kinds(&actions), ["RowRemoved"]);
}

#[test]
fn a_life_ends_when_the_log_is_not_what_the_claim_said() {
    let (log, row) = waiting();
    let (mut driver, _) = Driver::begin(CHAT, 1, 9, Former { row, ..Former::default() });
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
    let (mut driver, _) = Driver::begin(CHAT, 1, 9, Former { row, ..Former::default() });
    driver.stored(now(), StoreAnswer::Claimed(Ok(Claimed { claim: CLAIM, tail: 2 })));
    paged(&mut driver, &bench.log);
    assert!(driver.is_idle());
    assert_eq!(driver.chat().tail(), 2);
}

#[test]
fn a_chat_that_slept_wakes_in_silence_and_one_that_failed_says_where_it_is() {
    let (log, row) = waiting();
    let tail = log.len() as u64;
    let told = |rested| {
        let (mut driver, mut actions) = started_after(&log, row.clone(), rested);
        actions.extend(driver.input(now(), ChatInput::Tick));
        actions
            .iter()
            .filter(|action| matches!(action, Action::Own(ChatAction::ToQueue(..))))
            .count()
    };
    assert_eq!(told(Some(tail)), 0);
    assert_eq!(told(None), 1);
    assert_eq!(told(Some(tail - 1)), 1, "something was written after it slept");
}

#[test]
fn everybody_whom_an_offer_reached_is_told_of_its_end_after_a_crash() {
    let mut bench = Bench::opened();
    let everybody: Vec<_> = (0..1_000).map(|n| UserId::from_u128(0xe000 + n)).collect();
    bench.say(offer(1, OFFER, Reach::ToAll, &everybody));
    bench.call(end(customer(), "bye"));
    // As the life finds it that follows one which told nobody.
    let (mut driver, _) = started(&bench.log, None);
    let actions = driver.input(now(), ChatInput::Tick);
    let told = actions.iter().filter_map(|action| match action {
        Action::Own(ChatAction::ToOperator(operator, ToOperator::At(_))) => Some(*operator),
        _ => None,
    });
    assert_eq!(told.count(), everybody.len());
}

#[test]
fn what_a_former_life_told_nobody_of_is_told_before_anything_else_to_those_of_then() {
    let (log, row) = offered_to_ann();
    let tail = log.len() as u64;
    let begin = |after| {
        let former = Former { row: row.clone(), ..Former::default() };
        let (driver, _) = Driver::begin(CHAT, 2, 9, former);
        let mut driver = driver.untold(after);
        driver.stored(now(), StoreAnswer::Claimed(Ok(Claimed { claim: CLAIM, tail })));
        assert_eq!(kinds(&driver.stored(now(), StoreAnswer::Page(Ok(log.clone())))), ["Touch"]);
        touched(&mut driver, now())
    };
    let (customer, ann) = (Person::Customer(CUSTOMER), Person::User(ANN));
    let actions = begin(Some(tail - 2));
    assert_eq!(told(&actions), [(tail - 1, vec![customer]), (tail, vec![customer, ann])]);
    // Of another process, so that the offer is over.
    assert_eq!(kinds(&actions), ["PublishLate", "MarkIndex", "Mark"]);
    assert_eq!(told(&begin(None)), []);
    assert_eq!(told(&begin(Some(tail))), []);
}
