//! Slots that operators are asked to hold.

use super::*;

#[test]
fn who_does_not_answer_a_reservation_is_unknown_and_asked_for_its_state() {
    let mut queue = queue(Rule::LeastLoaded, &[(ANN, Standing::Free)]);
    let effects = arrive(&mut queue, waits(0xc1, 1_000));
    let [(ANN, offer, CHAT)] = reservations(&effects)[..] else { panic!("{effects:?}") };
    let over = now().plus_ms(RESERVATION_MS);
    let effects = step_at(&mut queue, over, QueueInput::Tick);
    assert!(effects.contains(&QueueEffect::ToOperator(ANN, ToOperator::Release { offer })));
    let ask = ToOperator::AskState { queue: QUEUE };
    assert!(effects.contains(&QueueEffect::ToOperator(ANN, ask)), "{effects:?}");
    assert_eq!(queue.explain(CHAT, over).unwrap().why, WhyWaits::NobodyReady);
    assert_eq!(queue.pool().unknown().collect::<Vec<_>>(), [ANN]);
    // Its word makes it known again.
    let effects = step_at(&mut queue, over, said(ToQueue::State(state(ANN, 2, Standing::Free))));
    assert_eq!(reservations(&effects).len(), 1);
}

#[test]
fn a_refused_reservation_corrects_the_belief_and_the_next_is_asked() {
    let mut queue = queue(Rule::LeastLoaded, &[(ANN, Standing::Free), (BOB, Standing::Free)]);
    let effects = arrive(&mut queue, waits(0xc1, 1_000));
    let [(ANN, offer, chat)] = reservations(&effects)[..] else { panic!("{effects:?}") };
    let state = state(ANN, 2, Standing::Busy);
    let result = Err(Standing::Busy);
    let answer = ToQueue::ReserveAnswer { offer, chat, result, state };
    let effects = step(&mut queue, said(answer));
    let [(BOB, offer, CHAT)] = reservations(&effects)[..] else { panic!("{effects:?}") };
    let state = self::state(BOB, 2, Standing::Full);
    let answer = ToQueue::ReserveAnswer { offer, chat, result: Ok(()), state };
    let effects = step(&mut queue, said(answer));
    assert_eq!(offers(&effects)[&CHAT], (offer, Reach::Directed, vec![BOB]));
    assert!(matches!(queue.line().get(CHAT).unwrap().phase, Phase::Offering { .. }));
}

#[test]
fn a_slot_held_for_a_chat_that_has_gone_is_released() {
    let mut queue = queue(Rule::LeastLoaded, &[(ANN, Standing::Free)]);
    let effects = arrive(&mut queue, waits(0xc1, 1_000));
    let [(ANN, offer, chat)] = reservations(&effects)[..] else { panic!("{effects:?}") };
    let by = domain::Party::Customer(CUSTOMER.id);
    let gone = Place::Ended { outcome: domain::Outcome::Missed, by };
    arrive(&mut queue, at(CHAT, 2, gone));
    let state = state(ANN, 2, Standing::Full);
    let answer = ToQueue::ReserveAnswer { offer, chat, result: Ok(()), state };
    let effects = step(&mut queue, said(answer));
    let release = QueueEffect::ToOperator(ANN, ToOperator::Release { offer });
    assert_eq!(effects, [release]);
    assert!(queue.line().is_empty());
}

#[test]
fn a_slot_held_for_an_offer_that_the_chat_did_not_make_is_released_at_once() {
    let mut queue = queue(Rule::LeastLoaded, &[(ANN, Standing::Free)]);
    let effects = arrive(&mut queue, waits(0xc1, 1_000));
    let [(ANN, offer, chat)] = reservations(&effects)[..] else { panic!("{effects:?}") };
    let state = state(ANN, 2, Standing::Full);
    let answer = ToQueue::ReserveAnswer { offer, chat, result: Ok(()), state };
    let effects = step(&mut queue, said(answer));
    assert!(offers(&effects).contains_key(&CHAT));
    // A restarted chat ends the offer of its former process first, and refuses this one.
    let effects = arrive(&mut queue, at(CHAT, 2, Place::Waiting));
    let release = QueueEffect::ToOperator(ANN, ToOperator::Release { offer });
    assert!(effects.contains(&release), "{effects:?}");
}

#[test]
fn a_chat_that_says_again_that_it_waits_keeps_the_slot_of_the_offer_under_way() {
    let mut queue = queue(Rule::LeastLoaded, &[(ANN, Standing::Free)]);
    // As read from the index, which does not know the version.
    let effects = arrive(&mut queue, ChatAt { version: 0, ..waits(0xc1, 1_000) });
    let [(ANN, offer, chat)] = reservations(&effects)[..] else { panic!("{effects:?}") };
    let nothing_but_heard = |effects: &[QueueEffect]| {
        matches!(effects, [QueueEffect::ToChat(CHAT, ToChat::Seen { .. })])
    };
    let effects = arrive(&mut queue, waits(0xc1, 1_000));
    assert!(
        matches!(&effects[..], [_, QueueEffect::ToChat(CHAT, ToChat::Ask { .. })]),
        "{effects:?}"
    );
    let effects = arrive(&mut queue, waits(0xc1, 1_000));
    assert!(nothing_but_heard(&effects), "{effects:?}");
    let state = state(ANN, 2, Standing::Full);
    let answer = ToQueue::ReserveAnswer { offer, chat, result: Ok(()), state };
    let effects = step(&mut queue, said(answer));
    assert_eq!(offers(&effects)[&CHAT].0, offer);
    let said_again = ChatAt { version: waits(0xc1, 1_000).version + 1, ..waits(0xc1, 1_000) };
    let effects = arrive(&mut queue, said_again);
    assert!(nothing_but_heard(&effects), "{effects:?}");
    assert!(matches!(queue.line().get(CHAT).unwrap().phase, Phase::Offering { .. }));
}
