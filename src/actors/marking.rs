//! A chat's watermarks between its shell and the store: read when they are first asked for,
//! written behind its back, answered and shown once written.

use std::time::Duration;

use ractor::ActorRef;

use crate::domain::{Party, Person, Place, Seq};
use crate::machine::chat::{Chat, Refusal};

use super::chat::{ChatMessage, ChatState, Reply};
use super::hub::Outgoing;
use super::marks::{Batch, Marks, Raised};

/// Who waits until its mark is durable.
pub(super) type Marked = Reply<Result<(), Refusal>>;

impl ChatState {
    pub(super) async fn read_marks(&mut self) {
        if self.marks.is_some() {
            return;
        }
        let asked = self.shared.store.watermarks.load(self.chat);
        match self.shared.in_time(asked).await.map_err(|silent| silent.to_string()) {
            Ok(Ok(marks)) => self.marks = Some(Marks::new(marks)),
            Ok(Err(error)) => tracing::warn!(chat = %self.chat, %error, "watermarks not read"),
            Err(error) => tracing::warn!(chat = %self.chat, error, "watermarks not read"),
        }
    }

    pub(super) async fn mark(
        &mut self,
        myself: &ActorRef<ChatMessage>,
        person: Person,
        up_to: Seq,
        read: bool,
        reply: Marked,
    ) {
        let Some(party) = taking_part(self.driver.chat(), person) else {
            let _ = reply.send(Err(Refusal::NotYours));
            return;
        };
        self.read_marks().await;
        let (tail, now) = (self.driver.chat().tail(), self.shared.now());
        let Some(marks) = &mut self.marks else {
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

    /// Writes what was raised, and answers who waits for it.
    pub(super) async fn flush_marks(&mut self, myself: &ActorRef<ChatMessage>) {
        let now = self.shared.now();
        let Some(marks) = &mut self.marks else { return };
        let Batch { marks: raised, waiting } = marks.take_raised(now);
        let asked = self.shared.store.watermarks.raise(self.chat, raised.clone());
        let written = match self.shared.in_time(asked).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(silent) => Err(silent.to_string()),
        };
        match &written {
            Ok(()) => {
                marks.written(&raised);
                let to = self.driver.chat().seen_by();
                for (party, mark) in raised {
                    let chat = self.chat;
                    self.shared.hub.send(&to, &Outgoing::Marked { chat, party, mark });
                }
            }
            // A mark only ever rises, so that one whose outcome is unknown is written again.
            Err(error) => {
                tracing::warn!(chat = %self.chat, error, "watermarks not written");
                flush_after(myself, marks.put_back(raised, now));
            }
        }
        for reply in waiting {
            let _ = reply.send(if written.is_ok() { Ok(()) } else { Err(Refusal::Unavailable) });
        }
    }
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
