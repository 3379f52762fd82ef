//! The documents for machines and for people are those of the code.
//! `UPDATE_GOLDEN=1 cargo test --test protocol` writes the generated parts anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use serde_json::Value;
use switchboard::protocol::close::{self, CloseRow};
use switchboard::protocol::document::{COMMON_ERRORS, document};
use switchboard::protocol::{ErrorKind, Method, Notification};

use crate::golden::{repository, updating};

/// The list of methods and the table of rights name each by one name.
#[test]
fn every_method_has_the_name_of_its_row_in_the_table_of_rights() {
    for method in Method::ALL {
        assert_eq!(method.operation().name(), method.name());
    }
}

#[test]
fn the_machine_readable_document_is_up_to_date() {
    up_to_date("docs/protocol.json", &document());
}

#[test]
fn every_reference_in_the_document_leads_somewhere() {
    references_lead_somewhere(&document());
}

/// A committed document says what the types say; `UPDATE_GOLDEN=1` writes it anew.
pub fn up_to_date(name: &str, document: &Value) {
    let path = repository(name);
    let text = format!("{}\n", serde_json::to_string_pretty(document).unwrap());
    if updating() {
        fs::write(&path, &text).unwrap();
    }
    let committed = fs::read_to_string(path).unwrap();
    assert_eq!(committed, text, "{name} is out of date");
}

/// Every `$ref` of a document points into it.
pub fn references_lead_somewhere(document: &Value) {
    let mut references = BTreeSet::new();
    collect(document, &mut references);
    assert!(references.len() > 20, "{references:?}");
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

fn collect(value: &Value, references: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                references.insert(reference.clone());
            }
            members.values().for_each(|value| collect(value, references));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, references)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn codes_and_names_of_errors_are_distinct() {
    let codes: BTreeSet<_> = ErrorKind::ALL.iter().map(|kind| kind.code()).collect();
    let names: BTreeSet<_> = ErrorKind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(codes.len(), ErrorKind::ALL.len());
    assert_eq!(names.len(), ErrorKind::ALL.len());
}

#[test]
fn every_error_is_somebodys() {
    let of_methods = Method::ALL.iter().flat_map(|method| method.errors());
    let known: BTreeSet<_> = of_methods.chain(COMMON_ERRORS).collect();
    for kind in ErrorKind::ALL {
        assert!(known.contains(kind), "no method answers {}", kind.name());
    }
}

fn methods() -> String {
    let mut table =
        "| method | what it does | who may | in order with | keeps its place by | errors of its own |\n\
         |---|---|---|---|---|---|\n".to_owned();
    for method in Method::ALL {
        let errors: Vec<_> =
            method.errors().iter().map(|kind| format!("`{}`", kind.name())).collect();
        let (name, summary) = (method.name(), method.summary());
        let (who, errors) = (method.operation().allowed().join(", "), errors.join(", "));
        let (order, place) = (method.in_order_with(), method.place_member());
        let place = place.map(|member| format!("`{member}`")).unwrap_or_default();
        writeln!(table, "| `{name}` | {summary} | {who} | {order} | {place} | {errors} |").unwrap();
    }
    table
}

fn own() -> String {
    let mut table = "| method | own means |\n|---|---|\n".to_owned();
    for method in Method::ALL {
        let own = method.operation().own();
        if !own.is_empty() {
            writeln!(table, "| `{}` | {own} |", method.name()).unwrap();
        }
    }
    table
}

fn errors() -> String {
    let mut table = "| code | name | meaning | what to do |\n|---|---|---|---|\n".to_owned();
    for kind in ErrorKind::ALL {
        let (code, name) = (kind.code(), kind.name());
        let (meaning, advice) = (kind.meaning(), kind.advice());
        writeln!(table, "| {code} | `{name}` | {meaning} | {advice} |").unwrap();
    }
    table
}

fn closes() -> String {
    let mut table = "| code | reason | meaning | then |\n|---|---|---|---|\n".to_owned();
    for CloseRow { code, reason, meaning, then } in close::rows() {
        let reason = if reason.is_empty() { String::new() } else { format!("`{reason}`") };
        writeln!(table, "| {code} | {reason} | {meaning} | {} |", then.name()).unwrap();
    }
    table
}

fn limits() -> String {
    let document = document();
    let mut table = "| limit | value |\n|---|---|\n".to_owned();
    for (name, value) in document["x-limits"].as_object().unwrap() {
        writeln!(table, "| `{name}` | {value} |").unwrap();
    }
    table
}

#[test]
fn the_document_for_people_has_the_tables_of_the_code() {
    let path = repository("docs/protocol.md");
    let mut text = fs::read_to_string(&path).unwrap();
    let tables = [
        ("methods", methods()),
        ("own", own()),
        ("errors", errors()),
        ("closes", closes()),
        ("limits", limits()),
    ];
    for (name, table) in tables {
        let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
        let from = text.find(&begin).unwrap() + begin.len();
        let to = text.find(&end).unwrap();
        if updating() {
            text.replace_range(from..to, &table);
        } else {
            assert_eq!(&text[from..to], table, "the table `{name}` in docs/protocol.md");
        }
    }
    if updating() {
        fs::write(&path, &text).unwrap();
    }
    for name in Notification::NAMES {
        assert!(text.contains(&format!("`{name}`")), "{name} is missing in docs/protocol.md");
    }
}
