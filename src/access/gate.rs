//! Who is there: logging in, tokens in and out, and whether somebody still is who they were.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use uuid::Uuid;

use super::limits::{
    ACCESS_TOKEN_MS, KEY_BYTES, REFRESH_TOKEN_MS, SALT_BYTES, VISITOR_NAME_MAX_BYTES,
    VISITOR_TOKEN_MS,
};
use super::password::{PasswordError, Passwords};
use super::revoked::Revoked;
use super::rights::Subject;
use super::session::{Session, Sessions, Turned};
use super::throttle::{Guesses, Throttled};
use super::token::{Claims, TokenKey};
use crate::catalog::limits::LOGIN_MAX_BYTES;
use crate::catalog::{Catalog, CatalogError, PasswordHash, Role, User};
use crate::domain::{ChannelId, CustomerId, Priority, Timestamp, UserId};
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

/// How long tokens live, ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenLives {
    /// Access tokens.
    pub access_ms: u64,
    /// Refresh tokens.
    pub refresh_ms: u64,
    /// Visitors' tokens.
    pub visitor_ms: u64,
}

impl Default for TokenLives {
    fn default() -> Self {
        Self {
            access_ms: ACCESS_TOKEN_MS,
            refresh_ms: REFRESH_TOKEN_MS,
            visitor_ms: VISITOR_TOKEN_MS,
        }
    }
}

/// Why a token does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Not ours, damaged, or of a use that does not fit.
    #[error("this is no valid token")]
    Token,
    /// Its time is over: renew it.
    #[error("the token has expired")]
    Expired,
    /// Logged out, deactivated, replaced: log in again.
    #[error("the token was revoked")]
    Revoked,
}

/// Why somebody is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// The token.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// No such user, inactive, without a password, or another password: nobody learns which.
    #[error("the login or the password is wrong")]
    Credentials,
    /// Too many attempts.
    #[error(transparent)]
    Throttled(#[from] Throttled),
    /// The password itself.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The channel is not there, or takes no visitors.
    #[error("there is no active channel {channel}")]
    NoChannel {
        /// The channel.
        channel: ChannelId,
    },
    /// A visitor's name.
    #[error("a visitor's name is 1 to {VISITOR_NAME_MAX_BYTES} bytes")]
    VisitorName,
    /// Too many customers are revoked.
    #[error("too many customers are revoked; revoke all visitors of the channel instead")]
    TooManyRevoked,
    /// The catalog does not change.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The store failed; what was asked may not have happened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No randomness, or a token that cannot be written.
    #[error("no token can be made: {reason}")]
    Making {
        /// What is wrong.
        reason: String,
    },
}

/// Who somebody is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// A user.
    User {
        /// Which.
        id: UserId,
        /// What it is.
        role: Role,
    },
    /// A customer on a channel.
    Customer {
        /// Which.
        id: CustomerId,
        /// By which channel.
        channel: ChannelId,
        /// The priority of its chats.
        priority: Priority,
        /// The name that the site gave.
        name: Option<String>,
    },
    /// The server of a channel's site.
    Site {
        /// The channel.
        channel: ChannelId,
    },
}

/// Somebody whose token counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Who.
    pub who: Who,
    /// When the token ends; none: never.
    pub until: Option<Timestamp>,
    claims: Claims,
}

impl Principal {
    /// The column of the table of rights.
    pub fn subject(&self) -> Subject {
        match &self.who {
            Who::User { role, .. } => (*role).into(),
            Who::Customer { .. } => Subject::Customer,
            Who::Site { .. } => Subject::Site,
        }
    }
}

/// What a log-in or a refresh gives. It does not show in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Tokens {
    /// Whose they are.
    pub user: UserId,
    /// For calls and sockets.
    pub access: String,
    /// When that ends.
    pub access_until: Timestamp,
    /// For the next tokens, once.
    pub refresh: String,
    /// When that ends.
    pub refresh_until: Timestamp,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokens({:?})", self.user)
    }
}

/// A visitor's token. It does not show in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct VisitorToken {
    /// For the visitor's page.
    pub token: String,
    /// The customer; give it again for the same person's next token.
    pub customer: CustomerId,
    /// When it ends.
    pub until: Timestamp,
}

impl std::fmt::Debug for VisitorToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VisitorToken({:?})", self.customer)
    }
}

/// What a site wants in a visitor's token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Visitor {
    /// A customer who was here before; none: a new one.
    pub customer: Option<CustomerId>,
    /// The priority of its chats.
    pub priority: Priority,
    /// The name to show to operators.
    pub name: Option<String>,
}

/// The gate. Asking is quick and never waits; changing waits for the store.
pub struct Access {
    catalog: Arc<Catalog>,
    entropy: Arc<dyn Entropy>,
    passwords: Passwords,
    lives: TokenLives,
    key: TokenKey,
    guesses: Mutex<Guesses>,
    sessions: Sessions,
    revoked: Revoked,
    changed: watch::Sender<u64>,
}

