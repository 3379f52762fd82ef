//! One visitor's chats, one after the other, before operators for whom others wait.

use super::*;
use crate::domain::limits::VISITOR_OFFER_EVERY_MS;
use crate::domain::{Customer, CustomerId};

const VERA: Customer = Customer { id: CustomerId::from_u128(0x7e), ..CUSTOMER };
const WILL: Customer = Customer { id: CustomerId::from_u128(0x71), ..CUSTOMER };

fn of(customer: Customer, at: ChatAt) -> ChatAt {
    ChatAt { customer: Some(customer), ..at }
}

fn roomy(operator: UserId, version: u64) -> ToQueue {
    ToQueue::State(OperatorState { free: 3, ..state(operator, version, Standing::Free) })
}

/// A queue whose members have room, and before whom a chat of Vera's was, which has ended; Will's is
/// on Ann's screen.
fn shown(rule: Rule, members: &[UserId]) -> Queue {
    let mut queue = queue(rule, &[]);
    step(&mut queue, QueueInput::Configure(config(rule, &[ANN])));
    step(&mut queue, said(roomy(ANN, 1)));
    let reach = if rule == Rule::ToAll { Reach::ToAll } else { Reach::Directed };
    for (n, customer) in [(1, VERA), (2, WILL)] {
        let (chat, offer) = (ChatId::from_u128(n), OfferId::from_u128(n));
        let live = ChatAt { moved_at: now(), ..live(chat, offer, reach, &[ANN]) };
        arrive(&mut queue, of(customer, live));
    }
    let ended = Place::Ended { outcome: domain::Outcome::Missed, by: domain::Party::System };
    arrive(&mut queue, of(VERA, at(ChatId::from_u128(1), 3, ended)));
    step(&mut queue, QueueInput::Configure(config(rule, members)));
    for member in members {
        step(&mut queue, said(roomy(*member, 2)));
    }
    queue
}

/// What is kept of a visitor with many chats, before many operators, is what was shown: not each of the
/// chats with each of the operators.
#[test]
fn what_is_kept_of_who_was_shown_what_does_not_grow_with_the_chats_that_wait() {
    let members: Vec<UserId> = (0..50).map(|n| UserId::from_u128(0xa00 + n)).collect();
    let mut queue = queue(Rule::ToAll, &[]);
    step(&mut queue, QueueInput::Configure(config(Rule::ToAll, &members)));
    for member in &members {
        step(&mut queue, said(roomy(*member, 1)));
    }
    arrive(&mut queue, of(WILL, live(ChatId::from_u128(2), OFFER, Reach::ToAll, &members)));
    let shown = live(ChatId::from_u128(1), OfferId::from_u128(1), Reach::ToAll, &members);
    arrive(&mut queue, of(VERA, ChatAt { moved_at: now(), ..shown }));
    for n in 0..40 {
        arrive(&mut queue, of(VERA, waits(0x100 + n, 1_000)));
    }
    assert_eq!(queue.line().waiting().count(), 40, "all have been shown another");
    assert!(queue.excluded.is_empty(), "nobody has refused any");
    assert_eq!(queue.shown.of(VERA).map(|of| of.len()), Some(members.len()));
}

/// A queue that has nothing to do would keep it for ever.
#[test]
fn what_was_shown_is_forgotten_though_nothing_happens() {
    let mut queue = shown(Rule::LeastLoaded, &[ANN]);
    let owned = Place::Assigned { owner: ANN, begun: false };
    arrive(&mut queue, of(WILL, at(ChatId::from_u128(2), 3, owned)));
    let mut wakes = 0;
    while let Some(at) = queue.next_deadline() {
        step_at(&mut queue, at, QueueInput::Tick);
        wakes += 1;
        assert!(wakes < 20, "it has nothing else to do");
    }
    assert_eq!((queue.shown.of(VERA), queue.shown.of(WILL)), (None, None));
}

fn until() -> Timestamp {
    now().plus_ms(VISITOR_OFFER_EVERY_MS)
}

