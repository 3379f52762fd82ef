//! The distributed store: ScyllaDB, or another server that speaks CQL, behind every port.
//!
//! Owns a keyspace from [`ScyllaStore::open`] until it is closed, by a lease that it renews.
//! Refuses a keyspace whose schema is not that of this release, and waits while another process
//! owns it. `docs/scylladb.md` says how to run it, `docs/decisions/0007-distributed-store.md` why
//! it is built so:
//! - A log is appended to by plain writes. That nothing of a dead claim ever shows follows from
//!   which rows there are, not from clocks or from conditional writes (`chain`).
//! - What must be unique is written on conditions, to rows that plain writes never touch.
//! - All other rows are plain writes with timestamps that a dead owner cannot have (`lease`), or
//!   with the value itself as timestamp (watermarks).
//! - Nothing is written and nothing acknowledged without the lease.
//!
//! Reading order: `chain` (what is visible), `log`, `lease`, `owner`, `cql`, `statements`, the
//! other aggregates: a file has the statements of one, its rows and its port.

mod audit;
mod cells;
mod chain;
#[cfg(test)]
mod chain_model;
mod connect;
mod conversations;
mod cql;
mod documents;
mod ended;
mod errors;
mod feed;
mod history;
mod history_spans;
mod inventory;
mod known_chats;
mod lease;
mod limits;
mod log;
mod open_chats;
mod open_tallies;
mod operators;
mod owner;
mod processes;
mod profiles;
mod ring;
mod schema;
mod slices;
mod statements;
mod watermarks;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use dashmap::DashSet;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::domain::ChannelId;
use crate::storage::audit::DamagedEntries;
use crate::storage::feed::DamagedTouches;
use crate::storage::{Store, StoreError, StoreFailure, StoreHealth};

use cql::Db;
use ended::EndedDays;
use feed::FeedPeriods;
use history::HistoryParts;
use known_chats::KnownChats;
use lease::Lease;
use limits::EPOCH_CLAIM_BITS;
use open_chats::Partitions;
use profiles::Profiles;
use statements::statements_of;

pub use cells::every_cell;
pub use connect::{OpenError, drop_keyspace};
pub use owner::Wait;
pub use schema::apply as apply_schema;

statements_of! {
    audit,
    conversations,
    documents,
    ended,
    feed,
    history,
    log,
    open_chats,
    operators,
    owner,
    processes,
    watermarks,
}

/// Whose agreement a read or a write needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsistencyOf {
    /// Most replicas of the one datacentre: `LOCAL_QUORUM` and `LOCAL_SERIAL`.
    Datacentre,
    /// Most replicas of all datacentres: `QUORUM` and `SERIAL`. Slower, and survives the loss of
    /// one of three.
    Cluster,
}

/// Who this process is to the database.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// How to reach a keyspace.
#[derive(Debug, Clone)]
pub struct ScyllaOptions {
    /// Nodes to ask for all others, as `host:port`.
    pub contact_points: Vec<String>,
    /// The keyspace; small letters, digits and `_`, a letter first, 48 at most.
    pub keyspace: String,
    /// The datacentre to stay in; empty only where all of them agree on every write.
    pub datacentre: String,
    /// How many replicas a keyspace gets that the schema's first step makes.
    pub replication: u64,
    /// Who this is; none where the database asks nobody.
    pub login: Option<Login>,
    /// A PEM file with the certificates to trust; none: no TLS. Nodes are known by addresses, so
    /// their certificates must name these.
    pub tls_ca: Option<PathBuf>,
    /// Whose agreement is needed.
    pub consistency: ConsistencyOf,
    /// How long a request may take; conditional ones twice that.
    pub request_limit: Duration,
    /// How long a connection may take to be made.
    pub connect_limit: Duration,
    /// What the lease calls this process, for people; unlike every other that ever was.
    pub holder: String,
    /// How long the lease lasts without renewal. Tests make it short; all processes of a keyspace
    /// must agree.
    pub lease: Duration,
    /// For whom it waits when the keyspace has an owner.
    pub wait: Wait,
}

impl ScyllaOptions {
    /// Whose agreement writes have, as one word for the lease: who asks others may miss some.
    pub(crate) fn home(&self) -> String {
        match self.consistency {
            ConsistencyOf::Datacentre => format!("{} local_quorum", self.datacentre),
            ConsistencyOf::Cluster => "quorum".to_owned(),
        }
    }

