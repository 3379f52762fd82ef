//! The invariants, written down a second time and as naively as may be.

use std::collections::{BTreeMap, BTreeSet};

use switchboard::domain::event::{AssignedHow, OfferEnd, PlacedCause};
use switchboard::domain::limits::PRIORITY_STEP_MS;
use switchboard::domain::operator::Standing;
use switchboard::domain::{
    ChatEvent, ChatId, ChatState, CommandId, OfferId, Party, Person, QueueId, Reach, Recorded,
    Timestamp, UserId,
};
use switchboard::machine::chat::{Answer, Chat, ChatCall, Recent};
use switchboard::machine::message::{ToChat, ToOperator};
use switchboard::machine::operator::{Held, OperatorAnswer, OperatorCall, OperatorEffect, Slot};
use switchboard::machine::queue::{Queue, QueueEffect};

use crate::insisting::Insisting;
use crate::planted::Planted;
use crate::stays::Stays;
use crate::store::Store;
use crate::tokens::Tokens;
use crate::visitors::Visitors;
use crate::world::{Pending, World};

/// Where a chat is, by the words of its log alone: a second, much smaller fold.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Is {
    Nothing,
    Opened,
    Waiting,
    Offered(OfferId, Reach, BTreeSet<UserId>),
    Owned(UserId),
    Ended,
}

/// What chats have in memory of their answers here: so little that most are looked up in the log.
pub const RECENT: Recent = Recent { commands: 3, parties: 2 };

#[derive(Debug)]
struct Seen {
    is: Is,
    tail: u64,
    at: Timestamp,
    placement: u64,
    transfer: Option<(UserId, OfferId)>,
    /// Who had the offer to all that lapsed just before.
    asked_before: Option<BTreeSet<UserId>>,
    /// How often each operator dropped out of the live offer.
    left: BTreeMap<UserId, u32>,
}

#[derive(Default)]
pub struct Checker {
    seen: BTreeMap<ChatId, Seen>,
    pub folds: BTreeMap<ChatId, Chat>,
    owned: BTreeMap<UserId, BTreeSet<ChatId>>,
    ceilings: BTreeMap<UserId, (u32, u32)>,
    queue_ceilings: BTreeMap<(UserId, QueueId), (u32, u32)>,
    /// Every `Assign` that an operator has sent: by life, chat and time limit.
    assigns: BTreeSet<(UserId, u64, ChatId, Timestamp)>,
    published: BTreeMap<ChatId, u64>,
    answers: BTreeMap<(ChatId, Person, CommandId), Answer>,
    decided: BTreeSet<OfferId>,
    /// Of which the chats were told.
    told: BTreeSet<OfferId>,
    /// Whom each offer to all was widened to.
    widened: BTreeSet<(OfferId, UserId)>,
    insisting: Insisting,
    pub stays: Stays,
    pub visitors: Visitors,
    pub tokens: Tokens,
    /// Since when nobody has been at work at an operator's, by what its machine shows.
    pub absent_since: BTreeMap<UserId, u64>,
    /// Chats that the queue was about to offer when it was last looked at.
    pub under_way: BTreeMap<ChatId, u64>,
    /// Whose calls were given up.
    hung_up: Vec<ChatCall>,
    /// By whom and under which id something was written, and when.
    ids: BTreeMap<(ChatId, Party, CommandId), Recorded>,
}

impl Checker {
    /// What fits an operator. A lowered limit takes no chat away: until the load has come down,
    /// the former one is the ceiling.
    pub fn capacity(&mut self, operator: UserId, capacity: u32) {
        let ceiling = self.ceilings.entry(operator).or_insert((capacity, capacity));
        *ceiling = (capacity, ceiling.1.max(capacity));
    }

    /// What fits an operator of one queue, likewise; [`u32::MAX`] without a limit.
    pub fn queue_limit(&mut self, operator: UserId, queue: QueueId, limit: Option<u32>) {
        let limit = limit.unwrap_or(u32::MAX);
        let ceiling = self.queue_ceilings.entry((operator, queue)).or_insert((limit, limit));
        *ceiling = (limit, ceiling.1.max(limit));
    }

    pub fn owned_by(&self, operator: UserId) -> Vec<ChatId> {
        self.owned.get(&operator).into_iter().flatten().copied().collect()
    }

