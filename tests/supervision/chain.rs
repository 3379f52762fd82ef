//! A page that has stood open for long: its customer's chats ended, one after the other.

use std::sync::Arc;

use switchboard::actors::limits::CONTINUATIONS_MAX;
use switchboard::actors::{CallError, Router};
use switchboard::domain::{ChatEvent, ChatId, CommandId, Profile};
use switchboard::machine::chat::{ChatCall, Refusal};
use switchboard::storage::ClaimOpen;
use switchboard::storage::memory::MemoryStore;

use crate::store::{Break, Breaking, Only};
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
    let refused = router.send(by, chats[0], &id, &text, &Unbounded, None).await;
    let Err(CallError::Refused(Refusal::Ended { continued_in: Some(got_to), .. })) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(got_to, chats[CONTINUATIONS_MAX + 1]);
    let (reached, _) = router.send(by, got_to, &id, &text, &Unbounded, None).await.unwrap();
    assert_eq!(reached, chats[CONTINUATIONS_MAX + 3]);
}

/// Whether the chat's log has a message of that id.
async fn has_message(router: &Router, chat: ChatId, id: &CommandId) -> bool {
    let is = |event: &ChatEvent| matches!(event, ChatEvent::Message { id: of, .. } if of == id);
    log_of(router, chat).await.iter().any(|recorded| is(&recorded.event))
}

#[tokio::test]
async fn a_chat_that_ended_before_its_first_message_was_repeated_does_not_go_on_in_itself() {
    // The appends before it: opened, ended, the next one opened, continued in it.
    let memory = MemoryStore::new().store();
    let refuses = Arc::new(Breaking::at_only(memory, Only::Appends, 5, Break::Refused));
    let router = start(refuses.store()).await;
    let (by, id, text) = (as_customer(CUSTOMER), fresh(), message("anybody?"));
    let first = open(&router, CUSTOMER).await;
    end(&router, first).await;
    assert_eq!(
        router.send(by, first, &id, &text, &Unbounded, None).await,
        Err(CallError::Unavailable)
    );
    assert!(refuses.has_fired());
    let second = look(&router, first).await.continued_in.unwrap();
    end(&router, second).await;
    // The customer comes back and repeats what had no answer.
    let (reached, answer) = router.send(by, first, &id, &text, &Unbounded, None).await.unwrap();
    assert!(reached != first && reached != second);
    assert!(has_message(&router, reached, &id).await);
    assert_eq!(look(&router, second).await.continued_in, Some(reached));
    assert_eq!(router.send(by, first, &id, &text, &Unbounded, None).await, Ok((reached, answer)));
    assert_eq!(
        router.send(by, second, &fresh(), &text, &Unbounded, None).await.unwrap().0,
        reached
    );
}

#[tokio::test]
async fn a_message_whose_id_once_opened_a_chat_does_not_go_on_in_that_one() {
    let router = start(MemoryStore::new().store()).await;
    // Unique per chat and person, as ids have to be: a client may count anew in each chat.
    let (by, id, text) = (as_customer(CUSTOMER), CommandId::new("4").unwrap(), message("hello"));
    let opened = router.open(customer(CUSTOMER), &id, &Profile::default(), &Unbounded).await;
    let first = opened.unwrap().0;
    let said = router.send(by, first, &id, &text, &Unbounded, None).await.unwrap();
    end(&router, first).await;
    let second =
        router.send(by, first, &fresh(), &message("more"), &Unbounded, None).await.unwrap().0;
    end(&router, second).await;
    let (third, _) = router.send(by, second, &id, &text, &Unbounded, None).await.unwrap();
    assert!(third != first && third != second, "the first one ended long ago");
    assert!(has_message(&router, third, &id).await, "what is acknowledged is there");
    assert_eq!(
        router.send(by, first, &id, &text, &Unbounded, None).await,
        Ok(said),
        "another message, a repeat"
    );
    assert_eq!(router.send(by, first, &fresh(), &text, &Unbounded, None).await.unwrap().0, third);
}

#[tokio::test]
async fn a_repeated_opening_gets_its_chat_though_another_tab_opened_it_and_it_has_ended() {
    let store = MemoryStore::new().store();
    let router = start(store.clone()).await;
    // One tab has claimed and is slow, the other meets the claim and is there first.
    let (slow, claimed) = (fresh(), ChatId::from_u128(77));
    let claim = store.conversations.claim_open(customer(CUSTOMER), &slow, claimed, None).await;
    assert_eq!(claim, Ok(ClaimOpen::Claimed));
    assert_eq!(open(&router, CUSTOMER).await, claimed);
    end(&router, claimed).await;
    let unknown = Profile::default();
    let open = || router.open(customer(CUSTOMER), &slow, &unknown, &Unbounded);
    assert_eq!(open().await.unwrap().0, claimed);
    let next = router
        .send(as_customer(CUSTOMER), claimed, &fresh(), &message("more"), &Unbounded, None)
        .await;
    assert_ne!(next.unwrap().0, claimed);
    assert_eq!(open().await.unwrap().0, claimed, "whatever came after");
}
