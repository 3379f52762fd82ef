//! Files that processes may open: each connection is one, in the driver and in whom it drives.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use switchboard::edge::limits::HTTP_CONNECTIONS_MAX;

/// Connections beside the sessions: the administrator's, and some that are just ending.
pub const CONNECTIONS_BESIDE: u64 = 64;

/// Files of the server beside its sessions: these, HTTP connections that it keeps room for, and its own (its
/// store, its logs). The driver needs fewer.
const BESIDE: u64 = CONNECTIONS_BESIDE + HTTP_CONNECTIONS_MAX + 256;

/// The system gives too few.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{sessions} sessions need {} open files, and no process here may have more than {files}: raise the \
     hard limit (`ulimit -Hn` as root, LimitNOFILE in systemd, `--ulimit nofile` in Docker) or ask for {} \
     sessions at most",
    .sessions + BESIDE,
    .files.saturating_sub(BESIDE)
)]
pub struct TooFewFiles {
    /// Sessions that are wanted.
    pub sessions: u64,
    /// The hard limit.
    pub files: u64,
}

/// Raises the limit of this process and of those that it starts from now on, so that each has files for so
/// many sessions. Errors where the hard limit is lower.
pub fn allow(sessions: u64) -> Result<(), TooFewFiles> {
    let now = getrlimit(Resource::Nofile);
    let Some(raised) = raised(&now, sessions)? else { return Ok(()) };
    setrlimit(Resource::Nofile, raised)
        .map_err(|_| TooFewFiles { sessions, files: now.current.unwrap_or(u64::MAX) })
}

/// The limit that is needed; none when the present one is enough.
fn raised(now: &Rlimit, sessions: u64) -> Result<Option<Rlimit>, TooFewFiles> {
    let needed = sessions.saturating_add(BESIDE);
    let fits = |limit: Option<u64>| limit.is_none_or(|limit| limit >= needed);
    if fits(now.current) {
        return Ok(None);
    }
    match now.maximum {
        Some(files) if files < needed => Err(TooFewFiles { sessions, files }),
        maximum => Ok(Some(Rlimit { current: Some(needed), maximum })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_raised_as_far_as_it_has_to_be_and_can() {
        let limit = |current, maximum| Rlimit { current, maximum };
        let needed = 10_000 + BESIDE;
        let enough = raised(&limit(Some(needed), Some(needed)), 10_000);
        assert!(matches!(enough, Ok(None)));
        let soft = raised(&limit(Some(1_024), Some(1 << 20)), 10_000);
        assert!(matches!(soft, Ok(Some(Rlimit { current: Some(files), .. })) if files == needed));
        assert!(matches!(raised(&limit(Some(1_024), None), 10_000), Ok(Some(_))));
        let hard = raised(&limit(Some(1_024), Some(needed - 1)), 10_000);
        let told = hard.map(drop).unwrap_err().to_string();
        assert!(told.contains("ask for 9999 sessions at most"), "{told}");
    }
}
