//! Takes the server's store away under load and gives it back, and verifies from the clients' side
//! what [`super::crash`] does: nothing acknowledged is lost, doubled or reordered, no chat is stuck.
//!
//! How the store is taken away is the caller's: two commands of a shell, such as those that kill a
//! database and start it again, or pause and resume it. The story of the outage is what the server
//! itself tells on its operations listener, beside what its clients were acknowledged.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::RunError;
use super::crowd::{Crowd, Verified};
use super::progress::Progress;
use super::provision::Provisioned;
use super::server::{Server, Setup};
use crate::client::Rest;

/// How long there is load before the store goes, and after it is back, ms.
const LOAD_MS: u64 = 5_000;

/// How often the server is asked how it is, ms.
const ASK_EVERY_MS: u64 = 250;

/// How long one of the two commands may take, s: a database that starts is slow.
const COMMAND_LIMIT_S: u64 = 240;

/// How long the server may take until it is ready again, s.
const READY_LIMIT_S: u64 = 120;

/// Where the run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The store is there.
    Before,
    /// It was taken away.
    Away,
    /// It is back, by its command's word.
    Back,
}

/// What the server told at one moment, and how many messages its clients were acknowledged.
#[derive(Debug, Clone)]
pub struct Moment {
    /// Since the beginning of the load, ms.
    pub at_ms: u64,
    /// Where the run was.
    pub phase: Phase,
    /// What `/readyz` answered: 200, or why not.
    pub ready: Result<(), String>,
    /// `switchboard_store_available`.
    pub available: bool,
    /// `switchboard_store_appends_total`.
    pub appends: u64,
    /// `switchboard_calls_under_way`.
    pub calls: u64,
    /// `switchboard_connections`.
    pub connections: u64,
    /// `switchboard_actor_restarts_total`, over all kinds.
    pub restarts: u64,
    /// Memory that the server keeps resident, bytes; none where the system does not say.
    pub resident_bytes: Option<u64>,
    /// Messages acknowledged to clients so far.
    pub acknowledged: u64,
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// All that the server told, in order.
    pub moments: Vec<Moment>,
    /// When the store was gone, and when it was back, ms; each by the end of its command.
    pub away_ms: (u64, u64),
    /// What people saw.
    pub seen: Verified,
}

impl Outcome {
    /// From the store's going until the server said that it is not ready, ms.
    pub fn noticed_ms(&self) -> Option<u64> {
        self.after(self.away_ms.0, |moment| moment.phase == Phase::Away && moment.ready.is_err())
    }

    /// From the store's return until the server said that it is ready, ms.
    pub fn recovered_ms(&self) -> Option<u64> {
        self.after(self.away_ms.1, |moment| moment.ready.is_ok())
    }

    /// From the store's return until the first message was acknowledged, ms.
    pub fn acknowledged_ms(&self) -> Option<u64> {
        let back = self.moments.iter().find(|moment| moment.phase == Phase::Back)?;
        self.after(self.away_ms.1, |moment| moment.acknowledged > back.acknowledged)
    }

    fn after(&self, from_ms: u64, is: impl Fn(&Moment) -> bool) -> Option<u64> {
        let found = self.moments.iter().find(|moment| moment.at_ms >= from_ms && is(moment))?;
        Some(found.at_ms - from_ms)
    }

    /// Whether the server noticed, came back, and lost nothing.
    pub fn holds(&self) -> bool {
        self.noticed_ms().is_some() && self.recovered_ms().is_some() && self.seen.holds()
    }
}

/// How the store is taken away, how it is given back, and for how long it is away, s.
#[derive(Debug, Clone)]
pub struct Plan {
    /// A shell's command.
    pub down: String,
    /// A shell's command.
    pub up: String,
    /// Between the end of the first and the beginning of the second, s.
    pub away_s: u64,
}

/// Runs it. `process` is the server that runs already.
pub async fn outage(
    setup: &Setup,
    mut process: Server,
    there: Provisioned,
    plan: &Plan,
    seed: u64,
) -> Result<Outcome, RunError> {
    let crowd = Crowd::gather(setup.address(), there, seed);
    let begun_ms = crowd.now_ms();
    let operations = Rest::new(&setup.operations());
    let whole_ms = 2 * LOAD_MS + 1_000 * plan.away_s;
    let progress = Progress::default();
    let mut watch = Watch { crowd, operations, moments: Vec::new(), begun_ms, whole_ms, progress };
    let load = watch.crowd.busy(&mut process, 0).await?;
    if !load.counts() {
        let what = format!("there was never load enough: {load:?}");
        return Err(RunError::Limit { what, limit_s: 20 });
    }
    watch.look(&mut process, Phase::Before, LOAD_MS).await?;
    watch.run(&mut process, Phase::Before, &plan.down).await?;
    let down_ms = watch.now_ms();
    watch.look(&mut process, Phase::Away, 1_000 * plan.away_s).await?;
    watch.run(&mut process, Phase::Away, &plan.up).await?;
    let up_ms = watch.now_ms();
    watch.until_ready(&mut process).await?;
    watch.look(&mut process, Phase::Back, LOAD_MS).await?;
    watch.progress.done();
    let Watch { crowd, moments, .. } = watch;
    let seen = crowd.verify(&mut process, &[]).await?;
    process.stop().await?;
    Ok(Outcome { moments, away_ms: (down_ms, up_ms), seen })
}

struct Watch {
    crowd: Crowd,
    operations: Rest,
    moments: Vec<Moment>,
    begun_ms: u64,
    whole_ms: u64,
    progress: Progress,
}

impl Watch {
    fn now_ms(&self) -> u64 {
        self.crowd.now_ms() - self.begun_ms
    }

