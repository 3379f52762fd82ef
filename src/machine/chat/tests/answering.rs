//! Answers: looked up first, remembered in bounds, the same after a fold.

use crate::domain::limits::{CHAT_MESSAGES_MAX, COMMANDS_REMEMBERED};
use crate::domain::{ChatEvent, OfferId, Party, Place, Reach, Recorded, Timestamp, UserId};
use crate::machine::chat::tests::{Bench, refusal};
use crate::machine::chat::{
    Answer, Chat, ChatCall, ChatEffect, ChatInput, Context, Lookup, Recent, Refusal, Saying, Target,
};
use crate::machine::driver::{Search, Step, alike};
use crate::machine::fixture::*;
use crate::machine::message::{Asked, AssignBy, AssignedAt, ToChat, ToOperator};

fn first_answer(bench: &mut Bench, call: ChatCall) -> Option<Result<Answer, Refusal>> {
    let decided = bench.call(call);
    assert!(decided.events.is_empty(), "a repeat adds nothing: {decided:?}");
    match decided.effects.as_slice() {
        [ChatEffect::Answer(_, answer)] => Some(*answer),
        _ => None,
    }
}

#[test]
fn a_repeat_gets_its_first_answer_however_the_chat_has_moved_since() {
    let mut bench = Bench::opened();
    let hello = || send(customer(), "m1", "hello");
    bench.later(5).call(hello());
    let written = Answer { seq: 3, at: bench.now };
    bench.later(5).call(end(customer(), "bye"));
    let ended = Answer { seq: 4, at: bench.now };
    bench.later(5);
    assert_eq!(first_answer(&mut bench, hello()), Some(Ok(written)));
    assert_eq!(first_answer(&mut bench, end(customer(), "bye")), Some(Ok(ended)));
    // The next life knows them too.
    bench.chat = bench.folded();
    assert_eq!(first_answer(&mut bench, hello()), Some(Ok(written)));
    assert_eq!(first_answer(&mut bench, end(customer(), "bye")), Some(Ok(ended)));
    assert_eq!(
        first_answer(&mut bench, open()),
        Some(Ok(Answer { seq: 1, at: Timestamp(10_000) }))
    );
}

#[test]
fn a_repeat_after_a_transfer_still_gets_its_first_answer_though_the_right_is_gone() {
    let mut bench = Bench::opened();
    bench.say(offer(1, OFFER, Reach::Directed, &[ANN]));
    bench.say(accept(ANN, OFFER, "yes", Timestamp(u64::MAX)));
    bench.call(send(user(ANN), "m1", "hello"));
    let to = Target::Queue(OTHER_QUEUE);
    bench.call(ChatCall::Transfer { by: user(ANN), command: command("away"), to });
    let again = first_answer(&mut bench, send(user(ANN), "m1", "hello"));
    assert_eq!(again, Some(Ok(Answer { seq: 5, at: bench.now })));
    let new = bench.call(send(user(ANN), "m2", "hello?"));
    assert_eq!(refusal(&new), Some(Refusal::NotYours));
}

#[test]
fn an_id_is_looked_up_before_anything_else_is_checked() {
    let always = Timestamp(u64::MAX);
    let mut bench = Bench::opened();
    bench.say(offer(1, OFFER, Reach::Directed, &[ANN]));
    let accepted = || accept(ANN, OFFER, "yes", always);
    bench.say(accepted());
    let owned = AssignedAt { seq: bench.chat.tail(), at: bench.now };
    let away = || ChatCall::Transfer {
        by: user(ANN),
        command: command("away"),
        to: Target::Queue(OTHER_QUEUE),
    };
    bench.later(5).call(away());
    let moved = Answer { seq: bench.chat.tail(), at: bench.now };
    bench.later(5);
    // The chat is hers no longer, nor is there an offer.
    assert_eq!(first_answer(&mut bench, away()), Some(Ok(moved)));
    let said = |bench: &mut Bench, said: ToChat| {
        let decided = bench.say(said);
        assert!(decided.events.is_empty(), "{decided:?}");
        match decided.effects.as_slice() {
            [ChatEffect::Own(Saying::ToOperator(ANN, said))] => said.as_ref().clone(),
            effects => panic!("{effects:?}"),
        }
    };
    match said(&mut bench, accepted()) {
        ToOperator::AssignAnswer { result, .. } => assert_eq!(result, Ok(owned)),
        said => panic!("{said:?}"),
    }
    let decline = ToChat::Decline { offer: OFFER, operator: ANN, stay: 0, command: command("yes") };
    match said(&mut bench, decline) {
        ToOperator::Recalled { result, .. } => assert_eq!(result, Some(Err(Refusal::IdReused))),
        said => panic!("{said:?}"),
    }
}

