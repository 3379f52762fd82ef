//! The queue machine by itself: explanations, offers to all, changes of the configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::domain::event::{OfferEnd, WithdrawReason};
use crate::domain::limits::{
    OFFER_TIMEOUT_MS, RESERVATION_MS, SILENT_AFTER_MS, TO_ALL_OFFERS_MAX, TO_ALL_STANDS_MAX_MS,
};
use crate::domain::operator::{OperatorState, Standing};
use crate::domain::{
    self, ChatId, Offer, OfferId, Place, Priority, Reach, RoutingSettings, Rule, Timestamp, UserId,
};
use crate::machine::fixture::*;
use crate::machine::message::{ChatAt, ToChat, ToOperator, ToQueue};
use crate::machine::queue::{Phase, Queue, QueueEffect, QueueInput};
use crate::routing::WhyWaits;

mod given;
mod looks;
mod naive;
mod shown;

const COOL_DOWN_MS: u64 = 30_000;

fn now() -> Timestamp {
    Timestamp(100_000)
}

fn config(rule: Rule, members: &[UserId]) -> domain::Queue {
    let mut config = domain::Queue::new(QUEUE, "queue", rule);
    config.members = members.iter().copied().collect();
    config
}

fn queue(rule: Rule, members: &[(UserId, Standing)]) -> Queue {
    let ids: Vec<UserId> = members.iter().map(|(id, _)| *id).collect();
    let mut queue = Queue::new(config(rule, &ids), RoutingSettings::default(), 1, now());
    for (id, standing) in members {
        // Nobody has told anything yet of whom nothing is to be known.
        if *standing != Standing::Unknown {
            step(&mut queue, said(ToQueue::State(state(*id, 1, *standing))));
        }
    }
    queue
}

fn said(said: ToQueue) -> QueueInput {
    QueueInput::Said(said)
}

fn step(queue: &mut Queue, input: QueueInput) -> Vec<QueueEffect> {
    step_at(queue, now(), input)
}

fn step_at(queue: &mut Queue, now: Timestamp, input: QueueInput) -> Vec<QueueEffect> {
    let effects = queue.step(now, input);
    queue.assert_invariants();
    queue.assert_timers(now);
    effects
}

fn waits(n: u128, since: u64) -> ChatAt {
    let chat = ChatId::from_u128(n);
    ChatAt { since: Timestamp(since), ..at(chat, 1, Place::Waiting) }
}

fn arrive(queue: &mut Queue, at: ChatAt) -> Vec<QueueEffect> {
    step(queue, said(ToQueue::At(at)))
}

fn why(queue: &Queue, chat: ChatId) -> WhyWaits {
    queue.explain(chat, now()).unwrap().why
}

fn offers(effects: &[QueueEffect]) -> BTreeMap<ChatId, (OfferId, Reach, Vec<UserId>)> {
    let offers = effects.iter().filter_map(|effect| match effect {
        QueueEffect::ToChat(chat, ToChat::Offer { offer, reach, to, .. }) => {
            Some((*chat, (*offer, *reach, to.clone())))
        }
        QueueEffect::ToChat(..) | QueueEffect::ToOperator(..) => None,
    });
    offers.collect()
}

fn reservations(effects: &[QueueEffect]) -> Vec<(UserId, OfferId, ChatId)> {
    let reserves = effects.iter().filter_map(|effect| match effect {
        QueueEffect::ToOperator(to, ToOperator::Reserve { offer, chat, .. }) => {
            Some((*to, *offer, *chat))
        }
        QueueEffect::ToChat(..) | QueueEffect::ToOperator(..) => None,
    });
    reserves.collect()
}

/// The chat says that its offer stands.
fn live(chat: ChatId, offer: OfferId, reach: Reach, to: &[UserId]) -> ChatAt {
    let expires_at = now().plus_ms(TIMEOUT_MS);
    let to = Arc::new(to.iter().copied().collect());
    at(
        chat,
        2,
        Place::Offered(Offer { id: offer, reach, to, returned: Default::default(), expires_at }),
    )
}

