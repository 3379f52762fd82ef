//! An operator who accepts, declines, writes a word, ends, and now and then steps away: by its status, or by closing
//! its socket, in turn.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep, sleep_until};
use uuid::Uuid;

use super::hall::{Hall, Stage};
use crate::draw::Draw;
use crate::measure::session::{Answer, Heard, Session, SessionError, Told, Way};

/// How long who steps away stays away, µs: long enough for the offers that it had to go to others, and for one
/// that comes all the same to be seen as too late.
pub(super) const AWAY_US: u64 = 2_000_000;

/// Of so many steps away one is by closing the socket.
const BY_SOCKET_EVERY: usize = 2;

/// After how long an accept is sent again that was answered "full", µs: the end before it takes its time to
/// make room.
const AGAIN_US: u64 = 20_000;

/// How often who finds nobody in line looks again, µs, where nobody is asked.
const LOOK_EVERY_US: u64 = 200_000;

/// When who has nothing to do looks again, µs: the clock takes no time without end.
const DAY_US: u64 = 86_400_000_000;

/// What operators do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conduct {
    /// Offers that are declined, of a hundred.
    pub declines_percent: u32,
    /// How long a chat is kept, µs, but the first one.
    pub keeps_us: u64,
    /// Whether a message is written before the end.
    pub writes: bool,
    /// Whether nobody is asked, and chats are taken out of the line.
    pub takes: bool,
    /// When this one steps away for the first time after the start, and how often, µs; none: never.
    pub steps_away_us: Option<(u64, u64)>,
}

/// What a call was for.
#[derive(Debug, Clone, Copy)]
enum Asked {
    Status(bool),
    Accept(Uuid, Uuid),
    Decline,
    Message,
    End(Uuid),
    List,
    Take(Uuid),
}

/// One operator.
pub struct Operator {
    place: usize,
    way: Way,
    session: Session,
    hall: Rc<Hall>,
    conduct: Conduct,
    draw: Draw,
    asked: BTreeMap<u64, (Asked, u64)>,
    commands: u64,
    /// Offers that are not answered, with their chats.
    screen: VecDeque<(Uuid, Uuid)>,
    /// Chats that are kept, and until when, µs.
    kept: VecDeque<(u64, Uuid)>,
    /// Whether it has had a chat.
    has_kept: bool,
    /// What it said last that it is, and whether the answer is still to come.
    is_ready: bool,
    is_changing: bool,
    next_away_us: Option<u64>,
    away_until_us: u64,
    /// How often it has stepped away.
    steps_away: usize,
    /// Asks for nothing more, and closes its socket when all is answered.
    is_leaving: bool,
    /// It is back by a new socket, and the server does not know yet that somebody is there.
    is_unproven: bool,
    /// Not before then it accepts, or looks at the line, µs.
    not_before_us: u64,
    /// Offers that came before the end was answered that made room for them.
    early: usize,
}

impl Operator {
    /// Does as the conduct says, by chance where it leaves something to it. Comes back by the way.
    pub fn new(
        place: usize,
        (session, way): (Session, Way),
        hall: Rc<Hall>,
        (conduct, draw): (Conduct, Draw),
    ) -> Self {
        Self {
            place,
            way,
            session,
            hall,
            conduct,
            draw,
            asked: BTreeMap::new(),
            commands: 0,
            screen: VecDeque::new(),
            kept: VecDeque::new(),
            has_kept: false,
            is_ready: false,
            is_changing: false,
            next_away_us: None,
            away_until_us: 0,
            steps_away: 0,
            is_leaving: false,
            is_unproven: false,
            not_before_us: 0,
            early: 0,
        }
    }

    /// Plays until all is over; a session that ends before is found.
    pub async fn play(mut self) {
        if let Err(why) = self.go_on().await {
            let ended = || format!("the session of operator {} has ended: {why}", self.place);
            self.hall.ledger.borrow_mut().wrong(ended);
        }
    }

