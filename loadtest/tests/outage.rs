//! The store of a real server goes away under load and comes back.

#![allow(clippy::unwrap_used)] // the helpers of these tests are outside of `#[test]`

use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "../../tests/support/cql.rs"]
mod cql_server;

use cql_server::{Server, skip};

/// The server's program, built as these tests are.
fn server() -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_loadtest")).parent().unwrap();
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "-p", "switchboard", "--bin", "switchboard"]);
    if folder.ends_with("release") {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success());
    folder.join("switchboard")
}

#[test]
fn cql_a_store_that_hangs_under_load_is_noticed_and_costs_nothing() {
    let Some(database) = Server::start() else {
        skip("cql_a_store_that_hangs_under_load_is_noticed_and_costs_nothing");
        return;
    };
    let binary = server();
    let config = database.folder().join("outage.toml");
    let text = format!(
        "[store]\nkind = \"scylla\"\ncontact_points = [\"{}\"]\nreplication = 1\n",
        database.address()
    );
    std::fs::write(&config, text).unwrap();
    let applied = Command::new(&binary).args(["schema", "apply", "--config"]).arg(&config).output();
    assert!(applied.unwrap().status.success());

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/cql-server");
    let act =
        |what: &str| format!("bash {} {what} {}", script.display(), database.folder().display());
    let output = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(["outage", "--for", "6", "--down", &act("pause"), "--up", &act("resume")])
        .arg("--config")
        .arg(&config)
        .arg("--server-binary")
        .arg(&binary)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let complained = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}{complained}");
    assert!(said.contains("/readyz: the store does not answer"), "{said}");
    let nothing = "0 lost, 0 doubled, 0 reordered, 0 above capacity, 0 double owners, 0 stuck";
    assert!(said.contains(nothing), "{said}");
}