#[test]
fn a_late_repeat_of_a_take_that_was_refused_finds_nothing() {
    let mut bench = Bench::opened();
    let take = |placement| ToChat::Assign {
        operator: ANN,
        command: Some(command("t")),
        by: AssignBy::Take { placement, queues: vec![QUEUE], any: false },
        valid_until: Timestamp(u64::MAX),
    };
    // Where it is was not known; the refusal tells it, and the operator asks anew or lets it be.
    assert!(bench.say(take(0)).events.is_empty());
    assert_eq!(bench.say(take(1)).events.len(), 1);
    let mut bench = Bench::opened();
    bench.say(offer(1, OFFER, Reach::ToAll, &[BOB]));
    bench.say(ToChat::Decline { offer: OFFER, operator: BOB, stay: 0, command: command("no") });
    assert_eq!(bench.chat.place(), Some(&Place::Waiting));
    assert!(bench.say(take(1)).events.is_empty(), "it waits there again, and the slot is gone");
}

#[test]
fn the_same_id_for_something_else_is_refused() {
    let mut bench = Bench::opened();
    bench.call(send(customer(), "m1", "hello"));
    let other_text = bench.call(send(customer(), "m1", "good bye"));
    assert_eq!(refusal(&other_text), Some(Refusal::IdReused));
    let other_call = bench.call(end(customer(), "m1"));
    assert_eq!(refusal(&other_call), Some(Refusal::IdReused));
    // Ids are each participant's own.
    assert_eq!(bench.call(end(administrator(CYD), "m1")).events.len(), 1);
}

#[test]
fn what_became_of_an_id_is_told_to_whoever_asked_for_the_same_and_to_nobody_else() {
    let mut bench = Bench::opened();
    bench.say(offer(1, OFFER, Reach::Directed, &[ANN]));
    bench.say(accept(ANN, OFFER, "yes", Timestamp(u64::MAX)));
    bench.call(send(user(ANN), "m1", "hello"));
    let mut recall = |id: &str, asked| {
        let decided = bench.say(ToChat::Recall { operator: ANN, command: command(id), asked });
        match decided.effects.as_slice() {
            [ChatEffect::Own(Saying::ToOperator(ANN, said))] => match said.as_ref() {
                ToOperator::Recalled { result, .. } => *result,
                said => panic!("{said:?}"),
            },
            effects => panic!("{effects:?}"),
        }
    };
    let yes = recall("yes", Asked::Accept(OFFER));
    assert!(matches!(yes, Some(Ok(AssignedAt { seq: 4, .. }))), "{yes:?}");
    let reused = Some(Err(Refusal::IdReused));
    let dead = OfferId::of(9, 9);
    for asked in [Asked::Accept(dead), Asked::Decline(OFFER), Asked::Take] {
        assert_eq!(recall("yes", asked), reused, "{asked:?}");
        assert_eq!(recall("m1", asked), reused, "a message's id: {asked:?}");
        assert_eq!(recall("new", asked), None);
    }
}

#[test]
fn the_oldest_answers_are_forgotten_and_no_others() {
    let mut bench = Bench::opened();
    for n in 0..COMMANDS_REMEMBERED {
        bench.call(send(customer(), &format!("m{n}"), "words"));
    }
    let known = |bench: &Bench, id: &str| {
        bench.chat.recall(Party::Customer(CUSTOMER.id), &command(id)) != Lookup::New
    };
    assert!(!known(&bench, "open"), "one more than fits: the first is gone");
    assert!(known(&bench, "m0"));
    bench.call(send(customer(), "last", "words"));
    assert!(!known(&bench, "m0") && known(&bench, "m1") && known(&bench, "last"));
    assert_eq!(bench.folded(), bench.chat);
}

