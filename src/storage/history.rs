//! The port of the history: a row a chat, found by when the chat was opened, among all, or among those of
//! a queue, a channel, an operator or a customer.
//!
//! All of it follows from the logs (`machine::chat::History` is the fold), and nobody decides by it: a row
//! may be as old as whoever follows the feed is behind. What is damaged, or was never written, comes back
//! with a walk over the logs.
//!
//! Invariants: when a chat was opened, its channel and its customer never change, and the sets of a row
//! only grow; so a row that is put anew leaves no list that it was on. Those lists are known to the store
//! by the chat alone, since whoever forgets a chat has no log any more that would name them.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

use super::port::port;
use super::{Cursor, HistoryPlace, Page, StoreError};
use crate::domain::{
    ChannelId, ChatId, ChatState, Customer, CustomerId, Name, Party, QueueId, Timestamp, UserId,
};
use crate::telemetry::{self, DamagedRow};

/// Most queues that a row names: the first ones. A chat that was moved to more is not found by the later
/// ones. So a row is some kilobytes at most, however often a chat was moved.
pub const HISTORY_QUEUES_MAX: usize = 100;

/// Most operators that a row names: the first ones, and the last owner apart from them. A chat that had
/// more owners is not found by the later ones.
pub const HISTORY_OPERATORS_MAX: usize = 100;

/// Most rows that a page reads, damaged ones among them: a megabyte or less, some tens of ms.
pub const HISTORY_ROWS_MAX: usize = 2_000;

/// Bytes of a chat's key.
const KEY_BYTES: usize = 16;

/// What is wrong with a row whose key is no chat's.
pub(super) const NO_CHAT: &str = "its key is no chat's";

/// Damaged rows that are remembered, so that each is told of once; 16 bytes each, as a rule.
const DAMAGED_REMEMBERED: usize = 10_000;

/// What the history knows of a chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRow {
    /// The chat.
    pub chat: ChatId,
    /// When it was opened.
    pub started: Timestamp,
    /// Whose it is, by which channel.
    pub customer: Customer,
    /// What the customer is called, as the chat knew it last.
    pub name: Option<Name>,
    /// The queues that it was in; at most [`HISTORY_QUEUES_MAX`].
    pub queues: BTreeSet<QueueId>,
    /// The queue that it is in, or was in last.
    pub queue: Option<QueueId>,
    /// The operators who owned it; at most [`HISTORY_OPERATORS_MAX`].
    pub operators: BTreeSet<UserId>,
    /// Whoever owned it last; none: nobody ever did.
    pub owner: Option<UserId>,
    /// The state that people see.
    pub state: ChatState,
    /// How it ended; none while it has not.
    pub ended: Option<HistoryEnd>,
}

/// How a chat ended; its state says whether it ever had an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryEnd {
    /// When.
    pub at: Timestamp,
    /// Who ended it.
    pub by: Party,
    /// Whoever owned it then.
    pub owner: Option<UserId>,
}

/// Which chats: one list of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HistoryOf {
    /// All.
    All,
    /// Those that were in the queue.
    Queue(QueueId),
    /// Those of the channel.
    Channel(ChannelId),
    /// Those that the operator owned.
    Operator(UserId),
    /// Those of the customer.
    Customer(Customer),
}

/// The kind of the list of all, in its key.
pub(super) const LIST_OF_ALL: u8 = 0;

/// The kind of the lists of customers, in their keys.
pub(super) const LIST_OF_CUSTOMER: u8 = 4;

impl HistoryOf {
    /// The list as it is stored: a number of its kind, then the ids.
    pub(super) fn key(self) -> Vec<u8> {
        match self {
            Self::All => vec![LIST_OF_ALL],
            Self::Queue(queue) => [&[1], queue.0.as_bytes().as_slice()].concat(),
            Self::Channel(channel) => [&[2], channel.0.as_bytes().as_slice()].concat(),
            Self::Operator(operator) => [&[3], operator.0.as_bytes().as_slice()].concat(),
            Self::Customer(customer) => {
                let (channel, id) = (customer.channel.0.as_bytes(), customer.id.0.as_bytes());
                [&[LIST_OF_CUSTOMER], channel.as_slice(), id].concat()
            }
        }
    }

