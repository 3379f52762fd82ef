//! What takes a slot before the chat has said whose it is.

use super::*;

fn take(desk: &mut Desk, n: u128, id: &str, call: u64) -> Vec<OperatorEffect> {
    let (command, chat_administrator) = (command(id), true);
    let take = OperatorCall::Take { chat: chat(n), command, chat_administrator };
    desk.step(OperatorInput::Call(call, take))
}

fn reserves(desk: &mut Desk, queue: QueueId, expires_at: Timestamp) -> Result<(), Standing> {
    desk.offers += 1;
    let (offer, chat) = (OfferId::of(60, desk.offers), chat(100 + u128::from(desk.offers)));
    let effects = desk.say(ToOperator::Reserve {
        queue,
        offer,
        chat,
        rank: 0,
        weight: Default::default(),
        expires_at,
    });
    let answer = effects.iter().find_map(|effect| match effect {
        OperatorEffect::ToQueue(_, ToQueue::ReserveAnswer { result, .. }) => Some(*result),
        _ => None,
    });
    answer.expect("a reservation is answered")
}

fn transferred(desk: &mut Desk, n: u128, reservation: u64, expires_at: Timestamp) -> Vec<ToChat> {
    let effects = desk.say(ToOperator::ReserveTransfer {
        chat: chat(n),
        queue: QUEUE,
        weight: Default::default(),
        reservation: OfferId::of(80, reservation),
        by: crate::domain::Party::User(BOB),
        expires_at,
    });
    let said = effects.into_iter().filter_map(|effect| match effect {
        OperatorEffect::ToChat(of, said) if of == chat(n) => Some(said),
        _ => None,
    });
    said.collect()
}

fn assigns(said: &[ToChat]) -> bool {
    said.iter().any(|said| matches!(said, ToChat::Assign { .. }))
}

fn is_assigning(desk: &Desk, n: u128) -> bool {
    desk.ann.slots().get(&chat(n)).is_some_and(|slot| matches!(slot.held, Held::Assigning { .. }))
}

#[test]
fn a_take_under_way_counts_against_the_limit_of_every_queue_that_it_may_turn_out_to_be_of() {
    let mut desk = Desk::present(3);
    let mut both = account(3);
    both.queues.insert(OTHER_QUEUE, both.queues[&QUEUE]);
    both.per_operator_limits = Arc::new(BTreeMap::from([(QUEUE, 1), (OTHER_QUEUE, 1)]));
    desk.step(OperatorInput::Account(both));
    take(&mut desk, 1, "t", 1);
    let soon = desk.now.plus_ms(TIMEOUT_MS);
    assert_eq!(reserves(&mut desk, QUEUE, soon), Err(Standing::Full));
    assert_eq!(reserves(&mut desk, OTHER_QUEUE, soon), Err(Standing::Full));
    // The chat says of which it is: now the other has room.
    let by = AssignBy::Take { placement: 0, queues: Vec::new(), any: true };
    let state = crate::domain::ChatState::Waiting;
    desk.say(ToOperator::AssignAnswer {
        command: Some(command("t")),
        by,
        result: Err(Refusal::WrongState { state }),
        at: Some(at(chat(1), 1, Place::Waiting)),
        chat: chat(1),
    });
    assert_eq!(reserves(&mut desk, QUEUE, soon), Err(Standing::Full));
    assert_eq!(reserves(&mut desk, OTHER_QUEUE, soon), Ok(()));
    assert_eq!(reserves(&mut desk, OTHER_QUEUE, soon), Err(Standing::Full), "a reservation counts");
}

#[test]
fn a_slot_is_held_for_nothing_whose_time_is_over() {
    let mut desk = Desk::present(1);
    let now = desk.now;
    assert_eq!(reserves(&mut desk, QUEUE, now), Err(Standing::Choosing));
    let refused = transferred(&mut desk, 1, 1, now);
    assert!(matches!(refused[..], [ToChat::ReserveRefused { .. }]), "{refused:?}");
    assert_eq!(desk.ann.load(), 0);
}

#[test]
fn only_the_answer_to_the_assign_under_way_ends_it() {
    let mut desk = Desk::present(1);
    let offer = desk.offered(chat(1), true);
    let accept = OperatorCall::Accept { chat: chat(1), offer, command: command("yes") };
    desk.step(OperatorInput::Call(1, accept));
    let live = desk.live(chat(1), offer, Reach::Directed);
    let answer = |id: &str, offer| ToOperator::AssignAnswer {
        command: Some(command(id)),
        by: AssignBy::Offer(offer, 0),
        result: Err(Refusal::Late),
        at: Some(live.clone()),
        chat: chat(1),
    };
    for other in [answer("another", offer), answer("yes", OfferId::of(9, 9))] {
        let effects = desk.say(other);
        assert!(answers(&effects).is_empty() && is_assigning(&desk, 1), "{effects:?}");
    }
    assert_eq!(answers(&desk.say(answer("yes", offer))), [(1, Err(Refusal::Late))]);
    assert!(!is_assigning(&desk, 1));
}

