//! `capstan bench`: measures this machine and Capstan on it.
//!
//! Every figure is a median over rounds. It is compared with a limit measured in the same round on the same servers, so
//! that the noise of the machine cancels out.

mod accept;
mod bed;
mod cold;
mod cost;
mod e2e;
mod fanout;
mod filler;
mod http_load;
mod life;
mod limits;
mod nats_load;
mod open;
mod reads;
mod rebuild;
mod report;
mod stream;
mod waves;

use std::sync::Arc;

use capstan_client::ClientConfig;
use capstan_worker::{NoopRunner, Worker, WorkerConfig};
use clap::{Args, Subcommand};

use crate::dev::DurabilityArgument;
use crate::shutdown;
use bed::Bed;
use report::Report;

/// Measure this machine and Capstan on it.
#[derive(Args)]
pub(crate) struct BenchCommand {
    /// Print the figures as JSON.
    #[arg(long, global = true)]
    json: bool,
    /// Flushing before an acknowledgement during the measurement.
    #[arg(long, value_enum, default_value_t, global = true)]
    durability: DurabilityArgument,
    /// Rounds; figures are medians over them.
    #[arg(long, default_value_t = 3, global = true)]
    rounds: usize,
    /// Length of one measurement in seconds.
    #[arg(long, default_value_t = 3, global = true)]
    seconds: u64,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Limits of nats-server and Postgres without Capstan.
    Limits,
    /// Commands accepted.
    Accept {
        /// The way commands take.
        #[arg(long, value_enum, default_value_t = accept::Via::Http)]
        via: accept::Via,
        /// Numbers of concurrent clients.
        #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64, 256])]
        clients: Vec<usize>,
    },
    /// Bytes and processor time of a task: accepted, and executed by a worker that does nothing.
    Cost {
        /// Tasks of a round.
        #[arg(long, default_value_t = 20_000)]
        tasks: usize,
        /// Length of a task's message in bytes.
        #[arg(long, default_value_t = 512)]
        message_bytes: usize,
        /// Length of the agent's system prompt in bytes.
        #[arg(long, default_value_t = 4096)]
        prompt_bytes: usize,
    },
    /// From a command to a finished task, with a worker that does nothing.
    E2e {
        /// Tasks of the burst.
        #[arg(long, default_value_t = 2000)]
        tasks: usize,
    },
    /// Followers of one whole workspace while commands are accepted as fast as they can be.
    Fanout {
        /// Followers, first over SSE and then over WebSocket.
        #[arg(long, default_value_t = 100)]
        followers: usize,
    },
    /// Follow-ups to random finished tasks that are not in memory, as the log grows.
    Cold {
        /// Numbers of tasks in the log, growing; each has eight events.
        #[arg(long, value_delimiter = ',', default_values_t = [12_500, 125_000])]
        tasks: Vec<usize>,
    },
    /// A step of a long life: a session's messages, a task's runs, an output's rows.
    Life {
        /// Messages to one session; each is executed.
        #[arg(long, default_value_t = 1_000)]
        messages: usize,
        /// Runs of one task that is cancelled and retried.
        #[arg(long, default_value_t = 200)]
        runs: usize,
        /// Rows of one output, appended a hundred at once.
        #[arg(long, default_value_t = 20_000)]
        rows: usize,
    },
    /// Very many open tasks: memory of the product, and from a restart to leading.
    Open {
        /// Open tasks: of ten, four are queued, two sleep, two wait for an answer and two run.
        #[arg(long, default_value_t = 100_000)]
        tasks: usize,
        /// Workspaces they belong to.
        #[arg(long, default_value_t = 1_000)]
        workspaces: usize,
        /// Length of a task's message in bytes.
        #[arg(long, default_value_t = 1_000)]
        bytes: usize,
    },
    /// Lists, filters, counts, statistics and searches of very many tasks.
    Reads {
        /// Tasks, half of them in one workspace.
        #[arg(long, default_value_t = 1_000_000)]
        tasks: usize,
        /// Workspaces they belong to.
        #[arg(long, default_value_t = 1_000)]
        workspaces: usize,
        /// Reads of each kind, one after the other.
        #[arg(long, default_value_t = 100)]
        reads: usize,
    },
    /// Read models from the log: live and rebuilt.
    Rebuild {
        /// Tasks in the log, of eight events each.
        #[arg(long, default_value_t = 20_000)]
        tasks: usize,
        /// Memory of the rebuild, in MB.
        #[arg(long, default_value_t = 256)]
        memory_mb: u32,
    },
    /// nats-server alone on a log of very many subjects.
    Stream {
        /// Numbers of subjects in the log, growing.
        #[arg(long, value_delimiter = ',', default_values_t = [100_000, 1_000_000])]
        subjects: Vec<usize>,
        /// Commits of each subject; of three a task that does nothing consists.
        #[arg(long, default_value_t = 3)]
        commits: usize,
    },
    /// A worker that does nothing, for a server that runs: other benchmarks start it as a process of its own.
    Worker {
        /// URL of the server.
        #[arg(long)]
        url: String,
        /// Attempts executed at the same time.
        #[arg(long, default_value_t = 256)]
        slots: usize,
    },
}

