//! Where a measurement runs: a core for the server, another one for who drives it; and what a process took.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The core of who drives, when cores are given.
pub const DRIVER_CORE: usize = 0;

/// The core of the server, when cores are given.
pub const SERVER_CORE: usize = 1;

/// Keeps the present thread, and whatever it starts from now on, on one core until it is dropped.
#[derive(Debug)]
pub struct Pinned {
    before: CpuSet,
}

impl Pinned {
    /// The same where it is wanted.
    pub fn when(wanted: bool, core: usize) -> io::Result<Option<Self>> {
        wanted.then(|| Self::to(core)).transpose()
    }

    /// Errors where the system has no such core, or lets nobody choose.
    pub fn to(core: usize) -> io::Result<Self> {
        let before = sched_getaffinity(None)?;
        let mut only = CpuSet::new();
        only.set(core);
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
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(Taken { cpu_ms: cpu_ticks * 1_000 / TICKS_PER_SECOND, resident_bytes: kib * 1_024 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_took_is_read_whatever_it_is_called() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 900 0 0 0 250 50 0 0 20 0 4 0 100 1 2";
        let read = read(stat, "Name:\tx\nVmRSS:\t    2048 kB\nThreads:\t4\n");
        assert_eq!(read, Some(Taken { cpu_ms: 3_000, resident_bytes: 2_097_152 }));
        assert!(taken_by(std::process::id()).is_some_and(|taken| taken.resident_bytes > 0));
    }
}
