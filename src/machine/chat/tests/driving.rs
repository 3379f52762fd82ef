//! The driver: what is done in which order, and what becomes of a store that refuses.

use std::time::Duration;

use crate::domain::event::{OfferEnd, TransferFailure, WithdrawReason};
use crate::domain::limits::{COMMANDS_REMEMBERED, REPEAT_MS, TRANSFER_LIMIT_MS};
use crate::domain::{ChatEvent, Person, Place, Reach, Recorded, Timestamp, UserId};
use crate::machine::chat::driver::{
    Action, ChatAction, Driver, Failure, READ_PAGE, StoreAnswer, StoreCall,
};
use crate::machine::chat::tests::{Bench, variant};
use crate::machine::chat::{Answer, ChatCall, ChatInput, Refusal, Target};
use crate::machine::fixture::*;
use crate::machine::index::Former;
use crate::machine::message::{Asked, Peer, ToChat, ToOperator};
use crate::storage::{AppendError, Claim, Claimed, FEED_HOUR_MS, FeedHour, OpenChat, StoreError};

const CLAIM: Claim = Claim { chat: CHAT, epoch: 1 };

fn now() -> Timestamp {
    Timestamp(20_000)
}

fn kinds(actions: &[Action]) -> Vec<String> {
    let kind = |action: &Action| match action {
        Action::Store(StoreCall::Prepare(preparation)) => variant(preparation),
        Action::Store(call) => variant(call),
        Action::Own(ChatAction::Row(None)) => "RowRemoved".to_owned(),
        Action::Own(action) => variant(action),
        action => variant(action),
    };
    actions.iter().map(kind).collect()
}

/// A driver over a log, claimed and read.
fn started(log: &[Recorded], listed: Option<OpenChat>) -> (Driver, Vec<Action>) {
    started_after(log, listed, None)
}

fn started_after(
    log: &[Recorded],
    listed: Option<OpenChat>,
    rested: Option<u64>,
) -> (Driver, Vec<Action>) {
    let (mut driver, mut actions) =
        Driver::begin(CHAT, 1, 9, Former { row: listed, rested, ending: false });
    actions.extend(driver.wake());
    assert_eq!(kinds(&actions), ["Claim"]);
    let tail = log.len() as u64;
    let claimed = StoreAnswer::Claimed(Ok(Claimed { claim: CLAIM, tail }));
    let mut actions = driver.stored(now(), claimed);
    if tail > 0 {
        assert_eq!(kinds(&actions), ["Read"]);
        actions = paged(&mut driver, log);
    }
    assert!(driver.is_idle());
    (driver, actions)
}

fn marked(driver: &mut Driver) -> Vec<Action> {
    driver.stored(now(), StoreAnswer::Prepared(Ok(())))
}

fn appended(driver: &mut Driver, result: Result<(), AppendError>) -> Vec<Action> {
    driver.stored(now(), StoreAnswer::Appended(result))
}

fn call(call: ChatCall) -> ChatInput {
    ChatInput::Call(5, call)
}

fn answers(actions: &[Action]) -> Vec<(u64, bool)> {
    let answers = actions.iter().filter_map(|action| match action {
        Action::Answer(call, answer) => Some((*call, answer.is_ok())),
        _ => None,
    });
    answers.collect()
}

/// An open chat's log, and its row.
fn waiting() -> (Vec<Recorded>, Option<OpenChat>) {
    let bench = Bench::opened();
    (bench.log.clone(), bench.chat.row())
}

#[test]
fn a_chat_is_listed_before_it_is_opened_and_answered_after_it_is_durable() {
    let (mut driver, actions) = started(&[], None);
    assert!(actions.is_empty());
    assert_eq!(kinds(&driver.input(now(), call(open()))), ["Touch"]);
    assert_eq!(kinds(&touched(&mut driver, now())), ["PutRow"]);
    let actions = marked(&mut driver);
    assert_eq!(kinds(&actions), ["Append"]);
    assert!(!driver.is_idle());
    assert_eq!(driver.chat().tail(), 0, "nothing is applied before it is durable");
    let actions = appended(&mut driver, Ok(()));
    assert_eq!(kinds(&actions), ["Row", "Publish", "Answer", "ToQueue"]);
    assert_eq!(answers(&actions), [(5, true)]);
    let [Action::Own(ChatAction::Row(Some(row))), ..] = actions.as_slice() else {
        panic!("{actions:?}")
    };
    assert_eq!((&row.place, row.moving), (&Some(Place::Waiting), None));
}

#[test]
fn a_change_of_place_marks_the_row_in_memory_and_in_the_store_before_it_is_appended() {
    let (log, row) = waiting();
    let (mut driver, _) = started(&log, row);
    let offered = ChatInput::Said(offer(1, OFFER, Reach::Directed, &[ANN]));
    assert_eq!(kinds(&driver.input(now(), offered)), ["MarkIndex", "Mark"]);
    assert_eq!(kinds(&marked(&mut driver)), ["Append"]);
    let actions = appended(&mut driver, Ok(()));
    assert_eq!(kinds(&actions), ["Row", "Publish", "ToQueue", "ToOperator"]);
    // A message changes no place: no mark.
    let write = call(send(customer(), "m1", "hello"));
    assert_eq!(kinds(&driver.input(now(), write)), ["Append"]);
    assert_eq!(kinds(&appended(&mut driver, Ok(()))), ["Publish", "Answer"]);
}

