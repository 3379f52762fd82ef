//! Entries in, outcomes after them, and what is left over.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::failures::{Counting, Failure, Failures};
use super::limits::{CONCLUDED_AT_A_TIME, OPEN_MAX, READ_PAGE, REMOVED_AT_A_TIME};
use crate::domain::Timestamp;
use crate::domain::audit::{
    AuditAct, AuditActor, AuditChange, AuditEntry, AuditId, AuditOutcome, AuditSubject,
};
use crate::storage::{AuditTrail, Document, Documents, StoreError, version_of};
use crate::telemetry;

/// The kind and id of the document that says up to where every entry is concluded: ms since 1970,
/// as decimal digits. A start looks at what is behind it only.
const CONCLUDED: (&str, &str) = ("audit", "concluded");

/// Who acts, from where, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct By {
    /// Who.
    pub actor: AuditActor,
    /// The client's address; none: not by the network.
    pub address: Option<IpAddr>,
    /// When.
    pub at: Timestamp,
}

impl By {
    /// The process itself.
    pub fn system(at: Timestamp) -> Self {
        Self { actor: AuditActor::System, address: None, at }
    }
}

/// What is about to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What.
    pub act: AuditAct,
    /// To what.
    pub subject: Option<AuditSubject>,
    /// What it changes; secrets without their values.
    pub changes: Vec<AuditChange>,
}

#[derive(Default)]
struct State {
    /// The last id that was given, as time and number.
    last: (Timestamp, u64),
    /// What is, or may be, in the store without an outcome; with the outcome once it is known.
    open: BTreeMap<AuditId, Option<AuditOutcome>>,
    failures: Failures,
    /// Where the document stands.
    concluded: Option<(Timestamp, u64)>,
}

impl State {
    /// The next id. Within a process they only grow, whatever the clock does.
    fn next_id(&mut self, at: Timestamp, life: u32) -> AuditId {
        let (last, n) = self.last;
        self.last = (last.max(at), n + 1);
        AuditId::new(self.last.0, life, n)
    }
}

/// Notes an outcome for an entry when it is dropped, unless that was taken out; it is written soon.
struct Left<'a> {
    trail: &'a Trail,
    id: AuditId,
    outcome: Option<AuditOutcome>,
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        if let Some(outcome) = self.outcome {
            self.trail.lock().open.insert(self.id, Some(outcome));
        }
    }
}

/// See [`Trail::under_way`].
pub(crate) struct UnderWay<'a> {
    act: AuditAct,
    left: Left<'a>,
}

impl UnderWay<'_> {
    /// As [`Trail::conclude`].
    pub async fn conclude(mut self, outcome: AuditOutcome) {
        self.left.outcome = None;
        self.left.trail.conclude(self.act, self.left.id, outcome).await;
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if self.left.outcome.is_some() {
            let (act, id) = (self.act, self.left.id);
            telemetry::audited(act, AuditOutcome::Unknown);
            tracing::error!(target: "audit", %id, act = act.word(), "ended without a word");
        }
    }
}

/// See the module.
pub struct Trail {
    port: Arc<dyn AuditTrail>,
    documents: Arc<dyn Documents>,
    /// Tells the entries of this process from those of others in the same millisecond.
    life: u32,
    state: Mutex<State>,
}

impl Trail {
    /// The trail of a store that answers in time (`Store::in_time`). `life` is unlike that of other
    /// processes.
    pub fn new(port: Arc<dyn AuditTrail>, documents: Arc<dyn Documents>, life: u32) -> Self {
        Self { port, documents, life, state: Mutex::default() }
    }

    /// Concludes as unknown what a former process left without an outcome; to be called before
    /// anything is recorded. What is damaged stands in nobody's way: it is named, and a later start
    /// looks at all of it again.
    pub async fn recover(&self, now: Timestamp) -> Result<u64, StoreError> {
        let (concluded, version) = self.find_concluded().await?;
        let from = concluded.map_or(AuditId::FIRST, AuditId::first_of);
        let (mut before, mut unknown) = (AuditId::END, 0);
        loop {
            let page = match self.newest(before, from, READ_PAGE).await {
                Err(error @ StoreError::Damaged { .. }) => {
                    tracing::error!(
                        %error,
                        "the audit trail cannot be read: what the process before left open in it \
                         has no outcome until it is mended; see `switchboard store repair`"
                    );
                    return Ok(unknown);
                }
                page => page?,
            };
            for entry in page.iter().filter(|entry| entry.outcome.is_none()) {
                self.port.conclude(entry.id, AuditOutcome::Unknown).await?;
                telemetry::audited(entry.act, AuditOutcome::Unknown);
                unknown += 1;
            }
            let Some(last) = page.last() else { break };
            before = last.id;
        }
        self.lock().concluded = Some((concluded.unwrap_or_default(), version));
        // Also back, when the clock was: what is recorded from now on lies behind it.
        self.move_concluded(now).await?;
        Ok(unknown)
    }

