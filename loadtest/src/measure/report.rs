//! What came of a measurement: a form that is the same for all scenarios, for people and for machines.
//!
//! Owns the form, medians and ratios; [`FIGURES`] says what each figure is called and which way is better. Refuses
//! to measure, and to lay anything out.

mod figures;

use std::collections::BTreeMap;
use std::path::Path;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

pub use self::figures::{Better, FIGURES, Figure, Judged};

/// The version of the form: it changes when a member goes or means something else.
pub const VERSION: u32 = 1;

/// What the router is called among the servers of a report.
pub const ROUTER: &str = "router";

/// What another router is called there, which was measured in the same rounds to be held against.
pub const BEFORE: &str = "before";

/// A run of several rounds, each of which has measured several servers one after the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// What was played, as its command is called.
    pub scenario: String,
    /// When it began, ms since 1970.
    pub began_ms: u64,
    /// Which programs.
    pub build: Build,
    /// Where.
    pub machine: Machine,
    /// How: the command's options and their values.
    pub options: BTreeMap<String, String>,
    /// The router's settings that are not its default ones.
    pub settings: BTreeMap<String, String>,
    /// By server, its rounds.
    pub rounds: BTreeMap<String, Vec<Round>>,
    /// What whoever reads the figures has to know, in words: a floor that is bound by its driver, a folder in
    /// memory.
    pub warnings: Vec<String>,
    /// Why the run ended before its last round, in words.
    pub failed: Option<String>,
}

/// Which programs ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// The version of the driver and the floors.
    pub version: String,
    /// Whether they were optimised.
    pub is_optimised: bool,
    /// The file name of the router's program, and its size in bytes: enough to tell two builds apart.
    pub server: Option<(String, u64)>,
    /// The same of [`BEFORE`].
    #[serde(default)]
    pub before: Option<(String, u64)>,
}

/// The machine, as far as figures depend on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Cores that may be used.
    pub cores: usize,
    /// The processor, as the system calls it.
    pub processor: String,
    /// The system's kernel.
    pub kernel: String,
    /// Memory in all, bytes; 0 where the system does not say.
    pub memory_bytes: u64,
    /// The file system on which stores lie, as the system calls it.
    pub file_system: String,
}

/// One server in one round.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// By [`Figure::name`].
    pub figures: BTreeMap<String, f64>,
    /// Times, by what was timed.
    pub times: BTreeMap<String, Times>,
    /// What was so at moments of the measured time, in their order.
    pub samples: Vec<Sample>,
    /// What should not have been: the first ones in words.
    pub violations: Vec<String>,
    /// How many there were.
    pub violated: u64,
    /// Errors by name, and how many.
    pub refused: BTreeMap<String, u64>,
}

/// Times, µs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// How many.
    pub count: u64,
    /// The longest.
    pub max_us: u64,
    /// The curve: what part of them, from 0 to 1, was not longer than so many µs; [`CURVE`] has the parts.
    pub curve: Vec<(f64, u64)>,
}

/// What was so at a moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Since the measured time began, s.
    pub at_s: f64,
    /// By name: figures ([`Figure::name`]), and metrics of the router.
    pub values: BTreeMap<String, f64>,
}

/// The parts of a [`Times::curve`].
pub const CURVE: [f64; 14] =
    [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999, 0.99999, 1.0];

impl Times {
    /// Of what was recorded, µs.
    pub fn of(recorded: &Histogram<u64>) -> Self {
        let at = |part: f64| (part, recorded.value_at_quantile(part));
        let curve = if recorded.is_empty() { Vec::new() } else { CURVE.map(at).into() };
        Self { count: recorded.len(), max_us: recorded.max(), curve }
    }

    /// What so many of them, from 0 to 1, are not longer than, µs: a part of [`CURVE`]. None when nothing was
    /// timed.
    pub fn at(&self, part: f64) -> Option<u64> {
        self.curve.iter().find(|(at, _)| *at >= part).map(|(_, us)| *us)
    }
}

