//! Both servers, from the search for their programs to their end.

use std::path::PathBuf;
use std::sync::Arc;

use capstan_child::{Identity, Signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cache::Cache;
use crate::config::LaunchConfig;
use crate::data_dir::{DataDir, DataDirError};
use crate::error::Error;
use crate::nats::NatsSettings;
use crate::postgres::cluster::{self, Cluster};
use crate::postgres::{DATABASE, Programs};
use crate::supervisor::{Greeting, Program, Supervisor};
use crate::{nats, port, postgres, tag};

/// A running nats-server and a running Postgres, which end with this value.
///
/// [`Servers::shutdown`] ends them gracefully. Dropping the value kills them, as a crash of this process would, and blocks
/// until they have ended.
pub struct Servers {
    nats: Supervisor,
    postgres: Supervisor,
    nats_port: u16,
    monitor_port: u16,
    postgres_port: u16,
    _cluster: Cluster,
    data_dir: Arc<DataDir>,
    run_file: JoinHandle<()>,
}

impl Servers {
    /// Finds or fetches the nats-server program without starting it, for tests with their own configuration.
    pub async fn find_nats_server(config: &LaunchConfig) -> Result<PathBuf, Error> {
        let identity = postgres::identity()?;
        let cache = Cache::locate(config.cache_dir.as_deref(), identity.as_ref()).await?;
        nats::find::find(config, &cache).await
    }

    /// Finds or fetches both programs, starts them on the data folder and waits until both serve.
    pub async fn start(config: LaunchConfig) -> Result<Self, Error> {
        let data_dir = Arc::new(DataDir::open(&config.data_dir).await?);
        let identity = postgres::identity()?;
        let cache = Cache::locate(config.cache_dir.as_deref(), identity.as_ref()).await?;
        // Nothing is started or created before both programs are found.
        let cluster = cluster::locate(&data_dir, identity.as_ref(), config.throwaway).await?;
        let (binary, programs) = tokio::join!(
            nats::find::find(&config, &cache),
            postgres::find::find(&config, &cache, &cluster.path, identity.as_ref()),
        );
        // In this order, so that where both are missing the same one is told each time.
        let (binary, programs) = (binary?, programs?);
        let nats = start_nats(&config, &data_dir, binary);
        let postgres = start_postgres(&config, &data_dir, &cache, cluster, programs, identity);
        let (nats, postgres) = tokio::join!(nats, postgres);
        let ((nats, nats_port, monitor_port), (postgres, postgres_port, cluster)) = (nats?, postgres?);

        let addresses = serde_json::json!({
            "pid": std::process::id(),
            "nats_url": nats_url(nats_port),
            "nats_monitor_url": monitor_url(monitor_port),
            "database_url": database_url(postgres_port),
            "sync_interval": config.durability.sync_interval(),
        });
        write_run_file(&data_dir, &addresses, &nats.pid(), &postgres.pid())?;
        let run_file = tokio::spawn(keep_run_file(data_dir.clone(), addresses, nats.pid(), postgres.pid()));
        Ok(Self {
            nats,
            postgres,
            nats_port,
            monitor_port,
            postgres_port,
            _cluster: cluster,
            data_dir,
            run_file,
        })
    }

    /// The URL for NATS clients.
    pub fn nats_url(&self) -> String {
        nats_url(self.nats_port)
    }

    /// The monitoring URL of nats-server.
    pub fn nats_monitor_url(&self) -> String {
        monitor_url(self.monitor_port)
    }

    /// The URL for Postgres clients; the database exists.
    pub fn database_url(&self) -> String {
        database_url(self.postgres_port)
    }

    /// The process id of nats-server; `None` while it is down.
    pub fn nats_pid(&self) -> Option<u32> {
        *self.nats.pid().borrow()
    }

    /// The process id of Postgres' first process; `None` while it is down.
    pub fn postgres_pid(&self) -> Option<u32> {
        *self.postgres.pid().borrow()
    }

    /// Kills nats-server like a crash; returns when it is dead. It is restarted.
    pub async fn kill_nats(&self) {
        self.nats.kill().await;
    }

    /// Kills Postgres' first process like a crash; returns when it is dead. It is restarted.
    pub async fn kill_postgres(&self) {
        self.postgres.kill().await;
    }

    /// Stops nats-server gracefully and keeps it down.
    pub async fn stop_nats(&self) {
        self.nats.stop().await;
    }

    /// Stops Postgres gracefully and keeps it down.
    pub async fn stop_postgres(&self) {
        self.postgres.stop().await;
    }

    /// Starts a stopped nats-server on the same port; returns when it serves.
    pub async fn resume_nats(&self) -> Result<(), Error> {
        Ok(self.nats.resume().await?)
    }

    /// Starts a stopped Postgres on the same port; returns when it serves.
    pub async fn resume_postgres(&self) -> Result<(), Error> {
        Ok(self.postgres.resume().await?)
    }

    /// Waits until both servers accept clients.
    pub async fn wait_until_up(&self) {
        tokio::join!(self.nats.until_up(), self.postgres.until_up());
    }

    /// Ends both servers gracefully.
    pub async fn shutdown(self) {
        tokio::join!(self.postgres.stop(), self.nats.stop());
        // Dropping does the rest.
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.run_file.abort();
        self.nats.abandon();
        self.postgres.abandon();
        self.data_dir.remove_run_file();
        // The fields are dropped in their order: each server is waited for, then its data may go.
    }
}

/// Attempts to find a free random port.
const PORT_ATTEMPTS: usize = 5;

async fn start_nats(
    config: &LaunchConfig,
    data_dir: &DataDir,
    binary: PathBuf,
) -> Result<(Supervisor, u16, u16), Error> {
    let mut attempt = 1;
    loop {
        let (port, monitor_port) = (port::choose(config.nats_port), port::choose(0));
        match Supervisor::start(nats_program(config, data_dir, binary.clone(), port, monitor_port)?).await {
            Ok(supervisor) => return Ok((supervisor, port, monitor_port)),
            Err(error) if error.port_was_taken() && config.nats_port == 0 && attempt < PORT_ATTEMPTS => {
                attempt += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn nats_program(
    config: &LaunchConfig,
    data_dir: &DataDir,
    binary: PathBuf,
    port: u16,
    monitor_port: u16,
) -> Result<Program, DataDirError> {
    let server_name = format!("capstan-{}", tag::unique());
    let (file, store) = (data_dir.nats_config(), data_dir.nats_store());
    let settings = NatsSettings {
        server_name: &server_name,
        port,
        monitor_port,
        store: &store,
        durability: config.durability,
    };
    std::fs::write(&file, settings.text())
        .map_err(|source| DataDirError::Prepare { path: file.clone(), source })?;
    Ok(Program {
        name: "nats-server",
        command: Box::new(move || capstan_child::ChildCommand::new(&binary).arg("--config").arg(&file)),
        log: data_dir.log_of("nats-server"),
        lock: data_dir.lock_of("nats-server"),
        greeting: Greeting::Nats { port, server_name },
        stop_signal: Signal::TERM,
        // It has no children, and acknowledged data is with the kernel: a kill loses nothing.
        death_signal: Signal::KILL,
    })
}

async fn start_postgres(
    config: &LaunchConfig,
    data_dir: &DataDir,
    cache: &Cache,
    cluster: Cluster,
    programs: Programs,
    identity: Option<Identity>,
) -> Result<(Supervisor, u16, Cluster), Error> {
    let throwaway_from = config.throwaway.then_some(cache);
    cluster::ensure(&cluster.path, &programs, identity.as_ref(), throwaway_from).await?;
    let mut attempt = 1;
    loop {
        let port = port::choose(config.postgres_port);
        let program = postgres_program(config, data_dir, &cluster, programs.clone(), identity.clone(), port);
        match Supervisor::start(program).await {
            Ok(supervisor) => return Ok((supervisor, port, cluster)),
            Err(error) if error.port_was_taken() && config.postgres_port == 0 && attempt < PORT_ATTEMPTS => {
                attempt += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn postgres_program(
    config: &LaunchConfig,
    data_dir: &DataDir,
    cluster: &Cluster,
    programs: Programs,
    identity: Option<Identity>,
    port: u16,
) -> Program {
    let arguments = postgres::arguments(&cluster.path, port, config.throwaway);
    let folder = cluster.path.clone();
    Program {
        name: "postgres",
        command: Box::new(move || {
            programs.command("postgres", identity.as_ref()).args(&arguments).current_dir(&folder)
        }),
        log: data_dir.log_of("postgres"),
        lock: data_dir.lock_of("postgres"),
        greeting: Greeting::Postgres { url: database_url(port) },
        // Ends sessions and flushes, without waiting for clients.
        stop_signal: if config.throwaway { Signal::QUIT } else { Signal::INT },
        // Its processes lead their own groups: only a signal that it handles ends them all.
        death_signal: Signal::QUIT,
    }
}

fn nats_url(port: u16) -> String {
    format!("nats://127.0.0.1:{port}")
}

fn monitor_url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn database_url(port: u16) -> String {
    format!("postgres://{DATABASE}@127.0.0.1:{port}/{DATABASE}")
}

type PidWatch = watch::Receiver<Option<u32>>;

fn write_run_file(
    data_dir: &DataDir,
    addresses: &serde_json::Value,
    nats: &PidWatch,
    postgres: &PidWatch,
) -> Result<(), DataDirError> {
    let mut content = addresses.clone();
    content["nats_pid"] = (*nats.borrow()).into();
    content["postgres_pid"] = (*postgres.borrow()).into();
    data_dir.write_run_file(&content)
}

/// Rewrites `run.json` whenever a server goes down or comes back.
async fn keep_run_file(
    data_dir: Arc<DataDir>,
    addresses: serde_json::Value,
    mut nats: PidWatch,
    mut postgres: PidWatch,
) {
    loop {
        let changed = tokio::select! {
            changed = nats.changed() => changed,
            changed = postgres.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
        if let Err(error) = write_run_file(&data_dir, &addresses, &nats, &postgres) {
            tracing::warn!(%error, "could not bring run.json up to date");
        }
    }
}
