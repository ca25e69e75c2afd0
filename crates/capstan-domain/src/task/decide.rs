//! Which rule answers which command, and the rules of stopping.

use chrono::{DateTime, Duration, Utc};

use crate::id::RunId;
use crate::task::command::{Cancel, CancelRun, Command, ExpireQueue, PassDeadline, Wake};
use crate::task::event::{
    AttemptCancelRequested, BlockerClosed, BlockerStatus, DropReason, Event, InputReturned, OutputStatus,
    OutputStatusChanged, RunCause, RunEnded, RunRequested, RunStatus, TaskCancelled, TaskDropped,
};
use crate::task::inbox::Said;
use crate::task::rejection::Rejection;
use crate::task::state::{InputState, State, Task, TaskState};
use crate::task::{
    accept, blocker, budget, inbox, lifecycle, outputs, settlement, subtasks, tool_call, watches,
    worker_report,
};

pub(super) fn decide(state: &State, command: &Command) -> Result<Vec<Event>, Rejection> {
    let Some(task) = state else {
        return if let Command::Accept(command) = command {
            accept::accept(command)
        } else {
            Err(Rejection::NotFound)
        };
    };
    if task.is_archived() && is_refused_when_archived(command) {
        return Err(Rejection::Archived);
    }
    decide_on(task, command).map(|events| watches::disarm_at_end(task, events))
}

fn decide_on(task: &Task, command: &Command) -> Result<Vec<Event>, Rejection> {
    match command {
        Command::Accept(_) => Err(Rejection::Exists),
        Command::SubmitInput(command) => inbox::submit(task, command),
        Command::Cancel(command) => cancel(task, command),
        Command::CancelRun(command) => cancel_run(task, command),
        Command::Retry(command) => lifecycle::retry(task, command),
        Command::Archive(command) => Ok(lifecycle::archive(task, command)),
        Command::Unarchive(command) => Ok(lifecycle::unarchive(task, command)),
        Command::Update(command) => lifecycle::update(task, command),
        Command::ChildEnded(command) => Ok(subtasks::child_ended(task, command)),
        Command::ParentHeard(command) => Ok(subtasks::parent_heard(task, command)),
        Command::FireWatch(command) => Ok(watches::fire(task, command)),
        Command::Wake(command) => Ok(wake(task, command)),
        Command::Lease(command) => worker_report::lease(task, command),
        Command::Start(command) => worker_report::start(task, command),
        Command::ExpireLease(command) => Ok(settlement::expire_lease(task, command)),
        Command::ReleaseAttempt(command) => Ok(settlement::release(task, command)),
        Command::TimeOutAttempt(command) => Ok(settlement::time_out(task, command)),
        Command::ExpireQueue(command) => Ok(expire_queue(task, command)),
        Command::PassDeadline(command) => Ok(pass_deadline(task, command)),
        Command::Finish(command) => settlement::finish(task, command),
        Command::OpenBlocker(command) => blocker::open_blocker(task, command),
        Command::ExpireBlocker(command) => Ok(blocker::expire(task, command)),
        Command::ClaimInput(command) => inbox::claim(task, command),
        Command::AckInput(command) => inbox::ack(task, command),
        Command::DeferInput(command) => inbox::defer(task, command),
        Command::ProduceOutput(command) => outputs::produce(task, command),
        Command::AppendOutputRows(command) => outputs::append_rows(task, command),
        Command::FinalizeOutput(command) => outputs::finalize(task, command),
        Command::ArchiveOutputs(command) => outputs::archive(task, command),
        Command::RecordUsage(command) => worker_report::record_usage(task, command),
        Command::CheckToolCall(command) => tool_call::check(task, command),
        Command::StartToolCall(command) => tool_call::start(task, command),
        Command::EndToolCall(command) => tool_call::end(task, command),
        Command::StopForBudget(command) => Ok(budget::stop_for(task, command)),
        Command::WarnBudget(command) => Ok(budget::warn(task, command)),
        Command::LiftBudget(command) => Ok(budget::lift(task, command)),
    }
}

/// What callers ask; the machinery and workers that still stop go on.
fn is_refused_when_archived(command: &Command) -> bool {
    matches!(
        command,
        Command::SubmitInput(_)
            | Command::Cancel(_)
            | Command::CancelRun(_)
            | Command::Retry(_)
            | Command::Update(_)
    )
}

