//! Slow-downs: places of the source as faults are, in a release build, and whether `loadtest compare` finds each.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::list::Fault;
use crate::weave::{self, VARIABLE};

/// Where the list is, from the root of the repository.
pub const LIST: &str = "tests/planted/slow.toml";

/// Where in a report's name nothing is planted.
const NOTHING: &str = "nothing";

/// A slow-down.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlowDown {
    /// Says what is slower; unique.
    pub name: String,
    /// What that costs, in a sentence.
    pub costs: String,
    /// The source file, from the root of the repository.
    pub file: String,
    /// The beginning of the item in which it stands, where the text alone is not unique.
    pub within: Option<String>,
    /// What stands there: an expression, or whole statements.
    pub original: String,
    /// What the slow-down makes of it.
    pub slower: String,
    /// What `loadtest` measures.
    pub scenario: Vec<String>,
    /// How often the two are measured in turn: six prove what is plain, a change of some per cent takes more on a
    /// machine whose speed changes by ten.
    pub rounds: u32,
    /// The figure that is to be found worse, by its name in a report for machines.
    pub figure: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    slow: Vec<SlowDown>,
}

/// What a comparison says of the figures.
#[derive(Deserialize)]
struct Comparison {
    figures: Vec<Compared>,
}

#[derive(Deserialize)]
struct Compared {
    figure: String,
    before: f64,
    after: f64,
    change: f64,
    verdict: String,
}

/// The whole list.
pub fn load(root: &Path) -> Result<Vec<SlowDown>> {
    let text = std::fs::read_to_string(root.join(LIST)).context(LIST)?;
    let list: List = toml::from_str(&text).context(LIST)?;
    Ok(list.slow)
}

/// The same as the places that are switched.
pub fn places(list: &[SlowDown]) -> Vec<Fault> {
    let fault = |slow: &SlowDown| Fault {
        name: slow.name.clone(),
        breaks: slow.costs.clone(),
        file: slow.file.clone(),
        within: slow.within.clone(),
        original: slow.original.clone(),
        faulty: slow.slower.clone(),
        suites: Vec::new(),
        seen_by: None,
        equivalent: None,
        area: "slow".to_owned(),
    };
    list.iter().map(fault).collect()
}

/// Builds the program once with all of them as switches, and measures it with each switched on beside itself with
/// none. Answers whether each is found, and none where there is none.
pub fn carry_out(root: &Path, filters: &[String]) -> Result<bool> {
    let all = load(root)?;
    let wanted = |slow: &&SlowDown| {
        filters.is_empty() || filters.iter().any(|part| slow.name.contains(part.as_str()))
    };
    let chosen: Vec<&SlowDown> = all.iter().filter(wanted).collect();
    ensure!(!chosen.is_empty(), "no slow-down of that name; {LIST} has them");
    let below = root.join("target/planted/slow");
    let (tree, reports) = (below.join("tree"), below.join("reports"));
    for folder in [&tree, &reports] {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    weave::copy(root, &tree, &places(&all))?;
    let built = below.join("build");
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--package", "switchboard", "--package", "loadtest"]);
    cargo.current_dir(&tree).env("CARGO_TARGET_DIR", &built);
    ensure!(cargo.status().context("cargo build")?.success(), "it is not built");
    let bench = Bench { programs: built.join("release"), reports };

    let mut as_said = true;
    let asked = |slow: &&SlowDown| (slow.scenario.clone(), slow.rounds, slow.figure.clone());
    let asked: BTreeSet<_> = chosen.iter().map(asked).collect();
    for (n, (scenario, rounds, figure)) in asked.iter().enumerate() {
        let (verdict, line) =
            bench.measured(&format!("{NOTHING}-{n}"), (scenario, *rounds), figure)?;
        println!("{NOTHING}: {line}");
        as_said &= verdict != "worse";
    }
    for slow in chosen {
        let asked = (slow.scenario.as_slice(), slow.rounds);
        let (verdict, line) = bench.measured(&slow.name, asked, &slow.figure)?;
        println!("{}: {line}", slow.name);
        as_said &= verdict == "worse";
    }
    Ok(as_said)
}

/// Where the programs are, and what is measured goes.
struct Bench {
    programs: PathBuf,
    reports: PathBuf,
}

impl Bench {
    /// What the comparison finds of a figure, with a slow-down switched on, or none of that name.
    fn measured(
        &self,
        name: &str,
        (scenario, rounds): (&[String], u32),
        figure: &str,
    ) -> Result<(String, String)> {
        let (loadtest, plain) = (self.programs.join("loadtest"), self.programs.join("switchboard"));
        let slower = self.reports.join(format!("{name}.sh"));
        let on = if name.starts_with(NOTHING) {
            String::new()
        } else {
            format!("export {VARIABLE}={name}\n")
        };
        let script = format!("#!/bin/sh\n{on}exec '{}' \"$@\"\n", plain.display());
        std::fs::write(&slower, script)?;
        std::fs::set_permissions(&slower, std::fs::Permissions::from_mode(0o755))?;
        let report = self.reports.join(format!("{name}.json"));
        let compared = self.reports.join(format!("{name}.compared.json"));

        let rounds = rounds.to_string();
        let measured = |program: &Path, report: &Path, against: Option<&Path>| -> Result<()> {
            let mut measure = Command::new(&loadtest);
            measure.args(scenario).args(["--rounds", &rounds, "--json"]).arg(report);
            measure.arg("--server-binary").arg(program).env_remove(VARIABLE);
            measure.args(against.iter().flat_map(|program| [Path::new("--against"), program]));
            let output = measure.output().context("loadtest")?;
            ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
            Ok(())
        };
        let mut compare = Command::new(&loadtest);
        compare.arg("compare");
        if scenario.first().is_some_and(|scenario| scenario == "messages") {
            measured(&slower, &report, Some(&plain))?;
            compare.arg(&report);
        } else {
            // Only messages are measured of two programs in one run.
            let before = self.reports.join(format!("{name}.before.json"));
            measured(&plain, &before, None)?;
            measured(&slower, &report, None)?;
            compare.args([&before, &report]);
        }
        compare.args(["--figure", figure]).arg("--json").arg(&compared);
        let output = compare.output().context("loadtest compare")?;
        ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));

        let text = std::fs::read_to_string(&compared)?;
        let comparison: Comparison = serde_json::from_str(&text)?;
        let Some(found) = comparison.figures.into_iter().find(|found| found.figure == figure)
        else {
            bail!("{name}: {figure} is not in {}", compared.display());
        };
        let Compared { before, after, change, verdict, .. } = found;
        let line =
            format!("{figure} {before:.4e} -> {after:.4e}, {:+.1} %: {verdict}", 100.0 * change);
        Ok((verdict, line))
    }
}
