//! When a chat is looked at again though nothing happens, and why.

use super::*;
use crate::domain::limits::VISITOR_OFFER_EVERY_MS;
use crate::machine::queue::{Cause, Look};

/// The next look at the chat of the tests, as how long after now, and its cause.
fn look(queue: &Queue, at: Timestamp) -> Option<(u64, Cause)> {
    let entry = queue.line().get(CHAT).unwrap();
    let next = queue.next_look(entry, at);
    next.map(|Look { at, cause }| (at.since_ms(now()), cause))
}

fn refused(ms_ago: &[u64]) -> ChatAt {
    let who = [ANN, BOB, CYD].into_iter().zip(ms_ago);
    let refused_by = who.map(|(who, ms)| (who, Timestamp(now().0 - ms))).collect();
    ChatAt { refused_by: Arc::new(refused_by), ..waits(0xc1, 1_000) }
}

#[test]
fn one_that_waits_is_looked_at_when_the_next_who_refused_it_may_be_asked() {
    let mut queue = queue(Rule::LeastLoaded, &[]);
    arrive(&mut queue, waits(0xc1, 1_000));
    assert_eq!(look(&queue, now()), None, "nothing but a word changes anything");
    arrive(&mut queue, ChatAt { version: 2, ..refused(&[10, 40, COOL_DOWN_MS]) });
    assert_eq!(look(&queue, now()), Some((COOL_DOWN_MS - 40, Cause::CoolDown)));
    let later = now().plus_ms(COOL_DOWN_MS - 40);
    assert_eq!(look(&queue, later), Some((COOL_DOWN_MS - 10, Cause::CoolDown)));
    assert_eq!(look(&queue, now().plus_ms(COOL_DOWN_MS)), None, "all may be asked");
}

#[test]
fn one_whose_visitor_was_shown_another_is_looked_at_when_that_has_passed() {
    let mut queue = queue(Rule::LeastLoaded, &[(ANN, Standing::Full)]);
    let shown = ChatAt { moved_at: now(), ..live(OTHER_CHAT, OFFER, Reach::Directed, &[ANN]) };
    arrive(&mut queue, ChatAt { customer: Some(CUSTOMER), ..shown });
    arrive(&mut queue, ChatAt { customer: Some(CUSTOMER), ..refused(&[10]) });
    assert_eq!(look(&queue, now()), Some((VISITOR_OFFER_EVERY_MS, Cause::ShownLately)));
    let later = now().plus_ms(VISITOR_OFFER_EVERY_MS);
    assert_eq!(look(&queue, later), Some((COOL_DOWN_MS - 10, Cause::CoolDown)));
}

#[test]
fn what_is_asked_for_is_to_be_answered_in_time() {
    let mut queue = queue(Rule::LeastLoaded, &[(ANN, Standing::Free)]);
    let effects = arrive(&mut queue, refused(&[COOL_DOWN_MS]));
    assert_eq!(look(&queue, now()), Some((RESERVATION_MS, Cause::Reservation)));
    let [(ANN, offer, chat)] = reservations(&effects)[..] else { panic!("{effects:?}") };
    let (result, state) = (Ok(()), state(ANN, 2, Standing::Full));
    step(&mut queue, said(ToQueue::ReserveAnswer { offer, chat, result, state }));
    assert_eq!(look(&queue, now()), Some((SILENT_AFTER_MS, Cause::Silence)));
    step_at(&mut queue, now().plus_ms(SILENT_AFTER_MS), QueueInput::Tick);
    assert_eq!(look(&queue, now().plus_ms(SILENT_AFTER_MS)), None, "it is silent");
}

#[test]
fn an_offer_is_looked_at_when_it_has_stood_then_when_it_is_over_then_until_it_says_so() {
    let mut queue = queue(Rule::ToAll, &[(ANN, Standing::Free)]);
    let stands_ms = OFFER_TIMEOUT_MS * 3;
    let mut offered = live(CHAT, OFFER, Reach::ToAll, &[ANN]);
    if let Place::Offered(offer) = &mut offered.place {
        offer.expires_at = now().plus_ms(stands_ms);
    }
    arrive(&mut queue, ChatAt { moved_at: now(), ..offered });
    assert_eq!(look(&queue, now()), Some((OFFER_TIMEOUT_MS, Cause::Stood)));
    let stood = now().plus_ms(OFFER_TIMEOUT_MS);
    step_at(&mut queue, stood, QueueInput::Tick);
    assert_eq!(look(&queue, stood), Some((stands_ms, Cause::EndOfOffer)));
    let over = now().plus_ms(stands_ms);
    step_at(&mut queue, over, QueueInput::Tick);
    assert_eq!(look(&queue, over), Some((stands_ms + SILENT_AFTER_MS, Cause::Silence)));
}

#[test]
fn a_shorter_time_for_offers_counts_for_those_that_are_out() {
    let mut queue = queue(Rule::ToAll, &[(ANN, Standing::Free)]);
    long_offers(&mut queue);
    arrive(&mut queue, waits(0x300, 1_000));
    let shorter_ms = OFFER_TIMEOUT_MS / 2;
    let config = config(Rule::ToAll, &[ANN]);
    let config = domain::Queue { offer_timeout_ms: shorter_ms, ..config };
    step(&mut queue, QueueInput::Configure(config));
    // By its own timer: nothing else happens.
    while queue.next_deadline() < Some(now().plus_ms(shorter_ms)) {
        let at = queue.next_deadline().unwrap();
        assert!(lapses(&step_at(&mut queue, at, QueueInput::Tick)).is_empty());
    }
    let due = queue.next_deadline().unwrap();
    assert_eq!(due, now().plus_ms(shorter_ms));
    assert_eq!(lapses(&step_at(&mut queue, due, QueueInput::Tick)).len(), 1);
}
