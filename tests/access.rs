//! Logging in, tokens, and what ends them, over a store that survives restarts.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "support/ended.rs"]
mod ended;
#[path = "access/erasures.rs"]
mod erasures;
#[path = "support/hooked.rs"]
mod hooked;
#[path = "access/sessions.rs"]
mod sessions;
#[path = "access/strangers.rs"]
mod strangers;
mod support;
#[path = "access/watched.rs"]
mod watched;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use sessions::kept;
use support::{CountedEntropy, Fault, MemoryDocuments, system, system_at, trail};
use switchboard::access::{
    Access, AccessError, Attempt, HashCost, Holder, Invalid, Judged, Passwords, TokenLives, Tokens,
    Visitor, Who,
};
use switchboard::catalog::{Catalog, Channel, Provider, Role, User};
use switchboard::domain::rights::Subject;
use switchboard::domain::{
    ChannelId, Customer, CustomerId, Name, Priority, Profile, Queue, QueueId, Rule, Timestamp,
    UserId,
};
use switchboard::storage::Documents;

const ROOT: UserId = UserId::from_u128(1);
const ANNA: UserId = UserId::from_u128(2);
const QUEUE: QueueId = QueueId::from_u128(3);
const SITE: ChannelId = ChannelId::from_u128(4);
const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
const AWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));
const NOW: Timestamp = Timestamp(1_700_000_000_000);
const PASSWORD: &str = "a long enough one";

/// `UPDATE_GOLDEN=1 cargo test --test access` writes it anew.
#[test]
fn the_table_of_rights_is_written_down() {
    use switchboard::domain::rights::{Operation, Right};
    let mut text = "# Who may do what\n\nMade from the one table in the code, which REST and the \
        socket both ask. What it does not\ngrant is refused. \"own\" is said in the last column. \
        A site is a site's server with the site key of\na channel.\n\n| operation | what it is |"
        .to_owned();
    for subject in Subject::ALL {
        text += &format!(" {} |", subject.word().replace('_', " "));
    }
    text += " own |\n|---|---|---|---|---|---|---|---|---|\n";
    for operation in Operation::ALL {
        text += &format!("| `{}` | {} |", operation.name(), operation.meaning());
        for subject in Subject::ALL {
            text += match operation.right(*subject) {
                Right::No => " |",
                Right::Own => " own |",
                Right::Yes => " yes |",
            };
        }
        text += &format!(" {} |\n", operation.own());
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rights.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap();
    assert_eq!(committed, text, "docs/rights.md is out of date");
}

struct World {
    documents: Arc<MemoryDocuments>,
    catalog: Arc<Catalog>,
    access: Access,
}

async fn start(documents: Arc<MemoryDocuments>) -> World {
    try_start(documents).await.unwrap()
}

async fn try_start(documents: Arc<MemoryDocuments>) -> Result<World, AccessError> {
    let catalog = Arc::new(Catalog::load(documents.clone()).await.unwrap());
    let cheap = HashCost { memory_kib: 8, passes: 1, lanes: 1 };
    let access = Access::load(
        catalog.clone(),
        documents.clone(),
        Arc::new(CountedEntropy::default()),
        Passwords::new(cheap).unwrap(),
        TokenLives::default(),
        trail(),
        NOW,
    );
    Ok(World { documents, catalog, access: access.await? })
}

async fn world() -> World {
    let world = start(Arc::default()).await;
    let root = User::new(ROOT, "Root", "root", Role::Administrator);
    world.catalog.put(root, &system()).await.unwrap();
    let mut anna = User::new(ANNA, "Anna", "anna", Role::Operator);
    anna.password = Some(world.access.new_password(PASSWORD.into()).await.unwrap());
    world.catalog.put(anna, &system()).await.unwrap();
    let queue = Queue { version: 0, ..Queue::new(QUEUE, "Sales", Rule::ToAll) };
    world.catalog.put(queue, &system()).await.unwrap();
    let channel = Channel::new(SITE, "Site", Provider::WebChat, QUEUE);
    world.catalog.put(channel, &system()).await.unwrap();
    world
}

/// Somebody says who they are, from home.
fn attempt<'a>(login: &'a str, password: &str) -> Attempt<'a> {
    Attempt { login, password: password.to_owned(), device_mark: None, address: HOME }
}

