//! What chats say of themselves, new and old.

use super::*;

#[test]
fn a_chat_whose_priority_changes_keeps_its_age_and_changes_its_place_in_whatever_phase_it_is() {
    let newer = |at: &ChatAt, points: u8| {
        let (version, priority) = (at.version + 1, Priority::new(points).unwrap());
        ChatAt { version, priority, ..at.clone() }
    };
    // Nobody is asked.
    let mut manual = queue(Rule::Manual, &[(ANN, Standing::Free)]);
    let (old, young) = (waits(1, 1_000), waits(2, 50_000));
    arrive(&mut manual, old.clone());
    arrive(&mut manual, young.clone());
    let order = |queue: &Queue| {
        queue.line().waiting().map(|turn| turn.chat.0.as_u128()).collect::<Vec<_>>()
    };
    assert_eq!(order(&manual), [1, 2]);
    arrive(&mut manual, newer(&young, 1));
    assert_eq!(order(&manual), [2, 1]);
    arrive(&mut manual, newer(&old, 1));
    assert_eq!(order(&manual), [1, 2], "within a priority by the time since they wait");
    arrive(&mut manual, young);
    assert_eq!(order(&manual), [1, 2], "an old word changes nothing");
    // A slot is asked for: it goes on, with the other rank.
    let mut push = queue(Rule::LeastLoaded, &[(ANN, Standing::Free)]);
    let at = waits(0xc1, 100_000);
    let effects = arrive(&mut push, at.clone());
    let [(ANN, offer, CHAT)] = reservations(&effects)[..] else { panic!("{effects:?}") };
    assert!(reservations(&arrive(&mut push, newer(&at, 2))).is_empty());
    let entry = push.line().get(CHAT).unwrap();
    assert!(matches!(&entry.phase, Phase::Reserving { offer: same, .. } if *same == offer));
    assert_eq!(entry.rank, -20_000);
    // It is offered: the offer stands, for as long as it was to.
    let on_screen = ChatAt { since: at.since, ..live(CHAT, offer, Reach::Directed, &[ANN]) };
    arrive(&mut push, on_screen.clone());
    let deadline = push.next_deadline();
    assert!(
        arrive(&mut push, newer(&on_screen, 3))
            .iter()
            .all(|effect| { matches!(effect, QueueEffect::ToChat(_, ToChat::Seen { .. })) })
    );
    let entry = push.line().get(CHAT).unwrap();
    assert_eq!((&entry.phase, entry.rank), (&Phase::Offered, -80_000));
    assert_eq!(push.next_deadline(), deadline);
}

#[test]
fn what_a_chat_said_before_the_index_was_read_undoes_nothing_for_long() {
    let mut queue = queue(Rule::ToAll, &[(ANN, Standing::Full), (BOB, Standing::Full)]);
    let asks = |effects: &[QueueEffect]| {
        let is_ask = |e: &&QueueEffect| matches!(e, QueueEffect::ToChat(CHAT, ToChat::Ask { .. }));
        effects.iter().filter(is_ask).count()
    };
    let offered = |to: &[UserId]| live(CHAT, OFFER, Reach::ToAll, to);
    let see = |queue: &Queue| {
        let entry = queue.line().get(CHAT).unwrap();
        entry.at.place.offer().unwrap().to.iter().copied().collect::<Vec<_>>()
    };
    // Bob has been added; the index knows it.
    let truth = offered(&[ANN, BOB]);
    arrive(&mut queue, ChatAt { version: 0, ..truth.clone() });
    // On its way since before the queue's life.
    let late = ChatAt { version: truth.version - 1, ..offered(&[ANN]) };
    assert_eq!(asks(&arrive(&mut queue, late.clone())), 1);
    assert_eq!(see(&queue), [ANN]);
    // It is asked until what it says is what is known.
    let later = now().plus_ms(1_000);
    assert_eq!(asks(&step_at(&mut queue, later, QueueInput::Tick)), 1);
    assert_eq!(asks(&step_at(&mut queue, later, said(ToQueue::At(truth.clone())))), 1);
    assert_eq!(asks(&step_at(&mut queue, later, said(ToQueue::At(late)))), 0);
    assert_eq!(asks(&step_at(&mut queue, later, said(ToQueue::At(truth)))), 0);
    let much_later = later.plus_ms(60_000);
    assert_eq!(asks(&step_at(&mut queue, much_later, QueueInput::Tick)), 0);
    assert_eq!(see(&queue), [ANN, BOB]);
}

#[test]
fn an_old_word_of_a_chat_does_not_bring_it_back() {
    let mut queue = queue(Rule::LeastLoaded, &[(ANN, Standing::Free)]);
    arrive(&mut queue, live(CHAT, OFFER, Reach::Directed, &[ANN]));
    arrive(&mut queue, waits(0xc1, 1_000));
    assert_eq!(queue.line().get(CHAT).unwrap().at.placement, 2);
}

#[test]
fn a_lapsed_offer_is_said_at_its_time_and_its_operator_asked_again_after_the_cool_down() {
    let mut queue = queue(Rule::LeastLoaded, &[(ANN, Standing::Full)]);
    arrive(&mut queue, live(CHAT, OFFER, Reach::Directed, &[ANN]));
    let over = now().plus_ms(TIMEOUT_MS);
    assert_eq!(queue.next_deadline(), Some(over));
    let effects = step_at(&mut queue, over, QueueInput::Tick);
    let lapse = ToChat::Lapse { placement: 2, offer: OFFER, stands_ms: OFFER_TIMEOUT_MS };
    assert_eq!(effects, [QueueEffect::ToChat(CHAT, lapse)]);
    let mut at = ChatAt { placement: 3, version: 3, ..waits(0xc1, 1_000) };
    at.refused_by = Arc::new(BTreeMap::from([(ANN, over)]));
    at.last_offer = Some((OFFER, OfferEnd::Lapsed));
    step_at(&mut queue, over, said(ToQueue::At(at)));
    step_at(&mut queue, over, said(ToQueue::State(state(ANN, 2, Standing::Free))));
    let again = over.plus_ms(COOL_DOWN_MS);
    assert_eq!(queue.next_deadline(), Some(again));
    assert!(
        reservations(&step_at(&mut queue, Timestamp(again.0 - 1), QueueInput::Tick)).is_empty()
    );
    assert_eq!(reservations(&step_at(&mut queue, again, QueueInput::Tick)).len(), 1);
}

#[test]
fn a_chat_that_may_be_offered_no_more_says_so_and_is_in_nobodys_way() {
    let mut queue = queue(Rule::LeastLoaded, &[(ANN, Standing::Free)]);
    // The row in the index does not say it: the queue asks, and the chat answers.
    let asked = arrive(&mut queue, ChatAt { version: 0, ..waits(0xc1, 1_000) });
    assert_eq!(reservations(&asked).len(), 1);
    let told = arrive(&mut queue, ChatAt { spent: true, ..waits(0xc1, 1_000) });
    let released = |effect: &QueueEffect| {
        matches!(effect, QueueEffect::ToOperator(ANN, ToOperator::Release { .. }))
    };
    assert!(told.iter().any(released) && reservations(&told).is_empty(), "{told:?}");
    assert_eq!(why(&queue, CHAT), WhyWaits::OfferedTooOften);
    let next = arrive(&mut queue, waits(0xc2, 2_000));
    assert_eq!(reservations(&next).len(), 1, "the next in line");
}
