//! One suite with one fault switched on: until the first test fails.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::suites::Suite;
use crate::weave::VARIABLE;

/// How a suite ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All tests passed.
    Passed,
    /// This test failed.
    Failed(String),
    /// It did not end in its time.
    Hung,
    /// It ended without saying that a test failed.
    Crashed(String),
}

/// Where things are.
#[derive(Debug, Clone)]
pub struct Places {
    /// The source with the switches in it.
    pub tree: PathBuf,
    /// What the suites printed.
    pub logs: PathBuf,
    /// For their temporary files.
    pub temporary: PathBuf,
}

/// A test that fails now and then is no witness: as many as this are set aside in one suite.
const SET_ASIDE_MAX: usize = 3;

/// How often a suite that has closed its output is looked at until it has ended.
const ENDS_WITHIN: Duration = Duration::from_millis(10);

/// Runs one test, which has to fail twice. Answers what it said.
pub fn alone(
    places: &Places,
    (suite, test): (&Suite, &str),
    binary: &Path,
    fault: Option<&str>,
) -> Result<(Outcome, Option<String>)> {
    let log = format!("{}.{}.again", fault.unwrap_or("none"), suite.name);
    let (mut outcome, mut times) = (Outcome::Hung, 0);
    // What hangs is not waited for again.
    while times < 2 && (times == 0 || matches!(outcome, Outcome::Failed(_) | Outcome::Crashed(_))) {
        outcome = once(places, suite, binary, fault, (&["--exact", test], &log))?;
        times += 1;
    }
    if outcome == Outcome::Passed && times > 1 {
        println!("    {test} failed once and passed then: it does not count");
    }
    Ok((outcome, said(&places.logs.join(log))))
}

/// Runs these tests of a suite and no others.
pub fn only(
    places: &Places,
    (suite, tests): (&Suite, &[&str]),
    binary: &Path,
) -> Result<(Outcome, Option<String>)> {
    let arguments: Vec<&str> = ["--exact"].iter().chain(tests).copied().collect();
    let log = format!("none.{}.witnesses", suite.name);
    let outcome = once(places, suite, binary, None, (&arguments, &log))?;
    Ok((outcome, said(&places.logs.join(log))))
}

/// The names of all tests of a suite.
pub fn names(places: &Places, suite: &Suite, binary: &Path) -> Result<BTreeSet<String>> {
    let mut command = Command::new(binary);
    command.args(suite.arguments).args(["--list", "--format", "terse"]);
    let output = command.current_dir(&places.tree).output();
    let output = output.with_context(|| binary.display().to_string())?;
    ensure!(output.status.success(), "{} does not name its tests", binary.display());
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
}

/// Runs a suite, or those of its tests that have this in their names; a test that fails has to fail
/// again, alone. Answers what the failing test said.
pub fn suite(
    places: &Places,
    (suite, tests): (&Suite, Option<&str>),
    binary: &Path,
    fault: Option<&str>,
) -> Result<(Outcome, Option<String>)> {
    let mut set_aside: Vec<String> = Vec::new();
    loop {
        let mut arguments: Vec<&str> = suite.arguments.iter().copied().chain(tests).collect();
        set_aside.iter().for_each(|test| arguments.extend(["--skip", test]));
        let log = format!("{}.{}", fault.unwrap_or("none"), suite.name);
        let outcome = once(places, suite, binary, fault, (&arguments, &log))?;
        let Outcome::Failed(test) = &outcome else { return Ok((outcome, None)) };
        let log = format!("{log}.again");
        let again = once(places, suite, binary, fault, (&["--exact", test], &log))?;
        if again != Outcome::Passed || set_aside.len() >= SET_ASIDE_MAX {
            return Ok((outcome, said(&places.logs.join(log))));
        }
        println!("    {test} failed once and passed then: it does not count");
        set_aside.push(test.clone());
    }
}

