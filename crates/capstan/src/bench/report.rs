//! The report of a benchmark: rates, latencies, and their ratio to the limit measured in the same run.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Latencies and the rate they were reached at.
pub(super) struct Latency {
    micros: Histogram<u64>,
    elapsed: Duration,
}

impl Latency {
    /// Nothing measured yet.
    pub(super) fn new() -> Self {
        let micros = Histogram::new_with_bounds(1, 120_000_000, 3).expect("fixed bounds are valid");
        Self { micros, elapsed: Duration::ZERO }
    }

    /// Notes one measurement.
    pub(super) fn record(&mut self, latency: Duration) {
        self.micros.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(1));
    }

    /// Adds the measurements of another client.
    pub(super) fn merge(&mut self, other: &Self) {
        self.micros.add(&other.micros).expect("all histograms share their bounds");
    }

    /// Sets how long the measurement took.
    pub(super) fn took(&mut self, elapsed: Duration) {
        self.elapsed = elapsed;
    }

    /// How long the measurement took.
    pub(super) fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// The number of measurements.
    pub(super) fn count(&self) -> u64 {
        self.micros.len()
    }

    /// Measurements per second.
    pub(super) fn rate(&self) -> f64 {
        self.count() as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }

    /// The latency at a quantile, in milliseconds.
    pub(super) fn millis_at(&self, quantile: f64) -> f64 {
        self.micros.value_at_quantile(quantile) as f64 / 1000.0
    }
}

/// One line of a report.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figure {
    /// The name of the measurement.
    pub(super) name: String,
    /// Its unit per second, for example `commands/s`.
    pub(super) unit: &'static str,
    /// Median rate over the rounds.
    pub(super) rate: f64,
    /// Smallest and largest rate over the rounds.
    pub(super) range: (f64, f64),
    /// Median latencies in milliseconds, where latency was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) p50_ms: Option<f64>,
    /// As `p50_ms`, at 99 %.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) p99_ms: Option<f64>,
    /// The limit it is compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) limit: Option<String>,
    /// Median of the per-round ratios to that limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ratio: Option<f64>,
}

/// One measured value of one round.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    name: String,
    unit: &'static str,
    rate: f64,
    latency_ms: Option<(f64, f64)>,
    limit: Option<(String, f64)>,
}

impl Sample {
    /// A rate without latencies.
    pub(super) fn rate(name: impl Into<String>, unit: &'static str, rate: f64) -> Self {
        Self { name: name.into(), unit, rate, latency_ms: None, limit: None }
    }

    /// A rate with latencies.
    pub(super) fn latency(name: impl Into<String>, unit: &'static str, latency: &Latency) -> Self {
        let latency_ms = Some((latency.millis_at(0.5), latency.millis_at(0.99)));
        Self { latency_ms, ..Self::rate(name, unit, latency.rate()) }
    }

    /// Compares it with a limit measured in the same round.
    pub(super) fn against(mut self, limit: &Self) -> Self {
        self.limit = Some((limit.name.clone(), limit.rate));
        self
    }
}

/// Collects samples over rounds and condenses them to medians.
#[derive(Default)]
pub(super) struct Report {
    rounds: Vec<Vec<Sample>>,
}

impl Report {
    /// Adds the samples of one round; every round has the same lines.
    pub(super) fn round(&mut self, samples: Vec<Sample>) {
        self.rounds.push(samples);
    }

    /// Medians over the rounds, in the order of the first round.
    pub(super) fn figures(&self) -> Vec<Figure> {
        let Some(first) = self.rounds.first() else { return Vec::new() };
        first
            .iter()
            .map(|line| {
                let of = |pick: &dyn Fn(&Sample) -> Option<f64>| -> Vec<f64> {
                    self.rounds
                        .iter()
                        .filter_map(|round| round.iter().find(|sample| sample.name == line.name))
                        .filter_map(pick)
                        .collect()
                };
                let rates = of(&|sample| Some(sample.rate));
                Figure {
                    name: line.name.clone(),
                    unit: line.unit,
                    rate: median(&rates).unwrap_or_default(),
                    range: (
                        rates.iter().copied().fold(f64::INFINITY, f64::min),
                        rates.iter().copied().fold(0.0, f64::max),
                    ),
                    p50_ms: median(&of(&|sample| sample.latency_ms.map(|(p50, _)| p50))),
                    p99_ms: median(&of(&|sample| sample.latency_ms.map(|(_, p99)| p99))),
                    limit: line.limit.as_ref().map(|(name, _)| name.clone()),
                    ratio: median(&of(&|sample| sample.limit.as_ref().map(|(_, limit)| sample.rate / limit))),
                }
            })
            .collect()
    }

    /// Prints the figures for people or as JSON.
    #[expect(clippy::print_stdout, reason = "the report is the command's output")]
    pub(super) fn print(&self, json: bool) -> anyhow::Result<()> {
        let figures = self.figures();
        if json {
            println!("{}", serde_json::to_string_pretty(&figures)?);
            return Ok(());
        }
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED);
        table.set_header(["measured", "rate", "range", "p50 ms", "p99 ms", "of limit", "ratio"]);
        for figure in figures {
            let number = |value: Option<f64>| value.map(|value| format!("{value:.2}")).unwrap_or_default();
            table.add_row([
                figure.name,
                format!("{:.0} {}", figure.rate, figure.unit),
                format!("{:.0}–{:.0}", figure.range.0, figure.range.1),
                number(figure.p50_ms),
                number(figure.p99_ms),
                figure.limit.unwrap_or_default(),
                number(figure.ratio),
            ]);
        }
        println!("{table}");
        Ok(())
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_the_median_of_its_rounds_and_of_its_ratios() {
        let mut report = Report::default();
        for (ours, limit) in [(10.0, 20.0), (30.0, 40.0), (20.0, 10.0)] {
            let limit = Sample::rate("limit", "x/s", limit);
            report.round(vec![Sample::rate("ours", "x/s", ours).against(&limit), limit]);
        }
        let figure = &report.figures()[0];
        assert_eq!((figure.rate, figure.range, figure.ratio), (20.0, (10.0, 30.0), Some(0.75)));
    }
}
