//! A clean run is found clean; every planted fault is found, and found as what it is.

use switchboard::domain::{ChatId, CommandId, CustomerId, Party, QueueId, UserId};

use super::line::IDLE_BESIDE_MAX_MS;
use super::*;

const CHAT: ChatId = ChatId::from_u128(1);
const OTHER_CHAT: ChatId = ChatId::from_u128(2);
const CUSTOMER: CustomerId = CustomerId::from_u128(3);
const ANN: UserId = UserId::from_u128(4);
const BEN: UserId = UserId::from_u128(5);
const QUEUE: QueueId = QueueId::from_u128(6);
const OTHER_QUEUE: QueueId = QueueId::from_u128(7);
const THE_CUSTOMER: Party = Party::Customer(CUSTOMER);

fn id(text: &str) -> CommandId {
    CommandId::new(text).unwrap()
}

fn message(from: Party, name: &str) -> Message {
    Message {
        from,
        id: id(name),
        text: TextMark::of(name),
    }
}

fn sent(from: Party, name: &str) -> Observation {
    let message = message(from, name);
    Observation::Sent { message }
}

fn acknowledged(from: Party, name: &str, seq: Seq) -> Observation {
    let id = id(name);
    Observation::Acknowledged {
        chat: CHAT,
        from,
        id,
        seq,
    }
}

fn seen(by: Party, seq: Seq, from: Party, name: &str) -> Observation {
    let message = message(from, name);
    Observation::Seen {
        chat: CHAT,
        by,
        seq,
        message,
    }
}

fn owner_seen(by: Party, seq: Seq, owner: Option<UserId>) -> Observation {
    Observation::OwnerSeen {
        chat: CHAT,
        by,
        seq,
        owner,
    }
}

fn gained(operator: UserId, seq: Seq) -> Observation {
    Observation::Gained {
        chat: CHAT,
        operator,
        seq,
    }
}

fn lost(operator: UserId, seq: Seq) -> Observation {
    Observation::Lost {
        chat: CHAT,
        operator,
        seq,
    }
}

fn held(operator: UserId, chat: ChatId, at_ms: u64) -> Observation {
    Observation::Held {
        operator,
        chat,
        at_ms,
    }
}

fn released(operator: UserId, chat: ChatId, at_ms: u64) -> Observation {
    Observation::Released {
        operator,
        chat,
        at_ms,
    }
}

fn operator(operator: UserId, at_ms: u64, queues: &[QueueId]) -> Observation {
    let queues = queues.to_vec();
    Observation::Operator {
        operator,
        at_ms,
        capacity: 1,
        queues,
    }
}

fn excluded(at_ms: u64, until_ms: Option<u64>) -> Observation {
    Observation::Excluded {
        chat: CHAT,
        operator: ANN,
        at_ms,
        until_ms,
    }
}

fn wait_began(at_ms: u64) -> Observation {
    Observation::WaitBegan {
        chat: CHAT,
        queue: QUEUE,
        at_ms,
    }
}

fn wait_over(at_ms: u64) -> Observation {
    Observation::WaitOver { chat: CHAT, at_ms }
}

fn free_began(operator: UserId, at_ms: u64) -> Observation {
    Observation::FreeBegan { operator, at_ms }
}

fn free_over(operator: UserId, at_ms: u64) -> Observation {
    Observation::FreeOver { operator, at_ms }
}

fn history(by: Party, messages: &[(Seq, Message)]) -> Observation {
    let messages = messages.to_vec();
    Observation::History {
        chat: CHAT,
        by,
        messages,
    }
}

/// All that is said in [`clean_run`].
fn all_messages() -> Vec<(Seq, Message)> {
    vec![
        (3, message(THE_CUSTOMER, "a")),
        (6, message(Party::User(ANN), "b")),
        (7, message(THE_CUSTOMER, "c")),
        (9, message(Party::User(BEN), "d")),
    ]
}