#[test]
fn an_end_removes_the_row() {
    let (log, row) = waiting();
    let (mut driver, _) = started(&log, row);
    driver.input(now(), call(end(customer(), "bye")));
    marked(&mut driver);
    let actions = appended(&mut driver, Ok(()));
    assert_eq!(kinds(&actions), ["RowRemoved", "Publish", "Answer", "ToQueue"]);
}

/// An ended chat's log.
fn ended() -> Vec<Recorded> {
    let mut bench = Bench::opened();
    bench.call(end(customer(), "bye"));
    bench.log.clone()
}

/// A page of the log, and of what is announced then.
fn paged(driver: &mut Driver, log: &[Recorded]) -> Vec<Action> {
    let actions = driver.stored(now(), StoreAnswer::Page(Ok(log.to_vec())));
    if kinds(&actions) == ["Touch"] { touched(driver, now()) } else { actions }
}

fn touched(driver: &mut Driver, at: Timestamp) -> Vec<Action> {
    driver.stored(at, StoreAnswer::Touched(Ok(())))
}

#[test]
fn a_look_at_an_ended_chat_reads_and_claims_nothing() {
    let log = ended();
    let (mut driver, actions) =
        Driver::begin(CHAT, 1, 9, Former { rested: Some(2), ..Former::default() });
    assert!(actions.is_empty() && driver.is_idle(), "it sleeps until somebody wants something");
    assert_eq!(kinds(&driver.look()), ["Read"]);
    assert!(!driver.is_idle());
    assert!(paged(&mut driver, &log).is_empty());
    assert!(driver.is_idle() && driver.can_rest());
    assert_eq!(driver.chat().tail(), log.len() as u64);
    assert!(driver.look().is_empty(), "it is read once");
    assert_eq!((driver.next_deadline(), driver.told_up_to()), (None, Some(2)));
}

#[test]
fn whoever_wants_to_change_an_ended_chat_claims_it_and_reads_it_anew() {
    let log = ended();
    for looked in [false, true] {
        let (mut driver, _) = Driver::begin(CHAT, 1, 9, Former::default());
        if looked {
            driver.look();
            // An event that was not acknowledged may be seen, and be gone once the chat is claimed.
            let mut seen = log.clone();
            seen.push(Recorded {
                seq: log.len() as u64 + 1,
                at: now(),
                event: ChatEvent::ContinuedIn { chat: CHAT },
                names: Default::default(),
            });
            paged(&mut driver, &seen);
        }
        assert_eq!(kinds(&driver.input(now(), call(end(customer(), "bye")))), ["Claim"]);
        assert_eq!((driver.chat().tail(), driver.is_idle()), (0, false));
        let tail = log.len() as u64;
        let claimed = StoreAnswer::Claimed(Ok(Claimed { claim: CLAIM, tail }));
        assert_eq!(kinds(&driver.stored(now(), claimed)), ["Read"]);
        let actions = paged(&mut driver, &log);
        assert_eq!(answers(&actions), [(5, true)], "the repeat of its end");
        assert_eq!((driver.chat().tail(), driver.told_up_to()), (tail, Some(tail)));
    }
}

#[test]
fn a_chat_that_ended_and_failed_before_everybody_had_heard_tells_it_again_and_leaves_the_index() {
    let log = ended();
    let (mut driver, actions) =
        Driver::begin(CHAT, 1, 9, Former { ending: true, ..Former::default() });
    assert_eq!(kinds(&actions), ["Claim"], "whether somebody asks or not");
    let tail = log.len() as u64;
    driver.stored(now(), StoreAnswer::Claimed(Ok(Claimed { claim: CLAIM, tail })));
    let actions = paged(&mut driver, &log);
    assert_eq!(kinds(&actions), ["RowRemoved"], "the store may still have it");
    assert_eq!(kinds(&driver.input(now(), ChatInput::Tick)), ["ToQueue"]);
    assert!(!driver.can_rest(), "until they have");
}

#[test]
fn a_chat_that_is_opened_is_claimed_before_anything_is_read() {
    let (mut driver, _) = Driver::begin(CHAT, 1, 9, Former::default());
    assert_eq!(kinds(&driver.input(now(), call(open()))), ["Claim"]);
    let claimed = StoreAnswer::Claimed(Ok(Claimed { claim: CLAIM, tail: 0 }));
    assert_eq!(kinds(&driver.stored(now(), claimed)), ["Touch"]);
    assert_eq!(kinds(&touched(&mut driver, now())), ["PutRow"]);
}

#[test]
fn a_chat_that_is_open_though_it_is_not_listed_is_claimed_at_a_look() {
    let (log, _) = waiting();
    let (mut driver, _) = Driver::begin(CHAT, 1, 9, Former::default());
    driver.look();
    assert_eq!(kinds(&paged(&mut driver, &log)), ["Claim"]);
    let claimed = StoreAnswer::Claimed(Ok(Claimed { claim: CLAIM, tail: log.len() as u64 }));
    assert_eq!(kinds(&driver.stored(now(), claimed)), ["Read"]);
    assert_eq!(kinds(&paged(&mut driver, &log))[0], "Row", "and listed");
}

#[test]
fn a_row_whose_chat_was_never_opened_is_removed() {
    let (_, row) = waiting();
    let (_, actions) = started(&[], row);
    assert_eq!(kinds(&actions), ["RowRemoved"]);
}

