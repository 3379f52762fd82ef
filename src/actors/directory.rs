//! Who is where: the ids of running actors, and what waits for those that are starting.
//!
//! An entry is `Starting`, `Running` or `Stopping`. Starting is single-flight: whoever sends to
//! an id that is not there asks its supervisor once, and what is sent meanwhile waits, bounded.
//! An entry is only ever changed by the life that it is about.
//!
//! Calls of clients carry a permit of the addressee's, so that its mailbox is bounded by
//! [`CALLS_MAX`]; messages between actors need none, their number is bounded by chats and slots.
//! They may be lost here, which is harmless: they are repeated.

use std::hash::Hash;
use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry as MapEntry;
use ractor::{ActorRef, Message};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::machine::Life;

/// Most calls of clients in one actor's mailbox at a time: a chat has few participants, with at
/// most 64 unanswered calls each.
pub const CALLS_MAX: usize = 256;

/// Most messages that wait for one actor to start.
pub const PENDING_MAX: usize = 1_024;

/// The addressee has as many calls as it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many calls wait for the same chat or operator; try again a little later")]
pub struct Overloaded;

enum Place<M> {
    Starting(Vec<M>),
    Running(ActorRef<M>),
    Stopping(Vec<M>),
}

struct Entry<M> {
    life: Life,
    place: Place<M>,
    calls: Arc<Semaphore>,
}

/// One kind of actor. See the module.
pub struct Directory<K: Eq + Hash, M> {
    entries: DashMap<K, Entry<M>>,
}

impl<K: Eq + Hash + Copy, M: Message> Directory<K, M> {
    /// An empty one.
    #[allow(clippy::new_without_default, reason = "there is nothing default about it")]
    pub fn new() -> Self {
        Self { entries: DashMap::new() }
    }

    /// How many there are, starting and stopping ones included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Sends to an actor. Answers whether it has to be started, which the caller then asks its
    /// supervisor for.
    pub fn send(&self, key: K, message: M) -> bool {
        match self.entries.entry(key) {
            MapEntry::Vacant(vacant) => {
                vacant.insert(Entry::starting(vec![message]));
                true
            }
            MapEntry::Occupied(mut occupied) => {
                match &mut occupied.get_mut().place {
                    // An actor that has just failed: the message is repeated to its next life.
                    Place::Running(actor) => drop(actor.send_message(message)),
                    Place::Starting(waiting) | Place::Stopping(waiting) => {
                        if waiting.len() < PENDING_MAX {
                            waiting.push(message);
                        }
                    }
                }
                false
            }
        }
    }

    /// Sends to an actor only if it runs: for what a life that is not there need not know.
    pub fn send_if_running(&self, key: K, message: M) {
        if let Some(entry) = self.entries.get(&key)
            && let Place::Running(actor) = &entry.place
        {
            let _ = actor.send_message(message);
        }
    }

    /// A permit for one call. Errors with [`Overloaded`] when there is none.
    pub fn permit(&self, key: K) -> Result<OwnedSemaphorePermit, Overloaded> {
        let calls = match self.entries.get(&key) {
            Some(entry) => Arc::clone(&entry.calls),
            // The entry that comes to be has permits of its own; this one only counts the call.
            None => Arc::new(Semaphore::new(1)),
        };
        calls.try_acquire_owned().map_err(|_| Overloaded)
    }

    /// Makes an entry for an actor that is to be started though nobody sends to it. Answers
    /// whether there was none.
    pub fn reserve(&self, key: K) -> bool {
        match self.entries.entry(key) {
            MapEntry::Vacant(vacant) => {
                vacant.insert(Entry::starting(Vec::new()));
                true
            }
            MapEntry::Occupied(_) => false,
        }
    }

    /// The actor runs: it gets what waited, in order, and all that follows.
    pub fn started(&self, key: K, life: Life, actor: ActorRef<M>) {
        let mut entry = self.entries.entry(key).or_insert_with(|| Entry::starting(Vec::new()));
        let entry = entry.value_mut();
        if let Place::Starting(waiting) = &mut entry.place {
            for message in waiting.drain(..) {
                let _ = actor.send_message(message);
            }
        }
        entry.life = life;
        entry.place = Place::Running(actor);
    }

    /// Lets the actor stop if no call is on its way to it. Answers whether it may.
    pub fn begin_stop(&self, key: K, life: Life) -> bool {
        let Some(mut entry) = self.entries.get_mut(&key) else { return false };
        let running = entry.life == life && matches!(entry.place, Place::Running(_));
        if !running || entry.calls.available_permits() < CALLS_MAX {
            return false;
        }
        entry.place = Place::Stopping(Vec::new());
        true
    }

    /// That life has ended. Answers whether another has to be started, because something waits
    /// for it or `again` says so.
    pub fn ended(&self, key: K, life: Life, again: bool) -> bool {
        let MapEntry::Occupied(mut occupied) = self.entries.entry(key) else { return again };
        if occupied.get().life != life {
            return false;
        }
        let waiting = match &mut occupied.get_mut().place {
            Place::Running(_) => Vec::new(),
            Place::Starting(waiting) | Place::Stopping(waiting) => std::mem::take(waiting),
        };
        if again || !waiting.is_empty() {
            // The permits go with the life: those of calls that it lost are never given back.
            occupied.insert(Entry::starting(waiting));
            true
        } else {
            occupied.remove();
            false
        }
    }

    /// Whether there is one, starting or stopping ones included.
    pub fn contains(&self, key: K) -> bool {
        self.entries.contains_key(&key)
    }

    /// The ids that there are.
    pub fn keys(&self) -> Vec<K> {
        self.entries.iter().map(|entry| *entry.key()).collect()
    }

    /// How many permits for calls are in use over all actors.
    pub fn calls_under_way(&self) -> usize {
        self.entries.iter().map(|entry| CALLS_MAX - entry.calls.available_permits()).sum()
    }
}

impl<M> Entry<M> {
    fn starting(waiting: Vec<M>) -> Self {
        let calls = Arc::new(Semaphore::new(CALLS_MAX));
        Self { life: 0, place: Place::Starting(waiting), calls }
    }
}