    /// The list of a stored key, if it is one's.
    pub(super) fn of_key(key: &[u8]) -> Option<Self> {
        let (kind, ids) = key.split_first()?;
        let (ids, rest) = ids.as_chunks::<KEY_BYTES>();
        let ids: Vec<Uuid> = ids.iter().copied().map(Uuid::from_bytes).collect();
        match (*kind, ids.as_slice(), rest) {
            (LIST_OF_ALL, [], []) => Some(Self::All),
            (1, [queue], []) => Some(Self::Queue(QueueId(*queue))),
            (2, [channel], []) => Some(Self::Channel(ChannelId(*channel))),
            (3, [operator], []) => Some(Self::Operator(UserId(*operator))),
            (LIST_OF_CUSTOMER, [channel, id], []) => {
                let (channel, id) = (ChannelId(*channel), CustomerId(*id));
                Some(Self::Customer(Customer { channel, id }))
            }
            _ => None,
        }
    }
}

/// A place in a list; also where a page goes on: behind it. In their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HistoryPoint {
    /// When the chat was opened.
    pub started: Timestamp,
    /// The chat.
    pub chat: ChatId,
}

/// In which order a list is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HistoryOrder {
    /// The first opened first.
    OldestFirst,
    /// The last opened first.
    NewestFirst,
}

/// What is asked of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Which.
    pub of: HistoryOf,
    /// Chats that were opened at this time or later.
    pub from: Timestamp,
    /// Chats that were opened before this time.
    pub to: Timestamp,
    /// In which order.
    pub order: HistoryOrder,
    /// Behind which place.
    pub after: Option<HistoryPoint>,
    /// Most rows that are read; at most [`HISTORY_ROWS_MAX`].
    pub limit: usize,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRows {
    /// The rows that can be read.
    pub rows: Vec<HistoryRow>,
    /// Behind which place it goes on; none: that was all. It may go on though there is no row here.
    pub next: Option<HistoryPoint>,
}

port! {
    /// What is known of every chat since it was opened.
    pub trait History {
        /// Writes what is known of a chat, over what was there. Durable when it answers, and may be
        /// repeated; whoever gives it up puts the chat again. The last one that began counts.
        async fn put(&self, row: HistoryRow) -> Result<(), StoreError>;

        /// Removes what is known of a chat, from every list, if anything is. May be repeated. Rows whose
        /// putting is under way may come after it.
        async fn remove(&self, chat: ChatId) -> Result<(), StoreError>;

        /// A part of a list. Each row that was put before the call, and that lies between the places from
        /// which two pages go on, is in the one between them, once, whatever was put meanwhile. A row that
        /// is damaged is passed over, and counted.
        async fn list(&self, query: HistoryQuery) -> Result<HistoryRows, StoreError>;

        /// Each list on which a chat is said to be, with its row there. For who compares the history with the
        /// logs: it reads each of them.
        async fn places(&self, chat: ChatId) -> Result<Vec<HistoryPlace>, StoreError>;

        /// The chats that have a row on any list, whole or damaged, or a part of what a put writes. Read as a
        /// listing of [`Inventory`](super::Inventory), `limit` (at least 1) a page at most; one that has it
        /// all the while comes once, whatever becomes of others meanwhile.
        async fn chats(&self, at: Option<&Cursor>, limit: usize) -> Result<Page<ChatId>, StoreError>;
    }
}

impl HistoryRow {
    /// Where it is in every list that it is on.
    pub fn place(&self) -> HistoryPoint {
        HistoryPoint { started: self.started, chat: self.chat }
    }