#[test]
fn each_reason_to_wait_is_told() {
    let refused = |by: &[UserId], ms_ago: u64| {
        let at = Timestamp(now().0 - ms_ago);
        let refused_by = Arc::new(by.iter().map(|id| (*id, at)).collect());
        ChatAt { refused_by, ..waits(0xc1, 1_000) }
    };
    let told = |rule, members: &[(UserId, Standing)], at| {
        let mut queue = queue(rule, members);
        arrive(&mut queue, at);
        why(&queue, CHAT)
    };
    use Standing::*;
    let plain = || waits(0xc1, 1_000);
    let least = Rule::LeastLoaded;
    assert_eq!(told(Rule::Manual, &[(ANN, Free)], plain()), WhyWaits::Manual);
    assert_eq!(told(least, &[], plain()), WhyWaits::NoMembers);
    assert_eq!(told(Rule::Manual, &[], plain()), WhyWaits::NoMembers, "nobody is there to take it");
    for standing in [Unknown, Offline, Away, Busy, NotConnected] {
        assert_eq!(told(least, &[(ANN, standing)], plain()), WhyWaits::NobodyReady, "{standing:?}");
    }
    assert_eq!(told(least, &[(ANN, Away), (BOB, Full)], plain()), WhyWaits::AllFull);
    assert_eq!(told(least, &[(ANN, Choosing), (BOB, Full)], plain()), WhyWaits::ThisMoment);
    let until = Some(Timestamp(now().0 - 10 + COOL_DOWN_MS));
    assert_eq!(told(least, &[(ANN, Free)], refused(&[ANN], 10)), WhyWaits::AllRefused { until });
    // Bob has not refused and is full: Ann is not asked again, and Bob is what is waited for.
    assert_eq!(
        told(least, &[(ANN, Free), (BOB, Full)], refused(&[ANN], COOL_DOWN_MS)),
        WhyWaits::AllFull
    );
    let asked = told(least, &[(ANN, Free)], plain());
    assert!(matches!(asked, WhyWaits::BeingOffered { .. }), "{asked:?}");
}

#[test]
fn room_that_is_kept_for_offers_to_all_is_told_as_the_reason() {
    let mut queue = queue(Rule::LeastLoaded, &[(BOB, Standing::Away), (ANN, Standing::Full)]);
    let kept = |version, below| domain::operator::OperatorState {
        free: 1,
        kept_below: Some(below),
        ..state(ANN, version, Standing::Kept)
    };
    step(&mut queue, said(ToQueue::State(kept(2, 1_000))));
    arrive(&mut queue, waits(0xc1, 1_000));
    assert_eq!(why(&queue, CHAT), WhyWaits::RoomKept);
    let told = queue.explain(CHAT, now()).unwrap();
    assert_eq!(told.standings.get(&Standing::Kept), Some(&1));
    // A chat of smaller rank may have that room.
    let effects = step(&mut queue, said(ToQueue::State(kept(3, 1_001))));
    let [(ANN, _, CHAT)] = reservations(&effects)[..] else { panic!("{effects:?}") };
}

#[test]
fn an_offer_to_all_that_only_full_members_see_waits_for_room() {
    let mut queue = queue(Rule::ToAll, &[(ANN, Standing::Free), (BOB, Standing::Away)]);
    arrive(&mut queue, live(CHAT, OFFER, Reach::ToAll, &[ANN]));
    assert!(matches!(why(&queue, CHAT), WhyWaits::Offered { .. }));
    step(&mut queue, said(ToQueue::State(state(ANN, 2, Standing::Full))));
    assert_eq!(why(&queue, CHAT), WhyWaits::AllFull);
}

#[test]
fn between_the_end_of_a_cool_down_and_the_tick_it_is_this_moment() {
    let mut queue = queue(Rule::LeastLoaded, &[(ANN, Standing::Free)]);
    let refused_by = Arc::new(BTreeMap::from([(ANN, now())]));
    arrive(&mut queue, ChatAt { refused_by, ..waits(0xc1, 1_000) });
    let again = now().plus_ms(COOL_DOWN_MS);
    let why_at = |ms| queue.explain(CHAT, Timestamp(ms)).unwrap().why;
    assert_eq!(why_at(again.0 - 1), WhyWaits::AllRefused { until: Some(again) });
    assert_eq!(why_at(again.0), WhyWaits::ThisMoment);
}

