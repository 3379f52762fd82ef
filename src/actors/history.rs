//! The history: whoever follows the feed and writes down what is known of each chat, and the lists in which
//! that is found.
//!
//! A row may be older than its chat. So of a chat that is open the index in memory says where it is, and of
//! one whose row says that it is open, and which is open no more, or is about to change its place, nobody is
//! shown that it is his.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use crate::domain::{ChannelId, ChatEvent, ChatId, ChatState, Customer, QueueId, UserId};
use crate::machine::chat::History;
use crate::machine::chat::driver::READ_PAGE;
use crate::storage::{
    Cursor, FeedConsumer, HISTORY_ROWS_MAX, HistoryPoint, HistoryQuery, HistoryRow, OpenChat, Page,
    Store, StoreError, follow_from_nothing,
};

use super::followed::Followed;
use super::limits::{DAMAGED_TOLD, HISTORY_PAGE};
use super::router::{CallError, Router};

/// Follows the feed and writes down what is known of each chat.
pub struct HistoryWriter {
    store: Store,
}

impl HistoryWriter {
    /// What its position in the feed is called, and its metrics.
    pub const NAME: &str = "history";

    /// For a store whose calls answer in time.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// What the log says; none: the chat is not opened, or forgotten.
    async fn fold(&self, chat: ChatId) -> Result<Option<HistoryRow>, StoreError> {
        let (mut history, mut from) = (History::new(chat), 1);
        loop {
            let page = self.store.log.read(chat, from, READ_PAGE).await?;
            page.iter().for_each(|recorded| history.apply(recorded));
            match page.last().filter(|_| page.len() >= READ_PAGE) {
                Some(last) => from = last.seq + 1,
                None => return Ok(history.into_row()),
            }
        }
    }
}

#[async_trait]
impl FeedConsumer for HistoryWriter {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn concerns(&self, event: &ChatEvent) -> bool {
        History::concerns(event)
    }

    /// Writes down what the chat's log says; of one that is forgotten, or was never opened, nothing stays.
    async fn take(&self, chat: ChatId) -> Result<(), StoreError> {
        let Some(row) = self.fold(chat).await? else {
            return self.store.history.remove(chat).await;
        };
        self.store.history.put(row).await?;
        // Whoever forgets notes it first and removes the row later. If the note is not there yet, the row
        // goes with the rest; if it is, the row may have come after that.
        if self.store.log.is_forgotten(chat).await? {
            self.store.history.remove(chat).await?;
        }
        Ok(())
    }

    /// Chats that have something in the history, and no log.
    async fn held(&self, at: Option<&Cursor>, limit: usize) -> Result<Page<ChatId>, StoreError> {
        let Page { items, next } = self.store.history.chats(at, limit).await?;
        let mut left = Vec::new();
        for chat in items {
            match self.store.log.read(chat, 1, 1).await {
                // There is one, and whoever reads it is told.
                Err(StoreError::Damaged { .. }) => {}
                Err(StoreError::Forgotten { .. }) => left.push(chat),
                read => {
                    if read?.is_empty() {
                        left.push(chat);
                    }
                }
            }
        }
        Ok(Page { items: left, next })
    }
}

/// Which chats are asked for: of a list, those that all of this is true of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChatsAsked {
    /// The list that is read, and which part of it; its limit is that of the chats of a page.
    pub list: HistoryQuery,
    /// Chats in this state.
    pub state: Option<ChatState>,
    /// Chats that were in this queue.
    pub queue: Option<QueueId>,
    /// Chats of this channel.
    pub channel: Option<ChannelId>,
    /// Chats that this operator owned.
    pub operator: Option<UserId>,
    /// Chats of this customer.
    pub customer: Option<Customer>,
    /// Only chats that this user may read without further rights.
    pub reader: Option<UserId>,
}

/// A page of chats. It may be short though there are more: see [`HISTORY_ROWS_MAX`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatsPage {
    /// What is known of each.
    pub chats: Vec<HistoryRow>,
    /// Behind which place it goes on; none: that was all.
    pub next: Option<HistoryPoint>,
}

