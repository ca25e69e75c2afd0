//! The fence of calls about an attempt: the attempt is of a workspace of the caller, and its lease is current.

use capstan_contract::command::{Conditions, LeaseConditions};
use capstan_contract::request::Request;
use capstan_dispatch::{CommandContext, Decided};
use capstan_domain::id::{AttemptId, RunId};
use capstan_domain::task::{Command, Rejection, Task, TaskDecider};
use capstan_envelope::{Actor, StreamId, Workspace};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::streams;
use super::worker_call::Calling;
use crate::App;
use crate::answered::Answered;
use crate::call::{CallContext, CommandKey};
use crate::problem::Problem;
use crate::receipt::{Reply, Success};

/// The response to log lines and run events.
#[derive(Serialize, JsonSchema)]
pub(crate) struct AcceptedLines {
    /// Number of entries stored.
    accepted: usize,
}

/// A call of the worker that holds the lease of an attempt.
pub(crate) struct Fence<'a> {
    pub(crate) app: &'a App,
    pub(crate) attempt_id: AttemptId,
    pub(crate) workspace: Workspace,
    pub(crate) stream: StreamId,
    pub(crate) call: CallContext,
    /// The part of the attempt the call is about, if it is about one.
    part: String,
}

impl<'a> Calling<'a, LeaseConditions> {
    /// Checks the lease.
    pub(crate) async fn fence(self) -> Result<Fence<'a>, Problem> {
        let Self { app, caller, mut call, conditions } = self;
        let LeaseConditions { attempt_id, lease_epoch, idempotency_key, command_id } = conditions;
        // What is in another workspace does not exist.
        if !caller.reach().includes(&attempt_id.workspace) {
            return Err(Problem::not_found("attempt"));
        }
        let workspace = Workspace::new(&attempt_id.workspace).map_err(|_| Problem::not_found("attempt"))?;
        let stream = streams::task(&workspace, attempt_id.task)?;
        if attempt_id.epoch != lease_epoch {
            return Err(lease_lost(app.dispatch.tasks.refresh(&stream).await?.state.as_deref()));
        }
        let loaded = app.dispatch.tasks.load(&stream).await?;
        let live = loaded.state.as_deref().and_then(|task| task.live.as_ref());
        if live.is_some_and(|live| live.attempt_id == attempt_id) {
            call.actor = Actor::Worker;
        }
        let call = call.under(Conditions { idempotency_key, command_id, expected_version: None });
        Ok(Fence { app, attempt_id, workspace, stream, call, part: String::new() })
    }
}

impl Fence<'_> {
    /// Names the part of the attempt the call is about: the same key about another part is another key.
    pub(crate) fn about(self, part: Uuid) -> Self {
        Self { part: part.to_string(), ..self }
    }

    /// Time the call was received.
    pub(crate) fn at(&self) -> DateTime<Utc> {
        self.call.received_at
    }

    /// The key of the call. Keys of workers hold for one attempt, and for the part of it the call is about.
    pub(crate) fn key(&self) -> Option<CommandKey> {
        self.call.key().map(|key| match key {
            CommandKey::Given(key) => {
                CommandKey::Given(format!("{}/{}/{key}", self.attempt_id.epoch, self.part))
            }
            key @ CommandKey::Id(_) => key,
        })
    }

    /// The context of the call as a command on the task.
    pub(crate) fn context<B: Request>(&self, body: &B) -> CommandContext {
        self.call.command(&self.stream, self.key().as_ref(), body)
    }

    /// Executes the command.
    pub(crate) async fn execute<B: Request>(
        &self,
        body: &B,
        command: Command,
    ) -> Result<(CommandContext, Decided<TaskDecider>), Problem> {
        let context = self.context(body);
        let decided = self.app.dispatch.tasks.execute(&self.stream, &command.at(self.at()), &context).await?;
        Ok((context, decided))
    }

    /// Executes the command and replies that it took effect.
    pub(crate) async fn take<B: Request>(&self, body: &B, command: Command) -> Result<Reply, Problem> {
        let (context, decided) = self.execute(body, command).await?;
        Ok(Reply::new(Success::Done, &self.stream, &context, &decided))
    }

    /// Executes the command and replies that it created something, unless it changed nothing.
    pub(crate) async fn create<B: Request>(&self, body: &B, command: Command) -> Result<Reply, Problem> {
        let (context, decided) = self.execute(body, command).await?;
        let success = if decided.changed { Success::Created } else { Success::Done };
        Ok(Reply::new(success, &self.stream, &context, &decided))
    }

    /// The name of the lines of this body, the same when the call is repeated under its key; none without a key. It is stored
    /// beside the lines, so it holds no plain hash of them.
    pub(crate) fn name_of_lines<B: Request>(&self, body: &B) -> Option<String> {
        self.call.key()?;
        let context = self.context(body);
        Some(format!("{}/{}", context.command_id, self.app.fingerprint(&context.idempotency?.fingerprint)))
    }

    /// Stores lines of the attempt's run; those of a repeat under this name are stored once.
    pub(crate) async fn append(
        &self,
        lines: Vec<bytes::Bytes>,
        name: Option<String>,
    ) -> Result<Answered, Problem> {
        let run_id = self.live_run().await?;
        let accepted = lines.len();
        let (workspace, task) = (&self.workspace, self.attempt_id.task.0);
        self.app.telemetry.append_once(workspace, task, run_id.0, lines, name.as_deref()).await?;
        Ok(Answered { status: 202, ..Answered::json(&AcceptedLines { accepted }) })
    }

    /// The run, while this attempt has not ended; an attempt that was told to stop may still send its last lines.
    async fn live_run(&self) -> Result<RunId, Problem> {
        self.under_lease(|task| {
            task.live.as_ref().filter(|live| live.attempt_id == self.attempt_id).map(|live| live.run_id)
        })
        .await
    }

    /// What `held` finds of this attempt in its task, as it is in memory, else as the log has it; the lease is lost where it
    /// finds nothing.
    pub(crate) async fn under_lease<T>(&self, held: impl Fn(&Task) -> Option<T>) -> Result<T, Problem> {
        let loaded = self.app.dispatch.tasks.load(&self.stream).await?;
        if let Some(found) = loaded.state.as_deref().and_then(&held) {
            return Ok(found);
        }
        let loaded = self.app.dispatch.tasks.refresh(&self.stream).await?;
        match loaded.state.as_deref() {
            Some(task) => held(task).ok_or_else(|| lease_lost(Some(task))),
            None => Err(Problem::not_found("attempt")),
        }
    }
}

/// The answer to a call under a lease that is gone.
pub(crate) fn lease_lost(task: Option<&Task>) -> Problem {
    let Some(task) = task else { return Problem::not_found("attempt") };
    Rejection::LeaseLost { current_epoch: task.epoch }.into()
}
