//! Slots that operators give, and the answers to reservations.

use super::*;
use crate::domain::event::Trigger;

fn choosing(version: u64) -> OperatorState {
    OperatorState { free: 1, ..state(ANN, version, Standing::Choosing) }
}

/// A queue in which two wait, and Ann chooses.
fn two_wait() -> Queue {
    let mut queue = queue(Rule::LeastLoaded, &[(ANN, Standing::Choosing)]);
    arrive(&mut queue, waits(1, 1_000));
    arrive(&mut queue, waits(2, 2_000));
    queue
}

fn give_at(queue: &mut Queue, now: Timestamp, n: u64, expires_at: Timestamp) -> Option<ChatId> {
    let (offer, state) = (OfferId::of(9, n), choosing(2 + n));
    let give =
        ToQueue::Give { offer, rank: 1_000_000, weight: Default::default(), expires_at, state };
    let effects = step_at(queue, now, said(give));
    let mut answers = effects.iter().filter_map(|effect| match effect {
        QueueEffect::ToOperator(ANN, ToOperator::GiveAnswer { chat, .. }) => Some(*chat),
        QueueEffect::ToOperator(..) | QueueEffect::ToChat(..) => None,
    });
    answers.next().expect("a slot that is given is answered")
}

#[test]
fn a_repeated_give_goes_to_one_chat() {
    let mut queue = two_wait();
    let ends_at = now().plus_ms(RESERVATION_MS);
    let first = ChatId::from_u128(1);
    assert_eq!(give_at(&mut queue, now(), 1, ends_at), Some(first));
    assert_eq!(give_at(&mut queue, now(), 1, ends_at), Some(first));
    // Just before its end, and after the chat has made the offer.
    let offer = OfferId::of(9, 1);
    arrive(&mut queue, live(first, offer, Reach::Directed, &[ANN]));
    let last_moment = Timestamp(ends_at.0 - 1);
    assert_eq!(give_at(&mut queue, last_moment, 1, ends_at), Some(first));
    assert_eq!(queue.line().get(ChatId::from_u128(2)).unwrap().phase, Phase::Waiting);
    // Then the slot is free again, and of no use here.
    assert_eq!(give_at(&mut queue, ends_at, 1, ends_at), None);
}

#[test]
fn a_slot_never_goes_to_a_larger_rank_than_was_quoted() {
    let mut queue = two_wait();
    let (offer, expires_at) = (OfferId::of(9, 1), now().plus_ms(RESERVATION_MS));
    let give = ToQueue::Give {
        offer,
        rank: 999,
        weight: Default::default(),
        expires_at,
        state: choosing(3),
    };
    let effects = step(&mut queue, said(give));
    let nobody = QueueEffect::ToOperator(ANN, ToOperator::GiveAnswer { offer, chat: None });
    assert_eq!(effects, [nobody]);
}

#[test]
fn a_pull_of_a_queue_that_offers_to_all_is_quoted_the_smallest_rank_offered_or_not() {
    let mut queue = queue(Rule::ToAll, &[(ANN, Standing::Away), (BOB, Standing::Full)]);
    for (n, since) in [(1, 2_000), (2, 1_000), (3, 3_000)] {
        let at = waits(n, since);
        let live = live(at.chat, OfferId::from_u128(n), Reach::ToAll, &[BOB]);
        let at = if n == 2 { at } else { ChatAt { since: at.since, ..live } };
        arrive(&mut queue, at);
    }
    let mut quoted = |version, except: &[u128]| {
        let except = except.iter().map(|n| ChatId::from_u128(*n)).collect();
        let pull = ToQueue::Pull { pull: version, except, state: choosing(version) };
        let effects = step(&mut queue, said(pull));
        effects.iter().find_map(|effect| match effect {
            QueueEffect::ToOperator(ANN, ToOperator::Best { best, .. }) => *best,
            QueueEffect::ToOperator(..) | QueueEffect::ToChat(..) => None,
        })
    };
    let chat = |best: Option<crate::machine::message::Quote>| best.map(|best| best.chat);
    assert_eq!(chat(quoted(2, &[])), Some(ChatId::from_u128(2)), "it waits");
    assert_eq!(chat(quoted(3, &[2])), Some(ChatId::from_u128(1)), "it is offered");
    assert_eq!(chat(quoted(4, &[1, 2, 3])), None);
}

