//! The instants at which a task wants to be looked at again. Every timer comes from recorded facts and fires a
//! command that names what it was set for, so firing it twice, or too late, changes nothing.

use chrono::{DateTime, Utc};

use crate::task::command::{
    Command, ExpireBlocker, ExpireQueue, PassDeadline, ReleaseAttempt, TimeOutAttempt, Wake,
};
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
    BlockerDeadline(crate::id::BlockerId),
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
            Kind::BlockerDeadline(blocker_id) => {
                Command::ExpireBlocker(ExpireBlocker { blocker_id: *blocker_id, grace_ms, at: now })
            }
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
        } else if let Some(due) = task.attempt_due() {
            set(due, Kind::AttemptTimeout(live.attempt_id.clone()));
        }
    }
    if let (Some(due), Some(run)) = (task.queue_due(), task.active_run()) {
        set(due, Kind::QueueTtl(run.run_id));
    }
    if let Some(blocker) = &task.blocker
        && let Some(deadline) = &blocker.opened.deadline
    {
        set(deadline.at, Kind::BlockerDeadline(blocker.opened.blocker_id));
    }
    if let (Some(deadline), false) = (task.accepted.deadline, task.state.is_terminal()) {
        set(deadline, Kind::Deadline);
    }
    timers
}

#[cfg(test)]
mod tests {
    use capstan_decider::Decider;
    use capstan_decider::spec::{Given, given};

    use super::*;
    use crate::task::TaskDecider;
    use crate::task::command::{Accept, Finish};
    use crate::task::event::AttemptOutcome;
    use crate::task::fixture::{
        GRACE_MS, accept, accepting, at, done, finishing, lease, leased, queued, report, start, started,
        stopping, task_of, waiting, wake_in,
    };

    fn dues(history: &Given<TaskDecider>) -> Vec<DateTime<Utc>> {
        timers(&task_of(history)).iter().map(|timer| timer.due).collect()
    }

    fn of(accept: Accept) -> Given<TaskDecider> {
        given::<TaskDecider>([]).and(accepting(accept))
    }

    #[test]
    fn a_task_has_the_timers_of_its_state() {
        assert!(dues(&queued()).is_empty());
        assert!(dues(&done()).is_empty());
        // The time-out counts from the lease until the attempt begins, so an attempt that never does ends too.
        assert_eq!(dues(&leased()), [at(610)]);
        assert_eq!(dues(&started()), [at(611)]);
        assert_eq!(dues(&waiting()), [at(611)]);
        assert_eq!(dues(&stopping()), [at(40)]);
        let asleep = Finish { wake: Some(wake_in(10)), ..report(1, AttemptOutcome::Ok) };
        assert_eq!(dues(&started().and(finishing(asleep))), [at(650)]);
        assert_eq!(dues(&of(Accept { queue_ttl_ms: Some(7000), ..accept() })), [at(7)]);
        let endless = Accept { timeout_ms: Some(0), ..accept() };
        assert!(dues(&of(endless).and(lease(1, 1)).and(start(1, 2))).is_empty());
        let due = Accept { deadline: Some(at(99)), ..accept() };
        assert_eq!(dues(&of(due).and(lease(1, 1))), [at(601), at(99)]);
    }

    #[test]
    fn every_timer_acts_when_it_rings_and_then_is_gone() {
        let asleep = Finish { wake: Some(wake_in(10)), ..report(1, AttemptOutcome::Ok) };
        let histories = [
            started(),
            leased(),
            waiting(),
            stopping(),
            started().and(finishing(asleep)),
            of(Accept { queue_ttl_ms: Some(7000), ..accept() }),
            of(Accept { deadline: Some(at(99)), ..accept() }),
        ];
        for history in histories {
            let timer = timers(&task_of(&history)).remove(0);
            let early = timer.command(timer.due - chrono::Duration::milliseconds(1), GRACE_MS);
            let command = timer.command(timer.due, GRACE_MS);
            let events = TaskDecider::decide(&history.state(), &command).expect("a timer is never refused");
            assert!(!events.is_empty(), "{timer:?} must act");
            let after = capstan_decider::fold::<TaskDecider>(history.state(), &events);
            assert_eq!(TaskDecider::decide(&after, &command), Ok(Vec::new()), "{timer:?} acts once");
            assert!(!timers(after.as_ref().expect("a task")).contains(&timer));
            if !matches!(timer.kind, Kind::Wake | Kind::CancelGrace(_)) {
                assert_eq!(
                    TaskDecider::decide(&history.state(), &early),
                    Ok(Vec::new()),
                    "{timer:?} is early"
                );
            }
        }
    }
}
