//! What a client does, without a socket and without a clock.
//!
//! Frames, orders and losses of the connection come in; frames to send and [`Happening`]s come out.
//! Between a lost connection and the answer of the next `session.open` nothing else is sent.

use std::collections::VecDeque;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use switchboard::domain::ChatId;
use switchboard::protocol::answer::{
    ChatHistoryPageFrame, ChatOpenedFrame, MeFrame, MessageSentFrame, RoleFrame, SessionOpenedFrame,
};
use switchboard::protocol::envelope::{
    BadServerFrame, FromServer, read_from_server, write_request,
};
use switchboard::protocol::event::{ChatEventFrame, EventFrame, PartyFrame};
use switchboard::protocol::notify::{
    OfferFrame, OfferWithdrawnFrame, OperatorUpdatedFrame, WatermarkFrame,
};
use switchboard::protocol::params::{PresenceAnswerFrame, SessionOpenFrame, SessionRenewFrame};
use switchboard::protocol::value::{Token, WireText};
use switchboard::protocol::{Call, ErrorFrame, Notification, RequestId, Wire};

use super::calls::Calls;
use super::chats::{Chats, history};

/// By which a person knows its own call again.
pub type Ticket = u64;

/// What a person is told.
#[derive(Debug)]
pub enum Happening {
    /// The session is open, for the first time or again.
    Opened(Box<SessionOpenedFrame>),
    /// The connection is lost; the client makes a new one by itself.
    Lost,
    /// Something happened in a chat: once and in order.
    Event(ChatEventFrame),
    /// An offer.
    Offer(OfferFrame),
    /// It is over.
    Withdrawn(OfferWithdrawnFrame),
    /// The operator itself changed.
    Updated(OperatorUpdatedFrame),
    /// Somebody received or read more.
    Watermark(WatermarkFrame),
    /// A chat is no longer this person's, and nothing more can be read of it.
    Gone(ChatId),
    /// A call of this person's is over.
    Answered {
        /// Which.
        ticket: Ticket,
        /// The call as it was made.
        call: Box<Call>,
        /// What came back; [`answer`] reads it.
        outcome: Result<Box<RawValue>, ErrorFrame>,
    },
    /// The client has given up; nothing follows.
    Over(String),
}

/// Reads a good answer.
pub fn answer<T: DeserializeOwned>(raw: &RawValue) -> Option<T> {
    serde_json::from_str(raw.get()).ok()
}

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Open,
    Renew,
    Probe,
    Load(ChatId),
    Person(Ticket),
}

