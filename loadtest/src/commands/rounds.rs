//! What the commands that measure in rounds have in common: options, the empty report, and what is done with a
//! full one.

use clap::Args;
use loadtest::measure::place::Cores;
use loadtest::measure::report::{Report, Round};
use loadtest::measure::table::table;

use super::output::OutputArguments;
use super::target::OwnServerArguments;

/// Most rounds.
const ROUNDS_MAX: i64 = 25;

/// The options of all that measure in rounds.
#[derive(Debug, Args)]
pub struct RoundsArguments {
    /// How often; medians are told
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=ROUNDS_MAX))]
    pub rounds: u32,
    #[command(flatten)]
    pub run: RunArguments,
}

/// The options of all that measure.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// Server and driver share the cores, instead of one each: figures of a whole machine, no ratios
    #[arg(long)]
    unpinned: bool,
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    pub own: OwnServerArguments,
}

impl RoundsArguments {
    /// The report before anything was measured. Errors where it could not be written in the end.
    pub fn begin(
        &self,
        scenario: &str,
        options: &[(&'static str, String)],
        settings: &[(&str, u64)],
    ) -> anyhow::Result<Report> {
        let rounds = ("rounds", self.rounds.to_string());
        let options: Vec<_> = options.iter().cloned().chain([rounds]).collect();
        self.run.begin(scenario, &options, settings)
    }
}

impl RunArguments {
    /// Cores of server and driver; none where they are to share all. Errors where there is one only.
    pub fn cores(&self) -> anyhow::Result<Option<Cores>> {
        Ok((!self.unpinned).then(Cores::pick).transpose()?)
    }

    /// The report before anything was measured. Errors where it could not be written in the end.
    pub fn begin(
        &self,
        scenario: &str,
        options: &[(&'static str, String)],
        settings: &[(&str, u64)],
    ) -> anyhow::Result<Report> {
        let cores = self.cores()?;
        let pins = [
            ("pinned", cores.is_some().to_string()),
            ("cores", cores.map_or("shared".to_owned(), told)),
        ];
        let options: Vec<_> = options.iter().cloned().chain(pins).collect();
        let mut report = self.output.begin((scenario, &self.own), &options, settings)?;
        report.warnings.extend(cores.and_then(siblings));
        Ok(report)
    }

    /// Prints the medians side by side, and writes the report where it is wanted, also that of a run that has
    /// ended early. Says whether all held.
    pub fn finish(&self, report: Report, ended: anyhow::Result<()>) -> anyhow::Result<bool> {
        self.output.finish(report, ended, |report| println!("\n{}", table(report)))
    }
}

/// Which cores, in words.
fn told(cores: Cores) -> String {
    format!("driver on {}, server on {}", cores.driver, cores.server)
}

/// That the two are none of their own, in words.
fn siblings(cores: Cores) -> Option<String> {
    let Cores { driver, server, are_siblings } = cores;
    are_siblings.then(|| {
        format!(
            "processors {driver} (driver) and {server} (server) are threads of one core, and there is no other \
             one: each slows the other one down"
        )
    })
}

/// Notes a round, and tells what in it should not have been.
pub fn add(report: &mut Report, server: &str, round: Round) {
    for violation in &round.violations {
        println!("VIOLATION: {violation}");
    }
    for (refusal, count) in &round.refused {
        println!("refused: {count} {refusal}");
    }
    report.rounds.entry(server.to_owned()).or_default().push(round);
}
