//! `loadtest compare`: whether the router of one report is better or worse than that of another.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use loadtest::measure::compare::{self, Asked};
use loadtest::measure::report::Report;

use super::output::write;

/// What the options do not say of themselves.
const HOW: &str = "\
Round 1 of the first report is held against round 1 of the second one, and so on. So run the two programs in turn, a
round each time, or both in one run with `messages --against`: what changes in the machine between two long runs
would otherwise pass for a change in the program. A difference is proven where chance makes one like it in any of the
figures in one comparison of twenty at most (p of each, corrected after Holm), and the median change exceeds the
threshold: the more figures are judged, the more rounds it takes; 6 for one, 9 for eight. It is likely where p of the
figure alone says so, or with 3 to 5 rounds where all agree. The longest time of a round is shown and not judged.";

/// The options of `compare`.
#[derive(Debug, Args)]
#[command(after_help = HOW)]
pub struct CompareArguments {
    /// The report that is held against, or the only one, of a run with --against
    first: PathBuf,
    /// The report that is judged
    second: Option<PathBuf>,
    /// What the median change has to exceed, in per cent
    #[arg(long, value_name = "PERCENT", default_value_t = 2.0, value_parser = percent)]
    threshold: f64,
    /// Judge this figure only, as it is called in a report; can be given several times. Violations and refusals
    /// are judged anyway
    #[arg(long = "figure", value_name = "NAME")]
    figures: Vec<String>,
    /// End with another code than 0 when a figure is proven worse, or when there are violations, refusals or an
    /// early end that were not there before
    #[arg(long)]
    fail_on_worse: bool,
    /// Write the comparison there, for machines
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn percent(text: &str) -> Result<f64, String> {
    let percent = text.parse().map_err(|error| format!("{error}"))?;
    if (0.0..=100.0).contains(&percent) { Ok(percent) } else { Err("wanted 0 to 100".to_owned()) }
}

impl CompareArguments {
    /// Compares and prints; says whether nothing is worse, where that is asked.
    pub fn run(&self) -> anyhow::Result<bool> {
        let first = read(&self.first)?;
        let asked = Asked { threshold: self.threshold / 100.0, figures: self.figures.clone() };
        let compared = match &self.second {
            Some(path) => compare::reports(&first, &read(path)?, &asked),
            None => compare::within(&first, &asked),
        }?;
        print!("{}", compare::table(&compared));
        if let Some(path) = &self.json {
            write(path, &serde_json::to_vec_pretty(&compared).context("writing the comparison")?)?;
        }
        Ok(!(self.fail_on_worse && compared.has_worse()))
    }
}

fn read(path: &Path) -> anyhow::Result<Report> {
    let text = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    Report::read(&text).with_context(|| path.display().to_string())
}