    /// Asks the server now and then for so long.
    async fn look(&mut self, process: &mut Server, phase: Phase, ms: u64) -> Result<(), RunError> {
        let until_ms = self.now_ms() + ms;
        while self.now_ms() < until_ms {
            self.ask(process, phase).await?;
            sleep(Duration::from_millis(ASK_EVERY_MS)).await;
        }
        Ok(())
    }

    async fn until_ready(&mut self, process: &mut Server) -> Result<(), RunError> {
        let until_ms = self.now_ms() + 1_000 * READY_LIMIT_S;
        loop {
            self.ask(process, Phase::Back).await?;
            match self.moments.last().map(|moment| &moment.ready) {
                Some(Err(why)) if self.now_ms() >= until_ms => {
                    let what = format!("the server is not ready again: {why}");
                    return Err(RunError::Limit { what, limit_s: READY_LIMIT_S });
                }
                Some(Err(_)) => sleep(Duration::from_millis(ASK_EVERY_MS)).await,
                Some(Ok(())) | None => return Ok(()),
            }
        }
    }

    /// Runs a command, and goes on asking meanwhile.
    async fn run(
        &mut self,
        process: &mut Server,
        phase: Phase,
        command: &str,
    ) -> Result<(), RunError> {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        let failed = |why: String| RunError::Command { command: command.to_owned(), why };
        let mut child = shell.spawn().map_err(|error| failed(error.to_string()))?;
        let until_ms = self.now_ms() + 1_000 * COMMAND_LIMIT_S;
        loop {
            let every = Duration::from_millis(ASK_EVERY_MS);
            match timeout(every, child.wait()).await {
                Ok(Ok(status)) if status.success() => return Ok(()),
                Ok(Ok(status)) => return Err(failed(format!("ended with {status}"))),
                Ok(Err(error)) => return Err(failed(error.to_string())),
                Err(_) if self.now_ms() >= until_ms => {
                    return Err(failed(format!("takes longer than {COMMAND_LIMIT_S} s")));
                }
                Err(_) => self.ask(process, phase).await?,
            }
        }
    }

    async fn ask(&mut self, process: &mut Server, phase: Phase) -> Result<(), RunError> {
        self.crowd.look(process)?;
        let (status, why) = self.operations.text("/readyz").await?;
        let (_, metrics) = self.operations.text("/metrics").await?;
        let (acknowledged, violations) = self.crowd.so_far();
        let at_ms = self.now_ms();
        self.moments.push(Moment {
            at_ms,
            phase,
            ready: if status == 200 { Ok(()) } else { Err(why.trim().to_owned()) },
            available: sum(&metrics, "switchboard_store_available") > 0,
            appends: sum(&metrics, "switchboard_store_appends_total"),
            calls: sum(&metrics, "switchboard_calls_under_way"),
            connections: sum(&metrics, "switchboard_connections"),
            restarts: sum(&metrics, "switchboard_actor_restarts_total"),
            resident_bytes: process.resident_bytes(),
            acknowledged,
        });
        let part = at_ms as f64 / self.whole_ms as f64;
        let words = format!("{phase:?}, {acknowledged} messages, {violations} violations");
        self.progress.show(at_ms, part, self.whole_ms.saturating_sub(at_ms), &words);
        Ok(())
    }
}

/// The sum over all labels of a metric of whole numbers in the text format of Prometheus.
fn sum(metrics: &str, name: &str) -> u64 {
    let lines = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let value = rest.strip_prefix('{').map_or(Some(rest), |rest| Some(rest.split_once('}')?.1));
        value?.strip_prefix(' ')?.parse::<f64>().ok()
    });
    lines.sum::<f64>() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels_and_no_other_is_taken_for_it() {
        let text = "# HELP a_total Words.\na_total 2\na_total{kind=\"chat\"} 3\na_total_b 7\n";
        assert_eq!((sum(text, "a_total"), sum(text, "b")), (5, 0));
    }

    fn moment(at_ms: u64, phase: Phase, ready: bool, acknowledged: u64) -> Moment {
        let ready = if ready { Ok(()) } else { Err("away".to_owned()) };
        let (available, appends, calls, connections, restarts) = (true, 0, 0, 0, 0);
        Moment {
            at_ms,
            phase,
            ready,
            available,
            appends,
            calls,
            connections,
            restarts,
            resident_bytes: None,
            acknowledged,
        }
    }

    fn outcome(moments: Vec<Moment>) -> Outcome {
        let seen = Verified {
            chats: 0,
            read: [0; 3],
            unread: Vec::new(),
            erased: 0,
            traces: Vec::new(),
            wire: Default::default(),
            met: Vec::new(),
            violations: Vec::new(),
            violations_count: 0,
        };
        Outcome { moments, away_ms: (1_000, 5_000), seen }
    }

    #[test]
    fn an_outage_that_the_server_did_not_notice_does_not_hold() {
        let noticed = outcome(vec![
            moment(500, Phase::Before, true, 3),
            moment(3_000, Phase::Away, false, 4),
            moment(5_200, Phase::Back, false, 4),
            moment(5_700, Phase::Back, true, 4),
            moment(6_000, Phase::Back, true, 5),
        ]);
        assert_eq!(noticed.noticed_ms(), Some(2_000));
        assert_eq!(noticed.recovered_ms(), Some(700));
        assert_eq!(noticed.acknowledged_ms(), Some(1_000));
        assert!(noticed.holds());
        let blind = outcome(vec![
            moment(3_000, Phase::Away, true, 4),
            moment(5_200, Phase::Back, false, 4),
            moment(5_700, Phase::Back, true, 4),
        ]);
        assert_eq!(blind.noticed_ms(), None);
        assert!(!blind.holds());
    }
}
