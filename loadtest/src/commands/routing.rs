//! `loadtest routing`: how chats find their operators.

use std::time::Duration;

use clap::Args;
use loadtest::measure::report::{Report, Round};
use loadtest::measure::routing::{self, Arrivals, CUSTOMERS_MAX, OPERATORS_MAX, Wanted};
use loadtest::measure::scenario::Target;
use switchboard::domain::Rule;
use switchboard::domain::limits::{OPERATOR_CAPACITY_MAX, QUEUE_MEMBERS_MAX};
use switchboard::protocol::value::WireText;

use super::rounds::{self, RoundsArguments};
use super::target::until_interrupted;

/// Longest measurement, s.
const SECONDS_MAX: i64 = 300;

/// Most chats a second: the server opens so many for one address at most.
pub const ARRIVALS_MAX: i64 = 1_000;

/// Most steps away a minute.
const STEPS_AWAY_MAX: i64 = 6_000;

/// Longest time that an operator keeps a chat, ms.
pub const KEEP_MAX_MS: u64 = 60_000;

/// How many chats are open at a time when nothing is said of it, of a hundred that operators may have: so few that
/// nobody waits for want of people.
const AT_A_TIME_PERCENT: usize = 80;

/// Customers when chats come as they are due, beside those in line, for each chat that operators may have.
pub const CUSTOMERS_OF_CAPACITY: usize = 2;

/// The options of `routing`.
#[derive(Debug, Args)]
pub struct RoutingArguments {
    /// Operators
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=OPERATORS_MAX as i64))]
    operators: u32,
    /// Chats that an operator may have
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=i64::from(OPERATOR_CAPACITY_MAX)))]
    capacity: u32,
    /// Queues; each operator serves two of them
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=QUEUE_MEMBERS_MAX as i64))]
    queues: u32,
    /// How queues choose: to_all, least_loaded, longest_idle or manual
    #[arg(long, value_name = "RULE", default_value = "least_loaded", value_parser = Rule::read)]
    rule: Rule,
    /// Chats that wait when operators begin
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=CUSTOMERS_MAX as i64))]
    line: u32,
    /// Chats that come a second, whatever became of earlier ones
    #[arg(long, value_name = "PER_SECOND", conflicts_with = "chats_at_a_time", value_parser = clap::value_parser!(u32).range(1..=ARRIVALS_MAX))]
    arrivals: Option<u32>,
    /// Chats that are open at a time; without this and --arrivals 80 of a hundred that operators may have, and with
    /// --line as many as they may have beside the line, which then stands
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=CUSTOMERS_MAX as i64))]
    chats_at_a_time: Option<u32>,
    /// Offers that are declined, of a hundred
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=90))]
    decline: u32,
    /// How often an operator steps away for two seconds, all together: by its status or by closing its socket, in
    /// turn
    #[arg(long, value_name = "PER_MINUTE", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=STEPS_AWAY_MAX))]
    come_and_go: u32,
    /// How long an operator keeps a chat, ms
    #[arg(long, value_name = "MS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=KEEP_MAX_MS))]
    keep: u64,
    /// Operators write a message before they end a chat
    #[arg(long)]
    message: bool,
    /// For how long, s
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX as u64))]
    seconds: u64,
    /// What comes before and is not measured, s
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=60))]
    warm_up: u64,
    /// Who declines what hangs on it
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    common: RoundsArguments,
}

impl RoutingArguments {
    /// Runs and prints; says whether all held.
    pub async fn run(&self) -> anyhow::Result<bool> {
        let wanted = self.wanted()?;
        routing::prepare(&wanted)?;
        let settings = routing::settings(&wanted);
        let mut report = self.common.begin("routing", &self.options(&wanted), &settings)?;
        let ended = until_interrupted(self.measure(&wanted, &mut report)).await;
        self.common.run.finish(report, ended)
    }

    fn wanted(&self) -> anyhow::Result<Wanted> {
        let room = (self.operators * self.capacity) as usize;
        let line = self.line as usize;
        let (arrivals, open) = match (self.arrivals, self.chats_at_a_time) {
            (Some(rate), _) => {
                (Arrivals::PerSecond(f64::from(rate)), room * CUSTOMERS_OF_CAPACITY + line)
            }
            (None, chats) => {
                let chats = chats.map_or(at_a_time(room, line), |chats| chats as usize);
                let chats = chats.min(CUSTOMERS_MAX);
                (Arrivals::AtATime(chats), chats.max(line))
            }
        };
        Ok(Wanted {
            operators: self.operators as usize,
            capacity: self.capacity,
            queues: self.queues as usize,
            rule: self.rule,
            line,
            arrivals,
            customers: open.min(CUSTOMERS_MAX),
            declines_percent: self.decline,
            steps_away_per_minute: self.come_and_go,
            keeps: Duration::from_millis(self.keep),
            writes: self.message,
            warm_up: Duration::from_secs(self.warm_up),
            time: Duration::from_secs(self.seconds),
            cores: self.common.run.cores()?,
            seed: self.seed,
        })
    }

