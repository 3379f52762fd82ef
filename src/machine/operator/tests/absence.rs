//! Whether she is there, and what becomes of her chats when she is not.

use super::*;

#[test]
fn without_a_connection_she_keeps_her_offers_for_the_grace_and_is_offline_after_it() {
    let mut desk = Desk::present(2);
    desk.offered(chat(1), true);
    desk.step(OperatorInput::Disconnected(1));
    assert_eq!(desk.ann.standing(), Standing::NotConnected);
    let effects = desk.later(PRESENCE_GRACE_MS - 1);
    assert_eq!((withdrawn(&effects, chat(1)), desk.ann.status()), (None, &Status::Ready));
    let effects = desk.later(1);
    assert_eq!(withdrawn(&effects, chat(1)), Some(WithdrawReason::NotReady));
    assert_eq!(desk.ann.status(), &Status::Offline);
}

#[test]
fn whoever_has_just_chosen_ready_gets_the_grace_although_its_page_has_proven_nothing_yet() {
    let mut desk = Desk::absent(1, Vec::new());
    desk.later(3_600_000);
    assert_eq!(*desk.ann.status(), Status::Offline);
    desk.step(OperatorInput::Connected(1));
    let effects = desk.step(OperatorInput::Call(1, OperatorCall::SetStatus(Status::Ready)));
    assert_eq!(answers(&effects), [(1, Ok(OperatorAnswer::Done))]);
    assert_eq!(*desk.ann.status(), Status::Ready, "what was acknowledged is in force");
    desk.later(PRESENCE_GRACE_MS - 1);
    assert_eq!(*desk.ann.status(), Status::Ready);
    desk.later(1);
    assert_eq!(*desk.ann.status(), Status::Offline);
}

#[test]
fn a_page_that_hangs_counts_as_absent() {
    let mut desk = Desk::present(1);
    let effects = desk.later(PROBE_EVERY_MS);
    assert!(effects.iter().any(|effect| matches!(effect, OperatorEffect::Probe(1, _))));
    assert!(desk.ann.is_present());
    desk.later(PROBE_LIMIT_MS);
    assert_eq!(desk.ann.standing(), Standing::NotConnected);
}

#[test]
fn an_owner_who_stays_away_longer_than_the_queue_allows_gives_her_chats_back() {
    let mut desk = Desk::present(2);
    desk.owns(chat(1));
    desk.step(OperatorInput::Disconnected(1));
    assert!(!owner_gone(&desk.later(ABSENT_MS - 1), chat(1)));
    assert!(owner_gone(&desk.later(1), chat(1)));
    assert_eq!(desk.ann.load(), 1, "the slot is free only by the chat's word");
    // Back before the chat has heard: she keeps it, and it is not said again.
    desk.connect(2);
    assert!(!owner_gone(&desk.later(5_000), chat(1)));
}

#[test]
fn no_owner_is_given_up_before_the_grace_of_a_restart_is_over() {
    let grace = START.plus_ms(60_000);
    let record = OperatorRecord::default();
    let ann = Operator::new(ANN, account(2), record, 1, Beginning { grace_until: grace, ..FIRST });
    let mut desk = Desk { ann, now: START, offers: 0 };
    desk.step(OperatorInput::Tick);
    desk.step(OperatorInput::Recovered(vec![row(chat(1), owned(), None)]));
    assert!(!owner_gone(&desk.later(59_999), chat(1)));
    assert!(owner_gone(&desk.later(1), chat(1)));
}

#[test]
fn an_owner_who_is_offline_with_the_page_open_gives_her_chats_back_and_one_who_is_away_keeps_them()
{
    for (status, given_up) in [
        (Status::Offline, true),
        (Status::Busy, false),
        (Status::Away(AwayReason::new("lunch").unwrap()), false),
    ] {
        let mut desk = Desk::present(2);
        desk.owns(chat(1));
        desk.step(OperatorInput::Call(1, OperatorCall::SetStatus(status.clone())));
        // Short of the next probe, so that she is there all the time.
        const { assert!(ABSENT_MS < PROBE_EVERY_MS) };
        assert!(!owner_gone(&desk.later(ABSENT_MS - 1), chat(1)), "{status:?}");
        assert_eq!(owner_gone(&desk.later(1), chat(1)), given_up, "{status:?}");
        assert!(desk.ann.is_present());
    }
}

#[test]
fn an_absence_goes_on_when_a_lost_connection_turns_into_offline_and_ends_with_work() {
    let mut desk = Desk::present(2);
    desk.owns(chat(1));
    desk.step(OperatorInput::Disconnected(1));
    desk.later(ABSENT_MS - 1_000);
    desk.step(OperatorInput::Call(1, OperatorCall::SetStatus(Status::Offline)));
    desk.connect(2);
    assert!(!owner_gone(&desk.later(999), chat(1)));
    assert!(owner_gone(&desk.later(1), chat(1)), "offline goes on where the connection ended");
    let mut desk = Desk::present(2);
    desk.owns(chat(1));
    desk.step(OperatorInput::Call(1, OperatorCall::SetStatus(Status::Offline)));
    desk.later(ABSENT_MS - 1);
    desk.step(OperatorInput::Call(2, OperatorCall::SetStatus(Status::Busy)));
    assert!(!owner_gone(&desk.later(ABSENT_MS), chat(1)), "she is back at work");
}
