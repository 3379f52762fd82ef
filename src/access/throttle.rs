//! Slows guessing at passwords so that nobody can be locked out by it. A plain machine: time comes
//! in.
//!
//! A guess is taken out of the buckets of whoever makes it: of its network at this login, and of
//! its network at all logins; or, when it carries the device mark of a log-in before, of
//! that device. So a guess costs nobody else anything, and n networks guess at most n times as fast
//! as one. It is taken before the password is looked at, so that a thousand at once gain nothing,
//! and given back when it was right. Where a login is guessed at from everywhere, answers to
//! networks that never knew its password come later.

use std::collections::HashMap;

use uuid::Uuid;

use super::buckets::Buckets;
use super::hour::LastHour;
use super::limits::{
    ASKED_MS, GUESS_EVERY_MS, GUESSERS_MAX, GUESSES, NETWORK_GUESS_EVERY_MS, NETWORK_GUESSES,
    SEEN_NETWORKS_MAX, UNSEEN_DELAY_MS, WAIT_STEP_MS, WRONG_IN_AN_HOUR_MAX,
};
use super::network::Network;
use crate::domain::{Timestamp, UserId};

/// Too many guesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many attempts; try again in {} s", .retry_after_ms / 1_000)]
pub struct Throttled {
    /// When the next guess is taken, ms from now, rounded up.
    pub retry_after_ms: u64,
}

/// A guess at a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guess {
    /// The login as it was given, in lower case.
    pub login: String,
    /// Where it comes from.
    pub network: Network,
    /// The device whose device mark it carries, if that counts for this login.
    pub device: Option<Uuid>,
    /// Whose login it is, if anybody's.
    pub user: Option<UserId>,
}

/// A guess that may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Whether the device or the network has known this login's password before.
    pub known: bool,
    /// How often its network had asked lately, whether there was room for it or not, before this one.
    pub asked: u64,
    /// How long its answer is kept back, ms, whatever it is.
    pub delay_ms: u64,
}

/// The guesses of everybody.
#[derive(Debug)]
pub struct Guesses {
    at_login: Buckets<(String, Network)>,
    of_network: Buckets<Network>,
    of_device: Buckets<Uuid>,
    /// How often each network asked lately. Nothing is given back, and nothing refused for it.
    asked: Buckets<Network>,
    wrong: LastHour,
    /// Where each user's right password came from, with the last time.
    seen: HashMap<UserId, Vec<(Network, Timestamp)>>,
}

impl Default for Guesses {
    fn default() -> Self {
        Self {
            at_login: Buckets::new(GUESSES, GUESS_EVERY_MS, GUESSERS_MAX),
            of_network: Buckets::new(NETWORK_GUESSES, NETWORK_GUESS_EVERY_MS, GUESSERS_MAX),
            of_device: Buckets::new(GUESSES, GUESS_EVERY_MS, GUESSERS_MAX),
            asked: Buckets::new(1, ASKED_MS, GUESSERS_MAX),
            wrong: LastHour::new(GUESSERS_MAX),
            seen: HashMap::new(),
        }
    }
}

impl Guesses {
    /// Takes the guess. Errors when there is none left; then nothing is taken.
    pub fn take(&mut self, guess: &Guess, now: Timestamp) -> Result<Taken, Throttled> {
        let here = (guess.login.clone(), guess.network);
        let wait_ms = match guess.device {
            Some(device) => self.of_device.wait_ms(&device, now),
            None => {
                let of_network = self.of_network.wait_ms(&guess.network, now);
                self.at_login.wait_ms(&here, now).max(of_network)
            }
        };
        if wait_ms > 0 {
            return Err(Throttled { retry_after_ms: wait_ms.next_multiple_of(WAIT_STEP_MS) });
        }
        let asked = self.asked.taken(&guess.network, now);
        self.asked.take(&guess.network, now);
        match guess.device {
            Some(device) => self.of_device.take(&device, now),
            None => {
                self.at_login.take(&here, now);
                self.of_network.take(&guess.network, now);
            }
        }
        let seen = guess.user.and_then(|user| self.seen.get(&user));
        let seen = seen.is_some_and(|seen| seen.iter().any(|(known, _)| *known == guess.network));
        let known = seen || guess.device.is_some();
        let guessed_at = self.wrong.of(&guess.login, now) > WRONG_IN_AN_HOUR_MAX;
        let delay_ms = if guessed_at && !known { UNSEEN_DELAY_MS } else { 0 };
        Ok(Taken { known, asked, delay_ms })
    }