impl Router {
    /// Chats by when they were opened, since the beginning. Errors when the store does not answer.
    pub async fn chats(&self, asked: &ChatsAsked) -> Result<ChatsPage, CallError> {
        let mut after = asked.list.after;
        let (mut chats, mut left): (Vec<HistoryRow>, _) = (Vec::new(), HISTORY_ROWS_MAX);
        while left > 0 {
            let read = HISTORY_PAGE.min(left);
            let query = HistoryQuery { after, limit: read, ..asked.list };
            let page = self.within(self.store().history.list(query)).await?;
            for row in page.rows {
                let Some(row) = self.shown(row, asked) else { continue };
                if chats.len() >= asked.list.limit {
                    let next = chats.last().map(HistoryRow::place);
                    return Ok(ChatsPage { chats, next });
                }
                chats.push(row);
            }
            after = page.next;
            if after.is_none() {
                break;
            }
            left -= read;
        }
        Ok(ChatsPage { chats, next: after })
    }

    /// Whether each chat since the beginning is in the history, but for what changed just now and for damaged
    /// chats: as who writes it knew by its latest turn. Reads nothing of the store, and writes nothing to it.
    pub fn history_is_complete(&self) -> bool {
        self.shared.followed.get(HistoryWriter::NAME).is_some_and(Followed::is_up_to_date)
    }

    /// The row, as the chat is by now; none when it is not asked for.
    fn shown(&self, row: HistoryRow, asked: &ChatsAsked) -> Option<HistoryRow> {
        let open = row.ended.is_none();
        let open = open.then(|| self.shared.index(row.chat, |index| index.get(row.chat).cloned()));
        let open = open.flatten();
        let row = by_now(row, open.as_ref());
        asked.wants(&row, open.as_ref()).then_some(row)
    }
}

/// The row, where it may be late with the place of a chat that is open.
fn by_now(mut row: HistoryRow, open: Option<&OpenChat>) -> HistoryRow {
    if let Some(open) = open {
        row.queue = Some(open.queue);
        if let Some(place) = &open.place {
            row.state = place.state();
            row.owner = place.owner().or(row.owner);
        }
    }
    row
}

impl ChatsAsked {
    /// Whether a chat is asked for: what is known of it, and where it is if it is open.
    fn wants(&self, row: &HistoryRow, open: Option<&OpenChat>) -> bool {
        let may_read = |user| may_read(row, open, user);
        self.state.is_none_or(|state| row.state == state)
            && self.queue.is_none_or(|queue| row.queues.contains(&queue))
            && self.channel.is_none_or(|channel| row.customer.channel == channel)
            && self.operator.is_none_or(|operator| row.operators.contains(&operator))
            && self.customer.is_none_or(|customer| row.customer == customer)
            && self.reader.is_none_or(may_read)
    }
}

/// Whether it is this user's by what is known of it, and of the chat if it is open.
fn may_read(row: &HistoryRow, open: Option<&OpenChat>, user: UserId) -> bool {
    match row.ended {
        Some(end) => end.owner == Some(user),
        // Who gave it away sees nothing of what came after; and where it is about to be another's, or was
        // when its actor failed, the index does not know whose it is.
        None => {
            let settled = open.filter(|open| open.moving.is_none());
            let place = settled.and_then(|open| open.place.as_ref());
            place.is_some_and(|place| place.operators().any(|one| one == user))
        }
    }
}

/// What a rebuild has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Chats whose logs it has read.
    pub chats: u64,
    /// Chats without a log of which something was left.
    pub removed: u64,
    /// Chats that could not be read, and why; at most [`DAMAGED_TOLD`].
    pub damaged: Vec<(ChatId, String)>,
}

/// Makes the history anew from the logs, on a store on which no router runs and whose calls answer in time.
/// Says now and then how many chats are done. Errors with what the store met: then the next call, or the next
/// start of a router, goes on.
pub async fn rebuild_history(
    store: &Store,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<Rebuilt, StoreError> {
    let telling = Telling {
        writer: HistoryWriter::new(store.clone()),
        taken: AtomicU64::new(0),
        left: AtomicU64::new(0),
        damaged: Mutex::default(),
    };
    follow_from_nothing(store, &telling, progress).await?;
    let removed = telling.left.into_inner();
    let chats = telling.taken.into_inner().saturating_sub(removed);
    let damaged = telling.damaged.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Rebuilt { chats, removed, damaged })
}

