//! A chat that waits in a queue which is not there: nobody serves it, and it stands in no line. No
//! call can bring one about ([`super::ways`]); a store that was restored, or a fault, may. It is
//! found when the process starts and whenever the chat says where it is, and goes into the queue
//! of its channel. While there is none either, it is said, counted, explained, and tried again.

use std::sync::Arc;

use crate::domain::{ChatId, QueueId};
use crate::machine::chat::Chat;
use crate::machine::message::{ChatAt, ToChat};
use crate::telemetry;

use super::shared::Shared;
use super::ways::Way;

/// What a life of a chat knows of it.
#[derive(Debug, Default)]
pub(super) struct Homeless {
    /// The queue that is missing, once it was said that nothing takes its place.
    said: Option<QueueId>,
    /// To be done when the store is idle.
    rehome: Option<(ToChat, Arc<Way>)>,
}

impl Homeless {
    /// The chat tells its queue where it is.
    pub(super) fn look_at(&mut self, shared: &Shared, chat: &Chat, at: &ChatAt) {
        if !shared.is_homeless(at) {
            return;
        }
        let queue = at.queue;
        let channel = chat.opened().map(|opened| opened.customer.channel);
        let home = shared.roster.look(|roster| roster.channels.get(&channel?).copied());
        match home.and_then(|to| Some((to, shared.way_into(to)?))) {
            Some((to, way)) => self.rehome = Some((ToChat::Rehome { queue, to }, way)),
            None if self.said != Some(queue) => {
                self.said = Some(queue);
                tracing::error!(
                    chat = %at.chat, %queue,
                    "the chat waits in a queue that does not exist, and no active channel names \
                     another for it: transfer it, or lead its channel into a queue"
                );
            }
            None => {}
        }
    }

    /// What is to be said to the chat, once.
    pub(super) fn take(&mut self, chat: ChatId) -> Option<(ToChat, Arc<Way>)> {
        let (said, way) = self.rehome.take()?;
        if let ToChat::Rehome { queue, to } = &said {
            tracing::error!(
                %chat, %queue, %to,
                "the chat waits in a queue that does not exist: it goes into that of its channel"
            );
            telemetry::rehomed();
        }
        Some((said, way))
    }
}