    /// Nothing was learned from the guess: it costs nothing.
    pub fn give_back(&mut self, guess: &Guess, now: Timestamp) {
        match guess.device {
            Some(device) => self.of_device.give_back(&device, now),
            None => {
                self.at_login.give_back(&(guess.login.clone(), guess.network), now);
                self.of_network.give_back(&guess.network, now);
            }
        }
    }

    /// The guess was the password. It costs nothing, and the network is known from now on; other
    /// guesses of the network stay taken.
    pub fn right(&mut self, guess: &Guess, now: Timestamp) {
        self.give_back(guess, now);
        let Some(user) = guess.user else { return };
        let seen = self.seen.entry(user).or_default();
        seen.retain(|(known, _)| *known != guess.network);
        if seen.len() >= SEEN_NETWORKS_MAX {
            // They stand in the order of their last times.
            seen.remove(0);
        }
        seen.push((guess.network, now));
    }

    /// The guess was wrong. Answers whether with this one the login is guessed at from everywhere.
    pub fn wrong(&mut self, guess: &Guess, now: Timestamp) -> bool {
        self.wrong.count(&guess.login, now) == WRONG_IN_AN_HOUR_MAX + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);
    const ANNA: UserId = UserId::from_u128(1);

    fn network(n: u32) -> Network {
        Network::of_client(std::net::IpAddr::V4((0x0a00_0000 + n).into()))
    }

    fn guess(login: &str, n: u32) -> Guess {
        let user = (login == "anna").then_some(ANNA);
        Guess { login: login.to_owned(), network: network(n), device: None, user }
    }

    fn wrong(guesses: &mut Guesses, guess: &Guess, now: Timestamp) -> Result<Taken, Throttled> {
        let taken = guesses.take(guess, now);
        if taken.is_ok() {
            guesses.wrong(guess, now);
        }
        taken
    }

    fn is_taken(guesses: &mut Guesses, guess: &Guess) -> bool {
        guesses.take(guess, NOW).is_ok()
    }

    #[test]
    fn a_network_has_five_guesses_at_a_login_and_then_one_a_minute() {
        let mut guesses = Guesses::default();
        let (here, now) = (guess("anna", 1), NOW);
        for _ in 0..GUESSES {
            wrong(&mut guesses, &here, now).unwrap();
        }
        let late = Err(Throttled { retry_after_ms: 60_000 });
        assert_eq!(guesses.take(&here, now), late);
        let then = now.plus_ms(60_000);
        assert!(guesses.take(&here, then).is_ok());
        assert!(guesses.take(&here, then).is_err());
    }

    #[test]
    fn who_did_not_guess_is_let_in_whatever_others_did() {
        let mut guesses = Guesses::default();
        for n in 0..100 {
            while wrong(&mut guesses, &guess("anna", n), NOW).is_ok() {}
        }
        assert!(is_taken(&mut guesses, &guess("anna", 100)));
        // A network that is at its end with one login is not at its end with another one.
        assert!(is_taken(&mut guesses, &guess("boris", 1)));
    }

    #[test]
    fn n_networks_guess_at_most_n_times_as_fast() {
        for networks in [1, 7] {
            let (mut guesses, mut taken) = (Guesses::default(), 0);
            for second in 0..3_600 {
                for n in 0..networks {
                    let now = NOW.plus_ms(second * 1_000);
                    taken += u32::from(wrong(&mut guesses, &guess("anna", n), now).is_ok());
                }
            }
            assert_eq!(taken, networks * (GUESSES + 59), "{networks}");
        }
    }

    #[test]
    fn a_network_has_so_many_guesses_at_all_logins_together() {
        let mut guesses = Guesses::default();
        for n in 0..NETWORK_GUESSES {
            wrong(&mut guesses, &guess(&n.to_string(), 1), NOW).unwrap();
        }
        let late = Err(Throttled { retry_after_ms: NETWORK_GUESS_EVERY_MS });
        assert_eq!(guesses.take(&guess("anna", 1), NOW), late);
        assert!(is_taken(&mut guesses, &guess("anna", 2)));
    }

