//! A long life: the cost of a step of one task as it has ever more behind it.
//!
//! Three lives: a session that takes message after message, each begun, executed and ended; a task that is
//! cancelled and retried; an output that takes rows. A step is measured at the start, in the middle and at the end of the life.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::bench::bed::Bed;
use crate::bench::cost::{LOAD, Meter};
use crate::bench::http_load::Connection;
use crate::bench::report::{Latency, Sample};

/// Most steps that are measured at a place of the life.
const WINDOW_MAX: usize = 500;
/// Rows that are appended at once.
const ROWS_AT_ONCE: usize = 100;
/// Interval at which the lease of an attempt that lives on is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(5);

/// The lengths of the lives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// Messages to a session, each of which makes a run.
    pub(super) messages: usize,
    /// Runs of a task that is cancelled and retried.
    pub(super) runs: usize,
    /// Rows of an output.
    pub(super) rows: usize,
}

/// One round: the three lives, one after another.
pub(super) async fn round(bed: &Bed, size: Size) -> anyhow::Result<Vec<Sample>> {
    let mut samples = Vec::new();
    let rows = size.rows / ROWS_AT_ONCE;
    for (kind, steps) in [(Kind::Messages, size.messages), (Kind::Runs, size.runs), (Kind::Rows, rows)] {
        live(bed, kind, steps, &mut samples).await.with_context(|| format!("live {kind:?}"))?;
    }
    Ok(samples)
}

async fn live(bed: &Bed, kind: Kind, steps: usize, samples: &mut Vec<Sample>) -> anyhow::Result<()> {
    if steps == 0 {
        return Ok(());
    }
    let load = Builder::new_multi_thread().worker_threads(1).thread_name(LOAD).enable_all().build()?;
    let result = measure(bed, &load, kind, steps, samples).await;
    load.shutdown_background();
    result
}

async fn measure(
    bed: &Bed,
    load: &Runtime,
    kind: Kind,
    steps: usize,
    samples: &mut Vec<Sample>,
) -> anyhow::Result<()> {
    let meter = Meter::new(bed).await?;
    let mut life = Life::begin(bed, kind).await?;
    let window = (steps / 10).clamp(1, WINDOW_MAX);
    let places =
        [("at the start", 0), ("in the middle", (steps - window) / 2), ("at the end", steps - window)];
    let (mut lived, mut first) = (0, None);
    for (place, from) in places {
        let from = from.max(lived);
        let until = (from + window).min(steps);
        let (between, _) = load.spawn(life.steps(lived..from)).await??;
        bed.settled().await?;
        let before = meter.read().await?;
        let (after, latency) = load.spawn(between.steps(from..until)).await??;
        bed.settled().await?;
        let used = meter.read().await?.since(&before);
        (life, lived) = (after, until);
        let name = format!("{}, {place} of {steps}", kind.step());
        let step = Sample::latency(name.clone(), "steps/s", &latency);
        let base = first.get_or_insert_with(|| step.clone());
        samples.push(step.against(base));
        used.report(&name, "step", until - from, samples);
        let [task, part] = meter.row_bytes(&life.task, kind.table()).await?;
        samples.push(Sample::rate(format!("{name}: row of the task"), "bytes", task));
        samples.push(Sample::rate(format!("{name}: longest row of {}", kind.table()), "bytes", part));
    }
    Ok(())
}

/// What a life is made of.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Messages,
    Runs,
    Rows,
}

impl Kind {
    fn step(self) -> &'static str {
        match self {
            Self::Messages => "message, lease, start, end",
            Self::Runs => "retry, lease, start, cancel, end",
            Self::Rows => "100 rows",
        }
    }

    /// The read model with a row for each of its parts.
    fn table(self) -> &'static str {
        match self {
            Self::Messages | Self::Runs => "runs",
            Self::Rows => "output_rows",
        }
    }
}

/// A task that lives on, and its worker.
struct Life {
    connection: Connection,
    kind: Kind,
    worker: String,
    task: String,
    /// The attempt that lives on while its output takes rows, with its epoch.
    attempt: Option<(String, Value)>,
    renewed_at: Instant,
}

