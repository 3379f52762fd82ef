//! Offers to all: how many are out, whom they reach, and what they give way to.

use super::*;

#[test]
fn offers_to_all_are_limited_and_the_smallest_ranks_go_first() {
    let members = [(ANN, Standing::Free), (BOB, Standing::Free), (CYD, Standing::Full)];
    let mut queue = queue(Rule::ToAll, &members);
    // The last to come have the smallest ranks.
    let rows = (0..TO_ALL_OFFERS_MAX as u64 + 5).map(|n| {
        let at = waits(0x100 + u128::from(n), 50_000 - n);
        crate::storage::OpenChat {
            chat: at.chat,
            queue: QUEUE,
            placement: 1,
            priority: at.priority,
            weight: at.weight,
            since: at.since,
            refused_by: BTreeMap::new(),
            place: Some(Place::Waiting),
            next_deadline: None,
            moving: None,
        }
    });
    let effects = step(&mut queue, QueueInput::Recovered(rows.collect()));
    let out = offers(&effects);
    let wanted: Vec<ChatId> =
        (5..TO_ALL_OFFERS_MAX as u128 + 5).map(|n| ChatId::from_u128(0x100 + n)).collect();
    assert_eq!(out.keys().copied().collect::<Vec<_>>(), wanted);
    assert!(out.values().all(|(_, reach, to)| *reach == Reach::ToAll && *to == [ANN, BOB]));
    let limit = TO_ALL_OFFERS_MAX as u32;
    assert_eq!(why(&queue, ChatId::from_u128(0x104)), WhyWaits::OffersOut { limit });
    // One is taken: the next in line goes out.
    let taken = Place::Assigned { owner: ANN, begun: false };
    let effects = arrive(&mut queue, at(wanted[0], 3, taken));
    assert_eq!(offers(&effects).keys().copied().collect::<Vec<_>>(), [ChatId::from_u128(0x104)]);
}

#[test]
fn who_comes_free_is_added_to_the_offers_to_all() {
    let mut queue = queue(Rule::ToAll, &[(ANN, Standing::Free), (BOB, Standing::Full)]);
    arrive(&mut queue, live(CHAT, OFFER, Reach::ToAll, &[ANN]));
    let effects = step(&mut queue, said(ToQueue::State(state(BOB, 2, Standing::Free))));
    let widen = ToChat::Widen { placement: 2, offer: OFFER, to: vec![BOB] };
    assert!(effects.contains(&QueueEffect::ToChat(CHAT, widen)), "{effects:?}");
}

#[test]
fn chats_that_do_not_answer_keep_no_others_from_being_offered() {
    let mut queue = queue(Rule::ToAll, &[(ANN, Standing::Free)]);
    let silent = TO_ALL_OFFERS_MAX as u128;
    for n in 1..=silent + 1 {
        arrive(&mut queue, waits(n, 1_000 + n as u64));
    }
    let last = ChatId::from_u128(silent + 1);
    assert!(matches!(why(&queue, last), WhyWaits::OffersOut { .. }));
    let early = step_at(&mut queue, now().plus_ms(SILENT_AFTER_MS - 1), QueueInput::Tick);
    assert!(!offers(&early).contains_key(&last));
    let late = step_at(&mut queue, now().plus_ms(SILENT_AFTER_MS), QueueInput::Tick);
    assert!(offers(&late).contains_key(&last), "{late:?}");
    // One that answers after all is offered as the others are.
    let first = ChatId::from_u128(1);
    let (offer, reach, to) = offers(&early).remove(&first).unwrap();
    let effects = arrive(&mut queue, live(first, offer, reach, &to));
    assert_eq!(offers(&effects), BTreeMap::new());
    assert_eq!(queue.line().get(first).unwrap().phase, Phase::Offered);
}

