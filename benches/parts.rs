//! What single parts cost: frames and records as text, a message in a chat's machine, actors, and the whole way of
//! a frame to its durable acknowledgement within one process.
//!
//! Run with `cargo bench --bench parts [-- PART]`. The temporary folder's disk is measured by the last; compare
//! figures of one machine and hour. The steps of a queue are in `queue`, the log in `append` and `index`.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run should say so and stop")]
#![allow(clippy::panic, reason = "the same")]
#![allow(clippy::disallowed_methods, reason = "it measures")]

#[path = "../tests/support/samples.rs"]
mod samples;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use switchboard::actors::{GiveBack, Opens, Options, Roster, Router, TooMany};
use switchboard::domain::{
    Audience, ChatId, Customer, CustomerId, Incarnation, MessageText, Name, Person, Profile, Queue,
    QueueId, Rule, Timestamp, UserId,
};
use switchboard::machine::chat::driver::{Action, Driver, StoreAnswer, StoreCall};
use switchboard::machine::chat::{Answer, Author, ChatCall, ChatInput};
use switchboard::machine::index::Former;
use switchboard::protocol::answer::MessageSentFrame;
use switchboard::protocol::{
    Call, Names, Notification, Request, View, read_request, write_notification, write_result,
};
use switchboard::storage::memory::MemoryStore;
use switchboard::storage::sqlite::{SqliteOptions, SqliteStore};
use switchboard::storage::{Claim, Claimed, Store, record};
use tokio::runtime::Runtime;

use samples::{channel, chat, command, customer, message};

/// A message of 120 bytes.
const TEXT: &str = "A hundred and twenty bytes of a customer's patience, spelled out word by word until \
                    the line is exactly as long as this";

/// Chats that are opened at one router.
const CHATS_A_ROUTER: u64 = 1_000;

/// Messages that one chat takes before the next one is opened, so that none meets its limit.
const MESSAGES_A_CHAT: u64 = 10_000;

const QUEUE: QueueId = QueueId::from_u128(7);

/// Openings cost their addresses nothing here.
struct Unbounded;

impl Opens for Unbounded {
    fn look(&self, _: Customer) -> Result<(), TooMany> {
        Ok(())
    }

    fn take(&self, _: Customer) -> Result<GiveBack, TooMany> {
        Ok(Box::new(|| ()))
    }
}

/// Nobody has a name.
struct Nameless;

impl Names for Nameless {
    fn of(&self, _: UserId, _: Option<&Name>, _: Option<&Name>) -> Option<String> {
        None
    }
}

/// What a client sends.
fn frame(ChatId(chat): ChatId, id: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"message.send","params":{{"chat":"{chat}","client_message_id":"{id}","text":"{TEXT}"}}}}"#
    )
}

/// Frames and records, to and from text.
fn text(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("text");
    group.throughput(Throughput::Elements(1));
    let sent = frame(chat(1), "0190f3c2-7a1e-7b52-9c44-000000000001");
    group.bench_function("read a frame", |bench| {
        bench.iter(|| read_request(black_box(sent.as_bytes())).unwrap());
    });
    let recorded = Arc::new(message(9, TEXT));
    let shown = Audience::Staff.show(Arc::clone(&recorded)).unwrap();
    let incarnation = Incarnation::from_u128(1);
    let view = View { chat: chat(1), incarnation, audience: Audience::Staff, names: &Nameless };
    group.bench_function("write an event for somebody", |bench| {
        bench.iter(|| {
            let frame = view.frame(black_box(&shown)).unwrap();
            write_notification(&Notification::ChatEvent(frame)).unwrap()
        });
    });
    group.bench_function("write a record", |bench| {
        bench.iter(|| record::encode_event(chat(1), black_box(&recorded)).unwrap());
    });
    let bytes = record::encode_event(chat(1), &recorded).unwrap();
    group.bench_function("read a record", |bench| {
        bench.iter(|| record::decode_event(chat(1), 9, black_box(&bytes)).unwrap());
    });
    group.finish();
}

/// A chat that is open, with a store that answers at once.
struct Machine {
    driver: Driver,
    sent: u64,
}

impl Machine {
    fn opened() -> Self {
        let (mut driver, _) = Driver::begin(chat(1), 1, 1, Former::default());
        driver.wake();
        let claimed = Claimed { claim: Claim { chat: chat(1), epoch: 1 }, tail: 0 };
        driver.stored(now(), StoreAnswer::Claimed(Ok(claimed)));
        let mut machine = Self { driver: driver.in_one_write(true), sent: 0 };
        machine.call(ChatCall::Open {
            customer: customer(1),
            command: command("open"),
            queue: QUEUE,
            profile: Profile::default(),
            continues: None,
        });
        machine
    }

    fn call(&mut self, call: ChatCall) {
        let mut actions = self.driver.input(now(), ChatInput::Call(1, call));
        while let Some(answer) = actions.iter().find_map(stored) {
            actions = self.driver.stored(now(), answer);
        }
        assert!(self.driver.is_idle(), "{actions:?}");
    }

    fn message(&mut self) {
        self.sent += 1;
        let by = Author { person: Person::Customer(customer(1)), chat_administrator: false };
        let (id, text) = (command(&format!("m-{}", self.sent)), MessageText::new(TEXT).unwrap());
        self.call(ChatCall::Send { by, id, text, profile: None });
    }
}

fn now() -> Timestamp {
    Timestamp(1_700_000_000_000)
}

