//! Pages of a chat's history. A cursor names one event, and no page that is asked for by it has
//! that event again: `before` is what stands in front of it, `after` what stands behind.

use super::caller::Caller;
use super::readable::Readable;
use crate::domain::{ChatId, Seq, Shown};
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
    let chat = params.chat.0;
    let of = Readable::look(by, Method::ChatHistory, chat).await?;
    let tail = of.view.tail;
    let limit = params.limit.unwrap_or(HISTORY_LIMIT_DEFAULT) as usize;
    let page = Page { events: Vec::new(), limit, bytes: 0 };
    let seq = |cursor: Option<Wire<Cursor>>| {
        let seq = cursor.map(|cursor| cursor.0.seq(by.edge.incarnation, chat)).transpose();
        seq.map_err(|foreign| ErrorFrame::new(ErrorKind::CursorInvalid, foreign.to_string()))
    };
    match (seq(params.before)?, seq(params.after)?) {
        (before, None) => {
            let end = before.map_or(tail, |seq| seq.saturating_sub(1)).min(tail);
            backward(&of, end, page).await
        }
        (_, Some(after)) => {
            let from = after.min(tail) + 1;
            forward(&of, from, page).await
        }
    }
}

/// The page that ends at position `end`.
async fn backward(
    of: &Readable<'_>,
    end: Seq,
    mut page: Page,
) -> Result<ChatHistoryPageFrame, ErrorFrame> {
    // In front of `first` nothing has been looked at.
    let mut first = end + 1;
    'fill: for _ in 0..READ_PAGES_MAX {
        if first == 1 {
            break;
        }
        let from = first.saturating_sub(READ_PAGE as Seq).max(1);
        let read = of.events(from, (first - from) as usize).await?;
        if read.last.is_none() {
            break;
        }
        for recorded in read.shown.iter().rev() {
            if let Some(frame) = frame_of(of.by, of.view.chat, recorded)
                && !page.take(frame)
            {
                // All behind it has been looked at.
                first = recorded.seq + 1;
                break 'fill;
            }
        }
        first = from;
    }
    page.events.reverse();
    Ok(finished(of, page, (first > 1).then_some(first), end))
}

/// The page that begins at position `from`.
async fn forward(
    of: &Readable<'_>,
    from: Seq,
    mut page: Page,
) -> Result<ChatHistoryPageFrame, ErrorFrame> {
    let mut last = from - 1;
    'fill: for _ in 0..READ_PAGES_MAX {
        let read = of.events(last + 1, READ_PAGE).await?;
        let Some(end) = read.last else { break };
        for recorded in &read.shown {
            if let Some(frame) = frame_of(of.by, of.view.chat, recorded)
                && !page.take(frame)
            {
                // All in front of it has been looked at.
                last = recorded.seq - 1;
                break 'fill;
            }
        }
        last = end;
    }
    Ok(finished(of, page, (from > 1).then_some(from), last))
}

fn finished(of: &Readable<'_>, page: Page, before: Option<Seq>, last: Seq) -> ChatHistoryPageFrame {
    let Readable { by, view } = of;
    let cursor = |seq| by.edge.cursor(view.chat, seq);
    ChatHistoryPageFrame {
        chat: Wire(view.chat),
        events: page.events.into_iter().map(|(frame, _)| frame).collect(),
        before: before.map(cursor),
        after: cursor(last),
        more: last < view.tail,
    }
}

/// The entry as the caller sees it; none when it may not.
pub(super) fn frame_of(by: &Caller, chat: ChatId, recorded: &Shown) -> Option<ChatEventFrame> {
    let (snapshot, viewer) = (by.edge.catalog.snapshot(), by.viewer());
    let (names, audience) = (CatalogNames { snapshot: &snapshot, viewer }, viewer.audience());
    let incarnation = by.edge.incarnation;
    View { chat, incarnation, audience, names: &names }.frame(recorded)
}
