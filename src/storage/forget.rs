//! Forgetting chats: every port that holds something of one is told, in an order that a crash
//! cannot break.
//!
//! Invariants: what is being forgotten is written down before anything of it is marked or removed,
//! with all that is needed to go on; it stays written down until all is removed; a start goes on
//! with it before it serves ([`resume`]).
//! Refuses to end an open chat: that is the router's, and comes first.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::{ChannelId, ChatId, Customer, CustomerId};

use super::{Store, StoreError};

/// The kind of the document that says what is being forgotten.
const KIND: &str = "forgetting";

/// The id of that document.
const ID: &str = "1";

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
}

/// Forgets chats that have ended. May be repeated. One at a time: an earlier one that was
/// interrupted is finished as well. Durable when it answers.
pub async fn forget(store: &Store, chats: &[Trace]) -> Result<(), StoreError> {
    let (version, mut traces) = under_way(store).await?;
    traces.extend_from_slice(chats);
    if traces.is_empty() {
        return Ok(());
    }
    let written = serde_json::to_vec(&traces);
    let written = written.map_err(|error| unreadable(&error))?;
    let version = store.documents.put(KIND, ID, version, written).await?;
    for trace in &traces {
        remove(store, trace).await?;
    }
    // Written anew and not deleted: on some stores what is deleted often costs every reader.
    store.documents.put(KIND, ID, version, b"[]".to_vec()).await?;
    Ok(())
}

/// Finishes what a former process was forgetting when it ended. Before anybody is served.
pub async fn resume(store: &Store) -> Result<(), StoreError> {
    forget(store, &[]).await
}

/// The version of the document, and what it says.
async fn under_way(store: &Store) -> Result<(u64, Vec<Trace>), StoreError> {
    let Some(found) = store.documents.get(KIND, ID).await? else {
        return Ok((0, Vec::new()));
    };
    let traces = serde_json::from_slice(&found.body).map_err(|error| unreadable(&error))?;
    Ok((found.version, traces))
}

fn unreadable(error: &serde_json::Error) -> StoreError {
    let reason = format!("the list of chats that are being forgotten, byte {}", error.column());
    StoreError::Damaged { reason }
}

/// The log first, as its mark keeps everything else from coming back.
async fn remove(store: &Store, trace: &Trace) -> Result<(), StoreError> {
    let chat = ChatId(trace.chat);
    store.log.forget(chat).await?;
    store.watermarks.forget(chat).await?;
    store.open_chats.remove(chat).await?;
    let customer = Customer { channel: ChannelId(trace.channel), id: CustomerId(trace.customer) };
    store.conversations.forget(customer, chat).await
}