/// From which part of a core on who drives is taken to be bound by it.
const FULL_CORE: f64 = 0.95;

/// File systems that forget.
const IN_MEMORY: [&str; 2] = ["tmpfs", "ramfs"];

/// The median of values, which are sorted for it; of an even number the lower one of the two in the middle, so
/// that it is a value that occurred. None of none.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len().checked_sub(1)? / 2).copied()
}

impl Machine {
    /// This one, and the file system of the folder in which stores are made.
    pub fn here(stores: &Path) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim_start_matches([':', ' ', '\t']).to_owned())
        };
        let memory_kib = field(&read("/proc/meminfo"), "MemTotal");
        let memory_kib = memory_kib.and_then(|line| line.split(' ').next()?.parse::<u64>().ok());
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            processor: field(&read("/proc/cpuinfo"), "model name").unwrap_or("unknown".to_owned()),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            memory_bytes: memory_kib.unwrap_or_default() * 1_024,
            file_system: file_system(&read("/proc/self/mounts"), stores),
        }
    }
}

/// The type of the file system of a folder, by the table of what is mounted where.
fn file_system(mounts: &str, folder: &Path) -> String {
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let on = fields.filter_map(|fields| match fields.as_slice() {
        [_, at, kind, ..] if folder.starts_with(at) => Some((at.len(), (*kind).to_owned())),
        _ => None,
    });
    // Of two at the same place the later one hides the earlier one.
    on.max_by_key(|(length, _)| *length).map_or("unknown".to_owned(), |(_, kind)| kind)
}

impl Build {
    /// This driver, and the router's program.
    pub fn here(server: Option<&Path>) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let server = server.and_then(program);
        Self { version, is_optimised: !cfg!(debug_assertions), server, before: None }
    }

    /// And the program of [`BEFORE`].
    pub fn against(self, before: Option<&Path>) -> Self {
        Self { before: before.and_then(program), ..self }
    }
}

/// The name and the size of a program; none where it is not there.
fn program(path: &Path) -> Option<(String, u64)> {
    let bytes = std::fs::metadata(path).ok()?.len();
    Some((path.file_name()?.to_string_lossy().into_owned(), bytes))
}

impl Round {
    /// Notes a figure, under its [`Figure::name`]. What is not a number is not there.
    pub fn set(&mut self, name: &'static str, value: f64) {
        debug_assert!(Figure::named(name).is_some(), "{name} is none of the figures");
        if value.is_finite() {
            self.figures.insert(name.to_owned(), value);
        }
    }

    /// Notes times under the name of what was timed; half of them, 99 of 100 and the longest are figures, too.
    pub fn time(&mut self, what: &'static str, recorded: &Histogram<u64>) {
        let times = Times::of(recorded);
        for (end, us) in [("p50", times.at(0.5)), ("p99", times.at(0.99)), ("max", times.at(1.0))] {
            let name = format!("{what}_{end}_us");
            if let (Some(figure), Some(us)) = (Figure::named(&name), us) {
                self.set(figure.name, us as f64);
            }
        }
        self.times.insert(what.to_owned(), times);
    }
}

impl Report {
    /// The median of a figure of one server over its rounds.
    pub fn median(&self, server: &str, figure: &str) -> Option<f64> {
        let rounds = self.rounds.get(server)?.iter();
        median(rounds.filter_map(|round| round.figures.get(figure).copied()).collect())
    }

    /// The ratios of a figure of two servers, round by round.
    pub fn ratios(&self, of: &str, to: &str, figure: &str) -> Vec<f64> {
        let rounds = |server| self.rounds.get(server).into_iter().flatten();
        let value = |round: &Round| round.figures.get(figure).copied();
        let both = rounds(of).zip(rounds(to)).map(|(of, to)| value(of).zip(value(to)));
        both.flatten().filter(|(_, to)| *to > 0.0).map(|(of, to)| of / to).collect()
    }

