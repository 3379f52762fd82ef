//! What the history keeps of a chat: a fold over its log, beside the chat's.
//!
//! Owns the row that is found long after, by whoever asks for chats of last month. Refuses to decide, and
//! to know what is not in the log.
//! Invariant: the row of a longer log has the start, the channel and the customer of a shorter one's, and
//! its sets hold theirs.

use crate::domain::event::AssignedHow;
use crate::domain::{ChatEvent, ChatId, ChatState, Outcome, Party, Recorded};
use crate::storage::{HISTORY_OPERATORS_MAX, HISTORY_QUEUES_MAX, HistoryEnd, HistoryRow};

/// A chat as the history sees it. Empty until its first event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    chat: ChatId,
    row: Option<HistoryRow>,
}

impl History {
    /// That of a chat with an empty log.
    pub fn new(chat: ChatId) -> Self {
        Self { chat, row: None }
    }

    /// The row; none while the chat is not opened.
    pub fn row(&self) -> Option<&HistoryRow> {
        self.row.as_ref()
    }

    /// The row, taken out.
    pub fn into_row(self) -> Option<HistoryRow> {
        self.row
    }

    /// Whether such an event makes the row another one, so that it is worth to be looked at at once. A
    /// message seldom does: with the first one of its owner a chat is in progress.
    pub fn concerns(event: &ChatEvent) -> bool {
        match event {
            ChatEvent::Opened { .. }
            | ChatEvent::CustomerUpdated { .. }
            | ChatEvent::Placed { .. }
            | ChatEvent::Offered { .. }
            | ChatEvent::OfferEnded { .. }
            | ChatEvent::Assigned { .. }
            | ChatEvent::Begun { .. }
            | ChatEvent::Ended { .. } => true,
            ChatEvent::Message { .. }
            | ChatEvent::OfferWidened { .. }
            | ChatEvent::Declined { .. }
            | ChatEvent::OfferNarrowed { .. }
            | ChatEvent::TransferAsked { .. }
            | ChatEvent::TransferFailed { .. }
            | ChatEvent::ContinuedIn { .. } => false,
        }
    }

    /// The one way it changes. `recorded` follows what was applied before.
    pub fn apply(&mut self, recorded: &Recorded) {
        if let ChatEvent::Opened { customer, profile, .. } = &recorded.event {
            self.row = Some(HistoryRow {
                chat: self.chat,
                started: recorded.at,
                customer: *customer,
                name: profile.name.clone(),
                queues: Default::default(),
                queue: None,
                operators: Default::default(),
                owner: None,
                state: ChatState::Waiting,
                ended: None,
            });
        }
        if let Some(row) = &mut self.row {
            change(row, recorded);
        }
    }
}

fn change(row: &mut HistoryRow, recorded: &Recorded) {
    match &recorded.event {
        ChatEvent::CustomerUpdated { profile } => row.name = profile.name.clone(),
        ChatEvent::Message { from, .. } => {
            if row.state == ChatState::New && row.owner.map(Party::User) == Some(*from) {
                row.state = ChatState::InProgress;
            }
        }
        ChatEvent::Placed { queue, .. } => {
            row.queue = Some(*queue);
            if row.queues.len() < HISTORY_QUEUES_MAX {
                row.queues.insert(*queue);
            }
            row.state = ChatState::Waiting;
        }
        ChatEvent::Offered { .. } => row.state = ChatState::Offered,
        ChatEvent::OfferEnded { .. } => row.state = ChatState::Waiting,
        ChatEvent::Assigned { operator, how, .. } => {
            row.owner = Some(*operator);
            if row.operators.len() < HISTORY_OPERATORS_MAX {
                row.operators.insert(*operator);
            }
            row.state = match how {
                AssignedHow::Accepted { .. } | AssignedHow::Taken => ChatState::New,
                AssignedHow::Transferred { .. } => ChatState::InProgress,
            };
        }
        ChatEvent::Begun { .. } => {
            if row.state == ChatState::New {
                row.state = ChatState::InProgress;
            }
        }
        ChatEvent::Ended { by, outcome, .. } => {
            let owned = matches!(row.state, ChatState::New | ChatState::InProgress);
            let owner = row.owner.filter(|_| owned);
            row.ended = Some(HistoryEnd { at: recorded.at, by: *by, owner });
            row.state = match outcome {
                Outcome::Completed => ChatState::Completed,
                Outcome::Missed => ChatState::Missed,
            };
        }
        ChatEvent::Opened { .. }
        | ChatEvent::OfferWidened { .. }
        | ChatEvent::Declined { .. }
        | ChatEvent::OfferNarrowed { .. }
        | ChatEvent::TransferAsked { .. }
        | ChatEvent::TransferFailed { .. }
        | ChatEvent::ContinuedIn { .. } => {}
    }
}
