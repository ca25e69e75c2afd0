//! Tool calls of the agent that a person must approve first.
//!
//! The gate is asked before every call. A deferred call is an event of the task, together with the
//! question that decides it; the task waits. An approval is recorded before anything is executed, and names the executor:
//! then the task still waits, for the execution. Each try is claimed with an event too: after a crash the next executor
//! knows that a try began, and repeats it with the same idempotency key, the call's id.
//!
//! | decision | executor | what follows |
//! |---|---|---|
//! | approved | there is one | executed once; the agent receives the result |
//! | approved | none | the agent is asked to call again; the same call passes once, within two minutes |
//! | rejected without a reason | | the agent is informed; the same call is refused for ten minutes |
//! | rejected with a reason | | the agent is asked to revise it |
//!
//! The gate fails closed: an unknown policy asks, and nothing passes because something could not be looked up.

use chrono::{DateTime, Utc};

use crate::Faults;
use crate::id::{BlockerId, InputId, OutputId, ToolCallId};
use crate::task::command::{EndToolCall, StartToolCall, ToolCheck};
use crate::task::event::{
    BlockerKind, BlockerOpened, Event, InputSource, ToolCallAllowed, ToolCallDeferred, ToolExecutionEnded,
    ToolExecutionStarted, ToolExecutor, ToolOutcome, ToolPermission,
};
use crate::task::rejection::Rejection;
use crate::task::shortened::{TEXT_BYTES_MAX, shortened_as_json};
use crate::task::state::{Live, Task, ToolCall, ToolCallState};
use crate::task::steps::tool_call::agent_text;
pub use crate::task::steps::tool_call::{CallDecision, decide_call};
use crate::task::steps::{blocker, input};
use crate::task::tool_call::summary::Shown;
use crate::task::transitions::TaskState;
use crate::workspace::settings::ApprovalPolicy;

mod email;
mod summary;

/// Most tries of one call, all with the same idempotency key; after that its outcome is unknown.
pub const TRIES_MAX: u32 = 5;
/// The longest arguments of a call, in bytes of JSON.
const ARGUMENTS_BYTES_MAX: usize = 256 * 1024;
/// The longest name of a tool, in bytes.
const TOOL_BYTES_MAX: usize = 256;
/// The policy `ask` under which the configuration of the agent says which tools need no approval.
const ON_MISS: &str = "on-miss";

/// The answer of the gate to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    /// The agent may call. A permission is recorded, reading needs none.
    Allow(Option<ToolPermission>),
    /// The call is deferred; a person is asked.
    Defer,
    /// A question or an execution is pending already.
    Pending {
        /// The call that waits, when it is one.
        tool_call_id: Option<ToolCallId>,
        /// The question that is open, when there is one.
        blocker_id: Option<BlockerId>,
    },
    /// The agent may not call.
    Refuse(&'static str),
}

