//! What a change of the configuration does to the line and to what is under way.

use super::*;

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
    let order = |queue: &Queue| queue.line().waiting().map(|turn| turn.chat).collect::<Vec<_>>();
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
    let first = |queue: &Queue| queue.line().waiting().next().map(|turn| (turn.rank, turn.chat));
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