#[test]
fn while_others_wait_an_operator_is_not_asked_for_the_next_chat_of_the_same_visitor() {
    let mut queue = shown(Rule::LeastLoaded, &[ANN]);
    assert!(reservations(&arrive(&mut queue, of(VERA, waits(0xc1, 1_000)))).is_empty());
    assert_eq!(why(&queue, CHAT), WhyWaits::ShownLately { until: until() });
    let explained = queue.explain(CHAT, now()).unwrap();
    let standing = (Standing::ShownLately, Some(until()));
    assert_eq!((explained.candidates[0].standing, explained.candidates[0].until), standing);
    // Somebody else's is not held up by it, though its rank is larger.
    let others = arrive(&mut queue, of(CUSTOMER, waits(0xc2, 50_000)));
    let [(ANN, _, other)] = reservations(&others)[..] else { panic!("{others:?}") };
    assert_eq!(other, ChatId::from_u128(0xc2));
    // Time alone brings it forward.
    assert!(queue.next_deadline() <= Some(until()));
    let early = step_at(&mut queue, Timestamp(until().0 - 1), QueueInput::Tick);
    assert!(reservations(&early).iter().all(|(_, _, chat)| *chat != CHAT));
    assert!(queue.next_deadline() <= Some(until()));
    let due = step_at(&mut queue, until(), said(roomy(ANN, 3)));
    assert!(reservations(&due).iter().any(|(_, _, chat)| *chat == CHAT), "{due:?}");
}

#[test]
fn a_timer_alone_brings_the_next_chat_of_a_visitor_forward() {
    let mut queue = shown(Rule::LeastLoaded, &[ANN]);
    arrive(&mut queue, of(VERA, waits(0xc1, 1_000)));
    let mut at = now();
    while reservations(&step_at(&mut queue, at, QueueInput::Tick)).is_empty() {
        at = queue.next_deadline().expect("it waits with a cause");
        assert!(at <= until(), "at {at}");
    }
    assert_eq!(at, until());
}

#[test]
fn when_nobody_else_waits_the_next_chat_of_a_visitor_is_offered_at_once() {
    let gone = |queue: &mut Queue| {
        let owned = Place::Assigned { owner: ANN, begun: false };
        arrive(queue, of(WILL, at(ChatId::from_u128(2), 3, owned)))
    };
    let mut queue = shown(Rule::LeastLoaded, &[ANN]);
    gone(&mut queue);
    let effects = arrive(&mut queue, of(VERA, waits(0xc1, 1_000)));
    let [(ANN, _, CHAT)] = reservations(&effects)[..] else { panic!("{effects:?}") };
    // Also as soon as that is so.
    let mut queue = shown(Rule::LeastLoaded, &[ANN]);
    arrive(&mut queue, of(VERA, waits(0xc1, 1_000)));
    let effects = gone(&mut queue);
    let [(ANN, _, CHAT)] = reservations(&effects)[..] else { panic!("{effects:?}") };
}

#[test]
fn whoever_was_not_shown_the_visitors_last_chat_gets_the_next_one() {
    let mut queue = shown(Rule::LeastLoaded, &[ANN, BOB]);
    let effects = arrive(&mut queue, of(VERA, waits(0xc1, 1_000)));
    let [(BOB, _, CHAT)] = reservations(&effects)[..] else { panic!("{effects:?}") };
    // The same id by another channel is somebody else.
    let mut queue = shown(Rule::LeastLoaded, &[ANN]);
    let foreign = Customer { channel: domain::ChannelId::from_u128(0xff), ..VERA };
    let effects = arrive(&mut queue, of(foreign, waits(0xc1, 1_000)));
    let [(ANN, _, CHAT)] = reservations(&effects)[..] else { panic!("{effects:?}") };
}

#[test]
fn a_slot_that_comes_free_is_not_given_to_it_either() {
    let mut queue = shown(Rule::LeastLoaded, &[ANN]);
    arrive(&mut queue, of(VERA, waits(0xc1, 1_000)));
    let full = state(ANN, 3, Standing::Full);
    step(&mut queue, said(ToQueue::State(full)));
    arrive(&mut queue, of(CUSTOMER, waits(0xc2, 50_000)));
    let pull = |version, pull| {
        let state = state(ANN, version, Standing::Choosing);
        said(ToQueue::Pull { pull, except: Vec::new(), state })
    };
    let quoted = |effects: &[QueueEffect]| {
        effects.iter().find_map(|effect| match effect {
            QueueEffect::ToOperator(ANN, ToOperator::Best { best, .. }) => {
                best.map(|best| best.chat)
            }
            QueueEffect::ToOperator(..) | QueueEffect::ToChat(..) => None,
        })
    };
    let effects = step(&mut queue, pull(4, 1));
    assert_eq!(quoted(&effects), Some(ChatId::from_u128(0xc2)));
    let effects = step_at(&mut queue, until(), pull(5, 2));
    assert_eq!(quoted(&effects), Some(CHAT));
}

