//! Lapsed offers in a row, counted a second time: by what the screens showed, what the operator answered
//! and what its machine took off them. As many as the settings say make it away.

use std::collections::{BTreeMap, BTreeSet};

use switchboard::domain::event::OfferEnd;
use switchboard::domain::operator::AwayReason;
use switchboard::domain::{ChatId, OfferId, Placement, Status, UserId};
use switchboard::machine::message::{AssignBy, ChatAt, ToChat, ToOperator};
use switchboard::machine::operator::{Notice, OperatorCall, OperatorEffect, OperatorInput};

use crate::world::World;

/// See the module.
#[derive(Debug, Default)]
pub struct Lapses {
    in_row: BTreeMap<UserId, u32>,
    /// What this life of an operator has put on its screens. A slot that was given twice, for its
    /// queue has started anew, makes offers of two chats with one id.
    presented: BTreeSet<(UserId, ChatId, OfferId)>,
    /// What of that reached a screen, and was not accepted or declined.
    shown: BTreeSet<(UserId, ChatId, OfferId)>,
    /// Ownerships of which this life has heard.
    owned: BTreeSet<(UserId, ChatId, Placement)>,
}

/// An operator before a step.
#[derive(Debug)]
pub struct Before {
    present: bool,
    status: Status,
}

impl Lapses {
    /// A life begins, with what its record says.
    pub fn started(&mut self, operator: UserId, in_row: u32) {
        self.in_row.insert(operator, in_row);
        self.presented.retain(|(who, ..)| *who != operator);
        self.shown.retain(|(who, ..)| *who != operator);
        self.owned.retain(|(who, ..)| *who != operator);
    }
}

/// What a chat says of itself in this input.
fn said(input: &OperatorInput) -> Option<&ChatAt> {
    match input {
        OperatorInput::Said(ToOperator::At(at)) => Some(at),
        OperatorInput::Said(
            ToOperator::AssignAnswer { at, .. } | ToOperator::Recalled { at, .. },
        ) => at.as_ref(),
        _ => None,
    }
}

impl World {
    pub fn before_lapses(&self, operator: UserId) -> Option<Before> {
        let machine = &self.operators.get(&operator)?.machine;
        Some(Before { present: machine.is_present(), status: machine.status().clone() })
    }

    /// After a step of the operator.
    pub fn judge_lapses(
        &mut self,
        operator: UserId,
        before: &Before,
        input: &OperatorInput,
        effects: &[OperatorEffect],
    ) {
        let lapsed = self.take_off(operator, input, effects);
        let Some(live) = self.operators.get(&operator) else { return };
        let (record, present) = (live.machine.record(), live.machine.is_present());
        let (now, seed) = (self.now, self.seed);
        let count = self.lapses.in_row.get(&operator).copied().unwrap_or_default();
        // What may be so after the step: presence may have been lost or found in it.
        let mut may = BTreeSet::from([count]);
        let mut away = false;
        if lapsed {
            let counted = count + 1;
            away = counted >= self.settings.lapses_to_away && before.status == Status::Ready;
            let counted = if away { 0 } else { counted };
            away &= before.present && present;
            match (before.present, present) {
                (true, true) => may = BTreeSet::from([counted]),
                (false, false) => {}
                _ => drop(may.insert(counted)),
            }
        }
        if self.declines(operator, input, effects) {
            may = BTreeSet::from([0]);
        }
        if let Some(at) = said(input).filter(|at| at.place.owner() == Some(operator)) {
            let first = self.lapses.owned.insert((operator, at.chat, at.placement));
            // The word may be an old one, unless nothing goes wrong.
            let fold = self.checker.folds.get(&at.chat);
            let latest = fold.is_some_and(|fold| fold.placement() == at.placement);
            let fresh = first && latest && !self.plan.faults && !self.plan.crashes;
            may = if fresh { BTreeSet::from([0]) } else { may.into_iter().chain([0]).collect() };
        }
        if *input == OperatorInput::Saved(true) {
            let ready = record.status == Status::Ready && before.status != Status::Ready;
            may = if ready { BTreeSet::from([0]) } else { may.into_iter().chain([0]).collect() };
        }
        assert!(
            may.contains(&record.lapses_in_row),
            "{operator:?} counts {} lapsed offers in a row after {input:?} at {now}, it should be one of \
             {may:?} (seed {seed})",
            record.lapses_in_row
        );
        if away && may.len() == 1 {
            assert!(
                matches!(record.status, Status::Offline)
                    || record.status == Status::Away(AwayReason::missed_offers()),
                "{operator:?} let {} offers in a row lapse and is {:?} at {now} (seed {seed})",
                count + 1,
                record.status
            );
            self.coverage.count("judged", "away for lapsed offers");
        }
        if lapsed {
            self.coverage.count("judged", "lapsed offer");
        }
        let in_row = record.lapses_in_row;
        self.lapses.in_row.insert(operator, in_row);
        self.put_on(operator, input, effects);
    }

    /// Whether a directed offer went off the screens of which the chat says that it lapsed, and which
    /// somebody could see.
    fn take_off(
        &mut self,
        operator: UserId,
        input: &OperatorInput,
        effects: &[OperatorEffect],
    ) -> bool {
        let last = said(input).and_then(|at| at.last_offer);
        let mut lapsed = false;
        for effect in effects {
            if let OperatorEffect::Show(Notice::OfferWithdrawn { chat, offer, .. }) = effect {
                let shown = self.lapses.shown.remove(&(operator, *chat, *offer));
                self.lapses.presented.remove(&(operator, *chat, *offer));
                let directed = self.refusals.is_directed(*offer);
                lapsed |= shown && directed && last == Some((*offer, OfferEnd::Lapsed));
            }
        }
        lapsed
    }

    fn declines(
        &self,
        operator: UserId,
        input: &OperatorInput,
        effects: &[OperatorEffect],
    ) -> bool {
        let OperatorInput::Call(_, OperatorCall::Decline { chat, offer, .. }) = input else {
            return false;
        };
        let mut words = effects.iter().filter_map(|effect| match effect {
            OperatorEffect::ToChat(to, ToChat::Decline { offer: of, operator: who, .. }) => {
                Some(to == chat && of == offer && *who == operator)
            }
            _ => None,
        });
        self.refusals.is_directed(*offer) && words.any(|declines| declines)
    }

    fn put_on(&mut self, operator: UserId, input: &OperatorInput, effects: &[OperatorEffect]) {
        let live = self.operators.get(&operator).is_some_and(|live| live.machine.is_live());
        if let OperatorInput::Call(_, OperatorCall::Shown { chat, offer }) = input
            && live
            && self.lapses.presented.contains(&(operator, *chat, *offer))
        {
            self.lapses.shown.insert((operator, *chat, *offer));
        }
        for effect in effects {
            match effect {
                OperatorEffect::Show(Notice::OfferPresented { chat, offer, .. }) => {
                    self.lapses.presented.insert((operator, *chat, *offer));
                    self.lapses.shown.remove(&(operator, *chat, *offer));
                }
                // It is being answered or given back, whatever becomes of that.
                OperatorEffect::ToChat(
                    chat,
                    ToChat::Assign { by: AssignBy::Offer(offer, _), .. }
                    | ToChat::Withdraw { offer, .. },
                ) => {
                    self.lapses.presented.remove(&(operator, *chat, *offer));
                    self.lapses.shown.remove(&(operator, *chat, *offer));
                }
                _ => {}
            }
        }
    }
}
