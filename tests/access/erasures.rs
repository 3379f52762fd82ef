//! What a start does about erasures: those that a process left under way, those of a copy, and those that
//! damage stands in the way of.

use std::path::PathBuf;
use std::sync::Arc;

use switchboard::access::limits::{REVOKED_CUSTOMERS_MAX, REVOKED_FOR_ERASURE_MAX};
use switchboard::access::{Access, HashCost, Passwords, TokenLives};
use switchboard::catalog::Catalog;
use switchboard::domain::audit::{
    AuditAct, AuditActor, AuditEntry, AuditId, AuditOutcome, AuditSubject,
};
use switchboard::domain::{ChatId, Customer, CustomerId, Timestamp};
use switchboard::storage::memory::MemoryStore;
use switchboard::storage::{Document, Store, StoreError, Trace, forget_chats};
use tempfile::TempDir;

use crate::ended::made_and_ended;
use crate::support::{CountedEntropy, trail};
use crate::watched::{Damage, Watched};
use crate::{NOW, QUEUE, SITE};

/// An hour before the erasures, and after them.
const BEFORE: Timestamp = Timestamp(NOW.0 - 3_600_000);
const AFTER: Timestamp = Timestamp(NOW.0 + 3_600_000);

/// A store, and where the file of its erasures is.
struct Kept {
    memory: Arc<MemoryStore>,
    watched: Arc<Watched>,
    folder: TempDir,
}

/// What the store says of an erasure.
#[derive(Debug, PartialEq, Eq)]
enum Says {
    Nothing,
    UnderWay,
    Done,
}

impl Kept {
    async fn new() -> Self {
        let memory = MemoryStore::new();
        let watched = Watched::new(memory.store());
        let kept = Self { memory, watched, folder: tempfile::tempdir().unwrap() };
        // The key of the tokens is made by the first who asks for it.
        kept.access().await;
        kept
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("erasures")
    }

    fn store(&self) -> Store {
        self.watched.store()
    }

    async fn access(&self) -> Access {
        let documents = self.memory.store().documents;
        let catalog = Arc::new(Catalog::load(Arc::clone(&documents)).await.unwrap());
        let cheap = HashCost { memory_kib: 8, passes: 1, lanes: 1 };
        let (passwords, lives) = (Passwords::new(cheap).unwrap(), TokenLives::default());
        let entropy = Arc::new(CountedEntropy::default());
        Access::load(catalog, documents, entropy, passwords, lives, trail(), NOW).await.unwrap()
    }

    /// A process starts: answers how many erasures it finished or applied.
    async fn start(&self) -> usize {
        self.watched.searches();
        self.access().await.apply_erasures(&self.store(), Some(self.file()), NOW).await.unwrap()
    }

    /// Somebody with a chat, made then, and with an entry of the audit trail of an hour before the
    /// erasures.
    async fn talked(&self, n: u128, made: Timestamp) -> (Customer, ChatId) {
        let customer = Customer { channel: SITE, id: CustomerId::from_u128(n) };
        let chat = made_and_ended(&self.memory.store(), (customer, QUEUE), made, 0).await.chat;
        let entry = AuditEntry {
            id: AuditId::new(BEFORE, 7, n as u64),
            actor: AuditActor::System,
            address: None,
            act: AuditAct::VisitorTokensRevoked,
            subject: Some(AuditSubject::Customer { channel: SITE, customer: Some(customer.id) }),
            changes: Vec::new(),
            outcome: Some(AuditOutcome::Done),
        };
        self.memory.store().audit.record(entry).await.unwrap();
        (customer, chat)
    }

    /// What the router does for an erasure, up to where the process dies.
    async fn erase(&self, access: &Access, of: Customer, chat: ChatId) -> Result<(), StoreError> {
        let store = self.store();
        let at = access.begin_erasure(of, NOW).await?;
        forget_chats(&store, &[Trace::new(chat, of)]).await?;
        store.audit.forget_customer(of.channel, of.id).await?;
        access.end_erasure(of, at).await
    }

    /// With the file, and durably so.
    async fn serving(&self) -> Access {
        let mut access = self.access().await;
        access.apply_erasures(&self.store(), Some(self.file()), NOW).await.unwrap();
        access
    }

    async fn is_gone(&self, (customer, chat): (Customer, ChatId)) -> bool {
        let store = self.memory.store();
        let entries = store.audit.newest(AuditId::END, AuditId::FIRST, 100).await.unwrap();
        let of = Some(AuditSubject::Customer { channel: SITE, customer: Some(customer.id) });
        let forgotten = store.log.is_forgotten(chat).await.unwrap();
        forgotten
            && store.conversations.latest(customer).await.unwrap().is_none()
            && !entries.iter().any(|entry| entry.subject == of)
    }

