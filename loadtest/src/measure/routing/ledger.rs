//! What must hold of a router that gives chats to operators. A pure value: what the driver did and was told
//! goes in with its time, what should not have been comes out.
//!
//! Nobody transfers here, so a chat has one owner ever. An operator certainly owns a chat from the answer to its
//! accept until it sends the end; it certainly has room when it had room before that end was answered. So
//! what is found here is the server's doing, however late its news came.

mod beside;
mod chat;
mod presence;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use uuid::Uuid;

pub use self::chat::Wait;
use self::chat::{Chat, Opened};
use crate::measure::found::Found;

/// How long after its operator was told to be away an offer may still come, µs: it was under way, and a driver
/// that is busy reads it late. Shorter than anybody stays away, so that an offer can be too late.
pub const LATE_OFFER_MAX_US: u64 = 500_000;

/// Most chats of a run, open or over: each takes some 200 bytes until the end of the run.
pub const CHATS_MAX: usize = 1_000_000;

/// What is known beforehand.
#[derive(Debug, Clone)]
pub struct Rules {
    /// How many chats an operator may have.
    pub capacity: usize,
    /// The queues that each operator serves, by their numbers.
    pub serves: Vec<BTreeSet<usize>>,
    /// How long who declined a chat is not asked for it, µs.
    pub cool_down_us: u64,
    /// Whether the server asks anybody: in a `manual` queue nobody is asked.
    pub are_asked: bool,
    /// How many chats there may be: [`CHATS_MAX`].
    pub chats_max: usize,
}

/// What is known of one run.
#[derive(Debug)]
pub struct Ledger {
    rules: Rules,
    operators: Vec<Operator>,
    chats: BTreeMap<Uuid, Chat>,
    queues: Vec<Queue>,
    unsettled: usize,
    /// Whether it was told that there may be no more chats.
    is_at_most: bool,
    found: Found,
}

#[derive(Debug)]
struct Queue {
    /// Who waits in it and is on nobody's screen.
    waiting: BTreeSet<Uuid>,
    /// Who serves it.
    members: Vec<usize>,
    /// All queues that any of them serves.
    beside: BTreeSet<usize>,
}

impl Queue {
    /// Nobody waits in it. `serves` has the queues that each operator serves.
    fn of(queue: usize, serves: &[BTreeSet<usize>]) -> Self {
        let serves = serves.iter().enumerate().filter(|(_, serves)| serves.contains(&queue));
        let beside = serves.clone().flat_map(|(_, serves)| serves).copied().collect();
        let members = serves.map(|(operator, _)| operator).collect();
        Self { waiting: BTreeSet::new(), members, beside }
    }
}

#[derive(Debug)]
struct Operator {
    /// Since when it is certainly ready, µs.
    ready_us: Option<u64>,
    /// After when it is certainly away, and nothing may be offered to it any more, µs.
    away_us: Option<u64>,
    /// What is on its screen, and what was there of which something is still to come.
    offers: BTreeMap<Uuid, Offer>,
    owned: BTreeSet<Uuid>,
    /// Chats whose end was sent and is not answered.
    ending: BTreeSet<Uuid>,
    declined: BTreeMap<Uuid, u64>,
    /// Since when it stands beside somebody who waits while nothing comes its way, and whether that was told.
    beside: Option<(u64, bool)>,
    /// Since when places of its are free beside somebody who waits and may be given to it, µs.
    freed_us: VecDeque<u64>,
}