#[test]
fn an_accept_that_was_valid_before_the_mark_is_refused_when_its_time_ended_during_it() {
    let mut bench = Bench::opened();
    bench.now = now();
    bench.say(offer(1, OFFER, Reach::Directed, &[ANN]));
    let (mut driver, _) = started(&bench.log, bench.chat.row());
    let assign = ChatInput::Said(accept(ANN, OFFER, "yes", now()));
    assert_eq!(kinds(&driver.input(now(), assign)), ["MarkIndex", "Mark"]);
    let actions = driver.stored(now().plus_ms(1), StoreAnswer::Prepared(Ok(())));
    // The row is written anew without its mark, and the operator hears no.
    assert_eq!(kinds(&actions), ["Row", "ToOperator"]);
    assert!(driver.is_idle());
    assert_eq!(driver.chat().place().unwrap().owner(), None);
}

#[test]
fn an_append_of_unknown_outcome_ends_the_life_and_answers_nobody() {
    for (error, wanted) in [
        (AppendError::Unknown { reason: "lost".into() }, Failure::Unknown("lost".into())),
        (AppendError::Fenced, Failure::Fenced),
    ] {
        let (log, row) = waiting();
        let (mut driver, _) = started(&log, row);
        driver.input(now(), call(send(customer(), "m1", "hello")));
        let actions = appended(&mut driver, Err(error));
        assert_eq!(actions, [Action::Fail(wanted)]);
        assert_eq!(driver.chat().tail(), 2, "nothing is applied");
        assert!(!driver.is_idle());
    }
}

#[test]
fn a_silent_store_ends_the_life_and_the_failure_says_of_a_write_alone_that_it_is_unknown() {
    let silent = StoreError::Silent { limit: Duration::from_secs(10) };
    let read = Failure::Silent(silent.clone());
    assert!(!read.is_lasting());
    assert!(!read.to_string().contains("write"), "{read}");
    let (log, row) = waiting();
    let former = || Former { row: row.clone(), ..Former::default() };
    let begin = || Driver::begin(CHAT, 1, 9, former()).0;
    let mut driver = begin();
    let claimed = driver.stored(now(), StoreAnswer::Claimed(Err(silent.clone())));
    assert_eq!(claimed, [Action::Fail(read.clone())]);
    let mut driver = begin();
    driver.stored(now(), StoreAnswer::Claimed(Ok(Claimed { claim: CLAIM, tail: 2 })));
    let paged = driver.stored(now(), StoreAnswer::Page(Err(silent.clone())));
    assert_eq!(paged, [Action::Fail(read)]);
    let (mut driver, _) = started(&log, row);
    assert_eq!(kinds(&driver.input(now(), call(end(customer(), "bye"))))[1], "Mark");
    let marked = driver.stored(now(), StoreAnswer::Prepared(Err(silent.clone())));
    assert_eq!(marked, [Action::Fail(Failure::Unknown(silent.to_string()))]);
}

#[test]
fn an_append_that_the_store_refused_is_answered_unavailable_and_the_row_is_written_anew() {
    let (log, row) = waiting();
    let (mut driver, _) = started(&log, row);
    driver.input(now(), call(end(customer(), "bye")));
    marked(&mut driver);
    let actions = appended(&mut driver, Err(AppendError::Unavailable { reason: "full".into() }));
    assert_eq!(kinds(&actions), ["Answer", "Row"]);
    assert_eq!(actions[0], Action::Answer(5, Err(Refusal::Unavailable)));
    let Action::Own(ChatAction::Row(Some(row))) = &actions[1] else { panic!("{actions:?}") };
    assert_eq!(row.moving, None, "the mark is gone");
    assert!(driver.is_idle());
    // The caller asks again with the same id, and it is done once.
    driver.input(now(), call(end(customer(), "bye")));
    marked(&mut driver);
    assert_eq!(answers(&appended(&mut driver, Ok(()))), [(5, true)]);
    assert_eq!(driver.chat().tail(), 3);
}

#[test]
fn a_mark_that_the_store_refused_changes_nothing() {
    let (log, row) = waiting();
    let (mut driver, _) = started(&log, row);
    driver.input(now(), call(end(customer(), "bye")));
    let refused = StoreError::Unavailable { reason: "busy".into() };
    let actions = driver.stored(now(), StoreAnswer::Prepared(Err(refused)));
    assert_eq!(kinds(&actions), ["Answer", "Row"]);
    assert_eq!(answers(&actions), [(5, false)]);
}

#[test]
fn the_routers_own_deadlines_wait_while_the_store_refuses() {
    let mut bench = Bench::opened();
    bench.now = now();
    bench.say(offer(1, OFFER, Reach::Directed, &[ANN]));
    let (mut driver, _) = started(&bench.log, bench.chat.row());
    // Everybody has heard where it is.
    for peer in [Peer::Queue(QUEUE), Peer::Operator(ANN)] {
        let at = bench.chat.at().unwrap();
        let (placement, version) = (at.placement, at.version);
        driver.input(now(), ChatInput::Said(ToChat::Seen { peer, placement, version }));
    }
    assert!(driver.can_rest());
    let deadline = driver.next_deadline().unwrap();
    assert_eq!(kinds(&driver.input(deadline, ChatInput::Tick)), ["MarkIndex", "Mark"]);
    let refused = StoreError::Unavailable { reason: "busy".into() };
    driver.stored(deadline, StoreAnswer::Prepared(Err(refused)));
    assert_eq!(driver.next_deadline(), Some(deadline.plus_ms(REPEAT_MS.1)));
    assert!(driver.input(deadline, ChatInput::Tick).is_empty());
}

