//! What the holder of a lease says about its attempt.
//!
//! Every call names the attempt and, in `Capstan-Lease-Epoch`, the epoch of its lease; a call under a lease that is
//! gone is refused and changes nothing.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use capstan_contract::command::{
    AckInput, AppendLogs, AppendRows, AppendRunEvents, ClaimInput, CommandBody, DeferInput, FinalizeOutput,
    FinishAttempt, OpenBlocker, ProduceOutput, RecordUsage, ReturnAttempt, StartAttempt,
};
use capstan_contract::lease::ClaimedInput;
use capstan_dispatch::{CommandContext, Decided};
use capstan_domain::id::{AttemptId, InputId, OutputId};
use capstan_domain::task::command::BlockerSpec;
use capstan_domain::task::state::InputState;
use capstan_domain::task::{Command, Task, TaskDecider, command};
use capstan_envelope::{Actor, StreamId, Workspace};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::App;
use crate::answer_schema;
use crate::body;
use crate::call::{CallContext, CommandKey, fresh_id};
use crate::commands::unnamed_output;
use crate::known;
use crate::logs;
use crate::parameters::path_id;
use crate::problem::{Code, Problem};
use crate::receipt::{Receipt, Reply};

/// A call of a worker about one attempt.
pub(super) struct Report {
    pub(super) app: Arc<App>,
    pub(super) attempt_id: AttemptId,
    pub(super) workspace: Workspace,
    pub(super) stream: StreamId,
    pub(super) call: CallContext,
    /// The part of the attempt the path names besides.
    part: String,
}

impl Report {
    /// Reads the fence: the attempt of the path and the epoch of the header.
    pub(super) async fn read(
        app: Arc<App>,
        attempt: &str,
        headers: &HeaderMap,
        mut call: CallContext,
    ) -> Result<Self, Problem> {
        let attempt_id: AttemptId = path_id(attempt, "attempt")?;
        let workspace = Workspace::new(&attempt_id.workspace).map_err(|_| Problem::not_found("attempt"))?;
        let stream = known::stream(&workspace, "task", &attempt_id.task.to_string())?;
        let epoch =
            headers.get("capstan-lease-epoch").and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let Some(epoch): Option<u64> = epoch else {
            return Err(Problem::invalid_field(
                "",
                "the header Capstan-Lease-Epoch with a number is required",
            ));
        };
        if attempt_id.epoch != epoch {
            return Err(lease_lost(app.tasks.refresh(&stream).await?.state.as_deref()));
        }
        let loaded = app.tasks.load(&stream).await?;
        let task = loaded.state.as_deref();
        if let Some(live) =
            task.and_then(|task| task.live.as_ref()).filter(|live| live.attempt_id == attempt_id)
        {
            call.actor = Actor::Worker { id: live.worker_id.0 };
        }
        // An expected version has no meaning here: the fence is the condition.
        call.expected_version = None;
        Ok(Self { app, attempt_id, workspace, stream, call, part: String::new() })
    }

    /// Reads which part of the attempt the path names.
    fn part<T: std::str::FromStr + ToString>(&mut self, text: &str, what: &str) -> Result<T, Problem> {
        let part: T = path_id(text, what)?;
        self.part = part.to_string();
        Ok(part)
    }

    pub(super) async fn body<B: DeserializeOwned>(&self, request: Request) -> Result<B, Problem> {
        let (head, body) = request.into_parts();
        let json = body::read(&head.headers, body, self.app.config.command_bytes_max).await?;
        body::parse_optional(&json)
    }

    pub(super) async fn execute<B: CommandBody>(
        &self,
        body: &B,
        command: Command,
    ) -> Result<(CommandContext, Decided<TaskDecider>), Problem> {
        let key = self.key()?;
        let context = self.call.command(&self.stream, key.as_ref(), body);
        let decided = self.app.tasks.execute(&self.stream, &command, &context).await?;
        Ok((context, decided))
    }

    /// A question with its schema checked, and with the inputs that fit it.
    async fn asked(&self, body: OpenBlocker) -> Result<BlockerSpec, Problem> {
        let loaded = self.app.tasks.load(&self.stream).await?;
        answer_schema::prepared(body.into(), loaded.state.as_deref())
    }

