//! `loadtest messages`: messages between pairs of people, or into many chats, the router beside floors.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use loadtest::measure::floor::PAIRS_MAX;
use loadtest::measure::pairs::Load;
use loadtest::measure::report::Report;
use loadtest::measure::scenario::{self, People, Target, Wanted};

use super::rounds::{self, RoundsArguments};
use super::target::until_interrupted;

/// Longest measurement of one server, s.
const SECONDS_MAX: i64 = 600;

/// How long a server may take for as many messages as are wanted, s.
const MESSAGES_LIMIT_S: u64 = 3_600;

/// Most messages that are wanted in all.
const MESSAGES_MAX: i64 = 100_000_000;

/// Most chats: a hundred of an operator each, whose sockets fit 20,000 files.
const CHATS_MAX: i64 = 200_000;

/// Most messages a second that are asked for.
const RATE_MAX: i64 = 1_000_000;

/// Most messages that one customer has under way, as the protocol says.
const IN_FLIGHT_MAX: i64 = switchboard::protocol::limits::UNANSWERED_MAX as i64;

/// The options of `messages`.
#[derive(Debug, Args)]
pub struct MessagesArguments {
    /// Pairs of a customer who writes and an operator who is shown it
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=PAIRS_MAX as i64))]
    pairs: u32,
    /// Chats, of a hundred of an operator each, whose customers have gone: in place of pairs, operators write into
    /// their chats in turn, and are shown that on a second socket
    #[arg(long, value_name = "N", conflicts_with = "pairs", value_parser = clap::value_parser!(u32).range(1..=CHATS_MAX))]
    chats: Option<u32>,
    /// Messages that each who writes has under way; with --rate, at most, and as many as the protocol lets
    /// be without it; else one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=IN_FLIGHT_MAX))]
    in_flight: Option<u32>,
    /// Messages a second in all, sent when they are due whatever became of earlier ones
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=RATE_MAX))]
    rate: Option<u32>,
    /// For how long, s
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX as u64))]
    seconds: u64,
    /// In place of a time: until so many messages in all are acknowledged
    #[arg(long, value_name = "N", conflicts_with_all = ["seconds", "rate"], value_parser = clap::value_parser!(u64).range(1..=MESSAGES_MAX as u64))]
    messages: Option<u64>,
    /// What comes before and is not measured, s
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=60))]
    warm_up: u64,
    /// Floors beside the router, in the same rounds
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_value = "durable")]
    floors: Vec<Floor>,
    /// Another program of the router, measured in the same rounds as "before"; `compare` holds the two
    /// against each other
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    #[command(flatten)]
    common: RoundsArguments,
}

/// A floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Floor {
    /// Answers
    Echo,
    /// Answers and forwards
    Forward,
    /// Makes durable in SQLite, answers and forwards
    Durable,
    /// No floor
    None,
}

impl Floor {
    /// What is measured by it.
    pub fn target(self) -> Option<Target> {
        match self {
            Self::Echo => Some(Target::Echo),
            Self::Forward => Some(Target::Forward),
            Self::Durable => Some(Target::Durable),
            Self::None => None,
        }
    }
}

impl MessagesArguments {
    /// Runs and prints; says whether all held.
    pub async fn run(&self) -> anyhow::Result<bool> {
        let wanted = Wanted {
            people: match self.chats {
                Some(chats) => People::Chats(chats as usize),
                None => People::Pairs(self.pairs as usize),
            },
            load: Load {
                in_flight: self.in_flight() as usize,
                rate: self.rate.map(f64::from),
                warm_up: Duration::from_secs(self.warm_up),
                time: Duration::from_secs(self.messages.map_or(self.seconds, |_| MESSAGES_LIMIT_S)),
                messages: self.messages,
            },
            cores: self.common.run.cores()?,
        };
        scenario::prepare(&wanted)?;
        let settings = scenario::settings(&wanted);
        let mut report = self.common.begin("messages", &self.options(), &settings)?;
        report.build = report.build.against(self.against.as_deref());
        let ended = until_interrupted(self.measure(&wanted, &mut report)).await;
        self.common.run.finish(report, ended)
    }

    fn in_flight(&self) -> u32 {
        let unless_asked = if self.rate.is_some() { IN_FLIGHT_MAX as u32 } else { 1 };
        self.in_flight.unwrap_or(unless_asked)
    }

