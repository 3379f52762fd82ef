//! Log lines to standard error. Texts of messages and secrets do not show: their types see to it.

use tracing_subscriber::EnvFilter;

use super::command::Failure;
use crate::config::LogFormat;
use crate::config::settings::LogSettings;

/// Starts them. Errors when the filter cannot be read, or logs have been started before.
pub fn start_logs(settings: &LogSettings) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&settings.filter).map_err(|error| {
        Failure(format!("log.filter: {error}; write a level as \"info\" or \"info,module=debug\""))
    })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match settings.format {
        LogFormat::Text => {
            lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init()
        }
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| Failure(error.to_string()))
}
