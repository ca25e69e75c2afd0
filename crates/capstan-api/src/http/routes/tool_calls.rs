//! The gate of tool calls, and workers that carry approved ones out.
//!
//! The gate fails closed: what cannot be looked up is refused with a problem document, and a worker must not call a tool
//! on anything but `allow`.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Request, State};
use capstan_contract::command::{CheckToolCall, ClaimToolCall, Conditions, ReportToolCall};
use capstan_contract::lease::{ClaimedToolCall, ToolClaim};
use capstan_domain::id::{BlockerId, ToolCallId, WorkerId};
use capstan_domain::task::event::{ToolExecutor, ToolOutcome};
use capstan_domain::task::tool_call::{Gate, gate};
use capstan_domain::task::{Command, Event, command};
use capstan_domain::workspace::Settings;
use capstan_engine::WorkerStatus;
use capstan_envelope::{Actor, Workspace};
use schemars::JsonSchema;
use serde::Serialize;

use super::report::Report;
use crate::App;
use crate::auth::caller::Caller;
use crate::call::{CallContext, CommandKey};
use crate::http::body;
use crate::http::parameters::{Parameters, path_id};
use crate::problem::Problem;
use crate::receipt::{Reply, Success};
use crate::use_case::streams;

/// Longest wait for a call, in milliseconds; longer wishes are cut to it.
const WAIT_MS_MAX: u64 = 30_000;
/// How long the gate looks for a worker that carries out the tool. Without one the agent does it itself.
const LOOK: Duration = Duration::from_secs(1);

/// The decision of the gate on a tool call.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ToolDecision {
    decision: Decision,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<ToolCallId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocker_id: Option<BlockerId>,
    reason: &'static str,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Decision {
    Allow,
    Deferred,
    Pending,
    Rejected,
}

impl ToolDecision {
    fn from_gate(gate: &Gate) -> Self {
        let plain = |decision, reason| Self { decision, tool_call_id: None, blocker_id: None, reason };
        match gate {
            Gate::Allow(_) => plain(Decision::Allow, "call it"),
            // Only a call that could not be recorded looks so.
            Gate::Defer => plain(Decision::Rejected, "the call could not be kept"),
            Gate::Pending { tool_call_id, blocker_id } => Self {
                tool_call_id: *tool_call_id,
                blocker_id: *blocker_id,
                ..plain(Decision::Pending, "something is being decided already; do not call, the task waits")
            },
            Gate::Refuse(reason) => plain(Decision::Rejected, reason),
        }
    }

    fn from_events(events: &[Event]) -> Option<Self> {
        events.iter().find_map(|event| match event {
            Event::ToolCallAllowed(_) => Some(Self::from_gate(&Gate::Allow(None))),
            Event::ToolCallDeferred(kept) => Some(Self {
                decision: Decision::Deferred,
                tool_call_id: Some(kept.tool_call_id),
                blocker_id: None,
                reason: "a person is asked; do not call, the task waits",
            }),
            _ => None,
        })
    }
}

pub(super) async fn check(report: Report, request: Request) -> Result<Json<ToolDecision>, Problem> {
    let body: CheckToolCall = report.body(request).await?;
    let settings = settings(&report.app, &report.workspace).await?;
    let mut check = command::CheckToolCall {
        attempt_id: report.attempt_id.clone(),
        tool: body.tool.clone(),
        arguments: body.arguments.clone(),
        summary: body.summary.clone(),
        details: body.details.clone(),
        is_write: body.is_write,
        approval_policy: settings.approval_policy,
        is_disabled: settings.disabled_tools.contains(body.tool.trim()),
        executor: None,
    };
    let loaded = report.app.dispatch.tasks.load(&report.stream).await?;
    // Looking for somebody who could carry it out costs time: only for a call that will be kept.
    if loaded.state.as_deref().is_some_and(|task| gate(task, &check, report.at()) == Ok(Gate::Defer)) {
        check.executor = executor(&report.app, &report.workspace, &settings, body.tool.trim()).await;
    }
    let command = Command::CheckToolCall(Box::new(check.clone()));
    let (_, decided) = report.execute(&body, command).await?;
    let mut answer = match (ToolDecision::from_events(&decided.events), decided.loaded.state.as_deref()) {
        (Some(answer), _) => answer,
        (None, Some(task)) => ToolDecision::from_gate(&gate(task, &check, report.at())?),
        (None, None) => return Err(Problem::not_found("attempt")),
    };
    let open =
        decided.loaded.state.as_deref().and_then(|task| task.blocker.as_ref()).map(|open| &open.opened);
    if let (None, Some(open)) = (answer.blocker_id, open)
        && answer.tool_call_id.is_some()
        && open.tool_call_id == answer.tool_call_id
    {
        answer.blocker_id = Some(open.blocker_id);
    }
    Ok(Json(answer))
}