/// What the store answers to what it is asked, if it is.
fn stored(action: &Action) -> Option<StoreAnswer> {
    match action {
        Action::Store(StoreCall::Append(..) | StoreCall::AppendWith(..)) => {
            Some(StoreAnswer::Appended(Ok(())))
        }
        Action::Store(StoreCall::Touch(_)) => Some(StoreAnswer::Touched(Ok(()))),
        Action::Store(StoreCall::Prepare(_)) => Some(StoreAnswer::Prepared(Ok(()))),
        Action::Store(StoreCall::Read { .. }) => Some(StoreAnswer::Page(Ok(Vec::new()))),
        Action::Store(StoreCall::Claim)
        | Action::Answer(..)
        | Action::Publish(_)
        | Action::PublishLate(_)
        | Action::Own(_)
        | Action::Fail(_) => None,
    }
}

/// What a chat decides and applies, without a store.
fn machine(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("machine");
    group.bench_function("a chat is opened", |bench| bench.iter(Machine::opened));
    for sent in [0, 1_000] {
        let mut machine = Machine::opened();
        (0..sent).for_each(|_| machine.message());
        let of = BatchSize::NumIterations(100);
        group.bench_function(format!("a message behind {sent}"), |bench| {
            let copy = || {
                let mut copy = Machine { driver: machine.driver.clone(), sent };
                // The first finds no room in what was copied.
                copy.message();
                copy
            };
            bench.iter_batched_ref(copy, Machine::message, of);
        });
    }
    group.finish();
}

/// An actor that does nothing.
struct Idle;

impl Actor for Idle {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

async fn router(store: Store) -> Router {
    let roster = Roster {
        channels: BTreeMap::from([(channel(1), QUEUE)]),
        queues: [(QUEUE, Queue::new(QUEUE, "a queue", Rule::Manual))].into(),
        ..Roster::default()
    };
    Router::start(store, roster, Options::default()).await.unwrap()
}

/// A customer who has no chat yet.
fn fresh(number: &mut u128) -> Customer {
    *number += 1;
    Customer { channel: channel(1), id: CustomerId::from_u128(*number) }
}

async fn opened(router: &Router, customer: Customer) -> ChatId {
    let (command, profile) = (command("open"), Profile::default());
    router.open(customer, &command, &profile, &Unbounded).await.unwrap().0
}

/// What actors cost beside what they do: an empty one, and a chat with a store in memory.
fn actors(criterion: &mut Criterion) {
    let runtime = runtime();
    let mut group = criterion.benchmark_group("actors");
    group.bench_function("an empty one is started and stopped", |bench| {
        bench.iter(|| {
            runtime.block_on(async {
                let (actor, ended) = Actor::spawn(None, Idle, ()).await.unwrap();
                actor.stop(None);
                ended.await.unwrap();
            });
        });
    });
    group.bench_function("a chat is opened", |bench| {
        bench.iter_custom(|openings| {
            let (mut left, mut spent, mut number) = (openings, Duration::ZERO, 0);
            while left > 0 {
                // A line does not grow beyond this, whatever the number of openings.
                let some = left.min(CHATS_A_ROUTER);
                let router = runtime.block_on(router(MemoryStore::new().store()));
                let begun = Instant::now();
                for _ in 0..some {
                    runtime.block_on(opened(&router, fresh(&mut number)));
                }
                spent += begun.elapsed();
                runtime.block_on(router.stop());
                left -= some;
            }
            spent
        });
    });
    group.finish();
}

/// Reads a frame, has its message made durable, and writes the answer.
async fn carried_out(router: &Router, customer: Customer, frame: &str) -> String {
    let Request { id, call } = read_request(frame.as_bytes()).unwrap();
    let Call::MessageSend(params) = call else { panic!("{frame}") };
    let by = Author { person: Person::Customer(customer), chat_administrator: false };
    let said = [(params.client_message_id.0, params.text.check().unwrap())];
    let answers = router.send_all(by, params.chat.0, &said, None).await;
    let Answer { seq, at } = *answers[0].as_ref().unwrap();
    write_result(&id, &MessageSentFrame { chat: params.chat, seq, at: at.into() }).unwrap()
}

/// The way of a frame to its acknowledgement, one at a time: read, decided, made durable, answered. Without a
/// socket.
fn way(criterion: &mut Criterion) {
    let runtime = runtime();
    let mut group = criterion.benchmark_group("way");
    group.measurement_time(Duration::from_secs(10));
    let folder = tempfile::tempdir().unwrap();
    let sqlite = Arc::new(SqliteStore::open(&SqliteOptions::new(folder.path())).unwrap());
    for (name, store) in [("memory", MemoryStore::new().store()), ("SQLite", sqlite.store())] {
        let router = runtime.block_on(router(store));
        let (mut number, mut sent) = (0, 0);
        let mut open = None;
        // Not measured: a client makes it.
        let mut next = || {
            if sent % MESSAGES_A_CHAT == 0 {
                let customer = fresh(&mut number);
                open = Some((customer, runtime.block_on(opened(&router, customer))));
            }
            sent += 1;
            let (customer, chat) = open.unwrap();
            (customer, frame(chat, &format!("m-{sent}")))
        };
        group.bench_function(format!("a message to {name}"), |bench| {
            let carried = |(customer, frame): (Customer, String)| {
                runtime.block_on(carried_out(&router, customer, &frame))
            };
            bench.iter_batched(&mut next, carried, BatchSize::PerIteration);
        });
        runtime.block_on(router.stop());
    }
    group.finish();
}

criterion_group!(parts, text, machine, actors, way);
criterion_main!(parts);
