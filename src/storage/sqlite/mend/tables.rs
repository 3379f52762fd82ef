//! The small tables: what of them can be read, from both ends and around the damage between.

use rusqlite::{Connection, ErrorCode, params_from_iter, types::Value};
use uuid::Uuid;

use super::super::audit::customer_of;
use super::super::damage::is_damage;
use crate::domain::audit::{AuditId, AuditOutcome};
use crate::domain::{ChatId, Timestamp, UserId};
use crate::storage::HistoryPoint;
use crate::storage::record::{self, RecordError, Slot};

/// A row of the audit trail as `id, entry, outcome, customer`, if anybody can read it: one that cannot
/// be would be named for ever. An outcome that nobody can read is an unknown one.
fn entry(mut row: Vec<Value>) -> Option<Vec<Value>> {
    let [Value::Blob(id), Value::Blob(entry), outcome, _] = row.as_slice() else { return None };
    let id = AuditId::from_key(id.as_slice().try_into().ok()?);
    // Whom it is about follows from it; of what a newer release wrote the column alone tells.
    let mut customer = None;
    let mut read = |outcome: Option<&[u8]>| match record::decode_audit(id, entry, outcome) {
        Ok(entry) => {
            customer = Some(customer_of(&entry).map_or(Value::Null, Value::Blob));
            true
        }
        Err(RecordError::Newer { .. }) => true,
        Err(RecordError::Damaged { .. } | RecordError::Unwritable { .. }) => false,
    };
    let whole = match outcome {
        Value::Null => read(None),
        Value::Blob(outcome) => read(Some(outcome)),
        Value::Integer(_) | Value::Real(_) | Value::Text(_) => false,
    };
    let readable = whole || read(None);
    if let Some(customer) = customer {
        row[3] = customer;
    }
    if !whole {
        row[2] = Value::Blob(record::encode_audit_outcome(id, AuditOutcome::Unknown).ok()?);
    }
    readable.then_some(row)
}

/// A row of the operators as `operator, record`, if anybody can read it: one without a record begins anew.
fn operator(row: Vec<Value>) -> Option<Vec<Value>> {
    let [Value::Blob(id), Value::Blob(record)] = row.as_slice() else { return None };
    let id = UserId(Uuid::from_slice(id).ok()?);
    match record::decode_operator(id, record) {
        Ok(_) | Err(RecordError::Newer { .. }) => Some(row),
        Err(RecordError::Damaged { .. } | RecordError::Unwritable { .. }) => None,
    }
}

/// A row of the history as `chat, started, record`, if anybody can read it: it is made anew from the log.
fn history(row: Vec<Value>) -> Option<Vec<Value>> {
    let [Value::Blob(chat), Value::Integer(started), Value::Blob(record)] = row.as_slice() else {
        return None;
    };
    let chat = ChatId(Uuid::from_slice(chat).ok()?);
    let started = Timestamp(u64::try_from(*started).ok()?);
    match record::decode_history(HistoryPoint { started, chat }, record) {
        Ok(_) | Err(RecordError::Newer { .. }) => Some(row),
        Err(RecordError::Damaged { .. } | RecordError::Unwritable { .. }) => None,
    }
}

/// A row of the documents as `kind, id, version, body`, if it is the one that was written under its name.
fn document(row: Vec<Value>) -> Option<Vec<Value>> {
    let [Value::Text(kind), Value::Text(id), Value::Integer(version), Value::Blob(body)] =
        row.as_slice()
    else {
        return None;
    };
    let slot = Slot::Document(kind, id, u64::try_from(*version).ok()?);
    match record::unseal(slot, body) {
        Ok(_) | Err(RecordError::Newer { .. }) => Some(row),
        Err(RecordError::Damaged { .. } | RecordError::Unwritable { .. }) => None,
    }
}

/// What becomes of a row when there is one with its key already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Same {
    Replaced,
    Kept,
}

/// The row as it is copied; none when it is left out.
type Readable = fn(Vec<Value>) -> Option<Vec<Value>>;

/// A table as it is copied.
pub(super) struct Table {
    pub name: String,
    columns: String,
    placeholders: String,
    /// In which order it is stored.
    order: Vec<String>,
    width: usize,
}

