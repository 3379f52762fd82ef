//! What people see, as observations for the ledger, and the figures of the wire.
//!
//! People report what they were told; nothing here is taken from the server's inside. Customers are
//! not told ids of operators, so names, which the run makes unique, stand for them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use switchboard::domain::{ChatId, CommandId, CustomerId, OfferId, Party, Reach, Seq, UserId};
use switchboard::protocol::event::{ChatEventFrame, EventFrame, OfferEndFrame, PartyFrame};

use crate::stats::WireFigures;
use crate::verify::{Ledger, Message, Observation, TextHash};

/// The ledger and the figures of a run, shared by everybody in it.
#[derive(Debug, Default)]
pub struct Recorder(Mutex<Book>);

/// See [`Recorder`].
#[derive(Debug, Default)]
pub struct Book {
    /// The ledger.
    pub ledger: Ledger,
    /// The figures.
    pub wire: WireFigures,
    /// Refusals that people met, by name.
    pub refused: BTreeMap<&'static str, u64>,
    /// Whose each message is, and when it was sent, µs of the run.
    sent: HashMap<CommandId, (Party, u64)>,
    names: HashMap<String, UserId>,
    /// The offers that reached their operators.
    shown: BTreeSet<OfferId>,
}

impl Recorder {
    /// The book, for a moment.
    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// Somebody whom customers know by name.
    pub fn name(&mut self, name: &str, user: UserId) {
        self.names.insert(name.to_owned(), user);
    }

    /// A message is about to be sent for the first time.
    pub fn sent(&mut self, from: Party, id: &CommandId, text: &str, at_us: u64) {
        self.sent.insert(id.clone(), (from, at_us));
        let message = Message { from, id: id.clone(), text: TextHash::of(text) };
        self.ledger.observe(Observation::Sent { message });
    }

    /// It was acknowledged.
    pub fn acknowledged(
        &mut self,
        from: Party,
        id: &CommandId,
        chat: ChatId,
        seq: Seq,
        at_us: u64,
    ) {
        if let Some((_, sent_us)) = self.sent.get(id) {
            let took_us = at_us.saturating_sub(*sent_us);
            self.wire.acknowledge_us.add(took_us);
        }
        let id = id.clone();
        self.ledger.observe(Observation::Acknowledged { chat, from, id, seq });
        self.wire.messages = self.ledger.acknowledged();
    }

    /// A refusal that is no violation by itself.
    pub fn refused(&mut self, name: &'static str) {
        *self.refused.entry(name).or_default() += 1;
    }

    /// A customer's chat exists.
    pub fn opened(&mut self, chat: ChatId, customer: CustomerId) {
        self.ledger.observe(Observation::Opened { chat, customer });
    }

    /// Somebody was told an event.
    pub fn event(&mut self, by: Party, event: &ChatEventFrame, at_us: u64) {
        let (chat, seq) = (event.chat.0, event.seq);
        if let Some(message) = self.message(event) {
            if let Some((from, sent_us)) = self.sent.get(&message.id)
                && *from != by
            {
                let took_us = at_us.saturating_sub(*sent_us);
                self.wire.delivery_us.add(took_us);
            }
            self.ledger.observe(Observation::Seen { chat, by, seq, message });
            return;
        }
        let Some(owner) = self.owner(&event.what) else {
            return;
        };
        self.owner_seen(chat, by, seq, owner);
        if let Party::User(operator) = by {
            self.ledger.observe(if owner == Some(operator) {
                Observation::Gained { chat, operator, seq }
            } else {
                Observation::Lost { chat, operator, seq }
            });
        }
        if let EventFrame::Ended { .. } = event.what {
            self.ledger.observe(Observation::Ended { chat });
        }
    }

    /// An offer has reached its operator.
    pub fn shown(&mut self, offer: OfferId) {
        self.shown.insert(offer);
    }

    /// Somebody read a whole chat again.
    pub fn history(&mut self, chat: ChatId, by: Party, events: &[ChatEventFrame]) {
        let messages = events.iter();
        let messages = messages.filter_map(|event| Some((event.seq, self.message(event)?)));
        let messages = messages.collect();
        self.ledger.observe(Observation::History { chat, by, messages });
    }

