//! Nobody is overtaken without a chance: before a free slot goes to a directed chat, whoever has
//! offers to all of smaller rank on the screen could have accepted each of them for as long as a
//! slot is kept. Counted from outside, by the clock and the operator's free slots.

use std::collections::{BTreeMap, BTreeSet};

use switchboard::domain::limits::SLOT_KEPT_MAX_MS;
use switchboard::domain::operator::Standing;
use switchboard::domain::{ChatId, OfferId, Priority, QueueId, UserId};
use switchboard::machine::message::ToOperator;
use switchboard::machine::operator::{Invite, Operator, OperatorCall, OperatorInput};

use crate::world::World;

#[derive(Default)]
pub struct Overtaking {
    /// How long each could have accepted each chat of each queue, ms.
    chance_ms: BTreeMap<(UserId, ChatId), BTreeMap<QueueId, u64>>,
    /// When each operator was looked at last.
    looked_at: BTreeMap<UserId, u64>,
    /// Who said no.
    declined: BTreeSet<(UserId, ChatId)>,
    /// The shortest time for which offers of each queue ever stood.
    shortest_ms: BTreeMap<QueueId, u64>,
    /// When ranks changed last: what was said before speaks of other ranks.
    ranks_changed_at: u64,
    /// The priorities that each chat had, and when each changed: an operator may not have heard of it
    /// yet.
    former: BTreeMap<ChatId, Vec<(u64, Priority)>>,
}

/// How long a word of a changed rank may be on its way, ms.
const HEARD_MS: u64 = 3_000;

impl Overtaking {
    pub fn configured(&mut self, queue: QueueId, offer_timeout_ms: u64, now: u64) {
        let shortest = self.shortest_ms.entry(queue).or_insert(offer_timeout_ms);
        *shortest = offer_timeout_ms.min(*shortest);
        self.ranks_changed_at = now;
    }

    /// What a point of priority is worth has changed.
    pub fn ranks_changed(&mut self, now: u64) {
        self.ranks_changed_at = now;
    }

    /// A chat's priority was this until now.
    pub fn reprioritised(&mut self, chat: ChatId, former: Priority, now: u64) {
        self.former.entry(chat).or_default().push((now, former));
    }

    /// The smallest that an operator may still take for the chat's priority.
    fn former_priority(&self, chat: ChatId, now: u64) -> Option<Priority> {
        let former = self.former.get(&chat).into_iter().flatten();
        former.filter(|(at, _)| now < at + HEARD_MS).map(|(_, priority)| *priority).min()
    }

    /// Nobody was looked at by the clock of the process that comes.
    pub fn clock_set_back(&mut self, now: u64) {
        self.looked_at.clear();
        for (at, _) in self.former.values_mut().flatten() {
            *at = now.min(*at);
        }
    }

    /// Likewise.
    pub fn clock_set_forward(&mut self) {
        self.looked_at.clear();
    }

    /// Counts what has passed since the operator's last step, in which nothing about it changed.
    fn count(&mut self, operator: UserId, machine: &Operator, now: u64) {
        let since = self.looked_at.insert(operator, now).unwrap_or(now);
        let could = matches!(machine.standing(), Standing::Free | Standing::Choosing);
        let open = machine.invites().iter().filter(|(_, invite)| invite.is_open());
        let with_room = open.filter(|(_, invite)| machine.free_in(invite.queue) > 0);
        let mut chances: BTreeSet<(ChatId, QueueId)> =
            with_room.map(|(chat, invite)| (*chat, invite.queue)).collect();
        // A slot is kept on through the moment between an offer that lapses and the next one.
        let between = |chat: &ChatId| machine.invites().get(chat).is_none_or(Invite::is_open);
        let kept = machine.kept().iter().filter(|(chat, kept)| kept.offered && between(chat));
        chances.extend(kept.map(|(chat, kept)| (*chat, kept.queue)));
        for (chat, queue) in chances.into_iter().filter(|_| could) {
            let here = self.chance_ms.entry((operator, chat)).or_default();
            *here.entry(queue).or_default() += now - since;
        }
    }

