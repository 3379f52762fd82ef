//! Copies while a store has trouble: interrupted, refused for now, lied to.

use std::collections::BTreeSet;
use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use switchboard::domain::audit::{AuditAct, AuditEntry, AuditId, AuditOutcome};
use switchboard::domain::operator::OperatorRecord;
use switchboard::domain::{ChatId, Recorded, Seq};
use switchboard::storage::export::{
    ExportError, Patience, Section, export, import, is_half_imported,
};
use switchboard::storage::memory::{Fault, FaultAt, MemoryStore};
use switchboard::storage::{AppendError, ChatLog, Claim, Claimed, Store, StoreError};

use crate::export::{contents, exported, fill, imported, is_as_filled, occasion};
use crate::samples::{chat, messages, open_chat, user};
use crate::subject::{Kind, Rig, Subject, block_on};
use crate::suite_audit::entry;

/// Tries again at once, for longer than any test takes.
pub const UNTIL_DONE: Patience =
    Patience { every: Duration::from_millis(1), max: Duration::from_secs(300) };

/// A log that stops taking events after some appends, as if the process had been killed there; or
/// that says it took those of one chat and did not.
struct Failing {
    log: Arc<dyn ChatLog>,
    appends: AtomicUsize,
    lies_about: Option<ChatId>,
}

#[async_trait]
impl ChatLog for Failing {
    async fn claim(&self, chat: ChatId) -> Result<Claimed, StoreError> {
        self.log.claim(chat).await
    }

    async fn append(&self, claim: Claim, events: Vec<Recorded>) -> Result<(), AppendError> {
        let less = |left: usize| left.checked_sub(1);
        if self.appends.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_err() {
            return Err(AppendError::Unavailable { reason: "as a test wants it".to_owned() });
        }
        if self.lies_about == Some(claim.chat) {
            return Ok(());
        }
        self.log.append(claim, events).await
    }

    async fn read(
        &self,
        chat: ChatId,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<Recorded>, StoreError> {
        self.log.read(chat, from, limit).await
    }

    async fn forget(&self, chat: ChatId) -> Result<(), StoreError> {
        self.log.forget(chat).await
    }

    async fn is_forgotten(&self, chat: ChatId) -> Result<bool, StoreError> {
        self.log.is_forgotten(chat).await
    }
}

pub fn failing(store: &Store, appends: usize, lies_about: Option<ChatId>) -> Store {
    let log = Arc::clone(&store.log);
    let log = Arc::new(Failing { log, appends: AtomicUsize::new(appends), lies_about });
    Store { log, ..store.clone() }
}

#[test]
fn an_import_that_was_interrupted_goes_on_and_nothing_else_may_happen_meanwhile() {
    for kind in [Kind::Memory, Kind::Sqlite] {
        block_on(async {
            let source = Subject::new(Kind::Memory).await.unwrap();
            fill(&source.store, 100).await;
            let (stream, written) = exported(&source.store, 1).await;
            let (other, _) = exported(&source.store, 2).await;
            let mut target = Subject::new(kind).await.unwrap();
            for appends in [0, 1, 10, 40, 3] {
                let stopped = imported(&failing(&target.store, appends, None), &stream).await;
                assert!(matches!(stopped, Err(ExportError::Append(_))), "{stopped:?}");
                target = target.restart().await;
                assert!(is_half_imported(&*target.store.documents).await.unwrap());
                let refused = imported(&target.store, &other).await;
                assert_eq!(refused, Err(ExportError::HalfImported), "another export");
                let occasion = occasion(3);
                let refused =
                    export(&target.store, occasion, Vec::new(), Patience::NONE, &mut ()).await;
                assert_eq!(refused, Err(ExportError::HalfImported));
            }
            assert_eq!(imported(&target.store, &stream).await.unwrap(), written);
            is_as_filled(&target.store, 100).await;
            let (again, _) = exported(&target.store, 4).await;
            assert_eq!(contents(&again), contents(&stream));
            let refused = imported(&target.store, &stream).await;
            assert!(matches!(refused, Err(ExportError::NotEmpty { .. })), "{refused:?}");
        });
    }
}

#[test]
fn an_import_that_goes_on_names_the_chat_that_was_written_to_meanwhile() {
    block_on(async {
        let source = Subject::new(Kind::Memory).await.unwrap();
        fill(&source.store, 100).await;
        let (stream, _) = exported(&source.store, 1).await;
        let target = Subject::new(Kind::Memory).await.unwrap();
        let stopped = imported(&failing(&target.store, 40, None), &stream).await;
        assert!(matches!(stopped, Err(ExportError::Append(_))), "{stopped:?}");
        let claimed = target.store.log.claim(chat(2)).await.unwrap();
        let more = messages(claimed.tail + 1..=4);
        target.store.log.append(claimed.claim, more).await.unwrap();
        let what = format!("chat {} has 4 events", chat(2));
        assert_eq!(imported(&target.store, &stream).await, Err(ExportError::Differs { what }));
    });
}

#[test]
fn an_import_goes_on_after_a_fault_of_any_port() {
    let places = [
        FaultAt::Append,
        FaultAt::Claim,
        FaultAt::OpenChats,
        FaultAt::Conversations,
        FaultAt::Operators,
        FaultAt::Watermarks,
        FaultAt::Documents,
        FaultAt::Processes,
        FaultAt::Audit,
    ];
    let faults = [Fault::Refuse, Fault::UnknownAfterWrite, Fault::UnknownWithoutWrite];
    for (place, fault) in places.iter().flat_map(|place| faults.map(|fault| (*place, fault))) {
        block_on(async {
            let source = Subject::new(Kind::Memory).await.unwrap();
            fill(&source.store, 100).await;
            let (stream, written) = exported(&source.store, 1).await;
            let memory = MemoryStore::new();
            memory.fail_next(place, fault);
            assert!(imported(&memory.store(), &stream).await.is_err(), "{place:?} {fault:?}");
            memory.restart();
            assert_eq!(imported(&memory.store(), &stream).await.unwrap(), written);
            is_as_filled(&memory.store(), 100).await;
            let (again, _) = exported(&memory.store(), 2).await;
            assert_eq!(contents(&again), contents(&stream));

            // With patience nobody has to run it again.
            let memory = MemoryStore::new();
            (0..3).for_each(|_| memory.fail_next(place, fault));
            let patient =
                import(&memory.store(), Cursor::new(&stream), None, UNTIL_DONE, &mut ()).await;
            assert_eq!(patient.unwrap(), written, "{place:?} {fault:?}");
            is_as_filled(&memory.store(), 100).await;
        });
    }
}

/// A log of which every third answer does not arrive.
struct Flaky {
    log: Arc<dyn ChatLog>,
    asked: AtomicUsize,
}

impl Flaky {
    fn of(store: &Store) -> Store {
        let log = Flaky { log: Arc::clone(&store.log), asked: AtomicUsize::new(0) };
        Store { log: Arc::new(log), ..store.clone() }
    }

