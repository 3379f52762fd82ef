//! Which reason is answered when several hold at once: that it is forgotten before everything, what the log
//! knows of a command before its time, its time before its state, and a no before the feed is told.

use crate::domain::{Recorded, Timestamp, UserId};
use crate::machine::driver::{Action, Input, StoreAnswer, StoreCall};
use crate::machine::fixture::{ANN, BOB, CHAT, CYD, command};
use crate::storage::StoreError;

use super::group::{Ask, Deed, Does, Done, Event, Group, How, Refusal};
use super::steps::{NOW, asleep, claimed, paged};
use super::world::done;

const DAN: UserId = UserId::from_u128(4);
const EVE: UserId = UserId::from_u128(5);

/// In its time, and too late.
const ALWAYS: Timestamp = Timestamp(u64::MAX);
const OVER: Timestamp = Timestamp(0);

/// Ann and Bob are members, Dan's invitation is open, Eve has declined; of what Ann did first only the log knows.
fn log() -> Vec<Recorded<Event>> {
    let events = [
        Event::Done(done(ANN, "a1", Deed::Joins)),
        Event::Done(done(BOB, "b1", Deed::Joins)),
        Event::Done(done(BOB, "b2", Deed::Invites(EVE))),
        Event::Settled((BOB, command("b2")), How::Declined),
        Event::Done(done(ANN, "a2", Deed::Writes(1))),
        Event::Done(done(ANN, "a3", Deed::Writes(2))),
        Event::Done(done(ANN, "a4", Deed::Invites(DAN))),
        Event::Done(done(BOB, "b3", Deed::Leaves)),
    ];
    let recorded = (1..).zip(events).map(|(seq, event)| Recorded {
        seq,
        at: Timestamp(NOW.0 - 100 + seq),
        event,
        names: Default::default(),
    });
    recorded.collect()
}

/// What a driver is like that is asked.
#[derive(Debug, Clone, Copy)]
enum Log {
    Whole,
    /// It cannot be read any more.
    Unreadable,
    Forgotten,
}

/// What comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    /// As the event there says.
    Known(u64),
    Later,
    Refused(Refusal),
    /// The feed is told, since something is to be written.
    Begun,
}
use Is::{Begun, Known, Later, Refused};

fn asked(state: Log, wanted: Done, until: Timestamp) -> Is {
    let (log, mut driver) = (log(), asleep());
    let input = Input::Call(1, Ask { wanted, until });
    if let Log::Forgotten = state {
        driver.input(NOW, input);
        let forgotten = StoreAnswer::Claimed(Err(StoreError::Forgotten { chat: CHAT }));
        let actions = driver.stored(NOW, forgotten);
        assert_eq!(actions[0], Action::Own(Does::Lists(None)), "nothing is left of it");
        return is(&actions[1..]);
    }
    driver.wake();
    claimed(&mut driver, log.len() as u64);
    paged(&mut driver, &log);
    // Refused, so that nothing can be written before it is told again.
    let busy = || StoreError::Unavailable { reason: "busy".into() };
    driver.stored(NOW, StoreAnswer::Touched(Err(busy())));
    let mut actions = driver.input(NOW, input);
    while let [Action::Store(StoreCall::Read { from })] = actions[..] {
        actions = match state {
            Log::Unreadable => driver.stored(NOW, StoreAnswer::Page(Err(busy()))),
            Log::Whole | Log::Forgotten => paged(&mut driver, &log[from as usize - 1..]),
        };
    }
    match &actions[..] {
        [] if !driver.held.is_empty() => Later,
        actions => is(actions),
    }
}

fn is(actions: &[Action<Group>]) -> Is {
    match actions {
        [Action::Answer(1, answer)] => answer.map_or_else(Refused, |answer| Known(answer.seq)),
        [Action::Store(StoreCall::Touch(_))] => Begun,
        actions => panic!("{actions:?}"),
    }
}

/// Where two reasons hold, and where only the second of them does.
type Pair = [(Log, Done, Timestamp, Is); 2];

#[test]
fn of_two_reasons_that_hold_the_first_is_answered() {
    use Log::{Forgotten, Unreadable, Whole};
    let joined = || done(ANN, "a1", Deed::Joins);
    let writes = |who, id: &str| done(who, id, Deed::Writes(9));
    let eve = || done(BOB, "b2", Deed::Invites(EVE));
    let dan = |who, id: &str| done(who, id, Deed::Invites(DAN));
    let late = Refused(Refusal::Late);
    let reused = Refused(Refusal::IdReused);
    let unavailable = Refused(Refusal::Unavailable);
    let pairs: Vec<Pair> = vec![
        // It is forgotten, whatever it knew.
        [
            (Forgotten, joined(), ALWAYS, Refused(Refusal::Unknown)),
            (Whole, joined(), ALWAYS, Known(1)),
        ],
        [
            (Forgotten, joined(), OVER, Refused(Refusal::Unknown)),
            (Whole, writes(ANN, "a9"), OVER, late),
        ],
        // What only the log knows, and what cannot be looked for, before its time and its state.
        [(Whole, joined(), OVER, Known(1)), (Whole, done(ANN, "a9", Deed::Joins), OVER, late)],
        [(Whole, writes(ANN, "a1"), OVER, reused), (Whole, writes(ANN, "a9"), OVER, late)],
        [(Unreadable, joined(), OVER, unavailable), (Whole, writes(ANN, "a9"), OVER, late)],
        [
            (Whole, joined(), ALWAYS, Known(1)),
            (Whole, done(ANN, "a9", Deed::Joins), ALWAYS, Refused(Refusal::Member)),
        ],
        // Likewise what is in memory, also of what is begun and what was settled.
        [(Whole, eve(), OVER, Refused(Refusal::Declined)), (Whole, dan(BOB, "b9"), OVER, late)],
        [(Whole, dan(ANN, "a4"), OVER, Later), (Whole, dan(ANN, "a9"), OVER, late)],
        [
            (Whole, dan(ANN, "a4"), ALWAYS, Later),
            (Whole, dan(ANN, "a9"), ALWAYS, Refused(Refusal::Invited)),
        ],
        [
            (Whole, writes(ANN, "a4"), ALWAYS, reused),
            (Whole, dan(ANN, "a9"), ALWAYS, Refused(Refusal::Invited)),
        ],
        // Its time before its state, whose it is before whom it is for.
        [
            (Whole, writes(CYD, "c1"), OVER, late),
            (Whole, writes(CYD, "c1"), ALWAYS, Refused(Refusal::NotMember)),
        ],
        [
            (Whole, dan(CYD, "c1"), ALWAYS, Refused(Refusal::NotMember)),
            (Whole, dan(ANN, "a9"), ALWAYS, Refused(Refusal::Invited)),
        ],
        [
            (Whole, done(CYD, "c1", Deed::Invites(ANN)), ALWAYS, Refused(Refusal::NotMember)),
            (Whole, done(ANN, "a9", Deed::Invites(ANN)), ALWAYS, Refused(Refusal::Member)),
        ],
        // What is refused is not told to the feed.
        [
            (Whole, writes(CYD, "c1"), ALWAYS, Refused(Refusal::NotMember)),
            (Whole, writes(ANN, "a9"), ALWAYS, Begun),
        ],
    ];
    for (n, pair) in pairs.into_iter().enumerate() {
        assert_ne!(pair[0].3, pair[1].3, "pair {n} tells nothing apart");
        for (log, wanted, until, wanted_is) in pair {
            let what = format!("{wanted:?} until {until} of pair {n}, {log:?}");
            assert_eq!(asked(log, wanted, until), wanted_is, "{what}");
        }
    }
}
