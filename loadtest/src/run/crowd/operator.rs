//! One operator of a crash run: accepts most offers after a while, writes, ends or transfers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use switchboard::domain::{ChatId, OfferId, Party, UserId};
use switchboard::protocol::answer::MessageSentFrame;
use switchboard::protocol::event::{ChatEventFrame, EventFrame, PartyFrame};
use switchboard::protocol::notify::OfferFrame;
use switchboard::protocol::params::{
    ChatCommandFrame, ChatTransferFrame, MessageSendFrame, OfferAnswerFrame, OfferShownFrame,
    SetStatusFrame, StatusWord, TransferTarget,
};
use switchboard::protocol::value::TextFrame;
use switchboard::protocol::{Call, Wire};

use super::hall::{Conduct, Hall, Stage};
use super::{Reader, WAITS};
use crate::client::{Client, Happening, answer};
use crate::run::RunError;
use crate::run::provision::Operator;

/// How long an operator looks at an offer, µs.
const LOOKS_US: (u64, u64) = (0, 400_000);

/// Between two bursts in a chat, µs.
const PAUSE_US: (u64, u64) = (300_000, 900_000);

/// Messages in one burst, from and to before.
const BURST: (u64, u64) = (1, 3);

/// How long an operator keeps a chat, µs.
const KEEPS_US: (u64, u64) = (2_000_000, 8_000_000);

/// After how long a refused end or transfer is tried again, µs.
const AGAIN_US: u64 = 500_000;

/// How often an offer is declined, and how often nobody answers it, percent.
const DECLINES: u64 = 10;
const IGNORES: u64 = 4;

/// How often a chat goes to a queue, and how often to a colleague, instead of to its end, percent.
const TO_QUEUE: u64 = 10;
const TO_COLLEAGUE: u64 = 10;

/// Plays one operator until the run is over, and hands it over for reading.
pub async fn play(
    hall: Arc<Hall>,
    place: usize,
    seed: u64,
    operator: Operator,
) -> Result<Reader, RunError> {
    let (client, mut inbox) = Client::start(
        &hall.address,
        operator.tokens.clone(),
        WAITS,
        hall.clock,
        place as u64,
        Arc::clone(&hall.out),
    );
    let mut stage = hall.stage.clone();
    let mut worker = Worker {
        hall: &hall,
        me: operator.id,
        conduct: Conduct::new(seed, 'o', place),
        client,
        offers: BTreeMap::new(),
        chats: BTreeMap::new(),
        owned_last: BTreeSet::new(),
    };
    loop {
        let now_stage = *stage.borrow();
        if now_stage == Stage::Over {
            break;
        }
        let due = hall.clock.at_ms(worker.due_us().div_ceil(1_000));
        tokio::select! {
            happening = inbox.recv() => match happening {
                Some((_, Happening::Over(why))) => return Err(worker.failed(why)),
                Some((at_us, happening)) => worker.happened(happening, at_us)?,
                None => return Err(worker.failed("the client has ended".to_owned())),
            },
            () = tokio::time::sleep_until(due) => {}
            Ok(()) = stage.changed() => {}
        }
        worker.is_due(now_stage)?;
    }
    Ok(Reader {
        who: worker.conduct.label().to_owned(),
        by: Party::User(worker.me),
        chats: worker.owned_last,
        client: worker.client,
        inbox,
    })
}

/// An offer on the screen, and when it is answered, µs.
struct Shown {
    chat: ChatId,
    at_us: u64,
}

/// A chat that the operator has.
struct Talk {
    next_us: u64,
    ends_us: u64,
    ending: bool,
}

struct Worker<'a> {
    hall: &'a Hall,
    me: UserId,
    conduct: Conduct,
    client: Client,
    offers: BTreeMap<OfferId, Shown>,
    chats: BTreeMap<ChatId, Talk>,
    /// Chats that ended in this operator's hands.
    owned_last: BTreeSet<ChatId>,
}

