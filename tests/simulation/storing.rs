//! What the chats ask of the store, and all that goes wrong with it.

use switchboard::domain::limits::TO_ALL_STANDS_MAX_MS;
use switchboard::domain::{ChatEvent, ChatId, Recorded, Timestamp};
use switchboard::machine::chat::driver::{Beside, Preparation, READ_PAGE, StoreAnswer, StoreCall};
use switchboard::storage::{AppendError, Claim, FeedHour, OpenChat, RowUpdate, StoreError};

use crate::planted::Planted;
use crate::store::{AppendFate, fate};
use crate::world::{Happening, World};

/// How long anything here stands at most, ms: transfers 2,000, directed offers up to 2,500.
const LONGEST_MS: u64 = TO_ALL_STANDS_MAX_MS;

/// How long after the one row of an ended chat the other is written, ms: a process may end in between.
const BETWEEN_ROWS_MS: u64 = 20;

impl World {
    pub fn write(
        &mut self,
        claim: Claim,
        events: &[Recorded],
        beside: Option<Beside>,
    ) -> Result<(), AppendError> {
        self.store.append(claim, events)?;
        if let Some(Beside { hour, rows }) = beside {
            self.written_with(claim.chat, hour, rows);
        }
        for recorded in events {
            self.coverage.event(&recorded.event);
            self.check_who_saw(claim.chat, &recorded.event);
            if self.checker.comes_back(claim.chat, &recorded.event) {
                self.coverage.count("offer", "member came back");
            }
            let fold = self.checker.folds.get(&claim.chat);
            if let ChatEvent::CustomerUpdated { profile } = &recorded.event
                && let Some(former) = fold.map(|fold| fold.profile().priority)
                && former != profile.priority
            {
                self.overtaking.reprioritised(claim.chat, former, self.now);
            }
            self.checker.appended(claim.chat, recorded, self.seed);
            self.refusals.appended(claim.chat, recorded);
            if let Some(fold) = self.checker.folds.get(&claim.chat) {
                self.told.appended(fold, recorded, self.now);
            }
        }
        self.check_capacities();
        if events.iter().any(|r| matches!(r.event, ChatEvent::Assigned { .. })) {
            self.check_queue_limits();
        }
        Ok(())
    }

    /// What stands beside a log is written with its events.
    fn written_with(&mut self, chat: ChatId, hour: Option<FeedHour>, rows: Vec<RowUpdate>) {
        if let Some(hour) = hour {
            self.touch(chat, hour);
        }
        if !rows.is_empty() {
            self.coverage.count("odd", "rows written with events");
            self.rows.stale.remove(&chat);
        }
        for update in rows {
            self.store.update_row(chat, update);
        }
    }

    /// Writes to a chat's row are carried out in the order in which they were asked for.
    pub fn row_time(&mut self, chat: ChatId) -> u64 {
        let delay = self.rng.within(1, 30);
        let until = self.rows_until.entry(chat).or_default();
        *until = (*until).max(self.now) + delay;
        *until
    }

    /// Likewise of a write that the store is slow with.
    fn row_time_from(&mut self, chat: ChatId, at: u64) -> u64 {
        let at = at.max(self.row_time(chat));
        self.rows_until.insert(chat, at);
        at
    }

    /// What its shell would write, in that order.
    pub fn write_row(&mut self, chat: ChatId, row: Option<OpenChat>) {
        self.index_mut(chat).put(chat, row.clone());
        let live = self.chats.get(&chat);
        let mut writes = live.map(|l| l.driver.chat().row_updates(row)).unwrap_or_default();
        if self.faulty() && self.rng.chance(20) {
            self.fault("row not written");
            self.rows.stale.insert(chat);
            return;
        }
        self.rows.stale.remove(&chat);
        if self.in_one_write {
            // Nothing is written beside the shell, which waits for it.
            writes.into_iter().for_each(|update| self.store.update_row(chat, update));
            return;
        }
        let mut at = self.row_time(chat);
        if self.plan.planted == Some(Planted::EndedRowLast) {
            writes.reverse();
        }
        for update in writes {
            self.at(at, Some(self.process), Happening::RowWritten(chat, update));
            self.rows_until.insert(chat, at);
            at += BETWEEN_ROWS_MS;
        }
    }

