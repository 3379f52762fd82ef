//! The command line.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

#[cfg(unix)]
use super::backup;
use super::entry;
use super::health;
use super::history;
use super::logs::start_logs;
use super::server::{Plan, Server};
use super::store::StoreChoice;
use super::{transfer, whole};
use crate::config::{Seeded, Settings, read};
use crate::domain::audit::AuditAct;
use crate::storage::scylla;

/// Why the process ends without success, for people.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

/// An actor-based, real-time chat router for contact centres.
#[derive(Debug, Parser)]
#[command(name = "switchboard", version)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves until it is told to stop.
    Serve(Serve),
    /// Copies, checks or mends a whole store. `backup` asks the running router; for all else stop it before.
    Store {
        #[command(subcommand)]
        command: StoreCommand,
    },
    /// Asks the server of this machine whether it is ready; ends with 0 when it is.
    Health {
        /// The configuration that the server was started with.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Looks at a configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Looks after the schema of the distributed store.
    Schema {
        #[command(subcommand)]
        command: SchemaCommand,
    },
}

#[derive(Debug, Subcommand)]
enum SchemaCommand {
    /// Makes the keyspace if there is none, and applies the steps that it lacks. Run it once
    /// before the first start and after each update, one at a time.
    Apply {
        /// The configuration, with the settings of the store.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Copies the embedded store into a new file, also while the router runs: the daily backup.
    #[cfg(unix)]
    Backup(Copy),
    /// Writes all of it to a new file: a backup, or what another store is filled from.
    Export(Copy),
    /// Fills an empty store from such a file; interrupted, run it again and it goes on.
    Import(Copy),
    /// Tells the store that it was set back or copied by other means than these commands: clients
    /// load their chats anew. Run it before the first start on it.
    Restored(Which),
    /// Checks a whole store: every page, every record, the index against the log, and the history against the
    /// logs. Or whether a copy is whole; that needs no store, and compares no history.
    Check {
        /// An export, or a copy by `store backup`.
        file: Option<PathBuf>,
        #[command(flatten)]
        of: Which,
    },
    /// Makes a whole store out of a damaged one: what can be read and what follows from it. Says
    /// what is lost, and keeps the damaged one beside it.
    Repair(Which),
    /// Looks after the history, in which chats are found by when they were opened.
    History {
        #[command(subcommand)]
        command: HistoryCommand,
    },
}

#[derive(Debug, Subcommand)]
enum HistoryCommand {
    /// Makes it anew from the logs, removes what is left of chats without one, and says which logs cannot be
    /// read; interrupted, run it again and it goes on, or start the router, which does. A start begins it by
    /// itself when it has to, and serves meanwhile.
    Rebuild(Which),
}

/// Which store, and which file.
#[derive(Debug, Args)]
struct Copy {
    /// The file. It has everything, secrets too: keep it as you keep the store.
    file: PathBuf,
    #[command(flatten)]
    which: Which,
}

/// Which store.
#[derive(Debug, Args)]
struct Which {
    /// The configuration that says which store.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder of the store.
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Says everything that is wrong with a file; ends with 0 when nothing is.
    Check {
        /// The file.
        file: PathBuf,
    },
}

/// What is given here goes before the environment, and that before the file.
#[derive(Debug, Args)]
struct Serve {
    /// The configuration; config/default.toml has every setting.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder of the store.
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Where customers and operators connect.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Where health and metrics are read.
    #[arg(long, value_name = "ADDR")]
    ops_listen: Option<String>,
    /// A seed that fills an empty store, once.
    #[arg(long, value_name = "FILE")]
    seed: Option<String>,
}

/// Runs the command line of this process until it is done.
pub fn run() -> Result<(), Failure> {
    match CommandLine::parse().command {
        Command::Serve(serve) => {
            let settings = settings(&serve)?;
            start_logs(&settings.log)?;
            let runtime = tokio::runtime::Runtime::new().map_err(failure)?;
            runtime.block_on(serve_until_told(settings))
        }
        Command::Store { command } => run_store(command),
        Command::Health { config } => {
            let settings = read_settings(config.as_deref(), environment())?;
            health::ask(settings.server.ops_listen).map_err(Failure)
        }
        Command::Config { command: ConfigCommand::Check { file } } => {
            read_settings(Some(&file), std::iter::empty())?;
            println!("{}: nothing is wrong", file.display());
            Ok(())
        }
        Command::Schema { command: SchemaCommand::Apply { config } } => {
            let settings = read_settings(config.as_deref(), environment())?;
            start_logs(&settings.log)?;
            let runtime = tokio::runtime::Runtime::new().map_err(failure)?;
            runtime.block_on(apply_schema(&settings))
        }
    }
}

fn run_store(command: StoreCommand) -> Result<(), Failure> {
    let settings = |which: &Which| {
        let mut settings = read_settings(which.config.as_deref(), environment())?;
        if let Some(data) = &which.data {
            settings.set("server", "data", data, "--data").map_err(failure)?;
        }
        start_logs(&settings.log)?;
        Ok::<_, Failure>(settings)
    };
    let runtime = tokio::runtime::Runtime::new().map_err(failure)?;
    let done = match command {
        StoreCommand::Export(copy) => {
            runtime.block_on(transfer::export(settings(&copy.which)?, &copy.file))
        }
        #[cfg(unix)]
        StoreCommand::Backup(copy) => {
            runtime.block_on(backup::back_up(settings(&copy.which)?, &copy.file))
        }
        StoreCommand::Import(copy) => {
            runtime.block_on(transfer::import(settings(&copy.which)?, &copy.file))
        }
        StoreCommand::Restored(which) => runtime.block_on(transfer::restored(settings(&which)?)),
        StoreCommand::Check { file: Some(file), .. } => transfer::check(&file),
        StoreCommand::Check { file: None, of } => runtime.block_on(whole::check(settings(&of)?)),
        StoreCommand::History { command: HistoryCommand::Rebuild(of) } => {
            runtime.block_on(history::rebuild(settings(&of)?))
        }
        StoreCommand::Repair(of) => runtime.block_on(whole::repair(settings(&of)?)),
    };
    done.map_err(Failure)
}

async fn apply_schema(settings: &Settings) -> Result<(), Failure> {
    let StoreChoice::Scylla(options) = StoreChoice::of(settings) else {
        let what = "the embedded store keeps its own schema; set store.kind = \"scylla\"";
        return Err(failure(what));
    };
    let entry = entry::entry(AuditAct::SchemaApplied).map_err(failure)?;
    let applied = scylla::apply_schema(&options, Some(entry)).await.map_err(failure)?;
    if applied.is_empty() {
        println!("{}: nothing is missing", options.keyspace);
    }
    for step in applied {
        println!("{}: applied {step}", options.keyspace);
    }
    Ok(())
}

fn settings(serve: &Serve) -> Result<Settings, Failure> {
    let mut settings = read_settings(serve.config.as_deref(), environment())?;
    let options = [
        ("data", &serve.data, "--data"),
        ("listen", &serve.listen, "--listen"),
        ("ops_listen", &serve.ops_listen, "--ops-listen"),
        ("seed", &serve.seed, "--seed"),
    ];
    for (key, value, option) in options {
        if let Some(value) = value {
            settings.set("server", key, value, option).map_err(failure)?;
        }
    }
    match settings.check_whole() {
        Some(problem) => Err(failure(problem)),
        None => Ok(settings),
    }
}

/// Variables whose names or values are no text are none of ours.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn read_settings(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Settings, Failure> {
    let text = file.map(|file| {
        let name = file.display().to_string();
        match std::fs::read_to_string(file) {
            Ok(text) => Ok((name, text)),
            Err(error) => Err(Failure(format!(
                "cannot read the configuration {name}: {error}; give its path with --config"
            ))),
        }
    });
    let text = text.transpose()?;
    let text = text.as_ref().map(|(name, text)| (name.as_str(), text.as_str()));
    read(text, environment).map_err(failure)
}

