//! Latencies, and the line a phase prints.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Longest latency that is told apart.
const LONGEST_US: u64 = 600_000_000;

/// Latencies of acknowledged operations.
pub(crate) struct Latency(Histogram<u64>);

impl Latency {
    /// Nothing measured yet.
    pub(crate) fn new() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST_US, 3).expect("fixed bounds are valid"))
    }

    /// Notes one measurement.
    pub(crate) fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(1));
    }

    /// Adds the measurements of another client.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all histograms share their bounds");
    }

    /// The line of a phase: `rate` per second over `span`, `p50_ms`, `p99_ms`, and `operations`, which counts those that
    /// were not measured too, because processor time is divided by them.
    pub(crate) fn line(&self, span: Duration, operations: u64) -> Value {
        let millis = |quantile| self.0.value_at_quantile(quantile) as f64 / 1000.0;
        json!({
            "rate": self.0.len() as f64 / span.as_secs_f64(),
            "p50_ms": millis(0.5),
            "p99_ms": millis(0.99),
            "operations": operations,
        })
    }
}