    /// Whoever let a chat pass by in one queue may be overtaken with it in the next.
    fn had_a_chance(&self, operator: UserId, chat: ChatId) -> bool {
        let wanted = |queue: &QueueId| self.shortest_ms[queue].min(SLOT_KEPT_MAX_MS);
        let mut had = self.chance_ms.get(&(operator, chat)).into_iter().flatten();
        self.declined.contains(&(operator, chat)) || had.any(|(queue, had)| *had >= wanted(queue))
    }
}

/// What is on an operator's screen before a step.
pub struct Screen {
    free: u32,
    reserved: BTreeSet<OfferId>,
    /// Chat, queue, rank, and how many chats of the queue fit.
    offers: Vec<(ChatId, QueueId, i64, u32)>,
}

impl World {
    pub fn screen(&mut self, operator: UserId, input: &OperatorInput) -> Option<Screen> {
        let machine = &self.operators.get(&operator)?.machine;
        self.overtaking.count(operator, machine, self.now);
        if let OperatorInput::Call(_, OperatorCall::Decline { chat, .. }) = input {
            self.overtaking.declined.insert((operator, *chat));
        }
        let open = machine.invites().iter().filter(|(_, invite)| invite.is_open());
        let offers = open.filter_map(|(chat, invite)| {
            let at = self.checker.folds.get(chat)?.at()?;
            let queue = self.configs.get(&invite.queue)?;
            let former = self.overtaking.former_priority(*chat, self.now);
            let priority = former.map_or(at.priority, |former| former.min(at.priority));
            let points = queue.priority.points() + priority.points();
            let rank =
                at.since.0 as i64 - self.settings.priority_step_ms as i64 * i64::from(points);
            Some((*chat, invite.queue, rank, machine.free_in(invite.queue)))
        });
        Some(Screen {
            free: machine.free(),
            reserved: machine.reserved().keys().copied().collect(),
            offers: offers.collect(),
        })
    }

    pub fn check_overtaking(&mut self, operator: UserId, before: &Screen, asked: Option<i64>) {
        let Some(live) = self.operators.get(&operator) else { return };
        // Words of before the last change of a priority may still be on their way.
        if self.now < self.overtaking.ranks_changed_at + HEARD_MS {
            return;
        }
        for (offer, reservation) in live.machine.reserved() {
            if before.reserved.contains(offer) {
                continue;
            }
            let rank = reservation.given_for.or(asked).expect("a slot is given or asked for");
            let mut wanted: BTreeMap<QueueId, u32> = BTreeMap::new();
            for (chat, queue, theirs, room) in &before.offers {
                if *theirs < rank && !self.overtaking.had_a_chance(operator, *chat) {
                    let wanted = wanted.entry(*queue).or_default();
                    *wanted = (*wanted + 1).min(*room);
                }
            }
            let wanted: u32 = wanted.values().sum();
            // A slot may have come free in this very step.
            let had = before.free.max(live.machine.free() + 1);
            assert!(
                had > wanted,
                "{operator:?} with {} free slots gave one to rank {rank} at {}, though {wanted} \
                 offers to all of smaller rank had no chance: {:?} (seed {})",
                had,
                self.now,
                before.offers,
                self.seed
            );
            self.coverage.count("order", if wanted > 0 { "beside kept" } else { "unopposed" });
        }
        let kept = live.machine.kept().len() as u64;
        let slots = u64::from(live.machine.free());
        assert!(kept <= slots, "{operator:?} keeps {kept} of {slots} (seed {})", self.seed);
    }
}

/// The rank for which a queue asks an operator to hold a slot.
pub fn asked(input: &OperatorInput) -> Option<i64> {
    match input {
        OperatorInput::Said(ToOperator::Reserve { rank, .. }) => Some(*rank),
        _ => None,
    }
}