impl Table {
    /// All tables of a schema but those of the log, which have a copy of their own.
    pub fn all(of: &Connection) -> rusqlite::Result<Vec<Self>> {
        let mut statement = of.prepare(
            "SELECT name FROM sqlite_schema WHERE type = 'table' \
             AND name NOT IN ('log', 'log_index') AND name NOT LIKE 'sqlite_%' ORDER BY name",
        )?;
        let names: Vec<String> =
            statement.query_map((), |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        names.into_iter().map(|name| Self::of(of, name)).collect()
    }

    fn of(connection: &Connection, name: String) -> rusqlite::Result<Self> {
        let mut statement = connection.prepare("SELECT name, pk FROM pragma_table_info(?)")?;
        let columns: Vec<(String, i64)> = statement
            .query_map([&name], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let mut key: Vec<_> = columns.iter().filter(|(_, at)| *at > 0).collect();
        key.sort_by_key(|(_, at)| *at);
        let has_rowid = connection.prepare(&format!("SELECT rowid FROM {name} LIMIT 0")).is_ok();
        let order = match has_rowid {
            true => vec!["rowid".to_owned()],
            false => key.into_iter().map(|(column, _)| column.clone()).collect(),
        };
        let names: Vec<_> = columns.iter().map(|(column, _)| column.as_str()).collect();
        let placeholders = vec!["?"; names.len()].join(", ");
        Ok(Self { columns: names.join(", "), width: names.len(), placeholders, order, name })
    }

    /// Copies what can be read; answers whether that is all of it. Rows of the trail, of the
    /// operators and of the history that nobody can read are left out.
    pub fn copy(&self, from: &Connection, to: &Connection) -> rusqlite::Result<bool> {
        let readable = match self.name.as_str() {
            "audit" => entry,
            "operators" => operator,
            "history" => history,
            _ => Some,
        };
        self.copy_if((readable, Same::Replaced), from, to)
    }

    /// The same of documents, without those that are not what was written under their name.
    pub fn copy_whole(&self, from: &Connection, to: &Connection) -> rusqlite::Result<bool> {
        self.copy_if((document, Same::Replaced), from, to)
    }

    /// The same, with every row as it is, where none with its key has been copied.
    pub fn copy_as_found(&self, from: &Connection, to: &Connection) -> rusqlite::Result<bool> {
        self.copy_if((Some, Same::Kept), from, to)
    }

    /// How many rows can be counted.
    pub fn count(&self, of: &Connection) -> rusqlite::Result<i64> {
        of.query_row(&format!("SELECT count(*) FROM {}", self.name), (), |row| row.get(0))
    }

    fn copy_if(
        &self,
        how: (Readable, Same),
        from: &Connection,
        to: &Connection,
    ) -> rusqlite::Result<bool> {
        let ordered = |way: &str| {
            let order: Vec<_> = self.order.iter().map(|column| format!("{column} {way}")).collect();
            format!(
                "SELECT {} FROM {} NOT INDEXED ORDER BY {}",
                self.columns,
                self.name,
                order.join(", ")
            )
        };
        let whole = self.take(how, from, to, (&ordered("ASC"), &[]))?;
        if whole {
            return self.is_sound(from);
        }
        self.take(how, from, to, (&ordered("DESC"), &[]))?;
        Ok(false)
    }

    /// Copies the rows of a chat, for a table that has them; answers whether all can be read.
    pub fn copy_of(
        &self,
        chat: &[u8; 16],
        from: &Connection,
        to: &Connection,
    ) -> rusqlite::Result<bool> {
        let text = format!("SELECT {} FROM {} WHERE chat = ?", self.columns, self.name);
        self.take((Some, Same::Replaced), from, to, (&text, &[Value::Blob(chat.to_vec())]))
    }

    /// Copies rows until one cannot be read; answers whether none was.
    fn take(
        &self,
        (readable, same): (Readable, Same),
        from: &Connection,
        to: &Connection,
        (query, parameters): (&str, &[Value]),
    ) -> rusqlite::Result<bool> {
        let (over, rest) = match same {
            Same::Replaced => ("OR REPLACE", ""),
            Same::Kept => ("", "ON CONFLICT DO NOTHING"),
        };
        let text = format!(
            "INSERT {over} INTO {} ({}) VALUES ({}) {rest}",
            self.name, self.columns, self.placeholders
        );
        let mut insert = to.prepare_cached(&text)?;
        let mut statement = match from.prepare_cached(query) {
            Err(error) if is_damage(&error) => return Ok(false),
            prepared => prepared?,
        };
        let mut rows = statement.query(params_from_iter(parameters))?;
        let mut whole = true;
        loop {
            let row = match rows.next() {
                Err(error) if is_damage(&error) => return Ok(false),
                row => row?,
            };
            let Some(row) = row else { return Ok(whole) };
            let values = (0..self.width).map(|n| row.get::<_, Value>(n));
            let values = values.collect::<rusqlite::Result<Vec<_>>>().ok();
            match values.and_then(readable) {
                None => whole = false,
                Some(values) => match insert.execute(params_from_iter(values)) {
                    // No row of ours: what stands there was something else.
                    Err(error)
                        if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) =>
                    {
                        whole = false;
                    }
                    inserted => {
                        inserted?;
                    }
                },
            }
        }
    }

    /// Whether SQLite finds the table's pages in order, though they could all be read.
    fn is_sound(&self, from: &Connection) -> rusqlite::Result<bool> {
        let text = format!("PRAGMA quick_check({})", self.name);
        match from.query_row(&text, (), |row| row.get::<_, String>(0)) {
            Ok(found) => Ok(found == "ok"),
            Err(error) if is_damage(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
