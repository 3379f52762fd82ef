//! What a plan would come to under an ideal router: one that knows everything, takes no time and
//! loses nothing.
//!
//! A line a queue, served by the smallest rank = arrival − step × priority (ties: the earlier row).
//! An arriving customer goes to the operator of its queue who has been idle longest (ties: by
//! name); an operator who comes free takes the smallest rank of all its queues. Nobody is
//! interrupted. It bounds what a real router can do and shows beforehand whether a plan is worth
//! running; it is no model of the server.
//!
//! Of what falls on the same millisecond, duty ends first, then begins, then services end, then
//! patience, then customers come.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use switchboard::domain::limits::PRIORITY_STEP_MS;

use crate::plan::Plan;
use crate::stats::{Fate, Figures};

/// What the prediction says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prediction {
    /// The figures of the whole.
    pub figures: Figures,
    /// Of each customer, in the plan's order, what became of it and how long it was in line, ms.
    pub fates: Vec<(Fate, u64)>,
    /// Of each operator, in the plan's order, whom it served, in that order.
    pub served: Vec<Vec<usize>>,
}

/// Plays the plan to its end. Who is left in a line that nobody will ever serve is
/// [`Fate::Unserved`], with its wait up to the last event of all.
pub fn predict(plan: &Plan) -> Prediction {
    let mut world = World::new(plan);
    while let Some(Reverse(event)) = world.events.pop() {
        world.now_ms = event.at_ms;
        world.happens(event.what);
    }
    world.finish()
}

/// What happens, in the order in which it does at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    DutyEnds { operator: usize },
    DutyBegins { operator: usize },
    ServiceEnds { operator: usize },
    PatienceEnds { customer: usize },
    Comes { customer: usize },
}

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    at_ms: u64,
    what: What,
}

/// An operator's state.
#[derive(Debug, Clone, Copy, Default)]
struct Desk {
    on_duty: bool,
    serving: bool,
    idle_since_ms: u64,
    /// Since when it is there, on duty or finishing.
    there_since_ms: u64,
}

struct World<'a> {
    plan: &'a Plan,
    now_ms: u64,
    events: BinaryHeap<Reverse<Event>>,
    desks: Vec<Desk>,
    /// Of each queue, who waits: rank and place in the plan.
    lines: Vec<BTreeSet<(i128, usize)>>,
    fates: Vec<Option<(Fate, u64)>>,
    served: Vec<Vec<usize>>,
    figures: Figures,
}

impl<'a> World<'a> {
    fn new(plan: &'a Plan) -> Self {
        let mut world = Self {
            plan,
            now_ms: 0,
            events: BinaryHeap::new(),
            desks: vec![Desk::default(); plan.operators.len()],
            lines: vec![BTreeSet::new(); plan.queues.len()],
            fates: vec![None; plan.customers.len()],
            served: vec![Vec::new(); plan.operators.len()],
            figures: Figures::default(),
        };
        for (operator, who) in plan.operators.iter().enumerate() {
            for shift in &who.shifts {
                world.later(shift.from_ms, What::DutyBegins { operator });
                if let Some(to_ms) = shift.to_ms {
                    world.later(to_ms, What::DutyEnds { operator });
                }
            }
        }
        for (customer, who) in plan.customers.iter().enumerate() {
            world.later(who.arrives_ms, What::Comes { customer });
        }
        world
    }

    fn later(&mut self, at_ms: u64, what: What) {
        self.events.push(Reverse(Event { at_ms, what }));
    }

    fn happens(&mut self, what: What) {
        match what {
            What::DutyBegins { operator } => self.duty_begins(operator),
            What::DutyEnds { operator } => self.duty_ends(operator),
            What::ServiceEnds { operator } => self.service_ends(operator),
            What::PatienceEnds { customer } => self.patience_ends(customer),
            What::Comes { customer } => self.comes(customer),
        }
    }

    fn duty_begins(&mut self, operator: usize) {
        let desk = &mut self.desks[operator];
        desk.on_duty = true;
        if !desk.serving {
            desk.there_since_ms = self.now_ms;
            desk.idle_since_ms = self.now_ms;
            self.take_next(operator);
        }
    }

