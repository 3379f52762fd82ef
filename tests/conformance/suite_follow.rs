//! Who follows the feed misses nothing, on whatever store.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use switchboard::domain::{ChatEvent, ChatId, Timestamp};
use switchboard::storage::memory::MemoryStore;
use switchboard::storage::{
    Cursor, FEED_HOUR_MS, FEED_KEPT_MS, FEED_SETTLES_MS, FeedConsumer, FeedHour, FeedPeriod,
    FeedPosition, FeedPresent, FeedShard, Page, Store, StoreError, follow_from_nothing, prune_feed,
    void_position,
};

use crate::export::{exported, imported};
use crate::hooked::{Asked, Call, Hook, OfDocuments, Trouble, hooked};
use crate::samples::{chat, message};
use crate::subject::Subject;
use crate::suite_feed::{all, period};

/// Takes what it is given, until it has taken so many.
struct Taking {
    taken: Mutex<Vec<ChatId>>,
    until: usize,
    /// What it cannot read.
    damaged: Option<ChatId>,
    /// What it has something of, in the order of the ids.
    held: Vec<ChatId>,
}

impl Taking {
    fn until(until: usize) -> Self {
        Self { taken: Mutex::default(), until, damaged: None, held: Vec::new() }
    }

    /// What it took, in the order of the ids.
    fn taken(self) -> Vec<ChatId> {
        let mut taken = self.taken.into_inner().unwrap();
        taken.sort_unstable();
        taken
    }
}

#[async_trait]
impl FeedConsumer for Taking {
    fn name(&self) -> &'static str {
        "test"
    }

    fn concerns(&self, _event: &ChatEvent) -> bool {
        true
    }

    async fn take(&self, chat: ChatId) -> Result<(), StoreError> {
        if self.damaged == Some(chat) {
            return Err(StoreError::Damaged { reason: "says a test".to_owned() });
        }
        let mut taken = self.taken.lock().unwrap();
        if taken.len() >= self.until {
            return Err(StoreError::Unavailable { reason: "says a test".to_owned() });
        }
        taken.push(chat);
        Ok(())
    }

    async fn held(&self, at: Option<&Cursor>, limit: usize) -> Result<Page<ChatId>, StoreError> {
        let after = at.map_or(&[][..], Cursor::raw);
        let mut items = self.held.clone();
        items.retain(|chat| chat.0.as_bytes().as_slice() > after);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|last| Cursor::new(last.0.as_bytes()));
        Ok(Page { items, next })
    }
}

/// A process that has run for long.
fn present(process: u64, now: Timestamp) -> FeedPresent {
    FeedPresent { process, runs_ms: FEED_SETTLES_MS, now }
}

/// When an hour settles.
fn settled(hour: u64) -> Timestamp {
    FeedHour(hour).begin().plus_ms(FEED_HOUR_MS + FEED_SETTLES_MS)
}

async fn adopt(store: &Store, process: u64) -> FeedPosition {
    FeedPosition::adopt(&*store.documents, "test", process).await.unwrap()
}

/// The consumer's way from nothing, over what there is.
async fn begin(store: &Store, present: FeedPresent) -> Vec<ChatId> {
    let consumer = Taking::until(usize::MAX);
    let mut position = adopt(store, present.process).await;
    assert!(!position.is_begun());
    position.begin(&*store.feed, &*store.documents, present).await.unwrap();
    while !position.walk(store, &consumer).await.unwrap() {}
    assert_eq!(position.from_nothing(), None);
    consumer.taken()
}

async fn pass(
    store: &Store,
    position: &mut FeedPosition,
    present: FeedPresent,
    consumer: &Taking,
) -> Result<(), StoreError> {
    let mut pass = position.pass(present);
    while !position.follow(&mut pass, store, consumer).await? {}
    Ok(())
}

/// What is taken by a consumer that goes on where the last one has come.
async fn follow(store: &Store, present: FeedPresent, until: usize) -> Vec<ChatId> {
    let consumer = Taking::until(until);
    let mut position = adopt(store, present.process).await;
    assert_eq!(position.from_nothing(), None, "it follows");
    let followed = pass(store, &mut position, present, &consumer).await;
    let taken = consumer.taken();
    assert_eq!(followed.is_ok(), taken.len() < until, "{followed:?}");
    taken
}

/// Chats with an event each.
async fn write(store: &Store, chats: std::ops::Range<u128>) {
    for n in chats {
        let claim = store.log.claim(chat(n)).await.unwrap().claim;
        store.log.append(claim, vec![message(1, "hi")]).await.unwrap();
    }
}