/// One chat: opened, written to while it waits, served by ANN, handed to BEN at 8, ended at 10.
fn clean_run() -> Vec<Observation> {
    let (ann, ben) = (Party::User(ANN), Party::User(BEN));
    vec![
        operator(ANN, 0, &[QUEUE]),
        operator(BEN, 0, &[QUEUE]),
        Observation::Opened {
            chat: CHAT,
            customer: CUSTOMER,
        },
        wait_began(1_000),
        sent(THE_CUSTOMER, "a"),
        acknowledged(THE_CUSTOMER, "a", 3),
        seen(THE_CUSTOMER, 3, THE_CUSTOMER, "a"),
        free_began(ANN, 1_400),
        held(ANN, CHAT, 9_400),
        wait_over(1_500),
        free_over(ANN, 1_500),
        gained(ANN, 5),
        owner_seen(THE_CUSTOMER, 5, Some(ANN)),
        owner_seen(ann, 5, Some(ANN)),
        seen(ann, 3, THE_CUSTOMER, "a"),
        sent(ann, "b"),
        sent(THE_CUSTOMER, "c"),
        seen(THE_CUSTOMER, 6, ann, "b"),
        seen(ann, 6, ann, "b"),
        acknowledged(ann, "b", 6),
        acknowledged(THE_CUSTOMER, "c", 7),
        seen(ann, 7, THE_CUSTOMER, "c"),
        seen(THE_CUSTOMER, 7, THE_CUSTOMER, "c"),
        held(BEN, CHAT, 9_800),
        released(ANN, CHAT, 9_800),
        owner_seen(THE_CUSTOMER, 8, Some(BEN)),
        gained(BEN, 8),
        lost(ANN, 8),
        seen(ben, 3, THE_CUSTOMER, "a"),
        seen(ben, 6, ann, "b"),
        seen(ben, 7, THE_CUSTOMER, "c"),
        sent(ben, "d"),
        acknowledged(ben, "d", 9),
        acknowledged(ben, "d", 9),
        seen(ben, 9, ben, "d"),
        seen(THE_CUSTOMER, 9, ben, "d"),
        lost(BEN, 10),
        owner_seen(ben, 10, None),
        released(BEN, CHAT, 9_900),
        Observation::Ended { chat: CHAT },
        history(THE_CUSTOMER, &all_messages()),
        history(ben, &all_messages()),
        Observation::Tick { at_ms: 5_000 },
    ]
}

fn found(run: &[Observation]) -> Vec<Violation> {
    let mut ledger = Ledger::default();
    run.iter()
        .cloned()
        .for_each(|observation| ledger.observe(observation));
    ledger.finish(10_000).kept().to_vec()
}

/// What is found while the run goes on.
fn found_at_once(run: &[Observation]) -> Vec<Violation> {
    let mut ledger = Ledger::default();
    run.iter()
        .cloned()
        .for_each(|observation| ledger.observe(observation));
    ledger.violations().kept().to_vec()
}

fn without(gone: &Observation) -> Vec<Observation> {
    let mut run = clean_run();
    let place = run
        .iter()
        .position(|observation| observation == gone)
        .unwrap();
    run.remove(place);
    run
}

fn with(place_of: &Observation, more: Observation) -> Vec<Observation> {
    let mut run = clean_run();
    let place = run
        .iter()
        .position(|observation| observation == place_of)
        .unwrap();
    run.insert(place + 1, more);
    run
}

fn instead(of: &Observation, other: Observation) -> Vec<Observation> {
    let mut run = clean_run();
    let place = run
        .iter()
        .position(|observation| observation == of)
        .unwrap();
    run[place] = other;
    run
}

#[test]
fn a_clean_run_is_clean() {
    let mut ledger = Ledger::default();
    clean_run()
        .into_iter()
        .for_each(|observation| ledger.observe(observation));
    assert_eq!(ledger.finish(10_000).kept(), []);
    assert_eq!(ledger.acknowledged(), 4);
    assert_eq!(ledger.idle_beside_ms().summary().unwrap().max, 100);
}

#[test]
fn a_message_that_one_side_never_saw() {
    let ben = Party::User(BEN);
    for (by, seq, from, name) in [
        (THE_CUSTOMER, 6, Party::User(ANN), "b"),
        (Party::User(ANN), 7, THE_CUSTOMER, "c"),
        (ben, 3, THE_CUSTOMER, "a"),
    ] {
        let lost = Violation::NotSeen {
            chat: CHAT,
            by,
            from,
            id: id(name),
            seq,
        };
        assert_eq!(found(&without(&seen(by, seq, from, name))), [lost]);
    }
}

