//! Changes of the configuration while running: written to the roster first, then those whom they
//! concern are told to look. So whoever starts in between reads the new one, and of two changes
//! the later one holds for all.

use std::collections::BTreeSet;

use crate::domain::{ChannelId, Name, Queue, QueueId, RoutingSettings, UserId};

use crate::machine::message::{Peer, ToChat};

use super::message::{ChatMessage, OperatorMessage, QueueMessage};
use super::roster::OperatorSettings;
use super::router::Router;

impl Router {
    /// Adds or changes a queue; in force at once, and nobody loses a place in line. Of two versions
    /// the later one holds, in whatever order they come.
    pub fn set_queue(&self, queue: Queue) {
        let (id, mut affected) = (queue.id, queue.members.clone());
        let (known, all) = self.shared.roster.change(|roster| {
            if roster.queues.get(&id).is_some_and(|known| known.version > queue.version) {
                return (true, false);
            }
            let former = roster.queues.insert(id, queue.clone());
            affected.extend(former.iter().flat_map(|former| former.members.iter().copied()));
            // Owners are bound by these limits of the queue, whether or not they are members.
            let limits = |queue: &Queue| (queue.absent_owner_limit_ms, queue.per_operator_limit);
            (former.is_some(), former.as_ref().map(limits) != Some(limits(&queue)))
        });
        if !known {
            self.start_queue(id);
        }
        // Also a new one: one that was removed may still serve its last chats, by what it knew.
        self.shared.to_queue(id, QueueMessage::Configured);
        if all {
            affected.extend(self.shared.operators.keys());
        }
        self.tell_operators(&affected);
    }

    /// Forgets a queue that has no chats and to which nothing leads. Its actor ends.
    pub fn remove_queue(&self, queue: QueueId) {
        let former = self.shared.roster.change(|roster| roster.queues.remove(&queue));
        if let Some(former) = former {
            self.shared.to_queue_if_there(queue, QueueMessage::Configured);
            // Nothing should wait there. What does is to say so, and to look for another queue.
            let peer = Peer::Queue(queue);
            let left = self.shared.indexes(|index| index.of_queue(queue));
            for row in left.flatten() {
                self.shared.to_chat(row.chat, ChatMessage::Said(ToChat::Ask { peer }));
            }
            self.tell_operators(&former.members);
        }
    }

    /// Adds or changes an operator; in force at once.
    pub fn set_operator(&self, operator: UserId, settings: OperatorSettings) {
        self.shared.roster.change(|roster| roster.operators.insert(operator, settings));
        self.tell_operators(&BTreeSet::from([operator]));
    }

    /// The queue of a channel that takes chats; none for one that does not.
    pub fn set_channel(&self, channel: ChannelId, queue: Option<QueueId>) {
        self.shared.roster.change(|roster| match queue {
            Some(queue) => roster.channels.insert(channel, queue),
            None => roster.channels.remove(&channel),
        });
    }

    /// How many days a channel keeps a chat after its end; none: for ever. In force with the next look
    /// of the sweeper.
    pub fn set_retention(&self, channel: ChannelId, days: Option<u16>) {
        self.shared.roster.change(|roster| match days {
            Some(days) => roster.retention.insert(channel, days),
            None => roster.retention.remove(&channel),
        });
    }

    /// What a user is called from now on; none once it is gone. What was said keeps its name.
    pub fn set_name(&self, user: UserId, name: Option<Name>) {
        self.shared.roster.change(|roster| match name {
            Some(name) => roster.names.insert(user, name),
            None => roster.names.remove(&user),
        });
    }

    /// What a channel is called that speaks for its operators; none for one that does not.
    pub fn set_speaking(&self, channel: ChannelId, name: Option<Name>) {
        self.shared.roster.change(|roster| match name {
            Some(name) => roster.speaking.insert(channel, name),
            None => roster.speaking.remove(&channel),
        });
    }

    /// Changes what holds for all queues; in force at once.
    pub fn set_settings(&self, settings: RoutingSettings) {
        let queues: Vec<QueueId> = self.shared.roster.change(|roster| {
            roster.settings = settings;
            roster.queues.keys().copied().collect()
        });
        for queue in queues {
            self.shared.to_queue(queue, QueueMessage::Settings);
        }
        self.tell_operators(&self.shared.operators.keys().into_iter().collect());
    }

    fn tell_operators(&self, operators: &BTreeSet<UserId>) {
        for operator in operators {
            // One that is not there reads its account when it comes.
            self.shared.to_operator_if_there(*operator, OperatorMessage::AccountChanged);
        }
    }
}