fn chats(numbers: impl IntoIterator<Item = u128>) -> Vec<ChatId> {
    numbers.into_iter().map(chat).collect()
}

pub async fn a_consumer_takes_each_change_at_least_once(subject: Subject) {
    let store = &subject.store;
    let (old, new) = (470_000, 470_001);
    begin(store, present(1, Timestamp(settled(old).0 - FEED_HOUR_MS))).await;
    for n in 0..40 {
        store.feed.touch(chat(n), period(1, old)).await.unwrap();
    }
    store.feed.touch(chat(3), period(1, new)).await.unwrap();
    let everything = chats(0..40);
    // Neither hour has settled: a touch covers what is appended after it, so both are taken again.
    let early = present(1, Timestamp(settled(old).0 - 1));
    assert_eq!(follow(store, early, usize::MAX).await, everything);
    assert_eq!(follow(store, early, usize::MAX).await, everything);
    // The old one has, and the consumer fails in its midst: where it stopped it goes on.
    let now = present(1, settled(old));
    let first = follow(store, now, 13).await;
    assert_eq!(first.len(), 13);
    let subject = subject.restart().await;
    let store = &subject.store;
    let rest = follow(store, now, usize::MAX).await;
    let mut both: Vec<_> = first.into_iter().chain(rest).collect();
    both.sort_unstable();
    both.dedup();
    assert_eq!(both, chats(0..40), "none is passed over");
    // What was touched after it has been passed is of a later hour.
    store.feed.touch(chat(50), period(1, new)).await.unwrap();
    assert_eq!(follow(store, now, usize::MAX).await, chats([3, 50]));
    assert_eq!(follow(store, present(1, settled(new)), usize::MAX).await, chats([3, 50]));
    let subject = subject.restart().await;
    assert_eq!(follow(&subject.store, present(1, settled(new)), usize::MAX).await, []);
}

pub async fn a_clock_that_went_back_over_a_restart_hides_no_change(subject: Subject) {
    let store = &subject.store;
    begin(store, present(1, settled(470_000))).await;
    store.feed.touch(chat(1), period(1, 470_001)).await.unwrap();
    assert_eq!(follow(store, present(1, settled(470_001)), usize::MAX).await, [chat(1)]);
    let subject = subject.restart().await;
    let store = &subject.store;
    // The next process begins hours before what was passed.
    let young = FeedPresent { process: 2, runs_ms: 0, now: FeedHour(469_990).begin() };
    assert_eq!(follow(store, young, usize::MAX).await, []);
    store.feed.touch(chat(2), period(2, 469_990)).await.unwrap();
    assert_eq!(follow(store, present(2, settled(469_990)), usize::MAX).await, [chat(2)]);
    // As long as the former one may have written, it is not passed.
    let subject = subject.restart().await;
    let store = &subject.store;
    let young = FeedPresent { process: 3, runs_ms: FEED_SETTLES_MS - 1, now: settled(470_005) };
    assert_eq!(follow(store, young, usize::MAX).await, []);
    store.feed.touch(chat(3), period(2, 469_991)).await.unwrap();
    assert_eq!(follow(store, young, usize::MAX).await, [chat(3)]);
    assert_eq!(follow(store, present(3, settled(470_005)), usize::MAX).await, [chat(3)]);
    assert_eq!(follow(store, present(3, settled(470_005)), usize::MAX).await, []);
}

pub async fn a_position_counts_for_the_next_process_only(subject: Subject) {
    let store = &subject.store;
    write(store, 0..3).await;
    assert_eq!(begin(store, present(5, settled(9))).await, chats(0..3));
    for process in [5, 6, 6, 7] {
        assert_eq!(adopt(store, process).await.from_nothing(), None, "{process}");
    }
    // Process 8 was of a release that touches nothing.
    let subject = subject.restart().await;
    let store = &subject.store;
    assert!(!adopt(store, 9).await.is_begun());
    assert_eq!(begin(store, present(9, settled(9))).await, chats(0..3));
    // One of a store that is older than its number.
    assert!(!adopt(store, 8).await.is_begun());
}

