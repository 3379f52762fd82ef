//! Listings of the whole keyspace, for copies. They read partitions in the order of their tokens,
//! by parts of the ring ([`ring`](super::ring)); nothing else in this store scans a table.

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use scylla::statement::prepared::PreparedStatement;
use uuid::Uuid;

use crate::domain::{ChannelId, ChatId, Customer, CustomerId, UserId};
use crate::storage::record::{self, Slot};
use crate::storage::{
    ChatLog, Conversation, Cursor, Document, Documents, Inventory, Page, StoreError,
};

use super::ScyllaStore;
use super::documents::big;
use super::errors::unreadable;
use super::limits::SCAN_AT_ONCE;
use super::open_chats::shard;
use super::processes::PROCESS;

impl ScyllaStore {
    /// A page of ids, one a row.
    async fn ids(
        &self,
        statement: &PreparedStatement,
        at: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Uuid>, StoreError> {
        let page = self.keys(statement, at, limit, |row: &(i64, Uuid)| row.0).await?;
        Ok(Page { items: page.items.into_iter().map(|(_, id)| id).collect(), next: page.next })
    }

    /// Everything of one customer on a channel, read as the conditional writes left it. None when
    /// a first claim was interrupted.
    async fn conversation(
        &self,
        channel: Uuid,
        customer: Uuid,
    ) -> Result<Option<Conversation>, StoreError> {
        let customer = Customer { channel: ChannelId(channel), id: CustomerId(customer) };
        let (latest, commands) = self.talks_of(customer).await?;
        Ok(latest.map(|latest| Conversation { customer, latest, commands }))
    }
}

#[async_trait]
impl Inventory for ScyllaStore {
    async fn chats(&self, at: Option<&Cursor>, limit: usize) -> Result<Page<ChatId>, StoreError> {
        let statement = &self.db.statements.log.partitions;
        let Page { items, next } =
            self.keys(statement, at, limit, |row: &(i64, Uuid, i64)| row.0).await?;
        // Every log begins in the first bucket; one that was only claimed has no event there.
        let first = items.into_iter().filter(|(.., bucket)| *bucket == 0);
        let looked = stream::iter(first.map(async |(_, chat, _)| {
            let begun = match self.read(ChatId(chat), 1, 1).await {
                // Whoever reads its log is told; the others of the page are listed.
                Err(StoreError::Damaged { .. }) => true,
                read => !read?.is_empty(),
            };
            Ok::<_, StoreError>(begun.then_some(ChatId(chat)))
        }));
        let found = looked.buffered(SCAN_AT_ONCE).try_filter_map(async |chat| Ok(chat));
        Ok(Page { items: found.try_collect().await?, next })
    }

    async fn watched(&self, at: Option<&Cursor>, limit: usize) -> Result<Page<ChatId>, StoreError> {
        let Page { items, next } =
            self.ids(&self.db.statements.watermarks.chats, at, limit).await?;
        Ok(Page { items: items.into_iter().map(ChatId).collect(), next })
    }

    async fn conversations(
        &self,
        at: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Conversation>, StoreError> {
        let statement = &self.db.statements.conversations.by_token;
        let Page { items, next } =
            self.keys(statement, at, limit, |row: &(i64, Uuid, Uuid)| row.0).await?;
        let read =
            items.into_iter().map(|(_, channel, customer)| self.conversation(channel, customer));
        let found = stream::iter(read).buffered(SCAN_AT_ONCE);
        let found = found.try_filter_map(async |conversation| Ok(conversation));
        Ok(Page { items: found.try_collect().await?, next })
    }

    async fn operators(
        &self,
        at: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<UserId>, StoreError> {
        let Page { items, next } = self.ids(&self.db.statements.operators.ids, at, limit).await?;
        Ok(Page { items: items.into_iter().map(UserId).collect(), next })
    }

    async fn document_kinds(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.kinds().await?.into_iter().collect())
    }

    async fn last_process(&self) -> Result<u64, StoreError> {
        let answer = self.db.read(&self.db.statements.processes.get, (PROCESS,)).await?;
        let row = answer.maybe_first_row::<(i64,)>().map_err(unreadable)?;
        Ok(row.map_or(0, |(value,)| value.unsigned_abs()))
    }

    async fn restore(&self, kind: &str, document: Document) -> Result<(), StoreError> {
        let Document { id, version, body } = &document;
        let sealed = record::seal(Slot::Document(kind, id, *version), body);
        let values = (kind, shard(id.as_bytes()), id, big(*version), &sealed);
        if self.db.condition(&self.db.statements.documents.new, values).await? {
            return Ok(());
        }
        let found = self.get(kind, id).await?.map_or(0, |document| document.version);
        if found == *version {
            return Ok(());
        }
        Err(StoreError::VersionConflict { expected: 0, found })
    }
}
