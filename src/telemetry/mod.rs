//! Every metric of the router in one place: name, meaning, labels, and the one function that
//! records it.
//!
//! Prometheus's conventions: base units, `_total` for counters, `_seconds` for times. Labels are
//! bounded: queues by the configuration, all others by enums. Nothing here names a person, a chat
//! or a text. What is only a look at the present (gauges) is set when somebody looks ([`Gauges`]).

mod catalogue;
mod gauges;

use std::time::Duration;

use metrics::{counter, gauge, histogram};

use crate::domain::audit::{AuditAct, AuditOutcome};
use crate::domain::event::{OfferEnd, WithdrawReason};
use crate::domain::{ChatEvent, Outcome, Party, QueueId};

pub use catalogue::{BATCH_BUCKETS, Kind, METRICS, Metric, SECONDS_BUCKETS, describe};
pub use gauges::{Gauges, OPEN_STATES};

/// How an offer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfferOutcome {
    /// Somebody accepted.
    Accepted,
    /// It ended without an owner.
    Ended(OfferEnd),
    /// The chat was taken by hand, transferred or ended meanwhile.
    Overtaken,
}

impl OfferOutcome {
    fn label(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Overtaken => "overtaken",
            Self::Ended(OfferEnd::Declined) => "declined",
            Self::Ended(OfferEnd::Lapsed) => "lapsed",
            Self::Ended(OfferEnd::Restart) => "restart",
            Self::Ended(OfferEnd::Withdrawn(WithdrawReason::NotReady)) => "withdrawn_not_ready",
            Self::Ended(OfferEnd::Withdrawn(WithdrawReason::NotReserved)) => {
                "withdrawn_not_reserved"
            }
            Self::Ended(OfferEnd::Withdrawn(WithdrawReason::NotEligible)) => {
                "withdrawn_not_eligible"
            }
        }
    }
}

/// A chat left the line for an owner after this wait, counted from its first time of waiting.
pub fn assigned(queue: QueueId, wait_ms: u64) {
    histogram!("switchboard_chat_wait_seconds", "queue" => queue.to_string())
        .record(seconds(wait_ms));
}

/// See the catalogue.
pub fn chats_forgotten(chats: u64) {
    counter!("switchboard_chats_forgotten_total").increment(chats);
}

/// See the catalogue.
pub fn retention_forgot(chats: u64) {
    counter!("switchboard_retention_forgotten_total").increment(chats);
}

/// See the catalogue.
pub fn retention_lag(lag_ms: u64) {
    gauge!("switchboard_retention_lag_seconds").set(seconds(lag_ms));
}

/// See the catalogue.
pub fn retention_failed() {
    counter!("switchboard_retention_failures_total").increment(1);
}

/// See the catalogue.
pub fn clock_doubted(doubted: bool) {
    gauge!("switchboard_retention_clock_doubted").set(if doubted { 1.0 } else { 0.0 });
}

/// See the catalogue.
pub fn forgetting_unreadable(lists: u64) {
    counter!("switchboard_forgetting_unreadable_total").increment(lists);
}

/// An offer ended after this time.
pub fn offer_ended(queue: QueueId, outcome: OfferOutcome, stood_ms: u64) {
    let (queue, outcome) = (queue.to_string(), outcome.label());
    counter!("switchboard_offers_total", "queue" => queue.clone(), "outcome" => outcome)
        .increment(1);
    histogram!("switchboard_offer_duration_seconds", "queue" => queue).record(seconds(stood_ms));
}

/// An event became durable.
pub fn recorded(event: &ChatEvent) {
    match event {
        ChatEvent::Opened { .. } => counter!("switchboard_chats_opened_total").increment(1),
        ChatEvent::Ended { outcome, .. } => {
            let outcome = match outcome {
                Outcome::Completed => "completed",
                Outcome::Missed => "missed",
            };
            counter!("switchboard_chats_ended_total", "outcome" => outcome).increment(1);
        }
        ChatEvent::Message { from, .. } => {
            let from = match from {
                Party::Customer(_) => "customer",
                Party::User(_) => "operator",
                Party::System => "system",
            };
            counter!("switchboard_messages_total", "from" => from).increment(1);
        }
        ChatEvent::CustomerUpdated { .. }
        | ChatEvent::Placed { .. }
        | ChatEvent::Offered { .. }
        | ChatEvent::OfferWidened { .. }
        | ChatEvent::Declined { .. }
        | ChatEvent::OfferNarrowed { .. }
        | ChatEvent::OfferEnded { .. }
        | ChatEvent::Assigned { .. }
        | ChatEvent::Begun { .. }
        | ChatEvent::TransferAsked { .. }
        | ChatEvent::TransferFailed { .. }
        | ChatEvent::ContinuedIn { .. } => {}
    }
}