#[test]
fn a_recalled_command_leaves_the_slot_of_a_take_on_its_way() {
    let mut desk = Desk::present(1);
    take(&mut desk, 1, "first", 1);
    // The same under another id, which may have been used before: the chat is asked, and says where
    // it is.
    take(&mut desk, 1, "second", 2);
    desk.say(ToOperator::Recalled {
        chat: chat(1),
        command: command("second"),
        asked: Asked::Take,
        result: None,
        at: Some(at(chat(1), 1, Place::Waiting)),
    });
    assert!(is_assigning(&desk, 1), "it may still land");
    assert_eq!(desk.ann.standing(), Standing::Full);
    let soon = desk.now.plus_ms(TIMEOUT_MS);
    assert_eq!(reserves(&mut desk, QUEUE, soon), Err(Standing::Full));
}

#[test]
fn a_take_that_is_told_the_placement_after_its_time_is_not_sent_again() {
    let mut desk = Desk::present(1);
    let sent_at = desk.now;
    take(&mut desk, 1, "t", 1);
    while desk.now < sent_at.plus_ms(ASSIGN_LIMIT_MS) {
        desk.now = desk.ann.next_deadline(desk.now).expect("it is said again");
        desk.step(OperatorInput::Tick);
    }
    let refusal = Refusal::WrongState { state: crate::domain::ChatState::Waiting };
    let effects = desk.say(ToOperator::AssignAnswer {
        command: Some(command("t")),
        by: AssignBy::Take { placement: 0, queues: Vec::new(), any: true },
        result: Err(refusal),
        at: Some(at(chat(1), 1, Place::Waiting)),
        chat: chat(1),
    });
    assert_eq!(answers(&effects), [(1, Err(refusal))]);
    assert_eq!(desk.ann.load(), 0);
}

#[test]
fn a_repeated_transfer_is_answered_as_the_first_and_another_one_refused() {
    let mut desk = Desk::present(2);
    let soon = desk.now.plus_ms(TIMEOUT_MS);
    assert!(assigns(&transferred(&mut desk, 1, 1, soon)));
    assert!(assigns(&transferred(&mut desk, 1, 1, soon)), "a repeat");
    let refused = transferred(&mut desk, 1, 2, soon);
    assert!(matches!(refused[..], [ToChat::ReserveRefused { .. }]), "{refused:?}");
    // The queue's own limit binds transfers, too.
    let mut limited = account(2);
    limited.per_operator_limits = Arc::new(BTreeMap::from([(QUEUE, 1)]));
    desk.step(OperatorInput::Account(limited));
    let refused = transferred(&mut desk, 2, 3, soon);
    let full = Standing::Full;
    let wanted = ToChat::ReserveRefused { reservation: OfferId::of(80, 3), standing: full };
    assert_eq!(refused, [wanted]);
}

#[test]
fn a_chat_that_comes_to_take_a_slot_is_no_invitation_any_more() {
    let gone = |effects: &[OperatorEffect]| reason(effects) == Some(Gone::Accepted);
    let mut desk = Desk::present(2);
    desk.invited(chat(1));
    assert!(gone(&take(&mut desk, 1, "t", 1)), "by hand");
    assert!(desk.ann.invites().is_empty() && is_assigning(&desk, 1));
    let mut desk = Desk::present(2);
    desk.invited(chat(1));
    let soon = desk.now.plus_ms(TIMEOUT_MS);
    assert!(assigns(&transferred(&mut desk, 1, 1, soon)), "by transfer");
    assert!(desk.ann.invites().is_empty() && is_assigning(&desk, 1));
}

#[test]
fn a_chat_that_is_offered_to_her_alone_is_no_invitation_any_more() {
    let mut desk = Desk::present(2);
    desk.invited(chat(1));
    let (offer, expires_at) = (OfferId::of(60, 1), desk.now.plus_ms(TIMEOUT_MS));
    desk.say(ToOperator::Reserve {
        queue: QUEUE,
        offer,
        chat: chat(1),
        rank: 0,
        weight: Default::default(),
        expires_at,
    });
    let live = desk.live(chat(1), offer, Reach::Directed);
    desk.say(ToOperator::At(ChatAt { placement: 4, version: 4, ..live }));
    assert!(desk.ann.invites().is_empty());
    assert!(matches!(desk.ann.slots()[&chat(1)].held, Held::Offered { .. }));
}

