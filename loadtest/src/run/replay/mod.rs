//! Plays a plan on real sockets, verifies it while it runs, and says what came of it.
//!
//! A customer connects shortly before its second, so that its wait is the router's and not the
//! socket's. An operator ends a chat when its time is over and every line of the dialogue has been
//! said and heard; at high speeds that may be some ms later than planned. At the end somebody who may
//! read every chat reads them all, which shows who held a slot when, by the server's own times.

mod customer;
mod floor;
mod operator;

use std::sync::Arc;
use std::time::Duration;

use switchboard::domain::limits::COOL_DOWN_MS;
use switchboard::domain::{Party, Rule};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use self::floor::{Floor, Phase};
use super::RunError;
use super::progress::Progress;
use super::provision::{Operator, Provisioned, WantedOperator, WantedQueue};
use super::reading::read_whole;
use crate::client::clock::Clock;
use crate::client::{Client, Waits};
use crate::pace::Speed;
use crate::plan::Plan;
use crate::stats::{Fate, Figures};
use crate::verify::{Observation, Violation};

/// Between provisioning and the first ms of the trace, ms: operators log in meanwhile.
const LEAD_MS: u64 = 3_000;

/// How long a run may drain after the last planned moment, s: the longest service recorded takes an
/// hour of the trace.
const DRAIN_LIMIT_S: u64 = 900;

/// How often the run is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The server's settings at a speed, as names and values.
pub fn settings(speed: Speed) -> Vec<(&'static str, u64)> {
    vec![
        ("ROUTING_PRIORITY_STEP_MS", speed.priority_step_ms()),
        ("ROUTING_COOL_DOWN_MS", cool_down_ms(speed)),
    ]
}

fn cool_down_ms(speed: Speed) -> u64 {
    speed.real_ms(COOL_DOWN_MS)
}

/// What the server is told before a plan is played.
pub fn wanted(plan: &Plan, speed: Speed) -> (Vec<WantedOperator>, Vec<WantedQueue>) {
    let operators =
        plan.operators.iter().map(|who| WantedOperator { name: who.name.clone(), capacity: 1 });
    let queues = plan.queues.iter().enumerate();
    let queues = queues.map(|(place, name)| WantedQueue {
        name: name.clone(),
        rule: Rule::LongestIdle,
        members: (0..plan.operators.len())
            .filter(|who| plan.operators[*who].queues.contains(&place))
            .collect(),
        offer_timeout_ms: speed.offer_timeout_ms(),
        retention_days: None,
    });
    (operators.collect(), queues.collect())
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The figures.
    pub figures: Figures,
    /// What was found, the first ones.
    pub violations: Vec<Violation>,
    /// How many were found.
    pub violations_count: u64,
    /// Refusals and the like that people met, by name.
    pub met: Vec<(String, u64)>,
    /// Chats whose whole history was read again.
    pub read: usize,
}

/// Plays a plan against a server that was provisioned for it.
pub async fn replay(
    address: &str,
    plan: Plan,
    speed: Speed,
    there: Provisioned,
) -> Result<Outcome, RunError> {
    let clock = Clock::start();
    let (phase, seen) = watch::channel(Phase::Open);
    let address = address.to_owned();
    let start = (clock.ms() + LEAD_MS, seen);
    let floor = Floor::new(plan, speed, address, clock, there.doors, start);
    let floor = Arc::new(floor);
    introduce(&floor, &there.operators);
    let mut customers = JoinSet::new();
    let mut operators = JoinSet::new();
    for place in 0..floor.plan.customers.len() {
        customers.spawn(customer::play(Arc::clone(&floor), place));
    }
    for (place, who) in there.operators.iter().enumerate() {
        let (floor, who) = (Arc::clone(&floor), who.clone());
        operators.spawn(operator::play(floor, place, who, cool_down_ms(speed)));
    }
    let mut progress = Progress::default();
    let drained = watch_over(&floor, &mut customers, &mut operators, &phase, &mut progress).await?;
    phase.send_replace(Phase::Drained);
    if drained {
        while let Some(done) = operators.join_next().await {
            joined(done)?;
        }
    }
    progress.done();
    let read = audit(&floor, &there.auditor).await?;
    Ok(outcome(&floor, read))
}