fn cancel(task: &Task, command: &Cancel) -> Result<Vec<Event>, Rejection> {
    if task.state.is_terminal() {
        return Err(Rejection::illegal("cancelling", task.state));
    }
    Ok(stop(task, command.reason.clone(), command.grace_ms, command.at))
}

fn cancel_run(task: &Task, command: &CancelRun) -> Result<Vec<Event>, Rejection> {
    let run = task.run(command.run_id).ok_or(Rejection::PartNotFound("run"))?;
    if run.status.is_terminal() {
        return Err(Rejection::IllegalTransition {
            what: "cancelling",
            subject: "run",
            state: run.status.as_str().into(),
        });
    }
    Ok(stop(task, command.reason.clone(), command.grace_ms, command.at))
}

fn pass_deadline(task: &Task, command: &PassDeadline) -> Vec<Event> {
    let passed = task.accepted.deadline.filter(|deadline| *deadline <= command.at);
    if task.state.is_terminal() || passed != Some(command.deadline) {
        return Vec::new();
    }
    stop(task, Some("deadline exceeded".to_owned()), command.grace_ms, command.at)
}

/// Ends the task as cancelled, with everything that hangs on it. A live worker is told to stop; its session
/// stays taken until it has, or the grace is over.
pub(super) fn stop(task: &Task, reason: Option<String>, grace_ms: i64, at: DateTime<Utc>) -> Vec<Event> {
    let mut events = Vec::new();
    stop_run(task, RunStatus::Cancelled, reason.clone(), grace_ms, at, &mut events);
    close_blocker(task, BlockerStatus::Cancelled, at, &mut events);
    change_outputs(
        task,
        &[OutputStatus::Pending, OutputStatus::Approved],
        OutputStatus::Cancelled,
        at,
        &mut events,
    );
    events.push(Event::TaskCancelled(TaskCancelled { reason, at }));
    events
}

/// Ends the active run. A live worker is told to stop.
pub(super) fn stop_run(
    task: &Task,
    status: RunStatus,
    reason: Option<String>,
    grace_ms: i64,
    at: DateTime<Utc>,
    events: &mut Vec<Event>,
) {
    if let Some(live) = task.working_attempt() {
        events.push(Event::AttemptCancelRequested(AttemptCancelRequested {
            attempt_id: live.attempt_id.clone(),
            run_id: live.run_id,
            reason: reason.clone().unwrap_or_else(|| "cancelled".to_owned()),
            grace_until: later(at, grace_ms),
        }));
    }
    return_claimed_inputs(task, at, events);
    if let Some(run) = task.active_run() {
        events.push(run_ended(run.run_id, status, reason, at));
    }
}

/// What an agent hears before the follow-up it asked to be reminded of.
const TIME_IS_UP: &str = "This is the wake-up you asked for: its time has come, so do now what follows and do not wait for it again.";

fn wake(task: &Task, command: &Wake) -> Vec<Event> {
    let Some(sleep) = task.sleep.as_ref().filter(|_| task.state == TaskState::Sleeping) else {
        return Vec::new();
    };
    if sleep.wake_at != command.wake_at {
        return Vec::new();
    }
    let prompt = match &sleep.follow_up_prompt {
        // Told only what to do later, an agent may take it for an order to wait once more.
        Some(follow_up) => format!("{TIME_IS_UP}\n\n{follow_up}"),
        None => task.accepted.message.clone(),
    };
    vec![Event::RunRequested(next_run(task, RunCause::Wake, prompt, command.at))]
}

fn expire_queue(task: &Task, command: &ExpireQueue) -> Vec<Event> {
    let is_due = task.queue_due().is_some_and(|due| due <= command.at);
    let Some(run) = task.active_run().filter(|run| is_due && run.run_id == command.run_id) else {
        return Vec::new();
    };
    vec![
        run_ended(
            run.run_id,
            RunStatus::Cancelled,
            Some("waited longer than its queue TTL".to_owned()),
            command.at,
        ),
        Event::TaskDropped(TaskDropped { reason: DropReason::QueueTtl, at: command.at }),
    ]
}

/// The longest span a command may name, so that time arithmetic cannot overflow: a century, in milliseconds.
pub(super) const SPAN_MS_MAX: i64 = 100 * 366 * 86_400_000;

/// The instant `ms` milliseconds later, at most a century; never earlier.
pub(super) fn later(at: DateTime<Utc>, ms: i64) -> DateTime<Utc> {
    at.checked_add_signed(Duration::milliseconds(ms.clamp(0, SPAN_MS_MAX))).unwrap_or(at)
}

