//! A clean run is found clean; every planted fault is found, and found as what it is.

use switchboard::domain::{ChatId, CommandId, CustomerId, Party, QueueId, UserId};

use super::*;

mod line_faults;
mod message_faults;
mod owner_faults;

const CHAT: ChatId = ChatId::from_u128(1);
const OTHER_CHAT: ChatId = ChatId::from_u128(2);
const CUSTOMER: CustomerId = CustomerId::from_u128(3);
const ANN: UserId = UserId::from_u128(4);
const BEN: UserId = UserId::from_u128(5);
const QUEUE: QueueId = QueueId::from_u128(6);
const OTHER_QUEUE: QueueId = QueueId::from_u128(7);
const THE_CUSTOMER: Party = Party::Customer(CUSTOMER);

fn id(text: &str) -> CommandId {
    CommandId::new(text).unwrap()
}

fn message(from: Party, name: &str) -> Message {
    Message { from, id: id(name), text: TextHash::of(name) }
}

fn sent(from: Party, name: &str) -> Observation {
    let message = message(from, name);
    Observation::Sent { message }
}

fn acknowledged(from: Party, name: &str, seq: Seq) -> Observation {
    let id = id(name);
    Observation::Acknowledged { chat: CHAT, from, id, seq }
}

fn seen(by: Party, seq: Seq, from: Party, name: &str) -> Observation {
    let message = message(from, name);
    Observation::Seen { chat: CHAT, by, seq, message }
}

fn owner_seen(by: Party, seq: Seq, owner: Option<UserId>) -> Observation {
    Observation::OwnerSeen { chat: CHAT, by, seq, owner }
}

fn gained(operator: UserId, seq: Seq) -> Observation {
    Observation::Gained { chat: CHAT, operator, seq }
}

fn lost(operator: UserId, seq: Seq) -> Observation {
    Observation::Lost { chat: CHAT, operator, seq }
}

fn held(operator: UserId, chat: ChatId, at_ms: u64) -> Observation {
    Observation::Held { operator, chat, at_ms }
}

fn released(operator: UserId, chat: ChatId, at_ms: u64) -> Observation {
    Observation::Released { operator, chat, at_ms }
}

fn operator(operator: UserId, at_ms: u64, queues: &[QueueId]) -> Observation {
    let queues = queues.to_vec();
    Observation::Operator { operator, at_ms, capacity: 1, queues }
}

fn excluded(at_ms: u64, until_ms: Option<u64>) -> Observation {
    Observation::Excluded { chat: CHAT, operator: ANN, at_ms, until_ms }
}

fn wait_began(at_ms: u64) -> Observation {
    Observation::WaitBegan { chat: CHAT, queue: QUEUE, at_ms }
}

fn wait_over(at_ms: u64) -> Observation {
    Observation::WaitOver { chat: CHAT, at_ms }
}

fn free_began(operator: UserId, at_ms: u64) -> Observation {
    Observation::FreeBegan { operator, at_ms }
}

fn free_over(operator: UserId, at_ms: u64) -> Observation {
    Observation::FreeOver { operator, at_ms }
}

fn history(by: Party, messages: &[(Seq, Message)]) -> Observation {
    let messages = messages.to_vec();
    Observation::History { chat: CHAT, by, messages }
}

/// All that is said in [`clean_run`].
fn all_messages() -> Vec<(Seq, Message)> {
    vec![
        (3, message(THE_CUSTOMER, "a")),
        (6, message(Party::User(ANN), "b")),
        (7, message(THE_CUSTOMER, "c")),
        (9, message(Party::User(BEN), "d")),
    ]
}

