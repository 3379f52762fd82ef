//! Who is there: logging in, tokens in and out, and whether somebody still is who they were.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast;
use uuid::Uuid;

use super::act::{Act, Lost};
use super::erasures::Erasures;
use super::limits::{DEVICE_MARK_MS, KEY_BYTES, REVOCATIONS_BEHIND_MAX, SALT_BYTES};
use super::network::Network;
use super::password::{Lane, PasswordError, Passwords};
use super::permit::{Asker, Permits};
use super::principal::{AccessError, Holder, Invalid, Principal, TokenLives, Tokens, Who};
use super::published::is_published;
use super::revoked::Revoked;
use super::rights::Operation;
use super::session::{Session, Sessions, Turned};
use super::throttle::{Guess, Guesses, Taken};
use super::token::{Claims, TokenKey};
use crate::audit::{Failure, Note, Trail};
use crate::catalog::limits::LOGIN_MAX_BYTES;
use crate::catalog::{Catalog, PasswordHash, User};
use crate::domain::audit::{AuditAct, AuditActor, AuditSubject};
use crate::domain::{ChannelId, Timestamp, UserId};
use crate::storage::{Documents, StoreError};

/// The kind and id of the document that holds the key; the body is the key.
const KEY_DOCUMENT: (&str, &str) = ("token_key", "1");

/// Where randomness comes from; the outermost layer gives the operating system's.
pub trait Entropy: Send + Sync + 'static {
    /// Fills `bytes` with what nobody can guess. Errors when there is no such source.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoEntropy>;
}

/// The system gives no randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no randomness")]
pub struct NoEntropy;

/// Somebody says who they are.
pub struct Attempt<'a> {
    /// The login, in whatever case.
    pub login: &'a str,
    /// The password.
    pub password: String,
    /// The mark that an earlier log-in gave to the device. One that does not count is as none.
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
    /// The device whose mark counted.
    device: Option<Uuid>,
}

/// The gate. Asking is quick and never waits; changing waits for the store.
pub struct Access {
    pub(super) catalog: Arc<Catalog>,
    entropy: Arc<dyn Entropy>,
    pub(super) passwords: Passwords,
    pub(super) lives: TokenLives,
    pub(super) key: TokenKey,
    pub(super) erasures: Erasures,
    guesses: Mutex<Guesses>,
    sessions: Sessions,
    pub(super) revoked: Revoked,
    changed: broadcast::Sender<Holder>,
    pub(super) trail: Arc<Trail>,
    pub(super) permits: Permits,
}

impl Access {
    /// Reads the key (makes it the first time), the sessions and the revocations.
    pub async fn load(
        catalog: Arc<Catalog>,
        documents: Arc<dyn Documents>,
        entropy: Arc<dyn Entropy>,
        passwords: Passwords,
        lives: TokenLives,
        trail: Arc<Trail>,
        now: Timestamp,
    ) -> Result<Self, AccessError> {
        Ok(Self {
            key: load_key(&*documents, &*entropy).await?,
            sessions: Sessions::load(Arc::clone(&documents)).await?,
            revoked: Revoked::load(Arc::clone(&documents), now).await?,
            erasures: Erasures::new(documents),
            catalog,
            entropy,
            passwords,
            lives,
            guesses: Mutex::default(),
            changed: broadcast::Sender::new(REVOCATIONS_BEHIND_MAX),
            trail,
            permits: Permits::default(),
        })
    }

    /// Tells whose tokens may have been revoked here. Whoever keeps a socket open watches this and
    /// [`Catalog::changes`], and asks [`still`](Self::still).
    pub fn revocations(&self) -> broadcast::Receiver<Holder> {
        self.changed.subscribe()
    }

    /// Who is about to change something. Whoever keeps others in step with the catalog tells it.
    pub fn permits(&self) -> &Permits {
        &self.permits
    }

    /// The audit trail.
    pub fn trail(&self) -> &Trail {
        &self.trail
    }

