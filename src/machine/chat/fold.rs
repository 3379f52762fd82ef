//! The state of a chat, and how each event changes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::domain::event::{AssignedHow, OfferEnd, PlacedCause, TransferFailure};
use crate::domain::limits::{CHAT_ROUTING_EVENTS_MAX, OFFER_BACKSTOP_MS, REFUSALS_REMEMBERED};
use crate::domain::time::earliest;
use crate::domain::{
    ChatEvent, ChatId, ChatState, CommandId, Customer, Offer, OfferId, Party, Place, Placement,
    Profile, QueueId, Reach, Recorded, Seq, Stay, Timestamp, UserId, Weight,
};
use crate::machine::driver::{Answer, Journal, Recent};
use crate::machine::message::{ChatAt, Peer};
use crate::storage::{EndedChat, OpenChat};

use super::former::Former;
use super::messages::Messages;
use super::refusal::Refusal;

/// The version of the fold. Another one says that a log folds to another chat than it did: what was kept of
/// a fold of a former version, beside its log, counts for nothing then. Logs of every release are in
/// `tests/golden/fold`, with what they fold to.
pub const FOLD_VERSION: u16 = 1;

/// How a chat began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Whose it is, by which channel.
    pub customer: Customer,
    /// When.
    pub at: Timestamp,
    /// The chat that it follows.
    pub continues: Option<ChatId>,
}

/// A transfer to an operator that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// Who asked.
    pub by: Party,
    /// The command.
    pub command: CommandId,
    /// To whom.
    pub to: UserId,
    /// The reservation that the target is asked for.
    pub reservation: OfferId,
    /// When it fails.
    pub expires_at: Timestamp,
}

/// A chat: see the module. Empty until its first event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chat {
    pub(super) id: ChatId,
    pub(super) journal: Journal<Refusal>,
    pub(super) opened: Option<Opened>,
    /// What the latest token that it knows of says of the customer.
    pub(super) profile: Profile,
    /// How often another one came; at most
    /// [`CUSTOMER_UPDATES_MAX`](crate::domain::limits::CUSTOMER_UPDATES_MAX).
    pub(super) updates: u64,
    /// The queue whose line it is in, or was in last.
    pub(super) queue: Option<QueueId>,
    /// How many slots it takes.
    pub(super) weight: Weight,
    pub(super) since: Timestamp,
    pub(super) placement: Placement,
    pub(super) version: Seq,
    pub(super) place: Option<Place>,
    pub(super) moved_at: Timestamp,
    /// The process that made the live offer.
    pub(super) offer_process: u64,
    /// Its log had as many entries besides messages as may be when its place was touched last.
    pub(super) spent: bool,
    /// How many offers to all lapsed in a row since it came into its line or to its last owner.
    pub(super) ignored: u32,
    /// Who had the offer to all that lapsed last, and the process that made it; none when something
    /// has happened since.
    asked_before: Option<(u64, Arc<BTreeSet<UserId>>)>,
    /// Who dropped out of the live offer, and how often.
    offer_left: BTreeMap<UserId, Stay>,
    pub(super) last_offer: Option<(OfferId, OfferEnd)>,
    pub(super) refused_by: Arc<BTreeMap<UserId, Timestamp>>,
    /// Whoever owned it last; none: nobody ever did.
    pub(super) last_owner: Option<UserId>,
    /// Whoever owned it when it ended.
    owner_at_end: Option<UserId>,
    pub(super) transfer: Option<Transfer>,
    pub(super) continued_in: Option<ChatId>,
    messages: Messages,
    former: Former,
}

impl Chat {
    /// A chat with an empty log.
    pub fn new(id: ChatId) -> Self {
        Self {
            id,
            journal: Journal::new(Recent::default()),
            opened: None,
            profile: Profile::default(),
            updates: 0,
            queue: None,
            weight: Weight::default(),
            since: Timestamp::default(),
            placement: 0,
            version: 0,
            place: None,
            moved_at: Timestamp::default(),
            offer_process: 0,
            spent: false,
            ignored: 0,
            asked_before: None,
            offer_left: BTreeMap::new(),
            last_offer: None,
            refused_by: Arc::default(),
            last_owner: None,
            owner_at_end: None,
            transfer: None,
            continued_in: None,
            messages: Messages::default(),
            former: Former::default(),
        }
    }

    /// One with an empty log that keeps so many answers in memory.
    pub fn remembering(id: ChatId, recent: Recent) -> Self {
        Self { journal: Journal::new(recent), ..Self::new(id) }
    }

    /// The chat's id.
    pub fn id(&self) -> ChatId {
        self.id
    }

