//! Reasons to be away that operators choose from.

use crate::domain::AwayReasonId;
use crate::domain::limits::AWAY_REASON_MAX_BYTES;
use crate::domain::operator::AwayReason;

/// A reason of the list. Whoever is away for it has its text: a record says what was true then, whatever
/// became of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedReason {
    /// Its id.
    pub id: AwayReasonId,
    /// Counts up with every change; 0 before it is stored.
    pub version: u64,
    /// Its text.
    pub name: String,
    /// Whether it can be chosen.
    pub active: bool,
}

impl ListedReason {
    /// One that can be chosen.
    pub fn new(id: AwayReasonId, name: &str) -> Self {
        Self { id, version: 0, name: name.to_owned(), active: true }
    }

    /// Checks its text. Errors when nobody could be away for it.
    pub fn check(&self) -> Result<(), BadListedReason> {
        match AwayReason::new(&self.name) {
            Err(_) => Err(BadListedReason::TooLong),
            Ok(reason) if reason == AwayReason::missed_offers() => {
                Err(BadListedReason::OfTheRouter)
            }
            Ok(_) => Ok(()),
        }
    }
}

/// Why it cannot be in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadListedReason {
    /// Too long for a status.
    #[error("name is at most {AWAY_REASON_MAX_BYTES} bytes")]
    TooLong,
    /// What the router says when it sets somebody away.
    #[error(
        "`missed_offers` is what the router says when it sets somebody away; give it another name"
    )]
    OfTheRouter,
    /// Another one that can be chosen has it, and operators choose by the name.
    #[error(
        "another active reason has this name; give it another name, or deactivate that one first"
    )]
    Taken,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_fits_a_status_and_is_not_the_routers() {
        let named = |name: &str| ListedReason::new(AwayReasonId::from_u128(1), name).check();
        assert_eq!(named(&"a".repeat(AWAY_REASON_MAX_BYTES)), Ok(()));
        let long = "a".repeat(AWAY_REASON_MAX_BYTES + 1);
        assert_eq!(named(&long), Err(BadListedReason::TooLong));
        assert_eq!(named("missed_offers"), Err(BadListedReason::OfTheRouter));
    }
}