#[test]
fn a_live_offer_is_why_and_until_when() {
    let mut queue = queue(Rule::LeastLoaded, &[(ANN, Standing::Free)]);
    let at = live(CHAT, OFFER, Reach::Directed, &[ANN]);
    arrive(&mut queue, at);
    let expires_at = now().plus_ms(TIMEOUT_MS);
    assert_eq!(why(&queue, CHAT), WhyWaits::Offered { offer: OFFER, expires_at });
}

#[test]
fn an_explanation_says_how_each_member_stands_and_how_old_the_belief_is() {
    use Standing::*;
    let ids: Vec<UserId> = (1..=9).map(UserId::from_u128).collect();
    let told = [Unknown, Offline, Away, Busy, NotConnected, Full, Choosing, Free, Free];
    let members: Vec<(UserId, Standing)> = ids.iter().copied().zip(told).collect();
    let mut queue = queue(Rule::LeastLoaded, &members);
    let mut at = waits(0xc1, 1_000);
    at.refused_by = Arc::new(BTreeMap::from([
        (ids[7], Timestamp(now().0 - 1)),
        (ids[8], Timestamp(now().0 - COOL_DOWN_MS)),
    ]));
    arrive(&mut queue, at);
    let told = queue.explain(CHAT, now()).unwrap();
    let standings: Vec<Standing> = told.candidates.iter().map(|c| c.standing).collect();
    let wanted =
        [Unknown, Offline, Away, Busy, NotConnected, Full, Choosing, CoolingDown, Declined];
    assert_eq!(standings, wanted);
    assert_eq!(told.standings.values().sum::<u32>(), 9);
    assert_eq!(told.candidates[0].belief_age_ms, None, "nothing is known of the first");
    assert_eq!(told.candidates[1].belief_age_ms, Some(now().0));
    assert_eq!(told.candidates[7].until, Some(Timestamp(now().0 - 1 + COOL_DOWN_MS)));
    assert_eq!((told.position, told.since, told.rank), (1, Timestamp(1_000), 1_000));
    assert_eq!(queue.explain(OTHER_CHAT, now()), None);
}

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
fn a_removed_members_offer_is_withdrawn_as_not_eligible() {
    let mut queue = queue(Rule::LeastLoaded, &[(ANN, Standing::Free), (BOB, Standing::Away)]);
    arrive(&mut queue, live(CHAT, OFFER, Reach::Directed, &[ANN]));
    let effects = step(&mut queue, QueueInput::Configure(config(Rule::LeastLoaded, &[BOB])));
    let withdrawn = effects.iter().any(|effect| {
        matches!(
            effect,
            QueueEffect::ToChat(
                CHAT,
                ToChat::Withdraw {
                    offer: OFFER,
                    operator: ANN,
                    reason: WithdrawReason::NotEligible,
                    ..
                }
            )
        )
    });
    assert!(withdrawn, "{effects:?}");
}

#[test]
fn a_reservation_on_its_way_to_a_removed_member_is_given_up_and_the_next_is_asked() {
    let mut queue = queue(Rule::LeastLoaded, &[(ANN, Standing::Free), (BOB, Standing::Free)]);
    let effects = arrive(&mut queue, waits(0xc1, 1_000));
    let [(ANN, offer, CHAT)] = reservations(&effects)[..] else { panic!("{effects:?}") };
    let effects = step(&mut queue, QueueInput::Configure(config(Rule::LeastLoaded, &[BOB])));
    let release = QueueEffect::ToOperator(ANN, ToOperator::Release { offer });
    assert!(effects.contains(&release), "{effects:?}");
    let [(BOB, _, CHAT)] = reservations(&effects)[..] else { panic!("{effects:?}") };
}

#[test]
fn another_rule_keeps_the_places_in_line_and_counts_from_the_next_decision() {
    let mut queue = queue(Rule::Manual, &[(ANN, Standing::Free)]);
    for (n, since) in [(1, 3_000), (2, 1_000), (3, 2_000)] {
        arrive(&mut queue, waits(n, since));
    }
    let order = |queue: &Queue| queue.line().waiting().map(|(_, chat)| chat).collect::<Vec<_>>();
    let wanted = [2, 3, 1].map(ChatId::from_u128);
    assert_eq!(order(&queue), wanted);
    let effects = step(&mut queue, QueueInput::Configure(config(Rule::LongestIdle, &[ANN])));
    let [(ANN, _, first)] = reservations(&effects)[..] else { panic!("{effects:?}") };
    assert_eq!((first, order(&queue)), (wanted[0], wanted[1..].to_vec()));
}

