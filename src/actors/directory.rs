//! Who is where: the ids of running actors, and what waits for those that are starting.
//!
//! An entry is `Starting`, `Running`, `Stopping` or `Parked`. Starting is single-flight: whoever sends to
//! an id that is not there, or is parked, asks its supervisor once, and of what is sent meanwhile
//! [`PENDING_MAX`] messages wait; the others are lost. An entry is only ever changed by the life that it is
//! about.
//!
//! Calls of clients carry a permit of the addressee's, so that of these a mailbox holds
//! [`CALLS_MAX`] at most. Messages between actors need none, and nothing here bounds them: there are
//! as many as chats, operators and queues owe to each other, and while the addressee does not get to
//! them each is said again, ever more seldom, every two seconds in the end. They may be lost here,
//! which is harmless to a life that begins: it asks. One that goes on is told that it lost something ([`Lost`]),
//! and ends.

use std::hash::Hash;
use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry as MapEntry;
use ractor::{ActorRef, Message};
use tokio::sync::Semaphore;

use crate::machine::Life;

use super::held::{CallPermit, calls_under_way};
use super::limits::{CALLS_MAX, PENDING_MAX};

/// The addressee has as many calls as it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many calls wait for the same chat or operator; try again a little later")]
pub struct Overloaded;

/// More was sent to the addressee, while it had no actor that takes it, than waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more was said to it than waits while it starts or stops")]
pub struct Lost;

/// How a life, or an actor of it, has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Nobody is to be started for it.
    Gone,
    /// The life goes on with the next actor, which is started once something is sent to it.
    Parked,
    /// Another one is to be started though nobody sends to it.
    Again,
}

enum EntryState<M> {
    Starting(Vec<M>),
    Running(ActorRef<M>),
    Stopping(Vec<M>),
    Parked,
}

struct Entry<M> {
    life: Life,
    state: EntryState<M>,
    /// Something was sent that did not wait.
    lost: bool,
    calls: Arc<Semaphore>,
}

/// One kind of actor. See the module.
pub struct Directory<K: Eq + Hash, M> {
    entries: DashMap<K, Entry<M>>,
}

impl<K: Eq + Hash + Copy, M: Message> Directory<K, M> {
    /// An empty one.
    #[allow(clippy::new_without_default, reason = "there is nothing default about it")]
    pub fn new() -> Self {
        Self { entries: DashMap::new() }
    }

    /// How many there are, starting, stopping and parked ones included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Sends to an actor. Answers whether it has to be started, which the caller then asks its
    /// supervisor for.
    #[must_use = "an actor that nobody starts keeps what is sent to it for ever"]
    pub fn send(&self, key: K, message: M) -> bool {
        match self.entries.entry(key) {
            MapEntry::Vacant(vacant) => {
                vacant.insert(Entry::starting(vec![message], fresh_permits()));
                true
            }
            MapEntry::Occupied(mut occupied) => occupied.get_mut().deliver(message),
        }
    }

    /// Sends a call with a permit of the addressee's, in one step: so no call is in a mailbox that
    /// is not counted there. Answers like [`Self::send`]; errors when it has [`CALLS_MAX`] calls.
    pub fn call(&self, key: K, call: impl FnOnce(CallPermit) -> M) -> Result<bool, Overloaded> {
        self.calls(key, 1, call)
    }

    /// The same of so many calls that come in one message.
    pub fn calls(
        &self,
        key: K,
        number: u32,
        call: impl FnOnce(CallPermit) -> M,
    ) -> Result<bool, Overloaded> {
        let permits = |calls: &Arc<Semaphore>| {
            Arc::clone(calls).try_acquire_many_owned(number).map_err(|_| Overloaded)
        };
        match self.entries.entry(key) {
            MapEntry::Vacant(vacant) => {
                let calls = fresh_permits();
                let permit = permits(&calls)?;
                vacant.insert(Entry::starting(vec![call(CallPermit::new(permit))], calls));
                Ok(true)
            }
            MapEntry::Occupied(mut occupied) => {
                let permit = permits(&occupied.get().calls)?;
                Ok(occupied.get_mut().deliver(call(CallPermit::new(permit))))
            }
        }
    }

    /// Sends to an actor that is there, or is coming, going or parked: for what a life that nobody has
    /// asked for need not know. Answers like [`Self::send`].
    #[must_use = "an actor that nobody starts keeps what is sent to it for ever"]
    pub fn send_if_there(&self, key: K, message: M) -> bool {
        self.entries.get_mut(&key).is_some_and(|mut entry| entry.deliver(message))
    }

    /// Makes an entry for an actor that is to be started though nobody sends to it. Answers
    /// whether it has to be: there was none, or it was parked.
    pub fn reserve(&self, key: K) -> bool {
        match self.entries.entry(key) {
            MapEntry::Vacant(vacant) => {
                vacant.insert(Entry::starting(Vec::new(), fresh_permits()));
                true
            }
            MapEntry::Occupied(mut occupied) => occupied.get_mut().unpark(Vec::new()),
        }
    }

    /// The actor does not stop: it gets what was sent meanwhile, in order, and all that follows. Errors as
    /// [`Self::started`].
    pub fn go_on(&self, key: K, life: Life, actor: ActorRef<M>) -> Result<(), Lost> {
        match self.entries.get_mut(&key) {
            Some(mut entry)
                if entry.life == life && matches!(entry.state, EntryState::Stopping(_)) =>
            {
                entry.run(actor)
            }
            _ => Ok(()),
        }
    }

