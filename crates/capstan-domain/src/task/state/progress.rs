//! What changes in a task after its acceptance.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Blocker, Changes, Children, Inbox, Live, Outputs, ParentReport, Rows, Runs, ToolCalls, Watches};
use crate::id::{AttemptId, BlockerId, InputId};
use crate::implied;
use crate::stored::Nothing;
use crate::task::event::{BudgetScope, BudgetWarned, InputNumbers, Priority, RunCause};
use crate::task::transitions::TaskState;

/// The progress of a task, as far as decisions need it. It is written with every commit of the task, so a default is not
/// written, nor what the acceptance says ([`Task::progress_json`](super::Task::progress_json)).
#[serde_with::apply(_ => #[serde(default, skip_serializing_if = "crate::stored::is_nothing")])]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The task's state.
    #[serde_with(skip_apply)]
    pub state: TaskState,
    /// Its current urgency.
    #[serde_with(skip_apply)]
    #[serde(default = "implied::priority", skip_serializing_if = "implied::is_priority")]
    pub priority: Priority,
    /// Changes of the command since its acceptance.
    pub changes: Changes,
    /// The instant it was archived, while it is.
    pub archived_at: Option<DateTime<Utc>>,
    /// The instant it was queued, while it is.
    pub queued_at: Option<DateTime<Utc>>,
    /// The earliest instant of its next lease.
    pub available_at: Option<DateTime<Utc>>,
    /// Its sleep, while it sleeps.
    pub sleep: Option<Sleep>,
    /// Times a timer woke it since the last input of a caller.
    pub wake_count: u32,
    /// Its runs.
    pub runs: Runs,
    /// The last lease epoch.
    pub epoch: u64,
    /// The attempt that holds the lease.
    pub live: Option<Live>,
    /// Its inputs that no agent has yet.
    pub inbox: Inbox,
    /// The question it waits on.
    pub blocker: Option<Blocker>,
    /// Blockers opened so far.
    pub blocker_revision: u32,
    /// The question answered last, and the input that answered it, until the agent has it.
    pub answered: Option<(Blocker, InputId)>,
    /// Its outputs.
    pub outputs: Outputs,
    /// The rows of its outputs, counted.
    pub rows: Rows,
    /// Its deferred tool calls.
    pub tool_calls: ToolCalls,
    /// Its subtasks.
    pub children: Children,
    /// Its watches.
    pub watches: Watches,
    /// Cost of its own runs, in US dollars.
    pub cost_usd: f64,
    /// The last warning about each budget.
    pub warned: BTreeMap<BudgetScope, BudgetWarned>,
    /// Its report to its parent.
    pub report: ParentReport,
}

impl Nothing for Changes {}
impl Nothing for Runs {}
impl Nothing for Inbox {}
impl Nothing for Outputs {}
impl Nothing for Rows {}
impl Nothing for ToolCalls {}
impl Nothing for Children {}
impl Nothing for Watches {}
impl Nothing for ParentReport {}

/// A sleep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sleep {
    /// The instant its timer fires.
    pub wake_at: DateTime<Utc>,
    /// The prompt for the agent then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow_up_prompt: Option<String>,
}

impl Progress {
    pub(super) fn new(priority: Priority) -> Self {
        Self {
            // Replaced by the event that follows in the same commit: RunRequested or TaskSlept.
            state: TaskState::Queued,
            priority,
            changes: Changes::default(),
            archived_at: None,
            queued_at: None,
            available_at: None,
            sleep: None,
            wake_count: 0,
            runs: Runs::default(),
            epoch: 0,
            live: None,
            inbox: Inbox::default(),
            blocker: None,
            blocker_revision: 0,
            answered: None,
            outputs: Outputs::default(),
            rows: Rows::default(),
            tool_calls: ToolCalls::default(),
            children: Children::default(),
            watches: Watches::default(),
            cost_usd: 0.0,
            warned: BTreeMap::new(),
            report: ParentReport::default(),
        }
    }

    /// Enters a state in which the task neither waits in the queue nor sleeps.
    pub(in crate::task) fn enter(&mut self, state: TaskState) {
        self.state = state;
        self.queued_at = None;
        self.available_at = None;
        self.sleep = None;
    }

    /// Enters the queue.
    pub(in crate::task) fn enter_queue(
        &mut self,
        queued_at: DateTime<Utc>,
        available_at: Option<DateTime<Utc>>,
    ) {
        self.enter(TaskState::Queued);
        self.queued_at = Some(queued_at);
        self.available_at = available_at;
    }

    /// A requested run begins a new report, and after a retry the wakes are counted from zero.
    pub(in crate::task) fn run_requested(&mut self, cause: RunCause) {
        self.report = ParentReport::default();
        if cause == RunCause::Wake {
            self.wake_count = self.wake_count.saturating_add(1);
        } else if cause == RunCause::Retry {
            self.wake_count = 0;
        }
    }

    /// Inputs the agent has. The question one of them answered is not asked about again.
    pub(in crate::task) fn consumed(&mut self, numbers: &InputNumbers) {
        let inbox = &self.inbox;
        self.answered.take_if(|(_, input_id)| {
            inbox.iter().any(|input| input.input_id == *input_id && numbers.contains(input.seq))
        });
        self.inbox.consumed(numbers);
    }

    /// Changes the live attempt, if it is this one.
    pub(in crate::task) fn with_live(&mut self, attempt_id: &AttemptId, change: impl FnOnce(&mut Live)) {
        if let Some(live) = self.live.as_mut().filter(|live| live.attempt_id == *attempt_id) {
            change(live);
        }
    }

    /// Changes the open question, if it is this one.
    pub(in crate::task) fn with_blocker(&mut self, blocker_id: BlockerId, change: impl FnOnce(&mut Blocker)) {
        if let Some(blocker) = self.blocker.as_mut().filter(|open| open.opened.blocker_id == blocker_id) {
            change(blocker);
        }
    }
}
