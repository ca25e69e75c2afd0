//! `capstan schedule`: sends a prompt to an agent at each tick.

use capstan_client::ScheduleFilter;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::output::Format;
use crate::remote::Remote;

/// Create, read and control schedules.
#[derive(Args)]
pub(crate) struct ScheduleCommand {
    #[command(flatten)]
    remote: Remote,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t, global = true)]
    output: Format,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Create a schedule.
    Create {
        /// Five-field cron expression, for example "0 9 * * mon-fri".
        cron: String,
        /// Prompt sent to the agent at each tick.
        prompt: String,
        /// Id or key of the agent.
        #[arg(long, default_value = "demo")]
        agent: String,
        /// Makes a repetition safe: the same key returns the first result.
        #[arg(long)]
        idempotency_key: Option<String>,
        #[command(flatten)]
        options: Options,
    },
    /// List schedules, newest first.
    List {
        /// Only schedules of this view.
        #[arg(long)]
        source_view: Option<String>,
        #[arg(long, default_value_t = 50)]
        limit: u32,
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Show one schedule.
    Get { id: Uuid },
    /// Change a schedule; omitted fields keep their value.
    Update {
        id: Uuid,
        /// Five-field cron expression.
        #[arg(long)]
        cron: Option<String>,
        /// Prompt sent to the agent at each tick.
        #[arg(long)]
        prompt: Option<String>,
        /// Fail unless the schedule has this version.
        #[arg(long)]
        version: Option<u64>,
        #[command(flatten)]
        options: Options,
    },
    /// Delete a schedule; its tasks stay.
    Delete { id: Uuid },
    /// Pause a schedule until it is resumed.
    Pause {
        id: Uuid,
        #[arg(long)]
        reason: Option<String>,
    },
    /// Resume a paused schedule; ticks missed while paused do not fire.
    Resume { id: Uuid },
    /// Create one task now, independent of the ticks.
    Trigger {
        id: Uuid,
        /// Makes a repetition safe: the same key returns the first result.
        #[arg(long)]
        idempotency_key: Option<String>,
    },
    /// Show the next ticks.
    Next {
        id: Uuid,
        /// Number of ticks.
        #[arg(short, default_value_t = 10)]
        n: u32,
    },
}

#[derive(Args)]
struct Options {
    /// IANA name of the time zone; empty for UTC.
    #[arg(long)]
    timezone: Option<String>,
    /// Skill of the agent; may be repeated.
    #[arg(long = "skill")]
    skills: Vec<String>,
    /// View that the schedule belongs to.
    #[arg(long)]
    source_view: Option<String>,
    /// Policy while a task of an earlier tick is open: `queue`, `skip` or `cancel_running`.
    #[arg(long)]
    overlap: Option<String>,
    /// Missed ticks that fire late: `one`, `all` or `none`.
    #[arg(long)]
    catch_up: Option<String>,
    /// Largest random delay of a tick, in milliseconds.
    #[arg(long)]
    jitter_ms: Option<i64>,
    /// `false` for a paused schedule.
    #[arg(long)]
    active: Option<bool>,
}

impl Options {
    /// The given fields of the command.
    fn fields(self, first: &[(&str, Option<String>)]) -> Value {
        let texts = [
            ("timezone", self.timezone),
            ("source_view_id", self.source_view),
            ("overlap", self.overlap),
            ("catch_up", self.catch_up),
        ];
        let texts = first.iter().cloned().chain(texts);
        let mut fields: Map<String, Value> =
            texts.filter_map(|(name, text)| Some((name.to_owned(), text?.into()))).collect();
        if !self.skills.is_empty() {
            fields.insert("skill_paths".to_owned(), json!(self.skills));
        }
        if let Some(jitter_ms) = self.jitter_ms {
            fields.insert("jitter_ms".to_owned(), json!(jitter_ms));
        }
        if let Some(active) = self.active {
            fields.insert("active".to_owned(), json!(active));
        }
        Value::Object(fields)
    }
}

impl ScheduleCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let client = self.remote.client()?;
        let answer = match self.action {
            Action::Create { cron, prompt, agent, idempotency_key, options } => {
                let fields = options.fields(&[
                    ("cron_expr", Some(cron)),
                    ("prompt", Some(prompt)),
                    ("agent_id", Some(agent)),
                    ("idempotency_key", idempotency_key),
                ]);
                client.create_schedule(&fields).await?
            }
            Action::Update { id, cron, prompt, version, options } => {
                let fields = options.fields(&[("cron_expr", cron), ("prompt", prompt)]);
                client.update_schedule(id, &fields, version).await?
            }
            Action::Delete { id } => client.delete_schedule(id).await?,
            Action::Pause { id, reason } => client.pause_schedule(id, reason.as_deref()).await?,
            Action::Resume { id } => client.resume_schedule(id).await?,
            Action::Trigger { id, idempotency_key } => {
                client.trigger_schedule(id, idempotency_key.as_deref()).await?
            }
            Action::Get { id } => serde_json::to_value(client.schedule(id).await?)?,
            Action::List { source_view, limit, cursor } => {
                let filter = ScheduleFilter {
                    source_view_id: source_view,
                    limit: Some(limit),
                    cursor,
                    ..ScheduleFilter::default()
                };
                let page = client.schedules(&filter).await?;
                return match self.output {
                    Format::Json => self.output.object(&page),
                    Format::Table => self.output.list(
                        &page.items,
                        &["id", "active", "cron_expr", "timezone", "agent_name", "next_run_at", "prompt"],
                    ),
                };
            }
            Action::Next { id, n } => {
                let next = client.next_ticks(id, n).await?;
                return match self.output {
                    Format::Json => self.output.object(&next),
                    Format::Table => self.output.list(&next["items"], &["tick", "run_at"]),
                };
            }
        };
        // The object that the command changed, if the response has it.
        let shown = ["schedule", "task"].into_iter().find_map(|name| answer.get(name));
        self.output.object(shown.unwrap_or(&answer))
    }
}
