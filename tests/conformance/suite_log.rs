//! What the chat log promises.

use std::sync::Arc;

use switchboard::storage::{AppendError, Claim};

use crate::samples::{chat, messages};
use crate::subject::Subject;

pub async fn an_append_is_read_back_in_order(subject: Subject) {
    let log = &subject.store.log;
    let claimed = log.claim(chat(1)).await.unwrap();
    assert_eq!((claimed.tail, claimed.claim.chat), (0, chat(1)));
    log.append(claimed.claim, messages(1..=2)).await.unwrap();
    log.append(claimed.claim, messages(3..=3)).await.unwrap();
    assert_eq!(log.read(chat(1), 1, 10).await.unwrap(), messages(1..=3));
    assert_eq!(log.read(chat(1), 0, 10).await.unwrap(), messages(1..=3));
    assert_eq!(log.read(chat(1), 4, 10).await.unwrap(), []);
    assert_eq!(log.read(chat(1), u64::MAX, 10).await.unwrap(), []);
    assert_eq!(log.read(chat(1), 1, 0).await.unwrap(), []);
    assert_eq!(log.read(chat(2), 1, 10).await.unwrap(), []);
    assert_eq!(log.claim(chat(1)).await.unwrap().tail, 3);
}

pub async fn a_later_claim_fences_the_earlier(subject: Subject) {
    let log = &subject.store.log;
    let old = log.claim(chat(1)).await.unwrap().claim;
    log.append(old, messages(1..=1)).await.unwrap();
    let new = log.claim(chat(1)).await.unwrap();
    assert!(new.claim.epoch > old.epoch);
    assert_eq!(new.tail, 1);
    assert_eq!(log.append(old, messages(2..=2)).await, Err(AppendError::Fenced));
    log.append(new.claim, messages(2..=2)).await.unwrap();
    assert_eq!(log.append(old, messages(3..=3)).await, Err(AppendError::Fenced));
    assert_eq!(log.read(chat(1), 1, 10).await.unwrap(), messages(1..=2));
    assert_eq!(log.claim(chat(1)).await.unwrap().tail, 2);
}

pub async fn a_claim_fences_what_is_under_way(subject: Subject) {
    let log = Arc::clone(&subject.store.log);
    for round in 0..50_u128 {
        let chat = chat(round);
        let old = log.claim(chat).await.unwrap().claim;
        let append = tokio::spawn({
            let log = Arc::clone(&log);
            async move { log.append(old, messages(1..=1)).await }
        });
        let claim = tokio::spawn({
            let log = Arc::clone(&log);
            async move { log.claim(chat).await }
        });
        let (appended, claimed) = (append.await.unwrap(), claim.await.unwrap().unwrap());
        // Whichever came first, the tail that the claim answered is final.
        match appended {
            Ok(()) => assert_eq!(claimed.tail, 1),
            Err(AppendError::Fenced) => assert_eq!(claimed.tail, 0),
            Err(error) => panic!("{error}"),
        }
        assert_eq!(log.read(chat, 1, 9).await.unwrap(), messages(1..=claimed.tail));
    }
}

pub async fn claims_die_with_the_process(subject: Subject) {
    let old = subject.store.log.claim(chat(1)).await.unwrap().claim;
    let other = subject.store.log.claim(chat(2)).await.unwrap().claim;
    subject.store.log.append(old, messages(1..=3)).await.unwrap();
    let subject = subject.restart().await;
    let log = &subject.store.log;
    assert_eq!(log.append(old, messages(4..=4)).await, Err(AppendError::Fenced));
    assert_eq!(log.append(other, messages(1..=1)).await, Err(AppendError::Fenced));
    let new = log.claim(chat(1)).await.unwrap();
    assert!(new.claim.epoch > old.epoch);
    assert_eq!(new.tail, 3);
    assert_eq!(log.append(old, messages(4..=4)).await, Err(AppendError::Fenced));
    assert_eq!(log.read(chat(1), 1, 10).await.unwrap(), messages(1..=3));
}

