//! A server of the run's own: its process, its folder, its settings.
//!
//! Invariants: it listens on loopback only; its folder is removed with the [`Setup`]; no process
//! outlives the run.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use switchboard::access::limits::OPENINGS_MAX;
use switchboard::app::StoreChoice;
use switchboard::config::read;
use switchboard::storage::sqlite::DATABASE_FILE;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::guard::SUBCOMMAND;
use super::traces::Place;
use crate::client::{Rest, RestError};

/// The server's program.
pub const PROGRAM: &str = "switchboard";

/// How long a server may take until it answers, s. A debug build recovers slowly.
const START_LIMIT_S: u64 = 30;

/// How often a starting server is asked.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// How long a server may take to stop when it is asked to.
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// How long a command of the store may take.
const STORE_LIMIT: Duration = Duration::from_secs(120);

/// How much of its log is shown when it fails, bytes.
const LOG_SHOWN_BYTES: usize = 2_000;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Its program is not there.
    #[error(
        "there is no {}; build it (cargo build -p switchboard) or name it with --server-binary",
        .0.display()
    )]
    NoProgram(PathBuf),
    /// Its configuration cannot be used.
    #[error("the server's configuration: {why}")]
    Settings {
        /// What is wrong with it.
        why: String,
    },
    /// The machine refuses.
    #[error("{what}: {error}")]
    Io {
        /// What.
        what: &'static str,
        /// Why.
        error: std::io::Error,
    },
    /// It ended, or never answered.
    #[error("the server {what}; the end of its log:\n{log}")]
    Failed {
        /// What it did.
        what: String,
        /// The end of its log.
        log: String,
    },
}

fn io(what: &'static str) -> impl Fn(std::io::Error) -> ServerError {
    move |error| ServerError::Io { what, error }
}

/// All customers of a run come from one address, and a day is played within minutes: a server of our
/// own lets them open as many chats as can be configured.
const OPENINGS: &[(&str, u64)] = &[
    ("LIMITS_VISITOR_OPENINGS_PER_MINUTE", OPENINGS_MAX),
    ("LIMITS_ADDRESS_OPENINGS_PER_MINUTE", OPENINGS_MAX),
];

/// All that a server of our own is started with, again and again.
#[derive(Debug)]
pub struct Setup {
    program: PathBuf,
    config: Option<PathBuf>,
    environment: Vec<(String, String)>,
    folder: TempDir,
    listen: SocketAddr,
    ops_listen: SocketAddr,
    keep: Option<PathBuf>,
}

/// A process of it.
#[derive(Debug)]
pub struct Server {
    child: Child,
}

impl Setup {
    /// Takes a folder and two ports. `settings` are names as `ROUTING_COOL_DOWN_MS` with values;
    /// they go before the configuration file.
    pub fn new(
        program: Option<PathBuf>,
        config: Option<PathBuf>,
        settings: &[(&str, u64)],
        seed: &str,
    ) -> Result<Self, ServerError> {
        let program = match program {
            Some(program) => program,
            None => beside().map_err(io("finding the server's program"))?,
        };
        if !program.is_file() {
            return Err(ServerError::NoProgram(program));
        }
        let folder = TempDir::with_prefix("loadtest-").map_err(io("making a folder"))?;
        std::fs::write(folder.path().join("seed.toml"), seed).map_err(io("writing the seed"))?;
        let environment = settings
            .iter()
            .chain(OPENINGS)
            .map(|(name, value)| (format!("SWITCHBOARD_{name}"), value.to_string()));
        let [listen, ops_listen] = free_ports().map_err(io("finding free ports"))?;
        Ok(Self {
            program,
            config,
            environment: environment.collect(),
            folder,
            listen,
            ops_listen,
            keep: None,
        })
    }

    /// Copies the server's log there when it is over.
    pub fn keep_log(&mut self, path: Option<PathBuf>) {
        self.keep = path;
    }

    /// Where customers and operators connect.
    pub fn address(&self) -> String {
        self.listen.to_string()
    }

    /// Where it tells how it is.
    pub fn operations(&self) -> String {
        self.ops_listen.to_string()
    }

