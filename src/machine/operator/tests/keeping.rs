//! What she keeps, and for how long: her record, her presence, what is gone.

use super::*;
use crate::domain::limits::{GONE_REMEMBERED_MS, LAST_CLOSED, REPEAT_MS, RESTART_GRACE_MS};
use crate::machine::operator::OnScreen;

fn saves(effects: &[OperatorEffect]) -> Option<&OperatorRecord> {
    effects.iter().find_map(|effect| match effect {
        OperatorEffect::Save(record) => Some(record),
        _ => None,
    })
}

#[test]
fn the_chats_that_she_closed_last_are_known_latest_first_and_no_more_of_them() {
    let mut desk = Desk::present(1);
    let many = LAST_CLOSED as u128 + 2;
    for n in 0..many {
        desk.owns(chat(n));
        desk.say(ToOperator::At(at(chat(n), 4, Place::Waiting)));
    }
    // One that she had again is there once.
    for place in [owned(), owned(), Place::Waiting] {
        let placement = if place == owned() { 10 } else { 11 };
        desk.say(ToOperator::At(at(chat(many - 2), placement, place)));
    }
    let wanted = [many - 2, many - 1].into_iter().chain((2..many - 2).rev()).map(chat);
    assert_eq!(desk.ann.record().last_closed, wanted.collect::<Vec<_>>());
}

#[test]
fn what_the_router_sets_is_saved_again_when_the_store_refused_it() {
    let mut desk = Desk::present(1);
    desk.owns(chat(1));
    let gone = OperatorInput::Said(ToOperator::At(at(chat(1), 4, Place::Waiting)));
    let effects = desk.ann.step(desk.now, gone);
    let closed = saves(&effects).expect("it is saved").last_closed.clone();
    assert_eq!(closed, [chat(1)]);
    let effects = desk.ann.step(desk.now, OperatorInput::Saved(false));
    assert_eq!(saves(&effects), None, "not at once");
    let effects = desk.woken_at(desk.now.plus_ms(REPEAT_MS.1));
    assert_eq!(saves(&effects).expect("it is saved again").last_closed, closed);
}

#[test]
fn who_leaves_ready_frees_the_slots_that_no_offer_has_reached() {
    let mut desk = Desk::present(2);
    let (offer, expires_at) = (OfferId::of(60, 1), desk.now.plus_ms(TIMEOUT_MS));
    desk.say(ToOperator::Reserve {
        queue: QUEUE,
        offer,
        chat: chat(1),
        rank: 0,
        weight: Default::default(),
        expires_at,
    });
    assert_eq!(desk.ann.load(), 1);
    desk.step(OperatorInput::Call(1, OperatorCall::SetStatus(Status::Busy)));
    assert_eq!(desk.ann.load(), 0);
}

#[test]
fn another_page_that_has_proven_nothing_yet_takes_nobody_away() {
    let mut desk = Desk::present(1);
    desk.step(OperatorInput::Connected(2));
    assert!(desk.ann.is_present());
    // Nor does the one that proved it before, when it goes and the other has proven itself.
    let effects = desk.woken_at(desk.now.plus_ms(PROBE_LIMIT_MS));
    desk.answer_probes(&effects);
    assert!(desk.ann.is_present());
}

#[test]
fn after_a_restart_nobody_is_offline_before_the_grace_is_over() {
    let grace_until = START.plus_ms(RESTART_GRACE_MS);
    let record = OperatorRecord { status: Status::Ready, ..Default::default() };
    let ann = Operator::new(ANN, account(1), record, 1, Beginning { grace_until, ..FIRST });
    let mut desk = Desk { ann, now: START, offers: 0 };
    desk.step(OperatorInput::Tick);
    desk.step(OperatorInput::Recovered(Vec::new()));
    const { assert!(PRESENCE_GRACE_MS < RESTART_GRACE_MS) };
    while desk.now < grace_until {
        assert_eq!(desk.ann.status(), &Status::Ready, "at {}", desk.now);
        desk.now = desk.ann.next_deadline(desk.now).expect("the end of the grace");
        desk.step(OperatorInput::Tick);
    }
    assert_eq!((desk.ann.status(), desk.now), (&Status::Offline, grace_until));
}