#[test]
fn who_comes_free_while_a_widening_is_on_its_way_comes_into_the_offer_as_well() {
    let members = [(ANN, Standing::Free), (BOB, Standing::Full), (CYD, Standing::Full)];
    let mut queue = queue(Rule::ToAll, &members);
    arrive(&mut queue, live(CHAT, OFFER, Reach::ToAll, &[ANN]));
    let mut widened = |operator| {
        let effects = step(&mut queue, said(ToQueue::State(state(operator, 2, Standing::Free))));
        effects.iter().find_map(|effect| match effect {
            QueueEffect::ToChat(CHAT, ToChat::Widen { to, .. }) => Some(to.clone()),
            QueueEffect::ToChat(..) | QueueEffect::ToOperator(..) => None,
        })
    };
    assert_eq!(widened(BOB), Some(vec![BOB]));
    assert_eq!(widened(CYD), Some(vec![BOB, CYD]));
}

#[test]
fn a_chat_is_looked_at_when_the_first_who_refused_it_may_be_asked_again() {
    let mut queue = queue(Rule::LeastLoaded, &[(ANN, Standing::Free), (BOB, Standing::Free)]);
    let refused_at = |ms_ago| Timestamp(now().0 - ms_ago);
    let refused_by = Arc::new(BTreeMap::from([(ANN, refused_at(20)), (CYD, refused_at(10))]));
    let effects = arrive(&mut queue, ChatAt { refused_by, ..waits(0xc1, 1_000) });
    let [(BOB, offer, chat)] = reservations(&effects)[..] else { panic!("{effects:?}") };
    let (state, result) = (state(BOB, 2, Standing::Busy), Err(Standing::Busy));
    let effects = step(&mut queue, said(ToQueue::ReserveAnswer { offer, chat, result, state }));
    assert!(reservations(&effects).is_empty());
    assert_eq!(queue.next_deadline(), Some(refused_at(20).plus_ms(COOL_DOWN_MS)));
}

#[test]
fn she_is_quoted_what_she_may_be_asked_for_from_this_moment_on_though_nothing_woke_the_queue() {
    let mut queue = queue(Rule::LeastLoaded, &[(ANN, Standing::Choosing)]);
    let refused_by = Arc::new(BTreeMap::from([(ANN, now())]));
    arrive(&mut queue, ChatAt { refused_by, ..waits(0xc1, 1_000) });
    let mut quoted = |now, version| {
        let pull = ToQueue::Pull { pull: version, except: Vec::new(), state: choosing(version) };
        let effects = step_at(&mut queue, now, said(pull));
        effects.iter().find_map(|effect| match effect {
            QueueEffect::ToOperator(ANN, ToOperator::Best { best, .. }) => *best,
            QueueEffect::ToOperator(..) | QueueEffect::ToChat(..) => None,
        })
    };
    let over = now().plus_ms(COOL_DOWN_MS);
    assert_eq!(quoted(Timestamp(over.0 - 1), 2), None, "she refused it");
    assert_eq!(quoted(over, 3).map(|best| best.chat), Some(ChatId::from_u128(0xc1)));
}

#[test]
fn a_slot_whose_time_is_over_goes_to_nobody() {
    let mut queue = two_wait();
    assert_eq!(give_at(&mut queue, now(), 1, now()), None);
    assert_eq!(queue.line().waiting().count(), 2);
}

#[test]
fn nobody_but_a_member_gives_and_is_quoted_and_only_where_one_is_asked_at_a_time() {
    let ends_at = now().plus_ms(RESERVATION_MS);
    for rule in [Rule::ToAll, Rule::Manual] {
        let mut queue = queue(rule, &[(ANN, Standing::Away)]);
        arrive(&mut queue, waits(1, 1_000));
        assert_eq!(give_at(&mut queue, now(), 1, ends_at), None, "{rule:?}");
    }
    let mut queue = queue(Rule::LeastLoaded, &[(BOB, Standing::Away)]);
    arrive(&mut queue, waits(1, 1_000));
    assert_eq!(give_at(&mut queue, now(), 1, ends_at), None, "she is no member");
    let pull = ToQueue::Pull { pull: 1, except: Vec::new(), state: choosing(9) };
    let best = ToOperator::Best { queue: QUEUE, pull: 1, best: None };
    assert_eq!(step(&mut queue, said(pull)), [QueueEffect::ToOperator(ANN, best)]);
}

