//! Logging in: guesses at a login, throttled and counted, and what a right one begins.

use std::net::IpAddr;
use std::sync::{Arc, MutexGuard, PoisonError};

use uuid::Uuid;

use super::act::{Act, Lost};
use super::gate::{Access, of_user};
use super::limits::DEVICE_MARK_MS;
use super::network::Network;
use super::password::Acquaintance;
use super::permit::Asker;
use super::principal::{AccessError, Holder, Invalid, Tokens};
use super::throttle::{Guess, Guesses, Taken};
use super::token::Claims;
use crate::audit::Failure;
use crate::catalog::User;
use crate::catalog::limits::LOGIN_MAX_BYTES;
use crate::domain::Timestamp;
use crate::domain::audit::{AuditAct, AuditActor};
use crate::domain::rights::Operation;

/// Somebody says who they are.
pub struct Attempt<'a> {
    /// The login, in whatever case.
    pub login: &'a str,
    /// The password.
    pub password: String,
    /// The device mark that an earlier log-in gave. One that does not count is as none.
    pub device_mark: Option<&'a str>,
    /// The client's address, for throttling.
    pub address: IpAddr,
}

/// What became of an attempt.
#[derive(Debug)]
pub struct Judged<T> {
    /// What is answered.
    pub outcome: Result<T, AccessError>,
    /// How long to keep the answer back, ms, whatever it is.
    pub delay_ms: u64,
}

/// Who proved who they are.
struct Proven {
    user: Arc<User>,
    /// The device whose device mark counted.
    device: Option<Uuid>,
}

impl Access {
    /// Begins a session, and gives a device mark for the next log-in. Of a user with too many the oldest
    /// ends as by a log-out.
    pub async fn log_in(&self, attempt: Attempt<'_>, now: Timestamp) -> Judged<Tokens> {
        let address = attempt.address;
        let Judged { outcome, delay_ms } = self.judge(attempt, now).await;
        let outcome = match outcome {
            Ok(proven) => self.begin(&proven, address, now).await,
            Err(error) => Err(error),
        };
        Judged { outcome, delay_ms }
    }

    /// A log-in of a user whose password was right, as long as the user stays as it was then.
    fn log_in_act(&self, user: &User, address: IpAddr, now: Timestamp) -> Act<'_> {
        let (id, epoch) = (user.id, user.epoch);
        let check = move || {
            let snapshot = self.catalog.snapshot();
            let same = snapshot.user(id).is_some_and(|user| user.active && user.epoch == epoch);
            if same { Ok(()) } else { Err(Lost::Invalid(Invalid::Revoked)) }
        };
        let (actor, asker) = (AuditActor::User(id), Asker::User(id));
        self.act_by(actor, asker, Operation::SessionsLogIn, address, now, Box::new(check))
    }

    /// The user whose login and password these are. Counts as a guess.
    pub async fn prove(&self, attempt: Attempt<'_>, now: Timestamp) -> Judged<Arc<User>> {
        let Judged { outcome, delay_ms } = self.judge(attempt, now).await;
        Judged { outcome: outcome.map(|proven| proven.user), delay_ms }
    }

    async fn judge(&self, attempt: Attempt<'_>, now: Timestamp) -> Judged<Proven> {
        let mut login = attempt.login.to_lowercase();
        login.truncate(login.floor_char_boundary(LOGIN_MAX_BYTES + 1));
        let user = self.catalog.snapshot().user_by_login(&login).cloned();
        let user = user.filter(|user| user.active);
        let device = attempt.device_mark.zip(user.as_ref());
        let device = device.and_then(|(device_mark, user)| self.device_of(device_mark, user, now));
        let network = Network::of_client(attempt.address);
        let guess = Guess { login, network, device, user: user.as_ref().map(|user| user.id) };
        let taken = match self.guesses().take(&guess, now) {
            Ok(taken) => taken,
            Err(throttled) => return Judged { outcome: Err(throttled.into()), delay_ms: 0 },
        };
        let who = match taken {
            Taken { known: true, .. } => Acquaintance::Known,
            Taken { asked, .. } => Acquaintance::Stranger(asked),
        };
        let kept = user.as_ref().and_then(|user| user.password.clone());
        let right = self.passwords.verify(attempt.password, kept, who).await;
        let outcome = match (right, user) {
            (Ok(true), Some(user)) => {
                self.guesses().right(&guess, now);
                Ok(Proven { user, device })
            }
            (Ok(_), _) => {
                self.wrong(&guess, now);
                Err(AccessError::Credentials)
            }
            (Err(error), _) => {
                self.guesses().give_back(&guess, now);
                Err(error.into())
            }
        };
        Judged { outcome, delay_ms: taken.delay_ms }
    }

    /// An unknown login is not named: people type passwords there.
    fn wrong(&self, guess: &Guess, now: Timestamp) {
        self.trail.failed(&Failure::LogIn(guess.user), guess.network.address(), now);
        if !self.guesses().wrong(guess, now) {
            return;
        }
        self.trail.failed(&Failure::GuessedAt(guess.user), guess.network.address(), now);
        let user = guess.user.map_or_else(|| "unknown".to_owned(), |user| user.to_string());
        let network = guess.network;
        tracing::warn!(%user, %network, "more than 100 wrong guesses at a login in an hour");
    }

    async fn begin(
        &self,
        proven: &Proven,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<Tokens, AccessError> {
        let user = &proven.user;
        let id = uuid::Builder::from_random_bytes(self.random()?).into_uuid();
        let until = now.plus_ms(self.lives.refresh_ms);
        let act = self.log_in_act(user, address, now);
        let begun = self.sessions.begin(id, user.id, user.epoch, now, until);
        let begun = act.carry_out(of_user(AuditAct::LoggedIn, user.id), begun).await;
        // Also when nobody knows whether it began: another may have ended for it.
        if !matches!(begun, Ok((_, false))) {
            self.tell(Holder::User(user.id));
        }
        let (session, another_ended) = begun?;
        if another_ended {
            act.settle(0, |asker| asker == Asker::User(user.id)).await;
        }
        let device = match proven.device {
            Some(device) => device,
            None => uuid::Builder::from_random_bytes(self.random()?).into_uuid(),
        };
        let device_mark = self.sign(&Claims::Device {
            device,
            login: user.login.clone(),
            epoch: user.epoch,
            until: now.plus_ms(DEVICE_MARK_MS).0,
        })?;
        Ok(Tokens { device_mark: Some(device_mark), ..self.tokens(id, session, now)? })
    }

    /// The device of a device mark that was given to this user under the present epoch.
    fn device_of(&self, device_mark: &str, user: &User, now: Timestamp) -> Option<Uuid> {
        match self.key.open(device_mark).ok()? {
            Claims::Device { device, login, epoch, until } => {
                let counts = login == user.login && epoch == user.epoch && now.0 < until;
                counts.then_some(device)
            }
            Claims::Access { .. }
            | Claims::Refresh { .. }
            | Claims::Visitor { .. }
            | Claims::Site { .. } => None,
        }
    }

    fn guesses(&self) -> MutexGuard<'_, Guesses> {
        self.guesses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
