//! A limit that falls while offers are out.

use super::*;
use crate::machine::message::Asked;

fn with_queue_limit(capacity: u32, limit: u32) -> Account {
    let mut account = account(capacity);
    account.per_operator_limits = Arc::new(BTreeMap::from([(QUEUE, limit)]));
    account
}

fn accept(desk: &mut Desk, n: u128, offer: OfferId, call: u64) -> Vec<OperatorEffect> {
    let accept = OperatorCall::Accept { chat: chat(n), offer, command: command("yes") };
    desk.step(OperatorInput::Call(call, accept))
}

#[test]
fn a_capacity_that_falls_takes_back_the_newest_offers_above_it_and_no_chat() {
    let mut desk = Desk::present(3);
    desk.owns(chat(1));
    desk.later(10);
    desk.offered(chat(2), true);
    desk.later(10);
    desk.offered(chat(3), true);
    let effects = desk.step(OperatorInput::Account(account(2)));
    assert_eq!(withdrawn(&effects, chat(3)), Some(WithdrawReason::NotEligible));
    assert_eq!(withdrawn(&effects, chat(2)), None, "the older offer fits");
    let effects = desk.step(OperatorInput::Account(account(1)));
    assert_eq!(withdrawn(&effects, chat(2)), Some(WithdrawReason::NotEligible));
    assert_eq!(desk.ann.slots()[&chat(1)].held, Held::Active, "what is owned stays");
    let effects = desk.say(ToOperator::At(at(chat(2), 3, Place::Waiting)));
    assert_eq!(desk.ann.record().lapses_in_row, 0, "nobody is blamed");
    assert!(effects.iter().any(|effect| matches!(
        effect,
        OperatorEffect::Show(Notice::OfferWithdrawn {
            reason: Gone::Withdrawn(WithdrawReason::NotEligible),
            ..
        })
    )));
}

#[test]
fn a_queues_own_limit_that_falls_takes_back_its_newest_offers_and_leaves_those_of_others() {
    let mut desk = Desk::present(3);
    desk.offered(chat(1), true);
    desk.later(10);
    desk.offered(chat(2), true);
    desk.later(10);
    let of_other = Place::Offered(Offer {
        id: OfferId::of(51, 1),
        reach: Reach::Directed,
        to: Arc::new([ANN].into()),
        returned: Default::default(),
        expires_at: desk.now.plus_ms(TIMEOUT_MS),
    });
    let (offer, expires_at) = (OfferId::of(51, 1), desk.now.plus_ms(TIMEOUT_MS));
    let mut both = account(3);
    both.queues.insert(OTHER_QUEUE, both.queues[&QUEUE]);
    desk.step(OperatorInput::Account(both.clone()));
    let (queue, rank) = (OTHER_QUEUE, 0);
    desk.say(ToOperator::Reserve {
        queue,
        offer,
        chat: chat(3),
        rank,
        weight: Default::default(),
        expires_at,
    });
    desk.say(ToOperator::At(ChatAt { queue, ..at(chat(3), 2, of_other) }));
    both.per_operator_limits = Arc::new(BTreeMap::from([(QUEUE, 1)]));
    let effects = desk.step(OperatorInput::Account(both));
    assert_eq!(withdrawn(&effects, chat(2)), Some(WithdrawReason::NotEligible));
    assert_eq!((withdrawn(&effects, chat(1)), withdrawn(&effects, chat(3))), (None, None));
}

#[test]
fn a_slot_held_for_an_offer_to_come_goes_before_any_offer_on_the_screen() {
    let mut desk = Desk::present(2);
    desk.offered(chat(1), true);
    let (offer, expires_at) = (OfferId::of(60, 1), desk.now.plus_ms(TIMEOUT_MS));
    desk.say(ToOperator::Reserve {
        queue: QUEUE,
        offer,
        chat: chat(2),
        rank: 0,
        weight: Default::default(),
        expires_at,
    });
    assert_eq!(desk.ann.reserved().len(), 1);
    let effects = desk.step(OperatorInput::Account(with_queue_limit(2, 1)));
    assert!(desk.ann.reserved().is_empty());
    assert_eq!(withdrawn(&effects, chat(1)), None);
}

