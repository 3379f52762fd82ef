//! What a run came across, counted, so that a simulation that no longer reaches something fails.

use std::collections::BTreeMap;
use std::fmt;

use switchboard::domain::ChatEvent;
use switchboard::domain::event::{AssignedHow, OfferEnd, PlacedCause};
use switchboard::machine::chat::Refusal;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    pub seeds: u64,
    pub steps: u64,
    pub chats: u64,
    pub operators: u64,
    pub counts: BTreeMap<(&'static str, &'static str), u64>,
    /// The most that any seed came to.
    pub most: BTreeMap<&'static str, u64>,
}

/// What a full run has to come across. `ChatFull` needs a hundred thousand events in one chat and
/// has a test of its own.
const WANTED: &[(&str, &[&str])] = &[
    (
        "event",
        &[
            "opened",
            "customer_updated",
            "message",
            "placed/opened",
            "placed/transferred",
            "placed/owner_gone",
            "offered/directed",
            "offered/to_all",
            "offer_widened",
            "offer_narrowed",
            "declined",
            "offer_ended/declined",
            "offer_ended/lapsed",
            "offer_ended/withdrawn",
            "offer_ended/restart",
            "assigned/accepted",
            "assigned/taken",
            "assigned/transferred",
            "begun",
            "transfer_asked",
            "transfer_failed",
            "ended",
            "continued_in",
        ],
    ),
    (
        "refusal",
        &[
            "unknown_chat",
            "unknown_target",
            "ended",
            "not_yours",
            "offer_gone",
            "late",
            "id_reused",
            "wrong_state",
            "target_unavailable",
            "transfer_pending",
            "already_there",
            "no_slot",
            "unavailable",
        ],
    ),
    (
        "fault",
        &[
            "message lost",
            "message doubled",
            "message late",
            "mailbox lost",
            "chat crashed",
            "queue crashed",
            "operator crashed",
            "process crashed",
            "clock set back",
            "clock set forward",
            "append unavailable",
            "append unknown, written",
            "append unknown, not written",
            "append unknown, late",
            "late write fenced",
            "mark refused",
            "mark unknown, written",
            "row not written",
            "save refused",
            "save silent",
            "read refused",
            "record not read",
            "store silent, done",
            "store silent, not done",
            "chat passivated",
            "ended chat looked at",
            "client hung up",
            "connection lost",
            "probe unanswered",
        ],
    ),
    (
        "odd",
        &[
            "an hour ends while a row is marked",
            "id used again",
            "id looked up in the log",
            "sent again long after",
        ],
    ),
    ("calls", &["together"]),
    ("token", &["older", "of the same moment"]),
    ("offer", &["member came back"]),
    ("order", &["unopposed", "beside kept", "passed over for its visitor"]),
    (
        "judged",
        &[
            "away for lapsed offers",
            "lapsed offer",
            "no quote",
            "offer to all",
            "offer widened",
            "quote",
            "slot given",
            "slot given to the best of several queues",
            "slot given to the only queue",
            "the least loaded of several",
            "the longest idle of several",
            "the only one is asked",
            "word of an operator",
        ],
    ),
    (
        "reason",
        &[
            "all are full",
            "all have refused",
            "being offered",
            "manual",
            "nobody is ready",
            "offered",
            "offered to all, who are full",
            "room is kept",
            "shown lately",
            "somebody is choosing",
        ],
    ),
    (
        "change",
        &[
            "capacity",
            "queue limit",
            "absent owner limit",
            "rule",
            "members",
            "priority",
            "deactivated",
            "offer timeout",
            "settings",
            "queue added",
            "queue deactivated",
            "queue removed",
        ],
    ),
];

impl Coverage {
    pub fn count(&mut self, group: &'static str, what: &'static str) {
        *self.counts.entry((group, what)).or_default() += 1;
    }

    pub fn most(&mut self, what: &'static str, n: u64) {
        let most = self.most.entry(what).or_default();
        *most = n.max(*most);
    }

