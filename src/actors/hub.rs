//! The connections of people, and what they are sent.
//!
//! Every connection has one bounded outbox. One that does not keep up is closed, never waited
//! for: it resumes, and slows nobody.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use tokio::sync::mpsc;

use crate::domain::{ChatId, Party, Person, Recorded, Status};
use crate::machine::operator::{ConnectionId, Notice};
use crate::storage::Watermark;
use crate::telemetry;

use super::limits::CONNECTIONS_OF_ONE_MAX;

/// Something for a connection.
#[derive(Debug, Clone)]
pub enum Outgoing {
    /// Events of a chat, durable.
    Events {
        /// The chat.
        chat: ChatId,
        /// In order.
        events: Arc<[Recorded]>,
    },
    /// How far a participant has come.
    Marked {
        /// The chat.
        chat: ChatId,
        /// Who.
        party: Party,
        /// How far.
        mark: Watermark,
    },
    /// An offer came or went.
    Notice(Notice),
    /// The operator's status, load or limit changed.
    Updated {
        /// The status in force.
        status: Status,
        /// Reserved, offered and active chats.
        load: u32,
        /// How many fit.
        capacity: u32,
    },
    /// Prove that somebody is there.
    Probe(u64),
    /// The last: the person has too many connections, and this is the oldest.
    TooMany,
}

/// A connection as the edge holds it. Dropping it ends it.
#[derive(Debug)]
pub struct Connection {
    /// Its number, never used again in this process.
    pub id: ConnectionId,
    /// What it is to be sent. Ends when it did not keep up.
    pub outbox: mpsc::Receiver<Outgoing>,
}

#[derive(Debug)]
pub(super) struct Hub {
    outbox_max: usize,
    connections: DashMap<Person, Vec<(ConnectionId, mpsc::Sender<Outgoing>)>>,
    numbers: AtomicU64,
    overflows: AtomicU64,
}

impl Hub {
    pub(super) fn new(outbox_max: usize) -> Self {
        let (connections, numbers, overflows) = Default::default();
        Self { outbox_max: outbox_max.max(1), connections, numbers, overflows }
    }

    pub(super) fn connect(&self, person: Person) -> Connection {
        let id = self.numbers.fetch_add(1, Ordering::Relaxed) + 1;
        let (sender, outbox) = mpsc::channel(self.outbox_max);
        let mut all = self.connections.entry(person).or_default();
        if all.len() >= CONNECTIONS_OF_ONE_MAX {
            // Dropping its sender ends its outbox, whether or not the word still fits.
            let (_, oldest) = all.remove(0);
            let _ = oldest.try_send(Outgoing::TooMany);
        }
        all.push((id, sender));
        Connection { id, outbox }
    }

    pub(super) fn disconnect(&self, person: Person, connection: ConnectionId) {
        let gone = |_: &Person, all: &mut Vec<(ConnectionId, mpsc::Sender<Outgoing>)>| {
            all.retain(|(id, _)| *id != connection);
            all.is_empty()
        };
        if let Some(mut all) = self.connections.get_mut(&person) {
            gone(&person, &mut all);
        }
        self.connections.remove_if_mut(&person, gone);
    }

    /// The connections of somebody.
    pub(super) fn of(&self, person: Person) -> Vec<ConnectionId> {
        let all = self.connections.get(&person);
        all.map(|all| all.iter().map(|(id, _)| *id).collect()).unwrap_or_default()
    }

    /// Sends to everybody named, on all of their connections.
    pub(super) fn send(&self, to: &BTreeSet<Person>, outgoing: &Outgoing) {
        for person in to {
            self.send_where(*person, outgoing, |_| true);
        }
    }

    pub(super) fn send_one(&self, person: Person, connection: ConnectionId, outgoing: &Outgoing) {
        self.send_where(person, outgoing, |id| id == connection);
    }

    pub(super) fn len(&self) -> usize {
        self.connections.iter().map(|all| all.len()).sum()
    }

    /// Connections that were closed because they did not keep up.
    pub(super) fn overflows(&self) -> u64 {
        self.overflows.load(Ordering::Relaxed)
    }

    fn send_where(&self, person: Person, what: &Outgoing, to: impl Fn(ConnectionId) -> bool) {
        let Some(mut all) = self.connections.get_mut(&person) else { return };
        all.retain(|(id, sender)| {
            if !to(*id) {
                return true;
            }
            match sender.try_send(what.clone()) {
                Ok(()) => true,
                Err(mpsc::error::TrySendError::Closed(_)) => false,
                // Dropping the sender ends the outbox, once what is in it has been read.
                Err(mpsc::error::TrySendError::Full(_)) => {
                    self.overflows.fetch_add(1, Ordering::Relaxed);
                    telemetry::outbox_overflowed();
                    false
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::UserId;

    const WHO: Person = Person::User(UserId::from_u128(1));

    fn all_of(connection: &mut Connection) -> Vec<Outgoing> {
        std::iter::from_fn(|| connection.outbox.try_recv().ok()).collect()
    }

    #[test]
    fn the_oldest_connection_of_a_person_gives_way_and_is_told_why() {
        let hub = Hub::new(4);
        let mut all: Vec<_> = (0..CONNECTIONS_OF_ONE_MAX).map(|_| hub.connect(WHO)).collect();
        let other = hub.connect(Person::User(UserId::from_u128(2)));
        let newest = hub.connect(WHO);
        let mut oldest = all.remove(0);
        assert!(matches!(all_of(&mut oldest).as_slice(), [Outgoing::TooMany]));
        assert!(oldest.outbox.is_closed());
        all.push(newest);
        assert_eq!(hub.of(WHO), all.iter().map(|open| open.id).collect::<Vec<_>>());
        assert!(all.iter().chain([&other]).all(|open| !open.outbox.is_closed()));
    }

    #[test]
    fn one_that_does_not_keep_up_is_closed_with_what_it_has_and_no_other() {
        let hub = Hub::new(2);
        let (mut slow, mut quick) = (hub.connect(WHO), hub.connect(WHO));
        for probe in 1..=3 {
            hub.send(&[WHO].into(), &Outgoing::Probe(probe));
            assert!(
                matches!(all_of(&mut quick).as_slice(), [Outgoing::Probe(got)] if *got == probe)
            );
        }
        let left = all_of(&mut slow);
        assert!(matches!(left.as_slice(), [Outgoing::Probe(1), Outgoing::Probe(2)]), "{left:?}");
        assert!(slow.outbox.is_closed(), "so that it resumes: it has missed one");
        assert_eq!((hub.of(WHO), hub.overflows()), (vec![quick.id], 1));
        hub.send_one(WHO, slow.id, &Outgoing::Probe(4));
        assert!(all_of(&mut quick).is_empty(), "meant for another");
        hub.disconnect(WHO, quick.id);
        assert_eq!(hub.len(), 0);
    }
}
