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
}

/// All steps of this release, in their order.
const STEPS: &[Step] = &[
    Step { number: 1, name: "0001_first", text: include_str!("migrations/0001_first.cql") },
    Step { number: 2, name: "0002_audit", text: include_str!("migrations/0002_audit.cql") },
    Step { number: 3, name: "0003_forgotten", text: include_str!("migrations/0003_forgotten.cql") },
];

const NOTES: &str = "CREATE TABLE IF NOT EXISTS schema_steps (\
                         list smallint, step int, name text, PRIMARY KEY ((list), step)\
                     )";

/// Errors unless the schema is that of this release.
pub(super) async fn check(session: &Session, options: &ScyllaOptions) -> Result<(), OpenError> {
    let keyspace = || options.keyspace.clone();
    let noted = noted(session, options).await?;
    if let Some((_, name)) = noted.iter().find(|(n, _)| STEPS.iter().all(|s| s.number != *n)) {
        return Err(OpenError::NewerStep { keyspace: keyspace(), step: name.clone() });
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
    let noted = noted(&session, options).await?;
    let mut applied = Vec::new();
    for step in STEPS {
        if noted.iter().any(|(number, _)| *number == step.number) {
            continue;
        }
        for statement in statements(step.text) {
            run(&session, options, &statement).await?;
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
    let unusable = |what: String| OpenError::Unusable { keyspace: options.keyspace.clone(), what };
    let text = "SELECT table_name FROM system_schema.tables \
                WHERE keyspace_name = ? AND table_name = 'schema_steps'";
    let tables = session.query_unpaged(text, (options.keyspace.as_str(),)).await;
    let tables = tables.map_err(|error| unusable(error.to_string()))?;
    let tables = tables.into_rows_result().map_err(|error| unusable(error.to_string()))?;
    if tables.rows_num() == 0 {
        return Ok(Vec::new());
    }
    let text = "SELECT step, name FROM schema_steps WHERE list = 0";
    let noted = session.query_unpaged(text, ()).await;
    let noted = noted.map_err(|error| connect::unusable(&error, options))?;
    let noted = noted.into_rows_result().map_err(|error| unusable(error.to_string()))?;
    let rows = noted.rows::<(i32, String)>().map_err(|error| unusable(error.to_string()))?;
    rows.collect::<Result<_, _>>().map_err(|error| unusable(error.to_string()))
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