impl Operator {
    /// Has come, and said nothing yet: it is away.
    fn new() -> Self {
        Self {
            ready_us: None,
            away_us: Some(0),
            offers: BTreeMap::new(),
            owned: BTreeSet::new(),
            ending: BTreeSet::new(),
            declined: BTreeMap::new(),
            beside: None,
            freed_us: VecDeque::new(),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Offer {
    chat: Uuid,
    is: Screen,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Screen {
    /// On the screen.
    Shown,
    /// On the screen, and the accept is sent.
    Accepting,
    /// The accept is sent, and the offer withdrawn meanwhile.
    Crossed,
    /// The accept was refused since the offer is gone, and the offer is still to be withdrawn.
    Missed,
}

impl Screen {
    fn is_shown(self) -> bool {
        matches!(self, Self::Shown | Self::Accepting)
    }
}

impl Ledger {
    /// Nothing has happened.
    pub fn new(rules: Rules) -> Self {
        let queues = rules.serves.iter().flatten().max().map_or(0, |last| last + 1);
        let operators = rules.serves.iter().map(|_| Operator::new()).collect();
        let queues = (0..queues).map(|queue| Queue::of(queue, &rules.serves)).collect();
        let found = Found::default();
        let (chats, unsettled, is_at_most) = (BTreeMap::new(), 0, false);
        Self { rules, operators, chats, queues, unsettled, is_at_most, found }
    }

    /// A customer was answered that its chat is open, which was due before. If it was presented before that, how
    /// long it waited: news of two sockets may come in any order.
    pub fn opened(
        &mut self,
        chat: Uuid,
        queue: usize,
        (due_us, now_us): (u64, u64),
    ) -> Option<Wait> {
        let was_room = self.is_room_in(queue);
        let known = self.chats.entry(chat).or_default();
        if known.opened.is_some() || known.queue.is_some_and(|other| other != queue) {
            self.found.violation(|| format!("chat {chat} was opened twice, or in another queue"));
            return None;
        }
        let presented_us = known.presented_us;
        // Who was offered it had room.
        let was_room = was_room || presented_us.is_some();
        let opened = Opened { due_us, at_us: now_us, was_room };
        (known.opened, known.queue) = (Some(opened), Some(queue));
        self.unsettled += usize::from(!known.is_ended);
        self.place(chat);
        presented_us.map(|presented_us| opened.until(presented_us))
    }

    /// An offer came to an operator, of a queue that is known or not. How long the chat waited, if it is the first
    /// one; none when it is not, or when the opening is not answered yet.
    pub fn presented(
        &mut self,
        operator: usize,
        (offer, chat): (Uuid, Uuid),
        queue: Option<usize>,
        now_us: u64,
    ) -> Option<Wait> {
        let serves = self.rules.serves.get(operator);
        if !queue.is_some_and(|queue| serves.is_some_and(|serves| serves.contains(&queue))) {
            self.found.violation(|| {
                format!(
                    "chat {chat} was offered to operator {operator}, who does not serve its queue"
                )
            });
        }
        let who = self.operators.get_mut(operator)?;
        if who.away_us.is_some_and(|away_us| now_us > away_us) {
            self.found.violation(|| {
                format!("chat {chat} was offered to operator {operator}, who is away")
            });
        }
        if who.offers.get(&offer).is_some_and(|before| before.is.is_shown()) {
            // Presented again: it is on the screen already.
            return None;
        }
        who.offers.insert(offer, Offer { chat, is: Screen::Shown });
        who.beside = None;
        let known = self.chats.entry(chat).or_default();
        known.screens += 1;
        let is_first = known.presented_us.is_none();
        known.presented_us.get_or_insert(now_us);
        if known.queue.is_some() && queue.is_some() && known.queue != queue {
            self.found
                .violation(|| format!("chat {chat} was offered by a queue that it is not in"));
        }
        let opened = known.opened;
        self.place(chat);
        opened.filter(|_| is_first).map(|opened| opened.until(now_us))
    }

    /// The server took an offer off an operator's screen.
    pub fn withdrawn(&mut self, operator: usize, offer: Uuid) {
        self.turn(operator, offer, |is| match is {
            // It may be withdrawn twice: as it no longer fits, and then since it was accepted all the same.
            Screen::Accepting | Screen::Crossed => Some(Screen::Crossed),
            Screen::Shown | Screen::Missed => None,
        });
    }

    /// An operator declined.
    pub fn declined(&mut self, operator: usize, offer: Uuid, now_us: u64) {
        let until_us = now_us + self.rules.cool_down_us;
        if let Some(known) = self.turn(operator, offer, |_| None)
            && let Some(who) = self.operators.get_mut(operator)
        {
            who.declined.retain(|_, until_us| *until_us > now_us);
            who.declined.insert(known.chat, until_us);
        }
    }

    /// An operator accepts.
    pub fn accepting(&mut self, operator: usize, offer: Uuid) {
        self.turn(operator, offer, |_| Some(Screen::Accepting));
    }

    /// An operator was answered that a chat is its own, by an offer of its.
    pub fn accepted(&mut self, operator: usize, offer: Uuid, chat: Uuid) {
        let known = self.turn(operator, offer, |_| None);
        if known.is_none_or(|known| known.chat != chat || known.is == Screen::Missed) {
            self.found.violation(|| {
                format!("operator {operator} was given chat {chat}, which was not offered to it")
            });
        }
        self.own(operator, chat);
    }

    /// An operator was answered that an offer of its is gone: it is, or will be, withdrawn.
    pub fn missed(&mut self, operator: usize, offer: Uuid) {
        self.turn(operator, offer, |is| match is {
            Screen::Shown | Screen::Accepting | Screen::Missed => Some(Screen::Missed),
            Screen::Crossed => None,
        });
    }

    /// An operator was answered that it cannot accept now. Whether the offer still stands.
    pub fn put_off(&mut self, operator: usize, offer: Uuid) -> bool {
        let before = self.turn(operator, offer, |is| match is {
            Screen::Shown | Screen::Accepting => Some(Screen::Shown),
            Screen::Crossed | Screen::Missed => None,
        });
        before.is_some_and(|before| before.is.is_shown())
    }

    /// An operator was answered that it has taken a chat out of the line. How long that one waited.
    pub fn taken(&mut self, operator: usize, chat: Uuid, now_us: u64) -> Option<Wait> {
        self.own(operator, chat);
        Some(self.chats.get(&chat)?.opened?.until(now_us))
    }

    /// How long those have waited by now at least who were offered to nobody and taken by nobody.
    pub fn never_offered(&self, now_us: u64) -> Vec<Wait> {
        let unseen = self.chats.values().filter(|known| !known.was_seen());
        unseen.filter_map(|known| Some(known.opened?.until(now_us))).collect()
    }

    /// Something else is not as it has to be.
    pub fn wrong(&mut self, what: impl FnOnce() -> String) {
        self.found.violation(what);
    }

    fn own(&mut self, operator: usize, chat: Uuid) {
        let known = self.chats.entry(chat).or_default();
        if let Some(other) = known.owner {
            self.found.violation(|| {
                format!("chat {chat} was given to operator {operator} and to operator {other}")
            });
        } else if known.is_ended {
            self.found.violation(|| format!("chat {chat} was given away after its end"));
        }
        known.owner.get_or_insert(operator);
        self.place(chat);
        let Some(who) = self.operators.get_mut(operator) else { return };
        who.owned.insert(chat);
        who.beside = None;
        let (owned, capacity) = (who.owned.len(), self.rules.capacity);
        if owned > capacity {
            self.found.violation(|| {
                format!("operator {operator} owns {owned} chats, and its capacity is {capacity}")
            });
        }
    }

    /// An operator sent the end of a chat: from here on it may own it no more.
    pub fn ending(&mut self, operator: usize, chat: Uuid) {
        if let Some(who) = self.operators.get_mut(operator) {
            who.owned.remove(&chat);
            who.ending.insert(chat);
        }
    }

    /// An operator was answered that a chat is over.
    pub fn ended(&mut self, operator: usize, chat: Uuid) {
        if let Some(who) = self.operators.get_mut(operator) {
            who.ending.remove(&chat);
            who.beside = None;
        }
        let known = self.chats.entry(chat).or_default();
        if !known.is_ended {
            known.is_ended = true;
            self.unsettled -= usize::from(known.opened.is_some());
        }
        self.place(chat);
    }

    /// A call got an error that nobody expects.
    pub fn refused(&mut self, name: &str) {
        self.found.refused(name);
    }

    /// What was found so far.
    pub fn found(&self) -> &Found {
        &self.found
    }

    /// Whether a chat has been offered to anybody.
    pub fn was_presented(&self, chat: Uuid) -> bool {
        self.chats.get(&chat).is_some_and(|known| known.presented_us.is_some())
    }

    /// Chats that wait and are on nobody's screen.
    pub fn waiting(&self) -> usize {
        self.queues.iter().map(|queue| queue.waiting.len()).sum()
    }

    /// Chats that are open.
    pub fn unsettled(&self) -> usize {
        self.unsettled
    }

    /// Whether one more chat may be opened. A run that has had all that it may have measures nothing any more.
    pub fn may_have_more(&mut self) -> bool {
        let most = self.rules.chats_max;
        let may = self.chats.len() < most;
        if !may && !std::mem::replace(&mut self.is_at_most, true) {
            self.found.violation(|| format!("there were {most} chats before the time was over"));
        }
        may
    }

    /// Whether an operator was answered that a chat is over.
    pub fn is_over(&self, chat: Uuid) -> bool {
        self.chats.get(&chat).is_some_and(|known| known.is_ended)
    }

    /// What was found, when nothing more is waited for. `line` is what the server says that waits.
    pub fn finish(&mut self, line: &BTreeSet<Uuid>) -> Found {
        let Self { operators, chats, found, .. } = self;
        for (chat, known) in chats.iter().filter(|(_, known)| known.opened.is_some()) {
            if !known.was_seen() && !line.contains(chat) {
                found.violation(|| {
                    format!("chat {chat} was opened, offered to nobody, and is not in line")
                });
            }
        }
        for (place, who) in operators.iter().enumerate() {
            for (offer, known) in who.offers.iter().filter(|(_, known)| known.is == Screen::Missed)
            {
                let chat = known.chat;
                found.violation(|| {
                    format!(
                        "operator {place} was told that offer {offer} of chat {chat} is gone, and it was \
                         never withdrawn"
                    )
                });
            }
        }
        std::mem::take(found)
    }

    /// Turns what is known of an offer into something else, or forgets it. What was known.
    fn turn(
        &mut self,
        operator: usize,
        offer: Uuid,
        into: impl FnOnce(Screen) -> Option<Screen>,
    ) -> Option<Offer> {
        let who = self.operators.get_mut(operator)?;
        let before = *who.offers.get(&offer)?;
        let after = into(before.is);
        match after {
            Some(is) => who.offers.insert(offer, Offer { is, ..before }),
            None => who.offers.remove(&offer),
        };
        let is_shown = after.is_some_and(Screen::is_shown);
        if before.is.is_shown()
            && !is_shown
            && let Some(known) = self.chats.get_mut(&before.chat)
        {
            known.screens -= 1;
        }
        self.place(before.chat);
        Some(before)
    }

    /// Puts a chat into the line, or out of it.
    fn place(&mut self, chat: Uuid) {
        let Some(known) = self.chats.get(&chat) else { return };
        let waits = known.opened.is_some()
            && known.screens == 0
            && known.owner.is_none()
            && !known.is_ended;
        let Some(number) = known.queue else { return };
        let Some(queue) = self.queues.get_mut(number) else { return };
        if waits {
            queue.waiting.insert(chat);
        } else if queue.waiting.remove(&chat) {
            self.forget_places(number);
        }
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
