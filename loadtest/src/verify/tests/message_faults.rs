//! Messages lost, doubled, reordered, invented.

use super::*;

#[test]
fn a_message_that_one_side_never_saw() {
    let ben = Party::User(BEN);
    for (by, seq, from, name) in [
        (THE_CUSTOMER, 6, Party::User(ANN), "b"),
        (Party::User(ANN), 7, THE_CUSTOMER, "c"),
        (ben, 3, THE_CUSTOMER, "a"),
    ] {
        let lost = Violation::NotSeen { chat: CHAT, by, from, id: id(name), seq };
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
    assert_eq!(again, [Violation::SeenTwice { chat: CHAT, by: THE_CUSTOMER, seq: 7 }]);
    let b = seen(THE_CUSTOMER, 6, Party::User(ANN), "b");
    let mut late = without(&b);
    let place = late.iter().position(|observation| *observation == c).unwrap();
    late.insert(place + 1, b);
    let after = Violation::SeenOutOfOrder { chat: CHAT, by: THE_CUSTOMER, seq: 6, after: 7 };
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
            [Violation::SeqTaken { seq: 7, .. } | Violation::Doubled { .. }, ..]
        ),
        "{violations:?}"
    );
    let last = seen(THE_CUSTOMER, 9, Party::User(BEN), "d");
    let changed = Message { text: TextHash::of("x"), ..message(Party::User(BEN), "d") };
    let changed = Observation::Seen { chat: CHAT, by: THE_CUSTOMER, seq: 9, message: changed };
    let violations = found_at_once(&instead(&last, changed));
    assert!(matches!(violations[..], [Violation::Disagreement { seq: 9, .. }]), "{violations:?}");
}

#[test]
fn one_message_at_two_positions() {
    let ben = Party::User(BEN);
    let doubled = Violation::Doubled { chat: CHAT, from: ben, id: id("d"), first: 9, second: 11 };
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
        violations.iter().any(|one| matches!(one, Violation::SeqTaken { seq: 6, .. })),
        "{violations:?}"
    );
}

#[test]
fn a_message_that_nobody_sent() {
    let violations = found_at_once(&without(&sent(Party::User(BEN), "d")));
    assert!(matches!(violations[..], [Violation::NeverSent { seq: 9, .. }]), "{violations:?}");
    let altered = Message { text: TextHash::of("x"), ..message(Party::User(BEN), "d") };
    let sent_other = Observation::Sent { message: altered };
    let violations = found_at_once(&instead(&sent(Party::User(BEN), "d"), sent_other));
    assert!(matches!(violations[..], [Violation::NeverSent { seq: 9, .. }]), "{violations:?}");
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
        matches!(violations[..], [Violation::Reordered { earlier_seq: 9, later_seq: 4, .. }]),
        "{violations:?}"
    );
}

#[test]
fn one_position_acknowledged_for_two_messages() {
    let ann = Party::User(ANN);
    let both_sent = [sent(THE_CUSTOMER, "a"), sent(ann, "b"), acknowledged(ann, "b", 3)];
    for second in [acknowledged(THE_CUSTOMER, "a", 3), seen(ann, 3, THE_CUSTOMER, "a")] {
        let taken = Violation::SeqTaken {
            chat: CHAT,
            from: THE_CUSTOMER,
            id: id("a"),
            seq: 3,
            other: (ann, id("b")),
        };
        assert_eq!(found_at_once(&[both_sent.as_slice(), &[second]].concat()), [taken]);
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
    assert!(matches!(shortened[..], [Violation::Missing { seq: 9, .. }]), "{shortened:?}");
    let mut swapped = all.clone();
    swapped.swap(1, 2);
    let swapped = of(&swapped);
    assert!(matches!(swapped[..], [Violation::HistoryOrder { seq: 6, after: 7, .. }]));
    let mut doubled = all.clone();
    doubled.push((11, all[3].1.clone()));
    let doubled = of(&doubled);
    assert!(matches!(doubled[..], [Violation::Doubled { first: 9, second: 11, .. }]));
    let mut other = all.clone();
    other[2].1.text = TextHash::of("x");
    let other = of(&other);
    assert!(matches!(other[..], [Violation::Disagreement { seq: 7, .. }]));
}