pub async fn a_position_that_cannot_be_read_or_was_made_void_begins_from_nothing(subject: Subject) {
    let documents = &*subject.store.documents;
    let store = &subject.store;
    write(store, 0..2).await;
    assert_eq!(begin(store, present(1, settled(9))).await, chats(0..2));
    let version = documents.get("feed_positions", "test").await.unwrap().unwrap().version;
    documents.put("feed_positions", "test", version, b"{".to_vec()).await.unwrap();
    assert_eq!(begin(store, present(1, settled(9))).await, chats(0..2));
    void_position(documents, "test").await.unwrap();
    void_position(documents, "test").await.unwrap();
    assert_eq!(begin(store, present(1, settled(9))).await, chats(0..2));
    // Whoever follows meanwhile does not write over it.
    let mut position = adopt(store, 1).await;
    void_position(documents, "test").await.unwrap();
    let passed = pass(store, &mut position, present(1, settled(10)), &Taking::until(9)).await;
    assert!(matches!(passed, Err(StoreError::VersionConflict { .. })), "{passed:?}");
    position.adopt_again(documents).await.unwrap();
    assert_eq!((position.is_begun(), position.from_nothing()), (false, Some(0)));
    void_position(documents, "another").await.unwrap();
}

pub async fn who_begins_from_nothing_goes_on_where_it_was_and_follows_what_changes_meanwhile(
    subject: Subject,
) {
    const CHATS: u128 = 300;
    let store = &subject.store;
    write(store, 0..CHATS).await;
    let now = present(1, settled(20));
    store.feed.touch(chat(1), period(1, 3)).await.unwrap();
    let mut position = adopt(store, 1).await;
    position.begin(&*store.feed, &*store.documents, now).await.unwrap();
    // It fails in the midst.
    let first = Taking::until(150);
    let failed = loop {
        match position.walk(store, &first).await {
            Ok(whole) => assert!(!whole),
            Err(error) => break error,
        }
    };
    assert!(matches!(failed, StoreError::Unavailable { .. }), "{failed:?}");
    let done = position.from_nothing().unwrap();
    assert!((1..=150).contains(&done), "{done}");
    // What it took before changes meanwhile.
    let first = first.taken();
    store.feed.touch(first[0], period(1, 21)).await.unwrap();
    let subject = subject.restart().await;
    let store = &subject.store;
    let mut position = adopt(store, 2).await;
    assert_eq!(position.from_nothing(), Some(done), "not from the beginning");
    let second = Taking::until(usize::MAX);
    while !position.walk(store, &second).await.unwrap() {}
    let second = second.taken();
    assert_eq!(second.len() as u64, CHATS as u64 - done);
    let mut both = [first.clone(), second].concat();
    both.sort_unstable();
    both.dedup();
    assert_eq!(both, chats(0..CHATS), "none is left out");
    // What had settled before is in the logs that it read.
    assert_eq!(follow(store, present(2, settled(30)), usize::MAX).await, [first[0]]);
}

pub async fn who_begins_early_follows_what_the_process_before_had_under_way(subject: Subject) {
    let store = &subject.store;
    for (process, hour) in [(1, 9), (3, 4), (3, 5), (3, 7), (3, 8)] {
        store.feed.touch(chat(u128::from(hour)), period(process, hour)).await.unwrap();
    }
    let young = FeedPresent { process: 4, runs_ms: 0, now: settled(6) };
    begin(store, young).await;
    assert_eq!(follow(store, young, usize::MAX).await, chats([7, 8]));
    // What nobody has touched before leaves nothing.
    let first = FeedShard::all().next().unwrap();
    let point = async |process| {
        void_position(&*store.documents, "test").await.unwrap();
        begin(store, FeedPresent { process, ..young }).await;
        adopt(store, process).await.at(first).unwrap().period
    };
    assert_eq!(point(4).await, period(3, 7));
    while store.feed.remove_before(period(4, 0)).await.unwrap() {}
    assert_eq!(point(4).await, period(4, 0));
}

pub async fn what_is_removed_makes_void_who_was_behind_it(subject: Subject) {
    let store = &subject.store;
    write(store, 0..3).await;
    let kept = FEED_KEPT_MS / FEED_HOUR_MS;
    let (old, new) = (470_000, 470_000 + kept);
    begin(store, present(1, settled(old - 1))).await;
    store.feed.touch(chat(1), period(1, old)).await.unwrap();
    store.feed.touch(chat(2), period(1, new)).await.unwrap();
    let prune = async |store: &Store, hour: u64| {
        let now = FeedHour(hour).begin().plus_ms(FEED_HOUR_MS / 2);
        prune_feed(&*store.feed, &*store.documents, present(3, now)).await.unwrap();
        all(store).await.into_iter().map(|(period, _)| period.hour.0).collect::<Vec<_>>()
    };
    // A fortnight is kept whole.
    assert_eq!(prune(store, new).await, [old, new]);
    assert_eq!(adopt(store, 1).await.from_nothing(), None);
    let mut follows = adopt(store, 1).await;
    assert_eq!(prune(store, new + 1).await, [new]);
    assert!(!adopt(store, 1).await.is_begun(), "it never took the one that is gone");
    // Nor does whoever was following it come past.
    let passed = pass(store, &mut follows, present(1, settled(new)), &Taking::until(9)).await;
    assert!(matches!(passed, Err(StoreError::VersionConflict { .. })), "{passed:?}");
    // Who is past it goes on, and so does who is on the way from nothing with points behind it.
    let now = present(1, settled(new - 1));
    let mut position = adopt(store, 1).await;
    position.begin(&*store.feed, &*store.documents, now).await.unwrap();
    assert_eq!(prune(store, new + kept).await, [new]);
    assert_eq!(adopt(store, 1).await.from_nothing(), Some(0));
    while !position.walk(store, &Taking::until(9)).await.unwrap() {}
    assert_eq!(follow(store, present(1, settled(new)), usize::MAX).await, [chat(2)]);
    assert_eq!(prune(store, new + kept + 1).await, [0; 0]);
    assert_eq!(adopt(store, 1).await.from_nothing(), None);
    // An hour of a process whose clock was ahead goes with those behind it.
    for at in [period(2, 900_000), period(3, old), period(3, new + kept)] {
        store.feed.touch(chat(1), at).await.unwrap();
    }
    assert_eq!(prune(store, new + kept).await, [new + kept]);
    assert!(!adopt(store, 1).await.is_begun());
}

