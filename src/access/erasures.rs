//! Erasures that outlive copies: what was erased is written down as keyed hashes, in the store and in a
//! file beside it, and applied again by whoever starts on a store that was copied before.
//!
//! Invariants: the file says that somebody is erased before anything of them is removed for good, and
//! the store says so when all of it is; so what a crash left is finished by the next start, too. The
//! hash takes the key of the store, which every copy of it has and the file has not. Nothing that came
//! after an erasure is touched by applying it again.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::act::{Act, ActError};
use super::gate::Access;
use super::limits::{ERASED_SLICE, LOAD_PAGE};
use crate::audit::Note;
use crate::domain::audit::{AuditAct, AuditChange, AuditId, AuditSubject};
use crate::domain::{ChatId, Customer, Timestamp};
use crate::storage::{
    Document, Documents, Erased, ErasuresError, ErasuresFile, Mark, Store, StoreError, Trace,
    Unread, forget_chats, read_all, version_of,
};

/// The kind of the documents. The id is the hash in hex, the body the time as decimal digits.
const KIND: &str = "erased";

/// What makes the store's key a key of these hashes, and the name of that key.
const LABELS: (&[u8], &[u8]) = (b"switchboard erased customer\0", b"switchboard erasures key\0");

/// Bytes of a key's hash that name it: enough to tell two stores apart.
const NAME_BYTES: usize = 8;

