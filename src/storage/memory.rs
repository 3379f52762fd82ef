//! The ports in memory: the shortest adapter, and so the model that the others are compared with.
//! For tests and simulation; nothing survives the process.
//!
//! Deterministic: no clock, no randomness, no threads. Faults happen when a test orders them with
//! [`MemoryStore::fail_next`], to the next write of a port.

mod audit;
mod ended;
mod inventory;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::domain::audit::{AuditEntry, AuditId};
use crate::domain::operator::OperatorRecord;
use crate::domain::{
    ChannelId, ChatId, CommandId, Customer, Party, Recorded, Seq, Timestamp, UserId,
};

use super::{
    AppendError, ChatLog, Claim, ClaimOpen, Claimed, Conversations, Document, Documents, EndedChat,
    Listed, Moving, OpenChat, OpenChats, OperatorRecordError, OperatorRecords, Processes, Store,
    StoreError, Watermark, Watermarks,
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
    latest: HashMap<Customer, ChatId>,
    commands: HashMap<(Customer, CommandId), ChatId>,
    operators: HashMap<UserId, OperatorRecord>,
    watermarks: HashMap<ChatId, BTreeMap<Party, Watermark>>,
    documents: BTreeMap<(String, String), Document>,
    processes: u64,
    audit: BTreeMap<AuditId, AuditEntry>,
    faults: BTreeMap<FaultAt, VecDeque<Fault>>,
    late: Vec<(Claim, Vec<Recorded>)>,
    /// Writes that the process still gets to before it dies; none: it lives.
    lives_for: Option<usize>,
}

impl State {
    fn tail(&self, chat: ChatId) -> Seq {
        self.logs.get(&chat).map_or(0, |log| log.len() as u64)
    }

    fn fault(&mut self, at: FaultAt) -> Option<Fault> {
        match &mut self.lives_for {
            Some(0) => return Some(Fault::Refuse),
            Some(left) => *left -= 1,
            None => {}
        }
        self.faults.get_mut(&at)?.pop_front()
    }

    /// What an append would be told now.
    fn check(&self, claim: Claim, events: &[Recorded]) -> Result<(), AppendError> {
        if self.claims.get(&claim.chat) != Some(&claim.epoch) {
            return Err(AppendError::Fenced);
        }
        let tail = self.tail(claim.chat);
        let first = events.first().map_or(0, |event| event.seq);
        let mut numbered = events.iter().zip(tail + 1..);
        if events.is_empty() || !numbered.all(|(event, seq)| event.seq == seq) {
            return Err(AppendError::Conflict { tail, first });
        }
        Ok(())
    }
}

