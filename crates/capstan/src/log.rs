//! `capstan log`: read, verify and copy the event log.

mod archive;
mod chains;
mod import;
mod line;
mod verify;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use capstan_envelope::{Position, StreamId, Workspace};
use capstan_eventlog::{EventLog, Selection};
use capstan_projections::ReadModels;
use clap::{Args, Subcommand};

use crate::argument::stream;
use crate::local_servers::LocalServers;
use crate::output;
use archive::{Archive, Through, weight};
use line::{EndLine, Line};

/// Memory of an archive for each of its connections to Postgres, in bytes, and most of them.
const CONNECTION_BYTES: usize = 8_000_000;
const CONNECTIONS_MAX: usize = 16;

/// Read, verify and copy the event log.
#[derive(Args)]
pub(crate) struct LogCommand {
    #[command(flatten)]
    servers: LocalServers,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Print commits as JSON lines.
    Tail {
        /// Start after this position; with the first commit by default.
        #[arg(long, default_value = "0")]
        after: Position,
        /// Only this workspace.
        #[arg(long)]
        workspace: Option<Workspace>,
        /// Only this stream, for example dev/task/ID.
        #[arg(long, value_parser = stream)]
        stream: Option<StreamId>,
        /// Keep printing new commits.
        #[arg(short, long)]
        follow: bool,
    },
    /// Check the hash chain of every stream, and that this build can read every event.
    Verify,
    /// Print the whole log as JSON lines, each commit with its position and hash, for `capstan log import`. The last line
    /// says how many commits there are and where they end.
    Export,
    /// Archive the beginning of the log: carry every stream in it forward, then remove it. What is removed is only in an
    /// export made before. The tasks in it must be over; histories of them, their runs, inputs and outputs are gone once the
    /// read models are rebuilt. Needs the right to purge the log.
    Archive {
        /// The last commit to archive: a position, a number, or a time (RFC 3339) before which it was recorded.
        #[arg(long)]
        through: Through,
        /// Days, in UTC, of which everything is kept: the budgets of a day count the commits of it. 0 keeps nothing.
        #[arg(long, default_value_t = 2)]
        keep_days: u32,
        /// Time after which nats-server has surely flushed what it acknowledged, in milliseconds: so long nothing is removed,
        /// lest a power cut takes both what is removed and what carries it forward. By default 0 for a server that flushes
        /// always, and twice the interval of any other; of one whose monitoring is not known, four minutes.
        #[arg(long)]
        flush_ms: Option<u64>,
        /// Bytes that must be freed for each byte that is written, at least: every stream in the beginning is carried forward
        /// again, also those that ended long ago. 0 archives whatever it takes.
        #[arg(long, default_value_t = weight::RATIO_MIN, value_parser = weight::ratio)]
        min_ratio: f64,
        /// Print what would be carried forward and freed, and change nothing.
        #[arg(long)]
        dry_run: bool,
        /// Memory for streams, in MB; the process takes about 48 MB more.
        #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(32..))]
        memory_mb: u32,
        /// Folder for notes about streams that do not fit the memory, some 100 bytes for each commit. By default that of temporary
        /// files.
        #[arg(long)]
        directory: Option<PathBuf>,
    },
    /// Append an exported log to an empty one. The whole file is checked before anything is written. Stop every process
    /// of Capstan first, and rebuild the read models afterwards.
    Import {
        /// The exported log.
        file: PathBuf,
    },
}

impl LogCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let log = self.servers.log().await?;
        match self.action {
            Action::Tail { after, workspace, stream, follow } => {
                let selection = match (stream, workspace) {
                    (Some(stream), _) => Selection::Stream(stream),
                    (None, Some(workspace)) => Selection::Workspace(workspace),
                    (None, None) => Selection::All,
                };
                if !log.holds(after).await? {
                    let head = log.head().await?;
                    bail!(
                        "print the commits after {after}: this log does not hold that position, it ends at {head}"
                    );
                }
                print(&*log, selection, after, follow).await?;
                Ok(())
            }
            Action::Verify => verify::verify(&*log).await,
            Action::Export => {
                let last = print(&*log, Selection::All, Position::START, false).await?;
                let end = EndLine::after(last, log.archived().through, log.fingerprint_key());
                output::line(&serde_json::to_string(&end)?)
            }
            Action::Archive { through, keep_days, flush_ms, min_ratio, dry_run, memory_mb, directory } => {
                let memory_bytes = memory_mb as usize * 1_000_000;
                // Each connection keeps the space of the largest row it read.
                let connections = (memory_bytes / CONNECTION_BYTES).min(CONNECTIONS_MAX);
                let read_models = ReadModels::connect_with(&self.servers.database_url()?, connections)?;
                let archive = Archive {
                    through,
                    keep_days,
                    flushed_after: flush_ms.map(Duration::from_millis),
                    min_ratio,
                    dry_run,
                    memory_bytes,
                    directory: directory.unwrap_or_else(std::env::temp_dir),
                };
                archive.run(&log, &read_models).await
            }
            Action::Import { file } => import::import(&log, &file).await,
        }
    }
}

/// Prints commits as JSON lines: up to the end of the log, or for ever. Returns the position of the end.
async fn print(
    log: &dyn EventLog,
    selection: Selection,
    after: Position,
    follow: bool,
) -> anyhow::Result<Position> {
    let mut tail = log.tail(selection, after).await?;
    loop {
        let batch = tail.next().await?;
        for recorded in &batch.commits {
            output::line(&serde_json::to_string(&Line::new(recorded)?)?)?;
        }
        if batch.caught_up && !follow {
            return Ok(batch.position);
        }
    }
}