/// What the engine cannot go on with.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A frame that is none of a server's.
    #[error(transparent)]
    Frame(#[from] BadServerFrame),
    /// The session was refused.
    #[error("the session was refused: {0}")]
    Refused(String),
    /// Our own frame.
    #[error(transparent)]
    Encode(#[from] switchboard::protocol::envelope::EncodeError),
}

/// One client.
#[derive(Debug, Default)]
pub struct Engine {
    me: Option<MeFrame>,
    open: bool,
    /// Calls that belong in front of all others on this socket.
    first: VecDeque<(Why, Call)>,
    calls: Calls<Why>,
    /// `session.open`, under way.
    opening: Option<(u64, Call)>,
    chats: Chats,
    told: VecDeque<Happening>,
}

impl Engine {
    /// A connection is there: the session is opened.
    pub fn connected(&mut self, token: Token) {
        let open = SessionOpenFrame { token: Wire(token), resume: self.chats.resume() };
        self.open = false;
        self.first.clear();
        self.first.push_back((Why::Open, Call::SessionOpen(open)));
    }

    /// A newer token is there.
    pub fn renew(&mut self, token: Token) {
        let renew = Call::SessionRenew(SessionRenewFrame { token: Wire(token) });
        self.calls.add(Why::Renew, renew);
    }

    /// The connection is lost.
    pub fn lost(&mut self) {
        let was_open = std::mem::take(&mut self.open);
        self.first.clear();
        self.opening = None;
        self.chats.lost();
        self.calls.lost(|why| match why {
            Why::Person(_) => true,
            Why::Open | Why::Renew | Why::Probe | Why::Load(_) => false,
        });
        if was_open {
            self.told.push_back(Happening::Lost);
        }
    }

    /// A person wants something.
    pub fn order(&mut self, ticket: Ticket, call: Call) {
        self.calls.add(Why::Person(ticket), call);
    }

    /// The next frame to send; none: wait for a frame, an order, or [`due_ms`](Self::due_ms).
    pub fn next_frame(&mut self, now_ms: u64) -> Result<Option<String>, EngineError> {
        if let Some((why, call)) = self.first.pop_front() {
            let id = 0;
            let text = write_request(&RequestId::Number(id), &call)?;
            debug_assert_eq!(why, Why::Open);
            self.opening = Some((id, call));
            return Ok(Some(text));
        }
        if !self.open {
            return Ok(None);
        }
        let next = self.calls.next(now_ms);
        let text = next.map(|(id, call)| write_request(&RequestId::Number(id), call));
        Ok(text.transpose()?)
    }

    /// When there is something to send again, ms.
    pub fn due_ms(&self) -> Option<u64> {
        self.calls.due_ms().filter(|_| self.open)
    }

    /// What the person is told next.
    pub fn next_happening(&mut self) -> Option<Happening> {
        self.told.pop_front()
    }

    /// How many calls have no answer yet.
    pub fn out(&self) -> usize {
        self.calls.out()
    }

    /// Takes a frame.
    pub fn frame(&mut self, text: &str, now_ms: u64) -> Result<(), EngineError> {
        match read_from_server(text)? {
            FromServer::Answer { id, outcome } => match id {
                Some(RequestId::Number(0)) => self.opened(outcome),
                Some(RequestId::Number(id)) => {
                    self.answered(id, outcome, now_ms);
                    Ok(())
                }
                // Ours are numbers; an answer to none of them is to a frame that was not read.
                Some(RequestId::Text(_)) | None => match outcome {
                    Ok(_) => Ok(()),
                    Err(error) => Err(EngineError::Refused(error.message)),
                },
            },
            FromServer::Notification(notification) => {
                self.notified(notification);
                Ok(())
            }
            FromServer::Unknown(_) => Ok(()),
        }
    }

    fn opened(&mut self, outcome: Result<Box<RawValue>, ErrorFrame>) -> Result<(), EngineError> {
        self.opening = None;
        let raw = outcome.map_err(|error| EngineError::Refused(error.message))?;
        let opened: SessionOpenedFrame = serde_json::from_str(raw.get())
            .map_err(|error| EngineError::Refused(error.to_string()))?;
        self.open = true;
        self.me = Some(opened.me.clone());
        for chat in self.chats.untold() {
            self.load(chat);
        }
        for chat in &opened.chats {
            if chat.reload {
                self.load(chat.id.0);
            } else {
                self.enter(chat.id.0);
            }
        }
        // What was missed of these may still be readable, or be so again after a while.
        for chat in &opened.unreachable {
            self.chats.suspect(chat.0);
        }
        for chat in opened.gone.iter().chain(&opened.unreachable) {
            self.load(chat.0);
        }
        self.told.push_back(Happening::Opened(Box::new(opened)));
        Ok(())
    }

    fn answered(&mut self, id: u64, outcome: Result<Box<RawValue>, ErrorFrame>, now_ms: u64) {
        let refused = outcome.as_ref().err();
        let Some(open) = self.calls.answered(id, refused, now_ms) else {
            return;
        };
        match open.why {
            Why::Person(ticket) => {
                self.follow(&open.call, &outcome);
                let call = Box::new(open.call);
                self.told.push_back(Happening::Answered { ticket, call, outcome });
            }
            Why::Load(chat) => self.loaded(chat, outcome),
            // A renewal that is refused shows when the token ends.
            Why::Open | Why::Renew | Why::Probe => {}
        }
    }

    /// Enters the chat that an answer gives to this person.
    fn follow(&mut self, call: &Call, outcome: &Result<Box<RawValue>, ErrorFrame>) {
        let Ok(raw) = outcome else { return };
        let entered = match call {
            Call::ChatOpen(_) => answer::<ChatOpenedFrame>(raw).map(|opened| opened.chat.0),
            Call::MessageSend(send) => {
                let sent = answer::<MessageSentFrame>(raw).map(|sent| sent.chat.0);
                sent.filter(|chat| *chat != send.chat.0)
            }
            Call::OfferAccept(accept) => Some(accept.chat.0),
            Call::ChatTake(take) => Some(take.chat.0),
            Call::SessionOpen(_)
            | Call::SessionRenew(_)
            | Call::MessageReceived(_)
            | Call::MessageRead(_)
            | Call::ChatEnd(_)
            | Call::ChatHistory(_)
            | Call::OperatorSetStatus(_)
            | Call::OfferShown(_)
            | Call::OfferDecline(_)
            | Call::ChatList(_)
            | Call::ChatTransfer(_)
            | Call::ChatSetState(_)
            | Call::PresenceAnswer(_) => None,
        };
        // A repeated accept may be answered when the chat is long over: it was entered before.
        if let Some(chat) = entered.filter(|chat| !self.chats.knows(*chat)) {
            self.enter(chat);
        }
    }

    fn enter(&mut self, chat: ChatId) {
        if let Some(call) = self.chats.enter(chat) {
            self.calls.add(Why::Load(chat), call);
        }
    }

    fn load(&mut self, chat: ChatId) {
        if let Some(call) = self.chats.load(chat) {
            self.calls.add(Why::Load(chat), call);
        }
    }

    fn loaded(&mut self, chat: ChatId, outcome: Result<Box<RawValue>, ErrorFrame>) {
        let page = outcome.ok().and_then(|raw| answer::<ChatHistoryPageFrame>(&raw));
        let Some(page) = page else {
            let mut meanwhile = self.chats.not_loaded(chat);
            while let Some(next) = meanwhile.pop_front_if(|event| self.chats.follows(event)) {
                self.event(next);
            }
            if self.chats.drop_unsure(chat) {
                meanwhile.into_iter().for_each(|event| self.event(event));
                return;
            }
            let may_be_back = self.chats.refused(chat);
            self.told.push_back(Happening::Gone(chat));
            if may_be_back {
                meanwhile.into_iter().for_each(|event| self.event(event));
            }
            return;
        };
        let loaded = self.chats.page(page);
        if let Some(next) = loaded.next {
            self.calls.add(Why::Load(chat), next);
        }
        for event in loaded.events {
            self.tell(event);
        }
    }

    fn notified(&mut self, notification: Notification) {
        match notification {
            Notification::PresenceProbe(probe) => {
                let probe = probe.probe;
                let answer = Call::PresenceAnswer(PresenceAnswerFrame { probe });
                self.calls.add(Why::Probe, answer);
            }
            Notification::ChatEvent(event) => self.event(event),
            Notification::OfferPresented(offer) => self.told.push_back(Happening::Offer(offer)),
            Notification::OfferWithdrawn(over) => self.told.push_back(Happening::Withdrawn(over)),
            Notification::OperatorUpdated(is) => self.told.push_back(Happening::Updated(is)),
            Notification::ChatWatermark(watermark) => {
                self.told.push_back(Happening::Watermark(watermark))
            }
        }
    }

    fn event(&mut self, event: ChatEventFrame) {
        let chat = event.chat.0;
        if !self.chats.knows(chat) || self.comes_back(&event) {
            let customer = self.is_customer();
            if customer || self.gives_me(&event.what) {
                self.enter(chat);
            }
        }
        if let Some(event) = self.chats.event(event) {
            self.tell(event);
        }
    }

    /// Tells an event, and leaves the chat when it ends this person's part in it.
    fn tell(&mut self, event: ChatEventFrame) {
        let chat = event.chat.0;
        match &event.what {
            EventFrame::Ended { .. } => self.chats.end(chat),
            EventFrame::Placed { .. } if !self.is_customer() => self.chats.leave(chat),
            EventFrame::Assigned { .. } if self.gives_me(&event.what) => self.chats.stay(chat),
            EventFrame::Assigned { .. } if !self.is_customer() => self.chats.leave(chat),
            EventFrame::Opened { .. }
            | EventFrame::CustomerUpdated { .. }
            | EventFrame::Placed { .. }
            | EventFrame::Assigned { .. }
            | EventFrame::Message { .. }
            | EventFrame::Offered { .. }
            | EventFrame::OfferWidened { .. }
            | EventFrame::Declined { .. }
            | EventFrame::OfferNarrowed { .. }
            | EventFrame::OfferEnded { .. }
            | EventFrame::Begun { .. }
            | EventFrame::TransferAsked { .. }
            | EventFrame::TransferFailed { .. }
            | EventFrame::ContinuedIn { .. } => {}
        }
        self.told.push_back(Happening::Event(event));
    }

    /// Whether a chat that was left is this operator's again.
    fn comes_back(&self, event: &ChatEventFrame) -> bool {
        !self.chats.goes_on(event.chat.0) && self.gives_me(&event.what)
    }

    fn is_customer(&self) -> bool {
        self.me.as_ref().map(|me| me.role) == Some(RoleFrame::Customer)
    }

    fn gives_me(&self, what: &EventFrame) -> bool {
        let EventFrame::Assigned { operator, .. } = what else {
            return false;
        };
        let PartyFrame::Operator { id: Some(id), .. } = operator else {
            return false;
        };
        let mine = self.me.as_ref().map(|me| me.id.as_str());
        mine == Some(id.0.text().as_ref())
    }
}

/// A call for the latest page of a chat, for whoever reads it beside its events.
pub fn latest_page(chat: ChatId) -> Call {
    history(chat, None, None)
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
