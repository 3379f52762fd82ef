//! The whole supervision tree, as one table that the supervisors execute and that can be shown.
//!
//! ```text
//! root
//! ├─ chats/0 … chats/15     one shard of the chats each
//! │  └─ a chat              transient: restarted when it fails, parked or gone when it has stopped
//! ├─ queues
//! │  └─ a queue             permanent
//! ├─ operators
//! │  └─ an operator         permanent, but for being parked
//! ├─ followers
//! │  └─ a follower          permanent; one for each consumer of the feed
//! ├─ alarm                  wakes whoever has no actor and whose deadline has come
//! └─ retention              forgets chats that are kept no longer
//! ```
//!
//! A child that fails is started again after a wait that doubles with each failure in a window.
//! One that fails more often than its intensity allows waits the longest time between starts: a
//! chat that cannot be read must not take its neighbours down. A supervisor that fails takes its
//! children with it and is escalated: the process ends, and the next one starts from what is
//! durable.

use std::collections::VecDeque;

use crate::domain::{Timestamp, time};

/// When a child is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Whenever it ends.
    Permanent,
    /// When it fails, not when it stops by itself.
    Transient,
    /// Never: its end ends its parent.
    Escalate,
}

/// One child in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Child {
    /// What it is.
    pub name: &'static str,
    /// Its parent.
    pub parent: &'static str,
    /// When it is started again.
    pub restart: Restart,
    /// How many failures within [`Child::window_ms`] before it waits the longest time.
    pub intensity: u32,
    /// The window, ms.
    pub window_ms: u64,
    /// The shortest and the longest wait before a start, ms.
    pub backoff_ms: (u64, u64),
    /// How long it may take to finish what it has when the process ends, ms.
    pub shutdown_ms: u64,
}

/// Every child there is.
pub const TREE: &[Child] = &[
    Child {
        name: "chat",
        parent: "chats",
        restart: Restart::Transient,
        intensity: 5,
        window_ms: 60_000,
        backoff_ms: (5, 10_000),
        shutdown_ms: 5_000,
    },
    Child {
        name: "queue",
        parent: "queues",
        restart: Restart::Permanent,
        intensity: 5,
        window_ms: 60_000,
        backoff_ms: (5, 5_000),
        shutdown_ms: 1_000,
    },
    Child {
        name: "operator",
        parent: "operators",
        restart: Restart::Permanent,
        intensity: 5,
        window_ms: 60_000,
        backoff_ms: (5, 5_000),
        shutdown_ms: 1_000,
    },
    Child {
        name: "follower",
        parent: "followers",
        restart: Restart::Permanent,
        intensity: 5,
        window_ms: 60_000,
        backoff_ms: (5, 10_000),
        shutdown_ms: 5_000,
    },
    Child {
        name: "chats",
        parent: "root",
        restart: Restart::Escalate,
        intensity: 0,
        window_ms: 0,
        backoff_ms: (0, 0),
        shutdown_ms: 5_000,
    },
    Child {
        name: "queues",
        parent: "root",
        restart: Restart::Escalate,
        intensity: 0,
        window_ms: 0,
        backoff_ms: (0, 0),
        shutdown_ms: 1_000,
    },
    Child {
        name: "operators",
        parent: "root",
        restart: Restart::Escalate,
        intensity: 0,
        window_ms: 0,
        backoff_ms: (0, 0),
        shutdown_ms: 1_000,
    },
    Child {
        name: "followers",
        parent: "root",
        restart: Restart::Escalate,
        intensity: 0,
        window_ms: 0,
        backoff_ms: (0, 0),
        shutdown_ms: 5_000,
    },
    Child {
        name: "alarm",
        parent: "root",
        restart: Restart::Escalate,
        intensity: 0,
        window_ms: 0,
        backoff_ms: (0, 0),
        shutdown_ms: 0,
    },
    Child {
        name: "retention",
        parent: "root",
        restart: Restart::Escalate,
        intensity: 0,
        window_ms: 0,
        backoff_ms: (0, 0),
        shutdown_ms: 0,
    },
];

/// A child by its name. The table is part of the program, so there is one for every kind.
pub(super) fn child(name: &str) -> &'static Child {
    TREE.iter().find(|child| child.name == name).unwrap_or(&TREE[0])
}

/// How long to wait before a child is started again, given when it has failed lately. Forgets
/// failures before the window.
pub(super) fn backoff_ms(child: &Child, failures: &mut VecDeque<Timestamp>, now: Timestamp) -> u64 {
    while failures.front().is_some_and(|at| now.since_ms(*at) > child.window_ms) {
        failures.pop_front();
    }
    failures.push_back(now);
    let failed = failures.len() as u32;
    if failed > child.intensity {
        failures.pop_front();
        return child.backoff_ms.1;
    }
    time::backoff_ms(child.backoff_ms, failed)
}

/// The tree as text, with how many of each there are.
pub fn render(counts: impl Fn(&str) -> usize) -> String {
    let mut text = String::from("root\n");
    for child in TREE.iter().filter(|child| child.parent == "root") {
        text += &format!("  {} x{} {:?}\n", child.name, counts(child.name), child.restart);
        for leaf in TREE.iter().filter(|leaf| leaf.parent == child.name) {
            text += &format!(
                "    {} x{} {:?}, {} failures in {} ms, then every {} ms; {} ms to finish\n",
                leaf.name,
                counts(leaf.name),
                leaf.restart,
                leaf.intensity,
                leaf.window_ms,
                leaf.backoff_ms.1,
                leaf.shutdown_ms
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_child_has_a_parent_and_the_table_is_what_is_shown() {
        for child in TREE {
            let known = child.parent == "root" || TREE.iter().any(|c| c.name == child.parent);
            assert!(known, "{} hangs in the air", child.name);
        }
        let shown = render(|name| name.len());
        for child in TREE {
            assert!(shown.contains(&format!("{} x{}", child.name, child.name.len())), "{shown}");
        }
    }

    #[test]
    fn a_child_that_fails_again_and_again_waits_ever_longer_and_is_never_given_up() {
        let child = child("chat");
        let mut failures = VecDeque::new();
        let mut now = Timestamp(0);
        // It fails at once whenever it was started, as one does whose log is damaged.
        let waits: Vec<u64> = (0..12)
            .map(|_| {
                let wait = backoff_ms(child, &mut failures, now);
                now = now.plus_ms(wait);
                wait
            })
            .collect();
        assert_eq!(waits[..5], [5, 10, 20, 40, 80]);
        assert!(waits[5..].iter().all(|wait| *wait == 10_000), "{waits:?}");
        let later = now.plus_ms(child.window_ms + 1);
        assert_eq!(backoff_ms(child, &mut failures, later), 5, "the window is over");
    }
}