impl BenchCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        if let What::Worker { url, slots } = self.what {
            let config = WorkerConfig { slots, ..WorkerConfig::new(ClientConfig::new(url)) };
            return Ok(Worker::new(config, Arc::new(NoopRunner))?.run(shutdown::token()?).await?);
        }
        let mut report = Report::default();
        if let What::Rebuild { tasks, memory_mb } = self.what {
            for _ in 0..self.rounds {
                report.round(rebuild::round(self.durability.into(), tasks, memory_mb).await?);
            }
            return report.print(self.json);
        }
        if let What::Reads { tasks, workspaces, reads } = self.what {
            let size = reads::Size { tasks, workspaces, reads };
            for _ in 0..self.rounds {
                report.round(reads::round(self.durability.into(), size).await?);
            }
            return report.print(self.json);
        }
        if let What::Open { tasks, workspaces, bytes } = self.what {
            // The product runs in a process of its own here.
            let size = open::Size { tasks, workspaces, bytes };
            for _ in 0..self.rounds {
                report.round(open::round(self.durability.into(), size).await?);
            }
            return report.print(self.json);
        }
        if let What::Cold { tasks } = &self.what {
            for _ in 0..self.rounds {
                report.round(cold::round(self.durability.into(), tasks).await?);
            }
            return report.print(self.json);
        }
        if let What::Stream { subjects, commits } = self.what {
            let size = stream::Size { subjects, commits };
            for _ in 0..self.rounds {
                report.round(stream::round(self.durability.into(), &size, self.seconds).await?);
            }
            return report.print(self.json);
        }
        // Tasks of the cost benchmark share a class and must not wait for each other.
        let class_concurrency = if matches!(self.what, What::Cost { .. }) { cost::SLOTS } else { 1 };
        let bed = Bed::start(self.durability.into(), class_concurrency).await?;
        for round in 1..=self.rounds {
            let samples = match &self.what {
                What::Limits => {
                    limits::round(&bed.nats_url(), &bed.database_url(), round, self.seconds).await
                }
                What::Accept { via, clients } => {
                    accept::round(&bed, round, *via, clients, self.seconds).await
                }
                What::Cost { tasks, message_bytes, prompt_bytes } => {
                    let size = cost::Size {
                        tasks: *tasks,
                        message_bytes: *message_bytes,
                        prompt_bytes: *prompt_bytes,
                    };
                    cost::round(&bed, round, size).await
                }
                What::Life { messages, runs, rows } => {
                    life::round(&bed, life::Size { messages: *messages, runs: *runs, rows: *rows }).await
                }
                What::Fanout { followers } => fanout::round(&bed, *followers, self.seconds).await,
                What::E2e { tasks } => e2e::round(&bed, round, *tasks, self.seconds).await,
                What::Rebuild { .. }
                | What::Cold { .. }
                | What::Open { .. }
                | What::Reads { .. }
                | What::Stream { .. }
                | What::Worker { .. } => break,
            };
            report.round(samples?);
            tracing::info!(round, of = self.rounds, "measured");
        }
        report.print(self.json)?;
        bed.stop().await
    }
}
