//! A customer who opens one chat after the other, and waits until each is ended.

use std::rc::Rc;

use serde_json::json;
use uuid::Uuid;

use super::hall::{Hall, Stage};
use crate::measure::session::{Answer, Heard, Session, SessionError};

/// One customer.
pub struct Customer {
    place: usize,
    queue: usize,
    channel: String,
    session: Session,
    hall: Rc<Hall>,
    opens: u64,
    /// The call that is to open a chat, and when that was due, µs.
    under_way: Option<(u64, u64)>,
    chat: Option<Uuid>,
    /// Told to be over before its opening was answered.
    over: Option<Uuid>,
}

impl Customer {
    /// Of a queue, by its number and the channel that leads to it.
    pub fn new(
        place: usize,
        (queue, channel): (usize, String),
        session: Session,
        hall: Rc<Hall>,
    ) -> Self {
        let (opens, under_way, chat, over) = (0, None, None, None);
        Self { place, queue, channel, session, hall, opens, under_way, chat, over }
    }

    /// Plays until all is over; a session that ends before is found.
    pub async fn play(mut self) {
        if let Err(why) = self.go_on().await {
            let ended = || format!("the session of customer {} has ended: {why}", self.place);
            self.hall.ledger.borrow_mut().wrong(ended);
            if self.chat.is_some() || self.under_way.is_some() {
                self.hall.is_gone();
            }
        }
    }

    async fn go_on(&mut self) -> Result<(), SessionError> {
        let hall = Rc::clone(&self.hall);
        let mut stage = hall.stage.clone();
        loop {
            while let Some(heard) = self.session.next_heard()? {
                self.hear(heard);
            }
            if *stage.borrow_and_update() == Stage::Over {
                return Ok(());
            }
            tokio::select! {
                turn = self.session.turn() => turn?,
                due_us = hall.called(self.place) => self.open(due_us),
                Ok(()) = stage.changed() => {}
            }
        }
    }

    fn open(&mut self, due_us: u64) {
        self.opens += 1;
        let command_id = format!("open-{}", self.opens);
        let params = json!({ "command_id": command_id, "channel": self.channel });
        let id = self.session.call("chat.open", &params);
        self.under_way = Some((id, due_us));
    }

    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Answered(id, outcome) => self.answered(id, outcome),
            Heard::Told(told) if told.params.kind.as_deref() == Some("ended") => {
                if self.chat.is_some() && self.chat == told.params.chat {
                    self.is_over();
                } else {
                    self.over = told.params.chat;
                }
            }
            Heard::Told(_) | Heard::Pong => {}
        }
    }

    fn answered(&mut self, id: u64, outcome: Result<Box<Answer>, String>) {
        let Some((_, due_us)) = self.under_way.take_if(|(call, _)| *call == id) else {
            let wrong = || format!("customer {} was answered call {id} once more", self.place);
            return self.hall.ledger.borrow_mut().wrong(wrong);
        };
        let now_us = self.hall.clock.us();
        let chat = match outcome {
            Ok(answer) => answer.chat,
            Err(name) => {
                self.hall.ledger.borrow_mut().refused(&name);
                return self.hall.is_gone();
            }
        };
        let Some(chat) = chat else { return self.hall.is_gone() };
        self.hall.has_opened();
        self.hall.count(now_us, |counts| counts.opened += 1);
        self.hall.time(due_us, |times| &mut times.open, now_us.saturating_sub(due_us));
        let was = self.hall.ledger.borrow_mut().opened(chat, self.queue, (due_us, now_us));
        if let Some(wait) = was {
            // It was offered before this was read.
            self.hall.assigned(wait);
        }
        self.chat = Some(chat);
        if self.over == Some(chat) {
            self.is_over();
        }
    }

    fn is_over(&mut self) {
        self.chat = None;
        self.hall.is_over(self.place);
    }
}