#[test]
fn a_life_ends_when_the_log_is_not_what_the_claim_said() {
    let (log, row) = waiting();
    let (mut driver, _) = Driver::begin(CHAT, 1, 9, Former { row, ..Former::default() });
    let tail = log.len() as u64;
    driver.stored(now(), StoreAnswer::Claimed(Ok(Claimed { claim: CLAIM, tail })));
    let gap = driver.stored(now(), StoreAnswer::Page(Ok(log[1..].to_vec())));
    assert!(matches!(gap.as_slice(), [Action::Fail(Failure::Broken(_))]), "{gap:?}");
}

#[test]
fn what_is_written_beyond_the_claimed_tail_is_not_read() {
    // A late write of a dead claim may be seen by the read, and is not part of the log.
    let mut bench = Bench::opened();
    let row = bench.chat.row();
    bench.call(send(customer(), "late", "hello"));
    let (mut driver, _) = Driver::begin(CHAT, 1, 9, Former { row, ..Former::default() });
    driver.stored(now(), StoreAnswer::Claimed(Ok(Claimed { claim: CLAIM, tail: 2 })));
    paged(&mut driver, &bench.log);
    assert!(driver.is_idle());
    assert_eq!(driver.chat().tail(), 2);
}

#[test]
fn an_input_while_the_store_is_busy_is_a_fault_of_the_shell() {
    let (log, row) = waiting();
    let (mut driver, _) = started(&log, row);
    driver.input(now(), call(send(customer(), "m1", "hello")));
    let actions = driver.input(now(), ChatInput::Tick);
    assert!(matches!(actions.as_slice(), [Action::Fail(Failure::Broken(_))]), "{actions:?}");
}

#[test]
fn a_chat_that_slept_wakes_in_silence_and_one_that_failed_says_where_it_is() {
    let (log, row) = waiting();
    let tail = log.len() as u64;
    let told = |rested| {
        let (mut driver, mut actions) = started_after(&log, row.clone(), rested);
        actions.extend(driver.input(now(), ChatInput::Tick));
        actions
            .iter()
            .filter(|action| matches!(action, Action::Own(ChatAction::ToQueue(..))))
            .count()
    };
    assert_eq!(told(Some(tail)), 0);
    assert_eq!(told(None), 1);
    assert_eq!(told(Some(tail - 1)), 1, "something was written after it slept");
}

#[test]
fn whether_an_operator_heard_of_its_offer_is_known_by_its_word() {
    let bench = Bench::opened();
    let ended = |heard: bool| {
        let (mut driver, _) = started(&bench.log, None);
        driver.input(now(), ChatInput::Said(offer(1, OFFER, Reach::Directed, &[ANN])));
        marked(&mut driver);
        appended(&mut driver, Ok(()));
        let (placement, version) = (driver.chat().placement(), driver.chat().tail());
        if heard {
            let seen = ToChat::Seen { peer: Peer::Operator(ANN), placement, version };
            driver.input(now(), ChatInput::Said(seen));
        }
        let late = now().plus_ms(TIMEOUT_MS);
        driver.input(
            late,
            ChatInput::Said(ToChat::Lapse { placement, offer: OFFER, stands_ms: TIMEOUT_MS }),
        );
        driver.stored(late, StoreAnswer::Prepared(Ok(())));
        driver.stored(late, StoreAnswer::Appended(Ok(())));
        driver.chat().at().unwrap().last_offer.unwrap().1
    };
    assert_eq!(ended(true), OfferEnd::Lapsed);
    assert_eq!(ended(false), OfferEnd::Withdrawn(WithdrawReason::NotReserved));
}

/// The part of a log that is asked for.
fn page(log: &[Recorded], actions: &[Action]) -> StoreAnswer {
    let [Action::Store(StoreCall::Read { from })] = actions else { panic!("{actions:?}") };
    StoreAnswer::Page(Ok(log.iter().skip(*from as usize - 1).take(READ_PAGE).cloned().collect()))
}

/// Reads what is asked for until the answer is there.
fn looked_up(driver: &mut Driver, log: &[Recorded], wanted: ChatCall) -> Result<Answer, Refusal> {
    let mut actions = driver.input(now(), call(wanted));
    loop {
        if let [Action::Answer(_, answer)] = actions.as_slice() {
            assert!(driver.is_idle());
            return *answer;
        }
        actions = driver.stored(now(), page(log, &actions));
    }
}

/// A log in which a transfer failed and a customer wrote, both followed by more than is kept in
/// memory.
fn long_ago() -> Bench {
    let mut bench = Bench::opened();
    bench.call(send(customer(), "first", "words"));
    bench.say(offer(1, OFFER, Reach::Directed, &[ANN]));
    bench.say(accept(ANN, OFFER, "yes", Timestamp(u64::MAX)));
    let to = Target::Operator(BOB);
    bench.call(ChatCall::Transfer { by: user(ANN), command: command("away"), to });
    for n in 0..2 * COMMANDS_REMEMBERED {
        if n == COMMANDS_REMEMBERED {
            bench.later(TRANSFER_LIMIT_MS).input(&ChatInput::Tick);
        }
        bench.call(send(customer(), &format!("c{n}"), "words"));
        bench.call(send(user(ANN), &format!("a{n}"), "words"));
    }
    bench
}

