//! How a process becomes the owner of a keyspace, stays it, and lets go. [`super::lease`] says why
//! this is safe.

use std::sync::Arc;
use std::time::Duration;

use scylla::value::CqlTimestamp;
use tokio::time::{sleep, timeout};

use crate::storage::StoreError;

use super::ScyllaOptions;
use super::connect::{self, OpenError};
use super::cql::Db;
use super::errors::unreadable;
use super::lease::{micros, now, wall_us};
use super::limits::{
    CLOCKS_APART_MAX, LOOKS_PER_LEASE, MARGIN_PER_LEASE, RELEASE_MAX, RENEWALS_PER_LEASE,
    WRITTEN_AHEAD_MAX,
};
use super::statements::statements;

statements! {
    get: SerialRead = "SELECT life, beat, stamp, holder, home FROM %.lease \
        WHERE name = 'owner'";
    new: Condition = "INSERT INTO %.lease (name, life, beat, stamp, holder, home) \
        VALUES ('owner', ?, 0, ?, ?, ?) IF NOT EXISTS";
    take: Condition = "UPDATE %.lease SET life = ?, beat = 0, stamp = ?, holder = ?, \
        home = ? WHERE name = 'owner' IF life = ? AND beat = ?";
    renew: Renew = "UPDATE %.lease SET beat = ?, stamp = ? \
        WHERE name = 'owner' IF life = ? AND beat <= ?";
    time: Read = "SELECT toTimestamp(now()) FROM system.local";
    // Of a row that never was: a write like those of the logs, which leaves nothing to be seen.
    log_probe: Append = "DELETE FROM %.log WHERE chat = 00000000-0000-0000-0000-000000000000 \
        AND bucket = 0 AND seq = 0 AND epoch = 0";
    release: Condition = "UPDATE %.lease SET beat = ?, stamp = ?, holder = '' \
        WHERE name = 'owner' IF life = ?";
}

/// For whom a process that wants the keyspace waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// For whoever owns it, however long: a second router, ready to follow the first.
    ForAll,
    /// Only until it is sure that the owner is dead; one that lives is an error, and so is a
    /// database that does not say.
    ForTheDead,
}

/// The row, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owner {
    life: i64,
    beat: i64,
    stamp: i64,
    /// Empty: let go.
    holder: String,
    /// Whose agreement its writes have ([`ScyllaOptions::home`]).
    home: String,
}

async fn read(db: &Db) -> Result<Option<Owner>, StoreError> {
    let answer = db.read(&db.statements.owner.get, ()).await?;
    type Row = (i64, i64, i64, String, Option<String>);
    let row = answer.maybe_first_row::<Row>().map_err(unreadable)?;
    Ok(row.map(|(life, beat, stamp, holder, home)| {
        let home = home.unwrap_or_default();
        Owner { life, beat, stamp, holder, home }
    }))
}

/// Whether the row still names this life: then nobody else was the owner since it took it.
pub(super) async fn still_owns(db: &Db, life: u64) -> Result<bool, StoreError> {
    let owner = read(db).await?;
    Ok(owner.is_some_and(|owner| owner.life.unsigned_abs() == life))
}

