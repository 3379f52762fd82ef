//! What leaving `ready` and being deactivated take back.

use super::*;

#[test]
fn a_deactivated_operators_offers_are_not_eligible_and_its_chats_go_back_at_once() {
    let mut desk = Desk::present(3);
    desk.owns(chat(1));
    desk.offered(chat(2), true);
    let effects = desk.deactivate();
    assert_eq!(withdrawn(&effects, chat(2)), Some(WithdrawReason::NotEligible));
    assert!(owner_gone(&effects, chat(1)) || owner_gone(&desk.later(1), chat(1)));
    assert_eq!((desk.ann.status(), desk.ann.standing()), (&Status::Offline, Standing::Offline));
    let ready = OperatorCall::SetStatus(Status::Ready);
    let effects = desk.step(OperatorInput::Call(9, ready));
    assert_eq!(answers(&effects), [(9, Err(Refusal::NoSlot(Standing::Offline)))]);
}

#[test]
fn leaving_ready_is_in_force_when_it_is_durable_and_takes_back_all_but_an_assign_on_its_way() {
    let mut desk = Desk::present(3);
    desk.offered(chat(1), true);
    desk.invited(chat(2));
    let offer = desk.offered(chat(3), true);
    let accept = OperatorCall::Accept { chat: chat(3), offer, command: command("yes") };
    desk.step(OperatorInput::Call(1, accept));
    let busy = OperatorCall::SetStatus(Status::Busy);
    let effects = desk.ann.step(desk.now, OperatorInput::Call(2, busy));
    assert!(answers(&effects).is_empty(), "not before it is durable");
    assert_eq!(*desk.ann.status(), Status::Ready);
    let effects = desk.step(OperatorInput::Saved(true));
    assert_eq!(answers(&effects), [(2, Ok(OperatorAnswer::Done))]);
    assert_eq!(withdrawn(&effects, chat(1)), Some(WithdrawReason::NotReady));
    assert_eq!(withdrawn(&effects, chat(2)), Some(WithdrawReason::NotReady));
    assert_eq!(withdrawn(&effects, chat(3)), None);
    assert!(matches!(desk.ann.slots()[&chat(3)].held, Held::Assigning { .. }));
}

#[test]
fn a_deactivated_operators_offer_to_all_is_not_eligible_either() {
    let mut desk = Desk::present(3);
    desk.invited(chat(1));
    let effects = desk.deactivate();
    assert_eq!(withdrawn(&effects, chat(1)), Some(WithdrawReason::NotEligible));
}
