//! Users, queues and channels over a store of documents: checks, lint, versions, notifications.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;

use support::{Fault, MemoryDocuments, system};
use switchboard::catalog::{
    BadListedReason, BadUser, Catalog, CatalogError, Channel, Finding, ListedReason, Provider,
    Role, Usage, User, lint,
};
use switchboard::domain::{AwayReasonId, ChannelId, Queue, QueueId, Rule, UserId};
use switchboard::storage::{Documents, StoreError};

const ADMIN: UserId = UserId::from_u128(1);
const ANNA: UserId = UserId::from_u128(2);
const SALES: QueueId = QueueId::from_u128(3);
const SITE: ChannelId = ChannelId::from_u128(4);

fn queue(id: QueueId, members: &[UserId]) -> Queue {
    Queue {
        version: 0,
        members: members.iter().copied().collect(),
        ..Queue::new(id, "Sales", Rule::LongestIdle)
    }
}

/// An administrator, an operator, a queue with her, a channel to it.
async fn small() -> (Arc<MemoryDocuments>, Catalog) {
    let documents = Arc::new(MemoryDocuments::default());
    let catalog = Catalog::load(documents.clone()).await.unwrap();
    let admin = User::new(ADMIN, "Root", "root", Role::Administrator);
    catalog.put(admin, &system()).await.unwrap();
    let anna = User::new(ANNA, "Anna", "anna", Role::Operator);
    catalog.put(anna, &system()).await.unwrap();
    let warned = catalog.put(queue(SALES, &[ANNA]), &system()).await.unwrap();
    assert_eq!(warned.warnings, [Finding::QueueWithoutChannel { queue: SALES }]);
    let channel = Channel::new(SITE, "Site", Provider::WebChat, SALES);
    let written = catalog.put(channel, &system()).await.unwrap();
    assert_eq!(written.warnings, []);
    (documents, catalog)
}

fn user(catalog: &Catalog, id: UserId) -> User {
    User::clone(catalog.snapshot().user(id).unwrap())
}

#[tokio::test]
async fn everything_comes_back_after_a_restart() {
    let (documents, catalog) = small().await;
    let full = Queue {
        active: false,
        priority: switchboard::domain::Priority::new(7).unwrap(),
        per_operator_limit: Some(2),
        absent_owner_limit_ms: Some(60_000),
        ..queue(QueueId::from_u128(9), &[ANNA])
    };
    catalog.put(full, &system()).await.unwrap();
    let site = Channel::clone(catalog.snapshot().channel(SITE).unwrap());
    let dressed = Channel {
        language: Some("pt-BR".into()),
        image: Some("https://shop.example/logo.png".into()),
        reference: Some("shop 1".into()),
        retention_days: Some(30),
        ..site
    };
    catalog.put(dressed, &system()).await.unwrap();
    let again = Catalog::load(documents).await.unwrap();
    let (before, after) = (catalog.snapshot(), again.snapshot());
    assert!(before.users().eq(after.users()));
    assert!(before.queues().eq(after.queues()));
    assert!(before.channels().eq(after.channels()));
    assert_eq!(after.user_by_login("anna").unwrap().id, ANNA);
}

#[tokio::test]
async fn a_change_is_seen_at_once_and_wakes_who_waits() {
    let (_, catalog) = small().await;
    let mut changes = catalog.changes();
    changes.borrow_and_update();
    let mut anna = user(&catalog, ANNA);
    anna.capacity = 9;
    catalog.put(anna, &system()).await.unwrap();
    assert!(changes.has_changed().unwrap());
    assert_eq!(changes.borrow_and_update().user(ANNA).unwrap().capacity, 9);
    let refused = User { capacity: 0, ..user(&catalog, ANNA) };
    let error = catalog.put(refused, &system()).await.unwrap_err();
    assert_eq!(error, CatalogError::User(BadUser::Capacity { got: 0 }));
    assert!(!changes.has_changed().unwrap());
}

#[tokio::test]
async fn a_write_names_the_version_that_it_saw() {
    let (_, catalog) = small().await;
    let seen = user(&catalog, ANNA);
    catalog.put(seen.clone(), &system()).await.unwrap();
    let conflict = StoreError::VersionConflict { expected: 1, found: 2 };
    let error = catalog.put(seen, &system()).await.unwrap_err();
    assert_eq!(error, CatalogError::Store(conflict));
}

#[tokio::test]
async fn a_change_by_another_process_is_seen_at_the_conflict() {
    let (documents, catalog) = small().await;
    let other = Catalog::load(documents).await.unwrap();
    let mut anna = user(&other, ANNA);
    anna.name = "Anna P.".into();
    other.put(anna, &system()).await.unwrap();
    let stale = user(&catalog, ANNA);
    catalog.put(stale, &system()).await.unwrap_err();
    assert_eq!(user(&catalog, ANNA).name, "Anna P.");
}

