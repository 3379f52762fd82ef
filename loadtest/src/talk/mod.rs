//! One person at a terminal: a customer or an operator.
//!
//! Pure: typed lines and what the client tells go in, lines to print and calls to make come out.
//! Own messages show when they are durable; everybody's show once, also after the server was killed
//! and started again.

pub mod demo;
mod show;
mod typed;

use std::collections::{BTreeMap, BTreeSet};

use switchboard::domain::{ChannelId, ChatId, CommandId, Seq};
use switchboard::protocol::answer::{
    ChatHistoryPageFrame, ChatListedFrame, ChatOpenedFrame, MessageSentFrame, RoleFrame,
};
use switchboard::protocol::event::{ChatEventFrame, EventFrame, PartyFrame};
use switchboard::protocol::notify::OfferFrame;
use switchboard::protocol::params::{ChatOpenFrame, OfferShownFrame, RaiseWatermarkFrame};
use switchboard::protocol::{Call, ErrorFrame, Wire};

use crate::client::{Happening, answer};
use show::{clock, event_words};

/// What follows from a typed line or a happening.
#[derive(Debug, Default)]
pub struct Reaction {
    /// To print, in order.
    pub lines: Vec<String>,
    /// To call, in order.
    pub calls: Vec<Call>,
    /// Where a chat is to be transferred, by name; whoever has the directory answers with
    /// [`Terminal::transfer`].
    pub look_up: Option<String>,
    /// The person goes.
    pub quit: bool,
}

impl Reaction {
    fn line(line: impl Into<String>) -> Self {
        Self { lines: vec![line.into()], ..Self::default() }
    }

