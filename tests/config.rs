//! Settings and seed: what is committed is what the code says, and mistakes are named.
//! `UPDATE_GOLDEN=1 cargo test --test config` writes `config/default.toml` anew.
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use support::{CountedEntropy, Fault, MemoryDocuments, system, trail};
use switchboard::access::published::PUBLISHED;
use switchboard::access::{
    Access, AccessError, Attempt, HashCost, PasswordError, Passwords, TokenLives,
};
use switchboard::catalog::limits::{AWAY_REASONS_MAX, CHANNELS_MAX, QUEUES_MAX, USERS_MAX};
use switchboard::catalog::{Catalog, CatalogError, Finding, Role, User};
use switchboard::config::seed::seed_id;
use switchboard::config::settings::StoreKind;
use switchboard::config::{LogFormat, Seed, SeedError, Seeded, Settings, check_listen, read};
use switchboard::domain::{QueueId, Rule, Timestamp, UserId};

fn committed(path: &str) -> (PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some() && path.ends_with("default.toml") {
        fs::write(&path, Settings::default().file()).unwrap();
    }
    let text = fs::read_to_string(&path).unwrap();
    (path, text)
}

fn none() -> Vec<(String, String)> {
    Vec::new()
}

fn variable(name: &str, value: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), value.to_owned())]
}

fn problems(text: &str) -> Vec<String> {
    let bad = read(Some(("my.toml", text)), none()).unwrap_err();
    bad.problems.iter().map(|problem| problem.to_string()).collect()
}

#[test]
fn the_default_file_is_what_the_code_would_write() {
    let (_, text) = committed("config/default.toml");
    assert_eq!(text, Settings::default().file());
    let settings = read(Some(("default.toml", &text)), none()).unwrap();
    assert_eq!(settings, Settings::default());
}

/// The test above compares defaults with defaults; this one sees each key take another value.
#[test]
fn every_setting_of_the_default_file_is_read() {
    let (_, text) = committed("config/default.toml");
    for line in text.lines().filter(|line| line.contains(" = ") && !line.starts_with('#')) {
        let key = line.split(" = ").next().unwrap();
        let wrong = text.replace(line, &format!("{key} = 1.5"));
        let problems = problems(&wrong);
        assert_eq!(problems.len(), 1, "{key}: {problems:?}");
        assert!(problems[0].contains(&format!(".{key}`: expected")), "{problems:?}");
    }
}

#[test]
fn what_a_file_says_counts_and_the_environment_counts_more() {
    let text = "[server]\nlisten = \"127.0.0.1:1\"\nallowed_origins = [\"https://a.example\"]\n\
                [limits]\nconnections = 0x10\n[log]\nformat = \"json\"\n";
    let settings = read(Some(("my.toml", text)), none()).unwrap();
    assert_eq!(settings.server.listen.port(), 1);
    assert_eq!(settings.server.allowed_origins, ["https://a.example"]);
    assert_eq!(settings.limits.connections, 16);
    assert_eq!(settings.log.format, LogFormat::Json);
    let environment = variable("SWITCHBOARD_SERVER_LISTEN", "[::1]:2")
        .into_iter()
        .chain(variable(
            "SWITCHBOARD_SERVER_ALLOWED_ORIGINS",
            "https://b.example, http://c.example:81",
        ))
        .chain(variable("SWITCHBOARD_TEST_CQL", "the tests' own"))
        .chain(variable("PATH", "/bin"));
    let settings = read(Some(("my.toml", text)), environment).unwrap();
    assert_eq!(settings.server.listen.port(), 2);
    assert_eq!(settings.server.allowed_origins, ["https://b.example", "http://c.example:81"]);
    assert_eq!(settings.limits.connections, 16);
}

#[test]
fn mistakes_are_named_with_file_and_line_all_at_once() {
    let text = "[server]\nlsiten = \"127.0.0.1:1\"\n\n[limit]\nx = 1\n[limits]\nconnections = 0\n\
                calls_per_second = \"many\"\n[routing]\nqueues = 3\n";
    assert_eq!(
        problems(text),
        [
            "my.toml:2: there is no setting `lsiten`; did you mean `listen`?",
            "my.toml:4: there is no section `limit`; did you mean `limits`?",
            "my.toml:7: `limits.connections`: expected 1 to 1000000, got 0",
            "my.toml:8: `limits.calls_per_second`: expected a whole number",
            "my.toml:10: there is no setting `queues`; there are priority_step_ms, cool_down_ms, visitor_offer_every_ms, lapses_to_away",
        ]
    );
    let broken = problems("[server]\nlisten = \n");
    assert!(broken[0].starts_with("my.toml:2: "), "{broken:?}");
    let twice = problems("[log]\nfilter = \"a\"\nfilter = \"b\"\n");
    assert!(twice[0].starts_with("my.toml:3: "), "{twice:?}");
    let flat = problems("server = 5\n");
    assert!(flat[0].contains("write [server]"), "{flat:?}");
}

