//! The operator machine by itself. Here: the desk that the tests share.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::event::{OfferEnd, WithdrawReason};
use crate::domain::limits::{
    ASSIGN_LIMIT_MS, CALLS_HELD_MAX, PRESENCE_GRACE_MS, PROBE_EVERY_MS, PROBE_LIMIT_MS,
    RECALL_LIMIT_MS,
};
use crate::domain::operator::{AwayReason, OperatorRecord, Standing};
use crate::domain::{
    ChatId, Offer, OfferId, Place, Priority, QueueId, Reach, RoutingSettings, Rule, Status,
    Timestamp,
};
use crate::machine::chat::Refusal;
use crate::machine::fixture::*;
use crate::machine::message::{Asked, AssignBy, AssignedAt, ChatAt, ToChat, ToOperator, ToQueue};
use crate::machine::operator::{
    Account, Beginning, Gone, Held, Notice, Operator, OperatorAnswer, OperatorCall, OperatorEffect,
    OperatorInput, Terms,
};
use crate::storage::{Moving, OpenChat};

mod absence;
mod assigning;
mod beginning;
mod commands;
mod fitting;
mod keeping;
mod kept;
mod lapses;
mod leaving;
mod membership;
mod pull;
mod screens;
mod slots;
mod telling;
mod weights;

const START: Timestamp = Timestamp(1_000_000);
/// The first life of a process.
const FIRST: Beginning = Beginning { now: START, follows: false, grace_until: START };
/// One after another in the same process.
const NEXT: Beginning = Beginning { follows: true, ..FIRST };
const ABSENT_MS: u64 = 5_000;

/// Ann at work: the machine, and the time.
struct Desk {
    ann: Operator,
    now: Timestamp,
    offers: u64,
}

fn account(capacity: u32) -> Account {
    let terms =
        Terms { rule: Rule::LeastLoaded, priority: Priority::default(), offer_timeout_ms: 30_000 };
    Account {
        capacity,
        active: true,
        queues: BTreeMap::from([(QUEUE, terms)]),
        per_operator_limits: Default::default(),
        absent_owner_limits_ms: Arc::new(BTreeMap::from([(QUEUE, ABSENT_MS)])),
        settings: RoutingSettings::default(),
    }
}

impl Desk {
    /// Ready and live, without a connection.
    fn absent(capacity: u32, rows: Vec<OpenChat>) -> Self {
        let record = OperatorRecord { status: Status::Ready, ..Default::default() };
        let ann = Operator::new(ANN, account(capacity), record, 1, FIRST);
        let mut desk = Self { ann, now: START, offers: 0 };
        assert!(desk.step(OperatorInput::Tick).contains(&OperatorEffect::ReadIndex));
        desk.step(OperatorInput::Recovered(rows));
        desk
    }

    /// There, and nothing waits for her.
    fn present(capacity: u32) -> Self {
        let mut desk = Self::absent(capacity, Vec::new());
        desk.connect(1);
        assert_eq!(desk.ann.standing(), Standing::Free);
        desk
    }

    /// Takes an input; answers pulls with nothing, and saves at once.
    fn step(&mut self, input: OperatorInput) -> Vec<OperatorEffect> {
        let mut effects = self.ann.step(self.now, input);
        self.ann.assert_invariants();
        let mut n = 0;
        while let Some(effect) = effects.get(n) {
            n += 1;
            let input = match effect {
                OperatorEffect::ToQueue(queue, ToQueue::Pull { pull, .. }) => {
                    let best = ToOperator::Best { queue: *queue, pull: *pull, best: None };
                    OperatorInput::Said(best)
                }
                OperatorEffect::Save(_) => OperatorInput::Saved(true),
                _ => continue,
            };
            effects.extend(self.ann.step(self.now, input));
            self.ann.assert_invariants();
        }
        effects
    }

    fn later(&mut self, ms: u64) -> Vec<OperatorEffect> {
        self.now = self.now.plus_ms(ms);
        self.step(OperatorInput::Tick)
    }

    /// Goes on from one time that she asked to be woken at to the next, while her page answers, until
    /// this one: nothing else has to happen for what is due then.
    fn woken_at(&mut self, at: Timestamp) -> Vec<OperatorEffect> {
        loop {
            let next = self.ann.next_deadline(self.now).expect("something is to come");
            assert!(next <= at, "nothing wakes her at {at}, but at {next}");
            self.now = next.max(self.now);
            let effects = self.step(OperatorInput::Tick);
            self.answer_probes(&effects);
            if next == at {
                return effects;
            }
        }
    }

    fn say(&mut self, said: ToOperator) -> Vec<OperatorEffect> {
        self.step(OperatorInput::Said(said))
    }

    fn connect(&mut self, connection: u64) {
        let effects = self.step(OperatorInput::Connected(connection));
        self.answer_probes(&effects);
    }

    fn answer_probes(&mut self, effects: &[OperatorEffect]) {
        for effect in effects {
            if let OperatorEffect::Probe(connection, probe) = effect {
                self.step(OperatorInput::ProbeAnswered(*connection, *probe));
            }
        }
    }

