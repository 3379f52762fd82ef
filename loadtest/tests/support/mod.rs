//! What the tests against a real server share.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Names the server's program where it has been built: `make test` says so, for whom another build of it takes
/// minutes.
const VARIABLE: &str = "SWITCHBOARD_TEST_SERVER";

/// The server's program, built as these tests are.
pub fn server() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        if let Some(built) = std::env::var_os(VARIABLE) {
            return PathBuf::from(built);
        }
        let folder = Path::new(env!("CARGO_BIN_EXE_loadtest")).parent().unwrap();
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "-p", "switchboard", "--bin", "switchboard"]);
        if folder.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success());
        folder.join("switchboard")
    })
}
