//! The events that end a task or a run, and those that begin a task anew.

use capstan_contract::catalogue::{
    RETRY_SCHEDULED, RUN_ENDED, RUN_REQUESTED, TASK_ACCEPTED, TASK_CANCELLED, TASK_CONTINUED, TASK_DONE,
    TASK_DROPPED, TASK_FAILED, TASK_SLEPT,
};
use capstan_contract::whole_records;
use capstan_envelope::{Commit, EventRecord};
use serde::Deserialize;
use uuid::Uuid;

/// The end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The subscriber leaves.
    Left,
    /// The selected task is over.
    TaskOver,
    /// This run of the selected task has ended.
    RunEnded(Uuid),
}

#[derive(Deserialize)]
struct OfRun {
    run_id: Uuid,
}

impl Until {
    /// True when the commit's events from this index on bring the end, false when they take an earlier one back; `None` when
    /// they say nothing about it.
    pub(crate) fn is_over_after(self, commit: &Commit, first: usize) -> Option<bool> {
        let events = commit.events.get(first..).unwrap_or_default();
        if commit.carries_forward() {
            // Only tasks that are over are carried forward.
            return (self != Self::Left).then_some(true);
        }
        match self {
            Self::Left => None,
            Self::TaskOver => events.iter().filter_map(|event| is_task_over_after(&event.name)).next_back(),
            Self::RunEnded(run_id) => {
                let ends = |event: &EventRecord| event.name == RUN_ENDED.name;
                let is_of_run = |event: &EventRecord| {
                    serde_json::from_str::<OfRun>(event.data.get()).is_ok_and(|of| of.run_id == run_id)
                };
                let is_end = events.iter().any(ends)
                    && whole_records(commit).iter().skip(first).any(|event| ends(event) && is_of_run(event));
                is_end.then_some(true)
            }
        }
    }
}

fn is_task_over_after(event: &str) -> Option<bool> {
    let over = [&TASK_DONE, &TASK_FAILED, &TASK_CANCELLED, &TASK_DROPPED];
    let open = [&TASK_ACCEPTED, &RUN_REQUESTED, &RETRY_SCHEDULED, &TASK_CONTINUED, &TASK_SLEPT];
    if over.iter().any(|name| name.name == event) {
        Some(true)
    } else if open.iter().any(|name| name.name == event) {
        Some(false)
    } else {
        None
    }
}
