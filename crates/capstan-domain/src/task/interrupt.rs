//! An input that takes the place of what is running (domain.md 4).

use chrono::{DateTime, Utc};

use crate::task::decide::stop_run;
use crate::task::event::{Event, RunCause, RunStatus};
use crate::task::state::Task;

/// Stops the active run. Its worker is told; until it has stopped, or the grace is over, the session stays taken.
pub(super) fn make_room(task: &Task, grace_ms: i64, at: DateTime<Utc>, events: &mut Vec<Event>) {
    let reason = Some("interrupted by an input".to_owned());
    stop_run(task, RunStatus::Cancelled, reason, grace_ms, at, events);
}

/// Says why the run that goes on was asked for.
pub(super) fn as_interrupt(mut requested: Event) -> Event {
    if let Event::RunRequested(run) = &mut requested {
        run.cause = RunCause::Interrupt;
    }
    requested
}
