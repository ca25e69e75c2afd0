//! A call of a worker about an attempt: its workspace, and the check of its lease.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use capstan_contract::command::{CommandBody, Conditions, OpenBlocker};
use capstan_dispatch::{CommandContext, Decided};
use capstan_domain::id::{AttemptId, RunId};
use capstan_domain::task::command::BlockerSpec;
use capstan_domain::task::{Command, Task, TaskDecider};
use capstan_envelope::{Actor, StreamId, Workspace};
use chrono::{DateTime, Utc};

use crate::App;
use crate::call::{CallContext, CommandKey};
use crate::http::body;
use crate::http::parameters::path_id;
use crate::problem::{Code, Problem};
use crate::receipt::{Reply, Success};
use crate::use_case::answer_schema;
use crate::use_case::streams;

/// A call of a worker about one attempt, its fence read: the attempt of the path and the epoch of the header.
pub(super) struct Report {
    pub(super) app: Arc<App>,
    pub(super) attempt_id: AttemptId,
    pub(super) workspace: Workspace,
    pub(super) stream: StreamId,
    pub(super) call: CallContext,
    /// What the path names, by the names the table gives its parts.
    path: BTreeMap<String, String>,
    /// The part of the attempt the path names besides.
    part: String,
}

impl FromRequestParts<Arc<App>> for Report {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let path = Path::from_request_parts(parts, app).await.map_err(IntoResponse::into_response)?;
        let call = CallContext::from_request_parts(parts, app).await.map_err(IntoResponse::into_response)?;
        Self::read(app.clone(), path, parts, call).await.map_err(IntoResponse::into_response)
    }
}

impl Report {
    async fn read(
        app: Arc<App>,
        Path(path): Path<BTreeMap<String, String>>,
        parts: &Parts,
        mut call: CallContext,
    ) -> Result<Self, Problem> {
        let attempt_id: AttemptId = path_id(&path["attempt_id"], "attempt")?;
        let workspace = Workspace::new(&attempt_id.workspace).map_err(|_| Problem::not_found("attempt"))?;
        let stream = streams::task(&workspace, attempt_id.task)?;
        let epoch = parts
            .headers
            .get("capstan-lease-epoch")
            .and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let Some(epoch): Option<u64> = epoch else {
            return Err(Problem::invalid_field(
                "",
                "the header Capstan-Lease-Epoch with a number is required",
            ));
        };
        if attempt_id.epoch != epoch {
            return Err(lease_lost(app.dispatch.tasks.refresh(&stream).await?.state.as_deref()));
        }
        let loaded = app.dispatch.tasks.load(&stream).await?;
        let task = loaded.state.as_deref();
        if let Some(live) =
            task.and_then(|task| task.live.as_ref()).filter(|live| live.attempt_id == attempt_id)
        {
            call.actor = Actor::Worker { id: live.worker_id.0 };
        }
        // An expected version has no meaning here: the fence is the condition.
        call.expected_version = None;
        Ok(Self { app, attempt_id, workspace, stream, call, path, part: String::new() })
    }

    /// When it was received.
    pub(super) fn at(&self) -> DateTime<Utc> {
        self.call.received_at
    }

    /// Reads which part of the attempt the path names.
    pub(super) fn part<T: FromStr + ToString>(&mut self, what: &str) -> Result<T, Problem> {
        let part: T = path_id(&self.path[what], what)?;
        self.part = part.to_string();
        Ok(part)
    }

    /// Reads the body.
    pub(super) async fn body<B: CommandBody + 'static>(&self, request: Request) -> Result<B, Problem> {
        body::read_as(request, self.app.config.command_bytes_max).await
    }

    /// Reads a batch of lines.
    pub(super) async fn lines<B: CommandBody + 'static>(&self, request: Request) -> Result<B, Problem> {
        body::read_as(request, self.app.config.log_batch_bytes_max).await
    }

    /// Executes the command.
    pub(super) async fn execute<B: CommandBody>(
        &self,
        body: &B,
        command: Command,
    ) -> Result<(CommandContext, Decided<TaskDecider>), Problem> {
        let key = self.key()?;
        let context = self.call.command(&self.stream, key.as_ref(), body);
        let decided = self.app.dispatch.tasks.execute(&self.stream, &command.at(self.at()), &context).await?;
        Ok((context, decided))
    }

    /// Executes the command and answers that it was taken.
    pub(super) async fn take<B: CommandBody>(&self, body: &B, command: Command) -> Result<Reply, Problem> {
        let (context, decided) = self.execute(body, command).await?;
        Ok(Reply::new(Success::Done, &context, &decided))
    }

    /// Executes the command and answers that it made something, unless it changed nothing.
    pub(super) async fn create<B: CommandBody>(&self, body: &B, command: Command) -> Result<Reply, Problem> {
        let (context, decided) = self.execute(body, command).await?;
        let success = if decided.changed { Success::Created } else { Success::Done };
        Ok(Reply::new(success, &context, &decided))
    }

    /// A question with its schema checked, and with the inputs that fit it.
    pub(super) async fn asked(&self, body: OpenBlocker) -> Result<BlockerSpec, Problem> {
        let loaded = self.app.dispatch.tasks.load(&self.stream).await?;
        answer_schema::prepared(body.into(), loaded.state.as_deref())
    }

    /// Keys of workers hold for what the path names: the same key of another attempt, or about another output, is
    /// another key.
    pub(super) fn key(&self) -> Result<Option<CommandKey>, Problem> {
        Ok(match self.call.with(Conditions::default())?.key() {
            Some(CommandKey::Given(key)) => {
                Some(CommandKey::Given(format!("{}/{}/{key}", self.attempt_id.epoch, self.part)))
            }
            key => key,
        })
    }

    /// The run, while this attempt has not ended; what was told to stop may still say its last lines.
    pub(super) async fn live_run(&self) -> Result<RunId, Problem> {
        let run_of = |task: &Task| {
            task.live.as_ref().filter(|live| live.attempt_id == self.attempt_id).map(|live| live.run_id)
        };
        let loaded = self.app.dispatch.tasks.load(&self.stream).await?;
        if let Some(run_id) = loaded.state.as_deref().and_then(run_of) {
            return Ok(run_id);
        }
        let loaded = self.app.dispatch.tasks.refresh(&self.stream).await?;
        match loaded.state.as_deref() {
            Some(task) => run_of(task).ok_or_else(|| lease_lost(Some(task))),
            None => Err(Problem::not_found("attempt")),
        }
    }
}

/// The answer to a call under a lease that is gone.
pub(super) fn lease_lost(task: Option<&Task>) -> Problem {
    let Some(task) = task else { return Problem::not_found("attempt") };
    let detail = format!("the lease is lost; the task's current epoch is {}", task.epoch);
    Problem { current_epoch: Some(task.epoch), ..Problem::new(Code::LeaseLost, detail) }
}
