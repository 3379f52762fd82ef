//! Whether somebody is there, proven by answered probes.

use crate::domain::Timestamp;
use crate::domain::limits::{OPERATOR_CONNECTIONS_MAX, PROBE_EVERY_MS, PROBE_LIMIT_MS};

/// One connection of an operator, as the edge numbers it.
pub type ConnectionId = u64;

#[derive(Debug, Clone, Copy)]
struct Connection {
    proven: bool,
    /// The probe under way, and when it fails.
    asked: Option<(u64, Timestamp)>,
    ask_at: Timestamp,
}

/// See the module. A new connection proves nothing until it has answered its first probe; one
/// that failed a probe is asked again and may prove itself later.
#[derive(Debug, Clone)]
pub(super) struct Presence {
    /// By number, the oldest first; mostly one, at most [`OPERATOR_CONNECTIONS_MAX`].
    connections: Vec<(ConnectionId, Connection)>,
    absent_since: Option<Timestamp>,
    probes: u64,
}

impl Presence {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { connections: Vec::new(), absent_since: Some(now), probes: 0 }
    }

    pub(super) fn is_proven(&self) -> bool {
        self.absent_since.is_none()
    }

    pub(super) fn absent_since(&self) -> Option<Timestamp> {
        self.absent_since
    }

    /// Beyond [`OPERATOR_CONNECTIONS_MAX`] the oldest makes room, as the edge closes it.
    pub(super) fn connected(&mut self, connection: ConnectionId, now: Timestamp) {
        let fresh = Connection { proven: false, asked: None, ask_at: now };
        if let Err(at) = self.position(connection) {
            self.connections.reserve_exact(1);
            self.connections.insert(at, (connection, fresh));
        }
        if self.connections.len() > OPERATOR_CONNECTIONS_MAX {
            self.connections.remove(0);
            self.look(now);
        }
    }

    pub(super) fn disconnected(&mut self, connection: ConnectionId, now: Timestamp) {
        self.connections.retain(|(id, _)| *id != connection);
        self.look(now);
    }

    pub(super) fn answered(&mut self, connection: ConnectionId, probe: u64, now: Timestamp) {
        if let Ok(at) = self.position(connection)
            && self.connections[at].1.asked.is_some_and(|(asked, _)| asked == probe)
        {
            self.connections[at].1 =
                Connection { proven: true, asked: None, ask_at: now.plus_ms(PROBE_EVERY_MS) };
        }
        self.look(now);
    }

    /// Answers the probes to send.
    pub(super) fn on_time(&mut self, now: Timestamp) -> Vec<(ConnectionId, u64)> {
        let mut send = Vec::new();
        for (id, connection) in &mut self.connections {
            if connection.asked.is_some_and(|(_, fails_at)| now >= fails_at) {
                *connection = Connection { proven: false, asked: None, ask_at: now };
            }
            if connection.asked.is_none() && now >= connection.ask_at {
                self.probes += 1;
                connection.asked = Some((self.probes, now.plus_ms(PROBE_LIMIT_MS)));
                send.push((*id, self.probes));
            }
        }
        self.look(now);
        send
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        let deadline = |c: &Connection| c.asked.map_or(c.ask_at, |(_, fails_at)| fails_at);
        self.connections.iter().map(|(_, connection)| deadline(connection)).min()
    }

    /// Where the connection stands, or would.
    fn position(&self, connection: ConnectionId) -> Result<usize, usize> {
        self.connections.binary_search_by_key(&connection, |(id, _)| *id)
    }

    fn look(&mut self, now: Timestamp) {
        let proven = self.connections.iter().any(|(_, connection)| connection.proven);
        self.absent_since = match (proven, self.absent_since) {
            (true, _) => None,
            (false, None) => Some(now),
            (false, since) => since,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONNECTION: ConnectionId = 7;

    #[test]
    fn only_an_answered_probe_proves_that_somebody_is_there() {
        let mut presence = Presence::new(Timestamp(0));
        presence.connected(CONNECTION, Timestamp(10));
        assert!(!presence.is_proven());
        let probes = presence.on_time(Timestamp(10));
        let (connection, probe) = probes[0];
        presence.answered(connection, probe + 1, Timestamp(11));
        assert!(!presence.is_proven(), "a wrong answer proves nothing");
        presence.answered(connection, probe, Timestamp(12));
        assert!(presence.is_proven());
    }

    #[test]
    fn the_newest_connections_prove_presence_and_the_oldest_make_room() {
        let mut presence = Presence::new(Timestamp(0));
        let newest = OPERATOR_CONNECTIONS_MAX as u64 + 1;
        (1..=newest).for_each(|connection| presence.connected(connection, Timestamp(0)));
        (1..newest).for_each(|connection| presence.disconnected(connection, Timestamp(1)));
        let probes = presence.on_time(Timestamp(2));
        assert_eq!(probes.len(), 1);
        presence.answered(newest, probes[0].1, Timestamp(3));
        assert!(presence.is_proven());
    }

    #[test]
    fn a_page_that_hangs_is_absent_although_its_socket_is_open() {
        let mut presence = Presence::new(Timestamp(0));
        presence.connected(CONNECTION, Timestamp(0));
        let (_, probe) = presence.on_time(Timestamp(0))[0];
        presence.answered(CONNECTION, probe, Timestamp(1));
        let asked_at = Timestamp(1 + PROBE_EVERY_MS);
        assert_eq!(presence.next_deadline(), Some(asked_at));
        assert_eq!(presence.on_time(asked_at).len(), 1);
        let fails_at = asked_at.plus_ms(PROBE_LIMIT_MS);
        assert!(presence.is_proven());
        presence.on_time(fails_at);
        assert_eq!(presence.absent_since(), Some(fails_at));
    }
}