impl Worker<'_> {
    fn failed(&self, why: String) -> RunError {
        let who = self.conduct.label().to_owned();
        RunError::Person { who, why }
    }

    fn due_us(&self) -> u64 {
        let offers = self.offers.values().map(|shown| shown.at_us);
        let going_on = self.chats.values().filter(|talk| !talk.ending);
        let chats = going_on.map(|talk| talk.next_us.min(talk.ends_us));
        offers.chain(chats).min().unwrap_or(1 << 50)
    }

    fn is_due(&mut self, stage: Stage) -> Result<(), RunError> {
        let now_us = self.hall.clock.us();
        let due = self.offers.iter().filter(|(_, shown)| shown.at_us <= now_us);
        let due: Vec<OfferId> = due.map(|(offer, _)| *offer).collect();
        for offer in due {
            self.answer_offer(offer)?;
        }
        let chats: Vec<ChatId> = self.chats.keys().copied().collect();
        for chat in chats {
            self.go_on(chat, stage, now_us)?;
        }
        Ok(())
    }

    fn answer_offer(&mut self, offer: OfferId) -> Result<(), RunError> {
        let Some(shown) = self.drop_offer(offer) else {
            return Ok(());
        };
        if self.conduct.chance(IGNORES) {
            return Ok(());
        }
        let frame = OfferAnswerFrame {
            command_id: Wire(self.conduct.command()?),
            chat: Wire(shown.chat),
            offer: Wire(offer),
        };
        self.client.call(if self.conduct.chance(DECLINES) {
            Call::OfferDecline(frame)
        } else {
            Call::OfferAccept(frame)
        });
        Ok(())
    }

    fn drop_offer(&mut self, offer: OfferId) -> Option<Shown> {
        let shown = self.offers.remove(&offer)?;
        self.hall.offers.down(1);
        Some(shown)
    }

    fn go_on(&mut self, chat: ChatId, stage: Stage, now_us: u64) -> Result<(), RunError> {
        let pause_us = self.conduct.between(PAUSE_US.0, PAUSE_US.1);
        let Some(talk) = self.chats.get_mut(&chat).filter(|talk| !talk.ending) else {
            return Ok(());
        };
        let closing = stage >= Stage::Closing;
        if talk.ends_us <= now_us || closing {
            talk.ending = true;
            return self.give_away(chat, closing);
        }
        if talk.next_us <= now_us {
            talk.next_us = now_us + pause_us;
            for _ in 0..self.conduct.between(BURST.0, BURST.1) {
                self.say(chat, now_us)?;
            }
        }
        Ok(())
    }

    fn give_away(&mut self, chat: ChatId, closing: bool) -> Result<(), RunError> {
        let (command_id, chat) = (Wire(self.conduct.command()?), Wire(chat));
        let kind = self.conduct.between(0, 100);
        let n = self.conduct.between(0, 1 << 16) as usize;
        let queue = self.hall.queues.get(n % self.hall.queues.len().max(1));
        let colleague = self.hall.operators.get(n % self.hall.operators.len().max(1));
        let to = match (queue, colleague) {
            (Some(queue), _) if kind < TO_QUEUE => Some(TransferTarget::Queue(Wire(*queue))),
            (_, Some(who)) if kind < TO_QUEUE + TO_COLLEAGUE && *who != self.me => {
                Some(TransferTarget::Operator(Wire(*who)))
            }
            (_, _) => None,
        };
        self.client.call(match to.filter(|_| !closing) {
            Some(to) => Call::ChatTransfer(ChatTransferFrame { command_id, chat, to }),
            None => Call::ChatEnd(ChatCommandFrame { command_id, chat }),
        });
        Ok(())
    }

    fn say(&mut self, chat: ChatId, now_us: u64) -> Result<(), RunError> {
        let id = self.conduct.command()?;
        let text = self.conduct.text();
        let from = Party::User(self.me);
        self.hall.recorder.book().sent(from, &id, &text, now_us);
        self.client.call(Call::MessageSend(MessageSendFrame {
            chat: Wire(chat),
            client_message_id: Wire(id),
            text: TextFrame::from(text.as_str()),
        }));
        Ok(())
    }

    fn set_ready(&mut self) -> Result<(), RunError> {
        let command_id = Wire(self.conduct.command()?);
        self.client.call(Call::OperatorSetStatus(SetStatusFrame {
            command_id,
            status: StatusWord::Ready,
            reason: None,
        }));
        Ok(())
    }

    fn happened(&mut self, happening: Happening, at_us: u64) -> Result<(), RunError> {
        match happening {
            Happening::Opened(opened) => {
                for offer in opened.offers {
                    self.offered(&offer);
                }
                let status = opened.status.map(|status| status.status);
                if status != Some(StatusWord::Ready) {
                    self.set_ready()?;
                }
            }
            Happening::Lost => {
                self.hall.offers.down(self.offers.len());
                self.offers.clear();
            }
            Happening::Offer(offer) => self.offered(&offer),
            Happening::Withdrawn(over) => {
                self.drop_offer(over.offer.0);
            }
            Happening::Updated(is) => {
                if is.status.status != StatusWord::Ready {
                    self.set_ready()?;
                }
            }
            Happening::Event(event) => self.event(&event, at_us),
            Happening::Answered { call, outcome, .. } => match outcome {
                Ok(raw) => self.answered(*call, &raw, at_us)?,
                Err(error) => {
                    self.refused(*call, at_us);
                    self.hall.recorder.book().refused(error.data.name.name());
                }
            },
            Happening::Gone(chat) => {
                self.chats.remove(&chat);
            }
            Happening::Watermark(_) | Happening::Over(_) => {}
        }
        Ok(())
    }

    fn offered(&mut self, offer: &OfferFrame) {
        self.hall.recorder.book().shown(offer.offer.0);
        let looks_us = self.conduct.between(LOOKS_US.0, LOOKS_US.1);
        let shown = Shown { chat: offer.chat.0, at_us: self.hall.clock.us() + looks_us };
        if self.offers.insert(offer.offer.0, shown).is_none() {
            self.hall.offers.up();
            self.client
                .call(Call::OfferShown(OfferShownFrame { chat: offer.chat, offer: offer.offer }));
        }
    }

    fn answered(
        &mut self,
        call: Call,
        raw: &serde_json::value::RawValue,
        at_us: u64,
    ) -> Result<(), RunError> {
        if let Call::MessageSend(sent) = call {
            let at: MessageSentFrame = answer(raw).ok_or(RunError::Answer("message.send"))?;
            let from = Party::User(self.me);
            let id = &sent.client_message_id.0;
            let mut book = self.hall.recorder.book();
            book.acknowledged(from, id, at.chat.0, at.seq, at_us);
        } else if let Call::ChatTransfer(transfer) = call {
            self.chats.remove(&transfer.chat.0);
        }
        Ok(())
    }

    fn refused(&mut self, call: Call, at_us: u64) {
        let chat = if let Call::ChatEnd(end) = call {
            end.chat.0
        } else if let Call::ChatTransfer(transfer) = call {
            transfer.chat.0
        } else {
            return;
        };
        if let Some(talk) = self.chats.get_mut(&chat) {
            (talk.ending, talk.ends_us) = (false, at_us + AGAIN_US);
            talk.next_us = talk.ends_us;
        }
    }

    fn event(&mut self, event: &ChatEventFrame, at_us: u64) {
        let by = Party::User(self.me);
        self.hall.recorder.book().event(by, event, at_us);
        let chat = event.chat.0;
        if let EventFrame::Assigned { operator, .. } = &event.what
            && self.is_me(operator)
        {
            let talk = Talk {
                next_us: at_us + self.conduct.between(PAUSE_US.0, PAUSE_US.1),
                ends_us: at_us + self.conduct.between(KEEPS_US.0, KEEPS_US.1),
                ending: false,
            };
            self.chats.insert(chat, talk);
        } else if let EventFrame::Assigned { .. } | EventFrame::Placed { .. } = &event.what {
            self.chats.remove(&chat);
        } else if let EventFrame::Ended { .. } = &event.what
            && self.chats.remove(&chat).is_some()
        {
            self.owned_last.insert(chat);
        }
    }

    fn is_me(&self, party: &PartyFrame) -> bool {
        match party {
            PartyFrame::Operator { id, .. } => *id == Some(Wire(self.me)),
            PartyFrame::Customer { .. } | PartyFrame::System => false,
        }
    }
}
