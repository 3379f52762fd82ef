//! Plants the faults of `tests/planted/faults` in Switchboard, one at a time, and says which suite
//! sees each. `tests/planted/README.md` says how to add one.
//!
//! All faults are woven into one copy of the source ([`weave`]), where each is a switch; a fault is
//! switched on by the environment, so one build serves them all. The product itself has nothing of
//! it.

mod list;
mod look;
mod run;
mod slow;
mod suites;
mod weave;
mod witness;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, ensure};
use clap::Parser;

use list::Fault;
use look::{Bench, Row, Seen};
use run::{Outcome, Places};
use suites::{SUITES, Suite};

/// Plants faults in Switchboard, one at a time, and says which test sees each.
#[derive(Parser)]
#[command(name = "planted")]
struct Arguments {
    /// Only faults whose `area/name` contains one of these.
    filters: Vec<String>,
    /// Names the faults, and does nothing.
    #[arg(long)]
    list: bool,
    /// Only these suites; may be repeated.
    #[arg(long = "suite")]
    suites: Vec<String>,
    /// Beside its witness, only those that the list names for a fault, where it names some.
    #[arg(long)]
    own: bool,
    /// Writes into the lists which test saw each fault: the first to be asked from then on.
    #[arg(long)]
    write: bool,
    /// In their place the slow-downs of `slow.toml`, in a release build: whether `loadtest compare` finds each. The
    /// machine should do nothing else.
    #[arg(long, conflicts_with_all = ["list", "suites", "own", "write"])]
    slow: bool,
    /// How many suites run at a time.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    jobs: u8,
}

fn main() -> ExitCode {
    match carry_out(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("planted: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Answers whether all is as the list says.
fn carry_out(arguments: &Arguments) -> Result<bool> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    if arguments.slow {
        return slow::carry_out(&root, &arguments.filters);
    }
    let all = list::load(&root)?;
    let wanted = |fault: &&Fault| {
        let path = fault.path();
        arguments.filters.is_empty() || arguments.filters.iter().any(|part| path.contains(part))
    };
    let faults: Vec<&Fault> = all.iter().filter(wanted).collect();
    if arguments.list {
        for fault in &faults {
            println!("{}: {}", fault.path(), fault.breaks);
        }
        return Ok(true);
    }
    ensure!(!faults.is_empty(), "no fault of that name; `--list` names them");
    let suites = chosen(&arguments.suites)?;

    let below = root.join("target/planted");
    let places = Places {
        tree: below.join("tree"),
        logs: below.join("logs"),
        temporary: below.join("temporary"),
    };
    for folder in [&places.tree, &places.logs, &places.temporary] {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    weave::copy(&root, &places.tree, &all)?;
    let binaries = suites::build(&places.tree, &below.join("build"), &suites)?;

    let since = run::now();
    let bench = Bench::new(places, suites, arguments.own, binaries)?;
    println!("with no fault:");
    bench.try_witnesses(&faults)?;
    let write = arguments.write.then_some(root.as_path());
    let rows = rows(&bench, &faults, write, arguments.jobs.into())?;
    let as_said = report(&rows);
    println!("{} s without the build", since.elapsed().as_secs());
    Ok(as_said)
}

fn chosen(wanted: &[String]) -> Result<Vec<&'static Suite>> {
    if wanted.is_empty() {
        return Ok(SUITES.iter().collect());
    }
    let named = |name: &String| {
        let unknown = || format!("there is no suite {name}: they are {}", suites::names());
        suites::named(name).with_context(unknown)
    };
    wanted.iter().map(named).collect()
}

/// What becomes of each fault, so many at a time; each witness is written down as soon as it is known.
fn rows<'a>(
    bench: &Bench,
    faults: &[&'a Fault],
    write: Option<&Path>,
    jobs: usize,
) -> Result<Vec<Row<'a>>> {
    println!("with each fault:");
    let next = AtomicUsize::new(0);
    let rows = Mutex::new(BTreeMap::new());
    let work = || -> Result<()> {
        while let Some(fault) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
            let row = bench.look(fault)?;
            print(&row);
            let mut rows = rows.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            if let (Some(root), Seen::By(suite, Outcome::Failed(test), _), None) =
                (write, &row.seen, &fault.equivalent)
                && fault.witness() != Some((suite, test))
            {
                witness::write(root, fault, suite, test)?;
            }
            rows.insert((fault.area.clone(), fault.name.clone()), row);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(ended) => ended,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    let rows = rows.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    Ok(rows.into_values().collect())
}

fn print(row: &Row) {
    let Row { fault, seconds, .. } = row;
    let (by, said) = match &row.seen {
        Seen::Survived if fault.equivalent.is_some() => ("nothing, as explained".into(), &None),
        Seen::Survived => ("NOTHING".into(), &None),
        Seen::NotTried(suite) => (format!("not tried in {suite}, where its witness is"), &None),
        Seen::By(suite, Outcome::Failed(test), said) => (format!("{suite} {test}"), said),
        Seen::By(suite, Outcome::Hung, _) => (format!("{suite}, which hangs"), &None),
        Seen::By(suite, Outcome::Crashed(how), _) => (format!("{suite}, which ends: {how}"), &None),
        Seen::By(suite, Outcome::Passed, _) => (format!("{suite}, which passes"), &None),
    };
    let said = said.as_ref().map(|said| format!("\n              {said}")).unwrap_or_default();
    println!("    {seconds:6} s  {}: {by}{said}", fault.path());
}

/// Prints the shares; answers whether all is as the list says.
fn report(rows: &[Row]) -> bool {
    let mut by_suite: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut seen, mut explained, mut survivors, mut contradicted) = (0, 0, 0, 0);
    let mut not_tried = 0;
    println!("in short:");
    for row in rows {
        let fault = row.fault;
        match (&row.seen, &fault.equivalent) {
            (Seen::By(suite, ..), None) => {
                seen += 1;
                *by_suite.entry(suite).or_default() += 1;
            }
            (Seen::By(suite, ..), Some(_)) => {
                contradicted += 1;
                println!("    {} is said to be equivalent, and {suite} sees it", fault.name);
            }
            (Seen::NotTried(_), _) => not_tried += 1,
            (Seen::Survived, Some(_)) => explained += 1,
            (Seen::Survived, None) => {
                survivors += 1;
                println!("    {} survives: {}", fault.name, fault.breaks);
            }
        }
    }
    for (suite, count) in by_suite {
        println!("    {count:6}    seen by {suite}");
    }
    let by_witness = rows.iter().filter(|row| row.by_witness).count();
    println!("    {by_witness:6}    of these by their witnesses alone");
    if not_tried > 0 {
        println!(
            "    {not_tried:6}    not tried: their witnesses are in suites that were left out"
        );
    }
    let all = rows.len() - not_tried;
    println!(
        "{seen} of {all} seen, {explained} explained as equivalent, {survivors} survive, \
         {contradicted} explained and seen"
    );
    survivors + contradicted == 0
}
