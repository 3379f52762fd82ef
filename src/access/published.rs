//! Passwords that everybody knows, since they stand in the source: those of the demonstration.

use super::act::Act;
use super::gate::Access;
use super::password::Acquaintance;
use super::principal::AccessError;
use crate::catalog::User;

/// The demonstration's logins and their passwords, as `config/demo.toml` has them.
pub const PUBLISHED: &[(&str, &str)] = &[
    ("admin", "demo-admin-1"),
    ("maria", "demo-maria-1"),
    ("anna", "demo-anna-01"),
    ("boris", "demo-boris-1"),
    ("clara", "demo-clara-1"),
    ("dmitri", "demo-dmitri-1"),
];

/// Whether the password stands in the source.
pub fn is_published(password: &str) -> bool {
    PUBLISHED.iter().any(|(_, published)| *published == password)
}

impl Access {
    /// Flags the users of the demonstration's logins whose password is a published one, by whatever
    /// way its hash came into the store. Others could only have one through
    /// [`new_password`](Self::new_password), which refuses it; trying every hash would take minutes.
    pub async fn flag_published(&self, act: &Act<'_>) -> Result<(), AccessError> {
        for (login, _) in PUBLISHED {
            let user = self.catalog.snapshot().user_by_login(login).cloned();
            let Some(user) = user.filter(|user| !user.demo_password) else { continue };
            if self.has_published(&user).await? {
                tracing::warn!(login, "this user has a published password");
                let flagged = User { demo_password: true, ..User::clone(&user) };
                self.catalog.put(flagged, act).await?;
            }
        }
        Ok(())
    }

    async fn has_published(&self, user: &User) -> Result<bool, AccessError> {
        if user.password.is_none() {
            return Ok(false);
        }
        for (_, published) in PUBLISHED {
            let kept = user.password.clone();
            let tried = self.passwords.verify((*published).to_owned(), kept, Acquaintance::Known);
            if tried.await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