#[test]
fn a_wrong_variable_is_named_too() {
    let error = |name, value| read(None, variable(name, value)).unwrap_err().to_string();
    assert_eq!(
        error("SWITCHBOARD_SERVER_LISTN", "x"),
        "SWITCHBOARD_SERVER_LISTN: there is no such setting; did you mean SWITCHBOARD_SERVER_LISTEN?"
    );
    let listen = error("SWITCHBOARD_SERVER_LISTEN", "localhost");
    assert!(listen.starts_with("SWITCHBOARD_SERVER_LISTEN: expected an address"), "{listen}");
    let origin = error("SWITCHBOARD_SERVER_ALLOWED_ORIGINS", "https://Shop.example/");
    assert!(origin.contains("`https://Shop.example/` is no origin"), "{origin}");
}

#[test]
fn the_file_for_scylladb_chooses_it_and_its_password_is_never_shown() {
    let (_, text) = committed("config/scylla.toml");
    let environment = variable("SWITCHBOARD_STORE_PASSWORD", "very secret");
    let settings = read(Some(("scylla.toml", &text)), environment).unwrap();
    assert_eq!(settings.store.kind, StoreKind::Scylla);
    assert_eq!(settings.store.password.reveal(), "very secret");
    let shown = format!("{settings:?}{}", settings.file());
    assert!(!shown.contains("very secret"));
    assert_eq!(Settings::default().store.kind, StoreKind::Sqlite);
    // What it shows is what would count anyway, but for what it is there to change.
    let mut changed = settings;
    changed.store = Settings::default().store;
    assert_eq!(changed, Settings::default());
}

/// What `compose.yaml` gives a service as variables, by their names; `<<` for what it takes over.
fn variables_of(compose: &str, service: &str) -> Vec<(String, String)> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let within = |text: &str, depth: usize, name: &str| -> Vec<String> {
        let mut lines = text.lines().skip_while(|line| {
            indent(line) != depth || !line.trim_start().starts_with(&format!("{name}:"))
        });
        assert!(lines.next().is_some(), "{name} is in compose.yaml");
        let inner = lines.take_while(|line| line.is_empty() || indent(line) > depth);
        inner.map(str::to_owned).collect()
    };
    let service = within(compose, 2, service).join("\n");
    let lines = within(&service, 4, "environment");
    let pairs = lines.iter().filter_map(|line| line.trim().split_once(": "));
    let pairs = pairs.filter(|(name, _)| !name.starts_with('#'));
    pairs.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned())).collect()
}

#[test]
fn compose_gives_the_schema_and_the_router_the_same_store_with_one_copy() {
    let (_, text) = committed("compose.yaml");
    let schema = variables_of(&text, "schema");
    let mut router = variables_of(&text, "router");
    let taken = router.iter().position(|(name, value)| (&**name, &**value) == ("<<", "*store"));
    router.remove(taken.expect("the router takes over the settings of the store"));
    assert!(text.contains("environment: &store\n"), "which are those of the schema");
    // What a variable of whoever starts it fills is empty by itself.
    router.retain(|(_, value)| !value.starts_with("${"));
    router.extend(schema.clone());
    let of = |variables| read(None, variables).unwrap().store;
    let (schema, router) = (of(schema), of(router));
    assert_eq!(schema, router);
    assert_eq!(schema.kind, StoreKind::Scylla);
    assert_eq!(schema.replication, 1, "there is one node");
    let (service, _) = schema.contact_points[0].split_once(':').unwrap();
    assert!(text.contains(&format!("\n  {service}:\n")), "a service of this file");
}

