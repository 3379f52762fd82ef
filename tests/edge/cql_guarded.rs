//! A store behind TLS, logins and rights, as in production: what lets a router in, what keeps it
//! out, and what it then says.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use switchboard::storage::scylla::ScyllaOptions;
use tokio::task::spawn_blocking;

use crate::cql::{customer, on_store, ready, texts};
use crate::cql_faults::{Served, an_outage, readiness, seen, sent, serving, the_return};
use crate::cql_server::{Server, skip};
use crate::harness::until;
use crate::process::{Process, Starting, command, refused, serve};

const KEYSPACE: &str = "sb_guarded";

/// Somebody whom no node here has its certificate from.
const OTHER_AUTHORITY: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/other_authority.pem");

/// How long a request of the database's administrator may take: the machine may be busy.
const REQUEST_MAX: Duration = Duration::from_secs(60);

/// The database's administrator, past the router's code.
async fn administrator(server: &Server) -> Session {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(server.authority()).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider);
    let tls = tls.with_safe_default_protocol_versions().unwrap();
    let tls = Arc::new(tls.with_root_certificates(roots).with_no_client_auth());
    let session = SessionBuilder::new().known_node(server.address()).user("cassandra", "cassandra");
    session.connection_timeout(REQUEST_MAX).tls_context(Some(tls)).build().await.unwrap()
}

async fn all(administrator: &Session, statements: &[&str]) {
    for statement in statements {
        administrator.query_unpaged(*statement, ()).await.unwrap();
    }
}

/// The store as one login sees it.
struct Guarded {
    server: Server,
}

impl Guarded {
    fn on(&self, mut command: Command, (user, password): (&str, &str), trusted: &Path) -> Command {
        let mut options = ScyllaOptions::local(KEYSPACE, "a test");
        options.contact_points = vec![self.server.address().to_owned()];
        command = on_store(&options, command);
        command.env("SWITCHBOARD_STORE_USER", user);
        command.env("SWITCHBOARD_STORE_PASSWORD", password);
        command.env("SWITCHBOARD_STORE_TLS_CA", trusted);
        command
    }

    fn apply(&self, login: (&str, &str), trusted: &Path) -> Command {
        let mut command = self.on(command(), login, trusted);
        command.args(["schema", "apply"]);
        command
    }

    async fn serves(&self, login: (&str, &str)) -> Process {
        let command = self.on(serve("unused".as_ref()), login, &self.server.authority());
        ready(Starting::new(command)).await
    }
}

const KEEPER: (&str, &str) = ("keeper", "keepers-word");
const ROUTER: (&str, &str) = ("router", "routers-word");

#[tokio::test]
async fn cql_a_guarded_store_lets_in_who_has_the_authority_the_password_and_the_rights() {
    let Some(server) = spawn_blocking(Server::start_guarded).await.unwrap() else {
        skip("cql_a_guarded_store_lets_in_who_has_the_authority_the_password_and_the_rights");
        return;
    };
    let administrator = administrator(&server).await;
    // As docs/scylladb.md has it.
    let made = [
        "CREATE KEYSPACE sb_guarded WITH replication = {'class': 'NetworkTopologyStrategy', 'datacenter1': 1}",
        "CREATE ROLE keeper WITH PASSWORD = 'keepers-word' AND LOGIN = true",
        "CREATE ROLE router WITH PASSWORD = 'routers-word' AND LOGIN = true",
    ];
    all(&administrator, &made).await;
    let store = Guarded { server };
    let trusted = store.server.authority();

    let refusals = [
        (KEEPER, Path::new(""), "store.tls_ca"),
        (KEEPER, Path::new(OTHER_AUTHORITY), "certificate"),
        (("keeper", "no-word-of-theirs"), trusted.as_path(), "SWITCHBOARD_STORE_PASSWORD"),
        (("stranger", "keepers-word"), trusted.as_path(), "SWITCHBOARD_STORE_PASSWORD"),
        (("", ""), trusted.as_path(), "wants a login"),
        (KEEPER, trusted.as_path(), "grant keeper"),
    ];
    for ((user, password), trusted, says) in refusals {
        let mut command = store.apply((user, password), trusted);
        let said = spawn_blocking(move || refused(&mut command)).await.unwrap();
        assert!(said.contains(says), "{says}: {said}");
        assert!(password.is_empty() || !said.contains(password), "it tells the password: {said}");
    }

    let granted = [
        "GRANT SELECT ON KEYSPACE sb_guarded TO keeper",
        "GRANT MODIFY ON KEYSPACE sb_guarded TO keeper",
        "GRANT CREATE ON KEYSPACE sb_guarded TO keeper",
        "GRANT ALTER ON KEYSPACE sb_guarded TO keeper",
    ];
    all(&administrator, &granted).await;
    let mut apply = store.apply(KEEPER, &trusted);
    let applied = spawn_blocking(move || apply.output().unwrap()).await.unwrap();
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    let mut command = store.on(serve("unused".as_ref()), ROUTER, &trusted);
    let said = spawn_blocking(move || refused(&mut command)).await.unwrap();
    assert!(said.contains("grant router SELECT and MODIFY"), "{said}");

    let granted = [
        "GRANT SELECT ON KEYSPACE sb_guarded TO router",
        "GRANT MODIFY ON KEYSPACE sb_guarded TO router",
    ];
    all(&administrator, &granted).await;
    let mut process = store.serves(ROUTER).await;
    let Served { anna, mut client, chat, visitor } = serving(&process).await;
    let seeing = tokio::spawn(seen(anna, "last"));
    sent(&mut client, &chat, "before").await;

    // A right that is taken away is an outage, and given back its end.
    all(&administrator, &["REVOKE MODIFY ON KEYSPACE sb_guarded FROM router"]).await;
    // As soon as the lease is to be renewed.
    until("not ready", async || readiness(process.operations).await.0 == 503).await;
    an_outage(&process, &mut client, &chat, "forbidden").await;
    all(&administrator, &["GRANT MODIFY ON KEYSPACE sb_guarded TO router"]).await;
    the_return(&process, &mut client, &chat, "forbidden").await;
    sent(&mut client, &chat, "last").await;
    let sent = ["before", "forbidden", "last"];
    assert_eq!(seeing.await.unwrap().1, sent, "each once, in order");

    process.child.kill().unwrap();
    let next = store.serves(ROUTER).await;
    let mut client = customer(&next, &visitor).await;
    assert_eq!(texts(&mut client, &chat).await, sent);
}
