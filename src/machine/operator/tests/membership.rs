//! A membership that ends while offers are out.

use super::*;

fn accept(desk: &mut Desk, n: u128, offer: OfferId) -> Vec<OperatorEffect> {
    let accept = OperatorCall::Accept { chat: chat(n), offer, command: command("yes") };
    desk.step(OperatorInput::Call(1, accept))
}

fn without_the_queue(desk: &mut Desk) -> Vec<OperatorEffect> {
    let mut account = account(3);
    let terms = account.queues.remove(&QUEUE).unwrap();
    account.queues.insert(OTHER_QUEUE, terms);
    desk.step(OperatorInput::Account(account))
}

fn assigns(effects: &[OperatorEffect]) -> bool {
    effects.iter().any(|effect| matches!(effect, OperatorEffect::ToChat(_, ToChat::Assign { .. })))
}

#[test]
fn who_is_no_member_any_more_accepts_nothing_of_the_queue_even_before_the_queue_says_so() {
    for to_all in [false, true] {
        let mut desk = Desk::present(3);
        let offer = if to_all { desk.invited(chat(1)) } else { desk.offered(chat(1), true) };
        let effects = without_the_queue(&mut desk);
        assert_eq!(withdrawn(&effects, chat(1)), Some(WithdrawReason::NotEligible), "{to_all}");
        let effects = accept(&mut desk, 1, offer);
        assert_eq!(answers(&effects), [(1, Err(Refusal::OfferGone))], "{to_all}");
        assert!(!assigns(&effects), "{to_all}");
    }
}

#[test]
fn an_offer_that_comes_after_the_membership_ended_is_given_back() {
    let mut desk = Desk::present(3);
    without_the_queue(&mut desk);
    let offer = desk.invited(chat(1));
    let effects = accept(&mut desk, 1, offer);
    assert_eq!(answers(&effects), [(1, Err(Refusal::OfferGone))]);
}

#[test]
fn an_accept_on_its_way_and_what_is_owned_stay_when_the_membership_ends() {
    let mut desk = Desk::present(3);
    desk.owns(chat(1));
    let offer = desk.offered(chat(2), true);
    assert!(assigns(&accept(&mut desk, 2, offer)));
    without_the_queue(&mut desk);
    assert_eq!(desk.ann.slots()[&chat(1)].held, Held::Active);
    assert!(matches!(desk.ann.slots()[&chat(2)].held, Held::Assigning { .. }));
}

#[test]
fn an_absent_owner_gives_a_chat_back_also_of_a_queue_of_which_it_is_no_member() {
    let mut desk = Desk::present(2);
    let mut account = account(2);
    account.absent_owner_limits_ms = Arc::new(BTreeMap::from([(OTHER_QUEUE, ABSENT_MS)]));
    desk.step(OperatorInput::Account(account));
    // It came by transfer, and has said so twice: the first word may have been a late one.
    let mine = ChatAt { queue: OTHER_QUEUE, ..at(chat(1), 3, owned()) };
    desk.say(ToOperator::At(mine.clone()));
    desk.say(ToOperator::At(mine));
    assert_eq!(desk.ann.slots()[&chat(1)].held, Held::Active);
    desk.step(OperatorInput::Disconnected(1));
    assert!(owner_gone(&desk.woken_at(desk.now.plus_ms(ABSENT_MS)), chat(1)));
}