/// Asks the gate; the caller must hold the lease. Changes nothing.
pub fn gate(task: &Task, check: &ToolCheck, at: DateTime<Utc>) -> Result<Gate, Rejection> {
    task.fenced(&check.attempt_id)?;
    let command = &check.command;
    let tool = command.tool.trim();
    let mut faults = Faults::default();
    let is_short = faults.required("/tool", tool).len() <= TOOL_BYTES_MAX;
    faults.require(is_short, "/tool", format_args!("must be at most {TOOL_BYTES_MAX} bytes"));
    faults.into_result().map_err(Rejection::Invalid)?;
    if command.arguments.to_string().len() > ARGUMENTS_BYTES_MAX {
        return Err(Rejection::TooLarge { field: "arguments", limit_bytes: ARGUMENTS_BYTES_MAX });
    }
    if check.is_disabled {
        return Ok(Gate::Refuse("the tool is disabled in this workspace"));
    }
    if !asks(task, tool, check) {
        return Ok(Gate::Allow(command.is_write.then_some(ToolPermission::Policy)));
    }
    let same = |call: &&ToolCall| {
        call.deferred.tool == tool && call.deferred.arguments_fingerprint == check.arguments_fingerprint
    };
    let known = || task.tool_calls.values().filter(|call| !call.is_forgotten(at)).filter(same);
    if known().any(|call| matches!(call.state, ToolCallState::PreApproved { .. })) {
        return Ok(Gate::Allow(Some(ToolPermission::PreApproval)));
    }
    let blocker_id = task.blocker.as_ref().map(|blocker| blocker.opened.blocker_id);
    let asked = task.blocker.as_ref().and_then(|blocker| blocker.opened.tool_call_id);
    let is_open = |call: &&ToolCall| match call.state {
        ToolCallState::Pending => asked == Some(call.deferred.tool_call_id),
        ToolCallState::Approved { .. } | ToolCallState::Executing { .. } => true,
        ToolCallState::Rejected { .. } | ToolCallState::PreApproved { .. } => false,
    };
    let is_rejected = |call: &ToolCall| matches!(call.state, ToolCallState::Rejected { .. });
    if let Some(call) = known().find(is_open) {
        return Ok(Gate::Pending { tool_call_id: Some(call.deferred.tool_call_id), blocker_id });
    }
    if known().any(is_rejected) {
        return Ok(Gate::Refuse("a person rejected this call; do not repeat it"));
    }
    let executing = task.executing_call().map(|call| call.deferred.tool_call_id);
    if blocker_id.is_some() || executing.is_some() || task.state != TaskState::Running {
        return Ok(Gate::Pending { tool_call_id: asked.or(executing), blocker_id });
    }
    Ok(Gate::Defer)
}

/// True when a person must be asked. The rule of the run comes first; without one, the workspace's applies to writes.
fn asks(task: &Task, tool: &str, check: &ToolCheck) -> bool {
    match task.accepted.policy.ask.as_str() {
        "off" => {}
        ON_MISS => return !check.is_listed,
        // `always`, and any word of a later release: asking is the safe reading.
        _ => return true,
    }
    check.command.is_write
        && match check.approval_policy {
            ApprovalPolicy::AutoApproveAll => false,
            ApprovalPolicy::ApproveEmailsOnly => email::is_email(tool),
            ApprovalPolicy::Ask => true,
        }
}

/// True when the gate asks for the tools that the configuration of the task's agent does not list, and for no others.
pub fn asks_for_what_is_not_listed(task: &Task) -> bool {
    task.accepted.policy.ask == ON_MISS
}

pub(super) fn check(task: &Task, check: &ToolCheck, at: DateTime<Utc>) -> Result<Vec<Event>, Rejection> {
    let live = task.fenced(&check.attempt_id)?;
    Ok(match gate(task, check, at)? {
        Gate::Allow(Some(by)) => vec![Event::ToolCallAllowed(ToolCallAllowed {
            run_id: live.run_id,
            attempt_id: live.attempt_id.clone(),
            tool: check.command.tool.trim().to_owned(),
            arguments_fingerprint: check.arguments_fingerprint.clone(),
            by,
            at,
        })],
        Gate::Defer => defer(task, live, check, at),
        Gate::Allow(None) | Gate::Pending { .. } | Gate::Refuse(_) => Vec::new(),
    })
}

fn defer(task: &Task, live: &Live, check: &ToolCheck, at: DateTime<Utc>) -> Vec<Event> {
    let command = &check.command;
    let tool = command.tool.trim();
    let Shown { summary, details } = summary::of(command);
    let asked = blocker::question(task, live.run_id, BlockerKind::Approval, summary.clone(), at);
    let tool_call_id = ToolCallId::for_blocker(asked.blocker_id);
    let deferred = ToolCallDeferred {
        tool_call_id,
        run_id: live.run_id,
        attempt_id: live.attempt_id.clone(),
        tool: tool.to_owned(),
        arguments: command.arguments.clone(),
        arguments_fingerprint: check.arguments_fingerprint.clone(),
        summary,
        details: details.clone(),
        executor: check.executor,
        at,
    };
    let opened = BlockerOpened { details, tool_call_id: Some(tool_call_id), ..asked };
    vec![Event::ToolCallDeferred(deferred), Event::BlockerOpened(opened)]
}

