//! The invariants, written down a second time and as naively as may be. Here what holds of every log;
//! what else is judged has a file of its own.

use std::collections::{BTreeMap, BTreeSet};

use switchboard::domain::event::{AssignedHow, OfferEnd};
use switchboard::domain::{
    ChatEvent, ChatId, ChatState, CommandId, OfferId, Party, Person, QueueId, Reach, Recorded,
    RoutingSettings, Timestamp, UserId,
};
use switchboard::machine::chat::{Answer, Chat, ChatCall, Recent, Told};

use crate::answers::id_of;
use crate::insisting::Insisting;
use crate::stays::Stays;
use crate::store::Store;
use crate::tokens::Tokens;
use crate::visitors::Visitors;
use crate::world::Pending;

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
    /// Those in force.
    pub settings: RoutingSettings,
    seen: BTreeMap<ChatId, Seen>,
    pub folds: BTreeMap<ChatId, Chat>,
    pub owned: BTreeMap<UserId, BTreeSet<ChatId>>,
    pub ceilings: BTreeMap<UserId, (u32, u32)>,
    pub queue_ceilings: BTreeMap<(UserId, QueueId), (u32, u32)>,
    /// Every `Assign` that an operator has sent: by life, chat and time limit.
    pub assigns: BTreeSet<(UserId, u64, ChatId, Timestamp)>,
    published: BTreeMap<ChatId, u64>,
    /// Up to where this process has shown each chat.
    pub shown: BTreeMap<ChatId, u64>,
    /// The operators whom each event concerns: who had the chat, or were asked, before it or after it.
    concerned: BTreeMap<(ChatId, u64), BTreeSet<UserId>>,
    pub answers: BTreeMap<(ChatId, Person, CommandId), Answer>,
    pub decided: BTreeSet<OfferId>,
    /// Of which the chats were told.
    pub told: BTreeSet<OfferId>,
    /// Whom each offer to all was widened to.
    pub widened: BTreeSet<(OfferId, UserId)>,
    pub insisting: Insisting,
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
    pub ids: BTreeMap<(ChatId, Party, CommandId), Recorded>,
}

impl Checker {
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
        let concerned = operators(&was).union(&operators(&is)).copied().collect();
        self.concerned.insert((chat, recorded.seq), concerned);
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

    /// Events are shown once, in order, none is left out while the process lives, and only when durable;
    /// to the customer and those operators whom each concerns.
    pub fn published(&mut self, chat: ChatId, events: &[Told], store: &Store) {
        let last = self.published.entry(chat).or_default();
        for Told { recorded, to } in events {
            assert!(recorded.seq > *last, "{chat:?}: shown twice or out of order");
            *last = recorded.seq;
            if let Some(before) = self.shown.insert(chat, recorded.seq) {
                assert_eq!(recorded.seq, before + 1, "{chat:?}: what is between was never shown");
            }
            let users = to.iter().filter_map(|person| match person {
                Person::User(user) => Some(*user),
                Person::Customer(_) | Person::System => None,
            });
            let users: BTreeSet<UserId> = users.collect();
            assert_eq!(users, self.concerned[&(chat, recorded.seq)], "{chat:?}: {recorded:?}");
            assert_eq!(to.len(), users.len() + 1, "{chat:?}: and to its customer: {to:?}");
            let log = &store.logs[&chat];
            assert_eq!(log[recorded.seq as usize - 1], **recorded, "shown but not durable");
        }
    }
}

/// Who has a chat, or is asked whether to have it.
fn operators(is: &Is) -> BTreeSet<UserId> {
    match is {
        Is::Offered(_, _, to) => to.clone(),
        Is::Owned(owner) => BTreeSet::from([*owner]),
        Is::Nothing | Is::Opened | Is::Waiting | Is::Ended => BTreeSet::new(),
    }
}
