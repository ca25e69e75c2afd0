//! Capstan in a process of its own, so that its memory is its own.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use capstan_contract::command::RegisterWorker;
use capstan_contract::subject::Subjects;
use capstan_engine::EngineClient;
use capstan_launcher::Servers;
use procfs::process::Process;
use tokio::process::{Child, Command};

use crate::bench::report::Sample;

/// Interval at which a product is asked whether it leads.
const LOOK: Duration = Duration::from_millis(50);
/// Longest wait for the first lease.
const LEASE_WAIT: Duration = Duration::from_secs(20);

/// What to start.
pub(super) struct Start {
    pub(super) role: &'static str,
    pub(super) lease_ms: u64,
    /// The file for what it logs.
    pub(super) logs: PathBuf,
}

/// A running product that leads, and has leased one attempt.
pub(super) struct Product {
    child: Child,
    leading: Duration,
    first_lease: Duration,
}

impl Product {
    /// Starts it and waits for its first lease.
    pub(super) async fn start(servers: &Servers, start: Start, patience: Duration) -> anyhow::Result<Self> {
        let begun = Instant::now();
        let logs = std::fs::File::create(&start.logs)?;
        let child = Command::new(std::env::current_exe()?)
            .args(["serve", "--http", "127.0.0.1:0", "--role", start.role])
            .args(["--nats-url", &servers.nats_url(), "--database-url", &servers.database_url()])
            .args(["--lease-ms", &start.lease_ms.to_string(), "--class-concurrency", "1000000"])
            .stdin(Stdio::null())
            .stdout(logs.try_clone()?)
            .stderr(logs)
            .kill_on_drop(true)
            .spawn()
            .context("start the product")?;
        let nats = async_nats::connect(servers.nats_url()).await?;
        let client = EngineClient::new(nats, Subjects::default());
        let worker = RegisterWorker { name: "bench".into(), slots: 1, ..RegisterWorker::default() };
        let registered = loop {
            match client.register(worker.clone()).await {
                Ok(registered) => break registered,
                Err(error) => ensure!(begun.elapsed() < patience, "it does not lead: {error}"),
            }
            tokio::time::sleep(LOOK).await;
        };
        let leading = begun.elapsed();
        let led = Instant::now();
        let leased = client.lease(registered.worker_id, 1, LEASE_WAIT).await?;
        ensure!(leased.len() == 1, "nothing was leased within {LEASE_WAIT:?}");
        Ok(Self { child, leading, first_lease: led.elapsed() })
    }

    /// Reports when it led and gave its first lease, and its memory until then.
    pub(super) fn report(&self, name: &str, samples: &mut Vec<Sample>) -> anyhow::Result<()> {
        let millis = |elapsed: Duration| elapsed.as_secs_f64() * 1000.0;
        samples.push(Sample::rate(format!("{name}: from start to leading"), "ms", millis(self.leading)));
        samples.push(Sample::rate(format!("{name}: first lease after that"), "ms", millis(self.first_lease)));
        self.report_peak(&format!("{name}: leading"), samples)
    }

    /// Reports the most memory that was resident so far, and what is now.
    pub(super) fn report_peak(&self, name: &str, samples: &mut Vec<Sample>) -> anyhow::Result<()> {
        let pid = self.child.id().context("the product has ended")?;
        let status = Process::new(pid.try_into()?)?.status()?;
        let megabytes = |kilobytes: Option<u64>| kilobytes.unwrap_or_default() as f64 / 1000.0 * 1.024;
        samples.push(Sample::rate(format!("{name}, peak memory"), "MB", megabytes(status.vmhwm)));
        samples.push(Sample::rate(format!("{name}, memory"), "MB", megabytes(status.vmrss)));
        Ok(())
    }

    /// Ends it without a farewell.
    pub(super) async fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("kill the product")
    }
}
