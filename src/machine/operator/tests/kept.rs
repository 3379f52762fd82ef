//! Slots kept for offers to all.

use super::*;
use crate::machine::message::Quote;

/// Ann is a member of a second queue, which offers to all.
fn with_to_all(capacity: u32) -> Account {
    let mut account = account(capacity);
    let terms = account.queues[&QUEUE];
    let to_all = Terms { directed: false, offer_timeout_ms: 4_000, ..terms };
    account.queues.insert(OTHER_QUEUE, to_all);
    account
}

/// An offer to all from the second queue, of a chat that waits since then.
fn to_all(desk: &Desk, n: u128, since: u64) -> ChatAt {
    let mut at = desk.live(chat(n), OfferId::of(70, n as u64), Reach::ToAll);
    (at.queue, at.since) = (OTHER_QUEUE, Timestamp(since));
    at
}

fn asked(desk: &mut Desk, n: u64, rank: i64) -> Result<(), Standing> {
    let (offer, expires_at) = (OfferId::of(60, n), desk.now.plus_ms(TIMEOUT_MS));
    let chat = chat(u128::from(n));
    let effects = desk.say(ToOperator::Reserve { queue: QUEUE, offer, chat, rank, expires_at });
    let mut answers = effects.iter().filter_map(|effect| match effect {
        OperatorEffect::ToQueue(_, ToQueue::ReserveAnswer { result, .. }) => Some(*result),
        _ => None,
    });
    answers.next().unwrap()
}

#[test]
fn an_offer_to_all_keeps_its_slot_from_larger_ranks_for_as_long_as_offers_stand_and_no_longer() {
    let mut desk = Desk::present(1);
    desk.step(OperatorInput::Account(with_to_all(1)));
    let at = to_all(&desk, 1, 1_000);
    desk.say(ToOperator::At(at));
    assert_eq!(desk.ann.towards(QUEUE), (Standing::Kept, 1, Some(1_000)));
    assert_eq!(desk.ann.towards(OTHER_QUEUE), (Standing::Free, 1, None));
    assert_eq!(asked(&mut desk, 2, 1_000), Err(Standing::Kept));
    desk.later(3_999);
    assert_eq!(asked(&mut desk, 3, 5_000), Err(Standing::Kept));
    desk.later(1);
    assert!(desk.ann.kept().is_empty() && desk.ann.passed().contains_key(&chat(1)));
    assert!(desk.ann.invites().contains_key(&chat(1)), "it may still be accepted");
    assert_eq!(asked(&mut desk, 4, 5_000), Ok(()));
}

#[test]
fn a_smaller_rank_gets_a_kept_slot() {
    let mut desk = Desk::present(1);
    desk.step(OperatorInput::Account(with_to_all(1)));
    let at = to_all(&desk, 1, 1_000);
    desk.say(ToOperator::At(at));
    assert_eq!(asked(&mut desk, 2, 999), Ok(()));
    assert!(desk.ann.kept().is_empty());
}

#[test]
fn of_several_offers_to_all_the_smallest_ranks_keep_what_is_free() {
    let mut desk = Desk::present(2);
    desk.step(OperatorInput::Account(with_to_all(2)));
    for (n, since) in [(1, 3_000), (2, 1_000), (3, 2_000)] {
        let at = to_all(&desk, n, since);
        desk.say(ToOperator::At(at));
    }
    let kept: Vec<ChatId> = desk.ann.kept().keys().copied().collect();
    assert_eq!(kept, [chat(2), chat(3)]);
    // Somebody else has the first: the next one moves up.
    let mut taken = at(chat(2), 9, Place::Assigned { owner: BOB, begun: false });
    taken.queue = OTHER_QUEUE;
    desk.say(ToOperator::At(taken));
    let kept: Vec<ChatId> = desk.ann.kept().keys().copied().collect();
    assert_eq!(kept, [chat(1), chat(3)]);
}

#[test]
fn a_freed_slot_is_kept_for_an_offer_to_all_of_smaller_rank_than_all_that_wait() {
    let mut desk = Desk::present(1);
    desk.step(OperatorInput::Account(with_to_all(1)));
    desk.owns(chat(9));
    let at = to_all(&desk, 1, 1_000);
    desk.say(ToOperator::At(at));
    assert!(desk.ann.kept().is_empty(), "there is nothing to keep");
    let gone = crate::machine::fixture::at(chat(9), 20, Place::Waiting);
    let effects = desk.ann.step(desk.now, OperatorInput::Said(ToOperator::At(gone)));
    let pull = effects.iter().find_map(|effect| match effect {
        OperatorEffect::ToQueue(_, ToQueue::Pull { pull, .. }) => Some(*pull),
        _ => None,
    });
    let pull = pull.unwrap();
    let quote = |rank| Quote { rank, chat: chat(5), reach: Reach::Directed };
    let best = ToOperator::Best { queue: QUEUE, pull, best: Some(quote(2_000)) };
    desk.ann.step(desk.now, OperatorInput::Said(best));
    let best = ToOperator::Best { queue: OTHER_QUEUE, pull, best: None };
    let effects = desk.say(best);
    assert!(desk.ann.kept().contains_key(&chat(1)), "{effects:?}");
    assert!(desk.ann.reserved().is_empty());
}

#[test]
fn an_offer_to_all_that_outlives_its_queues_rule_keeps_its_slot_until_it_ends() {
    let mut desk = Desk::present(1);
    let mut account = with_to_all(1);
    desk.step(OperatorInput::Account(account.clone()));
    let offer = to_all(&desk, 1, 1_000);
    desk.say(ToOperator::At(offer.clone()));
    account.queues.get_mut(&OTHER_QUEUE).unwrap().directed = true;
    desk.step(OperatorInput::Account(account));
    assert_eq!(asked(&mut desk, 2, 5_000), Err(Standing::Kept));
    let lapsed = ChatAt { placement: offer.placement + 1, place: Place::Waiting, ..offer };
    let effects = desk.say(ToOperator::At(lapsed));
    let pulls = |effect: &_| matches!(effect, OperatorEffect::ToQueue(_, ToQueue::Pull { .. }));
    assert!(effects.iter().any(pulls), "the slot goes to the smallest rank");
    assert_eq!(asked(&mut desk, 3, 5_000), Ok(()));
}
