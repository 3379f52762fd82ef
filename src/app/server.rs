//! A server, from its settings to its end.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::entropy::{SystemEntropy, wall_now};
use super::files::{self, TooFewFiles};
use super::limits::{AUDIT_END_LIMIT, OPERATIONS_CONNECTIONS_MAX, SOCKETS_LIMIT};
use super::store::{OpenError, OpenedStore, StoreChoice};
use super::{availability, entry, follow, metrics};
use crate::access::{
    Access, AccessError, Entropy as _, HashCost, NoEntropy, NotApplied, PasswordError, Passwords,
};
use crate::actors::{self, HistoryWriter, Options, Router};
use crate::audit::Trail;
use crate::audit::limits::days_ms;
use crate::catalog::Catalog;
use crate::config::seed::SeedingError;
use crate::config::{
    BadConfig, DemoPasswordsInForce, Seed, SeedError, Seeded, Settings, check_listen,
};
use crate::domain::Incarnation;
use crate::edge::{
    self, ConnectionLimits, Edge, EdgeOptions, Readiness, TrustedProxies, Ways, limits,
};
use crate::storage::export::{ExportError, is_half_imported};
use crate::storage::{FeedConsumer, Store, StoreError, StoreFailure, forget, incarnation};
use crate::telemetry;

/// What to start.
#[derive(Clone)]
pub struct Plan {
    /// The settings, the command line included.
    pub settings: Settings,
    /// Where everything is kept.
    pub store: StoreChoice,
    /// How dear password hashes are.
    pub hash_cost: HashCost,
    /// How the router behaves; the settings' share of it is set from them.
    pub router: Options,
}

impl Plan {
    /// The plan of the settings, with the store that they name.
    pub fn of(settings: Settings) -> Self {
        Self {
            store: StoreChoice::of(&settings),
            hash_cost: HashCost::default(),
            router: Options::default(),
            settings,
        }
    }
}

/// Why a server does not start. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting.
    #[error(transparent)]
    Config(#[from] BadConfig),
    /// More sockets than files.
    #[error(transparent)]
    Files(#[from] TooFewFiles),
    /// Nothing can be counted.
    #[error("the metrics cannot be set up: {0}")]
    Metrics(String),
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address}: {source}; stop what listens there, or choose another address with {option}"
    )]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The option that says where.
        option: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store does not answer, or cannot be read.
    #[error("{0}; look at the store, then start again")]
    Store(#[from] StoreError),
    /// The store holds a part of an import.
    #[error(transparent)]
    HalfImported(ExportError),
    /// Nothing random can be had.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
    /// Tokens or sessions.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// Erasures.
    #[error(transparent)]
    Erasures(#[from] NotApplied),
    /// Passwords.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The seed file cannot be opened.
    #[error(
        "cannot read the seed file {file}: {source}; give its path with --seed, or leave it out"
    )]
    SeedFile {
        /// Which.
        file: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The seed is wrong.
    #[error(transparent)]
    Seed(#[from] SeedError),
    /// The seed could not be planted.
    #[error(transparent)]
    Seeding(#[from] SeedingError),
    /// Published passwords.
    #[error(transparent)]
    Demo(#[from] DemoPasswordsInForce),
    /// The router.
    #[error(transparent)]
    Router(#[from] actors::StartError),
}

/// Why a server cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// Nothing that it promises would be true.
    #[error("{0}")]
    StoreFailed(String),
    /// The supervision tree has ended.
    #[error(
        "a supervisor has failed; look at the log, then start again: what was acknowledged is kept"
    )]
    SupervisorFailed,
    /// A task without which the rest is not what it seems.
    #[error(
        "the task that {0} has ended; look at the log, then start again: what was acknowledged is kept"
    )]
    TaskEnded(&'static str),
}

/// A server that serves. See the module.
pub struct Server {
    /// Where customers and operators connect.
    pub address: SocketAddr,
    /// Where health is read.
    pub operations_address: SocketAddr,
    /// What became of the seed, when there was one.
    pub seeded: Option<Seeded>,
    store: OpenedStore,
    edge: Arc<Edge>,
    ready: watch::Sender<Readiness>,
    closing: watch::Sender<bool>,
    failed: watch::Receiver<Option<Ended>>,
    tasks: JoinSet<()>,
}