    /// Somebody who may see everything read a whole chat: who held a slot for it when, by the
    /// server's times. `kills` are the times at which the server was killed, UTC ms, in order: an
    /// offer that a restart ended was over then, though the chat says so only when it is woken. An
    /// offer for which its operator held no slot never reached that operator, and took none; nor does
    /// one that a restart ended before it reached anybody: a store that is slower than a reservation
    /// lives makes such, and the kill came before they were taken back.
    pub fn audited(&mut self, chat: ChatId, by: Party, events: &[ChatEventFrame], kills: &[u64]) {
        self.history(chat, by, events);
        let unheld = events.iter().filter_map(|event| self.not_reserved(event));
        let unheld: BTreeSet<OfferId> = unheld.collect();
        let (mut asked, mut owner): (Option<(UserId, u64)>, Option<UserId>) = (None, None);
        for event in events {
            let at_ms = event.at.0;
            if let EventFrame::Offered { offer, reach, to, .. } = &event.what
                && reach.0 == Reach::Directed
                && !unheld.contains(&offer.0)
                && let Some(operator) = to.first()
            {
                asked = Some((operator.0, at_ms));
                self.held(operator.0, chat, at_ms);
            } else if let EventFrame::OfferEnded { how, .. } = &event.what
                && let Some((operator, from_ms)) = asked.take()
            {
                self.released(operator, chat, offer_over_ms(*how, from_ms, at_ms, kills));
            }
            let Some(now) = self.owner(&event.what) else {
                continue;
            };
            self.owner_seen(chat, by, event.seq, now);
            let others = owner.into_iter().chain(asked.take().map(|(who, _)| who));
            let others: Vec<UserId> = others.filter(|who| Some(*who) != now).collect();
            for operator in others {
                self.released(operator, chat, at_ms);
                let seq = event.seq;
                self.ledger.observe(Observation::Lost { chat, operator, seq });
            }
            if let Some(operator) = now {
                self.held(operator, chat, at_ms);
            }
            owner = now;
        }
    }

    /// The offer that ended here without a slot held for it.
    fn not_reserved(&self, event: &ChatEventFrame) -> Option<OfferId> {
        let EventFrame::OfferEnded { offer, how } = &event.what else { return None };
        let unheld = match how {
            OfferEndFrame::NotReserved => true,
            OfferEndFrame::Restart => !self.shown.contains(&offer.0),
            OfferEndFrame::Declined
            | OfferEndFrame::Lapsed
            | OfferEndFrame::NotReady
            | OfferEndFrame::NotEligible => false,
        };
        unheld.then_some(offer.0)
    }

    fn held(&mut self, operator: UserId, chat: ChatId, at_ms: u64) {
        self.ledger.observe(Observation::Held { operator, chat, at_ms });
    }

    fn released(&mut self, operator: UserId, chat: ChatId, at_ms: u64) {
        self.ledger.observe(Observation::Released { operator, chat, at_ms });
    }

    fn owner_seen(&mut self, chat: ChatId, by: Party, seq: Seq, owner: Option<UserId>) {
        self.ledger.observe(Observation::OwnerSeen { chat, by, seq, owner });
    }

    /// The message in an event. Of whom it is, the run knows by its id; an unknown id, or one of
    /// another kind of person, is nobody's, which the ledger tells.
    fn message(&self, event: &ChatEventFrame) -> Option<Message> {
        let EventFrame::Message { from, client_message_id, text } = &event.what else {
            return None;
        };
        let id = client_message_id.0.clone();
        let known = self.sent.get(&id).map(|(party, _)| *party);
        let from = match (from, known) {
            (PartyFrame::Customer { id: None, .. }, Some(party @ Party::Customer(_))) => party,
            (PartyFrame::Customer { id: Some(id), .. }, _) => Party::Customer(id.0),
            (PartyFrame::Operator { id: Some(id), .. }, _) => Party::User(id.0),
            (PartyFrame::Operator { id: None, name }, Some(party @ Party::User(user)))
                if self.named(name.as_deref()) == Some(user) =>
            {
                party
            }
            (PartyFrame::Customer { .. } | PartyFrame::Operator { .. } | PartyFrame::System, _) => {
                Party::System
            }
        };
        let text = text.check().ok()?;
        let text = TextHash::of(text.as_str());
        Some(Message { from, id, text })
    }