    pub fn event(&mut self, event: &ChatEvent) {
        use switchboard::domain::Reach;
        let name = match event {
            ChatEvent::Opened { .. } => "opened",
            ChatEvent::CustomerUpdated { .. } => "customer_updated",
            ChatEvent::Message { .. } => "message",
            ChatEvent::Placed { cause: PlacedCause::Opened, .. } => "placed/opened",
            ChatEvent::Placed { cause: PlacedCause::Transferred { .. }, .. } => {
                "placed/transferred"
            }
            ChatEvent::Placed { cause: PlacedCause::OwnerGone { .. }, .. } => "placed/owner_gone",
            ChatEvent::Offered { reach: Reach::Directed, .. } => "offered/directed",
            ChatEvent::Offered { reach: Reach::ToAll, .. } => "offered/to_all",
            ChatEvent::OfferWidened { .. } => "offer_widened",
            ChatEvent::OfferNarrowed { .. } => "offer_narrowed",
            ChatEvent::Declined { .. } => "declined",
            ChatEvent::OfferEnded { how: OfferEnd::Declined, .. } => "offer_ended/declined",
            ChatEvent::OfferEnded { how: OfferEnd::Lapsed, .. } => "offer_ended/lapsed",
            ChatEvent::OfferEnded { how: OfferEnd::Withdrawn(_), .. } => "offer_ended/withdrawn",
            ChatEvent::OfferEnded { how: OfferEnd::Restart, .. } => "offer_ended/restart",
            ChatEvent::Assigned { how: AssignedHow::Accepted { .. }, .. } => "assigned/accepted",
            ChatEvent::Assigned { how: AssignedHow::Taken, .. } => "assigned/taken",
            ChatEvent::Assigned { how: AssignedHow::Transferred { .. }, .. } => {
                "assigned/transferred"
            }
            ChatEvent::Begun { .. } => "begun",
            ChatEvent::TransferAsked { .. } => "transfer_asked",
            ChatEvent::TransferFailed { .. } => "transfer_failed",
            ChatEvent::Ended { .. } => "ended",
            ChatEvent::ContinuedIn { .. } => "continued_in",
        };
        self.count("event", name);
    }

    pub fn refusal(&mut self, refusal: Refusal) {
        let name = match refusal {
            Refusal::UnknownChat => "unknown_chat",
            Refusal::Ended { .. } => "ended",
            Refusal::NotYours => "not_yours",
            Refusal::OfferGone => "offer_gone",
            Refusal::Late => "late",
            Refusal::IdReused => "id_reused",
            Refusal::WrongState { .. } => "wrong_state",
            Refusal::TargetUnavailable { .. } => "target_unavailable",
            Refusal::TransferPending => "transfer_pending",
            Refusal::AlreadyThere => "already_there",
            Refusal::UnknownTarget => "unknown_target",
            Refusal::ChatFull => "chat_full",
            Refusal::NoSlot(_) => "no_slot",
            Refusal::Unavailable => "unavailable",
        };
        self.count("refusal", name);
    }

    pub fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.steps += other.steps;
        self.chats += other.chats;
        self.operators += other.operators;
        for (key, count) in &other.counts {
            *self.counts.entry(*key).or_default() += count;
        }
        for (what, n) in &other.most {
            self.most(what, *n);
        }
    }

    /// Panics when something was never met, or the worlds were too small.
    pub fn assert_complete(&self) {
        for (group, names) in WANTED {
            for name in *names {
                assert!(self.counts.contains_key(&(*group, *name)), "never met: {group} {name}");
            }
        }
        assert!(self.steps / self.seeds >= 1_000, "a seed runs at least 1,000 steps");
        assert!(self.chats / self.seeds >= 20, "at least 20 chats a seed");
        assert!(self.operators / self.seeds >= 5, "at least 5 operators a seed");
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mean = |total: u64| total as f64 / self.seeds.max(1) as f64;
        writeln!(
            f,
            "{} seeds, a seed: {:.0} steps, {:.1} chats, {:.1} operators",
            self.seeds,
            mean(self.steps),
            mean(self.chats),
            mean(self.operators)
        )?;
        for ((group, name), count) in &self.counts {
            writeln!(f, "{group:>8}  {name:<28} {count:>10}")?;
        }
        for (what, n) in &self.most {
            writeln!(f, "{:>8}  {what:<28} {n:>10}", "most")?;
        }
        Ok(())
    }
}