/// A message was acknowledged this long after it had come in.
pub fn message_durable(took: Duration) {
    histogram!("switchboard_message_durable_seconds").record(took.as_secs_f64());
}

/// The other side received a message this long after it was durable.
pub fn message_delivered(took_ms: u64) {
    histogram!("switchboard_message_delivered_seconds").record(seconds(took_ms));
}

/// A chat that waited in a queue which is not there went into that of its channel.
pub fn rehomed() {
    counter!("switchboard_chats_rehomed_total").increment(1);
}

/// A chat was not opened, by the bound of this name.
pub fn opening_refused(bound: &'static str) {
    counter!("switchboard_chats_refused_total", "bound" => bound).increment(1);
}

/// A call was refused because too many waited for the same actor.
pub fn overloaded() {
    counter!("switchboard_calls_overloaded_total").increment(1);
}

/// What a trusted proxy said of a client's address did not count, for this reason.
pub fn forwarded_refused(reason: &'static str) {
    counter!("switchboard_forwarded_refused_total", "reason" => reason).increment(1);
}

/// An answer about a password was kept back, for its login is guessed at from everywhere.
pub fn log_in_delayed() {
    counter!("switchboard_log_ins_delayed_total").increment(1);
}

/// An actor of this kind failed and is started again.
pub fn restarted(kind: &'static str) {
    counter!("switchboard_actor_restarts_total", "kind" => kind).increment(1);
}

/// A connection did not keep up and was closed.
pub fn outbox_overflowed() {
    counter!("switchboard_outbox_overflows_total").increment(1);
}

/// The store made a batch of writes durable in this time.
pub fn store_batch(writes: usize, appends: u64, took: Duration) {
    counter!("switchboard_store_appends_total").increment(appends);
    histogram!("switchboard_store_batch_writes").record(writes as f64);
    histogram!("switchboard_store_commit_seconds").record(took.as_secs_f64());
}

/// The embedded store has read something in this time.
pub fn store_read(took: Duration) {
    histogram!("switchboard_store_read_seconds").record(took.as_secs_f64());
}

/// It has moved its latest events into the index in this time.
pub fn store_folded(took: Duration) {
    histogram!("switchboard_store_fold_seconds").record(took.as_secs_f64());
}

/// It has made a checkpoint in this time.
pub fn store_checkpoint(took: Duration) {
    histogram!("switchboard_store_checkpoint_seconds").record(took.as_secs_f64());
}

/// A reader panicked and was made anew.
pub fn store_reader_replaced() {
    counter!("switchboard_store_readers_replaced_total").increment(1);
}

/// How large the embedded store is. None: nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreSizes {
    /// The database, bytes.
    pub database: Option<u64>,
    /// Its WAL, bytes.
    pub wal: Option<u64>,
    /// What may still be written to the disk, bytes.
    pub disk_free: Option<u64>,
    /// Events that are not in the index.
    pub tail_events: u64,
}

impl StoreSizes {
    /// Sets what is known.
    pub fn set(&self) {
        gauge!("switchboard_store_tail_events").set(self.tail_events as f64);
        for (name, bytes) in [
            ("switchboard_store_database_bytes", self.database),
            ("switchboard_store_wal_bytes", self.wal),
            ("switchboard_store_disk_free_bytes", self.disk_free),
        ] {
            if let Some(bytes) = bytes {
                gauge!(name).set(bytes as f64);
            }
        }
    }
}

