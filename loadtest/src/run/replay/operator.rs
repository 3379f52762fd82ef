//! One operator of a replay: comes for each shift, accepts, talks, ends, leaves when done.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use switchboard::domain::{ChatId, CommandId, CustomerId, MessageText, OfferId, Party, UserId};
use switchboard::protocol::answer::MessageSentFrame;
use switchboard::protocol::event::{ChatEventFrame, EventFrame, PartyFrame};
use switchboard::protocol::notify::{OfferFrame, OfferOverReason, OperatorUpdatedFrame};
use switchboard::protocol::params::{
    ChatCommandFrame, MessageSendFrame, OfferAnswerFrame, OfferShownFrame, RaiseWatermarkFrame,
    SetStatusFrame, StatusWord,
};
use switchboard::protocol::value::TextFrame;
use switchboard::protocol::{Call, Wire};
use tokio::sync::watch;

use super::customer::WAITS;
use super::floor::{Floor, Phase};
use crate::client::{Client, Happening, Inbox, answer};
use crate::dialog::Speaker;
use crate::plan::Shift;
use crate::run::RunError;
use crate::run::provision::Operator;
use crate::verify::Observation;

/// How long before its shift an operator logs in, µs of the run: passwords are slow on purpose.
const LEAD_US: u64 = 2_000_000;

/// Later than any run, µs.
const NEVER_US: u64 = 1 << 50;

/// Plays one operator of the plan through all its shifts.
pub async fn play(
    floor: Arc<Floor>,
    place: usize,
    operator: Operator,
    cool_down_ms: u64,
) -> Result<(), RunError> {
    let Some(who) = floor.plan.operators.get(place) else {
        return Ok(());
    };
    for (n, shift) in who.shifts.iter().enumerate() {
        let from_us = floor.us_of(shift.from_ms);
        let logs_in_us = from_us.saturating_sub(LEAD_US);
        tokio::time::sleep_until(floor.clock.at_ms(logs_in_us / 1_000)).await;
        let (client, inbox) = Client::start(
            &floor.address,
            operator.tokens.clone(),
            WAITS,
            floor.clock,
            place as u64,
            Arc::clone(&floor.out),
        );
        let duty = Duty {
            floor: &floor,
            me: operator.id,
            name: &operator.name,
            shift: *shift,
            label: format!("o{place}s{n}"),
            client,
            commands: 0,
            stage: Stage::Coming,
            connected: false,
            ready: false,
            on_duty_us: None,
            free: false,
            offers: BTreeMap::new(),
            chats: BTreeMap::new(),
            over: BTreeSet::new(),
            cool_down_ms,
        };
        duty.work(inbox).await?;
    }
    Ok(())
}

/// How far an operator is in its shift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Connects, and waits for its hour.
    Coming,
    /// Takes chats.
    Working,
    /// Takes no more.
    Finishing,
    /// Says that it goes.
    Leaving,
    /// Is gone.
    Gone,
}

/// A chat that an operator has.
#[derive(Default)]
struct Serving {
    customer: Option<CustomerId>,
    assigned_us: Option<u64>,
    lines: VecDeque<(u64, MessageText)>,
    /// Lines of the customer that are still to come.
    to_hear: usize,
    unacked: u32,
    ends_us: u64,
    ending: bool,
}

struct Duty<'a> {
    floor: &'a Floor,
    me: UserId,
    name: &'a str,
    shift: Shift,
    label: String,
    client: Client,
    commands: u64,
    stage: Stage,
    connected: bool,
    ready: bool,
    on_duty_us: Option<u64>,
    free: bool,
    offers: BTreeMap<OfferId, ChatId>,
    chats: BTreeMap<ChatId, Serving>,
    /// Chats that have ended; the answer to an accept that was sent again may come behind that.
    over: BTreeSet<ChatId>,
    cool_down_ms: u64,
}