    pub fn store_call(&mut self, chat: ChatId, call: StoreCall) {
        let Some(life) = self.chats.get(&chat).map(|live| live.life) else {
            return;
        };
        if let Some(first) = call.events().first() {
            self.rows.untold.entry(chat).or_insert(first.seq - 1);
        }
        let faulty = self.faulty();
        if faulty && self.rng.chance(4) {
            return self.silence(chat, life, call);
        }
        let refused = || StoreError::Unavailable { reason: "planned".into() };
        let mut at = self.now + self.rng.within(1, 8);
        if faulty && self.rng.chance(20) {
            at += self.rng.within(100, 3_000);
        }
        if let StoreCall::Prepare(_) = &call
            && FeedHour::of(Timestamp(at)) != FeedHour::of(self.now())
        {
            self.coverage.count("odd", "an hour ends while a row is marked");
        }
        let process = Some(self.process);
        let answer = match call {
            StoreCall::Claim if faulty && self.rng.chance(20) => {
                self.last_fault = self.now;
                StoreAnswer::Claimed(Err(refused()))
            }
            // Replaced by what is true when it arrives.
            StoreCall::Claim => StoreAnswer::Claimed(Ok(switchboard::storage::Claimed {
                claim: Claim { chat, epoch: 0 },
                tail: 0,
            })),
            StoreCall::Read { .. } if faulty && self.rng.chance(20) => {
                self.fault("read refused");
                StoreAnswer::Page(Err(refused()))
            }
            StoreCall::Read { from } => {
                // Whoever has no claim knows the end of the log by a page that is not full.
                let limit = if self.chats[&chat].driver.is_claimed() { 7 } else { READ_PAGE };
                let mut page = self.store.read(chat, from, limit);
                if self.chats[&chat].driver.chat().tail() >= from {
                    self.coverage.count("odd", "id looked up in the log");
                    if self.plan.planted == Some(Planted::BlindSearch) {
                        blind(&mut page, chat);
                    }
                }
                StoreAnswer::Page(Ok(page))
            }
            StoreCall::Touch(_) if faulty && self.rng.chance(20) => {
                self.fault("touch refused");
                StoreAnswer::Touched(Err(refused()))
            }
            StoreCall::Touch(hour) => {
                self.touch(chat, hour);
                if faulty && self.rng.chance(10) {
                    self.fault("touch unknown, written");
                    StoreAnswer::Touched(Err(refused()))
                } else {
                    StoreAnswer::Touched(Ok(()))
                }
            }
            StoreCall::Prepare(_) if faulty && self.rng.chance(20) => {
                self.fault("mark refused");
                StoreAnswer::Prepared(Err(refused()))
            }
            StoreCall::Prepare(Preparation::Mark(moving)) if faulty && self.rng.chance(10) => {
                self.fault("mark unknown, written");
                self.marked(chat, moving);
                StoreAnswer::Prepared(Err(refused()))
            }
            StoreCall::Prepare(Preparation::PutRow(row)) => {
                self.index_mut(chat).put(chat, Some(row.clone()));
                at = self.row_time_from(chat, at);
                self.at(at, process, Happening::RowWritten(chat, RowUpdate::Open(row)));
                StoreAnswer::Prepared(Ok(()))
            }
            StoreCall::Prepare(Preparation::Mark(moving)) => {
                at = self.row_time_from(chat, at);
                let marked = self.index(chat).get(chat).cloned().map(|mut row| {
                    row.moving = Some(moving);
                    row
                });
                if let Some(marked) = marked {
                    self.at(at, process, Happening::RowWritten(chat, RowUpdate::Open(marked)));
                }
                StoreAnswer::Prepared(Ok(()))
            }
            StoreCall::Append(claim, events) => {
                self.is_in_the_feed(chat, None);
                StoreAnswer::Appended(self.append(claim, events, None, at))
            }
            StoreCall::AppendWith(claim, events, beside) => {
                assert!(self.in_one_write, "the store cannot");
                self.is_in_the_feed(chat, beside.hour);
                StoreAnswer::Appended(self.append(claim, events, Some(beside), at))
            }
        };
        self.at(at, process, Happening::Stored(chat, life, answer));
    }

    /// Whose writes land: where rows are written with events nothing of a dead process lands later.
    pub fn lands_of(&self) -> Option<u64> {
        self.in_one_write.then_some(self.process)
    }

    /// What is to end is to end soon, by the clock of the process that says so.
    fn check_deadlines(&self, events: &[Recorded]) {
        for recorded in events {
            let (ChatEvent::Offered { expires_at, .. }
            | ChatEvent::TransferAsked { expires_at, .. }) = &recorded.event
            else {
                continue;
            };
            assert!(
                expires_at.0 <= self.now + LONGEST_MS,
                "{recorded:?} ends by another clock, at {} (seed {})",
                self.now,
                self.seed
            );
        }
    }

    pub fn append(
        &mut self,
        claim: Claim,
        events: Vec<Recorded>,
        beside: Option<Beside>,
        at: u64,
    ) -> Result<(), AppendError> {
        self.check_deadlines(&events);
        let faulty = self.faulty();
        let unknown = || AppendError::Unknown { reason: "planned".into() };
        // A write survives the process that asked for it: it may land after the claim of the next.
        match fate(&mut self.rng, faulty) {
            AppendFate::Durable => {
                // Written at once, answered later: in between it may be read by another claim.
                let written = self.write(claim, &events, beside);
                if let (Ok(()), Some(last)) = (&written, events.last()) {
                    self.rows.unpublished.insert(claim.chat, last.seq);
                }
                written
            }
            AppendFate::Unavailable => {
                self.fault("append unavailable");
                Err(AppendError::Unavailable { reason: "planned".into() })
            }
            AppendFate::UnknownWritten => {
                self.fault("append unknown, written");
                self.write(claim, &events, beside)?;
                self.landed_unknown(claim.chat);
                Err(unknown())
            }
            AppendFate::UnknownNotWritten => {
                self.fault("append unknown, not written");
                Err(unknown())
            }
            AppendFate::UnknownLate => {
                self.fault("append unknown, late");
                let late = at + self.rng.below(400);
                self.at(late, self.lands_of(), Happening::Written(claim, events, beside));
                Err(unknown())
            }
        }
    }
}

/// Nothing in this page has an id.
fn blind(page: &mut [Recorded], chat: ChatId) {
    for recorded in page {
        recorded.event = ChatEvent::ContinuedIn { chat };
    }
}
