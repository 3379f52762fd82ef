//! Keyspaces for tests that need a database that speaks CQL.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(dead_code, reason = "each test binary uses its part")]

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use scylla::client::session::Session;
use switchboard::storage::scylla::{ScyllaOptions, apply_schema, drop_keyspace};
use tokio::runtime::Runtime;

use crate::cql_server;

/// Where the driver of all stores lives: it must outlast a single call.
pub static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
});

/// A keyspace of a test's own with the schema in it; gone when this is dropped.
pub struct Keyspace {
    pub options: ScyllaOptions,
}

impl Keyspace {
    /// An empty one. None: there is no database.
    pub async fn new() -> Option<Self> {
        let keyspace = Self::without_schema()?;
        apply_schema(&keyspace.options, None).await.unwrap();
        Some(keyspace)
    }

    /// One that does not exist yet.
    pub fn without_schema() -> Option<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let Some(address) = cql_server::address() else {
            // Tests are known by the names of their threads.
            cql_server::skip(std::thread::current().name().unwrap_or("a test on CQL"));
            return None;
        };
        let (process, n) = (std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let mut options = ScyllaOptions::local(&format!("sb_test_{process}_{n}"), "a test");
        options.contact_points = vec![address];
        // The machine may be busy, and no test waits for a limit to pass.
        options.request_limit = Duration::from_secs(20);
        options.connect_limit = Duration::from_secs(20);
        options.lease = Duration::from_secs(60);
        Some(Self { options })
    }
}

impl Drop for Keyspace {
    fn drop(&mut self) {
        let options = self.options.clone();
        // Not within the runtime that may be running this.
        let gone = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(drop_keyspace(&options))
        });
        if !matches!(gone.join(), Ok(Ok(()))) {
            eprintln!("the keyspace {} was not dropped", self.options.keyspace);
        }
    }
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