#[test]
fn an_id_is_known_for_as_long_as_it_stands_in_the_log() {
    let bench = long_ago();
    // As the next process finds it.
    let (mut driver, _) = started(&bench.log, bench.chat.row());
    driver.input(now(), ChatInput::Tick);
    let mut ask = |wanted| looked_up(&mut driver, &bench.log, wanted);
    let first = ask(send(customer(), "first", "words"));
    assert_eq!(first, Ok(Answer { seq: 3, at: bench.log[2].at }));
    assert_eq!(ask(send(customer(), "first", "other")), Err(Refusal::IdReused));
    assert_eq!(ask(end(customer(), "first")), Err(Refusal::IdReused));
    assert_eq!(ask(end(user(ANN), "yes")), Err(Refusal::IdReused), "it stands for an accept");
    let away = |to| ChatCall::Transfer { by: user(ANN), command: command("away"), to };
    let refusal = Refusal::TargetUnavailable { reason: TransferFailure::NoAnswer };
    assert_eq!(ask(away(Target::Operator(BOB))), Err(refusal), "its outcome stands further on");
    assert_eq!(ask(away(Target::Operator(CYD))), Err(Refusal::IdReused));
    let taken = ToChat::Recall { operator: ANN, command: command("yes"), asked: Asked::Take };
    let actions = driver.input(now(), ChatInput::Said(taken));
    let actions = driver.stored(now(), page(&bench.log, &actions));
    let [Action::Own(ChatAction::ToOperator(ANN, ToOperator::Recalled { result, .. }))] =
        actions.as_slice()
    else {
        panic!("{actions:?}")
    };
    assert_eq!(*result, Some(Err(Refusal::IdReused)));
}

#[test]
fn what_is_new_or_recent_is_not_looked_for() {
    let bench = long_ago();
    let (mut driver, _) = started(&bench.log, bench.chat.row());
    driver.input(now(), ChatInput::Tick);
    let again = driver.input(now(), call(send(customer(), "c500", "words")));
    assert_eq!(answers(&again), [(5, true)]);
    assert_eq!(kinds(&driver.input(now(), call(send(customer(), "new", "words")))), ["Append"]);
}

#[test]
fn while_the_log_cannot_be_read_an_old_id_is_answered_later_and_nothing_is_written() {
    let bench = long_ago();
    let (mut driver, _) = started(&bench.log, bench.chat.row());
    driver.input(now(), ChatInput::Tick);
    let write = || call(send(customer(), "first", "words"));
    assert_eq!(kinds(&driver.input(now(), write())), ["Read"]);
    let refused = StoreError::Unavailable { reason: "planned".into() };
    let actions = driver.stored(now(), StoreAnswer::Page(Err(refused)));
    assert_eq!(actions, [Action::Answer(5, Err(Refusal::Unavailable))]);
    assert!(driver.is_idle());
    // A log that lost what it held is not decided upon.
    driver.input(now(), write());
    let actions = driver.stored(now(), StoreAnswer::Page(Ok(Vec::new())));
    assert!(matches!(actions.as_slice(), [Action::Fail(Failure::Broken(_))]), "{actions:?}");
}

#[test]
fn everybody_whom_an_offer_reached_is_told_of_its_end_after_a_crash() {
    let mut bench = Bench::opened();
    let everybody: Vec<_> = (0..1_000).map(|n| UserId::from_u128(0xe000 + n)).collect();
    bench.say(offer(1, OFFER, Reach::ToAll, &everybody));
    bench.call(end(customer(), "bye"));
    // As the life finds it that follows one which told nobody.
    let (mut driver, _) = started(&bench.log, None);
    let actions = driver.input(now(), ChatInput::Tick);
    let told = actions.iter().filter_map(|action| match action {
        Action::Own(ChatAction::ToOperator(operator, ToOperator::At(_))) => Some(*operator),
        _ => None,
    });
    assert_eq!(told.count(), everybody.len());
}

/// Retention counts from the end: on a clock that is behind it would else be long ago at once.
#[test]
fn a_chat_that_ends_on_a_clock_that_is_behind_ended_no_earlier_than_its_latest_event() {
    let (log, row) = waiting();
    let latest = log.last().unwrap().at;
    let (mut driver, _) = started(&log, row);
    let behind = Timestamp(latest.0 / 2);
    driver.input(behind, call(end(customer(), "e1")));
    let actions = driver.stored(behind, StoreAnswer::Prepared(Ok(())));
    let [.., Action::Store(StoreCall::Append(_, events))] = actions.as_slice() else {
        panic!("{actions:?}")
    };
    assert!(events.iter().all(|recorded| recorded.at == latest), "{events:?}");
    let actions = driver.stored(behind, StoreAnswer::Appended(Ok(())));
    assert!(actions.contains(&Action::Own(ChatAction::Row(None))), "{actions:?}");
    assert_eq!(driver.chat().ended_row().unwrap().at, latest);
}