pub(super) fn start(
    task: &Task,
    command: &StartToolCall,
    at: DateTime<Utc>,
) -> Result<Vec<Event>, Rejection> {
    let call = task.tool_calls.get(&command.tool_call_id).ok_or(Rejection::PartNotFound("tool call"))?;
    let refused = |why: &'static str| Rejection::IllegalTransition {
        what: "executing",
        subject: "tool call",
        state: why.into(),
    };
    if task.state.is_terminal() {
        return Err(refused("part of a task that is over"));
    }
    let (executor, expected) = match &call.state {
        ToolCallState::Approved { executor, .. } => (*executor, 1),
        ToolCallState::Executing { try_no, worker_id, .. }
            if (*try_no, *worker_id) == (command.try_no, command.worker_id) =>
        {
            return Ok(Vec::new());
        }
        ToolCallState::Executing { executor, try_no, until, .. }
            if *until <= at || (command.has_failed && command.worker_id.is_none()) =>
        {
            (*executor, try_no.saturating_add(1))
        }
        ToolCallState::Executing { .. } => return Err(refused("claimed by another try")),
        ToolCallState::Pending | ToolCallState::Rejected { .. } | ToolCallState::PreApproved { .. } => {
            return Err(refused("not approved, or approved for the agent to repeat"));
        }
    };
    let is_executor = match executor {
        ToolExecutor::Http => command.worker_id.is_none(),
        ToolExecutor::Worker => command.worker_id.is_some(),
    };
    if command.try_no != expected || expected > TRIES_MAX || !is_executor {
        return Err(refused("open for another try or another executor"));
    }
    Ok(vec![Event::ToolExecutionStarted(ToolExecutionStarted {
        tool_call_id: command.tool_call_id,
        try_no: command.try_no,
        worker_id: command.worker_id,
        until: command.until,
        at,
    })])
}

/// Records the report of a try and informs the agent. A call that ended before is not ended again.
pub(super) fn end(task: &Task, command: &EndToolCall, at: DateTime<Utc>) -> Result<Vec<Event>, Rejection> {
    let Some(call) = task.tool_calls.get(&command.tool_call_id) else { return Ok(Vec::new()) };
    let is_claimed = match &call.state {
        ToolCallState::Executing { try_no, worker_id, .. } => {
            (*try_no, *worker_id) == (command.try_no, command.worker_id)
        }
        // The control plane may give up what it cannot even begin.
        ToolCallState::Approved { .. } => command.try_no == 0 && command.worker_id.is_none(),
        ToolCallState::Pending | ToolCallState::Rejected { .. } | ToolCallState::PreApproved { .. } => false,
    };
    if !is_claimed {
        return Err(Rejection::IllegalTransition {
            what: "reporting a result",
            subject: "tool call",
            state: "not claimed by this try".into(),
        });
    }
    // As JSON, for it must fit into one message of the log, twice, whatever characters the tool writes: what was executed is
    // always recorded.
    let kept = |text: &str| shortened_as_json(text, TEXT_BYTES_MAX);
    let ended = ToolExecutionEnded {
        tool_call_id: command.tool_call_id,
        outcome: command.outcome,
        exit_code: command.exit_code,
        stdout: kept(&command.stdout),
        stderr: kept(&command.stderr),
        error: command.error.as_deref().map(kept),
        at,
    };
    let mut events = Vec::new();
    if ended.outcome == ToolOutcome::Ok {
        let output_id = OutputId::of_tool_call(task.id(), command.tool_call_id);
        events.extend(email::output(&call.deferred, output_id, &ended));
    }
    let message = agent_text::executed(call, &ended);
    events.push(Event::ToolExecutionEnded(ended));
    // A task that ended meanwhile is not opened by what was left to report.
    if !task.state.is_terminal() {
        let input_id = InputId::of_report(task.id(), task.inbox.next_seq());
        events.extend(input::report(task, input_id, InputSource::ToolCall, message, at));
    }
    Ok(events)
}

#[cfg(test)]
mod tests;
