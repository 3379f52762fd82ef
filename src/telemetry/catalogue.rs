//! The list of all metrics: what `/metrics` shows, and what the documentation says of it.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// What kind of metric it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// The present.
    Gauge,
    /// A distribution of times.
    Seconds,
    /// A distribution of sizes.
    Sizes,
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

/// Upper bounds of all times, s: from a healthy append to a chat that waits for an hour.
pub const SECONDS_BUCKETS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0,
    30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0,
];

/// Upper bounds of batch sizes, writes.
pub const BATCH_BUCKETS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 64.0, 256.0, 1_024.0, 4_096.0];

macro_rules! metric {
    ($name:literal, $kind:ident, [$($label:literal),*], $help:literal) => {
        Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help }
    };
}

/// All of them.
pub const METRICS: &[Metric] = &[
    metric!("switchboard_chats", Gauge, ["queue", "state"], "Open chats by queue and state."),
    metric!("switchboard_chats_opened_total", Counter, [], "Chats that were opened."),
    metric!(
        "switchboard_chats_refused_total",
        Counter,
        ["bound"],
        "Chats that were not opened, as the visitor or its address had opened too many."
    ),
    metric!("switchboard_chats_ended_total", Counter, ["outcome"], "Chats that ended."),
    metric!(
        "switchboard_chats_forgotten_total",
        Counter,
        [],
        "Chats that were forgotten for good."
    ),
    metric!(
        "switchboard_retention_forgotten_total",
        Counter,
        [],
        "Chats that were forgotten because their channel kept them no longer."
    ),
    metric!(
        "switchboard_retention_lag_seconds",
        Gauge,
        [],
        "For how long the chat should be gone that retention has found and not forgotten yet."
    ),
    metric!(
        "switchboard_retention_failures_total",
        Counter,
        [],
        "Slices of what retention forgets that failed; each is tried again."
    ),
    metric!(
        "switchboard_retention_clock_doubted",
        Gauge,
        [],
        "1 while nothing is removed for its age, since the clock jumped ahead; else 0."
    ),
    metric!(
        "switchboard_forgetting_unreadable_total",
        Counter,
        [],
        "Lists of chats under way to be forgotten that a start could not read."
    ),
    metric!(
        "switchboard_chats_moving",
        Gauge,
        [],
        "Open chats whose change of place is under way; lasting ones need a look."
    ),
    metric!(
        "switchboard_chats_without_queue",
        Gauge,
        [],
        "Open chats whose queue does not exist; those that wait are served by nobody."
    ),
    metric!(
        "switchboard_store_ahead_seconds",
        Gauge,
        [],
        "How far the newest time in the store was ahead of this machine's clock at the start."
    ),
    metric!(
        "switchboard_chats_rehomed_total",
        Counter,
        [],
        "Chats that waited in a queue which did not exist and went into that of their channel."
    ),
    metric!(
        "switchboard_chat_oldest_wait_seconds",
        Gauge,
        ["queue"],
        "How long the chat that has waited longest waits."
    ),
    metric!(
        "switchboard_chat_wait_seconds",
        Seconds,
        ["queue"],
        "Time from the first waiting to an owner."
    ),
    metric!("switchboard_offers_total", Counter, ["queue", "outcome"], "Offers that ended."),
    metric!("switchboard_offer_duration_seconds", Seconds, ["queue"], "How long offers stood."),
    metric!("switchboard_operators", Gauge, ["status"], "Operators by status in force."),
    metric!("switchboard_operator_slots", Gauge, ["use"], "Slots of ready operators, by use."),
    metric!("switchboard_messages_total", Counter, ["from"], "Messages that became durable."),
    metric!(
        "switchboard_message_durable_seconds",
        Seconds,
        [],
        "Time from a message coming in to its acknowledgement."
    ),
    metric!(
        "switchboard_message_delivered_seconds",
        Seconds,
        [],
        "Time from a message being durable to the other side having received it."
    ),
    metric!("switchboard_connections", Gauge, [], "Open connections of people."),
    metric!(
        "switchboard_forwarded_refused_total",
        Counter,
        ["reason"],
        "Client addresses of trusted proxies that did not count: unreadable, or two in conflict."
    ),
    metric!(
        "switchboard_log_ins_delayed_total",
        Counter,
        [],
        "Answers about passwords kept back, as their login is guessed at from many networks."
    ),
    metric!(
        "switchboard_outbox_overflows_total",
        Counter,
        [],
        "Connections closed because they did not keep up."
    ),
    metric!("switchboard_actors", Gauge, ["kind"], "Running actors."),
    metric!(
        "switchboard_actors_parked",
        Gauge,
        ["kind"],
        "Chats and operators to which nothing happens: what they know waits for the next actor."
    ),
    metric!(
        "switchboard_actor_restarts_total",
        Counter,
        ["kind"],
        "Actors started again after a failure."
    ),
    metric!("switchboard_calls_under_way", Gauge, [], "Calls that wait for an answer."),
    metric!(
        "switchboard_calls_overloaded_total",
        Counter,
        [],
        "Calls refused because too many waited for the same actor."
    ),
    metric!("switchboard_store_appends_total", Counter, [], "Acknowledged appends."),
    metric!("switchboard_store_batch_writes", Sizes, [], "Writes made durable by one commit."),
    metric!("switchboard_store_commit_seconds", Seconds, [], "Time of a commit."),
    metric!("switchboard_store_read_seconds", Seconds, [], "Time of a read of the embedded store."),
    metric!(
        "switchboard_store_fold_seconds",
        Seconds,
        [],
        "Time of moving the latest events into the index; writes wait for it."
    ),
    metric!(
        "switchboard_store_checkpoint_seconds",
        Seconds,
        [],
        "Time of a checkpoint; writes wait for it."
    ),
    metric!(
        "switchboard_store_tail_events",
        Gauge,
        [],
        "Events that are not in the index yet; what a start of the embedded store reads."
    ),
    metric!(
        "switchboard_store_database_bytes",
        Gauge,
        [],
        "Size of the embedded store's database, without its WAL."
    ),
    metric!("switchboard_store_wal_bytes", Gauge, [], "Size of the embedded store's WAL."),
    metric!(
        "switchboard_store_disk_free_bytes",
        Gauge,
        [],
        "What the router may still write to the disk of the data folder."
    ),
    metric!(
        "switchboard_store_readers_replaced_total",
        Counter,
        [],
        "Readers of the embedded store that panicked and were made anew."
    ),
    metric!(
        "switchboard_store_refused_total",
        Counter,
        [],
        "Reads and writes refused because too many waited."
    ),
    metric!(
        "switchboard_store_call_seconds",
        Seconds,
        ["port", "end"],
        "Time of a call to the store, by port and how it ended: done, refused (another version, a chat \
         that is forgotten), failed, silent (no answer within the store's limit), or given_up: who asked \
         waited no longer, and no answer had come."
    ),
    metric!(
        "switchboard_feed_lag_seconds",
        Gauge,
        ["consumer"],
        "For how long the oldest change waits that a consumer of the feed has not taken: since it failed, since \
         it was told of it in the process, or since an hour settled that it has not passed; else 0."
    ),
    metric!(
        "switchboard_feed_set_aside",
        Gauge,
        ["consumer"],
        "Chats that a consumer of the feed fails on again and again; they are tried again every few minutes."
    ),
    metric!(
        "switchboard_feed_from_nothing",
        Gauge,
        ["consumer"],
        "Whether a consumer of the feed takes all chats, since it has no position that counts."
    ),
    metric!(
        "switchboard_feed_from_nothing_chats",
        Gauge,
        ["consumer"],
        "Chats that a consumer of the feed has taken on its latest way from nothing."
    ),
    metric!(
        "switchboard_feed_passed_over_total",
        Counter,
        ["consumer"],
        "Chats that a consumer of the feed could not read, and passed over."
    ),
    metric!(
        "switchboard_store_available",
        Gauge,
        [],
        "Whether the store answers; while it does not, calls are refused as unavailable."
    ),
    metric!(
        "switchboard_store_damaged_chats",
        Gauge,
        [],
        "Chats of which something could not be read since the start; the others are served."
    ),
    metric!(
        "switchboard_store_damaged_rows",
        Gauge,
        ["of"],
        "Other rows that could not be read since the start, by what they are; all else is served."
    ),
    metric!(
        "switchboard_audit_acts_total",
        Counter,
        ["act", "outcome"],
        "Acts of the audit trail that came to an end, by what they are; and refusals that it counts."
    ),
    metric!("switchboard_ready", Gauge, [], "Whether the process takes chats."),
];

