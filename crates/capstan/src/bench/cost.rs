//! Measures the cost of a task: bytes in the log and in Postgres, processor time by process.
//!
//! Two phases on the same tasks: acceptance alone with nobody to execute them, then their whole life with a worker that
//! does nothing. The load generator and the worker run on threads of their own, whose time is counted apart.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use async_nats::jetstream;
use capstan_client::{Client, ClientConfig};
use capstan_contract::query::{ListTasks, Page};
use capstan_domain::agent::UpdateAgent;
use capstan_domain::task::TaskState;
use capstan_worker::{NoopRunner, Worker, WorkerConfig};
use procfs::process::{Process, all_processes};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use crate::bench::bed::Bed;
use crate::bench::http_load::Connection;
use crate::bench::report::Sample;

/// Names the threads of the load generator; the kernel shows 15 bytes.
pub(super) const LOAD: &str = "bench-load";
/// Connections that submit tasks.
const CLIENTS: usize = 32;
/// Attempts the worker executes at once.
pub(super) const SLOTS: u32 = 256;
/// Pause between looks at whether all tasks are over.
const LOOK: Duration = Duration::from_millis(100);
/// Longest time all tasks may take.
const PATIENCE: Duration = Duration::from_mins(10);

/// The size of what is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// Number of tasks.
    pub(super) tasks: usize,
    /// Bytes of a task's message.
    pub(super) message_bytes: usize,
    /// Bytes of the agent's system prompt.
    pub(super) prompt_bytes: usize,
}

/// One round: acceptance, then the life of the same tasks.
pub(super) async fn round(bed: &Bed, number: usize, size: Size) -> anyhow::Result<Vec<Sample>> {
    let meter = Meter::new(bed).await?;
    let load = Builder::new_multi_thread().worker_threads(1).thread_name(LOAD).enable_all().build()?;
    let result = phases(bed, &meter, &load, number, size).await;
    load.shutdown_background();
    result
}

async fn phases(
    bed: &Bed,
    meter: &Meter<'_>,
    load: &Runtime,
    number: usize,
    size: Size,
) -> anyhow::Result<Vec<Sample>> {
    configure(bed, number, size.prompt_bytes).await?;
    bed.settled().await?;
    let before = meter.read().await?;
    load.spawn(submit(bed.host(), number, size)).await??;
    bed.settled().await?;
    let accepted = meter.read().await?;
    let stop = CancellationToken::new();
    let worker = load.spawn(work(bed.url(), stop.clone()));
    load.spawn(all_over(bed.url())).await??;
    stop.cancel();
    worker.await??;
    bed.settled().await?;
    let over = meter.read().await?;
    let mut samples = Vec::new();
    accepted.since(&before).report("accept", "task", size.tasks, &mut samples);
    over.since(&accepted).report("run", "task", size.tasks, &mut samples);
    Ok(samples)
}

/// Gives the agent a prompt of this size, another one in each round.
async fn configure(bed: &Bed, number: usize, prompt_bytes: usize) -> anyhow::Result<()> {
    let client = Client::new(&ClientConfig::new(bed.url()))?;
    let config = json!({ "system_prompt": format!("{number}{}", "p".repeat(prompt_bytes)) });
    let update = UpdateAgent {
        agent_id: "demo".to_owned(),
        config: config.as_object().cloned().unwrap_or_default(),
        ..UpdateAgent::default()
    };
    client.send(&update).await?;
    Ok(())
}