impl World {
    async fn log_in(&self) -> Tokens {
        self.access.log_in(attempt("anna", PASSWORD), NOW).await.outcome.unwrap()
    }

    async fn log_in_from(&self, address: IpAddr) -> Tokens {
        let attempt = Attempt { address, ..attempt("anna", PASSWORD) };
        self.judge(attempt).await.outcome.unwrap()
    }

    async fn judge(&self, attempt: Attempt<'_>) -> Judged<Tokens> {
        self.access.log_in(attempt, NOW).await
    }

    /// Guesses at the login from the address until no further guess is taken.
    async fn guess_on(&self, login: &str, address: IpAddr) {
        let wrong = || Attempt { address, ..attempt(login, "wrong wrong wrong") };
        while self.judge(wrong()).await.outcome == Err(AccessError::Credentials) {}
    }

    async fn change_anna(&self, change: impl FnOnce(&mut User)) {
        let mut anna = User::clone(self.catalog.snapshot().user(ANNA).unwrap());
        change(&mut anna);
        self.catalog.put(anna, &system()).await.unwrap();
    }
}

#[tokio::test]
async fn a_log_in_gives_tokens_that_say_who() {
    let world = world().await;
    let tokens = world.log_in().await;
    let principal = world.access.authenticate(&tokens.access, NOW).unwrap();
    assert_eq!(principal.who, Who::User { id: ANNA, role: Role::Operator });
    assert_eq!(principal.subject(), Subject::Operator);
    assert_eq!(principal.until, Some(NOW.plus_ms(600_000)));
    let refused = world.access.authenticate(&tokens.refresh, NOW);
    assert_eq!(refused, Err(Invalid::Token));
    assert!(!format!("{tokens:?}").contains(&tokens.access[..8]));
}

#[tokio::test]
async fn nobody_learns_whether_login_or_password_was_wrong() {
    let world = world().await;
    let try_one = async |login: &str, password: &str| {
        world.judge(attempt(login, password)).await.outcome.unwrap_err()
    };
    assert_eq!(try_one("anna", "a long enough two").await, AccessError::Credentials);
    assert_eq!(try_one("anka", PASSWORD).await, AccessError::Credentials);
    assert_eq!(try_one("root", PASSWORD).await, AccessError::Credentials);
    world.change_anna(|anna| anna.active = false).await;
    assert_eq!(try_one("anna", PASSWORD).await, AccessError::Credentials);
}

#[tokio::test]
async fn guesses_are_throttled_however_the_login_is_written() {
    let world = world().await;
    let guess = async |login: &str| {
        world.judge(attempt(login, "wrong wrong wrong")).await.outcome.unwrap_err()
    };
    for n in 0..5 {
        let login = if n % 2 == 0 { "anna" } else { "ANNA" };
        assert_eq!(guess(login).await, AccessError::Credentials);
    }
    let AccessError::Throttled(throttled) = guess("Anna").await else {
        panic!("the sixth guess was taken");
    };
    assert_eq!(throttled.retry_after_ms, 60_000);
    let later = NOW.plus_ms(60_000);
    world.access.log_in(attempt("anna", PASSWORD), later).await.outcome.unwrap();
}

#[tokio::test]
async fn nobody_locks_out_somebody_else() {
    let world = world().await;
    for n in 0..100 {
        world.guess_on("anna", IpAddr::V4(Ipv4Addr::new(203, 0, 113, n))).await;
    }
    world.guess_on("anna", AWAY).await;
    let from = |address| Attempt { address, ..attempt("anna", PASSWORD) };
    assert!(world.judge(from(HOME)).await.outcome.is_ok(), "who knows the password gets in");
    let away = world.judge(from(AWAY)).await.outcome;
    assert!(matches!(away, Err(AccessError::Throttled(_))), "who guesses waits");
    // The present password is asked for by the same rule.
    let prove = async |address| world.access.prove(from(address), NOW).await.outcome.is_ok();
    assert!(prove(HOME).await && !prove(AWAY).await);
}

#[tokio::test]
async fn right_guesses_cost_nothing() {
    let world = world().await;
    for _ in 0..200 {
        world.log_in().await;
    }
    let access = &world.access;
    for _ in 0..200 {
        access.prove(attempt("anna", PASSWORD), NOW).await.outcome.unwrap();
    }
}