    #[test]
    fn a_right_guess_costs_nothing_and_buys_nothing() {
        let mut guesses = Guesses::default();
        for _ in 0..1_000 {
            let right = guess("anna", 1);
            guesses.take(&right, NOW).unwrap();
            guesses.right(&right, NOW);
        }
        for _ in 0..GUESSES {
            wrong(&mut guesses, &guess("anna", 1), NOW).unwrap();
        }
        assert!(!is_taken(&mut guesses, &guess("anna", 1)), "wrong ones stay taken");
        // As many at once as there are: right ones cannot be known to be right yet.
        for _ in 0..GUESSES {
            guesses.take(&guess("boris", 1), NOW).unwrap();
        }
        assert!(!is_taken(&mut guesses, &guess("boris", 1)));
    }

    #[test]
    fn a_device_has_a_bucket_of_its_own() {
        let mut guesses = Guesses::default();
        for n in 0..NETWORK_GUESSES {
            let _ = wrong(&mut guesses, &guess("anna", 1), NOW);
            let _ = wrong(&mut guesses, &guess(&n.to_string(), 1), NOW);
        }
        assert!(!is_taken(&mut guesses, &guess("anna", 1)));
        let device = |n| Guess { device: Some(Uuid::from_u128(n)), ..guess("anna", 1) };
        for _ in 0..GUESSES {
            assert!(is_taken(&mut guesses, &device(1)));
        }
        assert!(!is_taken(&mut guesses, &device(1)));
        assert!(is_taken(&mut guesses, &device(2)));
    }

    #[test]
    fn waits_are_told_in_steps_of_ten_seconds() {
        let mut guesses = Guesses::default();
        while wrong(&mut guesses, &guess("anna", 1), NOW).is_ok() {}
        for (after_ms, told_ms) in
            [(1, 60_000), (9_999, 60_000), (10_000, 50_000), (59_999, 10_000)]
        {
            let late = guesses.take(&guess("anna", 1), NOW.plus_ms(after_ms));
            assert_eq!(late, Err(Throttled { retry_after_ms: told_ms }));
        }
    }

    #[test]
    fn a_login_guessed_at_from_everywhere_answers_unknown_networks_later() {
        let mut guesses = Guesses::default();
        let home = guess("anna", 1_000);
        guesses.take(&home, NOW).unwrap();
        guesses.right(&home, NOW);
        for login in ["anna", "nobody"] {
            for n in 0..WRONG_IN_AN_HOUR_MAX {
                let taken = wrong(&mut guesses, &guess(login, n), NOW).unwrap();
                assert_eq!(taken.delay_ms, 0, "{login} {n}");
            }
            let last = guess(login, 200);
            guesses.take(&last, NOW).unwrap();
            assert!(guesses.wrong(&last, NOW), "it is told once");
            let slow = guesses.take(&guess(login, 201), NOW).unwrap();
            assert_eq!((slow.known, slow.delay_ms), (false, UNSEEN_DELAY_MS), "{login}");
            assert!(!guesses.wrong(&guess(login, 201), NOW));
        }
        let fast = |asked| Ok(Taken { known: true, asked, delay_ms: 0 });
        assert_eq!(guesses.take(&home, NOW), fast(1));
        let device = Guess { device: Some(Uuid::from_u128(1)), ..guess("anna", 300) };
        assert_eq!(guesses.take(&device, NOW), fast(0));
        let later = guesses.take(&guess("anna", 201), NOW.plus_ms(3_600_000)).unwrap();
        assert_eq!(later.delay_ms, 0, "after an hour it is over");
    }

    #[test]
    fn how_often_a_network_asked_lately_is_told_whatever_came_of_it() {
        let mut guesses = Guesses::default();
        for n in 0..3 {
            let here = guess("anna", 1);
            assert_eq!(guesses.take(&here, NOW).unwrap().asked, n);
            guesses.give_back(&here, NOW);
        }
        assert_eq!(guesses.take(&guess("anna", 2), NOW).unwrap().asked, 0);
        let later = NOW.plus_ms(2 * ASKED_MS);
        assert_eq!(guesses.take(&guess("anna", 1), later).unwrap().asked, 1);
    }

    #[test]
    fn so_many_networks_of_a_user_are_known() {
        let mut guesses = Guesses::default();
        for n in 0..100 {
            guesses.right(&guess("anna", n), NOW);
            guesses.right(&guess("anna", 0), NOW);
        }
        assert_eq!(guesses.seen[&ANNA].len(), SEEN_NETWORKS_MAX);
        assert!(guesses.take(&guess("anna", 0), NOW).unwrap().known, "the latest ones");
        assert!(!guesses.take(&guess("anna", 1), NOW).unwrap().known);
    }
}