impl Access {
    /// Reads the key (makes it the first time), the sessions and the revocations.
    pub async fn load(
        catalog: Arc<Catalog>,
        documents: Arc<dyn Documents>,
        entropy: Arc<dyn Entropy>,
        passwords: Passwords,
        lives: TokenLives,
    ) -> Result<Self, AccessError> {
        Ok(Self {
            key: load_key(&*documents, &*entropy).await?,
            sessions: Sessions::load(Arc::clone(&documents)).await?,
            revoked: Revoked::load(documents).await?,
            catalog,
            entropy,
            passwords,
            lives,
            guesses: Mutex::default(),
            changed: watch::Sender::new(0),
        })
    }

    /// Wakes whenever tokens may have been revoked here. Whoever keeps a socket open watches this
    /// and [`Catalog::changes`], and asks [`still`](Self::still).
    pub fn revocations(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Begins a session. `address` is that of the client, for throttling.
    pub async fn log_in(
        &self,
        login: &str,
        password: String,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<Tokens, AccessError> {
        let user = self.prove(login, password, address, now).await?;
        let id = uuid::Builder::from_random_bytes(self.random()?).into_uuid();
        let until = now.plus_ms(self.lives.refresh_ms);
        let sessions = &self.sessions;
        let session = sessions.begin(id, user.id, user.epoch, now, until).await?;
        self.tokens(id, session, now)
    }

    /// The user whose login and password these are. Counts as a guess.
    pub async fn prove(
        &self,
        login: &str,
        password: String,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<Arc<User>, AccessError> {
        let mut login = login.to_lowercase();
        login.truncate(login.floor_char_boundary(LOGIN_MAX_BYTES + 1));
        self.guesses().take(&login, address, now)?;
        let user = self.catalog.snapshot().user_by_login(&login).cloned();
        let user = user.filter(|user| user.active);
        let kept = user.as_ref().and_then(|user| user.password.clone());
        let right = self.passwords.verify(password, kept).await?;
        let user = user.filter(|_| right).ok_or(AccessError::Credentials)?;
        self.guesses().right(&login);
        Ok(user)
    }

    /// The next tokens of a session. A refresh token works once; its second use ends the session,
    /// for one of the two who have it stole it.
    pub async fn refresh(&self, token: &str, now: Timestamp) -> Result<Tokens, AccessError> {
        let claims = self.key.open(token).map_err(|_| Invalid::Token)?;
        let Claims::Refresh {
            user,
            session: id,
            n,
            until,
        } = claims
        else {
            return Err(Invalid::Token.into());
        };
        if until <= now.0 {
            return Err(Invalid::Expired.into());
        }
        self.check_session(id, UserId(user))?;
        let until = now.plus_ms(self.lives.refresh_ms);
        match self.sessions.turn(id, n, now, until).await {
            Ok(Turned::Next(session)) => self.tokens(id, session, now),
            Ok(Turned::Reused) => {
                self.tell();
                Err(Invalid::Revoked.into())
            }
            Ok(Turned::Gone) => Err(Invalid::Revoked.into()),
            Err(error) => {
                self.tell();
                Err(error.into())
            }
        }
    }

    /// Ends the session of an access token, durably. Its sockets are told by
    /// [`revocations`](Self::revocations).
    pub async fn log_out(&self, principal: &Principal) -> Result<(), AccessError> {
        let Claims::Access { session, .. } = principal.claims else {
            return Err(Invalid::Token.into());
        };
        let ended = self.sessions.end(session).await;
        self.tell();
        Ok(ended?)
    }

    /// Who holds the token. Refresh tokens are refused: they are for [`refresh`](Self::refresh).
    pub fn authenticate(&self, token: &str, now: Timestamp) -> Result<Principal, Invalid> {
        let claims = self.key.open(token).map_err(|_| Invalid::Token)?;
        let (who, until) = self.check(&claims, now)?;
        Ok(Principal { who, until, claims })
    }

    /// Whether somebody who was let in still is who they were.
    pub fn still(&self, principal: &Principal, now: Timestamp) -> Result<(), Invalid> {
        self.check(&principal.claims, now).map(drop)
    }

    /// A visitor's token for a channel.
    pub fn visitor_token(
        &self,
        channel: ChannelId,
        visitor: Visitor,
        now: Timestamp,
    ) -> Result<VisitorToken, AccessError> {
        let name = visitor.name;
        let fits = |name: &String| (1..=VISITOR_NAME_MAX_BYTES).contains(&name.len());
        if !name.as_ref().is_none_or(fits) {
            return Err(AccessError::VisitorName);
        }
        let snapshot = self.catalog.snapshot();
        let found = snapshot.channel(channel).filter(|channel| channel.active);
        let found = found.ok_or(AccessError::NoChannel { channel })?;
        let customer = match visitor.customer {
            Some(customer) => customer,
            None => CustomerId(uuid::Builder::from_random_bytes(self.random()?).into_uuid()),
        };
        // A token issued in the millisecond of a revocation comes after it.
        let revoked = self.revoked.at(customer).map(|at| at.plus_ms(1));
        let from = revoked.unwrap_or(now).max(now);
        let until = now.plus_ms(self.lives.visitor_ms);
        let token = self.sign(&Claims::Visitor {
            channel: channel.0,
            epoch: found.visitor_epoch,
            customer: customer.0,
            priority: visitor.priority.points(),
            name,
            from: from.0,
            until: until.0,
        })?;
        Ok(VisitorToken {
            token,
            customer,
            until,
        })
    }

    /// Revokes all tokens that a customer has, durably.
    pub async fn revoke_customer(
        &self,
        customer: CustomerId,
        now: Timestamp,
    ) -> Result<(), AccessError> {
        let room = self.revoked.revoke(customer, now).await?;
        self.tell();
        if room {
            Ok(())
        } else {
            Err(AccessError::TooManyRevoked)
        }
    }

    /// Makes the site key of a channel anew; the former one no longer counts. The key is shown
    /// this once.
    pub async fn new_site_key(
        &self,
        channel: ChannelId,
        version: u64,
    ) -> Result<String, AccessError> {
        let snapshot = self.catalog.snapshot();
        let found = snapshot.channel(channel);
        let mut changed = found
            .map(|found| (**found).clone())
            .ok_or(AccessError::NoChannel { channel })?;
        changed.version = version;
        changed.site_key += 1;
        let n = changed.site_key;
        self.catalog.put_channel(changed).await?;
        self.sign(&Claims::Site {
            channel: channel.0,
            n,
        })
    }

    /// The hash of a new password, to be put into a user.
    pub async fn new_password(&self, password: String) -> Result<PasswordHash, AccessError> {
        let mut salt = [0; SALT_BYTES];
        self.entropy.fill(&mut salt).map_err(making)?;
        Ok(self.passwords.hash(password, salt).await?)
    }

    /// Removes what is over from the store; to be called now and then, each time a page's worth.
    pub async fn prune(&self, now: Timestamp) -> Result<(), AccessError> {
        let snapshot = self.catalog.snapshot();
        let over = |session: &Session| {
            let user = snapshot.user(session.user);
            let same = user.is_some_and(|user| user.active && user.epoch == session.epoch);
            !same || session.until <= now
        };
        self.sessions.prune(over).await?;
        Ok(self.revoked.prune(now).await?)
    }

    fn check(&self, claims: &Claims, now: Timestamp) -> Result<(Who, Option<Timestamp>), Invalid> {
        match claims {
            Claims::Access {
                user,
                session,
                until,
            } => {
                // Revoked before expired: who is logged out should not try to renew.
                let user = self.check_session(*session, UserId(*user))?;
                let until = alive(*until, now)?;
                let (id, role) = (user.id, user.role);
                Ok((Who::User { id, role }, Some(until)))
            }
            Claims::Visitor { until, .. } => {
                let who = self.check_visitor(claims)?;
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
            Claims::Refresh { .. } => Err(Invalid::Token),
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

    /// A channel that was deactivated keeps its visitors: their open chats go on.
    fn check_visitor(&self, claims: &Claims) -> Result<Who, Invalid> {
        let Claims::Visitor {
            channel,
            epoch,
            customer,
            priority,
            name,
            from,
            until: _,
        } = claims
        else {
            return Err(Invalid::Token);
        };
        let (channel, id) = (ChannelId(*channel), CustomerId(*customer));
        let snapshot = self.catalog.snapshot();
        let found = snapshot.channel(channel).ok_or(Invalid::Revoked)?;
        let revoked = self.revoked.at(id).is_some_and(|at| *from <= at.0);
        if found.visitor_epoch != *epoch || revoked {
            return Err(Invalid::Revoked);
        }
        Ok(Who::Customer {
            id,
            channel,
            priority: Priority::new(*priority).map_err(|_| Invalid::Token)?,
            name: name.clone(),
        })
    }

    fn tokens(&self, id: Uuid, session: Session, now: Timestamp) -> Result<Tokens, AccessError> {
        let access_until = now.plus_ms(self.lives.access_ms).min(session.until);
        let user = session.user;
        let access = self.sign(&Claims::Access {
            user: user.0,
            session: id,
            until: access_until.0,
        })?;
        let refresh = self.sign(&Claims::Refresh {
            user: user.0,
            session: id,
            n: session.n,
            until: session.until.0,
        })?;
        Ok(Tokens {
            user,
            access,
            access_until,
            refresh,
            refresh_until: session.until,
        })
    }

    fn sign(&self, claims: &Claims) -> Result<String, AccessError> {
        self.key.sign(claims).map_err(making)
    }

    fn random(&self) -> Result<[u8; 16], AccessError> {
        let mut bytes = [0; 16];
        self.entropy.fill(&mut bytes).map_err(making)?;
        Ok(bytes)
    }

    fn guesses(&self) -> std::sync::MutexGuard<'_, Guesses> {
        self.guesses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        self.changed.send_modify(|revision| *revision += 1);
    }
}

fn alive(until: u64, now: Timestamp) -> Result<Timestamp, Invalid> {
    if now.0 < until {
        Ok(Timestamp(until))
    } else {
        Err(Invalid::Expired)
    }
}

fn making(error: impl std::fmt::Display) -> AccessError {
    AccessError::Making {
        reason: error.to_string(),
    }
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
