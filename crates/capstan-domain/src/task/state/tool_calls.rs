//! Deferred tool calls.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{ToolCallId, WorkerId};
use crate::task::event::{
    ToolCallAllowed, ToolCallDecided, ToolCallDeferred, ToolExecutionStarted, ToolExecutor, ToolPermission,
};
use crate::task::shortened::{TEXT_BYTES_MAX, shortened_as_json};

/// Minutes for which a rejection without a reason refuses the same call again.
const REJECTED_MINUTES: i64 = 10;
/// Minutes for which the agent may repeat an approved call.
const PRE_APPROVED_MINUTES: i64 = 2;

/// Most decisions remembered, the newest. What is forgotten is asked about again.
const DECIDED_MAX: usize = 32;

/// A deferred tool call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The call as deferred.
    pub deferred: ToolCallDeferred,
    /// Its state.
    pub state: ToolCallState,
    /// What the person who approved it wrote, for the agent to read with the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
}

/// The state of a deferred call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum ToolCallState {
    /// Waits for a decision.
    Pending,
    /// Rejected; the same call is refused for a while.
    Rejected {
        /// The instant of the decision.
        at: DateTime<Utc>,
    },
    /// Approved; the agent may repeat the call once within a short time.
    PreApproved {
        /// The instant of the decision.
        at: DateTime<Utc>,
    },
    /// Approved; waits for execution.
    Approved {
        /// The kind of executor.
        executor: ToolExecutor,
    },
    /// In execution.
    Executing {
        /// The kind of executor.
        executor: ToolExecutor,
        /// The number of this try, from 1.
        try_no: u32,
        /// The executing worker; none for the control plane.
        worker_id: Option<WorkerId>,
        /// The instant at which the try counts as lost.
        until: DateTime<Utc>,
    },
}

impl ToolCall {
    /// True for a decision that is no longer in force.
    pub(in crate::task) fn is_forgotten(&self, now: DateTime<Utc>) -> bool {
        match self.state {
            ToolCallState::Rejected { at } => now >= at + Duration::minutes(REJECTED_MINUTES),
            ToolCallState::PreApproved { at } => now >= at + Duration::minutes(PRE_APPROVED_MINUTES),
            ToolCallState::Pending | ToolCallState::Approved { .. } | ToolCallState::Executing { .. } => {
                false
            }
        }
    }
}

/// The deferred calls that are not forgotten yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ToolCalls(pub BTreeMap<ToolCallId, ToolCall>);

reads_as!(ToolCalls, BTreeMap<ToolCallId, ToolCall>);

impl ToolCalls {
    pub(in crate::task) fn deferred(&mut self, e: &ToolCallDeferred) {
        // One call is asked about at a time: an older pending one lost its question.
        self.0.retain(|_, call| call.state != ToolCallState::Pending && !call.is_forgotten(e.at));
        self.0.insert(
            e.tool_call_id,
            ToolCall { deferred: e.clone(), state: ToolCallState::Pending, said: None },
        );
    }

    pub(in crate::task) fn allowed(&mut self, e: &ToolCallAllowed) {
        // A pre-approval holds once.
        self.0.retain(|_, call| {
            e.by != ToolPermission::PreApproval
                || call.deferred.tool != e.tool
                || call.deferred.arguments_fingerprint != e.arguments_fingerprint
                || !matches!(call.state, ToolCallState::PreApproved { .. })
        });
    }

    pub(in crate::task) fn decided(&mut self, e: &ToolCallDecided) {
        self.0.retain(|_, call| !call.is_forgotten(e.at));
        if !e.approved && e.reason.is_some() {
            // With a reason it is feedback: the call may come again.
            self.0.remove(&e.tool_call_id);
        } else if let Some(call) = self.0.get_mut(&e.tool_call_id) {
            call.state = match (e.approved, e.executor) {
                (false, _) => ToolCallState::Rejected { at: e.at },
                (true, None) => ToolCallState::PreApproved { at: e.at },
                (true, Some(executor)) => ToolCallState::Approved { executor },
            };
            if e.approved && e.executor.is_some() {
                call.said = e.reason.as_deref().map(|said| shortened_as_json(said, TEXT_BYTES_MAX));
            }
            if e.executor.is_none() {
                // From now on it is only compared with what the agent asks for, by name and fingerprint.
                call.deferred = ToolCallDeferred {
                    arguments: Value::Null,
                    summary: String::new(),
                    details: None,
                    ..call.deferred.clone()
                };
            }
        }
        self.forget_surplus();
    }

    fn forget_surplus(&mut self) {
        let decided = self.0.iter().filter_map(|(id, call)| match call.state {
            ToolCallState::Rejected { at } | ToolCallState::PreApproved { at } => Some((at, *id)),
            ToolCallState::Pending | ToolCallState::Approved { .. } | ToolCallState::Executing { .. } => None,
        });
        let mut decided: Vec<_> = decided.collect();
        decided.sort_unstable();
        for (_, id) in decided.iter().take(decided.len().saturating_sub(DECIDED_MAX)) {
            self.0.remove(id);
        }
    }

    pub(in crate::task) fn execution_started(&mut self, e: &ToolExecutionStarted) {
        if let Some(call) = self.0.get_mut(&e.tool_call_id)
            && let ToolCallState::Approved { executor, .. } | ToolCallState::Executing { executor, .. } =
                call.state
        {
            let (try_no, worker_id, until) = (e.try_no, e.worker_id, e.until);
            call.state = ToolCallState::Executing { executor, try_no, worker_id, until };
        }
    }

    pub(in crate::task) fn execution_ended(&mut self, tool_call_id: ToolCallId) {
        self.0.remove(&tool_call_id);
    }

    /// A call in execution may still report after the end of the task; an agent that is to go on asks for others again.
    pub(in crate::task) fn task_ended(&mut self) {
        self.0.retain(|_, call| matches!(call.state, ToolCallState::Executing { .. }));
    }
}
