//! The index of open chats in memory: read once at the start of the process, kept by the chats'
//! actors, read by starting queues and operators. It outlives any actor, not the process.
//!
//! Each shard of the chats has an index of its own. What is said of a chat is in one of them, so a look
//! at all, one after the other, finds every chat as it was at some moment of that look; nobody needs
//! more. What is counted is kept with the rows, so that no look walks them.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::limits::{CHAT_SHARDS, RESTED_REMEMBERED};
use crate::domain::{ChatId, ChatState, Name, Place, QueueId, Seq, Timestamp, UserId};
use crate::storage::{Moving, OpenChat};

/// The shard of a chat, of so many as [`CHAT_SHARDS`]: ids are random in their last bits.
pub fn shard(chat: ChatId) -> usize {
    (chat.0.as_u128() % CHAT_SHARDS as u128) as usize
}

/// One shard of it; see the module.
#[derive(Debug, Clone, Default)]
pub struct Index {
    rows: BTreeMap<ChatId, OpenChat>,
    by_queue: BTreeMap<QueueId, InQueue>,
    by_operator: BTreeMap<UserId, BTreeSet<ChatId>>,
    by_deadline: BTreeSet<(Timestamp, ChatId)>,
    /// See [`moving`](Self::moving).
    moving: BTreeSet<ChatId>,
    /// What the customers of chats are called that were awake in this process.
    customers: BTreeMap<ChatId, Name>,
    /// Chats that went to sleep with everybody told, and the tail of their logs.
    rested: BTreeMap<ChatId, Seq>,
    /// Chats that ended and have not gone to sleep since: somebody may not have heard of it. At most as
    /// many as are awake or about to start again.
    ending: BTreeSet<ChatId>,
}

/// The chats of a queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct InQueue {
    /// Those that no operator owns.
    unowned: BTreeSet<ChatId>,
    /// Those that wait, by the time since when.
    waiting: BTreeSet<(Timestamp, ChatId)>,
    /// How many there are, by state; those without one are being opened.
    states: BTreeMap<Option<ChatState>, u64>,
}

/// What is counted of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueTally {
    /// The queue.
    pub queue: QueueId,
    /// Its chats, by state. One that is being opened is no chat yet: its row says only that it may become
    /// one.
    pub states: BTreeMap<ChatState, u64>,
    /// Since when the oldest of those waits that wait.
    pub oldest: Option<Timestamp>,
}

/// What the former life of a chat left behind.
#[derive(Debug, Clone, Default)]
pub struct Former {
    /// Its row; none when the chat is not among the open ones.
    pub row: Option<OpenChat>,
    /// The position up to which everybody was told, if it went to sleep; none after a failure, or in a
    /// new process.
    pub rested: Option<Seq>,
    /// Whether it ended the chat and failed before it went to sleep.
    pub ending: bool,
}

impl Index {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a row from the store at the start of the process. An offer does not outlive its
    /// process: until the chat has said so itself, it counts as waiting. Its deadline has come,
    /// whatever time the former process counted it by.
    pub fn load(&mut self, mut row: OpenChat) {
        row.next_deadline = row.next_deadline.map(|_| Timestamp::default());
        if let Some(Place::Offered(_)) = row.place {
            row.place = Some(Place::Waiting);
        }
        self.put(row.chat, Some(row));
    }

    /// Replaces the chat's row, or removes it.
    pub fn put(&mut self, chat: ChatId, row: Option<OpenChat>) {
        if let Some(old) = self.rows.remove(&chat) {
            self.unlink(&old);
            if row.is_none() {
                self.ending.insert(chat);
            }
        }
        match row {
            Some(row) => {
                self.link(&row);
                self.rows.insert(chat, row);
            }
            None => drop(self.customers.remove(&chat)),
        }
    }

    /// Removes the row of a chat that is to be forgotten as it is, since nobody can read it.
    pub fn drop_unreadable(&mut self, chat: ChatId) {
        self.put(chat, None);
        self.ending.remove(&chat);
    }

    /// What the customer of an open chat is called, as the chat says while it is awake. So it is
    /// known of every chat that is offered.
    pub fn name_customer(&mut self, chat: ChatId, name: Option<&Name>) {
        match name.filter(|_| self.rows.contains_key(&chat)) {
            Some(name) => drop(self.customers.insert(chat, name.clone())),
            None => drop(self.customers.remove(&chat)),
        }
    }

    /// See [`name_customer`](Self::name_customer).
    pub fn customer_name(&self, chat: ChatId) -> Option<&Name> {
        self.customers.get(&chat)
    }

