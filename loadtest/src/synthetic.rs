//! Traffic made up from a seed, for everybody without a recorded trace.
//!
//! Poisson arrivals, exponential service and patience, a few queues with operators in common; all
//! of it our own invention, and chosen so that the full staff copes and four fifths of it do not.

use std::collections::BTreeSet;

use switchboard::domain::Priority;

use crate::day::Hours;
use crate::dialog::Dialogs;
use crate::draw::{Draw, Purpose};
use crate::plan::{Choice, Customer, Operator, Plan, PlanError, Shift, keep};
use crate::stats::Skips;

/// The queues and the share of customers that ask for each.
const QUEUES: [(&str, f64); 3] = [("orders", 0.5), ("invoices", 0.3), ("other", 0.2)];

/// Operators; each serves two of the three queues, and every fourth goes an hour before the end.
const OPERATORS: usize = 12;

/// Mean time of a service, ms.
const SERVICE_MS: f64 = 180_000.0;

/// Mean patience, ms.
const PATIENCE_MS: f64 = 240_000.0;

/// Offered load for each operator, Erlang.
const LOAD: f64 = 0.85;

/// The share of customers with priority 0 and with priority 0 or 1; the rest have 2.
const PRIORITIES: [f64; 2] = [0.6, 0.8];

/// An hour, ms.
const HOUR_MS: u64 = 3_600_000;

/// A plan for as many hours as asked. Errors when the choice is out of range, or no customer came.
pub fn plan(hours: Hours, dialogs: &Dialogs, choice: Choice) -> Result<Plan, PlanError> {
    let length_ms = hours.each().count() as u64 * HOUR_MS;
    let (operators, sent_home) = keep(operators(length_ms), choice)?;
    let customers = customers(length_ms, dialogs, choice.seed);
    if customers.is_empty() {
        return Err(PlanError::NoCustomers);
    }
    Ok(Plan {
        queues: QUEUES.iter().map(|(name, _)| (*name).to_owned()).collect(),
        operators,
        sent_home,
        customers,
        length_ms,
        skipped: Skips::new(),
        recorded: None,
    })
}

fn operators(length_ms: u64) -> Vec<Operator> {
    let one = |n: usize| {
        let leaves_early = n % 4 == 3 && length_ms > HOUR_MS;
        Operator {
            name: format!("operator-{:02}", n + 1),
            queues: BTreeSet::from([n % QUEUES.len(), (n + 1) % QUEUES.len()]),
            shifts: vec![Shift {
                from_ms: 0,
                to_ms: leaves_early.then_some(length_ms.saturating_sub(HOUR_MS)),
            }],
        }
    };
    (0..OPERATORS).map(one).collect()
}

fn customers(length_ms: u64, dialogs: &Dialogs, seed: u64) -> Vec<Customer> {
    let gap_ms = SERVICE_MS / (LOAD * OPERATORS as f64);
    let mut arrival = Draw::new(seed, Purpose::Arrival, 0);
    let mut at_ms = 0.0;
    let mut customers = Vec::new();
    loop {
        at_ms += arrival.exponential(gap_ms);
        if at_ms >= length_ms as f64 {
            return customers;
        }
        let line = customers.len() as u64 + 1;
        let of = |purpose| Draw::new(seed, purpose, line);
        let mut own = of(Purpose::Arrival);
        customers.push(Customer {
            line,
            arrives_ms: at_ms as u64,
            queue: queue(own.unit()),
            priority: priority(own.unit()),
            patience_ms: Some(of(Purpose::Patience).exponential(PATIENCE_MS) as u64),
            service_ms: of(Purpose::Service).exponential(SERVICE_MS) as u64,
            dialog: dialogs.choose(&mut of(Purpose::Dialog)),
        });
    }
}

fn queue(unit: f64) -> usize {
    let mut upto = 0.0;
    let fits = |(_, share): &(&str, f64)| {
        upto += share;
        unit < upto
    };
    QUEUES.iter().position(fits).unwrap_or(QUEUES.len() - 1)
}

fn priority(unit: f64) -> Priority {
    let points = PRIORITIES.iter().filter(|upto| unit >= **upto).count();
    u8::try_from(points).ok().and_then(|points| Priority::new(points).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn four_hours(staff: f64, seed: u64) -> Plan {
        let hours = Hours::parse("8-12").unwrap();
        plan(hours, &Dialogs::own().unwrap(), Choice { staff, seed }).unwrap()
    }

    #[test]
    fn the_same_seed_is_the_same_traffic() {
        assert_eq!(four_hours(0.8, 5), four_hours(0.8, 5));
        assert_ne!(four_hours(0.8, 5).customers, four_hours(0.8, 6).customers);
        assert_eq!(four_hours(0.8, 5).customers, four_hours(1.0, 5).customers);
    }

    #[test]
    fn traffic_has_the_rates_that_it_claims() {
        let plan = four_hours(1.0, 5);
        // 12 × 0.85 / 180 s for four hours: 816 expected, five standard deviations either way.
        let count = plan.customers.len() as f64;
        assert!((count - 816.0).abs() < 5.0 * 816f64.sqrt(), "{count}");
        let mean =
            |of: fn(&Customer) -> u64| plan.customers.iter().map(of).sum::<u64>() as f64 / count;
        let five_errors = 5.0 / count.sqrt();
        let service = mean(|customer| customer.service_ms) / SERVICE_MS;
        let patience = mean(|customer| customer.patience_ms.unwrap()) / PATIENCE_MS;
        assert!((service - 1.0).abs() < five_errors, "{service}");
        assert!((patience - 1.0).abs() < five_errors, "{patience}");
        for queue in 0..QUEUES.len() {
            assert!(plan.customers.iter().any(|customer| customer.queue == queue));
        }
        for points in 0..=2 {
            assert!(plan.customers.iter().any(|customer| customer.priority.points() == points));
        }
    }

    #[test]
    fn staff_is_cut_and_some_leave_early() {
        let plan = four_hours(0.8, 5);
        assert_eq!((plan.operators.len(), plan.sent_home), (10, 2));
        let full = four_hours(1.0, 5);
        let early = full.operators.iter().filter(|who| who.shifts[0].to_ms.is_some());
        assert_eq!(early.count(), 3);
    }
}
