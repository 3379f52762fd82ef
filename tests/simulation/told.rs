//! What operators tell their queues of themselves is so, by the logs: how many chats they have, when they
//! accepted last, since when nothing has changed for them. Judged where nothing goes wrong; then what a
//! queue believes is true but for the moment that a word takes, and so is whom its rule prefers.

use std::collections::{BTreeMap, BTreeSet};

use switchboard::domain::operator::{OperatorState, Standing};
use switchboard::domain::{ChatEvent, ChatId, Place, Reach, Recorded, Timestamp, UserId};
use switchboard::machine::chat::Chat;
use switchboard::machine::message::{ToOperator, ToQueue};
use switchboard::machine::operator::{OperatorEffect, OperatorInput};

use crate::world::World;

/// How long a word may take, ms: it is on its way for 3, and a store's answer for 8.
const HEARD_MS: u64 = 100;

/// See the module.
#[derive(Debug, Default)]
pub struct Told {
    last_accept: BTreeMap<UserId, Timestamp>,
    /// When each operator last gained or lost a chat.
    moved_at: BTreeMap<UserId, u64>,
    /// When anything about what it holds changed last.
    changed_at: BTreeMap<UserId, u64>,
    /// Whether it could be given a chat but for its slots, and since when that is so or not.
    available: BTreeMap<UserId, (bool, u64)>,
    /// Whose slot each chat takes, and whether it owns the chat.
    taken: BTreeMap<ChatId, (UserId, bool)>,
    slots: BTreeMap<UserId, BTreeSet<ChatId>>,
}

impl Told {
    /// An event became durable; `fold` is the chat after it.
    pub fn appended(&mut self, fold: &Chat, recorded: &Recorded, now: u64) {
        let chat = fold.id();
        let before = self.taken.remove(&chat);
        let after = match fold.place() {
            Some(Place::Assigned { owner, .. }) => Some((*owner, true)),
            Some(Place::Offered(offer)) if offer.reach == Reach::Directed => {
                offer.to.first().map(|who| (*who, false))
            }
            Some(Place::Waiting | Place::Offered(_) | Place::Ended { .. }) | None => None,
        };
        if let Some((who, owned)) = before {
            self.slots.entry(who).or_default().remove(&chat);
            // An offer may have found no slot here; then nothing was lost with it.
            if owned && before != after {
                self.moved_at.insert(who, now);
            }
        }
        if let Some((who, _)) = after {
            self.taken.extend(after.map(|after| (chat, after)));
            self.slots.entry(who).or_default().insert(chat);
        }
        if let ChatEvent::Assigned { operator, .. } = &recorded.event {
            let last = self.last_accept.entry(*operator).or_insert(recorded.at);
            *last = recorded.at.max(*last);
            self.moved_at.insert(*operator, now);
        }
        if before != after {
            for (operator, _) in [before, after].into_iter().flatten() {
                self.changed_at.insert(operator, now);
            }
        }
        let named = match &recorded.event {
            ChatEvent::Assigned { operator, .. } => Some(*operator),
            _ => None,
        };
        self.changed_at.extend(named.map(|operator| (operator, now)));
    }
}

/// The state in a word to a queue.
fn state(effect: &OperatorEffect) -> Option<&OperatorState> {
    match effect {
        OperatorEffect::ToQueue(
            _,
            ToQueue::State(state)
            | ToQueue::ReserveAnswer { state, .. }
            | ToQueue::Pull { state, .. }
            | ToQueue::Give { state, .. },
        ) => Some(state),
        _ => None,
    }
}

impl World {
    /// After a step of the operator.
    pub fn judge_told(
        &mut self,
        operator: UserId,
        input: &OperatorInput,
        effects: &[OperatorEffect],
    ) {
        let Some(live) = self.operators.get(&operator) else { return };
        let (now, seed) = (self.now, self.seed);
        let standing = live.machine.standing();
        let available = matches!(standing, Standing::Free | Standing::Full | Standing::Choosing);
        let told = &mut self.told;
        let (was, since) = *told.available.entry(operator).or_insert((available, now));
        let since = if was == available { since } else { now };
        told.available.insert(operator, (available, since));
        // A take that came too late, or was a repeat of one whose chat is elsewhere by now, and a slot that
        // was held for nothing.
        let frees = match input {
            OperatorInput::Said(ToOperator::AssignAnswer { result, at, .. }) => {
                let owner = at.as_ref().and_then(|at| at.place.owner());
                result.is_err() || owner != Some(operator)
            }
            OperatorInput::Said(said) => matches!(said, ToOperator::Recalled { .. }),
            _ => false,
        };
        if frees {
            told.changed_at.insert(operator, now);
        }
        if self.plan.faults || self.plan.crashes {
            return;
        }
        let settled = |at: Option<&u64>| at.is_none_or(|at| now > at + HEARD_MS);
        let changed_at = told.changed_at.get(&operator);
        for state in effects.iter().filter_map(state).filter(|_| settled(changed_at)) {
            assert_eq!(
                state.last_accept,
                told.last_accept.get(&operator).copied(),
                "when {operator:?} accepted last, as it says at {now} and as the logs do (seed {seed})"
            );
            let taken = told.slots.get(&operator).map_or(0, BTreeSet::len);
            assert!(
                state.load as usize >= taken,
                "{operator:?} says at {now} that it holds {}, and the logs give it {taken} (seed {seed})",
                state.load
            );
            let least = told.moved_at.get(&operator).copied().unwrap_or_default();
            let least = if available { least.max(since) } else { least };
            let most = changed_at.copied().unwrap_or_default().max(since) + HEARD_MS;
            assert!(
                (least..=most).contains(&state.idle_since.0),
                "{operator:?} says at {now} that it is idle since {}: it was within {least} and {most} \
                 (seed {seed})",
                state.idle_since
            );
            self.coverage.count("judged", "word of an operator");
        }
    }
}