#[test]
fn an_offer_to_all_reaches_the_others_first() {
    let mut queue = shown(Rule::ToAll, &[ANN, BOB]);
    let effects = arrive(&mut queue, of(VERA, waits(0xc1, 1_000)));
    let (offer, _, to) = offers(&effects).remove(&CHAT).unwrap();
    assert_eq!(to, [BOB]);
    let live = ChatAt { moved_at: now(), ..live(CHAT, offer, Reach::ToAll, &[BOB]) };
    let effects = arrive(&mut queue, of(VERA, live));
    assert!(widened(&effects).is_empty());
    assert!(queue.next_deadline() <= Some(until()));
    let effects = step_at(&mut queue, until(), QueueInput::Tick);
    assert_eq!(widened(&effects), [ANN]);
}

#[test]
fn one_chat_may_be_offered_again_and_again() {
    let mut queue = shown(Rule::LeastLoaded, &[ANN]);
    let again = of(WILL, at(ChatId::from_u128(2), 3, Place::Waiting));
    let effects = arrive(&mut queue, again);
    assert_eq!(reservations(&effects).len(), 1, "{effects:?}");
}

/// Asked of a chat of Vera's that then is elsewhere: directed to Ann, or to all.
fn asked_in_vain(rule: Rule, came_true: bool) -> (Queue, Vec<QueueEffect>) {
    let mut queue = queue(rule, &[]);
    step(&mut queue, QueueInput::Configure(config(rule, &[ANN])));
    step(&mut queue, said(roomy(ANN, 1)));
    let reach = if rule == Rule::ToAll { Reach::ToAll } else { Reach::Directed };
    // Somebody else's waits all the time, and is on the screen of nobody here.
    let other = ChatAt {
        moved_at: now(),
        ..live(ChatId::from_u128(2), OfferId::from_u128(2), reach, &[BOB])
    };
    arrive(&mut queue, of(WILL, other));
    let mut effects = arrive(&mut queue, of(VERA, waits(0xc1, 1_000)));
    if let [(ANN, offer, chat)] = reservations(&effects)[..] {
        let (state, result) = (OperatorState { free: 2, ..state(ANN, 2, Standing::Free) }, Ok(()));
        effects = step(&mut queue, said(ToQueue::ReserveAnswer { offer, chat, result, state }));
    }
    let (offer, _, to) = offers(&effects).remove(&CHAT).unwrap();
    assert_eq!(to, [ANN]);
    if came_true {
        let live = ChatAt { moved_at: now(), ..live(CHAT, offer, reach, &[ANN]) };
        arrive(&mut queue, of(VERA, live));
    }
    let ended = Place::Ended { outcome: domain::Outcome::Missed, by: domain::Party::System };
    let placement = if came_true { 3 } else { 2 };
    arrive(&mut queue, of(VERA, at(CHAT, placement, ended)));
    step(&mut queue, said(roomy(ANN, 3)));
    let effects = arrive(&mut queue, of(VERA, waits(0xc9, 1_000)));
    (queue, effects)
}

#[test]
fn an_offer_that_never_came_true_was_shown_to_nobody() {
    let next = ChatId::from_u128(0xc9);
    for rule in [Rule::LeastLoaded, Rule::ToAll] {
        let (queue, effects) = asked_in_vain(rule, true);
        assert_eq!(why(&queue, next), WhyWaits::ShownLately { until: until() }, "{rule:?}");
        assert!(reservations(&effects).is_empty() && !offers(&effects).contains_key(&next));
        let (queue, effects) = asked_in_vain(rule, false);
        let asked = reservations(&effects).iter().any(|(_, _, chat)| *chat == next);
        assert!(asked || offers(&effects).contains_key(&next), "{rule:?}: {effects:?}");
        let explained = queue.explain(next, now()).unwrap();
        assert_ne!(explained.candidates[0].standing, Standing::ShownLately, "{rule:?}");
    }
}

#[test]
fn chats_of_others_whom_nobody_may_be_asked_for_any_more_hold_up_none() {
    let mut queue = shown(Rule::LeastLoaded, &[ANN]);
    let spent = ChatAt { spent: true, ..at(ChatId::from_u128(2), 3, Place::Waiting) };
    arrive(&mut queue, of(WILL, spent));
    let effects = arrive(&mut queue, of(VERA, waits(0xc1, 1_000)));
    let [(ANN, _, CHAT)] = reservations(&effects)[..] else { panic!("{effects:?}") };
}

