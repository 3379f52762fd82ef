//! The schema in numbered steps: what there is, what is missing, and applying it.
//!
//! Invariants: a step is never changed once it was released; each of its statements may be
//! repeated, so an interrupted step is applied again; a step is noted after all of it is done.

use scylla::client::session::Session;
use scylla::serialize::row::SerializeRow;

use crate::domain::audit::{AuditChange, AuditEntry, AuditOutcome};
use crate::storage::record::{self, RecordError};

use super::ScyllaOptions;
use super::audit::hour_of;
use super::connect::{self, OpenError, connect, use_keyspace};
use super::lease::wall_us;

/// One step.
struct Step {
    number: i32,
    name: &'static str,
    text: &'static str,
    /// Whether a release that does not know it keeps all promises beside it: it only adds what such
    /// a release neither reads nor has to write. Then that release still starts, so that a new one
    /// can be tried and taken back.
    additive: bool,
}

/// All steps of this release, in their order.
const STEPS: &[Step] = &[
    Step {
        number: 1,
        name: "0001_first",
        text: include_str!("migrations/0001_first.cql"),
        additive: false,
    },
    Step {
        number: 2,
        name: "0002_audit",
        text: include_str!("migrations/0002_audit.cql"),
        additive: true,
    },
    Step {
        number: 3,
        name: "0003_forgotten",
        text: include_str!("migrations/0003_forgotten.cql"),
        // A release that does not look at the forgotten would bring a forgotten chat back.
        additive: false,
    },
    Step {
        number: 4,
        name: "0004_ended",
        text: include_str!("migrations/0004_ended.cql"),
        // What a release that does not know it leaves out is filled in when its process is over.
        additive: true,
    },
    Step {
        number: 5,
        name: "0005_ended_tallies",
        text: include_str!("migrations/0005_ended_tallies.cql"),
        // A release that does not know it reads the same rows, only more of their tombstones at once.
        additive: true,
    },
    Step {
        number: 6,
        name: "0006_open_tallies",
        text: include_str!("migrations/0006_open_tallies.cql"),
        // The same.
        additive: true,
    },
    Step {
        number: 7,
        name: "0007_feed",
        text: super::feed::STEP,
        // What a release that does not know it leaves out, who follows finds by beginning from nothing.
        additive: true,
    },
    Step {
        number: 8,
        name: "0008_history",
        text: super::history::STEP,
        // The same.
        additive: true,
    },
];

/// The step that makes the audit trail.
const AUDIT_STEP: i32 = 2;

const NOTES: &str = "CREATE TABLE IF NOT EXISTS schema_steps (\
                         list smallint, step int, name text, PRIMARY KEY ((list), step)\
                     )";

/// The steps that are additive: a table of its own, since the first release made the other one
/// without a word for it, and not every server can add a column only where it is missing.
const ADDITIVE_NOTES: &str = "CREATE TABLE IF NOT EXISTS schema_additive_steps (\
                                  list smallint, step int, PRIMARY KEY ((list), step)\
                              )";

/// Errors unless the schema has every step of this release, and none that it cannot live beside.
pub(super) async fn check(session: &Session, options: &ScyllaOptions) -> Result<(), OpenError> {
    let keyspace = || options.keyspace.clone();
    let noted = noted(session, options).await?;
    let newer = |(number, _): &&(i32, String)| STEPS.iter().all(|step| step.number != *number);
    if noted.iter().any(|step| newer(&step)) {
        let additive = noted_additive(session, options).await?;
        for (number, name) in noted.iter().filter(newer) {
            if !additive.contains(number) {
                return Err(OpenError::NewerStep { keyspace: keyspace(), step: name.clone() });
            }
            tracing::info!(step = name, "the schema has an additive step of a newer release");
        }
    }
    match STEPS.iter().find(|step| noted.iter().all(|(number, _)| *number != step.number)) {
        Some(step) => {
            Err(OpenError::MissingStep { keyspace: keyspace(), step: step.name.to_owned() })
        }
        None => Ok(()),
    }
}

