//! The operator: alone decides over its slots.
//!
//! Owns: status, presence, what it holds (reservations, offers, chats), and the choice among its
//! queues when a slot comes free. Refuses: to say who owns a chat (the chat's), or to know other
//! operators.
//!
//! A slot is taken by a reservation, a directed offer, an `Assign` on its way, or an owned chat.
//! It is free again only when nothing can need it any more: a reservation that nobody confirmed
//! by its own deadline, all else by the chat's word. So an operator never holds more than fits,
//! and whatever is lost on the way costs a repeat.
//!
//! Invariants ([`Operator::assert_invariants`]): a chat is held once; nothing is added at or above
//! the limit in force (asserted where it is added).

mod absence;
mod account;
mod answers;
mod beginning;
mod calls;
mod chat_moved;
mod fitting;
mod hear;
mod interface;
mod kept_slots;
mod lost;
mod owed;
mod presence;
mod pull;
mod room;
mod screens;
mod slots;
mod status;

use std::collections::BTreeMap;

use crate::domain::limits::{OFFER_ASK_MS, OFFER_BACKSTOP_MS, RECALL_LIMIT_MS};
use crate::domain::operator::{OperatorRecord, OperatorState, Standing};
use crate::domain::time::earliest;
use crate::domain::{ChatId, CommandId, OfferId, QueueId, Status, Timestamp, UserId};
use crate::machine::message::Asked;
use crate::machine::repeat::Repeater;
use crate::machine::{CallId, Life};

pub use account::{Account, OperatorSettings, OwnerLimits, Terms};
pub use beginning::{Beginning, first_inputs};
pub use interface::{Gone, Notice, OperatorAnswer, OperatorCall, OperatorEffect, OperatorInput};
pub use kept_slots::{Kept, Passed, Towards, kept_ms};
pub use presence::ConnectionId;
pub use room::Room;
pub use screens::{OnScreen, ShownOffers};
pub use slots::{Held, Invite, Reservation, Slot};

use lost::Lost;
use owed::Owed;
use presence::Presence;
use pull::Pull;
use screens::Screens;

/// A call of which a chat is asked what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Recall {
    command: CommandId,
    asked: Asked,
    /// For a take: whether the caller may take from any queue.
    any: bool,
    until: Timestamp,
}

