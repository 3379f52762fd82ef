//! The status: chosen by the operator, or set by the router; in force once it is durable, or at
//! once when the router sets it.

use crate::domain::limits::{PRESENCE_GRACE_MS, REPEAT_MS};
use crate::domain::operator::{AwayReason, Standing};
use crate::domain::{Status, Timestamp};
use crate::machine::chat::Refusal;

use super::{Operator, OperatorAnswer, OperatorEffect};

impl Operator {
    /// Whether offers may stay on its screens: presence may be lost for the grace.
    pub(super) fn may_hold_offers(&self) -> bool {
        self.account.active && self.record.status == Status::Ready
    }

    /// Whether it could be given a chat, but for its slots.
    pub(super) fn is_available(&self) -> bool {
        self.may_hold_offers() && self.is_live() && self.presence.is_proven()
    }

    /// When an operator who is not there becomes offline. Whoever has just chosen a status is given
    /// the grace too: its connection may not have answered its first probe yet.
    pub(super) fn leave_at(&self) -> Option<Timestamp> {
        if self.record.status == Status::Offline {
            return None;
        }
        let gone = self.presence.absent_since()?;
        Some(gone.max(self.chosen_at).plus_ms(PRESENCE_GRACE_MS).max(self.grace_until))
    }

    /// The router itself sets the status: at once, and saved as soon as may be.
    pub(super) fn set_status(&mut self, status: Status) {
        self.record.status = status;
        self.unsaved = true;
    }

    /// A directed offer lapsed that somebody could see.
    pub(super) fn count_lapse(&mut self) {
        self.record.lapses_in_row += 1;
        self.unsaved = true;
        if self.record.lapses_in_row >= self.account.settings.lapses_to_away
            && self.record.status == Status::Ready
        {
            self.set_status(Status::Away(AwayReason::missed_offers()));
            self.record.lapses_in_row = 0;
        }
    }

    pub(super) fn maybe_save(&mut self, now: Timestamp, effects: &mut Vec<OperatorEffect>) {
        if self.saving.is_some() {
            return;
        }
        let mut record = self.record.clone();
        let calls = match self.chosen.take() {
            Some((status, calls)) => {
                record.status = status;
                calls
            }
            None if self.unsaved && now >= self.save_at => Vec::new(),
            None => return,
        };
        self.unsaved = false;
        effects.push(OperatorEffect::Save(record.clone()));
        self.saving = Some((record, calls));
    }

    pub(super) fn saved(
        &mut self,
        now: Timestamp,
        durable: bool,
        effects: &mut Vec<OperatorEffect>,
    ) {
        let Some((record, calls)) = self.saving.take() else {
            return;
        };
        let answer = if !durable {
            Err(Refusal::Unavailable)
        } else if calls.is_empty() {
            Ok(OperatorAnswer::Done)
        } else if self.account.active {
            if record.status == Status::Ready {
                self.record.lapses_in_row = 0;
            }
            self.record.status = record.status;
            self.chosen_at = now;
            Ok(OperatorAnswer::Done)
        } else {
            Err(Refusal::NoSlot(Standing::Offline))
        };
        if !durable {
            self.unsaved = true;
            self.save_at = now.plus_ms(REPEAT_MS.1);
        }
        effects.extend(calls.into_iter().map(|call| OperatorEffect::Answer(call, answer)));
    }
}
