//! Log lines to standard error. Texts of messages and secrets do not show: their types see to it.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::command::Failure;
use crate::config::LogFormat;
use crate::config::settings::LogSettings;

/// The actors' library. It opens a span of its own level "info" for each actor, with a number that says nothing to
/// anybody, and enters it at every step. So it has warnings at most, unless the filter names it.
const ACTORS: &str = "ractor";

/// Starts them. Errors when the filter cannot be read, or logs have been started before.
pub fn start_logs(settings: &LogSettings) -> Result<(), Failure> {
    let filter = filter_of(&settings.filter)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match settings.format {
        LogFormat::Text => {
            lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init()
        }
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| Failure(error.to_string()))
}

fn filter_of(text: &str) -> Result<EnvFilter, Failure> {
    let general = text.split(',').rev().find_map(|part| part.trim().parse::<LevelFilter>().ok());
    let whole = match general {
        // What is named later, or more closely, counts.
        Some(general) => format!("{ACTORS}={},{text}", general.min(LevelFilter::WARN)),
        None => text.to_owned(),
    };
    EnvFilter::try_new(whole).map_err(|error| {
        Failure(format!("log.filter: {error}; write a level as \"info\" or \"info,module=debug\""))
    })
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    /// Whether an actor's span, and a line of ours, are made under a filter.
    fn made(filter: &str) -> (bool, bool) {
        let subscriber = tracing_subscriber::fmt().with_env_filter(filter_of(filter).unwrap());
        tracing::subscriber::with_default(subscriber.finish(), || {
            let span = tracing::info_span!(target: "ractor::actor", "Actor");
            (!span.is_disabled(), tracing::enabled!(target: "switchboard::edge", Level::INFO))
        })
    }

    #[test]
    fn an_actor_has_no_span_unless_the_filter_asks_for_it() {
        assert_eq!(made("info"), (false, true));
        assert_eq!(made("debug,switchboard::edge=warn"), (false, false));
        assert_eq!(made("warn,ractor=info"), (true, false));
        assert_eq!(made("info,ractor::actor=debug"), (true, true));
        assert_eq!(made("switchboard=info"), (false, true));
    }

    #[test]
    fn nothing_shows_that_a_stricter_filter_leaves_out() {
        let shown = |filter: &str, level| {
            let subscriber = tracing_subscriber::fmt().with_env_filter(filter_of(filter).unwrap());
            tracing::subscriber::with_default(subscriber.finish(), || match level {
                Level::ERROR => tracing::enabled!(target: "ractor::actor", Level::ERROR),
                _ => tracing::enabled!(target: "ractor::actor", Level::WARN),
            })
        };
        let both = |filter| (shown(filter, Level::ERROR), shown(filter, Level::WARN));
        assert_eq!(both("info"), (true, true));
        assert_eq!(both("error"), (true, false));
        assert_eq!(both("off"), (false, false));
        assert_eq!(both(""), (true, false), "as the library has it");
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_refused() {
        assert!(filter_of("info,=").is_err());
    }
}
