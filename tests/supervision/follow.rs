//! Who follows the feed misses nothing, whatever becomes of it, of its follower and of the process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use switchboard::actors::{HistoryWriter, Router};
use switchboard::domain::{ChatEvent, ChatId};
use switchboard::storage::memory::{Fault, FaultAt, MemoryStore};
use switchboard::storage::{FeedConsumer, FeedHour, FeedPeriod, Store, StoreError};

use crate::hooked::{Asked, Call, Hook, Trouble, hooked};
use crate::store::PANIC;
use crate::world::*;

/// What goes wrong when a chat is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Woe {
    Panics,
    Refused,
    Damaged,
}

/// Remembers up to where it has read each chat.
struct Reader {
    store: Store,
    read: Mutex<BTreeMap<ChatId, usize>>,
    /// Of the next chats that it takes, the first one's last.
    woes: Mutex<Vec<Woe>>,
    damaged: Mutex<BTreeSet<ChatId>>,
    /// Whether it wants to hear of anything at once.
    hasty: bool,
    taken: AtomicUsize,
}

impl Reader {
    fn new(store: &Store, hasty: bool) -> Arc<Self> {
        Arc::new(Self {
            store: store.clone(),
            read: Mutex::default(),
            woes: Mutex::default(),
            damaged: Mutex::default(),
            hasty,
            taken: AtomicUsize::new(0),
        })
    }

    /// Goes wrong the next times that it takes something.
    fn befall(&self, woes: &[Woe]) {
        self.woes.lock().unwrap().extend_from_slice(woes);
    }

    fn is_healed(&self) -> bool {
        self.woes.lock().unwrap().is_empty()
    }

    async fn until_read(&self, store: &Store, chats: &[ChatId]) {
        for chat in chats {
            let events = store.log.read(*chat, 1, 1_000).await.unwrap().len();
            until("a consumer reads all", || async {
                let read = self.read.lock().unwrap().get(chat).copied();
                (read >= Some(events)).then_some(())
            })
            .await;
        }
    }
}

#[async_trait]
impl FeedConsumer for Reader {
    /// That of one of whom the router is asked how far it is.
    fn name(&self) -> &'static str {
        HistoryWriter::NAME
    }

    fn concerns(&self, _event: &ChatEvent) -> bool {
        self.hasty
    }

    async fn take(&self, chat: ChatId) -> Result<(), StoreError> {
        self.taken.fetch_add(1, Ordering::Relaxed);
        let reason = "a test says so".to_owned();
        let woe = self.woes.lock().unwrap().pop();
        match woe {
            None => {}
            Some(Woe::Panics) => panic!("{PANIC}"),
            Some(Woe::Refused) => return Err(StoreError::Unavailable { reason }),
            Some(Woe::Damaged) => {
                self.damaged.lock().unwrap().insert(chat);
                return Err(StoreError::Damaged { reason });
            }
        }
        let events = self.store.log.read(chat, 1, 1_000).await?.len();
        self.read.lock().unwrap().insert(chat, events);
        Ok(())
    }
}

async fn followed(store: Store, reader: &Arc<Reader>) -> Router {
    silence_meant_panics();
    let consumers = vec![Arc::clone(reader) as Arc<dyn FeedConsumer>];
    Router::start_followed(store, roster(2), options(), consumers).await.unwrap()
}

/// Customers' chats, with a line each.
async fn opened(router: &Router, customers: std::ops::Range<u128>) -> Vec<ChatId> {
    let mut chats = Vec::new();
    for who in customers {
        let chat = open(router, who).await;
        send(router, as_customer(who), chat, &fresh(), "a line").await.unwrap();
        chats.push(chat);
    }
    chats
}

/// Counts the pages of all chats that are asked for.
#[derive(Default)]
struct Walks(AtomicUsize);

