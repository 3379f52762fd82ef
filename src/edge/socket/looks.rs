//! Looking at many chats for one answer, of which some may not answer themselves.
//!
//! A chat whose log cannot be read is no reason to keep the others from whom they belong to: each
//! look has a limit of its own, and what it does not bring is named instead.

use futures_util::StreamExt;
use futures_util::stream;
use tokio::time::{Instant, timeout_at};

use crate::actors::{CallError, ChatView, Router};
use crate::domain::ChatId;
use crate::edge::limits::{LOOK_LIMIT, LOOKS_AT_ONCE, LOOKS_LIMIT};
use crate::machine::chat::Refusal;

/// What a look brought.
#[derive(Debug)]
pub(super) enum Looked {
    /// The chat.
    Found(Box<ChatView>),
    /// There is no such chat.
    Unknown,
    /// It may be there, and cannot be read at the moment.
    Unreachable,
}

/// Looks at chats side by side. Answers in their order, within [`LOOKS_LIMIT`].
pub(super) async fn looks(
    router: &Router,
    chats: impl IntoIterator<Item = ChatId>,
) -> Vec<(ChatId, Looked)> {
    let until = Instant::now() + LOOKS_LIMIT;
    let looks: Vec<_> = chats.into_iter().map(|chat| look(router, chat, until)).collect();
    stream::iter(looks).buffered(LOOKS_AT_ONCE).collect().await
}

fn look(
    router: &Router,
    chat: ChatId,
    until: Instant,
) -> impl Future<Output = (ChatId, Looked)> + Send {
    let router = router.clone();
    async move {
        let until = until.min(Instant::now() + LOOK_LIMIT);
        let looked = match timeout_at(until, router.look(chat)).await {
            Ok(Ok(view)) => Looked::Found(Box::new(view)),
            Ok(Err(CallError::Refused(Refusal::UnknownChat))) => Looked::Unknown,
            Ok(Err(_)) | Err(_) => Looked::Unreachable,
        };
        (chat, looked)
    }
}
