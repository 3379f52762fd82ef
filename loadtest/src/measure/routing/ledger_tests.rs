//! Observations of routers that do what they should not.

use super::beside::BESIDE_MAX_US;
use super::*;
use crate::measure::routing::operator::AWAY_US;

const CAPACITY: usize = 2;
const COOL_DOWN_US: u64 = 30_000_000;

/// Between two looks, µs.
const STEP_US: u64 = 100_000;

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

/// Operator 0 serves the queues 0 and 1, operator 1 serves 1 alone.
fn rules() -> Rules {
    let serves = vec![BTreeSet::from([0, 1]), BTreeSet::from([1])];
    Rules {
        capacity: CAPACITY,
        serves,
        cool_down_us: COOL_DOWN_US,
        are_asked: true,
        chats_max: CHATS_MAX,
    }
}

fn ledger() -> Ledger {
    let mut ledger = Ledger::new(rules());
    (0..2).for_each(|operator| ledger.status(operator, true, 0));
    ledger
}

/// A chat that was opened in queue 1 and is offered to an operator: the offer has the chat's number.
fn offered(ledger: &mut Ledger, operator: usize, chat: u128, at_us: u64) {
    if ledger.chats.get(&id(chat)).is_none_or(|known| known.opened.is_none()) {
        ledger.opened(id(chat), 1, (at_us, at_us));
    }
    ledger.presented(operator, (id(chat), id(chat)), Some(1), at_us);
    ledger.accepting(operator, id(chat));
}

fn found(mut ledger: Ledger) -> Vec<String> {
    ledger.finish(&BTreeSet::new()).violations().to_vec()
}

fn is_found(ledger: Ledger, words: &str) {
    let found = found(ledger);
    assert!(found.len() == 1 && found[0].contains(words), "{words}: {found:?}");
}

#[test]
fn a_chat_that_goes_its_way_is_as_it_should_be() {
    let mut ledger = ledger();
    assert_eq!(ledger.opened(id(1), 1, (10, 10)), None);
    assert_eq!((ledger.waiting(), ledger.unsettled()), (1, 1));
    let wait = ledger.presented(0, (id(1), id(1)), Some(1), 15);
    assert_eq!(wait, Some(Wait { due_us: 10, us: 5, since_due_us: 5, was_room: true }));
    assert_eq!(ledger.presented(1, (id(1), id(1)), Some(1), 16), None, "it was offered before");
    assert_eq!(ledger.waiting(), 0);
    ledger.accepting(0, id(1));
    ledger.accepting(1, id(1));
    ledger.accepted(0, id(1), id(1));
    ledger.withdrawn(0, id(1));
    ledger.withdrawn(1, id(1));
    ledger.missed(1, id(1));
    ledger.ending(0, id(1));
    assert_eq!((ledger.has_room(0), ledger.unsettled()), (true, 1));
    ledger.ended(0, id(1));
    assert_eq!((ledger.waiting(), ledger.unsettled()), (0, 0));
    assert!(ledger.operators.iter().all(|who| who.offers.is_empty()));
    assert_eq!(found(ledger), Vec::<String>::new());
}

#[test]
fn news_of_two_sockets_may_come_in_any_order() {
    let mut ledger = ledger();
    assert_eq!(ledger.presented(0, (id(1), id(1)), Some(1), 7), None);
    let wait = ledger.opened(id(1), 1, (3, 9));
    assert_eq!(wait, Some(Wait { due_us: 3, us: 0, since_due_us: 4, was_room: true }));
    ledger.accepting(0, id(1));
    (0..2).for_each(|_| ledger.withdrawn(0, id(1)));
    ledger.accepted(0, id(1), id(1));
    assert_eq!(found(ledger), Vec::<String>::new());
}

#[test]
fn two_owners_are_seen_at_a_time_and_one_after_the_other() {
    for is_over in [false, true] {
        let mut ledger = ledger();
        offered(&mut ledger, 0, 1, 10);
        offered(&mut ledger, 1, 1, 10);
        ledger.accepted(0, id(1), id(1));
        if is_over {
            ledger.ending(0, id(1));
            ledger.ended(0, id(1));
        }
        ledger.accepted(1, id(1), id(1));
        is_found(ledger, "was given to operator 1 and to operator 0");
    }
}

