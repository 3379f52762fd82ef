//! A chat's watermarks between its shell and the store: read when they are first asked for,
//! written behind its back, answered and shown once written.

use std::sync::Arc;
use std::time::Duration;

use ractor::ActorRef;
use tokio::task::JoinError;

use crate::domain::{Party, Person, Place, Seq};
use crate::machine::chat::{Chat, Refusal};
use crate::storage::StoreError;

use super::ChatState;
use crate::actors::hub::Outgoing;
use crate::actors::marks::{Batch, Marks, Raised};
use crate::actors::message::{ChatMessage, Marked, MarksRead, Reply};
use crate::actors::view::ChatView;

/// What a chat's shell knows of its watermarks.
#[derive(Default)]
pub(super) struct Marking {
    /// None until they were read.
    marks: Option<Marks<Marked>>,
    /// Who waits for that; none: nobody has asked yet. As many as have a permit of the mailbox.
    held: Option<Vec<ChatMessage>>,
}

impl Marking {
    /// Whether whoever asks has to wait until they were read.
    pub(super) fn must_be_read(&self) -> bool {
        self.marks.is_none()
    }

    /// Whether nothing is being read or written, or waits for it.
    pub(super) fn is_at_rest(&self) -> bool {
        self.held.is_none() && self.is_flushed()
    }

    fn is_flushed(&self) -> bool {
        self.marks.as_ref().is_none_or(Marks::is_flushed)
    }
}

impl ChatState {
    /// Has a message wait until the watermarks were read, which begins with the first.
    pub(super) fn hold(&mut self, myself: &ActorRef<ChatMessage>, message: ChatMessage) {
        if let Some(held) = &mut self.marking.held {
            held.push(message);
            return;
        }
        self.marking.held = Some(vec![message]);
        let (shared, chat, myself) = (Arc::clone(&self.shared), self.chat, myself.clone());
        tokio::spawn(async move {
            // A task of its own, whose panic comes back as an error: the chat waits for a word.
            let reading = async move { shared.store.watermarks.load(chat).await };
            let _ = myself.send_message(ChatMessage::MarksRead(told(tokio::spawn(reading).await)));
        });
    }

    /// They were read, or not: who waited for them is answered.
    pub(super) fn marks_read(&mut self, myself: &ActorRef<ChatMessage>, read: MarksRead) {
        // None: the chat was let go of meanwhile.
        let Some(held) = self.marking.held.take() else { return };
        match read {
            Ok(marks) => self.marking.marks = Some(Marks::new(marks)),
            Err(error) => tracing::warn!(chat = %self.chat, error, "watermarks not read"),
        }
        for message in held {
            match message {
                ChatMessage::Look(reply, _permit) => self.look(reply),
                ChatMessage::Mark { person, up_to, read, reply, permit: _permit } => {
                    self.mark(myself, (person, up_to, read), reply);
                }
                // Only those two are held.
                _ => {}
            }
        }
    }

    pub(super) fn look(&self, reply: Reply<ChatView>) {
        let _ = reply.send(ChatView::of(self.driver.chat(), self.marking.marks.as_ref()));
    }

    pub(super) fn mark(
        &mut self,
        myself: &ActorRef<ChatMessage>,
        (person, up_to, read): (Person, Seq, bool),
        reply: Marked,
    ) {
        let Some(party) = taking_part(self.driver.chat(), person) else {
            let _ = reply.send(Err(Refusal::NotYours));
            return;
        };
        let (tail, now) = (self.driver.chat().tail(), self.shared.now());
        let Some(marks) = &mut self.marking.marks else {
            let _ = reply.send(Err(Refusal::Unavailable));
            return;
        };
        self.deliveries.received(party, up_to, now);
        match marks.raise((party, up_to.min(tail), read), reply, now) {
            Raised::Durable(reply) => drop(reply.send(Ok(()))),
            Raised::TooMany(reply) => drop(reply.send(Err(Refusal::Unavailable))),
            Raised::Waits(wait_ms) => flush_after(myself, wait_ms),
        }
    }

    /// Writes what was raised, beside the mailbox: the chat's messages wait for no mark.
    pub(super) fn flush_marks(&mut self, myself: &ActorRef<ChatMessage>) {
        let Some(marks) = &mut self.marking.marks else { return };
        let batch = marks.take_raised(self.shared.now());
        let (shared, chat, myself) = (Arc::clone(&self.shared), self.chat, myself.clone());
        tokio::spawn(async move {
            let raised = batch.marks.clone();
            let writing = async move { shared.store.watermarks.raise(chat, raised).await };
            let written = told(tokio::spawn(writing).await);
            let _ = myself.send_message(ChatMessage::MarksWritten(batch, written));
        });
    }

    /// Answers who waited for a write, and shows what is durable.
    pub(super) fn marks_written(
        &mut self,
        myself: &ActorRef<ChatMessage>,
        batch: Batch<Marked>,
        written: Result<(), String>,
    ) {
        let Batch { marks: raised, waiting } = batch;
        // None: the chat was let go of meanwhile. Whoever waits asks again, and hears that there is
        // no such chat.
        let Some(marks) = &mut self.marking.marks else { return };
        let now = self.shared.now();
        let next = match &written {
            Ok(()) => {
                let next = marks.written(&raised, now);
                let to = self.driver.chat().seen_by();
                for party in raised.into_keys() {
                    let (chat, mark) = (self.chat, marks.of(party));
                    self.shared.hub.send(&to, &Outgoing::Marked { chat, party, mark });
                }
                next
            }
            // A mark only ever rises, so that one whose outcome is unknown is written again.
            Err(error) => {
                tracing::warn!(chat = %self.chat, error, "watermarks not written");
                marks.put_back(raised, now)
            }
        };
        flush_after(myself, next);
        for reply in waiting {
            let _ = reply.send(if written.is_ok() { Ok(()) } else { Err(Refusal::Unavailable) });
        }
    }

    /// At the end of this life: writes what is left, once.
    pub(super) async fn flush_last_marks(&mut self) {
        let Some(marks) = &mut self.marking.marks else { return };
        let batch = marks.take_raised(self.shared.now());
        if batch.marks.is_empty() {
            return;
        }
        let asked = self.shared.store.watermarks.raise(self.chat, batch.marks);
        match told(Ok(asked.await)) {
            Ok(()) => {
                for reply in batch.waiting {
                    let _ = reply.send(Ok(()));
                }
            }
            Err(error) => tracing::warn!(chat = %self.chat, error, "watermarks not written"),
        }
    }
}

/// What a task at the store came to.
fn told<T>(ended: Result<Result<T, StoreError>, JoinError>) -> Result<T, String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    ended.map_err(|panicked| text(&panicked))?.map_err(|error| text(&error))
}

fn flush_after(myself: &ActorRef<ChatMessage>, wait_ms: Option<u64>) {
    if let Some(wait_ms) = wait_ms {
        myself.send_after(Duration::from_millis(wait_ms), || ChatMessage::FlushMarks);
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
