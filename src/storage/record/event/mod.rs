//! Mirrors of the events. A field here is a field on disk: its name and its form are the format.
//! `write` makes them of the domain's events, `read` makes these of them and checks each value.

mod read;
mod write;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::chat::{Outcome, Reach};
use crate::domain::event::{Trigger, WithdrawReason};
use crate::domain::operator::Standing;
use crate::domain::{Rule, Weight};

use super::party::PartyRecord;

/// Why a body that was read is no event.
pub(super) type Refusal = String;

/// Mirrors one enum without fields both ways, exhaustively.
macro_rules! mirror {
    ($record:ident = $domain:ident { $($variant:ident),* $(,)? }) => {
        #[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[serde(rename_all = "snake_case")]
        #[allow(clippy::enum_variant_names, reason = "the names are the domain's")]
        pub(super) enum $record { $($variant),* }

        impl From<$domain> for $record {
            fn from(value: $domain) -> Self {
                match value { $($domain::$variant => Self::$variant),* }
            }
        }

        impl From<$record> for $domain {
            fn from(record: $record) -> Self {
                match record { $($record::$variant => Self::$variant),* }
            }
        }
    };
}

pub(super) use mirror;

mirror!(OutcomeRecord = Outcome { Completed, Missed });
mirror!(ReachRecord = Reach { Directed, ToAll });
mirror!(RuleRecord = Rule { ToAll, LeastLoaded, LongestIdle, Manual });
mirror!(TriggerRecord = Trigger { Push, Pull });
mirror!(WithdrawRecord = WithdrawReason { NotReady, NotReserved, NotEligible });
mirror!(
    StandingRecord = Standing {
        Free,
        Unknown,
        Offline,
        Away,
        Busy,
        NotConnected,
        Full,
        Kept,
        Choosing,
        CoolingDown,
        Declined,
        ShownLately,
        Asked,
        NotMember,
        Owner,
    }
);

/// Mirrors [`Recorded`](crate::domain::Recorded) but for its position, which the record is of.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordedRecord {
    at: u64,
    event: EventRecord,
    /// Since format 2.
    #[serde(default, skip_serializing_if = "NamesRecord::is_empty")]
    names: NamesRecord,
}

/// Mirrors [`EventNames`](crate::domain::EventNames).
#[derive(Serialize, Deserialize, Default, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
struct NamesRecord {
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    other: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<String>,
}

impl NamesRecord {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum EventRecord {
    Opened {
        channel: Uuid,
        customer: Uuid,
        command: String,
        priority: u8,
        continues: Option<Uuid>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// When the token was issued.
        #[serde(default)]
        issued_at: u64,
    },
    CustomerUpdated {
        priority: u8,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        issued_at: u64,
    },
    Message {
        from: PartyRecord,
        id: String,
        text: String,
    },
    Placed {
        placement: u64,
        queue: Uuid,
        /// Not written when it is that of all chats of before, which had none.
        #[serde(default = "one_slot", skip_serializing_if = "is_one_slot")]
        weight: u32,
        cause: PlacedCauseRecord,
    },
    Offered {
        placement: u64,
        offer: Uuid,
        reach: ReachRecord,
        to: Vec<Uuid>,
        expires_at: u64,
        process: u64,
        decision: DecisionRecord,
    },
    OfferWidened {
        offer: Uuid,
        to: Vec<Uuid>,
    },
    Declined {
        offer: Uuid,
        operator: Uuid,
        command: String,
    },
    OfferNarrowed {
        offer: Uuid,
        operator: Uuid,
        reason: WithdrawRecord,
    },
    OfferEnded {
        placement: u64,
        offer: Uuid,
        how: OfferEndRecord,
    },
    Assigned {
        placement: u64,
        operator: Uuid,
        how: AssignedHowRecord,
        command: String,
    },
    Begun {
        by: PartyRecord,
        command: String,
    },
    TransferAsked {
        by: PartyRecord,
        command: String,
        to: Uuid,
        reservation: Uuid,
        expires_at: u64,
    },
    TransferFailed {
        reservation: Uuid,
        reason: TransferFailureRecord,
    },
    Ended {
        placement: u64,
        by: PartyRecord,
        command: Option<String>,
        outcome: OutcomeRecord,
    },
    ContinuedIn {
        chat: Uuid,
    },
}

/// The weight of what was written before chats had one.
pub(super) fn one_slot() -> u32 {
    Weight::default().slots()
}

/// Whether a weight says nothing new to those of before.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(super) fn is_one_slot(weight: &u32) -> bool {
    *weight == one_slot()
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum PlacedCauseRecord {
    Opened,
    Transferred { by: PartyRecord, command: String },
    OwnerGone { operator: Uuid },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum OfferEndRecord {
    Declined,
    Lapsed,
    Withdrawn(WithdrawRecord),
    Restart,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum AssignedHowRecord {
    Accepted { offer: Uuid },
    Taken,
    Transferred { by: PartyRecord, reservation: Uuid },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum TransferFailureRecord {
    Refused(StandingRecord),
    NoAnswer,
    Overtaken,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DecisionRecord {
    rule: RuleRecord,
    config_version: u64,
    trigger: TriggerRecord,
    runners_up: Vec<Uuid>,
    standings: BTreeMap<StandingRecord, u32>,
}