    /// Makes the entry of an act durable. The act may take effect after that, and not before.
    pub async fn record(&self, by: By, note: Note) -> Result<AuditId, StoreError> {
        let Note { act, subject, changes } = note;
        let id = {
            let mut state = self.lock();
            if state.open.len() >= OPEN_MAX {
                let reason = "the outcomes of too many acts are not written yet".to_owned();
                return Err(StoreError::Unavailable { reason });
            }
            let id = state.next_id(by.at, self.life);
            state.open.insert(id, None);
            id
        };
        let (actor, address) = (by.actor, by.address);
        let entry = AuditEntry { id, actor, address, act, subject, changes, outcome: None };
        say(&entry);
        // Unless it is recorded it may be there all the same, of an act that was not done.
        let mut left = Left { trail: self, id, outcome: Some(AuditOutcome::Refused) };
        self.port.record(entry).await?;
        left.outcome = None;
        Ok(id)
    }

    /// An act that was recorded, until it is concluded. When it is dropped before that, by a panic or
    /// with a future that nobody waits for, its outcome is unknown, and written as such.
    pub(crate) fn under_way(&self, act: AuditAct, id: AuditId) -> UnderWay<'_> {
        UnderWay { act, left: Left { trail: self, id, outcome: Some(AuditOutcome::Unknown) } }
    }

    /// Says what became of an act. When the store does not take it now, it is tried again; the act
    /// is done, and so this fails for nobody.
    pub async fn conclude(&self, act: AuditAct, id: AuditId, outcome: AuditOutcome) {
        telemetry::audited(act, outcome);
        tracing::info!(target: "audit", %id, act = act.word(), outcome = ?outcome, "concluded");
        self.lock().open.insert(id, Some(outcome));
        self.write_outcome(id, outcome).await;
    }

    /// Counts what failed; it is written soon. `network` is the client's.
    pub fn failed(&self, failure: &Failure, network: IpAddr, now: Timestamp) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let mut failures = std::mem::take(&mut state.failures);
        failures.count(failure, network, now, || state.next_id(now, self.life));
        state.failures = failures;
    }

    /// Writes what is left over: failures, outcomes that the store did not take, how far the trail is
    /// concluded. To be called every few seconds.
    pub async fn tend(&self, now: Timestamp) {
        let (begun, over) = self.lock().failures.take(now);
        self.lock().open.extend(over.into_iter().map(|(id, outcome)| (id, Some(outcome))));
        let mut begun = begun.into_iter();
        while let Some(counting) = begun.next() {
            if let Err(error) = self.count(&counting).await {
                tracing::warn!(%error, "failures were counted, and are written later");
                let rest = std::iter::once(counting).chain(begun).collect();
                return self.lock().failures.put_back(rest);
            }
        }
        let known: Vec<_> = {
            let state = self.lock();
            let known = state.open.iter().filter_map(|(id, outcome)| Some((*id, (*outcome)?)));
            known.take(CONCLUDED_AT_A_TIME).collect()
        };
        for (id, outcome) in known {
            if !self.write_outcome(id, outcome).await {
                return;
            }
        }
        if let Err(error) = self.move_concluded(now).await {
            tracing::debug!(%error, "how far the audit trail is concluded was not written");
        }
    }

    /// As [`tend`](Self::tend), with what is still being counted: the process ends.
    pub async fn end(&self, now: Timestamp) {
        self.lock().failures.end();
        self.tend(now).await;
    }

    /// Removes what is older than `kept_ms`; to be called now and then.
    pub async fn remove_old(&self, now: Timestamp, kept_ms: u64) -> Result<(), StoreError> {
        let before = Timestamp(now.0.saturating_sub(kept_ms));
        for _ in 0..REMOVED_AT_A_TIME {
            if !self.port.remove_before(before).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    pub(super) async fn newest(
        &self,
        before: AuditId,
        from: AuditId,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        self.port.newest(before, from, limit).await
    }

    /// Writes the entry of what is being counted, with its outcome if that is known already.
    async fn count(&self, counting: &Counting) -> Result<(), StoreError> {
        let Counting { id, act, subject, network, changes, outcome } = counting.clone();
        let entry = AuditEntry {
            id,
            actor: AuditActor::Unknown,
            address: network,
            act,
            subject,
            changes,
            outcome,
        };
        say(&entry);
        self.port.record(entry).await?;
        telemetry::audited(act, AuditOutcome::Counted(1));
        if outcome.is_none() {
            self.lock().open.insert(id, None);
        }
        Ok(())
    }

    /// Whether the store took it.
    async fn write_outcome(&self, id: AuditId, outcome: AuditOutcome) -> bool {
        match self.port.conclude(id, outcome).await {
            Ok(()) => {
                self.lock().open.remove(&id);
                true
            }
            Err(error) => {
                tracing::warn!(%error, %id, "the outcome of an act is written later");
                false
            }
        }
    }

    /// Moves up to where all is concluded to the first act without an outcome, or to the present. No
    /// effect before the document was read.
    async fn move_concluded(&self, now: Timestamp) -> Result<(), StoreError> {
        let (version, to) = {
            let state = self.lock();
            let Some((concluded, version)) = state.concluded else { return Ok(()) };
            let now = now.max(state.last.0);
            let to = state.open.keys().next().map_or(now, |id| id.at().min(now));
            if to == concluded {
                return Ok(());
            }
            (version, to)
        };
        let body = to.0.to_string().into_bytes();
        let written = self.documents.put(CONCLUDED.0, CONCLUDED.1, version, body).await;
        match written {
            Ok(version) => {
                self.lock().concluded = Some((to, version));
                Ok(())
            }
            Err(error) => {
                // It may have been written after all.
                let (at, version) = self.find_concluded().await?;
                self.lock().concluded = Some((at.unwrap_or_default(), version));
                Err(error)
            }
        }
    }

    /// Where the document stands, and its version. One that is damaged says nothing, and is written
    /// over: it can be found out from the trail.
    async fn find_concluded(&self) -> Result<(Option<Timestamp>, u64), StoreError> {
        match self.documents.get(CONCLUDED.0, CONCLUDED.1).await {
            Ok(found) => {
                let version = found.as_ref().map_or(0, |found| found.version);
                Ok((found.as_ref().and_then(read_concluded), version))
            }
            Err(StoreError::Damaged { reason }) => {
                tracing::warn!(reason, "how far the audit trail is concluded is found out anew");
                let asked = version_of(&*self.documents, CONCLUDED.0, CONCLUDED.1);
                Ok((None, asked.await?))
            }
            Err(error) => Err(error),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_concluded(document: &Document) -> Option<Timestamp> {
    std::str::from_utf8(&document.body).ok()?.parse().ok().map(Timestamp)
}

/// A line of the log beside the entry. Of a customer it says the channel only: lines cannot be
/// taken back when the customer is erased.
fn say(entry: &AuditEntry) {
    let subject = match entry.subject {
        None => String::new(),
        Some(AuditSubject::User(user)) => format!("user {user}"),
        Some(AuditSubject::Queue(queue)) => format!("queue {queue}"),
        Some(AuditSubject::Channel(channel)) => format!("channel {channel}"),
        Some(AuditSubject::AwayReason(reason)) => format!("reason to be away {reason}"),
        Some(AuditSubject::Customer { channel, .. }) => format!("a customer of channel {channel}"),
        Some(AuditSubject::Store) => "the store".to_owned(),
        Some(AuditSubject::Trail) => "the audit trail".to_owned(),
    };
    let actor = match entry.actor {
        AuditActor::System => "system".to_owned(),
        AuditActor::CommandLine => "command line".to_owned(),
        AuditActor::Unknown => "unknown".to_owned(),
        AuditActor::User(user) => format!("user {user}"),
        AuditActor::Site(channel) => format!("site {channel}"),
    };
    let fields: Vec<_> = entry.changes.iter().map(|change| change.field.as_str()).collect();
    let address = entry.address.map(|address| address.to_string()).unwrap_or_default();
    tracing::info!(
        target: "audit",
        id = %entry.id,
        act = entry.act.word(),
        actor,
        address,
        subject,
        fields = fields.join(" "),
        "about to be done"
    );
}
