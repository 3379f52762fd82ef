//! Who hears where the chat is, and until when: by its driver, over a store that answers at once.

use std::collections::BTreeSet;

use crate::domain::event::WithdrawReason;
use crate::domain::limits::FORMER_PEERS_MAX;
use crate::domain::{Placement, Priority, Profile, Reach, Seq, Timestamp, UserId};
use crate::machine::chat::driver::{
    Action, ChatAction, Driver, Preparation, StoreAnswer, StoreCall,
};
use crate::machine::chat::former::Former as FormerPeers;
use crate::machine::chat::tests::Bench;
use crate::machine::chat::{ChatCall, ChatInput, Target};
use crate::machine::fixture::*;
use crate::machine::index::Former;
use crate::machine::message::{Peer, ToChat, ToOperator};
use crate::storage::{Claim, Claimed};

/// A chat and those around it, who have heard all that was said.
struct Stage {
    driver: Driver,
    now: Timestamp,
}

impl Stage {
    /// The next life of this chat after one that failed.
    fn after_a_crash(bench: &Bench) -> Self {
        let former = Former { row: bench.chat.row(), ..Former::default() };
        let (driver, actions) = Driver::begin(CHAT, 1, 9, former);
        let mut stage = Self { driver, now: bench.now };
        let log = bench.log.clone();
        let mut todo = actions;
        while let Some(action) = todo.pop() {
            let answer = match action {
                Action::Store(StoreCall::Claim) => {
                    let (claim, tail) = (Claim { chat: CHAT, epoch: 1 }, log.len() as u64);
                    StoreAnswer::Claimed(Ok(Claimed { claim, tail }))
                }
                Action::Store(StoreCall::Read { .. }) => StoreAnswer::Page(Ok(log.clone())),
                Action::Store(StoreCall::Touch(_)) => StoreAnswer::Touched(Ok(())),
                _ => continue,
            };
            todo.extend(stage.driver.stored(stage.now, answer));
        }
        stage
    }

    /// Waits, and its queue knows it.
    fn waiting() -> Self {
        let mut stage = Self::after_a_crash(&Bench::opened());
        stage.told();
        stage.all_hear();
        stage
    }

    fn input(&mut self, input: ChatInput) -> Vec<Action> {
        let mut actions = self.driver.input(self.now, input);
        let mut n = 0;
        while let Some(action) = actions.get(n) {
            n += 1;
            let answer = match action {
                Action::Store(StoreCall::Append(..)) => StoreAnswer::Appended(Ok(())),
                Action::Store(StoreCall::Touch(_)) => StoreAnswer::Touched(Ok(())),
                Action::Store(StoreCall::Prepare(_)) => StoreAnswer::Prepared(Ok(())),
                _ => continue,
            };
            actions.extend(self.driver.stored(self.now, answer));
        }
        actions
    }

    fn say(&mut self, said: ToChat) -> BTreeSet<Peer> {
        told(&self.input(ChatInput::Said(said)))
    }

    /// To whom it is said again when it asks to be woken; nobody when nothing is to be said.
    fn told(&mut self) -> BTreeSet<Peer> {
        // The chat's own deadlines are further off than any repeat.
        let Some(next) = self.driver.next_deadline() else { return BTreeSet::new() };
        self.now = self.now.max(next);
        told(&self.input(ChatInput::Tick))
    }

    fn hears(&mut self, peer: Peer, placement: Placement, version: Seq) -> BTreeSet<Peer> {
        self.say(ToChat::Seen { peer, placement, version })
    }

    /// Everybody has heard of the present place.
    fn all_hear(&mut self) {
        let at = self.driver.chat().at().expect("it is opened");
        for peer in self.driver.chat().concerned() {
            self.hears(peer, at.placement, at.version);
        }
        assert!(self.driver.can_rest());
    }

    fn offered(reach: Reach, to: &[UserId]) -> Self {
        let mut stage = Self::waiting();
        stage.say(offer(1, OFFER, reach, to));
        stage.all_hear();
        stage
    }
}

