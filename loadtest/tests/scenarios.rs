//! The scenario that measures sessions, in small, against the real server: it comes to its end, finds nothing
//! that should not be, and tells what it is for. Figures are not judged here.

#![allow(clippy::unwrap_used, reason = "the helpers of these tests are outside of `#[test]`")]

use std::process::Command;
use std::sync::Mutex;

use serde_json::Value;

mod support;

use support::server;

/// One run at a time: each keeps a core busy.
static TURN: Mutex<()> = Mutex::new(());

/// Runs once; the report, in which everything held.
fn report(arguments: &[&str]) -> Value {
    let _turn = TURN.lock();
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("report.json");
    let mut run = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    run.args(arguments).args(["--rounds", "1", "--server-binary"]).arg(server());
    let output = run.arg("--json").arg(&json).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let complained = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {said}{complained}");
    serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap()
}

fn figure(report: &Value, server: &str, name: &str) -> f64 {
    let value = &report["rounds"][server][0]["figures"][name];
    value.as_f64().unwrap_or_else(|| panic!("{server} has no {name}: {report}"))
}

fn timed(report: &Value, what: &str) -> u64 {
    report["rounds"]["router"][0]["times"][what]["count"].as_u64().unwrap()
}

#[test]
fn idle_sessions_are_weighed_beside_sockets_and_answer_at_the_end() {
    let few = ["--customers", "30", "--operators", "3", "--ramp", "100"];
    let short = ["--hold", "2", "--ping-every", "1"];
    let report = report(&[&["connections"], &few[..], &short].concat());
    assert_eq!(report["scenario"], "connections");
    for server in ["echo", "router"] {
        assert_eq!(figure(&report, server, "sessions"), 33.0);
        assert!(figure(&report, server, "session_open_p99_us") > 0.0);
        assert!(figure(&report, server, "resident_bytes") > 0.0);
    }
    assert_eq!(timed(&report, "session_open"), 33);
}
