//! The table of rules: one line per command.

use chrono::{DateTime, Utc};

use crate::Requested;
use crate::task::command::{ArchiveTask, Command, ExpireLease, ParentHeard, UnarchiveTask};
use crate::task::event::{AttemptStarted, Event, RetryReason};
use crate::task::rejection::Rejection;
use crate::task::state::{State, Task};
use crate::task::steps::watches::disarm_at_end;
use crate::task::{
    accept, blocker, bounds, budget, evolve, inbox, lifecycle, outputs, settlement, subtasks, timers,
    tool_call, watches, worker_report,
};

pub(super) fn decide(
    state: &State,
    Requested { command, at }: &Requested<Command>,
) -> Result<Vec<Event>, Rejection> {
    let Some(task) = state else {
        return if let Command::Accept(command) = command {
            let events = accept::accept(command, *at)?;
            bounds::check_accepted(&events)?;
            Ok(events)
        } else {
            Err(Rejection::NotFound)
        };
    };
    if task.is_archived() && is_refused_when_archived(command) {
        return Err(Rejection::Archived);
    }
    let events = match worker_report::first_of(task, command) {
        None => disarm_at_end(task, decide_on(task, command, *at)?),
        Some(started) => after_start(task, started, command, *at)?,
    };
    match bounds::check(task, command, &events) {
        Ok(()) => Ok(events),
        Err(_) if bounds::is_mere_retry(command) => Ok(lifecycle::retry_alone(task, *at)),
        Err(full) => Err(full),
    }
}

/// Decides the first report of an attempt on the task as it is once the attempt has started, and records the start with it.
fn after_start(
    task: &Task,
    started: AttemptStarted,
    command: &Command,
    at: DateTime<Utc>,
) -> Result<Vec<Event>, Rejection> {
    let started = Event::AttemptStarted(started);
    let mut begun = task.clone();
    evolve::apply(&mut begun, &started);
    let mut events = disarm_at_end(&begun, decide_on(&begun, command, at)?);
    if !events.is_empty() {
        events.insert(0, started);
    }
    Ok(events)
}

fn decide_on(task: &Task, command: &Command, at: DateTime<Utc>) -> Result<Vec<Event>, Rejection> {
    match command {
        Command::Accept(_) => Err(Rejection::Exists),
        Command::SubmitInput(command) => inbox::submit(task, command, at),
        Command::Cancel { command, grace_ms } => lifecycle::cancel(task, command, *grace_ms, at),
        Command::CancelRun { command, grace_ms } => lifecycle::cancel_run(task, command, *grace_ms, at),
        Command::Retry { command, input_id, message_bytes_max } => {
            lifecycle::retry(task, command, *input_id, *message_bytes_max, at)
        }
        Command::Archive { command: ArchiveTask { .. }, grace_ms } => {
            Ok(lifecycle::archive(task, *grace_ms, at))
        }
        Command::Unarchive(UnarchiveTask { .. }) => Ok(lifecycle::unarchive(task, at)),
        Command::Update { command, message_bytes_max } => {
            lifecycle::update(task, command, *message_bytes_max, at)
        }
        Command::ChildEnded(command) => Ok(subtasks::child_ended(task, command, at)),
        Command::ParentHeard(ParentHeard) => Ok(subtasks::parent_heard(task, at)),
        Command::FireWatch { command, fingerprint } => Ok(watches::fire(task, command, fingerprint, at)),
        Command::Wake(command) => Ok(timers::wake(task, command, at)),
        Command::Lease(command) => worker_report::lease(task, command, at),
        Command::Start(command) => Ok(worker_report::start(task, command)),
        Command::ExpireLease(ExpireLease { attempt_id, reason }) => {
            Ok(settlement::lose(task, attempt_id, RetryReason::LeaseLost, reason, at))
        }
        Command::Return { command, attempt_id } => {
            let reason = command.reason.as_deref().unwrap_or("the worker gave it back");
            Ok(settlement::lose(task, attempt_id, RetryReason::Returned, reason, at))
        }
        Command::ReleaseAttempt(command) => Ok(settlement::release(task, command, at)),
        Command::TimeOutAttempt(command) => Ok(settlement::time_out(task, command, at)),
        Command::ExpireQueue(command) => Ok(timers::expire_queue(task, command, at)),
        Command::PassDeadline(command) => Ok(timers::pass_deadline(task, command, at)),
        Command::Finish { command, attempt_id } => settlement::finish(task, command, attempt_id, at),
        Command::OpenBlocker { command, attempt_id, fitting } => {
            blocker::open_blocker(task, command, attempt_id, fitting, at)
        }
        Command::ExpireBlocker(command) => Ok(blocker::expire(task, command, at)),
        Command::ClaimInput { attempt_id } => inbox::claim(task, attempt_id, at),
        Command::AckInput { command, attempt_id } => inbox::ack(task, command, attempt_id, at),
        Command::DeferInput { command, attempt_id } => inbox::defer(task, command, attempt_id, at),
        Command::ProduceOutput { command, fingerprint, output_id, attempt_id } => {
            outputs::produce(task, (command, fingerprint), *output_id, attempt_id.as_ref(), at)
        }
        Command::AppendOutputRows { command, attempt_id } => {
            outputs::append_rows(task, command, attempt_id.as_ref(), at)
        }
        Command::FinalizeOutput { command, fingerprint, attempt_id } => {
            outputs::finalize(task, (command, fingerprint), attempt_id.as_ref(), at)
        }
        Command::ArchiveOutputs(command) => outputs::archive(task, command, at),
        Command::RecordUsage { command, attempt_id } => {
            worker_report::record_usage(task, command, attempt_id, at)
        }
        Command::CheckToolCall(command) => tool_call::check(task, command, at),
        Command::StartToolCall(command) => tool_call::start(task, command, at),
        Command::EndToolCall(command) => tool_call::end(task, command, at),
        Command::StopForBudget(command) => Ok(budget::stop_for(task, command, at)),
        Command::WarnBudget(command) => Ok(budget::warn(task, command, at)),
        Command::LiftBudget(command) => Ok(budget::lift(task, command, at)),
    }
}

/// True for requests of callers; the system itself and workers that are still stopping continue.
fn is_refused_when_archived(command: &Command) -> bool {
    matches!(
        command,
        Command::SubmitInput(_)
            | Command::Cancel { .. }
            | Command::CancelRun { .. }
            | Command::Retry { .. }
            | Command::Update { .. }
    )
}

#[cfg(test)]
mod tests {
    use capstan_decider::spec::given;

    use super::*;
    use crate::task::TaskDecider;
    use crate::task::command::{PassDeadline, Wake};
    use crate::task::fixture::{GRACE_MS, at, cancel, expire, lease, say};

    #[test]
    fn a_task_that_does_not_exist_takes_nothing_but_its_acceptance() {
        let wake = Command::Wake(Wake { wake_at: at(1) }).at(at(60));
        let deadline = Command::PassDeadline(PassDeadline { deadline: at(1), grace_ms: GRACE_MS }).at(at(2));
        for command in [cancel(), say(1, "hi"), lease(1, 1), expire(1), wake, deadline] {
            given::<TaskDecider>([]).when(command).then_rejected(Rejection::NotFound);
        }
    }
}