async fn submit(host: String, round: usize, size: Size) -> anyhow::Result<()> {
    let mut clients = tokio::task::JoinSet::new();
    for part in 0..CLIENTS {
        let host = host.clone();
        clients.spawn(async move {
            let mut connection = Connection::open(&host).await?;
            for number in (part..size.tasks).step_by(CLIENTS) {
                let mut message = format!("round {round}, task {number} ");
                let rest = size.message_bytes.saturating_sub(message.len());
                message.push_str(&"x".repeat(rest));
                let body = format!(r#"{{"agent_id":"demo","message":"{message}"}}"#);
                let answer = connection.post("/v1/workspaces/dev/tasks", &body).await?;
                if answer.status != 202 {
                    bail!("status {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
                }
            }
            Ok(())
        });
    }
    while let Some(finished) = clients.join_next().await {
        finished??;
    }
    Ok(())
}

async fn work(url: String, stop: CancellationToken) -> anyhow::Result<()> {
    let config = WorkerConfig { slots: SLOTS as usize, ..WorkerConfig::new(ClientConfig::new(url)) };
    Worker::new(config, std::sync::Arc::new(NoopRunner))?.run(stop).await.context("run the worker")
}

async fn all_over(url: String) -> anyhow::Result<()> {
    let client = Client::new(&ClientConfig::new(url))?;
    let open = ListTasks { state: vec![TaskState::Queued, TaskState::Running], ..ListTasks::default() };
    let page = Page { limit: Some(1), ..Page::default() };
    let started = Instant::now();
    while !client.send_with(&open, &page).await?.items.is_empty() {
        ensure!(started.elapsed() < PATIENCE, "the tasks were not over after {PATIENCE:?}");
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Reads what has been used so far.
pub(super) struct Meter<'a> {
    bed: &'a Bed,
    log: jetstream::Context,
    postgres: tokio_postgres::Client,
}

/// What was used, in microseconds and bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Used {
    capstan_us: f64,
    client_us: f64,
    nats_us: f64,
    postgres_us: f64,
    log_bytes: f64,
    postgres_bytes: f64,
    wal_bytes: f64,
}

impl<'a> Meter<'a> {
    pub(super) async fn new(bed: &'a Bed) -> anyhow::Result<Self> {
        let log = jetstream::new(async_nats::connect(bed.nats_url()).await?);
        let (postgres, connection) =
            tokio_postgres::connect(&bed.database_url(), tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        Ok(Self { bed, log, postgres })
    }

    pub(super) async fn read(&self) -> anyhow::Result<Used> {
        let mut log = self.log.get_stream("CAPSTAN_EVENTS").await?;
        // Dead rows and pages not written yet are no part of a task's size.
        self.postgres.batch_execute("CHECKPOINT").await?;
        let sql = "SELECT pg_database_size(current_database())::float8, \
                   pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::float8";
        let size = self.postgres.query_one(sql, &[]).await?;
        let this = Process::myself()?;
        let client_us = threads_us(&this)?;
        let (nats, postgres) = (self.bed.nats_pid()?, self.bed.postgres_pid()?);
        Ok(Used {
            capstan_us: own_us(&this)? - client_us,
            client_us,
            nats_us: own_us(&Process::new(nats)?)?,
            postgres_us: family_us(postgres)?,
            log_bytes: log.info().await?.state.bytes as f64,
            postgres_bytes: size.get(0),
            wal_bytes: size.get(1),
        })
    }
}

impl Meter<'_> {
    /// Bytes of a task's row, and of its longest row in the table of one of its parts; 0 for none.
    pub(super) async fn row_bytes(&self, task: &str, table: &str) -> anyhow::Result<[f64; 2]> {
        // Chunks of rows name their output only.
        let of_task = match table {
            "output_rows" => "id LIKE (SELECT id::text FROM capstan.outputs WHERE task_id::text = $1) || '%'",
            _ => "task_id::text = $1",
        };
        let sql = format!(
            "SELECT (SELECT octet_length(doc) FROM capstan.tasks WHERE id::text = $1)::float8, \
                    (SELECT max(octet_length(doc)) FROM capstan.{table} WHERE {of_task})::float8"
        );
        let row = self.postgres.query_one(&sql, &[&task]).await?;
        Ok([0, 1].map(|column| row.get::<_, Option<f64>>(column).unwrap_or_default()))
    }
}

impl Used {
    /// Processor time of Capstan.
    pub(super) fn capstan_us(&self) -> f64 {
        self.capstan_us
    }

    /// Processor time of the load generator.
    pub(super) fn client_us(&self) -> f64 {
        self.client_us
    }

    pub(super) fn since(self, before: &Self) -> Self {
        Self {
            capstan_us: self.capstan_us - before.capstan_us,
            client_us: self.client_us - before.client_us,
            nats_us: self.nats_us - before.nats_us,
            postgres_us: self.postgres_us - before.postgres_us,
            log_bytes: self.log_bytes - before.log_bytes,
            postgres_bytes: self.postgres_bytes - before.postgres_bytes,
            wal_bytes: self.wal_bytes - before.wal_bytes,
        }
    }

    /// Reports what each of `count` things cost.
    pub(super) fn report(self, phase: &str, thing: &str, count: usize, samples: &mut Vec<Sample>) {
        for (what, unit, value) in [
            ("log", "bytes", self.log_bytes),
            ("Postgres", "bytes", self.postgres_bytes),
            ("WAL", "bytes", self.wal_bytes),
            ("capstan", "µs", self.capstan_us),
            ("nats-server", "µs", self.nats_us),
            ("Postgres", "µs", self.postgres_us),
            ("client and worker", "µs", self.client_us),
        ] {
            samples.push(Sample::rate(
                format!("{phase}: {what}, {unit}/{thing}"),
                unit,
                value / count as f64,
            ));
        }
    }
}

/// Processor time of a process' own threads, those that have ended included.
fn own_us(process: &Process) -> anyhow::Result<f64> {
    let stat = process.stat()?;
    Ok(micros(stat.utime + stat.stime))
}

/// Processor time of the load generator's threads.
fn threads_us(process: &Process) -> anyhow::Result<f64> {
    let mut ticks = 0;
    for task in process.tasks()?.flatten() {
        let stat = task.stat()?;
        if stat.comm.starts_with(LOAD) {
            ticks += stat.utime + stat.stime;
        }
    }
    Ok(micros(ticks))
}

/// Processor time of a process and its children, those that have ended included.
fn family_us(pid: i32) -> anyhow::Result<f64> {
    let first = Process::new(pid)?.stat()?;
    let ended = u64::try_from(first.cutime + first.cstime).unwrap_or_default();
    let children = all_processes()?.flatten().filter_map(|process| process.stat().ok());
    let children = children.filter(|stat| stat.ppid == pid).map(|stat| stat.utime + stat.stime);
    Ok(micros(first.utime + first.stime + ended + children.sum::<u64>()))
}

fn micros(ticks: u64) -> f64 {
    ticks as f64 * 1_000_000.0 / procfs::ticks_per_second() as f64
}
