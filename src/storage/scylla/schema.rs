//! The schema in numbered steps: what there is, what is missing, and applying it.
//!
//! Invariants: a step is never changed once it was released; each of its statements may be
//! repeated, so an interrupted step is applied again; a step is noted after all of it is done.

use scylla::client::session::Session;

use super::ScyllaOptions;
use super::connect::{self, OpenError, connect, use_keyspace};

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
        // A release that does not look at the marks would bring a forgotten chat back.
        additive: false,
    },
    Step {
        number: 4,
        name: "0004_ended",
        text: include_str!("migrations/0004_ended.cql"),
        // What a release that does not know it leaves out is filled in when its process is over.
        additive: true,
    },
];

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
pub async fn apply(options: &ScyllaOptions) -> Result<Vec<&'static str>, OpenError> {
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
    let mut applied = Vec::new();
    for step in STEPS {
        if noted.iter().any(|(number, _)| *number == step.number) {
            continue;
        }
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
        applied.push(step.name);
    }
    Ok(applied)
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