fn told(actions: &[Action]) -> BTreeSet<Peer> {
    let told = actions.iter().filter_map(|action| match action {
        Action::Own(ChatAction::ToQueue(queue, _)) => Some(Peer::Queue(*queue)),
        Action::Own(ChatAction::ToOperator(operator, ToOperator::At(at))) => {
            let to = at.place.offer().map(|offer| offer.to.iter().copied());
            let others = to.into_iter().flatten().chain(at.refused_by.keys().copied());
            assert!(others.into_iter().all(|who| who == *operator), "{operator:?} hears {at:?}");
            Some(Peer::Operator(*operator))
        }
        _ => None,
    });
    told.collect()
}

fn peers(operators: &[UserId]) -> BTreeSet<Peer> {
    let operators = operators.iter().map(|operator| Peer::Operator(*operator));
    operators.chain([Peer::Queue(QUEUE)]).collect()
}

fn withdraw(operator: UserId) -> ToChat {
    let (peer, reason) = (Peer::Operator(operator), WithdrawReason::NotReady);
    ToChat::Withdraw { peer, offer: OFFER, operator, stay: 0, reason }
}

#[test]
fn who_leaves_an_offer_to_all_or_comes_into_it_hears_so_and_the_others_do_not() {
    let mut stage = Stage::offered(Reach::ToAll, &[ANN, BOB]);
    assert_eq!(stage.say(withdraw(ANN)), peers(&[ANN]));
    stage.all_hear();
    let widen = ToChat::Widen { placement: 2, offer: OFFER, to: vec![CYD] };
    assert_eq!(stage.say(widen), peers(&[CYD]));
    stage.all_hear();
    // What all of them rank it by is said to all.
    let (issued_at, priority) = (Timestamp(9), Priority::new(1).unwrap());
    let profile = Profile { issued_at, priority, name: None };
    let update = ChatCall::UpdateCustomer { by: customer(), profile };
    assert_eq!(told(&stage.input(ChatInput::Call(5, update))), peers(&[BOB, CYD]));
}

#[test]
fn when_a_chat_moves_all_hear_whom_its_former_place_concerned_and_its_new_one() {
    let mut stage = Stage::offered(Reach::ToAll, &[ANN, BOB]);
    let said = stage.say(accept(BOB, OFFER, "yes", Timestamp(u64::MAX)));
    assert_eq!(said, peers(&[ANN, BOB]));
    stage.all_hear();
    let to = Target::Queue(OTHER_QUEUE);
    let away = ChatCall::Transfer { by: user(BOB), command: command("away"), to };
    let mut wanted = peers(&[BOB]);
    wanted.insert(Peer::Queue(OTHER_QUEUE));
    assert_eq!(told(&stage.input(ChatInput::Call(5, away))), wanted);
}

#[test]
fn only_the_latest_version_settles_what_somebody_is_to_hear() {
    let mut stage = Stage::offered(Reach::ToAll, &[ANN, BOB]);
    let queue = Peer::Queue(QUEUE);
    let before = stage.driver.chat().at().unwrap().version;
    stage.say(withdraw(ANN));
    stage.hears(Peer::Operator(ANN), 2, u64::MAX);
    // Said before the offer was narrowed, and heard after it.
    stage.hears(queue, 2, before);
    assert!(!stage.driver.can_rest());
    assert_eq!(stage.told(), peers(&[]));
    stage.hears(queue, 2, before + 1);
    assert!(stage.driver.can_rest());
}

#[test]
fn who_believes_in_an_old_place_is_told_until_it_has_heard_the_new_one() {
    let mut stage = Stage::offered(Reach::Directed, &[ANN]);
    assert_eq!(stage.hears(Peer::Queue(QUEUE), 1, 2), peers(&[]));
    assert_eq!(stage.told(), peers(&[]), "the word that set it right may be lost");
    let version = stage.driver.chat().at().unwrap().version;
    stage.hears(Peer::Queue(QUEUE), 2, version);
    assert!(stage.driver.can_rest());
}

