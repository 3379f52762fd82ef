//! What takes a slot, and for how long.

use super::*;

#[test]
fn nothing_is_reserved_above_capacity_and_an_unconfirmed_reservation_ends_by_itself() {
    let mut desk = Desk::present(1);
    let reserve = |desk: &Desk, n: u64| ToOperator::Reserve {
        queue: QUEUE,
        rank: 0,
        weight: Default::default(),
        offer: OfferId::of(60, n),
        chat: chat(u128::from(n)),
        expires_at: desk.now.plus_ms(TIMEOUT_MS),
    };
    let held = |effects: &[OperatorEffect]| {
        effects.iter().find_map(|effect| match effect {
            OperatorEffect::ToQueue(_, ToQueue::ReserveAnswer { result, .. }) => Some(*result),
            _ => None,
        })
    };
    let first = reserve(&desk, 1);
    assert_eq!(held(&desk.say(first.clone())), Some(Ok(())));
    assert_eq!(held(&desk.say(first)), Some(Ok(())), "a repeat");
    let second = reserve(&desk, 2);
    assert_eq!(held(&desk.say(second)), Some(Err(Standing::Full)));
    desk.later(TIMEOUT_MS);
    assert_eq!((desk.ann.load(), desk.ann.standing()), (0, Standing::Free));
    // The offer comes after all, without a slot: it is taken back, uncounted.
    let late = desk.live(chat(1), OfferId::of(60, 1), Reach::Directed);
    let effects = desk.say(ToOperator::At(late));
    assert_eq!(withdrawn(&effects, chat(1)), Some(WithdrawReason::NotReserved));
}

#[test]
fn an_offer_to_all_takes_its_slot_at_the_accept_and_is_refused_without_one() {
    let mut desk = Desk::present(1);
    let first = desk.invited(chat(1));
    let second = desk.invited(chat(2));
    assert_eq!(desk.ann.load(), 0);
    let accept = |chat, offer| OperatorCall::Accept { chat, offer, command: command("yes") };
    desk.step(OperatorInput::Call(1, accept(chat(1), first)));
    assert_eq!(desk.ann.load(), 1);
    let effects = desk.step(OperatorInput::Call(2, accept(chat(2), second)));
    assert_eq!(answers(&effects), [(2, Err(Refusal::NoSlot(Standing::Full)))]);
    assert!(desk.ann.invites().contains_key(&chat(2)), "the offer stays");
}
