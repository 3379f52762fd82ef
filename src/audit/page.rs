//! How the trail is read: the newest first, from a place that does not move.

use super::limits::{READ_PAGE, SCANNED_MAX};
use super::trail::Trail;
use crate::domain::Timestamp;
use crate::domain::audit::{AuditActor, AuditEntry, AuditId, AuditSubject};
use crate::storage::StoreError;

/// What a reader looks for; none: everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TrailFilter {
    /// Entries from this time on.
    pub from: Option<Timestamp>,
    /// Entries before this time.
    pub to: Option<Timestamp>,
    /// By whom.
    pub actor: Option<AuditActor>,
    /// About what.
    pub subject: Option<AuditSubject>,
}

impl TrailFilter {
    fn takes(&self, entry: &AuditEntry) -> bool {
        self.actor.is_none_or(|actor| entry.actor == actor)
            && self.subject.is_none_or(|subject| entry.subject == Some(subject))
    }
}

/// Some entries, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrailPage {
    /// Those that the filter takes; there may be none in the middle.
    pub entries: Vec<AuditEntry>,
    /// Where to go on; none at the end.
    pub next: Option<AuditId>,
}

impl Trail {
    /// A page of at most `limit` entries that the filter takes, behind `after`. At most
    /// [`SCANNED_MAX`] are looked at, so that a page costs no more when hardly any fits.
    pub async fn page(
        &self,
        filter: TrailFilter,
        after: Option<AuditId>,
        limit: usize,
    ) -> Result<TrailPage, StoreError> {
        let from = filter.from.map_or(AuditId::FIRST, AuditId::first_of);
        let end = filter.to.map_or(AuditId::END, AuditId::first_of);
        let mut before = after.map_or(end, |after| after.min(end));
        let (mut entries, mut scanned) = (Vec::new(), 0);
        while scanned < SCANNED_MAX {
            let page = self.newest(before, from, READ_PAGE).await?;
            let last = page.len() < READ_PAGE;
            scanned += page.len();
            for entry in page {
                if entries.len() == limit {
                    return Ok(TrailPage { entries, next: Some(before) });
                }
                before = entry.id;
                if filter.takes(&entry) {
                    entries.push(entry);
                }
            }
            if last {
                return Ok(TrailPage { entries, next: None });
            }
        }
        Ok(TrailPage { entries, next: Some(before) })
    }
}