    /// Keys of workers hold for what the path names: the same key of another attempt, or about another output, is
    /// another key.
    fn key(&self) -> Result<Option<CommandKey>, Problem> {
        Ok(match self.call.key(None)? {
            Some(CommandKey::Given(key)) => {
                Some(CommandKey::Given(format!("{}/{}/{key}", self.attempt_id.epoch, self.part)))
            }
            key => key,
        })
    }

    /// The task, while this attempt has not ended; what was told to stop may still say its last lines.
    async fn live_task(&self) -> Result<capstan_domain::id::RunId, Problem> {
        let run_of = |task: &Task| {
            task.live.as_ref().filter(|live| live.attempt_id == self.attempt_id).map(|live| live.run_id)
        };
        let loaded = self.app.tasks.load(&self.stream).await?;
        if let Some(run_id) = loaded.state.as_deref().and_then(run_of) {
            return Ok(run_id);
        }
        let loaded = self.app.tasks.refresh(&self.stream).await?;
        match loaded.state.as_deref() {
            Some(task) => run_of(task).ok_or_else(|| lease_lost(Some(task))),
            None => Err(Problem::not_found("attempt")),
        }
    }
}

fn lease_lost(task: Option<&Task>) -> Problem {
    let Some(task) = task else { return Problem::not_found("attempt") };
    let detail = format!("the lease is lost; the task's current epoch is {}", task.epoch);
    Problem { current_epoch: Some(task.epoch), ..Problem::new(Code::LeaseLost, detail) }
}

type Attempt = Path<String>;
type AttemptPart = Path<(String, String)>;
type Shared = State<Arc<App>>;

pub(super) async fn start(
    State(app): Shared,
    Path(attempt): Attempt,
    call: CallContext,
    request: Request,
) -> Result<Reply, Problem> {
    let report = Report::read(app, &attempt, request.headers(), call).await?;
    let body: StartAttempt = report.body(request).await?;
    let attempt_id = report.attempt_id.clone();
    let command = Command::Start(command::Start { attempt_id, at: report.call.received_at });
    let (context, decided) = report.execute(&body, command).await?;
    Ok(Reply::new(StatusCode::OK, &context, &decided))
}

pub(super) async fn append_logs(
    State(app): Shared,
    Path(attempt): Attempt,
    call: CallContext,
    request: Request,
) -> Result<Response, Problem> {
    let report = Report::read(app, &attempt, request.headers(), call).await?;
    let (head, body) = request.into_parts();
    let json = body::read(&head.headers, body, report.app.config.log_batch_bytes_max).await?;
    let AppendLogs(lines) = body::parse(&json)?;
    let lines = logs::kept_lines(&report.attempt_id, lines, report.call.received_at)?;
    keep(&report, lines).await
}

pub(super) async fn append_events(
    State(app): Shared,
    Path(attempt): Attempt,
    call: CallContext,
    request: Request,
) -> Result<Response, Problem> {
    let report = Report::read(app, &attempt, request.headers(), call).await?;
    let (head, body) = request.into_parts();
    let json = body::read(&head.headers, body, report.app.config.log_batch_bytes_max).await?;
    let AppendRunEvents(events) = body::parse(&json)?;
    let events = logs::kept_events(&report.attempt_id, events, report.call.received_at)?;
    keep(&report, events).await
}

async fn keep(report: &Report, lines: Vec<bytes::Bytes>) -> Result<Response, Problem> {
    let run_id = report.live_task().await?;
    let accepted = lines.len();
    report.app.telemetry.append(&report.workspace, report.attempt_id.task.0, run_id.0, lines).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "accepted": accepted }))).into_response())
}

pub(super) async fn produce_output(
    State(app): Shared,
    Path(attempt): Attempt,
    call: CallContext,
    request: Request,
) -> Result<Reply, Problem> {
    let report = Report::read(app, &attempt, request.headers(), call).await?;
    let body: ProduceOutput = report.body(request).await?;
    let task = report.attempt_id.task;
    let key = report.key()?;
    let output_id = body.output_id(task, || unnamed_output(task, key.as_ref(), &report.call));
    let attempt_id = Some(report.attempt_id.clone());
    let at = report.call.received_at;
    let command = Command::ProduceOutput(Box::new(body.to_command(attempt_id, output_id, at)));
    let (context, decided) = report.execute(&body, command).await?;
    let status = if decided.changed { StatusCode::CREATED } else { StatusCode::OK };
    Ok(Reply::new(status, &context, &decided).showing("output_id", &output_id))
}

