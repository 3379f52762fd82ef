//! Retention: chats that ended longer ago than their channel keeps them are forgotten.
//!
//! Owns when and how fast: a slice at a time with a pause after it, channel by channel, from the oldest
//! on; then a wait. Every turn begins anew with what is configured and stored then, so that a changed
//! retention takes effect with the next one, and nothing has to be remembered over a restart.
//! Refuses to forget on a clock that jumped ahead and is doubted ([`doubt`](super::doubt)),
//! and what has not ended: rows say what has, and an open chat that is said to be one is
//! left alone, aloud.
//! Invariant: what fails hinders nothing else; it is tried again in the next turn.

use std::collections::BTreeMap;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::domain::{ChannelId, ChatId, Customer, Timestamp};
use crate::machine::chat::Chat;
use crate::machine::chat::driver::READ_PAGE;
use crate::storage::{EndedChat, EndedRow, Filled, OpenChat, Store, StoreError};
use crate::telemetry;

use super::limits::{FILL_PAGE, FILL_PAUSE, FORGET_SLICE};
use super::router::{CallError, Router};

/// The length of a day, ms: retention counts whole ones, wherever midnight is.
const DAY_MS: u64 = 24 * 3_600_000;

/// The chat as its log has it. Nobody may be appending to it, or what is read is a moment of it.
pub async fn read_chat(store: &Store, id: ChatId) -> Result<Chat, StoreError> {
    let mut chat = Chat::new(id);
    loop {
        let page = store.log.read(id, chat.tail() + 1, READ_PAGE).await?;
        for recorded in &page {
            chat.apply(recorded);
        }
        if page.len() < READ_PAGE {
            return Ok(chat);
        }
    }
}

/// Writes the row of an open chat as its log has it, and answers it; none when it is open no more, or its
/// log cannot be read: nobody could serve it. Nobody may be appending to it.
pub async fn relist_chat(store: &Store, id: ChatId) -> Result<Option<OpenChat>, StoreError> {
    let chat = match read_chat(store, id).await {
        Err(StoreError::Damaged { .. }) => {
            store.open_chats.remove(id).await?;
            return Ok(None);
        }
        chat => chat?,
    };
    let row = chat.row();
    for update in chat.row_updates(row.clone()) {
        store.update_row(id, update).await?;
    }
    Ok(row)
}

/// See the module.
pub(super) struct Sweeper;

/// Where a turn is.
pub(super) struct Sweep {
    router: Router,
    /// How far the rows of chats that ended before are filled; none before the first look.
    filled: Option<Filled>,
    /// Where the turn goes on: a channel, and the chat in it after which to look.
    at: Option<(ChannelId, Option<ChatId>)>,
    lag: Lag,
}

impl Actor for Sweeper {
    type Msg = ();
    type State = Sweep;
    type Arguments = Router;

    async fn pre_start(
        &self,
        myself: ActorRef<()>,
        router: Router,
    ) -> Result<Sweep, ActorProcessingErr> {
        myself.send_after(router.options.sweep_pause, || ());
        let lag = Lag::default();
        Ok(Sweep { router, filled: None, at: None, lag })
    }

    async fn handle(
        &self,
        myself: ActorRef<()>,
        (): (),
        sweep: &mut Sweep,
    ) -> Result<(), ActorProcessingErr> {
        if sweep.router.shared.is_stopping() {
            return Ok(());
        }
        // On the heap: the path through the store is long.
        let wait = Box::pin(sweep.step()).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "retention was held up; it goes on in a while");
            telemetry::retention_failed();
            sweep.router.options.sweep_every
        });
        sweep.show();
        myself.send_after(wait, || ());
        Ok(())
    }
}