#[test]
fn only_the_answer_to_the_reservation_under_way_leads_to_an_offer() {
    let mut queue = queue(Rule::LeastLoaded, &[(ANN, Standing::Free)]);
    let effects = arrive(&mut queue, waits(0xc1, 1_000));
    let [(ANN, offer, chat)] = reservations(&effects)[..] else { panic!("{effects:?}") };
    let answer = |offer, version| {
        let state = state(ANN, version, Standing::Full);
        said(ToQueue::ReserveAnswer { offer, chat, result: Ok(()), state })
    };
    let other = OfferId::of(9, 9);
    let effects = step(&mut queue, answer(other, 2));
    assert!(offers(&effects).is_empty());
    let release = QueueEffect::ToOperator(ANN, ToOperator::Release { offer: other });
    assert!(effects.contains(&release), "{effects:?}");
    assert_eq!(offers(&step(&mut queue, answer(offer, 3)))[&chat].0, offer);
}

#[test]
fn the_record_of_a_decision_says_what_brought_it_about_and_who_was_next() {
    let decision = |effects: &[QueueEffect]| {
        let decision = effects.iter().find_map(|effect| match effect {
            QueueEffect::ToChat(_, ToChat::Offer { decision, .. }) => Some(decision.clone()),
            QueueEffect::ToChat(..) | QueueEffect::ToOperator(..) => None,
        });
        decision.expect("it is offered")
    };
    let mut pulled = two_wait();
    let (offer, state) = (OfferId::of(9, 1), choosing(2));
    let expires_at = now().plus_ms(RESERVATION_MS);
    let give =
        ToQueue::Give { offer, rank: 1_000_000, weight: Default::default(), expires_at, state };
    assert_eq!(decision(&step(&mut pulled, said(give))).trigger, Trigger::Pull);

    let everybody: Vec<(UserId, Standing)> =
        (1..=9).map(|n| (UserId::from_u128(n), Standing::Free)).collect();
    let mut pushed = queue(Rule::LeastLoaded, &everybody);
    let refused_by = Arc::new(BTreeMap::from([(everybody[8].0, now())]));
    let effects = arrive(&mut pushed, ChatAt { refused_by, ..waits(0xc1, 1_000) });
    let [(first, offer, chat)] = reservations(&effects)[..] else { panic!("{effects:?}") };
    let state = self::state(first, 2, Standing::Full);
    let answer = ToQueue::ReserveAnswer { offer, chat, result: Ok(()), state };
    let decision = decision(&step(&mut pushed, said(answer)));
    assert_eq!((decision.trigger, first), (Trigger::Push, everybody[0].0));
    let next: Vec<UserId> = everybody[1..=5].iter().map(|(id, _)| *id).collect();
    assert_eq!(decision.runners_up, next, "as many as are recorded");
    // One refused it just before; the others could have it when it was decided.
    let stood = [(Standing::Free, 8), (Standing::CoolingDown, 1)];
    assert_eq!(decision.standings, BTreeMap::from(stood));
}

#[test]
fn a_row_that_was_moving_is_asked_about_and_what_it_dates_later_than_now_counts_as_now() {
    let mut queue = queue(Rule::LeastLoaded, &[(ANN, Standing::Free)]);
    let later = now().plus_ms(60_000);
    let row = crate::storage::OpenChat {
        chat: CHAT,
        queue: QUEUE,
        placement: 1,
        priority: Default::default(),
        weight: Default::default(),
        since: later,
        refused_by: BTreeMap::from([(ANN, later)]),
        place: Some(Place::Waiting),
        next_deadline: None,
        moving: Some(crate::storage::Moving { to: None }),
    };
    let effects = step(&mut queue, QueueInput::Recovered(vec![row]));
    let peer = crate::machine::message::Peer::Queue(QUEUE);
    assert!(effects.contains(&QueueEffect::ToChat(CHAT, ToChat::Ask { peer })), "{effects:?}");
    let told = queue.explain(CHAT, now()).unwrap();
    let until = Some(now().plus_ms(COOL_DOWN_MS));
    assert_eq!((told.since, told.why), (now(), WhyWaits::AllRefused { until }));
}