/// Vera's chat is to be offered to Ann and Bob; Ann steps away, the chat says this of itself, and Ann
/// comes back; another of Vera's comes.
fn how_ann_stands_after(then: impl Fn(OfferId) -> Vec<ChatAt>) -> Standing {
    let mut queue = queue(Rule::ToAll, &[]);
    step(&mut queue, QueueInput::Configure(config(Rule::ToAll, &[ANN, BOB])));
    let others = ChatAt { moved_at: now(), ..live(OTHER_CHAT, OFFER, Reach::ToAll, &[ANN, BOB]) };
    arrive(&mut queue, of(WILL, others));
    for member in [ANN, BOB] {
        step(&mut queue, said(roomy(member, 1)));
    }
    let effects = arrive(&mut queue, of(VERA, waits(0xc1, 1_000)));
    let offers = offers(&effects);
    step(&mut queue, said(ToQueue::State(state(ANN, 2, Standing::Away))));
    for at in then(offers[&CHAT].0) {
        arrive(&mut queue, of(VERA, at));
    }
    step(&mut queue, said(roomy(ANN, 3)));
    let next = ChatId::from_u128(0xc9);
    arrive(&mut queue, of(VERA, waits(0xc9, 1_000)));
    queue.explain(next, now()).unwrap().candidates[0].standing
}

#[test]
fn whoever_left_an_offer_that_came_true_was_shown_it_and_of_what_went_on_since_nobody_knows() {
    let ended = |placement| {
        let place = Place::Ended { outcome: domain::Outcome::Missed, by: domain::Party::System };
        at(CHAT, placement, place)
    };
    let without_her = |offer| ChatAt { moved_at: now(), ..live(CHAT, offer, Reach::ToAll, &[BOB]) };
    let came_true = how_ann_stands_after(|offer| vec![without_her(offer), ended(3)]);
    assert_eq!(came_true, Standing::ShownLately, "she has left it");
    assert_eq!(how_ann_stands_after(|_| vec![ended(2)]), Standing::Free, "it never came true");
    assert_eq!(how_ann_stands_after(|_| vec![ended(3)]), Standing::ShownLately, "it may have");
}

#[test]
fn whoever_was_shown_another_comes_into_an_offer_to_all_as_soon_as_its_time_is_over() {
    let mut queue = shown(Rule::ToAll, &[ANN, BOB]);
    let effects = arrive(&mut queue, of(VERA, waits(0xc1, 1_000)));
    let (id, reach, to) = offers(&effects).remove(&CHAT).unwrap();
    let (to, expires_at) = (Arc::new(to.into_iter().collect()), now().plus_ms(60_000));
    let offer = Offer { id, reach, to, returned: Default::default(), expires_at };
    let live = ChatAt { moved_at: now(), ..at(CHAT, 2, Place::Offered(offer)) };
    arrive(&mut queue, of(VERA, live));
    let effects = woken_at(&mut queue, until());
    assert_eq!(widened(&effects), [ANN]);
}

#[test]
fn when_one_chat_of_a_visitor_is_offered_the_others_are_looked_at_when_its_time_is_over() {
    let mut queue = queue(Rule::LeastLoaded, &[(ANN, Standing::Full)]);
    arrive(&mut queue, of(WILL, waits(0xd1, 500)));
    arrive(&mut queue, of(VERA, waits(0xc1, 1_000)));
    arrive(&mut queue, of(VERA, waits(0xc2, 2_000)));
    let live = ChatAt { moved_at: now(), ..live(CHAT, OFFER, Reach::Directed, &[ANN]) };
    arrive(&mut queue, of(VERA, live));
    woken_at(&mut queue, until());
}

#[test]
fn what_was_asked_for_in_vain_holds_up_no_other_of_the_visitor() {
    let mut queue = queue(Rule::LeastLoaded, &[(ANN, Standing::Full)]);
    let [first, third] = [1, 3].map(ChatId::from_u128);
    let shown = live(first, OFFER, Reach::Directed, &[ANN]);
    arrive(&mut queue, of(VERA, ChatAt { moved_at: now(), ..shown }));
    let later = now().plus_ms(5_000);
    let at_once = |queue: &mut Queue, what| step_at(queue, later, said(what));
    at_once(&mut queue, ToQueue::State(state(ANN, 2, Standing::Free)));
    // Nobody else waits: she is asked for the next one, and has no room for the one after it.
    let asked = at_once(&mut queue, ToQueue::At(of(VERA, waits(2, 1_000))));
    let [(ANN, offer, chat)] = reservations(&asked)[..] else { panic!("{asked:?}") };
    let (result, state) = (Ok(()), state(ANN, 3, Standing::Full));
    at_once(&mut queue, ToQueue::ReserveAnswer { offer, chat, result, state });
    at_once(&mut queue, ToQueue::At(of(VERA, waits(3, 2_000))));
    assert_eq!(queue.line().timer(third), Some(later.plus_ms(VISITOR_OFFER_EVERY_MS)));
    let ended = Place::Ended { outcome: domain::Outcome::Missed, by: domain::Party::System };
    at_once(&mut queue, ToQueue::At(of(VERA, at(chat, 2, ended))));
    assert_eq!(queue.line().timer(third), Some(until()), "as if she had not been asked");
}
