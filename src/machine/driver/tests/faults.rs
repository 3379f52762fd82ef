//! A group's life over a store that fails: what was answered is in the log, once and in order, and whoever
//! asks again gets the same answer.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::group::{Deed, Done, Event, Refusal};
use super::world::{ATTEMPTS, FAULTS, Fault, Got, Plan, World, done};
use crate::domain::UserId;
use crate::machine::driver::Answer;
use crate::machine::fixture::{ANN, BOB, CYD};

const PEOPLE: [UserId; 3] = [ANN, BOB, CYD];
/// One who comes, one who declines, one who says nothing, and one who comes by herself.
const DAN: UserId = UserId::from_u128(4);
const EVE: UserId = UserId::from_u128(5);
const FAY: UserId = UserId::from_u128(6);
const GUS: UserId = UserId::from_u128(7);

/// What happens in a life, in this order.
enum Turn {
    Asks(Done),
    /// All of them at once.
    Together(Vec<Done>),
    /// An invitation is begun.
    Invites(Done),
    /// And settled, by what its guest says, or by nobody.
    Settles(Done, Option<bool>),
    /// Everybody is told, the group goes to sleep, and somebody looks.
    Rests,
}

/// What people ask for one after the other.
fn script() -> Vec<Turn> {
    use Turn::{Asks, Invites, Rests, Settles, Together};
    let written = done(BOB, "b2", Deed::Writes(2));
    let dan = done(ANN, "i1", Deed::Invites(DAN));
    let eve = done(BOB, "i2", Deed::Invites(EVE));
    let fay = done(ANN, "i3", Deed::Invites(FAY));
    let gus = done(CYD, "i4", Deed::Invites(GUS));
    let together = together(&written, &dan);
    vec![
        Asks(done(ANN, "a1", Deed::Joins)),
        Asks(done(BOB, "b1", Deed::Joins)),
        Asks(done(ANN, "a2", Deed::Writes(1))),
        Asks(done(CYD, "c1", Deed::Joins)),
        Asks(written),
        Rests,
        Invites(dan.clone()),
        Together(together),
        Settles(dan, Some(true)),
        Invites(eve.clone()),
        Invites(fay.clone()),
        Settles(eve, Some(false)),
        Asks(done(ANN, "a3", Deed::Leaves)),
        Settles(fay, None),
        Invites(gus.clone()),
        Asks(done(GUS, "g1", Deed::Joins)),
        Asks(done(BOB, "b3", Deed::Writes(3))),
        Asks(done(CYD, "c2", Deed::Leaves)),
        Asks(done(CYD, "c3", Deed::Joins)),
    ]
}

/// Seven calls at once, which wait while the first is appended: one is written, one is refused, of one the
/// answer is known, of one it will come, one is written for the first call and known for the second, and the
/// guest has an invitation.
fn together(written: &Done, invited: &Done) -> Vec<Done> {
    vec![
        done(BOB, "b4", Deed::Writes(4)),
        done(DAN, "d1", Deed::Writes(9)),
        written.clone(),
        invited.clone(),
        done(CYD, "c9", Deed::Writes(5)),
        done(CYD, "c9", Deed::Writes(5)),
        done(CYD, "c8", Deed::Invites(DAN)),
    ]
}

/// Lives through the script; then everybody asks everything again.
fn lived(plan: Plan, in_one_write: bool) -> World {
    let (mut world, mut asked) = (World::new(plan, in_one_write), Vec::new());
    for turn in script() {
        match turn {
            Turn::Asks(wanted) => {
                assert!(world.ask(&wanted).is_ok(), "{wanted:?}");
                asked.push(wanted);
            }
            Turn::Together(wanted) => asked.extend(asked_together(&mut world, wanted)),
            Turn::Invites(wanted) => {
                world.invite(&wanted);
                asked.push(wanted);
            }
            Turn::Settles(wanted, None) => world.until_settled(&wanted.key()),
            Turn::Settles(wanted, Some(comes)) => world.says_until_settled(&wanted.key(), comes),
            Turn::Rests => {
                world.tick();
                world.rest();
                world.look();
            }
        }
    }
    world.finish(&asked);
    world
}

