//! Who comes, who works and what they say: everything of a run that is settled before it begins.
//!
//! A plan is a pure function of trace, dialogues, hours, staff and seed. How the wording of
//! the requirement was read:
//!
//! - *A queue a type of call*: each type that a customer asks for in the hours, or that an operator
//!   of the hours serves; the queue bears its name.
//! - *One operator a server seen in that hour*: a server is seen in each clock hour that a service
//!   of its touches. It logs in at the hour's beginning and out at its end; hours in a row are one
//!   shift. Who is seen in no hour of the plan does not take part.
//! - *Member of the queues whose types it served*: on that day, in or out of the hours, since a
//!   skill does not come and go by the hour.
//! - *`--staff 0.8` keeps four fifths*: of all operators of the plan, rounded to the nearest and at
//!   least one, by one seeded shuffle of the names in order. A smaller part is contained in a
//!   larger one. The queues stay, so a type may have nobody.
//! - *Customers arrive at their own second*: at `vru_exit`, when they ask for a person.
//! - *Patience*: a `HANG` row's `q_time`; for the others one draw from the estimate over all usable
//!   rows of the day (not only of the hours).
//! - *The row's service time*: `ser_time`. A `HANG` row has none, and may be served now: it gets
//!   that of a served row of its type and day, chosen by the seed (of any type when its own has
//!   none). An `AGENT` row without a recorded service takes no time.
//! - *Talk lines of a dialogue for as long as the service*: one dialogue, its lines at equal
//!   distances, the first when the service begins, the last one distance before it ends.
//! - *After the last arrival the run drains*: who is on duty at the end of the hours stays until
//!   the last chat is done.
//!
//! Every draw hangs on the seed and the row's line, so another `--staff` changes no customer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use switchboard::domain::Priority;
use switchboard::domain::limits::OPERATOR_QUEUES_MAX;

use crate::day::{HOUR_S, Hours};
use crate::dialog::{Dialogs, Turn};
use crate::draw::{Draw, Purpose};
use crate::patience::{Patience, Wait};
use crate::stats::{Fate, Figures, Skips, covered};
use crate::trace::{Ended, Row, Service, Trace};

/// All of a run. Times are ms of the trace since the hours began.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The queues' names, in order.
    pub queues: Vec<String>,
    /// Who works, by name.
    pub operators: Vec<Operator>,
    /// How many operators `--staff` sent home.
    pub sent_home: usize,
    /// Who comes, by arrival.
    pub customers: Vec<Customer>,
    /// How long the hours are.
    pub length_ms: u64,
    /// What of the hours is not replayed.
    pub skipped: Skips,
    /// What the recorded day itself came to; none for made-up traffic.
    pub recorded: Option<Figures>,
}

/// Somebody who works. Capacity 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// Its name in the trace.
    pub name: String,
    /// The queues that it is a member of, by their place in [`Plan::queues`].
    pub queues: BTreeSet<usize>,
    /// When it is on duty, in order, apart from each other; at least one.
    pub shifts: Vec<Shift>,
}

/// A stretch of duty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shift {
    /// From when.
    pub from_ms: u64,
    /// Until when; none: until the run has drained.
    pub to_ms: Option<u64>,
}

/// Somebody who comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    /// The row that it stands for: the line of the trace, or a count from 1.
    pub line: u64,
    /// When it asks for somebody.
    pub arrives_ms: u64,
    /// In which queue, by its place in [`Plan::queues`].
    pub queue: usize,
    /// How much sooner it is served.
    pub priority: Priority,
    /// How long it is willing to wait; none is endless.
    pub patience_ms: Option<u64>,
    /// How long its service takes.
    pub service_ms: u64,
    /// What is said.
    pub dialog: Arc<[Turn]>,
}

impl Customer {
    /// The dialogue's lines, each with the time since the service began at which it is said, ms.
    pub fn lines(&self) -> impl Iterator<Item = (u64, &Turn)> {
        let count = self.dialog.len().max(1) as u64;
        (0..).zip(self.dialog.iter()).map(move |(n, turn)| (self.service_ms * n / count, turn))
    }
}

/// Which part of a plan is chance.
#[derive(Debug, Clone, Copy)]
pub struct Choice {
    /// The part of the operators that works, above 0 and up to 1.
    pub staff: f64,
    /// What all draws hang on.
    pub seed: u64,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// Out of range.
    #[error("--staff is above 0 and at most 1, got {0}")]
    Staff(f64),
    /// Nothing to replay.
    #[error("nobody asks for a person in these hours; look at the day and the hours")]
    NoCustomers,
    /// Nobody to serve.
    #[error("nobody is seen serving in these hours; look at the day and the hours")]
    NoOperators,
    /// More than the router lets one operator serve.
    #[error("{name} served {got} types, an operator has at most {OPERATOR_QUEUES_MAX} queues")]
    TooManyQueues {
        /// Who.
        name: String,
        /// How many types.
        got: usize,
    },
}