    /// The lists that it is on.
    pub fn lists(&self) -> impl Iterator<Item = HistoryOf> + '_ {
        let fixed = [
            HistoryOf::All,
            HistoryOf::Channel(self.customer.channel),
            HistoryOf::Customer(self.customer),
        ];
        let queues = self.queues.iter().copied().map(HistoryOf::Queue);
        fixed
            .into_iter()
            .chain(queues)
            .chain(self.operators.iter().copied().map(HistoryOf::Operator))
    }
}

/// A bound of what is read of a list: behind all places of earlier times, and before or behind those of its
/// own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HistoryBound {
    /// The time, as it is stored, ms.
    pub started: i64,
    /// The key of a chat; an empty one is before all chats.
    pub chat: Vec<u8>,
}

impl HistoryBound {
    /// Before all places of this time.
    pub fn at(time: Timestamp) -> Self {
        Self { started: stored(time), chat: Vec::new() }
    }

    /// A place.
    pub fn of(place: HistoryPoint) -> Self {
        Self { started: stored(place.started), chat: place.chat.0.as_bytes().to_vec() }
    }

    /// The place behind which begins what is left when a list was read up to here: this one; or, where that is
    /// no chat's, the next to it that may be one, in the order of the reading, so that each page comes on.
    pub fn place(&self, order: HistoryOrder) -> HistoryPoint {
        let mut id = [0; KEY_BYTES];
        id.iter_mut().zip(&self.chat).for_each(|(to, from)| *to = *from);
        let id = u128::from_be_bytes(id);
        let (length, started) = (self.chat.len(), self.started.unsigned_abs());
        let (started, id) = match order {
            _ if length == KEY_BYTES => (started, id),
            // Before all chats of its time.
            HistoryOrder::OldestFirst if length == 0 && started > 0 => (started - 1, u128::MAX),
            HistoryOrder::NewestFirst if length == 0 => (started, 0),
            HistoryOrder::OldestFirst if length > KEY_BYTES => (started, id.saturating_add(1)),
            HistoryOrder::NewestFirst if length < KEY_BYTES => (started, id.saturating_sub(1)),
            HistoryOrder::OldestFirst | HistoryOrder::NewestFirst => (started, id),
        };
        HistoryPoint { started: Timestamp(started), chat: ChatId::from_u128(id) }
    }
}

/// The chat of a stored key, if it is one's.
pub(super) fn chat_of(key: &[u8]) -> Option<ChatId> {
    Uuid::from_slice(key).ok().map(ChatId)
}

/// No time of a chat comes near the limit.
pub(super) fn stored(time: Timestamp) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

impl HistoryQuery {
    /// Between which bounds, both left out, lies what is asked for; none: nothing does.
    pub(super) fn bounds(&self) -> Option<(HistoryBound, HistoryBound)> {
        let (mut low, mut high) = (HistoryBound::at(self.from), HistoryBound::at(self.to));
        if let Some(after) = self.after.map(HistoryBound::of) {
            match self.order {
                HistoryOrder::OldestFirst => low = low.max(after),
                HistoryOrder::NewestFirst => high = high.min(after),
            }
        }
        (low < high).then_some((low, high))
    }

    /// Most rows that are read.
    pub(super) fn rows(&self) -> usize {
        self.limit.clamp(1, HISTORY_ROWS_MAX)
    }
}

/// The rows that could not be read since the store was opened.
#[derive(Default)]
pub(super) struct DamagedHistory(Mutex<BTreeSet<Vec<u8>>>);