#[tokio::test]
async fn a_device_that_logged_in_before_gets_in_where_its_network_guesses() {
    let world = world().await;
    let mark = world.log_in().await.device_mark.unwrap();
    world.guess_on("anna", HOME).await;
    let by = |mark: &str, at| {
        let (access, mark) = (&world.access, mark.to_owned());
        async move {
            let attempt = Attempt { device_mark: Some(&mark), ..attempt("anna", PASSWORD) };
            access.log_in(attempt, at).await.outcome
        }
    };
    let next = by(&mark, NOW).await.unwrap().device_mark.unwrap();
    let throttled = |outcome| matches!(outcome, Err(AccessError::Throttled(_)));
    let changed = format!("{}x", &mark[..mark.len() - 1]);
    let refresh = world.log_in_from(AWAY).await.refresh;
    for other in ["", "sb1", &changed, &refresh] {
        assert!(throttled(by(other, NOW).await), "{other}");
    }
    // Its own guesses are as few.
    for n in 0..6 {
        let wrong = attempt("anna", "wrong wrong wrong");
        let wrong = Attempt { device_mark: Some(&mark), ..wrong };
        let outcome = world.judge(wrong).await.outcome;
        assert_eq!(throttled(outcome), n == 5, "{n}");
    }
    assert!(throttled(by(&next, NOW).await), "the next mark is of the same device");
    // A device of somebody else is none of Anna's.
    world.change_anna(|anna| anna.login = "anka".to_owned()).await;
    world.guess_on("anka", HOME).await;
    let anka = Attempt { device_mark: Some(&mark), ..attempt("anka", PASSWORD) };
    assert!(throttled(world.judge(anka).await.outcome));
}

#[tokio::test]
async fn a_device_mark_ends_with_its_time_and_with_the_password() {
    let world = world().await;
    let mark = world.log_in().await.device_mark.unwrap();
    let at = async |now: Timestamp| {
        for _ in 0..6 {
            let _ = world.access.log_in(attempt("anna", "wrong wrong wrong"), now).await;
        }
        let attempt = Attempt { device_mark: Some(&mark), ..attempt("anna", PASSWORD) };
        world.access.log_in(attempt, now).await.outcome.is_ok()
    };
    let ninety_days_ms = 90 * 24 * 3_600_000;
    assert!(at(NOW.plus_ms(ninety_days_ms - 1)).await);
    assert!(!at(NOW.plus_ms(ninety_days_ms)).await);
    let hash = world.access.new_password(PASSWORD.into()).await.unwrap();
    world.change_anna(|anna| anna.password = Some(hash)).await;
    assert!(!at(NOW).await, "a new password, though the same");
}

#[tokio::test]
async fn a_device_mark_gives_no_right_and_logs_nobody_in() {
    let world = world().await;
    let mark = world.log_in().await.device_mark.unwrap();
    assert_eq!(world.access.authenticate(&mark, NOW), Err(Invalid::Token));
    let refreshed = world.access.refresh(&mark, HOME, NOW).await;
    assert_eq!(refreshed, Err(AccessError::Invalid(Invalid::Token)));
    let wrong = Attempt { device_mark: Some(&mark), ..attempt("anna", "wrong wrong wrong") };
    assert_eq!(world.judge(wrong).await.outcome, Err(AccessError::Credentials));
    // A refresh gives none: only who knows the password has one.
    let tokens = world.log_in().await;
    let next = world.access.refresh(&tokens.refresh, HOME, NOW).await.unwrap();
    assert_eq!(next.device_mark, None);
}

#[tokio::test]
async fn where_a_login_is_guessed_at_from_everywhere_unknown_networks_wait() {
    let world = world().await;
    world.log_in().await;
    for login in ["anna", "nobody"] {
        for n in 0..101 {
            let address = IpAddr::V4(Ipv4Addr::new(203, 0, 113, n));
            let wrong = Attempt { address, ..attempt(login, "wrong wrong wrong") };
            let judged = world.judge(wrong).await;
            assert_eq!((judged.outcome, judged.delay_ms), (Err(AccessError::Credentials), 0));
        }
        // Right or wrong, there or not.
        for password in ["wrong wrong wrong", PASSWORD] {
            let next = Attempt { address: AWAY, ..attempt(login, password) };
            let Judged { outcome, delay_ms } = world.judge(next).await;
            assert_eq!(delay_ms, 2_000, "{login}");
            assert_eq!(outcome.is_ok(), login == "anna" && password == PASSWORD);
        }
    }
    let judged = world.judge(attempt("anna", PASSWORD)).await;
    assert!(judged.outcome.is_ok() && judged.delay_ms == 0, "home is known");
    let away = Attempt { address: AWAY, ..attempt("anna", PASSWORD) };
    assert_eq!(world.judge(away).await.delay_ms, 0, "and so is whoever got in");
}