    async fn go_on(&mut self) -> Result<(), SessionError> {
        let (mut stage, mut until) = (self.hall.stage.clone(), None);
        loop {
            while let Some(heard) = self.session.next_heard()? {
                self.hear(heard);
            }
            if self.is_unproven && self.session.is_proven() {
                self.is_unproven = false;
                let (place, is_ready, now_us) = (self.place, self.is_ready, self.hall.clock.us());
                self.hall.ledger.borrow_mut().status(place, is_ready, now_us);
            }
            let now = *stage.borrow_and_update();
            if self.is_leaving && self.asked.is_empty() && now != Stage::Over {
                self.be_gone(&mut stage).await?;
                continue;
            }
            let due = if now == Stage::Over {
                let until = *until.get_or_insert_with(|| Instant::now() + self.hall.patience);
                if self.asked.is_empty() || Instant::now() >= until {
                    self.go();
                    return Ok(());
                }
                until
            } else {
                self.hall.clock.at_ms(self.act(now).div_ceil(1_000))
            };
            tokio::select! {
                turn = self.session.turn() => turn?,
                () = sleep_until(due) => {}
                Ok(()) = stage.changed() => {}
            }
        }
    }

    /// Closes the socket, and is back by another one after a while, or when nobody opens chats any more.
    async fn be_gone(&mut self, stage: &mut watch::Receiver<Stage>) -> Result<(), SessionError> {
        self.is_leaving = false;
        let left_us = self.hall.clock.us();
        self.hall.ledger.borrow_mut().changes(self.place);
        self.session.break_off().await?;
        tokio::select! {
            () = sleep(Duration::from_micros(AWAY_US)) => {}
            _ = stage.wait_for(|stage| *stage > Stage::Going) => {}
        }
        if *stage.borrow() == Stage::Over {
            return Ok(());
        }
        let (session, found) = self.way.come().await?;
        (self.session, self.is_unproven) = (session, true);
        self.hall.count(left_us, |counts| counts.came_back += 1);
        self.is_back(&found);
        Ok(())
    }

    /// Looks at what the server says that it has.
    fn is_back(&mut self, found: &Answer) {
        let now_us = self.hall.clock.us();
        let stand: BTreeSet<Uuid> = found.offers.iter().map(|offer| offer.offer).collect();
        let chats = found.chats.iter().map(|chat| chat.id).chain(found.unreachable.iter().copied());
        self.screen.retain(|(offer, _)| stand.contains(offer));
        self.hall.ledger.borrow_mut().came_back(self.place, &stand, &chats.collect());
        for offer in &found.offers {
            let queue = self.hall.queues.get(&offer.queue).copied();
            self.presented((offer.offer, offer.chat), queue, now_us);
        }
    }

    /// Waits no longer.
    fn go(&self) {
        for (asked, _) in self.asked.values() {
            let owed = || format!("operator {} was never answered: {asked:?}", self.place);
            self.hall.ledger.borrow_mut().wrong(owed);
        }
    }

    /// Does what is due now. When something is next, µs.
    fn act(&mut self, stage: Stage) -> u64 {
        let now_us = self.hall.clock.us();
        let status_us = self.be_ready_or_away(stage, now_us);
        if self.is_leaving {
            return now_us + DAY_US;
        }
        while let Some((_, chat)) = self.kept.pop_front_if(|(until_us, _)| *until_us <= now_us) {
            self.end(chat);
        }
        let next_us = if now_us < self.not_before_us {
            self.not_before_us
        } else if self.conduct.takes {
            self.look_for_somebody(now_us)
        } else {
            self.answer_offers(now_us);
            u64::MAX
        };
        let kept_us = self.kept.front().map_or(u64::MAX, |(until_us, _)| *until_us);
        status_us.min(next_us).min(kept_us).min(now_us + DAY_US)
    }

    /// Says what it is to be by now, if that is something else than before. When that changes, µs.
    fn be_ready_or_away(&mut self, stage: Stage, now_us: u64) -> u64 {
        if let (Stage::Going, Some((first_us, every_us))) = (stage, self.conduct.steps_away_us) {
            let next_us = *self.next_away_us.get_or_insert(now_us + first_us);
            if next_us <= now_us {
                self.steps_away += 1;
                // Neighbours begin otherwise, so that some leave each way, however short the run is.
                if (self.place + self.steps_away).is_multiple_of(BY_SOCKET_EVERY) {
                    self.is_leaving = true;
                } else {
                    self.away_until_us = now_us + AWAY_US;
                }
                self.next_away_us = Some(now_us + every_us.max(2 * AWAY_US));
            }
        }
        let wanted = match stage {
            Stage::Line | Stage::Over => self.is_ready,
            Stage::Going => now_us >= self.away_until_us,
            Stage::Draining => true,
        };
        if wanted != self.is_ready && !self.is_changing {
            (self.is_ready, self.is_changing) = (wanted, true);
            let status = if wanted { "ready" } else { "away" };
            let params = json!({ "command_id": self.command(), "status": status });
            self.ask("operator.set_status", &params, Asked::Status(wanted));
            self.hall.ledger.borrow_mut().changes(self.place);
        }
        match stage {
            Stage::Going if now_us < self.away_until_us => self.away_until_us,
            Stage::Going => self.next_away_us.unwrap_or(u64::MAX),
            Stage::Line | Stage::Draining | Stage::Over => u64::MAX,
        }
    }

