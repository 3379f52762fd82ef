//! A fold that is begun from a state which was kept: the same as one from the first event, from every
//! position of every log; and from none that does not count.

use proptest::prelude::*;

use super::group::{Deed, Done, Event, Group, How, RECENT};
use super::steps::{asleep, claimed, paged, touched};
use crate::domain::{Recorded, Timestamp, UserId};
use crate::machine::driver::{Action, EventSourced, Snapshot, StoreCall};
use crate::machine::fixture::{ANN, BOB, command};

/// A log of what these bytes say: any events fold, whether they would be allowed or not.
fn log(bytes: &[(u8, u8)]) -> Vec<Recorded<Event>> {
    let mut invited = Vec::new();
    let recorded = (1..).zip(bytes).map(|(seq, (who, what))| {
        let (user, id) = (UserId::from_u128(u128::from(who % 5)), command(&format!("c{seq}")));
        let deed = match what % 6 {
            0 => Deed::Leaves,
            1 => Deed::Joins,
            2 => Deed::Invites(UserId::from_u128(u128::from(what % 5))),
            _ => Deed::Writes(*what),
        };
        let event = match (what % 6, invited.pop()) {
            (5, Some(key)) => {
                Event::Settled(key, if who % 2 == 0 { How::Came } else { How::Declined })
            }
            (_, last) => {
                invited.extend(last);
                let done = Done { who: user, command: id, deed };
                invited.extend(matches!(deed, Deed::Invites(_)).then(|| done.key()));
                Event::Done(done)
            }
        };
        Recorded { seq, at: Timestamp(seq), event, names: Default::default() }
    });
    recorded.collect()
}

fn kept(log: &[Recorded<Event>]) -> Snapshot<Group> {
    Snapshot { fold_version: Group::FOLD_VERSION, state: Group::folded(log) }
}

/// Where the log is read from that is begun with this, and whether all of it comes to the same then.
fn begun(
    snapshot: Snapshot<Group>,
    untold: Option<u64>,
    log: &[Recorded<Event>],
) -> (Option<u64>, Vec<Action<Group>>) {
    let mut driver = asleep().untold(untold).kept(snapshot);
    driver.wake();
    let mut actions = claimed(&mut driver, log.len() as u64);
    let mut from = None;
    if let [Action::Store(StoreCall::Read { from: first })] = actions[..] {
        from = Some(first);
        actions = paged(&mut driver, &log[first as usize - 1..]);
    }
    if let [Action::Store(StoreCall::Touch(_))] = actions[..] {
        actions = touched(&mut driver);
    }
    assert!(driver.is_idle(), "{driver:?}");
    assert_eq!(*driver.fold(), Group::folded(log));
    (from, actions)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_state_at_any_position_and_what_follows_it_are_the_whole(
        bytes in prop::collection::vec((any::<u8>(), any::<u8>()), 0..60),
    ) {
        let log = log(&bytes);
        for split in 0..=log.len() {
            let (from, _) = begun(kept(&log[..split]), None, &log);
            let wanted = (split < log.len()).then_some(split as u64 + 1);
            prop_assert_eq!(from, wanted, "nothing is read twice");
        }
    }
}

/// Four events of two people.
fn short() -> Vec<Recorded<Event>> {
    log(&[(0, 1), (1, 1), (0, 4), (1, 3)])
}

#[test]
fn a_state_of_another_version_of_the_fold_counts_for_nothing() {
    let log = short();
    let mut state = Group::folded(&log[..2]);
    state.members.extend([ANN, BOB]);
    for fold_version in [Group::FOLD_VERSION - 1, Group::FOLD_VERSION + 1] {
        let (from, _) = begun(Snapshot { fold_version, state: state.clone() }, None, &log);
        assert_eq!(from, Some(1));
    }
}

#[test]
fn a_state_of_what_the_log_has_not_counts_for_nothing() {
    let log = short();
    let (from, _) = begun(kept(&log), None, &log[..3]);
    assert_eq!(from, Some(1));
}

#[test]
fn what_nobody_was_told_of_is_read_and_told_whatever_was_kept() {
    let log = short();
    for (untold, wanted) in [(1, Some(1)), (2, Some(3)), (3, Some(3))] {
        let (from, actions) = begun(kept(&log[..2]), Some(untold), &log);
        assert_eq!(from, wanted, "untold after {untold}");
        let [Action::PublishLate(told)] = &actions[..] else { panic!("{actions:?}") };
        let told: Vec<u64> = told.iter().map(|told| told.recorded.seq).collect();
        assert_eq!(told, (untold + 1..=4).collect::<Vec<_>>());
    }
}

#[test]
fn a_look_reads_from_the_first_event_whatever_was_kept_and_so_does_a_claim_after_it() {
    let log = short();
    // Somebody has seen all of it; meanwhile one event has turned out not to be in it, or it was forgotten.
    for seen in [&log[..], &log[..3], &[]] {
        let mut driver = asleep().kept(kept(&log));
        let first = [Action::Store(StoreCall::Read { from: 1 })];
        assert_eq!(driver.look(), first);
        assert!(paged(&mut driver, seen).is_empty());
        assert_eq!(*driver.fold(), Group::folded(seen), "what is shown is in the log");
        driver.wake();
        assert_eq!(claimed(&mut driver, 4), first, "what was seen may be gone");
    }
}

#[test]
#[should_panic(expected = "a state that was kept is dropped")]
fn a_state_that_was_kept_is_not_dropped_in_silence() {
    let _ = asleep().kept(kept(&short())).over(Group::new(RECENT));
}