#[test]
fn a_late_word_of_a_chat_that_has_gone_does_not_bring_it_back() {
    let mut desk = Desk::present(1);
    desk.owns(chat(1));
    desk.say(ToOperator::At(at(chat(1), 4, Place::Waiting)));
    let gone_at = desk.now;
    // As late as she was woken while she remembers it.
    while let Some(next) = desk.ann.next_deadline(desk.now)
        && next < gone_at.plus_ms(GONE_REMEMBERED_MS)
    {
        desk.now = next;
        desk.step(OperatorInput::Tick);
    }
    assert!(desk.now > gone_at);
    desk.say(ToOperator::At(at(chat(1), 3, owned())));
    assert_eq!(desk.ann.load(), 0);
}

#[test]
fn an_assign_is_valid_for_as_long_as_her_next_life_waits() {
    let mut desk = Desk::present(1);
    let offer = desk.offered(chat(1), true);
    let accept = OperatorCall::Accept { chat: chat(1), offer, command: command("yes") };
    let effects = desk.step(OperatorInput::Call(1, accept));
    let valid_until = effects.iter().find_map(|effect| match effect {
        OperatorEffect::ToChat(_, ToChat::Assign { valid_until, .. }) => Some(*valid_until),
        _ => None,
    });
    assert_eq!(valid_until, Some(desk.now.plus_ms(ASSIGN_LIMIT_MS)));
}

#[test]
fn of_two_words_about_one_chat_at_the_start_of_a_life_the_newer_counts() {
    let record = OperatorRecord { status: Status::Ready, ..Default::default() };
    let live_at = START.plus_ms(ASSIGN_LIMIT_MS);
    let ann = Operator::new(ANN, account(3), record, 2, NEXT);
    let mut desk = Desk { ann, now: START, offers: 0 };
    desk.connect(1);
    // Said before the index was read: hers since placement 3, twice, for the first may be late.
    for _ in 0..2 {
        desk.say(ToOperator::At(at(chat(1), 3, owned())));
    }
    desk.woken_at(live_at);
    let moving = Some(Moving { to: Some(ANN) });
    desk.step(OperatorInput::Recovered(vec![row(chat(1), Place::Waiting, moving)]));
    let slot = &desk.ann.slots()[&chat(1)];
    assert_eq!((slot.placement, &slot.held), (3, &Held::Active), "the row is of placement 2");
}

/// A new life of an operator on whose screens the offer of a chat is, which stands by its row.
fn on_her_screen() -> Desk {
    let record = OperatorRecord { status: Status::Ready, ..Default::default() };
    let ann = Operator::new(ANN, account(1), record, 2, NEXT);
    let mut desk = Desk { ann, now: START, offers: 0 };
    let live = desk.live(chat(1), OFFER, Reach::Directed).place;
    let row = Some(row(chat(1), live, None));
    let shown = OnScreen { chat: chat(1), offer: OFFER, queue: QUEUE, row };
    let effects = desk.step(OperatorInput::OnScreens(vec![shown]));
    assert_eq!(reason(&effects), None, "it stands");
    desk
}

#[test]
fn what_is_on_a_screen_at_the_start_of_a_life_goes_when_its_chat_says_so_or_the_index_does() {
    let mut desk = on_her_screen();
    let last_offer = Some((OFFER, OfferEnd::Declined));
    let over = ChatAt { last_offer, ..at(chat(1), 3, Place::Waiting) };
    assert_eq!(reason(&desk.say(ToOperator::At(over))), Some(Gone::Declined), "at once");
    let mut desk = on_her_screen();
    assert!(desk.woken_at(START.plus_ms(ASSIGN_LIMIT_MS)).contains(&OperatorEffect::ReadIndex));
    let effects = desk.step(OperatorInput::Recovered(Vec::new()));
    assert_eq!(reason(&effects), Some(Gone::Moved), "when it is read");
}