/// Waits until the keyspace is free and takes it. Answers the number of the life. Errors when
/// another process lives and is not to be waited for, or when the last owner asked other replicas.
pub(super) async fn acquire(db: &Db, options: &ScyllaOptions) -> Result<u64, OpenError> {
    let unusable = |error: StoreError| OpenError::Unusable {
        keyspace: options.keyspace.clone(),
        what: error.to_string(),
    };
    // What was seen last, and since when it stands still; and when it was looked at last.
    let mut seen = (read(db).await.map_err(unusable)?, now());
    let mut looked = now();
    let patience = options.lease + options.lease / MARGIN_PER_LEASE;
    let mut told = false;
    loop {
        let (owner, since) = &seen;
        let elsewhere = owner.as_ref().map_or("", |owner| &owner.home);
        if !elsewhere.is_empty() && elsewhere != options.home() {
            return Err(OpenError::OtherHome {
                keyspace: options.keyspace.clone(),
                theirs: elsewhere.to_owned(),
                mine: options.home(),
            });
        }
        let free = owner.as_ref().is_none_or(|owner| owner.holder.is_empty());
        if free || now() - *since >= patience {
            if let Some(life) = take(db, options, owner.as_ref()).await? {
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
        // Also after it was refused: a database that refuses once does so again.
        sleep(options.lease / LOOKS_PER_LEASE).await;
        // A database that does not answer now says nothing about the owner.
        match read(db).await {
            Ok(found) => {
                looked = now();
                if found != seen.0 {
                    if let (Wait::ForTheDead, Some(owner)) =
                        (options.wait, renewed(&seen.0, &found))
                    {
                        let (keyspace, holder) = (options.keyspace.clone(), owner.holder.clone());
                        return Err(OpenError::Owned { keyspace, holder });
                    }
                    seen = (found, now());
                }
            }
            Err(error) if options.wait == Wait::ForTheDead => return Err(unusable(error)),
            Err(error) => {
                tracing::debug!(%error, "the owner of the keyspace was not read");
                // What stands still must do so while it can be seen: an owner that cannot reach
                // the database either is not robbed for it. The time without a look is left out.
                seen.1 += now() - looked;
                looked = now();
                sleep(options.lease / LOOKS_PER_LEASE).await;
            }
        }
    }
}

/// Errors when the last owner's timestamps are too far ahead to be continued. A command of a person
/// goes on: it is how the chats are brought out.
fn check_ahead(stamp: i64, options: &ScyllaOptions) -> Result<(), OpenError> {
    let ahead_us = stamp.saturating_sub(wall_us());
    if ahead_us <= micros(WRITTEN_AHEAD_MAX) {
        return Ok(());
    }
    let ahead_h = hours(ahead_us.unsigned_abs());
    let keyspace = options.keyspace.clone();
    let refused = OpenError::WrittenAhead { keyspace, ahead_h };
    match options.wait {
        Wait::ForAll => Err(refused),
        Wait::ForTheDead => {
            tracing::warn!("{refused}");
            Ok(())
        }
    }
}

/// Errors when this machine and the database disagree about the time: what this process wrote would
/// be dated by its own clock, and every later owner had to follow.
pub(super) async fn check_clock(db: &Db, options: &ScyllaOptions) -> Result<(), OpenError> {
    let unusable = |error: StoreError| OpenError::Unusable {
        keyspace: options.keyspace.clone(),
        what: error.to_string(),
    };
    let asked = wall_us();
    let answer = db.read(&db.statements.owner.time, ()).await.map_err(unusable)?;
    let (theirs,) = answer.single_row::<(CqlTimestamp,)>().map_err(unreadable).map_err(unusable)?;
    let apart_us = asked.saturating_sub(theirs.0.saturating_mul(1_000));
    if apart_us.unsigned_abs() <= micros(CLOCKS_APART_MAX).unsigned_abs() {
        return Ok(());
    }
    let direction = if apart_us > 0 { "ahead of" } else { "behind" };
    Err(OpenError::ClocksApart { apart_h: hours(apart_us.unsigned_abs()), direction })
}

/// Hours, rounded up.
fn hours(us: u64) -> u64 {
    us.div_ceil(3_600_000_000)
}

/// The owner, if it has renewed its lease between two looks.
fn renewed<'a>(before: &Option<Owner>, after: &'a Option<Owner>) -> Option<&'a Owner> {
    let (before, after) = (before.as_ref()?, after.as_ref()?);
    (!after.holder.is_empty() && before.life == after.life && before.beat != after.beat)
        .then_some(after)
}

/// Takes the row if it is still as it was seen. None: it is not.
async fn take(
    db: &Db,
    options: &ScyllaOptions,
    seen: Option<&Owner>,
) -> Result<Option<u64>, OpenError> {
    let unusable = |error: StoreError| OpenError::Unusable {
        keyspace: options.keyspace.clone(),
        what: error.to_string(),
    };
    let life = seen.map_or(1, |owner| owner.life + 1);
    if let Some(owner) = seen {
        check_ahead(owner.stamp, options)?;
        db.lease.begin_behind(owner.stamp);
    }
    let (wanted, holder) = (db.lease.want(), options.holder.as_str());
    let statements = &db.statements;
    let applied = match seen {
        None => {
            let values = (life, wanted.stamp, holder, options.home());
            db.condition_by_anybody(&statements.owner.new, values).await
        }
        Some(owner) => {
            let values = (life, wanted.stamp, holder, options.home(), owner.life, owner.beat);
            db.condition_by_anybody(&statements.owner.take, values).await
        }
    };
    let taken = match applied {
        Ok(applied) => applied.map_err(unusable)?,
        Err(error) => {
            if let failed @ OpenError::Forbidden { .. } = connect::unusable(&error, options) {
                return Err(failed);
            }
            tracing::debug!(%error, "the outcome of taking the keyspace is unknown");
            // Nobody knows, but the row does: there is no other of this name.
            let found = read(db).await.map_err(unusable)?;
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
        let values = (beat, wanted.stamp, life, beat);
        let renewed = db.condition_by_anybody(&db.statements.owner.renew, values);
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

/// Writes what leaves nothing behind whenever nothing else was written for a while, until the lease
/// is over: so that the process knows whether the logs can be written before somebody needs it, and
/// hears of it when they can be again, though nobody asks meanwhile.
pub(super) async fn probe(db: Arc<Db>, lease: Duration) {
    let every = lease / RENEWALS_PER_LEASE;
    // Its patience counts from here, however long this process waited for its turn.
    db.lease.wrote();
    while !db.lease.is_over() {
        sleep(every).await;
        // Without the lease nothing is written, and the renewals say why.
        if db.lease.wrote_within(every) || !db.lease.holds() {
            continue;
        }
        if let Err(error) = db.write(&db.statements.owner.log_probe, ()).await {
            tracing::debug!(%error, "a write to try the logs did not go well");
            if db.lease.holds() {
                db.lease.not_written(error.to_string());
            }
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
    // No renewal that comes late is behind this beat.
    let released = db.condition_by_anybody(&db.statements.owner.release, (i64::MAX, stamp, life));
    if !matches!(timeout(RELEASE_MAX, released).await, Ok(Ok(Ok(_)))) {
        tracing::warn!("the keyspace's lease was not let go; it runs out by itself");
    }
}
