//! Where a measurement runs: a core for the server, another one for who drives it; and what a process took.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The processors of server and driver, by the system's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cores {
    /// Whose who drives is.
    pub driver: usize,
    /// The server's.
    pub server: usize,
    /// Whether the two are threads of one core, so that each slows the other one down.
    pub are_siblings: bool,
}

/// There are no two processors.
#[derive(Debug, thiserror::Error)]
pub enum CoresError {
    /// This process has one only.
    #[error(
        "server and driver want a processor each, and this process may run on {0} only: with --unpinned they \
         share what there is, and ratios say little"
    )]
    One(usize),
    /// The system does not say.
    #[error("asking for processors (with --unpinned none is taken): {0}")]
    Io(#[from] io::Error),
}

impl Cores {
    /// The first two processors on which this process may run, of different cores where the machine has and tells
    /// them.
    pub fn pick() -> Result<Self, CoresError> {
        let may = sched_getaffinity(None).map_err(io::Error::from)?;
        let may: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| may.is_set(*cpu)).collect();
        Self::of(&may, siblings)
    }

    fn of(may: &[usize], siblings: impl Fn(usize) -> Vec<usize>) -> Result<Self, CoresError> {
        let &[driver, next, ..] = may else {
            return Err(CoresError::One(may.first().copied().unwrap_or_default()));
        };
        let beside = siblings(driver);
        let apart = may.iter().skip(1).find(|cpu| !beside.contains(*cpu));
        Ok(Self { driver, server: apart.copied().unwrap_or(next), are_siblings: apart.is_none() })
    }
}

/// The processors that share a core with one, as the system says; none where it does not.
fn siblings(cpu: usize) -> Vec<usize> {
    let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
    std::fs::read_to_string(path).map_or(Vec::new(), |list| numbers(&list))
}

/// The numbers of a list as the kernel writes it: `0-1,4`.
fn numbers(list: &str) -> Vec<usize> {
    let parts = list.trim().split(',').filter_map(|part| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        Some(from.parse::<usize>().ok()?..=to.parse::<usize>().ok()?)
    });
    parts.flatten().collect()
}

/// Keeps the present thread, and whatever it starts from now on, on one processor until it is dropped.
#[derive(Debug)]
pub struct Pinned {
    before: CpuSet,
}

impl Pinned {
    /// The driver, where there are processors for the two.
    pub fn driver(cores: Option<Cores>) -> io::Result<Option<Self>> {
        cores.map(|cores| Self::to(cores.driver)).transpose()
    }

    /// While the server is started, where there are processors for the two.
    pub fn server(cores: Option<Cores>) -> io::Result<Option<Self>> {
        cores.map(|cores| Self::to(cores.server)).transpose()
    }

    /// Errors where it may not run there any more.
    fn to(cpu: usize) -> io::Result<Self> {
        let before = sched_getaffinity(None)?;
        let mut only = CpuSet::new();
        only.set(cpu);
        sched_setaffinity(None, &only)?;
        Ok(Self { before })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // It was allowed before; if it is no more, the thread stays where it is.
        let _ = sched_setaffinity(None, &self.before);
    }
}

/// What a process had taken at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Time on a processor, in it and for it in the kernel, ms. It is counted in steps of 10 ms.
    pub cpu_ms: u64,
    /// Memory that is resident, bytes.
    pub resident_bytes: u64,
    /// What of it is of no file, bytes: its own, without the pages of its program that it happens to have read.
    pub anonymous_bytes: u64,
}

/// Ticks a second in `/proc`: the same on every Linux that runs this.
const TICKS_PER_SECOND: u64 = 100;

/// Of the process with this number; none where the system does not say (Linux does).
pub fn taken_by(process: u32) -> Option<Taken> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    read(&stat, &status)
}

fn read(stat: &str, status: &str) -> Option<Taken> {
    // Its name stands in parentheses, and may hold anything. Behind it utime and stime are the 12th and 13th.
    let (_, behind) = stat.rsplit_once(") ")?;
    let mut ticks = behind.split(' ').skip(11).map(str::parse::<u64>);
    let cpu_ticks = ticks.next()?.ok()? + ticks.next()?.ok()?;
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1_024)
    };
    Some(Taken {
        cpu_ms: cpu_ticks * 1_000 / TICKS_PER_SECOND,
        resident_bytes: bytes("VmRSS:")?,
        anonymous_bytes: bytes("RssAnon:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_and_driver_have_cores_of_their_own_where_there_are_two() {
        let threads = |cpu: usize| vec![cpu / 2 * 2, cpu / 2 * 2 + 1];
        let picked = |may: &[usize]| {
            let Cores { driver, server, are_siblings } = Cores::of(may, threads).unwrap();
            (driver, server, are_siblings)
        };
        assert_eq!(picked(&[0, 1, 2, 3]), (0, 2, false));
        assert_eq!(picked(&[3, 5, 6]), (3, 5, false));
        assert_eq!(picked(&[6, 7]), (6, 7, true));
        let untold = Cores::of(&[4, 5], |_| Vec::new()).unwrap();
        assert_eq!((untold.driver, untold.server, untold.are_siblings), (4, 5, false));
        let told = Cores::of(&[9], threads).unwrap_err().to_string();
        assert!(told.contains("on 9 only: with --unpinned"), "{told}");
    }

    #[test]
    fn a_list_of_the_kernel_is_read() {
        assert_eq!(numbers("0-1,4\n"), [0, 1, 4]);
        assert_eq!(numbers("7\n"), [7]);
        assert_eq!(numbers(""), [0; 0]);
    }

    #[test]
    fn who_is_pinned_is_back_where_it_was_afterwards() {
        let before = sched_getaffinity(None).unwrap();
        let first = (0..CpuSet::MAX_CPU).find(|cpu| before.is_set(*cpu)).unwrap();
        {
            let _pinned = Pinned::to(first).unwrap();
            assert_eq!(sched_getaffinity(None).unwrap().count(), 1);
            assert!(matches!(Cores::pick(), Err(CoresError::One(only)) if only == first));
        }
        assert!(sched_getaffinity(None).unwrap() == before);
    }

    #[test]
    fn what_a_process_took_is_read_whatever_it_is_called() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 900 0 0 0 250 50 0 0 20 0 4 0 100 1 2";
        let status = "Name:\tx\nVmRSS:\t    2048 kB\nRssAnon:\t    1024 kB\nThreads:\t4\n";
        let (cpu_ms, resident_bytes, anonymous_bytes) = (3_000, 2_097_152, 1_048_576);
        let taken = Taken { cpu_ms, resident_bytes, anonymous_bytes };
        assert_eq!(read(stat, status), Some(taken));
        let own = taken_by(std::process::id()).unwrap();
        assert!(own.anonymous_bytes > 0 && own.anonymous_bytes < own.resident_bytes, "{own:?}");
    }
}
