//! The audit trail over a store that fails, and over processes that end.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use switchboard::access::Act;
use switchboard::audit::{By, Failure, Note, Trail, TrailFilter};
use switchboard::domain::audit::{AuditAct, AuditActor, AuditEntry, AuditId, AuditOutcome};
use switchboard::domain::{ChannelId, CustomerId, Timestamp};
use switchboard::storage::memory::{Fault, FaultAt, MemoryStore};
use switchboard::storage::{AuditTrail, StoreError};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn trail(memory: &Arc<MemoryStore>, life: u32) -> Trail {
    let store = memory.store();
    Trail::new(store.audit, store.documents, life)
}

fn note() -> Note {
    Note { act: AuditAct::QueueChanged, subject: None, changes: Vec::new() }
}

async fn outcomes(trail: &Trail) -> Vec<Option<AuditOutcome>> {
    let page = trail.page(TrailFilter::default(), None, 100).await.unwrap();
    page.entries.into_iter().map(|entry| entry.outcome).collect()
}

#[tokio::test]
async fn what_a_crash_left_is_unknown_at_the_next_start_also_when_the_clock_went_back() {
    let memory = MemoryStore::new();
    let mut now = NOW;
    for life in 0..4 {
        let trail = trail(&memory, life);
        assert_eq!(trail.recover(now).await.unwrap(), u64::from(life > 0));
        let done = trail.record(By::system(now), note()).await.unwrap();
        trail.conclude(AuditAct::QueueChanged, done, AuditOutcome::Done).await;
        trail.tend(now.plus_ms(5)).await;
        trail.record(By::system(now.plus_ms(5)), note()).await.unwrap();
        trail.tend(now.plus_ms(10)).await;
        // The process is killed here.
        now = Timestamp(now.0 - 3_600_000);
    }
    let trail = trail(&memory, 9);
    assert_eq!(trail.recover(now).await.unwrap(), 1);
    let found = outcomes(&trail).await;
    assert_eq!(found.iter().filter(|one| **one == Some(AuditOutcome::Unknown)).count(), 4);
    assert_eq!(found.iter().filter(|one| **one == Some(AuditOutcome::Done)).count(), 4);
}

#[tokio::test]
async fn without_an_entry_there_is_no_act_and_its_end_is_told() {
    for (fault, left) in [
        (Fault::Refuse, vec![]),
        (Fault::UnknownWithoutWrite, vec![]),
        (Fault::UnknownAfterWrite, vec![Some(AuditOutcome::Refused)]),
    ] {
        let memory = MemoryStore::new();
        let trail = trail(&memory, 1);
        trail.recover(NOW).await.unwrap();
        memory.fail_next(FaultAt::Audit, fault);
        assert!(trail.record(By::system(NOW), note()).await.is_err());
        trail.tend(NOW).await;
        assert_eq!(outcomes(&trail).await, left, "{fault:?}");
    }
}

#[tokio::test]
async fn an_outcome_that_the_store_did_not_take_is_written_later() {
    let memory = MemoryStore::new();
    let trail = trail(&memory, 1);
    trail.recover(NOW).await.unwrap();
    let id = trail.record(By::system(NOW), note()).await.unwrap();
    memory.fail_next(FaultAt::Audit, Fault::Refuse);
    trail.conclude(AuditAct::QueueChanged, id, AuditOutcome::Done).await;
    assert_eq!(outcomes(&trail).await, [None]);
    trail.tend(NOW).await;
    assert_eq!(outcomes(&trail).await, [Some(AuditOutcome::Done)]);
}

#[tokio::test]
async fn failures_are_written_with_their_count() {
    let memory = MemoryStore::new();
    let trail = trail(&memory, 1);
    trail.recover(NOW).await.unwrap();
    for _ in 0..3 {
        trail.failed(&Failure::LogIn(None), [192, 0, 2, 1].into(), NOW);
    }
    trail.tend(NOW).await;
    assert_eq!(outcomes(&trail).await, [None], "at once, for a crash must not hide it");
    trail.end(NOW).await;
    assert_eq!(outcomes(&trail).await, [Some(AuditOutcome::Counted(3))]);
}

