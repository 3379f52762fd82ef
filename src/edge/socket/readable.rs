//! A chat that its caller may read, and with it the way to what was written there.

use super::caller::Caller;
use super::refusals::refused;
use crate::actors::ChatView;
use crate::domain::{ChatId, Recorded, Seq};
use crate::edge::named::Named;
use crate::protocol::{ErrorFrame, ErrorKind, Method};

/// See the module.
pub(super) struct Readable<'a> {
    pub by: &'a Caller,
    pub view: ChatView,
}

impl<'a> Readable<'a> {
    /// Looks at the chat. Errors when there is none that the method lets the caller read.
    pub async fn look(by: &'a Caller, method: Method, chat: ChatId) -> Result<Self, ErrorFrame> {
        let scope = by.scope(method)?;
        let found = Named::new(chat).found(|chat| by.edge.router.look(chat)).await;
        let view = found.map_err(refused)?.within(scope, |view| by.is_own(view));
        let view = view.map_err(|_| ErrorFrame::of(ErrorKind::NotFound))?;
        Ok(Self { by, view })
    }

    /// At most so many events from that position on.
    pub async fn events(&self, from: Seq, limit: usize) -> Result<Vec<Recorded>, ErrorFrame> {
        self.by.edge.router.history(self.view.chat, from, limit).await.map_err(refused)
    }
}
