//! Chats that take several slots, or only a part of which fits.

use super::*;
use crate::domain::Weight;
use crate::machine::message::Quote;

fn weight(slots: u32) -> Weight {
    Weight::new(slots).unwrap()
}

fn reserves(desk: &mut Desk, n: u64, rank: i64, slots: u32) -> Result<(), Standing> {
    let (offer, expires_at) = (OfferId::of(60, n), desk.now.plus_ms(TIMEOUT_MS));
    let (chat, weight) = (chat(u128::from(n)), weight(slots));
    let effects =
        desk.say(ToOperator::Reserve { queue: QUEUE, offer, chat, rank, weight, expires_at });
    let mut answers = effects.iter().filter_map(|effect| match effect {
        OperatorEffect::ToQueue(_, ToQueue::ReserveAnswer { result, .. }) => Some(*result),
        _ => None,
    });
    answers.next().unwrap()
}

fn limited(capacity: u32, limit: u32) -> Account {
    let per_operator_limits = Arc::new(BTreeMap::from([(QUEUE, limit)]));
    Account { per_operator_limits, ..account(capacity) }
}

#[test]
fn a_reservation_holds_as_many_slots_as_its_chat_takes() {
    let mut desk = Desk::present(3);
    assert_eq!(reserves(&mut desk, 1, 0, 2), Ok(()));
    assert_eq!((desk.ann.load(), desk.ann.free()), (2, 1));
    assert_eq!(reserves(&mut desk, 2, 0, 2), Err(Standing::Full));
    assert_eq!(reserves(&mut desk, 3, 0, 1), Ok(()));
    assert_eq!(desk.ann.standing(), Standing::Full);
    // The queue's own limit counts slots, too.
    let mut desk = Desk::present(9);
    desk.step(OperatorInput::Account(limited(9, 3)));
    assert_eq!(reserves(&mut desk, 1, 0, 2), Ok(()));
    assert_eq!(reserves(&mut desk, 2, 0, 2), Err(Standing::Full));
    assert_eq!(reserves(&mut desk, 3, 0, 1), Ok(()));
}

#[test]
fn what_a_chat_weighs_goes_on_from_its_offer_to_its_owner() {
    let mut desk = Desk::present(3);
    assert_eq!(reserves(&mut desk, 1, 0, 2), Ok(()));
    let live = desk.live(chat(1), OfferId::of(60, 1), Reach::Directed);
    desk.say(ToOperator::At(ChatAt { weight: weight(2), ..live }));
    assert_eq!(desk.ann.load(), 2, "offered");
    let mine = ChatAt { weight: weight(2), ..at(chat(1), 3, owned()) };
    desk.say(ToOperator::At(mine));
    assert_eq!(desk.ann.load(), 2, "owned");
    let row = OpenChat { weight: weight(2), ..row(chat(1), owned(), None) };
    assert_eq!(Desk::absent(3, vec![row]).ann.load(), 2, "by the index");
}

#[test]
fn an_accept_and_a_transfer_of_a_heavy_chat_need_its_slots() {
    let invite = |desk: &mut Desk| {
        let offer = OfferId::of(70, 1);
        let live = desk.live(chat(1), offer, Reach::ToAll);
        desk.say(ToOperator::At(ChatAt { weight: weight(2), ..live }));
        let accept = OperatorCall::Accept { chat: chat(1), offer, command: command("yes") };
        desk.step(OperatorInput::Call(5, accept))
    };
    let mut desk = Desk::present(2);
    desk.owns(chat(9));
    assert_eq!(answers(&invite(&mut desk)), [(5, Err(Refusal::NoSlot(Standing::Full)))]);
    let mut desk = Desk::present(2);
    assert_eq!(answers(&invite(&mut desk)), []);
    assert_eq!(desk.ann.load(), 2);

    let mut desk = Desk::present(2);
    desk.owns(chat(9));
    let (reservation, expires_at) = (OfferId::of(80, 1), desk.now.plus_ms(TIMEOUT_MS));
    let by = crate::domain::Party::User(BOB);
    let transfer = |weight| ToOperator::ReserveTransfer {
        chat: chat(1),
        queue: QUEUE,
        weight,
        reservation,
        by,
        expires_at,
    };
    let refused = ToChat::ReserveRefused { reservation, standing: Standing::Full };
    let effects = desk.say(transfer(weight(2)));
    assert!(effects.contains(&OperatorEffect::ToChat(chat(1), refused)), "{effects:?}");
    desk.say(transfer(weight(1)));
    assert_eq!(desk.ann.load(), 2);
}

