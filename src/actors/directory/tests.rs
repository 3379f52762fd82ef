use ractor::{Actor, ActorProcessingErr};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::*;

const KEY: u8 = 1;

/// A call with its number, or a word that needs no permit.
type Heard = (u32, Option<CallPermit>);

/// Passes on what it is sent.
struct Ear;

impl Actor for Ear {
    type Msg = Heard;
    type State = UnboundedSender<Heard>;
    type Arguments = UnboundedSender<Heard>;

    async fn pre_start(
        &self,
        _: ActorRef<Heard>,
        to: UnboundedSender<Heard>,
    ) -> Result<UnboundedSender<Heard>, ActorProcessingErr> {
        Ok(to)
    }

    async fn handle(
        &self,
        _: ActorRef<Heard>,
        heard: Heard,
        to: &mut UnboundedSender<Heard>,
    ) -> Result<(), ActorProcessingErr> {
        Ok(to.send(heard)?)
    }
}

async fn ear() -> (ActorRef<Heard>, UnboundedReceiver<Heard>) {
    let (to, heard) = unbounded_channel();
    (Actor::spawn(None, Ear, to).await.unwrap().0, heard)
}

fn call(directory: &Directory<u8, Heard>, n: u32) -> Result<bool, Overloaded> {
    directory.call(KEY, |permit| (n, Some(permit)))
}

#[tokio::test]
async fn one_stops_only_in_its_own_life_and_while_no_call_is_on_its_way() {
    let directory = Directory::new();
    let (actor, mut heard) = ear().await;
    assert_eq!(call(&directory, 1), Ok(true));
    assert!(!directory.begin_stop(KEY, 0), "it is starting");
    directory.started(KEY, 5, actor).unwrap();
    let (_, permit) = heard.recv().await.unwrap();
    assert!(!directory.begin_stop(KEY, 5), "a call is with it");
    drop(permit);
    assert!(!directory.begin_stop(KEY, 4), "a former life");
    assert!(directory.begin_stop(KEY, 5));
    assert!(!directory.begin_stop(KEY, 5), "it is stopping");
}

#[tokio::test]
async fn what_comes_while_one_stops_waits_for_the_next_life_and_is_counted_there() {
    let directory = Directory::new();
    let (actor, _former) = ear().await;
    assert!(directory.reserve(KEY));
    directory.started(KEY, 5, actor).unwrap();
    assert!(directory.begin_stop(KEY, 5));
    assert_eq!(call(&directory, 1), Ok(false), "its end starts it");
    assert!(!directory.send(KEY, (2, None)));
    assert!(directory.ended(KEY, 5, Ending::Gone), "something waits for it");
    assert_eq!(directory.calls_under_way(), 1);
    for n in 3..CALLS_MAX as u32 + 2 {
        assert_eq!(call(&directory, n), Ok(false));
    }
    assert_eq!(call(&directory, 0), Err(Overloaded), "those of before are counted");
    let (actor, mut heard) = ear().await;
    directory.started(KEY, 6, actor).unwrap();
    for n in 1..CALLS_MAX as u32 + 2 {
        assert_eq!(heard.recv().await.unwrap().0, n);
    }
    assert_eq!(directory.calls_under_way(), 0);
    assert!(directory.begin_stop(KEY, 6));
    assert!(!directory.ended(KEY, 6, Ending::Gone), "nothing waits");
    assert!(!directory.contains(KEY));
}

#[tokio::test]
async fn the_end_of_a_former_life_is_nothing_to_the_present_one() {
    let directory = Directory::new();
    assert!(directory.reserve(KEY));
    directory.started(KEY, 5, ear().await.0).unwrap();
    assert!(directory.ended(KEY, 5, Ending::Again), "it failed, and is wanted");
    let (actor, mut heard) = ear().await;
    directory.started(KEY, 6, actor).unwrap();
    for ending in [Ending::Gone, Ending::Parked, Ending::Again] {
        assert!(!directory.ended(KEY, 5, ending), "it is there");
        assert!(!directory.send(KEY, (1, None)));
        assert_eq!(heard.recv().await.unwrap().0, 1);
    }
}

