//! The command line of the load test: reads files, calls the library, prints.

mod commands {
    pub mod compare;
    pub mod connections;
    pub mod crash;
    pub mod floor;
    pub mod fuzz;
    pub mod messages;
    pub mod mixed;
    pub mod outage;
    pub mod output;
    pub mod plan;
    pub mod replay;
    pub mod rounds;
    pub mod routing;
    pub mod seen;
    pub mod soak;
    pub mod talk;
    pub mod target;
    pub mod traffic;
}

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::task::LocalSet;

/// Recorded or made-up traffic for a Switchboard server.
#[derive(Parser)]
#[command(name = "loadtest", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// Each subcommand is a module of its own with its arguments and `run`.
#[derive(Subcommand)]
enum Command {
    /// Shows who comes and who works, the recorded day, and what an ideal router would make of it.
    /// Needs no server.
    Plan(commands::plan::PlanArguments),
    /// Plays traffic on real sockets and verifies it; starts a server of its own by default.
    Replay(commands::replay::ReplayArguments),
    /// Kills a server of its own under load, again and again, and verifies that nothing is missing.
    Crash(commands::crash::CrashArguments),
    /// Takes the store of a server of its own away under load, and verifies that nothing is missing.
    Outage(commands::outage::OutageArguments),
    /// Sends a server of its own valid, nearly valid and wild frames and requests, and verifies that
    /// nothing breaks.
    Fuzz(commands::fuzz::FuzzArguments),
    /// Measures a server of its own beside floors: messages between pairs of people, and how long they take.
    Messages(commands::messages::MessagesArguments),
    /// Holds the router of one report against that of another, or against the one of the same run.
    Compare(commands::compare::CompareArguments),
    /// Measures a server of its own beside a floor: what a session costs that does nothing.
    Connections(commands::connections::ConnectionsArguments),
    /// Measures a server of its own: how chats find their operators.
    Routing(commands::routing::RoutingArguments),
    /// Measures a server of its own: messages, routing, idle sessions and reading all at once.
    Mixed(commands::mixed::MixedArguments),
    /// The same for long, while the server's memory is watched.
    Soak(commands::soak::SoakArguments),
    /// Is a server that does the least that a message needs, to be measured as the router is.
    Floor(commands::floor::FloorArguments),
    /// Talks as a customer or an operator of the demonstration.
    Talk(commands::talk::TalkArguments),
    /// Becomes another program that ends with its parent.
    #[command(name = loadtest::run::guard::SUBCOMMAND, hide = true)]
    Guarded {
        #[arg(long)]
        parent: u32,
        program: String,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    let held = match Arguments::parse().command {
        Command::Plan(arguments) => arguments.run().map(|()| true),
        Command::Replay(arguments) => LocalSet::new().block_on(&runtime()?, arguments.run()),
        Command::Crash(arguments) => runtime()?.block_on(arguments.run()),
        Command::Outage(arguments) => runtime()?.block_on(arguments.run()),
        Command::Fuzz(arguments) => runtime()?.block_on(arguments.run()),
        Command::Messages(arguments) => LocalSet::new().block_on(&one_thread()?, arguments.run()),
        Command::Compare(arguments) => arguments.run(),
        Command::Connections(arguments) => {
            LocalSet::new().block_on(&one_thread()?, arguments.run())
        }
        Command::Routing(arguments) => LocalSet::new().block_on(&one_thread()?, arguments.run()),
        Command::Mixed(arguments) => LocalSet::new().block_on(&one_thread()?, arguments.run()),
        Command::Soak(arguments) => LocalSet::new().block_on(&one_thread()?, arguments.run()),
        Command::Floor(arguments) => arguments.run(),
        Command::Talk(arguments) => runtime()?.block_on(arguments.run()),
        Command::Guarded { parent, program, arguments } => {
            Err(loadtest::run::guard::become_guarded(parent, &program, &arguments).into())
        }
    }?;
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A driver on a core of its own has one thread.
fn one_thread() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
