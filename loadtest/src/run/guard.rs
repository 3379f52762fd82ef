//! A process that ends when its parent does, whatever ends the parent.

use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

/// The subcommand that the load test starts the server through.
pub const SUBCOMMAND: &str = "guarded";

/// Becomes `program`, to be killed when `parent` ends. Returns only what went wrong.
pub fn become_guarded(parent: u32, program: &str, arguments: &[String]) -> std::io::Error {
    #[cfg(target_os = "linux")]
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return error.into();
    }
    // It may have ended before the line above.
    let now = getppid().map(Pid::as_raw_nonzero).map(|pid| pid.get());
    if now.and_then(|pid| u32::try_from(pid).ok()) != Some(parent) {
        return std::io::Error::other("the load test has ended");
    }
    Command::new(program).args(arguments).exec()
}