#[tokio::test]
async fn an_access_token_ends_by_its_time() {
    let world = world().await;
    let tokens = world.log_in().await;
    let last = NOW.plus_ms(599_999);
    let principal = world.access.authenticate(&tokens.access, last).unwrap();
    let end = NOW.plus_ms(600_000);
    assert_eq!(world.access.still(&principal, end), Err(Invalid::Expired));
}

#[tokio::test]
async fn a_refresh_token_works_once_and_its_second_use_ends_the_session() {
    let world = world().await;
    let first = world.log_in().await;
    let second = world.access.refresh(&first.refresh, HOME, NOW).await.unwrap();
    let third = world.access.refresh(&second.refresh, HOME, NOW).await.unwrap();
    assert!(world.access.authenticate(&third.access, NOW).is_ok());
    let mut told = world.access.revocations();

    let reused = world.access.refresh(&first.refresh, HOME, NOW).await.unwrap_err();
    assert_eq!(reused, AccessError::Invalid(Invalid::Revoked));
    assert_eq!(told.try_recv(), Ok(Holder::User(ANNA)));
    assert!(told.try_recv().is_err(), "nobody else");
    for tokens in [&first, &second, &third] {
        let access = world.access.authenticate(&tokens.access, NOW);
        assert_eq!(access, Err(Invalid::Revoked));
        let refresh = world.access.refresh(&tokens.refresh, HOME, NOW).await;
        assert_eq!(refresh, Err(AccessError::Invalid(Invalid::Revoked)));
    }
    let again = start(world.documents).await;
    assert!(again.access.authenticate(&third.access, NOW).is_err());
}

#[tokio::test]
async fn of_two_at_once_with_one_refresh_token_at_most_one_wins() {
    let world = world().await;
    let tokens = world.log_in().await;
    let (a, b) = tokio::join!(
        world.access.refresh(&tokens.refresh, HOME, NOW),
        world.access.refresh(&tokens.refresh, HOME, NOW)
    );
    assert!(a.is_ok() != b.is_ok());
    assert!(world.access.authenticate(&tokens.access, NOW).is_err());
}

#[tokio::test]
async fn tokens_and_their_key_survive_a_restart() {
    let world = world().await;
    let tokens = world.log_in().await;
    let visitor = world.access.visitor_token(SITE, Visitor::default(), &system()).await;
    let visitor = visitor.unwrap();
    let again = start(world.documents).await;
    assert!(again.access.authenticate(&tokens.access, NOW).is_ok());
    assert!(again.access.authenticate(&visitor.token, NOW).is_ok());
    let next = again.access.refresh(&tokens.refresh, HOME, NOW).await.unwrap();
    assert!(again.access.authenticate(&next.access, NOW).is_ok());
}

#[tokio::test]
async fn a_log_out_lasts_and_leaves_other_sessions_alone() {
    let world = world().await;
    let (gone, stays) = (world.log_in().await, world.log_in().await);
    let principal = world.access.authenticate(&gone.access, NOW).unwrap();
    let mut told = world.access.revocations();
    world.access.log_out(&principal, HOME, NOW).await.unwrap();
    assert_eq!(told.try_recv(), Ok(Holder::User(ANNA)));
    assert!(told.try_recv().is_err(), "nobody else");
    assert_eq!(world.access.still(&principal, NOW), Err(Invalid::Revoked));
    let again = start(world.documents).await;
    assert_eq!(again.access.still(&principal, NOW), Err(Invalid::Revoked));
    assert!(again.access.authenticate(&stays.access, NOW).is_ok());
}

