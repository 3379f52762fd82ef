//! Customers whose tokens were revoked, each a document: a token issued up to then is refused.
//! An entry is dropped when no such token can be alive any more, also if the clock is ahead and nobody
//! doubts it.
//!
//! Entries belong to a channel: the sites of two channels may use the same customer id, and what
//! one revokes is no matter of the other's.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::Mutex;

use super::limits::{
    LOAD_PAGE, REVOCATION_KEPT_MS, REVOKE_TRIES, REVOKED_CUSTOMERS_MAX, REVOKED_FOR_ERASURE_MAX,
};
use crate::domain::{ChannelId, Customer, CustomerId, Timestamp};
use crate::storage::{Document, Documents, StoreError};

/// The kind of the documents. The id is channel and customer, the body the time as decimal digits.
const KIND: &str = "revoked_visitor";

/// What stands between the two ids of a document's id.
const BETWEEN: char = '.';

pub(super) struct Revoked {
    documents: Arc<dyn Documents>,
    at: RwLock<Entries>,
    writing: Mutex<()>,
}

/// For what a customer's tokens are revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// Somebody asked for it.
    Itself,
    /// The customer is erased.
    Erasure,
}

impl For {
    /// Entries of the channel below which there is room for one more.
    fn most(self) -> usize {
        match self {
            Self::Itself => REVOKED_CUSTOMERS_MAX,
            Self::Erasure => REVOKED_FOR_ERASURE_MAX,
        }
    }
}

type Entries = HashMap<ChannelId, HashMap<CustomerId, Entry>>;

#[derive(Debug, Clone, Copy)]
struct Entry {
    at: Timestamp,
    version: u64,
}

