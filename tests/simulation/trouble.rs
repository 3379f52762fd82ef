//! Trouble: crashes and passivation.

use switchboard::domain::{ChatId, OfferId, QueueId, UserId};

use crate::world::{Actor, Happening, World};

impl World {
    pub fn trouble(&mut self) {
        let at = self.now + self.rng.within(100, 900);
        self.at(at, None, Happening::Trouble);
        self.look_who_waits_beside();
        let crashes = self.plan.crashes && !self.resting();
        if !(self.faulty() || crashes) || !self.up {
            return;
        }
        match self.rng.below(if crashes { 7 } else { 14 }) {
            0..4 => {
                let chats: Vec<ChatId> = self.chats.keys().copied().collect();
                if let Some(chat) = self.rng.pick(&chats).copied() {
                    self.crash(Actor::Chat(chat));
                }
            }
            4 => {
                let queues: Vec<QueueId> = self.queues.keys().copied().collect();
                if let Some(queue) = self.rng.pick(&queues).copied() {
                    self.crash(Actor::Queue(queue));
                }
            }
            5..7 => {
                let operators: Vec<UserId> = self.operators.keys().copied().collect();
                if let Some(operator) = self.rng.pick(&operators).copied() {
                    self.crash(Actor::Operator(operator));
                }
            }
            7 => {
                if self.rng.chance(300) {
                    self.end_process();
                }
            }
            8..11 => {
                self.passivate();
                self.look();
            }
            _ => self.reconfigure(),
        }
    }

    /// Lets go of chats that nobody waits for; their rows wake them.
    pub fn passivate(&mut self) {
        let idle: Vec<ChatId> = self
            .chats
            .iter()
            .filter(|(_, live)| live.driver.can_rest() && live.mailbox.is_empty())
            .map(|(chat, _)| *chat)
            .collect();
        for chat in idle {
            if self.rng.chance(500)
                && let Some(asleep) = self.chats.remove(&chat)
            {
                if let Some(tail) = asleep.driver.told_up_to() {
                    self.index_mut(chat).rest(chat, tail);
                }
                self.coverage.count("fault", "chat passivated");
            }
        }
    }

    /// Somebody looks at a chat: one that is not open is read and not claimed.
    pub fn look(&mut self) {
        let chats: Vec<ChatId> = self.store.logs.keys().copied().collect();
        let Some(chat) = self.rng.pick(&chats).copied() else { return };
        self.start(Actor::Chat(chat));
        let idle = self.chats.get_mut(&chat).filter(|live| live.driver.is_idle());
        let Some(live) = idle.filter(|live| live.mailbox.is_empty()) else { return };
        let actions = live.driver.look();
        if !actions.is_empty() {
            self.coverage.count("fault", "ended chat looked at");
        }
        self.carry_out(chat, actions);
    }

    pub fn offer_id(&mut self) -> OfferId {
        OfferId::from_u128(u128::from(self.rng.next()))
    }
}
