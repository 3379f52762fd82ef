//! A store whose searches are counted, and of which some reads and removals find damage.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use switchboard::domain::{ChatId, Customer};
use switchboard::storage::Store;

use crate::hooked::{Asked, Call, Hook, Trouble, hooked};

/// What is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Damage {
    /// A page of all chats or conversations.
    Conversations,
    /// What a customer has.
    CommandsOf(Customer),
    /// A chat's log, for who reads it.
    Log(ChatId),
    /// A chat, for who forgets it.
    Forgetting(ChatId),
    /// A page of the audit trail.
    Trail,
    /// An entry about a customer, for who takes it out.
    TrailOf(Customer),
}

pub struct Watched {
    inner: Store,
    damaged: Mutex<BTreeSet<Damage>>,
    searches: AtomicUsize,
}

impl Watched {
    pub fn new(inner: Store) -> Arc<Self> {
        Arc::new(Self { inner, damaged: Mutex::default(), searches: AtomicUsize::new(0) })
    }

    pub fn store(self: &Arc<Self>) -> Store {
        hooked(&self.inner, Arc::clone(self) as _)
    }

    pub fn damage(&self, damage: Damage) {
        self.damaged.lock().unwrap().insert(damage);
    }

    pub fn mend(&self) {
        self.damaged.lock().unwrap().clear();
    }

    /// Pages read of all conversations, of all chats, and of the audit trail, since it was asked last.
    pub fn searches(&self) -> usize {
        self.searches.swap(0, Ordering::SeqCst)
    }
}

#[async_trait]
impl Hook for Watched {
    async fn around(&self, asked: Asked, call: Call<'_>) -> Result<(), Trouble> {
        let what = match asked {
            Asked::All => Some(Damage::Conversations),
            Asked::CommandsOf(customer) => Some(Damage::CommandsOf(customer)),
            Asked::Read(chat) => Some(Damage::Log(chat)),
            Asked::Forget(chat) => Some(Damage::Forgetting(chat)),
            Asked::Trail => Some(Damage::Trail),
            Asked::TrailOf(customer) => Some(Damage::TrailOf(customer)),
            _ => None,
        };
        if matches!(asked, Asked::All | Asked::Trail) {
            self.searches.fetch_add(1, Ordering::SeqCst);
        }
        if let Some(what) = what.filter(|what| self.damaged.lock().unwrap().contains(what)) {
            return Err(Trouble::Damaged(format!("a test says {what:?}")));
        }
        call.await;
        Ok(())
    }
}