/// Makes the keyspace if it does not exist, and applies the steps that are missing. Answers their
/// names. One process at a time: servers do not order changes of the schema for us.
///
/// `entry` says in the audit trail who does it, unless nothing is missing: before the first step, or
/// where there is no trail yet as soon as its table is made. Until all is done its outcome is unknown.
pub async fn apply(
    options: &ScyllaOptions,
    entry: Option<AuditEntry>,
) -> Result<Vec<&'static str>, OpenError> {
    let session = connect(options).await?;
    match use_keyspace(&session, &options.keyspace).await {
        Err(OpenError::NoKeyspace { .. }) => {
            make_keyspace(&session, options).await?;
            use_keyspace(&session, &options.keyspace).await?;
        }
        found => found?,
    }
    run(&session, options, NOTES).await?;
    run(&session, options, ADDITIVE_NOTES).await?;
    let noted = noted(&session, options).await?;
    let is_noted = |step: &&Step| noted.iter().any(|(number, _)| *number == step.number);
    let missing: Vec<_> = STEPS.iter().filter(|step| !is_noted(step)).collect();
    let trail = STEPS.iter().filter(is_noted).any(|step| step.number == AUDIT_STEP);
    let mut entry = entry.filter(|_| !missing.is_empty()).map(|entry| {
        let latest = noted.iter().max().map(|(_, name)| name.clone());
        let to = STEPS.iter().next_back().map(|step| step.name.to_owned());
        let change = AuditChange { field: "schema".to_owned(), from: latest, to };
        AppliedEntry { entry: AuditEntry { changes: vec![change], ..entry }, stamp: None }
    });
    if let Some(entry) = entry.as_mut().filter(|_| trail) {
        entry.add(&session, options).await?;
    }
    let mut applied = Vec::new();
    for step in missing {
        for statement in statements(step.text) {
            run(&session, options, &statement).await?;
        }
        if step.additive {
            // First this: whoever sees the other note knows already what kind of step it is.
            let note = format!(
                "INSERT INTO schema_additive_steps (list, step) VALUES (0, {})",
                step.number
            );
            run(&session, options, &note).await?;
        }
        let note = format!(
            "INSERT INTO schema_steps (list, step, name) VALUES (0, {}, '{}')",
            step.number, step.name
        );
        run(&session, options, &note).await?;
        if let Some(entry) = entry.as_mut().filter(|_| step.number == AUDIT_STEP) {
            entry.add(&session, options).await?;
        }
        applied.push(step.name);
    }
    if let Some(entry) = &entry {
        entry.conclude(&session, options).await?;
    }
    Ok(applied)
}

/// The entry of the one who applies steps. It is written without the lease, which nobody can have
/// before there is a schema, and which a router of the release before may have beside an additive
/// step. No other process writes these cells, so the wall clock orders the writes.
struct AppliedEntry {
    entry: AuditEntry,
    /// The timestamp that it was added with, us since 1970.
    stamp: Option<i64>,
}

impl AppliedEntry {
    /// Adds it, with an unknown outcome: a router that runs may have concluded all up to now, and
    /// nobody would conclude it later.
    async fn add(&mut self, session: &Session, options: &ScyllaOptions) -> Result<(), OpenError> {
        if self.stamp.is_some() {
            return Ok(());
        }
        let stamp = wall_us();
        let unusable = |error: RecordError| unusable(options, error.to_string());
        let id = self.entry.id;
        let sealed = record::encode_audit(&self.entry).map_err(unusable)?;
        let outcome = record::encode_audit_outcome(id, AuditOutcome::Unknown).map_err(unusable)?;
        let hour = hour_of(id);
        let list = "INSERT INTO audit_hours (list, hour) VALUES (0, ?) USING TIMESTAMP ?";
        write(session, options, list, (hour, stamp)).await?;
        let add = "INSERT INTO audit (hour, id, entry, outcome) VALUES (?, ?, ?, ?) \
                   USING TIMESTAMP ?";
        write(session, options, add, (hour, id.key().as_slice(), sealed, outcome, stamp)).await?;
        self.stamp = Some(stamp);
        Ok(())
    }

    /// All is done.
    async fn conclude(&self, session: &Session, options: &ScyllaOptions) -> Result<(), OpenError> {
        let Some(added) = self.stamp else { return Ok(()) };
        let id = self.entry.id;
        let done = record::encode_audit_outcome(id, AuditOutcome::Done);
        let done = done.map_err(|error| unusable(options, error.to_string()))?;
        // Later than what it replaces, whatever the clock does.
        let stamp = wall_us().max(added + 1);
        let text = "UPDATE audit USING TIMESTAMP ? SET outcome = ? WHERE hour = ? AND id = ?";
        write(session, options, text, (stamp, done, hour_of(id), id.key().as_slice())).await
    }
}

fn unusable(options: &ScyllaOptions, what: String) -> OpenError {
    OpenError::Unusable { keyspace: options.keyspace.clone(), what }
}