    fn duty_ends(&mut self, operator: usize) {
        self.desks[operator].on_duty = false;
        if !self.desks[operator].serving {
            self.goes_home(operator);
        }
    }

    fn service_ends(&mut self, operator: usize) {
        let desk = &mut self.desks[operator];
        desk.serving = false;
        desk.idle_since_ms = self.now_ms;
        if desk.on_duty {
            self.take_next(operator);
        } else {
            self.goes_home(operator);
        }
    }

    /// Time there counts within the hours of the plan only.
    fn goes_home(&mut self, operator: usize) {
        let since = self.desks[operator].there_since_ms;
        self.figures.on_duty_ms += self.within(self.now_ms).saturating_sub(self.within(since));
    }

    fn comes(&mut self, customer: usize) {
        let who = &self.plan.customers[customer];
        let desks = self.desks.iter().zip(&self.plan.operators).enumerate();
        let idle = desks
            .filter(|(_, (desk, _))| desk.on_duty && !desk.serving)
            .filter(|(_, (_, operator))| operator.queues.contains(&who.queue))
            .min_by_key(|(_, (desk, _))| desk.idle_since_ms)
            .map(|(operator, _)| operator);
        if let Some(operator) = idle {
            self.serve(operator, customer);
            return;
        }
        let rank = self.rank(customer);
        self.lines[who.queue].insert((rank, customer));
        if let Some(patience_ms) = who.patience_ms {
            let at_ms = self.now_ms.saturating_add(patience_ms);
            self.later(at_ms, What::PatienceEnds { customer });
        }
    }

    fn patience_ends(&mut self, customer: usize) {
        let who = &self.plan.customers[customer];
        let rank = self.rank(customer);
        if self.lines[who.queue].remove(&(rank, customer)) {
            self.meets(customer, Fate::Left);
        }
    }

    fn take_next(&mut self, operator: usize) {
        let queues = self.plan.operators[operator].queues.iter();
        let next = queues.filter_map(|queue| self.lines[*queue].first()).min().copied();
        if let Some((rank, customer)) = next {
            self.lines[self.plan.customers[customer].queue].remove(&(rank, customer));
            self.serve(operator, customer);
        }
    }

    fn serve(&mut self, operator: usize, customer: usize) {
        let ends_ms = self.now_ms + self.plan.customers[customer].service_ms;
        self.desks[operator].serving = true;
        self.served[operator].push(customer);
        self.figures.busy_ms += self.within(ends_ms) - self.within(self.now_ms);
        self.later(ends_ms, What::ServiceEnds { operator });
        self.meets(customer, Fate::Served);
    }

    fn meets(&mut self, customer: usize, fate: Fate) {
        let waited_ms = self.now_ms - self.plan.customers[customer].arrives_ms;
        self.figures.customer(fate, waited_ms);
        self.fates[customer] = Some((fate, waited_ms));
    }

    fn rank(&self, customer: usize) -> i128 {
        let who = &self.plan.customers[customer];
        let bought = u64::from(who.priority.points()) * PRIORITY_STEP_MS;
        i128::from(who.arrives_ms) - i128::from(bought)
    }

    /// The time, or the end of the hours when it lies behind them.
    fn within(&self, time_ms: u64) -> u64 {
        time_ms.min(self.plan.length_ms)
    }

    fn finish(mut self) -> Prediction {
        let waiting: Vec<usize> = self.lines.iter().flatten().map(|(_, who)| *who).collect();
        for customer in waiting {
            self.meets(customer, Fate::Unserved);
        }
        self.now_ms = self.now_ms.max(self.plan.length_ms);
        for operator in 0..self.desks.len() {
            if self.desks[operator].on_duty {
                self.goes_home(operator);
            }
        }
        // Every customer came, so each was served, left, or is still in a line.
        let fates = self.fates.iter().map(|fate| fate.unwrap_or((Fate::Unserved, 0))).collect();
        Prediction { figures: self.figures, fates, served: self.served }
    }
}

#[cfg(test)]
#[path = "predict_tests.rs"]
mod tests;