    /// The ids that stand in logs for what this operator did.
    pub fn ids_of(&self, operator: UserId) -> Vec<(ChatId, CommandId)> {
        let mine = self.ids.keys().filter(|(_, party, _)| *party == Party::User(operator));
        mine.map(|(chat, _, id)| (*chat, id.clone())).collect()
    }

    pub fn in_state(&self, state: ChatState) -> Vec<ChatId> {
        let folds = self.folds.iter();
        folds.filter(|(_, fold)| fold.state() == Some(state)).map(|(chat, _)| *chat).collect()
    }

    pub fn hung_up(&mut self, pending: &Pending) {
        if let Pending::Chat(_, wanted) = pending {
            self.hung_up.push(wanted.clone());
        }
    }

    pub fn take_hung_up(&mut self) -> Vec<ChatCall> {
        std::mem::take(&mut self.hung_up)
    }

    /// Whether somebody comes into an offer again who dropped out of it.
    pub fn comes_back(&self, chat: ChatId, event: &ChatEvent) -> bool {
        let left = self.seen.get(&chat).map(|seen| &seen.left);
        match event {
            ChatEvent::OfferWidened { to, .. } => {
                left.is_some_and(|left| to.iter().any(|who| left.contains_key(who)))
            }
            _ => false,
        }
    }

