//! Offers from their making to their end.

use crate::domain::event::{OfferEnd, WithdrawReason};
use crate::domain::limits::{CHAT_ROUTING_EVENTS_MAX, OFFER_BACKSTOP_MS, TO_ALL_STANDS_MAX_MS};
use crate::domain::{ChatEvent, OfferId, Place, Reach, Recorded, Timestamp, UserId};
use crate::machine::chat::tests::Bench;
use crate::machine::chat::{ChatCall, ChatInput, Target};
use crate::machine::fixture::*;
use crate::machine::message::{AssignBy, Peer, ToChat};

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
    ToChat::Decline { offer: OFFER, operator, stay: 0, command: command("no") }
}

fn withdraw(operator: UserId) -> ToChat {
    let (peer, reason) = (Peer::Operator(operator), WithdrawReason::NotReady);
    ToChat::Withdraw { peer, offer: OFFER, operator, stay: 0, reason }
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
        let lapse = || ToChat::Lapse { placement: 2, offer: OFFER, stands_ms: TIMEOUT_MS };
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
    let ended =
        bench.say(ToChat::Lapse { placement: 2, offer: OFFER, stands_ms: TIMEOUT_MS }).events;
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

fn widen(to: UserId) -> ToChat {
    ToChat::Widen { placement: 2, offer: OFFER, to: vec![to] }
}

/// The offer was made to Ann and Bob; Ann stepped away and came back.
fn ann_came_back() -> Bench {
    let mut bench = offered(Reach::ToAll, &[ANN, BOB]);
    bench.say(withdraw(ANN));
    bench.say(widen(ANN));
    bench
}

#[test]
fn who_steps_away_from_an_offer_to_all_and_comes_back_takes_it_from_nobody() {
    let mut bench = offered(Reach::ToAll, &[ANN, BOB]);
    bench.say(withdraw(ANN));
    assert_eq!(asked(&bench), [BOB]);
    let widened = bench.say(widen(ANN)).events;
    assert_eq!(widened, [ChatEvent::OfferWidened { offer: OFFER, to: vec![ANN] }]);
    assert_eq!((asked(&bench), bench.chat.placement()), (vec![ANN, BOB], 2));
    assert_eq!(bench.folded(), bench.chat);
    bench.say(accept(BOB, OFFER, "yes", Timestamp(u64::MAX)));
    assert_eq!(bench.chat.place().unwrap().owner(), Some(BOB), "the offer stood for the others");
}

#[test]
fn a_late_word_of_a_former_stay_in_an_offer_does_not_touch_the_present_one() {
    let always = Timestamp(u64::MAX);
    for late in [withdraw(ANN), decline(ANN), accept(ANN, OFFER, "late", always)] {
        let mut bench = ann_came_back();
        assert!(bench.say(late.clone()).events.is_empty(), "{late:?}");
        assert_eq!(asked(&bench), [ANN, BOB], "{late:?}");
    }
    let mut bench = ann_came_back();
    let (operator, command) = (ANN, Some(command("yes")));
    let by = AssignBy::Offer(OFFER, 1);
    bench.say(ToChat::Assign { operator, command, by, valid_until: always });
    assert_eq!(bench.chat.place().unwrap().owner(), Some(ANN));
}

#[test]
fn an_offer_to_all_ends_when_the_last_who_sees_it_steps_away() {
    let mut bench = ann_came_back();
    bench.say(withdraw(BOB));
    let (peer, reason) = (Peer::Operator(ANN), WithdrawReason::NotReady);
    let offer = OFFER;
    bench.say(ToChat::Withdraw { peer, offer, operator: ANN, stay: 1, reason });
    assert_eq!((bench.chat.place(), bench.chat.placement()), (Some(&Place::Waiting), 3));
    assert!(refusers(&bench).is_empty());
}

/// An offer to all for the next placement, to these.
fn to_all(bench: &mut Bench, id: u128, to: &[UserId]) -> Vec<ChatEvent> {
    let (placement, id) = (bench.chat.placement(), OfferId::from_u128(id));
    bench.say(offer(placement, id, Reach::ToAll, to)).events
}

/// Its time is over, and nobody has answered.
fn lapses(bench: &mut Bench) -> u64 {
    let live = bench.chat.place().and_then(Place::offer).cloned().unwrap();
    let stood_ms = live.expires_at.since_ms(bench.now);
    bench.now = live.expires_at;
    let (placement, offer) = (bench.chat.placement(), live.id);
    bench.say(ToChat::Lapse { placement, offer, stands_ms: u64::MAX });
    assert_eq!(bench.chat.place(), Some(&Place::Waiting));
    stood_ms
}

#[test]
fn an_offer_to_all_that_nobody_answers_is_made_again_for_twice_as_long_up_to_a_bound() {
    let mut bench = Bench::opened();
    let mut stood = Vec::new();
    for n in 0..12 {
        to_all(&mut bench, n, &[ANN, BOB]);
        stood.push(lapses(&mut bench));
    }
    let longest = TO_ALL_STANDS_MAX_MS;
    let wanted: Vec<u64> = (0..12).map(|n| (TIMEOUT_MS << n).min(longest)).collect();
    assert_eq!(stood, wanted);
    assert_eq!(stood.last(), Some(&longest));
    // Another line begins anew.
    let to = Target::Queue(OTHER_QUEUE);
    bench.call(ChatCall::Transfer { by: administrator(CYD), command: command("t"), to });
    let (placement, to) = (bench.chat.placement(), vec![ANN]);
    let decision = decision();
    let (queue, offer, reach, timeout_ms) = (OTHER_QUEUE, OFFER, Reach::ToAll, TIMEOUT_MS);
    bench.say(ToChat::Offer { queue, placement, offer, reach, to, timeout_ms, decision });
    assert_eq!(lapses(&mut bench), TIMEOUT_MS);
    assert_eq!(bench.folded(), bench.chat);
}

#[test]
fn a_queue_that_needs_the_place_ends_a_long_offer_to_all_after_its_own_time_and_no_sooner() {
    let mut bench = Bench::opened();
    for n in 0..3 {
        to_all(&mut bench, n, &[ANN]);
        lapses(&mut bench);
    }
    to_all(&mut bench, 9, &[ANN]);
    let (placement, offer) = (bench.chat.placement(), OfferId::from_u128(9));
    let lapse = ToChat::Lapse { placement, offer, stands_ms: TIMEOUT_MS };
    bench.later(TIMEOUT_MS - 1);
    assert!(bench.say(lapse.clone()).events.is_empty());
    bench.later(1);
    assert_eq!(bench.say(lapse).events.len(), 1);
}

#[test]
fn an_offer_to_all_is_made_again_without_the_list_and_whoever_had_it_has_it_still() {
    let mut bench = Bench::opened();
    to_all(&mut bench, 1, &[ANN, BOB]);
    lapses(&mut bench);
    // Ann is full by now, and Cyd has come free.
    let again = to_all(&mut bench, 2, &[BOB, CYD]);
    let [ChatEvent::Offered { to, .. }, ChatEvent::OfferWidened { to: more, .. }] = &again[..]
    else {
        panic!("{again:?}")
    };
    assert_eq!((to.as_slice(), more.as_slice()), (&[][..], &[CYD][..]));
    assert_eq!(asked(&bench), [ANN, BOB, CYD]);
    let concerned = bench.chat.concerned();
    for operator in [ANN, BOB, CYD] {
        assert!(concerned.contains(&Peer::Operator(operator)), "{concerned:?}");
    }
    assert_eq!(bench.folded(), bench.chat, "the next life reads the same from the log");
    assert!(!bench.say(accept(ANN, OfferId::from_u128(2), "yes", bench.now)).events.is_empty());
}

#[test]
fn an_offer_to_all_names_everybody_after_a_restart_or_when_something_came_between() {
    let named = |bench: &mut Bench, id| match &to_all(bench, id, &[BOB])[..] {
        [ChatEvent::Offered { to, .. }] => to.clone(),
        other => panic!("{other:?}"),
    };
    let mut bench = Bench::opened();
    to_all(&mut bench, 1, &[ANN, BOB]);
    lapses(&mut bench);
    bench.process = 2;
    assert_eq!(named(&mut bench, 2), [BOB], "nobody of before is there yet");
    let (peer, reason) = (Peer::Operator(BOB), WithdrawReason::NotReady);
    let (offer, operator, stay) = (OfferId::from_u128(2), BOB, 0);
    bench.say(ToChat::Withdraw { peer, offer, operator, stay, reason });
    assert_eq!(named(&mut bench, 3), [BOB], "it was taken back");
}

#[test]
fn a_chat_that_the_router_wrote_about_as_often_as_may_be_is_offered_no_more_and_serves_people() {
    let mut bench = Bench::opened();
    bench.say(offer(1, OFFER, Reach::ToAll, &[ANN, BOB]));
    let mut stay = 0;
    while bench.chat.tail() < CHAT_ROUTING_EVENTS_MAX {
        let (offer, operator, reason) = (OFFER, ANN, WithdrawReason::NotReady);
        let seq = bench.chat.tail() + 1;
        let event = match stay % 2 {
            0 => ChatEvent::OfferNarrowed { offer, operator, reason },
            _ => ChatEvent::OfferWidened { offer, to: vec![ANN] },
        };
        stay += 1;
        bench.chat.apply(&Recorded { seq, at: bench.now, event, names: Default::default() });
    }
    lapses(&mut bench);
    assert!(bench.chat.at().unwrap().spent);
    assert!(to_all(&mut bench, 9, &[ANN]).is_empty(), "no offer");
    assert_eq!(bench.call(send(customer(), "m", "still here?")).events.len(), 1, "no room lost");
    let to = Target::Queue(OTHER_QUEUE);
    let by = administrator(CYD);
    assert!(!bench.call(ChatCall::Transfer { by, command: command("t"), to }).events.is_empty());
    assert_eq!(bench.call(end(customer(), "bye")).events.len(), 1);
}