impl Life {
    /// A task of which the first run is over, or of rows, has begun.
    async fn begin(bed: &Bed, kind: Kind) -> anyhow::Result<Self> {
        let connection = Connection::open(&bed.host()).await?;
        let renewed_at = Instant::now();
        let (worker, task) = (String::new(), String::new());
        let mut life = Self { connection, kind, worker, task, attempt: None, renewed_at };
        let registered = life.post("/v1/workers", &json!({ "name": "life", "slots": 1 })).await?;
        life.worker = text(&registered["worker_id"])?;
        let command = json!({ "agent_id": "demo", "message": "begin", "timeout_ms": 0 });
        let accepted = life.post("/v1/workspaces/dev/tasks", &command).await?;
        life.task = text(&accepted["task"]["id"])?;
        let (attempt, epoch) = life.lease().await?;
        if matches!(kind, Kind::Rows) {
            let output = json!({ "lease_epoch": epoch, "name": "t", "output_type": "table", "title": "T" });
            let produced = life.post(&format!("/v1/attempts/{attempt}/outputs"), &output).await?;
            let output = text(&produced["output_id"])?;
            life.attempt = Some((format!("{attempt}/outputs/{output}"), epoch));
        } else {
            life.end(&attempt, &epoch).await?;
        }
        Ok(life)
    }

    /// Lives these steps.
    async fn steps(mut self, steps: Range<usize>) -> anyhow::Result<(Self, Latency)> {
        let (mut latency, began) = (Latency::new(), Instant::now());
        for number in steps {
            let sent = Instant::now();
            self.step(number).await.with_context(|| format!("step {number}"))?;
            latency.record(sent.elapsed());
        }
        latency.took(began.elapsed());
        Ok((self, latency))
    }

    async fn step(&mut self, number: usize) -> anyhow::Result<()> {
        let path = format!("/v1/workspaces/dev/tasks/{}", self.task);
        match self.kind {
            Kind::Messages => {
                let input =
                    json!({ "message": format!("go on {number}"), "idempotency_key": format!("{number}") });
                self.post(&format!("{path}/input"), &input).await?;
            }
            Kind::Runs => drop(self.post(&format!("{path}/retry"), &json!({})).await?),
            Kind::Rows => return self.append(number).await,
        }
        let (attempt, epoch) = self.lease().await?;
        self.end(&attempt, &epoch).await
    }

    async fn append(&mut self, number: usize) -> anyhow::Result<()> {
        let (output, epoch) = self.attempt.clone().context("an attempt that lives on")?;
        if self.renewed_at.elapsed() > RENEW_EVERY {
            let attempt = output.split('/').next().unwrap_or_default();
            let renewal = json!({ "renewals": [{ "attempt_id": attempt, "epoch": epoch }] });
            self.post(&format!("/v1/workers/{}/renew", self.worker), &renewal).await?;
            self.renewed_at = Instant::now();
        }
        let rows: Vec<_> = (0..ROWS_AT_ONCE)
            .map(|row| json!({ "number": number * ROWS_AT_ONCE + row, "name": "a row of a table" }))
            .collect();
        let rows = json!({ "lease_epoch": epoch, "rows": rows, "idempotency_key": format!("{number}") });
        self.post(&format!("/v1/attempts/{output}/rows"), &rows).await.map(drop)
    }

    /// Leases the attempt of the newest run and begins it.
    async fn lease(&mut self) -> anyhow::Result<(String, Value)> {
        let path = format!("/v1/workers/{}/lease", self.worker);
        let leased = self.post(&path, &json!({ "max": 1, "wait_ms": 30_000 })).await?;
        let attempt = text(&leased[0]["attempt_id"]).context("nothing was leased")?;
        let epoch = leased[0]["epoch"].clone();
        Ok((attempt, epoch))
    }

    async fn end(&mut self, attempt: &str, epoch: &Value) -> anyhow::Result<()> {
        let end = if matches!(self.kind, Kind::Runs) {
            // Failures would make its class pause.
            self.post(&format!("/v1/workspaces/dev/tasks/{}/cancel", self.task), &json!({})).await?;
            json!({ "lease_epoch": epoch, "outcome": "cancelled" })
        } else {
            json!({ "lease_epoch": epoch, "outcome": "ok", "result": { "done": true } })
        };
        self.post(&format!("/v1/attempts/{attempt}/finish"), &end).await.map(drop)
    }

    async fn post(&mut self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let answer = self.connection.post(path, &body.to_string()).await?;
        let said = String::from_utf8_lossy(&answer.body);
        ensure!(answer.status < 300, "{path}: status {}: {said}", answer.status);
        Ok(serde_json::from_slice(&answer.body)?)
    }
}

fn text(value: &Value) -> anyhow::Result<String> {
    Ok(value.as_str().context("a text")?.to_owned())
}
