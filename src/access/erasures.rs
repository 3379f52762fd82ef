//! Erasures that outlive copies: what was erased is written down as keyed hashes, in the store and in a
//! file beside it, and applied again by whoever starts on a store that was copied before.
//!
//! Invariants: the store says who is being erased before the file says that somebody is, the file before
//! anything of them is removed for good, and the store that nobody is any more when all of it is; so what a
//! crash left is finished by the next start, and without a search. The hash takes the key of the store,
//! which every copy of it has and the file has not: a copy of the file tells nothing. Nothing that came
//! after an erasure is touched by applying it to a copy.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::act::{Act, ActError};
use super::gate::Access;
use super::limits::{BEGIN_ERASURE_TRIES, ERASED_SLICE, LOAD_PAGE};
use super::revoked::For;
use crate::audit::Note;
use crate::domain::audit::{AuditAct, AuditChange, AuditId, AuditSubject};
use crate::domain::{ChannelId, ChatId, Customer, CustomerId, Timestamp};
use crate::storage::{
    CustomerHash, Document, Documents, Erased, ErasuresError, ErasuresFile, Store, StoreError,
    Trace, Unread, forget_chats, read_all, version_of,
};

/// The kind of the documents. The id is the hash in hex, the body what [`Said`] is written as.
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

/// What the store says of an erasure: `TIME` once it is done, which is all that a release before knew, and
/// `TIME CHANNEL CUSTOMER` while it is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Said {
    /// As of when.
    at: Timestamp,
    /// Whom, while it is under way.
    of: Option<Customer>,
}

impl Said {
    fn parse(body: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        let (at, of) = match text.split_once(' ') {
            None => (text, None),
            Some((at, of)) => {
                let (channel, id) = of.split_once(' ')?;
                let (channel, id) = (ChannelId::parse(channel).ok()?, CustomerId::parse(id).ok()?);
                (at, Some(Customer { channel, id }))
            }
        };
        Some(Self { at: Timestamp(at.parse().ok()?), of })
    }

