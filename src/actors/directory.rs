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
use tokio::sync::Semaphore;

use crate::machine::Life;

use super::held::CallPermit;
use super::limits::{CALLS_MAX, PENDING_MAX};

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
    #[must_use = "an actor that nobody starts keeps what is sent to it for ever"]
    pub fn send(&self, key: K, message: M) -> bool {
        match self.entries.entry(key) {
            MapEntry::Vacant(vacant) => {
                vacant.insert(Entry::starting(vec![message], fresh_permits()));
                true
            }
            MapEntry::Occupied(mut occupied) => {
                occupied.get_mut().deliver(message);
                false
            }
        }
    }

    /// Sends a call with a permit of the addressee's, in one step: so no call is in a mailbox that
    /// is not counted there. Answers like [`Self::send`]; errors when it has [`CALLS_MAX`] calls.
    pub fn call(&self, key: K, call: impl FnOnce(CallPermit) -> M) -> Result<bool, Overloaded> {
        match self.entries.entry(key) {
            MapEntry::Vacant(vacant) => {
                let calls = fresh_permits();
                let permit = Arc::clone(&calls).try_acquire_owned().map_err(|_| Overloaded)?;
                vacant.insert(Entry::starting(vec![call(CallPermit::new(permit))], calls));
                Ok(true)
            }
            MapEntry::Occupied(mut occupied) => {
                let calls = Arc::clone(&occupied.get().calls);
                let permit = calls.try_acquire_owned().map_err(|_| Overloaded)?;
                occupied.get_mut().deliver(call(CallPermit::new(permit)));
                Ok(false)
            }
        }
    }

    /// Sends to an actor that is there, or is coming or going: for what a life that nobody has
    /// asked for need not know.
    pub fn send_if_there(&self, key: K, message: M) {
        if let Some(mut entry) = self.entries.get_mut(&key) {
            entry.deliver(message);
        }
    }

    /// Makes an entry for an actor that is to be started though nobody sends to it. Answers
    /// whether there was none.
    pub fn reserve(&self, key: K) -> bool {
        match self.entries.entry(key) {
            MapEntry::Vacant(vacant) => {
                vacant.insert(Entry::starting(Vec::new(), fresh_permits()));
                true
            }
            MapEntry::Occupied(_) => false,
        }
    }

    /// The actor runs: it gets what waited, in order, and all that follows.
    pub fn started(&self, key: K, life: Life, actor: ActorRef<M>) {
        let fresh = || Entry::starting(Vec::new(), fresh_permits());
        let mut entry = self.entries.entry(key).or_insert_with(fresh);
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
            // The permits stay: calls that the life lost have given theirs back, those that wait
            // still hold them.
            let calls = Arc::clone(&occupied.get().calls);
            occupied.insert(Entry::starting(waiting, calls));
            true
        } else {
            occupied.remove();
            false
        }
    }

    /// An actor that was about to start is wanted no more. What waits for it is lost; callers see
    /// that nobody answers, and ask again.
    pub fn give_up(&self, key: K) {
        self.entries.remove_if(&key, |_, entry| matches!(entry.place, Place::Starting(_)));
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

impl<M: Message> Entry<M> {
    fn starting(waiting: Vec<M>, calls: Arc<Semaphore>) -> Self {
        Self { life: 0, place: Place::Starting(waiting), calls }
    }

    fn deliver(&mut self, message: M) {
        match &mut self.place {
            // One that has just failed: the message is repeated to its next life.
            Place::Running(actor) => drop(actor.send_message(message)),
            Place::Starting(waiting) | Place::Stopping(waiting) => {
                if waiting.len() < PENDING_MAX {
                    waiting.push(message);
                }
            }
        }
    }
}

fn fresh_permits() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(CALLS_MAX))
}
