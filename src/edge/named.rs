//! What a request names, before anybody has said whose it is.
//!
//! A right that is limited to what is the asker's own is one that a handler could forget to limit. So
//! the ids of a path, and the chat whose history is read, come as a [`Named`], and what is found by it is
//! one as well: nobody gets at either but by saying what would be the asker's own. The other calls of a
//! socket name a chat that judges itself who may change it, by its `Author`. Those, and what names
//! nothing, a list, are held to their scope by `tests/edge/foreign.rs`, which asks every operation.

use crate::domain::rights::{Forbidden, Scope};

/// See the module.
#[derive(Debug)]
#[must_use]
pub(super) struct Named<T>(T);

impl<T> Named<T> {
    /// As it was named.
    pub fn new(thing: T) -> Self {
        Self(thing)
    }

    /// The same, as another type.
    pub fn map<U>(self, to: impl FnOnce(T) -> U) -> Named<U> {
        Named(to(self.0))
    }

    /// What is found by it. Errors as the search does.
    pub async fn found<U, E, F: Future<Output = Result<U, E>>>(
        self,
        find: impl FnOnce(T) -> F,
    ) -> Result<Named<U>, E> {
        find(self.0).await.map(Named)
    }

    /// The thing itself; `own` says whether it is the asker's own. Errors when it lies outside of the scope.
    pub fn within(self, scope: Scope, own: impl FnOnce(&T) -> bool) -> Result<T, Forbidden> {
        scope.check(own(&self.0))?;
        Ok(self.0)
    }
}
