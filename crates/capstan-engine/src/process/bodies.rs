//! Bodies for workers and endpoints, from the state their lease or claim led to.

use capstan_contract::lease::{ClaimedToolCall, LeasedAttempt, ToolClaim};
use capstan_domain::Requested;
use capstan_domain::task::command::StartToolCall;
use capstan_domain::task::{Command, Event, Task};
use serde_json::value::RawValue;

use super::effect::Order;
use super::outcome::Settled;
use super::worker_requests::LEASED_BYTES_MAX;

/// The attempt a lease order has given to its worker: a [`LeasedAttempt`]; none when the task has it otherwise.
pub(super) fn leased_attempt(order: &Order, task: &Task) -> Option<Box<RawValue>> {
    let Requested { command: Command::Lease(lease), at } = &order.command else { return None };
    let live = task.working_attempt()?;
    if (live.worker_id, live.run_id, live.leased_at) != (lease.worker_id, lease.run_id, *at) {
        return None;
    }
    // Whoever hands the attempt to the worker reads the configuration of its agent.
    let attempt = LeasedAttempt::of(task, live)?;
    LeasedAttempt::fitted(std::slice::from_ref(&attempt), LEASED_BYTES_MAX).ok()?.pop()
}

/// The tool call that an order to start it has claimed; none when another try has it.
pub(super) fn claimed_call(
    order: &Order,
    start: &StartToolCall,
    outcome: &Settled,
) -> Option<ClaimedToolCall> {
    let Settled::Decided { state, events, .. } = outcome else { return None };
    let is_ours = |event: &Event| {
        matches!(event, Event::ToolExecutionStarted(started)
            if (started.try_no, started.worker_id, started.at) == (start.try_no, start.worker_id, order.command.at))
    };
    let task = state.as_deref().filter(|_| events.iter().any(is_ours))?;
    let call = &task.tool_calls.get(&start.tool_call_id)?.deferred;
    let claim = ToolClaim {
        workspace: order.key.workspace.to_string(),
        task_id: order.key.task_id,
        tool_call_id: start.tool_call_id,
        try_no: start.try_no,
    };
    Some(ClaimedToolCall {
        claim: claim.to_string(),
        tool_call_id: start.tool_call_id,
        try_no: start.try_no,
        workspace: order.key.workspace.to_string(),
        task_id: order.key.task_id,
        run_id: call.run_id,
        tool: call.tool.clone(),
        arguments: call.arguments.clone(),
        until: start.until,
    })
}
