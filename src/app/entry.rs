//! What the command line leaves in the audit trail: whoever may run commands on the machine changes a
//! store, and the store says so.
//!
//! Invariant: no command changes a store without an entry. Where a store can take one it is there
//! before the change; that of a repair comes with the repaired store, and that of the first steps of a
//! schema with the table that it goes into.

use super::entropy::{SystemEntropy, wall_now};
use crate::access::{Act, ActError, Entropy, NoEntropy};
use crate::audit::{Note, Trail};
use crate::domain::audit::{AuditAct, AuditActor, AuditEntry, AuditId, AuditSubject};
use crate::storage::{Store, StoreError};

/// The entry of something that is done to a store now, for who writes it beside the change itself.
pub(super) fn entry(act: AuditAct) -> Result<AuditEntry, NoEntropy> {
    Ok(AuditEntry {
        id: AuditId::new(wall_now(), life()?, 1),
        actor: AuditActor::CommandLine,
        address: None,
        act,
        subject: Some(AuditSubject::Store),
        changes: Vec::new(),
        outcome: None,
    })
}

/// Does something to an open store that answers in time, with its entry before it and the outcome after it.
pub(super) async fn noted(
    store: &Store,
    act: AuditAct,
    change: impl Future<Output = Result<(), StoreError>>,
) -> Result<(), ActError> {
    let life = life().map_err(|error| StoreError::Unavailable { reason: error.to_string() })?;
    let Store { audit, documents, .. } = store.clone();
    let trail = Trail::new(audit, documents, life);
    let note = Note { act, subject: Some(AuditSubject::Store), changes: Vec::new() };
    Act::of_command_line(&trail, wall_now()).carry_out(note, change).await
}

/// Tells this process's entries from those of others in the same millisecond.
pub(super) fn life() -> Result<u32, NoEntropy> {
    let mut bytes = [0; 4];
    SystemEntropy.fill(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}
