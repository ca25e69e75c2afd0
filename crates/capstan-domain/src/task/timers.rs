//! The timers of a task, and what follows when a sleep, the wait in the queue or the task's deadline ends. Every timer
//! comes from recorded facts and fires a command that names what it was set for, so firing it twice, or too late,
//! changes nothing.

use chrono::{DateTime, Utc};

use crate::id::{AttemptId, BlockerId, RunId};
use crate::task::command::{
    Command, ExpireBlocker, ExpireQueue, PassDeadline, ReleaseAttempt, ReleaseCause, TimeOutAttempt, Wake,
};
use crate::task::event::{DropReason, Event, Opening, RunCause, RunRequested, RunStatus, TaskDropped};
use crate::task::state::Task;
use crate::task::steps::run;
use crate::task::transitions::TaskState;

/// A timer of a task: 20 bytes, for the engine holds one per task. It does not repeat ids that follow from the task's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timer {
    /// The instant it fires.
    pub due: DateTime<Utc>,
    /// The command it sends.
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Wake,
    AttemptTimeout,
    CancelGrace,
    /// With the number of the run.
    QueueTtl(u32),
    Deadline,
    /// With the number of the blocker.
    BlockerDeadline(u32),
}

impl Timer {
    /// The command to send when it fires. `newest`: the task's newest attempt.
    pub fn command(&self, newest: AttemptId, grace_ms: i64) -> Command {
        match self.kind {
            Kind::Wake => Command::Wake(Wake { wake_at: self.due }),
            Kind::AttemptTimeout => Command::TimeOutAttempt(TimeOutAttempt { attempt_id: newest, grace_ms }),
            Kind::CancelGrace => {
                let cause = ReleaseCause::GraceOver;
                Command::ReleaseAttempt(ReleaseAttempt { attempt_id: newest, cause })
            }
            Kind::QueueTtl(run_no) => {
                Command::ExpireQueue(ExpireQueue { run_id: RunId::for_task(newest.task, run_no) })
            }
            Kind::BlockerDeadline(revision) => {
                let blocker_id = BlockerId::for_task(newest.task, revision);
                Command::ExpireBlocker(ExpireBlocker { blocker_id, grace_ms })
            }
            Kind::Deadline => Command::PassDeadline(PassDeadline { deadline: self.due, grace_ms }),
        }
    }
}

/// The timers a task has in its current state. Leases are not among them: renewals are not events, so the
/// engine keeps those deadlines itself.
pub fn timers(task: &Task) -> Vec<Timer> {
    let mut timers = Vec::new();
    let mut set = |due, kind| timers.push(Timer { due, kind });
    if let (TaskState::Sleeping, Some(sleep)) = (task.state, &task.sleep) {
        set(sleep.wake_at, Kind::Wake);
    }
    if let Some(live) = &task.live {
        if let Some(grace_until) = live.cancel_grace_until {
            set(grace_until, Kind::CancelGrace);
        } else if let Some(due) = task.attempt_due() {
            set(due, Kind::AttemptTimeout);
        }
    }
    if let (Some(due), Some(run)) = (task.queue_due(), task.active_run()) {
        set(due, Kind::QueueTtl(run.run_no));
    }
    if let Some(blocker) = &task.blocker
        && let Some(deadline) = &blocker.opened.deadline
    {
        set(deadline.at, Kind::BlockerDeadline(blocker.opened.revision));
    }
    if let (Some(deadline), false) = (task.accepted.deadline, task.state.is_terminal()) {
        set(deadline, Kind::Deadline);
    }
    timers
}

/// Precedes the follow-up an agent asked to be reminded of.
const TIME_IS_UP: &str = "This is the wake-up you asked for: its time has come, so do now what follows and do not wait for it again.";

pub(super) fn wake(task: &Task, command: &Wake, at: DateTime<Utc>) -> Vec<Event> {
    let Some(sleep) = task.sleep.as_ref().filter(|_| task.state == TaskState::Sleeping) else {
        return Vec::new();
    };
    if sleep.wake_at != command.wake_at {
        return Vec::new();
    }
    let (note, opening) = match sleep.follow_up_prompt {
        // The follow-up alone could be taken for an order to wait once more.
        Some(_) => (Some(TIME_IS_UP.to_owned()), Opening::FollowUp),
        None => (None, Opening::Message),
    };
    let run = run::request(task, RunCause::Wake, opening, at);
    vec![Event::RunRequested(RunRequested { note, ..run })]
}

pub(super) fn expire_queue(task: &Task, command: &ExpireQueue, at: DateTime<Utc>) -> Vec<Event> {
    let is_due = task.queue_due().is_some_and(|due| due <= at);
    let Some(run) = task.active_run().filter(|run| is_due && run.run_id == command.run_id) else {
        return Vec::new();
    };
    let error = "waited longer than its queue TTL".to_owned();
    vec![
        run::ended(run.run_id, RunStatus::Cancelled, Some(error), at),
        Event::TaskDropped(TaskDropped { reason: DropReason::QueueTtl, at }),
    ]
}

pub(super) fn pass_deadline(task: &Task, command: &PassDeadline, at: DateTime<Utc>) -> Vec<Event> {
    let passed = task.accepted.deadline.filter(|deadline| *deadline <= at);
    if task.state.is_terminal() || passed != Some(command.deadline) {
        return Vec::new();
    }
    run::stop(task, Some("deadline exceeded".to_owned()), command.grace_ms, at)
}

#[cfg(test)]
mod tests;
