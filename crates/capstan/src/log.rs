//! `capstan log`: read and verify the event log.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, bail};
use capstan_envelope::{Position, Recorded, StreamHead, StreamId, Workspace};
use capstan_eventlog::{EventLog, JetStreamConfig, JetStreamLog, Selection};
use clap::{Args, Subcommand};

use crate::local_servers::LocalServers;
use crate::output;

/// Read and verify the event log.
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
        /// Begin after this position; with the first commit by default.
        #[arg(long, default_value = "0")]
        after: Position,
        /// Only this workspace.
        #[arg(long)]
        workspace: Option<Workspace>,
        /// Only this stream, for example dev/task/ID.
        #[arg(long)]
        stream: Option<StreamId>,
        /// Go on with what is appended from now on.
        #[arg(short, long)]
        follow: bool,
    },
    /// Walk every stream's hash chain from the first commit to the last.
    Verify,
}

impl LogCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let log = JetStreamLog::connect(JetStreamConfig::new(self.servers.nats_url()?))
            .await
            .context("open the log")?;
        let log: Arc<dyn EventLog> = Arc::new(log);
        match self.action {
            Action::Tail { after, workspace, stream, follow } => {
                let selection = match (stream, workspace) {
                    (Some(stream), _) => Selection::Stream(stream),
                    (None, Some(workspace)) => Selection::Workspace(workspace),
                    (None, None) => Selection::All,
                };
                let mut tail = log.tail(selection, after).await?;
                loop {
                    let batch = tail.next().await?;
                    for recorded in &batch.commits {
                        output::line(&as_json(recorded)?)?;
                    }
                    if batch.caught_up && !follow {
                        return Ok(());
                    }
                }
            }
            Action::Verify => verify(&*log).await,
        }
    }
}

fn as_json(recorded: &Recorded) -> anyhow::Result<String> {
    Ok(serde_json::to_string(&serde_json::json!({
        "position": recorded.position,
        "recorded_at": recorded.recorded_at,
        "hash": recorded.hash,
        "commit": recorded.commit,
    }))?)
}

async fn verify(log: &dyn EventLog) -> anyhow::Result<()> {
    let mut heads = HashMap::<StreamId, StreamHead>::new();
    let (mut commits, mut events) = (0_u64, 0_u64);
    let mut tail = log.tail(Selection::All, Position::START).await?;
    loop {
        let batch = tail.next().await?;
        for recorded in &batch.commits {
            let head = heads.entry(recorded.commit.stream.clone()).or_default();
            if !head.is_followed_by(recorded) {
                bail!(
                    "verify {}: the commit at {} does not follow version {} at {}",
                    recorded.commit.stream,
                    recorded.position,
                    head.version,
                    head.position
                );
            }
            head.position = recorded.position;
            head.version = recorded.commit.version;
            head.hash = recorded.hash;
            commits += 1;
            events += recorded.commit.events.len() as u64;
        }
        if batch.caught_up {
            break;
        }
    }
    output::line(&format!(
        "{commits} commits, {events} events, {} streams: every chain is whole",
        heads.len()
    ))?;
    Ok(())
}