    /// An event became durable: it continues the log, and the move is legal.
    pub fn appended(&mut self, chat: ChatId, recorded: &Recorded, seed: u64) {
        let fold = self.folds.entry(chat).or_insert_with(|| Chat::remembering(chat, RECENT));
        fold.apply(recorded);
        self.tokens.appended(chat, recorded, seed);
        if let Some((party, id)) = id_of(&recorded.event) {
            let first = self.ids.insert((chat, party, id), recorded.clone());
            assert!(first.is_none(), "{chat:?}: {recorded:?} repeats {first:?} (seed {seed})");
        }
        let seen = self.seen.entry(chat).or_insert(Seen {
            is: Is::Nothing,
            tail: 0,
            at: Timestamp(0),
            placement: 0,
            transfer: None,
            asked_before: None,
            left: BTreeMap::new(),
        });
        let story = format!("{chat:?} {:?} then {recorded:?} (seed {seed})", seen.is);
        assert_eq!(recorded.seq, seen.tail + 1, "gap: {story}");
        assert!(recorded.at >= seen.at, "time runs backwards: {story}");
        (seen.tail, seen.at) = (recorded.seq, recorded.at);
        let mut moved = |to: u64| {
            assert_eq!(to, seen.placement + 1, "placement: {story}");
            seen.placement = to;
        };
        let was = seen.is.clone();
        let is = match (&recorded.event, was.clone()) {
            (ChatEvent::Opened { .. }, Is::Nothing) => Is::Opened,
            (ChatEvent::Placed { placement, .. }, Is::Opened | Is::Waiting | Is::Owned(_))
            | (ChatEvent::Placed { placement, .. }, Is::Offered(..)) => {
                moved(*placement);
                seen.asked_before = None;
                Is::Waiting
            }
            (ChatEvent::Offered { placement, offer, reach, to, .. }, Is::Waiting) => {
                moved(*placement);
                seen.left.clear();
                let before = seen.asked_before.take();
                let to = match to.as_slice() {
                    [] => before.expect("an offer is made again to those who had it"),
                    to => to.iter().copied().collect(),
                };
                assert!(!to.is_empty(), "offered to nobody: {story}");
                Is::Offered(*offer, *reach, to)
            }
            (ChatEvent::OfferWidened { offer, to }, Is::Offered(live, reach, mut all)) => {
                assert_eq!(*offer, live, "{story}");
                assert!(to.iter().all(|one| all.insert(*one)), "asked twice: {story}");
                Is::Offered(live, reach, all)
            }
            (
                ChatEvent::Declined { offer, operator, .. }
                | ChatEvent::OfferNarrowed { offer, operator, .. },
                Is::Offered(live, reach, mut all),
            ) => {
                assert!(*offer == live && all.remove(operator), "{story}");
                let left = seen.left.entry(*operator).or_default();
                self.stays.left(chat, *operator, *left, &recorded.event, seed);
                *left += 1;
                Is::Offered(live, reach, all)
            }
            (ChatEvent::OfferEnded { placement, offer, how }, Is::Offered(live, reach, all)) => {
                assert_eq!(*offer, live, "{story}");
                let taken_back = matches!(how, OfferEnd::Withdrawn(_) | OfferEnd::Declined);
                assert!(
                    reach == Reach::Directed || !taken_back || all.is_empty(),
                    "an offer to all was taken from {all:?}, who never left it: {story}"
                );
                moved(*placement);
                let lapsed = reach == Reach::ToAll && *how == OfferEnd::Lapsed;
                seen.asked_before = lapsed.then_some(all);
                Is::Waiting
            }
            (ChatEvent::Assigned { placement, operator, how, .. }, was) => {
                moved(*placement);
                match (how, was) {
                    (AssignedHow::Accepted { offer }, Is::Offered(live, _, all)) => {
                        assert!(*offer == live && all.contains(operator), "{story}");
                        let stay = seen.left.get(operator).copied().unwrap_or_default();
                        self.stays.left(chat, *operator, stay, &recorded.event, seed);
                    }
                    (AssignedHow::Taken, Is::Waiting | Is::Offered(..)) => {}
                    (AssignedHow::Transferred { reservation, .. }, _) => {
                        assert_eq!(seen.transfer, Some((*operator, *reservation)), "{story}");
                        seen.transfer = None;
                    }
                    _ => panic!("two owners: {story}"),
                }
                Is::Owned(*operator)
            }
            (ChatEvent::Ended { placement, .. }, Is::Waiting | Is::Offered(..) | Is::Owned(_)) => {
                moved(*placement);
                Is::Ended
            }
            (ChatEvent::TransferAsked { to, reservation, .. }, is) if is != Is::Ended => {
                assert_eq!(seen.transfer, None, "{story}");
                seen.transfer = Some((*to, *reservation));
                is
            }
            (ChatEvent::TransferFailed { reservation, .. }, is) => {
                assert_eq!(seen.transfer.take().map(|t| t.1), Some(*reservation), "{story}");
                is
            }
            (ChatEvent::Message { from: Party::User(user), .. }, Is::Owned(owner)) => {
                assert_eq!(*user, owner, "a stranger writes: {story}");
                Is::Owned(owner)
            }
            (ChatEvent::Message { from: Party::Customer(_), .. }, is)
                if !matches!(is, Is::Nothing | Is::Ended) =>
            {
                is
            }
            (ChatEvent::CustomerUpdated { .. }, is) if !matches!(is, Is::Nothing | Is::Ended) => is,
            (ChatEvent::Begun { .. }, Is::Owned(owner)) => Is::Owned(owner),
            (ChatEvent::ContinuedIn { .. }, Is::Ended) => Is::Ended,
            _ => panic!("illegal: {story}"),
        };
        if let Is::Owned(owner) = was {
            self.owned.entry(owner).or_default().remove(&chat);
        }
        if let Is::Owned(owner) = is {
            self.owned.entry(owner).or_default().insert(chat);
        }
        seen.is = is.clone();
        match (&recorded.event, is) {
            (ChatEvent::Offered { .. }, Is::Offered(_, _, to)) => {
                self.offered_to(chat, to.into_iter(), recorded.at);
            }
            // Also one that is written with an offer that is made again.
            (ChatEvent::OfferWidened { to, .. }, _) => {
                self.offered_to(chat, to.iter().copied(), recorded.at);
            }
            _ => {}
        }
    }

    /// The live chat is what its durable log says.
    pub fn folded(&self, chat: ChatId, live: &Chat) {
        if let Some(fold) = self.folds.get(&chat) {
            assert!(live.tail() <= fold.tail(), "{chat:?} applied what is not durable");
            if live.tail() == fold.tail() {
                assert_eq!(live, fold, "the live chat is not the fold of its log");
            }
        } else {
            assert_eq!(live.tail(), 0, "{chat:?} applied what is not durable");
        }
    }

    /// Who looks at a chat sees all that was ever shown of it, whether it was claimed or not.
    pub fn seen(&self, chat: ChatId, tail: u64) {
        let shown = self.published.get(&chat).copied().unwrap_or_default();
        assert!(tail >= shown, "{chat:?}: seen up to {tail}, {shown} were shown");
    }

