//! What a person types.

use switchboard::domain::{ChatId, MessageText};
use switchboard::protocol::params::{
    ChatCommandFrame, ChatListFrame, ChatTransferFrame, ListScope, MessageSendFrame,
    OfferAnswerFrame, SetStatusFrame, StatusWord, TransferTarget,
};
use switchboard::protocol::value::TextFrame;
use switchboard::protocol::{Call, Wire};

use super::{Reaction, Terminal};
use crate::client::engine::latest_page;

const HELP_CUSTOMER: &str = "-- type to write; /end, /history, /help, /quit";
const HELP_OPERATOR: &str = "-- type to write into the current chat; /ready, /away [REASON], /busy, \
     /offline; /accept [N], /decline [N]; /chat N, /chats, /line, /take N; /transfer NAME, /end, \
     /history, /help, /quit";

impl Terminal {
    /// The commands.
    pub fn help(&self) -> &'static str {
        if self.is_customer() { HELP_CUSTOMER } else { HELP_OPERATOR }
    }

    /// Takes a typed line.
    pub fn typed(&mut self, line: &str) -> Reaction {
        let line = line.trim();
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim();
        match (word, self.is_customer()) {
            ("", _) => Reaction::default(),
            ("/quit", _) => Reaction { quit: true, ..Reaction::default() },
            ("/help", _) => Reaction::line(self.help()),
            ("/end", _) => self.with_current(|terminal, chat| {
                let (command_id, chat) = (terminal.command(), Wire(chat));
                Reaction::call(Call::ChatEnd(ChatCommandFrame { command_id, chat }))
            }),
            ("/history", _) => {
                let named = self.numbered(rest).or(self.current);
                // Of an ended chat the person may still read.
                match named.or(self.chats.last().copied()) {
                    Some(chat) => Reaction::call(latest_page(chat)),
                    None => Reaction::line("!! there is no chat yet"),
                }
            }
            ("/ready", false) => self.status(StatusWord::Ready, ""),
            ("/away", false) => self.status(StatusWord::Away, rest),
            ("/busy", false) => self.status(StatusWord::Busy, ""),
            ("/offline", false) => self.status(StatusWord::Offline, ""),
            ("/accept", false) => self.offer(rest, Call::OfferAccept),
            ("/decline", false) => self.offer(rest, Call::OfferDecline),
            ("/chats", false) => list(ListScope::Mine),
            ("/line", false) => list(ListScope::Line),
            ("/chat", false) => match self.numbered(rest) {
                Some(chat) => {
                    self.current = Some(chat);
                    Reaction::line(format!("-- what you type goes to #{}", self.number(chat)))
                }
                None => Reaction::line("!! say which: /chat N"),
            },
            ("/take", false) => match self.numbered(rest).or(self.line.first().copied()) {
                Some(chat) => {
                    let (command_id, chat) = (self.command(), Wire(chat));
                    Reaction::call(Call::ChatTake(ChatCommandFrame { command_id, chat }))
                }
                None => Reaction::line("!! say which: /line, then /take N"),
            },
            ("/transfer", false) if !rest.is_empty() => self.with_current(|_, _| Reaction {
                look_up: Some(rest.to_owned()),
                ..Reaction::default()
            }),
            ("/transfer", false) => Reaction::line("!! say to whom: /transfer NAME"),
            (command, _) if command.starts_with('/') => {
                Reaction::line(format!("!! there is no {command} here\n{}", self.help()))
            }
            (_, _) => self.say(line),
        }
    }

    /// Transfers the current chat to what a name was found to be.
    pub fn transfer(&mut self, to: TransferTarget) -> Reaction {
        self.with_current(|terminal, chat| {
            let (command_id, chat) = (terminal.command(), Wire(chat));
            Reaction::call(Call::ChatTransfer(ChatTransferFrame { command_id, chat, to }))
        })
    }

    pub(super) fn say(&mut self, text: &str) -> Reaction {
        if let Err(error) = MessageText::new(text) {
            return Reaction::line(format!("!! not sent: {error}"));
        }
        let Some(chat) = self.current else {
            if self.is_customer() {
                self.unsent.push(text.to_owned());
                return Reaction { calls: self.open(), ..Reaction::default() };
            }
            return Reaction::line("!! no chat: /accept an offer, or /chat N");
        };
        let id = self.command();
        self.mine.insert(id.0.clone());
        let mut reaction = Reaction::call(Call::MessageSend(MessageSendFrame {
            chat: Wire(chat),
            client_message_id: id,
            text: TextFrame::from(text),
        }));
        if !self.connected {
            let line = "-- not connected; it goes out when the server is back";
            reaction.lines.push(line.to_owned());
        }
        reaction
    }

    fn with_current(&mut self, then: impl FnOnce(&mut Self, ChatId) -> Reaction) -> Reaction {
        match self.current {
            Some(chat) => then(self, chat),
            None => Reaction::line("!! there is no current chat"),
        }
    }

    fn numbered(&self, text: &str) -> Option<ChatId> {
        let n: usize = text.trim_start_matches('#').parse().ok()?;
        self.chats.get(n.checked_sub(1)?).copied()
    }

    fn status(&mut self, status: StatusWord, reason: &str) -> Reaction {
        let command_id = self.command();
        let reason = Some(reason.to_owned()).filter(|reason| !reason.is_empty());
        Reaction::call(Call::OperatorSetStatus(SetStatusFrame { command_id, status, reason }))
    }

    /// Answers the offer of the chat of that number, or the oldest.
    fn offer(&mut self, number: &str, call: fn(OfferAnswerFrame) -> Call) -> Reaction {
        let chat = self.numbered(number);
        let of = |offer: &&super::OfferFrame| chat.is_none_or(|chat| offer.chat.0 == chat);
        let Some(offer) = self.offers.iter().find(of).cloned() else {
            return Reaction::line("!! there is no such offer");
        };
        let command_id = self.command();
        Reaction::call(call(OfferAnswerFrame { command_id, chat: offer.chat, offer: offer.offer }))
    }
}

fn list(scope: ListScope) -> Reaction {
    Reaction::call(Call::ChatList(ChatListFrame { scope, after: None }))
}
