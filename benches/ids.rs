//! What the ids of a full chat cost: memory of its fold, and a look-up of an id, by what becomes of it.
//! `cargo bench --bench ids`

#![allow(clippy::disallowed_methods, reason = "it measures")]
#![allow(clippy::expect_used, reason = "a measurement that cannot go on ends")]

use std::time::Instant;

use switchboard::domain::limits::CHAT_MESSAGES_MAX;
use switchboard::domain::{
    ChannelId, ChatEvent, ChatId, CommandId, Customer, CustomerId, MessageText, Party, Person,
    Profile, Recorded, Timestamp,
};
use switchboard::machine::chat::driver::{Action, Driver, READ_PAGE, StoreAnswer, StoreCall};
use switchboard::machine::chat::{Author, Chat, ChatCall, ChatInput, Recent};
use switchboard::machine::index::Former;
use switchboard::storage::{Claim, Claimed};

const CHAT: ChatId = ChatId::from_u128(1);
const CUSTOMER: Customer =
    Customer { channel: ChannelId::from_u128(3), id: CustomerId::from_u128(2) };
const LOOKED_UP: u64 = 2_000;

fn id(n: u64) -> CommandId {
    CommandId::new(&format!("0190f3c2-7a1e-7b52-9c44-{n:012}")).expect("36 bytes")
}

fn text() -> MessageText {
    MessageText::new("words").expect("not empty")
}

fn log(events: u64) -> Vec<Recorded> {
    let from = Party::Customer(CUSTOMER.id);
    let message = |n| ChatEvent::Message { from, id: id(n), text: text() };
    let opened = ChatEvent::Opened {
        customer: CUSTOMER,
        command: id(0),
        profile: Profile::default(),
        continues: None,
    };
    let placed = ChatEvent::Placed {
        placement: 1,
        queue: switchboard::domain::QueueId::from_u128(4),
        weight: Default::default(),
        cause: switchboard::domain::event::PlacedCause::Opened,
    };
    let events = [opened, placed].into_iter().chain((3..=events).map(message));
    let record = |(seq, event)| Recorded {
        seq,
        at: Timestamp(1_000 + seq),
        event,
        names: Default::default(),
    };
    (1..).zip(events).map(record).collect()
}

/// Memory of this process, bytes.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = text.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("a number");
    pages * 4_096
}

/// What a fold of the log takes, on the mean of some.
fn memory(log: &[Recorded], recent: Recent) -> u64 {
    const FOLDS: u64 = 20;
    let before = resident();
    let folds: Vec<Chat> = (0..FOLDS)
        .map(|_| {
            let mut chat = Chat::remembering(CHAT, recent);
            log.iter().for_each(|recorded| chat.apply(recorded));
            chat
        })
        .collect();
    let taken = resident().saturating_sub(before) / FOLDS;
    drop(folds);
    taken
}

/// Sends that message; answers how many pages of the log were read for it.
fn ask(driver: &mut Driver, log: &[Recorded], n: u64) -> u64 {
    let by = Author { person: Person::Customer(CUSTOMER), chat_administrator: false };
    let send = ChatCall::Send { by, id: id(n), text: text(), profile: None };
    let (now, mut pages) = (Timestamp(1_000_000), 0);
    let mut actions = driver.input(now, ChatInput::Call(1, send));
    while let [Action::Store(StoreCall::Read { from })] = actions.as_slice() {
        pages += 1;
        let page = log.iter().skip(*from as usize - 1).take(READ_PAGE).cloned().collect();
        actions = driver.stored(now, StoreAnswer::Page(Ok(page)));
    }
    pages
}

fn look_up(what: &str, driver: &Driver, log: &[Recorded], ids: impl Iterator<Item = u64>) {
    let mut driver = driver.clone();
    let (mut asked, mut pages) = (0, 0);
    let started = Instant::now();
    for n in ids {
        pages += ask(&mut driver, log, n);
        asked += 1;
    }
    let each = started.elapsed().as_micros() as f64 / f64::from(asked);
    println!(
        "{what}: {each:.1} us each, {:.2} pages read each",
        f64::from(pages as u32) / f64::from(asked)
    );
}

fn main() {
    let log = log(CHAT_MESSAGES_MAX - 1);
    let everything = Recent { commands: usize::MAX, parties: usize::MAX };
    println!("{} events, all of them messages", log.len());
    println!("memory: {} KB", memory(&log, Recent::default()) / 1_024);
    println!("with every answer in memory: {} KB", memory(&log, everything) / 1_024);
    let (mut driver, _) = Driver::begin(CHAT, 1, 1, Former::default());
    driver.wake();
    let claim = Claim { chat: CHAT, epoch: 1 };
    let now = Timestamp(1_000_000);
    let claimed = Claimed { claim, tail: log.len() as u64 };
    let mut actions = driver.stored(now, StoreAnswer::Claimed(Ok(claimed)));
    let started = Instant::now();
    while let [Action::Store(StoreCall::Read { from })] = actions.as_slice() {
        let page = log.iter().skip(*from as usize - 1).take(READ_PAGE).cloned().collect();
        actions = driver.stored(now, StoreAnswer::Page(Ok(page)));
    }
    driver.stored(now, StoreAnswer::Touched(Ok(())));
    println!("recovery without the store: {} ms", started.elapsed().as_millis());
    let last = log.len() as u64;
    look_up("a recent id", &driver, &log, last - 200..last);
    let step = last / LOOKED_UP;
    look_up("an old id", &driver, &log, (3..last - 300).step_by(step as usize));
    // Each look-up of a new id begins from the same chat: nothing is written here.
    let (mut pages, mut asked) = (0, 0);
    let mut spent = 0;
    for n in 0..LOOKED_UP {
        let mut driver = driver.clone();
        let started = Instant::now();
        pages += ask(&mut driver, &log, 1_000_000 + n);
        spent += started.elapsed().as_nanos();
        asked += 1;
    }
    println!(
        "a new id: {:.1} us each, {:.2} pages read each",
        spent as f64 / 1_000.0 / f64::from(asked),
        pages as f64 / f64::from(asked)
    );
}