/// Tells the ledger who the operators are.
fn introduce(floor: &Floor, operators: &[Operator]) {
    let mut book = floor.recorder.book();
    for (plan, who) in floor.plan.operators.iter().zip(operators) {
        book.name(&who.name, who.id);
        let queues = plan.queues.iter();
        let queues = queues.filter_map(|queue| floor.doors.get(*queue));
        book.ledger.observe(Observation::Operator {
            operator: who.id,
            at_ms: 0,
            capacity: 1,
            queues: queues.map(|door| door.queue).collect(),
        });
    }
}

/// Until all customers are gone, or the limit: then false.
async fn watch_over(
    floor: &Floor,
    customers: &mut JoinSet<Result<(), RunError>>,
    operators: &mut JoinSet<Result<(), RunError>>,
    phase: &watch::Sender<Phase>,
    progress: &mut Progress,
) -> Result<bool, RunError> {
    let ends_ms = floor.us_of(floor.plan.length_ms) / 1_000;
    let limit_ms = ends_ms + DRAIN_LIMIT_S * 1_000;
    while !customers.is_empty() {
        sleep(LOOK_EVERY).await;
        while let Some(done) = customers.try_join_next() {
            joined(done)?;
        }
        while let Some(done) = operators.try_join_next() {
            joined(done)?;
        }
        let now_us = floor.clock.us();
        let now_ms = now_us / 1_000;
        floor.recorder.book().ledger.observe(Observation::Tick { at_ms: now_ms });
        if now_ms > ends_ms && floor.all_wait_for_nobody(now_us) {
            phase.send_replace(Phase::GiveUp);
        }
        if now_ms > limit_ms {
            return Ok(false);
        }
        show(floor, progress, now_ms, ends_ms);
    }
    Ok(true)
}

fn show(floor: &Floor, progress: &mut Progress, now_ms: u64, ends_ms: u64) {
    let (served, met, waiting) = floor.counts();
    let book = floor.recorder.book();
    let (messages, wrong) = (book.wire.messages, book.ledger.violations().count());
    drop(book);
    let state = if now_ms > ends_ms { ", draining" } else { "" };
    let words = format!(
        "{served} served, {waiting} in line, {met} of {}, {messages} messages, {wrong} violations{state}",
        floor.plan.customers.len(),
    );
    let part = now_ms as f64 / ends_ms.max(1) as f64;
    progress.show(now_ms, part, ends_ms.saturating_sub(now_ms), &words);
}

pub(super) fn joined(
    done: Result<Result<(), RunError>, tokio::task::JoinError>,
) -> Result<(), RunError> {
    done.map_err(|error| RunError::Person {
        who: "a person of the run".to_owned(),
        why: error.to_string(),
    })?
}

/// Reads all chats as somebody who may.
async fn audit(floor: &Floor, auditor: &Operator) -> Result<usize, RunError> {
    let chats = floor.chats();
    let (mut client, mut inbox) = Client::start(
        &floor.address,
        auditor.tokens.clone(),
        Waits::PROTOCOL,
        floor.clock,
        0,
        Arc::clone(&floor.out),
    );
    let read = read_whole("the auditor", &mut client, &mut inbox, chats).await?;
    let mut book = floor.recorder.book();
    for (chat, events) in &read {
        let events = events.as_ref().map_err(|kind| RunError::Person {
            who: "the auditor".to_owned(),
            why: format!("cannot read chat {chat}: {}", kind.name()),
        })?;
        book.audited(*chat, Party::User(auditor.id), events, &[]);
    }
    Ok(read.len())
}

fn outcome(floor: &Floor, read: usize) -> Outcome {
    let mut figures = Figures::default();
    let fates = floor.fates();
    for place in 0..floor.plan.customers.len() {
        let (fate, waited_ms) = fates.get(&place).copied().unwrap_or((Fate::Unserved, 0));
        figures.customer(fate, waited_ms);
    }
    (figures.busy_ms, figures.on_duty_ms) = floor.work();
    let mut book = floor.recorder.book();
    book.ledger.finish(floor.clock.ms());
    book.wire.idle_beside_ms = book.ledger.idle_beside_ms().clone();
    figures.wire = Some(book.wire.clone());
    let found = book.ledger.violations();
    let met = book.refused.iter();
    Outcome {
        figures,
        violations: found.kept().to_vec(),
        violations_count: found.count(),
        met: met.map(|(name, n)| ((*name).to_owned(), *n)).collect(),
        read,
    }
}