impl State {
    /// In the order of the commands' texts.
    fn commands_of(&self, customer: Customer) -> Vec<(CommandId, ChatId)> {
        let commands = self.commands.iter().filter(|((of, _), _)| *of == customer);
        let mut commands: Vec<_> = commands.map(|((_, id), chat)| (id.clone(), *chat)).collect();
        commands.sort_unstable();
        commands
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

    /// Its ports.
    pub fn store(self: &Arc<Self>) -> Store {
        Store::of(Arc::clone(self))
    }

    /// Orders a fault for the next write at `at` that has none ordered yet.
    pub fn fail_next(&self, at: FaultAt, fault: Fault) {
        self.lock().faults.entry(at).or_default().push_back(fault);
    }

    /// The late appends arrive, in their order. One whose claim is dead by now, or that no longer
    /// continues its log, has no effect. Answers how many were written.
    pub fn land_late(&self) -> usize {
        let mut state = self.lock();
        let mut landed = 0;
        for (claim, events) in std::mem::take(&mut state.late) {
            if state.check(claim, &events).is_ok() {
                state.logs.entry(claim.chat).or_default().extend(events);
                landed += 1;
            }
        }
        landed
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

#[async_trait]
impl ChatLog for MemoryStore {
    async fn claim(&self, chat: ChatId) -> Result<Claimed, StoreError> {
        self.write(FaultAt::Claim, |state| {
            if state.forgotten.contains(&chat) {
                return Err(StoreError::Forgotten { chat });
            }
            state.last_epoch += 1;
            let epoch = state.last_epoch;
            state.claims.insert(chat, epoch);
            Ok(Claimed { claim: Claim { chat, epoch }, tail: state.tail(chat) })
        })
    }

    async fn append(&self, claim: Claim, events: Vec<Recorded>) -> Result<(), AppendError> {
        let mut state = self.lock();
        let fault = state.fault(FaultAt::Append);
        let reason = ORDERED.to_owned();
        if fault == Some(Fault::Refuse) {
            return Err(AppendError::Unavailable { reason });
        }
        state.check(claim, &events)?;
        match fault {
            None => {
                state.logs.entry(claim.chat).or_default().extend(events);
                return Ok(());
            }
            Some(Fault::UnknownAfterWrite) => {
                state.logs.entry(claim.chat).or_default().extend(events);
            }
            Some(Fault::LateWrite) => state.late.push((claim, events)),
            Some(Fault::UnknownWithoutWrite | Fault::Refuse) => {}
        }
        Err(AppendError::Unknown { reason })
    }

    async fn read(
        &self,
        chat: ChatId,
        from: Seq,
        limit: usize,
    ) -> Result<Vec<Recorded>, StoreError> {
        let state = self.lock();
        let log = state.logs.get(&chat).map_or(&[][..], Vec::as_slice);
        let skipped = usize::try_from(from.saturating_sub(1)).unwrap_or(usize::MAX);
        Ok(log.iter().skip(skipped).take(limit).cloned().collect())
    }

    async fn forget(&self, chat: ChatId) -> Result<(), StoreError> {
        self.write(FaultAt::Forget, |state| {
            state.forgotten.insert(chat);
            state.claims.remove(&chat);
            state.logs.remove(&chat);
            Ok(())
        })
    }

    async fn is_forgotten(&self, chat: ChatId) -> Result<bool, StoreError> {
        Ok(self.lock().forgotten.contains(&chat))
    }

    async fn newest(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.lock().logs.values().filter_map(|log| Some(log.last()?.at)).max())
    }
}

#[async_trait]
impl OpenChats for MemoryStore {
    async fn put(&self, row: OpenChat) -> Result<(), StoreError> {
        self.write(FaultAt::OpenChats, |state| {
            state.open_chats.insert(row.chat, row);
            Ok(())
        })
    }

    async fn mark(&self, chat: ChatId, moving: Moving) -> Result<(), StoreError> {
        self.write(FaultAt::OpenChats, |state| {
            if let Some(row) = state.open_chats.get_mut(&chat) {
                row.moving = Some(moving);
            }
            Ok(())
        })
    }

    async fn remove(&self, chat: ChatId) -> Result<(), StoreError> {
        self.write(FaultAt::OpenChats, |state| {
            state.open_chats.remove(&chat);
            Ok(())
        })
    }

    async fn scan(&self, after: Option<ChatId>, limit: usize) -> Result<Vec<OpenChat>, StoreError> {
        let state = self.lock();
        let rows = state.open_chats.range((after.map_or(Unbounded, Excluded), Unbounded));
        Ok(rows.take(limit).map(|(_, row)| row.clone()).collect())
    }
}

#[async_trait]
impl Conversations for MemoryStore {
    async fn claim_open(
        &self,
        customer: Customer,
        command: &CommandId,
        chat: ChatId,
        after: Option<ChatId>,
    ) -> Result<ClaimOpen, StoreError> {
        self.write(FaultAt::Conversations, |state| {
            let opened = (customer, command.clone());
            if let Some(opened) = state.commands.get(&opened) {
                return Ok(ClaimOpen::Existing(*opened));
            }
            let present = state.latest.get(&customer).copied();
            if let Some(present) = present.filter(|_| present != after) {
                return Ok(ClaimOpen::Existing(present));
            }
            state.latest.insert(customer, chat);
            state.commands.insert(opened, chat);
            Ok(ClaimOpen::Claimed)
        })
    }

    async fn latest(&self, customer: Customer) -> Result<Option<ChatId>, StoreError> {
        Ok(self.lock().latest.get(&customer).copied())
    }

    async fn commands(&self, customer: Customer) -> Result<Vec<(CommandId, ChatId)>, StoreError> {
        Ok(self.lock().commands_of(customer))
    }

    async fn forget(&self, customer: Customer, chat: ChatId) -> Result<(), StoreError> {
        self.write(FaultAt::Forget, |state| {
            state.commands.retain(|(of, _), opened| *of != customer || *opened != chat);
            if state.latest.get(&customer) == Some(&chat) {
                let left = state.commands_of(customer);
                match left.into_iter().map(|(_, chat)| chat).max() {
                    Some(before) => state.latest.insert(customer, before),
                    None => state.latest.remove(&customer),
                };
            }
            Ok(())
        })
    }

    async fn any(&self, channel: ChannelId) -> Result<bool, StoreError> {
        Ok(self.lock().latest.keys().any(|of| of.channel == channel))
    }
}

#[async_trait]
impl OperatorRecords for MemoryStore {
    async fn load(&self, operator: UserId) -> Result<OperatorRecord, OperatorRecordError> {
        let state = self.lock();
        Ok(state.operators.get(&operator).cloned().unwrap_or_default())
    }

    async fn save(&self, operator: UserId, record: OperatorRecord) -> Result<(), StoreError> {
        self.write(FaultAt::Operators, |state| {
            state.operators.insert(operator, record);
            Ok(())
        })
    }
}

#[async_trait]
impl Watermarks for MemoryStore {
    async fn load(&self, chat: ChatId) -> Result<BTreeMap<Party, Watermark>, StoreError> {
        Ok(self.lock().watermarks.get(&chat).cloned().unwrap_or_default())
    }

    async fn raise(
        &self,
        chat: ChatId,
        marks: BTreeMap<Party, Watermark>,
    ) -> Result<(), StoreError> {
        self.write(FaultAt::Watermarks, |state| {
            if state.forgotten.contains(&chat) {
                return Ok(());
            }
            for (party, given) in marks {
                let parties = state.watermarks.entry(chat).or_default();
                let mark = parties.entry(party).or_default();
                // Nobody has read what was not delivered.
                mark.delivered = mark.delivered.max(given.delivered).max(given.read);
                mark.read = mark.read.max(given.read);
            }
            Ok(())
        })
    }

    async fn forget(&self, chat: ChatId) -> Result<(), StoreError> {
        self.write(FaultAt::Forget, |state| {
            state.watermarks.remove(&chat);
            Ok(())
        })
    }
}

impl State {
    /// Errors unless the document has the expected version.
    fn expect(&self, key: &(String, String), expected: u64) -> Result<(), StoreError> {
        match self.documents.get(key).map_or(0, |found| found.version) {
            found if found == expected => Ok(()),
            found => Err(StoreError::VersionConflict { expected, found }),
        }
    }
}

#[async_trait]
impl Documents for MemoryStore {
    async fn get(&self, kind: &str, id: &str) -> Result<Option<Document>, StoreError> {
        let key = (kind.to_owned(), id.to_owned());
        Ok(self.lock().documents.get(&key).cloned())
    }

    async fn put(
        &self,
        kind: &str,
        id: &str,
        expected: u64,
        body: Vec<u8>,
    ) -> Result<u64, StoreError> {
        self.write(FaultAt::Documents, |state| {
            let key = (kind.to_owned(), id.to_owned());
            state.expect(&key, expected)?;
            let version = expected + 1;
            let id = id.to_owned();
            state.documents.insert(key, Document { id, version, body });
            Ok(version)
        })
    }

    async fn delete(&self, kind: &str, id: &str, expected: u64) -> Result<(), StoreError> {
        self.write(FaultAt::Documents, |state| {
            let key = (kind.to_owned(), id.to_owned());
            state.expect(&key, expected)?;
            state.documents.remove(&key);
            Ok(())
        })
    }

    async fn list(
        &self,
        kind: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Listed>, StoreError> {
        let state = self.lock();
        let of_kind = state.documents.iter().filter(|((of, _), _)| of == kind);
        let behind = of_kind.filter(|((_, id), _)| after.is_none_or(|after| id.as_str() > after));
        Ok(behind.take(limit).map(|(_, found)| found.clone().into()).collect())
    }
}

#[async_trait]
impl Processes for MemoryStore {
    async fn begin(&self) -> Result<u64, StoreError> {
        self.write(FaultAt::Processes, |state| {
            state.processes += 1;
            Ok(state.processes)
        })
    }
}