/// One chat: opened, written to while it waits, served by ANN, handed to BEN at 8, ended at 10.
fn clean_run() -> Vec<Observation> {
    let (ann, ben) = (Party::User(ANN), Party::User(BEN));
    vec![
        operator(ANN, 0, &[QUEUE]),
        operator(BEN, 0, &[QUEUE]),
        Observation::Opened { chat: CHAT, customer: CUSTOMER },
        wait_began(1_000),
        sent(THE_CUSTOMER, "a"),
        acknowledged(THE_CUSTOMER, "a", 3),
        seen(THE_CUSTOMER, 3, THE_CUSTOMER, "a"),
        free_began(ANN, 1_400),
        held(ANN, CHAT, 9_400),
        wait_over(1_500),
        free_over(ANN, 1_500),
        gained(ANN, 5),
        owner_seen(THE_CUSTOMER, 5, Some(ANN)),
        owner_seen(ann, 5, Some(ANN)),
        seen(ann, 3, THE_CUSTOMER, "a"),
        sent(ann, "b"),
        sent(THE_CUSTOMER, "c"),
        seen(THE_CUSTOMER, 6, ann, "b"),
        seen(ann, 6, ann, "b"),
        acknowledged(ann, "b", 6),
        acknowledged(THE_CUSTOMER, "c", 7),
        seen(ann, 7, THE_CUSTOMER, "c"),
        seen(THE_CUSTOMER, 7, THE_CUSTOMER, "c"),
        held(BEN, CHAT, 9_800),
        released(ANN, CHAT, 9_800),
        owner_seen(THE_CUSTOMER, 8, Some(BEN)),
        gained(BEN, 8),
        lost(ANN, 8),
        seen(ben, 3, THE_CUSTOMER, "a"),
        seen(ben, 6, ann, "b"),
        seen(ben, 7, THE_CUSTOMER, "c"),
        sent(ben, "d"),
        acknowledged(ben, "d", 9),
        acknowledged(ben, "d", 9),
        seen(ben, 9, ben, "d"),
        seen(THE_CUSTOMER, 9, ben, "d"),
        lost(BEN, 10),
        owner_seen(ben, 10, None),
        released(BEN, CHAT, 9_900),
        Observation::Ended { chat: CHAT },
        history(THE_CUSTOMER, &all_messages()),
        history(ben, &all_messages()),
        Observation::Tick { at_ms: 5_000 },
    ]
}

fn found(run: &[Observation]) -> Vec<Violation> {
    let mut ledger = Ledger::default();
    run.iter().cloned().for_each(|observation| ledger.observe(observation));
    ledger.finish(10_000).kept().to_vec()
}

/// What is found while the run goes on.
fn found_at_once(run: &[Observation]) -> Vec<Violation> {
    let mut ledger = Ledger::default();
    run.iter().cloned().for_each(|observation| ledger.observe(observation));
    ledger.violations().kept().to_vec()
}

fn without(gone: &Observation) -> Vec<Observation> {
    let mut run = clean_run();
    let place = run.iter().position(|observation| observation == gone).unwrap();
    run.remove(place);
    run
}

fn with(place_of: &Observation, more: Observation) -> Vec<Observation> {
    let mut run = clean_run();
    let place = run.iter().position(|observation| observation == place_of).unwrap();
    run.insert(place + 1, more);
    run
}

fn instead(of: &Observation, other: Observation) -> Vec<Observation> {
    let mut run = clean_run();
    let place = run.iter().position(|observation| observation == of).unwrap();
    run[place] = other;
    run
}

#[test]
fn a_clean_run_is_clean() {
    let mut ledger = Ledger::default();
    clean_run().into_iter().for_each(|observation| ledger.observe(observation));
    assert_eq!(ledger.finish(10_000).kept(), []);
    assert_eq!(ledger.acknowledged(), 4);
    assert_eq!(ledger.idle_beside_ms().summary().unwrap().max, 100);
}

#[test]
fn a_chat_that_never_ended() {
    let stuck = found(&without(&Observation::Ended { chat: CHAT }));
    assert_eq!(stuck, [Violation::Stuck { chat: CHAT }]);
}

#[test]
fn violations_are_bounded_and_counted() {
    let mut ledger = Ledger::default();
    let again = seen(THE_CUSTOMER, 3, THE_CUSTOMER, "a");
    ledger.observe(sent(THE_CUSTOMER, "a"));
    for _ in 0..VIOLATIONS_MAX + 6 {
        ledger.observe(again.clone());
    }
    assert_eq!(ledger.violations().kept().len(), VIOLATIONS_MAX);
    assert_eq!(ledger.violations().count(), VIOLATIONS_MAX as u64 + 5);
}

#[test]
fn a_violation_reads_as_a_sentence() {
    let lost = Violation::NotSeen {
        chat: CHAT,
        by: Party::User(ANN),
        from: THE_CUSTOMER,
        id: id("a"),
        seq: 3,
    };
    assert_eq!(
        lost.to_string(),
        "chat 00000000-0000-0000-0000-000000000001: User(UserId#4) never saw a of \
         Customer(CustomerId#3), acknowledged at 3"
    );
}
