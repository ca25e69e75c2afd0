//! The recorder behind `/metrics`, and the help texts of every metric.

use std::time::Duration;

use anyhow::Context;
use capstan_envelope::{Metric, MetricKind};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Interval of the metrics recorder's upkeep.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Every metric of the product.
fn all() -> impl Iterator<Item = &'static Metric> {
    let parts = [
        capstan_api::METRICS,
        capstan_dispatch::METRICS,
        capstan_eventlog::METRICS,
        capstan_projections::METRICS,
        capstan_engine::METRICS,
        capstan_live::METRICS,
        crate::metric::ALL,
    ];
    parts.into_iter().flatten()
}

fn describe(metric: &Metric) {
    let Metric { name, kind, help } = *metric;
    let help = help.trim();
    match kind {
        MetricKind::Counter => metrics::describe_counter!(name, help),
        MetricKind::Gauge => metrics::describe_gauge!(name, help),
        MetricKind::Histogram => metrics::describe_histogram!(name, help),
    }
}

/// The recorder behind `/metrics`; one per process, even if benchmarks start several nodes.
pub(super) fn recorder() -> anyhow::Result<PrometheusHandle> {
    static RECORDER: std::sync::OnceLock<PrometheusHandle> = std::sync::OnceLock::new();
    if let Some(handle) = RECORDER.get() {
        return Ok(handle.clone());
    }
    let buckets =
        [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &buckets)?
        .install_recorder()
        .context("install the metrics recorder")?;
    all().for_each(describe);
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP_EVERY).await;
            upkeep.run_upkeep();
        }
    });
    Ok(RECORDER.get_or_init(|| handle).clone())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_page_of_metrics_lists_every_metric() {
        let mut page = String::from(
            "# Metrics\n\nGenerated from the code: `CAPSTAN_REGENERATE=1 cargo test -p capstan the_page_of_metrics`. \
             `/metrics` publishes them in the text format of Prometheus.\n\n\
             | metric | kind | meaning |\n|---|---|---|\n",
        );
        for Metric { name, kind, help } in all() {
            page.push_str(&format!(
                "| `{name}` | {} | {} |\n",
                format!("{kind:?}").to_lowercase(),
                help.trim()
            ));
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations/metrics.md");
        if std::env::var_os("CAPSTAN_REGENERATE").is_some() {
            std::fs::write(&path, &page).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), page, "run with CAPSTAN_REGENERATE=1");
    }

    #[test]
    fn no_two_metrics_share_a_name() {
        let names: BTreeSet<_> = all().map(|metric| metric.name).collect();
        assert_eq!(names.len(), all().count());
    }
}
