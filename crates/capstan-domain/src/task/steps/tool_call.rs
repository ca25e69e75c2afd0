//! Decisions on a deferred tool call.

use chrono::{DateTime, Utc};

use crate::id::ToolCallId;
use crate::task::event::{Event, ToolCallDecided};
use crate::task::state::{Blocker, Task, ToolCallState};
use crate::text::non_blank;

pub(in crate::task) mod agent_text;

/// A decision on a deferred call.
#[derive(Clone, Debug, PartialEq)]
pub struct CallDecision {
    /// The event that records it.
    pub event: Event,
    /// The message to the agent; none when the result of the execution is reported later. Then the task stays waiting.
    pub message: Option<String>,
}

/// Decides on the deferred call a question is about; none when the call is gone. The decision is recorded together with
/// the end of the question. `reason` is what the person who decides wrote; `approved` is false for a free text, too.
pub fn decide_call(
    task: &Task,
    tool_call_id: ToolCallId,
    approved: bool,
    reason: &str,
    at: DateTime<Utc>,
) -> Option<CallDecision> {
    let call = task.tool_calls.get(&tool_call_id).filter(|call| call.state == ToolCallState::Pending)?;
    let reason = non_blank(Some(reason));
    let executor = call.deferred.executor.filter(|_| approved);
    let message = match (approved, executor, reason.as_deref()) {
        (true, Some(_), _) => None,
        (true, None, reason) => Some(agent_text::to_repeat(&call.deferred, reason)),
        (false, _, None) => Some(agent_text::rejected(&call.deferred)),
        (false, _, Some(reason)) => Some(agent_text::to_revise(&call.deferred, reason)),
    };
    let decided = ToolCallDecided { tool_call_id, approved, executor, reason, at };
    Some(CallDecision { event: Event::ToolCallDecided(decided), message })
}

/// Decides on the call a question is about, if it is about one.
pub(in crate::task) fn decide(
    task: &Task,
    blocker: &Blocker,
    approved: bool,
    reason: &str,
    at: DateTime<Utc>,
) -> Option<CallDecision> {
    decide_call(task, blocker.opened.tool_call_id?, approved, reason, at)
}