pub(super) async fn append_rows(
    State(app): Shared,
    Path((attempt, output)): AttemptPart,
    call: CallContext,
    request: Request,
) -> Result<Reply, Problem> {
    let mut report = Report::read(app, &attempt, request.headers(), call).await?;
    let output_id: OutputId = report.part(&output, "output")?;
    let body: AppendRows = report.body(request).await?;
    let command = Command::AppendOutputRows(command::AppendOutputRows {
        attempt_id: Some(report.attempt_id.clone()),
        output_id,
        rows: body.rows.clone(),
        at: report.call.received_at,
    });
    let (context, decided) = report.execute(&body, command).await?;
    Ok(Reply::new(StatusCode::OK, &context, &decided).showing("output_id", &output_id))
}

pub(super) async fn finalize_output(
    State(app): Shared,
    Path((attempt, output)): AttemptPart,
    call: CallContext,
    request: Request,
) -> Result<Reply, Problem> {
    let mut report = Report::read(app, &attempt, request.headers(), call).await?;
    let output_id: OutputId = report.part(&output, "output")?;
    let body: FinalizeOutput = report.body(request).await?;
    let command = Command::FinalizeOutput(command::FinalizeOutput {
        attempt_id: Some(report.attempt_id.clone()),
        output_id,
        summary: body.summary.clone(),
        at: report.call.received_at,
    });
    let (context, decided) = report.execute(&body, command).await?;
    Ok(Reply::new(StatusCode::OK, &context, &decided).showing("output_id", &output_id))
}

pub(super) async fn open_blocker(
    State(app): Shared,
    Path(attempt): Attempt,
    call: CallContext,
    request: Request,
) -> Result<Reply, Problem> {
    let report = Report::read(app, &attempt, request.headers(), call).await?;
    let body: OpenBlocker = report.body(request).await?;
    let command = Command::OpenBlocker(command::OpenBlocker {
        attempt_id: report.attempt_id.clone(),
        blocker: report.asked(body.clone()).await?,
        at: report.call.received_at,
    });
    let (context, decided) = report.execute(&body, command).await?;
    let status = if decided.changed { StatusCode::CREATED } else { StatusCode::OK };
    Ok(Reply::new(status, &context, &decided))
}

/// Takes the oldest input nobody has. An input this attempt took before and has not acknowledged comes again, so that
/// a lost answer loses nothing.
pub(super) async fn claim_input(
    State(app): Shared,
    Path(attempt): Attempt,
    call: CallContext,
    request: Request,
) -> Result<Reply, Problem> {
    let report = Report::read(app, &attempt, request.headers(), call).await?;
    let body: ClaimInput = report.body(request).await?;
    let attempt_id = report.attempt_id.clone();
    let command = Command::ClaimInput(command::ClaimInput { attempt_id, at: report.call.received_at });
    let loaded = report.app.tasks.load(&report.stream).await?;
    let is_live =
        |task: &&Task| task.working_attempt().is_some_and(|live| live.attempt_id == report.attempt_id);
    let held = InputState::Claimed(report.attempt_id.clone());
    let task = loaded.state.as_deref().filter(is_live);
    if let Some(input) = task.and_then(|task| task.inbox.iter().find(|input| input.state == held)) {
        let receipt = Receipt {
            command_id: fresh_id(report.call.received_at),
            position: loaded.head.position,
            version: loaded.head.version,
            duplicate: true,
        };
        let reply = Reply::of_receipt(StatusCode::OK, receipt);
        return Ok(reply.showing("input", &claimed(input)));
    }
    let (context, decided) = report.execute(&body, command).await?;
    let reply = Reply::new(StatusCode::OK, &context, &decided);
    let input = decided.loaded.state.as_deref().and_then(|task| {
        decided.events.iter().find_map(|event| match event {
            capstan_domain::task::Event::InputClaimed(claimed) => task.input(claimed.input_id),
            _ => None,
        })
    });
    Ok(reply.showing("input", &input.map(claimed)))
}