impl Duty<'_> {
    async fn work(mut self, mut inbox: Inbox) -> Result<(), RunError> {
        let mut phase = self.floor.phase.clone();
        while self.stage != Stage::Gone {
            let due = self.floor.clock.at_ms(self.due_us(&phase).div_ceil(1_000));
            tokio::select! {
                happening = inbox.recv() => match happening {
                    Some((_, Happening::Over(why))) => return Err(self.failed(why)),
                    Some((at_us, happening)) => self.happened(happening, at_us)?,
                    None => return Err(self.failed("the client has ended".to_owned())),
                },
                () = tokio::time::sleep_until(due) => {}
                Ok(()) = phase.changed() => {}
            }
            let now_us = self.floor.clock.us();
            self.is_due(now_us, &phase)?;
            self.tell_whether_free(now_us);
        }
        Ok(())
    }

    fn failed(&self, why: String) -> RunError {
        let who = format!("operator {}", self.name);
        RunError::Person { who, why }
    }

    fn command(&mut self) -> Result<CommandId, RunError> {
        self.commands += 1;
        let id = format!("{}-{}", self.label, self.commands);
        CommandId::new(&id).map_err(|error| self.failed(error.to_string()))
    }

    fn leaves_us(&self, phase: &watch::Receiver<Phase>) -> u64 {
        match self.shift.to_ms {
            Some(to_ms) => self.floor.us_of(to_ms),
            None if *phase.borrow() == Phase::Drained => 0,
            None => NEVER_US,
        }
    }

    fn due_us(&self, phase: &watch::Receiver<Phase>) -> u64 {
        let stage_us = match self.stage {
            Stage::Coming if self.connected => self.floor.us_of(self.shift.from_ms),
            Stage::Working => self.leaves_us(phase),
            Stage::Coming | Stage::Finishing | Stage::Leaving | Stage::Gone => NEVER_US,
        };
        let of_chat = |serving: &Serving| {
            let line_us = serving.lines.front().map(|(at_us, _)| *at_us);
            let ends_us = Some(serving.ends_us).filter(|_| serving.may_end());
            line_us.or(ends_us).unwrap_or(NEVER_US)
        };
        self.chats.values().map(of_chat).fold(stage_us, u64::min)
    }

    fn is_due(&mut self, now_us: u64, phase: &watch::Receiver<Phase>) -> Result<(), RunError> {
        let begins_us = self.floor.us_of(self.shift.from_ms);
        if self.stage == Stage::Coming && self.connected && begins_us <= now_us {
            self.stage = Stage::Working;
            self.set_status(StatusWord::Ready)?;
        }
        if self.stage == Stage::Working && self.leaves_us(phase) <= now_us {
            self.stage = Stage::Finishing;
            self.ready = false;
            self.set_status(StatusWord::Away)?;
        }
        if self.stage == Stage::Finishing && self.chats.is_empty() && self.offers.is_empty() {
            self.stage = Stage::Leaving;
            self.set_status(StatusWord::Offline)?;
        }
        let chats: Vec<ChatId> = self.chats.keys().copied().collect();
        for chat in chats {
            self.serve(chat, now_us)?;
        }
        Ok(())
    }

    fn set_status(&mut self, status: StatusWord) -> Result<(), RunError> {
        let command_id = Wire(self.command()?);
        self.client.call(Call::OperatorSetStatus(SetStatusFrame {
            command_id,
            status,
            reason: None,
        }));
        Ok(())
    }

    /// Says what is due in a chat, and ends it.
    fn serve(&mut self, chat: ChatId, now_us: u64) -> Result<(), RunError> {
        loop {
            let Some(serving) = self.chats.get_mut(&chat) else {
                return Ok(());
            };
            let due = serving.lines.front().is_some_and(|(at, _)| *at <= now_us);
            if !due {
                break;
            }
            if let Some((_, text)) = serving.lines.pop_front() {
                serving.unacked += 1;
                self.say(chat, &text, now_us)?;
            }
        }
        let ends = |serving: &&mut Serving| serving.may_end() && serving.ends_us <= now_us;
        if let Some(serving) = self.chats.get_mut(&chat).filter(ends) {
            serving.ending = true;
            let (command_id, chat) = (Wire(self.command()?), Wire(chat));
            self.client.call(Call::ChatEnd(ChatCommandFrame { command_id, chat }));
        }
        Ok(())
    }

    fn say(&mut self, chat: ChatId, text: &MessageText, now_us: u64) -> Result<(), RunError> {
        let id = self.command()?;
        let from = Party::User(self.me);
        self.floor.recorder.book().sent(from, &id, text.as_str(), now_us);
        self.client.call(Call::MessageSend(MessageSendFrame {
            chat: Wire(chat),
            client_message_id: Wire(id),
            text: TextFrame::from(text),
        }));
        Ok(())
    }

    fn happened(&mut self, happening: Happening, at_us: u64) -> Result<(), RunError> {
        match happening {
            Happening::Opened(opened) => {
                for offer in opened.offers {
                    self.offered(&offer, at_us)?;
                }
                self.connected = true;
                if self.stage == Stage::Working {
                    self.set_status(StatusWord::Ready)?;
                }
            }
            Happening::Lost => (self.connected, self.ready) = (false, false),
            Happening::Offer(offer) => self.offered(&offer, at_us)?,
            Happening::Withdrawn(over) => {
                self.offers.remove(&over.offer.0);
                match over.reason {
                    OfferOverReason::Lapsed
                    | OfferOverReason::NotReady
                    | OfferOverReason::NotReserved
                    | OfferOverReason::NotEligible
                    | OfferOverReason::Declined
                    | OfferOverReason::Restart => {
                        let (chat, me) = (over.chat.0, self.me);
                        self.floor.recorder.book().refused("offers withdrawn");
                        self.floor.waits_again(chat, me, at_us, self.cool_down_ms);
                    }
                    OfferOverReason::Accepted
                    | OfferOverReason::Lost
                    | OfferOverReason::Moved
                    | OfferOverReason::ChatEnded => {}
                }
            }
            Happening::Updated(is) => self.updated(&is)?,
            Happening::Event(event) => self.event(&event, at_us),
            Happening::Answered { call, outcome, .. } => match outcome {
                Ok(raw) => self.answered(*call, &raw, at_us)?,
                Err(error) => {
                    self.refused(*call);
                    self.floor.recorder.book().refused(error.data.name.name());
                }
            },
            Happening::Gone(chat) => {
                self.chats.remove(&chat);
            }
            Happening::Watermark(_) | Happening::Over(_) => {}
        }
        Ok(())
    }

    fn offered(&mut self, offer: &OfferFrame, at_us: u64) -> Result<(), RunError> {
        if self.offers.insert(offer.offer.0, offer.chat.0).is_some() {
            return Ok(());
        }
        self.floor.recorder.book().shown(offer.offer.0);
        self.floor.offered(offer.chat.0, at_us);
        let shown = OfferShownFrame { chat: offer.chat, offer: offer.offer };
        self.client.call(Call::OfferShown(shown));
        let accept = OfferAnswerFrame {
            command_id: Wire(self.command()?),
            chat: offer.chat,
            offer: offer.offer,
        };
        self.client.call(Call::OfferAccept(accept));
        Ok(())
    }

    /// The router may set somebody away who missed offers; this one is there.
    fn updated(&mut self, is: &OperatorUpdatedFrame) -> Result<(), RunError> {
        if self.stage == Stage::Working && self.ready && is.status.status != StatusWord::Ready {
            self.ready = false;
            self.floor.recorder.book().refused("set away");
            self.set_status(StatusWord::Ready)?;
        }
        Ok(())
    }

    fn answered(
        &mut self,
        call: Call,
        raw: &serde_json::value::RawValue,
        at_us: u64,
    ) -> Result<(), RunError> {
        if let Call::OperatorSetStatus(set) = call {
            self.has_status(set.status, at_us);
        } else if let Call::OfferAccept(accept) = call {
            self.offers.remove(&accept.offer.0);
            if !self.over.contains(&accept.chat.0) {
                self.chats.entry(accept.chat.0).or_default();
            }
        } else if let Call::MessageSend(sent) = call {
            let at: MessageSentFrame = answer(raw).ok_or(RunError::Answer("message.send"))?;
            self.one_less_unanswered(sent.chat.0);
            let from = Party::User(self.me);
            let id = &sent.client_message_id.0;
            let mut book = self.floor.recorder.book();
            book.acknowledged(from, id, at.chat.0, at.seq, at_us);
        }
        Ok(())
    }

    fn has_status(&mut self, status: StatusWord, at_us: u64) {
        match status {
            StatusWord::Ready => {
                self.ready = self.stage == Stage::Working;
                self.on_duty_us.get_or_insert(at_us);
            }
            StatusWord::Offline => {
                self.stage = Stage::Gone;
                let from_us = self.on_duty_us.unwrap_or(at_us);
                self.floor.worked(false, from_us, at_us);
            }
            StatusWord::Away | StatusWord::Busy => {}
        }
    }

    fn one_less_unanswered(&mut self, chat: ChatId) {
        if let Some(serving) = self.chats.get_mut(&chat) {
            serving.unacked = serving.unacked.saturating_sub(1);
        }
    }

    fn refused(&mut self, call: Call) {
        if let Call::OfferAccept(accept) = call {
            self.offers.remove(&accept.offer.0);
        } else if let Call::MessageSend(sent) = call {
            self.one_less_unanswered(sent.chat.0);
        }
    }

    fn event(&mut self, event: &ChatEventFrame, at_us: u64) {
        let by = Party::User(self.me);
        self.floor.recorder.book().event(by, event, at_us);
        let chat = event.chat.0;
        if let EventFrame::Opened { customer, .. } = &event.what {
            let serving = self.chats.entry(chat).or_default();
            serving.customer = customer.map(|customer| customer.0);
        } else if let EventFrame::Assigned { .. } = event.what {
            self.assigned(chat, at_us);
        } else if let EventFrame::Ended { .. } = event.what {
            self.over.insert(chat);
            let served = self.chats.remove(&chat);
            if let Some(from_us) = served.and_then(|serving| serving.assigned_us) {
                self.floor.worked(true, from_us, at_us);
            }
        } else if let EventFrame::Message { from: PartyFrame::Customer { .. }, .. } = event.what {
            if let Some(serving) = self.chats.get_mut(&chat) {
                serving.to_hear = serving.to_hear.saturating_sub(1);
            }
            let (chat, up_to) = (event.chat, event.seq);
            self.client.call(Call::MessageRead(RaiseWatermarkFrame { chat, up_to }));
        }
    }

    fn assigned(&mut self, chat: ChatId, at_us: u64) {
        let serving = self.chats.entry(chat).or_default();
        let customer = serving.customer.and_then(|customer| self.floor.customer(customer));
        let who = customer.and_then(|place| self.floor.plan.customers.get(place));
        serving.assigned_us = Some(at_us);
        serving.ends_us = at_us + who.map_or(0, |who| self.floor.length_us(who.service_ms));
        for (after_ms, turn) in who.into_iter().flat_map(|who| who.lines()) {
            match turn.speaker {
                Speaker::Operator => {
                    let when_us = at_us + self.floor.length_us(after_ms);
                    serving.lines.push_back((when_us, turn.text.clone()));
                }
                Speaker::Customer => serving.to_hear += 1,
            }
        }
    }

    fn tell_whether_free(&mut self, at_us: u64) {
        let free = self.ready && self.offers.is_empty() && self.chats.is_empty();
        if free != self.free {
            self.free = free;
            let (operator, at_ms) = (self.me, at_us / 1_000);
            let observation = if free {
                Observation::FreeBegan { operator, at_ms }
            } else {
                Observation::FreeOver { operator, at_ms }
            };
            self.floor.recorder.book().ledger.observe(observation);
        }
    }
}

impl Serving {
    fn may_end(&self) -> bool {
        let said = self.lines.is_empty() && self.unacked == 0 && self.to_hear == 0;
        self.assigned_us.is_some() && said && !self.ending
    }
}