#[tokio::test]
async fn a_failed_write_shows_what_the_store_holds() {
    let (documents, catalog) = small().await;
    for (fault, shown) in [(Fault::Before, 5), (Fault::After, 9)] {
        let mut anna = user(&catalog, ANNA);
        anna.capacity = 9;
        documents.fail_next_write(fault);
        catalog.put(anna, &system()).await.unwrap_err();
        assert_eq!(user(&catalog, ANNA).capacity, shown, "{fault:?}");
    }
}

#[tokio::test]
async fn one_login_one_user() {
    let (_, catalog) = small().await;
    let twin = User::new(UserId::from_u128(8), "Other", "anna", Role::Operator);
    let error = catalog.put(twin.clone(), &system()).await.unwrap_err();
    assert_eq!(error, CatalogError::LoginTaken);
    let mut anna = user(&catalog, ANNA);
    anna.login = "anna.p".into();
    catalog.put(anna, &system()).await.unwrap();
    catalog.put(twin, &system()).await.unwrap();
    let capital = User::new(UserId::from_u128(9), "X", "Anna", Role::Operator);
    let error = catalog.put(capital, &system()).await.unwrap_err();
    assert_eq!(error, CatalogError::User(BadUser::Login));
}

fn reason(n: u128, name: &str) -> ListedReason {
    ListedReason::new(AwayReasonId::from_u128(n), name)
}

#[tokio::test]
async fn of_the_reasons_to_choose_from_each_has_its_own_name() {
    let (_, catalog) = small().await;
    let taken = Err(CatalogError::Reason(BadListedReason::Taken));
    catalog.put(reason(20, "Lunch"), &system()).await.unwrap();
    for name in ["Lunch", " Lunch "] {
        assert_eq!(catalog.put(reason(21, name), &system()).await, taken);
        assert_eq!(catalog.try_put(reason(21, name), &system()).await, taken);
    }
    catalog.put(reason(21, "Meeting"), &system()).await.unwrap();
    let renamed = ListedReason { version: 1, ..reason(21, "Lunch") };
    assert_eq!(catalog.put(renamed.clone(), &system()).await, taken);
    // What cannot be chosen stands in nobody's way, until it can again.
    let off = ListedReason { active: false, ..renamed };
    catalog.put(off.clone(), &system()).await.unwrap();
    let back = ListedReason { version: 2, active: true, ..off };
    assert_eq!(catalog.put(back.clone(), &system()).await, taken);
    let lunch = ListedReason { version: 1, active: false, ..reason(20, "Lunch") };
    catalog.put(lunch, &system()).await.unwrap();
    catalog.put(back, &system()).await.unwrap();
}

#[tokio::test]
async fn a_list_of_reasons_that_cannot_be_read_is_still_a_list() {
    let (documents, catalog) = small().await;
    assert_eq!(catalog.snapshot().reasons_to_choose(), None, "there is no list");
    catalog.put(reason(20, "Lunch"), &system()).await.unwrap();
    let lunch = Some(BTreeSet::from(["Lunch"]));
    assert_eq!(catalog.snapshot().reasons_to_choose(), lunch);
    documents.damage("away_reason", &AwayReasonId::from_u128(20).to_string());
    let again = Catalog::load(documents.clone()).await.unwrap();
    assert_eq!(again.snapshot().reasons_to_choose(), Some(BTreeSet::new()));
    // Of another kind it says nothing.
    let (documents, _) = small().await;
    documents.damage("channel", &SITE.to_string());
    let again = Catalog::load(documents.clone()).await.unwrap();
    assert_eq!(again.snapshot().reasons_to_choose(), None);
}

#[tokio::test]
async fn the_last_administrator_stays() {
    let (_, catalog) = small().await;
    let gone = User { active: false, ..user(&catalog, ADMIN) };
    let error = catalog.put(gone.clone(), &system()).await.unwrap_err();
    assert_eq!(error, CatalogError::LastAdministrator);
    let second = User::new(UserId::from_u128(8), "Two", "two", Role::Administrator);
    catalog.put(second, &system()).await.unwrap();
    catalog.put(gone, &system()).await.unwrap();
}