fn once(
    places: &Places,
    suite: &Suite,
    binary: &Path,
    fault: Option<&str>,
    (arguments, log): (&[&str], &str),
) -> Result<Outcome> {
    // Short: the path of a socket has some hundred bytes at most.
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let temporary = places.temporary.join(run.to_string());
    std::fs::create_dir_all(&temporary)?;
    let path = places.logs.join(log);
    let mut log = File::create(&path).with_context(|| path.display().to_string())?;
    let mut command = Command::new(binary);
    command.args(arguments).current_dir(&places.tree).process_group(0);
    for (name, _) in std::env::vars_os() {
        // Settings of this shell are no settings of the suite.
        if name.to_string_lossy().starts_with("SWITCHBOARD_") {
            command.env_remove(name);
        }
    }
    command.env("CARGO_MANIFEST_DIR", &places.tree).env("TMPDIR", &temporary);
    command.envs(suite.environment.iter().copied()).env_remove(VARIABLE);
    command.envs(fault.map(|fault| (VARIABLE, fault)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log.try_clone()?);
    let mut child = command.spawn().with_context(|| binary.display().to_string())?;
    let end = now() + Duration::from_secs(suite.limit_s);
    let outcome = match watch(&mut child, &mut log, end) {
        Ok(Watched::Ended(failed)) => ended(&mut child, failed, end),
        Ok(Watched::Enough(outcome)) => Ok(outcome),
        Err(error) => Err(error),
    };
    kill(&mut child);
    let _ = std::fs::remove_dir_all(&temporary);
    outcome
}

/// What reading a suite's output came to.
enum Watched {
    /// It ended; this test had failed, if one had.
    Ended(Option<String>),
    /// No more needs to be seen.
    Enough(Outcome),
}

/// Reads what the suite prints until a test failed, it ended, or its time is over.
fn watch(child: &mut Child, log: &mut File, end: Instant) -> Result<Watched> {
    let (lines, printed) = channel();
    let stdout = child.stdout.take().context("its output is piped")?;
    // Ends with the last process that has the pipe: all of them are killed.
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                break;
            }
        }
    });
    let (mut alone, mut failed) = (false, None);
    loop {
        let line = match printed.recv_timeout(end.saturating_duration_since(now())) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => return Ok(Watched::Enough(Outcome::Hung)),
            Err(RecvTimeoutError::Disconnected) => return Ok(Watched::Ended(failed)),
        };
        writeln!(log, "{line}")?;
        // A test that runs alone says after its name why it failed: it is read to its end.
        alone |= line == "running 1 test";
        match failed_test(&line) {
            Some(test) if alone => failed = Some(test),
            Some(test) => return Ok(Watched::Enough(Outcome::Failed(test))),
            None => {}
        }
    }
}

/// How a suite ended whose output did.
fn ended(child: &mut Child, failed: Option<String>, end: Instant) -> Result<Outcome> {
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if now() >= end => return Ok(Outcome::Hung),
            None => thread::sleep(ENDS_WITHIN),
        }
    };
    Ok(match (failed, status.code()) {
        (Some(test), _) => Outcome::Failed(test),
        (None, Some(0)) => Outcome::Passed,
        (None, Some(code)) => Outcome::Crashed(format!("exit code {code}")),
        (None, None) => Outcome::Crashed(format!("signal {}", status.signal().unwrap_or_default())),
    })
}

/// The test of which a line says that it failed.
fn failed_test(line: &str) -> Option<String> {
    let test = line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?;
    Some(test.strip_suffix(" - should panic").unwrap_or(test).to_owned())
}

/// What the first panic of a log says.
fn said(log: &Path) -> Option<String> {
    let text = std::fs::read_to_string(log).ok()?;
    let mut lines = text.lines().skip_while(|line| !line.contains(" panicked at "));
    lines.next()?;
    Some(lines.next()?.trim().to_owned())
}

/// Ends a suite and all that it started, unless it has ended by itself.
fn kill(child: &mut Child) {
    if let Ok(Some(_)) = child.try_wait() {
        return;
    }
    // Its group has its number, which is nobody else's before it was waited for.
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
}

/// The clock of this program, which measures suites.
#[allow(clippy::disallowed_methods, reason = "nothing here is simulated")]
pub fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_failed_tests_are_known() {
        assert_eq!(failed_test("test a::b ... FAILED").as_deref(), Some("a::b"));
        assert_eq!(failed_test("test a - should panic ... FAILED").as_deref(), Some("a"));
        assert_eq!(failed_test("test a::b ... ok"), None);
        assert_eq!(failed_test("test result: FAILED. 1 passed"), None);
    }
}
