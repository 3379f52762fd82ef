//! Runs against the real server: a short replay, two crashes, a small fuzz, and two people at terminals whose
//! server is killed between them.
//!
//! How long a chat waits beside somebody free is measured by `replay` and told, but not judged
//! here: a machine that builds something else at the same time is slow for reasons of its own.

#![allow(clippy::unwrap_used, reason = "the helpers of these tests are outside of `#[test]`")]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

mod support;

use support::server;

/// How long anything may take, s; far longer than it does.
const LIMIT_S: u64 = 60;

/// One run at a time: each keeps a core busy.
static TURN: Mutex<()> = Mutex::new(());

fn loadtest(arguments: &[&str]) -> Output {
    let binary = server().to_str().unwrap();
    let mut run = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    run.args(arguments).args(["--server-binary", binary]).output().unwrap()
}

/// The same; also what its report says for machines, and for people.
fn reported(arguments: &[&str]) -> (Output, serde_json::Value, String) {
    let folder = tempfile::tempdir().unwrap();
    let [report, page] = ["report.json", "report.html"].map(|name| folder.path().join(name));
    let files = ["--json", report.to_str().unwrap(), "--html", page.to_str().unwrap()];
    let output = loadtest(&[arguments, &files].concat());
    let report = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    (output, report, std::fs::read_to_string(&page).unwrap())
}

#[test]
fn a_short_replay_loses_nobody_and_nothing() {
    let _turn = TURN.lock();
    let few = ["replay", "--hours", "8-9", "--speed", "300", "--staff", "0.8"];
    let (output, report, page) = reported(&few);
    let said = String::from_utf8(output.stdout).unwrap();
    let complained = String::from_utf8(output.stderr).unwrap();
    let row = |label: &str| {
        let line = said.lines().find(|line| line.starts_with(label));
        let line = line.unwrap_or_else(|| panic!("{label}: {said}{complained}"));
        let cells: Vec<&str> = line.split_whitespace().collect();
        cells.last().unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(row("offered"), 182);
    assert_eq!(row("served") + row("left"), 182);
    assert!(row("served") > 100 && row("messages") > 400, "{said}");
    let wrong =
        |line: &&str| line.starts_with("violation: ") && !line.contains("free and eligible");
    assert_eq!(said.lines().find(wrong), None);
    let round = &report["rounds"]["router"][0];
    assert_eq!(round["figures"]["customers"], 182.0);
    assert_eq!(report["rounds"]["ideal"][0]["figures"]["customers"], 182.0);
    assert_eq!(round["figures"]["messages"].as_f64().unwrap() as u64, row("messages"));
    assert!(round["samples"][0]["values"]["resident_bytes"].is_number(), "{round}");
    assert!(page.contains("router ÷ ideal") && page.contains("wait p50, trace time"));
}

#[test]
fn messages_are_measured_and_verified_at_the_router_and_at_every_floor() {
    let _turn = TURN.lock();
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    for more in [&["--in-flight", "2"][..], &["--rate", "50", "--in-flight", "64"]] {
        let few = ["--pairs", "3", "--seconds", "1", "--warm-up", "0", "--rounds", "1"];
        let all = ["--floors", "echo,forward,durable", "--json", report.to_str().unwrap()];
        let output = loadtest(&[&["messages"], &few[..], &all, more].concat());
        let said = String::from_utf8(output.stdout).unwrap();
        let complained = String::from_utf8(output.stderr).unwrap();
        let read: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
        for server in ["echo", "forward", "durable", "router"] {
            let round = &read["rounds"][server][0];
            assert_eq!(round["violated"], 0, "{server}: {said}{complained}");
            let figures = &round["figures"];
            assert!(figures["acknowledged_per_second"].as_f64().unwrap() > 0.0, "{said}");
            let delivered = figures["delivered_per_second"].as_f64().unwrap();
            assert_eq!(delivered > 0.0, server != "echo", "{said}");
        }
        assert!(output.status.success(), "{said}{complained}");
    }
}

#[test]
fn two_programs_are_measured_in_the_same_rounds_and_compared() {
    let _turn = TURN.lock();
    let folder = tempfile::tempdir().unwrap();
    let [report, page] = ["report.json", "report.html"].map(|name| folder.path().join(name));
    let [report, page] = [&report, &page].map(|path| path.to_str().unwrap());
    let few =
        ["--pairs", "2", "--seconds", "1", "--warm-up", "0", "--rounds", "2", "--floors", "none"];
    let files = ["--against", server().to_str().unwrap(), "--json", report, "--html", page];
    let output = loadtest(&[&["messages"], &few[..], &files].concat());
    let said = String::from_utf8(output.stdout).unwrap();
    let complained = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}{complained}");
    let rounds: Vec<(&str, &str)> = said
        .lines()
        .filter(|line| line.starts_with("round "))
        .map(|line| {
            let mut words = line.split_whitespace().skip(1);
            (words.next().unwrap(), words.next().unwrap())
        })
        .collect();
    let turns = [("1", "before"), ("1", "router"), ("2", "router"), ("2", "before")];
    assert_eq!(rounds, turns, "{said}");
    assert!(std::fs::read_to_string(page).unwrap().contains("router ÷ before"));
    let mut compare = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    let compared = compare.args(["compare", report]).output().unwrap();
    let said = String::from_utf8(compared.stdout).unwrap();
    assert!(said.contains("2 pairs of rounds tell nothing from chance"), "{said}");
    assert!(compared.status.success());
}

