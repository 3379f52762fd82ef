//! The binary, as people call it; on a trace made up here, and on a real one where one is named.

#![allow(clippy::unwrap_used, reason = "the helpers of these tests are outside of `#[test]`")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use loadtest::trace::HEADER;

fn loadtest(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loadtest")).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn complained(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A file in this test's own folder.
fn file(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// Three contacts of 5 March 2001, nine o'clock: two served by ROSE, one who left; one phantom.
fn small_trace() -> String {
    let rows = [
        "L1 1 0 0 AA 010305 9:00:00 9:00:10 10 0:00:00 0:00:00 0 AGENT 9:00:10 9:05:10 300 ROSE",
        "L1 2 0 2 AA 010305 9:01:00 9:01:10 10 9:01:10 9:05:10 240 AGENT 9:05:10 9:06:10 60 ROSE",
        "L2 3 0 1 BB 010305 9:02:00 9:02:10 10 9:02:10 9:02:40 30 HANG 0:00:00 0:00:00 0 NO_SERVER",
        "L2 4 0 0 AA 010305 9:03:00 9:03:10 10 9:03:10 9:03:20 10 PHANTOM 9:03:20 9:03:22 2 NO_SERVER",
    ];
    let rows: Vec<String> = rows.iter().map(|row| row.replace(' ', "\t")).collect();
    format!("{HEADER}\n{}\n", rows.join("\n"))
}

#[test]
fn plans_a_recorded_hour() {
    let trace = file("small.tsv", &small_trace());
    let trace = trace.to_str().unwrap();
    let output = loadtest(&["plan", "--trace", trace, "--day", "2001-03-05", "--hours", "9-10"]);
    let said = said(&output);
    assert!(output.status.success(), "{output:?}");
    assert!(said.contains("3 customers, 2 queues, 1 operators"), "{said}");
    assert!(said.contains("skipped: 1 (1 phantom)"), "{said}");
    assert!(said.contains("recorded") && said.contains("ideal router"), "{said}");
}

#[test]
fn plans_without_files_and_twice_the_same() {
    let arguments = ["plan", "--hours", "0-1", "--seed", "4", "--staff", "0.8"];
    let first = said(&loadtest(&arguments));
    assert!(first.contains("made-up traffic"), "{first}");
    assert_eq!(first, said(&loadtest(&arguments)));
}

#[test]
fn says_what_is_wrong_and_where() {
    let broken = file("broken.tsv", &small_trace().replace("9:02:10\t10\t", "9:2:10\t10\t"));
    let broken = broken.to_str().unwrap();
    let of = |trace: &str| {
        complained(&loadtest(&["plan", "--trace", trace, "--day", "2001-03-05", "--hours", "9-10"]))
    };
    let text = of(broken);
    assert!(text.contains("broken.tsv") && text.contains("line 4, column 8 (vru_exit)"), "{text}");
    assert!(of("/nowhere/at/all").contains("/nowhere/at/all"));
    for (wrong, hint) in [
        (["--hours", "9-9"], "wanted A-B"),
        (["--speed", "0"], "from 1 to 300"),
        (["--staff", "1.5"], "--staff is above 0"),
        (["--day", "2001-03-05"], "--trace"),
    ] {
        let text = complained(&loadtest(&["plan", wrong[0], wrong[1]]));
        assert!(text.contains(hint), "{wrong:?}: {text}");
    }
}

/// The report of `tests/golden`, whose router takes so many times as long as there, with rounds repeated up to
/// `rounds` of them.
fn report(name: &str, rounds: usize, times: f64) -> PathBuf {
    let mut report: serde_json::Value =
        serde_json::from_str(include_str!("golden/report.json")).unwrap();
    for server in ["router", "durable"] {
        let all = report["rounds"][server].as_array().unwrap().clone();
        report["rounds"][server] = all.iter().cycle().take(rounds).cloned().collect();
    }
    for round in report["rounds"]["router"].as_array_mut().unwrap() {
        let p99_us = &mut round["figures"]["deliver_p99_us"];
        *p99_us = (p99_us.as_f64().unwrap() * times).into();
    }
    file(name, &report.to_string())
}

#[test]
fn compares_two_reports_and_ends_badly_only_where_that_is_asked() {
    let (before, after) = (report("before.json", 10, 1.0), report("after.json", 10, 1.1));
    let [before, after] = [before.to_str().unwrap(), after.to_str().unwrap()];
    let json = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compared.json");
    let worse = loadtest(&["compare", before, after, "--json", json.to_str().unwrap()]);
    assert!(worse.status.success(), "{worse:?}");
    let row = |output: &Output| {
        let said = said(output);
        said.lines().find(|line| line.starts_with("delivered p99")).unwrap().to_owned()
    };
    assert!(
        row(&worse).contains("+10.0 %") && row(&worse).ends_with("WORSE, proven"),
        "{}",
        row(&worse)
    );
    let written: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let figures = written["figures"].as_array().unwrap();
    let p99 = figures.iter().find(|figure| figure["figure"] == "deliver_p99_us").unwrap();
    assert_eq!((&p99["verdict"], &p99["floor"]), (&"worse".into(), &"durable".into()));
    assert!(!loadtest(&["compare", before, after, "--fail-on-worse"]).status.success());
    let better = loadtest(&["compare", after, before, "--fail-on-worse"]);
    assert!(
        better.status.success() && row(&better).ends_with(" better, proven"),
        "{}",
        row(&better)
    );
    let below = ["compare", before, after, "--fail-on-worse", "--threshold", "11"];
    assert!(loadtest(&below).status.success());
}

#[test]
fn what_is_likely_does_not_end_badly_unless_it_is_the_only_figure_that_is_asked_for() {
    let (before, after) = (report("likely-before.json", 6, 1.0), report("likely.json", 6, 1.1));
    let [before, after] = [before.to_str().unwrap(), after.to_str().unwrap()];
    let compared =
        |more: &[&str]| loadtest(&[&["compare", before, after, "--fail-on-worse"], more].concat());
    let all = compared(&[]);
    let told = said(&all);
    assert!(all.status.success() && told.contains("likely worse: delivered p99;"), "{told}");
    let last = told.lines().last().unwrap();
    assert!(last.contains("6 rounds prove no change of one of 7 figures"), "{last}");
    assert!(last.contains("loadtest messages --rounds 9"), "{last}");
    let one = compared(&["--figure", "deliver_p99_us"]);
    assert!(!one.status.success() && said(&one).contains("proven worse: delivered p99"), "{one:?}");
    assert!(compared(&["--figure", "deliver_p50_us"]).status.success());
    let unknown = complained(&compared(&["--figure", "deliver_p98_us"]));
    assert!(unknown.contains("deliver_p98_us is none of") && unknown.contains("deliver_p99_us"));
}

#[test]
fn says_why_reports_are_not_compared() {
    let one = report("one.json", 3, 1.0);
    let text = std::fs::read_to_string(&one).unwrap();
    let other = |name: &str, from: &str, to: &str| file(name, &text.replace(from, to));
    let compared = |second: Option<PathBuf>| {
        let paths = [Some(one.clone()), second];
        let paths: Vec<String> =
            paths.iter().flatten().map(|path| path.to_str().unwrap().to_owned()).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        complained(&loadtest(&[&["compare"], paths.as_slice()].concat()))
    };
    let newer = compared(Some(other("newer.json", "\"version\":1", "\"version\":9")));
    assert!(newer.contains("newer.json") && newer.contains("version 9"), "{newer}");
    let routing = compared(Some(other("routing.json", "\"messages\"", "\"routing\"")));
    assert!(routing.contains("only the same scenario"), "{routing}");
    let broken = compared(Some(file("no-report.json", "{}")));
    assert!(broken.contains("this is no report"), "{broken}");
    assert!(compared(None).contains("--against"));
    let folder = ["messages", "--html", "/nowhere/at/all/report.html"];
    assert!(complained(&loadtest(&folder)).contains("a folder that is not there"));
}

#[test]
fn what_does_not_fit_is_said_before_anything_is_started() {
    for (wanted, why) in [
        ("connections --customers 18001", "18001 is not in 1..=18000"),
        ("connections --customers 18000 --operators 5000", "23000 sockets, and 20000 are the most"),
        ("routing --operators 2 --queues 3", "as many operators as queues"),
        (
            "routing --operators 2000 --queues 1",
            "2000 operators of one queue, and 1000 are the most",
        ),
        ("routing --arrivals 10 --chats-at-a-time 10", "cannot be used with"),
        ("routing --rule nearest", "expected one of `to_all` `least_loaded`"),
    ] {
        let text = complained(&loadtest(&wanted.split(' ').collect::<Vec<_>>()));
        assert!(text.contains(why), "{wanted}: {text}");
    }
}

/// `LOADTEST_DATA` names a folder with `bank-calls-1999-02.tsv` and `dialogs.jsonl`.
#[test]
fn plans_ten_hours_of_a_real_centre() {
    let Ok(folder) = std::env::var("LOADTEST_DATA") else {
        // Past the capture of passing tests, so that it is heard.
        let why = "skipped: LOADTEST_DATA names no folder with the recorded data";
        writeln!(std::io::stderr(), "{why}").unwrap();
        return;
    };
    let path = |name: &str| Path::new(&folder).join(name).to_str().unwrap().to_owned();
    let (trace, dialogs) = (path("bank-calls-1999-02.tsv"), path("dialogs.jsonl"));
    let files = ["plan", "--trace", &trace, "--dialogs", &dialogs];
    let day = ["--day", "1999-02-10", "--hours", "8-18", "--speed", "60", "--staff", "0.8"];
    let output = loadtest(&[files.as_slice(), &day].concat());
    assert!(output.status.success(), "{output:?}");
    let said = said(&output);
    // Counted by other means: 1,115 rows in these hours, of them 17 PHANTOM, 24 HANG at once and
    // 11 served more than two seconds before their wait ended.
    assert!(said.contains("1063 customers, 6 queues, 12 operators (3 sent home)"), "{said}");
    let skipped = "52 (17 phantom, 24 hung up before asking, 11 served before the wait ended)";
    assert!(said.contains(skipped), "{said}");
    let row = said.lines().find(|line| line.starts_with("left ")).unwrap();
    let left: Vec<u64> = row.split_whitespace().skip(1).map(|n| n.parse().unwrap()).collect();
    assert_eq!(left[0], 174);
    assert!(left[1] > 0, "somebody leaves under an ideal router too");
}