#[tokio::test]
async fn a_page_goes_on_where_the_last_one_ended() {
    let memory = MemoryStore::new();
    let trail = trail(&memory, 1);
    for n in 0..50 {
        let actor = if n % 10 == 0 { AuditActor::System } else { AuditActor::Unknown };
        let by = By { actor, address: None, at: NOW.plus_ms(n) };
        trail.record(by, note()).await.unwrap();
    }
    let wanted = TrailFilter {
        from: Some(NOW.plus_ms(5)),
        to: Some(NOW.plus_ms(40)),
        actor: Some(AuditActor::System),
        subject: None,
    };
    let (mut read, mut after) = (Vec::new(), None);
    loop {
        let page = trail.page(wanted, after, 2).await.unwrap();
        assert!(page.entries.len() <= 2);
        read.extend(page.entries.into_iter().map(|entry| entry.id.at().since_ms(NOW)));
        after = page.next;
        trail.record(By::system(NOW.plus_ms(45)), note()).await.unwrap();
        if after.is_none() {
            break;
        }
    }
    assert_eq!(read, [30, 20, 10]);
}

/// A trail whose store takes an entry and does not answer, or meets damage whenever it is read.
struct Odd {
    inner: Arc<dyn AuditTrail>,
    silent: bool,
}

#[async_trait]
impl AuditTrail for Odd {
    async fn record(&self, entry: AuditEntry) -> Result<(), StoreError> {
        self.inner.record(entry).await?;
        if self.silent { std::future::pending().await } else { Ok(()) }
    }

    async fn conclude(&self, id: AuditId, outcome: AuditOutcome) -> Result<(), StoreError> {
        self.inner.conclude(id, outcome).await
    }

    async fn newest(
        &self,
        _before: AuditId,
        _from: AuditId,
        _limit: usize,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        Err(StoreError::Damaged { reason: "told so by a test".to_owned() })
    }

    async fn remove_before(&self, before: Timestamp) -> Result<bool, StoreError> {
        self.inner.remove_before(before).await
    }

    async fn forget_customer(
        &self,
        channel: ChannelId,
        customer: CustomerId,
    ) -> Result<(), StoreError> {
        self.inner.forget_customer(channel, customer).await
    }
}

fn odd(memory: &Arc<MemoryStore>, silent: bool) -> Trail {
    let store = memory.store();
    let port = Arc::new(Odd { inner: store.audit, silent });
    Trail::new(port, store.documents, 2)
}

#[tokio::test]
#[allow(clippy::panic, reason = "this is what is tested")]
async fn an_act_that_panics_or_is_given_up_is_unknown_without_a_new_start() {
    let memory = MemoryStore::new();
    let trail = Arc::new(trail(&memory, 1));
    trail.recover(NOW).await.unwrap();
    let other = Arc::clone(&trail);
    let panics = tokio::spawn(async move {
        let act = Act::of_system(&other, NOW);
        act.carry_out::<()>(note(), async { panic!("a test says so") }).await
    });
    assert!(panics.await.unwrap_err().is_panic());
    let act = Act::of_system(&trail, NOW);
    let endless = act.carry_out::<()>(note(), std::future::pending());
    assert!(tokio::time::timeout(Duration::from_millis(5), endless).await.is_err());
    assert_eq!(outcomes(&trail).await, [None, None]);
    trail.tend(NOW).await;
    assert_eq!(outcomes(&trail).await, [Some(AuditOutcome::Unknown); 2]);
}

#[tokio::test]
async fn an_entry_that_nobody_waited_for_is_of_no_act() {
    let memory = MemoryStore::new();
    let silent = odd(&memory, true);
    let endless = silent.record(By::system(NOW), note());
    assert!(tokio::time::timeout(Duration::from_millis(5), endless).await.is_err());
    silent.tend(NOW).await;
    assert_eq!(outcomes(&trail(&memory, 1)).await, [Some(AuditOutcome::Refused)]);
}

#[tokio::test]
async fn a_trail_that_cannot_be_read_stops_no_start_and_is_looked_at_again() {
    let memory = MemoryStore::new();
    trail(&memory, 1).record(By::system(NOW), note()).await.unwrap();
    let damaged = odd(&memory, false);
    assert_eq!(damaged.recover(NOW.plus_ms(1)).await, Ok(0));
    let id = damaged.record(By::system(NOW.plus_ms(2)), note()).await.unwrap();
    damaged.conclude(AuditAct::QueueChanged, id, AuditOutcome::Done).await;
    damaged.tend(NOW.plus_ms(3)).await;
    // Mended meanwhile: what the first process left is found all the same.
    let trail = trail(&memory, 3);
    assert_eq!(trail.recover(NOW.plus_ms(4)).await, Ok(1));
    let expected = [AuditOutcome::Done, AuditOutcome::Unknown].map(Some);
    assert_eq!(outcomes(&trail).await, expected);
}