#[tokio::test]
async fn a_log_out_that_the_store_refuses_is_an_error_and_still_bars_the_door() {
    let world = world().await;
    let tokens = world.log_in().await;
    let principal = world.access.authenticate(&tokens.access, NOW).unwrap();
    world.documents.fail_next_write(Fault::Before);
    assert!(world.access.log_out(&principal, HOME, NOW).await.is_err());
    assert_eq!(world.access.still(&principal, NOW), Err(Invalid::Revoked));
    world.access.log_out(&principal, HOME, NOW).await.unwrap();
    assert_eq!(kept(&world.documents, ANNA).await.len(), 0);
}

#[tokio::test]
async fn whoever_is_deactivated_is_out_and_stays_out_when_taken_back() {
    let world = world().await;
    let tokens = world.log_in().await;
    let principal = world.access.authenticate(&tokens.access, NOW).unwrap();
    world.change_anna(|anna| anna.active = false).await;
    assert_eq!(world.access.still(&principal, NOW), Err(Invalid::Revoked));
    world.change_anna(|anna| anna.active = true).await;
    assert_eq!(world.access.still(&principal, NOW), Err(Invalid::Revoked));
    assert!(world.access.refresh(&tokens.refresh, HOME, NOW).await.is_err());
    let again = start(world.documents.clone()).await;
    assert_eq!(again.access.still(&principal, NOW), Err(Invalid::Revoked));
    world.log_in().await;
}

#[tokio::test]
async fn a_new_password_ends_the_sessions_and_a_new_limit_does_not() {
    let world = world().await;
    let tokens = world.log_in().await;
    world.change_anna(|anna| anna.capacity = 2).await;
    assert!(world.access.authenticate(&tokens.access, NOW).is_ok());
    let next = world.access.new_password("another long one".into()).await.unwrap();
    world.change_anna(|anna| anna.password = Some(next)).await;
    assert_eq!(world.access.authenticate(&tokens.access, NOW), Err(Invalid::Revoked));
}

#[tokio::test]
async fn one_user_has_so_many_sessions() {
    let world = world().await;
    let first = world.log_in().await;
    for n in 1..=32 {
        let access = &world.access;
        let at = NOW.plus_ms(n);
        access.log_in(attempt("anna", PASSWORD), at).await.outcome.unwrap();
    }
    assert_eq!(kept(&world.documents, ANNA).await.len(), 32);
    assert!(world.access.authenticate(&first.access, NOW).is_err());
}

#[tokio::test]
async fn sessions_of_one_millisecond_end_in_the_order_in_which_they_began() {
    let world = world().await;
    let mut tokens = Vec::new();
    for _ in 0..34 {
        tokens.push(world.log_in().await);
    }
    let lives: Vec<bool> =
        tokens.iter().map(|of| world.access.authenticate(&of.access, NOW).is_ok()).collect();
    assert_eq!(lives, [vec![false; 2], vec![true; 32]].concat());
}

#[tokio::test]
async fn pruning_removes_what_is_over_and_nothing_else() {
    let world = world().await;
    let tokens = world.log_in().await;
    world.access.prune(NOW).await.unwrap();
    assert!(world.access.authenticate(&tokens.access, NOW).is_ok());
    world.access.prune(tokens.refresh_until).await.unwrap();
    assert_eq!(kept(&world.documents, ANNA).await.len(), 0);
}

#[tokio::test]
async fn a_visitors_token_carries_what_the_site_said() {
    let world = world().await;
    let visitor = Visitor {
        customer: Some(CustomerId::from_u128(55)),
        priority: Priority::new(4).unwrap(),
        name: Some("Ольга".into()),
    };
    let issued = world.access.visitor_token(SITE, visitor, &system()).await.unwrap();
    let principal = world.access.authenticate(&issued.token, NOW).unwrap();
    assert_eq!(
        principal.who,
        Who::Customer {
            customer: Customer { channel: SITE, id: CustomerId::from_u128(55) },
            profile: Profile {
                issued_at: NOW,
                priority: Priority::new(4).unwrap(),
                name: Some(Name::new("Ольга").unwrap()),
            },
        }
    );
    let end = NOW.plus_ms(24 * 3_600_000);
    assert_eq!(world.access.still(&principal, end), Err(Invalid::Expired));
    let (nowhere, visitor) = (ChannelId::from_u128(9), Visitor::default());
    let unknown = world.access.visitor_token(nowhere, visitor, &system()).await;
    assert!(matches!(unknown, Err(AccessError::NoChannel { .. })));
}

