//! What she tells her queues of herself, and for how long.

use super::*;
use crate::domain::operator::OperatorState;

fn states(effects: &[OperatorEffect]) -> Vec<OperatorState> {
    let states = effects.iter().filter_map(|effect| match effect {
        OperatorEffect::ToQueue(_, ToQueue::State(state)) => Some(state.clone()),
        _ => None,
    });
    states.collect()
}

#[test]
fn who_gets_a_chat_has_accepted_last_and_is_idle_no_longer() {
    let mut desk = Desk::present(2);
    let came = desk.ann.idle_since();
    let offer = desk.offered(chat(1), true);
    let accept = OperatorCall::Accept { chat: chat(1), offer, command: command("yes") };
    desk.step(OperatorInput::Call(2, accept));
    assert_eq!((desk.ann.idle_since(), desk.ann.record().last_accept), (came, None));
    // Each of these is later than the one before.
    let next = |desk: &mut Desk| desk.now = desk.now.plus_ms(10);
    next(&mut desk);
    let got_at = desk.now;
    let mine = ChatAt { moved_at: got_at, ..at(chat(1), 3, owned()) };
    let told = states(&desk.say(ToOperator::At(mine)));
    let told = told.last().expect("her queue is told");
    assert_eq!((told.last_accept, told.idle_since, told.load), (Some(got_at), got_at, 1));
    assert_eq!(desk.ann.record().last_accept, Some(got_at), "her next life knows it");
    // A chat that she got before, and of which she hears now, was not her last.
    next(&mut desk);
    desk.say(ToOperator::At(at(chat(2), 3, owned())));
    assert_eq!(desk.ann.record().last_accept, Some(got_at));
    next(&mut desk);
    let told = states(&desk.say(ToOperator::At(at(chat(1), 4, Place::Waiting))));
    let told = told.last().expect("her queue is told");
    assert_eq!((told.last_accept, told.idle_since, told.load), (Some(got_at), desk.now, 1));
    next(&mut desk);
    desk.step(OperatorInput::Call(3, OperatorCall::SetStatus(Status::Busy)));
    next(&mut desk);
    desk.step(OperatorInput::Call(4, OperatorCall::SetStatus(Status::Ready)));
    assert_eq!(desk.ann.idle_since(), desk.now, "who was away has not been idle");
}

#[test]
fn a_queue_is_told_until_it_has_heard_what_counts_now_in_this_life() {
    let mut desk = Desk::present(1);
    let version = |effects: &[OperatorEffect]| states(effects).last().map(|state| state.version);
    let effects = desk.step(OperatorInput::Call(1, OperatorCall::SetStatus(Status::Busy)));
    let new = version(&effects).expect("it has changed");
    let again = |desk: &mut Desk| {
        let next = desk.ann.next_deadline(desk.now).expect("a probe, at least");
        version(&desk.woken_at(next))
    };
    let heard = |life, version| ToOperator::StateSeen { queue: QUEUE, known: (life, version) };
    assert!(again(&mut desk).is_some(), "nothing was heard");
    desk.say(heard(1, new - 1));
    assert!(again(&mut desk).is_some(), "what was heard was so before");
    desk.say(heard(0, u64::MAX));
    assert!(again(&mut desk).is_some(), "what was heard was said by her former life");
    desk.say(heard(1, new));
    assert_eq!(again(&mut desk), None);
}

#[test]
fn what_ends_by_itself_asks_to_be_woken() {
    // A slot held for an offer that never comes.
    let mut desk = Desk::present(1);
    let (offer, expires_at) = (OfferId::of(60, 1), desk.now.plus_ms(TIMEOUT_MS));
    desk.say(ToOperator::Reserve {
        queue: QUEUE,
        offer,
        chat: chat(1),
        rank: 0,
        weight: Default::default(),
        expires_at,
    });
    desk.woken_at(expires_at);
    assert_eq!((desk.ann.load(), desk.ann.standing()), (0, Standing::Free));
    // The grace of who is gone.
    let mut desk = Desk::present(1);
    desk.step(OperatorInput::Disconnected(1));
    desk.woken_at(desk.now.plus_ms(PRESENCE_GRACE_MS));
    assert_eq!(desk.ann.status(), &Status::Offline);
    // The time of an absent owner.
    let mut desk = Desk::present(1);
    desk.owns(chat(1));
    desk.step(OperatorInput::Disconnected(1));
    assert!(owner_gone(&desk.woken_at(desk.now.plus_ms(ABSENT_MS)), chat(1)));
    // A command that its chat does not answer.
    let mut desk = Desk::present(1);
    let accept = OperatorCall::Accept { chat: chat(1), offer: OFFER, command: command("yes") };
    desk.step(OperatorInput::Call(7, accept));
    let effects = desk.woken_at(desk.now.plus_ms(RECALL_LIMIT_MS));
    assert_eq!(answers(&effects), [(7, Err(Refusal::Unavailable))]);
}
