//! A page that has stood open for long: its customer's chats ended, one after the other.

use switchboard::actors::limits::CONTINUATIONS_MAX;
use switchboard::actors::{CallError, Router};
use switchboard::domain::{ChatEvent, ChatId};
use switchboard::machine::chat::{ChatCall, Refusal};
use switchboard::storage::memory::MemoryStore;

use crate::world::*;

const CUSTOMER: u128 = 8;

async fn end(router: &Router, chat: ChatId) {
    let end = ChatCall::End { by: as_customer(CUSTOMER), command: fresh() };
    call(router, chat, end).await.unwrap();
}

/// A chat and so many after it, each begun by a message after the end of the one before.
async fn chain(router: &Router, length: usize) -> Vec<ChatId> {
    let mut chats = vec![open(router, CUSTOMER).await];
    for _ in 0..length {
        let last = chats[chats.len() - 1];
        end(router, last).await;
        chats.push(send(router, as_customer(CUSTOMER), last, &fresh(), "more").await.unwrap().0);
    }
    chats
}

#[tokio::test]
async fn a_page_that_is_many_ended_chats_behind_still_reaches_the_last() {
    let router = start(MemoryStore::new().store()).await;
    let chats = chain(&router, 20).await;
    let (id, by) = (fresh(), as_customer(CUSTOMER));
    let (reached, answer) = send(&router, by, chats[0], &id, "anybody?").await.unwrap();
    assert_eq!(reached, chats[20]);
    // A repeat gets its first answer, though the chat has ended and another follows it.
    end(&router, chats[20]).await;
    let (next, _) = send(&router, by, chats[20], &fresh(), "and now?").await.unwrap();
    assert_ne!(next, reached);
    let again = send(&router, by, chats[0], &id, "anybody?").await.unwrap();
    assert_eq!(again, (reached, answer));
    let kept = log_of(&router, next).await;
    let twice = kept
        .iter()
        .any(|recorded| matches!(&recorded.event, ChatEvent::Message { id: of, .. } if *of == id));
    assert!(!twice, "it is in one chat only");
}

#[tokio::test]
async fn a_page_that_is_too_far_behind_is_told_where_it_got_to() {
    let router = start(MemoryStore::new().store()).await;
    let chats = chain(&router, CONTINUATIONS_MAX + 3).await;
    let (id, by, text) = (fresh(), as_customer(CUSTOMER), message("anybody?"));
    let refused = router.send(by, chats[0], &id, &text).await;
    let Err(CallError::Refused(Refusal::Ended { continued_in: Some(got_to), .. })) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(got_to, chats[CONTINUATIONS_MAX + 1]);
    let (reached, _) = router.send(by, got_to, &id, &text).await.unwrap();
    assert_eq!(reached, chats[CONTINUATIONS_MAX + 3]);
}
