//! The order across an operator's queues: a slot that came free goes to the smallest rank that any of its
//! queues quoted, once all have answered or the time for it is over. Judged by the words alone.

use std::collections::{BTreeMap, BTreeSet};

use switchboard::domain::limits::PULL_LIMIT_MS;
use switchboard::domain::operator::Standing;
use switchboard::domain::{OfferId, QueueId, Reach, UserId};
use switchboard::machine::message::{Quote, ToOperator, ToQueue};
use switchboard::machine::operator::{OperatorEffect, OperatorInput};

use crate::world::World;

/// A pull under way.
#[derive(Debug)]
struct Pull {
    id: u64,
    life: u64,
    since: u64,
    asked: BTreeSet<QueueId>,
    quotes: BTreeMap<QueueId, Option<Quote>>,
    /// Something else than its answers came meanwhile, which may have taken the slot.
    disturbed: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Pulls {
    open: BTreeMap<UserId, Pull>,
    /// Slots that were given.
    given: BTreeSet<OfferId>,
}

/// The smallest rank, then the smaller queue.
fn best(quotes: &BTreeMap<QueueId, Option<Quote>>) -> Option<(QueueId, Quote)> {
    let quoted = quotes.iter().filter_map(|(queue, quote)| Some((*queue, (*quote)?)));
    quoted.min_by_key(|(queue, quote)| (quote.rank, *queue))
}

impl World {
    /// An operator is about to hear this.
    pub fn hear_quote(&mut self, operator: UserId, input: &OperatorInput) {
        let life = self.operators.get(&operator).map(|live| live.life);
        let Some(pull) = self.pulls.open.get_mut(&operator) else { return };
        if life != Some(pull.life) {
            self.pulls.open.remove(&operator);
            return;
        }
        match input {
            OperatorInput::Said(ToOperator::Best { queue, pull: of, best }) => {
                if *of == pull.id && pull.asked.contains(queue) {
                    pull.quotes.insert(*queue, *best);
                }
            }
            OperatorInput::Said(ToOperator::StateSeen { .. } | ToOperator::AskState { .. })
            | OperatorInput::Tick => {}
            _ => pull.disturbed = true,
        }
    }

    /// What the operator makes of it.
    pub fn judge_pull(&mut self, operator: UserId, effects: &[OperatorEffect]) {
        let Some(live) = self.operators.get(&operator) else { return };
        let (life, machine) = (live.life, &live.machine);
        let there =
            matches!(machine.standing(), Standing::Free | Standing::Full | Standing::Choosing);
        // Offers to all on the screen, or on their way there, may have the slot instead.
        let must = there && machine.invites().is_empty() && machine.kept().is_empty();
        let mut given = None;
        for effect in effects {
            if let OperatorEffect::ToQueue(queue, ToQueue::Give { offer, rank, .. }) = effect
                && self.pulls.given.insert(*offer)
            {
                given = Some((*queue, *rank));
            }
        }
        if let Some((queue, rank)) = given {
            self.judge_given(operator, queue, rank);
        }
        let (now, seed) = (self.now, self.seed);
        let over = self.pulls.open.get(&operator).is_some_and(|pull| {
            pull.quotes.len() == pull.asked.len() || now >= pull.since + PULL_LIMIT_MS
        });
        if over && let Some(pull) = self.pulls.open.remove(&operator) {
            let directed = best(&pull.quotes).filter(|(_, best)| best.reach == Reach::Directed);
            assert!(
                given.is_some() || directed.is_none() || pull.disturbed || !must,
                "{operator:?} gave its slot to nobody at {now}, though it was quoted {directed:?} \
                 (seed {seed})"
            );
        }
        self.note_pull(operator, life, effects);
    }

    fn judge_given(&mut self, operator: UserId, queue: QueueId, rank: i64) {
        let (now, seed) = (self.now, self.seed);
        let Some(pull) = self.pulls.open.get(&operator) else {
            panic!("{operator:?} gave {queue:?} a slot, and had not asked (seed {seed})")
        };
        let silent: Vec<_> =
            pull.asked.iter().filter(|queue| !pull.quotes.contains_key(queue)).collect();
        assert!(
            silent.is_empty() || now >= pull.since + PULL_LIMIT_MS,
            "{operator:?} gave {queue:?} a slot at {now} without waiting for {silent:?}, which it had \
             asked at {} (seed {seed})",
            pull.since
        );
        let best = best(&pull.quotes).map(|(queue, quote)| (queue, quote.rank));
        assert_eq!(
            best,
            Some((queue, rank)),
            "{operator:?} gave its slot to {queue:?} for {rank} at {now}; quoted were {:?} (seed {seed})",
            pull.quotes
        );
        let name = if pull.quotes.values().flatten().count() > 1 {
            "slot given to the best of several queues"
        } else {
            "slot given to the only queue"
        };
        self.coverage.count("judged", name);
    }

    /// Who asks at all asks every queue that offers. One with a limit of its own for each operator may
    /// have no room.
    fn note_pull(&mut self, operator: UserId, life: u64, effects: &[OperatorEffect]) {
        let mut asked = BTreeMap::<u64, BTreeSet<QueueId>>::new();
        for effect in effects {
            if let OperatorEffect::ToQueue(queue, ToQueue::Pull { pull, .. }) = effect {
                asked.entry(*pull).or_default().insert(*queue);
            }
        }
        let Some((id, asked)) = asked.into_iter().next() else { return };
        let Some(live) = self.operators.get(&operator) else { return };
        let account = live.machine.account();
        let offering = account.queues.iter().filter(|(queue, terms)| {
            !terms.is_by_hand() && !account.per_operator_limits.contains_key(queue)
        });
        for queue in offering.map(|(queue, _)| *queue) {
            assert!(
                asked.contains(&queue),
                "{operator:?} has a slot at {} and asks {asked:?}, not {queue:?} (seed {})",
                self.now,
                self.seed
            );
        }
        let (since, quotes) = (self.now, BTreeMap::new());
        let pull = Pull { id, life, since, asked, quotes, disturbed: false };
        self.pulls.open.insert(operator, pull);
    }
}