    fn answer_offers(&mut self, now_us: u64) {
        while self.is_ready && self.hall.ledger.borrow().has_room(self.place) {
            let Some((offer, chat)) = self.screen.pop_front() else { return };
            let params = json!({ "command_id": self.command(), "chat": chat, "offer": offer });
            let declines = self.draw.below(100) < self.conduct.declines_percent as usize;
            if declines {
                self.hall.ledger.borrow_mut().declined(self.place, offer, now_us);
                self.hall.count(now_us, |counts| counts.declined += 1);
                self.ask("offer.decline", &params, Asked::Decline);
            } else {
                self.hall.ledger.borrow_mut().accepting(self.place, offer);
                self.ask("offer.accept", &params, Asked::Accept(offer, chat));
            }
        }
    }

    /// Looks at the line where nobody is asked; when again, µs.
    fn look_for_somebody(&mut self, now_us: u64) -> u64 {
        let looks = |(asked, _): &(Asked, u64)| matches!(asked, Asked::List | Asked::Take(_));
        // Who takes has to be ready by then; offers come only to who is.
        if !self.is_ready
            || self.is_changing
            || self.is_unproven
            || self.asked.values().any(looks)
            || !self.hall.ledger.borrow().has_room(self.place)
        {
            return u64::MAX;
        }
        self.ask("chat.list", &json!({ "scope": "line" }), Asked::List);
        self.not_before_us = now_us + LOOK_EVERY_US;
        self.not_before_us
    }

    fn end(&mut self, chat: Uuid) {
        if self.conduct.writes {
            let id = self.command();
            let params = json!({ "chat": chat, "client_message_id": id, "text": "Done: goodbye." });
            self.ask("message.send", &params, Asked::Message);
        }
        let params = json!({ "command_id": self.command(), "chat": chat });
        self.ask("chat.end", &params, Asked::End(chat));
        self.hall.ledger.borrow_mut().ending(self.place, chat);
    }

    fn command(&mut self) -> String {
        self.commands += 1;
        format!("c{}", self.commands)
    }

    fn ask(&mut self, method: &str, params: &Value, asked: Asked) {
        let id = self.session.call(method, params);
        self.asked.insert(id, (asked, self.hall.clock.us()));
    }

    fn hear(&mut self, heard: Heard) {
        let now_us = self.hall.clock.us();
        match heard {
            Heard::Told(told) => self.told(&told, now_us),
            Heard::Answered(id, outcome) => match self.asked.remove(&id) {
                Some((asked, since_us)) => match outcome {
                    Ok(answer) => {
                        self.answered(asked, &answer, now_us, now_us.saturating_sub(since_us));
                    }
                    Err(name) => self.refused(asked, &name, now_us),
                },
                None => {
                    let wrong =
                        || format!("operator {} was answered call {id} once more", self.place);
                    self.hall.ledger.borrow_mut().wrong(wrong);
                }
            },
            Heard::Pong => {}
        }
    }

    fn told(&mut self, told: &Told, now_us: u64) {
        match (told.method.as_str(), told.params.offer, told.params.chat) {
            ("offer.presented", Some(offer), Some(chat)) => {
                let queue = told.params.queue.and_then(|id| self.hall.queues.get(&id).copied());
                self.presented((offer, chat), queue, now_us);
            }
            ("offer.withdrawn", Some(offer), _) => {
                self.screen.retain(|(shown, _)| *shown != offer);
                self.hall.ledger.borrow_mut().withdrawn(self.place, offer);
            }
            _ => {}
        }
    }

    fn presented(&mut self, offer: (Uuid, Uuid), queue: Option<usize>, now_us: u64) {
        let is_full = self.hall.ledger.borrow().is_full(self.place);
        let freed_us = self.hall.ledger.borrow_mut().filled(self.place);
        if let Some(freed_us) = freed_us {
            self.hall.time(freed_us, |times| &mut times.next, now_us.saturating_sub(freed_us));
        } else if is_full && self.early < self.ends_under_way() {
            self.early += 1;
            self.hall.time(now_us, |times| &mut times.next, 0);
        }
        let mut ledger = self.hall.ledger.borrow_mut();
        let is_new = !ledger.was_presented(offer.1);
        let wait = ledger.presented(self.place, offer, queue, now_us);
        drop(ledger);
        if is_new {
            self.hall.count(now_us, |counts| counts.offered += 1);
        }
        if let Some(wait) = wait {
            self.hall.assigned(wait);
        }
        if self.screen.iter().all(|(shown, _)| *shown != offer.0) {
            self.screen.push_back(offer);
        }
    }