#[test]
fn a_refusal_counts_against_members_who_are_eligible_full_or_not() {
    let refused = |ms_ago: u64, by: &[UserId]| {
        let at = Timestamp(now().0 - ms_ago);
        let refused_by = Arc::new(by.iter().map(|id| (*id, at)).collect());
        ChatAt { refused_by, ..waits(0xc1, 1_000) }
    };
    let stood = |members: &[(UserId, Standing)], at: ChatAt| {
        let mut queue = queue(Rule::LeastLoaded, members);
        let effects = arrive(&mut queue, at);
        let told = queue.explain(CHAT, now()).unwrap();
        let standings: Vec<Standing> = told.candidates.iter().map(|one| one.standing).collect();
        (standings, reservations(&effects).len())
    };
    use Standing::*;
    let members = [(ANN, Free), (BOB, Full)];
    // Bob has not refused: Ann waits for him, whoever else has, as long as he may come free.
    let stranger = UserId::from_u128(0xee);
    let long_ago = COOL_DOWN_MS + 1;
    let told = stood(&members, refused(long_ago, &[ANN, stranger]));
    assert_eq!(told, (vec![Declined, Full], 0));
    // All who are eligible have: the first is asked again.
    assert_eq!(stood(&members, refused(long_ago, &[ANN, BOB])).1, 1);
    assert_eq!(stood(&[(ANN, Free), (BOB, Away)], refused(long_ago, &[ANN])).1, 1);
    // A full one's refusal is told as one.
    assert_eq!(stood(&members, refused(10, &[BOB])).0[1], CoolingDown);
}

#[test]
fn a_chat_that_takes_more_slots_than_are_held_is_not_given_them() {
    let mut queue = queue(Rule::LeastLoaded, &[(ANN, Standing::Choosing)]);
    let weight = |slots| domain::Weight::new(slots).unwrap();
    arrive(&mut queue, ChatAt { weight: weight(2), ..waits(0xc1, 1_000) });
    let pull = ToQueue::Pull { pull: 1, except: Vec::new(), state: choosing(2) };
    let effects = step(&mut queue, said(pull));
    let quoted = effects.iter().find_map(|effect| match effect {
        QueueEffect::ToOperator(ANN, ToOperator::Best { best, .. }) => *best,
        QueueEffect::ToOperator(..) | QueueEffect::ToChat(..) => None,
    });
    assert_eq!(quoted.map(|quote| quote.weight), Some(weight(2)));
    for (n, slots, given) in [(1, 1, None), (2, 2, Some(CHAT))] {
        let (offer, expires_at) = (OfferId::of(9, n), now().plus_ms(RESERVATION_MS));
        let (weight, state) = (weight(slots), choosing(2 + n));
        let give = ToQueue::Give { offer, rank: 1_000_000, weight, expires_at, state };
        let effects = step(&mut queue, said(give));
        let answer = ToOperator::GiveAnswer { offer, chat: given };
        assert!(effects.contains(&QueueEffect::ToOperator(ANN, answer)), "{effects:?}");
    }
}

#[test]
fn a_reservation_says_how_many_slots_the_chat_takes() {
    let mut queue = queue(Rule::LeastLoaded, &[(ANN, Standing::Free)]);
    let weight = domain::Weight::new(3).unwrap();
    let effects = arrive(&mut queue, ChatAt { weight, ..waits(0xc1, 1_000) });
    let asked = effects.iter().find_map(|effect| match effect {
        QueueEffect::ToOperator(ANN, ToOperator::Reserve { weight, .. }) => Some(*weight),
        QueueEffect::ToOperator(..) | QueueEffect::ToChat(..) => None,
    });
    assert_eq!(asked, Some(weight));
}
