//! The connections of people, and what they are sent.
//!
//! Every connection has one bounded outbox. One that does not keep up is closed, never waited
//! for: it resumes, and slows nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use futures_channel::mpsc;

use crate::domain::{Audience, ChatId, Party, Person, Shown, Status};
use crate::machine::chat::Told;
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
        /// Those that concern whoever is sent them, and may be seen there; in order.
        events: Arc<[Shown]>,
    },
    /// How far a participant has come.
    Watermark {
        /// The chat.
        chat: ChatId,
        /// Who.
        party: Party,
        /// How far.
        watermark: Watermark,
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
        // Besides its buffer a channel takes one from each sender, and there is one.
        let (sender, outbox) = mpsc::channel(self.outbox_max - 1);
        let mut all = self.connections.entry(person).or_default();
        if all.len() >= CONNECTIONS_OF_ONE_MAX {
            // Dropping its sender ends its outbox, whether or not the word still fits.
            let (_, mut oldest) = all.remove(0);
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

    /// Sends events of a chat, each to those whom it concerns and who may see it.
    pub(super) fn tell(&self, chat: ChatId, events: &[Told]) {
        let mut people: Vec<Person> = events.iter().flat_map(|told| &told.to).copied().collect();
        people.sort_unstable();
        people.dedup();
        for person in people.into_iter().filter(|person| self.connections.contains_key(person)) {
            let audience = Audience::of(person);
            let events = events.iter().filter(|told| told.to.binary_search(&person).is_ok());
            let events = events.filter_map(|told| audience.show(Arc::clone(&told.recorded)));
            let events: Arc<[Shown]> = events.collect();
            if !events.is_empty() {
                self.send_where(person, &Outgoing::Events { chat, events }, |_| true);
            }
        }
    }

    /// Sends to everybody named, who is named once, on all of their connections.
    pub(super) fn send(&self, to: &[Person], outgoing: &Outgoing) {
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
        all.retain_mut(|(id, sender)| {
            if !to(*id) {
                return true;
            }
            match sender.try_send(what.clone()) {
                Ok(()) => true,
                // Dropping the sender ends the outbox, once what is in it has been read.
                Err(error) => {
                    if error.is_full() {
                        self.overflows.fetch_add(1, Ordering::Relaxed);
                        telemetry::outbox_overflowed();
                    }
                    false
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{
        ChannelId, ChatEvent, Customer, CustomerId, Recorded, Seq, Timestamp, UserId,
    };
    use crate::storage::any_event;

    const WHO: Person = Person::User(UserId::from_u128(1));

    fn all_of(connection: &mut Connection) -> Vec<Outgoing> {
        std::iter::from_fn(|| connection.outbox.try_recv().ok()).collect()
    }

    /// Whether nothing more will come.
    fn is_closed(connection: &mut Connection) -> bool {
        matches!(connection.outbox.try_recv(), Err(mpsc::TryRecvError::Closed))
    }

    #[test]
    fn the_oldest_connection_of_a_person_gives_way_and_is_told_why() {
        let hub = Hub::new(4);
        let mut all: Vec<_> = (0..CONNECTIONS_OF_ONE_MAX).map(|_| hub.connect(WHO)).collect();
        let other = hub.connect(Person::User(UserId::from_u128(2)));
        let newest = hub.connect(WHO);
        let mut oldest = all.remove(0);
        assert!(matches!(all_of(&mut oldest).as_slice(), [Outgoing::TooMany]));
        assert!(is_closed(&mut oldest));
        all.push(newest);
        assert_eq!(hub.of(WHO), all.iter().map(|open| open.id).collect::<Vec<_>>());
        all.push(other);
        assert!(all.iter_mut().all(|open| !is_closed(open)));
    }

    #[test]
    fn one_that_does_not_keep_up_is_closed_with_what_it_has_and_no_other() {
        let hub = Hub::new(2);
        let (mut slow, mut quick) = (hub.connect(WHO), hub.connect(WHO));
        for probe in 1..=3 {
            hub.send(&[WHO], &Outgoing::Probe(probe));
            assert!(
                matches!(all_of(&mut quick).as_slice(), [Outgoing::Probe(got)] if *got == probe)
            );
        }
        let left = all_of(&mut slow);
        assert!(matches!(left.as_slice(), [Outgoing::Probe(1), Outgoing::Probe(2)]), "{left:?}");
        assert!(is_closed(&mut slow), "so that it resumes: it has missed one");
        assert_eq!((hub.of(WHO), hub.overflows()), (vec![quick.id], 1));
        hub.send_one(WHO, slow.id, &Outgoing::Probe(4));
        assert!(all_of(&mut quick).is_empty(), "meant for another");
        hub.disconnect(WHO, quick.id);
        assert_eq!(hub.len(), 0);
    }

    const CUSTOMER: Customer =
        Customer { channel: ChannelId::from_u128(3), id: CustomerId::from_u128(4) };

    fn told(seq: Seq, event: ChatEvent, to: &[Person]) -> Told {
        let recorded = Recorded { seq, at: Timestamp(seq), event, names: Default::default() };
        let mut to = to.to_vec();
        to.sort_unstable();
        Told { recorded: Arc::new(recorded), to }
    }

    fn seqs(connection: &mut Connection) -> Vec<Seq> {
        let mut seqs = Vec::new();
        for sent in all_of(connection) {
            let Outgoing::Events { events, .. } = sent else { panic!("{sent:?}") };
            seqs.extend(events.iter().map(|event| event.seq));
        }
        seqs
    }

    proptest! {
        #[test]
        fn a_customer_is_sent_of_any_events_those_that_are_open_to_everybody(
            events in prop::collection::vec(any_event(), 1..20),
        ) {
            let hub = Hub::new(4);
            let both = [Person::Customer(CUSTOMER), WHO];
            let (mut customer, mut staff) = (hub.connect(both[0]), hub.connect(both[1]));
            let told: Vec<Told> =
                (1..).zip(events).map(|(seq, event)| told(seq, event, &both)).collect();
            hub.tell(ChatId::from_u128(1), &told);
            let open = told.iter().map(|told| &told.recorded).filter(|recorded| {
                ["Opened", "Placed", "Message", "Assigned", "Ended", "ContinuedIn"]
                    .iter()
                    .any(|kind| format!("{:?}", recorded.event).starts_with(&format!("{kind} ")))
            });
            let open: Vec<Seq> = open.map(|recorded| recorded.seq).collect();
            prop_assert_eq!(seqs(&mut customer), open);
            let all: Vec<Seq> = told.iter().map(|told| told.recorded.seq).collect();
            prop_assert_eq!(seqs(&mut staff), all);
        }
    }

    #[test]
    fn each_event_goes_to_those_whom_it_concerns_and_to_nobody_else() {
        let hub = Hub::new(4);
        let other = Person::User(UserId::from_u128(2));
        let (mut who, mut others) = (hub.connect(WHO), hub.connect(other));
        let event = || ChatEvent::ContinuedIn { chat: ChatId::from_u128(9) };
        let events = [told(1, event(), &[WHO, other]), told(2, event(), &[WHO])];
        hub.tell(ChatId::from_u128(1), &events);
        assert_eq!((seqs(&mut who), seqs(&mut others)), (vec![1, 2], vec![1]));
        hub.tell(ChatId::from_u128(1), &events[1..]);
        assert!(all_of(&mut others).is_empty(), "not even an empty word");
    }
}
