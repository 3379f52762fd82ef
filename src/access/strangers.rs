//! Strangers who wait for a password hash: one at a time has its turn. The next one is whoever's
//! network asked least lately, of equals who came first; when no more may wait, whoever's asked
//! most gives way. So a hundred networks that use up their first guesses at the same time keep nobody
//! out who has just come.
//!
//! Invariants: at most one turn, and at most so many wait; a turn that ends, in
//! whatever way, goes to the next; nobody waits for longer than [`STRANGER_WAIT_LIMIT`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::limits::STRANGER_WAIT_LIMIT;

/// As many wait as may, whose networks asked no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

/// See the module.
#[derive(Clone)]
pub(super) struct Strangers {
    waiting: Arc<Mutex<Waiting>>,
}

struct Waiting {
    most: usize,
    is_taken: bool,
    last: u64,
    /// Whom to tell, by how much the network had asked, and by arrival.
    tells: BTreeMap<(u64, u64), oneshot::Sender<Turn>>,
}

/// The turn. The next one begins when it is dropped.
pub(super) struct Turn(Option<Strangers>);

impl Strangers {
    /// At most so many wait besides the one whose turn it is.
    pub fn new(most: usize) -> Self {
        let waiting = Waiting { most, is_taken: false, last: 0, tells: BTreeMap::new() };
        Self { waiting: Arc::new(Mutex::new(waiting)) }
    }

    /// Waits for the turn of somebody whose network has asked so much lately. Errors when no more may
    /// wait, when it gives way to somebody who asked less, and when it takes too long.
    pub async fn turn(&self, asked: u64) -> Result<Turn, Full> {
        let waits = {
            let mut waiting = self.lock();
            if !waiting.is_taken {
                waiting.is_taken = true;
                return Ok(Turn(Some(self.clone())));
            }
            if waiting.tells.len() >= waiting.most && !waiting.gives_way_to(asked) {
                return Err(Full);
            }
            let (tell, waits) = oneshot::channel();
            waiting.last += 1;
            let order = (asked, waiting.last);
            waiting.tells.insert(order, tell);
            waits
        };
        match tokio::time::timeout(STRANGER_WAIT_LIMIT, waits).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(Full),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Makes room for one whose network asked so much. Of those who asked most the one who came last
    /// goes: it has waited the least. Nobody goes for an equal.
    fn gives_way_to(&mut self, asked: u64) -> bool {
        // Whoever has gone away waits no more.
        self.tells.retain(|_, tell| !tell.is_closed());
        let most = self.tells.last_key_value().map(|((most, _), _)| *most);
        if self.tells.len() >= self.most && most.is_some_and(|most| most > asked) {
            self.tells.pop_last();
        }
        self.tells.len() < self.most
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(mut strangers) = self.0.take() else { return };
        loop {
            let next = {
                let mut waiting = strangers.lock();
                let next = waiting.tells.pop_first();
                waiting.is_taken = next.is_some();
                next
            };
            let Some((_, tell)) = next else { return };
            match tell.send(Turn(Some(strangers))) {
                Ok(()) => return,
                // It has gone away.
                Err(mut back) => match back.0.take() {
                    Some(same) => strangers = same,
                    None => return,
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn turns_of_equals_go_by_arrival_and_who_goes_away_is_passed_over() {
        let strangers = Strangers::new(3);
        let first = strangers.turn(9).await.unwrap();
        let mut waits: Vec<_> = (0..3).map(|_| Box::pin(strangers.turn(0))).collect();
        assert!(waits.iter_mut().all(|waits| waits.now_or_never().is_none()));
        drop(waits.remove(0));
        drop(first);
        let second = waits.remove(0).now_or_never().unwrap().unwrap();
        assert!(waits[0].as_mut().now_or_never().is_none(), "one at a time");
        drop(second);
        drop(waits.remove(0).await.unwrap());
        assert!(strangers.turn(0).now_or_never().unwrap().is_ok(), "nobody has it");
    }

    #[tokio::test]
    async fn the_network_that_asked_most_gives_way_and_the_one_that_asked_least_is_next() {
        let strangers = Strangers::new(2);
        let first = strangers.turn(0).await.unwrap();
        let (mut some, mut most) = (Box::pin(strangers.turn(3)), Box::pin(strangers.turn(7)));
        assert!(some.as_mut().now_or_never().is_none() && most.as_mut().now_or_never().is_none());
        assert_eq!(strangers.turn(7).await.err(), Some(Full), "not for one that asked as much");
        let mut fresh = Box::pin(strangers.turn(0));
        assert!(fresh.as_mut().now_or_never().is_none());
        assert_eq!(most.await.err(), Some(Full));
        drop(first);
        assert!(some.as_mut().now_or_never().is_none());
        drop(fresh.await.unwrap());
        assert!(some.await.is_ok());
    }

    #[tokio::test]
    async fn a_turn_that_nobody_took_up_goes_on() {
        let strangers = Strangers::new(1);
        let first = strangers.turn(0).await.unwrap();
        let mut waits = Box::pin(strangers.turn(0));
        assert!(waits.as_mut().now_or_never().is_none());
        drop(first);
        drop(waits);
        assert!(strangers.turn(0).now_or_never().unwrap().is_ok());
    }
}