impl Sweep {
    /// One slice; answers how long to wait before the next.
    async fn step(&mut self) -> Result<Duration, CallError> {
        let options = self.router.options;
        // Also while no channel forgets.
        if !self.router.may_trust_the_clock().await? {
            self.at = None;
            return Ok(options.sweep_every);
        }
        let Some((channel, days)) = self.next_channel() else {
            self.at = None;
            return Ok(options.sweep_every);
        };
        if !self.fill().await? {
            return Ok(FILL_PAUSE.min(options.sweep_pause));
        }
        let now = self.router.shared.now();
        let kept_ms = u64::from(days) * DAY_MS;
        let ended_before = Timestamp(now.0.saturating_sub(kept_ms));
        let after = self.at.and_then(|(of, after)| after.filter(|_| of == channel));
        // First of all: should this fail, the next step goes on with the next channel.
        self.at = Some((after_all(channel), None));
        self.lag.begin_slice(channel, after.is_none());
        let ended = &self.router.shared.store.ended_chats;
        let rows = ended.scan(channel, after, ended_before, FORGET_SLICE);
        let rows = self.router.within(rows).await?;
        let last = rows.last().filter(|_| rows.len() >= FORGET_SLICE).map(|row| row.chat);
        if last.is_some() {
            // Whatever comes of these, the next step goes on behind them.
            self.at = Some((channel, last));
        }
        let due = self.due(channel, &rows, (kept_ms, now)).await?;
        let first = due.iter().map(|ended| due_at(ended, kept_ms)).min();
        if let Some(first) = first {
            self.lag.found(channel, first);
            self.show();
        }
        let chats: Vec<(ChatId, Customer)> =
            due.iter().map(|ended| (ended.chat, ended.customer)).collect();
        if !chats.is_empty() {
            self.router.forget_ended(&chats).await?;
            telemetry::retention_forgot(chats.len() as u64);
        }
        let whole = last.is_none();
        self.lag.end_slice(channel, whole);
        Ok(if whole && chats.is_empty() { Duration::ZERO } else { options.sweep_pause })
    }

    /// The channel that is next in this turn, of those that keep their chats for some time only.
    fn next_channel(&mut self) -> Option<(ChannelId, u16)> {
        let (lag, at) = (&mut self.lag, self.at);
        self.router.shared.roster.look(|roster| {
            lag.0.retain(|channel, _| roster.retention.contains_key(channel));
            let first = at.map_or(ChannelId::from_u128(0), |(channel, _)| channel);
            roster.retention.range(first..).next().map(|(channel, days)| (*channel, *days))
        })
    }

    /// Those of the rows whose time has come.
    async fn due(
        &self,
        channel: ChannelId,
        rows: &[EndedRow],
        (kept_ms, now): (u64, Timestamp),
    ) -> Result<Vec<EndedChat>, CallError> {
        let mut due = Vec::new();
        for row in rows {
            match row.ended {
                Some(ended) if !is_due(&ended, kept_ms, now) => {}
                Some(_) if self.is_open(row.chat) => {
                    tracing::error!(chat = %row.chat, "an open chat is said to have ended");
                }
                Some(ended) => due.push(ended),
                None => self.mend_row(channel, row.chat).await?,
            }
        }
        Ok(due)
    }

    fn is_open(&self, chat: ChatId) -> bool {
        self.router
            .shared
            .index(chat, |index| index.get(chat).is_some_and(|row| row.place.is_some()))
    }

    /// Fills a page of rows that are missing; answers whether none is.
    async fn fill(&mut self) -> Result<bool, CallError> {
        let (documents, process) =
            (self.router.store().documents.clone(), self.router.shared.process);
        let mut filled = match self.filled.take() {
            Some(filled) => filled,
            None => self.router.within(Filled::load(&*documents, process)).await?,
        };
        if !filled.whole {
            let page = self.router.store().inventory.chats(filled.at.as_ref(), FILL_PAGE);
            let page = self.router.within(page).await?;
            for chat in &page.items {
                self.fill_one(*chat).await?;
            }
            (filled.whole, filled.at) = (page.next.is_none(), page.next);
            self.router.within(filled.save(&*documents)).await?;
        }
        let whole = filled.whole;
        self.filled = Some(filled);
        Ok(whole)
    }

    /// A row that cannot be read is written anew, and is looked at in the next turn.
    async fn mend_row(&self, channel: ChannelId, chat: ChatId) -> Result<(), CallError> {
        if self.router.is_forgotten(chat).await? {
            return self.router.within(self.router.store().ended_chats.remove(channel, chat)).await;
        }
        self.fill_one(chat).await
    }

    /// Writes the row of a chat that has ended, as its log says. A log that cannot be read says nothing:
    /// its chat stays until its customer is erased.
    async fn fill_one(&self, chat: ChatId) -> Result<(), CallError> {
        if self.is_open(chat) {
            return Ok(());
        }
        let store = self.router.store();
        let read = async {
            match read_chat(store, chat).await {
                Err(StoreError::Damaged { reason }) => {
                    tracing::error!(%chat, reason, "nobody knows when a damaged chat ended; it is kept");
                    Ok(None)
                }
                read => read.map(|chat| chat.ended_row()),
            }
        };
        let Some(ended) = self.router.within(read).await? else { return Ok(()) };
        // Nobody forgets it between the look and the row.
        let _alone = self.router.shared.forgetting.lock().await;
        if !self.router.is_forgotten(chat).await? {
            self.router.within(store.ended_chats.put(ended)).await?;
        }
        Ok(())
    }