#[test]
fn more_chats_than_fit_are_seen_and_a_sent_end_makes_room() {
    let mut ledger = ledger();
    for chat in 1..=3 {
        offered(&mut ledger, 0, chat, 10);
    }
    ledger.accepted(0, id(1), id(1));
    ledger.accepted(0, id(2), id(2));
    assert!(!ledger.has_room(0));
    ledger.ending(0, id(2));
    ledger.accepted(0, id(3), id(3));
    let is_full = ledger;
    let mut above = ledger_of(is_full, 4);
    above.accepted(0, id(4), id(4));
    is_found(above, "operator 0 owns 3 chats, and its capacity is 2");
}

/// The same ledger, with one more offer to operator 0; nothing is wrong by now.
fn ledger_of(mut ledger: Ledger, chat: u128) -> Ledger {
    assert_eq!(ledger.found.violations(), Vec::<String>::new());
    offered(&mut ledger, 0, chat, 20);
    ledger
}

#[test]
fn an_offer_to_the_wrong_one_is_seen() {
    let mut of_another = ledger();
    of_another.opened(id(1), 0, (10, 10));
    of_another.presented(1, (id(1), id(1)), Some(0), 11);
    is_found(of_another, "offered to operator 1, who does not serve its queue");

    let mut of_no_queue = ledger();
    of_no_queue.opened(id(1), 0, (10, 10));
    of_no_queue.presented(0, (id(1), id(1)), None, 11);
    is_found(of_no_queue, "offered to operator 0, who does not serve its queue");

    let mut of_the_wrong_queue = ledger();
    of_the_wrong_queue.opened(id(1), 0, (10, 10));
    of_the_wrong_queue.presented(0, (id(1), id(1)), Some(1), 11);
    is_found(of_the_wrong_queue, "by a queue that it is not in");
}

#[test]
fn an_offer_to_somebody_who_is_away_is_seen_unless_it_was_under_way() {
    // The last moment is the one before the operator says that it is back.
    let moments = [(LATE_OFFER_MAX_US, false), (LATE_OFFER_MAX_US + 1, true), (AWAY_US - 1, true)];
    for (late_us, is_wrong) in moments {
        let mut ledger = ledger();
        ledger.opened(id(1), 1, (10, 10));
        ledger.changes(0);
        ledger.status(0, false, 20);
        ledger.presented(0, (id(1), id(1)), Some(1), 20 + late_us);
        assert_eq!(!found(ledger).is_empty(), is_wrong, "{late_us} µs after it is away");
    }
    let mut is_asked = Ledger::new(rules());
    is_asked.opened(id(1), 1, (10, 10));
    is_asked.changes(0);
    is_asked.presented(0, (id(1), id(1)), Some(1), 11);
    assert_eq!(found(is_asked), Vec::<String>::new(), "it says that it is ready");

    let mut never_ready = Ledger::new(rules());
    never_ready.opened(id(1), 1, (10, 10));
    never_ready.presented(0, (id(1), id(1)), Some(1), 11);
    is_found(never_ready, "offered to operator 0, who is away");
}

#[test]
fn a_chat_without_an_offer_to_its_owner_is_seen() {
    let mut ledger = ledger();
    ledger.opened(id(1), 1, (10, 10));
    ledger.accepted(0, id(9), id(1));
    is_found(ledger, "which was not offered to it");
}

#[test]
fn a_chat_is_opened_once_and_given_to_nobody_after_its_end() {
    for queue in [0, 1] {
        let mut twice = ledger();
        twice.opened(id(1), 1, (10, 10));
        twice.presented(0, (id(1), id(1)), Some(1), 10);
        twice.opened(id(1), queue, (10, 10));
        is_found(twice, "was opened twice, or in another queue");
    }
    let mut after_its_end = ledger();
    offered(&mut after_its_end, 0, 1, 10);
    after_its_end.ended(1, id(1));
    after_its_end.accepted(0, id(1), id(1));
    is_found(after_its_end, "was given away after its end");
}