    fn ends_under_way(&self) -> usize {
        self.asked.values().filter(|(asked, _)| matches!(asked, Asked::End(_))).count()
    }

    fn answered(&mut self, asked: Asked, answer: &Answer, now_us: u64, took_us: u64) {
        let (place, hall) = (self.place, Rc::clone(&self.hall));
        let mut ledger = hall.ledger.borrow_mut();
        let chat = answer.chat.unwrap_or_default();
        match asked {
            Asked::Accept(offer, _) => {
                ledger.accepted(place, offer, chat);
                self.has(chat, now_us, took_us);
            }
            Asked::Take(wanted) => {
                if chat != wanted {
                    ledger.wrong(|| format!("chat {chat} was taken instead of chat {wanted}"));
                }
                let wait = ledger.taken(place, chat, now_us);
                wait.inspect(|wait| hall.assigned(*wait));
                self.has(chat, now_us, took_us);
                self.not_before_us = 0;
            }
            Asked::End(ended) => {
                ledger.ended(place, ended);
                hall.count(now_us, |counts| counts.ended += 1);
                if self.early > 0 {
                    self.early -= 1;
                } else {
                    ledger.freed(place, now_us);
                }
            }
            Asked::Status(is_ready) => {
                self.is_changing = false;
                ledger.status(place, is_ready, now_us);
            }
            // Nothing more is asked when all is over.
            Asked::List if *hall.stage.borrow() == Stage::Over => {}
            Asked::List => self.take_one(answer),
            Asked::Decline | Asked::Message => {}
        }
    }

    fn refused(&mut self, asked: Asked, name: &str, now_us: u64) {
        let hall = Rc::clone(&self.hall);
        let mut ledger = hall.ledger.borrow_mut();
        if let Asked::Accept(..) | Asked::Take(_) = asked {
            hall.count(now_us, |counts| counts.missed += 1);
        }
        match (asked, name) {
            (Asked::Accept(offer, _), "offer_gone" | "chat_ended") => {
                ledger.missed(self.place, offer);
            }
            (Asked::Accept(offer, chat), "full" | "late") => {
                if ledger.put_off(self.place, offer) {
                    self.screen.push_back((offer, chat));
                    self.not_before_us = now_us + AGAIN_US;
                }
            }
            (Asked::Accept(offer, _), name) => {
                // It stands, but nobody presses it again.
                ledger.put_off(self.place, offer);
                ledger.refused(name);
            }
            // Somebody else was first, or the end before it takes its time to make room.
            (Asked::Take(_), "wrong_state" | "chat_ended" | "full" | "late") => {
                self.not_before_us = now_us + AGAIN_US;
            }
            // The offer went while it was declined.
            (Asked::Decline, "offer_gone") => {}
            (_, name) => ledger.refused(name),
        }
    }

    /// A chat is its own.
    fn has(&mut self, chat: Uuid, now_us: u64, took_us: u64) {
        self.hall.count(now_us, |counts| counts.accepted += 1);
        let asked_us = now_us.saturating_sub(took_us);
        self.hall.time(asked_us, |times| &mut times.accept, took_us);
        let until_us = now_us + self.keeps_us();
        self.kept.push_back((until_us, chat));
    }

    /// How long the next chat is kept. Of the first one a part: operators come together, and would otherwise end
    /// their chats together for ever.
    fn keeps_us(&mut self) -> u64 {
        let whole_us = self.conduct.keeps_us;
        if std::mem::replace(&mut self.has_kept, true) {
            return whole_us;
        }
        self.draw.below(usize::try_from(whole_us).unwrap_or(usize::MAX).max(1)) as u64
    }

    /// Takes one of those who wait: any, since all look at the same line.
    fn take_one(&mut self, line: &Answer) {
        let place = self.draw.below(line.chats.len());
        if let Some(listed) = line.chats.get(place) {
            let params = json!({ "command_id": self.command(), "chat": listed.id });
            self.ask("chat.take", &params, Asked::Take(listed.id));
        }
    }
}

#[cfg(test)]
#[path = "operator_tests.rs"]
mod tests;