#[test]
fn what_was_said_after_its_time_a_former_owner_need_not_see() {
    assert!(!clean_run().contains(&seen(Party::User(ANN), 9, Party::User(BEN), "d")));
    assert_eq!(found(&clean_run()), []);
}

#[test]
fn a_message_seen_again_or_late() {
    let c = seen(THE_CUSTOMER, 7, THE_CUSTOMER, "c");
    let again = found_at_once(&with(&c, c.clone()));
    assert_eq!(
        again,
        [Violation::SeenTwice {
            chat: CHAT,
            by: THE_CUSTOMER,
            seq: 7
        }]
    );
    let b = seen(THE_CUSTOMER, 6, Party::User(ANN), "b");
    let mut late = without(&b);
    let place = late
        .iter()
        .position(|observation| *observation == c)
        .unwrap();
    late.insert(place + 1, b);
    let after = Violation::SeenOutOfOrder {
        chat: CHAT,
        by: THE_CUSTOMER,
        seq: 6,
        after: 7,
    };
    assert_eq!(found_at_once(&late), [after]);
}

#[test]
fn one_position_with_two_messages() {
    let told = seen(Party::User(ANN), 7, THE_CUSTOMER, "c");
    let other = seen(Party::User(ANN), 7, THE_CUSTOMER, "a");
    let violations = found_at_once(&instead(&told, other));
    assert!(
        matches!(
            violations[..],
            [
                Violation::SeqTaken { seq: 7, .. } | Violation::Doubled { .. },
                ..
            ]
        ),
        "{violations:?}"
    );
    let last = seen(THE_CUSTOMER, 9, Party::User(BEN), "d");
    let changed = Message {
        text: TextMark::of("x"),
        ..message(Party::User(BEN), "d")
    };
    let changed = Observation::Seen {
        chat: CHAT,
        by: THE_CUSTOMER,
        seq: 9,
        message: changed,
    };
    let violations = found_at_once(&instead(&last, changed));
    assert!(
        matches!(violations[..], [Violation::Disagreement { seq: 9, .. }]),
        "{violations:?}"
    );
}

#[test]
fn one_message_at_two_positions() {
    let ben = Party::User(BEN);
    let doubled = Violation::Doubled {
        chat: CHAT,
        from: ben,
        id: id("d"),
        first: 9,
        second: 11,
    };
    let last = seen(THE_CUSTOMER, 9, ben, "d");
    let by_sight = with(&last, seen(THE_CUSTOMER, 11, ben, "d"));
    assert_eq!(found_at_once(&by_sight)[0], doubled);
    let by_acknowledgement = with(&last, acknowledged(ben, "d", 11));
    assert_eq!(found_at_once(&by_acknowledgement)[0], doubled);
}

#[test]
fn an_acknowledged_position_that_another_message_has() {
    let violations = found_at_once(&instead(
        &acknowledged(THE_CUSTOMER, "c", 7),
        acknowledged(THE_CUSTOMER, "c", 6),
    ));
    assert!(
        violations
            .iter()
            .any(|one| matches!(one, Violation::SeqTaken { seq: 6, .. })),
        "{violations:?}"
    );
}

#[test]
fn a_message_that_nobody_sent() {
    let violations = found_at_once(&without(&sent(Party::User(BEN), "d")));
    assert!(
        matches!(violations[..], [Violation::NeverSent { seq: 9, .. }]),
        "{violations:?}"
    );
    let altered = Message {
        text: TextMark::of("x"),
        ..message(Party::User(BEN), "d")
    };
    let sent_other = Observation::Sent { message: altered };
    let violations = found_at_once(&instead(&sent(Party::User(BEN), "d"), sent_other));
    assert!(
        matches!(violations[..], [Violation::NeverSent { seq: 9, .. }]),
        "{violations:?}"
    );
}