async fn serve_until_told(settings: Settings) -> Result<(), Failure> {
    let mut told = Told::new().map_err(failure)?;
    let server = tokio::select! {
        started = Server::start(Plan::of(settings)) => started.map_err(failure)?,
        () = told.stop() => return Ok(()),
    };
    match server.seeded {
        Some(Seeded::Filled) => tracing::info!("the empty store was filled from the seed"),
        Some(Seeded::NotEmpty) => tracing::warn!("the store is not empty; the seed was left out"),
        Some(Seeded::Before) | None => {}
    }
    let (address, operations) = (server.address, server.operations_address);
    tracing::info!(%address, %operations, "ready");
    println!(
        "chats:      ws://{address}/ws, http://{address}/api/v1, described by /openapi.json and /protocol.json"
    );
    println!("operations: http://{operations}/metrics, /readyz, /healthz, /debug/tree");
    let ended = tokio::select! {
        ended = server.failed() => Err(failure(ended)),
        () = told.stop() => Ok(()),
    };
    tracing::info!("stopping");
    server.stop().await;
    ended
}

fn failure(error: impl std::fmt::Display) -> Failure {
    Failure(error.to_string())
}

/// The system's word to stop: SIGTERM, or Ctrl-C.
struct Told {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Told {
    fn new() -> std::io::Result<Self> {
        #[cfg(unix)]
        let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        Ok(Self {
            #[cfg(unix)]
            terminate,
        })
    }

    async fn stop(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    }
}
