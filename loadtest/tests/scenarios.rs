//! The scenarios that measure sessions and routing, in small, against the real server: they come to their end,
//! find nothing that should not be, and tell what they are for. Figures are not judged here.

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

#[test]
fn each_of_many_chats_has_a_message_in_turn_at_the_router_and_at_the_floor() {
    let many = ["messages", "--chats", "120", "--messages", "600", "--in-flight", "4"];
    let report = report(&[&many[..], &["--warm-up", "0"]].concat());
    for server in ["durable", "router"] {
        assert!(figure(&report, server, "acknowledged_per_second") > 0.0);
        assert!(figure(&report, server, "stall_max_us") > 0.0);
        assert_eq!(report["rounds"][server][0]["times"]["acknowledge"]["count"], 600);
        assert_eq!(report["rounds"][server][0]["times"]["deliver"]["count"], 600);
    }
}

#[test]
fn all_at_once_is_measured_and_verified_as_each_is_alone() {
    let few = ["mixed", "--pairs", "4", "--rate", "40", "--operators", "8", "--arrivals", "5"];
    let short = ["--idle", "20", "--reads", "5", "--seconds", "3", "--warm-up", "0"];
    let report = report(&[&few[..], &short].concat());
    for name in ["acknowledged_per_second", "ended_per_second", "history_per_second"] {
        assert!(figure(&report, "router", name) > 0.0, "{name}");
    }
    for what in ["acknowledge", "deliver", "open", "accept", "route", "history", "session_open"] {
        assert!(timed(&report, what) > 0, "{what}");
    }
    assert!(figure(&report, "durable", "acknowledge_p99_us") > 0.0);
    let samples = &report["rounds"]["router"][0]["samples"];
    assert!(samples[0]["values"]["ended_per_second"].is_number(), "{samples}");
    assert!(samples[0]["values"]["resident_bytes"].is_number(), "{samples}");
}

/// Ten operators who serve a line and what comes meanwhile.
fn routed(rule: &str, more: &[&str]) -> Value {
    let few = ["--operators", "10", "--queues", "3", "--capacity", "2", "--line", "15"];
    let short = ["--seconds", "2", "--warm-up", "0", "--rule", rule];
    let report = report(&[&["routing"], &few[..], &short, more].concat());
    assert!(figure(&report, "durable", "acknowledge_p99_us") > 0.0);
    assert!(figure(&report, "router", "ended_per_second") > 0.0);
    assert!(timed(&report, "open") > 0 && timed(&report, "assign") > 0);
    assert_eq!(timed(&report, "route"), timed(&report, "assign"));
    assert!(timed(&report, "accept") > 0);
    report
}

#[test]
fn chats_are_routed_by_every_rule_and_nobody_gets_what_is_not_its_own() {
    let many = ["--chats-at-a-time", "40", "--message"];
    let busy = ["--decline", "20", "--come-and-go", "120"];
    for rule in ["least_loaded", "longest_idle", "to_all"] {
        let report = routed(rule, &[&many[..], &busy].concat());
        assert!(figure(&report, "router", "declined") > 0.0);
        assert!(figure(&report, "router", "came_back") > 0.0);
        assert!(figure(&report, "router", "offered_per_second") > 0.0);
        assert!(timed(&report, "next") > 0);
    }
    routed("manual", &many);
}

#[test]
fn chats_come_when_they_are_due() {
    // There are customers for all that are due, whether or not any is served meanwhile.
    let report = routed("least_loaded", &["--arrivals", "15", "--keep", "5"]);
    // There is room for most of them.
    assert!(timed(&report, "assign_free") > 0);
    assert!(figure(&report, "router", "assign_p99_in_floors") > 0.0);
    assert!(figure(&report, "router", "route_p99_in_floors") > 0.0);
    assert!(figure(&report, "router", "opened_per_second") > 0.0);
    assert_eq!(figure(&report, "router", "unsent"), 0.0);
}
