//! What a store promises of the audit trail.

use std::collections::BTreeMap;

use switchboard::domain::Timestamp;
use switchboard::domain::audit::{
    AUDIT_HOUR_MS, AuditAct, AuditActor, AuditChange, AuditEntry, AuditId, AuditOutcome,
    AuditSubject,
};
use switchboard::storage::Store;

use crate::samples::{channel, customer, user};
use crate::subject::Subject;

/// An entry made at `ms`, the `n`th, about anything.
pub fn entry(ms: u64, n: u64) -> AuditEntry {
    let change = |field: &str, from: Option<&str>, to: Option<&str>| AuditChange {
        field: field.to_owned(),
        from: from.map(str::to_owned),
        to: to.map(str::to_owned),
    };
    AuditEntry {
        id: AuditId::new(Timestamp(ms), 7, n),
        actor: AuditActor::User(user(1)),
        address: Some([192, 0, 2, 1].into()),
        act: AuditAct::UserChanged,
        subject: Some(AuditSubject::User(user(u128::from(n)))),
        changes: vec![
            change("name", Some("Anna \"B\""), Some("Анна\n")),
            change("password", None, None),
        ],
        outcome: None,
    }
}

/// One about a customer.
pub fn about(ms: u64, n: u64, of: u128, who: u128) -> AuditEntry {
    let (channel, customer) = (channel(of), Some(customer(who).id));
    AuditEntry {
        act: AuditAct::VisitorTokensRevoked,
        subject: Some(AuditSubject::Customer { channel, customer }),
        ..entry(ms, n)
    }
}

async fn all(store: &Store) -> Vec<AuditEntry> {
    store.audit.newest(AuditId::END, AuditId::FIRST, 10_000).await.unwrap()
}

pub async fn acts_are_recorded_and_concluded(subject: Subject) {
    let audit = &subject.store.audit;
    assert_eq!(all(&subject.store).await, []);
    let (one, mut two) = (entry(5, 1), entry(5, 2));
    audit.record(one.clone()).await.unwrap();
    audit.record(two.clone()).await.unwrap();
    audit.record(two.clone()).await.unwrap();
    assert_eq!(all(&subject.store).await, [two.clone(), one.clone()], "the newest first");
    audit.conclude(two.id, AuditOutcome::Done).await.unwrap();
    audit.conclude(entry(6, 9).id, AuditOutcome::Done).await.unwrap();
    two.outcome = Some(AuditOutcome::Done);
    let nobody = AuditEntry {
        actor: AuditActor::Unknown,
        address: Some("2001:db8::".parse().unwrap()),
        act: AuditAct::LogInFailed,
        subject: None,
        changes: Vec::new(),
        outcome: Some(AuditOutcome::Counted(17)),
        ..entry(7, 3)
    };
    audit.record(nobody.clone()).await.unwrap();
    let subject = subject.restart().await;
    assert_eq!(all(&subject.store).await, [nobody.clone(), two.clone(), one.clone()]);
    // What a process that has ended left open is concluded by the next one.
    let audit = &subject.store.audit;
    audit.conclude(one.id, AuditOutcome::Unknown).await.unwrap();
    let one = AuditEntry { outcome: Some(AuditOutcome::Unknown), ..one };
    assert_eq!(all(&subject.store).await, [nobody, two, one]);
}

pub async fn pages_of_the_trail_do_not_shift(subject: Subject) {
    let audit = &subject.store.audit;
    let mut written = Vec::new();
    // Over some hours, some of them empty, more than one in an hour.
    for n in 0..60_u64 {
        let entry = entry(n / 7 * 2 * AUDIT_HOUR_MS + n, n);
        audit.record(entry.clone()).await.unwrap();
        written.insert(0, entry);
    }
    let mut later = 1_000;
    for limit in [1, 7, 59, 60, 61] {
        let (mut read, mut before) = (Vec::new(), written[0].id.next());
        loop {
            let page = audit.newest(before, AuditId::FIRST, limit).await.unwrap();
            // What comes meanwhile is in front of what was read.
            later += 1;
            audit.record(entry(1_000 * AUDIT_HOUR_MS, later)).await.unwrap();
            let Some(last) = page.last() else { break };
            before = last.id;
            assert!(page.len() <= limit);
            read.extend(page);
        }
        assert_eq!(read, written, "{limit} a page");
    }
    let (newest, oldest) = (written[10].id, written[20].id);
    let some = audit.newest(newest, oldest, 100).await.unwrap();
    assert_eq!(some, written[11..=20], "below the one, down to the other");
    assert_eq!(audit.newest(oldest, newest, 100).await.unwrap(), []);
    assert_eq!(audit.newest(oldest, oldest, 100).await.unwrap(), []);
}

pub async fn old_entries_go_by_whole_hours(subject: Subject) {
    let audit = &subject.store.audit;
    for n in 0..40_u64 {
        audit.record(entry(n / 4 * AUDIT_HOUR_MS + n, n)).await.unwrap();
    }
    let remove = async |subject: &Subject, before| {
        let mut slices = 1;
        while subject.store.audit.remove_before(Timestamp(before)).await.unwrap() {
            slices += 1;
            assert!(slices < 100, "it ends");
        }
    };
    remove(&subject, 3 * AUDIT_HOUR_MS - 1).await;
    let kept = all(&subject.store).await;
    assert_eq!(kept.len(), 32, "the hour is not over");
    assert_eq!(kept.last().unwrap().id.hour(), 2);
    remove(&subject, 9 * AUDIT_HOUR_MS + 5).await;
    let subject = subject.restart().await;
    assert_eq!(all(&subject.store).await.len(), 4);
    // Whoever concludes late brings nothing back.
    subject.store.audit.conclude(entry(0, 0).id, AuditOutcome::Done).await.unwrap();
    assert_eq!(all(&subject.store).await.len(), 4);
    remove(&subject, u64::MAX).await;
    assert_eq!(all(&subject.store).await, []);
}

pub async fn an_erased_customer_is_in_no_entry(subject: Subject) {
    let audit = &subject.store.audit;
    // More than a store changes at a time, beside others that stay.
    const MANY: u64 = 1_100;
    for n in 0..MANY {
        audit.record(about(n, n, 1, 1)).await.unwrap();
    }
    audit.conclude(about(3, 3, 1, 1).id, AuditOutcome::Done).await.unwrap();
    for (n, (of, who)) in (MANY..).zip([(2, 1), (1, 2)]) {
        audit.record(about(n, n, of, who)).await.unwrap();
    }
    for _ in 0..2 {
        audit.forget_customer(channel(1), customer(1).id).await.unwrap();
    }
    audit.forget_customer(channel(9), customer(9).id).await.unwrap();
    let subject = subject.restart().await;
    let mut found = BTreeMap::new();
    for entry in all(&subject.store).await {
        *found.entry(entry.subject.unwrap()).or_insert(0) += 1;
        let concluded = entry.outcome.is_some();
        assert_eq!(concluded, entry.id == about(3, 3, 1, 1).id, "nothing else of it changes");
    }
    let key = |of, who: Option<u128>| AuditSubject::Customer {
        channel: channel(of),
        customer: who.map(|who| customer(who).id),
    };
    let expected = [(key(1, None), MANY), (key(1, Some(2)), 1), (key(2, Some(1)), 1)];
    assert_eq!(found, BTreeMap::from(expected));
}
