//! Passwords: hashed with argon2id, off the runtime, two at a time. Of these one at most is a
//! stranger's, so that whoever is known waits for no more than the hash that is under way, however
//! many strangers there are.

use std::sync::Arc;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash as Phc, Salt};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::blocks::{Blocks, Interest};
use super::common::is_common;
use super::limits::{
    HASH_LANES, HASH_MEMORY_KIB, HASH_PASSES, HASHES_AT_A_TIME, HASHES_WAITING_MAX,
    PASSWORD_MAX_BYTES, PASSWORD_MIN_CHARS, SALT_BYTES,
};
use super::strangers::{self, Strangers};
use crate::catalog::PasswordHash;

/// Why a password was not hashed or looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too easy, or absurdly long.
    #[error(
        "a password has at least {PASSWORD_MIN_CHARS} characters and at most {PASSWORD_MAX_BYTES} bytes"
    )]
    Length,
    /// Others have it, too, so that it is guessed first.
    #[error("this is one of the commonest passwords, which are tried first; choose another one")]
    Common,
    /// It stands in the source.
    #[error("this password is published with the source of Switchboard; choose another one")]
    Published,
    /// Too many wait for their turn. Try again in a moment.
    #[error("too many log-ins at once; try again in a moment")]
    Busy,
    /// The hash function failed, or a stored hash cannot be read.
    #[error("the password cannot be hashed: {reason}")]
    Hash {
        /// What is wrong.
        reason: String,
    },
}

/// How dear a hash is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashCost {
    /// Memory, KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for HashCost {
    fn default() -> Self {
        Self { memory_kib: HASH_MEMORY_KIB, passes: HASH_PASSES, lanes: HASH_LANES }
    }
}

/// Who waits for a hash. Of each so many may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acquaintance {
    /// Who has proven something: a session, a device, a network from where the password came.
    Known,
    /// Anybody, with how often its network has asked lately.
    Stranger(u64),
}

/// Hashes and verifies, bounded.
#[derive(Clone)]
pub struct Passwords {
    argon2: Argon2<'static>,
    /// Strangers' hashes: one works, the others wait.
    strangers: Strangers,
    /// One permit a hash of somebody known.
    known: Arc<Semaphore>,
    /// One permit a hash that works.
    working: Arc<Semaphore>,
    /// What hashes work in.
    blocks: Arc<Blocks>,
    /// Verified when there is no such user, so that the answer takes as long.
    nobody: PasswordHash,
}

impl Passwords {
    /// Errors when the cost is outside of what argon2 takes. Hashes once itself.
    pub fn new(cost: HashCost) -> Result<Self, PasswordError> {
        let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, None).map_err(failed)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let blocks = Arc::new(Blocks::default());
        let salt = [0; SALT_BYTES];
        let nobody = hash(&blocks.interest(), &argon2, "nobody has this password", &salt)?;
        Ok(Self {
            argon2,
            strangers: Strangers::new(HASHES_WAITING_MAX),
            known: Arc::new(Semaphore::new(HASHES_AT_A_TIME + HASHES_WAITING_MAX)),
            working: Arc::new(Semaphore::new(HASHES_AT_A_TIME)),
            blocks,
            nobody,
        })
    }

    /// Hashes a new password with a fresh salt.
    pub async fn hash(
        &self,
        password: String,
        salt: [u8; SALT_BYTES],
    ) -> Result<PasswordHash, PasswordError> {
        check(&password)?;
        let turn = self.turn(Acquaintance::Known).await?;
        let argon2 = self.argon2.clone();
        work(turn, move |blocks| hash(blocks, &argon2, &password, &salt)).await?
    }

    /// Whether the password is the one of `kept`; never when there is none, after as long a time.
    pub async fn verify(
        &self,
        password: String,
        kept: Option<PasswordHash>,
        who: Acquaintance,
    ) -> Result<bool, PasswordError> {
        if password.len() > PASSWORD_MAX_BYTES {
            return Ok(false);
        }
        let turn = self.turn(who).await?;
        let known = kept.is_some();
        let kept = kept.unwrap_or_else(|| self.nobody.clone());
        let same = work(turn, move |blocks| verify(blocks, &password, &kept)).await??;
        Ok(known && same)
    }

    async fn turn(&self, who: Acquaintance) -> Result<Turn, PasswordError> {
        let interest = self.blocks.interest();
        let admitted = match who {
            Acquaintance::Known => {
                Arc::clone(&self.known).try_acquire_owned().ok().map(Admitted::Known)
            }
            Acquaintance::Stranger(asked) => {
                self.strangers.turn(asked).await.ok().map(Admitted::Stranger)
            }
        };
        let _admitted = admitted.ok_or(PasswordError::Busy)?;
        let working = Arc::clone(&self.working).acquire_owned().await;
        let _working = working.map_err(|_| PasswordError::Busy)?;
        Ok(Turn { interest, _working, _admitted })
    }
}

