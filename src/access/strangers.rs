//! Strangers who wait for a password hash: one at a time has its turn. The next one is whoever's
//! network asked least lately, of equals who came first; when there is no place left, whoever's asked
//! most gives way. So a hundred networks that use up their first guesses at the same time keep nobody
//! out who has just come.
//!
//! Invariants: at most one turn, and as many waiting as there are places; a turn that ends, in
//! whatever way, goes to the next; nobody waits for longer than [`STRANGER_WAIT_LIMIT`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::limits::STRANGER_WAIT_LIMIT;

/// There is no place: as many wait whose networks asked no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoPlace;

/// See the module.
#[derive(Clone)]
pub(super) struct Strangers {
    line: Arc<Mutex<Line>>,
}

struct Line {
    places: usize,
    is_taken: bool,
    last: u64,
    /// Whom to tell, by how much the network had asked, and by arrival.
    waiting: BTreeMap<(u64, u64), oneshot::Sender<Turn>>,
}

/// The turn. The next one begins when it is dropped.
pub(super) struct Turn(Option<Strangers>);

impl Strangers {
    /// A line with so many places besides the one whose turn it is.
    pub fn new(places: usize) -> Self {
        let line = Line { places, is_taken: false, last: 0, waiting: BTreeMap::new() };
        Self { line: Arc::new(Mutex::new(line)) }
    }

    /// Waits for the turn of somebody whose network has asked so much lately. Errors when there is no
    /// place, when the place is given to somebody who asked less, and when it takes too long.
    pub async fn turn(&self, asked: u64) -> Result<Turn, NoPlace> {
        let waits = {
            let mut line = self.lock();
            if !line.is_taken {
                line.is_taken = true;
                return Ok(Turn(Some(self.clone())));
            }
            if line.waiting.len() >= line.places && !line.gives_way_to(asked) {
                return Err(NoPlace);
            }
            let (tell, waits) = oneshot::channel();
            line.last += 1;
            let place = (asked, line.last);
            line.waiting.insert(place, tell);
            waits
        };
        match tokio::time::timeout(STRANGER_WAIT_LIMIT, waits).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(NoPlace),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// Makes room for one whose network asked so much. Of those who asked most the one who came last
    /// goes: it has waited the least. Nobody goes for an equal.
    fn gives_way_to(&mut self, asked: u64) -> bool {
        // Whoever has gone away holds no place.
        self.waiting.retain(|_, tell| !tell.is_closed());
        let most = self.waiting.last_key_value().map(|((most, _), _)| *most);
        if self.waiting.len() >= self.places && most.is_some_and(|most| most > asked) {
            self.waiting.pop_last();
        }
        self.waiting.len() < self.places
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(mut strangers) = self.0.take() else { return };
        loop {
            let next = {
                let mut line = strangers.lock();
                let next = line.waiting.pop_first();
                line.is_taken = next.is_some();
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
        assert_eq!(strangers.turn(7).await.err(), Some(NoPlace), "not for one that asked as much");
        let mut fresh = Box::pin(strangers.turn(0));
        assert!(fresh.as_mut().now_or_never().is_none());
        assert_eq!(most.await.err(), Some(NoPlace));
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