#[test]
fn an_offer_whose_end_its_chat_does_not_confirm_keeps_no_others_waiting() {
    let mut queue = queue(Rule::ToAll, &[(ANN, Standing::Free)]);
    for n in 1..=TO_ALL_OFFERS_MAX as u128 {
        let chat = ChatId::from_u128(n);
        arrive(&mut queue, live(chat, OfferId::from_u128(n), Reach::ToAll, &[ANN]));
    }
    arrive(&mut queue, waits(0xee, 1_000));
    let last = ChatId::from_u128(0xee);
    let ends_at = now().plus_ms(TIMEOUT_MS);
    let lapse = step_at(&mut queue, ends_at, QueueInput::Tick);
    assert!(!offers(&lapse).contains_key(&last));
    let late = step_at(&mut queue, ends_at.plus_ms(SILENT_AFTER_MS), QueueInput::Tick);
    assert!(offers(&late).contains_key(&last), "{late:?}");
}

#[test]
fn a_store_that_answers_nobody_is_not_asked_for_an_offer_of_every_chat() {
    let mut queue = queue(Rule::ToAll, &[(ANN, Standing::Free)]);
    for n in 1..=300 {
        arrive(&mut queue, waits(n, 1_000 + n as u64));
    }
    let rounds = 30;
    for round in 0..=rounds {
        let at = now().plus_ms(round * SILENT_AFTER_MS);
        step_at(&mut queue, at, QueueInput::Tick);
    }
    let asked = queue.line().entries().filter(|e| matches!(e.phase, Phase::Offering { .. }));
    let most = TO_ALL_OFFERS_MAX * 2 + rounds as usize;
    assert!(asked.count() <= most, "one a time when so many are silent");
}

#[test]
fn long_offers_to_all_give_way_to_a_smaller_rank_once_they_have_stood_as_long_as_others_do() {
    let mut queue = queue(Rule::ToAll, &[(ANN, Standing::Free)]);
    let out = long_offers(&mut queue);
    let later = |ms| now().plus_ms(ms);
    let arrives = |queue: &mut Queue, n, since, ms| {
        lapses(&step_at(queue, later(ms), said(ToQueue::At(waits(n, since)))))
    };
    assert!(arrives(&mut queue, 0x300, 90_000, 10).is_empty(), "a larger rank waits its turn");
    assert!(arrives(&mut queue, 0x301, 1_000, 20).is_empty(), "nobody has had the time to answer");
    let early = step_at(&mut queue, later(OFFER_TIMEOUT_MS - 1), QueueInput::Tick);
    assert!(lapses(&early).is_empty());
    let due = step_at(&mut queue, later(OFFER_TIMEOUT_MS), QueueInput::Tick);
    assert_eq!(lapses(&due), [*out.last().unwrap()], "one, of the largest rank");
}

#[test]
fn under_another_rule_long_offers_to_all_stand_as_long_as_others_do() {
    let mut queue = queue(Rule::ToAll, &[(ANN, Standing::Free)]);
    let out = long_offers(&mut queue);
    step(&mut queue, QueueInput::Configure(config(Rule::LeastLoaded, &[ANN])));
    let due = step_at(&mut queue, now().plus_ms(OFFER_TIMEOUT_MS), QueueInput::Tick);
    assert_eq!(lapses(&due), out);
}

#[test]
fn whoever_declined_comes_into_an_offer_to_all_when_all_have_and_the_cool_down_is_over() {
    let mut queue = queue(Rule::ToAll, &[(ANN, Standing::Free), (BOB, Standing::Free)]);
    // Before the offer has stood or is over.
    let cool_down_ms = TIMEOUT_MS / 2;
    let settings = RoutingSettings { cool_down_ms, ..RoutingSettings::default() };
    step(&mut queue, QueueInput::Settings(settings));
    let effects = arrive(&mut queue, waits(0xc1, 1_000));
    let (offer, ..) = offers(&effects)[&CHAT];
    let refused_by = Arc::new(BTreeMap::from([(ANN, now())]));
    let declined = ChatAt { refused_by, ..live(CHAT, offer, Reach::ToAll, &[BOB]) };
    arrive(&mut queue, ChatAt { moved_at: now(), ..declined });
    let gone = state(BOB, 2, Standing::NotConnected);
    let effects = step(&mut queue, said(ToQueue::State(gone)));
    assert!(widened(&effects).is_empty(), "she has only just declined it");
    let effects = woken_at(&mut queue, now().plus_ms(cool_down_ms));
    assert_eq!(widened(&effects), [ANN]);
}
