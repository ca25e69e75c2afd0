//! What every way to say something to a task has in common.

use capstan_dispatch::{CommandContext, Decided, DispatchError};
use capstan_domain::id::{InputId, OutputId, TaskId};
use capstan_domain::task::command::SubmitInput;
use capstan_domain::task::event::InputOutcome;
use capstan_domain::task::{Command, Event, Rejection, TaskDecider};
use capstan_envelope::{Actor, StreamId, Workspace};
use serde::Deserialize;

use super::execute::{task_reply, task_stream};
use crate::App;
use crate::call::CallContext;
use crate::problem::{Code, Problem};
use crate::receipt::Reply;
use crate::use_case::answer_schema;

/// Questions that may take each other's place while an answer is checked.
const CHECKS_MAX: u32 = 4;

/// An input with nothing in it yet.
pub(crate) fn blank(app: &App, input_id: InputId, call: &CallContext) -> SubmitInput {
    SubmitInput {
        by: name(&call.actor),
        grace_ms: app.config.cancel_grace_ms,
        message_bytes_max: app.config.message_bytes_max,
        ..SubmitInput::text(
            input_id,
            capstan_domain::task::event::InputSource::Caller,
            String::new(),
            call.received_at,
        )
    }
}

/// The name by which a caller is known.
pub(crate) fn name(actor: &Actor) -> Option<String> {
    match actor {
        Actor::Client { name } => Some(name.clone()),
        Actor::Worker { .. } | Actor::Engine | Actor::System => None,
    }
}

/// Says something to a task. When it answers a question of a certain shape, it is checked first; should another question
/// have taken that one's place meanwhile, it is checked for the new one.
pub(crate) async fn say(
    app: &App,
    workspace: &Workspace,
    task_id: TaskId,
    mut input: SubmitInput,
    context: &CommandContext,
) -> Result<Reply, Problem> {
    let stream = task_stream(workspace, task_id)?;
    find_strangers(app, workspace, &stream, &mut input).await?;
    for _ in 0..CHECKS_MAX {
        match app.dispatch.tasks.execute(&stream, &Command::SubmitInput(input.clone()), context).await {
            Err(DispatchError::Rejected(Rejection::Unchecked(_))) => check(app, &stream, &mut input).await?,
            decided => {
                let decided = decided?;
                let mut reply = task_reply(app, workspace, task_id, context, &decided).await;
                reply.input = Some((input.input_id, outcome(&decided, input.input_id)));
                return Ok(reply);
            }
        }
    }
    Err(Problem::new(Code::Contended, "the question changes faster than an answer can be checked"))
}

/// Checks the input against the schema of the question that is open.
pub(crate) async fn check(app: &App, stream: &StreamId, input: &mut SubmitInput) -> Result<(), Problem> {
    let loaded = app.dispatch.tasks.load(stream).await?;
    let open = loaded.state.as_deref().and_then(|task| task.blocker.as_ref());
    if let Some(blocker) = open
        && let Some(schema) = &blocker.opened.answer_schema
    {
        answer_schema::check(schema, input)?;
        input.checked_for = Some(blocker.opened.blocker_id);
    }
    Ok(())
}

/// Finds out which of the outputs decided on belong to another task, so that the refusal can say so.
async fn find_strangers(
    app: &App,
    workspace: &Workspace,
    stream: &StreamId,
    input: &mut SubmitInput,
) -> Result<(), Problem> {
    #[derive(Deserialize)]
    struct Shown {
        task_id: TaskId,
    }
    if input.items.is_empty() {
        return Ok(());
    }
    let loaded = app.dispatch.tasks.load(stream).await?;
    for item in &mut input.items {
        let Ok(output_id) = item.output_id.trim().parse::<OutputId>() else { continue };
        if loaded.state.as_deref().is_some_and(|task| task.outputs.contains_key(&output_id)) {
            continue;
        }
        // It only makes the refusal clearer: without the read models it says less.
        let shown = app.reads.output(workspace, None, output_id).await.ok().flatten();
        let shown = shown.and_then(|object| serde_json::from_str::<Shown>(object.json.get()).ok());
        item.of_task = shown.map(|shown| shown.task_id).filter(|task_id| task_id.to_string() != stream.id());
    }
    Ok(())
}

/// What became of the input when it was first taken.
pub(crate) fn outcome(decided: &Decided<TaskDecider>, input_id: InputId) -> InputOutcome {
    let said = decided.events.iter().find_map(|event| match event {
        Event::InputAccepted(accepted) if accepted.input_id == input_id => Some(accepted.outcome),
        _ => None,
    });
    let known = || Some(decided.loaded.state.as_ref()?.input(input_id)?.outcome);
    said.or_else(known).unwrap_or(InputOutcome::Queued)
}