pub async fn a_copy_has_no_position_that_counts(subject: Subject) {
    let source = MemoryStore::new().store();
    write(&source, 0..3).await;
    let process = source.processes.begin().await.unwrap();
    begin(&source, present(process, settled(9))).await;
    let (stream, _) = exported(&source, 1).await;
    let store = &subject.store;
    imported(store, &stream).await.unwrap();
    assert_eq!(store.documents.list("feed_positions", None, 9).await.unwrap(), []);
    let process = store.processes.begin().await.unwrap();
    assert_eq!(begin(store, present(process, settled(9))).await, chats(0..3), "all of them");
}

pub async fn a_damaged_chat_hinders_no_other(subject: Subject) {
    let store = &subject.store;
    write(store, 0..20).await;
    let now = present(1, settled(9));
    let consumer = Taking { damaged: Some(chat(7)), ..Taking::until(usize::MAX) };
    let mut position = adopt(store, 1).await;
    position.begin(&*store.feed, &*store.documents, now).await.unwrap();
    while !position.walk(store, &consumer).await.unwrap() {}
    for n in 0..20 {
        store.feed.touch(chat(n), period(1, 10)).await.unwrap();
    }
    pass(store, &mut position, present(1, settled(10)), &consumer).await.unwrap();
    let twice = (0..20).filter(|n| *n != 7).flat_map(|n| [n, n]);
    assert_eq!(consumer.taken(), chats(twice));
    assert_eq!(follow(store, present(1, settled(10)), usize::MAX).await, []);
}

pub async fn many_hours_without_a_change_are_passed_over(subject: Subject) {
    const HOURS: u64 = 400;
    let store = &subject.store;
    begin(store, FeedPresent { process: 1, runs_ms: 0, now: settled(0) }).await;
    let (busy, quiet) = (chat(0), chat(1));
    for hour in 1..=HOURS {
        store.feed.touch(busy, period(1, hour)).await.unwrap();
    }
    store.feed.touch(quiet, period(1, HOURS)).await.unwrap();
    let taken = follow(store, present(1, settled(HOURS)), usize::MAX).await;
    assert_eq!(taken, [busy, quiet], "each once, however often it was touched");
    assert_eq!(follow(store, present(1, settled(HOURS)), usize::MAX).await, []);
    let point = adopt(store, 1).await.at(FeedShard::of(quiet)).unwrap();
    assert_eq!(point.period, FeedPeriod { process: 1, hour: FeedHour(HOURS + 1) }, "it has looked");
}

pub async fn what_is_made_anew_without_a_router_goes_on_with_the_next_start(subject: Subject) {
    let store = &subject.store;
    write(store, 0..100).await;
    let process = store.processes.begin().await.unwrap();
    begin(store, present(process, settled(9))).await;
    for (n, hour) in [(1, 10), (2, 12)] {
        store.feed.touch(chat(n), period(process, hour)).await.unwrap();
    }
    let mut told = Vec::new();
    for until in [80, usize::MAX] {
        let consumer = Taking::until(until);
        let made = follow_from_nothing(store, &consumer, &mut |done| told.push(done)).await;
        assert_eq!(made.is_ok(), until > 80, "{made:?}");
    }
    assert_eq!(told, [0, 64, 64, 100], "the second time goes on");
    let next = store.processes.begin().await.unwrap();
    // What the last process may have had under way.
    assert_eq!(follow(store, present(next, settled(13)), usize::MAX).await, [chat(2)]);
}

