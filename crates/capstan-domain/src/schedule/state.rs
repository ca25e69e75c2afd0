//! The state of a schedule.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::id::{AgentId, ScheduleId, TaskId};
use crate::schedule::event::Event;
use crate::schedule::{Definition, Next};

/// The stream of a schedule: empty, or a schedule.
pub type State = Option<Box<Schedule>>;

/// A schedule as its decisions see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// The schedule.
    pub schedule_id: ScheduleId,
    /// Its workspace.
    pub workspace: String,
    /// The agent.
    pub agent_id: AgentId,
    /// Its type.
    pub definition: Definition,
    /// False while it is paused.
    pub active: bool,
    /// True once it is gone.
    pub deleted: bool,
    /// Its next tick; none while it is paused, gone, or has no more ticks.
    pub next: Option<Next>,
    /// The latest tick that ended.
    pub last_tick: Option<DateTime<Utc>>,
    /// The task made last.
    pub last_task_id: Option<TaskId>,
}

impl Schedule {
    /// True when its next tick must be awaited.
    pub fn is_waited_for(&self) -> bool {
        self.active && !self.deleted
    }

    /// Its next ticks after an instant; those of a paused one are what it would do.
    pub fn preview(&self, after: DateTime<Utc>, count: usize) -> Vec<Next> {
        // A tick whose jitter still runs is the next one, although its instant has passed.
        let pending = self.next.filter(|next| next.tick <= after && next.run_at > after);
        let rhythm = self.definition.rhythm(self.schedule_id);
        let later = rhythm.iter().flat_map(|rhythm| rhythm.after(after));
        pending.into_iter().chain(later).take(count).collect()
    }

    /// The first tick after an instant that has not ended before.
    pub(super) fn next_after(&self, definition: &Definition, at: DateTime<Utc>) -> Option<Next> {
        definition.next_after(self.schedule_id, self.end_of_last_tick(at))
    }

    /// The instant after which the next tick lies: `at`, or the last tick when that is later.
    pub(super) fn end_of_last_tick(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        self.last_tick.map_or(at, |last| last.max(at))
    }
}

pub(super) fn evolve(state: State, event: &Event) -> State {
    if let Event::Created(created) = event {
        return Some(Box::new(Schedule {
            schedule_id: created.schedule_id,
            workspace: created.workspace.clone(),
            agent_id: created.agent_id,
            definition: created.definition.clone(),
            active: created.active,
            deleted: false,
            next: created.next,
            last_tick: None,
            last_task_id: None,
        }));
    }
    let mut schedule = state?;
    match event {
        Event::Created(_) => {}
        Event::Changed(changed) => {
            schedule.definition = changed.definition.clone();
            schedule.next = changed.next;
        }
        Event::Paused(_) => {
            schedule.active = false;
            schedule.next = None;
        }
        Event::Resumed(resumed) => {
            schedule.active = true;
            schedule.next = resumed.next;
        }
        Event::Deleted(_) => {
            schedule.deleted = true;
            schedule.active = false;
            schedule.next = None;
        }
        Event::Triggered(triggered) => schedule.last_task_id = Some(triggered.task_id),
        Event::TickFired(fired) => {
            schedule.last_tick = Some(fired.tick);
            schedule.last_task_id = Some(fired.task_id);
            schedule.next = fired.next;
        }
        Event::TickSkipped(skipped) => {
            schedule.last_tick = Some(skipped.tick);
            schedule.next = skipped.next;
        }
        Event::TicksMissed(missed) => {
            schedule.last_tick = Some(missed.to);
            schedule.next = missed.next;
        }
    }
    Some(schedule)
}
