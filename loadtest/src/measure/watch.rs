//! What a server takes while it is measured: its process as the system sees it, and its own metrics.
//!
//! Owns when it is looked at, and what is noted of it ([`Sample`]). Refuses to judge.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Duration, Instant, MissedTickBehavior, interval, timeout};

use super::place::{Taken, taken_by};
use super::report::Sample;
use crate::client::Rest;

/// How often a process is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// At which of those looks its own metrics are read, too: they cost it some milliseconds.
const METRICS_EVERY: u64 = 5;

/// How long it may take to tell them; then they are left out of this look.
const METRICS_LIMIT: Duration = Duration::from_millis(500);

/// Most looks of a run: a day's.
const SAMPLES_MAX: usize = 86_400;

/// What is watched.
#[derive(Debug, Clone, Default)]
pub struct Watched {
    /// The process's number; none where there is none.
    pub process: Option<u32>,
    /// Where the router tells its metrics, `host:port`; none of a floor.
    pub operations: Option<String>,
    /// Sums of metrics that are noted: what each is called in a [`Sample`], and as the router calls it.
    pub metrics: &'static [(&'static str, &'static str)],
}

/// What it had taken when the measured time began and when it ended, and what was so meanwhile.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    /// At the beginning.
    pub before: Option<Taken>,
    /// At the end.
    pub after: Option<Taken>,
    /// In order.
    pub samples: Vec<Sample>,
}

impl Seen {
    /// Time on a processor between the two, ms; none where the system does not say.
    pub fn cpu_ms(&self) -> Option<f64> {
        let both = self.before.zip(self.after);
        both.map(|(before, after)| after.cpu_ms.saturating_sub(before.cpu_ms) as f64)
    }
}

/// Watches until it is asked what it saw.
#[derive(Debug)]
pub struct Watch {
    watched: Watched,
    before: Option<Taken>,
    samples: Rc<RefCell<Vec<Sample>>>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Begins, on a thread with local tasks. `counts` is asked for what the driver has counted by then.
    pub fn begin(watched: Watched, counts: impl Fn() -> BTreeMap<String, f64> + 'static) -> Self {
        let samples = Rc::new(RefCell::new(Vec::new()));
        let before = watched.process.and_then(taken_by);
        let task = spawn_local(look(watched.clone(), before, Rc::clone(&samples), counts));
        Self { watched, before, samples, task }
    }

    /// Ends.
    pub fn end(self) -> Seen {
        let after = self.watched.process.and_then(taken_by);
        Seen { before: self.before, after, samples: self.samples.take() }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn look(
    watched: Watched,
    before: Option<Taken>,
    samples: Rc<RefCell<Vec<Sample>>>,
    counts: impl Fn() -> BTreeMap<String, f64>,
) {
    let rest = watched.operations.as_deref().map(Rest::new);
    let (began, mut before) = (Instant::now(), before);
    let mut looks = interval(LOOK_EVERY);
    // A driver that was busy looks less often, and not twice at once.
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks.tick().await;
    for number in 1..=SAMPLES_MAX as u64 {
        looks.tick().await;
        let mut values = counts();
        let taken = watched.process.and_then(taken_by);
        if let (Some(before), Some(taken)) = (before, taken) {
            values.insert("resident_bytes".to_owned(), taken.resident_bytes as f64);
            values.insert("anonymous_bytes".to_owned(), taken.anonymous_bytes as f64);
            let cpu_ms = taken.cpu_ms.saturating_sub(before.cpu_ms) as f64;
            values.insert("server_cpu_share".to_owned(), cpu_ms / LOOK_EVERY.as_millis() as f64);
        }
        before = taken;
        if let Some(rest) = rest.as_ref().filter(|_| number % METRICS_EVERY == 0)
            && let Ok(Ok((_, text))) = timeout(METRICS_LIMIT, rest.text("/metrics")).await
        {
            let told = watched
                .metrics
                .iter()
                .map(|(name, metric)| ((*name).to_owned(), sum(&text, metric)));
            values.extend(told);
        }
        samples.borrow_mut().push(Sample { at_s: began.elapsed().as_secs_f64(), values });
    }
}

/// The sum over all labels of a metric in the text format of Prometheus; 0 when it is not there.
fn sum(metrics: &str, name: &str) -> f64 {
    let lines = metrics.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let of = series.split_once('{').map_or(series, |(of, _)| of);
        (of == name).then(|| value.parse::<f64>().ok()).flatten()
    });
    lines.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels_and_no_other_is_taken_for_it() {
        let text = "# HELP a x\na{q=\"1\"} 1.5\na{q=\"2 3\"} 2\na_total 9\nb 4\n";
        assert_eq!((sum(text, "a"), sum(text, "b"), sum(text, "c")), (3.5, 4.0, 0.0));
    }
}
