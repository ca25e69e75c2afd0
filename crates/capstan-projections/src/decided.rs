//! A task as reads will show it, from the events that make it.

use capstan_contract::DomainEvent;
use capstan_domain::task::Event;
use capstan_envelope::Recorded;
use serde_json::value::RawValue;

use crate::catalogue::tasks::Tasks;
use crate::fact::Fact;
use crate::model::Model;

/// The object of a task right after its first commit, by the same fold that makes its row: who accepts a command
/// can show the task without waiting for the tables. Nothing for events that make no task.
pub fn new_task(recorded: &Recorded, events: Vec<Event>) -> Option<Box<RawValue>> {
    let Some(Event::TaskAccepted(accepted)) = events.first() else { return None };
    let accepted = accepted.clone();
    let row = events.into_iter().fold(None, |row, event| {
        let event = DomainEvent::Task(event);
        let fact = Fact { recorded, event: &event, accepted: Some(&accepted) };
        Tasks::apply(row, &accepted.task_id.0, &fact)
    });
    serde_json::value::to_raw_value(&row?).ok()
}
