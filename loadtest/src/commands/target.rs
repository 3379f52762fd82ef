//! The options that say which server a run is against.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use loadtest::client::Rest;
use loadtest::run::crowd;
use loadtest::run::provision::{self, ADMINISTRATOR, Provisioned};
use loadtest::run::server::{Server, Setup};
use switchboard::access::limits::ADDRESS_OPENINGS;

/// The variable that holds the password of `--admin`.
const PASSWORD_VARIABLE: &str = "LOADTEST_ADMIN_PASSWORD";

/// Which server.
#[derive(Debug, Args)]
pub struct OwnServerArguments {
    /// Settings for the server that the run starts
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The server's program; without it, `switchboard` beside this one
    #[arg(long, value_name = "FILE")]
    pub server_binary: Option<PathBuf>,
    /// Keep the server's log there
    #[arg(long, value_name = "FILE")]
    pub server_log: Option<PathBuf>,
}

/// Own or running.
#[derive(Debug, Args)]
pub struct TargetArguments {
    #[command(flatten)]
    own: OwnServerArguments,
    /// A server that runs already, as host:port; its priority step should fit the speed
    #[arg(long, value_name = "ADDRESS", requires = "admin", conflicts_with_all = ["config", "server_binary", "server_log"])]
    server: Option<String>,
    /// The login of an administrator there; the password comes from LOADTEST_ADMIN_PASSWORD
    #[arg(long, value_name = "LOGIN", requires = "server")]
    admin: Option<String>,
}

/// A server to run against, and how to configure it.
pub struct Target {
    /// Its REST interface.
    pub rest: Rest,
    /// An administrator's login.
    pub login: String,
    /// And password.
    pub password: String,
    /// The process and what it was started with, when it is ours; dropped in this order.
    pub own: Option<(Server, Setup)>,
}

impl OwnServerArguments {
    /// The same for another program, whose log is not kept: it would overwrite that of the first one.
    pub fn with(&self, program: &Path) -> Self {
        let server_binary = Some(program.to_owned());
        Self { config: self.config.clone(), server_binary, server_log: None }
    }

    /// Prepares a server of our own; also its administrator's password.
    pub fn prepare(&self, settings: &[(&str, u64)]) -> anyhow::Result<(Setup, String)> {
        let password = provision::password();
        let mut setup = Setup::new(
            self.server_binary.clone(),
            self.config.clone(),
            settings,
            &provision::seed(&password),
        )?;
        setup.keep_log(self.server_log.clone());
        Ok((setup, password))
    }

    /// Starts a server of our own, with what a crowd needs in it.
    pub async fn start_for_a_crowd(&self) -> anyhow::Result<(Setup, Server, Provisioned)> {
        let (setup, password) = self.prepare(crowd::SETTINGS)?;
        let process = setup.start().await?;
        let (operators, queues) = crowd::wanted();
        let administrator = (ADMINISTRATOR, password.as_str());
        let rest = Rest::new(&setup.address());
        let there = provision::provision(&rest, administrator, &operators, &queues).await?;
        Ok((setup, process, there))
    }
}

impl TargetArguments {
    /// What a server of our own is started with.
    pub fn own(&self) -> &OwnServerArguments {
        &self.own
    }

    /// Starts a server, or takes the running one.
    pub async fn open(&self, settings: &[(&str, u64)]) -> anyhow::Result<Target> {
        if let (Some(address), Some(login)) = (&self.server, &self.admin) {
            let password = std::env::var(PASSWORD_VARIABLE)
                .with_context(|| format!("give the password of --admin in {PASSWORD_VARIABLE}"))?;
            println!(
                "the server's own limits hold: with the defaults one address opens \
                 {ADDRESS_OPENINGS} chats a minute (limits.address_openings_per_minute), and who \
                 is refused waits"
            );
            return Ok(Target {
                rest: Rest::new(address),
                login: login.clone(),
                password,
                own: None,
            });
        }
        let (setup, password) = self.own.prepare(settings)?;
        let process = setup.start().await?;
        Ok(Target {
            rest: Rest::new(&setup.address()),
            login: ADMINISTRATOR.to_owned(),
            password,
            own: Some((process, setup)),
        })
    }
}

/// Ends early when the person says so; the server is ended with us.
pub async fn until_interrupted<T>(
    run: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        done = run => done,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            anyhow::bail!("interrupted")
        }
        _ = terminated.recv() => anyhow::bail!("terminated"),
    }
}