    /// A directed offer of the chat, shown or not.
    fn offered(&mut self, chat: ChatId, shown: bool) -> OfferId {
        self.offers += 1;
        let offer = OfferId::of(50, self.offers);
        let expires_at = self.now.plus_ms(TIMEOUT_MS);
        self.say(ToOperator::Reserve {
            queue: QUEUE,
            offer,
            chat,
            rank: 0,
            weight: Default::default(),
            expires_at,
        });
        self.say(ToOperator::At(self.live(chat, offer, Reach::Directed)));
        assert!(matches!(self.ann.slots()[&chat].held, Held::Offered { .. }));
        if shown {
            self.step(OperatorInput::Call(1, OperatorCall::Shown { chat, offer }));
        }
        offer
    }

    fn invited(&mut self, chat: ChatId) -> OfferId {
        self.offers += 1;
        let offer = OfferId::of(50, self.offers);
        self.say(ToOperator::At(self.live(chat, offer, Reach::ToAll)));
        assert!(self.ann.invites().contains_key(&chat));
        offer
    }

    fn live(&self, chat: ChatId, id: OfferId, reach: Reach) -> ChatAt {
        let (to, expires_at) = (Arc::new([ANN].into()), self.now.plus_ms(TIMEOUT_MS));
        at(
            chat,
            2,
            Place::Offered(Offer { id, reach, to, returned: Default::default(), expires_at }),
        )
    }

    fn lapsed(&mut self, chat: ChatId, offer: OfferId) -> Vec<OperatorEffect> {
        let last_offer = Some((offer, OfferEnd::Lapsed));
        self.say(ToOperator::At(ChatAt { last_offer, ..at(chat, 3, Place::Waiting) }))
    }

    fn owns(&mut self, chat: ChatId) {
        let offer = self.offered(chat, true);
        let accept = OperatorCall::Accept { chat, offer, command: command("yes") };
        self.step(OperatorInput::Call(2, accept));
        self.say(ToOperator::At(at(chat, 3, owned())));
        assert_eq!(self.ann.slots()[&chat].held, Held::Active);
    }

    fn deactivate(&mut self) -> Vec<OperatorEffect> {
        let inactive = Account { active: false, ..self.ann.account().clone() };
        self.step(OperatorInput::Account(inactive))
    }
}

fn owned() -> Place {
    Place::Assigned { owner: ANN, begun: false }
}

fn chat(n: u128) -> ChatId {
    ChatId::from_u128(0xc0 + n)
}

pub(super) fn row(chat: ChatId, place: Place, moving: Option<Moving>) -> OpenChat {
    let at = at(chat, 2, place);
    OpenChat {
        chat,
        queue: QUEUE,
        placement: 2,
        priority: at.priority,
        weight: at.weight,
        since: at.since,
        refused_by: BTreeMap::new(),
        place: Some(at.place),
        next_deadline: None,
        moving,
    }
}

fn withdrawn(effects: &[OperatorEffect], chat: ChatId) -> Option<WithdrawReason> {
    effects.iter().find_map(|effect| match effect {
        OperatorEffect::ToChat(of, ToChat::Withdraw { reason, .. }) if *of == chat => Some(*reason),
        _ => None,
    })
}

fn owner_gone(effects: &[OperatorEffect], chat: ChatId) -> bool {
    effects.iter().any(|effect| {
        matches!(effect, OperatorEffect::ToChat(of, ToChat::OwnerGone { .. }) if *of == chat)
    })
}

fn answers(effects: &[OperatorEffect]) -> Vec<(u64, Result<OperatorAnswer, Refusal>)> {
    let answers = effects.iter().filter_map(|effect| match effect {
        OperatorEffect::Answer(call, answer) => Some((*call, *answer)),
        _ => None,
    });
    answers.collect()
}

fn reason(effects: &[OperatorEffect]) -> Option<Gone> {
    effects.iter().find_map(|effect| match effect {
        OperatorEffect::Show(Notice::OfferWithdrawn { reason, .. }) => Some(*reason),
        _ => None,
    })
}

/// An offer to all at this version of its placement, with Ann in this stay of hers, or without her.
fn to_all_at(desk: &Desk, version: u64, stay: Option<u32>) -> ChatAt {
    let (id, expires_at) = (OfferId::of(50, 1), desk.now.plus_ms(TIMEOUT_MS));
    let to = stay.map_or_else(|| [BOB].into(), |_| [ANN, BOB].into());
    let returned = stay.filter(|stay| *stay > 0).map(|stay| (ANN, stay)).into_iter().collect();
    let (to, returned) = (Arc::new(to), Arc::new(returned));
    let live = Offer { id, reach: Reach::ToAll, to, returned, expires_at };
    ChatAt { version, ..at(chat(1), 2, Place::Offered(live)) }
}

fn presented(effects: &[OperatorEffect]) -> usize {
    let shown = |effect: &&OperatorEffect| {
        matches!(effect, OperatorEffect::Show(Notice::OfferPresented { .. }))
    };
    effects.iter().filter(shown).count()
}