    async fn documents(&self) -> Vec<Document> {
        let listed = self.memory.store().documents.list("erased", None, 100).await.unwrap();
        listed.into_iter().map(|listed| listed.document().unwrap()).collect()
    }

    /// What the store says of the only erasure that there is.
    async fn says(&self) -> Says {
        let documents = self.documents().await;
        assert!(documents.len() <= 1);
        let Some(document) = documents.first() else { return Says::Nothing };
        match std::str::from_utf8(&document.body).unwrap().contains(' ') {
            true => Says::UnderWay,
            false => Says::Done,
        }
    }
}

#[tokio::test]
async fn an_erasure_that_a_process_left_at_any_step_is_finished_without_a_search() {
    let (mut finished, mut died) = (0, 0);
    for with_file in [true, false] {
        for writes in 0.. {
            let kept = Kept::new().await;
            let (of, chat) = kept.talked(1, BEFORE).await;
            let other = kept.talked(2, BEFORE).await;
            let file = with_file.then(|| kept.file());
            let mut access = kept.access().await;
            access.apply_erasures(&kept.store(), file.clone(), NOW).await.unwrap();
            kept.memory.die_after(writes);
            let erased = kept.erase(&access, of, chat).await;
            drop(access);
            kept.memory.restart();
            let begun = kept.says().await != Says::Nothing;
            assert_eq!(begun, writes > 0);
            kept.watched.searches();
            // What was being forgotten first, as a server does.
            switchboard::storage::forget::resume(&kept.store()).await.unwrap();
            let mut access = kept.access().await;
            let applied = access.apply_erasures(&kept.store(), file.clone(), NOW).await.unwrap();
            assert_eq!(applied, usize::from(begun && erased.is_err()), "{writes}");
            assert_eq!(kept.watched.searches(), 0, "{writes}");
            assert_eq!(kept.is_gone((of, chat)).await, begun, "{writes}");
            assert!(!kept.is_gone(other).await);
            assert_eq!(kept.says().await, if begun { Says::Done } else { Says::Nothing });
            if let Some(file) = file {
                let text = std::fs::read_to_string(file).unwrap();
                assert_eq!(text.lines().count(), 1 + usize::from(begun), "{text}");
                assert!(!text.contains(&of.id.to_string()), "the hash tells nobody");
            }
            finished += applied;
            if erased.is_ok() {
                break;
            }
            died += 1;
        }
    }
    assert!(died > 16 && finished > 14, "{died} {finished}");
}

/// The file cannot be written to: the customer's erasure is under way, and nobody else's business.
#[tokio::test]
async fn an_erasure_that_the_file_does_not_know_yet_is_written_into_it_by_the_next_start() {
    let kept = Kept::new().await;
    let (of, chat) = kept.talked(1, BEFORE).await;
    let access = kept.serving().await;
    std::fs::remove_file(kept.file()).unwrap();
    let begun = access.begin_erasure(of, NOW).await;
    assert!(matches!(begun, Err(StoreError::Unavailable { .. })), "{begun:?}");
    assert_eq!(kept.start().await, 1);
    assert_eq!(kept.watched.searches(), 0);
    assert!(kept.is_gone((of, chat)).await);
    assert_eq!(std::fs::read_to_string(kept.file()).unwrap().lines().count(), 2);
}

/// The file of a release before, which said in the store what was done and nothing of what was under way.
#[tokio::test]
async fn what_a_former_release_left_is_searched_for_once() {
    let kept = Kept::new().await;
    let (done, pending) = (kept.talked(1, BEFORE).await, kept.talked(2, BEFORE).await);
    let access = kept.serving().await;
    kept.erase(&access, done.0, done.1).await.unwrap();
    let before = kept.documents().await;
    assert_eq!(before[0].body, NOW.0.to_string().into_bytes(), "as it was written then");
    access.begin_erasure(pending.0, NOW).await.unwrap();
    let store = kept.memory.store();
    let added = kept.documents().await.into_iter().find(|found| !before.contains(found)).unwrap();
    store.documents.delete("erased", &added.id, added.version).await.unwrap();
    assert_eq!(kept.start().await, 1);
    assert!(kept.watched.searches() >= 2, "all conversations, and the audit trail");
    assert!(kept.is_gone(pending).await);
    assert_eq!(kept.start().await, 0);
    assert_eq!(kept.watched.searches(), 0);
}

/// How many of two erasures a start gets done, of which the first meets the damage: of such as it finds under
/// way, and of such as it has to search for in a copy.
fn done_despite(damage: Damage) -> [usize; 2] {
    match damage {
        // Nothing has to be searched for; or nobody is found.
        Damage::Conversations => [2, 0],
        Damage::Forgetting(_) | Damage::CommandsOf(_) | Damage::TrailOf(_) => [1, 1],
        // Those found are taken out of the trail, whether it names them or not.
        Damage::Trail => [2, 2],
        // When it was made is known.
        Damage::Log(_) => [2, 2],
    }
}

