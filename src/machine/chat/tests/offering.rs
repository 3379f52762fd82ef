//! Offers from their making to their end.

use crate::domain::event::{OfferEnd, WithdrawReason};
use crate::domain::limits::OFFER_BACKSTOP_MS;
use crate::domain::{ChatEvent, Place, Reach, Timestamp, UserId};
use crate::machine::chat::tests::Bench;
use crate::machine::chat::{ChatCall, ChatInput, Target};
use crate::machine::fixture::*;
use crate::machine::message::{Peer, ToChat};

fn offered(reach: Reach, to: &[UserId]) -> Bench {
    let mut bench = Bench::opened();
    bench.say(offer(1, OFFER, reach, to));
    bench
}

fn asked(bench: &Bench) -> Vec<UserId> {
    let offer = bench.chat.place().and_then(Place::offer);
    offer.map(|offer| offer.to.iter().copied().collect()).unwrap_or_default()
}

fn decline(operator: UserId) -> ToChat {
    ToChat::Decline { offer: OFFER, operator, command: command("no") }
}

fn withdraw(operator: UserId) -> ToChat {
    let (peer, reason) = (Peer::Operator(operator), WithdrawReason::NotReady);
    ToChat::Withdraw { peer, offer: OFFER, operator, reason }
}

fn refusers(bench: &Bench) -> Vec<UserId> {
    bench.chat.at().unwrap().refused_by.keys().copied().collect()
}

#[test]
fn an_offer_to_all_narrows_and_widens_in_one_placement_and_ends_when_all_declined() {
    let mut bench = offered(Reach::ToAll, &[ANN, BOB]);
    assert_eq!((asked(&bench), bench.chat.placement()), (vec![ANN, BOB], 2));
    let widen = ToChat::Widen { placement: 2, offer: OFFER, to: vec![BOB, CYD] };
    let widened = bench.say(widen.clone());
    assert_eq!(widened.events, [ChatEvent::OfferWidened { offer: OFFER, to: vec![CYD] }]);
    assert!(bench.say(widen).events.is_empty(), "a repeat adds nobody");
    bench.say(decline(ANN));
    bench.say(withdraw(BOB));
    assert_eq!((asked(&bench), bench.chat.placement()), (vec![CYD], 2));
    bench.say(decline(CYD));
    assert_eq!((bench.chat.place(), bench.chat.placement()), (Some(&Place::Waiting), 3));
    assert_eq!(bench.chat.at().unwrap().last_offer, Some((OFFER, OfferEnd::Declined)));
    assert_eq!(refusers(&bench), [ANN, CYD], "who was not ready has refused nothing");
    assert_eq!(bench.folded(), bench.chat);
}

#[test]
fn a_directed_offer_that_lapses_counts_as_refused_and_one_to_all_does_not() {
    for (reach, wanted) in [(Reach::Directed, vec![ANN]), (Reach::ToAll, vec![])] {
        let mut bench = offered(reach, &[ANN]);
        let lapse = || ToChat::Lapse { placement: 2, offer: OFFER };
        bench.later(TIMEOUT_MS - 1);
        assert!(bench.say(lapse()).events.is_empty(), "not before its time");
        bench.later(1);
        assert_eq!(bench.say(lapse()).events.len(), 1);
        assert_eq!(refusers(&bench), wanted);
    }
}

#[test]
fn an_offer_that_its_operator_never_heard_of_is_nobodys_fault() {
    let mut bench = offered(Reach::Directed, &[ANN]);
    bench.unheard = true;
    bench.later(TIMEOUT_MS);
    let how = OfferEnd::Withdrawn(WithdrawReason::NotReserved);
    let ended = bench.say(ToChat::Lapse { placement: 2, offer: OFFER }).events;
    assert_eq!(ended, [ChatEvent::OfferEnded { placement: 3, offer: OFFER, how }]);
    assert!(refusers(&bench).is_empty());
}

#[test]
fn the_chat_ends_an_offer_itself_when_the_queue_is_down() {
    let mut bench = offered(Reach::Directed, &[ANN]);
    let deadline = Timestamp(bench.now.0 + TIMEOUT_MS + OFFER_BACKSTOP_MS);
    assert_eq!(bench.chat.next_deadline(), Some(deadline));
    bench.now = Timestamp(deadline.0 - 1);
    assert!(bench.input(&ChatInput::Tick).events.is_empty());
    bench.now = deadline;
    assert_eq!(bench.input(&ChatInput::Tick).events.len(), 1);
}

#[test]
fn a_restart_of_the_process_ends_an_offer_and_one_of_the_actor_does_not() {
    let mut bench = offered(Reach::Directed, &[ANN]);
    let since = bench.chat.at().unwrap().since;
    assert!(bench.later(5).input(&ChatInput::Started).events.is_empty());
    bench.process = 2;
    let ended = bench.input(&ChatInput::Started).events;
    let how = OfferEnd::Restart;
    assert_eq!(ended, [ChatEvent::OfferEnded { placement: 3, offer: OFFER, how }]);
    assert_eq!(bench.chat.at().unwrap().since, since, "its age is kept");
    assert!(refusers(&bench).is_empty(), "and nobody is blamed");
}

#[test]
fn of_two_who_accept_the_first_wins_and_the_other_is_told() {
    let mut bench = offered(Reach::ToAll, &[ANN, BOB]);
    let always = Timestamp(u64::MAX);
    assert_eq!(bench.say(accept(BOB, OFFER, "b", always)).events.len(), 1);
    assert!(bench.say(accept(ANN, OFFER, "a", always)).events.is_empty());
    assert!(bench.say(accept(BOB, OFFER, "b", always)).events.is_empty(), "a repeat");
    assert_eq!(bench.chat.place().unwrap().owner(), Some(BOB));
}

#[test]
fn refusals_end_with_an_owner_and_who_gives_a_chat_back_is_not_asked_first() {
    let mut bench = offered(Reach::ToAll, &[ANN, BOB]);
    bench.say(decline(ANN));
    assert_eq!(refusers(&bench), [ANN]);
    bench.say(accept(BOB, OFFER, "yes", Timestamp(u64::MAX)));
    assert!(refusers(&bench).is_empty(), "a new search begins with nobody excluded");
    let to = Target::Queue(OTHER_QUEUE);
    bench.call(ChatCall::Transfer { by: user(BOB), command: command("away"), to });
    assert_eq!(refusers(&bench), [BOB]);
    let at = bench.chat.at().unwrap();
    assert_eq!((at.queue, at.place), (OTHER_QUEUE, Place::Waiting));
    assert_eq!(at.since, bench.chat.opened().unwrap().at, "its age is kept");
}

#[test]
fn a_chat_whose_owner_is_gone_waits_again_with_its_age_and_is_completed_not_missed() {
    let mut bench = offered(Reach::Directed, &[ANN]);
    bench.say(accept(ANN, OFFER, "yes", Timestamp(u64::MAX)));
    bench.later(60_000);
    assert!(bench.say(ToChat::OwnerGone { operator: ANN, placement: 2 }).events.is_empty(), "old");
    assert_eq!(bench.say(ToChat::OwnerGone { operator: ANN, placement: 3 }).events.len(), 1);
    assert_eq!(bench.chat.at().unwrap().since, bench.chat.opened().unwrap().at);
    bench.call(end(customer(), "bye"));
    assert_eq!(bench.chat.state(), Some(crate::domain::ChatState::Completed));
}
