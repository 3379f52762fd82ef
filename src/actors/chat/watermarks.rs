//! A chat's watermarks between its shell and the store: read when they are first asked for, unless the chat
//! began in this life, written behind its back, answered and shown once written.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ractor::ActorRef;

use crate::domain::{Party, Person, Place, Seq};
use crate::machine::chat::{Chat, Refusal};
use crate::storage::StoreError;

use super::ChatState;
use crate::actors::hub::Outgoing;
use crate::actors::message::{ChatMessage, Reply, WatermarkReply, WatermarksRead};
use crate::actors::shared::guarded;
use crate::actors::view::ChatView;
use crate::actors::watermarks::{Batch, Raised, WatermarkBuffer};

/// What a chat's shell knows of its watermarks.
#[derive(Default)]
pub(super) struct ChatWatermarks {
    /// None until they were read.
    buffer: Option<WatermarkBuffer<WatermarkReply>>,
    /// Who waits for that; none: nobody has asked yet. As many as have a permit of the mailbox.
    held: Option<Vec<ChatMessage>>,
}

impl ChatWatermarks {
    /// Whether nothing is being read or written, or waits for it.
    pub(super) fn is_at_rest(&self) -> bool {
        self.held.is_none() && self.is_flushed()
    }

    fn is_flushed(&self) -> bool {
        self.buffer.as_ref().is_none_or(WatermarkBuffer::is_flushed)
    }
}

impl ChatState {
    /// Whether whoever asks has to wait until they were read: there are none before the first event.
    pub(super) fn must_read_watermarks(&mut self) -> bool {
        let known = &mut self.watermarks;
        // What is being read comes from a time when that was not known.
        if known.buffer.is_none() && known.held.is_none() && self.driver.begins_the_log() {
            known.buffer = Some(WatermarkBuffer::new(BTreeMap::new()));
        }
        known.buffer.is_none()
    }

    /// Has a message wait until the watermarks were read, which begins with the first.
    pub(super) fn hold(&mut self, myself: &ActorRef<ChatMessage>, message: ChatMessage) {
        if let Some(held) = &mut self.watermarks.held {
            held.push(message);
            return;
        }
        self.watermarks.held = Some(vec![message]);
        let (shared, chat, myself) = (Arc::clone(&self.shared), self.chat, myself.clone());
        tokio::spawn(async move {
            let read = guarded(async { shared.store.watermarks.load(chat).await }).await;
            let _ = myself.send_message(ChatMessage::WatermarksRead(read));
        });
    }

    /// They were read, or not: who waited for them is answered.
    pub(super) fn watermarks_read(&mut self, myself: &ActorRef<ChatMessage>, read: WatermarksRead) {
        // None: the chat was let go of meanwhile.
        let Some(held) = self.watermarks.held.take() else { return };
        match read {
            Ok(durable) => self.watermarks.buffer = Some(WatermarkBuffer::new(durable)),
            Err(error) => tracing::warn!(chat = %self.chat, %error, "watermarks not read"),
        }
        for message in held {
            match message {
                ChatMessage::Look(reply, _permit) => self.look(reply),
                ChatMessage::RaiseWatermark { person, up_to, read, reply, permit: _permit } => {
                    self.raise_watermark(myself, (person, up_to, read), reply);
                }
                // Only those two are held.
                _ => {}
            }
        }
    }

    pub(super) fn look(&self, reply: Reply<ChatView>) {
        let _ = reply.send(ChatView::of(self.driver.chat(), self.watermarks.buffer.as_ref()));
    }