/// The log of a chat that is offered to Ann, and its row.
fn offered_to_ann() -> (Vec<Recorded>, Option<OpenChat>) {
    let mut bench = Bench::opened();
    bench.now = now();
    bench.say(offer(1, OFFER, Reach::Directed, &[ANN]));
    (bench.log.clone(), bench.chat.row())
}

/// Who is told of each event.
fn told(actions: &[Action]) -> Vec<(u64, Vec<Person>)> {
    let told = actions.iter().filter_map(|action| match action {
        Action::Publish(told) | Action::PublishLate(told) => Some(told),
        _ => None,
    });
    let each = told.flatten().map(|t| (t.recorded.seq, t.to.iter().copied().collect()));
    each.collect()
}

#[test]
fn of_one_append_whoever_leaves_with_an_event_is_told_of_that_one_and_of_none_behind_it() {
    let (log, row) = offered_to_ann();
    let (mut driver, _) = started(&log, row);
    let decline = ToChat::Decline { offer: OFFER, operator: ANN, stay: 0, command: command("no") };
    driver.input(now(), ChatInput::Said(decline));
    marked(&mut driver);
    let actions = appended(&mut driver, Ok(()));
    let tail = log.len() as u64;
    let customer = Person::Customer(CUSTOMER);
    let expected = [(tail + 1, vec![customer, Person::User(ANN)]), (tail + 2, vec![customer])];
    assert_eq!(told(&actions), expected, "declined, and the offer ended");
}

#[test]
fn what_a_former_life_told_nobody_of_is_told_before_anything_else_to_those_of_then() {
    let (log, row) = offered_to_ann();
    let tail = log.len() as u64;
    let begin = |after| {
        let former = Former { row: row.clone(), ..Former::default() };
        let (driver, _) = Driver::begin(CHAT, 2, 9, former);
        let mut driver = driver.untold(after);
        driver.stored(now(), StoreAnswer::Claimed(Ok(Claimed { claim: CLAIM, tail })));
        assert_eq!(kinds(&driver.stored(now(), StoreAnswer::Page(Ok(log.clone())))), ["Touch"]);
        touched(&mut driver, now())
    };
    let (customer, ann) = (Person::Customer(CUSTOMER), Person::User(ANN));
    let actions = begin(Some(tail - 2));
    assert_eq!(told(&actions), [(tail - 1, vec![customer]), (tail, vec![customer, ann])]);
    // Of another process, so that the offer is over.
    assert_eq!(kinds(&actions), ["PublishLate", "MarkIndex", "Mark"]);
    assert_eq!(told(&begin(None)), []);
    assert_eq!(told(&begin(Some(tail))), []);
}

fn hour_of(actions: &[Action]) -> FeedHour {
    let [Action::Store(StoreCall::Touch(hour))] = actions else { panic!("{actions:?}") };
    *hour
}

#[test]
fn the_feed_is_told_once_an_hour_before_anything_is_written() {
    let (log, row) = waiting();
    let (mut driver, _) = started_after(&log, row, Some(log.len() as u64));
    let mut ask = |at: Timestamp, id: &str| {
        let mut asked = vec![driver.input(at, call(send(customer(), id, "hello")))];
        if kinds(&asked[0]) == ["Touch"] {
            assert_eq!(hour_of(&asked[0]), FeedHour::of(at));
            asked.push(touched(&mut driver, at));
        }
        driver.stored(at, StoreAnswer::Appended(Ok(())));
        asked.iter().flat_map(|actions| kinds(actions)).collect::<Vec<_>>()
    };
    let begin = FeedHour::of(now()).begin().plus_ms(FEED_HOUR_MS);
    assert_eq!(ask(now(), "m1"), ["Touch", "Append"]);
    assert_eq!(ask(begin.plus_ms(FEED_HOUR_MS - 1), "m2"), ["Touch", "Append"]);
    assert_eq!(ask(begin, "m3"), ["Append"], "of the same hour");
    assert_eq!(ask(begin.plus_ms(FEED_HOUR_MS), "m4"), ["Touch", "Append"]);
    assert_eq!(ask(begin, "m5"), ["Touch", "Append"], "a clock that went back");
}

#[test]
fn the_feed_is_told_of_what_a_claim_may_have_brought_to_light() {
    let (log, row) = waiting();
    let tail = log.len() as u64;
    for (rested, told) in [(None, true), (Some(tail - 1), true), (Some(tail), false)] {
        let former = Former { row: row.clone(), rested, ending: false };
        let (mut driver, _) = Driver::begin(CHAT, 1, 9, former);
        driver.stored(now(), StoreAnswer::Claimed(Ok(Claimed { claim: CLAIM, tail })));
        let actions = driver.stored(now(), StoreAnswer::Page(Ok(log.clone())));
        assert_eq!(!driver.is_idle(), told, "{rested:?}: {actions:?}");
        if told {
            assert_eq!(hour_of(&actions), FeedHour::of(now()));
            touched(&mut driver, now());
            assert!(driver.is_idle());
            let sent = driver.input(now(), call(send(customer(), "m1", "hello")));
            assert_eq!(kinds(&sent), ["Append"], "of the same hour");
        }
    }
    // Nothing can have come to light of a chat that nobody opened.
    let (mut driver, _) = Driver::begin(CHAT, 1, 9, Former::default());
    driver.wake();
    driver.stored(now(), StoreAnswer::Claimed(Ok(Claimed { claim: CLAIM, tail: 0 })));
    assert!(driver.is_idle());
}

