//! The command line of the load test: reads files, calls the library, prints.

mod commands {
    pub mod plan;
    pub mod traffic;
}

use clap::{Parser, Subcommand};

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
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Plan(arguments) => arguments.run(),
    }
}
