//! What must be in a store after calls of which some were acknowledged and some were not.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::atomic::Ordering::Relaxed;

use switchboard::domain::audit::AuditId;
use switchboard::domain::operator::OperatorRecord;
use switchboard::domain::{ChatId, CommandId, Party, Recorded, Timestamp};
use switchboard::storage::{
    AppendError, Beside, Claim, ClaimOpen, Document, EndedChat, FeedHour, FeedPeriod, FeedPoint,
    FeedShard, Moving, OpenChat, RowUpdate, Store, StoreError, Touched, Watermark,
};

use crate::rng::Rng;
use crate::samples::{chat, command, customer, message, open_chat, user};
use crate::tally::Tally;

/// Keys of each port: few, so that they are written again and again.
const KEYS: usize = 3;

/// What broke.
pub type Violation = String;

/// What must be stored under a key, and what may be instead since a call was not answered.
#[derive(Clone)]
struct Possible<V> {
    sure: V,
    maybe: Vec<V>,
}

impl<V: Clone + PartialEq + Debug> Possible<V> {
    fn new(sure: V) -> Self {
        let maybe = Vec::new();
        Self { sure, maybe }
    }

    fn done(&mut self, done: Done, value: V) {
        match done {
            Done::Yes => self.sure = value,
            Done::Maybe => self.maybe.push(value),
            Done::No => {}
        }
    }