    /// The keyspace of a database on this machine. `holder` must be unlike every other.
    pub fn local(keyspace: &str, holder: &str) -> Self {
        Self {
            contact_points: vec!["127.0.0.1:9042".to_owned()],
            keyspace: keyspace.to_owned(),
            datacentre: "datacenter1".to_owned(),
            replication: 1,
            login: None,
            tls_ca: None,
            consistency: ConsistencyOf::Datacentre,
            request_limit: Duration::from_secs(1),
            connect_limit: Duration::from_secs(5),
            holder: holder.to_owned(),
            lease: limits::LEASE,
            wait: Wait::ForAll,
        }
    }
}

/// The distributed store. Close it to let the next owner in at once; when it is only dropped, the
/// lease runs out by itself.
pub struct ScyllaStore {
    db: Arc<Db>,
    known_chats: KnownChats,
    /// Larger than every epoch of earlier lives.
    first_epoch: u64,
    /// Claims of this life.
    claims: AtomicU64,
    partitions: Partitions,
    /// Channels of which it is written that they have chats; as many as there are.
    channels_used: DashSet<ChannelId>,
    /// Hours of the audit trail that this life has put on their list: the present one.
    audit_hours: DashSet<i64>,
    damaged_entries: DamagedEntries,
    /// Days of ended chats that this life has to do with.
    ended_days: EndedDays,
    /// Slots of the feed that this life has put on their list.
    feed_periods: FeedPeriods,
    damaged_touches: DamagedTouches,
    /// Parts of the lists of the history that this life has put on theirs.
    history_parts: HistoryParts,
    life: u64,
    renewing: JoinHandle<()>,
    probing: JoinHandle<()>,
}

impl ScyllaStore {
    /// Connects, checks the schema, and waits until this process owns the keyspace. Drop the future
    /// to give up.
    pub async fn open(options: &ScyllaOptions) -> Result<Self, OpenError> {
        let session = connect::connect(options).await?;
        connect::use_keyspace(&session, &options.keyspace).await?;
        schema::check(&session, options).await?;
        let profiles = Profiles::new(options);
        let statements = connect::prepare(&session, &profiles, options).await?;
        let lease = Lease::new(options.lease);
        let db = Arc::new(Db::new(session, statements, profiles, lease, options));
        owner::check_clock(&db, options).await?;
        let life = owner::acquire(&db, options).await?;
        // The schema may have gone on while this process waited for its turn.
        if let Err(error) = schema::check(&db.session, options).await {
            owner::release(&db, life).await;
            return Err(error);
        }
        let renewing = tokio::spawn(owner::renew(Arc::clone(&db), options.lease, life));
        let probing = tokio::spawn(owner::probe(Arc::clone(&db), options.lease));
        Ok(Self {
            db,
            known_chats: KnownChats::new(),
            first_epoch: life << EPOCH_CLAIM_BITS,
            claims: AtomicU64::new(1),
            partitions: Partitions::default(),
            channels_used: DashSet::new(),
            audit_hours: DashSet::new(),
            damaged_entries: DamagedEntries::default(),
            ended_days: EndedDays::default(),
            feed_periods: FeedPeriods::default(),
            damaged_touches: DamagedTouches::default(),
            history_parts: HistoryParts::default(),
            life,
            renewing,
            probing,
        })
    }

    /// Its ports.
    pub fn store(self: &Arc<Self>) -> Store {
        Store::of(Arc::clone(self))
    }

    /// Turns to `Some` when another process owns the keyspace; from then on every write is
    /// refused, and this process must end.
    pub fn failure(&self) -> watch::Receiver<Option<StoreFailure>> {
        self.db.lease.failure()
    }

    /// Whether the database answers: turns when it has not renewed the lease, or has not taken a
    /// write, for half of the lease's length, and when it does again.
    pub fn health(&self) -> watch::Receiver<StoreHealth> {
        self.db.lease.health()
    }

    /// Which owner of the keyspace this is, counted from 1.
    pub fn life(&self) -> u64 {
        self.life
    }

    /// Whether nobody else was the owner of the keyspace since this process took it. Errors when the
    /// database does not say.
    pub async fn still_owns(&self) -> Result<bool, StoreError> {
        owner::still_owns(&self.db, self.life).await
    }

    /// Writes nothing more and lets the next owner in. Takes a moment at most; when the database
    /// does not answer, the lease runs out by itself.
    pub async fn close(&self) {
        self.renewing.abort();
        self.probing.abort();
        owner::release(&self.db, self.life).await;
    }
}

impl Drop for ScyllaStore {
    fn drop(&mut self) {
        self.renewing.abort();
        self.probing.abort();
        self.db.lease.end();
    }
}
