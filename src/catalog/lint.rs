//! The routing lint: what a configuration as a whole can have wrong.
//!
//! An error is refused at the write that would bring it in; a warning is told and allowed, since
//! configurations are built step by step.

use std::collections::BTreeSet;

use super::snapshot::Snapshot;
use crate::domain::limits::OPERATOR_QUEUES_MAX;
use crate::domain::{ChannelId, QueueId, UserId};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Chats may wait for ever, but someone may be about to mend it.
    Warning,
    /// It can never work. A write that brings it in is refused.
    Error,
}

/// What is wrong, and with what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Finding {
    /// An active channel leads to a queue that is not there.
    #[error("channel {channel} leads to queue {queue}, which does not exist")]
    ChannelWithoutQueue {
        /// The channel.
        channel: ChannelId,
        /// The queue.
        queue: QueueId,
    },
    /// An active channel leads to a queue that takes no chats.
    #[error(
        "channel {channel} leads to queue {queue}, which is inactive; \
         deactivate the channel or give it another queue first"
    )]
    ChannelToInactiveQueue {
        /// The channel.
        channel: ChannelId,
        /// The queue.
        queue: QueueId,
    },
    /// A member is not there.
    #[error("queue {queue} has the member {user}, who does not exist")]
    UnknownMember {
        /// The queue.
        queue: QueueId,
        /// The member.
        user: UserId,
    },
    /// A member's role does not serve chats.
    #[error("queue {queue} has the member {user}, whose role does not serve chats")]
    MemberCannotServe {
        /// The queue.
        queue: QueueId,
        /// The member.
        user: UserId,
    },
    /// A member of too many queues.
    #[error(
        "user {user} is a member of {queues} queues, at most {OPERATOR_QUEUES_MAX} are allowed"
    )]
    TooManyQueues {
        /// The member.
        user: UserId,
        /// How many.
        queues: usize,
    },
    /// An active queue that nobody can serve.
    #[error("queue {queue} has no active member: its chats wait until it gets one")]
    NoReachableMember {
        /// The queue.
        queue: QueueId,
    },
    /// An active queue to which no channel leads; transfers still can.
    #[error("no active channel leads to queue {queue}")]
    QueueWithoutChannel {
        /// The queue.
        queue: QueueId,
    },
}

impl Finding {
    /// How bad it is.
    pub fn severity(&self) -> Severity {
        match self {
            Self::ChannelWithoutQueue { .. }
            | Self::ChannelToInactiveQueue { .. }
            | Self::UnknownMember { .. }
            | Self::MemberCannotServe { .. }
            | Self::TooManyQueues { .. } => Severity::Error,
            Self::NoReachableMember { .. } | Self::QueueWithoutChannel { .. } => Severity::Warning,
        }
    }
}

/// All that is wrong with a configuration.
pub fn lint(snapshot: &Snapshot) -> BTreeSet<Finding> {
    let mut findings = BTreeSet::new();
    let mut reached = BTreeSet::new();
    for channel in snapshot.channels().filter(|channel| channel.active) {
        let (channel, queue) = (channel.id, channel.queue);
        reached.insert(queue);
        match snapshot.queue(queue) {
            None => drop(findings.insert(Finding::ChannelWithoutQueue { channel, queue })),
            Some(found) if !found.active => {
                findings.insert(Finding::ChannelToInactiveQueue { channel, queue });
            }
            Some(_) => {}
        }
    }
    for queue in snapshot.queues() {
        findings.extend(members(snapshot, queue.id));
        if queue.active && !reached.contains(&queue.id) {
            findings.insert(Finding::QueueWithoutChannel { queue: queue.id });
        }
    }
    findings.extend(memberships(snapshot));
    findings
}

fn members(snapshot: &Snapshot, id: QueueId) -> Vec<Finding> {
    let Some(queue) = snapshot.queue(id) else {
        return Vec::new();
    };
    let wrong = queue.members.iter().filter_map(|user| match snapshot.user(*user) {
        None => Some(Finding::UnknownMember { queue: id, user: *user }),
        Some(found) if !found.role.serves_chats() => {
            Some(Finding::MemberCannotServe { queue: id, user: *user })
        }
        Some(_) => None,
    });
    let mut findings: Vec<_> = wrong.collect();
    let serves = |user: &UserId| snapshot.user(*user).is_some_and(|user| user.can_serve());
    if queue.active && !queue.members.iter().any(serves) {
        findings.push(Finding::NoReachableMember { queue: id });
    }
    findings
}

fn memberships(snapshot: &Snapshot) -> Vec<Finding> {
    let mut counts = std::collections::BTreeMap::<UserId, usize>::new();
    for user in snapshot.queues().flat_map(|queue| &queue.members) {
        *counts.entry(*user).or_default() += 1;
    }
    let many = counts.into_iter().filter(|(_, queues)| *queues > OPERATOR_QUEUES_MAX);
    many.map(|(user, queues)| Finding::TooManyQueues { user, queues }).collect()
}