    /// The last position of the log; 0 when it is empty.
    pub fn tail(&self) -> Seq {
        self.journal.tail()
    }

    /// The time of the last event.
    pub fn last_at(&self) -> Timestamp {
        self.journal.last_at()
    }

    /// How it began; none while the log is empty.
    pub fn opened(&self) -> Option<&Opened> {
        self.opened.as_ref()
    }

    /// What the latest token that it knows of says of the customer.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Where it is; none while the log is empty.
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// Whoever owned it last; none: nobody ever did.
    pub fn last_owner(&self) -> Option<UserId> {
        self.last_owner
    }

    /// Whoever owned it when it ended; none: it has not ended, or ended in a line.
    pub fn owner_at_end(&self) -> Option<UserId> {
        self.owner_at_end
    }

    /// The state that people see; none while the log is empty.
    pub fn state(&self) -> Option<ChatState> {
        self.place.as_ref().map(Place::state)
    }

    /// How often it changed its place.
    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// The transfer under way.
    pub fn transfer(&self) -> Option<&Transfer> {
        self.transfer.as_ref()
    }

    /// The chat in which the customer went on after the end.
    pub fn continued_in(&self) -> Option<ChatId> {
        self.continued_in
    }

    /// When it wants to be woken though nothing happens: to end an offer or a transfer itself.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let offer = self.place.as_ref().and_then(Place::offer);
        let offer = offer.map(|offer| offer.expires_at.plus_ms(OFFER_BACKSTOP_MS));
        earliest(offer, self.transfer.as_ref().map(|transfer| transfer.expires_at))
    }

    /// Where it is, as others are told; none while the log is empty.
    pub fn at(&self) -> Option<ChatAt> {
        Some(ChatAt {
            chat: self.id,
            placement: self.placement,
            version: self.version,
            customer: self.opened.as_ref().map(|opened| opened.customer),
            queue: self.queue?,
            since: self.since,
            priority: self.profile.priority,
            weight: self.weight,
            refused_by: self.refused_by.clone(),
            place: self.place.clone()?,
            moved_at: self.moved_at,
            last_offer: self.last_offer,
            spent: self.spent,
        })
    }

    /// Where it is, for those who count by the process's clock: what its log dates later counts as
    /// now.
    pub fn told_at(&self, now: Timestamp) -> Option<ChatAt> {
        let mut at = self.at_by(now)?;
        if at.refused_by.values().any(|refused| *refused > now) {
            let refused_by = Arc::make_mut(&mut at.refused_by);
            refused_by.values_mut().for_each(|refused| *refused = now.min(*refused));
        }
        Some(at)
    }

    /// The same, as far as it concerns one operator: of an offer, whether it is in it, and of the refusals
    /// its own. So a word is as long for one of a thousand as for one alone.
    pub fn told_to(&self, operator: UserId, now: Timestamp) -> Option<ChatAt> {
        let mut at = self.at_by(now)?;
        let refused = at.refused_by.get(&operator).map(|refused| (operator, now.min(*refused)));
        at.refused_by = Arc::new(refused.into_iter().collect());
        if let Place::Offered(offer) = &mut at.place {
            *offer = offer.for_one(operator);
        }
        Some(at)
    }

    fn at_by(&self, now: Timestamp) -> Option<ChatAt> {
        let mut at = self.at()?;
        at.since = at.since.min(now);
        at.moved_at = at.moved_at.min(now);
        Some(at)
    }

    /// Its row in the index of open chats; none once it has ended, or before it is opened.
    pub fn row(&self) -> Option<OpenChat> {
        let place = self.place.clone()?;
        if place.state().is_final() {
            return None;
        }
        Some(OpenChat {
            chat: self.id,
            queue: self.queue?,
            placement: self.placement,
            priority: self.profile.priority,
            weight: self.weight,
            since: self.since,
            refused_by: BTreeMap::clone(&self.refused_by),
            place: Some(place),
            next_deadline: self.next_deadline(),
            moving: None,
        })
    }

    /// Its row among the chats that have ended; none while it has not.
    pub fn ended_row(&self) -> Option<EndedChat> {
        let customer = self.opened.as_ref()?.customer;
        let ended = self.place.as_ref().is_some_and(|place| place.state().is_final());
        // It moved there and stays there.
        ended.then_some(EndedChat { chat: self.id, customer, at: self.moved_at })
    }

    /// Whether a queue has it in its line.
    pub(super) fn is_in_line(&self) -> bool {
        self.place.as_ref().is_some_and(Place::waits)
    }

    /// How many messages it has.
    pub(super) fn messages(&self) -> u64 {
        self.messages.len()
    }

    /// Who had the offer to all that lapsed just before, if this process made it: after a restart
    /// nobody is there yet.
    pub(super) fn asked_before(&self, process: u64) -> Option<&BTreeSet<UserId>> {
        let (made_by, to) = self.asked_before.as_ref()?;
        (*made_by == process).then_some(&**to)
    }

    /// How many messages of the other side a participant has not read, who has read up to `read`.
    pub fn unread(&self, party: Party, read: Seq) -> u64 {
        let customer = matches!(party, Party::Customer(_));
        self.messages.after(read, !customer)
    }

    /// All whom the present place and the latest former places concern.
    pub fn concerned(&self) -> Vec<Peer> {
        let mut peers: Vec<Peer> = self.former.peers().collect();
        peers.extend(self.queue.map(Peer::Queue));
        if let Some(place) = &self.place {
            peers.extend(place.operators().map(Peer::Operator));
        }
        peers.sort_unstable();
        peers.dedup();
        peers
    }

    /// The one way a chat changes. `recorded` follows the tail.
    pub fn apply(&mut self, recorded: &Recorded) {
        self.journal.record::<Self>(recorded);
        match &recorded.event {
            ChatEvent::Opened { customer, profile, continues, .. } => {
                self.since = recorded.at;
                self.profile = profile.clone();
                self.opened =
                    Some(Opened { customer: *customer, at: recorded.at, continues: *continues });
            }
            ChatEvent::CustomerUpdated { profile } => {
                let ranks = profile.priority != self.profile.priority;
                self.profile = profile.clone();
                self.updates += 1;
                if ranks && self.is_in_line() {
                    self.touched(recorded);
                }
            }
            ChatEvent::Message { from, .. } => {
                self.messages.push(recorded.seq, matches!(from, Party::Customer(_)));
                if let (Some(Place::Assigned { owner, begun }), Party::User(user)) =
                    (&mut self.place, from)
                {
                    *begun |= owner == user;
                }
            }
            ChatEvent::Begun { .. } => {
                if let Some(Place::Assigned { begun, .. }) = &mut self.place {
                    *begun = true;
                }
            }
            ChatEvent::Placed { placement, queue, weight, cause } => {
                self.weight = *weight;
                self.placed(*placement, *queue, cause, recorded);
            }
            ChatEvent::Offered { placement, offer, reach, to, expires_at, process, .. } => {
                let before = self.asked_before.take().filter(|_| to.is_empty());
                let to = match before {
                    Some((_, before)) => before,
                    None => Arc::new(to.iter().copied().collect()),
                };
                let (returned, expires_at) = (Arc::default(), *expires_at);
                let offer = Offer { id: *offer, reach: *reach, to, returned, expires_at };
                self.offer_process = *process;
                self.move_to(*placement, Place::Offered(offer), recorded);
            }
            ChatEvent::OfferWidened { to, .. } => {
                if let Some(Place::Offered(offer)) = &mut self.place {
                    Arc::make_mut(&mut offer.to).extend(to);
                    let stays =
                        to.iter().filter_map(|who| Some((*who, *self.offer_left.get(who)?)));
                    Arc::make_mut(&mut offer.returned).extend(stays);
                }
                self.touched(recorded);
            }
            ChatEvent::Declined { operator, .. } => {
                self.refuse(*operator, recorded.at);
                self.leave_offer(*operator, recorded);
            }
            ChatEvent::OfferNarrowed { operator, .. } => self.leave_offer(*operator, recorded),
            ChatEvent::OfferEnded { placement, offer, how } => {
                self.offer_ended(*placement, *offer, *how, recorded);
            }
            ChatEvent::Assigned { placement, operator, how, command } => {
                self.assigned(*placement, *operator, *how, command, recorded);
            }
            ChatEvent::TransferAsked { by, command, to, reservation, expires_at } => {
                self.transfer = Some(Transfer {
                    by: *by,
                    command: command.clone(),
                    to: *to,
                    reservation: *reservation,
                    expires_at: *expires_at,
                });
            }
            ChatEvent::TransferFailed { reason, .. } => self.transfer_failed(*reason),
            ChatEvent::Ended { placement, by, outcome, .. } => {
                self.owner_at_end = self.place.as_ref().and_then(Place::owner);
                self.move_to(*placement, Place::Ended { outcome: *outcome, by: *by }, recorded);
            }
            ChatEvent::ContinuedIn { chat } => self.continued_in = Some(*chat),
        }
    }

    fn placed(
        &mut self,
        placement: Placement,
        queue: QueueId,
        cause: &PlacedCause,
        recorded: &Recorded,
    ) {
        if let Some(former) = self.queue
            && former != queue
        {
            self.former.remember(Peer::Queue(former));
        }
        self.queue = Some(queue);
        self.ignored = 0;
        let former_owner = self.place.as_ref().and_then(Place::owner);
        self.move_to(placement, Place::Waiting, recorded);
        match cause {
            PlacedCause::Opened | PlacedCause::OwnerGone { .. } => {}
            PlacedCause::Transferred { .. } => {
                // Who gave a chat away does not want it back at once.
                if let Some(owner) = former_owner {
                    self.refuse(owner, recorded.at);
                }
            }
        }
    }

    fn offer_ended(
        &mut self,
        placement: Placement,
        offer: OfferId,
        how: OfferEnd,
        recorded: &Recorded,
    ) {
        self.last_offer = Some((offer, how));
        let ignored = match (how, &self.place) {
            (OfferEnd::Lapsed, Some(Place::Offered(live))) if live.reach == Reach::ToAll => {
                Some((self.offer_process, Arc::clone(&live.to)))
            }
            (OfferEnd::Lapsed | OfferEnd::Declined | OfferEnd::Withdrawn(_), _)
            | (OfferEnd::Restart, _) => None,
        };
        self.ignored = self.ignored.saturating_add(u32::from(ignored.is_some()));
        // Nobody is blamed for an offer that everybody got.
        if let (OfferEnd::Lapsed, Some(Place::Offered(live))) = (how, &self.place)
            && live.reach == Reach::Directed
        {
            for operator in BTreeSet::clone(&live.to) {
                self.refuse(operator, recorded.at);
            }
        }
        self.move_to(placement, Place::Waiting, recorded);
        self.asked_before = ignored;
    }

    fn assigned(
        &mut self,
        placement: Placement,
        operator: UserId,
        how: AssignedHow,
        command: &CommandId,
        recorded: &Recorded,
    ) {
        // A transferred chat is in progress at once; the colleague has been writing already.
        let begun = matches!(how, AssignedHow::Transferred { .. });
        self.last_owner = Some(operator);
        self.ignored = 0;
        self.refused_by = Arc::default();
        self.move_to(placement, Place::Assigned { owner: operator, begun }, recorded);
        match how {
            AssignedHow::Accepted { .. } | AssignedHow::Taken => {}
            AssignedHow::Transferred { by, .. } => {
                self.transfer = None;
                let answer = Answer { seq: recorded.seq, at: recorded.at };
                self.journal.settle(by, command, Ok(answer));
            }
        }
    }

    fn transfer_failed(&mut self, reason: TransferFailure) {
        if let Some(transfer) = self.transfer.take() {
            self.former.remember(Peer::Operator(transfer.to));
            let refusal = Refusal::TargetUnavailable { reason };
            self.journal.settle(transfer.by, &transfer.command, Err(refusal));
        }
    }

    fn leave_offer(&mut self, operator: UserId, recorded: &Recorded) {
        if let Some(Place::Offered(offer)) = &mut self.place {
            Arc::make_mut(&mut offer.to).remove(&operator);
            Arc::make_mut(&mut offer.returned).remove(&operator);
        }
        *self.offer_left.entry(operator).or_default() += 1;
        self.former.remember(Peer::Operator(operator));
        self.touched(recorded);
    }

    /// Others are to hear of the place anew.
    fn touched(&mut self, recorded: &Recorded) {
        self.version = recorded.seq;
        self.spent = recorded.seq - self.messages() - self.updates >= CHAT_ROUTING_EVENTS_MAX;
    }

    fn move_to(&mut self, placement: Placement, place: Place, recorded: &Recorded) {
        debug_assert_eq!(placement, self.placement + 1, "a placement is never skipped");
        for operator in self.place.iter().flat_map(Place::operators) {
            self.former.remember(Peer::Operator(operator));
        }
        self.offer_left.clear();
        self.asked_before = None;
        self.placement = placement;
        self.touched(recorded);
        self.moved_at = recorded.at;
        self.place = Some(place);
    }

    fn refuse(&mut self, operator: UserId, at: Timestamp) {
        let refused_by = Arc::make_mut(&mut self.refused_by);
        refused_by.insert(operator, at);
        if refused_by.len() > REFUSALS_REMEMBERED {
            let earliest = refused_by.iter().min_by_key(|&(_, at)| *at);
            if let Some(forgotten) = earliest.map(|(operator, _)| *operator) {
                refused_by.remove(&forgotten);
            }
        }
    }
}