/// Takes a chat by hand, of which the first answer says that it weighs so much.
fn takes(desk: &mut Desk, slots: u32) -> Vec<(u64, Result<OperatorAnswer, Refusal>)> {
    let take =
        OperatorCall::Take { chat: chat(1), command: command("t"), chat_administrator: true };
    desk.step(OperatorInput::Call(4, take));
    answers(&desk.say(ToOperator::AssignAnswer {
        command: Some(command("t")),
        by: AssignBy::Take { placement: 0, queues: Vec::new(), any: true },
        result: Err(Refusal::WrongState { state: crate::domain::ChatState::Waiting }),
        at: Some(ChatAt { weight: weight(slots), ..at(chat(1), 1, Place::Waiting) }),
        chat: chat(1),
    }))
}

#[test]
fn a_take_of_a_chat_that_turns_out_too_heavy_is_refused() {
    let desk = |account| {
        let mut desk = Desk::present(3);
        desk.owns(chat(9));
        desk.step(OperatorInput::Account(account));
        desk
    };
    let mut fits = desk(account(3));
    assert_eq!(takes(&mut fits, 2), []);
    assert_eq!(fits.ann.load(), 3);
    let full = [(4, Err(Refusal::NoSlot(Standing::Full)))];
    assert_eq!(takes(&mut desk(account(3)), 3), full);
    assert_eq!(takes(&mut desk(limited(3, 2)), 2), full);
}

#[test]
fn what_is_kept_gives_way_to_a_heavy_chat_of_smaller_rank_if_that_is_enough() {
    let mut desk = Desk::present(2);
    let terms = Terms { rule: Rule::ToAll, ..desk.ann.account().queues[&QUEUE] };
    let mut account = account(2);
    account.queues.insert(OTHER_QUEUE, terms);
    desk.step(OperatorInput::Account(account));
    for n in [1, 2] {
        let live = desk.live(chat(n), OfferId::of(70, n as u64), Reach::ToAll);
        desk.say(ToOperator::At(ChatAt { queue: OTHER_QUEUE, since: Timestamp(5_000), ..live }));
    }
    let kept = desk.ann.kept().clone();
    assert_eq!(kept.len(), 2);
    // Kept anew it would begin anew.
    desk.later(100);
    assert_eq!(reserves(&mut desk, 3, 9_000, 2), Err(Standing::Kept));
    assert_eq!(reserves(&mut desk, 4, 1_000, 3), Err(Standing::Full));
    assert_eq!(desk.ann.kept(), &kept, "nothing gave way in vain");
    assert_eq!(reserves(&mut desk, 5, 1_000, 2), Ok(()));
    assert!(desk.ann.kept().is_empty());
}

#[test]
fn a_slot_is_given_for_as_much_as_was_quoted() {
    let mut desk = Desk::present(3);
    let pull = |effects: &[OperatorEffect]| {
        effects.iter().find_map(|effect| match effect {
            OperatorEffect::ToQueue(_, ToQueue::Pull { pull, .. }) => Some(*pull),
            _ => None,
        })
    };
    desk.owns(chat(9));
    let gone = OperatorInput::Said(ToOperator::At(at(chat(9), 4, Place::Waiting)));
    let asked = pull(&desk.ann.step(desk.now, gone)).unwrap();
    let best = Quote { rank: 5, weight: weight(2), chat: chat(1), reach: Reach::Directed };
    let best = ToOperator::Best { queue: QUEUE, pull: asked, best: Some(best) };
    let effects = desk.say(best);
    let given = effects.iter().find_map(|effect| match effect {
        OperatorEffect::ToQueue(QUEUE, ToQueue::Give { weight, .. }) => Some(weight.slots()),
        _ => None,
    });
    assert_eq!((given, desk.ann.load()), (Some(2), 2));
}

#[test]
fn a_capacity_that_falls_takes_back_as_much_as_is_above_it() {
    let mut desk = Desk::present(5);
    assert_eq!(reserves(&mut desk, 1, 0, 3), Ok(()));
    desk.later(10);
    assert_eq!(reserves(&mut desk, 2, 0, 2), Ok(()));
    desk.step(OperatorInput::Account(account(4)));
    assert_eq!((desk.ann.reserved().len(), desk.ann.load()), (1, 3), "the newest goes");
    desk.step(OperatorInput::Account(account(3)));
    assert_eq!(desk.ann.load(), 3, "what fills it stays");
}