fn of_site(id: CustomerId) -> Customer {
    Customer { channel: SITE, id }
}

#[tokio::test]
async fn a_customers_tokens_are_revoked_and_new_ones_count() {
    let world = world().await;
    let issue = async |world: &World, customer| {
        let visitor = Visitor { customer, ..Visitor::default() };
        world.access.visitor_token(SITE, visitor, &system()).await.unwrap()
    };
    let old = issue(&world, None).await;
    let other = issue(&world, None).await;
    assert_ne!(old.customer, other.customer);
    world.access.revoke_customer(of_site(old.customer), &system(), || NOW).await.unwrap();
    let again = start(world.documents).await;
    let refused = again.access.authenticate(&old.token, NOW);
    assert_eq!(refused, Err(Invalid::Revoked));
    assert!(again.access.authenticate(&other.token, NOW).is_ok());
    let new = issue(&again, Some(old.customer)).await;
    assert!(again.access.authenticate(&new.token, NOW).is_ok());
}

#[tokio::test]
async fn a_revocation_takes_away_what_was_issued_before_it_whatever_the_clock_says() {
    let world = world().await;
    let ahead = system_at(NOW.plus_ms(3_600_000));
    let first = world.access.visitor_token(SITE, Visitor::default(), &system()).await.unwrap();
    world.access.revoke_customer(of_site(first.customer), &ahead, || ahead.at()).await.unwrap();
    // The clock is right again, or this one has waited for its turn behind the other.
    let visitor = Visitor { customer: Some(first.customer), ..Visitor::default() };
    let second = world.access.visitor_token(SITE, visitor, &system()).await.unwrap();
    let principal = world.access.authenticate(&second.token, NOW).unwrap();
    // What a later token says is later, though this one was issued ahead of all clocks.
    let Who::Customer { profile, .. } = &principal.who else { panic!("{principal:?}") };
    assert_eq!(profile.issued_at, NOW);
    world.access.revoke_customer(of_site(first.customer), &system(), || NOW).await.unwrap();
    for token in [&first.token, &second.token] {
        assert_eq!(world.access.authenticate(token, NOW), Err(Invalid::Revoked));
    }
}

#[tokio::test]
async fn a_revocation_is_dropped_when_no_token_can_be_alive_and_no_earlier() {
    let world = world().await;
    let longest = TokenLives::default().visitor_ms;
    let visitor = world.access.visitor_token(SITE, Visitor::default(), &system()).await.unwrap();
    world.access.revoke_customer(of_site(visitor.customer), &system(), || NOW).await.unwrap();
    // The longest that can be configured: another setting may have been in force then. And the clock may
    // be as far ahead as nobody doubts it.
    let days = |days: u64| NOW.plus_ms(days * 24 * 3_600_000);
    let (none_lives, also_ahead) = (days(90), days(90 + 30));
    assert!(longest < none_lives.since_ms(NOW));
    let pruned_at = [NOW, NOW.plus_ms(longest + 1), none_lives, also_ahead];
    for (now, kept) in pruned_at.map(|now| (now, 1)) {
        world.access.prune(now).await.unwrap();
        assert_eq!(world.documents.count("revoked_visitor"), kept, "{now}");
        assert_eq!(world.access.authenticate(&visitor.token, NOW), Err(Invalid::Revoked));
    }
    let again = start(world.documents).await;
    again.access.prune(also_ahead.plus_ms(1)).await.unwrap();
    assert_eq!(again.documents.count("revoked_visitor"), 0);
}

#[tokio::test]
async fn a_revocation_whose_first_try_took_effect_late_is_not_refused() {
    let world = world().await;
    let visitor = world.access.visitor_token(SITE, Visitor::default(), &system()).await.unwrap();
    // As a store that neither answered the write nor the look after it.
    let id = format!("{SITE}.{}", visitor.customer);
    let late = NOW.0.to_string().into_bytes();
    world.documents.put("revoked_visitor", &id, 0, late).await.unwrap();
    world.access.revoke_customer(of_site(visitor.customer), &system(), || NOW).await.unwrap();
    assert_eq!(world.access.authenticate(&visitor.token, NOW), Err(Invalid::Revoked));
    let again = start(world.documents).await;
    assert_eq!(again.access.authenticate(&visitor.token, NOW), Err(Invalid::Revoked));
}