    fn named(&self, name: Option<&str>) -> Option<UserId> {
        name.and_then(|name| self.names.get(name)).copied()
    }

    /// Whose a chat is after an event; none: the event says nothing of it.
    fn owner(&self, what: &EventFrame) -> Option<Option<UserId>> {
        match what {
            EventFrame::Placed { .. } | EventFrame::Ended { .. } => Some(None),
            EventFrame::Assigned { operator, .. } => match operator {
                PartyFrame::Operator { id: Some(id), .. } => Some(Some(id.0)),
                PartyFrame::Operator { id: None, name } => Some(self.named(name.as_deref())),
                PartyFrame::Customer { .. } | PartyFrame::System => Some(None),
            },
            EventFrame::Opened { .. }
            | EventFrame::CustomerUpdated { .. }
            | EventFrame::Message { .. }
            | EventFrame::Offered { .. }
            | EventFrame::OfferWidened { .. }
            | EventFrame::Declined { .. }
            | EventFrame::OfferNarrowed { .. }
            | EventFrame::OfferEnded { .. }
            | EventFrame::Begun { .. }
            | EventFrame::TransferAsked { .. }
            | EventFrame::TransferFailed { .. }
            | EventFrame::ContinuedIn { .. } => None,
        }
    }
}

/// When an offer that was made at `from_ms` was over, by the server's ms.
fn offer_over_ms(how: OfferEndFrame, from_ms: u64, told_ms: u64, kills: &[u64]) -> u64 {
    match how {
        OfferEndFrame::Restart => {
            let killed_ms = kills.iter().copied().find(|kill_ms| *kill_ms >= from_ms);
            killed_ms.map_or(told_ms, |killed_ms| killed_ms.min(told_ms))
        }
        OfferEndFrame::Declined
        | OfferEndFrame::Lapsed
        | OfferEndFrame::NotReady
        | OfferEndFrame::NotReserved
        | OfferEndFrame::NotEligible => told_ms,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::verify::Violation;

    const ANN: UserId = UserId::from_u128(1);

    fn event(chat: ChatId, seq: Seq, mut what: serde_json::Value) -> ChatEventFrame {
        what["chat"] = json!(chat.to_string());
        let of = switchboard::domain::Incarnation::from_u128(7);
        what["cursor"] =
            json!(switchboard::protocol::Wire(switchboard::protocol::Cursor::new(of, chat, seq)));
        what["seq"] = json!(seq);
        what["at"] = json!(1_000 * seq);
        serde_json::from_value(what).unwrap()
    }

    fn offered(n: u128) -> serde_json::Value {
        json!({
            "kind": "offered", "offer": OfferId::from_u128(n).to_string(), "reach": "directed",
            "to": [ANN.to_string()], "expires_at": 9_000,
            "decision": {
                "rule": "longest_idle", "config_version": 1, "trigger": "push", "runners_up": [],
                "standings": {},
            },
        })
    }

    fn ended(n: u128, how: &str) -> serde_json::Value {
        json!({"kind": "offer_ended", "offer": OfferId::from_u128(n).to_string(), "how": how})
    }

    /// Two chats offered to an operator of one slot at one time; one offer ends as told, and the
    /// operator has been shown these.
    fn two_offers(how: &str, shown: &[u128]) -> usize {
        let mut book = Book::default();
        shown.iter().for_each(|n| book.shown(OfferId::from_u128(*n)));
        book.ledger.observe(Observation::Operator {
            operator: ANN,
            at_ms: 0,
            capacity: 1,
            queues: Vec::new(),
        });
        for (n, how) in [(1, how), (2, "lapsed")] {
            let chat = ChatId::from_u128(n);
            let events = [event(chat, 1, offered(n)), event(chat, 2, ended(n, how))];
            book.audited(chat, Party::System, &events, &[]);
        }
        let found = book.ledger.finish(10_000).kept();
        found.iter().filter(|v| matches!(v, Violation::AboveCapacity { .. })).count()
    }

    #[test]
    fn an_offer_without_a_slot_takes_none_and_any_other_does() {
        assert_eq!(two_offers("not_reserved", &[]), 0);
        assert_eq!(two_offers("declined", &[]), 1);
        assert_eq!(two_offers("restart", &[2]), 0);
        assert_eq!(two_offers("restart", &[1, 2]), 1);
    }
}
