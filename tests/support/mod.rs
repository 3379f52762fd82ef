//! A store of documents in memory, which can be told to fail, and randomness that repeats.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use switchboard::access::{Act, Entropy, NoEntropy};
use switchboard::audit::Trail;
use switchboard::domain::Timestamp;
use switchboard::storage::memory::MemoryStore;
use switchboard::storage::{Document, Documents, Listed, StoreError};
use tokio::sync::{Semaphore, watch};

/// What the next write does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails and has no effect.
    Before,
    /// It fails and takes effect.
    After,
}

#[derive(Default)]
pub struct MemoryDocuments {
    kept: Mutex<BTreeMap<(String, String), Document>>,
    /// After how many further writes, and how.
    fault: Mutex<Option<(usize, Fault)>>,
    /// The id of which writes wait until somebody says so.
    held: Mutex<Option<(String, Arc<Semaphore>)>>,
    /// Answers that were held.
    waiting: watch::Sender<u64>,
    deleted: AtomicU64,
}

impl MemoryDocuments {
    pub fn fail_next_write(&self, fault: Fault) {
        self.fail_after(0, fault);
    }

    /// Lets `writes` pass and fails the next one.
    pub fn fail_after(&self, writes: usize, fault: Fault) {
        *self.fault.lock().unwrap() = Some((writes, fault));
    }

    fn fault(&self) -> Option<Fault> {
        let mut planned = self.fault.lock().unwrap();
        match planned.take() {
            Some((0, fault)) => Some(fault),
            Some((writes, fault)) => {
                *planned = Some((writes - 1, fault));
                None
            }
            None => None,
        }
    }

    /// Answers to writes of this document wait until a permit is added.
    pub fn hold(&self, id: &str) -> Arc<Semaphore> {
        let free = Arc::new(Semaphore::new(0));
        *self.held.lock().unwrap() = Some((id.to_owned(), free.clone()));
        free
    }

    /// Until an answer is held.
    pub async fn holds(&self) {
        let mut waiting = self.waiting.subscribe();
        let held = waiting.wait_for(|waiting| *waiting > 0);
        let held = tokio::time::timeout(Duration::from_secs(10), held).await;
        drop(held.expect("an answer is held").unwrap());
    }

    /// Writes over a document, whatever it was.
    pub fn damage(&self, kind: &str, id: &str) {
        let mut kept = self.kept.lock().unwrap();
        let key = (kind.to_owned(), id.to_owned());
        kept.get_mut(&key).unwrap().body = b"{\"form\":1,".to_vec();
    }

    /// Documents that were deleted.
    pub fn deleted(&self) -> u64 {
        self.deleted.load(Ordering::Relaxed)
    }

    pub fn count(&self, kind: &str) -> usize {
        let kept = self.kept.lock().unwrap();
        kept.keys().filter(|(of, _)| of == kind).count()
    }

    /// Everything as one text, to look for what must not be in it.
    pub fn dump(&self) -> String {
        let kept = self.kept.lock().unwrap();
        let bodies = kept.values();
        let texts = bodies.map(|document| String::from_utf8_lossy(&document.body).into_owned());
        texts.collect()
    }

    fn write(
        &self,
        kind: &str,
        id: &str,
        expected: u64,
        body: Option<Vec<u8>>,
    ) -> Result<u64, StoreError> {
        let fault = self.fault();
        let unavailable = || StoreError::Unavailable { reason: "told so by a test".to_owned() };
        if fault == Some(Fault::Before) {
            return Err(unavailable());
        }
        let mut kept = self.kept.lock().unwrap();
        let key = (kind.to_owned(), id.to_owned());
        let found = kept.get(&key).map_or(0, |document| document.version);
        if found != expected {
            return Err(StoreError::VersionConflict { expected, found });
        }
        let version = found + 1;
        match body {
            Some(body) => {
                let id = id.to_owned();
                kept.insert(key, Document { id, version, body });
            }
            None => drop(kept.remove(&key)),
        }
        match fault {
            Some(_) => Err(unavailable()),
            None => Ok(version),
        }
    }
}

#[async_trait]
impl Documents for MemoryDocuments {
    async fn get(&self, kind: &str, id: &str) -> Result<Option<Document>, StoreError> {
        let kept = self.kept.lock().unwrap();
        Ok(kept.get(&(kind.to_owned(), id.to_owned())).cloned())
    }

    async fn put(
        &self,
        kind: &str,
        id: &str,
        expected: u64,
        body: Vec<u8>,
    ) -> Result<u64, StoreError> {
        let written = self.write(kind, id, expected, Some(body));
        let held = self.held.lock().unwrap().clone();
        if let Some((_, free)) = held.filter(|(of, _)| of == id) {
            self.waiting.send_modify(|waiting| *waiting += 1);
            drop(free.acquire().await.unwrap());
        }
        written
    }

    async fn delete(&self, kind: &str, id: &str, expected: u64) -> Result<(), StoreError> {
        self.deleted.fetch_add(1, Ordering::Relaxed);
        self.write(kind, id, expected, None).map(drop)
    }

    async fn list(
        &self,
        kind: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Listed>, StoreError> {
        let kept = self.kept.lock().unwrap();
        let of_kind = kept.iter().filter(|((of, _), _)| of == kind);
        let behind = of_kind.filter(|((_, id), _)| after.is_none_or(|after| id.as_str() > after));
        Ok(behind.take(limit).map(|(_, document)| document.clone().into()).collect())
    }
}

/// Counts instead of guessing; never says the same twice.
#[derive(Default)]
pub struct CountedEntropy(AtomicU64);

impl Entropy for CountedEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        let n = self.0.fetch_add(1, Ordering::Relaxed).to_le_bytes();
        for (byte, n) in bytes.iter_mut().zip(n.iter().cycle()) {
            *byte = n.wrapping_mul(97);
        }
        Ok(())
    }
}

/// An audit trail in memory.
pub fn trail() -> Arc<Trail> {
    let store = MemoryStore::new().store();
    Arc::new(Trail::new(store.audit, store.documents, 1))
}

static TRAIL: LazyLock<Arc<Trail>> = LazyLock::new(trail);

/// An act of the process itself, whose trail nobody reads.
pub fn system() -> Act<'static> {
    system_at(Timestamp(1_700_000_000_000))
}

/// The same, at a time.
pub fn system_at(now: Timestamp) -> Act<'static> {
    Act::of_system(&TRAIL, now)
}
