//! When a queue looks at a chat again though nothing happens, why, and what it does then.
//!
//! Each chat of the line has one timer, and [`Queue::next_look`] alone says for when: a cause to
//! look again is one [`Cause`], with its time and what is done then. Whatever changes what such a
//! time depends on calls [`Queue::look_again`]. A timer that fires too early is harmless.
//!
//! The age of a chat, by which it ranks, counts from its first waiting, and goes on through
//! transfers and offers. How long it is in its present queue is another time: that since the
//! `Placed` of its log which brought it there.
//!
//! Invariant: no chat is looked at later than a cause has it, and something is done no later than when
//! time alone lets a member with room have one ([`Queue::assert_timers`]).

use std::collections::BTreeSet;

use crate::domain::limits::SILENT_AFTER_MS;
use crate::domain::operator::Standing;
use crate::domain::{ChatId, Offer, Reach, Timestamp, UserId};
use crate::machine::message::ToOperator;

use super::line::Entry;
use super::owed::Owed;
use super::{Phase, Queue, QueueEffect};

/// Why a queue looks at a chat again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The next of those who refused it may be asked again.
    CoolDown,
    /// The next of those who were offered another chat of its visitor may be asked.
    ShownLately,
    /// The operator who is asked to hold a slot has not answered.
    Reservation,
    /// Its offer has stood as long as others do: it may be needed for another chat.
    Stood,
    /// Its offer is over.
    EndOfOffer,
    /// It has not answered what it was asked to do.
    Silence,
}

/// When a queue looks at a chat again, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Look {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub cause: Cause,
}

impl Queue {
    /// The next look at a chat of the line, and its cause; none when only what is said can change
    /// anything. In the past: at once.
    pub(super) fn next_look(&self, entry: &Entry, now: Timestamp) -> Option<Look> {
        let causes: &[Cause] = match &entry.phase {
            // Nobody is asked for it any more.
            Phase::Waiting if entry.at.spent => &[],
            Phase::Waiting => &[Cause::CoolDown, Cause::ShownLately],
            Phase::Reserving { .. } => &[Cause::Reservation],
            Phase::Offering { .. } => &[Cause::Silence],
            Phase::Offered if self.owed.owes(Owed::Lapse(entry.at.chat)) => &[Cause::Silence],
            Phase::Offered if others_may_join(entry) => {
                &[Cause::Stood, Cause::EndOfOffer, Cause::CoolDown, Cause::ShownLately]
            }
            Phase::Offered => &[Cause::Stood, Cause::EndOfOffer],
        };
        let look =
            |cause: &Cause| self.time_of(*cause, entry, now).map(|at| Look { at, cause: *cause });
        causes.iter().filter_map(look).min()
    }

    /// When a cause has the chat looked at. What only passes does so in the future or not at all.
    fn time_of(&self, cause: Cause, entry: &Entry, now: Timestamp) -> Option<Timestamp> {
        let to_come = |end: &Timestamp| *end > now;
        match cause {
            Cause::CoolDown => {
                let refused = entry.at.refused_by.values();
                let ends = refused.map(|at| at.plus_ms(self.settings.cool_down_ms));
                ends.filter(to_come).min()
            }
            Cause::ShownLately => {
                let every_ms = self.settings.visitor_offer_every_ms;
                // Whatever was offered before that may be followed by another already.
                let from = Timestamp(now.plus_ms(1).0.saturating_sub(every_ms));
                let of_chat = (entry.at.customer?, entry.at.chat);
                self.shown.first_of_others(of_chat, from).map(|at| at.plus_ms(every_ms))
            }
            Cause::Reservation => match &entry.phase {
                Phase::Reserving { expires_at, .. } => Some(*expires_at),
                Phase::Waiting | Phase::Offering { .. } | Phase::Offered => None,
            },
            Cause::Stood => Some(self.stood_at(entry)).filter(to_come),
            Cause::EndOfOffer => entry.at.place.offer().map(|offer| offer.expires_at),
            Cause::Silence => entry.answers_by,
        }
    }

    /// Sets the chat's timer, since something has changed on which it depends.
    pub(super) fn look_again(&mut self, chat: ChatId, now: Timestamp) {
        let entry = self.line.get(chat);
        let next = entry.and_then(|entry| self.next_look(entry, now));
        self.line.set_timer(chat, next.map(|look| look.at));
    }