    pub(super) fn raise_watermark(
        &mut self,
        myself: &ActorRef<ChatMessage>,
        (person, up_to, read): (Person, Seq, bool),
        reply: WatermarkReply,
    ) {
        let Some(party) = taking_part(self.driver.chat(), person) else {
            let _ = reply.send(Err(Refusal::NotYours));
            return;
        };
        let (tail, now) = (self.driver.chat().tail(), self.shared.now());
        let Some(buffer) = &mut self.watermarks.buffer else {
            let _ = reply.send(Err(Refusal::Unavailable));
            return;
        };
        self.deliveries.received(party, up_to, now);
        match buffer.raise((party, up_to.min(tail), read), reply, now) {
            Raised::Durable(reply) => drop(reply.send(Ok(()))),
            Raised::TooMany(reply) => drop(reply.send(Err(Refusal::Unavailable))),
            Raised::Waits(wait_ms) => flush_after(myself, wait_ms),
        }
    }

    /// Writes what was raised, beside the mailbox: the chat's messages wait for no such write.
    pub(super) fn flush_watermarks(&mut self, myself: &ActorRef<ChatMessage>) {
        let Some(buffer) = &mut self.watermarks.buffer else { return };
        let batch = buffer.take_raised(self.shared.now());
        let (shared, chat, myself) = (Arc::clone(&self.shared), self.chat, myself.clone());
        tokio::spawn(async move {
            let raised = batch.watermarks.clone();
            let written =
                guarded(async { shared.store.watermarks.raise(chat, raised).await }).await;
            let _ = myself.send_message(ChatMessage::WatermarksWritten(batch, written));
        });
    }

    /// Answers who waited for a write, and shows what is durable.
    pub(super) fn watermarks_written(
        &mut self,
        myself: &ActorRef<ChatMessage>,
        batch: Batch<WatermarkReply>,
        written: Result<(), StoreError>,
    ) {
        let Batch { watermarks: raised, waiting } = batch;
        // None: the chat was let go of meanwhile. Whoever waits asks again, and hears that there is
        // no such chat.
        let Some(buffer) = &mut self.watermarks.buffer else { return };
        let now = self.shared.now();
        let next = match &written {
            Ok(()) => {
                let next = buffer.written(&raised, now);
                let to = self.driver.chat().seen_by();
                for party in raised.into_keys() {
                    let (chat, watermark) = (self.chat, buffer.of(party));
                    self.shared.hub.send(&to, &Outgoing::Watermark { chat, party, watermark });
                }
                next
            }
            // A watermark only ever rises, so that one whose outcome is unknown is written again.
            Err(error) => {
                tracing::warn!(chat = %self.chat, %error, "watermarks not written");
                buffer.put_back(raised, now)
            }
        };
        flush_after(myself, next);
        for reply in waiting {
            let _ = reply.send(if written.is_ok() { Ok(()) } else { Err(Refusal::Unavailable) });
        }
    }

    /// At the end of this life: writes what is left, once.
    pub(super) async fn flush_last_watermarks(&mut self) {
        // One that is parked goes on with them as they are.
        if self.watermarks.is_flushed() {
            return;
        }
        let Some(buffer) = &mut self.watermarks.buffer else { return };
        let batch = buffer.take_raised(self.shared.now());
        if batch.watermarks.is_empty() {
            return;
        }
        let asked = self.shared.store.watermarks.raise(self.chat, batch.watermarks);
        match asked.await {
            Ok(()) => {
                for reply in batch.waiting {
                    let _ = reply.send(Ok(()));
                }
            }
            Err(error) => tracing::warn!(chat = %self.chat, %error, "watermarks not written"),
        }
    }
}

fn flush_after(myself: &ActorRef<ChatMessage>, wait_ms: Option<u64>) {
    if let Some(wait_ms) = wait_ms {
        myself.send_after(Duration::from_millis(wait_ms), || ChatMessage::FlushWatermarks);
    }
}

/// Who converses in the chat: whoever it is only offered to has nothing to confirm.
fn taking_part(chat: &Chat, person: Person) -> Option<Party> {
    chat.party(person).filter(|party| match party {
        Party::Customer(_) => true,
        Party::User(user) => chat.place().and_then(Place::owner) == Some(*user),
        Party::System => false,
    })
}
