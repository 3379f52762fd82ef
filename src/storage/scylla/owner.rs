//! How a process becomes the owner of a keyspace, stays it, and lets go. [`super::lease`] says why
//! this is safe.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::storage::StoreError;

use super::ScyllaOptions;
use super::connect::OpenError;
use super::cql::Db;
use super::errors::unreadable;
use super::lease::now;
use super::limits::{LOOKS_PER_LEASE, MARGIN_PER_LEASE, RELEASE_MAX, RENEWALS_PER_LEASE};

/// The row, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owner {
    life: i64,
    beat: i64,
    stamp: i64,
    /// Empty: let go.
    holder: String,
}

async fn read(db: &Db) -> Result<Option<Owner>, StoreError> {
    let answer = db.read(&db.statements.lease_get, ()).await?;
    let row = answer.maybe_first_row::<(i64, i64, i64, String)>().map_err(unreadable)?;
    Ok(row.map(|(life, beat, stamp, holder)| Owner { life, beat, stamp, holder }))
}

/// Waits until the keyspace is free and takes it. Answers the number of the life.
pub(super) async fn acquire(db: &Db, options: &ScyllaOptions) -> Result<u64, OpenError> {
    let unusable = |error: StoreError| OpenError::Unusable {
        keyspace: options.keyspace.clone(),
        what: error.to_string(),
    };
    // What was seen last, and since when it stands still.
    let mut seen = (read(db).await.map_err(unusable)?, now());
    let patience = options.lease + options.lease / MARGIN_PER_LEASE;
    let mut told = false;
    loop {
        let (owner, since) = &seen;
        let free = owner.as_ref().is_none_or(|owner| owner.holder.is_empty());
        if free || now() - *since >= patience {
            if let Some(life) = take(db, options, owner.as_ref()).await.map_err(unusable)? {
                return Ok(life);
            }
        } else if let (false, Some(owner)) = (told, owner) {
            tracing::warn!(
                keyspace = options.keyspace,
                holder = owner.holder,
                "another process owns the keyspace; waiting until it ends"
            );
            told = true;
        }
        if !free {
            sleep(options.lease / LOOKS_PER_LEASE).await;
        }
        // A database that does not answer now says nothing about the owner.
        match read(db).await {
            Ok(found) if found != seen.0 => seen = (found, now()),
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "the owner of the keyspace was not read");
                // Not in a hurry, and what stood still must do so while it can be seen.
                seen.1 = now();
                sleep(options.lease / LOOKS_PER_LEASE).await;
            }
        }
    }
}

/// Takes the row if it is still as it was seen. None: it is not.
async fn take(
    db: &Db,
    options: &ScyllaOptions,
    seen: Option<&Owner>,
) -> Result<Option<u64>, StoreError> {
    let life = seen.map_or(1, |owner| owner.life + 1);
    if let Some(owner) = seen {
        db.lease.begin_behind(owner.stamp);
    }
    let (wanted, holder) = (db.lease.want(), options.holder.as_str());
    let statements = &db.statements;
    let applied = match seen {
        None => {
            let values = (life, wanted.stamp, holder);
            db.condition_by_anybody(&statements.lease_new, values).await
        }
        Some(owner) => {
            let values = (life, wanted.stamp, holder, owner.life, owner.beat);
            db.condition_by_anybody(&statements.lease_take, values).await
        }
    };
    let taken = match applied {
        Ok(applied) => applied?,
        // Nobody knows, but the row does: there is no other of this name.
        Err(error) => {
            tracing::debug!(%error, "the outcome of taking the keyspace is unknown");
            let found = read(db).await?;
            found.is_some_and(|owner| (owner.life, owner.holder.as_str()) == (life, holder))
        }
    };
    if !taken {
        return Ok(None);
    }
    db.lease.granted(wanted);
    Ok(Some(life.unsigned_abs()))
}

/// Renews the lease until it is over or lost. An owner that could not renew in time writes nothing
/// until it can; if nobody took the keyspace meanwhile, it goes on. The renewals are also how the
/// process knows whether the database answers.
pub(super) async fn renew(db: Arc<Db>, lease: Duration, life: u64) {
    let every = lease / RENEWALS_PER_LEASE;
    let life = i64::try_from(life).unwrap_or(i64::MAX);
    let mut beat = 0_i64;
    while !db.lease.is_over() {
        sleep(every).await;
        beat += 1;
        let wanted = db.lease.want();
        let values = (beat, wanted.stamp, life);
        let renewed = db.condition_by_anybody(&db.statements.lease_renew, values);
        match or_away(&db, renewed).await {
            Ok(Ok(true)) => db.lease.granted(wanted),
            Ok(Ok(false)) => {
                let holder = match read(&db).await {
                    Ok(Some(owner)) => owner.holder,
                    Ok(None) | Err(_) => "somebody".to_owned(),
                };
                db.lease.lose(format!("{holder} owns the keyspace now; nothing is lost"));
            }
            Ok(Err(error)) => not_renewed(&db, &error),
            Err(error) => not_renewed(&db, &error),
        }
    }
}

/// Waits for an answer. While it is later than the database has patience for, it is away.
async fn or_away<T>(db: &Db, answer: impl Future<Output = T>) -> T {
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        biased;
        answer = answer.as_mut() => return answer,
        () = sleep(db.lease.patience()) => db.lease.away("no answer".to_owned()),
    }
    answer.await
}

fn not_renewed(db: &Db, error: &dyn std::fmt::Display) {
    tracing::debug!(%error, "the keyspace's lease was not renewed");
    if db.lease.patience().is_zero() {
        db.lease.away(error.to_string());
    }
}

/// Lets go of the lease, if it is still held.
pub(super) async fn release(db: &Db, life: u64) {
    let held = db.lease.holds();
    db.lease.end();
    // The next life begins behind all that this one has used.
    let stamp = db.lease.last_stamp();
    if !held {
        return;
    }
    let life = i64::try_from(life).unwrap_or(i64::MAX);
    let released = db.condition_by_anybody(&db.statements.lease_release, (-1_i64, stamp, life));
    if !matches!(timeout(RELEASE_MAX, released).await, Ok(Ok(Ok(_)))) {
        tracing::warn!("the keyspace's lease was not let go; it runs out by itself");
    }
}
