//! How many files the process may have open, and how many sockets fit. A connection is a file: a
//! server that has none left takes no connection, writes no log and opens no database.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::limits::{FILES_BESIDE_CONNECTIONS, FILES_SHARE};
use crate::config::Settings;
use crate::edge::limits::HTTP_CONNECTIONS_MAX;

/// More sockets are configured than the system gives files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "limits.connections is {connections}, but the system lets the process open {files} files, of \
     which {most} are left for sockets; raise the limit (`ulimit -n`, LimitNOFILE in systemd, \
     `--ulimit nofile` in Docker) or lower limits.connections"
)]
pub struct TooFewFiles {
    /// What is configured.
    pub connections: u64,
    /// What the system gives.
    pub files: u64,
    /// What would fit.
    pub most: u64,
}

/// What fits into the files that the system gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fitting {
    /// Sockets.
    pub sockets: u64,
    /// Connections that may speak HTTP beside them.
    pub http: u64,
}

/// Raises the soft limit to the hard one, which needs no right. Answers how many files there are.
pub(super) fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: maximum, maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum.unwrap_or(u64::MAX),
        Err(error) => {
            tracing::warn!(%error, "the limit of open files was not raised");
            current.unwrap_or(u64::MAX)
        }
    }
}

/// How many connections fit. The default is lowered to what does; a number that somebody chose is
/// not, since whoever chose it counts on it.
pub(super) fn fit(connections: u64, files: u64) -> Result<Fitting, TooFewFiles> {
    let share = files / FILES_SHARE;
    let (http, beside) = (HTTP_CONNECTIONS_MAX.min(share), FILES_BESIDE_CONNECTIONS.min(share));
    let most = files - http - beside;
    if connections <= most {
        return Ok(Fitting { sockets: connections, http });
    }
    if connections != Settings::default().limits.connections || most == 0 {
        return Err(TooFewFiles { connections, files, most });
    }
    tracing::warn!(
        files,
        sockets = most,
        "the system gives too few files for {connections} sockets; raise the limit of open files"
    );
    Ok(Fitting { sockets: most, http })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_taken_and_the_default_is_lowered_to_it() {
        let default = Settings::default().limits.connections;
        let plenty = fit(default, 1 << 20).unwrap();
        assert_eq!(plenty, Fitting { sockets: default, http: HTTP_CONNECTIONS_MAX });
        let few = fit(default, 1_024).unwrap();
        assert_eq!(few, Fitting { sockets: 512, http: 256 });
        assert!(few.sockets + few.http < 1_024);
        assert_eq!(fit(default, u64::MAX).unwrap().sockets, default);
    }

    #[test]
    fn a_number_that_somebody_chose_is_refused_with_both() {
        assert_eq!(fit(512, 1_024).map(|fitting| fitting.sockets), Ok(512));
        let refused = fit(513, 1_024).unwrap_err();
        assert_eq!(refused, TooFewFiles { connections: 513, files: 1_024, most: 512 });
        let text = refused.to_string();
        assert!(text.contains("513") && text.contains("1024") && text.contains("512"), "{text}");
        assert!(fit(Settings::default().limits.connections, 0).is_err());
    }
}