    fn call(call: Call) -> Self {
        Self { calls: vec![call], ..Self::default() }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Terminal {
    /// The channel of a customer; none: an operator.
    channel: Option<ChannelId>,
    /// In front of every id of this process.
    prefix: CommandId,
    ids: u64,
    connected: bool,
    /// The chats in the order in which they came; their numbers count from 1.
    chats: Vec<ChatId>,
    current: Option<ChatId>,
    offers: Vec<OfferFrame>,
    line: Vec<ChatId>,
    opening: bool,
    /// What a customer wrote before the chat was there.
    unsent: Vec<String>,
    /// Messages of this process.
    mine: BTreeSet<CommandId>,
    /// The end of each chat that was shown; what comes again is dropped.
    shown: BTreeMap<ChatId, Seq>,
    read: BTreeMap<ChatId, Seq>,
}

impl Terminal {
    /// A terminal whose ids begin with `prefix`, which no other process uses. With a channel it is
    /// a customer's.
    pub fn new(channel: Option<ChannelId>, prefix: CommandId) -> Self {
        Self {
            channel,
            prefix,
            ids: 0,
            connected: false,
            chats: Vec::new(),
            current: None,
            offers: Vec::new(),
            line: Vec::new(),
            opening: false,
            unsent: Vec::new(),
            mine: BTreeSet::new(),
            shown: BTreeMap::new(),
            read: BTreeMap::new(),
        }
    }

    fn is_customer(&self) -> bool {
        self.channel.is_some()
    }

    fn command(&mut self) -> Wire<CommandId> {
        self.ids += 1;
        let id = CommandId::new(&format!("{}-{}", self.prefix, self.ids));
        // Only a prefix of more than 43 characters leaves no room for a number.
        Wire(id.unwrap_or_else(|_| self.prefix.clone()))
    }

    /// The number of a chat, which it gets when it is named first.
    fn number(&mut self, chat: ChatId) -> usize {
        match self.chats.iter().position(|known| *known == chat) {
            Some(place) => place + 1,
            None => {
                self.chats.push(chat);
                self.chats.len()
            }
        }
    }

    fn is_other_side(&self, party: &PartyFrame) -> bool {
        match party {
            PartyFrame::Customer { .. } => !self.is_customer(),
            PartyFrame::Operator { .. } => self.is_customer(),
            PartyFrame::System => false,
        }
    }

    /// Takes what the client tells.
    pub fn happened(&mut self, happening: Happening) -> Reaction {
        match happening {
            Happening::Opened(opened) => {
                self.connected = true;
                let who = opened.me.name.unwrap_or(opened.me.id);
                let role = match opened.me.role {
                    RoleFrame::Customer => "customer",
                    RoleFrame::Operator => "operator",
                    RoleFrame::ChatAdministrator => "chat administrator",
                    RoleFrame::Administrator => "administrator",
                };
                let status = opened.status.map(|status| show::status(&status));
                let status = status.map_or(String::new(), |status| format!(", {status}"));
                let mut reaction = Reaction::line(format!("-- connected as {who}, {role}{status}"));
                if self.is_customer() && self.current.is_none() {
                    self.current = opened.chats.first().map(|chat| chat.id.0);
                }
                self.offers.clear();
                for offer in opened.offers {
                    self.offered(offer, &mut reaction);
                }
                reaction
            }
            Happening::Lost => {
                self.connected = false;
                Reaction::line("-- the connection is lost; connecting again")
            }
            Happening::Event(event) => self.event(&event),
            Happening::Offer(offer) => {
                let mut reaction = Reaction::default();
                self.offered(offer, &mut reaction);
                reaction
            }
            Happening::Withdrawn(over) => {
                self.offers.retain(|offer| offer.offer != over.offer);
                let n = self.number(over.chat.0);
                Reaction::line(format!("-- the offer of #{n} is over: {}", show::over(over.reason)))
            }
            Happening::Updated(is) => Reaction::line(format!(
                "-- you are {}, with {} of {} chats",
                show::status(&is.status),
                is.load,
                is.capacity
            )),
            Happening::Watermark(watermark) => {
                let theirs = self.is_other_side(&watermark.party);
                let known = self.read.entry(watermark.chat.0).or_default();
                if !theirs || watermark.read <= *known {
                    return Reaction::default();
                }
                *known = watermark.read;
                let n = self.number(watermark.chat.0);
                Reaction::line(format!("   #{n} read up to {}", watermark.read))
            }
            Happening::Gone(chat) => {
                let n = self.number(chat);
                self.drop_current(chat);
                Reaction::line(format!("-- #{n} is no longer yours"))
            }
            Happening::Answered { call, outcome, .. } => match outcome {
                Ok(raw) => self.answered(*call, &raw),
                Err(error) => self.refused(&call, &error),
            },
            Happening::Over(why) => {
                Reaction { quit: true, ..Reaction::line(format!("-- over: {why}")) }
            }
        }
    }

    fn offered(&mut self, offer: OfferFrame, reaction: &mut Reaction) {
        let n = self.number(offer.chat.0);
        let since = clock(offer.since.0);
        let until = clock(offer.expires_at.0);
        let name =
            offer.customer_name.as_deref().map(|name| format!(" of {}", show::printable(name)));
        let name = name.unwrap_or_default();
        reaction.lines.push(format!(
            "** offer: #{n}{name}, waiting since {since}, until {until}: /accept {n} or /decline {n}"
        ));
        let (chat, id) = (offer.chat, offer.offer);
        let shown = OfferShownFrame { chat, offer: id };
        reaction.calls.push(Call::OfferShown(shown));
        self.offers.retain(|known| known.offer != id);
        self.offers.push(offer);
    }

    fn drop_current(&mut self, chat: ChatId) {
        if self.current == Some(chat) {
            self.current = None;
        }
    }

    fn event(&mut self, event: &ChatEventFrame) -> Reaction {
        let chat = event.chat.0;
        let shown = self.shown.entry(chat).or_default();
        if event.seq <= *shown {
            return Reaction::default();
        }
        *shown = event.seq;
        let n = self.number(chat);
        let mut reaction = Reaction::default();
        let mut own = false;
        if let EventFrame::Message { client_message_id, from, .. } = &event.what {
            own = self.mine.contains(&client_message_id.0);
            if self.is_other_side(from) {
                let (chat, up_to) = (event.chat, event.seq);
                reaction.calls.push(Call::MessageRead(RaiseWatermarkFrame { chat, up_to }));
            }
        } else if let EventFrame::Ended { .. } = event.what {
            self.drop_current(chat);
        } else if let EventFrame::ContinuedIn { next } = event.what {
            self.current = Some(next.0);
        } else if let EventFrame::Opened { .. } = event.what
            && self.is_customer()
        {
            self.current = Some(chat);
        }
        // An own message stands on the screen already, and its answer says that it is safe.
        if !own {
            let at = clock(event.at.0);
            let words = event_words(&event.what, self.is_customer());
            reaction.lines.push(format!("{at} #{n} {:>3} {words}", event.seq));
        }
        reaction
    }

    fn answered(&mut self, call: Call, raw: &serde_json::value::RawValue) -> Reaction {
        match call {
            Call::ChatOpen(_) => {
                self.opening = false;
                if let Some(opened) = answer::<ChatOpenedFrame>(raw) {
                    self.current = Some(opened.chat.0);
                }
                let mut reaction = Reaction::default();
                for text in std::mem::take(&mut self.unsent) {
                    reaction.calls.extend(self.say(&text).calls);
                }
                reaction
            }
            Call::MessageSend(_) => match answer::<MessageSentFrame>(raw) {
                Some(sent) => {
                    let n = self.number(sent.chat.0);
                    if self.is_customer() {
                        self.current = Some(sent.chat.0);
                    }
                    Reaction::line(format!("{} #{n} {:>3} sent", clock(sent.at.0), sent.seq))
                }
                None => Reaction::default(),
            },
            Call::OfferAccept(accept) => {
                self.offers.retain(|offer| offer.offer != accept.offer);
                let n = self.number(accept.chat.0);
                self.current = Some(accept.chat.0);
                Reaction::line(format!("-- #{n} is yours; what you type goes there"))
            }
            Call::ChatTake(take) => {
                let n = self.number(take.chat.0);
                self.current = Some(take.chat.0);
                Reaction::line(format!("-- #{n} is yours; what you type goes there"))
            }
            Call::ChatHistory(_) => match answer::<ChatHistoryPageFrame>(raw) {
                Some(page) => self.history(&page),
                None => Reaction::default(),
            },
            Call::ChatList(_) => match answer::<ChatListedFrame>(raw) {
                Some(listed) => self.listed(listed),
                None => Reaction::default(),
            },
            Call::ChatTransfer(transfer) => {
                let n = self.number(transfer.chat.0);
                self.drop_current(transfer.chat.0);
                Reaction::line(format!("-- #{n} is transferred"))
            }
            Call::OfferDecline(decline) => {
                self.offers.retain(|offer| offer.offer != decline.offer);
                Reaction::line("-- declined")
            }
            Call::OperatorSetStatus(set) => {
                Reaction::line(format!("-- status: {}", show::status_word(set.status)))
            }
            Call::SessionOpen(_)
            | Call::SessionRenew(_)
            | Call::MessageReceived(_)
            | Call::MessageRead(_)
            | Call::ChatEnd(_)
            | Call::OfferShown(_)
            | Call::ChatSetState(_)
            | Call::PresenceAnswer(_) => Reaction::default(),
        }
    }

    fn refused(&mut self, call: &Call, error: &ErrorFrame) -> Reaction {
        if let Call::MessageRead(_) | Call::MessageReceived(_) | Call::OfferShown(_) = call {
            return Reaction::default();
        }
        if let Call::ChatOpen(_) = call {
            self.opening = false;
        }
        let reason = error.data.reason.map_or(String::new(), |reason| format!(" ({reason:?})"));
        Reaction::line(format!(
            "!! {}: {}{reason} {}",
            call.method().name(),
            error.message,
            error.data.name.advice()
        ))
    }

    fn history(&mut self, page: &ChatHistoryPageFrame) -> Reaction {
        let n = self.number(page.chat.0);
        let earlier = if page.before.is_some() { " (there is more before)" } else { "" };
        let mut reaction = Reaction::line(format!("-- history of #{n}{earlier}"));
        for event in &page.events {
            let at = clock(event.at.0);
            let words = event_words(&event.what, self.is_customer());
            reaction.lines.push(format!("   {at} {:>3} {words}", event.seq));
        }
        reaction.lines.push("-- end of history".to_owned());
        reaction
    }

    fn listed(&mut self, listed: ChatListedFrame) -> Reaction {
        let mut reaction = Reaction::line(format!("-- {} chats", listed.total));
        self.line = listed.chats.iter().map(|chat| chat.id.0).collect();
        for chat in listed.chats {
            let n = self.number(chat.id.0);
            let mark = if Some(chat.id.0) == self.current { ">" } else { " " };
            let state = show::state(chat.state.0);
            let since = clock(chat.since.0);
            let unread = chat.unread;
            reaction.lines.push(format!("{mark}  #{n} {state} since {since}, {unread} unread"));
        }
        if !listed.unreachable.is_empty() {
            let n = listed.unreachable.len();
            reaction.lines.push(format!("-- {n} cannot be read at the moment"));
        }
        reaction
    }

    /// Opens the customer's chat, unless that is under way.
    fn open(&mut self) -> Vec<Call> {
        let Some(channel) = self.channel.filter(|_| !self.opening) else {
            return Vec::new();
        };
        self.opening = true;
        let command_id = self.command();
        let channel = Wire(channel);
        vec![Call::ChatOpen(ChatOpenFrame { command_id, channel })]
    }
}

#[cfg(test)]
mod tests;
