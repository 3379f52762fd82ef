//! What a store says that it holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use switchboard::domain::operator::OperatorRecord;
use switchboard::domain::{ChatId, Incarnation, Party};
use switchboard::storage::{
    Conversation, Cursor, Document, Page, Store, StoreError, Watermark, incarnation,
};

use crate::export::{contents, exported};
use crate::samples::{chat, command, customer, customer_of, messages, user};
use crate::subject::Subject;

/// Chats with a log: more than a fold takes, so that some are in the index and some are not.
const CHATS: u128 = 40;

async fn fill(store: &Store) {
    for n in 0..CHATS {
        let claim = store.log.claim(chat(n)).await.unwrap().claim;
        store.log.append(claim, messages(1..=1 + n as u64 % 4)).await.unwrap();
    }
    // The early ones lie in the index by now; here they get into the tail as well.
    let claim = store.log.claim(chat(0)).await.unwrap();
    store.log.append(claim.claim, messages(claim.tail + 1..=claim.tail + 1)).await.unwrap();
    store.log.claim(chat(CHATS)).await.unwrap();
    for n in [3, 1, 2, 1000] {
        let party = Party::Customer(customer(n).id);
        let watermarks = BTreeMap::from([(party, Watermark { delivered: 2, read: 1 })]);
        store.watermarks.raise(chat(n), watermarks.clone()).await.unwrap();
        store
            .watermarks
            .raise(chat(n), BTreeMap::from([(Party::System, watermarks[&party])]))
            .await
            .unwrap();
        store.operators.save(user(n), OperatorRecord::default()).await.unwrap();
    }
    for (n, m) in [(2, 1), (1, 1), (1, 2), (2, 9), (u128::MAX, 1)] {
        let mut after = None;
        for opened in 0..n.min(3) {
            let (new, id) = (
                chat(n.wrapping_mul(100) ^ (m * 10 + opened)),
                command(&format!("c{}", 9 - opened)),
            );
            let talks = &store.conversations;
            talks.claim_open(customer_of(n, m), &id, new, after).await.unwrap();
            after = Some(new);
        }
    }
    for (kind, id) in [("queue", "a"), ("user", "b"), ("user", "a"), ("zone", "a")] {
        store.documents.put(kind, id, 0, vec![]).await.unwrap();
    }
    store.documents.delete("zone", "a", 1).await.unwrap();
}

/// A listing from its beginning to its end, by pages of `limit`.
async fn all<T: Debug + Clone + Ord>(
    limit: usize,
    list: impl AsyncFn(Option<Cursor>) -> Result<Page<T>, StoreError>,
) -> Vec<T> {
    let (mut found, mut at) = (Vec::new(), None);
    loop {
        let page = list(at.take()).await.unwrap();
        assert!(page.items.len() <= limit);
        found.extend(page.items);
        at = page.next;
        if at.is_none() {
            break;
        }
    }
    let once: BTreeSet<_> = found.iter().cloned().collect();
    assert_eq!(once.len(), found.len(), "each comes once: {found:?}");
    found
}

fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort();
    items
}

type Row = (String, String, ChatId, Vec<(String, ChatId)>);

fn row(of: Conversation) -> Row {
    let commands = of.commands.into_iter().map(|(id, chat)| (id.as_str().to_owned(), chat));
    (of.customer.channel.to_string(), of.customer.id.to_string(), of.latest, commands.collect())
}

pub async fn the_inventory_lists_each_thing_once(subject: Subject) {
    assert!(is_empty(&subject.store).await);
    fill(&subject.store).await;
    let subject = subject.restart().await;
    // One more of each kind that lies in another place than what was there at the start.
    let claim = subject.store.log.claim(chat(7777)).await.unwrap().claim;
    subject.store.log.append(claim, messages(1..=1)).await.unwrap();
    let held = &subject.store.inventory;
    for limit in [1, 7, 1_000] {
        let chats = async || all(limit, async |at| held.chats(at.as_ref(), limit).await).await;
        let expected: Vec<_> = (0..CHATS).chain([7777]).map(chat).collect();
        assert_eq!(sorted(chats().await), sorted(expected));
        assert_eq!(chats().await, chats().await, "in the same order every time");
        let watched = all(limit, async |at| held.watched(at.as_ref(), limit).await).await;
        assert_eq!(sorted(watched), sorted([3, 1, 2, 1000].map(chat).to_vec()));
        let operators = all(limit, async |at| held.operators(at.as_ref(), limit).await).await;
        assert_eq!(sorted(operators), sorted([3, 1, 2, 1000].map(user).to_vec()));
        let talks = all(limit, async |at| {
            let Page { items, next } = held.conversations(at.as_ref(), limit).await?;
            Ok(Page { items: items.into_iter().map(row).collect(), next })
        });
        let talks = sorted(talks.await);
        assert_eq!(talks.len(), 5);
        let expected = row(Conversation {
            customer: customer_of(2, 9),
            latest: chat(200 ^ 91),
            commands: vec![(command("c8"), chat(200 ^ 91)), (command("c9"), chat(200 ^ 90))],
        });
        assert!(talks.contains(&expected), "{talks:?}");
    }
    assert_eq!(held.document_kinds().await.unwrap(), ["queue", "user"], "none that is gone");
}

async fn is_empty(store: &Store) -> bool {
    let held = &store.inventory;
    held.chats(None, 1).await.unwrap().items.is_empty()
        && held.watched(None, 1).await.unwrap().items.is_empty()
        && held.operators(None, 1).await.unwrap().items.is_empty()
        && held.conversations(None, 1).await.unwrap().items.is_empty()
        && held.document_kinds().await.unwrap().is_empty()
        && held.last_process().await.unwrap() == 0
}

pub async fn the_last_process_is_known(subject: Subject) {
    let mut last = 0;
    for _ in 0..3 {
        last = subject.store.processes.begin().await.unwrap();
        assert_eq!(subject.store.inventory.last_process().await.unwrap(), last);
    }
    assert_eq!(subject.restart().await.store.inventory.last_process().await.unwrap(), last);
}

pub async fn documents_are_restored_with_their_versions(subject: Subject) {
    let document =
        |version, body: &[u8]| Document { id: "a".to_owned(), version, body: body.to_vec() };
    let store = &subject.store;
    store.inventory.restore("queue", document(7, b"seven")).await.unwrap();
    store.inventory.restore("queue", document(7, b"seven")).await.unwrap();
    let other = store.inventory.restore("queue", document(8, b"eight")).await;
    assert_eq!(other, Err(StoreError::VersionConflict { expected: 0, found: 7 }));
    let subject = subject.restart().await;
    let documents = &subject.store.documents;
    assert_eq!(documents.get("queue", "a").await.unwrap(), Some(document(7, b"seven")));
    assert_eq!(documents.put("queue", "a", 7, b"eight".to_vec()).await, Ok(8));
}

pub async fn an_incarnation_stays_until_it_is_ended(subject: Subject) {
    let [first, second] = [1, 2].map(Incarnation::from_u128);
    assert_eq!(incarnation::begin(&*subject.store.documents, first).await, Ok(first));
    let subject = subject.restart().await;
    assert_eq!(incarnation::begin(&*subject.store.documents, second).await, Ok(first));
    let (stream, _) = exported(&subject.store, 1).await;
    assert_eq!(contents(&stream).len(), 0, "a copy begins its own");
    for _ in 0..2 {
        incarnation::end(&*subject.store.documents).await.unwrap();
    }
    let subject = subject.restart().await;
    assert_eq!(incarnation::begin(&*subject.store.documents, second).await, Ok(second));
}
