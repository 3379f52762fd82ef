//! The age of a chat is kept: through offers, transfers, crashes and restarts it waits since it was
//! opened, by the first event of its log. A clock that was set back makes it younger only while it is
//! behind.

use switchboard::domain::{ChatEvent, ChatId, Timestamp};
use switchboard::machine::chat::driver::{Action, ChatAction, Preparation, StoreCall};
use switchboard::machine::message::{ChatAt, ToOperator, ToQueue};
use switchboard::storage::RowUpdate;

use crate::planted::Planted;
use crate::world::World;

impl World {
    /// When the chat was opened, by the log.
    pub fn opened_at(&self, chat: ChatId) -> Option<Timestamp> {
        let first = self.store.logs.get(&chat)?.first()?;
        matches!(first.event, ChatEvent::Opened { .. }).then_some(first.at)
    }

    /// Whatever a chat says of itself and writes down for others.
    pub fn keeps_its_age(&self, chat: ChatId, action: &Action) {
        // That one counts by another clock than this check.
        if self.plan.planted == Some(Planted::ClockOfTheChat) {
            return;
        }
        let said: Option<&ChatAt> = match action {
            Action::Own(
                ChatAction::ToQueue(_, ToQueue::At(at))
                | ChatAction::ToOperator(_, ToOperator::At(at)),
            ) => Some(at),
            Action::Own(ChatAction::ToOperator(
                _,
                ToOperator::AssignAnswer { at, .. } | ToOperator::Recalled { at, .. },
            )) => at.as_ref(),
            _ => None,
        };
        if let Some(at) = said {
            let opened_at = self.opened_at(chat);
            let since = opened_at.map(|at| at.min(self.now()));
            self.same_age(chat, (Some(at.since), since), "says");
        }
        let row = match action {
            Action::Own(ChatAction::Row(row) | ChatAction::Index(row)) => row.as_ref(),
            Action::Store(StoreCall::Prepare(Preparation::PutRow(row))) => Some(row),
            _ => None,
        };
        if let Action::Store(StoreCall::AppendWith(_, events, beside)) = action {
            let first = events.first().filter(|first| first.seq == 1).map(|first| first.at);
            for row in &beside.rows {
                let RowUpdate::Open(row) = row else { continue };
                let opened_at = self.opened_at(chat).or(first);
                self.same_age(chat, (Some(row.since), opened_at), "writes down");
            }
        }
        if let Some(row) = row.filter(|row| row.place.is_some()) {
            self.same_age(chat, (Some(row.since), self.opened_at(chat)), "writes down");
        }
    }

    fn same_age(
        &self,
        chat: ChatId,
        (since, opened_at): (Option<Timestamp>, Option<Timestamp>),
        how: &str,
    ) {
        assert_eq!(
            since, opened_at,
            "{chat:?} {how} another time since when it waits than that of its opening, at {} (seed {})",
            self.now, self.seed
        );
    }
}
