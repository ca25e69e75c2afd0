//! The gate of tool calls, and workers that execute approved ones.
//!
//! The gate fails closed: what cannot be looked up is refused with a problem document, and a worker must not call a tool
//! on anything but `allow`.

use std::time::Duration;

use capstan_contract::command::{
    CheckToolCall, ClaimConditions, ClaimToolCall, Conditions, LeaseConditions, ReportToolCall, Unconditional,
};
use capstan_contract::lease::{Decision, ToolClaim, ToolDecision};
use capstan_domain::task::event::{ToolExecutor, ToolOutcome};
use capstan_domain::task::tool_call::{Gate, asks_for_what_is_not_listed, gate};
use capstan_domain::task::{Command, Event, command};
use capstan_domain::workspace::Settings;
use capstan_engine::WorkerStatus;
use capstan_envelope::{Actor, Workspace};

use super::worker::poll;
use super::worker_call::{Calling, WorkerCall};
use super::{agent_config, streams};
use crate::App;
use crate::answered::Answered;
use crate::call::CommandKey;
use crate::problem::Problem;
use crate::receipt::{Reply, Success};

/// Time the gate looks for a worker that executes the tool. Without one the agent does it itself.
const LOOK: Duration = Duration::from_secs(1);

/// The decision that follows from the state of the gate.
fn from_gate(gate: &Gate) -> ToolDecision {
    let (decision, reason) = match gate {
        Gate::Allow(_) => (Decision::Allow, "the call is allowed"),
        // Only a call that could not be recorded looks so.
        Gate::Defer => (Decision::Rejected, "the call could not be recorded"),
        Gate::Pending { .. } => (
            Decision::Pending,
            "another question or call of the task is not decided yet; do not call, the task waits",
        ),
        Gate::Refuse(reason) => (Decision::Rejected, *reason),
    };
    let (tool_call_id, blocker_id) = match gate {
        Gate::Pending { tool_call_id, blocker_id } => (*tool_call_id, *blocker_id),
        Gate::Allow(_) | Gate::Defer | Gate::Refuse(_) => (None, None),
    };
    ToolDecision { decision, tool_call_id, blocker_id, reason: reason.to_owned() }
}

/// The decision that was recorded.
fn from_events(events: &[Event]) -> Option<ToolDecision> {
    events.iter().find_map(|event| match event {
        Event::ToolCallAllowed(_) => Some(from_gate(&Gate::Allow(None))),
        Event::ToolCallDeferred(kept) => Some(ToolDecision {
            decision: Decision::Deferred,
            tool_call_id: Some(kept.tool_call_id),
            blocker_id: None,
            reason: "a person must approve the call first; do not call, the task waits".to_owned(),
        }),
        _ => None,
    })
}

impl WorkerCall for CheckToolCall {
    async fn execute(self, from: Calling<'_, LeaseConditions>) -> Result<Answered, Problem> {
        let fence = from.fence().await?;
        let app = fence.app;
        let settings = settings(app, &fence.workspace).await?;
        let identity = self.arguments_identity(fence.attempt_id.task);
        let mut check = command::ToolCheck {
            command: self.clone(),
            arguments_fingerprint: fence.app.fingerprint(&identity),
            attempt_id: fence.attempt_id.clone(),
            approval_policy: settings.approval_policy,
            is_disabled: settings.disabled_tools.contains(self.tool.trim()),
            is_listed: false,
            executor: None,
        };
        let loaded = app.dispatch.tasks.load(&fence.stream).await?;
        if let Some(task) = loaded.state.as_deref().filter(|task| asks_for_what_is_not_listed(task)) {
            let tool = self.tool.trim();
            check.is_listed = agent_config::lists(app, &fence.workspace, &task.accepted, tool).await?;
        }
        // Looking for a worker that could execute it costs time: only for a call that will be kept.
        if loaded.state.as_deref().is_some_and(|task| gate(task, &check, fence.at()) == Ok(Gate::Defer)) {
            check.executor = executor(app, &fence.workspace, &settings, self.tool.trim()).await;
        }
        let command = Command::CheckToolCall(Box::new(check.clone()));
        let (_, decided) = fence.execute(&self, command).await?;
        let task = decided.loaded.state.as_deref();
        let mut answer = match (from_events(&decided.events), task) {
            (Some(answer), _) => answer,
            (None, Some(task)) => from_gate(&gate(task, &check, fence.at())?),
            (None, None) => return Err(Problem::not_found("attempt")),
        };
        let open = task.and_then(|task| task.blocker.as_ref()).map(|open| &open.opened);
        if let (None, Some(open)) = (answer.blocker_id, open)
            && answer.tool_call_id.is_some()
            && open.tool_call_id == answer.tool_call_id
        {
            answer.blocker_id = Some(open.blocker_id);
        }
        Ok(Answered::json(&answer))
    }
}

/// The workspace's rules as the log has them now: a stricter rule applies at once.
async fn settings(app: &App, workspace: &Workspace) -> Result<Settings, Problem> {
    let stream = streams::workspace(workspace)?;
    let loaded = app.dispatch.workspaces.refresh(&stream).await?;
    loaded.state.settings().cloned().ok_or_else(|| Problem::not_found("workspace"))
}

/// The executor of a call of the tool once it is approved.
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

impl WorkerCall for ClaimToolCall {
    async fn execute(self, from: Calling<'_, Unconditional>) -> Result<Answered, Problem> {
        let engine = from.app.engine.within(from.caller.reach());
        let wait = poll(self.wait_ms)?;
        let call = tokio::select! {
            call = engine.claim_tool_call(self.worker_id, wait) => call?,
            () = from.ended() => None,
        };
        Ok(Answered::json(&call))
    }
}

impl WorkerCall for ReportToolCall {
    async fn execute(self, from: Calling<'_, ClaimConditions>) -> Result<Answered, Problem> {
        let Calling { app, caller, mut call, conditions } = from;
        let ClaimConditions { worker_id, claim, idempotency_key, command_id } = conditions;
        let claim: ToolClaim = claim.parse().map_err(|_| Problem::not_found("tool call"))?;
        let workspace = Workspace::new(&claim.workspace).map_err(|_| Problem::not_found("tool call"))?;
        // What is in another workspace does not exist.
        if !caller.reach().includes(workspace.as_str()) {
            return Err(Problem::not_found("tool call"));
        }
        let stream = streams::task(&workspace, claim.task_id)?;
        call.actor = Actor::Worker;
        call.conditions = Conditions { idempotency_key, command_id, expected_version: None };
        let key = call.key().map(|key| match key {
            CommandKey::Given(key) => {
                CommandKey::Given(format!("{}/{}/{key}", claim.try_no, claim.tool_call_id))
            }
            CommandKey::Id(id) => CommandKey::Id(id),
        });
        let context = call.command(&stream, key.as_ref(), &self);
        let succeeded = self.error.is_none() && self.exit_code.is_none_or(|code| code == 0);
        let command = Command::EndToolCall(Box::new(command::EndToolCall {
            tool_call_id: claim.tool_call_id,
            try_no: claim.try_no,
            worker_id: Some(worker_id),
            outcome: if succeeded { ToolOutcome::Ok } else { ToolOutcome::Error },
            exit_code: self.exit_code,
            stdout: self.stdout,
            stderr: self.stderr,
            error: self.error,
        }));
        let decided = app.dispatch.tasks.execute(&stream, &command.at(call.received_at), &context).await?;
        Ok(Reply::new(Success::Done, &stream, &context, &decided).into())
    }
}
