//! Runs against a server: its process, its provisioning, the people, and what is made of it.
//!
//! [`server`] owns the process, [`provision`] what the server is told before anybody comes,
//! [`recorder`] turns what people see into the ledger's observations, [`reading`] reads whole
//! histories again. [`replay`] plays a plan. [`crowd`] keeps a server busy; meanwhile [`crash`] kills
//! it again and again, and [`outage`] takes its store away. [`mod@fuzz`] sends it all that a client should
//! not.
//! Everything that waits has a limit; a run that meets one says so and fails.

pub mod crash;
pub mod crowd;
pub mod fuzz;
pub mod guard;
pub mod outage;
mod past;
pub mod progress;
pub mod provision;
pub mod reading;
pub mod recorder;
pub mod replay;
pub mod server;
pub mod traces;

/// Why a run came to nothing. What a run finds wrong with the router are violations, not these.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The server's process.
    #[error(transparent)]
    Server(#[from] server::ServerError),
    /// The server refuses what the run needs.
    #[error(transparent)]
    Rest(#[from] crate::client::RestError),
    /// The server does not know the administrator.
    #[error(
        "cannot log in as {login}: {source}; users keep their passwords, so a server that the run \
         starts needs an empty store"
    )]
    LogIn {
        /// As whom.
        login: String,
        /// What the server says.
        source: crate::client::RestError,
    },
    /// An answer without what belongs in it.
    #[error("the server's answer to {0} cannot be used")]
    Answer(&'static str),
    /// A person could not go on.
    #[error("{who}: {why}")]
    Person {
        /// Who.
        who: String,
        /// Why.
        why: String,
    },
    /// Something took longer than a run waits.
    #[error("gave up after {limit_s} s: {what}")]
    Limit {
        /// What was waited for.
        what: String,
        /// For how long, s.
        limit_s: u64,
    },
    /// A command that was given to the run.
    #[error("{command:?} {why}")]
    Command {
        /// Which.
        command: String,
        /// What is wrong with it.
        why: String,
    },
    /// What the server has written could not be looked into.
    #[error("searching {place}: {why}")]
    Search {
        /// Where.
        place: String,
        /// Why.
        why: String,
    },
    /// Too many rounds in which the load was not there.
    #[error("only {counted} of {wanted} rounds had the load in {tried} tries; {last}")]
    Rounds {
        /// Rounds that count.
        counted: u32,
        /// Rounds asked for.
        wanted: u32,
        /// Kills in all.
        tried: u32,
        /// What the last one lacked.
        last: String,
    },
}