impl Server {
    /// Starts everything; it serves when this answers.
    pub async fn start(plan: Plan) -> Result<Self, StartError> {
        let settings = &plan.settings;
        let proxies = TrustedProxies::new(settings.trusted_proxies()?);
        let ways = Arc::new(Ways { hosts: settings.server.allowed_hosts.clone(), proxies });
        let fitting = files::fit(settings.limits.connections, files::raise())?;
        // The addresses first: they fail soonest. Nobody is taken before all is ready.
        let public = bind(settings.server.listen, "--listen").await?;
        let operations = bind(settings.server.ops_listen, "--ops-listen").await?;
        let addresses = [&public, &operations].map(TcpListener::local_addr);
        let [address, operations_address] = addresses.map(|a| a.unwrap_or(settings.server.listen));
        let (ready, is_ready) = watch::channel(Readiness::Starting);
        let (running, router_running) = watch::channel(None);
        let (closing, is_closing) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let render = metrics::start(&mut tasks).map_err(StartError::Metrics)?;
        let routes = edge::operations(is_ready, router_running, render);
        let limits = ConnectionLimits::new(OPERATIONS_CONNECTIONS_MAX, OPERATIONS_CONNECTIONS_MAX);
        let listening =
            edge::listen(operations, routes, limits, Arc::clone(&ways), is_closing.clone());
        tasks.spawn(listening);

        tracing::info!(%address, operations = %operations_address, "starting");

        let opened = availability::open(&plan.store, &ready).await?;
        // A store that falls silent ends the start with a word. Each call from here to the router's start is
        // small, so that its limit is that of an actor's.
        let store = opened.store.in_time(plan.router.store_limit);
        if is_half_imported(&*store.documents).await? {
            return Err(StartError::HalfImported(ExportError::HalfImported));
        }
        let (catalog, access) = gate(&store, &plan).await?;
        // What a former process was forgetting is gone before anybody is served.
        finish_forgetting(&store).await?;
        let incarnation = begin_incarnation(&store).await?;
        let seeded = plant(&store, &catalog, &access, &settings.server.seed).await?;
        // Nobody else than this machine could use them otherwise.
        if ![address, operations_address].iter().all(|a| a.ip().to_canonical().is_loopback()) {
            access.flag_published(&access.act_of_system(wall_now())).await?;
        }
        for address in [address, operations_address] {
            check_listen(address, &catalog.snapshot().demo_logins())?;
        }
        let snapshot = catalog.snapshot();
        let roster = follow::roster(&snapshot, settings.routing());
        let outbox_max = usize::try_from(settings.limits.outbox_frames).unwrap_or(usize::MAX);
        let options = Options { outbox_max, ..plan.router };
        let history = HistoryWriter::new(opened.store.in_time(options.store_limit));
        let followers: Vec<Arc<dyn FeedConsumer>> = vec![Arc::new(history)];
        let store = opened.store.clone();
        let router = Router::start_followed(store, roster, options, followers).await?;
        running.send_replace(Some(router.clone()));
        let edge = Edge::new(
            router.clone(),
            catalog,
            access,
            incarnation,
            edge_options(settings, fitting.sockets),
        );

        let (failing, failed) = watch::channel(None);
        let watching = watch_over(opened.failure(), router.clone(), ready.clone(), failing.clone());
        tasks.spawn(watching);
        let following = follow::follow(Arc::clone(&edge), snapshot);
        tasks.spawn(vital("follows the configuration", failing.clone(), following));
        let kept_ms = days_ms(settings.audit.kept_days);
        tasks.spawn(follow::prune(Arc::clone(&edge.access), router.clone(), kept_ms));
        tasks.spawn(follow::audit(Arc::clone(&edge.access), router));
        let of_one = settings.limits.connections_per_address;
        let limits = ConnectionLimits::new(
            fitting.sockets.saturating_add(fitting.http),
            of_one.saturating_add(limits::HTTP_CONNECTIONS_OF_ONE_MAX.min(fitting.http)),
        );
        let listening = edge::listen(public, edge::public(&edge), limits, ways, is_closing);
        tasks.spawn(vital("takes connections", failing, listening));
        availability::begin(&ready);
        if let Some((folder, sqlite)) = opened.embedded() {
            tasks.spawn(super::sizes::follow(folder, sqlite));
        }
        #[cfg(unix)]
        if let Some((folder, sqlite)) = opened.embedded() {
            tasks.spawn(super::backup::serve(folder, sqlite));
        }
        if let Some(health) = opened.health() {
            tasks.spawn(availability::follow(health, ready.clone()));
        }
        Ok(Self {
            address,
            operations_address,
            seeded,
            store: opened,
            edge,
            ready,
            closing,
            failed,
            tasks,
        })
    }