    /// What was found is what is sure from now on.
    fn settle(&mut self, key: impl Debug, found: V, tally: &Tally) -> Result<(), Violation> {
        if found != self.sure && !self.maybe.contains(&found) {
            let (sure, maybe) = (&self.sure, &self.maybe);
            return Err(format!("{key:?}: found {found:?}, not {sure:?} nor any of {maybe:?}"));
        }
        if !self.maybe.is_empty() {
            let came_true = found != self.sure;
            (if came_true { &tally.came_true } else { &tally.came_to_nothing })
                .fetch_add(1, Relaxed);
        }
        self.sure = found;
        self.maybe.clear();
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Done {
    Yes,
    Maybe,
    No,
}

/// What an append leaves that writes its rows.
#[derive(Debug, Clone)]
struct Moved {
    log: Vec<Recorded>,
    /// The rows of an open chat and of one that has ended, as they were and as they are to be.
    before: (Option<OpenChat>, Option<EndedChat>),
    after: (Option<OpenChat>, Option<EndedChat>),
    touched: FeedPeriod,
}

/// All that the calls so far have made of the store.
pub struct Expected {
    logs: Vec<Possible<Vec<Recorded>>>,
    open: Vec<Possible<Option<OpenChat>>>,
    ended: Vec<Possible<Option<EndedChat>>>,
    talks: Vec<Possible<Option<ChatId>>>,
    operators: Vec<Possible<OperatorRecord>>,
    watermarks: Vec<Possible<Watermark>>,
    documents: Vec<Possible<Option<Document>>>,
    /// What an append was to leave that wrote its rows, and whose outcome is not known: all of it, or none.
    moved: Vec<Option<Moved>>,
    /// Commands that were told that they claimed.
    commands: Vec<(usize, CommandId, ChatId)>,
    pub claims: Vec<Option<Claim>>,
    /// The chat of each key; another one when it was forgotten.
    chats: Vec<u128>,
    forgotten: Vec<u128>,
    /// Entries of the audit trail that were acknowledged.
    pub entries: Vec<AuditId>,
    /// Keys whose chat may be forgotten, or be half so.
    doubtful: Vec<usize>,
    last_epoch: u64,
    last_process: u64,
    /// Makes every value another one.
    count: u64,
}

fn each<V: Clone + PartialEq + Debug>(value: V) -> Vec<Possible<V>> {
    (0..KEYS).map(|_| Possible::new(value.clone())).collect()
}

impl Expected {
    pub fn new() -> Self {
        Self {
            logs: each(Vec::new()),
            open: each(None),
            ended: each(None),
            talks: each(None),
            operators: each(OperatorRecord::default()),
            watermarks: each(Watermark::default()),
            documents: each(None),
            moved: vec![None; KEYS],
            commands: Vec::new(),
            claims: vec![None; KEYS],
            chats: (0..KEYS as u128).collect(),
            forgotten: Vec::new(),
            entries: Vec::new(),
            doubtful: Vec::new(),
            last_epoch: 0,
            last_process: 0,
            count: 0,
        }
    }

    /// Reads everything back.
    pub async fn verify(&mut self, store: &Store, tally: &Tally) -> Result<(), Violation> {
        self.verify_forgotten(store, tally).await?;
        self.verify_logs(store, tally).await?;
        let rows = store.open_chats.scan(None, 100).await.map_err(text)?;
        let mut rows: BTreeMap<ChatId, OpenChat> =
            rows.into_iter().map(|row| (row.chat, row)).collect();
        for (n, row) in self.open.iter_mut().enumerate() {
            let found = rows.remove(&chat(self.chats[n]));
            row.settle(("open", n), found, tally)?;
        }
        if !rows.is_empty() {
            return Err(format!("rows that nobody wrote: {rows:?}"));
        }
        let (of, end) = (customer(0).channel, Timestamp(u64::MAX));
        let rows = store.ended_chats.scan(of, None, end, 100).await.map_err(text)?;
        let mut rows: BTreeMap<ChatId, _> =
            rows.into_iter().map(|row| (row.chat, row.ended)).collect();
        for (n, row) in self.ended.iter_mut().enumerate() {
            let found = rows.remove(&chat(self.chats[n])).flatten();
            row.settle(("ended", n), found, tally)?;
        }
        if !rows.is_empty() {
            return Err(format!("chats that nobody said had ended: {rows:?}"));
        }
        self.verify_moved(store, tally).await?;
        for n in 0..KEYS {
            let id = n as u128;
            let latest = store.conversations.latest(customer(id)).await;
            self.talks[n].settle(("talk", n), latest.map_err(text)?, tally)?;
            let record = store.operators.load(user(id)).await.map_err(text)?;
            self.operators[n].settle(("operator", n), record, tally)?;
            let watermarks = store.watermarks.load(chat(self.chats[n])).await.map_err(text)?;
            let watermark = watermarks.get(&Party::System).copied().unwrap_or_default();
            self.watermarks[n].settle(("watermark", n), watermark, tally)?;
            let document = store.documents.get("kind", &n.to_string()).await.map_err(text)?;
            self.documents[n].settle(("document", n), document, tally)?;
        }
        for (n, id, opened) in &self.commands {
            let (talks, who) = (&store.conversations, customer(*n as u128));
            let answer = talks.claim_open(who, id, chat(999), None).await;
            if answer != Ok(ClaimOpen::Existing(*opened)) {
                return Err(format!("the command {id} got {answer:?}, not {opened:?}"));
            }
        }
        let found = store.audit.newest(AuditId::END, AuditId::FIRST, 100).await.map_err(text)?;
        if let Some(lost) = self.entries.iter().find(|id| found.iter().all(|one| one.id != **id)) {
            return Err(format!("the entry {lost:?} is lost"));
        }
        let process = store.processes.begin().await;
        self.process(process).map(drop)
    }

    /// The chat of a key.
    pub fn chat(&self, n: usize) -> u128 {
        self.chats[n]
    }

    /// What was forgotten stays so; what may be half so is forgotten again, as a start does.
    async fn verify_forgotten(&mut self, store: &Store, tally: &Tally) -> Result<(), Violation> {
        // The power may go in here too: then it stays in doubt.
        while let Some(n) = self.doubtful.last().copied() {
            let id = self.chats[n];
            let read = store.log.read(chat(id), 1, 10_000).await.map_err(text)?;
            self.logs[n].clone().settle(("log to forget", n), read, tally)?;
            forget(store, id).await.map_err(text)?;
            self.forget(n);
            self.doubtful.pop();
        }
        for id in &self.forgotten {
            let read = store.log.read(chat(*id), 1, 10_000).await.map_err(text)?;
            let watermarks = store.watermarks.load(chat(*id)).await.map_err(text)?;
            let claimed = store.log.claim(chat(*id)).await;
            let is = matches!(claimed, Err(StoreError::Forgotten { .. }));
            if !read.is_empty() || !watermarks.is_empty() || !is {
                return Err(format!("chat {id} came back: {read:?}, {watermarks:?}, {claimed:?}"));
            }
        }
        Ok(())
    }

    fn forget(&mut self, n: usize) {
        self.forgotten.push(self.chats[n]);
        self.chats[n] += KEYS as u128;
        self.claims[n] = None;
        self.logs[n] = Possible::new(Vec::new());
        self.open[n] = Possible::new(None);
        self.ended[n] = Possible::new(None);
        self.watermarks[n] = Possible::new(Watermark::default());
        self.moved[n] = None;
    }

    /// Rows that are written with events are there with them.
    async fn verify_moved(&mut self, store: &Store, tally: &Tally) -> Result<(), Violation> {
        for n in 0..KEYS {
            let Some(moved) = self.moved[n].clone() else { continue };
            let came_true = self.logs[n].sure == moved.log;
            let rows = (self.open[n].sure.clone(), self.ended[n].sure);
            let is_touched = touched(store, chat(self.chats[n]), moved.touched).await?;
            if rows != *(if came_true { &moved.after } else { &moved.before })
                || is_touched != came_true
            {
                return Err(format!("{rows:?}, touched: {is_touched}, beside {moved:?}"));
            }
            self.moved[n] = None;
            (if came_true { &tally.moved } else { &tally.not_moved }).fetch_add(1, Relaxed);
        }
        Ok(())
    }

    async fn verify_logs(&mut self, store: &Store, tally: &Tally) -> Result<(), Violation> {
        for n in 0..KEYS {
            let id = self.chats[n];
            let read = store.log.read(chat(id), 1, 10_000).await.map_err(text)?;
            let tail = read.len() as u64;
            self.logs[n].settle(("log", n), read, tally)?;
            let claimed = store.log.claim(chat(id)).await.map_err(text)?;
            if claimed.tail != tail || claimed.claim.epoch <= self.last_epoch {
                return Err(format!("claimed {claimed:?} of {tail} after {}", self.last_epoch));
            }
            self.last_epoch = claimed.claim.epoch;
            if let Some(old) = self.claims[n].replace(claimed.claim) {
                let late = store.log.append(old, vec![message(tail + 1, "late")]).await;
                if late != Err(AppendError::Fenced) {
                    return Err(format!("an append of an earlier life got {late:?}"));
                }
            }
        }
        Ok(())
    }

    fn process(&mut self, begun: Result<u64, StoreError>) -> Result<Done, Violation> {
        match begun {
            Ok(n) if n > self.last_process => {
                self.last_process = n;
                Ok(Done::Yes)
            }
            Ok(n) => Err(format!("process {n} after {}", self.last_process)),
            Err(StoreError::Unavailable { .. }) => Ok(Done::Maybe),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Some call on a key of some port.
    pub fn call(&mut self, rng: &mut Rng) -> (usize, usize, Call) {
        self.count += 1;
        let (port, n) = (rng.below(10), rng.below(KEYS));
        if rng.one_in(16) {
            return (port.max(3), n, Call::Forget);
        }
        let id = self.chats[n];
        let call = match port {
            // Half of the calls: the hot path.
            0..=3 => {
                let first = self.logs[n].sure.len() as u64 + 1;
                let last = first + rng.below(3) as u64;
                let long = if rng.one_in(8) { 9_000 } else { 200 };
                // White space does not count towards the length of a text.
                let text = format!("{}{}", self.count, " ".repeat(rng.below(long)));
                let events = (first..=last).map(|seq| message(seq, &text)).collect();
                let hour = FeedHour(self.count);
                match rng.below(4) {
                    0 => Call::Move(events, hour, Ok(open_chat(id, self.count))),
                    1 => {
                        let at = Timestamp(self.count);
                        let customer = customer(n as u128);
                        Call::Move(events, hour, Err(EndedChat { chat: chat(id), customer, at }))
                    }
                    _ => Call::Append(events),
                }
            }
            4 => match (&self.open[n].sure, rng.below(3)) {
                (Some(row), 0) => {
                    let to = Some(user(self.count.into()));
                    Call::Open(Some(OpenChat { moving: Some(Moving { to }), ..row.clone() }))
                }
                (Some(_), 1) => Call::Open(None),
                (Some(_) | None, _) => Call::Open(Some(open_chat(id, self.count))),
            },
            5 => {
                let id = command(&format!("c-{}", self.count));
                Call::Talk(id, chat(u128::from(self.count) + 1_000), self.talks[n].sure)
            }
            6 => {
                let lapses_in_row = self.count as u32;
                Call::Operator(OperatorRecord { lapses_in_row, ..OperatorRecord::default() })
            }
            8 => {
                let at = Timestamp(self.count);
                let ended = EndedChat { chat: chat(id), customer: customer(n as u128), at };
                Call::Ended((!rng.one_in(3)).then_some(ended))
            }
            7 => Call::RaiseWatermark(Watermark { delivered: self.count, read: self.count - 1 }),
            _ => {
                let version = self.documents[n].sure.as_ref().map_or(0, |found| found.version);
                let body = format!("{} {}", self.count, "y".repeat(rng.below(300)));
                let keep = version == 0 || !rng.one_in(4);
                Call::Document(version, keep.then(|| body.into_bytes()))
            }
        };
        (port.max(3), n, call)
    }

    /// What a call that ended so has made of the store.
    pub fn note(&mut self, n: usize, call: Call, done: Done) {
        match call {
            Call::Append(events) => {
                let log = [self.logs[n].sure.clone(), events].concat();
                self.logs[n].done(done, log);
            }
            Call::Move(events, hour, row) => {
                let log = [self.logs[n].sure.clone(), events].concat();
                let before = (self.open[n].sure.clone(), self.ended[n].sure);
                let after = match row {
                    Ok(open) => (Some(open), before.1),
                    Err(ended) => (None, Some(ended)),
                };
                self.logs[n].done(done, log.clone());
                self.open[n].done(done, after.0.clone());
                self.ended[n].done(done, after.1);
                if done == Done::Maybe {
                    let touched = FeedPeriod { process: 1, hour };
                    self.moved[n] = Some(Moved { log, before, after, touched });
                }
            }
            Call::Open(row) => self.open[n].done(done, row),
            Call::Ended(row) => self.ended[n].done(done, row),
            Call::Talk(id, opened, _) => {
                self.talks[n].done(done, Some(opened));
                if done == Done::Yes {
                    self.commands.push((n, id, opened));
                }
            }
            Call::Operator(record) => self.operators[n].done(done, record),
            Call::RaiseWatermark(watermark) => self.watermarks[n].done(done, watermark),
            Call::Forget => match done {
                Done::Yes => self.forget(n),
                Done::Maybe => {
                    self.logs[n].done(done, Vec::new());
                    self.doubtful.push(n);
                }
                Done::No => {}
            },
            Call::Document(version, body) => {
                let (id, version) = (n.to_string(), version + 1);
                self.documents[n].done(done, body.map(|body| Document { id, version, body }));
            }
        }
    }
}

#[derive(Clone)]
pub enum Call {
    Append(Vec<Recorded>),
    /// Events, and with them a touch, and the row of an open chat or that of one that has ended instead of it.
    Move(Vec<Recorded>, FeedHour, Result<OpenChat, EndedChat>),
    /// The row as it is to be; none to remove it; a mark when it has one.
    Open(Option<OpenChat>),
    /// The row of a chat that has ended; none to remove it.
    Ended(Option<EndedChat>),
    Talk(CommandId, ChatId, Option<ChatId>),
    Operator(OperatorRecord),
    RaiseWatermark(Watermark),
    /// Of the key's chat, all that this holds.
    Forget,
    /// The version that is there, and what replaces it; none to delete it.
    Document(u64, Option<Vec<u8>>),
}

/// Makes the call with key `n`.
pub async fn run(
    store: Store,
    n: usize,
    of: u128,
    claim: Option<Claim>,
    call: Call,
) -> Result<Done, Violation> {
    let id = n as u128;
    let outcome = match call {
        Call::Append(events) => return append(&store, (of, claim), events, None).await,
        Call::Move(events, hour, row) => {
            let rows = match row {
                Ok(open) => vec![RowUpdate::Open(open)],
                Err(ended) => vec![RowUpdate::Ended(ended), RowUpdate::NotOpen],
            };
            let touched = Some(FeedPeriod { process: 1, hour });
            return append(&store, (of, claim), events, Some(Beside { touched, rows })).await;
        }
        Call::Open(Some(row)) => match row.moving {
            Some(moving) => store.open_chats.mark(chat(of), moving).await,
            None => store.open_chats.put(row).await,
        },
        Call::Open(None) => store.open_chats.remove(chat(of)).await,
        Call::Ended(Some(row)) => store.ended_chats.put(row).await,
        Call::Ended(None) => store.ended_chats.remove(customer(id).channel, chat(of)).await,
        Call::Talk(command, opened, after) => {
            let (talks, who) = (&store.conversations, customer(id));
            match talks.claim_open(who, &command, opened, after).await {
                Ok(ClaimOpen::Claimed) => Ok(()),
                Ok(ClaimOpen::Existing(other)) => return Err(format!("{other:?} stands there")),
                Err(error) => Err(error),
            }
        }
        Call::Operator(record) => store.operators.save(user(id), record).await,
        Call::RaiseWatermark(watermark) => {
            store.watermarks.raise(chat(of), BTreeMap::from([(Party::System, watermark)])).await
        }
        Call::Forget => forget(&store, of).await,
        Call::Document(version, Some(body)) => {
            store.documents.put("kind", &n.to_string(), version, body).await.map(drop)
        }
        Call::Document(version, None) => {
            store.documents.delete("kind", &n.to_string(), version).await
        }
    };
    match outcome {
        Ok(()) => Ok(Done::Yes),
        Err(StoreError::Unavailable { .. }) => Ok(Done::Maybe),
        Err(error) => Err(error.to_string()),
    }
}

async fn append(
    store: &Store,
    (of, claim): (u128, Option<Claim>),
    events: Vec<Recorded>,
    beside: Option<Beside>,
) -> Result<Done, Violation> {
    let claim = match claim {
        Some(claim) => claim,
        // A chat that took the place of a forgotten one.
        None => match store.log.claim(chat(of)).await {
            Ok(claimed) => claimed.claim,
            Err(_) => return Ok(Done::No),
        },
    };
    let appended = match (&store.moves, beside) {
        (Some(moves), Some(beside)) => moves.append(claim, events, beside).await,
        (None, Some(_)) => return Err("the store does not write rows with events".to_owned()),
        (_, None) => store.log.append(claim, events).await,
    };
    match appended {
        Ok(()) => Ok(Done::Yes),
        Err(AppendError::Unknown { .. }) => Ok(Done::Maybe),
        Err(AppendError::Unavailable { .. }) => Ok(Done::No),
        Err(AppendError::Fenced | AppendError::Conflict { .. }) => {
            Err("a good append was refused".to_owned())
        }
    }
}

/// Whether the feed has it that the chat changed then.
async fn touched(store: &Store, chat: ChatId, period: FeedPeriod) -> Result<bool, Violation> {
    let page = store.feed.changed(FeedShard::of(chat), FeedPoint::begin(period), 1_000).await;
    Ok(page.map_err(text)?.touched.contains(&Touched { period, chat }))
}

async fn forget(store: &Store, id: u128) -> Result<(), StoreError> {
    store.log.forget(chat(id)).await?;
    store.watermarks.forget(chat(id)).await?;
    store.open_chats.remove(chat(id)).await?;
    store.ended_chats.remove(customer(0).channel, chat(id)).await
}

fn text(error: impl std::fmt::Display) -> Violation {
    error.to_string()
}