    /// Events are shown once in a life, in order, and only when durable.
    pub fn published(&mut self, chat: ChatId, events: &[Recorded], store: &Store) {
        let last = self.published.entry(chat).or_default();
        for recorded in events {
            assert!(recorded.seq > *last, "{chat:?}: shown twice or out of order");
            *last = recorded.seq;
            let log = &store.logs[&chat];
            assert_eq!(log[recorded.seq as usize - 1], *recorded, "shown but not durable");
        }
    }

    /// What was acknowledged is durable, and a repeat got its first answer.
    pub fn acknowledged(
        &mut self,
        chat: ChatId,
        wanted: &ChatCall,
        answer: Answer,
        store: &Store,
        seed: u64,
    ) {
        let recorded = store.logs.get(&chat).and_then(|log| log.get(answer.seq as usize - 1));
        let fits = match (wanted, recorded.map(|recorded| &recorded.event)) {
            (ChatCall::Open { customer, .. }, Some(ChatEvent::Opened { customer: who, .. })) => {
                who == customer
            }
            (
                ChatCall::Send { by, id, text, .. },
                Some(ChatEvent::Message { from, id: i, text: t }),
            ) => (by.person, id, text) == (person_of(store, chat, *from), i, t),
            // What it was told may count already, or come too late.
            (ChatCall::UpdateCustomer { .. }, Some(_)) => true,
            (ChatCall::Continue { chat }, Some(ChatEvent::ContinuedIn { chat: into })) => {
                chat == into
            }
            (ChatCall::End { command, .. }, Some(ChatEvent::Ended { command: known, .. })) => {
                known.as_ref() == Some(command)
            }
            (ChatCall::Begin { command, .. }, Some(ChatEvent::Begun { command: known, .. })) => {
                command == known
            }
            (ChatCall::Transfer { .. }, Some(ChatEvent::Placed { .. })) => true,
            (ChatCall::Transfer { command, .. }, Some(ChatEvent::Assigned { command: k, .. })) => {
                command == k
            }
            _ => false,
        };
        assert!(
            fits,
            "{chat:?} acknowledged {wanted:?} with {answer:?}, durable is {recorded:?} (seed {seed})"
        );
        self.tokens.acknowledged(chat, wanted);
        let key = match wanted {
            // Every `Open` of a chat has the same answer, and its ids are no messages' ids.
            ChatCall::Open { customer, .. } => {
                CommandId::new("open").ok().map(|any| (Person::Customer(*customer), any))
            }
            ChatCall::Send { by, id, .. } => Some((by.person, id.clone())),
            ChatCall::Continue { .. } | ChatCall::UpdateCustomer { .. } => None,
            ChatCall::End { by, command }
            | ChatCall::Begin { by, command }
            | ChatCall::Transfer { by, command, .. }
            | ChatCall::TransferNowhere { by, command, .. } => Some((by.person, command.clone())),
        };
        if let Some((person, command)) = key {
            let first = *self.answers.entry((chat, person, command)).or_insert(answer);
            assert_eq!(first, answer, "{wanted:?} got another answer than first (seed {seed})");
        }
    }

    pub fn operator_acknowledged(
        &mut self,
        operator: UserId,
        wanted: &OperatorCall,
        answer: OperatorAnswer,
        since: u64,
        store: &Store,
        seed: u64,
    ) {
        self.id_fits(operator, wanted, since, seed);
        let chat = match wanted {
            OperatorCall::Accept { chat, .. } | OperatorCall::Take { chat, .. } => *chat,
            OperatorCall::SetStatus(_) => {
                let saved = store.records.contains_key(&operator);
                assert!(saved, "{operator:?}: acknowledged a status that is not durable");
                return;
            }
            OperatorCall::Shown { .. } | OperatorCall::Decline { .. } => return,
        };
        let OperatorAnswer::Assigned(assigned) = answer else {
            panic!("{operator:?}: {wanted:?} acknowledged without an assignment (seed {seed})");
        };
        let log = store.logs.get(&chat).map(Vec::as_slice).unwrap_or_default();
        let owned = log.get(assigned.seq as usize - 1).is_some_and(|recorded| {
            matches!(recorded.event, ChatEvent::Assigned { operator: who, .. } if who == operator)
        });
        assert!(owned, "{operator:?}: {wanted:?} acknowledged, not durable (seed {seed})");
    }

