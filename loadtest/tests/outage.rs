//! The store of a real server goes away under load and comes back.

use std::path::Path;
use std::process::Command;

#[path = "../../tests/support/cql.rs"]
mod cql_server;
mod support;

use cql_server::{Server, skip};
use support::server;

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
    let applied = Command::new(binary).args(["schema", "apply", "--config"]).arg(&config).output();
    assert!(applied.unwrap().status.success());

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/cql-server");
    let act =
        |what: &str| format!("bash {} {what} {}", script.display(), database.folder().display());
    let output = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(["outage", "--for", "6", "--down", &act("pause"), "--up", &act("resume")])
        .arg("--config")
        .arg(&config)
        .arg("--server-binary")
        .arg(binary)
        .arg("--json")
        .arg(database.folder().join("report.json"))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let complained = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}{complained}");
    assert!(said.contains("/readyz: the store does not answer"), "{said}");
    let nothing = "0 lost, 0 doubled, 0 reordered, 0 above capacity, 0 double owners, 0 stuck";
    assert!(said.contains(nothing), "{said}");
    let report = std::fs::read(database.folder().join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    let round = &report["rounds"]["router"][0];
    assert!(round["figures"]["noticed_us"].as_f64().unwrap() > 0.0, "{round}");
    assert!(round["samples"].as_array().unwrap().len() > 10, "{round}");
}