#[test]
fn an_accept_above_the_limit_in_force_is_refused_as_full_and_one_on_its_way_stands() {
    let mut desk = Desk::present(2);
    let first = desk.offered(chat(1), true);
    desk.later(10);
    let second = desk.offered(chat(2), true);
    assert_eq!(answers(&accept(&mut desk, 1, first, 3)), [], "the chat is asked");
    let effects = desk.step(OperatorInput::Account(account(1)));
    assert_eq!(withdrawn(&effects, chat(1)), None, "it was sent when there was room");
    let effects = accept(&mut desk, 2, second, 4);
    assert_eq!(answers(&effects), [(4, Err(Refusal::NoSlot(Standing::Full)))]);
    let effects = desk.say(ToOperator::At(at(chat(1), 3, owned())));
    assert!(matches!(answers(&effects)[..], [(3, Ok(OperatorAnswer::Assigned(_)))]));
}

#[test]
fn an_offer_to_all_above_a_lowered_limit_stays_and_its_accept_is_refused_as_full() {
    let mut desk = Desk::present(2);
    desk.owns(chat(1));
    let offer = desk.invited(chat(2));
    let effects = desk.step(OperatorInput::Account(with_queue_limit(2, 1)));
    assert_eq!(withdrawn(&effects, chat(2)), None);
    let effects = accept(&mut desk, 2, offer, 5);
    assert_eq!(answers(&effects), [(5, Err(Refusal::NoSlot(Standing::Full)))]);
}

#[test]
fn offers_found_at_the_start_of_a_life_go_back_as_far_as_they_are_above_the_limit() {
    let live = |n: u64| {
        let (to, expires_at) = (Arc::new([ANN].into()), START.plus_ms(TIMEOUT_MS));
        let offer = Offer {
            id: OfferId::of(9, n),
            reach: Reach::Directed,
            to,
            returned: Default::default(),
            expires_at,
        };
        row(chat(u128::from(n)), Place::Offered(offer), None)
    };
    let mut desk = Desk::absent(1, vec![live(1), live(2)]);
    let of = |desk: &Desk, n| desk.ann.slots()[&chat(n)].held.clone();
    assert!(matches!(of(&desk, 1), Held::Offered { .. }));
    assert!(matches!(of(&desk, 2), Held::Withdrawing { .. }));
    desk.later(100);
}

fn takes(desk: &mut Desk, n: u128, chat_administrator: bool, at: Option<ChatAt>) -> Refusal {
    let take = OperatorCall::Take { chat: chat(n), command: command("t"), chat_administrator };
    let asked = desk.step(OperatorInput::Call(9, take));
    let recall = |effect: &OperatorEffect| matches!(effect, OperatorEffect::ToChat(of, ToChat::Recall { .. }) if *of == chat(n));
    assert!(asked.iter().any(recall), "it may have been carried out before: {asked:?}");
    let (command, asked, result) = (command("t"), Asked::Take, None);
    let effects = desk.say(ToOperator::Recalled { chat: chat(n), command, asked, result, at });
    match answers(&effects)[..] {
        [(9, Err(refusal))] => refusal,
        _ => panic!("{effects:?}"),
    }
}

#[test]
fn a_take_without_a_slot_is_refused_as_full_or_for_what_the_chat_is() {
    let mut desk = Desk::present(1);
    desk.owns(chat(1));
    let waits = || Some(at(chat(2), 1, Place::Waiting));
    assert_eq!(takes(&mut desk, 2, true, waits()), Refusal::NoSlot(Standing::Full));
    assert_eq!(takes(&mut desk, 2, false, waits()), Refusal::UnknownChat, "not hers to know of");
    let of_bob = Place::Assigned { owner: BOB, begun: true };
    let state = crate::domain::ChatState::InProgress;
    let wrong = Refusal::WrongState { state };
    assert_eq!(takes(&mut desk, 3, true, Some(at(chat(3), 4, of_bob))), wrong);
    assert_eq!(takes(&mut desk, 4, true, None), Refusal::UnknownChat);
    let mut manual = account(1);
    manual.queues.insert(QUEUE, Terms { rule: Rule::Manual, ..manual.queues[&QUEUE] });
    desk.step(OperatorInput::Account(manual));
    assert_eq!(takes(&mut desk, 2, false, waits()), Refusal::NoSlot(Standing::Full));
}