    fn options(&self, wanted: &Wanted) -> [(&'static str, String); 13] {
        let (arrivals, at_a_time) = match wanted.arrivals {
            Arrivals::PerSecond(rate) => (rate.to_string(), "any".to_owned()),
            Arrivals::AtATime(chats) => ("closed loop".to_owned(), chats.to_string()),
        };
        [
            ("operators", self.operators.to_string()),
            ("capacity", self.capacity.to_string()),
            ("queues", self.queues.to_string()),
            ("rule", self.rule.text().into_owned()),
            ("line", self.line.to_string()),
            ("arrivals", arrivals),
            ("chats_at_a_time", at_a_time),
            ("decline", self.decline.to_string()),
            ("come_and_go", self.come_and_go.to_string()),
            ("keep", self.keep.to_string()),
            ("message", self.message.to_string()),
            ("seconds", self.seconds.to_string()),
            ("warm_up", self.warm_up.to_string()),
        ]
    }

    /// Measures round by round, into the report.
    async fn measure(&self, wanted: &Wanted, report: &mut Report) -> anyhow::Result<()> {
        let settings = routing::settings(wanted);
        for number in 1..=self.common.rounds {
            let router = async || -> anyhow::Result<Round> {
                let (setup, password) = self.common.run.own.prepare(&settings)?;
                let words = format!("round {number}");
                Ok(routing::router(wanted, (&setup, &password), &words).await?)
            };
            let (floor, mut router) = if is_floor_first(number) {
                let floor = routing::floor(wanted).await?;
                (floor, router().await?)
            } else {
                let router = router().await?;
                (routing::floor(wanted).await?, router)
            };
            in_floors(&mut router, &floor);
            rounds::add(report, Target::Durable.name(), floor);
            rounds::add(report, Target::Router.name(), router);
        }
        Ok(())
    }
}

/// Whether the floor is measured before the router in a round, of which the first one is 1: in turn, so that what
/// the machine does in turn meets neither always first.
fn is_floor_first(round: u32) -> bool {
    round % 2 == 1
}

/// How many chats are open at a time when nothing is said of it.
fn at_a_time(room: usize, line: usize) -> usize {
    match line {
        0 => (room * AT_A_TIME_PERCENT / 100).max(1),
        line => line + room,
    }
}

/// What is held against the floor, and which time it is a ratio of: of chats for which there was room, since how
/// long customers wait for people is no cost of the router's.
const IN_FLOORS: [(&str, &str); 2] =
    [("assign_p99_in_floors", "assign_free_p99_us"), ("route_p99_in_floors", "route_free_p99_us")];

/// The p99 of an assignment, as a ratio to that of a durable message.
fn in_floors(router: &mut Round, floor: &Round) {
    let figure = |round: &Round, name: &str| round.figures.get(name).copied();
    let Some(message_us) = figure(floor, "acknowledge_p99_us") else { return };
    for (name, of) in IN_FLOORS {
        if let Some(us) = figure(router, of) {
            router.set(name, us / message_us);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floor_and_router_are_first_in_turn() {
        assert_eq!([1, 2, 3, 4].map(is_floor_first), [true, false, true, false]);
    }

    #[test]
    fn nobody_waits_for_people_unless_a_line_is_wanted() {
        assert_eq!([at_a_time(1, 0), at_a_time(150, 0), at_a_time(150, 2_000)], [1, 120, 2_150]);
    }

    #[test]
    fn what_is_held_against_the_floor_is_an_assignment_for_which_there_was_room() {
        let (mut router, mut floor) = (Round::default(), Round::default());
        floor.set("acknowledge_p99_us", 100.0);
        router.set("assign_p99_us", 9_000.0);
        in_floors(&mut router, &floor);
        assert_eq!(router.figures.get("assign_p99_in_floors"), None);
        router.set("assign_free_p99_us", 300.0);
        in_floors(&mut router, &floor);
        router.set("route_free_p99_us", 400.0);
        in_floors(&mut router, &floor);
        assert_eq!(router.figures["assign_p99_in_floors"], 3.0);
        assert_eq!(router.figures["route_p99_in_floors"], 4.0);
    }
}