    /// The edge, for whoever measures it.
    pub fn edge(&self) -> &Arc<Edge> {
        &self.edge
    }

    /// Ends when the server cannot go on.
    pub async fn failed(&self) -> Ended {
        let mut failed = self.failed.clone();
        match failed.wait_for(Option::is_some).await {
            Ok(ended) => ended.clone().unwrap_or(Ended::SupervisorFailed),
            Err(_) => Ended::SupervisorFailed,
        }
    }

    /// Stops: nobody is let in, sockets are closed, calls under way end, actors are stopped.
    pub async fn stop(mut self) {
        let why = Readiness::NotReady("stopping".to_owned());
        self.ready.send_if_modified(|ready| {
            let serving = is_serving(ready);
            if serving {
                *ready = why;
            }
            serving
        });
        self.edge.close();
        self.closing.send_replace(true);
        if tokio::time::timeout(SOCKETS_LIMIT, self.edge.all_gone()).await.is_err() {
            tracing::warn!(sockets = self.edge.sockets(), "sockets did not close in time");
        }
        self.edge.router.stop().await;
        self.tasks.shutdown().await;
        let ends = self.edge.access.trail().end(self.edge.now());
        if tokio::time::timeout(AUDIT_END_LIMIT, ends).await.is_err() {
            tracing::warn!("the last of the audit trail was not written in time");
        }
        self.store.close().await;
    }
}

/// Whether nothing has ended it yet; a store that is away does not.
fn is_serving(ready: &Readiness) -> bool {
    match ready {
        Readiness::Ready | Readiness::Waiting(_) => true,
        Readiness::Starting | Readiness::NotReady(_) => false,
    }
}

async fn bind(address: SocketAddr, option: &'static str) -> Result<TcpListener, StartError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|source| StartError::Listen { address, option, source })
}

async fn gate(store: &Store, plan: &Plan) -> Result<(Arc<Catalog>, Arc<Access>), StartError> {
    let Store { documents, audit, .. } = store.clone();
    let catalog = Arc::new(Catalog::load(Arc::clone(&documents)).await?);
    let passwords = Passwords::new(plan.hash_cost)?;
    let (entropy, lives) = (Arc::new(SystemEntropy), plan.settings.token_lives());
    let kept = Arc::clone(&catalog);
    let trail = Trail::new(audit, Arc::clone(&documents), entry::life()?);
    let (trail, now) = (Arc::new(trail), wall_now());
    let mut access = Access::load(kept, documents, entropy, passwords, lives, trail, now).await?;
    let unknown = access.trail().recover(now).await?;
    if unknown > 0 {
        tracing::warn!(unknown, "acts of the process before have an unknown outcome");
    }
    keep_erasures(&mut access, store, plan).await?;
    Ok((catalog, Arc::new(access)))
}

/// Applies erasures that the store does not know of, and keeps those to come.
async fn keep_erasures(access: &mut Access, store: &Store, plan: &Plan) -> Result<(), StartError> {
    let file = plan.store.erasures(&plan.settings);
    if file.is_none() && matches!(plan.store, StoreChoice::Scylla(_)) {
        tracing::warn!(
            "server.erasures names no file: who is erased after a snapshot of the keyspace was taken \
             comes back with it"
        );
    }
    let applied = access.apply_erasures(store, file, wall_now()).await?;
    if applied > 0 {
        tracing::warn!(applied, "customers who were erased before are erased in this store, too");
    }
    Ok(())
}

