//! A task as reads will return it, from the events that create it.

use capstan_domain::task::Event;
use capstan_envelope::Recorded;
use serde_json::value::RawValue;

use crate::catalogue::tasks::TaskRow;
use crate::fact::Fact;
use crate::model::Model;

/// The object of a task right after its first commit, through the fold of its row, so that the answer to a command
/// need not wait for the tables. `None` for events that do not create a task.
pub fn new_task(recorded: &Recorded, events: &[Event]) -> Option<Box<RawValue>> {
    let Some(Event::TaskAccepted(accepted)) = events.first() else { return None };
    let row = events.iter().fold(None, |row, event| {
        TaskRow::apply(
            row,
            &accepted.task_id.0,
            &Fact { accepted: Some(accepted), ..Fact::alone(recorded, event) },
        )
    });
    serde_json::value::to_raw_value(&row?.object()).ok()
}