    fn answers(&self) -> bool {
        !self.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(3)
    }
}

const LATE: &str = "the answer is late";

#[async_trait]
impl ChatLog for Flaky {
    async fn claim(&self, chat: ChatId) -> Result<Claimed, StoreError> {
        let claimed = self.log.claim(chat).await;
        let late = || Err(StoreError::Unavailable { reason: LATE.to_owned() });
        if self.answers() { claimed } else { late() }
    }

    async fn append(&self, claim: Claim, events: Vec<Recorded>) -> Result<(), AppendError> {
        let appended = self.log.append(claim, events).await;
        let late = || Err(AppendError::Unknown { reason: LATE.to_owned() });
        if self.answers() { appended } else { late() }
    }

    async fn read(
        &self,
        chat: ChatId,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<Recorded>, StoreError> {
        let read = self.log.read(chat, from, limit).await;
        let late = || Err(StoreError::Unavailable { reason: LATE.to_owned() });
        if self.answers() { read } else { late() }
    }

    async fn forget(&self, chat: ChatId) -> Result<(), StoreError> {
        self.log.forget(chat).await
    }

    async fn is_forgotten(&self, chat: ChatId) -> Result<bool, StoreError> {
        self.log.is_forgotten(chat).await
    }
}

#[test]
fn a_copy_outlasts_a_store_that_fails_now_and_then() {
    block_on(async {
        let source = Subject::new(Kind::Memory).await.unwrap();
        fill(&source.store, 100).await;
        let (expected, _) = exported(&source.store, 1).await;
        let target = Subject::new(Kind::Memory).await.unwrap();
        let (source, store) = (Flaky::of(&source.store), Flaky::of(&target.store));
        let mut stream = Vec::new();
        let hasty = export(&source, occasion(2), Vec::new(), Patience::NONE, &mut ()).await;
        assert!(matches!(hasty, Err(ExportError::Store(_))), "{hasty:?}");
        let written = export(&source, occasion(3), &mut stream, UNTIL_DONE, &mut ()).await.unwrap();
        assert_eq!(contents(&stream), contents(&expected));
        let brought =
            import(&store, Cursor::new(&stream), None, UNTIL_DONE, &mut ()).await.unwrap();
        assert_eq!(brought, written);
        is_as_filled(&target.store, 100).await;
    });
}

/// A store that does not come back is given up after the time that is meant for it.
#[test]
fn a_copy_does_not_wait_for_ever() {
    block_on(async {
        let source = Subject::new(Kind::Memory).await.unwrap();
        fill(&source.store, 10).await;
        let (stream, _) = exported(&source.store, 1).await;
        let target = Subject::new(Kind::Memory).await.unwrap();
        let (every, max) = (Duration::from_millis(1), Duration::from_millis(30));
        let store = failing(&target.store, 3, None);
        let begun = tokio::time::Instant::now();
        let patience = Patience { every, max };
        let given_up = import(&store, Cursor::new(&stream), None, patience, &mut ()).await;
        assert!(matches!(given_up, Err(ExportError::Append(_))), "{given_up:?}");
        assert!(begun.elapsed() >= max - every);
    });
}

#[test]
fn a_store_that_lies_is_found_out() {
    block_on(async {
        let source = Subject::new(Kind::Memory).await.unwrap();
        fill(&source.store, 100).await;
        let (stream, _) = exported(&source.store, 1).await;
        let target = Subject::new(Kind::Memory).await.unwrap();
        let found = imported(&failing(&target.store, usize::MAX, Some(chat(5))), &stream).await;
        assert!(matches!(found, Err(ExportError::Differs { .. })), "{found:?}");
        assert!(is_half_imported(&*target.store.documents).await.unwrap());
    });
}

#[test]
fn a_damaged_chat_is_named_in_the_export_and_the_rest_goes_on() {
    let rig = Rig::new(Kind::SqliteOnOurDisk);
    let store = rig.open().unwrap().store();
    block_on(async {
        for n in 1..=3 {
            let claim = store.log.claim(chat(n)).await.unwrap().claim;
            let events = 1..=if n == 2 { 600 } else { 30 };
            store.log.append(claim, messages(events)).await.unwrap();
            store.open_chats.put(open_chat(n, 5)).await.unwrap();
        }
    });
    drop(store);
    assert!(rig.disk.damage("switchboard.db", b"text of 555\""));
    let store = rig.open().unwrap().store();
    let (stream, summary) = block_on(exported(&store, 1));
    assert_eq!(summary.damaged, BTreeSet::from([chat(2).0]));
    assert_eq!(summary.count(Section::Chats), 2);
    let text = String::from_utf8(stream.clone()).unwrap();
    let named: Vec<_> = text.lines().filter(|line| line.contains("{\"damaged\"")).collect();
    let said = named.join("\n");
    assert!(said.contains("event 555 of chat") && said.contains("text of 554"), "{said}");
    assert!(said.contains("text of 556") && said.contains("text of 600"), "all that is left");
    assert_eq!(said.matches("text of ").count(), 599);

    let memory = MemoryStore::new().store();
    let brought = block_on(imported(&memory, &stream)).unwrap();
    assert_eq!(brought.damaged, summary.damaged);
    block_on(async {
        assert_eq!(memory.log.read(chat(3), 1, 99).await.unwrap(), messages(1..=30));
        assert_eq!(memory.log.read(chat(2), 1, 99).await.unwrap(), []);
        let rows = memory.open_chats.scan(None, 10).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.chat).collect::<Vec<_>>(), [1, 3].map(chat));
    });
}