impl Plan {
    /// The plan for these hours of a recorded day.
    pub fn of_trace(
        trace: &Trace,
        hours: Hours,
        dialogs: &Dialogs,
        choice: Choice,
    ) -> Result<Self, PlanError> {
        let staff = Staff::of(trace, hours)?;
        let rows: Vec<&Row> = trace.rows.iter().filter(|row| hours.contain(row.asked_s)).collect();
        if rows.is_empty() {
            return Err(PlanError::NoCustomers);
        }
        let kinds = rows.iter().map(|row| row.kind.as_str());
        let queues: BTreeSet<&str> = kinds.chain(staff.kinds()).collect();
        let places: BTreeMap<&str, usize> = queues.iter().copied().zip(0..).collect();
        let day = DayDraws::of(trace, choice.seed);
        let customers = rows
            .iter()
            .map(|row| Customer {
                line: row.line,
                arrives_ms: ms(row.asked_s - hours.from_s()),
                queue: places.get(row.kind.as_str()).copied().unwrap_or_default(),
                priority: row.priority,
                patience_ms: day.patience_ms(row),
                service_ms: day.service_ms(row),
                dialog: dialogs.choose(&mut Draw::new(choice.seed, Purpose::Dialog, row.line)),
            })
            .collect();
        let (operators, sent_home) = keep(staff.operators(&places), choice)?;
        let mut skipped = Skips::new();
        for skip in trace.skipped.iter().filter(|skip| hours.contain(skip.asked_s)) {
            *skipped.entry(skip.why).or_default() += 1;
        }
        Ok(Self {
            queues: queues.into_iter().map(str::to_owned).collect(),
            operators,
            sent_home,
            customers,
            length_ms: ms(hours.to_s() - hours.from_s()),
            skipped,
            recorded: Some(staff.recorded(&rows)),
        })
    }

    /// Of each queue, the stretches within the hours in which nobody on duty serves it, ms.
    pub fn nobody(&self) -> Vec<Vec<(u64, u64)>> {
        (0..self.queues.len())
            .map(|queue| {
                let members = self.operators.iter().filter(|who| who.queues.contains(&queue));
                let shifts = members.flat_map(|who| &who.shifts);
                let mut duty: Vec<(u64, u64)> = shifts
                    .map(|shift| (shift.from_ms, shift.to_ms.unwrap_or(self.length_ms)))
                    .collect();
                duty.sort_unstable();
                gaps(&duty, self.length_ms)
            })
            .collect()
    }
}

/// What lies between sorted stretches, from 0 to `end`.
fn gaps(sorted: &[(u64, u64)], end: u64) -> Vec<(u64, u64)> {
    let (mut gaps, mut until) = (Vec::new(), 0);
    for &(from, to) in sorted.iter().chain([&(end, end)]) {
        if from > until {
            gaps.push((until, from));
        }
        until = until.max(to);
    }
    gaps
}

/// Keeps the part of the operators that works; also says how many were sent home.
pub(crate) fn keep(
    mut operators: Vec<Operator>,
    choice: Choice,
) -> Result<(Vec<Operator>, usize), PlanError> {
    if !(choice.staff > 0.0 && choice.staff <= 1.0) {
        return Err(PlanError::Staff(choice.staff));
    }
    let all = operators.len();
    let kept = ((all as f64 * choice.staff).round() as usize).clamp(1, all.max(1));
    Draw::new(choice.seed, Purpose::Staff, 0).shuffle(&mut operators);
    operators.truncate(kept);
    operators.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((operators, all.saturating_sub(kept)))
}

/// What a whole day says about those of whom a row does not say it.
struct DayDraws<'a> {
    seed: u64,
    patience: Patience,
    services: BTreeMap<&'a str, Vec<u32>>,
    all_services: Vec<u32>,
}

impl<'a> DayDraws<'a> {
    fn of(trace: &'a Trace, seed: u64) -> Self {
        let waits = trace
            .rows
            .iter()
            .map(|row| Wait { length: u64::from(row.waited_s), left: row.ended == Ended::Left });
        let mut services: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        for row in &trace.rows {
            match &row.ended {
                Ended::Served(service) if service.length_s > 0 => {
                    services.entry(&row.kind).or_default().push(service.length_s);
                }
                Ended::Served(_) | Ended::Left => {}
            }
        }
        Self {
            seed,
            patience: Patience::estimate(waits.collect()),
            all_services: services.values().flatten().copied().collect(),
            services,
        }
    }