/// Why erasures cannot be kept or applied.
#[derive(Debug, thiserror::Error)]
pub enum NotApplied {
    /// The file.
    #[error(transparent)]
    File(#[from] ErasuresError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The erasures of a store that is served.
pub struct Erasures {
    documents: Arc<dyn Documents>,
    file: Option<Arc<ErasuresFile>>,
    /// Held by whoever writes to the file.
    writing: Mutex<()>,
}

impl Erasures {
    /// Nowhere: for who does not serve.
    pub(super) fn new(documents: Arc<dyn Documents>) -> Self {
        Self { documents, file: None, writing: Mutex::new(()) }
    }

    /// One that cannot be read does not count as applied, and is applied again.
    async fn stored(&self) -> Result<Erased, StoreError> {
        let read = |document: &Document| {
            let mark = Mark::parse(&document.id);
            let damaged = || Unread::Damaged("it is no erasure".to_owned());
            mark.zip(time_of(&document.body)).ok_or_else(damaged)
        };
        let (stored, _) = read_all(&*self.documents, KIND, LOAD_PAGE, read).await?;
        Ok(stored.into_iter().collect())
    }

    async fn add(&self, erased: Erased) -> Result<(), StoreError> {
        let Some(file) = self.file.clone().filter(|_| !erased.is_empty()) else { return Ok(()) };
        let _alone = self.writing.lock().await;
        let added = tokio::task::spawn_blocking(move || file.add(&erased)).await;
        let added = added.map_err(|error| error.to_string());
        let failed = |reason| StoreError::Unavailable { reason };
        added.and_then(|added| added.map_err(|error| error.to_string())).map_err(|error| {
            tracing::error!(error, "the file of erasures cannot be written to");
            failed(format!("the file of erasures: {error}"))
        })
    }

    /// When the store says that this was done last; none also when that cannot be read.
    async fn known(&self, mark: Mark) -> Result<Option<Timestamp>, StoreError> {
        match self.documents.get(KIND, &mark.to_string()).await {
            Ok(found) => Ok(found.and_then(|found| time_of(&found.body))),
            Err(StoreError::Damaged { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Says in the store that this is done; never an earlier time than it says already.
    async fn done(&self, mark: Mark, at: Timestamp) -> Result<(), StoreError> {
        let id = mark.to_string();
        let version = version_of(&*self.documents, KIND, &id).await?;
        if self.known(mark).await?.is_some_and(|known| known >= at) {
            return Ok(());
        }
        let body = at.0.to_string().into_bytes();
        match self.documents.put(KIND, &id, version, body).await {
            // Another one of the same customer came in between.
            Ok(_) | Err(StoreError::VersionConflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn time_of(body: &[u8]) -> Option<Timestamp> {
    std::str::from_utf8(body).ok().and_then(|at| at.parse().ok()).map(Timestamp)
}

impl Access {
    /// Writes down that a customer is being erased, durably; before anything is removed. Answers as of
    /// when: later than every erasure of the customer before, though the clock was ahead then. Else a
    /// start would take this one for that one, and apply that one again to what came in between.
    pub async fn begin_erasure(
        &self,
        customer: Customer,
        now: Timestamp,
    ) -> Result<Timestamp, StoreError> {
        let mark = self.mark(customer);
        let known = self.erasures.known(mark).await?;
        let at = known.map_or(now, |known| now.max(known.plus_ms(1)));
        self.erasures.add(Erased::from([(mark, at)])).await?;
        Ok(at)
    }

    /// Writes down that all that a customer had at the time is gone, durably.
    pub async fn end_erasure(&self, customer: Customer, at: Timestamp) -> Result<(), StoreError> {
        self.erasures.done(self.mark(customer), at).await
    }

    /// Keeps erasures in this file, too, and applies those to the store that it does not know of, with
    /// an entry in the audit trail: answers how many these were. Before anybody is served.
    pub async fn apply_erasures(
        &mut self,
        store: &Store,
        file: Option<PathBuf>,
        now: Timestamp,
    ) -> Result<usize, NotApplied> {
        let stored = self.erasures.stored().await?;
        let Some(path) = file else { return Ok(0) };
        let (file, known) = ErasuresFile::open(&path, &self.erasures_key())?;
        self.erasures.file = Some(Arc::new(file));
        let newer = |than: &Erased, mark: &Mark, at: &Timestamp| than.get(mark) < Some(at);
        let mut missing = stored.clone();
        missing.retain(|mark, at| newer(&known, mark, at));
        self.erasures.add(missing).await?;
        let mut pending = known;
        pending.retain(|mark, at| newer(&stored, mark, at));
        if !pending.is_empty() {
            tracing::warn!(
                erasures = pending.len(),
                "the store was copied before these, or a process ended within one: they are applied"
            );
            return Ok(self.apply_noted(store, pending, now).await?);
        }
        Ok(0)
    }

    /// Applies them with their entry. Of some that stay pending its outcome says that it is unknown.
    async fn apply_noted(
        &self,
        store: &Store,
        pending: Erased,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let all = pending.len();
        let (field, to) = ("customers".to_owned(), Some(all.to_string()));
        let changes = vec![AuditChange { field, from: None, to }];
        let subject = Some(AuditSubject::Store);
        let note = Note { act: AuditAct::ErasuresApplied, subject, changes };
        let mut applied = None;
        let change = async {
            let done = *applied.insert(self.apply(store, pending).await?);
            let reason = "some customers stay to be erased".to_owned();
            if done < all { Err(StoreError::Damaged { reason }) } else { Ok(()) }
        };
        match Act::of_system(&self.trail, now).carry_out(note, change).await {
            Ok(()) => Ok(all),
            // Damage ends no start.
            Err(ActError::Store(error)) => applied.ok_or(error),
            Err(ActError::Lost(lost)) => Err(StoreError::Unavailable { reason: lost.to_string() }),
        }
    }

    /// Applies them; answers how many. Damage ends no start: who cannot be erased for it stays pending,
    /// and is erased by a later one.
    async fn apply(&self, store: &Store, mut pending: Erased) -> Result<usize, StoreError> {
        let mut at = None;
        loop {
            let page = match store.inventory.conversations(at.as_ref(), LOAD_PAGE).await {
                Ok(page) => page,
                Err(StoreError::Damaged { reason }) => {
                    stay_pending(pending.len(), &reason);
                    return Ok(0);
                }
                Err(error) => return Err(error),
            };
            for of in page.items {
                let mark = self.mark(of.customer);
                if let Some(erased) = pending.get(&mark).copied() {
                    let chats: BTreeSet<ChatId> =
                        of.commands.into_iter().map(|(_, chat)| chat).collect();
                    match self.erase(store, of.customer, chats, erased).await {
                        Err(StoreError::Damaged { reason }) => {
                            stay_pending(1, &reason);
                            pending.remove(&mark);
                        }
                        erased => erased?,
                    }
                }
            }
            at = page.next;
            if at.is_none() {
                break;
            }
        }
        let named = match self.in_trail(store, &pending).await {
            Err(StoreError::Damaged { reason }) => {
                stay_pending(pending.len(), &reason);
                return Ok(0);
            }
            named => named?,
        };
        for customer in named {
            match store.audit.forget_customer(customer.channel, customer.id).await {
                Err(StoreError::Damaged { reason }) => {
                    stay_pending(1, &reason);
                    pending.remove(&self.mark(customer));
                }
                forgotten => forgotten?,
            }
        }
        for (mark, erased) in &pending {
            self.erasures.done(*mark, *erased).await?;
        }
        Ok(pending.len())
    }

    /// Forgets those of a customer's chats that began before the erasure, and takes its tokens away.
    async fn erase(
        &self,
        store: &Store,
        customer: Customer,
        chats: BTreeSet<ChatId>,
        erased: Timestamp,
    ) -> Result<(), StoreError> {
        if !self.revoked.revoke(customer, || erased).await? {
            tracing::warn!("too many customers' tokens are revoked: one's who is erased are not");
        }
        let mut traces = Vec::new();
        for chat in chats {
            let began = match store.log.read(chat, 1, 1).await {
                Ok(events) => events.first().map(|first| first.at),
                Err(StoreError::Damaged { .. }) => None,
                Err(error) => return Err(error),
            };
            if began.unwrap_or_else(|| chat.made_at()) <= erased {
                traces.push(Trace::new(chat, customer));
            }
        }
        for slice in traces.chunks(ERASED_SLICE) {
            forget_chats(store, slice).await?;
        }
        Ok(())
    }

    /// Customers whom entries of the audit trail name that were made before their erasure.
    async fn in_trail(
        &self,
        store: &Store,
        pending: &Erased,
    ) -> Result<BTreeSet<Customer>, StoreError> {
        let (mut found, mut before) = (BTreeSet::new(), AuditId::END);
        loop {
            let page = store.audit.newest(before, AuditId::FIRST, LOAD_PAGE).await?;
            for entry in &page {
                if let Some(AuditSubject::Customer { channel, customer: Some(id) }) = entry.subject
                {
                    let customer = Customer { channel, id };
                    if pending.get(&self.mark(customer)).is_some_and(|at| entry.id.at() <= *at) {
                        found.insert(customer);
                    }
                }
            }
            match page.last() {
                Some(last) => before = last.id,
                None => return Ok(found),
            }
        }
    }

    fn mark(&self, customer: Customer) -> Mark {
        let (channel, id) = (customer.channel.0, customer.id.0);
        Mark(self.key.hash(&[LABELS.0, channel.as_bytes(), id.as_bytes()]))
    }

    /// The name of the key that the hashes are made with.
    fn erasures_key(&self) -> String {
        let hash = self.key.hash(&[LABELS.1]);
        hash[..NAME_BYTES].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn stay_pending(customers: usize, reason: &str) {
    tracing::error!(
        customers,
        reason,
        "what was erased is in this store again, in part, and cannot be removed for damage: run `switchboard \
         store repair`, then start again"
    );
}