#[test]
fn a_damaged_document_is_named_and_all_else_is_copied() {
    let rig = Rig::new(Kind::SqliteOnOurDisk);
    let store = rig.open().unwrap().store();
    block_on(async {
        for n in 1..=3 {
            let body = format!("the body of {n}").into_bytes();
            store.documents.put("thing", &n.to_string(), 0, body).await.unwrap();
        }
        let claim = store.log.claim(chat(1)).await.unwrap().claim;
        store.log.append(claim, messages(1..=30)).await.unwrap();
    });
    drop(store);
    assert!(rig.disk.damage("switchboard.db", b"the body of 2"));
    let store = rig.open().unwrap().store();
    let (stream, summary) = block_on(exported(&store, 1));
    assert_eq!(summary.damaged_documents, BTreeSet::from(["thing/2".to_owned()]));
    let memory = MemoryStore::new().store();
    let brought = block_on(imported(&memory, &stream)).unwrap();
    assert_eq!(brought.damaged_documents, summary.damaged_documents);
    block_on(async {
        let listed = memory.documents.list("thing", None, 10).await.unwrap();
        assert_eq!(listed.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["1", "3"]);
        assert_eq!(memory.log.read(chat(1), 1, 99).await.unwrap(), messages(1..=30));
    });
}

#[test]
fn a_damaged_record_of_an_operator_is_named_and_all_else_is_copied() {
    let rig = Rig::new(Kind::SqliteOnOurDisk);
    let store = rig.open().unwrap().store();
    let record = |n| OperatorRecord { lapses_in_row: n, ..OperatorRecord::default() };
    block_on(async {
        store.operators.save(user(1), record(77_777)).await.unwrap();
        store.operators.save(user(2), record(2)).await.unwrap();
    });
    drop(store);
    assert!(rig.disk.damage("switchboard.db", b"77777"));
    let store = rig.open().unwrap().store();
    let (stream, summary) = block_on(exported(&store, 1));
    assert_eq!(summary.damaged_operators, BTreeSet::from([user(1).0]));
    let memory = MemoryStore::new().store();
    let brought = block_on(imported(&memory, &stream)).unwrap();
    assert_eq!(brought.damaged_operators, summary.damaged_operators);
    block_on(async {
        assert_eq!(memory.operators.load(user(1)).await, Ok(OperatorRecord::default()));
        assert_eq!(memory.operators.load(user(2)).await, Ok(record(2)));
    });
}

