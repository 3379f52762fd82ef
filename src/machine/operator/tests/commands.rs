//! Calls under ids that were used before, and those that others make at the same time.

use super::*;

#[test]
fn a_take_keeps_the_queues_own_limit() {
    let mut desk = Desk::present(3);
    let mut account = account(3);
    account.per_operator_limits = Arc::new(BTreeMap::from([(QUEUE, 1)]));
    desk.step(OperatorInput::Account(account));
    desk.say(ToOperator::At(at(chat(1), 2, owned())));
    let take =
        OperatorCall::Take { chat: chat(2), command: command("t"), chat_administrator: true };
    desk.step(OperatorInput::Call(5, take));
    // The chat tells its placement, and with it the queue that it is in.
    let by = AssignBy::Take { placement: 0, queues: Vec::new(), any: true };
    let effects = desk.say(ToOperator::AssignAnswer {
        command: Some(command("t")),
        by,
        result: Err(Refusal::WrongState { state: crate::domain::ChatState::Waiting }),
        at: Some(at(chat(2), 1, Place::Waiting)),
        chat: chat(2),
    });
    assert_eq!(answers(&effects), [(5, Err(Refusal::NoSlot(Standing::Full)))]);
    assert_eq!(desk.ann.load(), 1);
}

#[test]
fn a_decline_whose_id_was_used_for_something_else_is_refused_and_the_offer_stands() {
    let mut desk = Desk::present(1);
    let offer = desk.offered(chat(1), true);
    let decline = OperatorCall::Decline { chat: chat(1), offer, command: command("used") };
    desk.step(OperatorInput::Call(6, decline));
    let live = Offer {
        id: offer,
        reach: Reach::Directed,
        to: Arc::new([ANN].into()),
        returned: Default::default(),
        expires_at: desk.now.plus_ms(10_000),
    };
    let effects = desk.say(ToOperator::Recalled {
        chat: chat(1),
        command: command("used"),
        asked: Asked::Decline(offer),
        result: Some(Err(Refusal::IdReused)),
        at: Some(at(chat(1), 2, Place::Offered(live))),
    });
    assert_eq!(answers(&effects), [(6, Err(Refusal::IdReused))]);
    assert!(matches!(desk.ann.slots()[&chat(1)].held, Held::Offered { .. }));
}

#[test]
fn an_id_used_for_something_else_is_refused_though_the_chat_is_hers_or_is_becoming_hers() {
    let mut desk = Desk::present(2);
    let offer = desk.offered(chat(1), true);
    let accept = |id| OperatorCall::Accept { chat: chat(1), offer, command: command(id) };
    let recalled = |id, result, at| ToOperator::Recalled {
        chat: chat(1),
        command: command(id),
        asked: Asked::Accept(offer),
        result,
        at: Some(at),
    };
    let live = desk.live(chat(1), offer, Reach::Directed);
    desk.step(OperatorInput::Call(1, accept("yes")));
    // The same under other ids meanwhile: one of them is new, one stands for a message.
    for (call, id) in [(2, "new"), (3, "message")] {
        assert_eq!(answers(&desk.step(OperatorInput::Call(call, accept(id)))), []);
    }
    assert_eq!(answers(&desk.say(recalled("new", None, live.clone()))), [], "it is under way");
    let reused = Some(Err(Refusal::IdReused));
    let effects = desk.say(recalled("message", reused, live));
    assert_eq!(answers(&effects), [(3, Err(Refusal::IdReused))]);
    let effects = desk.say(ToOperator::At(at(chat(1), 3, owned())));
    let yes = Ok(OperatorAnswer::Assigned(AssignedAt { seq: 3, at: Timestamp(1_000) }));
    assert_eq!(answers(&effects), [(1, yes), (2, yes)]);
    // And when the chat is hers.
    desk.step(OperatorInput::Call(4, accept("message")));
    let effects = desk.say(recalled("message", reused, at(chat(1), 3, owned())));
    assert_eq!(answers(&effects), [(4, Err(Refusal::IdReused))]);
}

#[test]
fn a_chat_that_does_not_say_what_became_of_a_command_is_asked_for_a_while_only() {
    let mut desk = Desk::present(1);
    for call in 1..=CALLS_HELD_MAX as u64 {
        let accept = OperatorCall::Accept {
            chat: chat(1),
            offer: OfferId::of(9, 9),
            command: command(&format!("c{call}")),
        };
        assert_eq!(answers(&desk.step(OperatorInput::Call(call, accept))), []);
    }
    let effects = desk.later(RECALL_LIMIT_MS);
    assert_eq!(answers(&effects).len(), CALLS_HELD_MAX);
    assert!(answers(&effects).iter().all(|(_, answer)| *answer == Err(Refusal::Unavailable)));
    let decline =
        OperatorCall::Decline { chat: chat(2), offer: OfferId::of(9, 8), command: command("d") };
    assert_eq!(answers(&desk.step(OperatorInput::Call(99, decline))), [], "there is room again");
}

#[test]
fn of_two_connections_that_accept_both_get_the_same_answer_and_the_offer_leaves_both() {
    let mut desk = Desk::present(1);
    desk.connect(2);
    let offer = desk.offered(chat(1), true);
    let accept = |id| OperatorCall::Accept { chat: chat(1), offer, command: command(id) };
    let effects = desk.step(OperatorInput::Call(11, accept("one")));
    assert!(answers(&effects).is_empty(), "nobody hears yes before the chat has said so");
    desk.step(OperatorInput::Call(12, accept("two")));
    let assigned = AssignedAt { seq: 3, at: desk.now };
    let won = ChatAt { moved_at: desk.now, ..at(chat(1), 3, owned()) };
    let effects = desk.say(ToOperator::AssignAnswer {
        command: Some(command("one")),
        by: AssignBy::Offer(offer, 0),
        result: Ok(assigned),
        at: Some(won.clone()),
        chat: chat(1),
    });
    let yes = Ok(OperatorAnswer::Assigned(assigned));
    assert_eq!(answers(&effects), [(11, yes)]);
    // The chat knows nothing of the other id: it asked for what has been done.
    let effects = desk.say(ToOperator::Recalled {
        chat: chat(1),
        command: command("two"),
        asked: Asked::Accept(offer),
        result: None,
        at: Some(won),
    });
    assert_eq!(answers(&effects), [(12, yes)]);
    // One connection may go: somebody is still there.
    desk.step(OperatorInput::Disconnected(1));
    assert!(desk.ann.is_present());
    desk.step(OperatorInput::Disconnected(2));
    assert!(!desk.ann.is_present());
}