/// What a former process was forgetting is gone. Lists of it that cannot be read are said.
async fn finish_forgetting(store: &Store) -> Result<(), StartError> {
    let resumed = forget::resume(store).await?;
    if resumed.unreadable > 0 {
        tracing::error!(
            lists = resumed.unreadable,
            "lists of chats that were being forgotten cannot be read: who asked for an erasure just \
             before the process ended is to ask again; retention finds its chats by itself"
        );
        telemetry::forgetting_unreadable(resumed.unreadable as u64);
    }
    Ok(())
}

/// The store's incarnation; a new one, if it has none.
async fn begin_incarnation(store: &Store) -> Result<Incarnation, StartError> {
    let fresh = fresh_incarnation()?;
    let begun = incarnation::begin(&*store.documents, fresh).await?;
    if begun == fresh {
        tracing::info!(incarnation = %begun, "the store is new, or a copy: clients load their chats anew");
    }
    Ok(begun)
}

fn fresh_incarnation() -> Result<Incarnation, StartError> {
    let mut bytes = [0; 16];
    SystemEntropy.fill(&mut bytes)?;
    Ok(Incarnation(uuid::Uuid::from_bytes(bytes)))
}

async fn plant(
    store: &Store,
    catalog: &Catalog,
    access: &Access,
    file: &Path,
) -> Result<Option<Seeded>, StartError> {
    if file.as_os_str().is_empty() {
        return Ok(None);
    }
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file)
        .map_err(|source| StartError::SeedFile { file: name.clone(), source })?;
    let seed = Seed::parse(&name, &text)?;
    for warning in seed.warnings() {
        tracing::warn!(%warning, "the seed");
    }
    let act = access.act_of_system(wall_now());
    Ok(Some(seed.plant(catalog, access, &*store.documents, &act).await?))
}

fn edge_options(settings: &Settings, connections: u64) -> EdgeOptions {
    let (limits, server) = (&settings.limits, &settings.server);
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    EdgeOptions {
        connections,
        connections_per_address: limits.connections_per_address,
        calls_per_second: limits.calls_per_second,
        call_burst: limits.call_burst,
        calls_in_flight: size(limits.calls_in_flight),
        visitor_openings_per_minute: number(limits.visitor_openings_per_minute),
        address_openings_per_minute: number(limits.address_openings_per_minute),
        request_bytes: size(limits.request_bytes),
        allowed_origins: server.allowed_origins.clone(),
    }
}

/// A task without which the server cannot go on: that it has ended, by a panic too, is said.
async fn vital(
    what: &'static str,
    failing: watch::Sender<Option<Ended>>,
    task: impl Future<Output = ()>,
) {
    struct Says(&'static str, watch::Sender<Option<Ended>>);
    impl Drop for Says {
        fn drop(&mut self) {
            self.1.send_if_modified(|ended| {
                let first = ended.is_none();
                ended.get_or_insert(Ended::TaskEnded(self.0));
                first
            });
        }
    }
    let _says = Says(what, failing);
    task.await;
}

/// Says when the server cannot go on; from then on it is not ready.
async fn watch_over(
    store: Option<watch::Receiver<Option<StoreFailure>>>,
    router: Router,
    ready: watch::Sender<Readiness>,
    failing: watch::Sender<Option<Ended>>,
) {
    let mut supervisors = router.ended();
    let ended = tokio::select! {
        why = OpenedStore::failed(store) => Ended::StoreFailed(why),
        _ = supervisors.wait_for(|ended| *ended) => Ended::SupervisorFailed,
    };
    if is_serving(&ready.borrow()) {
        tracing::error!(reason = %ended, "the server cannot go on");
    }
    ready.send_replace(Readiness::NotReady(ended.to_string()));
    failing.send_replace(Some(ended));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[allow(clippy::panic, reason = "this is what is tested")]
    async fn a_vital_task_that_panics_ends_the_server() {
        let (failing, mut failed) = watch::channel(None);
        let task = vital("takes connections", failing, async { panic!("a test says so") });
        assert!(tokio::spawn(task).await.is_err());
        let ended = failed.wait_for(Option::is_some).await.unwrap().clone();
        assert_eq!(ended, Some(Ended::TaskEnded("takes connections")));
    }
}