#[test]
fn a_senders_messages_in_another_order() {
    let run = [
        sent(THE_CUSTOMER, "a"),
        sent(THE_CUSTOMER, "b"),
        sent(THE_CUSTOMER, "c"),
        acknowledged(THE_CUSTOMER, "c", 5),
        acknowledged(THE_CUSTOMER, "a", 3),
        acknowledged(THE_CUSTOMER, "b", 6),
    ];
    let reordered = Violation::Reordered {
        chat: CHAT,
        from: THE_CUSTOMER,
        earlier: id("b"),
        earlier_seq: 6,
        later: id("c"),
        later_seq: 5,
    };
    assert_eq!(found_at_once(&run), [reordered]);
}

#[test]
fn a_later_message_before_an_earlier_one() {
    let run = [
        sent(THE_CUSTOMER, "a"),
        sent(THE_CUSTOMER, "b"),
        acknowledged(THE_CUSTOMER, "a", 9),
        acknowledged(THE_CUSTOMER, "b", 4),
    ];
    let violations = found_at_once(&run);
    assert!(
        matches!(
            violations[..],
            [Violation::Reordered {
                earlier_seq: 9,
                later_seq: 4,
                ..
            }]
        ),
        "{violations:?}"
    );
}

#[test]
fn one_position_acknowledged_for_two_messages() {
    let ann = Party::User(ANN);
    let both_sent = [
        sent(THE_CUSTOMER, "a"),
        sent(ann, "b"),
        acknowledged(ann, "b", 3),
    ];
    for second in [
        acknowledged(THE_CUSTOMER, "a", 3),
        seen(ann, 3, THE_CUSTOMER, "a"),
    ] {
        let taken = Violation::SeqTaken {
            chat: CHAT,
            from: THE_CUSTOMER,
            id: id("a"),
            seq: 3,
            other: (ann, id("b")),
        };
        assert_eq!(
            found_at_once(&[both_sent.as_slice(), &[second]].concat()),
            [taken]
        );
    }
}

#[test]
fn a_history_without_doubled_or_disordered() {
    let all = all_messages();
    let of = |messages: &[(Seq, Message)]| {
        let clean = history(THE_CUSTOMER, &all);
        found_at_once(&instead(&clean, history(THE_CUSTOMER, messages)))
    };
    let shortened = of(&all[..3]);
    assert!(
        matches!(shortened[..], [Violation::Missing { seq: 9, .. }]),
        "{shortened:?}"
    );
    let mut swapped = all.clone();
    swapped.swap(1, 2);
    let swapped = of(&swapped);
    assert!(matches!(
        swapped[..],
        [Violation::HistoryOrder {
            seq: 6,
            after: 7,
            ..
        }]
    ));
    let mut doubled = all.clone();
    doubled.push((11, all[3].1.clone()));
    let doubled = of(&doubled);
    assert!(matches!(
        doubled[..],
        [Violation::Doubled {
            first: 9,
            second: 11,
            ..
        }]
    ));
    let mut other = all.clone();
    other[2].1.text = TextMark::of("x");
    let other = of(&other);
    assert!(matches!(
        other[..],
        [Violation::Disagreement { seq: 7, .. }]
    ));
}

#[test]
fn two_owners_at_a_time() {
    let both = |first_to| Violation::TwoOwners {
        chat: CHAT,
        first: ANN,
        first_from: 5,
        first_to,
        second: BEN,
        second_from: 8,
    };
    assert_eq!(found(&without(&lost(ANN, 8)))[0], both(None));
    assert_eq!(
        found_at_once(&without(&lost(ANN, 8))),
        [],
        "the news may still come"
    );
    assert_eq!(
        found_at_once(&instead(&lost(ANN, 8), lost(ANN, 9)))[0],
        both(Some(9))
    );
    let same = found_at_once(&[gained(ANN, 5), gained(BEN, 5)]);
    assert!(
        matches!(same[..], [Violation::TwoOwners { second_from: 5, .. }]),
        "{same:?}"
    );
}

