//! What a store promises that writes a chat's rows with its events.

use std::sync::Arc;

use switchboard::domain::{ChatId, Recorded, Timestamp};
use switchboard::storage::{
    AppendError, Beside, ChatMoves, Claim, EndedChat, FeedHour, FeedPeriod, FeedPoint, FeedShard,
    OpenChat, RowUpdate,
};

use crate::samples::{channel, chat, customer, messages, open_chat};
use crate::subject::Subject;

const PERIOD: FeedPeriod = FeedPeriod { process: 1, hour: FeedHour(5) };

fn moves(subject: &Subject) -> Arc<dyn ChatMoves> {
    subject.store.moves.clone().unwrap()
}

/// All that stands beside the logs: open rows, chats that have ended, touches.
async fn beside(subject: &Subject) -> (Vec<OpenChat>, Vec<EndedChat>, Vec<ChatId>) {
    let store = &subject.store;
    let open = store.open_chats.scan(None, 100).await.unwrap();
    let end = Timestamp(u64::MAX);
    let ended = store.ended_chats.scan(channel(1), None, end, 100).await.unwrap();
    let mut touched = Vec::new();
    for shard in FeedShard::all() {
        let page = store.feed.changed(shard, FeedPoint::begin(FeedPeriod::FIRST), 100).await;
        touched.extend(page.unwrap().touched.into_iter().map(|touched| touched.chat));
    }
    (open, ended.into_iter().filter_map(|row| row.ended).collect(), touched)
}

pub async fn what_stands_beside_events_is_written_with_them(subject: Subject) {
    let claim = subject.store.log.claim(chat(1)).await.unwrap().claim;
    let row = open_chat(1, 5);
    let with = Beside { touched: Some(PERIOD), rows: vec![RowUpdate::Open(row.clone())] };
    moves(&subject).append(claim, messages(1..=2), with).await.unwrap();
    assert_eq!(beside(&subject).await, (vec![row.clone()], vec![], vec![chat(1)]));
    // An append with nothing beside it leaves all as it is.
    moves(&subject).append(claim, messages(3..=3), Beside::default()).await.unwrap();
    let subject = subject.restart().await;
    assert_eq!(subject.store.log.read(chat(1), 1, 9).await.unwrap(), messages(1..=3));
    assert_eq!(beside(&subject).await, (vec![row], vec![], vec![chat(1)]));
    let claim = subject.store.log.claim(chat(1)).await.unwrap().claim;
    let ended = EndedChat { chat: chat(1), customer: customer(1), at: Timestamp(9) };
    let rows = vec![RowUpdate::Ended(ended), RowUpdate::NotOpen];
    moves(&subject).append(claim, messages(4..=4), Beside { touched: None, rows }).await.unwrap();
    let subject = subject.restart().await;
    assert_eq!(beside(&subject).await, (vec![], vec![ended], vec![chat(1)]));
}

pub async fn an_append_that_is_refused_writes_nothing_beside_itself(subject: Subject) {
    let log = &subject.store.log;
    let old = log.claim(chat(1)).await.unwrap().claim;
    let claim = log.claim(chat(1)).await.unwrap().claim;
    let row = open_chat(1, 5);
    log.append(claim, messages(1..=1)).await.unwrap();
    subject.store.open_chats.put(row.clone()).await.unwrap();
    let unchanged = beside(&subject).await;
    assert_eq!(unchanged, (vec![row], vec![], vec![]));
    let append = async |claim: Claim, events: Vec<Recorded>| {
        let ended = EndedChat { chat: claim.chat, customer: customer(1), at: Timestamp(9) };
        let rows = vec![RowUpdate::Ended(ended), RowUpdate::NotOpen];
        moves(&subject).append(claim, events, Beside { touched: Some(PERIOD), rows }).await
    };
    assert_eq!(append(old, messages(2..=2)).await, Err(AppendError::Fenced));
    let conflict = Err(AppendError::Conflict { tail: 1, first: 5 });
    assert_eq!(append(claim, messages(5..=5)).await, conflict);
    assert_eq!(beside(&subject).await, unchanged);
    // One that was forgotten comes back by none of its rows.
    log.forget(chat(1)).await.unwrap();
    assert_eq!(append(claim, messages(2..=2)).await, Err(AppendError::Fenced));
    assert_eq!(beside(&subject).await, unchanged);
}
