//! One customer of a crash run: opens a chat, writes in bursts, sometimes ends it, opens the next.

use std::collections::BTreeSet;
use std::sync::Arc;

use switchboard::domain::{ChatId, CustomerId, Party};
use switchboard::protocol::answer::{ChatOpenedFrame, MessageSentFrame};
use switchboard::protocol::event::{ChatEventFrame, EventFrame};
use switchboard::protocol::params::{ChatCommandFrame, ChatOpenFrame, MessageSendFrame};
use switchboard::protocol::value::TextFrame;
use switchboard::protocol::{Call, Wire};

use super::hall::{Conduct, Hall, Stage};
use super::{Reader, WAITS};
use crate::client::{Client, Happening, answer};
use crate::run::RunError;
use crate::run::provision::Door;

/// Messages in one chat, from and to.
const MESSAGES: (u64, u64) = (6, 30);

/// Between two bursts, µs.
const PAUSE_US: (u64, u64) = (300_000, 900_000);

/// Messages in one burst, from and to before: they are under way together.
const BURST: (u64, u64) = (1, 4);

/// How often a customer ends its chat itself, percent.
const ENDS_ITSELF: u64 = 30;

/// Later than any run, µs.
const NEVER_US: u64 = 1 << 50;

/// Plays one customer until the run closes, and hands it over for reading.
pub async fn play(
    hall: Arc<Hall>,
    place: usize,
    seed: u64,
    door: Door,
) -> Result<Reader, RunError> {
    let (client, mut inbox) = Client::start(
        &hall.address,
        door.visitor(None, switchboard::domain::Priority::default()),
        WAITS,
        hall.clock,
        place as u64,
        Arc::clone(&hall.out),
    );
    let mut stage = hall.stage.clone();
    let mut guest = Guest {
        hall: &hall,
        door,
        conduct: Conduct::new(seed, 'c', place),
        client,
        me: None,
        chat: None,
        opening: false,
        ending: false,
        to_say: 0,
        next_us: 0,
        unacked: 0,
        over: BTreeSet::new(),
        chats: BTreeSet::new(),
    };
    loop {
        let now_stage = *stage.borrow();
        if now_stage == Stage::Over || (now_stage == Stage::Closing && guest.is_done()) {
            break;
        }
        let due = hall.clock.at_ms(guest.due_us(now_stage).div_ceil(1_000));
        tokio::select! {
            happening = inbox.recv() => match happening {
                Some((_, Happening::Over(why))) => return Err(guest.failed(why)),
                Some((at_us, happening)) => guest.happened(happening, at_us)?,
                None => return Err(guest.failed("the client has ended".to_owned())),
            },
            () = tokio::time::sleep_until(due) => guest.is_due(now_stage)?,
            Ok(()) = stage.changed() => {}
        }
    }
    let by = guest.me.map(Party::Customer);
    Ok(Reader {
        who: guest.conduct.label().to_owned(),
        by: by.ok_or_else(|| guest.failed("never had a session".to_owned()))?,
        chats: guest.chats,
        client: guest.client,
        inbox,
    })
}

struct Guest<'a> {
    hall: &'a Hall,
    door: Door,
    conduct: Conduct,
    client: Client,
    me: Option<CustomerId>,
    chat: Option<ChatId>,
    opening: bool,
    ending: bool,
    to_say: u64,
    next_us: u64,
    unacked: u32,
    /// Chats that have ended.
    over: BTreeSet<ChatId>,
    /// All its chats.
    chats: BTreeSet<ChatId>,
}