#[test]
fn contact_points_have_ports() {
    let wrong = |points: &str| problems(&format!("[store]\ncontact_points = {points}\n"));
    assert!(wrong("[]")[0].contains("at least one"));
    for bad in ["[\"db1\"]", "[\":9042\"]", "[\"db1:x\"]"] {
        assert!(wrong(bad)[0].contains("has no port"), "{bad}");
    }
    let good = "[store]\ncontact_points = [\"db1.example:9042\", \"[::1]:9042\"]\n";
    read(Some(("my.toml", good)), none()).unwrap();
}

#[test]
fn a_trusted_proxy_is_a_network_and_never_everybody() {
    let read = |list: &str| {
        let text = format!("[server]\ntrusted_proxies = {list}\n");
        read(Some(("my.toml", &text)), none())
    };
    let settings = read("[\"10.1.0.0/16\", \"fd00::/8\", \"192.0.2.7\"]").unwrap();
    let networks = settings.trusted_proxies().unwrap();
    assert_eq!(networks.len(), 3);
    assert!(networks[0].contains("10.1.2.3".parse().unwrap()));
    for (list, says) in [
        ("[\"10.0.0.0/8\", \"10.1.2.3/16\"]", "write it as \"10.1.0.0/16\""),
        ("[\"proxy.example\"]", "`proxy.example` is no network"),
        ("[\"10.0.0.0/40\"]", "`10.0.0.0/40` is no network"),
        ("[\"::/0\"]", "`::/0` is everybody"),
    ] {
        let error = read(list).unwrap_err().to_string();
        assert!(error.starts_with("my.toml:2: `server.trusted_proxies`"), "{error}");
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn two_listeners_have_two_addresses() {
    let text = "[server]\nlisten = \"127.0.0.1:9090\"\n";
    assert!(problems(text)[0].contains("a port of its own"));
    let free = "[server]\nlisten = \"127.0.0.1:0\"\nops_listen = \"127.0.0.1:0\"\n";
    read(Some(("my.toml", free)), none()).unwrap();
}

#[test]
fn the_command_line_sets_what_it_names() {
    let mut settings = Settings::default();
    settings.set("server", "data", "/srv/chats", "--data").unwrap();
    assert_eq!(settings.server.data, Path::new("/srv/chats"));
    let error = settings.set("server", "listen", "x", "--listen").unwrap_err();
    assert!(error.to_string().starts_with("--listen: expected an address"));
}

async fn empty(documents: Arc<MemoryDocuments>) -> (Arc<Catalog>, Access) {
    let catalog = Arc::new(Catalog::load(documents.clone()).await.unwrap());
    let cheap = HashCost { memory_kib: 8, passes: 1, lanes: 1 };
    let access = Access::load(
        catalog.clone(),
        documents.clone(),
        Arc::new(CountedEntropy::default()),
        Passwords::new(cheap).unwrap(),
        TokenLives::default(),
        trail(),
        Timestamp(1),
    );
    let access = access.await.unwrap();
    (catalog, access)
}

fn demo() -> Seed {
    let (path, text) = committed("config/demo.toml");
    Seed::parse(path.file_name().unwrap().to_str().unwrap(), &text).unwrap()
}

#[tokio::test]
async fn the_demonstration_fills_an_empty_store_once() {
    let documents = Arc::new(MemoryDocuments::default());
    let (catalog, access) = empty(documents.clone()).await;
    let seed = demo();
    let back_office = QueueId(seed_id("queue", "Back office"));
    assert_eq!(seed.warnings(), [Finding::QueueWithoutChannel { queue: back_office }]);
    let planted = seed.plant(&catalog, &access, &*documents, &system()).await;
    assert_eq!(planted, Ok(Seeded::Filled));

    let snapshot = catalog.snapshot();
    assert_eq!(snapshot.channels().count(), 2);
    let rules: std::collections::BTreeSet<_> = snapshot.queues().map(|queue| queue.rule).collect();
    assert_eq!(rules, [Rule::ToAll, Rule::LongestIdle, Rule::Manual].into());
    let operators = snapshot.users().filter(|user| user.role == Role::Operator);
    assert_eq!(operators.count(), 4);
    let attempt = Attempt {
        login: "anna",
        password: "demo-anna-01".into(),
        device_mark: None,
        address: [127, 0, 0, 1].into(),
    };
    let tokens = access.log_in(attempt, Timestamp(5));
    tokens.await.outcome.unwrap();

    let mut anna = User::clone(snapshot.user_by_login("anna").unwrap());
    anna.name = "Anna the second".into();
    catalog.put(anna, &system()).await.unwrap();
    let again = seed.plant(&catalog, &access, &*documents, &system()).await;
    assert_eq!(again, Ok(Seeded::Before));
    let anna = catalog.snapshot().user_by_login("anna").unwrap().clone();
    assert_eq!(anna.name, "Anna the second");
}

#[tokio::test]
async fn an_interrupted_seeding_goes_on_where_it_was() {
    let whole = Arc::new(MemoryDocuments::default());
    let (catalog, access) = empty(whole.clone()).await;
    demo().plant(&catalog, &access, &*whole, &system()).await.unwrap();
    for writes in 0..14 {
        let documents = Arc::new(MemoryDocuments::default());
        let (catalog, access) = empty(documents.clone()).await;
        documents.fail_after(writes, Fault::After);
        let interrupted = demo().plant(&catalog, &access, &*documents, &system()).await;
        assert!(interrupted.is_err(), "after {writes} writes");
        let (catalog, access) = empty(documents.clone()).await;
        let planted = demo().plant(&catalog, &access, &*documents, &system()).await.unwrap();
        // The last write is that it was seeded.
        let expected = if writes == 13 { Seeded::Before } else { Seeded::Filled };
        assert_eq!(planted, expected, "after {writes} writes");
        for kind in ["user", "queue", "channel", "away_reason"] {
            assert_eq!(documents.count(kind), whole.count(kind), "after {writes} writes");
        }
    }
}

#[tokio::test]
async fn a_store_with_other_things_is_left_alone() {
    let documents = Arc::new(MemoryDocuments::default());
    let (catalog, access) = empty(documents.clone()).await;
    let other = User::new(UserId::from_u128(5), "Root", "root", Role::Administrator);
    catalog.put(other, &system()).await.unwrap();
    let planted = demo().plant(&catalog, &access, &*documents, &system()).await;
    assert_eq!(planted, Ok(Seeded::NotEmpty));
    assert_eq!(documents.count("user"), 1);
}

#[tokio::test]
async fn demo_passwords_bind_the_server_to_loopback_until_they_are_gone() {
    let documents = Arc::new(MemoryDocuments::default());
    let (catalog, access) = empty(documents.clone()).await;
    demo().plant(&catalog, &access, &*documents, &system()).await.unwrap();
    let everywhere = "0.0.0.0:8080".parse().unwrap();
    let refused = check_listen(everywhere, &catalog.snapshot().demo_logins());
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("anna") && text.contains("0.0.0.0:8080"), "{text}");
    for loopback in ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        let address = loopback.parse().unwrap();
        check_listen(address, &catalog.snapshot().demo_logins()).unwrap();
    }
    let users: Vec<_> = catalog.snapshot().users().cloned().collect();
    for user in users {
        let mut user = User::clone(&user);
        match user.role {
            Role::Administrator => {
                user.password = Some(access.new_password("my own password".into()).await.unwrap());
            }
            Role::ChatAdministrator | Role::Operator => user.active = false,
        }
        catalog.put(user, &system()).await.unwrap();
    }
    check_listen(everywhere, &catalog.snapshot().demo_logins()).unwrap();

    let mut anna = User::clone(catalog.snapshot().user_by_login("anna").unwrap());
    anna.active = true;
    let refused = catalog.put(anna, &system()).await.unwrap_err();
    assert_eq!(refused, CatalogError::DemoPassword);
}

