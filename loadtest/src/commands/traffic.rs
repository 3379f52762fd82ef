//! The options that say what traffic there is, alike for every subcommand that makes some.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use loadtest::day::{Day, Hours};
use loadtest::dialog::Dialogs;
use loadtest::pace::{SPEED_MAX, Speed};
use loadtest::plan::{Choice, Plan};
use loadtest::{synthetic, trace};

/// Which traffic.
#[derive(Debug, Args)]
pub struct TrafficArguments {
    /// A trace of contacts (tab-separated); without it, traffic is made up from the seed
    #[arg(long, value_name = "FILE", requires = "day")]
    trace: Option<PathBuf>,
    /// Dialogues, one JSON object a line; without it, a few of our own
    #[arg(long, value_name = "FILE")]
    dialogs: Option<PathBuf>,
    /// The day of the trace
    #[arg(long, value_name = "YYYY-MM-DD", requires = "trace", value_parser = day)]
    day: Option<Day>,
    /// The hours of the day, from the first to before the second; made-up traffic lasts as long
    #[arg(long, value_name = "A-B", default_value = "8-18", value_parser = hours)]
    hours: Hours,
    /// How many times faster than recorded; the server's priority step and offer timeout shrink alike
    #[arg(long, value_name = "N", default_value = "60", value_parser = speed)]
    speed: Speed,
    /// The part of the operators that works, above 0 and at most 1, chosen by the seed
    #[arg(long, value_name = "F", default_value_t = 1.0)]
    staff: f64,
    /// What all chance hangs on: the same seed is the same plan
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// Traffic, ready to be played.
pub struct Traffic {
    /// Who does what, when.
    pub plan: Plan,
    /// The hours that it covers.
    pub hours: Hours,
    /// How fast.
    pub speed: Speed,
    /// One line on where it comes from.
    pub title: String,
}

impl TrafficArguments {
    /// Reads the files and plans. Errors name the file, and the place in it.
    pub fn load(&self) -> anyhow::Result<Traffic> {
        let dialogs = match &self.dialogs {
            Some(path) => Dialogs::parse(&read(path)?).with_context(|| shown(path))?,
            None => Dialogs::own()?,
        };
        let choice = Choice { staff: self.staff, seed: self.seed };
        let (plan, origin) = match (&self.trace, self.day) {
            (Some(path), Some(day)) => {
                let trace = trace::parse(&read(path)?, day).with_context(|| shown(path))?;
                let plan = Plan::of_trace(&trace, self.hours, &dialogs, choice)?;
                (plan, day.to_string())
            }
            (Some(_), None) | (None, _) => {
                let plan = synthetic::plan(self.hours, &dialogs, choice)?;
                (plan, "made-up traffic".to_owned())
            }
        };
        let title = format!(
            "{origin}, hours {}, speed {}, staff {}, seed {}",
            self.hours,
            self.speed.times(),
            self.staff,
            self.seed
        );
        Ok(Traffic { plan, hours: self.hours, speed: self.speed, title })
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| shown(path))
}

fn shown(path: &Path) -> String {
    format!("reading {}", path.display())
}

fn day(text: &str) -> Result<Day, String> {
    Day::parse(text).ok_or_else(|| "wanted a day of the calendar as YYYY-MM-DD".to_owned())
}

fn hours(text: &str) -> Result<Hours, String> {
    Hours::parse(text).ok_or_else(|| "wanted A-B with 0 <= A < B <= 24".to_owned())
}

fn speed(text: &str) -> Result<Speed, String> {
    let times = text.parse().ok().and_then(Speed::new);
    times.ok_or_else(|| format!("wanted a whole number from 1 to {SPEED_MAX}"))
}