/// Why a store that was to be told did not say that it was.
fn untold_feed() -> [StoreError; 2] {
    let limit = Duration::from_secs(10);
    [StoreError::Unavailable { reason: "busy".into() }, StoreError::Silent { limit }]
}

/// Claimed and read, with a feed that could not be told of what came to light.
fn owing(error: StoreError) -> (Driver, Vec<Action>) {
    let (log, row) = waiting();
    let tail = log.len() as u64;
    let (mut driver, _) = Driver::begin(CHAT, 1, 9, Former { row, ..Former::default() });
    driver.stored(now(), StoreAnswer::Claimed(Ok(Claimed { claim: CLAIM, tail })));
    assert_eq!(kinds(&driver.stored(now(), StoreAnswer::Page(Ok(log)))), ["Touch"]);
    let actions = driver.stored(now(), StoreAnswer::Touched(Err(error)));
    (driver, actions)
}

/// The queue has heard where the chat is.
fn heard(driver: &mut Driver) {
    let at = driver.chat().at().unwrap();
    let (placement, version) = (at.placement, at.version);
    let seen = ToChat::Seen { peer: Peer::Queue(QUEUE), placement, version };
    driver.input(now(), ChatInput::Said(seen));
}

#[test]
fn a_life_that_cannot_tell_the_feed_what_came_to_light_goes_on_and_tries_again() {
    for error in untold_feed() {
        let (mut driver, actions) = owing(error.clone());
        assert!(driver.is_idle(), "{error}: {actions:?}");
        heard(&mut driver);
        assert!(!driver.can_rest(), "{error}: it is owed");
        let again = now().plus_ms(REPEAT_MS.1);
        assert_eq!(driver.next_deadline(), Some(again));
        let early = Timestamp(again.0 - 1);
        assert!(driver.input(early, ChatInput::Tick).is_empty());
        assert_eq!(hour_of(&driver.input(again, ChatInput::Tick)), FeedHour::of(again));
        // It may be refused once more.
        assert!(driver.stored(again, StoreAnswer::Touched(Err(error.clone()))).is_empty());
        assert!(driver.is_idle() && !driver.can_rest());
        let later = again.plus_ms(REPEAT_MS.1);
        assert_eq!(driver.next_deadline(), Some(later));
        assert_eq!(kinds(&driver.input(later, ChatInput::Tick)), ["Touch"]);
        assert!(touched(&mut driver, later).is_empty());
        assert!(driver.can_rest(), "{error}: nothing is owed");
        assert_eq!(driver.next_deadline(), None);
    }
}

#[test]
fn a_write_meanwhile_touches_before_it_and_settles_what_is_owed() {
    for error in untold_feed() {
        let (mut driver, _) = owing(error);
        heard(&mut driver);
        assert_eq!(kinds(&driver.input(now(), call(send(customer(), "m1", "hello")))), ["Touch"]);
        assert_eq!(kinds(&touched(&mut driver, now())), ["Append"]);
        assert_eq!(answers(&appended(&mut driver, Ok(()))), [(5, true)]);
        assert!(driver.can_rest(), "nothing is owed");
        assert_eq!(driver.next_deadline(), None);
    }
}

#[test]
fn an_offer_of_a_former_process_ends_once_the_feed_can_be_told() {
    let (log, row) = offered_to_ann();
    let tail = log.len() as u64;
    let (mut driver, _) = Driver::begin(CHAT, 2, 9, Former { row, ..Former::default() });
    driver.stored(now(), StoreAnswer::Claimed(Ok(Claimed { claim: CLAIM, tail })));
    driver.stored(now(), StoreAnswer::Page(Ok(log)));
    let refused = || StoreAnswer::Touched(Err(untold_feed()[0].clone()));
    assert_eq!(kinds(&driver.stored(now(), refused())), ["Touch"], "to write that it is over");
    driver.stored(now(), refused());
    let again = now().plus_ms(REPEAT_MS.1);
    assert_eq!(kinds(&driver.input(again, ChatInput::Tick)).last().unwrap(), "Touch");
    assert_eq!(kinds(&touched(&mut driver, again)), ["MarkIndex", "Mark"]);
    let actions = driver.stored(again, StoreAnswer::Prepared(Ok(())));
    let [Action::Store(StoreCall::Append(_, events))] = actions.as_slice() else {
        panic!("{actions:?}")
    };
    // By its time alone it would have lapsed meanwhile.
    assert_eq!(how_it_ended(events), Some(OfferEnd::Restart));
}

fn how_it_ended(events: &[Recorded]) -> Option<OfferEnd> {
    events.iter().find_map(|recorded| match recorded.event {
        ChatEvent::OfferEnded { how, .. } => Some(how),
        _ => None,
    })
}