/// What is held as long as a hash works. A stranger's turn ends after the permit: the next stranger
/// asks for one behind whoever is known and waits already.
struct Turn {
    interest: Interest,
    _working: OwnedSemaphorePermit,
    _admitted: Admitted,
}

#[allow(dead_code, reason = "held, not looked at")]
enum Admitted {
    Known(OwnedSemaphorePermit),
    Stranger(strangers::Turn),
}

/// The permits travel with the work: a caller that goes away does not make room early.
async fn work<T: Send + 'static>(
    turn: Turn,
    job: impl FnOnce(&Interest) -> T + Send + 'static,
) -> Result<T, PasswordError> {
    let done = tokio::task::spawn_blocking(move || {
        let answer = job(&turn.interest);
        drop(turn);
        answer
    });
    done.await.map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> PasswordError {
    PasswordError::Hash { reason: error.to_string() }
}

/// Whether a password may be chosen.
pub fn check(password: &str) -> Result<(), PasswordError> {
    let short = password.chars().count() < PASSWORD_MIN_CHARS;
    if short || password.len() > PASSWORD_MAX_BYTES {
        return Err(PasswordError::Length);
    }
    if is_common(password) {
        return Err(PasswordError::Common);
    }
    Ok(())
}

/// Hashes, and writes the result as others do: the PHC string format.
fn hash(
    interest: &Interest,
    argon2: &Argon2<'_>,
    password: &str,
    salt: &[u8; SALT_BYTES],
) -> Result<PasswordHash, PasswordError> {
    let salt = Salt::new(salt).map_err(failed)?;
    let phc = Phc {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(argon2.params()).map_err(failed)?,
        hash: Some(output(interest, argon2, password, &salt)?),
        salt: Some(salt),
    };
    Ok(PasswordHash::from_phc(phc.to_string()))
}

/// By the costs that the kept hash itself names.
fn verify(interest: &Interest, password: &str, kept: &PasswordHash) -> Result<bool, PasswordError> {
    let phc = Phc::new(kept.expose()).map_err(failed)?;
    let (Some(salt), Some(expected)) = (&phc.salt, &phc.hash) else { return Ok(false) };
    let algorithm = Algorithm::try_from(phc.algorithm.as_str()).map_err(failed)?;
    let version = phc.version.map(Version::try_from).transpose().map_err(failed)?;
    let params = Params::try_from(&phc).map_err(failed)?;
    let argon2 = Argon2::new(algorithm, version.unwrap_or_default(), params);
    // The comparison takes the same time for all values.
    Ok(output(interest, &argon2, password, salt)? == *expected)
}

fn output(
    interest: &Interest,
    argon2: &Argon2<'_>,
    password: &str,
    salt: &[u8],
) -> Result<Output, PasswordError> {
    let length = argon2.params().output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
    let mut bytes = [0; Output::MAX_LENGTH];
    let out = bytes.get_mut(..length).ok_or_else(|| failed("it is too long"))?;
    let hashed = interest.lend(argon2.params().block_count(), |blocks| {
        argon2.hash_password_into_with_memory(password.as_bytes(), salt, out, blocks)
    });
    hashed.ok_or_else(|| failed("there is no memory"))?.map_err(failed)?;
    Output::new(&bytes[..length]).map_err(failed)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// As cheap as argon2 allows: these tests are about what surrounds it.
    fn passwords() -> Passwords {
        Passwords::new(HashCost { memory_kib: 8, passes: 1, lanes: 1 }).unwrap()
    }

    #[tokio::test]
    async fn the_right_password_is_told_from_the_wrong_one_and_from_nobodys() {
        let passwords = passwords();
        let kept = passwords.hash("correct horse".into(), [7; 16]).await;
        let kept = kept.unwrap();
        assert!(kept.expose().starts_with("$argon2id$v=19$m=8,t=1,p=1$"));
        let try_one =
            |text: &str, kept| passwords.verify(text.to_owned(), kept, Acquaintance::Stranger(0));
        assert_eq!(try_one("correct horse", Some(kept.clone())).await, Ok(true));
        assert_eq!(try_one("correct horsf", Some(kept)).await, Ok(false));
        assert_eq!(try_one("nobody has this password", None).await, Ok(false));
    }

    #[tokio::test]
    async fn what_others_left_in_the_memory_changes_no_hash() {
        let passwords = passwords();
        let kept = passwords.hash("correct horse".into(), [7; 16]).await.unwrap();
        // As long as somebody waits, the memory is used again as it is.
        let waits = passwords.blocks.interest();
        waits.lend(8, |blocks| blocks.iter_mut().for_each(|one| one.as_mut().fill(u64::MAX)));
        let verified =
            passwords.verify("correct horse".into(), Some(kept), Acquaintance::Known).await;
        assert_eq!(verified, Ok(true));
        let left = waits.lend(8, |blocks| blocks.iter().any(|one| one.as_ref()[0] != u64::MAX));
        assert_eq!(left, Some(true), "it was this memory");
    }

    #[tokio::test]
    async fn short_and_huge_passwords_are_refused() {
        let passwords = passwords();
        let long = "x".repeat(PASSWORD_MAX_BYTES + 1);
        for bad in ["123456789", &long] {
            let hashed = passwords.hash(bad.to_owned(), [0; 16]).await;
            assert_eq!(hashed, Err(PasswordError::Length));
        }
        let hashed = passwords.hash("Password123".to_owned(), [0; 16]).await;
        assert_eq!(hashed, Err(PasswordError::Common));
        assert_eq!(passwords.verify(long, None, Acquaintance::Stranger(0)).await, Ok(false));
    }

    #[tokio::test]
    async fn only_so_many_wait_and_strangers_are_in_the_way_of_strangers_only() {
        let passwords = passwords();
        let first = passwords.turn(Acquaintance::Stranger(0)).await.unwrap();
        let mut waiting: Vec<_> = (0..HASHES_WAITING_MAX)
            .map(|n| Box::pin(passwords.turn(Acquaintance::Stranger(n as u64 + 1))))
            .collect();
        assert!(waiting.iter_mut().all(|waits| waits.now_or_never().is_none()));
        let ask = |who| passwords.verify("whatever".into(), None, who);
        let most = HASHES_WAITING_MAX as u64;
        assert_eq!(ask(Acquaintance::Stranger(most)).await, Err(PasswordError::Busy));
        // A hash is kept for whoever is known.
        assert_eq!(ask(Acquaintance::Known).await, Ok(false));
        // The network that asked most gives way to one that did not.
        let mut fresh = Box::pin(ask(Acquaintance::Stranger(0)));
        assert!(fresh.as_mut().now_or_never().is_none());
        let last = waiting.pop().unwrap();
        assert_eq!(last.await.err(), Some(PasswordError::Busy));
        drop((first, waiting));
        assert_eq!(fresh.await, Ok(false));
        assert_eq!(passwords.working.available_permits(), HASHES_AT_A_TIME);
    }

    #[test]
    fn the_cost_is_the_recommended_one() {
        let cost = HashCost::default();
        assert_eq!((cost.memory_kib, cost.passes, cost.lanes), (19_456, 2, 1));
    }
}
