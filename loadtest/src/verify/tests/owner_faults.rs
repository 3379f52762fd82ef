//! Two owners, and more than fits.

use super::*;

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
    assert_eq!(found_at_once(&without(&lost(ANN, 8))), [], "the news may still come");
    assert_eq!(found_at_once(&instead(&lost(ANN, 8), lost(ANN, 9)))[0], both(Some(9)));
    let same = found_at_once(&[gained(ANN, 5), gained(BEN, 5)]);
    assert!(matches!(same[..], [Violation::TwoOwners { second_from: 5, .. }]), "{same:?}");
}

#[test]
fn owners_that_clients_were_told_differently() {
    let told = owner_seen(Party::User(ANN), 5, Some(ANN));
    let differently = found_at_once(&instead(&told, owner_seen(Party::User(ANN), 5, Some(BEN))));
    assert!(matches!(differently[..], [Violation::OwnersDisagree { seq: 5, .. }]));
    let accepted = found(&instead(&gained(BEN, 8), gained(BEN, 5)));
    let wrong = Violation::NotTheOwner { chat: CHAT, operator: BEN, seq: 5, owner: Some(ANN) };
    assert!(accepted.contains(&wrong), "{accepted:?}");
}

#[test]
fn a_message_of_one_who_is_not_the_owner() {
    let told = owner_seen(THE_CUSTOMER, 8, Some(BEN));
    let violations = found(&without(&told));
    let wrote =
        Violation::WroteWithoutOwning { chat: CHAT, operator: BEN, seq: 9, owner: Some(ANN) };
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
    assert_eq!(found(&next), [], "the slot was free again, though the news came later");
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
        matches!(violations[..], [Violation::AboveCapacity { at_ms: 9_450, .. }]),
        "{violations:?}"
    );
}

#[test]
fn a_slot_taken_for_no_time_is_none() {
    let passing =
        [held(ANN, CHAT, 9_600), released(ANN, CHAT, 9_600), held(ANN, OTHER_CHAT, 9_600)];
    assert_eq!(found(&[&[operator(ANN, 0, &[])], passing.as_slice()].concat()), []);
}
