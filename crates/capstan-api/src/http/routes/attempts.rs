//! Calls of the worker that holds the lease of an attempt.
//!
//! Every call names the attempt and, in `Capstan-Lease-Epoch`, the epoch of its lease; a call under a lease that is
//! gone is refused and changes nothing.

use axum::Json;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use capstan_contract::command::{
    AckInput, AppendLogs, AppendRows, AppendRunEvents, ClaimInput, DeferInput, FinalizeOutput, FinishAttempt,
    OpenBlocker, ProduceOutput, RecordUsage, ReturnAttempt, StartAttempt,
};
use capstan_contract::lease::ClaimedInput;
use capstan_domain::id::{InputId, OutputId};
use capstan_domain::task::state::InputState;
use capstan_domain::task::{Command, Event, Task, command};
use serde_json::json;

use super::report::{Report, lease_lost};
use crate::call::fresh_id;
use crate::problem::Problem;
use crate::receipt::{Receipt, Reply, Success};
use crate::use_case::logs;
use crate::use_case::output::unnamed_output;

pub(super) async fn start(report: Report, request: Request) -> Result<Reply, Problem> {
    let body: StartAttempt = report.body(request).await?;
    let attempt_id = report.attempt_id.clone();
    let command = Command::Start(command::Start { attempt_id });
    report.take(&body, command).await
}

pub(super) async fn append_logs(report: Report, request: Request) -> Result<Response, Problem> {
    let AppendLogs { lines } = report.lines(request).await?;
    let lines = logs::kept_lines(&report.attempt_id, lines, report.at())?;
    keep(&report, lines).await
}

pub(super) async fn append_events(report: Report, request: Request) -> Result<Response, Problem> {
    let AppendRunEvents { events } = report.lines(request).await?;
    let events = logs::kept_events(&report.attempt_id, events, report.at())?;
    keep(&report, events).await
}

async fn keep(report: &Report, lines: Vec<bytes::Bytes>) -> Result<Response, Problem> {
    let run_id = report.live_run().await?;
    let accepted = lines.len();
    report.app.telemetry.append(&report.workspace, report.attempt_id.task.0, run_id.0, lines).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "accepted": accepted }))).into_response())
}

pub(super) async fn produce_output(report: Report, request: Request) -> Result<Reply, Problem> {
    let body: ProduceOutput = report.body(request).await?;
    let task = report.attempt_id.task;
    let key = report.key()?;
    let output_id = body.output_id(task, || unnamed_output(task, key.as_ref(), &report.call));
    let attempt_id = Some(report.attempt_id.clone());
    let command = Command::ProduceOutput(Box::new(body.to_command(attempt_id, output_id)));
    Ok(report.create(&body, command).await?.showing("output_id", &output_id))
}

pub(super) async fn append_rows(mut report: Report, request: Request) -> Result<Reply, Problem> {
    let output_id: OutputId = report.part("output_id")?;
    let body: AppendRows = report.body(request).await?;
    let command = Command::AppendOutputRows(command::AppendOutputRows {
        attempt_id: Some(report.attempt_id.clone()),
        output_id,
        rows: body.rows.clone(),
    });
    Ok(report.take(&body, command).await?.showing("output_id", &output_id))
}

pub(super) async fn finalize_output(mut report: Report, request: Request) -> Result<Reply, Problem> {
    let output_id: OutputId = report.part("output_id")?;
    let body: FinalizeOutput = report.body(request).await?;
    let command = Command::FinalizeOutput(command::FinalizeOutput {
        attempt_id: Some(report.attempt_id.clone()),
        output_id,
        summary: body.summary.clone(),
    });
    Ok(report.take(&body, command).await?.showing("output_id", &output_id))
}

pub(super) async fn open_blocker(report: Report, request: Request) -> Result<Reply, Problem> {
    let body: OpenBlocker = report.body(request).await?;
    let command = Command::OpenBlocker(command::OpenBlocker {
        attempt_id: report.attempt_id.clone(),
        blocker: report.asked(body.clone()).await?,
    });
    report.create(&body, command).await
}

/// Takes the oldest input nobody has. An input this attempt took before and has not acknowledged comes again, so that
/// a lost answer loses nothing.
pub(super) async fn claim_input(report: Report, request: Request) -> Result<Reply, Problem> {
    let body: ClaimInput = report.body(request).await?;
    let attempt_id = report.attempt_id.clone();
    let command = Command::ClaimInput(command::ClaimInput { attempt_id });
    let loaded = report.app.dispatch.tasks.load(&report.stream).await?;
    let is_live =
        |task: &&Task| task.working_attempt().is_some_and(|live| live.attempt_id == report.attempt_id);
    let held = InputState::Claimed(report.attempt_id.clone());
    let task = loaded.state.as_deref().filter(is_live);
    if let Some(input) = task.and_then(|task| task.inbox.iter().find(|input| input.state == held)) {
        let receipt = Receipt {
            command_id: fresh_id(report.at()),
            position: loaded.head.position,
            version: loaded.head.version,
            duplicate: true,
        };
        let reply = Reply::from_receipt(Success::Done, receipt);
        return Ok(reply.showing("input", &claimed(input)));
    }
    let (context, decided) = report.execute(&body, command).await?;
    let reply = Reply::new(Success::Done, &context, &decided);
    let input = decided.loaded.state.as_deref().and_then(|task| {
        decided.events.iter().find_map(|event| match event {
            Event::InputClaimed(claimed) => task.input(claimed.input_id),
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

pub(super) async fn ack_input(mut report: Report, request: Request) -> Result<Reply, Problem> {
    let input_id: InputId = report.part("input_id")?;
    let body: AckInput = report.body(request).await?;
    let attempt_id = report.attempt_id.clone();
    let command = Command::AckInput(command::AckInput { attempt_id, input_id });
    report.take(&body, command).await
}

pub(super) async fn defer_input(mut report: Report, request: Request) -> Result<Reply, Problem> {
    let input_id: InputId = report.part("input_id")?;
    let body: DeferInput = report.body(request).await?;
    let command = Command::DeferInput(command::DeferInput {
        attempt_id: report.attempt_id.clone(),
        input_id,
        reason: body.reason.clone(),
    });
    report.take(&body, command).await
}

pub(super) async fn record_usage(report: Report, request: Request) -> Result<Reply, Problem> {
    let body: RecordUsage = report.body(request).await?;
    let command = Command::RecordUsage(command::RecordUsage {
        attempt_id: report.attempt_id.clone(),
        usage: body.usage.clone(),
    });
    report.take(&body, command).await
}

pub(super) async fn finish(report: Report, request: Request) -> Result<Reply, Problem> {
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
    }));
    report.take(&body, command).await
}

/// Gives the attempt back to the queue. An attempt that was told to stop is finished, not given back.
pub(super) async fn give_back(report: Report, request: Request) -> Result<Reply, Problem> {
    let body: ReturnAttempt = report.body(request).await?;
    let command = Command::ExpireLease(command::ExpireLease {
        attempt_id: report.attempt_id.clone(),
        returned: true,
        reason: body.reason.clone().unwrap_or_else(|| "the worker gave it back".to_owned()),
    });
    let (context, decided) = report.execute(&body, command).await?;
    if !decided.changed && !decided.duplicate {
        return Err(lease_lost(decided.loaded.state.as_deref()));
    }
    Ok(Reply::new(Success::Done, &context, &decided))
}
