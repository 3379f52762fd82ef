//! What a new life counts, and when.

use super::*;

#[test]
fn a_restarted_operator_reads_its_slots_only_when_no_assign_of_before_can_land() {
    let record = OperatorRecord { status: Status::Ready, ..Default::default() };
    let ann = Operator::new(ANN, account(1), record, 2, NEXT);
    let mut desk = Desk { ann, now: START, offers: 0 };
    desk.connect(1);
    assert!(!desk.later(ASSIGN_LIMIT_MS - 1).contains(&OperatorEffect::ReadIndex));
    let offer = OFFER;
    let reserve = ToOperator::Reserve {
        queue: QUEUE,
        rank: 0,
        weight: Default::default(),
        offer,
        chat: chat(1),
        expires_at: desk.now.plus_ms(TIMEOUT_MS),
    };
    let effects = desk.say(reserve);
    let refused = effects.iter().any(|effect| {
        matches!(
            effect,
            OperatorEffect::ToQueue(
                _,
                ToQueue::ReserveAnswer { result: Err(Standing::Choosing), .. }
            )
        )
    });
    assert!(refused, "it reserves nothing before: {effects:?}");
    assert!(desk.later(1).contains(&OperatorEffect::ReadIndex));
    desk.step(OperatorInput::Recovered(vec![row(chat(2), owned(), None)]));
    assert_eq!((desk.ann.load(), desk.ann.standing()), (1, Standing::Full));
}

#[test]
fn a_word_on_its_way_since_before_the_restart_hides_no_chat_that_the_index_has() {
    let record = OperatorRecord { status: Status::Ready, ..Default::default() };
    let ann = Operator::new(ANN, account(3), record, 2, NEXT);
    let mut desk = Desk { ann, now: START, offers: 0 };
    desk.connect(1);
    for n in 1..=3 {
        // Offered to all in placement 2, as it was once, or is.
        desk.invited(chat(n));
    }
    desk.later(ASSIGN_LIMIT_MS);
    let moving = Some(Moving { to: Some(ANN) });
    let mine = OpenChat { placement: 3, ..row(chat(1), owned(), None) };
    let older = OpenChat { placement: 1, ..row(chat(3), owned(), None) };
    let rows = vec![mine, row(chat(2), Place::Waiting, moving), older];
    desk.step(OperatorInput::Recovered(rows));
    assert_eq!(desk.ann.slots()[&chat(1)].held, Held::Active, "the index is newer");
    assert_eq!(desk.ann.slots()[&chat(2)].held, Held::Unsure, "nobody knows");
    assert!(desk.ann.invites().contains_key(&chat(3)), "the word is newer");
    assert_eq!((desk.ann.load(), desk.ann.invites().len()), (2, 1));
}

#[test]
fn a_marked_row_costs_a_slot_until_its_chat_has_told_where_it_is() {
    let moving = Some(Moving { to: Some(ANN) });
    let rows = vec![row(chat(1), Place::Waiting, moving), row(chat(2), owned(), None)];
    let mut desk = Desk::absent(2, rows);
    desk.connect(1);
    assert_eq!((desk.ann.load(), desk.ann.standing()), (2, Standing::Full));
    assert_eq!(desk.ann.slots()[&chat(1)].held, Held::Unsure);
    let effects = desk.later(5_000);
    let asked = effects.iter().any(
        |effect| matches!(effect, OperatorEffect::ToChat(of, ToChat::Ask { .. }) if *of == chat(1)),
    );
    assert!(asked, "{effects:?}");
    desk.say(ToOperator::At(at(chat(1), 2, Place::Waiting)));
    assert_eq!((desk.ann.load(), desk.ann.standing()), (1, Standing::Free));
}
