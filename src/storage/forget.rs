//! Forgetting chats: every port that holds something of one is told, in an order that a crash
//! cannot break.
//!
//! Invariants: what is being forgotten is written down before anything of it is noted or removed,
//! with all that is needed to go on; it stays written down until all is removed; a start goes on
//! with it before it serves ([`resume`]).
//! Refuses to end an open chat: that is the router's, and comes first.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::{ChannelId, ChatId, Customer, CustomerId};

use super::{Store, StoreError};

/// The kind of the document that says what is being forgotten.
const KIND: &str = "forgetting";

/// The ids of that document. The first is used, and each other one when those before it cannot be read:
/// nobody knows which version to write over them.
const IDS: [&str; 4] = ["1", "2", "3", "4"];

/// Chats that are removed at a time: they share commits.
const REMOVED_AT_ONCE: usize = 8;

/// All that is needed to remove a chat, though its log is gone already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    chat: Uuid,
    channel: Uuid,
    customer: Uuid,
}

impl Trace {
    /// The chat of a customer.
    pub fn new(chat: ChatId, customer: Customer) -> Self {
        Self { chat: chat.0, channel: customer.channel.0, customer: customer.id.0 }
    }

    fn customer(&self) -> Customer {
        Customer { channel: ChannelId(self.channel), id: CustomerId(self.customer) }
    }
}

/// Forgets chats that have ended. May be repeated. One at a time: what an earlier one left is finished
/// first, so that no more than a slice is written down as being forgotten. A chat that cannot be
/// removed, since something of it is damaged, stays written down and hinders no other; errors with
/// `Damaged` when it is one of these. Durable when it answers.
pub async fn forget(store: &Store, chats: &[Trace]) -> Result<(), StoreError> {
    let UnderWay { id, version, traces, .. } = under_way(store).await?;
    let (version, stuck) = finish(store, id, version, traces).await?;
    if let Some((trace, error)) = stuck.iter().find(|(stuck, _)| !chats.contains(stuck)) {
        tracing::error!(chat = %trace.chat, %error, "a chat cannot be forgotten; it is tried again");
    }
    let mut traces: Vec<Trace> = stuck.into_iter().map(|(trace, _)| trace).collect();
    let new: Vec<Trace> = chats.iter().filter(|new| !traces.contains(new)).copied().collect();
    if new.is_empty() && traces.is_empty() {
        return Ok(());
    }
    traces.extend(new);
    let version = write(store, id, version, &traces).await?;
    let (_, stuck) = finish(store, id, version, traces).await?;
    match stuck.into_iter().find(|(trace, _)| chats.contains(trace)) {
        Some((_, error)) => Err(error),
        None => Ok(()),
    }
}

/// What a former process left to be finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resumed {
    /// Lists that cannot be read: what they named may be there still, in part. Who was to be erased is
    /// to be erased again; what was to be kept no longer is found again.
    pub unreadable: usize,
}

/// Finishes what a former process was forgetting when it ended. Before anybody is served. What cannot
/// be read or removed hinders no start.
pub async fn resume(store: &Store) -> Result<Resumed, StoreError> {
    let unreadable = match under_way(store).await {
        Ok(UnderWay { unreadable, .. }) => unreadable,
        Err(StoreError::Damaged { .. }) => return Ok(Resumed { unreadable: IDS.len() }),
        Err(error) => return Err(error),
    };
    match forget(store, &[]).await {
        Ok(()) | Err(StoreError::Damaged { .. }) => Ok(Resumed { unreadable }),
        Err(error) => Err(error),
    }
}

/// The document that is written to, and what it says.
struct UnderWay {
    id: &'static str,
    version: u64,
    traces: Vec<Trace>,
    /// Documents before it that cannot be read.
    unreadable: usize,
}

/// The first document that can be read, or that is not there yet.
async fn under_way(store: &Store) -> Result<UnderWay, StoreError> {
    let mut reason = String::new();
    for (unreadable, id) in IDS.iter().enumerate() {
        let read = match store.documents.get(KIND, id).await {
            Ok(None) => Ok((0, Vec::new())),
            Ok(Some(found)) => {
                serde_json::from_slice(&found.body).map(|traces| (found.version, traces)).map_err(
                    |error| format!("the list of what is being forgotten, byte {}", error.column()),
                )
            }
            Err(StoreError::Damaged { reason }) => Err(reason),
            Err(error) => return Err(error),
        };
        match read {
            Ok((version, traces)) => return Ok(UnderWay { id, version, traces, unreadable }),
            Err(what) => reason = what,
        }
    }
    Err(StoreError::Damaged { reason })
}