#[tokio::test]
async fn damage_leaves_an_erasure_pending_at_a_start_and_a_later_one_finishes_it() {
    for (n, in_copy) in (0..6).flat_map(|n| [(n, false), (n, true)]) {
        let kept = Kept::new().await;
        let (of, other) = (kept.talked(1, BEFORE).await, kept.talked(2, BEFORE).await);
        let damage = [
            Damage::Forgetting(of.1),
            Damage::CommandsOf(of.0),
            Damage::TrailOf(of.0),
            Damage::Conversations,
            Damage::Trail,
            Damage::Log(of.1),
        ][n];
        let access = kept.serving().await;
        for (of, _) in [of, other] {
            access.begin_erasure(of, NOW).await.unwrap();
        }
        let documents = kept.memory.store().documents;
        for found in kept.documents().await.iter().filter(|_| in_copy) {
            documents.delete("erased", &found.id, found.version).await.unwrap();
        }
        kept.watched.damage(damage);
        let (case, done) =
            (format!("{damage:?}, {in_copy}"), done_despite(damage)[usize::from(in_copy)]);
        assert_eq!(kept.start().await, done, "{case}");
        assert_eq!(kept.is_gone(of).await, done == 2, "{case}");
        assert_eq!(kept.is_gone(other).await, done > 0, "{case}");
        // As long as it is damaged: who was found once is not searched for again.
        assert_eq!(kept.start().await, 0, "{case}");
        assert_eq!(kept.watched.searches() > 0, done == 0, "{case}");
        kept.watched.mend();
        assert_eq!(kept.start().await, 2 - done, "{case}");
        assert!(kept.is_gone(of).await && kept.is_gone(other).await, "{case}");
        let names_somebody = |found: &Document| found.body.contains(&b' ');
        assert!(!kept.documents().await.iter().any(names_somebody), "{case}");
        assert_eq!(kept.start().await, 0, "{case}");
    }
}

/// Nobody can read when it began: its id says when it was made.
#[tokio::test]
async fn a_chat_with_a_damaged_first_event_is_erased_if_it_was_made_before() {
    let kept = Kept::new().await;
    let (old, young) = (kept.talked(1, BEFORE).await, kept.talked(2, AFTER).await);
    let access = kept.serving().await;
    for (of, chat) in [old, young] {
        access.begin_erasure(of, NOW).await.unwrap();
        kept.watched.damage(Damage::Log(chat));
    }
    assert_eq!(kept.start().await, 2);
    assert!(kept.is_gone(old).await);
    let is_forgotten = kept.memory.store().log.is_forgotten(young.1).await.unwrap();
    assert!(!is_forgotten, "it came after the erasure");
}

/// A start has nobody to refuse: it goes on above the bound that others meet, and at its own it takes away
/// what there is and lets the tokens end by themselves.
#[tokio::test]
async fn a_start_erases_whoever_finds_no_room_among_the_revoked() {
    for (revoked, room) in [(REVOKED_CUSTOMERS_MAX, true), (REVOKED_FOR_ERASURE_MAX, false)] {
        let kept = Kept::new().await;
        let of = kept.talked(u128::MAX, BEFORE).await;
        kept.serving().await.begin_erasure(of.0, NOW).await.unwrap();
        let documents = kept.memory.store().documents;
        let named = |id: CustomerId| format!("{SITE}.{id}");
        for n in 0..revoked {
            let (id, at) = (named(CustomerId::from_u128(n as u128)), NOW.0.to_string());
            documents.put("revoked_visitor", &id, 0, at.into_bytes()).await.unwrap();
        }
        assert_eq!(kept.start().await, 1);
        assert!(kept.is_gone(of).await);
        assert_eq!(kept.says().await, Says::Done);
        let own = documents.get("revoked_visitor", &named(of.0.id)).await.unwrap();
        assert_eq!(own.is_some(), room, "{revoked}");
    }
}

/// It says whom it means: not believed when its hash is another's.
#[tokio::test]
async fn a_document_that_names_another_customer_erases_nobody() {
    let kept = Kept::new().await;
    let (of, other) = (kept.talked(1, BEFORE).await, kept.talked(2, BEFORE).await);
    let access = kept.serving().await;
    access.begin_erasure(of.0, NOW).await.unwrap();
    let found = kept.documents().await.remove(0);
    let body = format!("{} {} {}", NOW.0, other.0.channel, other.0.id);
    let documents = kept.memory.store().documents;
    documents.put("erased", &found.id, found.version, body.into_bytes()).await.unwrap();
    kept.start().await;
    assert!(!kept.is_gone(other).await);
    assert!(kept.is_gone(of).await, "the file knows the hash");
}
