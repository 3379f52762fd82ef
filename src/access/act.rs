//! One change by one asker: noted before it takes effect, permitted when it is handed to the store,
//! and waited for by whoever revokes the right to it.
//!
//! The catalog and the gate take an [`Act`] for every change, so that no caller can forget any of
//! this.

use super::gate::Access;
use super::permit::{Asker, Permit, Permits};
use super::principal::{Invalid, Principal, Who};
use crate::audit::{By, Note, Trail};
use crate::domain::Timestamp;
use crate::domain::audit::{AuditActor, AuditOutcome};
use crate::domain::rights::{Forbidden, Operation, permit};
use crate::storage::StoreError;
use std::net::IpAddr;

/// The right to do it was taken away meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// The token no longer counts.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The table of rights.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
}

/// Why an act was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActError {
    /// The right is gone.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// The store failed; what was asked may have happened.
    #[error(transparent)]
    Store(#[from] StoreError),
}

type Check<'a> = Box<dyn Fn() -> Result<(), Lost> + Send + Sync + 'a>;

/// Who asks, and what has to be true when the change is handed to the store.
struct Asks<'a> {
    asker: Asker,
    operation: Operation,
    check: Check<'a>,
}

/// See the module.
pub struct Act<'a> {
    trail: &'a Trail,
    by: By,
    /// None: nobody is served yet.
    permits: Option<&'a Permits>,
    /// None: the process itself, which nobody can revoke.
    asks: Option<Asks<'a>>,
}

impl<'a> Act<'a> {
    /// An act of the process itself before it serves: a seed.
    pub fn of_system(trail: &'a Trail, at: Timestamp) -> Self {
        Self { trail, by: By::system(at), permits: None, asks: None }
    }

    /// An act of whoever may run commands on the machine, while no router serves.
    pub fn of_command_line(trail: &'a Trail, at: Timestamp) -> Self {
        let by = By { actor: AuditActor::CommandLine, address: None, at };
        Self { trail, by, permits: None, asks: None }
    }

    /// When it was asked for.
    pub fn at(&self) -> Timestamp {
        self.by.at
    }

    /// Carries it out: the entry is made durable, the right looked up once more, the change handed
    /// over, its outcome noted. `change` ends when what it wrote is shown to everybody.
    pub async fn carry_out<T>(
        &self,
        note: Note,
        change: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, ActError> {
        let permitted = async {
            let permit = self.permit().await?;
            let done = change.await.map_err(ActError::Store);
            drop(permit);
            done
        };
        self.noted(note, permitted).await
    }

    /// The same for a change of many steps, which takes a permit for each of them and none for all: else
    /// whoever revokes the right to it would wait for the last one, or in vain. A right that is lost
    /// between two steps ends it there, and how far it came is not known.
    pub async fn carry_out_in_steps<T>(
        &self,
        note: Note,
        steps: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, ActError> {
        let permitted = async {
            // Nothing was done yet.
            drop(self.permit().await?);
            steps.await.map_err(ActError::Store)
        };
        self.noted(note, permitted).await
    }

    /// Notes what is about to be done, does it, and notes what came of it.
    async fn noted<T>(
        &self,
        note: Note,
        change: impl Future<Output = Result<T, ActError>>,
    ) -> Result<T, ActError> {
        self.check()?;
        let act = note.act;
        let id = self.trail.record(self.by, note).await?;
        // Closed also when the change panics, or nobody waits for its end.
        let under_way = self.trail.under_way(act, id);
        let done = change.await;
        let outcome = match &done {
            Ok(_) => AuditOutcome::Done,
            Err(ActError::Lost(_)) => AuditOutcome::Refused,
            Err(ActError::Store(
                StoreError::VersionConflict { .. } | StoreError::Forgotten { .. },
            )) => AuditOutcome::Refused,
            Err(ActError::Store(
                StoreError::Unavailable { .. }
                | StoreError::Silent { .. }
                | StoreError::Damaged { .. },
            )) => AuditOutcome::Unknown,
        };
        under_way.conclude(outcome).await;
        done
    }

    /// To be asked before a lock is waited for that revocations need as well: whoever may not any
    /// more does not stand in their way.
    pub async fn ready(&self) -> Result<(), Lost> {
        if let (Some(permits), Some(asks)) = (self.permits, &self.asks) {
            permits.stopped(asks.operation).await;
        }
        self.check()
    }

    /// The right to do it now, until the permit is dropped; for what leaves no entry.
    pub async fn permit(&self) -> Result<Option<Permit>, Lost> {
        let (Some(permits), Some(asks)) = (self.permits, &self.asks) else { return Ok(None) };
        let permit = permits.ask(asks.asker, asks.operation, &asks.check);
        Ok(Some(permit.await?))
    }

    /// Something was taken away from those whom `of` names, visibly: waits until nothing that they
    /// began before is under way, and everybody knows the catalog's `revision`.
    pub async fn settle(&self, revision: u64, of: impl Fn(Asker) -> bool) {
        if let Some(permits) = self.permits {
            permits.settle(revision, of).await;
        }
    }

    fn check(&self) -> Result<(), Lost> {
        self.asks.as_ref().map_or(Ok(()), |asks| (asks.check)())
    }
}

impl Access {
    /// Something that a principal asks for, from a client's address.
    pub fn act<'a>(
        &'a self,
        principal: &'a Principal,
        operation: Operation,
        address: IpAddr,
        at: Timestamp,
    ) -> Act<'a> {
        let actor = match &principal.who {
            Who::User { id, .. } => AuditActor::User(*id),
            Who::Site { channel } => AuditActor::Site(*channel),
            // None of what a visitor may do leaves an entry.
            Who::Customer { .. } => AuditActor::Unknown,
        };
        let check = move || self.may_still(principal, operation, at);
        self.act_by(actor, (&principal.who).into(), operation, address, at, Box::new(check))
    }

    /// An act of somebody who is known by other means than a token, while `check` holds.
    pub(super) fn act_by<'a>(
        &'a self,
        actor: AuditActor,
        asker: Asker,
        operation: Operation,
        address: IpAddr,
        at: Timestamp,
        check: Check<'a>,
    ) -> Act<'a> {
        let by = By { actor, address: Some(address), at };
        let asks = Some(Asks { asker, operation, check });
        Act { trail: &self.trail, by, permits: Some(&self.permits), asks }
    }

    /// An act of the process itself, while it serves.
    pub fn act_of_system(&self, at: Timestamp) -> Act<'_> {
        Act { permits: Some(&self.permits), ..Act::of_system(&self.trail, at) }
    }

    /// Whether somebody who was let in still is who they were, and may do what they ask for.
    pub fn may_still(
        &self,
        principal: &Principal,
        operation: Operation,
        now: Timestamp,
    ) -> Result<(), Lost> {
        let who = self.still_who(principal, now)?;
        Ok(permit(operation, who.subject(), true)?)
    }
}