#[test]
fn of_too_many_who_speak_the_least_recent_is_looked_up_in_the_log_and_no_other() {
    let recent = Recent { commands: 4, parties: 2 };
    let mut chat = Chat::remembering(CHAT, recent);
    let said = |chat: &mut Chat, who: UserId, id: &str| {
        let (seq, from) = (chat.tail() + 1, Party::User(who));
        let event = ChatEvent::Message { from, id: command(id), text: text("words") };
        chat.apply(&Recorded { seq, at: Timestamp(seq), event, names: Default::default() });
    };
    for (who, id) in [(ANN, "a1"), (BOB, "b1"), (ANN, "a2"), (CYD, "c1")] {
        said(&mut chat, who, id);
    }
    let known = |who, id: &str| chat.recall(Party::User(who), &command(id)) != Lookup::New;
    assert!(known(ANN, "a1") && known(ANN, "a2") && known(CYD, "c1"), "they spoke last");
    assert!(!known(BOB, "b1"));
    let again = |who, id| ChatInput::Call(1, send(user(who), id, "words"));
    assert!(Search::of(&chat, &again(BOB, "b1")).is_some(), "it stands in the log");
    assert!(Search::of(&chat, &again(ANN, "a1")).is_none());
}

#[test]
fn a_full_chat_takes_no_message_and_can_still_be_ended() {
    let mut bench = Bench::opened();
    let party = Party::Customer(CUSTOMER.id);
    for n in 1..=CHAT_MESSAGES_MAX {
        let seq = bench.chat.tail() + 1;
        // One above the bound would be a decision; the log is made by hand.
        let event = ChatEvent::Message { from: party, id: command("m"), text: text("words") };
        bench.chat.apply(&Recorded { seq, at: bench.now, event, names: Default::default() });
        if n == CHAT_MESSAGES_MAX - 1 {
            let one_more = bench.clone().call(send(customer(), "fits", "words"));
            assert_eq!(one_more.events.len(), 1, "the last place can be used");
        }
    }
    let over = bench.call(send(customer(), "over", "words"));
    assert_eq!(refusal(&over), Some(Refusal::ChatFull));
    // They take no room from what the router does with the chat.
    assert!(!bench.say(offer(1, OFFER, Reach::Directed, &[ANN])).events.is_empty());
    assert!(!bench.chat.at().unwrap().spent);
    assert!(!bench.call(end(customer(), "bye")).events.is_empty());
}

/// Looks for a call in the log, page by page, and answers it.
fn looked_up(chat: &Chat, log: &[Recorded], call: ChatCall) -> Vec<ChatEffect> {
    let input = ChatInput::Call(1, call);
    let (mut search, mut from) = Search::of(chat, &input).expect("only the log knows it");
    let found = loop {
        match search.page(&log[from as usize - 1..]) {
            Step::Read(next) => from = next,
            Step::Over(found) => break found,
            Step::Gap(at) => panic!("no {at}"),
        }
    };
    let (now, process, life) = (Timestamp(0), 1, 7);
    chat.decide(&Context { now, process, life, unheard: false, found }, &input).effects
}

#[test]
fn an_old_id_is_found_wherever_it_may_stand_and_only_with_whoever_used_it() {
    const MESSAGES: u64 = 4_000;
    let mut chat = Chat::remembering(CHAT, Recent { commands: 1, parties: 1 });
    let mut log = Bench::opened().log;
    let who = [Party::Customer(CUSTOMER.id), Party::User(ANN)];
    // Of two ids of the customer the filter does not tell one from the other.
    let alike = alike(who[0]);
    let id_of = |n: u64| match n {
        10 => alike.0.clone(),
        3_000 => alike.1.clone(),
        // Both use the same ids, one after the other.
        n => command(&format!("m{}", n / 2)),
    };
    for n in 0..MESSAGES {
        let (seq, from) = (log.len() as u64 + 1, who[n as usize % 2]);
        let id = id_of(n);
        let event = ChatEvent::Message { from, id, text: text("words") };
        log.push(Recorded { seq, at: Timestamp(seq), event, names: Default::default() });
    }
    let (seq, at) = (log.len() as u64 + 1, Timestamp(20_000));
    let event = ChatEvent::Message { from: Party::System, id: command("s"), text: text("words") };
    log.push(Recorded { seq, at, event, names: Default::default() });
    log.iter().for_each(|recorded| chat.apply(recorded));
    let mut several = 0;
    for n in 0..MESSAGES {
        let id = id_of(n);
        let places = chat.journal.answers().may_stand(who[n as usize % 2], &id).len();
        // Most stand in one place; a few may stand in several, of which one is right.
        if places < 2 && n > 9 {
            continue;
        }
        several += usize::from(places > 1);
        let customers = n % 2 == 0;
        let by = if customers { customer() } else { user(ANN) };
        let (seq, at) = (n + 3, Timestamp(n + 3));
        let answer = looked_up(&chat, &log, send(by, id.as_str(), "words"));
        assert_eq!(answer, [ChatEffect::Answer(1, Ok(Answer { seq, at }))], "{id}");
    }
    assert_eq!(several, 2, "each of the two may be where the other is");
}