#[test]
fn after_a_crash_everybody_is_told_whom_the_chat_concerned_before() {
    let mut bench = Bench::opened();
    bench.say(offer(1, OFFER, Reach::ToAll, &[ANN, BOB]));
    bench.say(withdraw(ANN));
    assert_eq!(Stage::after_a_crash(&bench).told(), peers(&[ANN, BOB]), "who left the offer");
    bench.say(accept(BOB, OFFER, "yes", Timestamp(u64::MAX)));
    let to = Target::Operator(CYD);
    bench.call(ChatCall::Transfer { by: user(BOB), command: command("t1"), to });
    let mut stage = Stage::after_a_crash(&bench);
    let next = stage.driver.next_deadline().unwrap();
    let actions = stage.driver.input(next, ChatInput::Tick);
    let asked = |action: &Action| {
        matches!(
            action,
            Action::Own(ChatAction::ToOperator(CYD, ToOperator::ReserveTransfer { .. }))
        )
    };
    assert!(actions.iter().any(asked), "the transfer goes on: {actions:?}");
    let reservation = bench.chat.transfer().unwrap().reservation;
    let standing = crate::domain::operator::Standing::Full;
    bench.say(ToChat::ReserveRefused { reservation, standing });
    assert_eq!(Stage::after_a_crash(&bench).told(), peers(&[ANN, BOB, CYD]), "the target");
    let to = Target::Queue(OTHER_QUEUE);
    bench.call(ChatCall::Transfer { by: user(BOB), command: command("t2"), to });
    let mut wanted = peers(&[ANN, BOB, CYD]);
    wanted.insert(Peer::Queue(OTHER_QUEUE));
    assert_eq!(Stage::after_a_crash(&bench).told(), wanted, "the former queue");
}

#[test]
fn of_too_many_former_people_those_of_the_latest_places_are_told() {
    let peer = |n: usize| Peer::Operator(UserId::from_u128(0xe000 + n as u128));
    let mut former = FormerPeers::default();
    for n in 0..FORMER_PEERS_MAX {
        former.remember(peer(n));
    }
    // The first is the latest again; the second gives way.
    former.remember(peer(0));
    former.remember(peer(FORMER_PEERS_MAX));
    let told: BTreeSet<Peer> = former.peers().collect();
    assert_eq!(told.len(), FORMER_PEERS_MAX);
    assert!(told.contains(&peer(0)) && told.contains(&peer(FORMER_PEERS_MAX)));
    assert!(!told.contains(&peer(1)));
}

#[test]
fn a_transfer_that_is_over_asks_nobody_any_more() {
    let mut bench = Bench::opened();
    bench.say(offer(1, OFFER, Reach::Directed, &[ANN]));
    bench.say(accept(ANN, OFFER, "yes", Timestamp(u64::MAX)));
    let mut stage = Stage::after_a_crash(&bench);
    stage.told();
    stage.all_hear();
    let to = Target::Operator(BOB);
    let transfer = ChatCall::Transfer { by: user(ANN), command: command("t"), to };
    let actions = stage.input(ChatInput::Call(5, transfer));
    let asks = |actions: &[Action]| {
        let asks = |a: &Action| {
            matches!(
                a,
                Action::Own(ChatAction::ToOperator(BOB, ToOperator::ReserveTransfer { .. }))
            )
        };
        actions.iter().any(asks)
    };
    assert!(asks(&actions));
    // Its deadline is in the row before it counts.
    let marks =
        |action: &Action| matches!(action, Action::Store(StoreCall::Prepare(Preparation::Mark(_))));
    assert!(actions.iter().any(marks), "{actions:?}");
    assert!(!stage.driver.can_rest(), "somebody waits for its outcome");
    let reservation = stage.driver.chat().transfer().unwrap().reservation;
    let standing = crate::domain::operator::Standing::Full;
    stage.say(ToChat::ReserveRefused { reservation, standing });
    assert!(stage.driver.can_rest());
    assert_eq!(stage.driver.next_deadline(), None);
}

#[test]
fn no_open_chat_is_let_go_and_an_ended_one_when_everybody_has_heard() {
    let mut stage = Stage::waiting();
    assert_eq!(stage.driver.let_go(), None);
    stage.input(ChatInput::Call(5, end(customer(), "bye")));
    assert_eq!(stage.driver.let_go(), None, "its queue has not heard of it");
    stage.all_hear();
    assert_eq!(stage.driver.let_go(), Some(vec![Action::Own(ChatAction::Row(None))]));
}
