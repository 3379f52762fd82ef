//! What the history keeps of a chat.

use crate::domain::event::{AssignedHow, PlacedCause};
use crate::domain::{
    ChannelId, ChatEvent, ChatState, CommandId, Customer, CustomerId, MessageText, Outcome, Party,
    Profile, QueueId, Recorded, Timestamp, UserId, Weight,
};
use crate::machine::chat::History;
use crate::machine::fixture::CHAT;
use crate::storage::{HISTORY_OPERATORS_MAX, HISTORY_QUEUES_MAX, HistoryRow};

const CUSTOMER: CustomerId = CustomerId::from_u128(3);

/// A log that grows, and its fold.
struct Log {
    history: History,
    tail: u64,
}

impl Log {
    fn opened() -> Self {
        let mut log = Self { history: History::new(CHAT), tail: 0 };
        let customer = Customer { channel: ChannelId::from_u128(2), id: CUSTOMER };
        let (command, profile) = (command(), Profile::default());
        log.add(ChatEvent::Opened { customer, command, profile, continues: None });
        log.placed(1);
        log
    }

    fn add(&mut self, event: ChatEvent) -> &HistoryRow {
        self.tail += 1;
        let at = Timestamp(1_000 * self.tail);
        self.history.apply(&Recorded { seq: self.tail, at, event, names: Default::default() });
        self.history.row().unwrap()
    }

    fn placed(&mut self, queue: u128) -> &HistoryRow {
        let (queue, cause) = (QueueId::from_u128(queue), PlacedCause::Opened);
        self.add(ChatEvent::Placed { placement: 1, queue, weight: Weight::default(), cause })
    }

    fn assigned(&mut self, operator: u128, how: AssignedHow) -> &HistoryRow {
        let (operator, command) = (UserId::from_u128(operator), command());
        self.add(ChatEvent::Assigned { placement: 2, operator, how, command })
    }

    fn wrote(&mut self, from: Party) -> &HistoryRow {
        let (id, text) = (command(), MessageText::new("hello").unwrap());
        self.add(ChatEvent::Message { from, id, text })
    }

    fn ended(&mut self, outcome: Outcome) -> &HistoryRow {
        let by = Party::Customer(CUSTOMER);
        self.add(ChatEvent::Ended { placement: 3, by, command: None, outcome })
    }
}

fn command() -> CommandId {
    CommandId::new("c").unwrap()
}

#[test]
fn a_chat_is_in_progress_when_its_owner_has_written() {
    let mut log = Log::opened();
    assert_eq!(log.assigned(7, AssignedHow::Taken).state, ChatState::New);
    for other in [Party::Customer(CUSTOMER), Party::User(UserId::from_u128(8)), Party::System] {
        assert_eq!(log.wrote(other).state, ChatState::New, "{other:?}");
    }
    assert_eq!(log.wrote(Party::User(UserId::from_u128(7))).state, ChatState::InProgress);
    log.placed(2);
    assert_eq!(log.wrote(Party::User(UserId::from_u128(7))).state, ChatState::Waiting);
    let how = AssignedHow::Transferred {
        by: Party::System,
        reservation: crate::domain::OfferId::of(1, 1),
    };
    assert_eq!(log.assigned(8, how).state, ChatState::InProgress);
}

#[test]
fn who_owned_a_chat_at_its_end_is_whoever_had_it_then() {
    let mut log = Log::opened();
    log.assigned(7, AssignedHow::Taken);
    let mut given_away = Log { history: log.history.clone(), ..log };
    let end = log.ended(Outcome::Completed).ended.unwrap();
    assert_eq!((end.owner, end.at), (Some(UserId::from_u128(7)), Timestamp(4_000)));
    given_away.placed(2);
    let row = given_away.ended(Outcome::Completed);
    assert_eq!((row.owner, row.ended.unwrap().owner), (Some(UserId::from_u128(7)), None));
    let mut missed = Log::opened();
    let row = missed.ended(Outcome::Missed);
    assert_eq!((row.state, row.ended.unwrap().owner), (ChatState::Missed, None));
}

#[test]
fn the_lists_of_a_chat_only_grow_and_are_bounded() {
    let mut log = Log::opened();
    let begin = log.history.row().unwrap().clone();
    let mut before: Vec<_> = begin.lists().collect();
    for n in 0..300 {
        log.placed(n);
        let row = log.assigned(n, AssignedHow::Taken);
        assert_eq!((row.place(), row.customer), (begin.place(), begin.customer));
        assert_eq!(row.owner, Some(UserId::from_u128(n)), "the last one, whatever is listed");
        assert_eq!(row.queue, Some(QueueId::from_u128(n)));
        let lists: Vec<_> = row.lists().collect();
        assert!(before.iter().all(|list| lists.contains(list)), "{n}");
        before = lists;
    }
    let row = log.history.into_row().unwrap();
    assert_eq!(row.queues.len(), HISTORY_QUEUES_MAX);
    assert_eq!(row.operators.len(), HISTORY_OPERATORS_MAX);
}