/// How long the oldest change waits that a consumer of the feed has not taken, ms; 0 when it took all.
pub fn feed_lag(consumer: &'static str, waits_ms: u64) {
    gauge!("switchboard_feed_lag_seconds", "consumer" => consumer).set(waits_ms as f64 / 1_000.0);
}

/// How many chats a consumer of the feed has set aside.
pub fn feed_set_aside(consumer: &'static str, chats: usize) {
    gauge!("switchboard_feed_set_aside", "consumer" => consumer).set(chats as f64);
}

/// Whether a consumer of the feed is on its way from nothing, and how many chats it has taken then.
pub fn feed_from_nothing(consumer: &'static str, taken: Option<u64>) {
    let begins = f64::from(u8::from(taken.is_some()));
    gauge!("switchboard_feed_from_nothing", "consumer" => consumer).set(begins);
    if let Some(taken) = taken {
        gauge!("switchboard_feed_from_nothing_chats", "consumer" => consumer).set(taken as f64);
    }
}

/// A consumer of the feed passed over a chat that it cannot read.
pub fn feed_passed_over(consumer: &'static str) {
    counter!("switchboard_feed_passed_over_total", "consumer" => consumer).increment(1);
}

/// How a call to the store ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreCallEnd {
    /// As asked.
    Done,
    /// With an answer that is no.
    Refused,
    /// By trouble of the store's.
    Failed,
    /// Not within the limit.
    Silent,
    /// Who asked waited no longer, before the limit.
    GivenUp,
}

impl StoreCallEnd {
    fn label(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Silent => "silent",
            Self::GivenUp => "given_up",
        }
    }
}

/// A call of a port came to an end.
pub fn store_call(port: &'static str, end: StoreCallEnd, took: Duration) {
    histogram!("switchboard_store_call_seconds", "port" => port, "end" => end.label())
        .record(took.as_secs_f64());
}

/// The store refused a read or a write because too many waited.
pub fn store_refused() {
    counter!("switchboard_store_refused_total").increment(1);
}

/// So many chats have damage, as far as the store has met it.
pub fn store_damaged_chats(chats: usize) {
    gauge!("switchboard_store_damaged_chats").set(chats as f64);
}

/// What else than chats may be damaged, row by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DamagedRow {
    /// An entry of the audit trail.
    AuditEntry,
    /// A row of the history.
    History,
    /// The row of an open chat.
    OpenChat,
    /// The document of a user.
    User,
    /// The document of a queue.
    Queue,
    /// The document of a channel.
    Channel,
    /// The document of a user's sessions.
    Sessions,
    /// The record of an operator.
    Operator,
    /// A touch of the feed of what changed.
    Touch,
    /// Any other document.
    Document,
}

impl DamagedRow {
    /// A document of a kind.
    pub fn of_document(kind: &str) -> Self {
        let all = [Self::User, Self::Queue, Self::Channel, Self::Sessions];
        all.into_iter().find(|one| one.label() == kind).unwrap_or(Self::Document)
    }

    fn label(self) -> &'static str {
        match self {
            Self::AuditEntry => "audit_entry",
            Self::History => "history",
            Self::OpenChat => "open_chat",
            Self::User => "user",
            Self::Queue => "queue",
            Self::Channel => "channel",
            Self::Sessions => "sessions",
            Self::Operator => "operator",
            Self::Touch => "touch",
            Self::Document => "document",
        }
    }
}

/// So many rows of the kind have damage, as far as the store has met it.
pub fn store_damaged_rows(of: DamagedRow, rows: usize) {
    gauge!("switchboard_store_damaged_rows", "of" => of.label()).set(rows as f64);
}

/// An act came to an end, or something failed that is counted.
pub fn audited(act: AuditAct, outcome: AuditOutcome) {
    let outcome = match outcome {
        AuditOutcome::Done => "done",
        AuditOutcome::Refused | AuditOutcome::Counted(_) => "refused",
        AuditOutcome::Unknown => "unknown",
    };
    counter!("switchboard_audit_acts_total", "act" => act.word(), "outcome" => outcome)
        .increment(1);
}

/// Whether the store answers, from now on.
pub fn store_available(available: bool) {
    gauge!("switchboard_store_available").set(f64::from(u8::from(available)));
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}