    /// Marks the row as moving.
    pub fn mark(&mut self, chat: ChatId, moving: Moving) {
        let Some(row) = self.rows.get_mut(&chat) else { return };
        if row.moving.is_some() {
            let row = OpenChat { moving: Some(moving), ..row.clone() };
            return self.put(chat, Some(row));
        }
        // Nothing that it is found by goes, and it need not be linked anew.
        row.moving = Some(moving);
        self.moving.insert(chat);
        if let Some(operator) = moving.to {
            self.by_operator.entry(operator).or_default().insert(chat);
        }
    }

    /// The chat goes to sleep: nobody has to hear from it, up to this position of its log.
    pub fn rest(&mut self, chat: ChatId, tail: Seq) {
        if self.rested.len() >= RESTED_REMEMBERED {
            self.rested.pop_first();
        }
        self.rested.insert(chat, tail);
        self.ending.remove(&chat);
    }

    /// A new life of the chat begins. Answers what the former one left; that it went to sleep once, so
    /// that the life after a failure finds nothing of it.
    pub fn wake(&mut self, chat: ChatId) -> Former {
        Former {
            row: self.rows.get(&chat).cloned(),
            rested: self.rested.remove(&chat),
            ending: self.ending.contains(&chat),
        }
    }

    /// The log of a chat cannot be read, and that will not pass: one that ended starts no more for those
    /// who have not heard of it.
    pub fn give_up_ending(&mut self, chat: ChatId) {
        self.ending.remove(&chat);
    }

    /// Whether somebody may wait for a word of the chat, so that it starts again when it failed.
    pub fn wants(&self, chat: ChatId) -> bool {
        self.rows.contains_key(&chat) || self.ending.contains(&chat)
    }

    /// The chat's row.
    pub fn get(&self, chat: ChatId) -> Option<&OpenChat> {
        self.rows.get(&chat)
    }

    /// All rows of a queue but those of chats that an operator owns.
    pub fn of_queue(&self, queue: QueueId) -> Vec<OpenChat> {
        self.pick(self.by_queue.get(&queue).map(|chats| &chats.unowned))
    }

    /// Whether a chat is in the queue, was in it last, or may be opened there.
    pub fn is_in_use(&self, queue: QueueId) -> bool {
        self.by_queue.contains_key(&queue)
    }

    /// What is counted of each queue that is in use.
    pub fn tallies(&self) -> impl Iterator<Item = QueueTally> + '_ {
        self.by_queue.iter().map(|(queue, chats)| QueueTally {
            queue: *queue,
            states: chats.states.iter().filter_map(|(state, n)| Some(((*state)?, *n))).collect(),
            oldest: chats.waiting.first().map(|(since, _)| *since),
        })
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// All rows that cost the operator a slot or may, or that show it an offer.
    pub fn of_operator(&self, operator: UserId) -> Vec<OpenChat> {
        self.pick(self.by_operator.get(&operator))
    }

    /// The operators whom any row names.
    pub fn operators(&self) -> Vec<UserId> {
        self.by_operator.keys().copied().collect()
    }

    /// The chats whose state only they themselves can tell.
    pub fn moving(&self) -> &BTreeSet<ChatId> {
        &self.moving
    }

    /// The chats that wait in a queue which is not there.
    pub fn homeless(&self, is_queue: impl Fn(QueueId) -> bool) -> Vec<ChatId> {
        let homeless = self.by_queue.iter().filter(|(queue, _)| !is_queue(**queue));
        let unowned = homeless.flat_map(|(_, chats)| &chats.unowned);
        // One that is being opened waits nowhere yet.
        let waits = |chat: &&ChatId| self.rows.get(chat).is_some_and(|row| row.place.is_some());
        unowned.filter(waits).copied().collect()
    }

    /// Chats whose deadline has come.
    pub fn due(&self, now: Timestamp) -> Vec<ChatId> {
        let due = self.by_deadline.iter().take_while(|(at, _)| *at <= now);
        due.map(|(_, chat)| *chat).collect()
    }

    /// When the next chat wants to be woken.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.by_deadline.first().map(|(at, _)| *at)
    }

    fn pick(&self, chats: Option<&BTreeSet<ChatId>>) -> Vec<OpenChat> {
        let chats = chats.into_iter().flatten();
        chats.filter_map(|chat| self.rows.get(chat)).cloned().collect()
    }

    fn link(&mut self, row: &OpenChat) {
        self.by_queue.entry(row.queue).or_default().link(row);
        if is_moving(row) {
            self.moving.insert(row.chat);
        }
        for operator in concerned(row) {
            self.by_operator.entry(operator).or_default().insert(row.chat);
        }
        self.by_deadline.extend(row.next_deadline.map(|at| (at, row.chat)));
    }

    fn unlink(&mut self, row: &OpenChat) {
        if let Some(chats) = self.by_queue.get_mut(&row.queue) {
            chats.unlink(row);
            if chats.states.is_empty() {
                self.by_queue.remove(&row.queue);
            }
        }
        self.moving.remove(&row.chat);
        for operator in concerned(row) {
            if let Some(chats) = self.by_operator.get_mut(&operator) {
                chats.remove(&row.chat);
                if chats.is_empty() {
                    self.by_operator.remove(&operator);
                }
            }
        }
        if let Some(at) = row.next_deadline {
            self.by_deadline.remove(&(at, row.chat));
        }
    }
}

