//! Inputs of a task: checked against the schema of the open question, submitted, and answered with their outcome.

use capstan_contract::request::Request;
use capstan_dispatch::{CommandContext, Decided, DispatchError};
use capstan_domain::id::{InputId, OutputId, TaskId};
use capstan_domain::task::command::{SubmitInput, SubmitTaskInput};
use capstan_domain::task::event::InputOutcome;
use capstan_domain::task::{Command, Event, Rejection, TaskDecider};
use capstan_envelope::{Actor, StreamId, Workspace};
use serde::Deserialize;

use super::{answer_schema, streams, wait};
use crate::App;
use crate::call::CallContext;
use crate::problem::{Code, Problem};
use crate::receipt::{Reply, Success};

/// Times the question may change while an answer is checked.
const CHECKS_MAX: u32 = 4;

/// The id of the input that a command of this type brings.
pub(super) fn input_id<B: Request>(task_id: TaskId, call: &CallContext) -> InputId {
    call.keyed_id(call.key().as_ref(), |key| InputId::from_key(task_id, B::NAME, key))
}

/// An input of a caller, with the facts beside it.
pub(crate) fn submitted(
    app: &App,
    input: SubmitTaskInput,
    input_id: InputId,
    call: &CallContext,
) -> SubmitInput {
    SubmitInput {
        by: name(&call.actor),
        grace_ms: app.config.cancel_grace_ms,
        message_bytes_max: app.config.message_bytes_max,
        ..SubmitInput::new(input_id, input)
    }
}

/// The name of a caller; workers, the engine and the system have none.
pub(crate) fn name(actor: &Actor) -> Option<String> {
    match actor {
        Actor::Client { name } => Some(name.clone()),
        Actor::Worker | Actor::Engine | Actor::System => None,
    }
}

/// Submits an input. An answer to a question with a schema is checked first; when another question has replaced that
/// one meanwhile, the answer is checked against the new one.
pub(crate) async fn submit(
    app: &App,
    workspace: &Workspace,
    task_id: TaskId,
    mut input: SubmitInput,
    (context, call): (&CommandContext, &CallContext),
) -> Result<Reply, Problem> {
    let stream = streams::task(workspace, task_id)?;
    note_foreign_outputs(app, workspace, &stream, &mut input).await?;
    for _ in 0..CHECKS_MAX {
        let command = Command::SubmitInput(input.clone()).at(context.occurred_at);
        match app.dispatch.tasks.execute(&stream, &command, context).await {
            Err(DispatchError::Rejected(Rejection::Unchecked(_))) => check(app, &stream, &mut input).await?,
            decided => {
                let decided = decided?;
                let shown = call.shows(app.reads.one(workspace, &task_id));
                let task = wait::shown(app, decided.position, shown).await;
                let reply = Reply::new(Success::Accepted, &stream, context, &decided);
                let mut reply = reply.showing_object("task", task);
                reply.input = Some((input.input_id, outcome(&decided, input.input_id)));
                return Ok(reply);
            }
        }
    }
    Err(Problem::new(Code::Contended, "the question changed too often while the answer was checked"))
}

/// Checks the input against the schema of the open question.
pub(crate) async fn check(app: &App, stream: &StreamId, input: &mut SubmitInput) -> Result<(), Problem> {
    let loaded = app.dispatch.tasks.load(stream).await?;
    let open = loaded.state.as_deref().and_then(|task| task.blocker.as_ref());
    if let Some(blocker) = open
        && let Some(schema) = &blocker.opened.answer_schema
    {
        answer_schema::check(schema, &input.input)?;
        input.checked_for = Some(blocker.opened.blocker_id);
    }
    Ok(())
}

/// Notes which of the decided outputs belong to another task, so that the rejection can say so.
async fn note_foreign_outputs(
    app: &App,
    workspace: &Workspace,
    stream: &StreamId,
    input: &mut SubmitInput,
) -> Result<(), Problem> {
    #[derive(Deserialize)]
    struct Shown {
        task_id: TaskId,
    }
    if input.input.items.is_empty() {
        return Ok(());
    }
    let loaded = app.dispatch.tasks.load(stream).await?;
    for item in &input.input.items {
        let Ok(output_id) = item.output_id.trim().parse::<OutputId>() else { continue };
        if loaded.state.as_deref().is_some_and(|task| task.outputs.contains(output_id)) {
            continue;
        }
        // Only for a clearer rejection: failures of the read models are ignored.
        let shown = app.reads.one(workspace, &output_id).await.ok().flatten();
        let shown = shown.and_then(|object| serde_json::from_str::<Shown>(object.json.get()).ok());
        if shown.is_some_and(|shown| shown.task_id.to_string() != stream.id()) {
            input.foreign.push(output_id);
        }
    }
    Ok(())
}

/// The outcome of the input when it was first accepted; none when the commit that says it is archived.
pub(crate) fn outcome(decided: &Decided<TaskDecider>, input_id: InputId) -> Option<InputOutcome> {
    let said = decided.events.iter().find_map(|event| match event {
        Event::InputAccepted(accepted) if accepted.input_id == input_id => Some(accepted.outcome),
        _ => None,
    });
    let known = || Some(decided.loaded.state.as_ref()?.input(input_id)?.outcome);
    said.or_else(known)
}
