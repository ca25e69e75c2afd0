//! Status changes of outputs.

use chrono::{DateTime, Utc};

use crate::id::OutputId;
use crate::task::event::{Decision, Event, ItemDecision, OutputStatus, OutputStatusChanged};
use crate::task::state::Task;

/// Changes every output in one of the statuses `from` to `to`.
pub(in crate::task) fn change_all(
    task: &Task,
    from: &[OutputStatus],
    to: OutputStatus,
    at: DateTime<Utc>,
    events: &mut Vec<Event>,
) {
    let chosen = task.outputs.named().filter(|(_, output)| from.contains(&output.record.status));
    events.extend(chosen.filter_map(|(output_id, _)| changed(task, output_id, to, None, at)));
}

/// Gives every output the status its decision states; a repeated decision changes nothing.
pub(in crate::task) fn decide(
    task: &Task,
    items: &[ItemDecision],
    at: DateTime<Utc>,
    events: &mut Vec<Event>,
) {
    events.extend(items.iter().filter_map(|item| {
        let status = match item.action {
            Decision::Approve => OutputStatus::Approved,
            Decision::Reject => OutputStatus::Rejected,
        };
        changed(task, item.output_id, status, item.reason.clone(), at)
    }));
}

fn changed(
    task: &Task,
    output_id: OutputId,
    status: OutputStatus,
    reason: Option<String>,
    at: DateTime<Utc>,
) -> Option<Event> {
    task.outputs.get(output_id).filter(|output| output.record.status != status)?;
    Some(Event::OutputStatusChanged(OutputStatusChanged { output_id, status, reason, at }))
}