/// What the workspace has decided, as the log has it now: a rule that was made stricter holds at once.
async fn settings(app: &App, workspace: &Workspace) -> Result<Settings, Problem> {
    let stream = streams::workspace(workspace)?;
    let loaded = app.dispatch.workspaces.refresh(&stream).await?;
    loaded.state.settings().cloned().ok_or_else(|| Problem::not_found("workspace"))
}

/// Who can carry out a call of the tool once it is approved.
async fn executor(app: &App, workspace: &Workspace, settings: &Settings, tool: &str) -> Option<ToolExecutor> {
    if settings.tools.contains_key(tool) {
        return Some(ToolExecutor::Http);
    }
    let workers = tokio::time::timeout(LOOK, app.engine.workers()).await.ok()?.ok()?;
    let can = workers.iter().any(|worker| {
        worker.status == WorkerStatus::Active
            && worker.reach.includes(workspace.as_str())
            && worker.tools.iter().any(|declared| declared == tool)
    });
    can.then_some(ToolExecutor::Worker)
}

pub(super) async fn claim(
    State(app): State<Arc<App>>,
    Path(worker): Path<String>,
    caller: Caller,
    parameters: Parameters,
    request: Request,
) -> Result<Json<Option<ClaimedToolCall>>, Problem> {
    parameters.finish()?;
    let worker: WorkerId = path_id(&worker, "worker")?;
    let ClaimToolCall { wait_ms } = body::read_as(request, app.config.command_bytes_max).await?;
    let wait = Duration::from_millis(wait_ms.min(WAIT_MS_MAX));
    let engine = app.engine.within(caller.reach());
    tokio::select! {
        call = engine.claim_tool_call(worker, wait) => Ok(Json(call?)),
        // A poll does not outlive its token.
        () = app.holders.until_refused(&caller) => Ok(Json(None)),
        () = app.stopping.cancelled() => Ok(Json(None)),
    }
}

pub(super) async fn report(
    State(app): State<Arc<App>>,
    Path((worker, claim)): Path<(String, String)>,
    caller: Caller,
    parameters: Parameters,
    mut call: CallContext,
    request: Request,
) -> Result<Reply, Problem> {
    parameters.finish()?;
    let worker: WorkerId = path_id(&worker, "worker")?;
    let claim: ToolClaim = claim.parse().map_err(|_| Problem::not_found("tool call"))?;
    let body: ReportToolCall = body::read_as(request, app.config.command_bytes_max).await?;
    let workspace = Workspace::new(&claim.workspace).map_err(|_| Problem::not_found("tool call"))?;
    // What is in another workspace does not exist.
    if !caller.reach().includes(workspace.as_str()) {
        return Err(Problem::not_found("tool call"));
    }
    let stream = streams::task(&workspace, claim.task_id)?;
    call.actor = Actor::Worker { id: worker.0 };
    call.expected_version = None;
    let key = call.with(Conditions::default())?.key().map(|key| match key {
        CommandKey::Given(key) => CommandKey::Given(format!("{claim}/{key}")),
        CommandKey::Id(id) => CommandKey::Id(id),
    });
    let context = call.command(&stream, key.as_ref(), &body);
    let is_well = body.error.is_none() && body.exit_code.is_none_or(|code| code == 0);
    let command = Command::EndToolCall(Box::new(command::EndToolCall {
        tool_call_id: claim.tool_call_id,
        try_no: claim.try_no,
        worker_id: Some(worker),
        outcome: if is_well { ToolOutcome::Ok } else { ToolOutcome::Error },
        exit_code: body.exit_code,
        stdout: body.stdout,
        stderr: body.stderr,
        error: body.error,
    }));
    let decided = app.dispatch.tasks.execute(&stream, &command.at(call.received_at), &context).await?;
    Ok(Reply::new(Success::Done, &context, &decided))
}
