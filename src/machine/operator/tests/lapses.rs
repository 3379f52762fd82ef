//! Offers that lapse, and what comes of several in a row.

use super::*;

#[test]
fn offers_that_lapse_in_a_row_set_her_away_and_she_is_told() {
    let mut desk = Desk::present(3);
    for n in 0..3 {
        assert_eq!(*desk.ann.status(), Status::Ready, "after {n}");
        let offer = desk.offered(chat(n), true);
        let effects = desk.lapsed(chat(n), offer);
        assert!(effects.contains(&OperatorEffect::Show(Notice::OfferWithdrawn {
            chat: chat(n),
            offer,
            reason: Gone::Lapsed
        })));
    }
    let away = Status::Away(AwayReason::missed_offers());
    assert_eq!((desk.ann.status(), desk.ann.record().lapses_in_row), (&away, 0));
    assert_eq!(desk.ann.standing(), Standing::Away);
}

#[test]
fn a_decline_or_an_accept_in_between_begins_the_row_anew() {
    for accepts in [true, false] {
        let mut desk = Desk::present(3);
        for n in 0..2 {
            let offer = desk.offered(chat(n), true);
            desk.lapsed(chat(n), offer);
        }
        assert_eq!(desk.ann.record().lapses_in_row, 2);
        if accepts {
            desk.owns(chat(9));
        } else {
            let offer = desk.offered(chat(9), true);
            let decline = OperatorCall::Decline { chat: chat(9), offer, command: command("no") };
            desk.step(OperatorInput::Call(3, decline));
        }
        assert_eq!(desk.ann.record().lapses_in_row, 0);
    }
}

#[test]
fn a_lapse_that_nobody_could_see_does_not_count() {
    // Never shown.
    let mut desk = Desk::present(3);
    let offer = desk.offered(chat(1), false);
    desk.lapsed(chat(1), offer);
    assert_eq!(desk.ann.record().lapses_in_row, 0, "it reached no screen");
    // Shown, then the connection was lost.
    let offer = desk.offered(chat(2), true);
    desk.step(OperatorInput::Disconnected(1));
    desk.lapsed(chat(2), offer);
    assert_eq!(desk.ann.record().lapses_in_row, 0, "nobody was there");
    // To all.
    let mut desk = Desk::present(3);
    let offer = desk.invited(chat(3));
    desk.step(OperatorInput::Call(1, OperatorCall::Shown { chat: chat(3), offer }));
    desk.lapsed(chat(3), offer);
    assert_eq!(desk.ann.record().lapses_in_row, 0, "it was for everybody");
    assert!(desk.ann.invites().is_empty());
}