    /// Adds the warnings that the figures themselves give: see [`warnings`](Self::warnings).
    pub fn warn(&mut self) {
        let full = |server: &&String| {
            self.median(server, "driver_cpu_share").is_some_and(|share| share >= FULL_CORE)
        };
        let servers: Vec<String> = self.rounds.keys().filter(full).cloned().collect();
        self.warnings.extend(servers.into_iter().map(|server| {
            format!(
                "while {server} was measured the driver's core was full: the server may do more"
            )
        }));
        let asked_less = self.rounds.keys().filter_map(|server| self.asked_less(server));
        let asked_less: Vec<String> = asked_less.collect();
        self.warnings.extend(asked_less);
        if IN_MEMORY.contains(&self.machine.file_system.as_str()) {
            let system = &self.machine.file_system;
            self.warnings.push(format!(
                "stores lie in memory ({system}): nothing is durable there, and ratios say little; set TMPDIR"
            ));
        }
        if !self.build.is_optimised {
            self.warnings
                .push("the driver is not optimised: figures of speed are of --release".to_owned());
        }
    }

    /// That a server was asked less than wanted in some round, in words.
    fn asked_less(&self, server: &str) -> Option<String> {
        let rounds = self.rounds.get(server)?;
        let unsent = rounds.iter().filter_map(|round| round.figures.get("unsent").copied());
        let unsent: Vec<f64> = unsent.filter(|unsent| *unsent > 0.0).collect();
        let (all, some, sum) = (rounds.len(), unsent.len(), unsent.iter().sum::<f64>());
        (some > 0).then(|| {
            format!(
                "in {some} of {all} rounds {server} was asked less than wanted: {sum:.0} that were due found no \
                 room and were not sent, so that its times are those of a lower rate, and would be longer"
            )
        })
    }

    /// Whether it came to its end, measured something, and nothing was that should not have been.
    pub fn holds(&self) -> bool {
        let mut rounds = self.rounds.values().flatten().peekable();
        self.failed.is_none()
            && rounds.peek().is_some()
            && rounds.all(|round| round.violated == 0 && round.refused.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_a_value_that_occurred() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.0));
    }

    #[test]
    fn what_makes_figures_doubtful_is_warned_of() {
        let mut report = crate::measure::sample::report(3);
        let warned = |report: &Report| {
            let mut report = Report { warnings: Vec::new(), ..report.clone() };
            report.warn();
            report.warnings
        };
        assert_eq!(warned(&report), Vec::<String>::new());
        for round in report.rounds.get_mut("durable").unwrap() {
            round.set("driver_cpu_share", FULL_CORE);
            round.set("unsent", 0.0);
        }
        let router = report.rounds.get_mut(ROUTER).unwrap();
        router[0].set("driver_cpu_share", 1.0);
        router[0].set("unsent", 0.0);
        router[1].set("unsent", 17.0);
        router[2].set("unsent", 3.0);
        report.machine.file_system = "tmpfs".to_owned();
        report.build.is_optimised = false;
        let warned = warned(&report);
        let expected = [
            "while durable was measured the driver's core was full",
            "in 2 of 3 rounds router was asked less than wanted: 20 that were due",
            "stores lie in memory (tmpfs)",
            "the driver is not optimised",
        ];
        assert_eq!(warned.len(), expected.len(), "{warned:?}");
        for (warning, begin) in warned.iter().zip(expected) {
            assert!(warning.starts_with(begin), "{warning}");
        }
    }

    #[test]
    fn a_folder_lies_on_what_is_mounted_nearest_above_it() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tmp/x xfs rw 0 0\n";
        let on = |folder| file_system(mounts, Path::new(folder));
        assert_eq!(
            (on("/var").as_str(), on("/tmp/y").as_str(), on("/tmp/x/z").as_str()),
            ("ext4", "tmpfs", "xfs")
        );
        assert_eq!(on("/tmpfoo"), "ext4");
    }
}