#[test]
fn a_slot_that_may_be_owned_counts_when_another_offer_is_accepted() {
    let moving = Some(Moving { to: Some(ANN) });
    let mut desk = Desk::absent(2, vec![row(chat(1), Place::Waiting, moving)]);
    desk.connect(1);
    let offer = desk.offered(chat(2), true);
    assert_eq!(desk.ann.slots()[&chat(1)].held, Held::Unsure);
    desk.step(OperatorInput::Account(account(1)));
    let accept = OperatorCall::Accept { chat: chat(2), offer, command: command("yes") };
    let effects = desk.step(OperatorInput::Call(1, accept));
    assert_eq!(answers(&effects), [(1, Err(Refusal::NoSlot(Standing::Full)))]);
}

#[test]
fn what_became_of_an_id_is_told_to_whoever_asked_for_the_same_with_it() {
    let mut desk = Desk::present(1);
    let dead = OfferId::of(9, 9);
    let accept = OperatorCall::Accept { chat: chat(1), offer: dead, command: command("x") };
    let decline = OperatorCall::Decline { chat: chat(1), offer: dead, command: command("x") };
    desk.step(OperatorInput::Call(1, accept));
    desk.step(OperatorInput::Call(2, decline));
    let recalled = |asked| ToOperator::Recalled {
        chat: chat(1),
        command: command("x"),
        asked,
        result: None,
        at: Some(at(chat(1), 1, Place::Waiting)),
    };
    let gone = Err(Refusal::OfferGone);
    assert_eq!(answers(&desk.say(recalled(Asked::Accept(dead)))), [(1, gone)]);
    assert_eq!(answers(&desk.say(recalled(Asked::Decline(dead)))), [(2, gone)]);
}

#[test]
fn a_chat_that_nothing_here_expected_is_asked_where_it_is() {
    let mut desk = Desk::present(1);
    let effects = desk.say(ToOperator::At(at(chat(1), 3, owned())));
    assert_eq!((&desk.ann.slots()[&chat(1)].held, desk.ann.load()), (&Held::Unsure, 1));
    let asks = |effects: &[OperatorEffect]| {
        let asks = |e: &OperatorEffect| matches!(e, OperatorEffect::ToChat(_, ToChat::Ask { .. }));
        effects.iter().any(asks)
    };
    let next = desk.ann.next_deadline(desk.now).expect("it is asked");
    assert!(asks(&effects) || asks(&desk.woken_at(next)));
    desk.say(ToOperator::At(at(chat(1), 3, owned())));
    assert_eq!(desk.ann.slots()[&chat(1)].held, Held::Active);
}

#[test]
fn nobody_accepts_what_it_is_declining() {
    let mut desk = Desk::present(1);
    let offer = desk.invited(chat(1));
    let decline = OperatorCall::Decline { chat: chat(1), offer, command: command("no") };
    desk.step(OperatorInput::Call(1, decline));
    let accept = OperatorCall::Accept { chat: chat(1), offer, command: command("yes") };
    let effects = desk.step(OperatorInput::Call(2, accept));
    assert_eq!(answers(&effects), [(2, Err(Refusal::OfferGone))]);
    assert_eq!(desk.ann.load(), 0);
}

#[test]
fn who_is_offline_takes_nothing() {
    let mut desk = Desk::present(1);
    desk.step(OperatorInput::Call(1, OperatorCall::SetStatus(Status::Offline)));
    let offline = Err(Refusal::NoSlot(Standing::Offline));
    assert_eq!(answers(&take(&mut desk, 1, "t", 2)), [(2, offline)]);
    assert_eq!(desk.ann.load(), 0);
}

#[test]
fn what_is_said_of_an_offer_to_all_names_the_stay_in_it() {
    let came_back = || {
        let mut desk = Desk::present(1);
        let live = to_all_at(&desk, 4, Some(1));
        desk.say(ToOperator::At(live));
        desk
    };
    let stay = |effects: &[OperatorEffect]| {
        effects.iter().find_map(|effect| match effect {
            OperatorEffect::ToChat(_, ToChat::Withdraw { stay, .. })
            | OperatorEffect::ToChat(_, ToChat::Decline { stay, .. })
            | OperatorEffect::ToChat(_, ToChat::Assign { by: AssignBy::Offer(_, stay), .. }) => {
                Some(*stay)
            }
            _ => None,
        })
    };
    let (chat, offer, command) = (chat(1), OfferId::of(50, 1), command("x"));
    for call in [
        OperatorCall::SetStatus(Status::Busy),
        OperatorCall::Decline { chat, offer, command: command.clone() },
        OperatorCall::Accept { chat, offer, command },
    ] {
        let effects = came_back().step(OperatorInput::Call(1, call.clone()));
        assert_eq!(stay(&effects), Some(1), "{call:?}");
    }
}
