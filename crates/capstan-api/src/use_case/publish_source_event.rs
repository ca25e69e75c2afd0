//! Delivers an event of an external source to the tasks that watch for it. Each task gets a command of its own that
//! changes nothing when it is repeated, so a caller that got no answer sends the event again.

use capstan_contract::command::PublishSourceEvent;
use capstan_dispatch::CommandContext;
use capstan_domain::id::{InputId, TaskId, derived};
use capstan_domain::task::event::InputOutcome;
use capstan_domain::task::{Command, Event, Rejection};
use capstan_engine::protocol::SourceKeys;
use capstan_envelope::Workspace;
use schemars::JsonSchema;
use serde::Serialize;

use super::execute::Execute;
use super::streams;
use crate::App;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::receipt::{Receipt, Reply, Success};

/// The tasks that received an event.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Delivery {
    /// The tasks that watch for it.
    tasks: Vec<WatchingTask>,
    /// The keys no task watches for.
    unmatched_keys: Vec<String>,
}

/// A task that received the event.
#[serde_with::skip_serializing_none]
#[derive(Debug, Serialize, JsonSchema)]
struct WatchingTask {
    task_id: TaskId,
    /// True when the task had received the event before.
    duplicate: bool,
    input_id: Option<InputId>,
    outcome: Option<InputOutcome>,
}

impl Execute for PublishSourceEvent {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let key = call.key();
        let event = self.checked().map_err(Rejection::Invalid)?;
        let position = app.log.head().await?;
        let watchers = app
            .engine
            .watchers(SourceKeys {
                workspace: workspace.to_string(),
                integration: event.integration.clone(),
                correlation_keys: event.correlation_keys.clone(),
                event_type: event.event_type.clone(),
                position,
            })
            .await?;
        let (matched, unmatched): (Vec<_>, Vec<_>) =
            watchers.into_iter().partition(|(_, tasks)| !tasks.is_empty());
        let mut task_ids: Vec<_> = matched.into_iter().flat_map(|(_, tasks)| tasks).collect();
        task_ids.sort_unstable();
        task_ids.dedup();
        let whole = call.command(&streams::workspace(workspace)?, key.as_ref(), &self);
        let mut receipt = Receipt {
            command_id: whole.command_id,
            id: None,
            position,
            version: 0,
            duplicate: !task_ids.is_empty(),
        };
        let mut tasks = Vec::with_capacity(task_ids.len());
        for task_id in task_ids {
            let stream = streams::task(workspace, task_id)?;
            let context = CommandContext {
                // The ids of commits differ, also when the caller chose that of the command.
                command_id: derived(&["delivered-by", &whole.command_id.to_string(), &task_id.to_string()]),
                causation_id: Some(whole.command_id),
                ..call.command(&stream, key.as_ref(), &self)
            };
            let fingerprint = app.fingerprint(&event.identity(task_id));
            let command = Command::FireWatch { command: event.clone(), fingerprint }.at(call.received_at);
            let decided = app.dispatch.tasks.execute(&stream, &command, &context).await?;
            let accepted = decided.events.iter().find_map(|event| match event {
                Event::InputAccepted(input) => Some((input.input_id, input.outcome)),
                _ => None,
            });
            let duplicate = decided.duplicate || accepted.is_none();
            receipt.position = receipt.position.later_of(decided.position);
            receipt.duplicate &= duplicate;
            let (input_id, outcome) = accepted.unzip();
            tasks.push(WatchingTask { task_id, duplicate, input_id, outcome });
        }
        let unmatched_keys = unmatched.into_iter().map(|(key, _)| key).collect();
        let reply = Reply::from_receipt(Success::Accepted, receipt);
        Ok(reply.showing("event", &Delivery { tasks, unmatched_keys }))
    }
}
