//! The instants at which a task wants to be looked at again. Every timer comes from recorded facts and fires a
//! command that names what it was set for, so firing it twice, or too late, changes nothing.

use chrono::{DateTime, Utc};

use crate::task::command::{Command, ExpireQueue, PassDeadline, ReleaseAttempt, TimeOutAttempt, Wake};
use crate::task::decide::later;
use crate::task::state::{Task, TaskState};

/// A timer of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Timer {
    /// When it rings.
    pub due: DateTime<Utc>,
    /// What it sends, except for the time.
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Wake,
    AttemptTimeout(crate::id::AttemptId),
    CancelGrace(crate::id::AttemptId),
    QueueTtl(crate::id::RunId),
    Deadline,
}

impl Timer {
    /// The command to send when it rings at `now`.
    pub fn command(&self, now: DateTime<Utc>, grace_ms: i64) -> Command {
        match &self.kind {
            Kind::Wake => Command::Wake(Wake { wake_at: self.due, at: now }),
            Kind::AttemptTimeout(attempt_id) => {
                Command::TimeOutAttempt(TimeOutAttempt { attempt_id: attempt_id.clone(), grace_ms, at: now })
            }
            Kind::CancelGrace(attempt_id) => {
                Command::ReleaseAttempt(ReleaseAttempt { attempt_id: attempt_id.clone(), at: now })
            }
            Kind::QueueTtl(run_id) => Command::ExpireQueue(ExpireQueue { run_id: *run_id, at: now }),
            Kind::Deadline => Command::PassDeadline(PassDeadline { deadline: self.due, grace_ms, at: now }),
        }
    }
}

/// The timers a task has in its present state. Leases are not among them: renewals are not events, so the
/// engine keeps those deadlines itself.
pub fn timers(task: &Task) -> Vec<Timer> {
    let mut timers = Vec::new();
    let mut set = |due, kind| timers.push(Timer { due, kind });
    if let (TaskState::Sleeping, Some(sleep)) = (task.state, &task.sleep) {
        set(sleep.wake_at, Kind::Wake);
    }
    if let Some(live) = &task.live {
        if let Some(grace_until) = live.cancel_grace_until {
            set(grace_until, Kind::CancelGrace(live.attempt_id.clone()));
        } else if let (Some(started_at), 1..) = (live.started_at, task.accepted.timeout_ms) {
            set(later(started_at, task.accepted.timeout_ms), Kind::AttemptTimeout(live.attempt_id.clone()));
        }
    }
    if let (TaskState::Queued, Some(ttl_ms), Some(queued_at), Some(run)) =
        (task.state, task.accepted.queue_ttl_ms, task.queued_at, task.active_run())
        && run.attempts == 0
    {
        set(later(queued_at, ttl_ms), Kind::QueueTtl(run.run_id));
    }
    if let (Some(deadline), false) = (task.accepted.deadline, task.state.is_terminal()) {
        set(deadline, Kind::Deadline);
    }
    timers
}
