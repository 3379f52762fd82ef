//! A customer who opens one chat after the other, and waits until each is ended.

use std::rc::Rc;

use serde_json::json;
use tokio::time::{Instant, sleep_until};
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
        let (mut stage, mut until) = (hall.stage.clone(), None);
        loop {
            while let Some(heard) = self.session.next_heard()? {
                self.hear(heard);
            }
            if *stage.borrow_and_update() == Stage::Over {
                let until = *until.get_or_insert_with(|| Instant::now() + hall.patience);
                if self.owed().is_none() || Instant::now() >= until {
                    self.go();
                    return Ok(());
                }
            }
            tokio::select! {
                turn = self.session.turn() => turn?,
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {}
                due_us = hall.called(self.place) => self.open(due_us),
                Ok(()) = stage.changed() => {}
            }
        }
    }

    /// What it is still to be told, in words.
    fn owed(&self) -> Option<String> {
        if self.under_way.is_some() {
            return Some("was never answered its chat.open".to_owned());
        }
        let chat = self.chat.filter(|chat| self.hall.ledger.borrow().is_over(*chat))?;
        Some(format!("was never told that chat {chat} is over"))
    }

    /// Waits no longer.
    fn go(&self) {
        if let Some((_, due_us)) = self.under_way {
            let so_far_us = self.hall.clock.us().saturating_sub(due_us);
            self.hall.time(due_us, |times| &mut times.open, so_far_us);
        }
        if let Some(owed) = self.owed() {
            self.hall.ledger.borrow_mut().wrong(|| format!("customer {} {owed}", self.place));
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
        let Some(chat) = chat else {
            let wrong =
                || format!("customer {} was answered a chat.open without a chat", self.place);
            self.hall.ledger.borrow_mut().wrong(wrong);
            return self.hall.is_gone();
        };
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

#[cfg(test)]
#[path = "customer_tests.rs"]
mod tests;