async fn write(
    session: &Session,
    options: &ScyllaOptions,
    text: &str,
    values: impl SerializeRow,
) -> Result<(), OpenError> {
    let done = session.query_unpaged(text, values).await;
    done.map(drop).map_err(|error| connect::unusable(&error, options))
}

async fn make_keyspace(session: &Session, options: &ScyllaOptions) -> Result<(), OpenError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let datacentre = &options.datacentre;
    if datacentre.is_empty() || !datacentre.chars().all(plain) {
        let what = "a keyspace is made in a datacentre; set store.datacentre to its name, of \
                    letters, digits, `-`, `_` and `.`";
        return Err(OpenError::Options { what: what.to_owned() });
    }
    let text = format!(
        "CREATE KEYSPACE IF NOT EXISTS {} \
         WITH replication = {{'class': 'NetworkTopologyStrategy', '{datacentre}': {}}}",
        options.keyspace, options.replication
    );
    run(session, options, &text).await
}

/// The steps that are noted as done; none where no note was ever taken.
async fn noted(
    session: &Session,
    options: &ScyllaOptions,
) -> Result<Vec<(i32, String)>, OpenError> {
    if !has_table(session, options, "schema_steps").await? {
        return Ok(Vec::new());
    }
    let unusable = |what: String| OpenError::Unusable { keyspace: options.keyspace.clone(), what };
    let text = "SELECT step, name FROM schema_steps WHERE list = 0";
    let noted = session.query_unpaged(text, ()).await;
    let noted = noted.map_err(|error| connect::unusable(&error, options))?;
    let noted = noted.into_rows_result().map_err(|error| unusable(error.to_string()))?;
    let rows = noted.rows::<(i32, String)>().map_err(|error| unusable(error.to_string()))?;
    rows.collect::<Result<_, _>>().map_err(|error| unusable(error.to_string()))
}

/// The numbers of the steps that are noted as additive.
async fn noted_additive(session: &Session, options: &ScyllaOptions) -> Result<Vec<i32>, OpenError> {
    if !has_table(session, options, "schema_additive_steps").await? {
        return Ok(Vec::new());
    }
    let unusable = |what: String| OpenError::Unusable { keyspace: options.keyspace.clone(), what };
    let text = "SELECT step FROM schema_additive_steps WHERE list = 0";
    let noted = session.query_unpaged(text, ()).await;
    let noted = noted.map_err(|error| connect::unusable(&error, options))?;
    let noted = noted.into_rows_result().map_err(|error| unusable(error.to_string()))?;
    let rows = noted.rows::<(i32,)>().map_err(|error| unusable(error.to_string()))?;
    rows.map(|row| row.map(|(step,)| step))
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(error.to_string()))
}

async fn has_table(
    session: &Session,
    options: &ScyllaOptions,
    table: &str,
) -> Result<bool, OpenError> {
    let unusable = |what: String| OpenError::Unusable { keyspace: options.keyspace.clone(), what };
    let text = "SELECT table_name FROM system_schema.tables \
                WHERE keyspace_name = ? AND table_name = ?";
    let tables = session.query_unpaged(text, (options.keyspace.as_str(), table)).await;
    let tables = tables.map_err(|error| unusable(error.to_string()))?;
    let tables = tables.into_rows_result().map_err(|error| unusable(error.to_string()))?;
    Ok(tables.rows_num() > 0)
}

async fn run(session: &Session, options: &ScyllaOptions, text: &str) -> Result<(), OpenError> {
    let done = session.query_unpaged(text, ()).await;
    done.map(drop).map_err(|error| match connect::unusable(&error, options) {
        OpenError::Unusable { keyspace, what } => {
            let what = format!(
                "a change of the schema failed, run `switchboard schema apply` again: {what}"
            );
            OpenError::Unusable { keyspace, what }
        }
        forbidden => forbidden,
    })
}

/// The statements of a step, without its comments.
fn statements(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.split("--").next().unwrap_or_default());
    let whole = lines.collect::<Vec<_>>().join("\n");
    let parts = whole.split(';').map(str::trim);
    parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_numbered_and_repeatable() {
        for (step, number) in STEPS.iter().zip(1..) {
            assert_eq!(step.number, number);
            assert!(step.name.starts_with(&format!("{number:04}_")), "{}", step.name);
            let statements = statements(step.text);
            assert!(!statements.is_empty());
            for statement in statements {
                assert!(statement.contains(" IF NOT EXISTS "), "{statement}");
            }
        }
    }
}