    fn body(self) -> Vec<u8> {
        let Self { at: Timestamp(at), of } = self;
        of.map_or(at.to_string(), |of| format!("{at} {} {}", of.channel, of.id)).into_bytes()
    }
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
    async fn stored(&self) -> Result<BTreeMap<CustomerHash, Said>, StoreError> {
        let read = |document: &Document| {
            let hash = CustomerHash::parse(&document.id);
            let damaged = || Unread::Damaged("it is no erasure".to_owned());
            hash.zip(Said::parse(&document.body)).ok_or_else(damaged)
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

    /// What the store says of one, none when that cannot be read, and its version.
    async fn known(&self, hash: CustomerHash) -> Result<(Option<Said>, u64), StoreError> {
        let id = hash.to_string();
        match self.documents.get(KIND, &id).await {
            Ok(Some(found)) => Ok((Said::parse(&found.body), found.version)),
            Ok(None) => Ok((None, 0)),
            Err(StoreError::Damaged { .. }) => {
                Ok((None, version_of(&*self.documents, KIND, &id).await?))
            }
            Err(error) => Err(error),
        }
    }

    /// Says in the store that somebody is being erased; later than every erasure of the same customer.
    async fn begin(
        &self,
        hash: CustomerHash,
        customer: Customer,
        now: Timestamp,
    ) -> Result<Timestamp, StoreError> {
        let mut tries_left = BEGIN_ERASURE_TRIES;
        loop {
            let (known, version) = self.known(hash).await?;
            let at = known.map_or(now, |known| now.max(known.at.plus_ms(1)));
            let body = Said { at, of: Some(customer) }.body();
            tries_left -= 1;
            match self.documents.put(KIND, &hash.to_string(), version, body).await {
                // Another one of the same customer came in between.
                Err(StoreError::VersionConflict { .. }) if tries_left > 0 => {}
                Err(StoreError::VersionConflict { .. }) => {
                    let reason = "the same customer is being erased by others".to_owned();
                    return Err(StoreError::Unavailable { reason });
                }
                put => return put.map(|_| at),
            }
        }
    }

    /// Says in the store how far one is; over nothing that is later, or is done by then.
    async fn say(&self, hash: CustomerHash, said: Said) -> Result<(), StoreError> {
        let (known, version) = self.known(hash).await?;
        let stands = |known: Said| (known.at, known.of.is_none()) >= (said.at, said.of.is_none());
        if known.is_some_and(stands) {
            return Ok(());
        }
        match self.documents.put(KIND, &hash.to_string(), version, said.body()).await {
            // Another one of the same customer came in between.
            Ok(_) | Err(StoreError::VersionConflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Whom a search through a copy found to be erased in it.
#[derive(Default)]
struct Found {
    customers: BTreeMap<CustomerHash, Customer>,
    /// Whom the audit trail names from before their erasure.
    in_trail: BTreeSet<CustomerHash>,
    /// Why not all of it could be searched.
    damaged: Option<String>,
}

impl Access {
    /// Writes down that a customer is being erased, durably; before anything is removed. Answers as of
    /// when: later than every erasure of the customer before, though the clock was ahead then. Else a
    /// start would take this one for that one, and apply that one again to what came in between. Once it
    /// is begun, a start finishes it that finds it under way.
    pub async fn begin_erasure(
        &self,
        customer: Customer,
        now: Timestamp,
    ) -> Result<Timestamp, StoreError> {
        let hash = self.hash(customer);
        let at = self.erasures.begin(hash, customer, now).await?;
        self.erasures.add(Erased::from([(hash, at)])).await?;
        Ok(at)
    }

    /// Writes down that all that a customer had at the time is gone, durably; and whose it was no more.
    pub async fn end_erasure(&self, customer: Customer, at: Timestamp) -> Result<(), StoreError> {
        self.erasures.say(self.hash(customer), Said { at, of: None }).await
    }

    /// Keeps erasures in this file, too, finishes those that a former process left under way, and applies
    /// those of the file to the store that it does not know of, with an entry in the audit trail: answers how
    /// many these were. Before anybody is served.
    pub async fn apply_erasures(
        &mut self,
        store: &Store,
        file: Option<PathBuf>,
        now: Timestamp,
    ) -> Result<usize, NotApplied> {
        let stored = self.erasures.stored().await?;
        let mut pending = Erased::new();
        if let Some(path) = file {
            let (file, known) = ErasuresFile::open(&path, &self.erasures_key())?;
            self.erasures.file = Some(Arc::new(file));
            let missing = stored.iter().map(|(hash, said)| (*hash, said.at));
            let missing = missing.filter(|(hash, at)| known.get(hash) < Some(at)).collect();
            self.erasures.add(missing).await?;
            pending = known;
        }
        let mut named = BTreeMap::new();
        for (hash, said) in stored {
            let known = pending.get(&hash).copied();
            match said.of {
                Some(customer) if self.hash(customer) == hash => {
                    named.insert(hash, customer);
                    pending.insert(hash, known.map_or(said.at, |known| known.max(said.at)));
                }
                // Nobody is erased for it, and it does not count as done.
                Some(_) => tracing::error!(document = %hash, "an erasure names somebody else"),
                None if known.is_some_and(|known| known <= said.at) => drop(pending.remove(&hash)),
                None => {}
            }
        }
        if pending.is_empty() {
            return Ok(0);
        }
        Ok(self.apply_noted(store, pending, named, now).await?)
    }

    /// Applies them with their entry. Of some that stay pending its outcome says that it is unknown.
    async fn apply_noted(
        &self,
        store: &Store,
        pending: Erased,
        named: BTreeMap<CustomerHash, Customer>,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let all = pending.len();
        let (field, to) = ("customers".to_owned(), Some(all.to_string()));
        let changes = vec![AuditChange { field, from: None, to }];
        let subject = Some(AuditSubject::Store);
        let note = Note { act: AuditAct::ErasuresApplied, subject, changes };
        let mut applied = None;
        let change = async {
            let done = *applied.insert(self.apply(store, pending, named).await?);
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

    /// Applies them, of whom some are `named`; answers how many. Damage ends no start: who cannot be erased
    /// for it stays pending, and is erased by a later one.
    async fn apply(
        &self,
        store: &Store,
        pending: Erased,
        mut named: BTreeMap<CustomerHash, Customer>,
    ) -> Result<usize, StoreError> {
        if !named.is_empty() {
            tracing::warn!(
                erasures = named.len(),
                "a process ended within these: they are finished"
            );
        }
        let mut unknown = pending.clone();
        unknown.retain(|hash, _| !named.contains_key(hash));
        let mut found = Found::default();
        if !unknown.is_empty() {
            tracing::warn!(
                erasures = unknown.len(),
                "the store was copied before these: they are applied to it, which reads whom it knows"
            );
            found = self.search(store, &unknown).await?;
            named.append(&mut found.customers);
        }
        let mut applied = 0;
        for (hash, at) in pending {
            let finished = match (named.get(&hash), &found.damaged) {
                (None, Some(_)) => continue,
                (None, None) => Ok(()),
                (Some(customer), _) => {
                    // Of who was found in a copy, entries from after the erasure may be all that there is.
                    let in_trail = found.in_trail.contains(&hash)
                        || found.damaged.is_some()
                        || !unknown.contains_key(&hash);
                    self.finish(store, *customer, at, in_trail).await
                }
            };
            let of = match finished {
                Ok(()) => None,
                Err(StoreError::Damaged { reason }) => {
                    stay_pending(1, &reason);
                    named.get(&hash).copied()
                }
                Err(error) => return Err(error),
            };
            applied += usize::from(of.is_none());
            self.erasures.say(hash, Said { at, of }).await?;
        }
        let left = unknown.keys().filter(|hash| !named.contains_key(*hash)).count();
        if let Some(reason) = found.damaged.filter(|_| left > 0) {
            stay_pending(left, &reason);
        }
        Ok(applied)
    }

    /// Erases one customer as of then; from the audit trail, if it is named there.
    async fn finish(
        &self,
        store: &Store,
        customer: Customer,
        at: Timestamp,
        in_trail: bool,
    ) -> Result<(), StoreError> {
        let commands = store.conversations.commands(customer).await?;
        let chats = commands.into_iter().map(|(_, chat)| chat).collect();
        self.erase(store, customer, chats, at).await?;
        if in_trail {
            store.audit.forget_customer(customer.channel, customer.id).await?;
        }
        Ok(())
    }

    /// Whom the hashes mean, of those whom the store knows.
    async fn search(&self, store: &Store, unknown: &Erased) -> Result<Found, StoreError> {
        let mut found = Found::default();
        let searched = match self.search_conversations(store, unknown, &mut found).await {
            Ok(()) => self.search_trail(store, unknown, &mut found).await,
            searched => searched,
        };
        match searched {
            Ok(()) => {}
            Err(StoreError::Damaged { reason }) => found.damaged = Some(reason),
            Err(error) => return Err(error),
        }
        Ok(found)
    }

    async fn search_conversations(
        &self,
        store: &Store,
        unknown: &Erased,
        found: &mut Found,
    ) -> Result<(), StoreError> {
        let mut at = None;
        loop {
            let page = store.inventory.conversations(at.as_ref(), LOAD_PAGE).await?;
            for of in page.items {
                let hash = self.hash(of.customer);
                if unknown.contains_key(&hash) {
                    found.customers.insert(hash, of.customer);
                }
            }
            at = page.next;
            if at.is_none() {
                return Ok(());
            }
        }
    }

    /// Customers whom entries of the audit trail name that were made before their erasure.
    async fn search_trail(
        &self,
        store: &Store,
        unknown: &Erased,
        found: &mut Found,
    ) -> Result<(), StoreError> {
        let mut before = AuditId::END;
        loop {
            let page = store.audit.newest(before, AuditId::FIRST, LOAD_PAGE).await?;
            for entry in &page {
                if let Some(AuditSubject::Customer { channel, customer: Some(id) }) = entry.subject
                {
                    let customer = Customer { channel, id };
                    let hash = self.hash(customer);
                    if unknown.get(&hash).is_some_and(|at| entry.id.at() <= *at) {
                        found.customers.insert(hash, customer);
                        found.in_trail.insert(hash);
                    }
                }
            }
            match page.last() {
                Some(last) => before = last.id,
                None => return Ok(()),
            }
        }
    }

    /// Forgets those of a customer's chats that began before the erasure, and takes its tokens away.
    async fn erase(
        &self,
        store: &Store,
        customer: Customer,
        chats: BTreeSet<ChatId>,
        erased: Timestamp,
    ) -> Result<(), StoreError> {
        if !self.revoked.revoke(customer, For::Erasure, || erased).await? {
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

    fn hash(&self, customer: Customer) -> CustomerHash {
        let (channel, id) = (customer.channel.0, customer.id.0);
        CustomerHash(self.key.hash(&[LABELS.0, channel.as_bytes(), id.as_bytes()]))
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