#[tokio::test]
async fn a_revocation_is_written_anew_when_the_earlier_one_was_dropped_without_an_answer() {
    let world = world().await;
    let visitor = world.access.visitor_token(SITE, Visitor::default(), &system()).await.unwrap();
    let of = of_site(visitor.customer);
    world.access.revoke_customer(of, &system(), || NOW).await.unwrap();
    world.documents.fail_next_write(Fault::After);
    assert!(world.access.prune(NOW.plus_ms(121 * 24 * 3_600_000)).await.is_err());
    assert_eq!(world.documents.count("revoked_visitor"), 0);
    // By a clock that is behind: what was taken away stays away.
    world.access.revoke_customer(of, &system(), || Timestamp(0)).await.unwrap();
    assert_eq!(world.access.authenticate(&visitor.token, NOW), Err(Invalid::Revoked));
    world.access.revoke_customer(of, &system(), || NOW).await.unwrap();
    let again = start(world.documents).await;
    assert_eq!(again.access.authenticate(&visitor.token, NOW), Err(Invalid::Revoked));
}

#[tokio::test]
async fn a_revocation_takes_away_what_was_issued_until_it_was_carried_out() {
    let world = world().await;
    let asked = system();
    // It waited behind something, and the site went on meanwhile.
    let meanwhile = system_at(NOW.plus_ms(1_000));
    let visitor = world.access.visitor_token(SITE, Visitor::default(), &meanwhile).await.unwrap();
    let carried_out = NOW.plus_ms(2_000);
    let of = of_site(visitor.customer);
    world.access.revoke_customer(of, &asked, || carried_out).await.unwrap();
    let refused = world.access.authenticate(&visitor.token, carried_out);
    assert_eq!(refused, Err(Invalid::Revoked));
}

#[tokio::test]
async fn a_revocation_that_cannot_be_read_is_one_and_ends_no_start() {
    let world = world().await;
    let one = world.access.visitor_token(SITE, Visitor::default(), &system()).await.unwrap();
    let other = world.access.visitor_token(SITE, Visitor::default(), &system()).await.unwrap();
    let kept = &world.documents;
    let id = format!("{SITE}.{}", one.customer);
    kept.put("revoked_visitor", &id, 0, b"yesterday".to_vec()).await.unwrap();
    kept.put("revoked_visitor", "nobody", 0, b"1".to_vec()).await.unwrap();
    let again = start(world.documents).await;
    assert_eq!(again.access.authenticate(&one.token, NOW), Err(Invalid::Revoked));
    assert!(again.access.authenticate(&other.token, NOW).is_ok());
    // It is written over by the next one.
    let of = of_site(one.customer);
    again.access.revoke_customer(of, &system(), || NOW.plus_ms(9)).await.unwrap();
}

#[tokio::test]
async fn a_revocation_whose_outcome_is_unknown_can_be_repeated() {
    let world = world().await;
    let visitor = world.access.visitor_token(SITE, Visitor::default(), &system()).await.unwrap();
    world.documents.fail_next_write(Fault::After);
    assert!(
        world.access.revoke_customer(of_site(visitor.customer), &system(), || NOW).await.is_err()
    );
    assert_eq!(world.access.authenticate(&visitor.token, NOW), Err(Invalid::Revoked));
    let later = system_at(NOW.plus_ms(5));
    world.access.revoke_customer(of_site(visitor.customer), &later, || later.at()).await.unwrap();
}

#[tokio::test]
async fn a_site_key_counts_until_the_next_one() {
    let world = world().await;
    let first = world.access.new_site_key(SITE, 1, &system()).await.unwrap();
    let principal = world.access.authenticate(&first, NOW).unwrap();
    assert_eq!(principal.who, Who::Site { channel: SITE });
    let second = world.access.new_site_key(SITE, 2, &system()).await.unwrap();
    assert_eq!(world.access.authenticate(&first, NOW), Err(Invalid::Revoked));
    assert!(world.access.authenticate(&second, NOW).is_ok());
}

#[tokio::test]
async fn the_store_holds_no_password_and_no_token() {
    let world = world().await;
    let tokens = world.log_in().await;
    let kept = world.documents.dump();
    for secret in [PASSWORD, &tokens.access, &tokens.refresh] {
        assert!(!kept.contains(secret));
    }
    assert!(kept.contains("$argon2id$"));
}