impl Guest<'_> {
    /// Every chat that it ever had has ended, and it was told so.
    fn is_done(&self) -> bool {
        self.over.is_superset(&self.chats) && !self.opening && self.unacked == 0
    }

    fn failed(&self, why: String) -> RunError {
        let who = self.conduct.label().to_owned();
        RunError::Person { who, why }
    }

    fn due_us(&self, stage: Stage) -> u64 {
        let talks = self.chat.is_some() && !self.ending && self.to_say > 0;
        let opens = self.chat.is_none() && !self.opening && self.me.is_some();
        match stage {
            Stage::Load if talks || opens => self.next_us,
            Stage::Load | Stage::Closing | Stage::Over => NEVER_US,
        }
    }

    fn is_due(&mut self, stage: Stage) -> Result<(), RunError> {
        let now_us = self.hall.clock.us();
        if self.due_us(stage) > now_us {
            return Ok(());
        }
        self.next_us = now_us + self.conduct.between(PAUSE_US.0, PAUSE_US.1);
        let Some(chat) = self.chat else {
            self.opening = true;
            let open = ChatOpenFrame {
                command_id: Wire(self.conduct.command()?),
                channel: Wire(self.door.channel),
            };
            self.client.call(Call::ChatOpen(open));
            return Ok(());
        };
        for _ in 0..self.conduct.between(BURST.0, BURST.1).min(self.to_say) {
            self.to_say -= 1;
            self.say(chat, now_us)?;
        }
        if self.to_say == 0 && self.conduct.chance(ENDS_ITSELF) {
            self.ending = true;
            let command_id = Wire(self.conduct.command()?);
            let chat = Wire(chat);
            self.client.call(Call::ChatEnd(ChatCommandFrame { command_id, chat }));
        }
        Ok(())
    }

    fn say(&mut self, chat: ChatId, now_us: u64) -> Result<(), RunError> {
        let Some(me) = self.me else { return Ok(()) };
        let id = self.conduct.command()?;
        let text = self.conduct.text();
        let from = Party::Customer(me);
        self.hall.recorder.book().sent(from, &id, &text, now_us);
        self.unacked += 1;
        self.client.call(Call::MessageSend(MessageSendFrame {
            chat: Wire(chat),
            client_message_id: Wire(id),
            text: TextFrame::from(text.as_str()),
        }));
        Ok(())
    }

    fn happened(&mut self, happening: Happening, at_us: u64) -> Result<(), RunError> {
        match happening {
            Happening::Opened(opened) => {
                let me = CustomerId::parse(&opened.me.id)
                    .map_err(|_| RunError::Answer("session.open"))?;
                self.me = Some(me);
            }
            Happening::Answered { call, outcome, .. } => match (*call, outcome) {
                (Call::ChatOpen(_), Ok(raw)) => {
                    self.opening = false;
                    let opened: ChatOpenedFrame =
                        answer(&raw).ok_or(RunError::Answer("chat.open"))?;
                    self.has(opened.chat.0);
                }
                (Call::ChatOpen(_), Err(error)) => return Err(self.failed(error.message)),
                (Call::MessageSend(sent), Ok(raw)) => {
                    self.unacked -= 1;
                    let at: MessageSentFrame =
                        answer(&raw).ok_or(RunError::Answer("message.send"))?;
                    self.has(at.chat.0);
                    if let Some(me) = self.me {
                        let id = &sent.client_message_id.0;
                        let mut book = self.hall.recorder.book();
                        book.acknowledged(Party::Customer(me), id, at.chat.0, at.seq, at_us);
                    }
                }
                (Call::MessageSend(_), Err(error)) => {
                    self.unacked -= 1;
                    self.hall.recorder.book().refused(error.data.name.name());
                }
                (_, Err(error)) => {
                    self.ending = false;
                    self.hall.recorder.book().refused(error.data.name.name());
                }
                (_, Ok(_)) => {}
            },
            Happening::Event(event) => self.event(&event, at_us),
            Happening::Gone(chat) => return Err(self.failed(format!("chat {chat} is gone"))),
            Happening::Lost
            | Happening::Offer(_)
            | Happening::Withdrawn(_)
            | Happening::Updated(_)
            | Happening::Watermark(_)
            | Happening::Over(_) => {}
        }
        Ok(())
    }

    /// The customer's chat is this one now, unless it is over.
    fn has(&mut self, chat: ChatId) {
        if let Some(me) = self.me
            && self.chats.insert(chat)
        {
            self.hall.recorder.book().opened(chat, me);
        }
        if self.over.contains(&chat) || self.chat == Some(chat) {
            return;
        }
        if self.chat.replace(chat).is_none() {
            self.hall.open.up();
        }
        self.ending = false;
        self.to_say = self.conduct.between(MESSAGES.0, MESSAGES.1);
    }

    fn event(&mut self, event: &ChatEventFrame, at_us: u64) {
        let Some(me) = self.me else { return };
        let by = Party::Customer(me);
        self.hall.recorder.book().event(by, event, at_us);
        let chat = event.chat.0;
        if let EventFrame::Ended { .. } = event.what {
            self.over.insert(chat);
            if self.chat == Some(chat) {
                self.chat = None;
                self.hall.open.down(1);
            }
        } else if let EventFrame::Opened { .. } = event.what {
            self.has(chat);
        }
    }
}