fn claimed(input: &capstan_domain::task::state::Input) -> ClaimedInput {
    ClaimedInput {
        input_id: input.input_id,
        seq: input.seq,
        kind: input.kind,
        message: input.message.clone(),
        answers: input.answers.clone(),
    }
}

pub(super) async fn ack_input(
    State(app): Shared,
    Path((attempt, input)): AttemptPart,
    call: CallContext,
    request: Request,
) -> Result<Reply, Problem> {
    let mut report = Report::read(app, &attempt, request.headers(), call).await?;
    let input_id: InputId = report.part(&input, "input")?;
    let body: AckInput = report.body(request).await?;
    let attempt_id = report.attempt_id.clone();
    let command = Command::AckInput(command::AckInput { attempt_id, input_id, at: report.call.received_at });
    let (context, decided) = report.execute(&body, command).await?;
    Ok(Reply::new(StatusCode::OK, &context, &decided))
}

pub(super) async fn defer_input(
    State(app): Shared,
    Path((attempt, input)): AttemptPart,
    call: CallContext,
    request: Request,
) -> Result<Reply, Problem> {
    let mut report = Report::read(app, &attempt, request.headers(), call).await?;
    let input_id: InputId = report.part(&input, "input")?;
    let body: DeferInput = report.body(request).await?;
    let command = Command::DeferInput(command::DeferInput {
        attempt_id: report.attempt_id.clone(),
        input_id,
        reason: body.reason.clone(),
        at: report.call.received_at,
    });
    let (context, decided) = report.execute(&body, command).await?;
    Ok(Reply::new(StatusCode::OK, &context, &decided))
}

pub(super) async fn record_usage(
    State(app): Shared,
    Path(attempt): Attempt,
    call: CallContext,
    request: Request,
) -> Result<Reply, Problem> {
    let report = Report::read(app, &attempt, request.headers(), call).await?;
    let body: RecordUsage = report.body(request).await?;
    let command = Command::RecordUsage(command::RecordUsage {
        attempt_id: report.attempt_id.clone(),
        usage: body.0.clone(),
        at: report.call.received_at,
    });
    let (context, decided) = report.execute(&body, command).await?;
    Ok(Reply::new(StatusCode::OK, &context, &decided))
}

pub(super) async fn finish(
    State(app): Shared,
    Path(attempt): Attempt,
    call: CallContext,
    request: Request,
) -> Result<Reply, Problem> {
    let report = Report::read(app, &attempt, request.headers(), call).await?;
    let body: FinishAttempt = report.body(request).await?;
    let blocker = match &body.blocker {
        Some(blocker) => Some(report.asked(blocker.clone()).await?),
        None => None,
    };
    let command = Command::Finish(Box::new(command::Finish {
        attempt_id: report.attempt_id.clone(),
        outcome: body.outcome,
        exit_code: body.exit_code,
        error: body.error.clone(),
        error_class: body.error_class,
        retry_after_ms: body.retry_after_ms,
        usage: body.usage.clone(),
        waiting_for_input: body.waiting_for_input,
        blocker,
        wake: body.wake.clone().map(Into::into),
        fan_out: body.fan_out(),
        result: body.result.clone(),
        at: report.call.received_at,
    }));
    let (context, decided) = report.execute(&body, command).await?;
    Ok(Reply::new(StatusCode::OK, &context, &decided))
}

/// Gives the attempt back to the queue. An attempt that was told to stop is finished, not given back.
pub(super) async fn give_back(
    State(app): Shared,
    Path(attempt): Attempt,
    call: CallContext,
    request: Request,
) -> Result<Reply, Problem> {
    let report = Report::read(app, &attempt, request.headers(), call).await?;
    let body: ReturnAttempt = report.body(request).await?;
    let command = Command::ExpireLease(command::ExpireLease {
        attempt_id: report.attempt_id.clone(),
        returned: true,
        reason: body.reason.clone().unwrap_or_else(|| "the worker gave it back".to_owned()),
        at: report.call.received_at,
    });
    let (context, decided) = report.execute(&body, command).await?;
    if !decided.changed && !decided.duplicate {
        return Err(lease_lost(decided.loaded.state.as_deref()));
    }
    Ok(Reply::new(StatusCode::OK, &context, &decided))
}