pub async fn who_begins_from_nothing_takes_what_it_holds_behind_all_chats(subject: Subject) {
    let store = &subject.store;
    write(store, 0..10).await;
    let held = chats(1_000..1_100);
    let holding = |until| Taking { held: held.clone(), ..Taking::until(until) };
    let mut position = adopt(store, 1).await;
    position.begin(&*store.feed, &*store.documents, present(1, settled(9))).await.unwrap();
    let first = holding(90);
    while let Ok(whole) = position.walk(store, &first).await {
        assert!(!whole, "there are more");
    }
    assert_eq!(position.from_nothing(), Some(10 + 64), "it fails among those that it holds");
    let subject = subject.restart().await;
    let store = &subject.store;
    let mut position = adopt(store, 2).await;
    let second = holding(usize::MAX);
    while !position.walk(store, &second).await.unwrap() {}
    assert_eq!(second.taken(), held[64..], "it goes on where it was");
    let first = first.taken();
    assert!(first[..10] == chats(0..10) && first[10..] == held[..80], "{first:?}");
    assert_eq!(adopt(store, 2).await.from_nothing(), None);
}

/// Lets so many writes of documents pass, and no more.
struct Writes(AtomicUsize);

#[async_trait]
impl Hook for Writes {
    async fn around(&self, _asked: Asked, call: Call<'_>) -> Result<(), Trouble> {
        call.await;
        Ok(())
    }

    async fn around_documents(
        &self,
        _kind: &str,
        asked: OfDocuments,
        call: Call<'_>,
    ) -> Result<(), Trouble> {
        let fewer = |left: usize| left.checked_sub(1);
        if matches!(asked, OfDocuments::Write { .. })
            && self.0.fetch_update(Relaxed, Relaxed, fewer).is_err()
        {
            return Err(Trouble::Refused);
        }
        call.await;
        Ok(())
    }
}

/// A process that ends on its way from nothing.
async fn on_its_way(store: &Store) {
    void_position(&*store.documents, "test").await.unwrap();
    let process = store.processes.begin().await.unwrap();
    let mut position = adopt(store, process).await;
    position.begin(&*store.feed, &*store.documents, present(process, settled(9))).await.unwrap();
    assert!(!position.walk(store, &Taking::until(64)).await.unwrap());
}

/// The same, and after it one of a release that touches nothing.
async fn followed_by_an_old_release(store: &Store) {
    on_its_way(store).await;
    store.processes.begin().await.unwrap();
}

pub async fn what_is_made_anew_without_a_router_goes_on_from_no_router_s_way(subject: Subject) {
    let store = &subject.store;
    write(store, 0..100).await;
    let everything = chats(0..100);
    let anew = async |why: &str| {
        let consumer = Taking::until(usize::MAX);
        follow_from_nothing(store, &consumer, &mut |_| ()).await.unwrap();
        assert_eq!(consumer.taken(), everything, "{why}");
    };
    followed_by_an_old_release(store).await;
    anew("a process has run since").await;
    on_its_way(store).await;
    anew("that way was a router's").await;
    // A way of its own, of whose chats a process of an old release may have changed any.
    follow_from_nothing(store, &Taking::until(80), &mut |_| ()).await.unwrap_err();
    store.processes.begin().await.unwrap();
    anew("a process has run since that touches nothing").await;
    // It ends before it has written anything, and when it has just begun.
    for writes in 0..2 {
        followed_by_an_old_release(store).await;
        let stopped = hooked(store, Arc::new(Writes(AtomicUsize::new(writes))));
        let consumer = Taking::until(usize::MAX);
        follow_from_nothing(&stopped, &consumer, &mut |_| ()).await.unwrap_err();
        let next = store.processes.begin().await.unwrap();
        let mut position = adopt(store, next).await;
        assert_eq!((position.is_begun(), position.from_nothing()), (writes > 0, Some(0)));
        if !position.is_begun() {
            let present = present(next, settled(9));
            position.begin(&*store.feed, &*store.documents, present).await.unwrap();
        }
        let consumer = Taking::until(usize::MAX);
        while !position.walk(store, &consumer).await.unwrap() {}
        assert_eq!(consumer.taken(), everything, "after {writes} writes");
    }
    // A process has gone on with what was begun: what it took before may have changed since.
    followed_by_an_old_release(store).await;
    follow_from_nothing(store, &Taking::until(80), &mut |_| ()).await.unwrap_err();
    let next = store.processes.begin().await.unwrap();
    assert_eq!(adopt(store, next).await.from_nothing(), Some(64));
    anew("a process has gone on with it").await;
}
