//! One customer of a replay: comes, asks, waits as long as its patience lasts, talks, is gone.

use std::collections::VecDeque;
use std::sync::Arc;

use switchboard::domain::{ChatId, CommandId, CustomerId, MessageText, Party};
use switchboard::protocol::answer::{ChatOpenedFrame, MessageSentFrame};
use switchboard::protocol::event::{ChatEventFrame, EventFrame, PartyFrame};
use switchboard::protocol::params::{
    ChatCommandFrame, ChatOpenFrame, MessageSendFrame, RaiseWatermarkFrame,
};
use switchboard::protocol::value::TextFrame;
use switchboard::protocol::{Call, Wire};

use super::floor::{Floor, Phase};
use crate::client::{Client, Happening, Waits, answer};
use crate::dialog::Speaker;
use crate::run::RunError;
use crate::stats::Fate;

/// How long before its second a customer connects, µs of the run.
const LEAD_US: u64 = 1_000_000;

/// Waits between attempts to connect: loopback, and a test waits for nobody's battery.
pub(super) const WAITS: Waits = Waits { first_ms: 50, most_ms: 500 };

/// Plays one customer of the plan.
pub async fn play(floor: Arc<Floor>, place: usize) -> Result<(), RunError> {
    let Some(who) = floor.plan.customers.get(place) else {
        return Ok(());
    };
    let Some(door) = floor.doors.get(who.queue) else {
        return Ok(());
    };
    let arrives_us = floor.us_of(who.arrives_ms);
    let connects_us = arrives_us.saturating_sub(LEAD_US);
    tokio::time::sleep_until(floor.clock.at_ms(connects_us / 1_000)).await;
    let (client, mut inbox) = Client::start(
        &floor.address,
        door.visitor(None, who.priority),
        WAITS,
        floor.clock,
        who.line,
        Arc::clone(&floor.out),
    );
    let mut phase = floor.phase.clone();
    let mut visit = Visit {
        floor: &floor,
        place,
        client,
        me: None,
        chat: None,
        stray: None,
        arrives_us,
        asked: false,
        assigned: false,
        over: false,
        ending: None,
        unacked: 0,
        lines: VecDeque::new(),
    };
    while !visit.gone() {
        let due = floor.clock.at_ms(visit.due_us().div_ceil(1_000));
        tokio::select! {
            happening = inbox.recv() => match happening {
                Some((_, Happening::Over(why))) => return Err(visit.failed(why)),
                Some((at_us, happening)) => visit.happened(happening, at_us)?,
                None => return Err(visit.failed("the client has ended".to_owned())),
            },
            () = tokio::time::sleep_until(due) => visit.is_due(floor.clock.us())?,
            Ok(()) = phase.changed() => {
                if *phase.borrow() >= Phase::GiveUp {
                    visit.leave(Fate::Unserved);
                }
            }
        }
    }
    Ok(())
}

struct Visit<'a> {
    floor: &'a Floor,
    place: usize,
    client: Client,
    me: Option<CustomerId>,
    chat: Option<ChatId>,
    /// A chat that a late line has opened; it is ended at once.
    stray: Option<ChatId>,
    arrives_us: u64,
    asked: bool,
    assigned: bool,
    over: bool,
    ending: Option<Fate>,
    unacked: u32,
    /// When which line is said, µs of the run.
    lines: VecDeque<(u64, MessageText)>,
}

/// Later than any run, µs.
const NEVER_US: u64 = 1 << 50;

