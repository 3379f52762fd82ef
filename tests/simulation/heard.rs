//! What each queue has heard, folded anew from the words that reached it and those that it said: its
//! line, what its members told, whom it is asking. Nothing here looks into a machine, so that what a
//! queue does can be judged by what it could know.

use std::collections::{BTreeMap, BTreeSet};

use switchboard::domain::limits::{SILENT_AFTER_MS, TO_ALL_OFFERS_MAX};
use switchboard::domain::operator::{OperatorState, Standing};
use switchboard::domain::{
    self, ChatId, OfferId, Place, Priority, QueueId, Reach, RoutingSettings, Rule, Timestamp,
    UserId,
};
use switchboard::machine::message::{ChatAt, ToChat, ToOperator, ToQueue};
use switchboard::machine::queue::{QueueEffect, QueueInput};
use switchboard::storage::OpenChat;

/// A reservation that was asked for, and neither answered nor given up.
#[derive(Debug, Clone, Copy)]
pub struct Reserving {
    pub offer: OfferId,
    pub operator: UserId,
}

/// A chat was asked to offer itself, and has not said yet what came of it.
#[derive(Debug, Clone)]
pub struct Offering {
    pub offer: OfferId,
    pub reach: Reach,
    pub since: Timestamp,
}

/// What one life of a queue has heard.
#[derive(Debug)]
pub struct Hearing {
    pub config: domain::Queue,
    pub settings: RoutingSettings,
    /// What each chat of the line said last.
    pub line: BTreeMap<ChatId, ChatAt>,
    states: BTreeMap<UserId, OperatorState>,
    pub reserving: BTreeMap<ChatId, Reserving>,
    pub offering: BTreeMap<ChatId, Offering>,
    /// Whom each offer to all was to reach in addition, by what was said last.
    pub widening: BTreeMap<ChatId, BTreeSet<UserId>>,
    /// From whom the live offer of each chat was to be taken back.
    pub withdrawn: BTreeSet<(ChatId, UserId)>,
    /// Since when each live offer was said to be over.
    lapsing: BTreeMap<ChatId, Timestamp>,
    /// All offers for which this life has asked for a slot.
    known: BTreeSet<OfferId>,
    /// What became of slots that were given.
    pub given: BTreeMap<OfferId, ChatId>,
}

/// By queue.
pub type Heard = BTreeMap<QueueId, Hearing>;

impl Hearing {
    /// A life begins.
    pub fn new(config: domain::Queue, settings: RoutingSettings) -> Self {
        Self {
            config,
            settings,
            line: BTreeMap::new(),
            states: BTreeMap::new(),
            reserving: BTreeMap::new(),
            offering: BTreeMap::new(),
            widening: BTreeMap::new(),
            withdrawn: BTreeSet::new(),
            lapsing: BTreeMap::new(),
            known: BTreeSet::new(),
            given: BTreeMap::new(),
        }
    }

    /// What is heard.
    pub fn hear(&mut self, input: &QueueInput, now: Timestamp) {
        match input {
            QueueInput::Recovered(rows) => {
                for row in rows {
                    if let Some(at) = row_at(row, now) {
                        self.chat_at(&at, now);
                    }
                }
            }
            QueueInput::Configure(config) => {
                self.config = config.clone();
                let members = &self.config.members;
                self.states.retain(|who, _| members.contains(who));
                self.reserving.retain(|_, asked| members.contains(&asked.operator));
            }
            QueueInput::Settings(settings) => self.settings = *settings,
            QueueInput::Said(ToQueue::At(at)) => self.chat_at(at, now),
            QueueInput::Said(ToQueue::State(state) | ToQueue::Pull { state, .. }) => {
                self.state(state);
            }
            QueueInput::Said(ToQueue::Give { state, .. }) => self.state(state),
            QueueInput::Said(ToQueue::ReserveAnswer { offer, chat, state, .. }) => {
                self.state(state);
                if self.reserving.get(chat).is_some_and(|asked| asked.offer == *offer) {
                    self.reserving.remove(chat);
                }
            }
            QueueInput::Tick => {}
        }
    }

    fn chat_at(&mut self, at: &ChatAt, now: Timestamp) {
        let said = (at.placement, at.version);
        let known = self.line.get(&at.chat).map(|known| (known.placement, known.version));
        if known.is_some_and(|known| known >= said) {
            return;
        }
        let renewed = known.is_some_and(|(placement, _)| placement == at.placement)
            && at.place == Place::Waiting;
        if renewed {
            // It has answered: it is waited for anew.
            if let Some(offering) = self.offering.get_mut(&at.chat) {
                offering.since = now;
            }
        } else {
            self.reserving.remove(&at.chat);
            self.offering.remove(&at.chat);
            self.widening.remove(&at.chat);
            self.lapsing.remove(&at.chat);
            self.withdrawn.retain(|(chat, _)| *chat != at.chat);
        }
        let here = at.queue == self.config.id;
        if here && matches!(at.place, Place::Waiting | Place::Offered(_)) {
            self.line.insert(at.chat, at.clone());
        } else {
            self.line.remove(&at.chat);
        }
    }