#[test]
fn a_chat_that_nobody_is_offered_has_to_be_in_line() {
    let opened = || {
        let mut ledger = ledger();
        ledger.opened(id(1), 1, (10, 10));
        ledger
    };
    is_found(opened(), "offered to nobody, and is not in line");
    assert_eq!(opened().finish(&BTreeSet::from([id(1)])).violations(), Vec::<String>::new());
}

#[test]
fn an_offer_that_is_gone_has_to_be_withdrawn() {
    let mut ledger = ledger();
    offered(&mut ledger, 0, 1, 10);
    ledger.missed(0, id(1));
    is_found(ledger, "it was never withdrawn");
}

#[test]
fn a_chat_beside_somebody_free_is_seen_when_it_lasts() {
    let waits = || {
        let mut ledger = ledger();
        ledger.opened(id(1), 0, (10, 10));
        ledger.look(100);
        ledger
    };
    let line = BTreeSet::from([id(1)]);
    let after = |mut ledger: Ledger, us: u64| {
        ledger.look(100 + us);
        ledger.look(101 + us);
        ledger.finish(&line).violations().to_vec()
    };
    assert_eq!(after(waits(), BESIDE_MAX_US - 1), Vec::<String>::new());
    let told = after(waits(), BESIDE_MAX_US + 1);
    assert!(told.len() == 1 && told[0].contains("waits beside operator 0"), "{told:?}");

    let mut away = waits();
    away.changes(0);
    assert_eq!(after(away, BESIDE_MAX_US * 2), Vec::<String>::new());
    let mut declined = waits();
    declined.presented(0, (id(1), id(1)), Some(0), 200);
    declined.declined(0, id(1), 200);
    assert_eq!(after(declined, BESIDE_MAX_US * 2), Vec::<String>::new());
    let mut full = waits();
    (2..=3).for_each(|chat| offered(&mut full, 0, chat, 50));
    assert_eq!(after(full, BESIDE_MAX_US * 2), Vec::<String>::new());
}

#[test]
fn there_is_room_for_a_chat_when_people_have_more_places_than_are_waited_for_in_front_of_it() {
    let was_room = |ledger: &mut Ledger, chat: u128, queue: usize| {
        ledger.opened(id(chat), queue, (10, 10));
        ledger.chats[&id(chat)].opened.unwrap().was_room
    };
    // Queue 0 is operator 0's alone, who serves queue 1, too.
    let mut ledger = ledger();
    assert_eq!([1, 2, 3].map(|chat| was_room(&mut ledger, chat, 0)), [true, true, false]);
    assert_eq!([4, 5].map(|chat| was_room(&mut ledger, chat, 1)), [true, false]);
    // One who ends a chat has its place again when that is through.
    ledger.presented(0, (id(1), id(1)), Some(0), 20);
    ledger.accepting(0, id(1));
    ledger.accepted(0, id(1), id(1));
    ledger.presented(0, (id(2), id(2)), Some(0), 20);
    (3..=5).for_each(|chat| ledger.ended(1, id(chat)));
    assert!(!was_room(&mut ledger, 6, 0));
    ledger.ended(1, id(6));
    ledger.ending(0, id(1));
    assert!(!was_room(&mut ledger, 7, 0));
    ledger.ended(1, id(7));
    ledger.ended(0, id(1));
    assert!(was_room(&mut ledger, 8, 0));
    assert!(!was_room(&mut ledger, 10, 0), "the one place is the chat's before it");
    ledger.ended(1, id(10));
    // Who is away has no room, and who is never asked is not waited for.
    ledger.ended(1, id(8));
    ledger.changes(0);
    assert!(!was_room(&mut ledger, 9, 0));
    let mut unasked = Ledger::new(Rules { are_asked: false, ..rules() });
    unasked.status(0, true, 0);
    assert!(!was_room(&mut unasked, 1, 0));
}