/// Asks for a run that tells the agent everything it was not told yet, `said` being the newest. Begins with
/// what an earlier run should have told: a task that was cancelled in the queue is not resumed without its own
/// command. `ended` is the run that ends well in the same decision.
pub(super) fn request_run_with_inputs(
    task: &Task,
    ended: Option<RunId>,
    said: Option<Said<'_>>,
    at: DateTime<Utc>,
) -> Event {
    let undelivered = task.undelivered_prompt().filter(|_| ended.is_none());
    let batch = inbox::next_batch(task, said, undelivered.is_some());
    let (input_ids, texts): (Vec<_>, Vec<_>) =
        batch.into_iter().map(|said| (said.input_id, said.message)).unzip();
    let prompt: Vec<_> = undelivered.into_iter().chain(texts).collect();
    let mut run = next_run(task, RunCause::Input, prompt.join("\n\n"), at);
    run.input_ids = input_ids;
    run.resumed_from_run_id = ended.or(run.resumed_from_run_id);
    Event::RunRequested(run)
}

/// The task's next run.
fn next_run(task: &Task, cause: RunCause, prompt: String, at: DateTime<Utc>) -> RunRequested {
    let run_no = u32::try_from(task.runs.len()).unwrap_or(u32::MAX).saturating_add(1);
    RunRequested {
        run_id: RunId::of_task(task.id(), run_no),
        run_no,
        cause,
        prompt,
        input_ids: Vec::new(),
        reopens: task.state.is_terminal(),
        // A run that reached no agent has no session to resume.
        resumed_from_run_id: task.runs.iter().rev().find(|run| run.delivered).map(|run| run.run_id),
        queued_at: at,
    }
}

pub(super) fn run_ended(run_id: RunId, status: RunStatus, error: Option<String>, at: DateTime<Utc>) -> Event {
    Event::RunEnded(RunEnded { run_id, status, exit_code: None, error, result: None, ended_at: at })
}

/// Gives inputs a worker took but never acknowledged back to the inbox.
pub(super) fn return_claimed_inputs(task: &Task, at: DateTime<Utc>, events: &mut Vec<Event>) {
    for input in &task.inbox {
        if matches!(input.state, InputState::Claimed(_)) {
            events.push(Event::InputReturned(InputReturned { input_id: input.input_id, at }));
        }
    }
}

pub(super) fn close_blocker(task: &Task, status: BlockerStatus, at: DateTime<Utc>, events: &mut Vec<Event>) {
    if let Some(blocker) = &task.blocker {
        events.push(Event::BlockerClosed(BlockerClosed {
            blocker_id: blocker.opened.blocker_id,
            status,
            input_id: None,
            resolution: None,
            closed_at: at,
        }));
    }
}

