//! The executable: see `switchboard::app`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match switchboard::app::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("switchboard: {failure}");
            ExitCode::FAILURE
        }
    }
}
