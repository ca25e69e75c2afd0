//! The events that end a task, and those that begin it anew.

use capstan_contract::catalogue::{
    RETRY_SCHEDULED, RUN_REQUESTED, TASK_ACCEPTED, TASK_CANCELLED, TASK_CONTINUED, TASK_DONE, TASK_DROPPED,
    TASK_FAILED, TASK_SLEPT,
};

/// True when the task is over after an event of this name, false when it is not; `None` when the event says
/// nothing about it.
pub(crate) fn is_over_after(event: &str) -> Option<bool> {
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