fn trail(entries: &[AuditEntry]) -> Vec<(AuditId, AuditAct, Option<AuditOutcome>)> {
    entries.iter().map(|entry| (entry.id, entry.act, entry.outcome)).collect()
}

/// The entry of an import is there before anything that it brings, and is one, however often the
/// import is run.
#[test]
fn an_import_has_one_entry_from_its_beginning() {
    block_on(async {
        let source = Subject::new(Kind::Memory).await.unwrap();
        fill(&source.store, 100).await;
        let (stream, written) = exported(&source.store, 1).await;
        let own = |n| AuditEntry { act: AuditAct::StoreImported, ..entry(u64::MAX >> 16, n) };
        let bring = async |store: &Store, n| {
            import(store, Cursor::new(&stream), Some(own(n)), Patience::NONE, &mut ()).await
        };
        let all = async |store: &Store| {
            store.audit.newest(AuditId::END, AuditId::FIRST, 1_000).await.unwrap()
        };
        for (place, has) in [(FaultAt::Audit, 0), (FaultAt::Operators, 1), (FaultAt::Processes, 1)]
        {
            let memory = MemoryStore::new();
            memory.fail_next(place, Fault::UnknownWithoutWrite);
            assert!(bring(&memory.store(), 1).await.is_err(), "{place:?}");
            let there = all(&memory.store()).await;
            let of_import = there.iter().filter(|one| one.act == AuditAct::StoreImported);
            assert!(of_import.clone().all(|one| one.outcome.is_none()), "{there:?}");
            assert_eq!(of_import.count(), has, "{place:?}");
            memory.restart();
            assert_eq!(bring(&memory.store(), 2).await.unwrap(), written);
            let found = all(&memory.store()).await;
            let first = (own(1).id, AuditAct::StoreImported, Some(AuditOutcome::Done));
            assert_eq!((trail(&found[..1]), found.len()), (vec![first], 602), "{place:?}");
            let change = &found[0].changes[0];
            assert_eq!(change.to, Some(occasion(1).id.to_string()), "which export it was");
            let (again, _) = exported(&memory.store(), 2).await;
            let more: Vec<_> = contents(&again).difference(&contents(&stream)).cloned().collect();
            assert!(more.len() == 1 && more[0].contains("store.imported"), "{more:?}");
            assert!(contents(&stream).is_subset(&contents(&again)));
        }

        // Begun by the release before, whose flag names no entry.
        let memory = MemoryStore::new();
        let body = occasion(1).id.as_bytes().to_vec();
        memory.store().documents.put("import", "1", 0, body).await.unwrap();
        assert_eq!(bring(&memory.store(), 3).await.unwrap(), written);
        let found = all(&memory.store()).await;
        let one = (own(3).id, AuditAct::StoreImported, Some(AuditOutcome::Done));
        assert_eq!((trail(&found[..1]), found.len()), (vec![one], 602));
        assert!(!is_half_imported(&*memory.store().documents).await.unwrap());
    });
}
