//! When a queue looks at a chat again though nothing happens, and what it does then.

use crate::domain::limits::SILENT_AFTER_MS;
use crate::domain::{ChatId, Reach, Timestamp};
use crate::machine::message::ToOperator;

use super::owed::Owed;
use super::{Phase, Queue, QueueEffect};

impl Queue {
    /// Wakes up when the chat is to be looked at again though nothing happens: when the next one who
    /// refused it, or was offered another one of its visitor, may be asked; and when its offer has
    /// stood long enough. What is under way has a timer of its own.
    pub(super) fn look_again(&mut self, chat: ChatId, now: Timestamp) {
        let Some(entry) = self.line.get(chat) else {
            return;
        };
        let lately = entry.at.customer.and_then(|customer| self.shown.of(customer));
        let shown = lately.into_iter().flat_map(|lately| lately.values());
        let shown = shown.filter(|(other, _)| *other != chat);
        let shown = shown.map(|(_, at)| at.plus_ms(self.settings.visitor_offer_every_ms));
        let next = match &entry.phase {
            Phase::Waiting => {
                let cool_down_ms = self.settings.cool_down_ms;
                let ends = entry.at.refused_by.values().map(|at| at.plus_ms(cool_down_ms));
                ends.chain(shown).filter(|end| *end > now).min()
            }
            Phase::Offered if !self.owed.owes(Owed::Lapse(chat)) => {
                let Some(offer) = entry.at.place.offer() else { return };
                // Once it has stood as long as others do it may be needed for another, and stands
                // else.
                let stood_at = self.stood_at(entry);
                let over = if now < stood_at { stood_at } else { offer.expires_at };
                let widens = shown.filter(|_| offer.reach == Reach::ToAll);
                Some(widens.filter(|end| *end > now).fold(over, Timestamp::min))
            }
            Phase::Offered | Phase::Reserving { .. } | Phase::Offering { .. } => return,
        };
        if let Some(next) = next {
            self.line.set_timer(chat, next);
        }
    }

    /// Does what the timers that are over are for.
    pub(super) fn on_timers(&mut self, now: Timestamp, effects: &mut Vec<QueueEffect>) {
        for chat in self.line.take_timers(now) {
            let Some(entry) = self.line.get(chat) else {
                continue;
            };
            match &entry.phase {
                Phase::Waiting => self.look_again(chat, now),
                Phase::Reserving { offer, operator, .. } => {
                    // No answer: nothing is known of that operator any more.
                    let (offer, operator) = (*offer, *operator);
                    self.end_reservation(chat, operator);
                    self.pool.doubt(operator);
                    self.owed.keep(Owed::AskState(operator), now);
                    effects.push(QueueEffect::ToOperator(operator, ToOperator::Release { offer }));
                    self.line.set_phase(chat, Phase::Waiting);
                    self.look_again(chat, now);
                }
                Phase::Offering { .. } => self.line.set_silent(chat),
                Phase::Offered if self.owed.owes(Owed::Lapse(chat)) => self.line.set_silent(chat),
                Phase::Offered if entry.at.place.offer().is_some_and(|o| now < o.expires_at) => {
                    self.look_again(chat, now);
                }
                Phase::Offered => {
                    self.owed.keep(Owed::Lapse(chat), now);
                    self.line.set_timer(chat, now.plus_ms(SILENT_AFTER_MS));
                }
            }
        }
    }
}
