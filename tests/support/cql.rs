//! A real CQL server for tests, by `scripts/cql-server`.
//!
//! - [`address`]: one server for everybody who needs only some CQL server. `SWITCHBOARD_TEST_CQL`
//!   names it (`make test` starts one for all test binaries), else this process starts its own.
//!   Whoever uses it makes a keyspace of its own, and never stops the server.
//! - [`Server`]: a server of one's own, to be killed, paused and started again.
//!
//! Both are tied to this process: when it is gone, however it ended, so are they and their data.
//! Both answer `None` only where there is no Java 17; say so with [`skip`]. Anything else that
//! keeps a server from starting fails the test.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

/// Names a CQL server, as `host:port`.
pub const VARIABLE: &str = "SWITCHBOARD_TEST_CQL";

/// How the script ends where there is no Java 17.
const NO_JAVA: i32 = 3;

/// The address of a CQL server, as `host:port`; none where there is no Java.
pub fn address() -> Option<String> {
    static SHARED: OnceLock<Option<Server>> = OnceLock::new();
    if let Some(given) = std::env::var(VARIABLE).ok().filter(|given| !given.is_empty()) {
        return Some(given);
    }
    SHARED.get_or_init(Server::start).as_ref().map(|server| server.address.clone())
}

/// Says aloud that a test was skipped; `scripts/test` counts these lines. Not by `eprintln!`,
/// which is shown only when the test fails.
pub fn skip(test: &str) {
    let line = format!("\nSKIPPED: {test}: there is no Java 17, so no CQL server\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// A server of one's own; it ends when dropped.
pub struct Server {
    address: String,
    folder: TempDir,
}

impl Server {
    /// Starts one on an address of its own and waits until it answers; none where there is no
    /// Java.
    pub fn start() -> Option<Self> {
        Self::start_for(std::process::id())
    }

    /// Like [`start`](Self::start), tied to another process than this one.
    pub fn start_for(parent: u32) -> Option<Self> {
        Self::start_with(parent, &[])
    }

    /// Like [`start`](Self::start): one that speaks TLS only, asks for a login (`cassandra`, with
    /// the same word as password) and looks at rights.
    pub fn start_guarded() -> Option<Self> {
        Self::start_with(std::process::id(), &["--guarded"])
    }

    fn start_with(parent: u32, more: &[&str]) -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("switchboard-cql-").tempdir().unwrap();
        let address = run_start(folder.path(), parent, more)?;
        Some(Self { address, folder })
    }

    /// A guarded one: the certificate of the authority to trust.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Where it answers, as `host:port`; the same after it was started again.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where its data and its log are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// SIGKILL. What was acknowledged is kept.
    pub fn kill(&self) {
        done("kill", self.folder.path());
    }

    /// SIGSTOP: connections stay, nothing answers. It has stopped when this returns.
    pub fn pause(&self) {
        done("pause", self.folder.path());
    }

    /// SIGCONT.
    pub fn resume(&self) {
        done("resume", self.folder.path());
    }

    /// Ends it in good order.
    pub fn stop(&self) {
        done("stop", self.folder.path());
    }

    /// Starts it again on its data and its address, after it was stopped or killed.
    pub fn start_again(&self) {
        let address = run_start(self.folder.path(), std::process::id(), &[]).unwrap();
        assert_eq!(address, self.address);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Whoever panics already needs no second panic; the watch ends the server then.
        let _ = script("kill", self.folder.path(), &[]);
    }
}

fn run_start(folder: &Path, parent: u32, more: &[&str]) -> Option<String> {
    let parent = parent.to_string();
    let output = script("start", folder, &[&["--parent", &parent], more].concat());
    match output.status.code() {
        Some(0) => Some(String::from_utf8(output.stdout).unwrap().trim().to_owned()),
        Some(NO_JAVA) => None,
        _ => panic!("no CQL server: {}", String::from_utf8_lossy(&output.stderr)),
    }
}

fn done(what: &str, folder: &Path) {
    let output = script(what, folder, &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Runs the script. Every command of it has a time limit of its own.
fn script(what: &str, folder: &Path, more: &[&str]) -> Output {
    // The load test's package lies in a folder of the repository.
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut scripts = folders.map(|folder| folder.join("scripts/cql-server"));
    let script = scripts.find(|script| script.is_file()).unwrap();
    let mut command = Command::new("bash");
    command.arg(script).arg(what).arg(folder).args(more).stdin(Stdio::null());
    command.output().unwrap()
}