impl Revoked {
    /// What is stored. A revocation whose time cannot be read counts as of `now`: to refuse is safe, and
    /// one customer's record hinders no start.
    pub async fn load(documents: Arc<dyn Documents>, now: Timestamp) -> Result<Self, StoreError> {
        let mut entries = Entries::new();
        let mut after: Option<String> = None;
        loop {
            let page = documents.list(KIND, after.as_deref(), LOAD_PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
            for listed in page {
                let (id, version) = (listed.id.clone(), listed.version);
                let Some(customer) = customer_of(&id) else {
                    tracing::error!(document = id, "a revocation names nobody: it is left out");
                    continue;
                };
                // Whenever it was: whoever still has a token gets a new one from the site.
                let entry = listed.document().ok().as_ref().and_then(decode).unwrap_or_else(|| {
                    tracing::error!(
                        document = id,
                        "the time of a revocation cannot be read: all tokens up to now are refused"
                    );
                    Entry { at: now, version }
                });
                entries.entry(customer.channel).or_default().insert(customer.id, entry);
            }
        }
        Ok(Self { documents, at: RwLock::new(entries), writing: Mutex::new(()) })
    }

    /// When the customer's tokens were revoked last.
    pub fn at(&self, customer: Customer) -> Option<Timestamp> {
        self.entry(customer).map(|entry| entry.at)
    }

    /// Whether there is room for one more of the channel, or it is there already.
    pub fn room(&self, customer: Customer, what: For) -> bool {
        self.entry(customer).is_some() || self.of_channel(customer.channel) < what.most()
    }

    /// Revokes all tokens issued to the customer until its turn comes, by what `now` says then. Answers
    /// `false` when the channel has too many entries. When the store fails, what it holds is shown: the write may
    /// have taken effect. An earlier try or a deletion that did so unnoticed, or does so only now, is revoked
    /// over: nobody is told of it.
    pub async fn revoke(
        &self,
        customer: Customer,
        what: For,
        now: impl Fn() -> Timestamp,
    ) -> Result<bool, StoreError> {
        let _writing = self.writing.lock().await;
        let mut at = now();
        let mut tries_left = REVOKE_TRIES;
        loop {
            let known = self.entry(customer);
            if !self.room(customer, what) {
                return Ok(false);
            }
            let version = known.map_or(0, |entry| entry.version);
            // Never back: what an earlier revocation took away stays away, whatever a clock says;
            // and tokens issued since the earlier one, each
            // dated behind it, are taken away too.
            at = known.map_or(at, |entry| at.max(entry.at.plus_ms(1)));
            let id = document_id(customer);
            let body = at.0.to_string().into_bytes();
            tries_left -= 1;
            match self.documents.put(KIND, &id, version, body).await {
                Ok(version) => {
                    self.show(customer, Entry { at, version });
                    return Ok(true);
                }
                Err(error) => {
                    let late = matches!(error, StoreError::VersionConflict { .. });
                    match self.documents.get(KIND, &id).await {
                        Ok(Some(found)) => {
                            if let Some(entry) = decode(&found) {
                                self.show(customer, entry);
                            }
                        }
                        // A deletion whose outcome nobody knew took effect.
                        Ok(None) if late => self.hide(customer),
                        Ok(None) | Err(_) => {}
                    }
                    if !late || tries_left == 0 {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Drops up to a page of entries that no living token can match.
    pub async fn prune(&self, now: Timestamp) -> Result<(), StoreError> {
        let _writing = self.writing.lock().await;
        let old: Vec<(Customer, u64)> = {
            let entries = self.at.read().unwrap_or_else(PoisonError::into_inner);
            let all = entries.iter().flat_map(|(channel, of)| of.iter().map(move |e| (channel, e)));
            let old = all.filter(|(_, (_, entry))| entry.at.plus_ms(REVOCATION_KEPT_MS) < now);
            let customer = |channel, id| Customer { channel, id };
            old.map(|(channel, (id, entry))| (customer(*channel, *id), entry.version))
                .take(LOAD_PAGE)
                .collect()
        };
        for (customer, version) in old {
            let id = document_id(customer);
            match self.documents.delete(KIND, &id, version).await {
                // A deletion whose outcome nobody knew took effect after all.
                Ok(()) | Err(StoreError::VersionConflict { found: 0, .. }) => {}
                // So did a revocation: it is old when its time has come.
                Err(StoreError::VersionConflict { .. }) => {
                    let found = self.documents.get(KIND, &id).await?;
                    if let Some(entry) = found.as_ref().and_then(decode) {
                        self.show(customer, entry);
                    }
                    continue;
                }
                Err(error) => return Err(error),
            }
            self.hide(customer);
        }
        Ok(())
    }

    fn entry(&self, customer: Customer) -> Option<Entry> {
        let entries = self.at.read().unwrap_or_else(PoisonError::into_inner);
        entries.get(&customer.channel).and_then(|of_channel| of_channel.get(&customer.id)).copied()
    }

    fn of_channel(&self, channel: ChannelId) -> usize {
        let entries = self.at.read().unwrap_or_else(PoisonError::into_inner);
        entries.get(&channel).map_or(0, HashMap::len)
    }

    fn show(&self, customer: Customer, entry: Entry) {
        let mut entries = self.at.write().unwrap_or_else(PoisonError::into_inner);
        entries.entry(customer.channel).or_default().insert(customer.id, entry);
    }

    fn hide(&self, customer: Customer) {
        let mut entries = self.at.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_channel) = entries.get_mut(&customer.channel) {
            of_channel.remove(&customer.id);
            if of_channel.is_empty() {
                entries.remove(&customer.channel);
            }
        }
    }
}

fn customer_of(document_id: &str) -> Option<Customer> {
    let (channel, customer) = document_id.split_once(BETWEEN)?;
    let (channel, id) = (ChannelId::parse(channel).ok()?, CustomerId::parse(customer).ok()?);
    Some(Customer { channel, id })
}

fn document_id(customer: Customer) -> String {
    format!("{}{BETWEEN}{}", customer.channel, customer.id)
}

fn decode(document: &Document) -> Option<Entry> {
    let at = std::str::from_utf8(&document.body).ok()?.parse().ok()?;
    Some(Entry { at: Timestamp(at), version: document.version })
}