    /// Gives up what is parked of that life. Answers whether it was: an actor that is being started has it
    /// from now on otherwise.
    pub fn give_up_parked(&self, key: K, life: Life) -> bool {
        let is_parked =
            |entry: &Entry<M>| entry.life == life && matches!(entry.state, EntryState::Parked);
        self.entries.remove_if(&key, |_, entry| is_parked(entry)).is_some()
    }

    /// The actor runs: it gets what waited, in order, and all that follows. Errors when something did not
    /// wait: then a life that goes on may have missed what is said once, and has to end.
    pub fn started(&self, key: K, life: Life, actor: ActorRef<M>) -> Result<(), Lost> {
        let fresh = || Entry::starting(Vec::new(), fresh_permits());
        let mut entry = self.entries.entry(key).or_insert_with(fresh);
        let entry = entry.value_mut();
        entry.life = life;
        entry.run(actor)
    }

    /// Lets the actor stop if no call is on its way to it: what is sent from now on is not for it. Answers
    /// whether it may. It does so once it has handled what was sent before, or goes on after all.
    pub fn begin_stop(&self, key: K, life: Life) -> bool {
        let Some(mut entry) = self.entries.get_mut(&key) else { return false };
        let running = entry.life == life && matches!(entry.state, EntryState::Running(_));
        if !running || calls_under_way(&entry.calls) > 0 {
            return false;
        }
        entry.state = EntryState::Stopping(Vec::new());
        true
    }

    /// That life has ended, or its actor has. Answers whether another has to be started, because something
    /// waits for it or `ending` says so.
    pub fn ended(&self, key: K, life: Life, ending: Ending) -> bool {
        let MapEntry::Occupied(mut occupied) = self.entries.entry(key) else {
            return ending == Ending::Again;
        };
        if occupied.get().life != life {
            return false;
        }
        let waiting = match &mut occupied.get_mut().state {
            EntryState::Running(_) | EntryState::Parked => Vec::new(),
            EntryState::Starting(waiting) | EntryState::Stopping(waiting) => {
                std::mem::take(waiting)
            }
        };
        match ending {
            Ending::Gone if waiting.is_empty() => {
                occupied.remove();
                false
            }
            Ending::Parked if waiting.is_empty() => {
                occupied.get_mut().state = EntryState::Parked;
                false
            }
            // The permits stay: calls that the life lost have given theirs back, those that wait
            // still hold them.
            Ending::Gone | Ending::Parked | Ending::Again => {
                let entry = occupied.get_mut();
                if ending != Ending::Parked {
                    entry.life = 0;
                }
                entry.state = EntryState::Starting(waiting);
                true
            }
        }
    }

    /// An actor could not be started: its entry goes unless it is `wanted` still, in one step, so that
    /// whoever wants it anew finds an entry that is being started or none. Answers whether it is to be
    /// started again. What waits for one that is not is lost; callers see that nobody answers, and ask
    /// again.
    pub fn give_up(&self, key: K, wanted: impl FnOnce() -> bool) -> bool {
        let MapEntry::Occupied(occupied) = self.entries.entry(key) else { return false };
        if !matches!(occupied.get().state, EntryState::Starting(_)) {
            return false;
        }
        let again = wanted();
        if !again {
            occupied.remove();
        }
        again
    }

    /// Whether there is one, starting, stopping or parked ones included.
    pub fn contains(&self, key: K) -> bool {
        self.entries.contains_key(&key)
    }

    /// The ids that there are.
    pub fn keys(&self) -> Vec<K> {
        self.entries.iter().map(|entry| *entry.key()).collect()
    }

    /// How many are parked.
    pub fn parked(&self) -> usize {
        let is_parked = |state: &EntryState<M>| matches!(state, EntryState::Parked);
        self.entries.iter().filter(|entry| is_parked(&entry.state)).count()
    }

    /// How many permits for calls are in use over all actors.
    pub fn calls_under_way(&self) -> usize {
        self.entries.iter().map(|entry| calls_under_way(&entry.calls)).sum()
    }
}

impl<M: Message> Entry<M> {
    fn starting(waiting: Vec<M>, calls: Arc<Semaphore>) -> Self {
        Self { life: 0, state: EntryState::Starting(waiting), lost: false, calls }
    }

    fn run(&mut self, actor: ActorRef<M>) -> Result<(), Lost> {
        if let EntryState::Starting(waiting) | EntryState::Stopping(waiting) = &mut self.state {
            for message in waiting.drain(..) {
                let _ = actor.send_message(message);
            }
        }
        self.state = EntryState::Running(actor);
        if std::mem::take(&mut self.lost) { Err(Lost) } else { Ok(()) }
    }

    /// Answers whether it has to be started.
    fn deliver(&mut self, message: M) -> bool {
        match &mut self.state {
            // One that has just failed: the message is repeated to its next life.
            EntryState::Running(actor) => drop(actor.send_message(message)),
            EntryState::Starting(waiting) | EntryState::Stopping(waiting) => {
                if waiting.len() < PENDING_MAX {
                    waiting.push(message);
                } else {
                    self.lost = true;
                }
            }
            EntryState::Parked => return self.unpark(vec![message]),
        }
        false
    }

    /// Answers whether it was parked, and has to be started.
    fn unpark(&mut self, waiting: Vec<M>) -> bool {
        let is_parked = matches!(self.state, EntryState::Parked);
        if is_parked {
            self.state = EntryState::Starting(waiting);
        }
        is_parked
    }
}

fn fresh_permits() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(CALLS_MAX))
}

#[cfg(test)]
mod tests {
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
}
