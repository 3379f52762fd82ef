//! Pages of a chat's history. A cursor names one event, and no page that is asked for by it has
//! that event again: `before` is what stands in front of it, `after` what stands behind.

use super::caller::Caller;
use super::refusals::refused;
use crate::actors::Router;
use crate::domain::{ChatId, Recorded, Seq};
use crate::edge::CatalogNames;
use crate::edge::limits::{READ_PAGE, READ_PAGES_MAX};
use crate::protocol::answer::ChatHistoryPageFrame;
use crate::protocol::event::ChatEventFrame;
use crate::protocol::limits::{HISTORY_LIMIT_DEFAULT, HISTORY_PAGE_MAX_BYTES};
use crate::protocol::params::ChatHistoryFrame;
use crate::protocol::{Cursor, ErrorFrame, ErrorKind, Method, View, Wire};

/// What a page is being filled with.
struct Page {
    events: Vec<(ChatEventFrame, usize)>,
    limit: usize,
    bytes: usize,
}

impl Page {
    /// Takes an event if it fits; the first always does.
    fn take(&mut self, frame: ChatEventFrame) -> bool {
        let bytes = serde_json::to_vec(&frame).map_or(0, |json| json.len() + 1);
        let full = self.events.len() >= self.limit;
        if full || (!self.events.is_empty() && self.bytes + bytes > HISTORY_PAGE_MAX_BYTES) {
            return false;
        }
        self.bytes += bytes;
        self.events.push((frame, bytes));
        true
    }
}

/// `chat.history`.
pub(super) async fn page(
    by: &Caller,
    params: ChatHistoryFrame,
) -> Result<ChatHistoryPageFrame, ErrorFrame> {
    let (router, chat) = (&by.edge.router, params.chat.0);
    let right = by.right(Method::ChatHistory)?;
    let view = router.look(chat).await.map_err(refused)?;
    if !by.may_read(&view, right) {
        return Err(ErrorFrame::of(ErrorKind::NotFound));
    }
    let limit = params.limit.unwrap_or(HISTORY_LIMIT_DEFAULT) as usize;
    let page = Page { events: Vec::new(), limit, bytes: 0 };
    let seq = |cursor: Option<Wire<Cursor>>| {
        let seq = cursor.map(|cursor| cursor.0.seq(by.edge.incarnation, chat)).transpose();
        seq.map_err(|foreign| ErrorFrame::new(ErrorKind::CursorInvalid, foreign.to_string()))
    };
    match (seq(params.before)?, seq(params.after)?) {
        (before, None) => {
            let end = before.map_or(view.tail, |seq| seq.saturating_sub(1)).min(view.tail);
            backward(by, router, chat, end, view.tail, page).await
        }
        (_, Some(after)) => {
            let from = after.min(view.tail) + 1;
            forward(by, router, chat, from, view.tail, page).await
        }
    }
}

/// The page that ends at position `end`.
async fn backward(
    by: &Caller,
    router: &Router,
    chat: ChatId,
    end: Seq,
    tail: Seq,
    mut page: Page,
) -> Result<ChatHistoryPageFrame, ErrorFrame> {
    // In front of `first` nothing has been looked at.
    let mut first = end + 1;
    'fill: for _ in 0..READ_PAGES_MAX {
        if first == 1 {
            break;
        }
        let from = first.saturating_sub(READ_PAGE as Seq).max(1);
        let events = router.history(chat, from, (first - from) as usize).await.map_err(refused)?;
        for recorded in events.iter().rev() {
            if let Some(frame) = frame_of(by, chat, recorded)
                && !page.take(frame)
            {
                break 'fill;
            }
            first = recorded.seq;
        }
    }
    page.events.reverse();
    let before = (first > 1).then(|| by.edge.cursor(chat, first));
    Ok(finished(by, chat, page, before, end, tail))
}

/// The page that begins at position `from`.
async fn forward(
    by: &Caller,
    router: &Router,
    chat: ChatId,
    from: Seq,
    tail: Seq,
    mut page: Page,
) -> Result<ChatHistoryPageFrame, ErrorFrame> {
    let mut last = from - 1;
    'fill: for _ in 0..READ_PAGES_MAX {
        let events = router.history(chat, last + 1, READ_PAGE).await.map_err(refused)?;
        if events.is_empty() {
            break;
        }
        for recorded in &events {
            if let Some(frame) = frame_of(by, chat, recorded)
                && !page.take(frame)
            {
                break 'fill;
            }
            last = recorded.seq;
        }
    }
    let before = (from > 1).then(|| by.edge.cursor(chat, from));
    Ok(finished(by, chat, page, before, last, tail))
}

fn finished(
    by: &Caller,
    chat: ChatId,
    page: Page,
    before: Option<Wire<Cursor>>,
    last: Seq,
    tail: Seq,
) -> ChatHistoryPageFrame {
    ChatHistoryPageFrame {
        chat: Wire(chat),
        events: page.events.into_iter().map(|(frame, _)| frame).collect(),
        before,
        after: by.edge.cursor(chat, last),
        more: last < tail,
    }
}

/// The entry as the caller sees it; none when it may not.
pub(super) fn frame_of(by: &Caller, chat: ChatId, recorded: &Recorded) -> Option<ChatEventFrame> {
    let (snapshot, viewer) = (by.edge.catalog.snapshot(), by.viewer());
    let (names, audience) = (CatalogNames { snapshot: &snapshot, viewer }, viewer.audience());
    let incarnation = by.edge.incarnation;
    View { chat, incarnation, audience, names: &names }.frame(recorded)
}
