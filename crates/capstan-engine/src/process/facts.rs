//! Facts about a task: the part of its state that the engine's parts need.
//!
//! The record is built from the task at one place, [`TaskFacts::from_task`], whenever its state comes. Parts read it and
//! never the task itself, which is not held. A queued task costs one record (64 bytes, held by a test); what many tasks
//! share is held once, and what is rare (an attempt, a tool call, children, watches) is boxed.

use std::sync::Arc;

use capstan_domain::id::{AttemptId, BlockerId, InputId, ScheduleId, TaskId, ToolCallId, WorkerId};
use capstan_domain::matching::StreamKey;
use capstan_domain::task::event::{
    BlockerKind, BudgetScope, InputOutcome, ParentClose, QueueMode, SourceWatch,
};
use capstan_domain::task::state::{Input, ToolCallState};
use capstan_domain::task::timers::{Timer, timers};
use capstan_domain::task::{Task, TaskState};

use super::origin::{Origin, Origins};

/// Facts about a task; its workspace and id are the key it is filed under.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TaskFacts {
    /// Its agent and its class.
    pub(super) origin: Arc<Origin>,
    /// Its state.
    pub(super) state: TaskState,
    /// The last lease epoch, in four bytes: a task with more attempts would be larger than any log.
    pub(super) epoch: u32,
    /// The number of its runs.
    pub(super) runs: u32,
    /// Its earliest timer. Leases are not among them: renewals are not recorded.
    pub(super) timer: Option<Timer>,
    /// Its cost with the children that ended, in US dollars.
    pub(super) spent_usd: f64,
    /// True while it has ended and its parent has not recorded that.
    pub(super) must_tell_parent: bool,
    /// True when nothing is left to do about it.
    pub(super) is_at_rest: bool,
    /// The attempt that holds the lease.
    pub(super) live: Option<Box<LiveFacts>>,
    /// Facts that most tasks do not have.
    rare: Option<Box<RareFacts>>,
}

/// Facts that most tasks do not have.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct RareFacts {
    /// Its parent task.
    pub(super) parent: Option<TaskId>,
    /// The effect of its parent's cancellation.
    pub(super) parent_close: ParentClose,
    /// The schedule that created it.
    pub(super) schedule_id: Option<ScheduleId>,
    /// The limit of its own budget, in US dollars.
    pub(super) budget_usd: Option<f64>,
    /// The limit of its own budget that the last warning was about, in US dollars.
    pub(super) warned_usd: Option<f64>,
    /// The blocker that waits for more budget.
    pub(super) budget_blocker: Option<BlockerId>,
    /// The approved tool call that has no result yet.
    pub(super) call: Option<CallFacts>,
    /// Its children in the order of their ids: those to be created or waited for, and those that ended.
    pub(super) children: Vec<ChildFacts>,
    /// The events it watches for.
    pub(super) watches: Vec<WatchFacts>,
    /// Inputs no run has yet, oldest first, while an attempt lives.
    pub(super) inputs: Vec<InputFacts>,
}

static NOTHING_RARE: RareFacts = RareFacts {
    parent: None,
    parent_close: ParentClose::Cancel,
    schedule_id: None,
    budget_usd: None,
    warned_usd: None,
    budget_blocker: None,
    call: None,
    children: Vec::new(),
    watches: Vec::new(),
    inputs: Vec::new(),
};

/// An attempt that holds the lease; its number is the task's last lease epoch.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LiveFacts {
    pub(super) worker_id: Arc<WorkerId>,
    /// True once it is recorded that the worker executes it.
    pub(super) is_started: bool,
    /// True once the attempt was asked to stop.
    pub(super) is_stopping: bool,
}

/// An input that no run has yet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct InputFacts {
    pub(super) input_id: InputId,
    pub(super) seq: u32,
    /// True when it interrupts the attempt.
    pub(super) is_steer: bool,
    /// True when the live attempt may take it.
    pub(super) is_delivered: bool,
}

/// An approved tool call that has no result yet.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CallFacts {
    pub(super) tool_call_id: ToolCallId,
    pub(super) tool: Box<str>,
    pub(super) state: ToolCallState,
}

/// A child.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ChildFacts {
    pub(super) task_id: TaskId,
    /// True once its end is recorded at the parent; otherwise it is to be created or waited for.
    pub(super) has_ended: bool,
}

/// A watch.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct WatchFacts {
    pub(super) integration: Box<str>,
    pub(super) keys: Box<[Box<str>]>,
    /// Kinds of events; any when empty.
    event_types: Box<[String]>,
}