impl Recall {
    fn of(command: CommandId, asked: Asked, any: bool, now: Timestamp) -> Self {
        Self { command, asked, any, until: now.plus_ms(RECALL_LIMIT_MS) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// An `Assign` of the former life may still land until then.
    Waiting { until: Timestamp },
    /// The index is being read.
    Reading,
    /// Slots are known.
    Live,
}

/// What of an operator its queues are told when it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Digest {
    standing: Standing,
    load: u32,
    towards: Vec<Towards>,
    last_accept: Option<Timestamp>,
    idle_since: Timestamp,
}

/// What of an operator its connections are told when it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Updated {
    status: Status,
    present: bool,
    load: u32,
    capacity: u32,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Operator {
    id: UserId,
    life: Life,
    account: Account,
    record: OperatorRecord,
    stage: Stage,
    /// Deadlines that wait for people fire no earlier.
    grace_until: Timestamp,
    presence: Presence,
    /// Since when nobody is at work here: `offline`, or no connection proves that somebody is there.
    absent_since: Option<Timestamp>,
    slots: BTreeMap<ChatId, Slot>,
    reserved: BTreeMap<OfferId, Reservation>,
    invites: BTreeMap<ChatId, Invite>,
    /// Slots kept for invites, here or on their way.
    kept: BTreeMap<ChatId, Kept>,
    /// Chats offered to all that were passed by, and until when no slot is kept for them.
    passed: BTreeMap<ChatId, Passed>,
    /// Offers that came without a slot held for them, to be taken back.
    strays: BTreeMap<ChatId, OfferId>,
    lost: Lost,
    /// Commands of which chats are asked what became of them, and until when.
    recalls: BTreeMap<(ChatId, CallId), Recall>,
    screens: Screens,
    pull: Option<Pull>,
    wants_pull: bool,
    /// Numbers offers and pulls.
    made: u64,
    /// Numbers what is told to queues.
    version: u64,
    /// Told versions below this are out of date.
    changed_version: u64,
    told: Option<Digest>,
    updated: Option<Updated>,
    idle_since: Timestamp,
    was_available: bool,
    owed: Repeater<Owed>,
    saving: Option<(OperatorRecord, Vec<CallId>)>,
    /// When the last chosen status came into force: whoever chose it was there.
    chosen_at: Timestamp,
    /// A status that was chosen and is not in force yet.
    chosen: Option<(Status, Vec<CallId>)>,
    unsaved: bool,
    save_at: Timestamp,
}

impl Operator {
    /// A new life of an operator. Feed the [`first_inputs`] at once.
    pub fn new(
        id: UserId,
        account: Account,
        mut record: OperatorRecord,
        life: Life,
        beginning: Beginning,
    ) -> Self {
        let Beginning { now, grace_until, .. } = beginning;
        // A later one would never again be the longest ago.
        record.last_accept = record.last_accept.map(|at| at.min(now));
        Self {
            id,
            life,
            account,
            record,
            stage: Stage::Waiting { until: beginning.live_at() },
            grace_until,
            presence: Presence::new(now),
            absent_since: Some(now),
            slots: BTreeMap::new(),
            reserved: BTreeMap::new(),
            invites: BTreeMap::new(),
            kept: BTreeMap::new(),
            passed: BTreeMap::new(),
            strays: BTreeMap::new(),
            lost: Lost::default(),
            recalls: BTreeMap::new(),
            screens: Screens::default(),
            pull: None,
            wants_pull: false,
            made: 0,
            version: 0,
            changed_version: 1,
            told: None,
            updated: None,
            idle_since: now,
            was_available: false,
            owed: Repeater::new(),
            saving: None,
            chosen_at: Timestamp::default(),
            chosen: None,
            unsaved: false,
            save_at: now,
        }
    }

    /// The status in force.
    pub fn status(&self) -> &Status {
        &self.record.status
    }

    /// The record in force.
    pub fn record(&self) -> &OperatorRecord {
        &self.record
    }

    /// The configuration in force.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Whether a connection proves that somebody is there.
    pub fn is_present(&self) -> bool {
        self.presence.is_proven()
    }

    /// What takes slots, by chat.
    pub fn slots(&self) -> &BTreeMap<ChatId, Slot> {
        &self.slots
    }

    /// Slots held for offers to come.
    pub fn reserved(&self) -> &BTreeMap<OfferId, Reservation> {
        &self.reserved
    }

    /// Live `to_all` offers, which take no slot.
    pub fn invites(&self) -> &BTreeMap<ChatId, Invite> {
        &self.invites
    }

    /// Slots kept for chats that are offered to all.
    pub fn kept(&self) -> &BTreeMap<ChatId, Kept> {
        &self.kept
    }

    /// Chats offered to all for which no slot is kept, and until when.
    pub fn passed(&self) -> &BTreeMap<ChatId, Passed> {
        &self.passed
    }

    /// Since when it has neither gained nor lost a chat nor become available.
    pub fn idle_since(&self) -> Timestamp {
        self.idle_since
    }

    /// Whether its slots are known.
    pub fn is_live(&self) -> bool {
        self.stage == Stage::Live
    }

    /// Whether nothing is on its way to it of which it would not hear, or that it would have to ask for again,
    /// if its actor were another one now.
    pub fn can_rest(&self) -> bool {
        self.is_live() && self.saving.is_none()
    }

    /// Slots taken.
    pub fn load(&self) -> u32 {
        self.room().taken()
    }

    /// Whether it could be given a chat, and if not, why.
    pub fn standing(&self) -> Standing {
        if !self.account.active {
            return Standing::Offline;
        }
        match &self.record.status {
            Status::Offline => Standing::Offline,
            Status::Away(_) => Standing::Away,
            Status::Busy => Standing::Busy,
            Status::Ready if !self.presence.is_proven() => Standing::NotConnected,
            Status::Ready if !self.is_live() || self.pull.is_some() => Standing::Choosing,
            Status::Ready if self.free() == 0 => Standing::Full,
            Status::Ready => Standing::Free,
        }
    }

