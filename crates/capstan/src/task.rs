//! `capstan task`: submits, reads and controls tasks.

use capstan_client::{Client, Task};
use capstan_contract::catalogue::BLOCKER_OPENED;
use capstan_contract::command::{
    AcceptAgentCommand, ArchiveTask, CancelTask, Conditions, IdempotencyKey, KeyConditions, RetryTask,
    SubmitTaskInput, TaskPayload, UnarchiveTask, UpdateTask,
};
use capstan_contract::query::{GetTask, GetTaskLogs, ListTasks, Page, Wait};
use capstan_contract::stream::{Place, StreamOptions, SubscribeTaskLive};
use capstan_domain::Change;
use capstan_domain::id::TaskId;
use capstan_domain::task::TaskState;
use capstan_envelope::Position;
use capstan_live::{CAUGHT_UP, END};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde::Deserialize;

use crate::argument::{PageArguments, TaskArgument, number_or_none, text_or_empty, time_or_empty, word};
use crate::output::{self, Format};
use crate::remote_command::RemoteAction;

#[derive(Subcommand)]
pub(crate) enum Action {
    /// Submit a task to an agent.
    Submit(Submit),
    /// List tasks, newest first.
    List(List),
    /// Show one task.
    Get(TaskArgument),
    /// Print a task's events until the task ends.
    Watch {
        #[command(flatten)]
        task: TaskArgument,
        /// Resume after this event id; without one from the start of the task.
        #[arg(long)]
        after: Option<Place>,
    },
    /// Send an input to a task: answer its question, or resume it.
    Input {
        #[command(flatten)]
        task: TaskArgument,
        /// Message for the agent.
        message: String,
        /// Makes a repetition safe: the same key returns the first result.
        #[arg(long)]
        idempotency_key: Option<IdempotencyKey>,
    },
    /// Cancel a task.
    Cancel {
        #[command(flatten)]
        task: TaskArgument,
        /// Reason, shown in the task's history.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Retry a task that failed or was cancelled.
    Retry {
        #[command(flatten)]
        task: TaskArgument,
        /// Message for the agent; without one the last message is repeated.
        message: Option<String>,
    },
    /// Archive a task; an open one is cancelled first.
    Archive(TaskArgument),
    /// Unarchive a task.
    Unarchive(TaskArgument),
    /// Change a task; an empty value clears label, budget or deadline.
    Update(Update),
    /// Show a task's log lines.
    Logs {
        #[command(flatten)]
        task: TaskArgument,
        /// Only lines after this one: the `next_cursor` of the previous page.
        #[arg(long)]
        after: Option<u64>,
        /// Number of lines, at most 500.
        #[arg(long, default_value_t = 500)]
        limit: u32,
    },
}

#[derive(Args)]
pub(crate) struct Submit {
    /// Message for the agent.
    message: String,
    /// Id or key of the agent.
    #[arg(long, default_value = "demo")]
    agent: String,
    /// Makes a repetition safe: the same key returns the first task.
    #[arg(long)]
    idempotency_key: Option<IdempotencyKey>,
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
pub(crate) struct Update {
    #[command(flatten)]
    task: TaskArgument,
    /// Priority: low, normal, high or urgent.
    #[arg(long)]
    priority: Option<String>,
    /// Cost budget in US dollars.
    #[arg(long, value_parser = number_or_none)]
    budget_usd: Option<Change<f64>>,
    /// Display label.
    #[arg(long, value_parser = text_or_empty)]
    label: Option<Change<String>>,
    /// Deadline, for example 2026-01-02T03:04:05Z.
    #[arg(long, value_parser = time_or_empty)]
    deadline: Option<Change<DateTime<Utc>>>,
    /// Message of the task, used by later runs.
    #[arg(long)]
    message: Option<String>,
}

impl Update {
    fn command(self) -> UpdateTask {
        UpdateTask {
            task_id: TaskId(self.task.id),
            priority: self.priority,
            budget_usd: self.budget_usd.unwrap_or_default(),
            payload_json: self
                .message
                .map(|message| TaskPayload { message: Some(message), ..TaskPayload::default() }),
            routing_json: None,
            label: self.label.unwrap_or_default(),
            labels: None,
            deadline: self.deadline.unwrap_or_default(),
        }
    }
}

#[derive(Args)]
pub(crate) struct List {
    /// States, separated by commas.
    #[arg(long, value_delimiter = ',', value_parser = word::<TaskState>)]
    state: Vec<TaskState>,
    /// Only tasks of this agent, by id or key.
    #[arg(long)]
    agent: Option<String>,
    /// Only tasks with this display label.
    #[arg(long)]
    label: Option<String>,
    #[command(flatten)]
    page: PageArguments,
}

impl RemoteAction for Action {
    async fn run(self, client: &Client, output: Format) -> anyhow::Result<()> {
        match self {
            Self::Submit(submit) => {
                let task = AcceptAgentCommand {
                    message: submit.message,
                    agent_id: submit.agent,
                    label: submit.label,
                    priority: submit.priority,
                    timeout_ms: submit.timeout_ms,
                    ..AcceptAgentCommand::default()
                };
                let idempotency_key = submit.idempotency_key;
                let conditions = KeyConditions { idempotency_key, ..KeyConditions::default() };
                let accepted = client.send_with(&task, &conditions).await?;
                let Some(task) = accepted.task.as_ref().filter(|_| submit.wait) else {
                    return output.object(&accepted.task);
                };
                let task = settled(client, TaskId(task.id), accepted.receipt.position.parse()?).await?;
                output.object(&task)?;
                if task.state == "done" { Ok(()) } else { Err(output::TaskEnded(task.state).into()) }
            }
            Self::List(list) => {
                let query = ListTasks {
                    state: list.state,
                    agent_id: list.agent,
                    label: list.label,
                    ..ListTasks::default()
                };
                let page = Page { limit: Some(list.page.limit), cursor: list.page.cursor, ..Page::default() };
                let columns = ["id", "state", "agent_name", "label", "message", "created_at"];
                output.page(&client.send_with(&query, &page).await?, &columns)
            }
            Self::Get(TaskArgument { id }) => {
                output.object(&client.send(&GetTask { task_id: TaskId(id), as_of: None }).await?)
            }
            Self::Watch { task: TaskArgument { id }, after } => {
                let after = after.unwrap_or_else(|| Position::START.into());
                let stream = SubscribeTaskLive { task_id: TaskId(id) };
                let mut events = client.follow(&stream, StreamOptions::after(after))?;
                while let Some(event) = events.next().await {
                    let event = event?;
                    match output {
                        Format::Json => output::line(&event.data)?,
                        Format::Table => output::line(&format!("{:<24} {}", event.event, event.data))?,
                    }
                }
                Ok(())
            }
            Self::Input { task: TaskArgument { id }, message, idempotency_key } => {
                let input = SubmitTaskInput::from_text(TaskId(id), message);
                let conditions = Conditions { idempotency_key, ..Conditions::default() };
                output.object(&client.send_with(&input, &conditions).await?)
            }
            Self::Cancel { task: TaskArgument { id }, reason } => {
                output.object(&client.send(&CancelTask { task_id: TaskId(id), reason }).await?.task)
            }
            Self::Retry { task: TaskArgument { id }, message } => {
                output.object(&client.send(&RetryTask { task_id: TaskId(id), message }).await?.task)
            }
            Self::Archive(TaskArgument { id }) => {
                output.object(&client.send(&ArchiveTask { task_id: TaskId(id) }).await?.task)
            }
            Self::Unarchive(TaskArgument { id }) => {
                output.object(&client.send(&UnarchiveTask { task_id: TaskId(id) }).await?.task)
            }
            Self::Update(update) => output.object(&client.send(&update.command()).await?.task),
            Self::Logs { task: TaskArgument { id }, after, limit } => {
                let query = GetTaskLogs { task_id: TaskId(id), limit: Some(limit), cursor: after };
                output.page(&client.send(&query).await?, &["ts", "stream", "data"])
            }
        }
    }
}

/// The data of an event, as far as it is used.
#[derive(Deserialize)]
struct Placed {
    position: Position,
}

/// Waits until the task is over or waits for an answer. What its history tells of earlier runs and questions does not count.
async fn settled(client: &Client, task_id: TaskId, accepted: Position) -> anyhow::Result<Task> {
    let mut events = client.follow(&SubscribeTaskLive { task_id }, StreamOptions::after(Position::START))?;
    let mut position = accepted;
    let mut is_live = false;
    while let Some(event) = events.next().await {
        let event = event?;
        is_live |= event.event == CAUGHT_UP;
        // The stream's last frame is its end, which names the place of the last event.
        let may_wait = is_live && (event.event == CAUGHT_UP || event.event == BLOCKER_OPENED.name);
        if !may_wait && event.event != END {
            continue;
        }
        position = event.json::<Placed>()?.position.later_of(position);
        if may_wait {
            let task = task_at(client, task_id, position).await?;
            if task.state == TaskState::Waiting.as_str() {
                return Ok(task);
            }
        }
    }
    task_at(client, task_id, position).await
}

/// The task as the read models show it at this position or later.
async fn task_at(client: &Client, task_id: TaskId, position: Position) -> anyhow::Result<Task> {
    let wait = Wait { min_position: Some(position), wait_ms: Some(10_000) };
    Ok(client.send_with(&GetTask { task_id, as_of: None }, &wait).await?)
}
