//! A group's life over a store that fails: what was answered is in the log, once and in order, and whoever
//! asks again gets the same answer.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::group::{Deed, Done, Refusal};
use super::world::{FAULTS, Fault, Plan, World};
use crate::domain::UserId;
use crate::machine::fixture::{ANN, BOB, CYD, command};

const PEOPLE: [UserId; 3] = [ANN, BOB, CYD];

fn done(who: UserId, id: &str, deed: Deed) -> Done {
    Done { who, command: command(id), deed }
}

/// What three people ask for one after the other.
fn script() -> Vec<Done> {
    vec![
        done(ANN, "a1", Deed::Joins),
        done(BOB, "b1", Deed::Joins),
        done(ANN, "a2", Deed::Writes(1)),
        done(CYD, "c1", Deed::Joins),
        done(BOB, "b2", Deed::Writes(2)),
        done(ANN, "a3", Deed::Leaves),
        done(BOB, "b3", Deed::Writes(3)),
        done(CYD, "c2", Deed::Leaves),
        done(CYD, "c3", Deed::Joins),
    ]
}

/// Lives through the script, rests in the middle of it; then everybody asks everything again.
fn lived(plan: Plan) -> World {
    let mut world = World::new(plan);
    for (n, wanted) in script().iter().enumerate() {
        assert!(world.ask(wanted).is_ok(), "{wanted:?}");
        if n == 4 {
            world.tick();
            world.rest();
            world.look();
        }
    }
    world.finish(&script());
    world
}

#[test]
fn whatever_goes_wrong_once_at_any_step_what_was_answered_is_in_the_log_once() {
    let whole = lived(Plan::At(0, Fault::Refused));
    let deeds = |world: &World| world.log.iter().map(|r| r.event.clone()).collect::<Vec<_>>();
    assert_eq!(deeds(&whole)[..script().len()], script());
    let mut happened = BTreeSet::new();
    for step in 1..=whole.step {
        for fault in FAULTS {
            let world = lived(Plan::At(step, fault));
            assert_eq!(deeds(&world), deeds(&whole), "{fault:?} at {step}");
            happened.extend(world.seen);
        }
    }
    for wanted in ["looked up", "untold", "published late", "failed", "landed late", "rested"] {
        assert!(happened.contains(wanted), "{wanted} is not among {happened:?}");
    }
}

/// Whatever the plan has people do.
fn random(bytes: Vec<u8>) -> World {
    let mut world = World::new(Plan::Random(bytes.into()));
    let mut asked: Vec<Done> = Vec::new();
    while !world.is_well() {
        match world.pick(16) {
            0 => world.rest(),
            1 => world.look(),
            8 => world.tick(),
            // Once more what was asked for once, answered or not.
            2..7 if !asked.is_empty() => {
                let again = asked[usize::from(world.pick(u8::MAX)) % asked.len()].clone();
                world.try_once(&again);
            }
            // Something else with the same id.
            7 if !asked.is_empty() => {
                let mut other = asked[usize::from(world.pick(u8::MAX)) % asked.len()].clone();
                if matches!(other.deed, Deed::Writes(_)) {
                    other.deed = Deed::Writes(255);
                    let answer = world.try_once(&other);
                    if matches!(answer, Some(Ok(_))) {
                        asked.push(other);
                    }
                }
            }
            _ => {
                let deed = match world.pick(5) {
                    0 => Deed::Leaves,
                    1 | 2 => Deed::Joins,
                    _ => Deed::Writes(world.pick(100)),
                };
                let who = PEOPLE[usize::from(world.pick(3))];
                let wanted = done(who, &format!("c{}", asked.len()), deed);
                match world.try_once(&wanted) {
                    // It is given up.
                    Some(Err(refusal)) if refusal != Refusal::Unavailable => {}
                    Some(_) | None => asked.push(wanted),
                }
            }
        }
    }
    world.finish(&asked);
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn whatever_goes_wrong_whoever_asks_again_gets_the_same_answer(
        bytes in prop::collection::vec(prop_oneof![6 => 11u8..=255, 1 => 0u8..=10], 0..400),
    ) {
        random(bytes);
    }
}

#[test]
fn the_random_lives_are_eventful() {
    let (mut happened, mut n) = (BTreeSet::new(), 1_u64);
    for _ in 0..100 {
        let bytes = (0..400).map(|_| {
            n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let byte = (n >> 33) as u8;
            if n >> 62 == 0 { byte % 11 } else { byte }
        });
        let world = random(bytes.collect());
        happened.extend(world.seen);
    }
    let all = FAULTS.map(|fault| format!("{fault:?}"));
    let others = ["looked up", "untold", "published late", "failed", "landed late", "rested"];
    let others =
        others.iter().chain(&["kept", "id reused", "ticked"]).map(|word| (*word).to_owned());
    for wanted in all.into_iter().chain(others) {
        assert!(happened.contains(&wanted), "{wanted} is not among {happened:?}");
    }
}
