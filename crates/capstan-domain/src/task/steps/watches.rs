//! Arming and disarming watches.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::id::{RunId, WatchId};
use crate::task::event::{DisarmCause, Event, SourceWatch, WatchArmed, WatchDisarmed};
use crate::task::state::Task;

/// Arms the watches of a run.
pub(in crate::task) fn armed(run_id: RunId, watches: &[SourceWatch], at: DateTime<Utc>) -> Vec<Event> {
    let arm = |(place, watch): (usize, &SourceWatch)| {
        let watch_id = WatchId::for_run(run_id, u32::try_from(place).unwrap_or(u32::MAX));
        Event::WatchArmed(WatchArmed { watch_id, watch: watch.clone(), at })
    };
    watches.iter().enumerate().map(arm).collect()
}

/// Disarms one watch.
pub(in crate::task) fn disarmed(watch_id: WatchId, cause: DisarmCause, at: DateTime<Utc>) -> Event {
    Event::WatchDisarmed(WatchDisarmed { watch_id, cause, at })
}

/// Disarms every watch of a task the events end, in the same decision.
pub(in crate::task) fn disarm_at_end(task: &Task, mut events: Vec<Event>) -> Vec<Event> {
    let end = events.iter().enumerate().find_map(|(place, event)| Some((place, event.ends_task_at()?)));
    let Some((place, at)) = end else { return events };
    let mut open: BTreeSet<WatchId> = task.watches.keys().copied().collect();
    for event in &events {
        if let Event::WatchArmed(e) = event {
            open.insert(e.watch_id);
        }
        if let Event::WatchDisarmed(e) = event {
            open.remove(&e.watch_id);
        }
    }
    events
        .splice(place..place, open.into_iter().map(|watch_id| disarmed(watch_id, DisarmCause::Settled, at)));
    events
}
