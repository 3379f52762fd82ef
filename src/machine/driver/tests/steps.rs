//! What is done in which order, of an aggregate that has little but its log.

use crate::domain::{Recorded, Timestamp};
use crate::machine::driver::{Action, Answer, Driver, Effect, Input, StoreAnswer, StoreCall};
use crate::machine::fixture::{ANN, command};
use crate::storage::{Claimed, StoreError};

use super::group::{Ask, Deed, Does, Done, Event, Group, Listed, RECENT, Refusal};

pub const NOW: Timestamp = Timestamp(20_000);

pub fn asleep() -> Driver<Group> {
    Driver::new(Group::new(RECENT), (), Listed(Some(None)), None)
}

pub fn claimed(driver: &mut Driver<Group>, tail: u64) -> Vec<Action<Group>> {
    driver.stored(NOW, StoreAnswer::Claimed(Ok(Claimed { claim: 1, tail })))
}

pub fn paged(driver: &mut Driver<Group>, log: &[Recorded<Event>]) -> Vec<Action<Group>> {
    driver.stored(NOW, StoreAnswer::Page(Ok(log.to_vec())))
}

pub fn touched(driver: &mut Driver<Group>) -> Vec<Action<Group>> {
    driver.stored(NOW, StoreAnswer::Touched(Ok(())))
}

fn joins(call: u64) -> Input<Group> {
    let wanted = Done { who: ANN, command: command("a1"), deed: Deed::Joins };
    Input::Call(call, Ask { wanted, until: NOW })
}

#[test]
fn what_has_no_row_is_claimed_touched_appended_told_and_answered() {
    let mut driver = asleep();
    assert!(driver.is_idle() && !driver.is_claimed());
    assert_eq!(driver.input(NOW, joins(1)), [Action::Store(StoreCall::Claim)]);
    let touch = claimed(&mut driver, 0);
    assert!(matches!(touch[..], [Action::Store(StoreCall::Touch(_))]), "{touch:?}");
    let append = touched(&mut driver);
    assert!(matches!(append[..], [Action::Store(StoreCall::Append(1, _))]), "{append:?}");
    assert!(driver.fold().members.is_empty(), "nothing is applied before it is durable");
    let told = driver.stored(NOW, StoreAnswer::Appended(Ok(())));
    assert!(matches!(told[..], [Action::Publish(_), Action::Answer(1, Ok(_))]), "{told:?}");
    assert!(driver.can_rest() && driver.next_deadline().is_none());
}

#[test]
#[should_panic(expected = "an answer is given before it is durable")]
fn an_answer_that_an_aggregate_gives_too_early_is_a_fault() {
    let answer = Ok(Answer { seq: 1, at: NOW });
    asleep().carry_out(NOW, vec![Effect::Answer(1, answer)], &mut Vec::new());
}

#[test]
fn what_is_forgotten_is_known_to_nobody() {
    let mut driver = asleep();
    driver.input(NOW, joins(1));
    let forgotten =
        StoreAnswer::Claimed(Err(StoreError::Forgotten { chat: crate::machine::fixture::CHAT }));
    let unknown = |call| [Action::Answer(call, Err(Refusal::Unknown))];
    let unlisted = Action::Own(Does::Lists(None));
    let [first] = unknown(1);
    assert_eq!(driver.stored(NOW, forgotten), [unlisted.clone(), first], "nothing is left of it");
    assert_eq!(driver.input(NOW, joins(2)), unknown(2));
    assert!(driver.input(NOW, Input::Tick).is_empty());
    // One that is let go of likewise.
    let mut driver = asleep();
    driver.wake();
    assert_eq!(driver.let_go(), None, "not while the store is asked");
    claimed(&mut driver, 0);
    assert_eq!(driver.let_go(), Some(vec![unlisted]));
    assert_eq!(driver.input(NOW, joins(3)), unknown(3));
}
