//! A command's id, for as long as it stands in the log.

use crate::domain::event::TransferFailure;
use crate::domain::limits::{COMMANDS_REMEMBERED, TRANSFER_LIMIT_MS};
use crate::domain::{Reach, Recorded, Timestamp};
use crate::machine::chat::driver::{
    Action, ChatAction, Driver, Failure, READ_PAGE, StoreAnswer, StoreCall,
};
use crate::machine::chat::tests::Bench;
use crate::machine::chat::{Answer, ChatCall, ChatInput, Refusal, Target};
use crate::machine::fixture::*;
use crate::machine::message::{Asked, ToChat, ToOperator};
use crate::storage::StoreError;

use super::{answers, call, kinds, now, started};

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
