//! Keyspaces for tests that need a database that speaks CQL.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(dead_code, reason = "each test binary uses its part")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use switchboard::storage::scylla::{ScyllaOptions, apply_schema, drop_keyspace};
use tokio::runtime::Runtime;

use crate::cql_server;

/// Where the driver of all stores lives: it must outlast a single call.
pub static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
});

/// Keyspaces that a test has left, empty again, for the next one: to make one takes a second and more, and the
/// server makes one after the other. So many as were in use at a time stay until the server ends.
static LEFT: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A keyspace of a test's own with the schema in it; gone when this is dropped, unless another test may have
/// it.
pub struct Keyspace {
    pub options: ScyllaOptions,
    may_be_left: bool,
}

impl Keyspace {
    /// An empty one. None: there is no database.
    pub async fn new() -> Option<Self> {
        let keyspace = Self::without_schema()?;
        apply_schema(&keyspace.options, None).await.unwrap();
        Some(keyspace)
    }

    /// One with nothing in it, which another test may have had: for tests that write to it by a store alone,
    /// and look at nothing but what that store shows.
    pub async fn left_or_new() -> Option<Self> {
        let left = LEFT.lock().unwrap().pop();
        let mut keyspace = match left {
            Some(name) => Self::named(&name)?,
            None => Self::new().await?,
        };
        keyspace.may_be_left = true;
        Some(keyspace)
    }

    /// One that does not exist yet.
    pub fn without_schema() -> Option<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let (process, n) = (std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        Self::named(&format!("sb_test_{process}_{n}"))
    }

    fn named(name: &str) -> Option<Self> {
        let Some(address) = cql_server::address() else {
            // Tests are known by the names of their threads.
            cql_server::skip(std::thread::current().name().unwrap_or("a test on CQL"));
            return None;
        };
        let mut options = ScyllaOptions::local(name, "a test");
        options.contact_points = vec![address];
        // The machine may be busy, and no test waits for a limit to pass.
        options.request_limit = Duration::from_secs(20);
        options.connect_limit = Duration::from_secs(20);
        options.lease = Duration::from_secs(60);
        Some(Self { options, may_be_left: false })
    }
}

impl Drop for Keyspace {
    fn drop(&mut self) {
        let (options, left) = (self.options.clone(), self.may_be_left && !std::thread::panicking());
        // Not within the runtime that may be running this.
        let gone = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                if left && clear(&options).await.is_ok() {
                    LEFT.lock().unwrap().push(options.keyspace);
                    return Ok(());
                }
                drop_keyspace(&options).await
            })
        });
        if !matches!(gone.join(), Ok(Ok(()))) {
            eprintln!("the keyspace {} was not dropped", self.options.keyspace);
        }
    }
}

/// Empties all tables of a keyspace but those that say which schema it has and whose it is: lives and stamps go on
/// counting, so that nothing which the store before has under way counts for the next one.
async fn clear(options: &ScyllaOptions) -> Result<(), Box<dyn std::error::Error>> {
    let known = SessionBuilder::new().known_nodes(&options.contact_points);
    let session = known.use_keyspace(&options.keyspace, true).build().await?;
    let text = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?";
    let answer = session.query_unpaged(text, (&options.keyspace,)).await?;
    for row in answer.into_rows_result()?.rows::<(String,)>()? {
        let (table,) = row?;
        // Also where nothing is found: what was removed would hide what is written there anew.
        if table != "lease" && !table.starts_with("schema_") {
            session.query_unpaged(format!("TRUNCATE {table}"), ()).await?;
        }
    }
    Ok(())
}

/// The most tombstones that one read of a table of the keyspace has met lately,
/// by the server's own account (Apache Cassandra's `system_views`).
pub async fn tombstones(raw: &Session, keyspace: &str) -> Vec<(String, f64)> {
    let text = "SELECT table_name, max FROM system_views.tombstones_per_read \
                WHERE keyspace_name = ? ALLOW FILTERING";
    let answer = raw.query_unpaged(text, (keyspace,)).await.unwrap();
    let rows = answer.into_rows_result().unwrap();
    rows.rows::<(String, f64)>().unwrap().map(Result::unwrap).collect()
}
