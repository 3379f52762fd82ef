//! A chat that its caller may read, and with it the way to what was written there.

use super::caller::Caller;
use super::refusals::refused;
use crate::actors::{ChatView, HistoryPage};
use crate::domain::{ChatId, Seq};
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

    /// What the caller may see of the events from that position on, of which at most so many are read.
    /// What came after the look is not read: the chat may have left the caller since.
    pub async fn events(&self, from: Seq, limit: usize) -> Result<HistoryPage, ErrorFrame> {
        let permitted = (self.view.tail + 1).saturating_sub(from);
        if permitted == 0 {
            return Ok(HistoryPage { shown: Vec::new(), last: None });
        }
        let limit = limit.min(usize::try_from(permitted).unwrap_or(usize::MAX));
        let (router, to) = (&self.by.edge.router, self.by.audience());
        router.history(self.view.chat, to, from, limit).await.map_err(refused)
    }
}