    /// The chat was asked to do something, and is to answer before it counts as silent.
    pub(super) fn await_answer(&mut self, chat: ChatId, now: Timestamp) {
        self.line.set_answers_by(chat, now.plus_ms(SILENT_AFTER_MS));
        self.look_again(chat, now);
    }

    /// Does what the timers that are over are for.
    pub(super) fn on_timers(&mut self, now: Timestamp, effects: &mut Vec<QueueEffect>) {
        for chat in self.line.take_timers(now) {
            let Some(entry) = self.line.get(chat) else {
                continue;
            };
            let due = self.next_look(entry, now).filter(|look| look.at <= now);
            match due.map(|look| look.cause) {
                Some(Cause::Reservation) => self.reservation_unanswered(chat, now, effects),
                Some(Cause::EndOfOffer) => {
                    self.owed.keep(Owed::Lapse(chat), now);
                    self.await_answer(chat, now);
                }
                Some(Cause::Silence) => self.line.set_silent(chat),
                // Whom it kept from being asked may be asked now, as all who are looked at after this.
                Some(Cause::CoolDown | Cause::ShownLately | Cause::Stood) | None => {}
            }
            self.look_again(chat, now);
        }
    }

    /// Nothing is known any more of the operator who was to hold a slot.
    fn reservation_unanswered(
        &mut self,
        chat: ChatId,
        now: Timestamp,
        effects: &mut Vec<QueueEffect>,
    ) {
        let phase = self.line.get(chat).map(|entry| &entry.phase);
        let Some(Phase::Reserving { offer, operator, .. }) = phase else { return };
        let (offer, operator) = (*offer, *operator);
        self.end_reservation(chat, operator);
        self.pool.doubt(operator);
        self.owed.keep(Owed::AskState(operator), now);
        effects.push(QueueEffect::ToOperator(operator, ToOperator::Release { offer }));
        self.line.set_phase(chat, Phase::Waiting);
    }

    /// Panics when a chat is looked at later than a cause has it, or nothing is done when somebody
    /// could have one, after a step at `now`; for tests and the simulation.
    pub fn assert_timers(&self, now: Timestamp) {
        let next = self.next_deadline();
        for entry in self.line.entries() {
            let chat = entry.at.chat;
            if let Some((operator, at)) = self.able_to_come(entry, now) {
                let in_time = next.is_some_and(|next| next <= at);
                assert!(in_time, "{operator:?} could have {chat:?} at {at}, next is {next:?}");
            }
            let Some(look) = self.next_look(entry, now) else { continue };
            let timer = self.line.timer(chat);
            let in_time = timer.is_some_and(|timer| timer <= look.at);
            assert!(in_time, "{chat:?} is to be looked at as {look:?}, and is at {timer:?}");
        }
    }

    /// The first with room whom time alone lets have a chat that waits or is offered to all, and when.
    /// Knows of no cause: it looks at every member, as of each time at which one stands otherwise.
    fn able_to_come(&self, entry: &Entry, now: Timestamp) -> Option<(UserId, Timestamp)> {
        let wanted = match &entry.phase {
            Phase::Waiting => !entry.at.spent,
            Phase::Offered => others_may_join(entry) && !self.owed.owes(Owed::Lapse(entry.at.chat)),
            Phase::Reserving { .. } | Phase::Offering { .. } => false,
        };
        let offer = entry.at.place.offer().filter(|_| wanted);
        let has_it = |operator: &UserId| offer.is_some_and(|offer| offer.to.contains(operator));
        let standings = |at| self.pool.standings(self.case(entry, at));
        let kept_out = standings(now)
            .filter(|(operator, _, until)| wanted && until.is_some() && !has_it(operator));
        let kept_out: BTreeSet<UserId> = kept_out.map(|(operator, ..)| operator).collect();
        let mut at = now;
        loop {
            let those = |at| standings(at).filter(|(operator, ..)| kept_out.contains(operator));
            at = those(at).filter_map(|(.., until)| until).min()?;
            let able = those(at).find(|(_, standing, _)| *standing == Standing::Free);
            if let Some((operator, ..)) = able {
                return Some((operator, at));
            }
        }
    }
}

/// Whether others may be asked for a chat that is offered: not for one that one holds alone, nor for
/// its last offer.
fn others_may_join(entry: &Entry) -> bool {
    let to_all = |offer: &Offer| offer.reach == Reach::ToAll;
    !entry.at.spent && entry.at.place.offer().is_some_and(to_all)
}
