//! What all routes and sockets of a process share.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use tokio::sync::{Semaphore, mpsc, watch};

use super::admission::Admission;
use super::holders::Holders;
use crate::access::{Access, Holder, Openings};
use crate::actors::Router;
use crate::catalog::Catalog;
use crate::domain::{ChannelId, ChatId, Incarnation, Seq, Timestamp};
use crate::protocol::{Cursor, Wire};

/// What an installation may choose of the edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeOptions {
    /// Most sockets at a time.
    pub connections: u64,
    /// Most sockets of one address at a time.
    pub connections_per_address: u64,
    /// Calls a second of one socket.
    pub calls_per_second: u64,
    /// Calls of one socket at once.
    pub call_burst: u64,
    /// Calls of all sockets under way.
    pub calls_in_flight: usize,
    /// Chats that one visitor may open in a minute.
    pub visitor_openings_per_minute: u32,
    /// Chats that all visitors of one address may open in a minute.
    pub address_openings_per_minute: u32,
    /// Largest body of a REST request, bytes.
    pub request_bytes: usize,
    /// Sites whose pages may open sockets.
    pub allowed_origins: Vec<String>,
}

/// See the module.
pub struct Edge {
    /// The router.
    pub router: Router,
    /// Users, queues, channels and reasons to be away.
    pub catalog: Arc<Catalog>,
    /// Who may come in.
    pub access: Arc<Access>,
    /// Of the store: what its cursors belong to.
    pub incarnation: Incarnation,
    /// What was chosen.
    pub options: EdgeOptions,
    pub(super) admission: Admission,
    pub(super) in_flight: Arc<Semaphore>,
    pub(super) openings: Mutex<Openings>,
    pub(super) holders: Holders,
    closing: watch::Sender<bool>,
    /// Held by every connection; see [`Edge::all_gone`].
    alive: Mutex<Option<mpsc::Sender<Infallible>>>,
    gone: tokio::sync::Mutex<mpsc::Receiver<Infallible>>,
}

/// Held as long as a connection lives.
#[derive(Debug, Clone)]
pub struct Alive {
    _held: Option<mpsc::Sender<Infallible>>,
}

impl Edge {
    /// The edge of a router that runs.
    pub fn new(
        router: Router,
        catalog: Arc<Catalog>,
        access: Arc<Access>,
        incarnation: Incarnation,
        options: EdgeOptions,
    ) -> Arc<Self> {
        let (alive, gone) = mpsc::channel(1);
        Arc::new(Self {
            router,
            catalog,
            access,
            incarnation,
            admission: Admission::new(options.connections, options.connections_per_address),
            in_flight: Arc::new(Semaphore::new(options.calls_in_flight)),
            openings: Mutex::new(Openings::new(
                options.visitor_openings_per_minute,
                options.address_openings_per_minute,
            )),
            options,
            holders: Holders::default(),
            closing: watch::Sender::default(),
            alive: Mutex::new(Some(alive)),
            gone: tokio::sync::Mutex::new(gone),
        })
    }

    /// The present.
    pub fn now(&self) -> Timestamp {
        self.router.now()
    }

    /// The cursor behind an event of a chat.
    pub(super) fn cursor(&self, chat: ChatId, seq: Seq) -> Wire<Cursor> {
        Wire(Cursor::new(self.incarnation, chat, seq))
    }

    /// Tokens of somebody may have been revoked: its sockets ask again. Answers how many.
    pub fn rights_changed(&self, holder: Holder) -> usize {
        self.holders.ask(holder)
    }

    /// The same for all customers of a channel.
    pub fn channel_changed(&self, channel: ChannelId) -> usize {
        self.holders.ask_channel(channel)
    }

    /// The same for everybody, where nobody knows any more whose.
    pub fn all_rights_changed(&self) -> usize {
        self.holders.ask_all()
    }

    /// The process is stopping: nobody is let in any more, sockets are closed.
    pub fn close(&self) {
        self.closing.send_replace(true);
        let mut alive = self.alive.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *alive = None;
    }

    /// Whether the process is stopping.
    pub fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// Turns true when the process is stopping.
    pub(super) fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    /// How many sockets there are.
    pub fn sockets(&self) -> u64 {
        self.admission.taken()
    }

    /// How many calls of sockets are under way.
    pub fn calls_under_way(&self) -> usize {
        self.options.calls_in_flight.saturating_sub(self.in_flight.available_permits())
    }

    /// To be held by a connection.
    pub(super) fn alive(&self) -> Alive {
        let alive = self.alive.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Alive { _held: alive.clone() }
    }

    /// Ends when all connections have ended; only after [`close`](Self::close).
    pub async fn all_gone(&self) {
        let _ = self.gone.lock().await.recv().await;
    }
}
