//! `capstan task`: submits, reads and controls tasks.

use std::time::Duration;

use anyhow::Context;
use capstan_client::{AcceptAgentCommand, Follow, SubmitTaskInput, TaskFilter, TaskId};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::output::{self, Format};
use crate::remote::Remote;

/// Submit, read and control tasks.
#[derive(Args)]
pub(crate) struct TaskCommand {
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
    /// Submit a task to an agent.
    Submit(Submit),
    /// List tasks, newest first.
    List(List),
    /// Show one task.
    Get { id: Uuid },
    /// Print a task's events until the task ends.
    Watch {
        id: Uuid,
        /// Resume after this event id; without one from the start of the task.
        #[arg(long)]
        after: Option<String>,
    },
    /// Send an input to a task: answer its question, or resume it.
    Input {
        id: Uuid,
        message: String,
        #[arg(long)]
        idempotency_key: Option<String>,
    },
    /// Cancel a task.
    Cancel {
        id: Uuid,
        #[arg(long)]
        reason: Option<String>,
    },
    /// Retry a task that failed or was cancelled.
    Retry {
        id: Uuid,
        /// Message for the agent; without one the last message is repeated.
        message: Option<String>,
    },
    /// Archive a task; an open one is cancelled first.
    Archive { id: Uuid },
    /// Unarchive a task.
    Unarchive { id: Uuid },
    /// Change a task; an empty value clears label, budget or deadline.
    Update(Update),
    /// Show a task's log lines.
    Logs {
        id: Uuid,
        #[arg(long)]
        after: Option<String>,
        #[arg(long, default_value_t = 500)]
        limit: u32,
    },
}

#[derive(Args)]
struct Submit {
    /// Message for the agent.
    message: String,
    /// Id or key of the agent.
    #[arg(long, default_value = "demo")]
    agent: String,
    /// Makes a repetition safe: the same key returns the first task.
    #[arg(long)]
    idempotency_key: Option<String>,
    /// Display label.
    #[arg(long)]
    label: Option<String>,
    /// Priority: low, normal, high or urgent.
    #[arg(long)]
    priority: Option<String>,
    /// Time limit of an attempt in milliseconds; 0 for none.
    #[arg(long)]
    timeout_ms: Option<i64>,
    /// Wait until the task ends or waits for an answer, then show it; exit code 5 unless it is done.
    #[arg(long)]
    wait: bool,
}

#[derive(Args)]
struct Update {
    id: Uuid,
    /// Priority: low, normal, high or urgent.
    #[arg(long)]
    priority: Option<String>,
    /// Cost budget in US dollars.
    #[arg(long)]
    budget_usd: Option<String>,
    /// Display label.
    #[arg(long)]
    label: Option<String>,
    /// Deadline, for example 2026-01-02T03:04:05Z.
    #[arg(long)]
    deadline: Option<String>,
    /// Message of the task, used by later runs.
    #[arg(long)]
    message: Option<String>,
}

impl Update {
    /// The changes by their wire names.
    fn changes(self) -> anyhow::Result<Map<String, Value>> {
        let mut changes = Map::new();
        let mut change = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                changes.insert(name.to_owned(), value);
            }
        };
        let or_null = |text: String| if text.is_empty() { Value::Null } else { Value::String(text) };
        let budget = self.budget_usd.map(|text| match text.as_str() {
            "" => Ok(Value::Null),
            text => text.parse::<f64>().map(Value::from).with_context(|| format!("--budget-usd {text}")),
        });
        change("priority", self.priority.map(Value::String));
        change("budget_usd", budget.transpose()?);
        change("label", self.label.map(or_null));
        change("deadline", self.deadline.map(or_null));
        change("payload_json", self.message.map(|message| json!({ "message": message })));
        Ok(changes)
    }
}

#[derive(Args)]
struct List {
    #[arg(long)]
    state: Option<String>,
    #[arg(long)]
    agent: Option<String>,
    #[arg(long)]
    label: Option<String>,
    #[arg(long, default_value_t = 50)]
    limit: u32,
    #[arg(long)]
    cursor: Option<String>,
}

impl TaskCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let client = self.remote.client()?;
        match self.action {
            Action::Submit(submit) => {
                let task = AcceptAgentCommand {
                    message: submit.message,
                    agent_id: submit.agent,
                    label: submit.label,
                    priority: submit.priority,
                    timeout_ms: submit.timeout_ms,
                    ..AcceptAgentCommand::default()
                };
                let accepted = client.create_task(&task, submit.idempotency_key.as_deref()).await?;
                let Some(task) = accepted.task.as_ref().filter(|_| submit.wait) else {
                    return self.output.object(&accepted.task);
                };
                let follow = Follow { after: Some("0".into()), query: Vec::new() };
                let mut events = client.stream_task(task.id, follow);
                while let Some(event) = events.next().await {
                    let event = event?.event;
                    if is_end(&event) || event == "blocker-opened" {
                        break;
                    }
                }
                let position = events.resume_after().unwrap_or(&accepted.receipt.position).to_owned();
                let task = client.task_at(task.id, &position, Duration::from_secs(10)).await?;
                self.output.object(&task)?;
                if task.state == "done" { Ok(()) } else { Err(output::TaskEnded(task.state).into()) }
            }
            Action::List(list) => {
                let filter = TaskFilter {
                    state: list.state,
                    agent_id: list.agent,
                    label: list.label,
                    limit: Some(list.limit),
                    cursor: list.cursor,
                    ..TaskFilter::default()
                };
                let page = client.tasks(&filter).await?;
                match self.output {
                    Format::Json => self.output.object(&page),
                    Format::Table => self
                        .output
                        .list(&page.items, &["id", "state", "agent_name", "label", "message", "created_at"]),
                }
            }
            Action::Get { id } => self.output.object(&client.task(id).await?),
            Action::Watch { id, after } => {
                let follow = Follow { after: Some(after.unwrap_or_else(|| "0".into())), query: Vec::new() };
                let mut events = client.stream_task(id, follow);
                while let Some(event) = events.next().await {
                    let event = event?;
                    match self.output {
                        Format::Json => output::line(&event.data)?,
                        Format::Table => output::line(&format!("{:<24} {}", event.event, event.data))?,
                    }
                    if is_end(&event.event) {
                        break;
                    }
                }
                Ok(())
            }
            Action::Input { id, message, idempotency_key } => {
                let input = SubmitTaskInput::from_text(TaskId(id), message);
                self.output.object(&client.submit_input(&input, idempotency_key.as_deref()).await?)
            }
            Action::Cancel { id, reason } => {
                self.output.object(&client.cancel_task(id, reason.as_deref()).await?.task)
            }
            Action::Retry { id, message } => {
                self.output.object(&client.retry_task(id, message.as_deref()).await?.task)
            }
            Action::Archive { id } => self.output.object(&client.archive_task(id).await?.task),
            Action::Unarchive { id } => self.output.object(&client.unarchive_task(id).await?.task),
            Action::Update(update) => {
                let id = update.id;
                self.output.object(&client.update_task(id, &update.changes()?).await?.task)
            }
            Action::Logs { id, after, limit } => {
                let logs = client.task_logs(id, after.as_deref(), limit).await?;
                match self.output {
                    Format::Json => self.output.object(&logs),
                    Format::Table => self.output.list(&logs["items"], &["ts", "stream", "data"]),
                }
            }
        }
    }
}

/// True for events that end a task or the stream.
fn is_end(event: &str) -> bool {
    matches!(event, "task-done" | "task-failed" | "task-cancelled" | "task-dropped" | "end")
}