    fn state(&mut self, state: &OperatorState) {
        let known = self.states.get(&state.operator).map(|known| (known.life, known.version));
        let newer = known.is_none_or(|known| (state.life, state.version) > known);
        if newer && self.config.members.contains(&state.operator) {
            self.states.insert(state.operator, state.clone());
        }
    }

    /// What was given up in this step: before anything new is decided in it.
    pub fn give_up(&mut self, input: &QueueInput, effects: &[QueueEffect]) {
        for effect in effects {
            let QueueEffect::ToOperator(operator, ToOperator::Release { offer }) = effect else {
                continue;
            };
            let asked = self.reserving.iter().find(|(_, asked)| asked.offer == *offer);
            if let Some(chat) = asked.map(|(chat, _)| *chat) {
                self.reserving.remove(&chat);
                // No answer: what it told before counts no more.
                if *input == QueueInput::Tick {
                    self.states.remove(operator);
                }
            }
        }
    }

    /// Whether an offer is begun by these words, and not before.
    pub fn is_new(&mut self, offer: OfferId) -> bool {
        self.known.insert(offer)
    }

    /// A live offer is said to be over.
    pub fn lapses(&mut self, chat: ChatId, now: Timestamp) {
        self.lapsing.entry(chat).or_insert(now);
    }

    /// When nobody has to wait for the chat any more, for it does not answer.
    fn silent_at(&self, chat: ChatId) -> Option<Timestamp> {
        let since = self.offering.get(&chat).map(|offering| offering.since);
        let since = since.or(self.lapsing.get(&chat).copied());
        since.map(|since| Timestamp(since.0 + SILENT_AFTER_MS))
    }

    pub fn is_silent(&self, chat: ChatId, now: Timestamp) -> bool {
        self.silent_at(chat).is_some_and(|at| now >= at)
    }

    /// Whether some chat becomes silent at this very moment: its timer may have fired or not.
    pub fn doubts_silence(&self, now: Timestamp) -> bool {
        self.line.keys().any(|chat| self.silent_at(*chat) == Some(now))
    }

    // ---- who waits, and in which order ----

    /// Smallest first.
    pub fn rank(&self, at: &ChatAt) -> (i64, ChatId) {
        rank(at.since, (self.config.priority, at.priority), &self.settings, at.chat)
    }

    /// Whether nobody is being asked for the chat.
    pub fn waits(&self, at: &ChatAt) -> bool {
        at.place == Place::Waiting
            && !self.reserving.contains_key(&at.chat)
            && !self.offering.contains_key(&at.chat)
    }

    /// Those for whom nobody is being asked, first the one that is to be served next.
    pub fn waiting(&self) -> Vec<&ChatAt> {
        let mut waiting: Vec<&ChatAt> = self.line.values().filter(|at| self.waits(at)).collect();
        waiting.sort_by_key(|at| self.rank(at));
        waiting
    }

    /// Chats with an offer to all that is out or under way.
    pub fn to_all(&self) -> impl Iterator<Item = &ChatAt> {
        self.line.values().filter(|at| {
            let live = at.place.offer().map(|offer| offer.reach);
            let under_way = self.offering.get(&at.chat).map(|offering| offering.reach);
            live.or(under_way) == Some(Reach::ToAll)
        })
    }

    /// Whether one more offer to all may be made. Not known while some that are out may count or not, for
    /// their chats do not answer.
    pub fn has_room_to_all(&self, now: Timestamp) -> Option<bool> {
        let out = self.to_all().count();
        let silent = self.to_all().filter(|at| self.is_silent(at.chat, now)).count();
        match (out < TO_ALL_OFFERS_MAX, out - silent >= TO_ALL_OFFERS_MAX) {
            (true, _) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        }
    }

    // ---- how members stand, by what was said ----

    fn on_the_way(&self, operator: UserId) -> u32 {
        self.reserving.values().filter(|asked| asked.operator == operator).count() as u32
    }

    /// Whatever the chat.
    pub fn standing(&self, operator: UserId) -> Standing {
        let Some(state) = self.states.get(&operator) else { return Standing::Unknown };
        let room = matches!(state.standing, Standing::Free | Standing::Kept);
        if room && state.free <= self.on_the_way(operator) {
            return Standing::Full;
        }
        state.standing
    }

    /// Ready and there, full or not.
    fn is_eligible(&self, operator: UserId) -> bool {
        matches!(
            self.standing(operator),
            Standing::Free | Standing::Full | Standing::Kept | Standing::Choosing
        )
    }

