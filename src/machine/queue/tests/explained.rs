//! Why a chat waits, as the queue explains it.

use super::*;

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