#[test]
fn owners_that_clients_were_told_differently() {
    let told = owner_seen(Party::User(ANN), 5, Some(ANN));
    let differently = found_at_once(&instead(&told, owner_seen(Party::User(ANN), 5, Some(BEN))));
    assert!(matches!(
        differently[..],
        [Violation::OwnersDisagree { seq: 5, .. }]
    ));
    let accepted = found(&instead(&gained(BEN, 8), gained(BEN, 5)));
    let wrong = Violation::NotTheOwner {
        chat: CHAT,
        operator: BEN,
        seq: 5,
        owner: Some(ANN),
    };
    assert!(accepted.contains(&wrong), "{accepted:?}");
}

#[test]
fn a_message_of_one_who_is_not_the_owner() {
    let told = owner_seen(THE_CUSTOMER, 8, Some(BEN));
    let violations = found(&without(&told));
    let wrote = Violation::WroteWithoutOwning {
        chat: CHAT,
        operator: BEN,
        seq: 9,
        owner: Some(ANN),
    };
    assert_eq!(violations, [wrote]);
}

#[test]
fn more_than_the_capacity() {
    let two = with(&held(ANN, CHAT, 9_400), held(ANN, OTHER_CHAT, 9_799));
    let above = Violation::AboveCapacity {
        operator: ANN,
        at_ms: 9_799,
        chats: vec![CHAT, OTHER_CHAT],
        capacity: 1,
    };
    assert_eq!(found(&two), [above]);
    let next = with(&held(ANN, CHAT, 9_400), held(ANN, OTHER_CHAT, 9_800));
    assert_eq!(
        found(&next),
        [],
        "the slot was free again, though the news came later"
    );
    let offered_and_owned = with(&held(ANN, CHAT, 9_400), held(ANN, CHAT, 9_500));
    assert_eq!(found(&offered_and_owned), [], "one hold");
}

#[test]
fn an_offer_that_becomes_an_assignment_is_held_from_the_offer_on() {
    let between = [
        operator(ANN, 0, &[]),
        held(ANN, CHAT, 9_400),
        held(ANN, OTHER_CHAT, 9_450),
        released(ANN, OTHER_CHAT, 9_480),
        held(ANN, CHAT, 9_500),
    ];
    let violations = found(&between);
    assert!(
        matches!(
            violations[..],
            [Violation::AboveCapacity { at_ms: 9_450, .. }]
        ),
        "{violations:?}"
    );
}

#[test]
fn a_slot_taken_for_no_time_is_none() {
    let passing = [
        held(ANN, CHAT, 9_600),
        released(ANN, CHAT, 9_600),
        held(ANN, OTHER_CHAT, 9_600),
    ];
    assert_eq!(
        found(&[&[operator(ANN, 0, &[])], passing.as_slice()].concat()),
        []
    );
}

#[test]
fn a_chat_that_never_ended() {
    let stuck = found(&without(&Observation::Ended { chat: CHAT }));
    assert_eq!(stuck, [Violation::Stuck { chat: CHAT }]);
}

/// ANN of [`QUEUE`] is free from 0, [`CHAT`] waits there from 1,000 on.
fn beside(more: &[Observation]) -> Vec<Violation> {
    let mut run = vec![
        operator(ANN, 0, &[QUEUE]),
        free_began(ANN, 0),
        wait_began(1_000),
    ];
    run.extend_from_slice(more);
    found_at_once(&run)
}

fn told(violations: &[Violation]) -> Vec<(u64, u64)> {
    let of = |violation: &Violation| match violation {
        Violation::IdleBesideWaiting {
            from_ms, for_ms, ..
        } => (*from_ms, *for_ms),
        other => panic!("{other}"),
    };
    violations.iter().map(of).collect()
}

#[test]
fn a_wait_beside_a_free_operator() {
    let limit = 1_000 + IDLE_BESIDE_MAX_MS;
    assert_eq!(beside(&[wait_over(limit)]), []);
    assert_eq!(told(&beside(&[wait_over(limit + 1)])), [(1_000, 501)]);
    assert_eq!(told(&beside(&[free_over(ANN, 1_800)])), [(1_000, 800)]);
    let tick = |at_ms| Observation::Tick { at_ms };
    assert_eq!(
        told(&beside(&[tick(1_600), tick(1_900), wait_over(2_000)])),
        [(1_000, 600)]
    );
}

