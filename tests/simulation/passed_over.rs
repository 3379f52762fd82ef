//! No decision of a queue passes over a chat of smaller rank.

use std::collections::BTreeMap;

use switchboard::domain::operator::Standing;
use switchboard::domain::{RoutingSettings, Timestamp, UserId};
use switchboard::machine::message::{ChatAt, ToChat, ToOperator};
use switchboard::machine::queue::{Queue, QueueEffect};

use crate::check::Checker;

impl Checker {
    /// No decision passes over a chat of smaller rank that the operator could serve, unless it was
    /// asked for another one of the same visitor just before.
    pub fn decided(&mut self, queue: &Queue, effects: &[QueueEffect], now: Timestamp, seed: u64) {
        // What is said first was not always chosen first.
        let offers = effects.iter().filter_map(|effect| match effect {
            QueueEffect::ToChat(chat, ToChat::Offer { offer, to, .. })
                if !self.told.contains(offer) =>
            {
                let chosen = queue.line().get(*chat)?;
                Some((naive_rank(queue, &chosen.at, &self.settings), *chat, to.clone()))
            }
            _ => None,
        });
        let offers: Vec<_> = offers.collect();
        for effect in effects {
            let (offer, chat, to) = match effect {
                QueueEffect::ToOperator(to, ToOperator::Reserve { offer, chat, .. }) => {
                    (*offer, *chat, vec![*to])
                }
                QueueEffect::ToChat(chat, ToChat::Offer { offer, to, .. }) => {
                    (*offer, *chat, to.clone())
                }
                QueueEffect::ToChat(chat, ToChat::Widen { offer, to, .. }) => {
                    for operator in to {
                        if self.widened.insert((*offer, *operator)) {
                            self.check_visitor(queue, *chat, *operator, now, seed);
                            self.asked_for(queue, *chat, *operator, now);
                        }
                    }
                    self.offered_to(*chat, to.iter().copied(), now);
                    continue;
                }
                QueueEffect::ToChat(..) | QueueEffect::ToOperator(..) => continue,
            };
            let repeated = !self.decided.insert(offer);
            for operator in to.iter().filter(|_| !repeated) {
                self.check_visitor(queue, chat, *operator, now, seed);
            }
            if let QueueEffect::ToChat(..) = effect
                && self.told.insert(offer)
            {
                to.iter().for_each(|operator| self.asked_for(queue, chat, *operator, now));
            }
            if repeated {
                continue;
            }
            if let QueueEffect::ToOperator(operator, _) = effect {
                self.insisting.asked(*operator, chat, now, seed);
            }
            let Some(chosen) = queue.line().get(chat) else {
                continue;
            };
            let rank = naive_rank(queue, &chosen.at, &self.settings);
            for entry in queue.line().entries() {
                let waits = queue.line().waiting().any(|turn| turn.chat == entry.at.chat);
                let before =
                    (naive_rank(queue, &entry.at, &self.settings), entry.at.chat) < (rank, chat);
                for operator in &to {
                    let mut chosen_first = offers.iter().filter(|(of, other, to)| {
                        (*of, *other) < (rank, chat) && to.contains(operator)
                    });
                    let shown = waits
                        && before
                        && (self.shown_lately(queue, entry.at.chat, *operator, now)
                            || chosen_first
                                .any(|(_, other, _)| self.gives_way(queue, entry.at.chat, *other)));
                    self.visitors.passed_over += u64::from(shown);
                    assert!(
                        !waits
                            || !before
                            || shown
                            || self.excluded(queue, *operator, &entry.at.refused_by, now),
                        "{chat:?} passed over {:?} to {operator:?} at {now} (seed {seed})",
                        entry.at.chat
                    );
                }
            }
        }
    }

    /// Whether a refusal stands between operator and chat.
    pub fn excluded(
        &self,
        queue: &Queue,
        operator: UserId,
        refused_by: &BTreeMap<UserId, Timestamp>,
        now: Timestamp,
    ) -> bool {
        let Some(at) = refused_by.get(&operator) else {
            return false;
        };
        let eligible = |member: &UserId| {
            queue.pool().belief(*member).is_some_and(|state| {
                matches!(
                    state.standing,
                    Standing::Free | Standing::Full | Standing::Kept | Standing::Choosing
                )
            })
        };
        now.0 < at.0 + self.settings.cool_down_ms
            || queue
                .pool()
                .members()
                .any(|member| !refused_by.contains_key(&member) && eligible(&member))
    }
}

pub fn naive_rank(queue: &Queue, at: &ChatAt, settings: &RoutingSettings) -> i64 {
    let points = queue.config().priority.points() + at.priority.points();
    at.since.0 as i64 - settings.priority_step_ms as i64 * i64::from(points)
}