impl Index {
    /// Panics unless what is kept beside the rows is what a walk of them finds. For tests.
    pub fn assert_invariants(&self) {
        let walked = self.rows.values().fold(Self::new(), |mut walked, row| {
            walked.link(row);
            walked
        });
        assert_eq!(self.by_queue, walked.by_queue, "the chats of queues");
        assert_eq!(self.by_operator, walked.by_operator, "the chats of operators");
        assert_eq!(self.by_deadline, walked.by_deadline, "the deadlines");
        assert_eq!(self.moving, walked.moving, "what is moving");
    }
}

impl InQueue {
    fn link(&mut self, row: &OpenChat) {
        if is_unowned(row) {
            self.unowned.insert(row.chat);
        }
        let state = state(row);
        if state == Some(ChatState::Waiting) {
            self.waiting.insert((row.since, row.chat));
        }
        *self.states.entry(state).or_default() += 1;
    }

    fn unlink(&mut self, row: &OpenChat) {
        self.unowned.remove(&row.chat);
        self.waiting.remove(&(row.since, row.chat));
        let state = state(row);
        if let Some(count) = self.states.get_mut(&state) {
            *count -= 1;
            if *count == 0 {
                self.states.remove(&state);
            }
        }
    }
}

fn state(row: &OpenChat) -> Option<ChatState> {
    row.place.as_ref().map(Place::state)
}

fn is_moving(row: &OpenChat) -> bool {
    row.moving.is_some() || row.place.is_none()
}

fn is_unowned(row: &OpenChat) -> bool {
    row.place.as_ref().is_none_or(|place| place.owner().is_none())
}

