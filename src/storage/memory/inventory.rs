//! What the memory holds. It lists backwards, so that nobody comes to rely on an order.

use async_trait::async_trait;
use uuid::Uuid;

use crate::domain::{ChannelId, ChatId, Customer, CustomerId, UserId};
use crate::storage::{Conversation, Cursor, Document, Inventory, Page, StoreError};

use super::{FaultAt, MemoryStore, State};

/// Up to `limit` of the keys below the cursor, largest first.
fn page(keys: impl Iterator<Item = Vec<u8>>, at: Option<&Cursor>, limit: usize) -> Page<Vec<u8>> {
    let mut keys: Vec<_> =
        keys.filter(|key| at.is_none_or(|at| key.as_slice() < at.raw())).collect();
    keys.sort_unstable_by(|a, b| b.cmp(a));
    let more = keys.len() > limit;
    keys.truncate(limit);
    let next = keys.last().filter(|_| more).map(|last| Cursor::new(last.clone()));
    Page { items: keys, next }
}

fn bytes(id: Uuid) -> Vec<u8> {
    id.as_bytes().to_vec()
}

impl<T> Page<T> {
    fn map<U>(self, to: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(to).collect(), next: self.next }
    }
}

/// The id in a key that [`bytes`] made.
fn id(key: &[u8]) -> Uuid {
    Uuid::from_slice(key).unwrap_or_default()
}

impl State {
    fn conversation(&self, customer: Customer) -> Option<Conversation> {
        let latest = *self.latest.get(&customer)?;
        let commands = self.commands_of(customer);
        Some(Conversation { customer, latest, commands })
    }
}

/// A page of these chats.
pub(super) fn chats_page(
    chats: impl Iterator<Item = ChatId>,
    at: Option<&Cursor>,
    limit: usize,
) -> Page<ChatId> {
    page(chats.map(|chat| bytes(chat.0)), at, limit).map(|key| ChatId(id(&key)))
}

#[async_trait]
impl Inventory for MemoryStore {
    async fn chats(&self, at: Option<&Cursor>, limit: usize) -> Result<Page<ChatId>, StoreError> {
        let state = self.lock();
        let held = state.logs.iter().filter(|(_, log)| !log.is_empty());
        Ok(chats_page(held.map(|(chat, _)| *chat), at, limit))
    }

    async fn watched(&self, at: Option<&Cursor>, limit: usize) -> Result<Page<ChatId>, StoreError> {
        let state = self.lock();
        let held = state.watermarks.iter().filter(|(_, watermarks)| !watermarks.is_empty());
        Ok(chats_page(held.map(|(chat, _)| *chat), at, limit))
    }

    async fn conversations(
        &self,
        at: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Conversation>, StoreError> {
        let state = self.lock();
        let keys = state.latest.keys().map(|of| [bytes(of.channel.0), bytes(of.id.0)].concat());
        let Page { items, next } = page(keys, at, limit);
        let found = items.iter().filter_map(|key| {
            let (channel, customer) = key.split_at(key.len() / 2);
            let (channel, id) = (ChannelId(id(channel)), CustomerId(id(customer)));
            state.conversation(Customer { channel, id })
        });
        Ok(Page { items: found.collect(), next })
    }

    async fn operators(
        &self,
        at: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<UserId>, StoreError> {
        let state = self.lock();
        let keys = state.operators.keys().map(|user| bytes(user.0));
        Ok(page(keys, at, limit).map(|key| UserId(id(&key))))
    }

    async fn document_kinds(&self) -> Result<Vec<String>, StoreError> {
        let mut kinds: Vec<_> =
            self.lock().documents.keys().map(|(kind, _)| kind.clone()).collect();
        kinds.dedup();
        Ok(kinds)
    }

    async fn last_process(&self) -> Result<u64, StoreError> {
        Ok(self.lock().processes)
    }

    async fn restore(&self, kind: &str, document: Document) -> Result<(), StoreError> {
        self.write(FaultAt::Documents, |state| {
            let key = (kind.to_owned(), document.id.clone());
            match state.documents.get(&key).map(|found| found.version) {
                Some(found) if found == document.version => {}
                Some(found) => return Err(StoreError::VersionConflict { expected: 0, found }),
                None => drop(state.documents.insert(key, document)),
            }
            Ok(())
        })
    }
}
