//! Slots kept for offers to all.

use super::*;
use crate::machine::message::Quote;
use crate::machine::operator::Towards;

/// Ann is a member of a second queue, which offers to all.
fn with_to_all(capacity: u32) -> Account {
    let mut account = account(capacity);
    let terms = account.queues[&QUEUE];
    let to_all = Terms { rule: Rule::ToAll, offer_timeout_ms: 4_000, ..terms };
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
    let effects = desk.say(ToOperator::Reserve {
        queue: QUEUE,
        offer,
        chat,
        rank,
        weight: Default::default(),
        expires_at,
    });
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
    let kept = Towards { standing: Standing::Kept, free: 1, kept_below: Some(1_000) };
    assert_eq!(desk.ann.towards(QUEUE), kept);
    let free = Towards { standing: Standing::Free, free: 1, kept_below: None };
    assert_eq!(desk.ann.towards(OTHER_QUEUE), free);
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
fn a_kept_slot_follows_the_priority_of_its_chat() {
    let mut desk = Desk::present(1);
    desk.step(OperatorInput::Account(with_to_all(1)));
    let mut at = to_all(&desk, 1, 1_000);
    desk.say(ToOperator::At(at.clone()));
    (at.version, at.priority) = (at.version + 1, Priority::new(1).unwrap());
    desk.say(ToOperator::At(at));
    assert_eq!(asked(&mut desk, 2, 999), Err(Standing::Kept), "it is served sooner now");
    let mut account = with_to_all(1);
    account.settings.priority_step_ms = 1;
    desk.step(OperatorInput::Account(account));
    assert_eq!(asked(&mut desk, 3, 998), Ok(()), "a point of priority is worth less");
}

/// The pull under way.
fn pull(effects: &[OperatorEffect]) -> u64 {
    let pull = effects.iter().find_map(|effect| match effect {
        OperatorEffect::ToQueue(_, ToQueue::Pull { pull, .. }) => Some(*pull),
        _ => None,
    });
    pull.unwrap()
}

/// Ann chooses among her queues, and the second quotes this chat, which it offers to all.
fn quoted(desk: &mut Desk, choosing: &[OperatorEffect], chat: ChatId, rank: i64) {
    let pull = pull(choosing);
    let nothing = ToOperator::Best { queue: QUEUE, pull, best: None };
    desk.ann.step(desk.now, OperatorInput::Said(nothing));
    let best = Some(Quote { rank, weight: Default::default(), chat, reach: Reach::ToAll });
    desk.say(ToOperator::Best { queue: OTHER_QUEUE, pull, best });
    assert_eq!(desk.ann.kept()[&chat].rank, rank);
}

#[test]
fn what_is_kept_for_an_offer_on_its_way_or_between_two_offers_follows_the_priority_of_its_chat() {
    let mut desk = Desk::present(1);
    let choosing = desk.ann.step(desk.now, OperatorInput::Account(with_to_all(1)));
    quoted(&mut desk, &choosing, chat(1), 1_000);
    let mut at = to_all(&desk, 1, 1_000);
    at.priority = Priority::new(1).unwrap();
    desk.say(ToOperator::At(at.clone()));
    assert_eq!(asked(&mut desk, 2, 999), Err(Standing::Kept), "it came with the offer");
    at.place = Place::Waiting;
    (at.placement, at.priority) = (at.placement + 1, Priority::new(2).unwrap());
    let step = i64::try_from(desk.ann.account().settings.priority_step_ms).unwrap();
    desk.say(ToOperator::At(at.clone()));
    assert_eq!(asked(&mut desk, 3, 999 - step), Err(Standing::Kept), "it came between two");
    let offer =
        Offer { id: OfferId::of(70, 2), ..to_all(&desk, 1, 1_000).place.offer().unwrap().clone() };
    at.place = Place::Offered(offer);
    (at.placement, at.priority) = (at.placement + 1, Priority::new(3).unwrap());
    desk.say(ToOperator::At(at));
    assert_eq!(asked(&mut desk, 4, 999 - 2 * step), Err(Standing::Kept), "it came with the next");
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
    let pull = pull(&effects);
    let quote =
        |rank| Quote { rank, weight: Default::default(), chat: chat(5), reach: Reach::Directed };
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
    account.queues.get_mut(&OTHER_QUEUE).unwrap().rule = Rule::LeastLoaded;
    desk.step(OperatorInput::Account(account));
    assert_eq!(asked(&mut desk, 2, 5_000), Err(Standing::Kept));
    let lapsed = ChatAt { placement: offer.placement + 1, place: Place::Waiting, ..offer };
    let effects = desk.say(ToOperator::At(lapsed));
    let pulls = |effect: &_| matches!(effect, OperatorEffect::ToQueue(_, ToQueue::Pull { .. }));
    assert!(effects.iter().any(pulls), "the slot goes to the smallest rank");
    assert_eq!(asked(&mut desk, 3, 5_000), Ok(()));
}

/// A member of both queues with a slot kept for a chat of each, of which the second has a limit of
/// its own and then is directed; the ranks kept are 1,000 there and 5,000 elsewhere.
fn limited(limit: u32) -> Desk {
    let third = QueueId::from_u128(0xb3);
    let mut desk = Desk::present(5);
    let mut account = with_to_all(5);
    account.queues.insert(third, account.queues[&OTHER_QUEUE]);
    account.per_operator_limits = Arc::new(BTreeMap::from([(OTHER_QUEUE, limit)]));
    desk.step(OperatorInput::Account(account.clone()));
    let here = to_all(&desk, 1, 1_000);
    desk.say(ToOperator::At(here));
    let elsewhere = ChatAt { queue: third, ..to_all(&desk, 2, 5_000) };
    desk.say(ToOperator::At(elsewhere));
    assert_eq!(desk.ann.kept().len(), 2);
    account.queues.get_mut(&OTHER_QUEUE).unwrap().rule = Rule::LeastLoaded;
    desk.step(OperatorInput::Account(account));
    desk
}

#[test]
fn what_a_queue_is_told_of_kept_slots_is_what_it_gets() {
    for (limit, rank, gets) in [(1, 3_000, false), (1, 999, true), (2, 3_000, true)] {
        let mut desk = limited(limit);
        let Towards { standing, kept_below: below, .. } = desk.ann.towards(OTHER_QUEUE);
        let told = standing == Standing::Free || below.is_some_and(|below| rank < below);
        let (offer, expires_at) = (OfferId::of(60, 1), desk.now.plus_ms(TIMEOUT_MS));
        let (queue, chat) = (OTHER_QUEUE, chat(9));
        let effects = desk.say(ToOperator::Reserve {
            queue,
            offer,
            chat,
            rank,
            weight: Default::default(),
            expires_at,
        });
        let got = effects.iter().any(|effect| {
            matches!(
                effect,
                OperatorEffect::ToQueue(_, ToQueue::ReserveAnswer { result: Ok(()), .. })
            )
        });
        assert_eq!((told, got), (gets, gets), "limit {limit}, rank {rank}");
    }
}

#[test]
fn a_queues_own_limit_is_kept_beside_kept_slots() {
    let mut desk = limited(1);
    // Another chat of the queue is accepted: its limit is reached, and the slot that is kept for
    // its offer is of no use any more.
    let third = to_all(&desk, 3, 2_000);
    let offer = third.place.offer().unwrap().id;
    desk.say(ToOperator::At(third));
    let accept = OperatorCall::Accept { chat: chat(3), offer, command: command("yes") };
    desk.step(OperatorInput::Call(1, accept));
    assert!(!desk.ann.kept().contains_key(&chat(1)));
    let (offer, expires_at) = (OfferId::of(60, 1), desk.now.plus_ms(TIMEOUT_MS));
    let (queue, chat) = (OTHER_QUEUE, chat(9));
    let effects = desk.say(ToOperator::Reserve {
        queue,
        offer,
        chat,
        rank: 50,
        weight: Default::default(),
        expires_at,
    });
    let answer = effects.iter().find_map(|effect| match effect {
        OperatorEffect::ToQueue(_, ToQueue::ReserveAnswer { result, .. }) => Some(*result),
        _ => None,
    });
    assert_eq!(answer, Some(Err(Standing::Full)));
}

#[test]
fn an_offer_to_all_that_was_passed_by_does_not_come_first_again_without_a_cool_down() {
    let mut desk = Desk::present(1);
    let mut account = with_to_all(1);
    account.settings.cool_down_ms = 0;
    desk.step(OperatorInput::Account(account));
    let at = to_all(&desk, 1, 1_000);
    desk.say(ToOperator::At(at));
    desk.later(4_000);
    assert!(desk.ann.kept().is_empty(), "its time is over");
    assert_eq!(asked(&mut desk, 2, 5_000), Ok(()));
}

#[test]
fn an_offer_that_is_being_taken_back_keeps_nothing_as_if_it_were_seen_and_is_not_passed_by() {
    let mut desk = Desk::present(1);
    desk.step(OperatorInput::Account(with_to_all(1)));
    for n in [1, 2] {
        let at = to_all(&desk, n, n as u64 * 1_000);
        desk.say(ToOperator::At(at));
    }
    desk.step(OperatorInput::Call(1, OperatorCall::SetStatus(Status::Busy)));
    desk.ann.step(desk.now, OperatorInput::Call(2, OperatorCall::SetStatus(Status::Ready)));
    let choosing = desk.ann.step(desk.now, OperatorInput::Saved(true));
    quoted(&mut desk, &choosing, chat(1), 1_000);
    assert!(!desk.ann.kept()[&chat(1)].offered, "she is to be asked into it again");
    let third = to_all(&desk, 3, 500);
    desk.say(ToOperator::At(third));
    desk.later(4_000);
    let seen = desk.ann.passed().iter().filter(|(_, passed)| passed.seen);
    let seen: Vec<ChatId> = seen.map(|(chat, _)| *chat).collect();
    assert_eq!(seen, [chat(3)], "nobody could have accepted the others");
}

#[test]
fn an_offer_for_which_its_queues_limit_left_no_room_is_not_passed_by_beside_another() {
    let third = QueueId::from_u128(0xb3);
    let mut desk = Desk::present(2);
    let mut account = with_to_all(2);
    account.queues.insert(third, account.queues[&OTHER_QUEUE]);
    account.per_operator_limits = Arc::new(BTreeMap::from([(third, 1)]));
    desk.step(OperatorInput::Account(account));
    let of_third = |place, n| ChatAt { queue: third, ..at(chat(9), n, place) };
    desk.say(ToOperator::At(of_third(Place::Assigned { owner: ANN, begun: false }, 9)));
    let without_room = ChatAt { queue: third, ..to_all(&desk, 2, 500) };
    desk.say(ToOperator::At(without_room));
    let other = to_all(&desk, 1, 1_000);
    desk.say(ToOperator::At(other));
    desk.later(4_000);
    let passed: Vec<ChatId> = desk.ann.passed().keys().copied().collect();
    assert_eq!(passed, [chat(1)], "nobody could have accepted the other one");
    desk.say(ToOperator::At(of_third(Place::Waiting, 10)));
    assert_eq!(asked(&mut desk, 3, 5_000), Ok(()), "one slot is free for all");
    assert_eq!(asked(&mut desk, 4, 5_000), Err(Standing::Kept));
    assert!(desk.ann.kept().contains_key(&chat(2)));
}

#[test]
fn a_chat_that_was_passed_by_is_looked_at_again_when_its_time_has_come_and_not_by_chance() {
    let mut desk = Desk::present(1);
    desk.step(OperatorInput::Account(with_to_all(1)));
    let at = to_all(&desk, 1, 1_000);
    desk.say(ToOperator::At(at));
    desk.later(4_000);
    let until = desk.ann.passed()[&chat(1)].until;
    while desk.now < until {
        let next = desk.ann.next_deadline(desk.now).unwrap();
        assert!(next <= until, "nothing wakes her at {until}, but at {next}");
        desk.now = next;
        let effects = desk.step(OperatorInput::Tick);
        desk.answer_probes(&effects);
    }
    assert!(desk.ann.kept().contains_key(&chat(1)), "a slot is kept again");
}

#[test]
fn what_was_passed_by_is_asked_for_no_more_and_keeps_nothing_though_it_is_quoted() {
    let mut desk = Desk::present(1);
    desk.step(OperatorInput::Account(with_to_all(1)));
    let at = to_all(&desk, 1, 1_000);
    desk.say(ToOperator::At(at));
    let until = desk.ann.kept()[&chat(1)].until;
    desk.now = until;
    let effects = desk.ann.step(until, OperatorInput::Tick);
    let excepted = effects.iter().filter_map(|effect| match effect {
        OperatorEffect::ToQueue(_, ToQueue::Pull { except, .. }) => Some(except.clone()),
        _ => None,
    });
    assert_eq!(excepted.collect::<Vec<_>>(), [vec![chat(1)], vec![chat(1)]]);
    // By a queue that has not heard so.
    let pull = pull(&effects);
    let best =
        Some(Quote { rank: 1_000, weight: Default::default(), chat: chat(1), reach: Reach::ToAll });
    desk.say(ToOperator::Best { queue: QUEUE, pull, best: None });
    desk.say(ToOperator::Best { queue: OTHER_QUEUE, pull, best });
    assert!(desk.ann.kept().is_empty());
}

#[test]
fn what_she_refused_or_somebody_has_keeps_no_slot_of_hers() {
    let refused = |at: ChatAt| ChatAt { refused_by: Arc::new([(ANN, at.since)].into()), ..at };
    let of_bob = |at: ChatAt| ChatAt { place: Place::Assigned { owner: BOB, begun: false }, ..at };
    let changes: [&dyn Fn(ChatAt) -> ChatAt; 2] = [&refused, &of_bob];
    for change in changes {
        let mut desk = Desk::present(1);
        let choosing = desk.ann.step(desk.now, OperatorInput::Account(with_to_all(1)));
        quoted(&mut desk, &choosing, chat(1), 1_000);
        let waits = ChatAt { queue: OTHER_QUEUE, ..at(chat(1), 3, Place::Waiting) };
        desk.say(ToOperator::At(waits.clone()));
        assert!(desk.ann.kept().contains_key(&chat(1)), "its offer is to come");
        desk.say(ToOperator::At(change(ChatAt { placement: 4, version: 4, ..waits })));
        assert!(desk.ann.kept().is_empty());
    }
}