    /// An id that stood in the log for something else, when it was used again, is never answered
    /// yes.
    fn id_fits(&self, operator: UserId, wanted: &OperatorCall, since: u64, seed: u64) {
        let (OperatorCall::Accept { chat, command, .. }
        | OperatorCall::Decline { chat, command, .. }
        | OperatorCall::Take { chat, command, .. }) = wanted
        else {
            return;
        };
        let known = self.ids.get(&(*chat, Party::User(operator), command.clone()));
        let Some(known) = known.filter(|known| known.at.0 < since) else { return };
        let fits = match (wanted, &known.event) {
            (
                OperatorCall::Accept { offer, .. },
                ChatEvent::Assigned { how: AssignedHow::Accepted { offer: known }, .. },
            )
            | (OperatorCall::Decline { offer, .. }, ChatEvent::Declined { offer: known, .. }) => {
                offer == known
            }
            (OperatorCall::Take { .. }, ChatEvent::Assigned { how: AssignedHow::Taken, .. }) => {
                true
            }
            _ => false,
        };
        assert!(fits, "{operator:?}: {wanted:?} acknowledged, but {known:?} (seed {seed})");
    }

    /// No decision passes over a chat of smaller rank that the operator could serve, unless it was
    /// asked for another one of the same visitor just before.
    pub fn decided(&mut self, queue: &Queue, effects: &[QueueEffect], now: Timestamp, seed: u64) {
        // What is said first was not always chosen first.
        let offers = effects.iter().filter_map(|effect| match effect {
            QueueEffect::ToChat(chat, ToChat::Offer { offer, to, .. })
                if !self.told.contains(offer) =>
            {
                let chosen = queue.line().get(*chat)?;
                Some((naive_rank(queue, &chosen.at), *chat, to.clone()))
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
            let rank = naive_rank(queue, &chosen.at);
            for entry in queue.line().entries() {
                let waits = queue.line().waiting().any(|(_, waiting)| waiting == entry.at.chat);
                let before = (naive_rank(queue, &entry.at), entry.at.chat) < (rank, chat);
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
                            || excluded(queue, *operator, &entry.at.refused_by, now),
                        "{chat:?} passed over {:?} to {operator:?} at {now} (seed {seed})",
                        entry.at.chat
                    );
                }
            }
        }
    }
}

/// By whom and under which id an event was asked for.
fn id_of(event: &ChatEvent) -> Option<(Party, CommandId)> {
    match event {
        ChatEvent::Message { from, id, .. } => Some((*from, id.clone())),
        ChatEvent::Declined { operator, command, .. }
        | ChatEvent::Assigned {
            operator,
            how: AssignedHow::Accepted { .. } | AssignedHow::Taken,
            command,
            ..
        } => Some((Party::User(*operator), command.clone())),
        ChatEvent::Begun { by, command }
        | ChatEvent::TransferAsked { by, command, .. }
        | ChatEvent::Placed { cause: PlacedCause::Transferred { by, command }, .. }
        | ChatEvent::Ended { by, command: Some(command), .. } => Some((*by, command.clone())),
        ChatEvent::Opened { .. }
        | ChatEvent::CustomerUpdated { .. }
        | ChatEvent::Placed { .. }
        | ChatEvent::Offered { .. }
        | ChatEvent::OfferWidened { .. }
        | ChatEvent::OfferNarrowed { .. }
        | ChatEvent::OfferEnded { .. }
        | ChatEvent::Assigned { how: AssignedHow::Transferred { .. }, .. }
        | ChatEvent::TransferFailed { .. }
        | ChatEvent::Ended { command: None, .. }
        | ChatEvent::ContinuedIn { .. } => None,
    }
}

pub fn naive_rank(queue: &Queue, at: &switchboard::machine::message::ChatAt) -> i64 {
    let points = queue.config().priority.points() + at.priority.points();
    at.since.0 as i64 - PRIORITY_STEP_MS as i64 * i64::from(points)
}

/// Whether a refusal stands between operator and chat, by the words of features.md C6.
pub fn excluded(
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
    now.0 < at.0 + 3_000
        || queue
            .pool()
            .members()
            .any(|member| !refused_by.contains_key(&member) && eligible(&member))
}