impl Visit<'_> {
    fn gone(&self) -> bool {
        self.over && self.unacked == 0 && self.stray.is_none()
    }

    fn failed(&self, why: String) -> RunError {
        let who = format!("customer {}", self.place);
        RunError::Person { who, why }
    }

    fn command(&self, what: &str) -> Result<CommandId, RunError> {
        let id = format!("{what}-{}", self.place);
        CommandId::new(&id).map_err(|error| self.failed(error.to_string()))
    }

    fn due_us(&self) -> u64 {
        if self.me.is_none() {
            return NEVER_US;
        }
        if !self.asked {
            return self.arrives_us;
        }
        if self.assigned {
            let next = self.lines.front().filter(|_| !self.over);
            return next.map_or(NEVER_US, |(at_us, _)| *at_us);
        }
        let patience_ms = self.floor.plan.customers[self.place].patience_ms;
        let waiting = self.chat.is_some() && self.ending.is_none();
        match patience_ms.filter(|_| waiting) {
            Some(patience_ms) => self.arrives_us + self.floor.length_us(patience_ms),
            None => NEVER_US,
        }
    }

    fn is_due(&mut self, now_us: u64) -> Result<(), RunError> {
        if self.due_us() > now_us {
            return Ok(());
        }
        if !self.asked {
            self.asked = true;
            let open = ChatOpenFrame {
                command_id: Wire(self.command("open")?),
                channel: Wire(
                    self.floor.doors[self.floor.plan.customers[self.place].queue].channel,
                ),
            };
            self.client.call(Call::ChatOpen(open));
        } else if self.assigned {
            self.say(now_us)?;
        } else {
            self.leave(Fate::Left);
        }
        Ok(())
    }

    /// Ends the chat, if it is still in a line.
    fn leave(&mut self, why: Fate) {
        if let Some(chat) = self.chat
            && !self.assigned
            && self.ending.is_none()
        {
            self.ending = Some(why);
            self.end(chat, "leave");
        }
    }

    fn end(&mut self, chat: ChatId, what: &str) {
        if let Ok(command_id) = self.command(what) {
            let (command_id, chat) = (Wire(command_id), Wire(chat));
            self.client.call(Call::ChatEnd(ChatCommandFrame { command_id, chat }));
        }
    }

    fn say(&mut self, now_us: u64) -> Result<(), RunError> {
        let (Some(me), Some(chat)) = (self.me, self.chat) else {
            return Ok(());
        };
        let Some((_, text)) = self.lines.pop_front() else {
            return Ok(());
        };
        let id = self.command(&format!("c{}", self.lines.len()))?;
        let from = Party::Customer(me);
        self.floor.recorder.book().sent(from, &id, text.as_str(), now_us);
        self.unacked += 1;
        self.client.call(Call::MessageSend(MessageSendFrame {
            chat: Wire(chat),
            client_message_id: Wire(id),
            text: TextFrame::from(&text),
        }));
        Ok(())
    }

    fn happened(&mut self, happening: Happening, at_us: u64) -> Result<(), RunError> {
        match happening {
            Happening::Opened(opened) => {
                let me = CustomerId::parse(&opened.me.id)
                    .map_err(|_| RunError::Answer("session.open"))?;
                self.me = Some(me);
                self.floor.is_customer(me, self.place);
            }
            Happening::Answered { call, outcome, .. } => match (*call, outcome) {
                (Call::ChatOpen(_), Ok(raw)) => {
                    let opened: ChatOpenedFrame =
                        answer(&raw).ok_or(RunError::Answer("chat.open"))?;
                    self.opened(opened.chat.0, at_us);
                }
                (Call::ChatOpen(_), Err(error)) => return Err(self.failed(error.message)),
                (Call::MessageSend(sent), Ok(raw)) => {
                    self.unacked -= 1;
                    let at: MessageSentFrame =
                        answer(&raw).ok_or(RunError::Answer("message.send"))?;
                    self.acknowledged(&sent, &at, at_us);
                }
                (Call::MessageSend(_), Err(error)) => {
                    self.unacked -= 1;
                    self.floor.recorder.book().refused(error.data.name.name());
                }
                (_, Err(error)) => self.floor.recorder.book().refused(error.data.name.name()),
                (_, Ok(_)) => {}
            },
            Happening::Event(event) => self.event(&event, at_us),
            Happening::Gone(chat) if Some(chat) == self.chat => {
                return Err(self.failed(format!("chat {chat} is gone")));
            }
            Happening::Gone(_)
            | Happening::Lost
            | Happening::Offer(_)
            | Happening::Withdrawn(_)
            | Happening::Updated(_)
            | Happening::Watermark(_)
            | Happening::Over(_) => {}
        }
        Ok(())
    }

    /// The chat exists; its events may be told before the call that opened it is answered.
    fn opened(&mut self, chat: ChatId, at_us: u64) {
        if self.chat.is_some() {
            return;
        }
        if let Some(me) = self.me {
            self.floor.recorder.book().opened(chat, me);
        }
        self.chat = Some(chat);
        self.floor.waits(self.place, chat, at_us);
        if *self.floor.phase.borrow() >= Phase::GiveUp {
            self.leave(Fate::Unserved);
        }
    }

    fn acknowledged(&mut self, sent: &MessageSendFrame, at: &MessageSentFrame, at_us: u64) {
        let Some(me) = self.me else { return };
        let id = &sent.client_message_id.0;
        let mut book = self.floor.recorder.book();
        book.acknowledged(Party::Customer(me), id, at.chat.0, at.seq, at_us);
        if at.chat != sent.chat {
            book.opened(at.chat.0, me);
            drop(book);
            self.stray = Some(at.chat.0);
            self.end(at.chat.0, "stray");
        }
    }

    fn event(&mut self, event: &ChatEventFrame, at_us: u64) {
        let Some(me) = self.me else { return };
        let by = Party::Customer(me);
        let chat = event.chat.0;
        self.opened(chat, at_us);
        self.floor.recorder.book().event(by, event, at_us);
        if Some(chat) == self.stray {
            if let EventFrame::Ended { .. } = event.what {
                self.stray = None;
            }
            return;
        }
        if let EventFrame::Assigned { .. } = event.what {
            if !self.assigned {
                self.assigned(chat, at_us);
            }
        } else if let EventFrame::Ended { .. } = event.what {
            self.ended(chat, at_us);
        } else if let EventFrame::Message { from: PartyFrame::Operator { .. }, .. } = event.what {
            let (chat, up_to) = (event.chat, event.seq);
            self.client.call(Call::MessageRead(RaiseWatermarkFrame { chat, up_to }));
        }
    }

    fn waited_ms(&self, at_us: u64) -> u64 {
        let since_ms = self.floor.plan.customers[self.place].arrives_ms;
        self.floor.trace_ms(at_us).saturating_sub(since_ms)
    }

    fn assigned(&mut self, chat: ChatId, at_us: u64) {
        self.assigned = true;
        self.floor.waits_no_more(self.place, chat, at_us);
        self.floor.met(self.place, Fate::Served, self.waited_ms(at_us));
        let who = &self.floor.plan.customers[self.place];
        let own = who.lines().filter(|(_, turn)| turn.speaker == Speaker::Customer);
        self.lines = own
            .map(|(after_ms, turn)| {
                let when_us = at_us + self.floor.length_us(after_ms);
                (when_us, turn.text.clone())
            })
            .collect();
    }

    fn ended(&mut self, chat: ChatId, at_us: u64) {
        self.over = true;
        if !self.assigned {
            self.floor.waits_no_more(self.place, chat, at_us);
            let fate = self.ending.unwrap_or(Fate::Left);
            self.floor.met(self.place, fate, self.waited_ms(at_us));
        }
    }
}