/// Asks until each is refused, or has an answer, or waits for one; answers which are not refused.
fn asked_together(world: &mut World, mut wanted: Vec<Done>) -> Vec<Done> {
    let mut asked = Vec::new();
    for _ in 0..ATTEMPTS {
        let got = world.try_together(&wanted);
        let each = wanted.into_iter().zip(got);
        let open = each.filter_map(|(wanted, got)| match got {
            Got::Answered(Err(Refusal::Unavailable | Refusal::Late)) | Got::Nothing => Some(wanted),
            Got::Answered(Ok(_)) | Got::Waits => {
                asked.push(wanted);
                None
            }
            Got::Answered(Err(refusal)) => {
                let why = if wanted.who == DAN { Refusal::NotMember } else { Refusal::Invited };
                assert_eq!(refusal, why, "{wanted:?}");
                None
            }
        });
        wanted = open.collect();
        if wanted.is_empty() {
            return asked;
        }
    }
    panic!("{wanted:?} are never answered");
}

/// What stands in the log, whoever was first of those who asked at once.
fn events(world: &World) -> Vec<Event> {
    let mut events: Vec<_> = world.log.iter().map(|recorded| recorded.event.clone()).collect();
    events.sort_by_key(|event| format!("{event:?}"));
    events
}

#[test]
fn whatever_goes_wrong_once_at_any_step_what_was_answered_is_in_the_log_once() {
    for in_one_write in [false, true] {
        let whole = lived(Plan::At(0, Fault::Refused), in_one_write);
        let mut happened = BTreeSet::new();
        for step in 1..=whole.step {
            for fault in FAULTS {
                let world = lived(Plan::At(step, fault), in_one_write);
                assert_eq!(events(&world), events(&whole), "{fault:?} at {step}");
                happened.extend(world.seen);
            }
        }
        for wanted in met(in_one_write) {
            assert!(happened.contains(wanted), "{wanted} is not among {happened:?}");
        }
    }
}

#[test]
fn commands_that_wait_while_another_is_appended_are_answered_each_for_itself() {
    let mut world = World::new(Plan::At(0, Fault::Refused), false);
    for who in [ANN, BOB, CYD] {
        world.ask(&done(who, "joins", Deed::Joins)).unwrap();
    }
    let (written, dan) = (done(BOB, "b2", Deed::Writes(2)), done(ANN, "i1", Deed::Invites(DAN)));
    let first = world.ask(&written);
    world.invite(&dan);
    let got = world.try_together(&together(&written, &dan));
    let at = |seq: u64| {
        let at = world.log[seq as usize - 1].at;
        Got::Answered(Ok(Answer { seq, at }))
    };
    let refused = |refusal| Got::Answered(Err(refusal));
    let waits = Got::Waits;
    let wanted = [at(6), refused(Refusal::NotMember), at(4), waits, at(7), at(7)];
    assert_eq!(got[..6], wanted);
    assert_eq!((got[2], got[6]), (Got::Answered(first), refused(Refusal::Invited)));
    // Whoever waits hears it together with whoever asks again.
    assert_eq!(world.try_once(&dan), waits);
    assert_eq!(world.waiting(), 3);
    world.says_until_settled(&dan.key(), false);
    assert_eq!(world.waiting(), 0);
    assert_eq!(world.try_once(&dan), refused(Refusal::Declined));
}

/// What has to happen to a group for a run to be eventful.
fn met(in_one_write: bool) -> impl Iterator<Item = &'static str> {
    MET.into_iter().chain([if in_one_write { "with what stands beside" } else { "found marked" }])
}