    /// When to feed an [`OperatorInput::Tick`].
    pub fn next_deadline(&self, now: Timestamp) -> Option<Timestamp> {
        let mut next = earliest(self.owed.next(), self.presence.next_deadline());
        let stage = match self.stage {
            Stage::Waiting { until } => Some(until),
            Stage::Reading | Stage::Live => None,
        };
        next = earliest(next, stage);
        next = earliest(next, self.pull.as_ref().map(|pull| pull.until));
        next = earliest(next, self.reserved.values().map(|r| r.expires_at).min());
        next = earliest(next, self.kept_until());
        next = earliest(next, self.recalls.values().map(|recall| recall.until).min());
        next = earliest(next, self.leave_at());
        if self.unsaved && self.saving.is_none() {
            next = earliest(next, Some(self.save_at));
        }
        let offers =
            self.slots.iter().filter_map(|(chat, slot)| slot.ask_at().map(|at| (chat, at)));
        let invites = self.invites.iter().map(|(chat, invite)| (chat, invite.ask_at()));
        let ask = offers.chain(invites).filter(|(chat, _)| !self.owed.owes(Owed::Ask(**chat)));
        next = earliest(next, ask.map(|(_, at)| at).min());
        earliest(next, self.next_abandoned(now))
    }

    /// Takes an input and answers what is to be done.
    pub fn step(&mut self, now: Timestamp, input: OperatorInput) -> Vec<OperatorEffect> {
        let mut effects = Vec::new();
        match input {
            OperatorInput::OnScreens(on_screens) => self.take_over(now, on_screens),
            OperatorInput::Recovered(rows) => self.recovered(now, rows, &mut effects),
            OperatorInput::Account(account) => self.account_changed(account),
            OperatorInput::Connected(connection) => {
                self.presence.connected(connection, now);
            }
            OperatorInput::Disconnected(connection) => {
                self.presence.disconnected(connection, now);
            }
            OperatorInput::ProbeAnswered(connection, probe) => {
                self.presence.answered(connection, probe, now);
            }
            OperatorInput::Call(call, wanted) => self.on_call(now, call, wanted, &mut effects),
            OperatorInput::Said(said) => self.on_said(now, said, &mut effects),
            OperatorInput::Saved(durable) => self.saved(now, durable, &mut effects),
            OperatorInput::Tick => {}
        }
        self.on_time(now, &mut effects);
        self.finish(now, &mut effects);
        effects
    }

    /// What time alone brings.
    fn on_time(&mut self, now: Timestamp, effects: &mut Vec<OperatorEffect>) {
        if let Stage::Waiting { until } = self.stage
            && now >= until
        {
            self.stage = Stage::Reading;
            effects.push(OperatorEffect::ReadIndex);
        }
        for (connection, probe) in self.presence.on_time(now) {
            effects.push(OperatorEffect::Probe(connection, probe));
        }
        if self.leave_at().is_some_and(|at| now >= at) {
            self.set_status(Status::Offline);
        }
        self.look_who_is_absent(now);
        self.expire_reservations(now);
        self.expire_kept(now);
        self.expire_recalls(now, effects);
        self.lost.expire(now);
        if self.pull.as_ref().is_some_and(|pull| now >= pull.until) {
            self.conclude_pull(now);
        }
        for chat in self.overdue(now) {
            self.owed.keep(Owed::Ask(chat), now);
        }
        for chat in self.abandoned(now) {
            self.owed.keep(Owed::OwnerGone(chat), now);
        }
    }

