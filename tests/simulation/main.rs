//! The real machines under a virtual clock: chats, queues and operators with their store,
//! mailboxes and clients, under delays, reorderings, losses, repeats, crashes and restarts. After
//! every step the invariants of `check` are looked at.
//!
//! `SWITCHBOARD_SIM_SEEDS=N` runs N seeds instead of the default, from
//! `SWITCHBOARD_SIM_FIRST` (0) on. A failure prints its seed; run it alone with
//! `SWITCHBOARD_SIM_FIRST=<seed> SWITCHBOARD_SIM_SEEDS=1`, with `SWITCHBOARD_SIM_TRACE=1` to see
//! all that happens, and write its story as a test of the machines, with a name and without a seed:
//! a seed tells another story as soon as anything draws one number more.

#![allow(clippy::expect_used, reason = "a test that cannot go on fails")]

mod actors;
mod answers;
mod calls;
mod ceilings;
mod changes;
mod check;
mod coverage;
#[rustfmt::skip]
mod erlang;
mod feed;
mod healing;
mod heard;
mod ignored;
mod insisting;
mod lapses;
mod lives;
mod overtaking;
mod passed_over;
mod people;
mod picks;
mod planted;
mod pulls;
mod reasons;
mod refusals;
mod rest;
mod rng;
mod rows;
mod silent;
mod sinces;
mod stays;
mod store;
mod storing;
mod tables;
mod theory;
mod time;
mod tokens;
mod told;
mod traffic;
mod trouble;
mod visitors;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use coverage::Coverage;
use world::{Plan, World};

/// Seeds of one run of the test suite; `make soak` runs ten thousand.
const SEEDS: u64 = 500;
/// Steps of one seed, at least.
const STEPS: u64 = 6_000;

/// One in so many seeds meets no fault, so that all that is said can be held against the logs.
const CALM_EVERY: u64 = 5;
/// One in so many seeds is large: up to forty operators and twelve queues.
const LARGE_EVERY: u64 = 251;

/// What goes on in a seed.
fn plan_of(seed: u64) -> Plan {
    let calm = seed % CALM_EVERY == CALM_EVERY - 1;
    let large = seed % LARGE_EVERY == LARGE_EVERY - 1;
    Plan { faults: !calm, large, ..Plan::default() }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Runs one seed to its end and answers what it covered.
fn run(seed: u64, plan: Plan) -> Coverage {
    let mut world = World::new(seed, plan);
    world.run(STEPS);
    world.finish()
}

#[test]
fn the_invariants_hold_on_every_seed() {
    let first = setting("SWITCHBOARD_SIM_FIRST", 0);
    let seeds = setting("SWITCHBOARD_SIM_SEEDS", SEEDS);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let parts: Vec<_> = (0..threads)
        .map(|part| {
            std::thread::spawn(move || {
                let mut total = Coverage::default();
                for seed in (first..first + seeds).filter(|seed| seed % threads == part) {
                    let outcome = catch_unwind(AssertUnwindSafe(|| run(seed, plan_of(seed))));
                    match outcome {
                        Ok(coverage) => total.add(&coverage),
                        Err(_) => panic!(
                            "seed {seed} failed: SWITCHBOARD_SIM_FIRST={seed} \
                             SWITCHBOARD_SIM_SEEDS=1 cargo test --test simulation"
                        ),
                    }
                }
                total
            })
        })
        .collect();
    let mut total = Coverage::default();
    for part in parts {
        total.add(&part.join().expect("a seed failed; it is named above"));
    }
    println!("{total}");
    if seeds >= SEEDS {
        total.assert_complete();
    }
}

#[test]
fn the_same_seed_runs_the_same_way() {
    for seed in 0..CALM_EVERY {
        assert_eq!(run(seed, plan_of(seed)), run(seed, plan_of(seed)), "seed {seed}");
    }
}

#[test]
fn screens_agree_with_the_logs_within_a_second_of_a_restart() {
    let plan = Plan { faults: false, crashes: true, ..Plan::default() };
    let mut total = Coverage::default();
    for seed in 0..20 {
        total.add(&run(seed, plan));
    }
    for what in ["operator crashed", "chat crashed"] {
        assert!(total.counts.contains_key(&("fault", what)), "{total}");
    }
    assert!(total.counts.contains_key(&("odd", "screen compared")), "{total}");
}