fn concerned(row: &OpenChat) -> BTreeSet<UserId> {
    let mut operators: BTreeSet<UserId> = row.place.iter().flat_map(Place::operators).collect();
    operators.extend(row.moving.and_then(|moving| moving.to));
    operators
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::{Offer, Reach};
    use crate::machine::fixture::*;

    fn row() -> OpenChat {
        OpenChat {
            chat: CHAT,
            queue: QUEUE,
            placement: 1,
            priority: Default::default(),
            weight: Default::default(),
            since: Timestamp(1),
            refused_by: BTreeMap::new(),
            place: Some(Place::Waiting),
            next_deadline: None,
            moving: None,
        }
    }

    #[test]
    fn a_chat_that_ended_is_wanted_until_it_sleeps() {
        let mut index = Index::new();
        assert!(!index.wants(CHAT));
        index.put(CHAT, Some(row()));
        assert!(index.wants(CHAT) && !index.wake(CHAT).ending);
        index.put(CHAT, None);
        // Its next lives remove the row again, and may fail as well.
        index.put(CHAT, None);
        for _ in 0..2 {
            assert!(index.wants(CHAT));
            let former = index.wake(CHAT);
            assert!(former.ending && former.row.is_none());
        }
        index.rest(CHAT, 5);
        assert!(!index.wants(CHAT));
        let former = index.wake(CHAT);
        assert_eq!((former.ending, former.rested), (false, Some(5)));
    }

    #[test]
    fn one_that_nobody_can_read_is_not() {
        let mut index = Index::new();
        index.put(CHAT, Some(row()));
        index.give_up_ending(CHAT);
        assert!(index.wants(CHAT), "it is open, and people wait for it");
        index.drop_unreadable(CHAT);
        assert!(!index.wants(CHAT));
        index.put(CHAT, Some(row()));
        index.put(CHAT, None);
        index.give_up_ending(CHAT);
        assert!(!index.wants(CHAT));
    }

    #[test]
    fn a_chat_that_waits_in_a_queue_that_is_not_there_is_homeless_and_one_with_an_owner_is_not() {
        let mut index = Index::new();
        index.load(row());
        let owned = Place::Assigned { owner: ANN, begun: false };
        index.load(OpenChat { chat: OTHER_CHAT, place: Some(owned), ..row() });
        assert_eq!(index.homeless(|queue| queue != QUEUE), [CHAT]);
        assert!(index.homeless(|queue| queue == QUEUE).is_empty());
    }

    #[test]
    fn an_offer_does_not_outlive_its_process_and_its_chat_is_woken_to_say_so() {
        let mut index = Index::new();
        let (to, reach) = (Arc::new([ANN].into()), Reach::ToAll);
        // By a clock that was ahead.
        let expires_at = Timestamp(u64::MAX / 2);
        let offer = Offer { id: OFFER, reach, to, returned: Default::default(), expires_at };
        let place = Some(Place::Offered(offer));
        index.load(OpenChat { place, next_deadline: Some(expires_at), ..row() });
        assert_eq!(index.get(CHAT).unwrap().place, Some(Place::Waiting));
        assert_eq!(index.due(Timestamp(1)), [CHAT]);
        assert!(index.operators().is_empty(), "nobody sees it any more");
        // One without a deadline sleeps on.
        index.load(OpenChat { chat: OTHER_CHAT, ..row() });
        assert_eq!(index.due(Timestamp(u64::MAX)), [CHAT]);
    }

    #[test]
    fn a_chat_is_due_at_its_deadline_and_no_sooner_and_only_at_the_latest_that_it_named() {
        let mut index = Index::new();
        let until = |at| Some(OpenChat { next_deadline: Some(Timestamp(at)), ..row() });
        index.put(CHAT, until(10));
        index.put(CHAT, until(20));
        assert_eq!(index.due(Timestamp(19)), []);
        assert_eq!(index.due(Timestamp(20)), [CHAT]);
        assert_eq!(index.next_deadline(), Some(Timestamp(20)));
        index.put(CHAT, None);
        assert_eq!(index.due(Timestamp(u64::MAX)), []);
    }

    #[test]
    fn a_chat_is_found_where_it_is_and_with_whom_it_may_be_in_a_moment() {
        let mut index = Index::new();
        index.put(CHAT, Some(row()));
        index.put(CHAT, Some(OpenChat { queue: OTHER_QUEUE, ..row() }));
        let chats = |rows: Vec<OpenChat>| rows.iter().map(|row| row.chat).collect::<Vec<_>>();
        assert_eq!(chats(index.of_queue(QUEUE)), []);
        assert_eq!(chats(index.of_queue(OTHER_QUEUE)), [CHAT]);
        index.mark(CHAT, Moving { to: Some(ANN) });
        assert_eq!((chats(index.of_operator(ANN)), index.moving()), (vec![CHAT], &[CHAT].into()));
        index.assert_invariants();
        index.mark(CHAT, Moving { to: Some(BOB) });
        index.assert_invariants();
        assert_eq!((chats(index.of_operator(ANN)), index.operators()), (vec![], vec![BOB]));
        let place = Some(Place::Assigned { owner: BOB, begun: false });
        index.put(CHAT, Some(OpenChat { place, ..row() }));
        assert_eq!(chats(index.of_operator(ANN)), []);
        assert_eq!(chats(index.of_operator(BOB)), [CHAT]);
        assert_eq!(chats(index.of_queue(QUEUE)), [], "an owned chat is in no line");
        assert_eq!(index.operators(), [BOB]);
    }

    #[test]
    fn what_is_counted_is_what_a_walk_finds_and_an_opening_is_no_chat_yet() {
        let mut index = Index::new();
        let chat = |n: u128| ChatId::from_u128(n);
        let wait = |n, since| OpenChat { chat: chat(n), since: Timestamp(since), ..row() };
        for row in [wait(1, 30), wait(2, 10), wait(3, 20)] {
            index.put(row.chat, Some(row));
            index.assert_invariants();
        }
        let owned = Place::Assigned { owner: ANN, begun: false };
        index.put(chat(2), Some(OpenChat { place: Some(owned), ..wait(2, 10) }));
        index.put(chat(4), Some(OpenChat { place: None, ..wait(4, 5) }));
        index.mark(chat(1), Moving { to: None });
        index.assert_invariants();
        let states = [(ChatState::Waiting, 2), (ChatState::New, 1)].into();
        let tally = QueueTally { queue: QUEUE, states, oldest: Some(Timestamp(20)) };
        assert_eq!(index.tallies().collect::<Vec<_>>(), [tally]);
        assert_eq!((index.len(), index.moving()), (4, &[chat(1), chat(4)].into()));
        for n in 1..=3 {
            index.put(chat(n), None);
            index.assert_invariants();
            assert!(index.is_in_use(QUEUE), "one may be opened there");
        }
        index.put(chat(4), None);
        assert!(index.is_empty() && !index.is_in_use(QUEUE));
        assert_eq!(index.tallies().count(), 0);
    }

    #[test]
    fn that_everybody_was_told_counts_for_the_next_life_only() {
        let mut index = Index::new();
        index.put(CHAT, Some(row()));
        index.rest(CHAT, 5);
        assert_eq!(index.wake(CHAT).rested, Some(5));
        assert_eq!(index.wake(CHAT).rested, None, "the former life failed, and nobody knows");
    }
}