#[test]
fn a_run_that_ends_early_leaves_its_report() {
    let _turn = TURN.lock();
    let folder = tempfile::tempdir().unwrap();
    let [report, page] = ["report.json", "report.html"].map(|name| folder.path().join(name));
    let few = ["--pairs", "2", "--seconds", "1", "--warm-up", "0", "--rounds", "1"];
    let files = ["--json", report.to_str().unwrap(), "--html", page.to_str().unwrap()];
    let output = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args([&["messages"], &few[..], &files, &["--server-binary", "/nowhere/at/all"]].concat())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let read: serde_json::Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    assert!(!read["failed"].is_null());
    assert_eq!(read["rounds"]["durable"].as_array().unwrap().len(), 1);
    assert!(std::fs::read_to_string(&page).unwrap().contains("It ended before its last round"));
}

#[test]
fn two_crashes_under_load_lose_nothing() {
    let _turn = TURN.lock();
    let (output, report, page) = reported(&["crash", "--rounds", "2"]);
    let said = String::from_utf8(output.stdout).unwrap();
    let complained = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}{complained}");
    assert!(said.contains("rounds: 2 with at least 50 chats open"), "{said}");
    let nothing = "0 lost, 0 doubled, 0 reordered, 0 above capacity, 0 double owners, 0 stuck";
    assert!(said.contains(nothing), "{said}");
    assert!(said.contains("customers; traces of them: 0"), "{said}");
    assert!(!said.contains("erased: 0"), "{said}");
    assert!(said.contains("chats of long ago: 400 forgotten by retention, which "), "{said}");
    let round = &report["rounds"]["router"][0];
    assert_eq!((&round["figures"]["kills"], &round["violated"]), (&2.0.into(), &0.into()));
    assert_eq!(round["samples"].as_array().unwrap().len(), 2, "{round}");
    assert!(round["samples"][1]["values"]["open"].as_f64().unwrap() >= 50.0, "{round}");
    assert!(page.contains("kill to answer p50") && page.contains("It held"));
}

#[test]
fn a_small_fuzz_breaks_nothing() {
    let _turn = TURN.lock();
    let output = loadtest(&["fuzz", "--frames", "12000", "--requests", "900"]);
    let said = String::from_utf8(output.stdout).unwrap();
    let complained = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}{complained}");
    assert!(said.contains("frames: 12000, requests: 900"), "{said}");
    // It got somewhere: not everything was refused at the door.
    let found = said.lines().find_map(|line| {
        line.strip_prefix("acknowledged messages in their places after a restart: ")
    });
    let found: u64 = found.unwrap().split(';').next().unwrap().parse().unwrap();
    assert!(found > 20, "{said}");
}

/// A server that writes down who it is and then does nothing, as a script.
fn idle_server(folder: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let (script, pid) = (folder.join("idle-server"), folder.join("pid"));
    let text =
        format!("#!/bin/sh\necho $$ > {0}.new\nmv {0}.new {0}\nexec sleep 600\n", pid.display());
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    script
}

/// Asks again until there is something, or the limit is over.
fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    for _ in 0..LIMIT_S * 50 {
        if let Some(found) = ask() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{what} did not happen within {LIMIT_S} s");
}