/// Tells the recorder what every metric means, and brings the counters without labels to life, so
/// that an alert can tell zero from absent.
pub fn describe() {
    for metric in METRICS {
        match metric.kind {
            Kind::Counter => {
                describe_counter!(metric.name, metric.help);
                if metric.labels.is_empty() {
                    metrics::counter!(metric.name).absolute(0);
                }
            }
            Kind::Gauge => describe_gauge!(metric.name, metric.help),
            Kind::Seconds => describe_histogram!(metric.name, Unit::Seconds, metric.help),
            Kind::Sizes => describe_histogram!(metric.name, Unit::Count, metric.help),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        for metric in METRICS {
            let name = metric.name;
            assert!(name.starts_with("switchboard_"), "{name}");
            assert_eq!(metric.kind == Kind::Counter, name.ends_with("_total"), "{name}");
            assert!(metric.kind != Kind::Seconds || name.ends_with("_seconds"), "{name}");
            assert!(metric.help.ends_with('.'), "{name}");
        }
        let mut names: Vec<_> = METRICS.iter().map(|metric| metric.name).collect();
        names.dedup();
        assert_eq!(names.len(), METRICS.len());
    }

    #[test]
    fn buckets_rise() {
        for buckets in [SECONDS_BUCKETS, BATCH_BUCKETS] {
            assert!(buckets.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}
