//! The choice among queues.

use super::*;
use crate::domain::limits::{PULL_LIMIT_MS, RESERVATION_MS};
use crate::machine::message::Quote;

/// The pull that she has begun, if she has.
fn pulls(effects: &[OperatorEffect]) -> Option<u64> {
    effects.iter().find_map(|effect| match effect {
        OperatorEffect::ToQueue(_, ToQueue::Pull { pull, .. }) => Some(*pull),
        _ => None,
    })
}

/// To which queue a slot was given, and for which rank.
fn given(effects: &[OperatorEffect]) -> Option<(QueueId, i64)> {
    effects.iter().find_map(|effect| match effect {
        OperatorEffect::ToQueue(queue, ToQueue::Give { rank, .. }) => Some((*queue, *rank)),
        _ => None,
    })
}

fn best(queue: QueueId, pull: u64, rank: Option<i64>) -> OperatorInput {
    let quote = |rank| Quote {
        rank,
        weight: Default::default(),
        chat: chat(rank as u128),
        reach: Reach::Directed,
    };
    OperatorInput::Said(ToOperator::Best { queue, pull, best: rank.map(quote) })
}

impl Desk {
    /// A member of two queues who is choosing between them.
    fn choosing(capacity: u32) -> (Self, u64) {
        let mut desk = Desk::present(capacity);
        let mut both = account(capacity);
        both.queues.insert(OTHER_QUEUE, both.queues[&QUEUE]);
        desk.step(OperatorInput::Account(both));
        desk.step(OperatorInput::Call(1, OperatorCall::SetStatus(Status::Busy)));
        desk.ann.step(desk.now, OperatorInput::Call(2, OperatorCall::SetStatus(Status::Ready)));
        let effects = desk.raw(OperatorInput::Saved(true));
        let pull = pulls(&effects).expect("she comes back and chooses");
        (desk, pull)
    }

    /// Without answers to pulls.
    fn raw(&mut self, input: OperatorInput) -> Vec<OperatorEffect> {
        let effects = self.ann.step(self.now, input);
        self.ann.assert_invariants();
        effects
    }
}

#[test]
fn a_pull_waits_for_every_queue_and_the_smallest_rank_gets_the_slot() {
    for (first, second, wanted) in [
        (Some(2_000), Some(1_000), (OTHER_QUEUE, 1_000)),
        (Some(1_000), Some(2_000), (QUEUE, 1_000)),
        (None, Some(2_000), (OTHER_QUEUE, 2_000)),
    ] {
        let (mut desk, pull) = Desk::choosing(1);
        let effects = desk.raw(best(QUEUE, pull, first));
        assert_eq!(given(&effects), None, "the other may have a smaller one");
        assert_eq!(desk.ann.standing(), Standing::Choosing);
        assert_eq!(given(&desk.raw(best(OTHER_QUEUE, pull, second))), Some(wanted));
    }
}

#[test]
fn a_quote_of_an_old_pull_is_no_answer_to_the_new_one() {
    let (mut desk, old) = Desk::choosing(2);
    desk.raw(best(QUEUE, old, Some(2_000)));
    let effects = desk.raw(best(OTHER_QUEUE, old, Some(3_000)));
    assert_eq!(given(&effects), Some((QUEUE, 2_000)));
    let new = pulls(&effects).expect("one more fits");
    // Said again, of what was so then.
    for late in [best(QUEUE, old, Some(2_000)), best(OTHER_QUEUE, old, Some(3_000))] {
        assert_eq!(given(&desk.raw(late)), None);
    }
    desk.raw(best(QUEUE, new, None));
    assert_eq!(given(&desk.raw(best(OTHER_QUEUE, new, Some(4_000)))), Some((OTHER_QUEUE, 4_000)));
}

#[test]
fn a_queue_that_does_not_answer_holds_a_slot_up_for_no_longer_than_a_pull_lasts() {
    let (mut desk, pull) = Desk::choosing(1);
    desk.raw(best(OTHER_QUEUE, pull, Some(2_000)));
    // Her queues know her state, so that nothing else wakes her.
    for queue in [QUEUE, OTHER_QUEUE] {
        desk.say(ToOperator::StateSeen { queue, known: (1, u64::MAX) });
    }
    let effects = desk.woken_at(desk.now.plus_ms(PULL_LIMIT_MS));
    assert_eq!(given(&effects), Some((OTHER_QUEUE, 2_000)));
    // Its answer comes late, and is of no use.
    assert_eq!(given(&desk.raw(best(QUEUE, pull, Some(1_000)))), None);
}