#[async_trait]
impl Hook for Walks {
    async fn around(&self, asked: Asked, call: Call<'_>) -> Result<(), Trouble> {
        if asked == Asked::All {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        call.await;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_takes_all_chats_once_and_then_what_changes() {
    let memory = MemoryStore::new();
    let store = memory.store();
    let router = start(memory.store()).await;
    let before = opened(&router, 1..4).await;
    router.stop().await;
    memory.restart();
    // Of a store that has been without it.
    let reader = Reader::new(&store, true);
    let router = followed(memory.store(), &reader).await;
    let during = opened(&router, 4..6).await;
    let all = [before, during].concat();
    reader.until_read(&store, &all).await;
    for (who, chat) in (1..).zip(&all) {
        send(&router, as_customer(who), *chat, &fresh(), "a line").await.unwrap();
    }
    reader.until_read(&store, &all).await;
    router.stop().await;
    assert_eq!(router.count("follower"), 0);
    memory.restart();
    // The next one goes on: it looks at no chat that nobody touched.
    let walks = Arc::new(Walks::default());
    let reader = Reader::new(&store, false);
    let router = followed(hooked(&memory.store(), Arc::clone(&walks) as _), &reader).await;
    let filled = walks.0.load(Ordering::Relaxed);
    reader.until_read(&store, &all).await;
    assert_eq!(walks.0.load(Ordering::Relaxed), filled, "from the feed");
    router.stop().await;
    memory.restart();
    // One that knows no feed, and then one that knows it again.
    start(memory.store()).await.stop().await;
    memory.restart();
    let reader = Reader::new(&store, false);
    let router = followed(hooked(&memory.store(), Arc::clone(&walks) as _), &reader).await;
    reader.until_read(&store, &all).await;
    assert!(walks.0.load(Ordering::Relaxed) > filled, "from nothing");
    router.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_fails_comes_back_and_misses_nothing() {
    let memory = MemoryStore::new();
    let store = memory.store();
    let router = start(memory.store()).await;
    let mut chats = opened(&router, 1..9).await;
    router.stop().await;
    memory.restart();
    let reader = Reader::new(&store, true);
    // On its way from nothing, in the midst.
    reader.befall(&[Woe::Panics]);
    let router = followed(memory.store(), &reader).await;
    reader.until_read(&store, &chats).await;
    until("it was started again", || async { (router.restarts() == 1).then_some(()) }).await;
    // While it takes what is said within the process.
    reader.befall(&[Woe::Refused, Woe::Panics]);
    chats.extend(opened(&router, 9..12).await);
    reader.until_read(&store, &chats).await;
    until("it met all", || async { reader.is_healed().then_some(()) }).await;
    router.crash_follower(HistoryWriter::NAME);
    until("it was started again", || async { (router.restarts() == 3).then_some(()) }).await;
    chats.extend(opened(&router, 12..14).await);
    reader.until_read(&store, &chats).await;
    assert!(!*router.ended().borrow());
    assert_eq!(router.count("follower"), 1);
    router.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_in_the_process_and_lost_is_found_in_the_feed() {
    let memory = MemoryStore::new();
    let store = memory.store();
    let reader = Reader::new(&store, true);
    let router = followed(memory.store(), &reader).await;
    let first = opened(&router, 1..2).await;
    reader.until_read(&store, &first).await;
    // All that is said is taken out at once, and of it nothing is taken.
    reader.befall(&[Woe::Refused]);
    let chats = opened(&router, 2..6).await;
    reader.until_read(&store, &chats).await;
    until("it met it", || async { reader.is_healed().then_some(()) }).await;
    // A position that was not written, or of which nobody knows whether it was.
    for fault in [Fault::Refuse, Fault::UnknownAfterWrite, Fault::UnknownWithoutWrite] {
        memory.fail_next(FaultAt::Documents, fault);
    }
    reader.befall(&[Woe::Refused]);
    let chats = opened(&router, 6..8).await;
    reader.until_read(&store, &chats).await;
    router.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_that_cannot_be_read_holds_nobody_up() {
    let memory = MemoryStore::new();
    let store = memory.store();
    let router = start(memory.store()).await;
    let before = opened(&router, 1..5).await;
    router.stop().await;
    memory.restart();
    let reader = Reader::new(&store, true);
    reader.befall(&[Woe::Damaged]);
    let router = followed(memory.store(), &reader).await;
    let after = opened(&router, 5..7).await;
    until("it met it", || async { reader.is_healed().then_some(()) }).await;
    // It is touched within the hour, so that it is taken again.
    reader.until_read(&store, &[before, after].concat()).await;
    assert_eq!((router.restarts(), reader.damaged.lock().unwrap().len()), (0, 1));
    router.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_taken_is_taken_again_though_nothing_more_is_said_of_it() {
    let store = MemoryStore::new().store();
    let reader = Reader::new(&store, true);
    let router = followed(store.clone(), &reader).await;
    let chats = opened(&router, 1..2).await;
    reader.until_read(&store, &chats).await;
    // The feed is not looked at any more before its hour has settled.
    until("it is up to date", || async { router.history_is_complete().then_some(()) }).await;
    // For longer than it is looked for.
    reader.befall(&[Woe::Refused; 100_000]);
    send(&router, as_customer(1), chats[0], &fresh(), "a line").await.unwrap();
    let left = || reader.woes.lock().unwrap().len();
    // The first may be of a turn that had begun before.
    let twice = left() - 2;
    until("it is refused twice", || async { (left() <= twice).then_some(()) }).await;
    reader.woes.lock().unwrap().clear();
    reader.until_read(&store, &chats).await;
    router.stop().await;
}

/// Says nothing to who asks what has changed, so often.
struct Silent(AtomicUsize);

#[async_trait]
impl Hook for Silent {
    async fn around(&self, asked: Asked, call: Call<'_>) -> Result<(), Trouble> {
        let left =
            || self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        if asked == Asked::Changed && left().is_ok() {
            std::future::pending::<()>().await;
        }
        call.await;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_silent_ends_a_turn_and_the_next_one_goes_on() {
    let memory = MemoryStore::new();
    let store = memory.store();
    let silent = Arc::new(Silent(AtomicUsize::new(2)));
    let reader = Reader::new(&store, true);
    let consumers = vec![Arc::clone(&reader) as Arc<dyn FeedConsumer>];
    let hooked = hooked(&memory.store(), Arc::clone(&silent) as _);
    let router = Router::start_followed(hooked, roster(2), impatient(), consumers).await.unwrap();
    let chats = opened(&router, 1..4).await;
    reader.until_read(&store, &chats).await;
    until("it was silent", || async { (silent.0.load(Ordering::Relaxed) == 0).then_some(()) })
        .await;
    assert_eq!((router.restarts(), router.count("follower")), (0, 1));
    router.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_is_not_complete_while_something_cannot_be_taken() {
    let store = MemoryStore::new().store();
    let reader = Reader::new(&store, true);
    let complete = async |router: &Router, wanted| {
        until("the history is complete, or is not", || async {
            (router.history_is_complete() == wanted).then_some(())
        })
        .await;
    };
    let router = followed(store.clone(), &reader).await;
    let first = opened(&router, 1..2).await;
    reader.until_read(&store, &first).await;
    complete(&router, true).await;
    // For longer than it is looked for.
    reader.befall(&[Woe::Refused; 100_000]);
    let chats = opened(&router, 2..4).await;
    complete(&router, false).await;
    reader.woes.lock().unwrap().clear();
    reader.until_read(&store, &chats).await;
    complete(&router, true).await;
    router.stop().await;
}

/// Removes no touch, and says when it is asked to.
#[derive(Default)]
struct Slow(AtomicUsize);

#[async_trait]
impl Hook for Slow {
    async fn around(&self, asked: Asked, call: Call<'_>) -> Result<(), Trouble> {
        if asked == Asked::RemoveTouches {
            self.0.fetch_add(1, Ordering::Relaxed);
            std::future::pending::<()>().await;
        }
        call.await;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_is_to_begin_while_touches_are_removed_goes_on_with_what_it_is_told() {
    let memory = MemoryStore::new();
    let store = memory.store();
    let old = FeedPeriod { process: 1, hour: FeedHour(1) };
    store.feed.touch(ChatId::from_u128(1), old).await.unwrap();
    let reader = Reader::new(&store, true);
    let slow = Arc::new(Slow::default());
    let router = followed(hooked(&memory.store(), Arc::clone(&slow) as _), &reader).await;
    reader.until_read(&store, &opened(&router, 1..2).await).await;
    // Its position is behind what goes, and so void.
    let removing = tokio::spawn({
        let router = router.clone();
        async move { router.prune_feed().await }
    });
    until("it removes", || async { (slow.0.load(Ordering::Relaxed) > 0).then_some(()) }).await;
    reader.befall(&[Woe::Refused]);
    for who in [2, 3, 4] {
        reader.until_read(&store, &opened(&router, who..who + 1).await).await;
    }
    assert!(reader.is_healed() && !removing.is_finished(), "they are still being removed");
    removing.abort();
    router.stop().await;
}
