//! The same log, two views: a customer sees the conversation, staff also how the chat was routed.

use super::cursor::Cursor;
use super::event::{AssignedHowFrame, ChatEventFrame, EventFrame, PartyFrame, PlacedCauseFrame};
use super::value::Wire;
use crate::domain::event::{AssignedHow, PlacedCause};
use crate::domain::{
    Audience, ChatEvent, ChatId, EventNames, Incarnation, Name, Party, Shown, UserId,
};

/// The names to show. Whoever implements it decides, per audience, whether the operator's own
/// name or the channel's is shown.
pub trait Names {
    /// The name of a user to show for something in which it was called `then`, and its channel, if
    /// that one spoke for it, `channel`. None of these is known of what happened before names were kept.
    fn of(&self, user: UserId, then: Option<&Name>, channel: Option<&Name>) -> Option<String>;
}

/// One viewpoint on one chat: turns the log's entries into frames.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The chat.
    pub chat: ChatId,
    /// The store's incarnation, for the cursors.
    pub incarnation: Incarnation,
    /// Who looks.
    pub audience: Audience,
    /// The names to show.
    pub names: &'a dyn Names,
}

impl View<'_> {
    /// The frame of an entry; none when it was not shown to this audience.
    pub fn frame(&self, recorded: &Shown) -> Option<ChatEventFrame> {
        let what = match (self.audience, recorded.to()) {
            (Audience::Customer, Audience::Customer) => {
                self.for_customer(&recorded.event, &recorded.names)?
            }
            (Audience::Staff, Audience::Staff) => self.for_staff(&recorded.event, &recorded.names),
            (Audience::Customer, Audience::Staff) | (Audience::Staff, Audience::Customer) => {
                return None;
            }
        };
        Some(ChatEventFrame {
            chat: Wire(self.chat),
            cursor: Wire(Cursor::new(self.incarnation, self.chat, recorded.seq)),
            seq: recorded.seq,
            at: recorded.at.into(),
            what,
        })
    }

    /// Somebody at present, as far as the audience may know.
    pub fn party(&self, party: Party) -> PartyFrame {
        self.called(party, None, None)
    }

    /// Somebody by the name of that time.
    fn called(&self, party: Party, then: Option<&Name>, channel: Option<&Name>) -> PartyFrame {
        let staff = self.audience == Audience::Staff;
        match party {
            Party::Customer(id) => PartyFrame::Customer {
                id: staff.then_some(Wire(id)),
                name: then.filter(|_| staff).map(text),
            },
            Party::User(id) => PartyFrame::Operator {
                id: staff.then_some(Wire(id)),
                name: self.names.of(id, then, channel),
            },
            Party::System => PartyFrame::System,
        }
    }

    fn by(&self, party: Party, names: &EventNames) -> PartyFrame {
        self.called(party, names.by.as_ref(), names.channel.as_ref())
    }

    fn other(&self, party: Party, names: &EventNames) -> PartyFrame {
        self.called(party, names.other.as_ref(), None)
    }

    fn for_customer(&self, event: &ChatEvent, names: &EventNames) -> Option<EventFrame> {
        match event {
            ChatEvent::Opened { customer, continues, .. } => Some(EventFrame::Opened {
                channel: Wire(customer.channel),
                customer: None,
                customer_name: None,
                priority: None,
                continues: continues.map(Wire),
            }),
            ChatEvent::Placed { cause, .. } => {
                Some(EventFrame::Placed { cause: cause.into(), queue: None, by: None })
            }
            ChatEvent::Assigned { operator, .. } => {
                let operator = self.by(Party::User(*operator), names);
                Some(EventFrame::Assigned { operator, how: None, by: None })
            }
            ChatEvent::Message { .. } | ChatEvent::Ended { .. } | ChatEvent::ContinuedIn { .. } => {
                Some(self.for_staff(event, names))
            }
            // Not open to it.
            ChatEvent::Offered { .. }
            | ChatEvent::OfferWidened { .. }
            | ChatEvent::CustomerUpdated { .. }
            | ChatEvent::Declined { .. }
            | ChatEvent::OfferNarrowed { .. }
            | ChatEvent::OfferEnded { .. }
            | ChatEvent::Begun { .. }
            | ChatEvent::TransferAsked { .. }
            | ChatEvent::TransferFailed { .. } => None,
        }
    }

    fn for_staff(&self, event: &ChatEvent, names: &EventNames) -> EventFrame {
        match event {
            ChatEvent::Opened { customer, profile, continues, command: _ } => EventFrame::Opened {
                channel: Wire(customer.channel),
                customer: Some(Wire(customer.id)),
                customer_name: profile.name.as_ref().map(text),
                priority: Some(profile.priority.points()),
                continues: continues.map(Wire),
            },
            ChatEvent::CustomerUpdated { profile } => EventFrame::CustomerUpdated {
                customer_name: profile.name.as_ref().map(text),
                priority: profile.priority.points(),
            },
            ChatEvent::Message { from, id, text } => EventFrame::Message {
                from: self.by(*from, names),
                client_message_id: Wire(id.clone()),
                text: text.into(),
            },
            ChatEvent::Placed { queue, cause, .. } => EventFrame::Placed {
                cause: cause.into(),
                queue: Some(Wire(*queue)),
                by: match cause {
                    PlacedCause::Opened => None,
                    PlacedCause::Transferred { by, .. } => Some(self.by(*by, names)),
                    PlacedCause::OwnerGone { operator } => {
                        Some(self.by(Party::User(*operator), names))
                    }
                },
            },
            ChatEvent::Offered {
                offer,
                reach,
                to,
                expires_at,
                decision,
                placement: _,
                process: _,
            } => EventFrame::Offered {
                offer: Wire(*offer),
                reach: Wire(*reach),
                to: to.iter().copied().map(Wire).collect(),
                expires_at: (*expires_at).into(),
                decision: decision.into(),
            },
            ChatEvent::OfferWidened { offer, to } => EventFrame::OfferWidened {
                offer: Wire(*offer),
                to: to.iter().copied().map(Wire).collect(),
            },
            ChatEvent::Declined { offer, operator, .. } => EventFrame::Declined {
                offer: Wire(*offer),
                operator: self.by(Party::User(*operator), names),
            },
            ChatEvent::OfferNarrowed { offer, operator, reason } => EventFrame::OfferNarrowed {
                offer: Wire(*offer),
                operator: self.by(Party::User(*operator), names),
                reason: Wire(*reason),
            },
            ChatEvent::OfferEnded { offer, how, .. } => {
                EventFrame::OfferEnded { offer: Wire(*offer), how: (*how).into() }
            }
            ChatEvent::Assigned { operator, how, .. } => self.assigned(*operator, how, names),
            ChatEvent::Begun { by, .. } => EventFrame::Begun { by: self.by(*by, names) },
            ChatEvent::TransferAsked { by, to, expires_at, .. } => EventFrame::TransferAsked {
                by: self.by(*by, names),
                to: self.other(Party::User(*to), names),
                expires_at: (*expires_at).into(),
            },
            ChatEvent::TransferFailed { reason, .. } => {
                EventFrame::TransferFailed { reason: (*reason).into() }
            }
            ChatEvent::Ended { by, outcome, .. } => {
                EventFrame::Ended { by: self.by(*by, names), outcome: Wire(*outcome) }
            }
            ChatEvent::ContinuedIn { chat } => EventFrame::ContinuedIn { next: Wire(*chat) },
        }
    }

    fn assigned(&self, operator: UserId, how: &AssignedHow, names: &EventNames) -> EventFrame {
        let (how, by) = match how {
            AssignedHow::Accepted { offer: _ } => (AssignedHowFrame::Accepted, None),
            AssignedHow::Taken => (AssignedHowFrame::Taken, None),
            AssignedHow::Transferred { by, .. } => {
                (AssignedHowFrame::Transferred, Some(self.other(*by, names)))
            }
        };
        let operator = self.by(Party::User(operator), names);
        EventFrame::Assigned { operator, how: Some(how), by }
    }
}

fn text(name: &Name) -> String {
    name.as_str().to_owned()
}

impl From<&PlacedCause> for PlacedCauseFrame {
    fn from(cause: &PlacedCause) -> Self {
        match cause {
            PlacedCause::Opened => Self::Opened,
            PlacedCause::Transferred { .. } => Self::Transferred,
            PlacedCause::OwnerGone { .. } => Self::OwnerGone,
        }
    }
}