async fn write(store: &Store, id: &str, version: u64, traces: &[Trace]) -> Result<u64, StoreError> {
    let written = serde_json::to_vec(traces)
        .map_err(|error| StoreError::Unavailable { reason: error.to_string() })?;
    store.documents.put(KIND, id, version, written).await
}

/// Removes what is written down, and writes down what is left: chats of which something is damaged. Errors
/// with what else one of them met, when all others are removed; then all stay written down.
async fn finish(
    store: &Store,
    id: &str,
    version: u64,
    traces: Vec<Trace>,
) -> Result<(u64, Vec<(Trace, StoreError)>), StoreError> {
    if traces.is_empty() {
        return Ok((version, Vec::new()));
    }
    let one = async |trace: Trace| (trace, remove(store, &trace).await);
    let removing = stream::iter(traces).map(one).buffered(REMOVED_AT_ONCE);
    let (mut stuck, mut failed) = (Vec::new(), None);
    let mut of_customers: BTreeMap<Customer, Vec<Trace>> = BTreeMap::new();
    for (trace, removed) in removing.collect::<Vec<_>>().await {
        match removed {
            Ok(()) => of_customers.entry(trace.customer()).or_default().push(trace),
            Err(error @ StoreError::Damaged { .. }) => stuck.push((trace, error)),
            Err(error) => failed = Some(error),
        }
    }
    // Those of one customer one after the other, as they would stand in each other's way; and no customer
    // waits for the conditional writes of another, else a slice of many takes longer than a call may.
    let of_one = async |(customer, traces): (Customer, Vec<Trace>)| {
        let mut forgotten = Vec::with_capacity(traces.len());
        for trace in traces {
            let chat = ChatId(trace.chat);
            forgotten.push((trace, store.conversations.forget(customer, chat).await));
        }
        forgotten
    };
    let forgetting = stream::iter(of_customers).map(of_one).buffered(REMOVED_AT_ONCE);
    for (trace, forgotten) in forgetting.collect::<Vec<_>>().await.into_iter().flatten() {
        match forgotten {
            Ok(()) => {}
            Err(error @ StoreError::Damaged { .. }) => stuck.push((trace, error)),
            Err(error) => failed = Some(error),
        }
    }
    if let Some(error) = failed {
        return Err(error);
    }
    let left: Vec<Trace> = stuck.iter().map(|(trace, _)| *trace).collect();
    // Written anew and not deleted: on some stores what is deleted often costs every reader.
    Ok((write(store, id, version, &left).await?, stuck))
}

/// The log first, as the note of its id keeps everything else from coming back: whoever follows the feed and
/// puts a row meanwhile looks for that note behind it.
async fn remove(store: &Store, trace: &Trace) -> Result<(), StoreError> {
    let chat = ChatId(trace.chat);
    store.log.forget(chat).await?;
    store.watermarks.forget(chat).await?;
    store.open_chats.remove(chat).await?;
    store.history.remove(chat).await?;
    store.ended_chats.remove(trace.customer().channel, chat).await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;

    use super::*;
    use crate::domain::Party;
    use crate::storage::memory::MemoryStore;
    use crate::storage::{Watermark, Watermarks};

    /// A write that was under way arrives as soon as the watermarks of its chat are forgotten.
    struct Late(Arc<dyn Watermarks>);

    #[async_trait]
    impl Watermarks for Late {
        async fn load(&self, chat: ChatId) -> Result<BTreeMap<Party, Watermark>, StoreError> {
            self.0.load(chat).await
        }

        async fn raise(
            &self,
            chat: ChatId,
            watermarks: BTreeMap<Party, Watermark>,
        ) -> Result<(), StoreError> {
            self.0.raise(chat, watermarks).await
        }

        async fn forget(&self, chat: ChatId) -> Result<(), StoreError> {
            self.0.forget(chat).await?;
            let watermark = Watermark { delivered: 1, read: 1 };
            self.0.raise(chat, BTreeMap::from([(Party::System, watermark)])).await
        }
    }

    #[tokio::test]
    async fn watermarks_that_arrive_while_their_chat_is_forgotten_do_not_stay() {
        let inner = MemoryStore::new().store();
        let watermarks = Arc::new(Late(Arc::clone(&inner.watermarks)));
        let store = Store { watermarks, ..inner };
        let chat = ChatId::from_u128(1);
        let customer = Customer { channel: ChannelId::from_u128(2), id: CustomerId::from_u128(3) };
        forget(&store, &[Trace::new(chat, customer)]).await.unwrap();
        assert_eq!(store.watermarks.load(chat).await, Ok(BTreeMap::new()));
    }
}