const MET: [&str; 12] = [
    "more than one was written",
    "looked up",
    "untold",
    "published late",
    "failed",
    "landed late",
    "rested",
    "found open",
    "asked again",
    "Came",
    "Declined",
    "NoAnswer",
];

/// Whatever the plan has people do.
fn random(bytes: Vec<u8>, in_one_write: bool) -> World {
    let mut world = World::new(Plan::Random(bytes.into()), in_one_write);
    let mut asked: Vec<Done> = Vec::new();
    while !world.is_well() {
        match world.pick(16) {
            0 => world.rest(),
            1 => world.look(),
            8 => world.tick(),
            9 | 10 => world.reply(),
            // Once more what was asked for once, answered or not.
            2..7 if !asked.is_empty() => {
                let again = again(&mut world, &asked);
                world.try_once(&again);
            }
            // Something else with the same id.
            7 if !asked.is_empty() => {
                let mut other = again(&mut world, &asked);
                if matches!(other.deed, Deed::Writes(_)) {
                    other.deed = Deed::Writes(255);
                    ask_for(&mut world, &mut asked, vec![other]);
                }
            }
            11 if !asked.is_empty() => {
                let (first, again) = (something(&mut world, &asked), again(&mut world, &asked));
                let second = Done { who: CYD, ..something(&mut world, &asked) };
                ask_for(&mut world, &mut asked, vec![first, again, second]);
            }
            _ => {
                let wanted = something(&mut world, &asked);
                ask_for(&mut world, &mut asked, vec![wanted]);
            }
        }
    }
    world.finish(&asked);
    world
}

fn again(world: &mut World, asked: &[Done]) -> Done {
    asked[usize::from(world.pick(u8::MAX)) % asked.len()].clone()
}

/// Something that was not asked for before.
fn something(world: &mut World, asked: &[Done]) -> Done {
    let deed = match world.pick(6) {
        0 => Deed::Leaves,
        1 | 2 => Deed::Joins,
        3 => Deed::Invites(PEOPLE[usize::from(world.pick(3))]),
        _ => Deed::Writes(world.pick(100)),
    };
    let who = PEOPLE[usize::from(world.pick(3))];
    done(who, &format!("c{}", asked.len()), deed)
}

/// Asks once for each of them; what is refused is given up.
fn ask_for(world: &mut World, asked: &mut Vec<Done>, wanted: Vec<Done>) {
    let got = world.try_together(&wanted);
    for (wanted, got) in wanted.into_iter().zip(got) {
        match got {
            Got::Answered(Err(refusal)) if refusal != Refusal::Unavailable => {}
            Got::Answered(_) | Got::Waits | Got::Nothing if asked.contains(&wanted) => {}
            Got::Answered(_) | Got::Waits | Got::Nothing => asked.push(wanted),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn whatever_goes_wrong_whoever_asks_again_gets_the_same_answer(
        bytes in prop::collection::vec(prop_oneof![6 => 11u8..=255, 1 => 0u8..=10], 0..400),
        in_one_write: bool,
    ) {
        random(bytes, in_one_write);
    }
}

#[test]
fn the_random_lives_are_eventful() {
    for in_one_write in [false, true] {
        let (mut happened, mut n) = (BTreeSet::new(), 1_u64);
        for _ in 0..100 {
            let bytes = (0..400).map(|_| {
                n = n
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let byte = (n >> 33) as u8;
                if n >> 62 == 0 { byte % 11 } else { byte }
            });
            let world = random(bytes.collect(), in_one_write);
            happened.extend(world.seen);
        }
        let all = FAULTS.map(|fault| format!("{fault:?}"));
        let others = met(in_one_write)
            .chain(["kept", "id reused", "ticked", "not all"])
            .map(|word| word.to_owned());
        for wanted in all.into_iter().chain(others) {
            assert!(happened.contains(&wanted), "{wanted} is not among {happened:?}");
        }
    }
}