#[test]
fn a_free_place_is_timed_only_while_somebody_waits_who_may_be_given_to_it() {
    // Operator 1 does not serve queue 0.
    let mut of_another = ledger();
    of_another.opened(id(1), 0, (10, 10));
    (0..2).for_each(|operator| of_another.freed(operator, 20));
    assert_eq!([0, 1].map(|operator| of_another.filled(operator)), [Some(20), None]);

    // Two are free, and one waits.
    let mut of_two = ledger();
    of_two.opened(id(1), 1, (10, 10));
    (0..2).for_each(|operator| of_two.freed(operator, 20));
    assert_eq!(of_two.filled(0), Some(20));
    of_two.presented(0, (id(1), id(1)), Some(1), 30);
    of_two.opened(id(2), 1, (40, 40));
    assert_eq!(of_two.filled(1), None, "nobody waited since 30");

    // Whom it has declined it is not given.
    let mut declined = ledger();
    declined.opened(id(1), 0, (10, 10));
    declined.presented(0, (id(1), id(1)), Some(0), 20);
    declined.declined(0, id(1), 20);
    declined.freed(0, 30);
    assert_eq!(declined.filled(0), None);
    declined.opened(id(2), 0, (40, 40));
    declined.freed(0, 50);
    declined.ended(1, id(2));
    assert_eq!(declined.filled(0), None, "the one who is left was declined");

    // Nor is a place free that was so before its operator was away.
    let mut away = ledger();
    away.opened(id(1), 0, (10, 10));
    away.freed(0, 20);
    away.changes(0);
    away.status(0, true, 30);
    assert_eq!(away.filled(0), None);
}

#[test]
fn who_is_given_one_chat_after_the_other_stands_beside_a_line_that_is_never_empty() {
    let beside = |is_busy: bool| {
        let mut ledger = ledger();
        ledger.opened(id(1_000), 0, (0, 0));
        for step in 0..(BESIDE_MAX_US / STEP_US * 2) {
            let (chat, now_us) = (id(u128::from(step)), step * STEP_US);
            if is_busy {
                ledger.opened(chat, 0, (now_us, now_us));
                ledger.presented(0, (chat, chat), Some(0), now_us);
                ledger.accepting(0, chat);
                ledger.accepted(0, chat, chat);
                ledger.ending(0, chat);
                ledger.ended(0, chat);
            }
            ledger.look(now_us);
        }
        ledger.finish(&BTreeSet::from([id(1_000)])).violations().to_vec()
    };
    assert_eq!(beside(true), Vec::<String>::new());
    let told = beside(false);
    assert!(told.len() == 1 && told[0].contains("waits beside operator 0"), "{told:?}");
}

#[test]
fn who_declined_may_be_asked_again_after_the_cool_down() {
    let mut ledger = ledger();
    ledger.opened(id(1), 0, (10, 10));
    ledger.presented(0, (id(1), id(1)), Some(0), 20);
    ledger.declined(0, id(1), 20);
    ledger.look(20 + COOL_DOWN_US);
    ledger.look(21 + COOL_DOWN_US + BESIDE_MAX_US);
    is_found(ledger, "waits beside operator 0");
}

#[test]
fn who_comes_back_finds_its_chats_and_not_what_was_taken_off_its_screen_meanwhile() {
    let back = |stand: &[u128], chats: &[u128]| {
        let mut ledger = ledger();
        offered(&mut ledger, 0, 1, 10);
        ledger.accepted(0, id(1), id(1));
        ledger.opened(id(2), 1, (10, 10));
        ledger.presented(0, (id(2), id(2)), Some(1), 10);
        ledger.changes(0);
        let of = |ids: &[u128]| ids.iter().map(|chat| id(*chat)).collect();
        ledger.came_back(0, &of(stand), &of(chats));
        let waiting = ledger.waiting();
        (waiting, ledger.finish(&BTreeSet::from([id(2)])).violations().to_vec())
    };
    assert_eq!(back(&[2], &[1]), (0, Vec::new()));
    assert_eq!(back(&[], &[1]), (1, Vec::new()));
    let (_, told) = back(&[2], &[]);
    assert!(told.len() == 1 && told[0].contains("was not told of its chat"), "{told:?}");
}
