//! The audit trail, read. That it was read is an act of its own.

use super::Answer;
use super::asked::{Asked, invalid, json};
use crate::access::ActError;
use crate::audit::{Note, TrailFilter};
use crate::domain::Timestamp;
use crate::domain::audit::{AuditAct, AuditChange, AuditId, AuditSubject};
use crate::edge::{lost_error, store_error};
use crate::protocol::rest::ErrorResponse;
use crate::protocol::rest::audit::{AuditEntryResponse, read_actor, read_subject};
use crate::protocol::rest::body::PageResponse;
use crate::protocol::rest::query::PAGE_MAX;

/// What the query asks for.
struct Wanted {
    filter: TrailFilter,
    after: Option<AuditId>,
    limit: usize,
    /// As it was asked for, for the entry about it.
    asked: Vec<AuditChange>,
}

pub(super) async fn read(asked: &Asked) -> Answer {
    let Wanted { filter, after, limit, asked: changes } = wanted(asked)?;
    let note = Note { act: AuditAct::TrailRead, subject: Some(AuditSubject::Trail), changes };
    let trail = asked.edge.access.trail();
    let page = asked.act()?.carry_out(note, trail.page(filter, after, limit)).await;
    let page = page.map_err(|error| match error {
        ActError::Lost(lost) => lost_error(&lost),
        ActError::Store(error) => store_error(&error),
    })?;
    let items = page.entries.into_iter().map(AuditEntryResponse::from).collect();
    json(&PageResponse { items, next: page.next.map(|next| next.to_string()) })
}

fn wanted(asked: &Asked) -> Result<Wanted, ErrorResponse> {
    let mut wanted =
        Wanted { filter: TrailFilter::default(), after: None, limit: PAGE_MAX, asked: Vec::new() };
    wanted.filter.from = asked.number("from").map(Timestamp);
    wanted.filter.to = asked.number("to").map(Timestamp);
    let limit = asked.number("limit").and_then(|limit| usize::try_from(limit).ok());
    wanted.limit = limit.unwrap_or(PAGE_MAX);
    for (name, value) in asked.query() {
        let wrong = |expected: &str| invalid(name, &format!("expected {expected}"));
        match name {
            "actor" => {
                let what = "`system`, `command_line`, `unknown`, `user:ID` or `site:CHANNEL`";
                wanted.filter.actor = Some(read_actor(value).ok_or_else(|| wrong(what))?);
            }
            "subject" => {
                let what = "`user:ID`, `queue:ID`, `channel:ID`, `away_reason:ID`, \
                            `customer:CHANNEL:ID`, `store` or `trail`";
                wanted.filter.subject = Some(read_subject(value).ok_or_else(|| wrong(what))?);
            }
            "after" => {
                let after = AuditId::parse(value).ok_or_else(|| wrong("the `next` of a page"))?;
                wanted.after = Some(after);
            }
            _ => {}
        }
        // A customer who is looked for is in no entry but those that are erased with it.
        let customer = name == "subject" && value.starts_with("customer:");
        let to = (!customer).then(|| value.to_owned());
        wanted.asked.push(AuditChange { field: name.to_owned(), from: None, to });
    }
    Ok(wanted)
}