#[tokio::test]
async fn what_ends_sessions_counts_the_epoch_up_and_nothing_else_does() {
    let (_, catalog) = small().await;
    let change = async |change: fn(&mut User)| {
        let mut anna = user(&catalog, ANNA);
        anna.epoch = 77; // The caller has no say in it.
        change(&mut anna);
        catalog.put(anna, &system()).await.unwrap();
        user(&catalog, ANNA).epoch
    };
    assert_eq!(change(|anna| anna.name = "A".into()).await, 0);
    assert_eq!(change(|anna| anna.capacity = 1).await, 0);
    assert_eq!(change(|anna| anna.active = false).await, 1);
    assert_eq!(change(|anna| anna.active = true).await, 1);
    assert_eq!(change(|anna| anna.role = Role::ChatAdministrator).await, 2);
    let hash = || switchboard::catalog::PasswordHash::from_phc("x".into());
    let mut anna = user(&catalog, ANNA);
    anna.password = Some(hash());
    catalog.put(anna, &system()).await.unwrap();
    assert_eq!(user(&catalog, ANNA).epoch, 3);
}

#[tokio::test]
async fn the_lint_refuses_what_can_never_work() {
    let (_, catalog) = small().await;
    let lost = QueueId::from_u128(99);
    let channel = Channel::new(ChannelId::from_u128(98), "Lost", Provider::Internal, lost);
    let error = catalog.put(channel.clone(), &system()).await.unwrap_err();
    let finding = Finding::ChannelWithoutQueue { channel: channel.id, queue: lost };
    assert_eq!(error, CatalogError::Lint(vec![finding]));

    let stopped = Queue { active: false, version: 1, ..queue(SALES, &[ANNA]) };
    let error = catalog.put(stopped, &system()).await.unwrap_err();
    let finding = Finding::ChannelToInactiveQueue { channel: SITE, queue: SALES };
    assert_eq!(error, CatalogError::Lint(vec![finding]));

    let stranger = UserId::from_u128(97);
    let with = Queue { version: 1, ..queue(SALES, &[ANNA, stranger, ADMIN]) };
    let error = catalog.put(with, &system()).await.unwrap_err();
    let findings = vec![
        Finding::UnknownMember { queue: SALES, user: stranger },
        Finding::MemberCannotServe { queue: SALES, user: ADMIN },
    ];
    assert_eq!(error, CatalogError::Lint(findings));

    let promoted = User { role: Role::Administrator, ..user(&catalog, ANNA) };
    let error = catalog.put(promoted, &system()).await.unwrap_err();
    assert!(matches!(error, CatalogError::Lint(_)), "{error}");
}

#[tokio::test]
async fn a_queue_that_nobody_can_serve_is_told() {
    let (_, catalog) = small().await;
    let gone = User { active: false, ..user(&catalog, ANNA) };
    let written = catalog.put(gone, &system()).await.unwrap();
    let finding = Finding::NoReachableMember { queue: SALES };
    assert_eq!(written.warnings, std::slice::from_ref(&finding));
    assert_eq!(lint(&catalog.snapshot()), BTreeSet::from([finding]));
}

#[tokio::test]
async fn nobody_is_in_too_many_queues() {
    let (_, catalog) = small().await;
    for n in 0..63 {
        let id = QueueId::from_u128(1_000 + n);
        catalog.put(queue(id, &[ANNA]), &system()).await.unwrap();
    }
    let last = queue(QueueId::from_u128(2_000), &[ANNA]);
    let error = catalog.put(last, &system()).await.unwrap_err();
    let finding = Finding::TooManyQueues { user: ANNA, queues: 65 };
    assert_eq!(error, CatalogError::Lint(vec![finding]));
}

#[tokio::test]
async fn only_what_is_inactive_and_unused_is_deleted() {
    let (documents, catalog) = small().await;
    let delete = async |usage| catalog.delete::<Channel>(SITE, 2, usage, &system()).await;
    assert_eq!(delete(Usage::Unused).await, Err(CatalogError::StillActive));
    let mut site = Channel::clone(catalog.snapshot().channel(SITE).unwrap());
    site.active = false;
    catalog.put(site, &system()).await.unwrap();
    assert_eq!(delete(Usage::InUse).await, Err(CatalogError::InUse));

    let stopped = Queue { active: false, version: 1, ..queue(SALES, &[ANNA]) };
    catalog.put(stopped, &system()).await.unwrap();
    let delete =
        async |usage, version| catalog.delete::<Queue>(SALES, version, usage, &system()).await;
    assert_eq!(delete(Usage::InUse, 2).await, Err(CatalogError::InUse));
    let conflict = delete(Usage::Unused, 1).await.unwrap_err();
    assert!(matches!(conflict, CatalogError::Store(_)));
    delete(Usage::Unused, 2).await.unwrap();
    assert_eq!(delete(Usage::Unused, 2).await, Err(CatalogError::NotFound));
    assert_eq!(documents.count("queue"), 0);
}

#[tokio::test]
async fn a_record_of_a_newer_release_is_refused_by_name() {
    let (documents, _) = small().await;
    let body = br#"{"form":2,"colour":"red"}"#.to_vec();
    let id = UserId::from_u128(77).to_string();
    documents.put("user", &id, 0, body).await.unwrap();
    let Err(error) = Catalog::load(documents).await else {
        panic!("it was read");
    };
    let text = error.to_string();
    assert!(text.contains(&id) && text.contains("form 2"), "{text}");
}

