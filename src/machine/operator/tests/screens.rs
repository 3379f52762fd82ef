//! What her screens show, and why an offer leaves them.

use super::*;

#[test]
fn an_offer_that_is_gone_says_why() {
    let other = Offer {
        id: OfferId::of(61, 1),
        reach: Reach::Directed,
        to: Arc::new([BOB].into()),
        returned: Default::default(),
        expires_at: Timestamp(9),
    };
    let ended =
        Place::Ended { outcome: crate::domain::Outcome::Missed, by: crate::domain::Party::System };
    let withdrawn =
        |reason| (Place::Waiting, Some(OfferEnd::Withdrawn(reason)), Gone::Withdrawn(reason));
    let cases = [
        (Place::Assigned { owner: BOB, begun: false }, None, Gone::Taken),
        (ended, None, Gone::ChatEnded),
        (Place::Waiting, Some(OfferEnd::Lapsed), Gone::Lapsed),
        (Place::Offered(other), Some(OfferEnd::Lapsed), Gone::Lapsed),
        (Place::Waiting, Some(OfferEnd::Declined), Gone::Declined),
        (Place::Waiting, Some(OfferEnd::Restart), Gone::Restart),
        (Place::Waiting, None, Gone::Moved),
        withdrawn(WithdrawReason::NotEligible),
        withdrawn(WithdrawReason::NotReady),
        withdrawn(WithdrawReason::NotReserved),
    ];
    for (place, how, wanted) in cases {
        for to_all in [false, true] {
            let mut desk = Desk::present(1);
            let offer = if to_all { desk.invited(chat(1)) } else { desk.offered(chat(1), true) };
            let mut gone = at(chat(1), 9, place.clone());
            gone.last_offer = how.map(|how| (offer, how));
            let effects = desk.say(ToOperator::At(gone.clone()));
            assert_eq!(reason(&effects), Some(wanted), "{place:?} {how:?} to all: {to_all}");
        }
    }
    let mut desk = Desk::present(1);
    let offer = desk.offered(chat(1), true);
    let mut moved = at(chat(1), 9, Place::Waiting);
    (moved.queue, moved.last_offer) = (OTHER_QUEUE, Some((offer, OfferEnd::Lapsed)));
    assert_eq!(reason(&desk.say(ToOperator::At(moved))), Some(Gone::Moved));
    // The offer stands for others, without this operator.
    let mut desk = Desk::present(1);
    let offer = desk.invited(chat(1));
    let mut narrowed = desk.live(chat(1), offer, Reach::ToAll);
    narrowed.version += 1;
    if let Place::Offered(live) = &mut narrowed.place {
        live.to = Arc::new([BOB].into());
    }
    let wanted = Gone::Withdrawn(WithdrawReason::NotEligible);
    assert_eq!(reason(&desk.say(ToOperator::At(narrowed))), Some(wanted));
}

#[test]
fn an_offer_to_all_that_she_came_back_into_is_shown_again_though_she_never_heard_that_she_was_out()
{
    let mut desk = Desk::present(1);
    let first = to_all_at(&desk, 2, Some(0));
    assert_eq!(presented(&desk.say(ToOperator::At(first.clone()))), 1);
    desk.step(OperatorInput::Call(1, OperatorCall::SetStatus(Status::Busy)));
    assert!(desk.ann.invites()[&chat(1)].withdrawing);
    desk.step(OperatorInput::Call(2, OperatorCall::SetStatus(Status::Ready)));
    let again = to_all_at(&desk, 4, Some(1));
    assert_eq!(presented(&desk.say(ToOperator::At(again))), 1);
    let invite = &desk.ann.invites()[&chat(1)];
    assert_eq!((invite.stay, invite.withdrawing), (1, false));
    assert_eq!(presented(&desk.say(ToOperator::At(first))), 0, "a late word");
    assert_eq!(desk.ann.invites()[&chat(1)].stay, 1);
}

#[test]
fn a_late_word_of_an_offer_to_all_does_not_bring_it_back_to_the_screen() {
    let mut desk = Desk::present(1);
    let first = to_all_at(&desk, 2, Some(0));
    desk.say(ToOperator::At(first.clone()));
    let without = to_all_at(&desk, 3, None);
    desk.say(ToOperator::At(without));
    assert!(desk.ann.invites().is_empty());
    assert_eq!(presented(&desk.say(ToOperator::At(first))), 0);
    assert!(desk.ann.invites().is_empty());
}
