//! What the actors count: from durable events, and from a look at the present.

use std::collections::{BTreeMap, VecDeque};

use crate::domain::event::AssignedHow;
use crate::domain::{ChatEvent, Party, Place, Seq, Timestamp};
use crate::machine::chat::Told;
use crate::machine::message::ChatAt;
use crate::telemetry::{self, Gauges, OPEN_STATES, OfferOutcome};

use super::limits::TIMED_MESSAGES;
use super::shared::Shared;

/// Counts events that have become durable, given where the chat was before.
pub(super) fn recorded(before: Option<&ChatAt>, events: &[Told]) {
    for Told { recorded, .. } in events {
        telemetry::recorded(&recorded.event);
        let Some(before) = before else { continue };
        if let Place::Offered(_) = before.place
            && let Some(outcome) = offer_outcome(&recorded.event)
        {
            let stood_ms = recorded.at.since_ms(before.moved_at);
            telemetry::offer_ended(before.queue, outcome, stood_ms);
        }
        if let (ChatEvent::Assigned { .. }, Place::Waiting | Place::Offered(_)) =
            (&recorded.event, &before.place)
        {
            telemetry::assigned(before.queue, recorded.at.since_ms(before.since));
        }
    }
}

/// How an event ends the live offer; none when it does not.
fn offer_outcome(event: &ChatEvent) -> Option<OfferOutcome> {
    match event {
        ChatEvent::Assigned { how: AssignedHow::Accepted { .. }, .. } => {
            Some(OfferOutcome::Accepted)
        }
        ChatEvent::OfferEnded { how, .. } => Some(OfferOutcome::Ended(*how)),
        ChatEvent::Assigned { .. } | ChatEvent::Ended { .. } | ChatEvent::Placed { .. } => {
            Some(OfferOutcome::Overtaken)
        }
        ChatEvent::Opened { .. }
        | ChatEvent::CustomerUpdated { .. }
        | ChatEvent::Message { .. }
        | ChatEvent::Offered { .. }
        | ChatEvent::OfferWidened { .. }
        | ChatEvent::Declined { .. }
        | ChatEvent::OfferNarrowed { .. }
        | ChatEvent::Begun { .. }
        | ChatEvent::TransferAsked { .. }
        | ChatEvent::TransferFailed { .. }
        | ChatEvent::ContinuedIn { .. } => None,
    }
}

/// Times the delivery of a chat's latest messages.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    latest: VecDeque<(Seq, Timestamp, bool)>,
}

impl Deliveries {
    /// Messages have become durable.
    pub(super) fn recorded(&mut self, events: &[Told]) {
        for Told { recorded, .. } in events {
            if let ChatEvent::Message { from, .. } = &recorded.event {
                let customer = matches!(from, Party::Customer(_));
                self.latest.push_back((recorded.seq, recorded.at, customer));
                if self.latest.len() > TIMED_MESSAGES {
                    self.latest.pop_front();
                }
            }
        }
    }

    /// A participant has received all up to a position: the first time for each message of the
    /// other side counts.
    pub(super) fn received(&mut self, party: Party, up_to: Seq, now: Timestamp) {
        let customer = matches!(party, Party::Customer(_));
        self.latest.retain(|(seq, at, by)| {
            let delivered = *seq <= up_to && *by != customer;
            if delivered {
                telemetry::message_delivered(now.since_ms(*at));
            }
            !delivered
        });
    }
}

/// A look at the present, for the gauges.
pub(super) fn gauges(shared: &Shared, count: impl Fn(&str) -> usize, calls: usize) -> Gauges {
    let now = shared.now();
    let mut chats = BTreeMap::new();
    let mut oldest_wait_ms = BTreeMap::new();
    for queue in shared.roster.look(|roster| roster.queues.keys().copied().collect::<Vec<_>>()) {
        chats.extend(OPEN_STATES.map(|state| ((queue, state), 0)));
        oldest_wait_ms.insert(queue, 0);
    }
    let (mut moving, mut without_queue) = (0, 0);
    let shards =
        shared.indexes(|index| (index.moving().len(), index.tallies().collect::<Vec<_>>()));
    for (moved, tallies) in shards {
        moving += moved as u64;
        for tally in tallies {
            for (state, n) in tally.states {
                *chats.get_mut(&(tally.queue, state)).unwrap_or(&mut without_queue) += n;
            }
            if let (Some(longest), Some(since)) =
                (oldest_wait_ms.get_mut(&tally.queue), tally.oldest)
            {
                *longest = now.since_ms(since).max(*longest);
            }
        }
    }
    let mut operators = BTreeMap::new();
    let (mut taken, mut free) = (0, 0);
    for seen in shared.statuses.iter() {
        *operators.entry(seen.status).or_default() += 1;
        if seen.status == "ready" {
            taken += u64::from(seen.load);
            free += u64::from(seen.capacity.saturating_sub(seen.load));
        }
    }
    Gauges {
        chats,
        oldest_wait_ms,
        moving,
        without_queue,
        store_ahead_ms: shared.store_ahead_ms,
        operators,
        slots: (taken, free),
        connections: shared.hub.len() as u64,
        actors: ["chat", "queue", "operator"].map(|kind| (kind, count(kind) as u64)).into(),
        parked: [("chat", shared.chats.parked()), ("operator", shared.operators.parked())]
            .map(|(kind, parked)| (kind, parked as u64))
            .into(),
        calls_under_way: calls as u64,
        ready: true,
    }
}
