//! Renders what was counted, in Prometheus's text format. One recorder a process.

use std::sync::{Arc, OnceLock};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::limits::UPKEEP_EVERY;
use crate::telemetry::{BATCH_BUCKETS, SECONDS_BUCKETS, describe};

static RECORDER: OnceLock<Result<PrometheusHandle, String>> = OnceLock::new();

/// What is shown at `/metrics`.
pub(super) type Render = Arc<dyn Fn() -> String + Send + Sync>;

/// Starts to count, if nobody in this process does, and keeps the recorder tidy. Errors when the
/// buckets are no buckets or another recorder counts already.
pub(super) fn start(tasks: &mut tokio::task::JoinSet<()>) -> Result<Render, String> {
    let handle = RECORDER.get_or_init(|| install().map_err(|error| error.to_string())).clone()?;
    let upkeep = handle.clone();
    tasks.spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP_EVERY).await;
            upkeep.run_upkeep();
        }
    });
    Ok(Arc::new(move || handle.render()))
}

fn install() -> Result<PrometheusHandle, Box<dyn std::error::Error>> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS_BUCKETS)?
        .set_buckets_for_metric(Matcher::Suffix("_writes".into()), BATCH_BUCKETS)?
        .build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder)?;
    describe();
    Ok(handle)
}