impl TaskFacts {
    /// The facts about a task. `origin`: what it has in common with others as known, frozen at its acceptance.
    pub(super) fn from_task(task: &Task, origin: Option<Arc<Origin>>, origins: &mut Origins) -> Self {
        let rare = RareFacts::from_task(task);
        Self {
            origin: origin.unwrap_or_else(|| origins.of(task)),
            state: task.state,
            epoch: u32::try_from(task.epoch).unwrap_or(u32::MAX),
            runs: task.runs.count(),
            timer: timers(task).into_iter().min_by_key(|timer| timer.due),
            spent_usd: task.spent_usd(),
            must_tell_parent: task.must_tell_parent(),
            is_at_rest: task.is_at_rest(),
            live: live(task, origins),
            rare: (rare != NOTHING_RARE).then(|| Box::new(rare)),
        }
    }

    /// What most tasks do not have.
    pub(super) fn rare(&self) -> &RareFacts {
        self.rare.as_deref().unwrap_or(&NOTHING_RARE)
    }

    /// Its parent task.
    pub(super) fn parent(&self) -> Option<TaskId> {
        self.rare().parent
    }

    /// Its newest attempt, live or over.
    pub(super) fn newest_attempt(&self, key: &StreamKey) -> AttemptId {
        AttemptId { workspace: key.workspace.to_string(), task: key.task_id, epoch: u64::from(self.epoch) }
    }

    /// The approved tool call that has no result yet.
    pub(super) fn call(&self) -> Option<&CallFacts> {
        self.rare().call.as_ref()
    }

    /// True while an attempt lives that was not asked to stop.
    pub(super) fn is_working(&self) -> bool {
        self.live.as_ref().is_some_and(|live| !live.is_stopping)
    }

    /// The children to be created or waited for.
    pub(super) fn open_children(&self) -> impl Iterator<Item = TaskId> {
        self.rare().children.iter().filter(|child| !child.has_ended).map(|child| child.task_id)
    }

    /// True when the end of this child is recorded.
    pub(super) fn has_ended(&self, child: TaskId) -> bool {
        let children = &self.rare().children;
        let place = children.binary_search_by_key(&child, |child| child.task_id);
        place.is_ok_and(|place| children[place].has_ended)
    }
}

impl RareFacts {
    fn from_task(task: &Task) -> Self {
        let accepted = &task.accepted;
        let budget_blocker =
            task.blocker.as_ref().filter(|blocker| blocker.opened.kind == BlockerKind::Budget);
        Self {
            parent: accepted.parent_task_id,
            parent_close: accepted.parent_close,
            schedule_id: accepted.schedule_id.as_deref().and_then(|id| id.parse().ok()),
            budget_usd: accepted.budget_usd,
            warned_usd: task.warned.get(&BudgetScope::Task).map(|warned| warned.limit_usd),
            budget_blocker: budget_blocker.map(|blocker| blocker.opened.blocker_id),
            call: task.executing_call().map(|call| CallFacts {
                tool_call_id: call.deferred.tool_call_id,
                tool: call.deferred.tool.as_str().into(),
                state: call.state.clone(),
            }),
            children: children(task),
            watches: task.watches.values().map(WatchFacts::from_watch).collect(),
            inputs: inputs(task),
        }
    }
}

fn live(task: &Task, origins: &mut Origins) -> Option<Box<LiveFacts>> {
    let live = task.live.as_ref()?;
    Some(Box::new(LiveFacts {
        worker_id: origins.worker(live.worker_id),
        is_started: live.is_started,
        is_stopping: live.cancel_grace_until.is_some(),
    }))
}

fn inputs(task: &Task) -> Vec<InputFacts> {
    let facts = |input: &Input| InputFacts {
        input_id: input.input_id,
        seq: input.seq,
        is_steer: input.queue_mode == QueueMode::Steer,
        is_delivered: input.outcome == InputOutcome::Delivered,
    };
    task.live.as_ref().map_or_else(Vec::new, |_| task.pending_inputs().map(facts).collect())
}

fn children(task: &Task) -> Vec<ChildFacts> {
    let known = task.children.iter().filter(|(_, child)| child.ended.is_some() || child.subtask.is_some());
    known.map(|(id, child)| ChildFacts { task_id: *id, has_ended: child.ended.is_some() }).collect()
}

impl WatchFacts {
    fn from_watch(watch: &SourceWatch) -> Self {
        Self {
            integration: watch.integration.as_str().into(),
            keys: watch.keys().map(Box::from).collect(),
            event_types: watch.event_types.as_slice().into(),
        }
    }

    /// True when it matches an event of this integration, kind and key. A watch without kinds matches any, and so does
    /// an event without one.
    pub(super) fn matches(&self, integration: &str, event_type: Option<&str>, key: &str) -> bool {
        let is_taken = |kind: &str| self.event_types.iter().any(|taken| taken == kind);
        *self.integration == *integration
            && (self.event_types.is_empty() || event_type.is_none_or(is_taken))
            && self.keys.iter().any(|watched| **watched == *key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_of_a_task_is_small() {
        assert!(size_of::<TaskFacts>() <= 64, "{} bytes", size_of::<TaskFacts>());
    }
}
