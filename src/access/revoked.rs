//! Customers whose tokens were revoked, each a document: a token issued up to then is refused.
//! An entry is dropped when no such token can be alive any more.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::Mutex;

use super::limits::{LOAD_PAGE, REVOKED_CUSTOMERS_MAX, TOKEN_MS_MAX};
use crate::domain::{CustomerId, Timestamp};
use crate::storage::{Documents, StoreError};

/// The kind of the documents; the body is the time as decimal digits.
const KIND: &str = "revoked_customer";

pub(super) struct Revoked {
    documents: Arc<dyn Documents>,
    at: RwLock<HashMap<CustomerId, Entry>>,
    writing: Mutex<()>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    at: Timestamp,
    version: u64,
}

impl Revoked {
    pub async fn load(documents: Arc<dyn Documents>) -> Result<Self, StoreError> {
        let mut entries = HashMap::new();
        let mut after: Option<String> = None;
        loop {
            let page = documents.list(KIND, after.as_deref(), LOAD_PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
            for document in &page {
                let damaged = || StoreError::Damaged {
                    reason: format!("{KIND} {}", document.id),
                };
                let customer = CustomerId::parse(&document.id).map_err(|_| damaged())?;
                let at = std::str::from_utf8(&document.body).ok();
                let at = at.and_then(|text| text.parse().ok()).ok_or_else(damaged)?;
                let version = document.version;
                let at = Timestamp(at);
                entries.insert(customer, Entry { at, version });
            }
        }
        Ok(Self {
            documents,
            at: RwLock::new(entries),
            writing: Mutex::new(()),
        })
    }

    /// When the customer's tokens were revoked last.
    pub fn at(&self, customer: CustomerId) -> Option<Timestamp> {
        let entries = self.at.read().unwrap_or_else(PoisonError::into_inner);
        entries.get(&customer).map(|entry| entry.at)
    }

    /// Revokes all tokens issued up to now. Answers `false` when there are too many entries.
    pub async fn revoke(&self, customer: CustomerId, now: Timestamp) -> Result<bool, StoreError> {
        let _writing = self.writing.lock().await;
        let version = {
            let entries = self.at.read().unwrap_or_else(PoisonError::into_inner);
            match entries.get(&customer) {
                Some(entry) => entry.version,
                None if entries.len() >= REVOKED_CUSTOMERS_MAX => return Ok(false),
                None => 0,
            }
        };
        let body = now.0.to_string().into_bytes();
        let id = customer.to_string();
        let version = self.documents.put(KIND, &id, version, body).await?;
        let mut entries = self.at.write().unwrap_or_else(PoisonError::into_inner);
        entries.insert(customer, Entry { at: now, version });
        Ok(true)
    }

    /// Drops up to a page of entries that no living token can match.
    pub async fn prune(&self, now: Timestamp) -> Result<(), StoreError> {
        let _writing = self.writing.lock().await;
        let old: Vec<(CustomerId, u64)> = {
            let entries = self.at.read().unwrap_or_else(PoisonError::into_inner);
            let old = entries
                .iter()
                .filter(|(_, entry)| entry.at.plus_ms(TOKEN_MS_MAX) < now);
            old.map(|(id, entry)| (*id, entry.version))
                .take(LOAD_PAGE)
                .collect()
        };
        for (customer, version) in old {
            let id = customer.to_string();
            self.documents.delete(KIND, &id, version).await?;
            let mut entries = self.at.write().unwrap_or_else(PoisonError::into_inner);
            entries.remove(&customer);
        }
        Ok(())
    }
}
