//! Who is there: tokens in and out, and whether somebody still is who they were. Logging in is
//! [`log_in`](super::log_in)'s.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use tokio::sync::broadcast;
use uuid::Uuid;

use super::act::Act;
use super::erasures::Erasures;
use super::limits::{KEY_BYTES, REVOCATIONS_BEHIND_MAX, SALT_BYTES};
use super::password::{Acquaintance, PasswordError, Passwords};
use super::permit::{Asker, Permits};
use super::principal::{AccessError, Holder, Invalid, Principal, TokenLives, Tokens, Who};
use super::published::is_published;
use super::revoked::Revoked;
use super::session::{Session, Sessions, Turned};
use super::throttle::Guesses;
use super::token::{Claims, TokenKey};
use crate::audit::{Note, Trail};
use crate::catalog::{Catalog, PasswordHash, User};
use crate::domain::audit::{AuditAct, AuditActor, AuditSubject};
use crate::domain::rights::Operation;
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

/// The gate. Asking is quick and never waits; changing waits for the store.
pub struct Access {
    pub(super) catalog: Arc<Catalog>,
    entropy: Arc<dyn Entropy>,
    pub(super) passwords: Passwords,
    pub(super) lives: TokenLives,
    pub(super) key: TokenKey,
    pub(super) erasures: Erasures,
    pub(super) guesses: Mutex<Guesses>,
    pub(super) sessions: Sessions,
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
            self.sessions.turn(id, user, n, until).await
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
            if self.passwords.verify(password.clone(), kept, Acquaintance::Known).await? {
                return Err(PasswordError::Published.into());
            }
        }
        self.new_password(password).await
    }

    /// The hash of a password that may be a published one, to be put into a user that is flagged so.
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

    pub(super) fn tokens(
        &self,
        id: Uuid,
        session: Session,
        now: Timestamp,
    ) -> Result<Tokens, AccessError> {
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

    pub(super) fn tell(&self, holder: Holder) {
        // Nobody may be watching.
        let _ = self.changed.send(holder);
    }
}

pub(super) fn of_user(act: AuditAct, user: UserId) -> Note {
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
