//! People of the contact centre.

use std::fmt;

use super::limits::LOGIN_MAX_BYTES;
use crate::domain::UserId;
use crate::domain::limits::{NAME_MAX_BYTES, OPERATOR_CAPACITY, OPERATOR_CAPACITY_MAX};
use crate::domain::rights::Subject;

/// What a user is. Fixed; what each may do is one table
/// ([`domain::rights`](crate::domain::rights)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Configures.
    Administrator,
    /// Sees and moves every chat, and serves chats like an operator.
    ChatAdministrator,
    /// Serves chats.
    Operator,
}

impl Role {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Administrator, Self::ChatAdministrator, Self::Operator];

    /// Whether it may be a member of queues.
    pub fn serves_chats(self) -> bool {
        match self {
            Self::ChatAdministrator | Self::Operator => true,
            Self::Administrator => false,
        }
    }

    /// The word in documents and files.
    pub fn word(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::ChatAdministrator => "chat_administrator",
            Self::Operator => "operator",
        }
    }

    /// The role of that word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|role| role.word() == word)
    }
}

impl From<Role> for Subject {
    fn from(role: Role) -> Self {
        match role {
            Role::Administrator => Self::Administrator,
            Role::ChatAdministrator => Self::ChatAdministrator,
            Role::Operator => Self::Operator,
        }
    }
}

/// A password as it is kept: a salted hash in the PHC form. It never shows in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Wraps what a hasher made or the store held.
    pub fn from_phc(text: String) -> Self {
        Self(text)
    }

    /// The PHC form, for whoever verifies or stores it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(hidden)")
    }
}

/// A user as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// Counts up with every change; 0 before it is stored.
    pub version: u64,
    /// The name that colleagues and, if the channel says so, customers see.
    pub name: String,
    /// What it logs in with, unique, in lower case.
    pub login: String,
    /// What it is.
    pub role: Role,
    /// Whether it may do anything.
    pub active: bool,
    /// How many chats it holds at most, 1 to [`OPERATOR_CAPACITY_MAX`].
    pub capacity: u32,
    /// Its password; none: it cannot log in.
    pub password: Option<PasswordHash>,
    /// Whether the password is a published one. While an active user has such a password the
    /// server listens on loopback only.
    pub demo_password: bool,
    /// Counts up with whatever must end the user's sessions: deactivation, another role, another
    /// password. Sessions carry the one that they began under.
    pub epoch: u64,
}

impl User {
    /// An active user with the defaults and without a password.
    pub fn new(id: UserId, name: &str, login: &str, role: Role) -> Self {
        Self {
            id,
            version: 0,
            name: name.to_owned(),
            login: login.to_owned(),
            role,
            active: true,
            capacity: OPERATOR_CAPACITY,
            password: None,
            demo_password: false,
            epoch: 0,
        }
    }

    /// Whether it can be asked to serve chats.
    pub fn can_serve(&self) -> bool {
        self.active && self.role.serves_chats()
    }

    /// Whether sessions that began under `former` must end now.
    pub(super) fn ends_sessions_of(&self, former: &Self) -> bool {
        let deactivated = former.active && !self.active;
        deactivated || self.role != former.role || self.password != former.password
    }

    /// Checks what is within one user. Errors name the field and its bound.
    pub fn check(&self) -> Result<(), BadUser> {
        if self.name.trim().is_empty() || self.name.len() > NAME_MAX_BYTES {
            return Err(BadUser::Name);
        }
        let plain = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_@+".contains(&byte)
        };
        let fits = (1..=LOGIN_MAX_BYTES).contains(&self.login.len());
        if !fits || !self.login.bytes().all(plain) {
            return Err(BadUser::Login);
        }
        if !(1..=OPERATOR_CAPACITY_MAX).contains(&self.capacity) {
            return Err(BadUser::Capacity { got: self.capacity });
        }
        Ok(())
    }
}

/// A user that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUser {
    /// None, or too long.
    #[error("name is 1 to {NAME_MAX_BYTES} bytes, not only white space")]
    Name,
    /// Not of the form.
    #[error("login is 1 to {LOGIN_MAX_BYTES} of a-z, 0-9 and .-_@+")]
    Login,
    /// Out of range.
    #[error("capacity is 1 to {OPERATOR_CAPACITY_MAX}, got {got}")]
    Capacity {
        /// What was given.
        got: u32,
    },
}