    /// Shows since when the chat should be gone that has waited longest.
    fn show(&self) {
        let now = self.router.shared.now();
        telemetry::retention_lag(self.lag.ms(now));
    }
}

/// Until when a chat is kept that is kept for so long.
fn due_at(ended: &EndedChat, kept_ms: u64) -> Timestamp {
    ended.at.plus_ms(kept_ms)
}

/// Whether its time has come.
fn is_due(ended: &EndedChat, kept_ms: u64, now: Timestamp) -> bool {
    now > due_at(ended, kept_ms)
}

/// What comes behind all chats of a channel: the next channel, if there is one.
fn after_all(channel: ChannelId) -> ChannelId {
    ChannelId::from_u128(channel.0.as_u128().saturating_add(1))
}

/// For how long chats should be gone that were found, by channel. It is that of the oldest found in a turn
/// until the whole turn is done: a turn takes long, and what is behind a slice is not known before.
#[derive(Debug, Default)]
struct Lag(BTreeMap<ChannelId, Turn>);

#[derive(Debug, Default)]
struct Turn {
    /// Since when the oldest should be gone.
    since: Option<Timestamp>,
    /// That is of a turn before this one.
    stale: bool,
    slice_ended: bool,
    failed: bool,
}

impl Lag {
    /// A slice of a channel begins; the first of a turn.
    fn begin_slice(&mut self, channel: ChannelId, first: bool) {
        let turn = self.0.entry(channel).or_default();
        if first {
            (turn.stale, turn.failed) = (true, false);
        } else {
            turn.failed |= !turn.slice_ended;
        }
        turn.slice_ended = false;
    }

    /// A chat was found that should be gone since then.
    fn found(&mut self, channel: ChannelId, since: Timestamp) {
        let turn = self.0.entry(channel).or_default();
        let known = turn.since.filter(|_| !turn.stale);
        turn.since = Some(known.map_or(since, |known| known.min(since)));
        turn.stale = false;
    }

    /// All that was found in the slice is forgotten; `last` of the turn.
    fn end_slice(&mut self, channel: ChannelId, last: bool) {
        let turn = self.0.entry(channel).or_default();
        turn.slice_ended = true;
        if last && !turn.failed {
            turn.since = None;
        }
    }

    fn ms(&self, now: Timestamp) -> u64 {
        let since = self.0.values().filter_map(|turn| turn.since);
        since.map(|since| now.since_ms(since)).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::CustomerId;

    const NOW: Timestamp = Timestamp(1_000);

    fn slice(lag: &mut Lag, first: bool, since: u64, done: Option<bool>) -> u64 {
        let channel = ChannelId::from_u128(1);
        lag.begin_slice(channel, first);
        lag.found(channel, Timestamp(since));
        if let Some(last) = done {
            lag.end_slice(channel, last);
        }
        lag.ms(NOW)
    }

    #[test]
    fn a_chat_is_kept_for_the_whole_of_its_time_from_its_end() {
        let at = Timestamp(5_000);
        let customer = Customer { channel: ChannelId::from_u128(1), id: CustomerId::from_u128(2) };
        let ended = EndedChat { chat: ChatId::from_u128(3), customer, at };
        assert!(!is_due(&ended, DAY_MS, at));
        assert!(!is_due(&ended, DAY_MS, at.plus_ms(DAY_MS)), "this moment is the last");
        assert!(is_due(&ended, DAY_MS, at.plus_ms(DAY_MS + 1)));
    }

    #[test]
    fn the_lag_is_that_of_the_oldest_until_the_whole_turn_is_done() {
        let mut lag = Lag::default();
        assert_eq!(slice(&mut lag, true, 100, Some(false)), 900);
        assert_eq!(slice(&mut lag, false, 300, Some(false)), 900);
        assert_eq!(slice(&mut lag, false, 200, Some(true)), 0);
        // A slice that fails is not done when the turn is, but with the next one.
        assert_eq!(slice(&mut lag, true, 100, None), 900);
        assert_eq!(slice(&mut lag, false, 200, Some(true)), 900);
        assert_eq!(slice(&mut lag, true, 400, Some(false)), 600);
        assert_eq!(slice(&mut lag, false, 500, Some(true)), 0);
        assert_eq!(slice(&mut lag, true, 400, None), 600, "the last one, too");
        assert_eq!(slice(&mut lag, true, 400, Some(true)), 0);
    }
}