impl DamagedHistory {
    /// The row of this key, which may be no chat's, cannot be read.
    pub fn note(&self, key: &[u8], error: &dyn Display) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < DAMAGED_REMEMBERED && known.insert(key.to_vec()) {
            telemetry::store_damaged_rows(DamagedRow::History, known.len());
            tracing::error!(
                %error,
                "a row of the history is damaged and left out, the others are served; \
                 `switchboard store history rebuild` makes it anew"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_lists_have_one_key() {
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let of = |channel, id| {
            let customer = Customer { channel: ChannelId(channel), id: CustomerId(id) };
            HistoryOf::Customer(customer)
        };
        let lists = [
            HistoryOf::All,
            HistoryOf::Queue(QueueId(one)),
            HistoryOf::Queue(QueueId(other)),
            HistoryOf::Channel(ChannelId(one)),
            HistoryOf::Operator(UserId(one)),
            of(one, one),
            of(one, other),
            of(other, one),
        ];
        let keys: BTreeSet<_> = lists.iter().map(|list| list.key()).collect();
        assert_eq!(keys.len(), lists.len());
        for list in lists {
            assert_eq!(HistoryOf::of_key(&list.key()), Some(list));
        }
        for none in [&[][..], &[0, 0], &[1], &[1; 16], &[2; 18], &[4; 17], &[5; 17], &[9]] {
            assert_eq!(HistoryOf::of_key(none), None, "{none:?}");
        }
    }

    #[test]
    fn a_page_comes_on_behind_a_key_that_is_no_chat_s() {
        for chat in [&[7, 9][..], &[7; 15], &[7; 16], &[7; 17], &[7, 0, 0], &[0xff; 20]] {
            let read = HistoryBound { started: 5, chat: chat.to_vec() };
            let next = |order| HistoryBound::of(read.place(order));
            if chat.len() == 16 {
                assert_eq!(next(HistoryOrder::OldestFirst), read);
                assert_eq!(next(HistoryOrder::NewestFirst), read);
                continue;
            }
            // Of the longest ids none comes behind.
            let is_last = chat.len() > 16 && chat[..16] == [0xff; 16];
            assert!(is_last || next(HistoryOrder::OldestFirst) > read, "{chat:?}");
            assert!(next(HistoryOrder::NewestFirst) < read, "{chat:?}");
            assert_eq!(next(HistoryOrder::OldestFirst).started, 5);
        }
        // Before all chats of a time.
        let at = HistoryBound::at(Timestamp(5));
        let point =
            |started, id| HistoryPoint { started: Timestamp(started), chat: ChatId::from_u128(id) };
        assert_eq!(at.place(HistoryOrder::OldestFirst), point(4, u128::MAX));
        assert_eq!(at.place(HistoryOrder::NewestFirst), point(5, 0));
    }

    #[test]
    fn the_bounds_are_what_lies_between_the_times_and_behind_the_place() {
        let place =
            |at, chat| HistoryPoint { started: Timestamp(at), chat: ChatId::from_u128(chat) };
        let query = |order, after| HistoryQuery {
            of: HistoryOf::All,
            from: Timestamp(5),
            to: Timestamp(9),
            order,
            after,
            limit: 1,
        };
        for order in [HistoryOrder::OldestFirst, HistoryOrder::NewestFirst] {
            for at in 3..12 {
                let after = Some(place(at, 7));
                let bounds = query(order, after).bounds();
                for found in
                    (3..12).flat_map(|at| [place(at, 0), place(at, 7), place(at, u128::MAX)])
                {
                    let in_time = (5..9).contains(&found.started.0);
                    let behind = match order {
                        HistoryOrder::OldestFirst => Some(found) > after,
                        HistoryOrder::NewestFirst => Some(found) < after,
                    };
                    let within = bounds.as_ref().is_some_and(|(low, high)| {
                        let bound = HistoryBound::of(found);
                        *low < bound && bound < *high
                    });
                    assert_eq!(within, in_time && behind, "{order:?} behind {after:?}: {found:?}");
                }
            }
        }
        let never = HistoryQuery { to: Timestamp(5), ..query(HistoryOrder::OldestFirst, None) };
        assert_eq!(never.bounds(), None);
    }
}