#[test]
fn every_password_of_the_demonstration_is_known_as_published() {
    let (_, text) = committed("config/demo.toml");
    let seed: toml::Table = text.parse().unwrap();
    let users = seed["user"].as_array().unwrap().iter();
    let users: Vec<_> = users
        .map(|user| (user["login"].as_str().unwrap(), user["password"].as_str().unwrap()))
        .collect();
    assert_eq!(users, PUBLISHED);
}

#[test]
fn a_seed_with_a_published_password_says_so() {
    let user = "[[user]]\nlogin = \"root\"\nname = \"R\"\nrole = \"administrator\"\n\
                password = \"demo-admin-1\"\n";
    let refused = Seed::parse("my.toml", user).unwrap_err().to_string();
    assert!(refused.contains("`root`: this password is published"), "{refused}");
    assert!(Seed::parse("my.toml", &format!("demo = true\n{user}")).is_ok());
}

#[tokio::test]
async fn a_flagged_password_is_not_made_another_one_by_setting_it_again() {
    let documents = Arc::new(MemoryDocuments::default());
    let (catalog, access) = empty(documents).await;
    let mut user = User::new(UserId::from_u128(5), "Root", "root", Role::Administrator);
    user.password = Some(access.demo_password("in the source of somebody".into()).await.unwrap());
    user.demo_password = true;
    catalog.put(user.clone(), &system()).await.unwrap();
    let again = access.new_password_of(&user, "in the source of somebody".into()).await;
    assert_eq!(again, Err(AccessError::Password(PasswordError::Published)));
    assert!(access.new_password_of(&user, "in nobody's source".into()).await.is_ok());
}