impl World {
    /// Nobody owns more chats of a queue than its limit allows, by the logs alone. A lowered limit
    /// takes no chat away.
    pub fn check_queue_limits(&mut self) {
        let (folds, owned) = (&self.checker.folds, &self.checker.owned);
        for ((operator, queue), (limit, ceiling)) in &mut self.checker.queue_ceilings {
            let is_here = |chat: &ChatId| {
                folds.get(chat).and_then(Chat::at).is_some_and(|at| at.queue == *queue)
            };
            let here = owned.get(operator).into_iter().flatten().filter(|c| is_here(c)).count();
            let here = here as u32;
            assert!(
                here <= *ceiling,
                "{operator:?} owns {here} chats of {queue:?}, above its limit {ceiling} (seed {})",
                self.seed
            );
            let held = self.operators.get(operator).map_or(*ceiling, |live| {
                let of = |slot: &&Slot| slot.queue.is_none_or(|known| known == *queue);
                let slots = live.machine.slots().values().filter(of).count();
                let reserved = live.machine.reserved().values().filter(|r| r.queue == *queue);
                (slots + reserved.count()) as u32
            });
            if here.max(held) <= *limit {
                *ceiling = *limit;
            }
        }
    }

    /// Never above capacity, by the logs alone.
    pub fn check_capacities(&mut self) {
        for (operator, (capacity, ceiling)) in &mut self.checker.ceilings {
            let owned = self.checker.owned.get(operator).map_or(0, BTreeSet::len) as u32;
            assert!(
                owned <= *ceiling,
                "{operator:?} owns {owned} chats, above its capacity {ceiling} (seed {})",
                self.seed
            );
            let held = self.operators.get(operator).map_or(*ceiling, |live| live.machine.load());
            if owned.max(held) <= *capacity {
                *ceiling = *capacity;
            }
        }
    }

    /// By the limits in force, whatever the operator believes of them: it asks for no chat above
    /// them, and no directed offer stays on its screens above them.
    pub fn check_limits_in_force(&mut self, operator: UserId, effects: &[OperatorEffect]) {
        // That one is for the capacity of the logs to catch.
        if self.plan.planted == Some(Planted::CapacityOffByOne) {
            return;
        }
        let Some(live) = self.operators.get(&operator) else { return };
        let (life, slots) = (live.life, live.machine.slots());
        let mut asked = Vec::new();
        for effect in effects {
            if let OperatorEffect::ToChat(chat, ToChat::Assign { valid_until, .. }) = effect
                && self.checker.assigns.insert((operator, life, *chat, *valid_until))
            {
                asked.push(*chat);
            }
        }
        let count = |queue: Option<QueueId>, held: fn(&Held) -> bool| {
            let here = |slot: &&Slot| queue.is_none() || slot.queue == queue;
            slots.values().filter(here).filter(|slot| held(&slot.held)).count() as u32
        };
        let own = |held: &Held| matches!(held, Held::Active | Held::Assigning { .. });
        let standing = |held: &Held| {
            matches!(held, Held::Active | Held::Assigning { .. } | Held::Offered { .. })
        };
        let offered = |held: &Held| matches!(held, Held::Offered { .. });
        let capacity = (None, self.capacities[&operator]);
        let queues = self.configs.values();
        let limits = queues.filter_map(|q| Some((Some(q.id), q.per_operator_limit?)));
        for (queue, limit) in limits.chain([capacity]) {
            let concerned = |chat: &ChatId| {
                slots.get(chat).is_some_and(|slot| queue.is_none() || slot.queue == queue)
            };
            assert!(
                count(queue, own) <= limit || !asked.iter().any(concerned),
                "{operator:?} asks for {asked:?} above the limit {limit} in force of {queue:?} at \
                 {} (seed {})",
                self.now,
                self.seed
            );
            assert!(
                count(queue, offered) == 0 || count(queue, standing) <= limit,
                "{operator:?} is offered more than the limit {limit} in force of {queue:?} at {} \
                 (seed {})",
                self.now,
                self.seed
            );
        }
    }
}

/// Who a party of the chat is, as its first event says.
fn person_of(store: &Store, chat: ChatId, party: Party) -> Person {
    let first = store.logs.get(&chat).and_then(|log| log.first());
    match (party, first.map(|first| &first.event)) {
        (Party::User(user), _) => Person::User(user),
        (Party::Customer(id), Some(ChatEvent::Opened { customer, .. })) if customer.id == id => {
            Person::Customer(*customer)
        }
        (party, first) => panic!("{chat:?} begins with {first:?} and speaks of {party:?}"),
    }
}