#[tokio::test]
async fn one_that_is_parked_is_started_by_the_next_word_and_stays_the_same_life() {
    let directory = Directory::new();
    let (actor, _former) = ear().await;
    assert!(directory.reserve(KEY));
    directory.started(KEY, 5, actor).unwrap();
    assert!(directory.begin_stop(KEY, 5));
    assert!(!directory.ended(KEY, 5, Ending::Parked), "nothing waits for it");
    assert_eq!((directory.parked(), directory.len()), (1, 1));
    assert!(directory.contains(KEY));
    assert!(directory.send_if_there(KEY, (1, None)), "nobody starts it but who sends");
    assert!(!directory.send(KEY, (2, None)), "it is being started");
    assert!(!directory.give_up_parked(KEY, 5), "the next actor has it");
    let (actor, mut heard) = ear().await;
    directory.started(KEY, 5, actor).unwrap();
    assert_eq!([heard.recv().await.unwrap().0, heard.recv().await.unwrap().0], [1, 2]);
    // What comes while it stops is for the actor that follows at once.
    assert!(directory.begin_stop(KEY, 5));
    assert!(!directory.send(KEY, (3, None)));
    assert!(directory.ended(KEY, 5, Ending::Parked));
    let (actor, mut heard) = ear().await;
    directory.started(KEY, 5, actor).unwrap();
    assert_eq!(heard.recv().await.unwrap().0, 3);
    for start in [
        |directory: &Directory<u8, Heard>| Ok(directory.reserve(KEY)),
        |directory: &Directory<u8, Heard>| call(directory, 4),
    ] {
        assert!(directory.begin_stop(KEY, 5));
        assert!(!directory.ended(KEY, 5, Ending::Parked));
        assert_eq!(start(&directory), Ok(true));
        directory.started(KEY, 5, ear().await.0).unwrap();
    }
}

#[tokio::test]
async fn one_that_does_not_stop_after_all_gets_what_was_sent_meanwhile() {
    let directory = Directory::new();
    let (actor, mut heard) = ear().await;
    assert!(directory.reserve(KEY));
    directory.started(KEY, 5, actor.clone()).unwrap();
    assert!(directory.begin_stop(KEY, 5));
    assert_eq!(call(&directory, 1), Ok(false));
    directory.go_on(KEY, 4, actor.clone()).unwrap();
    assert!(!directory.send(KEY, (2, None)), "a former life changes nothing");
    directory.go_on(KEY, 5, actor).unwrap();
    assert!(!directory.send(KEY, (3, None)));
    for n in 1..=3 {
        assert_eq!(heard.recv().await.unwrap().0, n);
    }
    assert!(directory.begin_stop(KEY, 5));
}

#[tokio::test]
async fn one_that_lost_a_word_says_so_once_it_runs() {
    let directory = Directory::new();
    assert!(directory.reserve(KEY));
    let (actor, _heard) = ear().await;
    for n in 0..PENDING_MAX {
        assert!(!directory.send(KEY, (n as u32, None)));
    }
    directory.started(KEY, 5, actor.clone()).unwrap();
    assert!(directory.begin_stop(KEY, 5));
    for n in 0..=PENDING_MAX {
        assert!(!directory.send(KEY, (n as u32, None)));
    }
    assert_eq!(directory.go_on(KEY, 5, actor.clone()), Err(Lost));
    assert!(directory.begin_stop(KEY, 5));
    assert_eq!(directory.go_on(KEY, 5, actor.clone()), Ok(()), "that was said");
    assert!(directory.begin_stop(KEY, 5));
    for n in 0..=PENDING_MAX {
        assert!(!directory.send(KEY, (n as u32, None)));
    }
    assert!(directory.ended(KEY, 5, Ending::Parked));
    assert_eq!(directory.started(KEY, 5, actor), Err(Lost));
}

#[tokio::test]
async fn what_is_parked_is_given_up_unless_it_is_wanted_again() {
    let directory = Directory::new();
    assert!(directory.reserve(KEY));
    directory.started(KEY, 5, ear().await.0).unwrap();
    assert!(!directory.give_up_parked(KEY, 5), "it runs");
    assert!(directory.begin_stop(KEY, 5));
    assert!(!directory.give_up_parked(KEY, 5), "it is stopping");
    assert!(!directory.ended(KEY, 5, Ending::Parked));
    assert!(!directory.give_up_parked(KEY, 4), "a former life");
    assert!(directory.give_up_parked(KEY, 5));
    assert!(!directory.contains(KEY));
    assert!(!directory.send_if_there(KEY, (1, None)));
}

#[tokio::test]
async fn one_that_could_not_be_started_stays_if_it_was_wanted_anew_in_that_moment() {
    let directory = Directory::new();
    assert!(!directory.give_up(KEY, || true), "whoever wants it makes an entry");
    assert!(directory.send(KEY, (1, None)));
    assert!(directory.give_up(KEY, || true));
    let (actor, mut heard) = ear().await;
    directory.started(KEY, 5, actor).unwrap();
    assert_eq!(heard.recv().await.unwrap().0, 1, "what waits for it is not lost");
    assert!(!directory.give_up(KEY, || false), "it runs");
    assert!(directory.contains(KEY));
    assert!(directory.ended(KEY, 5, Ending::Again));
    assert!(!directory.give_up(KEY, || false));
    assert!(directory.reserve(KEY), "nobody starts it: whoever wants it does");
}