#[test]
#[cfg(target_os = "linux")]
fn the_server_ends_with_the_run_whatever_ends_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let script = idle_server(folder.path());
    let mut run = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(["replay", "--server-binary", script.to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid = eventually("the start of the server", || {
        std::fs::read_to_string(folder.path().join("pid")).ok()
    });
    run.kill().unwrap();
    run.wait().unwrap();
    let status = format!("/proc/{}/status", pid.trim());
    eventually("the end of the server", || {
        // A process whose new parent has not yet asked after it is a zombie.
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        (text.is_empty() || text.contains("State:\tZ")).then_some(())
    });
}

/// A person at a terminal.
struct Person {
    child: Child,
    keys: ChildStdin,
    screen: Receiver<String>,
    /// All lines so far.
    seen: Vec<String>,
}

impl Person {
    fn sits_down(name: &str, address: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_loadtest"))
            .args(["talk", "--as", name, "--server", address])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (line, screen) = channel();
        let shown = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for text in shown.lines() {
                if line.send(text.unwrap()).is_err() {
                    return;
                }
            }
        });
        let keys = child.stdin.take().unwrap();
        Self { child, keys, screen, seen: Vec::new() }
    }

    fn types(&mut self, line: &str) {
        writeln!(self.keys, "{line}").unwrap();
    }

    /// Waits until something new on the screen has these words.
    fn sees(&mut self, words: &str) {
        loop {
            let line = self.screen.recv_timeout(Duration::from_secs(LIMIT_S));
            let line = line.unwrap_or_else(|_| panic!("never saw {words:?}: {:#?}", self.seen));
            self.seen.push(line);
            if self.seen.last().unwrap().contains(words) {
                return;
            }
        }
    }

    fn times(&self, words: &str) -> usize {
        self.seen.iter().filter(|line| line.contains(words)).count()
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A demonstration's server; killed when dropped.
struct Demo(Child);

impl Demo {
    fn starts(address: &str, data: &Path) -> Self {
        let seed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/demo.toml");
        let child = Command::new(server())
            .args(["serve", "--listen", address, "--ops-listen", "127.0.0.1:0"])
            .arg("--data")
            .arg(data)
            .arg("--seed")
            .arg(seed)
            // A run that plays a whole city comes from one address.
            .env("SWITCHBOARD_LIMITS_ADDRESS_OPENINGS_PER_MINUTE", "60000")
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_conversation_goes_on_when_the_server_was_killed_in_the_middle() {
    let _turn = TURN.lock();
    let folder = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let address = port.to_string();
    let first = Demo::starts(&address, folder.path());
    let mut customer = Person::sits_down("vera", &address);
    let mut anna = Person::sits_down("anna", &address);
    customer.sees("-- connected");
    anna.sees("-- connected");
    anna.types("/ready");
    anna.sees("-- status: ready");
    customer.types("my parcel has not come");
    anna.sees("** offer: #1");
    anna.types("/accept");
    anna.sees("vera: my parcel has not come");
    anna.types("let me look");
    customer.sees("Anna: let me look");

    drop(first);
    anna.sees("-- the connection is lost");
    customer.sees("-- the connection is lost");
    anna.types("it comes tomorrow");
    customer.types("are you still there?");
    let _second = Demo::starts(&address, folder.path());
    anna.sees("vera: are you still there?");
    customer.sees("Anna: it comes tomorrow");
    customer.types("thanks, bye");
    anna.sees("vera: thanks, bye");
    anna.types("/end");
    customer.sees("-- ended by Anna");
    for words in ["Anna: let me look", "Anna: it comes tomorrow", "-- ended by"] {
        assert_eq!(customer.times(words), 1, "{words}: {:#?}", customer.seen);
    }
    for words in ["my parcel has not come", "are you still there?", "thanks, bye"] {
        assert_eq!(anna.times(words), 1, "{words}: {:#?}", anna.seen);
    }
}

#[test]
fn a_replay_uses_a_server_that_runs() {
    let _turn = TURN.lock();
    let folder = tempfile::tempdir().unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let _server = Demo::starts(&address, folder.path());
    eventually("the server", || std::net::TcpStream::connect(&address).ok());
    let replay = |login: &str, password: Option<&str>| {
        let mut run = Command::new(env!("CARGO_BIN_EXE_loadtest"));
        run.args(["replay", "--server", &address, "--admin", login]);
        run.args(["--hours", "8-9", "--speed", "300", "--staff", "0.8"]);
        run.env_remove("LOADTEST_ADMIN_PASSWORD")
            .envs(password.map(|p| ("LOADTEST_ADMIN_PASSWORD", p)));
        let output = run.output().unwrap();
        let [said, complained] =
            [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        (output.status.success(), said, complained)
    };
    let (_, _, complained) = replay("admin", None);
    assert!(complained.contains("LOADTEST_ADMIN_PASSWORD"), "{complained}");
    let (_, _, complained) = replay("anna", Some("demo-anna-01"));
    assert!(complained.contains("operator may not do users.create"), "{complained}");
    let (_, said, complained) = replay("admin", Some("demo-admin-1"));
    assert!(said.contains("histories read again by the auditor: 182"), "{said}{complained}");
    let wrong =
        |line: &&str| line.starts_with("violation: ") && !line.contains("free and eligible");
    assert_eq!(said.lines().find(wrong), None);
}
