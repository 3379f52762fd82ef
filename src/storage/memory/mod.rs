//! The ports in memory: the shortest adapter, and so the model that the others are compared with.
//! For tests and simulation; nothing survives the process.
//!
//! Deterministic: no clock, no randomness, no threads. Faults happen when a test orders them with
//! [`MemoryStore::fail_next`], to the next write of a port.

mod audit;
mod conversations;
mod documents;
mod ended;
mod feed;
mod history;
mod inventory;
mod log;
mod open_chats;
mod operators;
mod processes;
mod watermarks;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::audit::{AuditEntry, AuditId};
use crate::domain::operator::OperatorRecord;
use crate::domain::{ChannelId, ChatId, CommandId, Customer, Party, Recorded, UserId};

use super::{
    Beside, ChatMoves, Claim, Document, EndedChat, HistoryRow, OpenChat, Store, StoreError,
    Watermark,
};

/// Where a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultAt {
    /// The next append.
    Append,
    /// The next claim of a chat.
    Claim,
    /// The next write of an open-chats row.
    OpenChats,
    /// The next write of an ended-chats row.
    EndedChats,
    /// The next write of the feed.
    Feed,
    /// The next write of the history.
    History,
    /// The next claim of a conversation.
    Conversations,
    /// The next record of an operator.
    Operators,
    /// The next watermarks.
    Watermarks,
    /// The next document.
    Documents,
    /// The next number of a process.
    Processes,
    /// The next write to the audit trail.
    Audit,
    /// The next forgetting of a log, a conversation or watermarks.
    Forget,
}

/// What goes wrong. Ports other than the log have no unknown outcome of their own and answer
/// `Unavailable`, which leaves it open there too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// Refused as unavailable; nothing is written.
    Refuse,
    /// Written, and the caller is not told.
    UnknownAfterWrite,
    /// Not written, and the caller is not told.
    UnknownWithoutWrite,
    /// Not written yet, and the caller is not told: an append stays under way until
    /// [`MemoryStore::land_late`]. Anything but an append is written at once.
    LateWrite,
}

#[derive(Default)]
struct State {
    logs: HashMap<ChatId, Vec<Recorded>>,
    claims: HashMap<ChatId, u64>,
    forgotten: HashSet<ChatId>,
    last_epoch: u64,
    open_chats: BTreeMap<ChatId, OpenChat>,
    ended_chats: BTreeMap<(ChannelId, ChatId), EndedChat>,
    feed: feed::Touches,
    history: BTreeMap<ChatId, HistoryRow>,
    latest: HashMap<Customer, ChatId>,
    commands: HashMap<(Customer, CommandId), ChatId>,
    operators: HashMap<UserId, OperatorRecord>,
    watermarks: HashMap<ChatId, BTreeMap<Party, Watermark>>,
    documents: BTreeMap<(String, String), Document>,
    processes: u64,
    audit: BTreeMap<AuditId, AuditEntry>,
    faults: BTreeMap<FaultAt, VecDeque<Fault>>,
    late: Vec<(Claim, Vec<Recorded>, Beside)>,
    /// Writes that the process still gets to before it dies; none: it lives.
    lives_for: Option<usize>,
}

impl State {
    fn fault(&mut self, at: FaultAt) -> Option<Fault> {
        match &mut self.lives_for {
            Some(0) => return Some(Fault::Refuse),
            Some(left) => *left -= 1,
            None => {}
        }
        self.faults.get_mut(&at)?.pop_front()
    }
}

/// All ports in memory.
#[derive(Default)]
pub struct MemoryStore(Mutex<State>);

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Its ports, but for those that only some stores have: as a distributed store has them.
    pub fn store(self: &Arc<Self>) -> Store {
        Store::of(Arc::clone(self))
    }

    /// All its ports: as the embedded store has them.
    pub fn store_with_moves(self: &Arc<Self>) -> Store {
        let moves: Arc<dyn ChatMoves> = Arc::<Self>::clone(self);
        Store { moves: Some(moves), ..self.store() }
    }

    /// Orders a fault for the next write at `at` that has none ordered yet.
    pub fn fail_next(&self, at: FaultAt, fault: Fault) {
        self.lock().faults.entry(at).or_default().push_back(fault);
    }

    /// The process dies when it has written so often: every later write is refused, until the
    /// [`restart`](Self::restart).
    pub fn die_after(&self, writes: usize) {
        self.lock().lives_for = Some(writes);
    }

    /// The process ends and starts again: every claim is dead, what was written stays. Late
    /// appends stay under way, and will find their claims dead.
    pub fn restart(&self) {
        let mut state = self.lock();
        state.claims.clear();
        state.lives_for = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A test that panicked elsewhere has left whole values here.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a write of any port but the log, with the fault that was ordered for it.
    fn write<T>(
        &self,
        at: FaultAt,
        work: impl FnOnce(&mut State) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut state = self.lock();
        let unavailable = StoreError::Unavailable { reason: ORDERED.to_owned() };
        match state.fault(at) {
            None => work(&mut state),
            Some(Fault::Refuse | Fault::UnknownWithoutWrite) => Err(unavailable),
            Some(Fault::UnknownAfterWrite | Fault::LateWrite) => {
                // The outcome is not told, and so neither is a refusal.
                let _ = work(&mut state);
                Err(unavailable)
            }
        }
    }
}

/// The reason that ordered faults give.
const ORDERED: &str = "a fault was ordered";