    /// What the chat's refusals make of it, and until when if time alone ends it.
    fn refused(
        &self,
        operator: UserId,
        at: &ChatAt,
        now: Timestamp,
    ) -> Option<(Standing, Option<Timestamp>)> {
        let refused = *at.refused_by.get(&operator)?;
        let until = Timestamp(refused.0 + self.settings.cool_down_ms);
        if now < until {
            return Some((Standing::CoolingDown, Some(until)));
        }
        let mut members = self.config.members.iter();
        let others = members.any(|who| !at.refused_by.contains_key(who) && self.is_eligible(*who));
        others.then_some((Standing::Declined, None))
    }

    /// Towards a chat, whatever other chats of its visitor do.
    pub fn towards(
        &self,
        operator: UserId,
        at: &ChatAt,
        now: Timestamp,
    ) -> (Standing, Option<Timestamp>) {
        let mut standing = self.standing(operator);
        let below = self.states.get(&operator).and_then(|state| state.kept_below);
        if standing == Standing::Kept && below.is_some_and(|below| self.rank(at).0 < below) {
            standing = Standing::Free;
        }
        let refused = self.refused(operator, at, now).filter(|_| self.is_eligible(operator));
        refused.unwrap_or((standing, None))
    }

    /// Whether a member who holds a slot could have the chat.
    pub fn could_serve(&self, operator: UserId, at: &ChatAt, now: Timestamp) -> bool {
        self.refused(operator, at, now).is_none()
    }

    /// The members whom the queue believes to have room for some chat.
    pub fn with_room(&self) -> Vec<UserId> {
        let members = self.config.members.iter().copied();
        let room = |who: &UserId| matches!(self.standing(*who), Standing::Free | Standing::Kept);
        members.filter(room).collect()
    }

    /// Those of them who could have the chat.
    pub fn able(&self, room: &[UserId], at: &ChatAt, now: Timestamp) -> Vec<UserId> {
        let mut able = room.to_vec();
        able.retain(|who| self.towards(*who, at, now).0 == Standing::Free);
        able
    }

    /// Whether there are chats of which only the index has told, so that nobody knows whose they are.
    pub fn has_nameless(&self) -> bool {
        self.line.values().any(|at| at.customer.is_none())
    }

    /// The rule's order among them, smallest first: fewest chats, then the longest since the last accept;
    /// or the longest idle, which nobody is for whom a chat is on its way, then fewest chats.
    pub fn preference(&self, operator: UserId) -> (bool, u64, u64, UserId) {
        let Some(state) = self.states.get(&operator) else { return (true, 0, 0, operator) };
        let on_the_way = self.on_the_way(operator);
        let load = u64::from(state.load + on_the_way);
        let last_accept = state.last_accept.map_or(0, |at| at.0);
        match self.config.rule {
            Rule::LeastLoaded => (false, load, last_accept, operator),
            Rule::LongestIdle if on_the_way > 0 => (true, 0, load, operator),
            Rule::LongestIdle => (false, state.idle_since.0, load, operator),
            Rule::ToAll | Rule::Manual => (false, 0, 0, operator),
        }
    }
}

/// `since − step × (queue priority + chat priority)`, then the id.
pub fn rank(
    since: Timestamp,
    (queue, chat): (Priority, Priority),
    settings: &RoutingSettings,
    id: ChatId,
) -> (i64, ChatId) {
    let points = i64::from(queue.points()) + i64::from(chat.points());
    (since.0 as i64 - settings.priority_step_ms as i64 * points, id)
}

/// What the index says of a chat, which a word of the chat itself overrides.
fn row_at(row: &OpenChat, now: Timestamp) -> Option<ChatAt> {
    let since = row.since.min(now);
    let refused_by = row.refused_by.iter().map(|(who, at)| (*who, now.min(*at)));
    Some(ChatAt {
        chat: row.chat,
        placement: row.placement,
        version: 0,
        customer: None,
        queue: row.queue,
        since,
        priority: row.priority,
        weight: row.weight,
        refused_by: std::sync::Arc::new(refused_by.collect()),
        place: row.place.clone()?,
        moved_at: since,
        last_offer: None,
        spent: false,
    })
}

/// The chat to which a queue says something, and what.
pub fn to_chats(effects: &[QueueEffect]) -> impl Iterator<Item = (ChatId, &ToChat)> {
    effects.iter().filter_map(|effect| match effect {
        QueueEffect::ToChat(chat, said) => Some((*chat, said)),
        QueueEffect::ToOperator(..) => None,
    })
}

/// Likewise for operators.
pub fn to_operators(effects: &[QueueEffect]) -> impl Iterator<Item = (UserId, &ToOperator)> {
    effects.iter().filter_map(|effect| match effect {
        QueueEffect::ToOperator(operator, said) => Some((*operator, said)),
        QueueEffect::ToChat(..) => None,
    })
}
