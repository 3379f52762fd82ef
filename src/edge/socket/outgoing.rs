//! What the router sends to a connection, as frames.

use std::collections::HashMap;

use super::caller::Caller;
use super::history;
use crate::actors::{Outgoing, Router};
use crate::domain::event::WithdrawReason;
use crate::domain::limits::PROBE_LIMIT_MS;
use crate::domain::{ChatId, OfferId, QueueId, Reach, Seq, Shown, Timestamp};
use crate::edge::CatalogNames;
use crate::edge::limits::CHATS_REMEMBERED;
use crate::machine::operator::{Gone, Notice};
use crate::protocol::answer::StatusFrame;
use crate::protocol::notify::{
    OfferFrame, OfferOverReason, OfferWithdrawnFrame, OperatorUpdatedFrame, PresenceProbeFrame,
    WatermarkFrame,
};
use crate::protocol::{ErrorFrame, Notification, View, Wire, write_notification};

/// Up to which position each chat was sent, or was told to have been read otherwise.
#[derive(Debug, Default)]
pub(super) struct Seen(HashMap<ChatId, Seq>);

impl Seen {
    /// Everything up to `seq` is known to the client, or will come by another way.
    pub fn up_to(&mut self, chat: ChatId, seq: Seq) {
        // Forgetting costs nothing but a double after a resume: positions only matter until the
        // outbox has run past them.
        if self.0.len() >= CHATS_REMEMBERED && !self.0.contains_key(&chat) {
            self.0.clear();
        }
        let known = self.0.entry(chat).or_default();
        *known = (*known).max(seq);
    }

    /// Those of the events that the connection has not; from now on it has all of them.
    fn take_new<'a>(&mut self, chat: ChatId, events: &'a [Shown]) -> Vec<&'a Shown> {
        let new = events.iter().filter(|recorded| !self.is_known(chat, recorded.seq)).collect();
        if let Some(last) = events.last() {
            self.up_to(chat, last.seq);
        }
        new
    }

    fn is_known(&self, chat: ChatId, seq: Seq) -> bool {
        self.0.get(&chat).is_some_and(|known| seq <= *known)
    }
}

/// The frames for something that the router sends.
pub(super) async fn frames(
    by: &Caller,
    seen: &mut Seen,
    outgoing: Outgoing,
) -> Result<Vec<String>, ErrorFrame> {
    match outgoing {
        Outgoing::Events { chat, events } => {
            let fresh = seen.take_new(chat, &events).into_iter();
            Ok(fresh.filter_map(|recorded| event(by, chat, recorded)).collect())
        }
        Outgoing::Watermark { chat, party, watermark } => {
            let (snapshot, viewer) = (by.edge.catalog.snapshot(), by.viewer());
            let (names, audience) =
                (CatalogNames { snapshot: &snapshot, viewer }, viewer.audience());
            let incarnation = by.edge.incarnation;
            let party = View { chat, incarnation, audience, names: &names }.party(party);
            let (delivered, read) = (watermark.delivered, watermark.read);
            let frame = WatermarkFrame { chat: Wire(chat), party, delivered, read };
            Ok(written(&Notification::ChatWatermark(frame)).into_iter().collect())
        }
        Outgoing::Notice(notice) => {
            Ok(noticed(&by.edge.router, notice).as_ref().and_then(written).into_iter().collect())
        }
        Outgoing::Updated { status, load, capacity } => {
            let status = StatusFrame::from(&status);
            let updated =
                OperatorUpdatedFrame { operator: Wire(by.user()?), status, load, capacity };
            Ok(written(&Notification::OperatorUpdated(updated)).into_iter().collect())
        }
        Outgoing::Probe(probe) => {
            let probe = PresenceProbeFrame { probe, limit_ms: PROBE_LIMIT_MS };
            Ok(written(&Notification::PresenceProbe(probe)).into_iter().collect())
        }
        Outgoing::TooMany => Ok(Vec::new()),
    }
}

/// The frame of an event; none when the caller may not see it.
pub(super) fn event(by: &Caller, chat: ChatId, recorded: &Shown) -> Option<String> {
    let frame = history::frame_of(by, chat, recorded)?;
    written(&Notification::ChatEvent(frame))
}