/// Moves every output in one of the states `from` to `to`.
pub(super) fn change_outputs(
    task: &Task,
    from: &[OutputStatus],
    to: OutputStatus,
    at: DateTime<Utc>,
    events: &mut Vec<Event>,
) {
    for (output_id, output) in &task.outputs {
        if from.contains(&output.status) {
            events.push(Event::OutputStatusChanged(OutputStatusChanged {
                output_id: *output_id,
                status: to,
                reason: None,
                at,
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use capstan_decider::spec::given;

    use super::*;
    use crate::task::TaskDecider;
    use crate::task::command::{Accept, Finish, ReleaseAttempt, WakePlan};
    use crate::task::event::AttemptOutcome;
    use crate::task::fixture::{
        GRACE_MS, accept, accepting, ask, at, attempt, cancel, claim, done, expire, finish_ok, finishing,
        kinds, lease, leased, produce, queued, report, run, say, started, stopping, task_of, waiting,
        wake_in,
    };

    fn cancel_run(number: u32) -> Command {
        Command::CancelRun(CancelRun { run_id: run(number), reason: None, grace_ms: GRACE_MS, at: at(30) })
    }

    fn wake_at(instant: DateTime<Utc>) -> Command {
        Command::Wake(Wake { wake_at: instant, at: at(60) })
    }

    fn expire_queue(number: u32, seconds: i64) -> Command {
        Command::ExpireQueue(ExpireQueue { run_id: run(number), at: at(seconds) })
    }

    fn pass_deadline(deadline: i64, seconds: i64) -> Command {
        Command::PassDeadline(PassDeadline { deadline: at(deadline), grace_ms: GRACE_MS, at: at(seconds) })
    }

    fn release(epoch: u64) -> Command {
        Command::ReleaseAttempt(ReleaseAttempt { attempt_id: attempt(epoch), at: at(41) })
    }

    fn asleep() -> capstan_decider::spec::Given<TaskDecider> {
        given::<TaskDecider>([]).and(accepting(Accept { dispatch_delay_ms: Some(60_000), ..accept() }))
    }

    #[test]
    fn a_task_that_does_not_exist_takes_nothing_but_its_acceptance() {
        for command in [cancel(), say(1, "hi"), lease(1, 1), expire(1), wake_at(at(1)), pass_deadline(1, 2)] {
            given::<TaskDecider>([]).when(command).then_rejected(Rejection::NotFound);
        }
    }

    #[test]
    fn cancelling_a_queued_task_ends_its_run_and_the_task() {
        queued().when(cancel()).then_with(|events, state| {
            assert_eq!(kinds(events), ["run ended", "cancelled"]);
            let task = state.as_ref().unwrap();
            assert_eq!((task.state, task.runs[0].status), (TaskState::Cancelled, RunStatus::Cancelled));
        });
    }

    #[test]
    fn cancelling_a_live_task_settles_it_at_once_and_gives_the_worker_a_grace() {
        started().when(cancel()).then_with(|events, state| {
            assert_eq!(kinds(events), ["stop requested", "run ended", "cancelled"]);
            let task = state.as_ref().unwrap();
            assert_eq!(task.state, TaskState::Cancelled);
            assert_eq!(task.live.as_ref().unwrap().cancel_grace_until, Some(at(40)));
        });
    }

    #[test]
    fn cancelling_a_waiting_task_stops_its_live_attempt_too_and_closes_the_question() {
        waiting().when(cancel()).then_with(|events, state| {
            assert_eq!(kinds(events), ["stop requested", "run ended", "answered", "cancelled"]);
            let Event::BlockerClosed(closed) = &events[2] else { panic!("closed") };
            assert_eq!(closed.status, BlockerStatus::Cancelled);
            assert_eq!(state.as_ref().unwrap().blocker, None);
        });
    }

    #[test]
    fn cancelling_gives_claimed_inputs_back_and_cancels_undecided_outputs() {
        started()
            .and(say(1, "more"))
            .and(claim(1))
            .and(produce(1, OutputStatus::Pending))
            .and(produce(2, OutputStatus::Active))
            .when(cancel())
            .then_with(|events, state| {
                let expected = ["stop requested", "returned", "run ended", "output changed", "cancelled"];
                assert_eq!(kinds(events), expected);
                assert_eq!(state.as_ref().unwrap().pending_inputs().count(), 1);
            });
    }

    #[test]
    fn a_task_that_is_over_cannot_be_cancelled() {
        done().when(cancel()).then_rejected(Rejection::illegal("cancelling", TaskState::Done));
        stopping().when(cancel()).then_rejected(Rejection::illegal("cancelling", TaskState::Cancelled));
    }

    #[test]
    fn a_reopened_task_whose_old_attempt_still_stops_waits_for_it_and_can_be_cancelled_again() {
        let reopened = stopping().and(say(1, "go on"));
        assert_eq!(task_of(&reopened).state, TaskState::Queued);
        reopened.when(lease(2, 31)).then_rejected(Rejection::illegal("leasing", TaskState::Queued));
        let freed = stopping().and(say(1, "go on")).and(release(1));
        freed.when(lease(2, 42)).then_with(|events, _| assert_eq!(kinds(events), ["leased"]));
        stopping()
            .and(say(1, "go on"))
            .when(cancel())
            .then_with(|events, _| assert_eq!(kinds(events), ["run ended", "cancelled"]));
    }

    #[test]
    fn the_end_of_the_grace_frees_the_session_without_touching_the_task() {
        stopping().when(release(1)).then_with(|events, state| {
            assert_eq!(kinds(events), ["attempt ended"]);
            let task = state.as_ref().unwrap();
            assert_eq!((task.state, &task.live), (TaskState::Cancelled, &None));
        });
        started().when(release(1)).then_nothing();
        stopping().when(release(2)).then_nothing();
    }

    #[test]
    fn cancelling_the_live_run_settles_the_task_at_once() {
        started()
            .when(cancel_run(1))
            .then_with(|events, _| assert_eq!(kinds(events), ["stop requested", "run ended", "cancelled"]));
    }

    #[test]
    fn a_run_that_is_over_or_unknown_cannot_be_cancelled() {
        done().when(cancel_run(1)).then_rejected(Rejection::IllegalTransition {
            what: "cancelling",
            subject: "run",
            state: "ok".into(),
        });
        done().when(cancel_run(7)).then_rejected(Rejection::PartNotFound("run"));
    }

    #[test]
    fn the_wake_timer_queues_the_task_with_its_message() {
        asleep().when(wake_at(at(60))).then_with(|events, state| {
            let Event::RunRequested(run) = &events[0] else { panic!("a run") };
            assert_eq!((run.cause, run.prompt.as_str()), (RunCause::Wake, "do it"));
            assert_eq!(state.as_ref().unwrap().sleep, None);
        });
    }

    #[test]
    fn an_agent_that_is_woken_hears_that_the_time_has_come_and_what_it_wanted_to_do() {
        let wake = WakePlan { follow_up_prompt: Some("ask Ann".into()), ..wake_in(1) };
        let asleep = started().and(finishing(Finish { wake: Some(wake), ..report(1, AttemptOutcome::Ok) }));
        asleep.when(wake_at(at(110))).then_with(|events, _| {
            let Event::RunRequested(next) = &events[0] else { panic!("a run") };
            assert_eq!(next.prompt, format!("{TIME_IS_UP}\n\nask Ann"));
            assert_eq!((next.cause, next.resumed_from_run_id), (RunCause::Wake, Some(run(1))));
        });
    }

    #[test]
    fn a_timer_of_another_sleep_or_of_a_task_that_is_awake_changes_nothing() {
        asleep().when(wake_at(at(61))).then_nothing();
        asleep().and(wake_at(at(60))).when(wake_at(at(60))).then_nothing();
        queued().when(wake_at(at(60))).then_nothing();
    }

    #[test]
    fn an_input_wakes_a_delayed_task_with_its_command_before_the_input() {
        asleep().when(say(1, "now!")).then_with(|events, state| {
            assert_eq!(kinds(events), ["said", "run requested"]);
            assert_eq!(state.as_ref().unwrap().current_run().unwrap().prompt, "do it\n\nnow!");
        });
    }

    #[test]
    fn a_task_that_waits_longer_than_its_queue_ttl_is_dropped() {
        let patient =
            || given::<TaskDecider>([]).and(accepting(Accept { queue_ttl_ms: Some(5000), ..accept() }));
        patient().when(expire_queue(1, 5)).then_with(|events, state| {
            assert_eq!(kinds(events), ["run ended", "dropped"]);
            assert_eq!(state.as_ref().unwrap().state, TaskState::Dropped);
        });
        patient().when(expire_queue(1, 4)).then_nothing();
        patient().when(expire_queue(2, 5)).then_nothing();
        patient().and(lease(1, 1)).when(expire_queue(1, 5)).then_nothing();
        // It had its attempt: a retry is not a first wait.
        patient().and(lease(1, 1)).and(expire(1)).when(expire_queue(1, 60)).then_nothing();
        queued().when(expire_queue(1, 1_000_000)).then_nothing();
    }

    #[test]
    fn a_task_past_its_deadline_is_cancelled_whatever_it_does() {
        let due = || given::<TaskDecider>([]).and(accepting(Accept { deadline: Some(at(100)), ..accept() }));
        for history in [due(), due().and(lease(1, 1)), due().and(lease(1, 1)).and(ask(1, "which?"))] {
            history.when(pass_deadline(100, 100)).then_with(|_, state| {
                assert_eq!(state.as_ref().unwrap().state, TaskState::Cancelled);
            });
        }
        due().when(pass_deadline(100, 99)).then_nothing();
        due().when(pass_deadline(101, 200)).then_nothing();
        due().and(lease(1, 1)).and(finish_ok(1)).when(pass_deadline(100, 100)).then_nothing();
        leased().when(pass_deadline(100, 100)).then_nothing();
    }

    #[test]
    fn spans_saturate_instead_of_overflowing() {
        assert_eq!(later(at(0), -5), at(0));
        assert_eq!(later(DateTime::<Utc>::MAX_UTC, 5), DateTime::<Utc>::MAX_UTC);
        assert!(later(at(0), i64::MAX) < DateTime::<Utc>::MAX_UTC);
    }
}