pub async fn what_does_not_continue_the_log_is_a_conflict(subject: Subject) {
    let log = &subject.store.log;
    let claim = log.claim(chat(1)).await.unwrap().claim;
    let conflict = |tail, first| Err(AppendError::Conflict { tail, first });
    log.append(claim, messages(1..=2)).await.unwrap();
    assert_eq!(log.append(claim, messages(2..=3)).await, conflict(2, 2));
    assert_eq!(log.append(claim, messages(4..=4)).await, conflict(2, 4));
    assert_eq!(log.append(claim, messages([3, 5])).await, conflict(2, 3));
    assert_eq!(log.append(claim, messages([3, 3])).await, conflict(2, 3));
    assert_eq!(log.append(claim, vec![]).await, conflict(2, 0));
    assert_eq!(log.append(claim, messages([0])).await, conflict(2, 0));
    assert_eq!(log.append(claim, messages([u64::MAX])).await, conflict(2, u64::MAX));
    assert_eq!(log.read(chat(1), 1, 10).await.unwrap(), messages(1..=2));
    log.append(claim, messages(3..=3)).await.unwrap();
    let made_up = Claim { chat: chat(9), epoch: claim.epoch };
    assert_eq!(log.append(made_up, messages(1..=1)).await, Err(AppendError::Fenced));
}

pub async fn one_bad_append_fails_alone(subject: Subject) {
    let log = &subject.store.log;
    let good = log.claim(chat(1)).await.unwrap().claim;
    let bad = log.claim(chat(2)).await.unwrap().claim;
    let dead = log.claim(chat(3)).await.unwrap().claim;
    log.claim(chat(3)).await.unwrap();
    let (a, b, c, d) = tokio::join!(
        log.append(good, messages(1..=1)),
        log.append(bad, messages(5..=5)),
        log.append(dead, messages(1..=1)),
        log.append(good, messages(2..=2)),
    );
    assert_eq!((a, d), (Ok(()), Ok(())));
    assert_eq!(b, Err(AppendError::Conflict { tail: 0, first: 5 }));
    assert_eq!(c, Err(AppendError::Fenced));
    assert_eq!(log.read(chat(1), 1, 9).await.unwrap(), messages(1..=2));
    assert_eq!(log.read(chat(2), 1, 9).await.unwrap(), []);
    assert_eq!(log.read(chat(3), 1, 9).await.unwrap(), []);
}

pub async fn a_long_chat_is_read_by_pages(subject: Subject) {
    let log = &subject.store.log;
    let claim = log.claim(chat(1)).await.unwrap().claim;
    for page in 0..20 {
        let first = page * 100 + 1;
        log.append(claim, messages(first..first + 100)).await.unwrap();
        let other = log.claim(chat(u128::from(page) + 2)).await.unwrap().claim;
        log.append(other, messages(1..=1)).await.unwrap();
    }
    let subject = subject.restart().await;
    let log = &subject.store.log;
    let mut read = Vec::new();
    loop {
        let page = log.read(chat(1), read.len() as u64 + 1, 77).await.unwrap();
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 77);
        read.extend(page);
    }
    assert_eq!(read, messages(1..=2_000));
    assert_eq!(log.read(chat(1), 1_990, 5).await.unwrap(), messages(1_990..1_995));
    assert_eq!(log.read(chat(1), 1, usize::MAX).await.unwrap().len(), 2_000);
}

pub async fn thousands_of_chats_keep_apart(subject: Subject) {
    const CHATS: u128 = 3_000;
    let store = subject.store.clone();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..CHATS {
        let log = Arc::clone(&store.log);
        tasks.spawn(async move {
            let claim = log.claim(chat(n)).await.unwrap().claim;
            for seq in 1..=n as u64 % 4 {
                log.append(claim, messages([seq])).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    drop(store);
    let subject = subject.restart().await;
    for n in 0..CHATS {
        let tail = n as u64 % 4;
        let log = &subject.store.log;
        assert_eq!(log.claim(chat(n)).await.unwrap().tail, tail);
        assert_eq!(log.read(chat(n), 1, 9).await.unwrap(), messages(1..=tail));
    }
}

pub async fn a_reader_sees_every_acknowledged_append(subject: Subject) {
    let log = Arc::clone(&subject.store.log);
    let claim = log.claim(chat(1)).await.unwrap().claim;
    // Across many folds, with readers all the time: whatever was acknowledged is there, in order.
    let (acknowledged, seen) = tokio::sync::watch::channel(0_u64);
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (log, seen) = (Arc::clone(&log), seen.clone());
        readers.spawn(async move {
            while *seen.borrow() < 120 {
                let least = *seen.borrow();
                let read = log.read(chat(1), 1, 500).await.unwrap();
                assert!(read.len() as u64 >= least, "{} of {least}", read.len());
                assert_eq!(read, messages(1..=read.len() as u64));
                tokio::task::yield_now().await;
            }
        });
    }
    for seq in 1..=120 {
        log.append(claim, messages([seq])).await.unwrap();
        acknowledged.send_replace(seq);
        tokio::task::yield_now().await;
    }
    readers.join_all().await;
}