    /// Starts the process and waits until it answers.
    pub async fn start(&self) -> Result<Server, ServerError> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .map_err(io("opening the server's log"))?;
        let own = std::env::current_exe().map_err(io("finding the own program"))?;
        let mut command = Command::new(own);
        command
            .args([SUBCOMMAND, "--parent"])
            .arg(std::process::id().to_string())
            .arg("--")
            .arg(&self.program)
            .arg("serve")
            .arg("--data")
            .arg(self.data())
            .arg("--seed")
            .arg(self.folder.path().join("seed.toml"))
            .args(["--listen", &self.listen.to_string()])
            .args(["--ops-listen", &self.ops_listen.to_string()]);
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        command
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true);
        let child = command.spawn().map_err(io("starting the server"))?;
        let mut server = Server { child };
        self.answers(&mut server).await?;
        Ok(server)
    }

    async fn answers(&self, server: &mut Server) -> Result<(), ServerError> {
        let rest = Rest::new(&self.address());
        let until = Instant::now() + Duration::from_secs(START_LIMIT_S);
        loop {
            match rest.get::<serde_json::Value>("none", "/openapi.json").await {
                Ok(_) => return Ok(()),
                Err(RestError::NoAnswer { .. } | RestError::Refused { .. }) => {}
                Err(RestError::Answer { why, .. }) => {
                    return Err(self.failed(format!("answers what it should not: {why}")));
                }
            }
            if let Some(status) = server.child.try_wait().map_err(io("asking the server"))? {
                return Err(self.failed(format!("ended with {status}")));
            }
            if Instant::now() > until {
                return Err(self.failed(format!("does not answer within {START_LIMIT_S} s")));
            }
            sleep(ASK_EVERY).await;
        }
    }

    /// Where its data is, unless its configuration names another store.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Whether it keeps its data there.
    pub fn is_embedded(&self) -> bool {
        self.data().join(DATABASE_FILE).is_file()
    }

    /// The store that its configuration names.
    pub fn store_choice(&self) -> Result<StoreChoice, ServerError> {
        let unread = |why: String| ServerError::Settings { why };
        let text = self.config.as_ref().map(|file| {
            let text = std::fs::read_to_string(file);
            Ok((file.display().to_string(), text.map_err(|error| unread(error.to_string()))?))
        });
        let text = text.transpose()?;
        let text = text.as_ref().map(|(name, text)| (name.as_str(), text.as_str()));
        let ours = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let settings = read(text, ours).map_err(|error| unread(error.to_string()))?;
        Ok(match StoreChoice::of(&settings) {
            StoreChoice::Sqlite(_) => StoreChoice::Sqlite(self.data()),
            other @ (StoreChoice::Scylla(_) | StoreChoice::Given(_)) => other,
        })
    }

    /// Where all that it writes can be looked at.
    pub fn stored(&self) -> Result<Place, ServerError> {
        Ok(match self.store_choice()? {
            StoreChoice::Sqlite(folder) => Place::Files(folder),
            StoreChoice::Scylla(options) => Place::Keyspace(options),
            StoreChoice::Given(_) => Place::Files(self.data()),
        })
    }

    /// A place for a file that is removed with all of this.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `switchboard store …` on its store with a file. Errors with what it says.
    pub async fn store(&self, command: &str, file: &Path) -> Result<(), ServerError> {
        let mut asked = Command::new(&self.program);
        asked.args(["store", command]).arg(file);
        if command != "check" {
            asked.arg("--data").arg(self.data());
            asked.args(self.config.iter().flat_map(|file| [Path::new("--config"), file]));
        }
        asked.envs(self.environment.iter().cloned()).stdin(Stdio::null()).kill_on_drop(true);
        let done = timeout(STORE_LIMIT, asked.output()).await;
        let output = done.map_err(|_| self.failed(format!("is silent over store {command}")))?;
        let output = output.map_err(io("running a command of the store"))?;
        if output.status.success() {
            return Ok(());
        }
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(ServerError::Failed { what: format!("does not do store {command}"), log })
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    /// The lines of its log so far that have this text, each cut off; at most 100.
    pub fn log_lines_with(&self, text: &str) -> Vec<String> {
        let log = std::fs::read(self.log()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let cut = |line: &str| line.chars().take(LOG_SHOWN_BYTES).collect();
        log.lines().filter(|line| line.contains(text)).take(100).map(cut).collect()
    }

    fn failed(&self, what: String) -> ServerError {
        let log = std::fs::read(self.log()).unwrap_or_default();
        let shown = &log[log.len().saturating_sub(LOG_SHOWN_BYTES)..];
        let log = String::from_utf8_lossy(shown).into_owned();
        ServerError::Failed { what, log }
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        if let Some(keep) = &self.keep {
            // The log is a courtesy; a run does not fail for want of it.
            let _ = std::fs::copy(self.log(), keep);
        }
    }
}

impl Server {
    /// Kills it with SIGKILL, as a crash would.
    pub async fn kill(mut self) -> Result<(), ServerError> {
        self.child.kill().await.map_err(io("killing the server"))
    }

    /// The number of its process; none when it has ended.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Memory that it keeps resident, bytes; none where the system does not say (Linux does).
    pub fn resident_bytes(&self) -> Option<u64> {
        let status = format!("/proc/{}/status", self.child.id()?);
        let status = std::fs::read_to_string(status).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1_024)
    }

    /// Whether it has ended by itself.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten();
        status.map(|status| status.to_string())
    }

    /// Asks it to stop, and waits.
    pub async fn stop(mut self) -> Result<(), ServerError> {
        use rustix::process::{Pid, Signal, kill_process};
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = id.and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM)
                .map_err(|error| io("stopping the server")(error.into()))?;
        }
        match timeout(STOP_LIMIT, self.child.wait()).await {
            Ok(waited) => waited.map(drop).map_err(io("waiting for the server")),
            Err(_) => self.kill().await,
        }
    }
}

/// The server's program beside ours.
fn beside() -> std::io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().unwrap_or(Path::new("."));
    Ok(folder.join(PROGRAM))
}

/// Two ports that are free now. Both are held until both are known, so that they differ.
fn free_ports() -> std::io::Result<[SocketAddr; 2]> {
    let bound = [0, 0].map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
    let [one, other] = bound;
    Ok([one?.local_addr()?, other?.local_addr()?])
}