#[test]
fn a_transfer_is_answered_when_its_outcome_is_durable() {
    let mut bench = Bench::opened();
    bench.say(offer(1, OFFER, Reach::Directed, &[ANN]));
    bench.say(accept(ANN, OFFER, "yes", Timestamp(u64::MAX)));
    let to_bob = |bench: &mut Bench, id| {
        let to = Target::Operator(BOB);
        bench.call(ChatCall::Transfer { by: user(ANN), command: command(id), to })
    };
    let ann = Party::User(ANN);
    // Asked, and no answer comes in time.
    let asked = to_bob(&mut bench, "t1");
    assert_eq!(asked.effects, [ChatEffect::AnswerLater(1 + 1, ann, command("t1"))]);
    assert_eq!(bench.chat.recall(ann, &command("t1")), Lookup::Pending);
    let deadline = bench.chat.next_deadline().unwrap();
    bench.now = Timestamp(deadline.0 - 1);
    assert!(bench.input(&ChatInput::Tick).events.is_empty());
    bench.now = deadline;
    assert_eq!(bench.input(&ChatInput::Tick).events.len(), 1);
    let lookup = bench.chat.recall(ann, &command("t1"));
    assert!(matches!(lookup, Lookup::Known(Err(Refusal::TargetUnavailable { .. }))), "{lookup:?}");
    assert_eq!(bench.chat.place().unwrap().owner(), Some(ANN), "the owner keeps it");
    // Asked again under another id, and taken.
    to_bob(&mut bench, "t2");
    let reservation = bench.chat.transfer().unwrap().reservation;
    let by = AssignBy::Transfer(reservation);
    let valid_until = bench.now;
    bench.say(ToChat::Assign { operator: BOB, command: None, by, valid_until });
    assert_eq!(bench.chat.place().unwrap().owner(), Some(BOB));
    assert_eq!(bench.chat.state(), Some(crate::domain::ChatState::InProgress), "at once");
    let seq = bench.chat.tail();
    assert_eq!(
        bench.folded().recall(ann, &command("t2")),
        Lookup::Known(Ok(Answer { seq, at: bench.now }))
    );
    assert_eq!(bench.folded(), bench.chat);
}

#[test]
fn what_comes_after_its_time_is_too_late() {
    let mut bench = Bench::opened();
    bench.say(offer(1, OFFER, Reach::Directed, &[ANN]));
    let valid_until = bench.now;
    let assign = ChatInput::Said(accept(ANN, OFFER, "yes", valid_until));
    // In time when it came, too late when the row was marked: the driver decides again then.
    let decide = |now| {
        bench
            .chat
            .decide(&Context { now, process: 1, life: 7, unheard: false, found: None }, &assign)
            .events
            .len()
    };
    assert_eq!(decide(valid_until), 1);
    assert_eq!(decide(valid_until.plus_ms(1)), 0);
}

#[test]
fn a_chat_goes_on_in_another_and_never_in_itself() {
    let mut bench = Bench::opened();
    bench.call(end(customer(), "bye"));
    let itself = bench.call(ChatCall::Continue { chat: CHAT });
    assert!(matches!(refusal(&itself), Some(Refusal::WrongState { .. })), "{itself:?}");
    bench.call(ChatCall::Continue { chat: OTHER_CHAT });
    assert_eq!(bench.chat.continued_in(), Some(OTHER_CHAT));
}