#[test]
fn an_excuse_that_comes_too_late() {
    assert_eq!(told(&beside(&[excluded(1_700, None)])), [(1_000, 700)]);
    let down = Observation::Down { at_ms: 1_700 };
    assert_eq!(told(&beside(&[down])), [(1_000, 700)]);
    assert_eq!(told(&beside(&[operator(ANN, 1_700, &[])])), [(1_000, 700)]);
}

#[test]
fn each_stretch_is_told() {
    let twice = [
        free_over(ANN, 1_600),
        free_began(ANN, 2_000),
        free_over(ANN, 2_700),
    ];
    assert_eq!(told(&beside(&twice)), [(1_000, 600), (2_000, 700)]);
}

#[test]
fn what_excuses_a_wait() {
    let tick = Observation::Tick { at_ms: 1_900 };
    let excused = |observation| beside(&[observation, tick.clone()]);
    assert_eq!(excused(free_over(ANN, 1_450)), [], "not free");
    assert_eq!(
        excused(operator(ANN, 1_450, &[OTHER_QUEUE])),
        [],
        "no member"
    );
    assert_eq!(excused(excluded(1_450, None)), [], "declined");
    assert_eq!(
        excused(excluded(1_450, Some(1_400 + IDLE_BESIDE_MAX_MS))),
        [],
        "cooling down"
    );
    assert_eq!(
        excused(Observation::Down { at_ms: 1_450 }),
        [],
        "the server is down"
    );
    let not_for_long = excluded(1_100, Some(1_200));
    assert_eq!(told(&excused(not_for_long)), [(1_200, 700)]);
}

#[test]
fn excuses_end() {
    let tick = |at_ms| Observation::Tick { at_ms };
    let up = [
        Observation::Down { at_ms: 1_100 },
        Observation::Up { at_ms: 5_000 },
    ];
    let after = |at_ms| beside(&[up.as_slice(), &[tick(at_ms)]].concat());
    assert_eq!(after(5_500), []);
    assert_eq!(told(&after(5_501)), [(5_000, 501)]);
    let joined = |at_ms| {
        let [left, back] = [&[OTHER_QUEUE], &[QUEUE]];
        beside(&[
            operator(ANN, 1_100, left),
            operator(ANN, 3_000, back),
            tick(at_ms),
        ])
    };
    assert_eq!(joined(3_500), []);
    assert_eq!(told(&joined(3_501)), [(3_000, 501)]);
}

#[test]
fn the_longest_stretch_beside_one_operator_counts_for_each_wait() {
    let mut ledger = Ledger::default();
    for observation in [
        operator(ANN, 0, &[QUEUE]),
        operator(BEN, 0, &[QUEUE]),
        wait_began(0),
        free_began(ANN, 100),
        free_over(ANN, 400),
        free_began(BEN, 400),
        free_over(BEN, 600),
        wait_over(900),
        wait_began(2_000),
        wait_over(3_000),
    ] {
        ledger.observe(observation);
    }
    let summary = ledger.idle_beside_ms().summary().unwrap();
    assert_eq!((summary.count, summary.max, summary.p50), (2, 300, 0));
    assert_eq!(ledger.violations().count(), 0);
}

#[test]
fn violations_are_bounded_and_counted() {
    let mut ledger = Ledger::default();
    let again = seen(THE_CUSTOMER, 3, THE_CUSTOMER, "a");
    ledger.observe(sent(THE_CUSTOMER, "a"));
    for _ in 0..VIOLATIONS_MAX + 6 {
        ledger.observe(again.clone());
    }
    assert_eq!(ledger.violations().kept().len(), VIOLATIONS_MAX);
    assert_eq!(ledger.violations().count(), VIOLATIONS_MAX as u64 + 5);
}

#[test]
fn a_violation_reads_as_a_sentence() {
    let lost = Violation::NotSeen {
        chat: CHAT,
        by: Party::User(ANN),
        from: THE_CUSTOMER,
        id: id("a"),
        seq: 3,
    };
    assert_eq!(
        lost.to_string(),
        "chat 00000000-0000-0000-0000-000000000001: User(UserId#4) never saw a of \
         Customer(CustomerId#3), acknowledged at 3"
    );
}