#[test]
fn another_step_or_priority_ranks_the_line_anew() {
    let mut queue = queue(Rule::Manual, &[]);
    let urgent = ChatAt { priority: Priority::new(2).unwrap(), ..waits(1, 90_000) };
    arrive(&mut queue, urgent);
    arrive(&mut queue, waits(2, 1_000));
    let first = |queue: &Queue| queue.line().waiting().next();
    assert_eq!(first(&queue), Some((-30_000, ChatId::from_u128(1))));
    let settings = RoutingSettings { priority_step_ms: 1_000, ..Default::default() };
    step(&mut queue, QueueInput::Settings(settings));
    assert_eq!(first(&queue), Some((1_000, ChatId::from_u128(2))));
    let mut config = config(Rule::Manual, &[]);
    config.priority = Priority::new(1).unwrap();
    step(&mut queue, QueueInput::Configure(config));
    assert_eq!(first(&queue), Some((0, ChatId::from_u128(2))), "the queue's own counts too");
}

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
        queue.line().waiting().map(|(_, chat)| chat.0.as_u128()).collect::<Vec<_>>()
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
fn a_shorter_cool_down_counts_at_once() {
    let mut queue = queue(Rule::LeastLoaded, &[(ANN, Standing::Free)]);
    let refused = Arc::new(BTreeMap::from([(ANN, now())]));
    arrive(&mut queue, ChatAt { refused_by: refused, ..waits(0xc1, 1_000) });
    let settings = RoutingSettings { cool_down_ms: 50, ..RoutingSettings::default() };
    step(&mut queue, QueueInput::Settings(settings));
    assert!(queue.next_deadline() <= Some(now().plus_ms(50)));
    let effects = step_at(&mut queue, now().plus_ms(50), QueueInput::Tick);
    assert_eq!(reservations(&effects).len(), 1, "{effects:?}");
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
fn members_are_asked_for_their_state_at_the_start_and_when_they_come() {
    let asked = |effects: &[QueueEffect]| -> BTreeSet<UserId> {
        let asks = effects.iter().filter_map(|effect| match effect {
            QueueEffect::ToOperator(to, ToOperator::AskState { .. }) => Some(*to),
            QueueEffect::ToChat(..) | QueueEffect::ToOperator(..) => None,
        });
        asks.collect()
    };
    let mut queue = queue(Rule::LeastLoaded, &[(ANN, Standing::Unknown)]);
    let effects = step(&mut queue, QueueInput::Recovered(Vec::new()));
    assert_eq!(asked(&effects), BTreeSet::from([ANN]));
    let effects = step(&mut queue, QueueInput::Configure(config(Rule::LeastLoaded, &[ANN, BOB])));
    assert_eq!(asked(&effects), BTreeSet::from([BOB]));
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

/// Offers to all that nobody answered, made for ten minutes: as many as may be out.
fn long_offers(queue: &mut Queue) -> Vec<ChatId> {
    let chats = (0..TO_ALL_OFFERS_MAX as u128).map(|n| ChatId::from_u128(0x200 + n));
    for (n, chat) in chats.clone().enumerate() {
        let (id, expires_at) = (OfferId::of(70, n as u64), now().plus_ms(TO_ALL_STANDS_MAX_MS));
        let (reach, to) = (Reach::ToAll, Arc::new([ANN].into()));
        let offer = Offer { id, reach, to, returned: Default::default(), expires_at };
        let since = Timestamp(50_000 + n as u64);
        arrive(queue, ChatAt { since, moved_at: now(), ..at(chat, 2, Place::Offered(offer)) });
    }
    chats.collect()
}

fn lapses(effects: &[QueueEffect]) -> Vec<ChatId> {
    let lapses = effects.iter().filter_map(|effect| match effect {
        QueueEffect::ToChat(chat, ToChat::Lapse { .. }) => Some(*chat),
        QueueEffect::ToChat(..) | QueueEffect::ToOperator(..) => None,
    });
    lapses.collect()
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