/// The frame of an offer.
pub(super) fn offer_frame(
    router: &Router,
    (chat, offer, queue): (ChatId, OfferId, QueueId),
    reach: Reach,
    expires_at: Timestamp,
) -> OfferFrame {
    // A chat that is open no more takes its offer with it in the next frame.
    let since = router.waits_since(chat).unwrap_or_default();
    OfferFrame {
        chat: Wire(chat),
        offer: Wire(offer),
        queue: Wire(queue),
        reach: Wire(reach),
        customer_name: router.customer_name(chat).map(|name| name.as_str().to_owned()),
        since: since.into(),
        expires_at: expires_at.into(),
    }
}

fn noticed(router: &Router, notice: Notice) -> Option<Notification> {
    match notice {
        Notice::OfferPresented { chat, queue, offer, reach, expires_at } => {
            let frame = offer_frame(router, (chat, offer, queue), reach, expires_at);
            Some(Notification::OfferPresented(frame))
        }
        Notice::OfferWithdrawn { chat, offer, reason } => {
            let reason = over(reason);
            let (chat, offer) = (Wire(chat), Wire(offer));
            Some(Notification::OfferWithdrawn(OfferWithdrawnFrame { chat, offer, reason }))
        }
        Notice::Updated => None,
    }
}

/// Why an offer is over, in the words of the wire.
fn over(reason: Gone) -> OfferOverReason {
    match reason {
        Gone::Accepted => OfferOverReason::Accepted,
        Gone::Declined => OfferOverReason::Declined,
        Gone::Taken => OfferOverReason::Lost,
        Gone::Lapsed => OfferOverReason::Lapsed,
        Gone::Withdrawn(WithdrawReason::NotReady) => OfferOverReason::NotReady,
        Gone::Withdrawn(WithdrawReason::NotReserved) => OfferOverReason::NotReserved,
        Gone::Withdrawn(WithdrawReason::NotEligible) => OfferOverReason::NotEligible,
        Gone::Moved => OfferOverReason::Moved,
        Gone::ChatEnded => OfferOverReason::ChatEnded,
        Gone::Restart => OfferOverReason::Restart,
    }
}

/// The text of a notification; one that cannot be written is a fault of ours and is left out.
pub(super) fn written(notification: &Notification) -> Option<String> {
    let text = write_notification(notification);
    text.inspect_err(|error| tracing::error!(%error, "a notification could not be written")).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::{Audience, ChatEvent, EventNames, Recorded};

    #[test]
    fn what_was_read_already_is_known_and_what_follows_is_not() {
        let (one, other) = (ChatId::from_u128(1), ChatId::from_u128(2));
        let mut seen = Seen::default();
        assert!(!seen.is_known(one, 1));
        seen.up_to(one, 7);
        seen.up_to(one, 5);
        assert!(seen.is_known(one, 7), "positions only grow");
        assert!(!seen.is_known(one, 8));
        assert!(!seen.is_known(other, 7));
        for n in 0..CHATS_REMEMBERED as u128 + 10 {
            seen.up_to(ChatId::from_u128(n + 10), 1);
        }
        assert!(seen.0.len() <= CHATS_REMEMBERED);
    }

    #[test]
    fn what_is_sent_twice_is_new_once() {
        let chat = ChatId::from_u128(1);
        let event = |seq| {
            let event = ChatEvent::ContinuedIn { chat };
            let recorded =
                Recorded { seq, at: Timestamp(seq), event, names: EventNames::default() };
            Audience::Customer.show(Arc::new(recorded)).unwrap()
        };
        let events = [event(1), event(2), event(3)];
        let mut seen = Seen::default();
        let mut new = |events: &[Shown]| -> Vec<Seq> {
            seen.take_new(chat, events).into_iter().map(|recorded| recorded.seq).collect()
        };
        assert_eq!(new(&events[..2]), [1, 2]);
        assert_eq!(new(&events), [3]);
        assert_eq!(new(&events), [] as [Seq; 0]);
    }
}