    fn options(&self) -> [(&'static str, String); 8] {
        let floors: Vec<&str> = once_each(&self.floors).into_iter().map(Target::name).collect();
        [
            ("pairs", self.chats.map_or(self.pairs.to_string(), |_| "none".to_owned())),
            ("chats", self.chats.map_or("of pairs".to_owned(), |chats| chats.to_string())),
            ("in_flight", self.in_flight().to_string()),
            ("rate", self.rate.map_or("closed loop".to_owned(), |rate| rate.to_string())),
            ("seconds", self.messages.map_or(self.seconds.to_string(), |_| "any".to_owned())),
            ("messages", self.messages.map_or("any".to_owned(), |messages| messages.to_string())),
            ("warm_up", self.warm_up.to_string()),
            ("floors", if floors.is_empty() { "none".to_owned() } else { floors.join(", ") }),
        ]
    }

    /// Measures round by round, into the report.
    async fn measure(&self, wanted: &Wanted, report: &mut Report) -> anyhow::Result<()> {
        let settings = scenario::settings(wanted);
        let floors = once_each(&self.floors);
        for number in 1..=self.common.rounds {
            for target in turns(number as usize - 1, &floors, self.against.is_some()) {
                let round = match target {
                    Target::Router | Target::Before => {
                        let (setup, password) = match (&self.against, target) {
                            (Some(program), Target::Before) => {
                                self.common.run.own.with(program).prepare(&settings)
                            }
                            _ => self.common.run.own.prepare(&settings),
                        }?;
                        scenario::router(wanted, (&setup, &password)).await?
                    }
                    Target::Echo | Target::Forward | Target::Durable => {
                        scenario::floor(wanted, target).await?
                    }
                };
                let per_second = round.figures.get("acknowledged_per_second").copied();
                let (name, per_second) = (target.name(), per_second.unwrap_or_default());
                println!("round {number}  {name:<8}  {per_second:.0} acknowledged /s");
                rounds::add(report, name, round);
            }
        }
        Ok(())
    }
}

/// What is measured by floors, each once however often it is named.
fn once_each(floors: &[Floor]) -> Vec<Target> {
    let mut targets = Vec::new();
    for target in floors.iter().filter_map(|floor| floor.target()) {
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    targets
}

/// Who is measured after whom in a round; the first one is round 0. What the machine does in turn meets nobody
/// always first: the places go round by one each round, and the two programs swap theirs each round. Within twice
/// as many rounds as there are places everybody has had each place twice.
fn turns(round: usize, floors: &[Target], against: bool) -> Vec<Target> {
    let mut programs = vec![Target::Router];
    if against {
        programs.insert(round % 2, Target::Before);
    }
    let places = floors.len() + programs.len();
    // Of an even number of places each would always come with the same order of the programs.
    let further = if places.is_multiple_of(2) { round / places } else { 0 };
    let floors = floors.iter().map(|floor| Some(*floor));
    let mut turns: Vec<Option<Target>> = floors.chain(programs.iter().map(|_| None)).collect();
    turns.rotate_left((round + further) % places);
    let mut programs = programs.into_iter();
    turns.into_iter().filter_map(|floor| floor.or_else(|| programs.next())).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const FLOORS: [Target; 3] = [Target::Durable, Target::Forward, Target::Echo];

    #[test]
    fn the_two_programs_swap_each_round_whatever_the_floors_do() {
        for floors in (0..=FLOORS.len()).map(|count| &FLOORS[..count]) {
            for round in 0..40 {
                let turns = turns(round, floors, true);
                let place = |target| turns.iter().position(|turn| *turn == target).unwrap();
                let is_before_first = place(Target::Before) < place(Target::Router);
                assert_eq!(is_before_first, round % 2 == 0, "round {round}: {turns:?}");
            }
        }
    }

    #[test]
    fn over_a_full_cycle_everybody_has_every_place_equally_often() {
        for against in [false, true] {
            for floors in (0..=FLOORS.len()).map(|count| &FLOORS[..count]) {
                let places = floors.len() + 1 + usize::from(against);
                let mut times = BTreeMap::new();
                for round in 0..2 * places {
                    let turns = turns(round, floors, against);
                    assert_eq!(turns.len(), places, "{turns:?}");
                    for turn in turns.into_iter().enumerate() {
                        *times.entry(turn).or_insert(0) += 1;
                    }
                }
                assert_eq!(times.len(), places * places, "{times:?}");
                assert!(times.values().all(|times| *times == 2), "{times:?}");
            }
        }
    }

    #[test]
    fn a_floor_that_is_named_twice_is_measured_once_a_round() {
        let named = [Floor::Durable, Floor::None, Floor::Echo, Floor::Durable];
        assert_eq!(once_each(&named), [Target::Durable, Target::Echo]);
    }
}