    fn patience_ms(&self, row: &Row) -> Option<u64> {
        let mut draw = Draw::new(self.seed, Purpose::Patience, row.line);
        match &row.ended {
            Ended::Left => Some(ms(row.waited_s)),
            Ended::Served(_) => self.patience.draw(&mut draw).map(|seconds| seconds * 1_000),
        }
    }

    fn service_ms(&self, row: &Row) -> u64 {
        let mut draw = Draw::new(self.seed, Purpose::Service, row.line);
        let of_kind = self.services.get(row.kind.as_str()).unwrap_or(&self.all_services);
        match &row.ended {
            Ended::Served(service) => ms(service.length_s),
            Ended::Left => of_kind.get(draw.below(of_kind.len())).map_or(0, |length| ms(*length)),
        }
    }
}

/// The servers of a day, and what they did.
struct Staff<'a> {
    hours: Hours,
    servers: BTreeMap<&'a str, Server<'a>>,
}

/// One server's day.
#[derive(Default)]
struct Server<'a> {
    kinds: BTreeSet<&'a str>,
    /// Clock hours of the plan in which it is seen.
    seen: BTreeSet<u32>,
    /// Its services within the hours, s since midnight.
    services: Vec<(u64, u64)>,
}

impl<'a> Staff<'a> {
    /// Those seen in the hours. Errors when there is none.
    fn of(trace: &'a Trace, hours: Hours) -> Result<Self, PlanError> {
        let mut servers: BTreeMap<&str, Server<'_>> = BTreeMap::new();
        for row in &trace.rows {
            let Ended::Served(Service { from_s, length_s, server: Some(name) }) = &row.ended else {
                continue;
            };
            let to_s = from_s + length_s;
            let server = servers.entry(name).or_default();
            server.kinds.insert(&row.kind);
            let last_s = to_s.saturating_sub(1).max(*from_s);
            let touched = from_s / HOUR_S..=last_s / HOUR_S;
            server.seen.extend(touched.filter(|hour| hours.each().contains(hour)));
            let (begins, ends) = ((*from_s).max(hours.from_s()), to_s.min(hours.to_s()));
            if begins < ends {
                server.services.push((u64::from(begins), u64::from(ends)));
            }
        }
        servers.retain(|_, server| !server.seen.is_empty());
        for (name, server) in &servers {
            if server.kinds.len() > OPERATOR_QUEUES_MAX {
                let (name, got) = ((*name).to_owned(), server.kinds.len());
                return Err(PlanError::TooManyQueues { name, got });
            }
        }
        if servers.is_empty() {
            return Err(PlanError::NoOperators);
        }
        Ok(Self { hours, servers })
    }

    fn kinds(&self) -> impl Iterator<Item = &'a str> {
        self.servers.values().flat_map(|server| server.kinds.iter().copied())
    }

    fn operators(&self, places: &BTreeMap<&str, usize>) -> Vec<Operator> {
        let one = |(name, server): (&&str, &Server<'_>)| Operator {
            name: (*name).to_owned(),
            queues: server.kinds.iter().filter_map(|kind| places.get(kind).copied()).collect(),
            shifts: shifts(&server.seen, self.hours),
        };
        self.servers.iter().map(one).collect()
    }

    /// What the recorded hours came to.
    fn recorded(&self, rows: &[&Row]) -> Figures {
        let mut figures = Figures::default();
        for row in rows {
            let fate = match row.ended {
                Ended::Served(_) => Fate::Served,
                Ended::Left => Fate::Left,
            };
            figures.customer(fate, ms(row.waited_s));
        }
        for server in self.servers.values() {
            figures.busy_ms += covered(server.services.clone()) * 1_000;
            figures.on_duty_ms += server.seen.len() as u64 * ms(HOUR_S);
        }
        figures
    }
}

/// Hours in a row are one shift; one that reaches the end of the plan lasts until it has drained.
fn shifts(seen: &BTreeSet<u32>, hours: Hours) -> Vec<Shift> {
    let since = |hour: u32| ms(hour * HOUR_S - hours.from_s());
    let hours_seen: Vec<u32> = seen.iter().copied().collect();
    hours_seen
        .chunk_by(|a, b| a + 1 == *b)
        .filter_map(|run| Some((*run.first()?, *run.last()? + 1)))
        .map(|(from, to)| Shift {
            from_ms: since(from),
            to_ms: (to * HOUR_S < hours.to_s()).then(|| since(to)),
        })
        .collect()
}

/// Milliseconds of whole seconds.
fn ms(seconds: u32) -> u64 {
    u64::from(seconds) * 1_000
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