    /// What follows from whatever has changed.
    fn finish(&mut self, now: Timestamp, effects: &mut Vec<OperatorEffect>) {
        if !self.may_hold_offers() {
            self.pull = None;
            self.withdraw_offers(now);
        }
        let available = self.is_available();
        if available && !self.was_available {
            self.idle_since = now;
            self.wants_pull = true;
        }
        self.was_available = available;
        self.give_back_of_lost_queues(now);
        self.give_back_above_limits(now);
        self.trim_kept();
        self.maybe_pull(now, effects);
        self.keep_for_invites(now);
        self.look_for_room(now);
        self.maybe_save(now, effects);
        let digest = self.digest();
        if self.told.as_ref() != Some(&digest) {
            self.told = Some(digest);
            self.changed_version = self.version + 1;
            for queue in self.account.queues.keys().copied().collect::<Vec<_>>() {
                self.owed.owe(Owed::State(queue), now);
            }
        }
        let updated = Updated {
            status: self.record.status.clone(),
            present: self.is_present(),
            load: self.load(),
            capacity: self.account.capacity,
        };
        if self.updated.as_ref() != Some(&updated) {
            self.updated = Some(updated);
            effects.push(OperatorEffect::Show(Notice::Updated));
        }
        self.renew_screens(effects);
        self.say_due(now, effects);
    }

    fn account_changed(&mut self, account: Account) {
        let gone = self.account.queues.keys().filter(|queue| !account.queues.contains_key(queue));
        for queue in gone.copied().collect::<Vec<_>>() {
            self.owed.settle(Owed::State(queue));
        }
        if !account.active && self.account.active {
            self.set_status(Status::Offline);
        }
        self.account = account;
        for chat in self.kept.keys().copied().collect::<Vec<_>>() {
            self.rank_kept(chat);
        }
        self.wants_pull = true;
        self.told = None;
    }

    // ---- what others are told ----

    fn digest(&self) -> Digest {
        let towards = self.account.queues.keys().map(|queue| self.towards(*queue)).collect();
        Digest {
            standing: self.standing(),
            load: self.load(),
            towards,
            last_accept: self.record.last_accept,
            idle_since: self.idle_since,
        }
    }

    /// The state for one queue, under a version of its own.
    fn state(&mut self, queue: QueueId, now: Timestamp) -> OperatorState {
        self.version += 1;
        let member = self.account.queues.contains_key(&queue);
        let Towards { standing, free, kept_below } = self.towards(queue);
        OperatorState {
            operator: self.id,
            life: self.life,
            version: self.version,
            standing: if member { standing } else { Standing::NotMember },
            load: self.load(),
            free,
            kept_below,
            last_accept: self.record.last_accept,
            idle_since: self.idle_since,
            at: now,
        }
    }

    /// What time has come for among what it holds.
    fn overdue(&self, now: Timestamp) -> Vec<ChatId> {
        let slots = self.slots.iter().filter_map(|(chat, slot)| Some((*chat, slot.ask_at()?)));
        let invites = self.invites.iter().map(|(chat, invite)| (*chat, invite.ask_at()));
        slots.chain(invites).filter(|(_, at)| now >= *at).map(|(chat, _)| chat).collect()
    }

    /// Panics when the operator contradicts itself; for tests and the simulation.
    pub fn assert_invariants(&self) {
        for chat in self.slots.keys() {
            let invited = self.invites.get(chat);
            assert!(invited.is_none(), "{chat:?} is held and an invitation at once");
        }
        assert!(self.kept_in_all() <= self.free(), "no more is kept than is free");
        for kept in self.kept.values() {
            let (kept, free) = (self.kept_in(kept.queue), self.free_in(kept.queue));
            assert!(kept <= free, "no more is kept than fits of a queue");
        }
        let passed = self.kept.keys().find(|chat| self.passed.contains_key(chat));
        assert_eq!(passed, None, "what was passed by keeps nothing");
        for (chat, slot) in &self.slots {
            let assigning = matches!(slot.held, Held::Assigning { .. });
            assert_eq!(assigning, self.owed.owes(Owed::Assign(*chat)), "{chat:?}: assign owed");
            let declining = matches!(slot.held, Held::Declining { .. });
            assert_eq!(declining, self.owed.owes(Owed::Decline(*chat)), "{chat:?}: decline owed");
        }
        for key in self.recalls.keys() {
            assert!(self.owed.owes(Owed::Recall(key.0, key.1)), "{key:?}: recall owed");
        }
    }
}

/// When to ask what became of an offer.
fn ask_after(expires_at: Timestamp) -> Timestamp {
    expires_at.plus_ms(OFFER_BACKSTOP_MS + OFFER_ASK_MS)
}

#[cfg(test)]
mod tests;