/// The text of an entry, by its number.
type Made<'a> = &'a dyn Fn(usize) -> String;

#[test]
fn a_seed_with_more_than_may_be_is_refused_before_anything_is_planted() {
    let root = "[[user]]\nlogin = \"root\"\nname = \"R\"\nrole = \"administrator\"\n\
                password = \"my own password\"\n\
                [[queue]]\nname = \"Q\"\nrule = \"to_all\"\nmembers = []\n";
    let many = |made: Made<'_>, n: usize| {
        let text: String = (0..n).map(made).collect();
        Seed::parse("s.toml", &format!("{root}{text}")).map(drop).map_err(|error| error.to_string())
    };
    let user = |n| format!("[[user]]\nlogin = \"u{n}\"\nname = \"U\"\nrole = \"operator\"\n");
    let queue = |n| format!("[[queue]]\nname = \"Q{n}\"\nrule = \"to_all\"\nmembers = []\n");
    let channel =
        |n| format!("[[channel]]\nname = \"C{n}\"\nprovider = \"web_chat\"\nqueue = \"Q\"\n");
    let reason = |n| format!("[[away_reason]]\nname = \"R{n}\"\n");
    // Beside them there are a user and a queue.
    let kinds: [(&str, Made<'_>, usize, usize); 4] = [
        ("user", &user, USERS_MAX, 1),
        ("queue", &queue, QUEUES_MAX, 1),
        ("channel", &channel, CHANNELS_MAX, 0),
        ("away_reason", &reason, AWAY_REASONS_MAX, 0),
    ];
    for (kind, made, most, beside) in kinds {
        assert_eq!(many(made, most - beside), Ok(()), "{kind}");
        let found = most + 1;
        let said = format!("s.toml: {found} entries of `{kind}`, at most {most} are allowed");
        assert_eq!(many(made, found - beside), Err(said));
    }
}

#[test]
fn mistakes_in_a_seed_name_the_entry() {
    let (_, text) = committed("config/demo.toml");
    let wrong = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        Seed::parse("s.toml", &text.replacen(from, to, 1)).unwrap_err().to_string()
    };
    let cases = [
        ("rule = \"to_all\"", "rule = \"all\"", "s.toml: queue `Support`: `all` is none of"),
        ("\"clara\", ", "\"carla\", ", "queue `Support`: there is no user with the login `carla`"),
        ("queue = \"Sales\"", "queue = \"Sails\"", "channel `Shop`: there is no queue `Sails`"),
        ("demo-anna-01", "short", "user `anna`: a password has at least 10"),
        ("capacity = 3", "capacity = 300", "user `clara`: capacity is 1 to 100, got 300"),
        ("priority = 2", "priority = 11", "queue `Sales`: a priority is 0 to 10"),
        ("30_000", "1", "queue `Sales`: offer_timeout_ms is 100"),
        ("login = \"boris\"", "login = \"anna\"", "user `anna`: occurs twice"),
        ("\"maria\", ", "\"admin\", ", "whose role does not serve chats"),
        ("password = \"demo-admin-1\"", "", "no user with the role `administrator`"),
        ("[[channel]]", "[[chanel]]", "unknown field `chanel`"),
    ];
    for (from, to, expected) in cases {
        let error = wrong(from, to);
        assert!(error.contains(expected), "{error}");
    }
    let again = format!("{text}\n[[away_reason]]\nname = \" Lunch \"\n");
    let error = Seed::parse("s.toml", &again).unwrap_err().to_string();
    assert!(error.contains("away_reason `Lunch`: occurs twice"), "{error}");
    let error = Seed::parse("s.toml", "x = [").unwrap_err();
    assert!(matches!(error, SeedError::File { .. }) && error.to_string().contains("line 1"));
    assert!(!format!("{:?}", demo()).contains("demo-anna"));
}