/// The writer, which remembers what it could not read.
struct Telling {
    writer: HistoryWriter,
    taken: AtomicU64,
    /// Those that had no log.
    left: AtomicU64,
    damaged: Mutex<Vec<(ChatId, String)>>,
}

#[async_trait]
impl FeedConsumer for Telling {
    fn name(&self) -> &'static str {
        self.writer.name()
    }

    fn concerns(&self, event: &ChatEvent) -> bool {
        self.writer.concerns(event)
    }

    async fn take(&self, chat: ChatId) -> Result<(), StoreError> {
        let taken = self.writer.take(chat).await;
        self.taken.fetch_add(1, Relaxed);
        if let Err(StoreError::Damaged { reason }) = &taken {
            let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
            if damaged.len() < DAMAGED_TOLD {
                damaged.push((chat, reason.clone()));
            }
        }
        taken
    }

    async fn held(&self, at: Option<&Cursor>, limit: usize) -> Result<Page<ChatId>, StoreError> {
        let page = self.writer.held(at, limit).await?;
        self.left.fetch_add(page.items.len() as u64, Relaxed);
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::{CustomerId, Party, Place, Timestamp};
    use crate::storage::{HistoryEnd, Moving};

    const ANN: UserId = UserId::from_u128(1);
    const BOB: UserId = UserId::from_u128(2);
    const CHAT: ChatId = ChatId::from_u128(1);
    const QUEUE: QueueId = QueueId::from_u128(1);

    /// The row of a chat that Ann had.
    fn row() -> HistoryRow {
        HistoryRow {
            chat: CHAT,
            started: Timestamp(1),
            customer: Customer { channel: ChannelId::from_u128(1), id: CustomerId::from_u128(1) },
            name: None,
            queues: BTreeSet::from([QUEUE]),
            queue: Some(QUEUE),
            operators: BTreeSet::from([ANN]),
            owner: Some(ANN),
            state: ChatState::InProgress,
            ended: None,
        }
    }

    /// That chat, open and there.
    fn open_at(queue: QueueId, place: Place) -> OpenChat {
        OpenChat {
            chat: CHAT,
            queue,
            placement: 1,
            priority: Default::default(),
            weight: Default::default(),
            since: Timestamp(1),
            refused_by: Default::default(),
            place: Some(place),
            next_deadline: None,
            moving: None,
        }
    }

    #[test]
    fn an_open_chat_is_where_the_index_says_whatever_its_row_says() {
        let other = QueueId::from_u128(2);
        let waits = by_now(row(), Some(&open_at(other, Place::Waiting)));
        let last = HistoryRow { queue: Some(other), state: ChatState::Waiting, ..row() };
        assert_eq!(waits, last, "its last owner is still who had it");
        let owned = Place::Assigned { owner: BOB, begun: false };
        let owned = by_now(row(), Some(&open_at(QUEUE, owned)));
        assert_eq!(owned, HistoryRow { owner: Some(BOB), state: ChatState::New, ..row() });
        assert_eq!(by_now(row(), None), row());
    }

    #[test]
    fn an_ended_chat_is_listed_to_whoever_owned_it_at_its_end_alone() {
        for (owner, expected) in [(None, [false; 2]), (Some(ANN), [true, false])] {
            let ended = Some(HistoryEnd { at: Timestamp(9), by: Party::System, owner });
            let row = HistoryRow { ended, state: ChatState::Completed, ..row() };
            assert_eq!([ANN, BOB].map(|user| may_read(&row, None, user)), expected, "{owner:?}");
        }
    }

    #[test]
    fn a_chat_that_is_about_to_change_its_place_is_listed_to_nobody_as_his() {
        let (row, settled) = (row(), open_at(QUEUE, Place::Assigned { owner: ANN, begun: true }));
        let may_read = |open: Option<&OpenChat>| [ANN, BOB].map(|user| may_read(&row, open, user));
        assert_eq!(may_read(Some(&settled)), [true, false]);
        assert_eq!(may_read(None), [false, false]);
        for to in [Some(BOB), Some(ANN), None] {
            let moving = OpenChat { moving: Some(Moving { to }), ..settled.clone() };
            assert_eq!(may_read(Some(&moving)), [false, false], "{to:?}");
        }
    }
}