#[tokio::test]
async fn the_words_of_rules_are_those_of_the_wire() {
    use switchboard::protocol::value::WireText;
    for rule in [Rule::ToAll, Rule::LeastLoaded, Rule::LongestIdle, Rule::Manual] {
        assert_eq!(switchboard::catalog::rule_word(rule), rule.text());
        assert_eq!(switchboard::catalog::rule_of_word(&rule.text()), Some(rule));
    }
}

#[tokio::test]
async fn names_are_trimmed_and_what_hides_in_them_is_refused() {
    use switchboard::domain::name::BadName;
    let (_, catalog) = small().await;
    let anna = User { name: " Anna P.\u{2003}".into(), ..user(&catalog, ANNA) };
    catalog.put(anna, &system()).await.unwrap();
    assert_eq!(user(&catalog, ANNA).name, "Anna P.");
    let hidden = [
        ("\u{200b}", BadName::Empty),
        ("Anna\u{202e}", BadName::Control),
        ("A\nB", BadName::Control),
    ];
    for (name, why) in hidden {
        let anna = User { name: name.into(), ..user(&catalog, ANNA) };
        assert_eq!(catalog.put(anna, &system()).await, Err(CatalogError::Name(why)), "{name:?}");
        let sales = Queue { name: name.into(), version: 1, ..queue(SALES, &[ANNA]) };
        assert_eq!(catalog.put(sales, &system()).await, Err(CatalogError::Name(why)), "{name:?}");
        let site = Channel::clone(catalog.snapshot().channel(SITE).unwrap());
        let site = Channel { name: name.into(), ..site };
        assert_eq!(catalog.put(site, &system()).await, Err(CatalogError::Name(why)), "{name:?}");
    }
}

/// Documents as the release before wrote them, whose names had no such rule.
#[tokio::test]
async fn what_was_stored_before_the_rule_of_names_can_still_be_changed() {
    let documents = Arc::new(MemoryDocuments::default());
    let user_of_then = br#"{"form":1,"name":"An\u202ena","login":"anna","role":"administrator",
        "active":true,"capacity":3,"password":null,"demo_password":false,"epoch":0}"#;
    let queue_of_then = br#"{"form":1,"name":"\u200b","active":true,"rule":"to_all","members":[],
        "priority":0,"offer_timeout_ms":30000,"per_operator_limit":null,"absent_owner_limit_ms":null}"#;
    let channel_of_then = format!(
        r#"{{"form":1,"name":"Site\n","provider":"web_chat","active":true,"queue":"{}","language":null,
        "image":"/logo.png","sender":"operator","reference":"a\tb","site_key":0,"visitor_epoch":0}}"#,
        SALES
    );
    let put = async |kind: &str, id: String, body: Vec<u8>| {
        documents.put(kind, &id, 0, body).await.unwrap();
    };
    put("user", ANNA.to_string(), user_of_then.to_vec()).await;
    put("queue", SALES.to_string(), queue_of_then.to_vec()).await;
    put("channel", SITE.to_string(), channel_of_then.into_bytes()).await;
    let catalog = Catalog::load(documents.clone()).await.unwrap();
    let snapshot = catalog.snapshot();
    let anna = User { capacity: 9, ..user(&catalog, ANNA) };
    catalog.put(anna, &system()).await.unwrap();
    let sales = Queue { offer_timeout_ms: 60_000, ..Queue::clone(snapshot.queue(SALES).unwrap()) };
    catalog.put(sales, &system()).await.unwrap();
    let site = Channel { active: false, ..Channel::clone(snapshot.channel(SITE).unwrap()) };
    catalog.put(site, &system()).await.unwrap();
    let now = catalog.snapshot();
    assert_eq!(now.user(ANNA).unwrap().name, "An\u{202e}na");
    assert_eq!(now.channel(SITE).unwrap().image.as_deref(), Some("/logo.png"));
    assert_eq!(now.channel(SITE).unwrap().retention_days, None, "kept for ever, as then");
    assert_eq!((now.user(ANNA).unwrap().capacity, now.channel(SITE).unwrap().active), (9, false));
}

#[tokio::test]
async fn retention_has_bounds() {
    let (_, catalog) = small().await;
    for (days, good) in [(0, false), (1, true), (3_650, true), (3_651, false)] {
        let site = Channel::clone(catalog.snapshot().channel(SITE).unwrap());
        let site = Channel { retention_days: Some(days), ..site };
        let put = catalog.put(site, &system()).await;
        assert_eq!(put.is_ok(), good, "{days}");
    }
}
