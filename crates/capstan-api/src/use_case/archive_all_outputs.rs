//! Archives the outputs of a workspace, task by task. Each task gets a command of its own, whose id follows from that of the
//! whole. A repeat archives what is left.

use std::collections::BTreeMap;

use capstan_contract::command::ArchiveAllOutputs;
use capstan_contract::query::{LIMIT_MAX, Page};
use capstan_dispatch::{CommandContext, DispatchError};
use capstan_domain::id::{OutputId, TaskId, derived};
use capstan_domain::task::{Command, command};
use capstan_envelope::{Position, Workspace};
use capstan_projections::{OutputFilter, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::execute::Execute;
use super::{resolve, streams, wait};
use crate::App;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::receipt::{Receipt, Reply, Success};

/// Pages of outputs one command archives; the reply says when there are more.
const PAGES_MAX: usize = 20;

/// The result of archiving outputs.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct ArchivedOutputs {
    /// Number of outputs archived.
    count: usize,
    /// True when more outputs match than one command archives.
    more: bool,
}

/// The ids of an output.
#[derive(Deserialize)]
struct Found {
    id: OutputId,
    task_id: TaskId,
}

impl Execute for ArchiveAllOutputs {
    async fn execute(self, app: &App, workspace: &Workspace, call: &CallContext) -> Result<Reply, Problem> {
        let key = call.key();
        let stream = streams::workspace(workspace)?;
        let context = call.command(&stream, key.as_ref(), &self);
        let before = self.created_before.map_or(call.received_at, |before| before.min(call.received_at));
        let filter = OutputFilter {
            task_id: self.task_id,
            agent_id: resolve::agent_filter(app, workspace, self.agent_id).await?,
            output_type: self.output_type,
            statuses: self.status.into_iter().collect(),
            archived: Some(false),
            hidden: None,
            created: Span { after: None, before: Some(before) },
        };
        // Outputs produced just before the command must be found.
        wait::for_head(app).await?;
        let mut page = Page { limit: Some(LIMIT_MAX), ..Page::default() };
        let (mut archived, mut position) = (ArchivedOutputs::default(), app.reads.position());
        for _ in 0..PAGES_MAX {
            let list = app.reads.list(workspace, &filter, &page).await?;
            let mut of_task = BTreeMap::<TaskId, Vec<OutputId>>::new();
            for doc in &list.items {
                let Found { id, task_id } = serde_json::from_str(doc.get()).map_err(Problem::internal)?;
                of_task.entry(task_id).or_default().push(id);
            }
            for (task_id, output_ids) in of_task {
                let (count, at) = archive(app, workspace, &context, task_id, output_ids).await?;
                archived.count += count;
                position = position.later_of(at);
            }
            page.cursor = list.next_cursor;
            archived.more = page.cursor.is_some();
            if !archived.more {
                break;
            }
        }
        let receipt =
            Receipt { command_id: context.command_id, id: None, position, version: 0, duplicate: false };
        Ok(Reply::from_receipt(Success::Done, receipt).showing("archived", &archived))
    }
}

/// Archives outputs of one task. Returns how many were not archived before, and the position of the change.
async fn archive(
    app: &App,
    workspace: &Workspace,
    context: &CommandContext,
    task_id: TaskId,
    output_ids: Vec<OutputId>,
) -> Result<(usize, Position), Problem> {
    let stream = streams::task(workspace, task_id)?;
    let parts = [context.command_id.to_string(), task_id.to_string(), format!("{output_ids:?}")];
    let context = CommandContext {
        command_id: derived(&["archived-by", &parts[0], &parts[1], &parts[2]]),
        causation_id: Some(context.command_id),
        idempotency: None,
        expected_version: None,
        ..context.clone()
    };
    let command = Command::ArchiveOutputs(command::ArchiveOutputs { output_ids });
    match app.dispatch.tasks.execute(&stream, &command.at(context.occurred_at), &context).await {
        Ok(decided) => Ok((decided.events.len(), decided.position)),
        // This task rejects the command; the others are still archived.
        Err(DispatchError::Rejected(_)) => Ok((0, Position::START)),
        Err(error) => Err(error.into()),
    }
}