#[test]
fn an_offer_of_a_former_process_ends_also_when_something_else_told_the_feed_first() {
    let (log, row) = offered_to_ann();
    let tail = log.len() as u64;
    let (mut driver, _) = Driver::begin(CHAT, 2, 9, Former { row, ..Former::default() });
    driver.stored(now(), StoreAnswer::Claimed(Ok(Claimed { claim: CLAIM, tail })));
    driver.stored(now(), StoreAnswer::Page(Ok(log)));
    for _ in ["of what came to light", "to write that the offer is over"] {
        driver.stored(now(), StoreAnswer::Touched(Err(untold_feed()[0].clone())));
    }
    driver.input(now(), call(send(customer(), "m1", "hello")));
    assert_eq!(kinds(&touched(&mut driver, now())), ["Append"]);
    appended(&mut driver, Ok(()));
    assert!(!driver.can_rest(), "it has yet to begin");
    let again = now().plus_ms(REPEAT_MS.1);
    assert!(driver.next_deadline() <= Some(again), "it tries again");
    assert_eq!(kinds(&driver.input(again, ChatInput::Tick)).last().unwrap(), "Touch");
    touched(&mut driver, again);
    let actions = driver.stored(again, StoreAnswer::Prepared(Ok(())));
    let [Action::Store(StoreCall::Append(_, events))] = actions.as_slice() else {
        panic!("{actions:?}")
    };
    assert_eq!(how_it_ended(events), Some(OfferEnd::Restart));
    appended(&mut driver, Ok(()));
    assert!(driver.let_go().is_none(), "it is open");
}

#[test]
fn nothing_is_written_of_which_the_feed_was_not_told() {
    let (log, row) = waiting();
    let (mut driver, _) = started_after(&log, row, Some(log.len() as u64));
    for error in untold_feed() {
        // Nobody knows whether the one before was written: it is told again.
        let asked = driver.input(now(), call(send(customer(), "m1", "hello")));
        assert_eq!(kinds(&asked), ["Touch"]);
        let actions = driver.stored(now(), StoreAnswer::Touched(Err(error)));
        assert_eq!(actions, [Action::Answer(5, Err(Refusal::Unavailable))]);
        assert!(driver.is_idle() && driver.can_rest(), "nothing came to light that is owed");
    }
    driver.input(now(), call(send(customer(), "m1", "hello")));
    assert_eq!(kinds(&touched(&mut driver, now())), ["Append"]);
}

#[test]
fn the_feed_is_told_again_when_the_hour_ends_while_the_row_is_marked() {
    let (log, row) = waiting();
    let next = FeedHour::of(now()).begin().plus_ms(FEED_HOUR_MS);
    let mark = || {
        let (mut driver, _) = started_after(&log, row.clone(), Some(log.len() as u64));
        let offered = ChatInput::Said(offer(1, OFFER, Reach::Directed, &[ANN]));
        assert_eq!(kinds(&driver.input(now(), offered)), ["Touch"]);
        assert_eq!(kinds(&touched(&mut driver, now())), ["MarkIndex", "Mark"]);
        driver
    };
    let mut driver = mark();
    let within = Timestamp(next.0 - 1);
    assert_eq!(kinds(&driver.stored(within, StoreAnswer::Prepared(Ok(())))), ["Append"]);
    let mut driver = mark();
    let actions = driver.stored(next, StoreAnswer::Prepared(Ok(())));
    assert_eq!(hour_of(&actions), FeedHour::of(next));
    // Decided anew again, so marked again.
    assert_eq!(kinds(&touched(&mut driver, next)), ["MarkIndex", "Mark"]);
    assert_eq!(kinds(&driver.stored(next, StoreAnswer::Prepared(Ok(())))), ["Append"]);
}

#[test]
fn a_row_that_was_marked_for_what_is_void_once_the_feed_was_told_is_written_anew() {
    let mut bench = Bench::opened();
    bench.now = now();
    bench.say(offer(1, OFFER, Reach::Directed, &[ANN]));
    let tail = bench.log.len() as u64;
    let next = FeedHour::of(now()).begin().plus_ms(FEED_HOUR_MS);
    for (told, wanted) in [
        (Ok(()), ["Row", "ToOperator"].as_slice()),
        (Err(StoreError::Unavailable { reason: "busy".into() }), &["Row"]),
    ] {
        let (mut driver, _) = started_after(&bench.log, bench.chat.row(), Some(tail));
        let assign = ChatInput::Said(accept(ANN, OFFER, "yes", next));
        assert_eq!(kinds(&driver.input(now(), assign)), ["Touch"]);
        assert_eq!(kinds(&touched(&mut driver, now())), ["MarkIndex", "Mark"]);
        assert_eq!(kinds(&driver.stored(next, StoreAnswer::Prepared(Ok(())))), ["Touch"]);
        let actions = driver.stored(next.plus_ms(1), StoreAnswer::Touched(told));
        assert_eq!(kinds(&actions), wanted);
        let row = actions.iter().find_map(|action| match action {
            Action::Own(ChatAction::Row(row)) => row.clone(),
            _ => None,
        });
        assert_eq!(row.map(|row| row.moving), Some(None), "the mark is gone");
        assert!(driver.is_idle());
    }
}

#[test]
fn what_was_valid_before_the_feed_was_told_is_decided_anew() {
    let mut bench = Bench::opened();
    bench.now = now();
    bench.say(offer(1, OFFER, Reach::Directed, &[ANN]));
    let tail = bench.log.len() as u64;
    let (mut driver, _) = started_after(&bench.log, bench.chat.row(), Some(tail));
    let assign = ChatInput::Said(accept(ANN, OFFER, "yes", now()));
    assert_eq!(kinds(&driver.input(now(), assign)), ["Touch"]);
    assert_eq!(kinds(&touched(&mut driver, now().plus_ms(1))), ["ToOperator"], "and hears no");
    assert_eq!(driver.chat().place().unwrap().owner(), None);
}