    /// Begins a session, and marks the device for its next log-in. Of a user with too many the oldest ends
    /// as by a log-out.
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
        let device = device.and_then(|(mark, user)| self.marked(mark, user, now));
        let network = Network::of_client(attempt.address);
        let guess = Guess { login, network, device, user: user.as_ref().map(|user| user.id) };
        let taken = match self.guesses().take(&guess, now) {
            Ok(taken) => taken,
            Err(throttled) => return Judged { outcome: Err(throttled.into()), delay_ms: 0 },
        };
        let lane = match taken {
            Taken { known: true, .. } => Lane::Known,
            Taken { asked, .. } => Lane::Stranger(asked),
        };
        let kept = user.as_ref().and_then(|user| user.password.clone());
        let right = self.passwords.verify(attempt.password, kept, lane).await;
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
        let mark = self.sign(&Claims::Device {
            device,
            login: user.login.clone(),
            epoch: user.epoch,
            until: now.plus_ms(DEVICE_MARK_MS).0,
        })?;
        Ok(Tokens { device_mark: Some(mark), ..self.tokens(id, session, now)? })
    }

    /// The device of a mark that was given to this user under the present epoch.
    fn marked(&self, mark: &str, user: &User, now: Timestamp) -> Option<Uuid> {
        match self.key.open(mark).ok()? {
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

    /// The next tokens of a session. A refresh token works once; its second use ends the session,
    /// for one of the two who have it stole it.
    pub async fn refresh(
        &self,
        token: &str,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<Tokens, AccessError> {
        let claims = self.key.open(token).map_err(|_| Invalid::Token)?;
        let Claims::Refresh { user, session: id, n, until } = claims else {
            return Err(Invalid::Token.into());
        };
        if until <= now.0 {
            return Err(Invalid::Expired.into());
        }
        let user = UserId(user);
        let check = move || Ok(self.check_session(id, user).map(drop)?);
        check()?;
        let (actor, operation) = (AuditActor::User(user), Operation::SessionsRefresh);
        let asker = Asker::User(user);
        let act = self.act_by(actor, asker, operation, address, now, Box::new(check));
        let until = now.plus_ms(self.lives.refresh_ms);
        let turned = {
            let _permit = act.permit().await?;
            self.sessions.turn(id, user, n, now, until).await
        };
        match turned {
            Ok(Turned::Next(session)) => self.tokens(id, session, now),
            Ok(Turned::Reused) => {
                let note = of_user(AuditAct::RefreshReused, user);
                self.end_session(&act, note, id, user).await?;
                Err(Invalid::Revoked.into())
            }
            Ok(Turned::Gone) => Err(Invalid::Revoked.into()),
            Err(error) => {
                self.tell(Holder::User(user));
                Err(error.into())
            }
        }
    }

    /// Ends a session; nothing of what its tokens began is under way when it answers.
    async fn end_session(
        &self,
        act: &Act<'_>,
        note: Note,
        id: Uuid,
        user: UserId,
    ) -> Result<(), AccessError> {
        let ended = act.carry_out(note, self.sessions.end(id, user)).await;
        self.tell(Holder::User(user));
        ended?;
        act.settle(0, |asker| asker == Asker::User(user)).await;
        Ok(())
    }

    /// Ends the session of an access token, durably. Its sockets are told by
    /// [`revocations`](Self::revocations).
    pub async fn log_out(
        &self,
        principal: &Principal,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<(), AccessError> {
        let Claims::Access { session, user, .. } = principal.claims else {
            return Err(Invalid::Token.into());
        };
        let (user, operation) = (UserId(user), Operation::SessionsLogOut);
        // No check: whoever repeats it, since the store did not answer, is logged out already.
        let (actor, asker) = (AuditActor::User(user), Asker::User(user));
        let act = self.act_by(actor, asker, operation, address, now, Box::new(|| Ok(())));
        self.end_session(&act, of_user(AuditAct::LoggedOut, user), session, user).await
    }

    /// Who holds the token. Refresh tokens are refused: they are for [`refresh`](Self::refresh).
    pub fn authenticate(&self, token: &str, now: Timestamp) -> Result<Principal, Invalid> {
        let claims = self.key.open(token).map_err(|_| Invalid::Token)?;
        let (who, until) = self.check(&claims, now)?;
        Ok(Principal { who, until, claims })
    }

    /// Whether somebody who was let in still is who they were.
    pub fn still(&self, principal: &Principal, now: Timestamp) -> Result<(), Invalid> {
        self.still_who(principal, now).map(drop)
    }

    /// As [`still`](Self::still), and who that is by now.
    pub(super) fn still_who(&self, principal: &Principal, now: Timestamp) -> Result<Who, Invalid> {
        Ok(self.check(&principal.claims, now)?.0)
    }

    /// The hash of a new password, to be put into a user. A published one is refused.
    pub async fn new_password(&self, password: String) -> Result<PasswordHash, AccessError> {
        if is_published(&password) {
            return Err(PasswordError::Published.into());
        }
        self.demo_password(password).await
    }

    /// The hash of a new password of this user. Where its present one is a published one, that is
    /// refused too: another seed than ours may have brought it.
    pub async fn new_password_of(
        &self,
        user: &User,
        password: String,
    ) -> Result<PasswordHash, AccessError> {
        if user.demo_password {
            let kept = user.password.clone();
            if self.passwords.verify(password.clone(), kept, Lane::Known).await? {
                return Err(PasswordError::Published.into());
            }
        }
        self.new_password(password).await
    }

    /// The hash of a password that may be a published one, to be put into a user that is marked so.
    pub async fn demo_password(&self, password: String) -> Result<PasswordHash, AccessError> {
        let mut salt = [0; SALT_BYTES];
        self.entropy.fill(&mut salt).map_err(making)?;
        Ok(self.passwords.hash(password, salt).await?)
    }

    /// Removes what is over from the store; to be called now and then, each time a page's worth.
    pub async fn prune(&self, now: Timestamp) -> Result<(), AccessError> {
        self.sessions.prune(|session| self.is_over(session, now)).await?;
        Ok(self.revoked.prune(now).await?)
    }

    /// Whether a user has a session.
    pub fn has_session(&self, user: UserId, now: Timestamp) -> bool {
        self.sessions.any(user, |session| !self.is_over(session, now))
    }

    fn is_over(&self, session: &Session, now: Timestamp) -> bool {
        let snapshot = self.catalog.snapshot();
        let user = snapshot.user(session.user);
        let same = user.is_some_and(|user| user.active && user.epoch == session.epoch);
        !same || session.until <= now
    }

    fn check(&self, claims: &Claims, now: Timestamp) -> Result<(Who, Option<Timestamp>), Invalid> {
        match claims {
            Claims::Access { user, session, until } => {
                // Revoked before expired: who is logged out should not try to renew.
                let user = self.check_session(*session, UserId(*user))?;
                let until = alive(*until, now)?;
                let (id, role) = (user.id, user.role);
                Ok((Who::User { id, role }, Some(until)))
            }
            Claims::Visitor { until, .. } => {
                let who = self.check_visitor(claims, now)?;
                Ok((who, Some(alive(*until, now)?)))
            }
            Claims::Site { channel, n } => {
                let channel = ChannelId(*channel);
                let snapshot = self.catalog.snapshot();
                let found = snapshot.channel(channel).ok_or(Invalid::Revoked)?;
                if found.site_key != *n || !found.active {
                    return Err(Invalid::Revoked);
                }
                Ok((Who::Site { channel }, None))
            }
            Claims::Refresh { .. } | Claims::Device { .. } => Err(Invalid::Token),
        }
    }

    fn check_session(&self, session: Uuid, user: UserId) -> Result<Arc<User>, Invalid> {
        let session = self.sessions.get(session).ok_or(Invalid::Revoked)?;
        let snapshot = self.catalog.snapshot();
        let found = snapshot.user(user).ok_or(Invalid::Revoked)?;
        if session.user == user && found.active && found.epoch == session.epoch {
            Ok(Arc::clone(found))
        } else {
            Err(Invalid::Revoked)
        }
    }

    fn tokens(&self, id: Uuid, session: Session, now: Timestamp) -> Result<Tokens, AccessError> {
        let access_until = now.plus_ms(self.lives.access_ms).min(session.until);
        let user = session.user;
        let access =
            self.sign(&Claims::Access { user: user.0, session: id, until: access_until.0 })?;
        let refresh = self.sign(&Claims::Refresh {
            user: user.0,
            session: id,
            n: session.n,
            until: session.until.0,
        })?;
        let refresh_until = session.until;
        Ok(Tokens { user, access, access_until, refresh, refresh_until, device_mark: None })
    }

    pub(super) fn sign(&self, claims: &Claims) -> Result<String, AccessError> {
        self.key.sign(claims).map_err(making)
    }

    pub(super) fn random(&self) -> Result<[u8; 16], AccessError> {
        let mut bytes = [0; 16];
        self.entropy.fill(&mut bytes).map_err(making)?;
        Ok(bytes)
    }

    fn guesses(&self) -> std::sync::MutexGuard<'_, Guesses> {
        self.guesses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn tell(&self, holder: Holder) {
        // Nobody may be watching.
        let _ = self.changed.send(holder);
    }
}

fn of_user(act: AuditAct, user: UserId) -> Note {
    Note { act, subject: Some(AuditSubject::User(user)), changes: Vec::new() }
}

fn alive(until: u64, now: Timestamp) -> Result<Timestamp, Invalid> {
    if now.0 < until { Ok(Timestamp(until)) } else { Err(Invalid::Expired) }
}

fn making(error: impl std::fmt::Display) -> AccessError {
    AccessError::Making { reason: error.to_string() }
}

/// The key of this installation. Of two processes that make one at a time, one wins, and the
/// other reads it.
async fn load_key(
    documents: &dyn Documents,
    entropy: &dyn Entropy,
) -> Result<TokenKey, AccessError> {
    let (kind, id) = KEY_DOCUMENT;
    if let Some(document) = documents.get(kind, id).await? {
        return read_key(&document.body);
    }
    let mut secret = [0; KEY_BYTES];
    entropy.fill(&mut secret).map_err(making)?;
    match documents.put(kind, id, 0, secret.to_vec()).await {
        Ok(_) => Ok(TokenKey::new(id, &secret)),
        Err(StoreError::VersionConflict { .. }) => match documents.get(kind, id).await? {
            Some(document) => read_key(&document.body),
            None => Err(making("the key is gone")),
        },
        Err(error) => Err(error.into()),
    }
}

fn read_key(body: &[u8]) -> Result<TokenKey, AccessError> {
    let secret: &[u8; KEY_BYTES] = body.try_into().map_err(|_| StoreError::Damaged {
        reason: format!("the token key has {} bytes, not {KEY_BYTES}", body.len()),
    })?;
    Ok(TokenKey::new(KEY_DOCUMENT.1, secret))
}