#[test]
fn she_chooses_until_her_slots_are_full_or_her_queues_have_nothing() {
    let (mut desk, mut pull) = Desk::choosing(3);
    for rank in [1_000, 2_000] {
        desk.raw(best(QUEUE, pull, Some(rank)));
        let effects = desk.raw(best(OTHER_QUEUE, pull, None));
        assert_eq!(given(&effects), Some((QUEUE, rank)));
        pull = pulls(&effects).expect("one more fits");
    }
    desk.raw(best(QUEUE, pull, None));
    assert_eq!(pulls(&desk.raw(best(OTHER_QUEUE, pull, None))), None, "there is nothing");
    assert_eq!((desk.ann.standing(), desk.ann.load()), (Standing::Free, 2));
}

#[test]
fn a_slot_that_comes_free_is_offered_to_all_queues_whatever_freed_it() {
    let given = || {
        let (mut desk, pull) = Desk::choosing(1);
        desk.raw(best(QUEUE, pull, Some(1_000)));
        desk.raw(best(OTHER_QUEUE, pull, None));
        let offer = *desk.ann.reserved().keys().next().expect("a slot was given");
        (desk, offer)
    };
    let (mut desk, offer) = given();
    let in_vain = OperatorInput::Said(ToOperator::GiveAnswer { offer, chat: None });
    assert!(pulls(&desk.raw(in_vain)).is_some(), "it was given in vain");
    let (mut desk, offer) = given();
    let released = OperatorInput::Said(ToOperator::Release { offer });
    assert!(pulls(&desk.raw(released)).is_some(), "it is not needed");
    let (mut desk, offer) = given();
    desk.raw(OperatorInput::Said(ToOperator::GiveAnswer { offer, chat: Some(chat(1)) }));
    let effects = desk.woken_at(desk.now.plus_ms(RESERVATION_MS));
    assert!(pulls(&effects).is_some(), "no offer came");
    let mut desk = Desk::present(1);
    desk.owns(chat(1));
    let gone = OperatorInput::Said(ToOperator::At(at(chat(1), 4, Place::Waiting)));
    assert!(pulls(&desk.raw(gone)).is_some(), "a chat has gone");
}

#[test]
fn a_slot_that_was_given_is_said_until_it_is_answered_and_no_longer() {
    let (mut desk, pull) = Desk::choosing(1);
    desk.raw(best(QUEUE, pull, Some(1_000)));
    assert!(given(&desk.raw(best(OTHER_QUEUE, pull, None))).is_some());
    let offer = *desk.ann.reserved().keys().next().expect("a slot was given");
    let again = |desk: &mut Desk| {
        let next = desk.ann.next_deadline(desk.now).expect("its own end, at least");
        given(&desk.woken_at(next))
    };
    assert_eq!(again(&mut desk), Some((QUEUE, 1_000)), "it is not answered yet");
    // Heard by both queues, so that nothing else is said again.
    let version = u64::MAX;
    for queue in [QUEUE, OTHER_QUEUE] {
        desk.say(ToOperator::StateSeen { queue, known: (1, version) });
    }
    desk.say(ToOperator::GiveAnswer { offer, chat: Some(chat(1_000)) });
    assert_eq!(again(&mut desk), None);
}

#[test]
fn who_is_offered_nothing_but_offers_to_all_says_nothing_to_its_queue_when_a_colleague_accepts() {
    for rule in [Rule::ToAll, Rule::LeastLoaded] {
        let (mut desk, directed) = (Desk::present(1), rule == Rule::LeastLoaded);
        let mut account = account(1);
        let terms = Terms { rule: Rule::ToAll, ..account.queues[&QUEUE] };
        account.queues = BTreeMap::from([(QUEUE, terms), (OTHER_QUEUE, Terms { rule, ..terms })]);
        desk.step(OperatorInput::Account(account));
        desk.invited(chat(1));
        assert!(desk.ann.kept().contains_key(&chat(1)), "a slot is kept for it");
        let place = Place::Assigned { owner: BOB, begun: false };
        let effects = desk.raw(OperatorInput::Said(ToOperator::At(at(chat(1), 3, place))));
        assert_eq!(desk.ann.kept().len(), 0);
        // With a queue that asks one at a time there is a slot to give.
        assert_eq!(pulls(&effects).is_some(), directed);
        let said = effects.iter().filter(|e| matches!(e, OperatorEffect::ToQueue(..)));
        assert_eq!(said.count() > 0, directed, "{effects:?}");
    }
}
