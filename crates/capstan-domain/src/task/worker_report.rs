//! What a worker asks and reports while it holds a lease (domain.md 6). Ends of attempts are in
//! [`settlement`](crate::task::settlement).

use crate::id::{AttemptId, BlockerId};
use crate::task::budget::{self, Spending};
use crate::task::command::{BlockerSpec, Lease, OpenBlocker, RecordUsage, Start};
use crate::task::event::{
    AttemptLeased, AttemptStarted, BlockerClosed, BlockerKind, BlockerOpened, BlockerStatus, Event,
    TaskContinued, UsageRecorded,
};
use crate::task::rejection::Rejection;
use crate::task::state::{Blocker, InputState, Live, Task, TaskState};

/// The live attempt, when the caller holds it and was not told to stop.
pub(super) fn fenced<'a>(task: &'a Task, attempt_id: &AttemptId) -> Result<&'a Live, Rejection> {
    task.working_attempt()
        .filter(|live| live.attempt_id == *attempt_id)
        .ok_or(Rejection::LeaseLost { current_epoch: task.epoch })
}

pub(super) fn lease(task: &Task, command: &Lease) -> Result<Vec<Event>, Rejection> {
    let queued =
        task.active_run().filter(|run| run.run_id == command.run_id && task.state == TaskState::Queued);
    let Some(run) = queued.filter(|_| task.live.is_none()) else {
        return Err(Rejection::illegal("leasing", task.state));
    };
    if task.available_at.is_some_and(|available_at| available_at > command.at) {
        return Err(Rejection::illegal("leasing before its retry is due", task.state));
    }
    if budget::own(task).is_some_and(Spending::is_exceeded) {
        return Err(Rejection::illegal("leasing over its budget", task.state));
    }
    let epoch = task.epoch.saturating_add(1);
    Ok(vec![Event::AttemptLeased(AttemptLeased {
        attempt_id: AttemptId { workspace: task.accepted.workspace.clone(), task: task.id(), epoch },
        run_id: run.run_id,
        attempt_no: run.attempts.saturating_add(1),
        worker_id: command.worker_id,
        worker_name: command.worker_name.clone(),
        lease_ms: command.lease_ms,
        leased_at: command.at,
    })])
}

pub(super) fn start(task: &Task, command: &Start) -> Result<Vec<Event>, Rejection> {
    let live = fenced(task, &command.attempt_id)?;
    if live.started_at.is_some() {
        return Ok(Vec::new());
    }
    Ok(vec![Event::AttemptStarted(AttemptStarted {
        attempt_id: live.attempt_id.clone(),
        run_id: live.run_id,
        started_at: command.at,
    })])
}

pub(super) fn record_usage(task: &Task, command: &RecordUsage) -> Result<Vec<Event>, Rejection> {
    let live = fenced(task, &command.attempt_id)?;
    let usage = command.usage.clone().reported().map_err(Rejection::Invalid)?;
    if usage.is_empty() {
        return Ok(Vec::new());
    }
    let mut events = vec![Event::UsageRecorded(UsageRecorded {
        run_id: live.run_id,
        attempt_id: live.attempt_id.clone(),
        agent_id: Some(task.accepted.agent_id),
        usage,
        at: command.at,
    })];
    budget::after_usage(task, true, command.at, &mut events);
    Ok(events)
}

pub(super) fn open_blocker(task: &Task, command: &OpenBlocker) -> Result<Vec<Event>, Rejection> {
    let live = fenced(task, &command.attempt_id)?;
    // The same question again while its answer still waits to be taken is a repeated call, not a new question.
    let answer_waits =
        |input_id| task.input(input_id).is_some_and(|input| input.state == InputState::Pending);
    if let Some((asked, input_id)) = &task.answered
        && task.blocker.is_none()
        && is_asked(asked, live, &command.blocker)
        && answer_waits(*input_id)
    {
        return Ok(Vec::new());
    }
    let mut events = open(task, live, &command.blocker, command.at)?;
    // An answer that came before its question is matched too: the order of the two does not matter.
    if let (Some(input), Some(Event::BlockerOpened(opened))) = (task.pending_inputs().next(), events.last()) {
        let blocker_id = opened.blocker_id;
        events.push(Event::BlockerClosed(BlockerClosed {
            blocker_id,
            status: BlockerStatus::Resolved,
            resolution: None,
            input_id: Some(input.input_id),
            closed_at: command.at,
        }));
        events.push(Event::TaskContinued(TaskContinued { run_id: live.run_id, at: command.at }));
    }
    Ok(events)
}

/// True when the attempt's run asked exactly this.
fn is_asked(blocker: &Blocker, live: &Live, spec: &BlockerSpec) -> bool {
    let asked = &blocker.opened;
    asked.run_id == live.run_id && asked.summary == spec.summary.trim() && asked.questions == spec.questions
}

/// Opens a question; an equal one that is open already is left alone, another one is superseded.
pub(super) fn open(
    task: &Task,
    live: &Live,
    spec: &BlockerSpec,
    at: chrono::DateTime<chrono::Utc>,
) -> Result<Vec<Event>, Rejection> {
    let summary = spec.summary.trim();
    if summary.is_empty() {
        return Err(Rejection::invalid("/blocker/summary", "summary is required"));
    }
    let mut events = Vec::new();
    if let Some(blocker) = &task.blocker {
        if is_asked(blocker, live, spec) {
            return Ok(events);
        }
        events.push(Event::BlockerClosed(BlockerClosed {
            blocker_id: blocker.opened.blocker_id,
            status: BlockerStatus::Superseded,
            resolution: None,
            input_id: None,
            closed_at: at,
        }));
    }
    let revision = task.blocker_revision.saturating_add(1);
    events.push(Event::BlockerOpened(BlockerOpened {
        blocker_id: BlockerId::of_task(task.id(), revision),
        revision,
        run_id: live.run_id,
        kind: BlockerKind::Input,
        summary: summary.to_owned(),
        details: spec.details.clone().or_else(|| Some(summary.to_owned())),
        questions: spec.questions.clone(),
        items: Vec::new(),
        wait_group_id: None,
        answer_schema: None,
        deadline: None,
        approvers: None,
        tool_call_id: None,
        join: None,
        budget: None,
        opened_at: at,
    }));
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome_text::ErrorClass;
    use crate::task::Command;
    use crate::task::command::Finish;
    use crate::task::event::Question;
    use crate::task::fixture::{
        ask, at, attempt, blocker_id, cancel, claim, done, expire, failure, finishing, kinds, lease, leased,
        question, queued, run, say, start, started, stopping, waiting,
    };
    use crate::usage::{ModelUsage, Usage};

    const LOST: Rejection = Rejection::LeaseLost { current_epoch: 1 };

    fn usage(epoch: u64, usage: Usage) -> Command {
        Command::RecordUsage(RecordUsage { attempt_id: attempt(epoch), usage, at: at(17) })
    }

    #[test]
    fn leasing_a_queued_run_gives_the_task_the_next_epoch() {
        queued().when(lease(1, 10)).then_with(|events, state| {
            let Event::AttemptLeased(leased) = &events[0] else { panic!("leased") };
            assert_eq!((leased.attempt_id.epoch, leased.attempt_no), (1, 1));
            assert_eq!(state.as_ref().unwrap().state, TaskState::Running);
        });
        queued().and(lease(1, 10)).and(expire(1)).when(lease(1, 60)).then_with(|events, _| {
            let Event::AttemptLeased(leased) = &events[0] else { panic!("leased") };
            assert_eq!((leased.attempt_id.epoch, leased.attempt_no), (2, 2));
        });
    }

    #[test]
    fn only_the_queued_run_can_be_leased_and_only_once() {
        queued().when(lease(2, 10)).then_rejected(Rejection::illegal("leasing", TaskState::Queued));
        leased().when(lease(1, 10)).then_rejected(Rejection::illegal("leasing", TaskState::Running));
        waiting().when(lease(1, 10)).then_rejected(Rejection::illegal("leasing", TaskState::Waiting));
        done().when(lease(1, 10)).then_rejected(Rejection::illegal("leasing", TaskState::Done));
    }

    #[test]
    fn a_retry_is_not_leased_before_it_is_due() {
        let paused = Finish { retry_after_ms: Some(5000), ..failure(1, ErrorClass::RateLimited) };
        let retry = || started().and(finishing(paused.clone()));
        retry()
            .when(lease(1, 54))
            .then_rejected(Rejection::illegal("leasing before its retry is due", TaskState::Queued));
        retry().when(lease(1, 55)).then_with(|events, _| assert_eq!(kinds(events), ["leased"]));
    }

    #[test]
    fn an_attempt_starts_once() {
        leased().when(start(1, 11)).then([Event::AttemptStarted(AttemptStarted {
            attempt_id: attempt(1),
            run_id: run(1),
            started_at: at(11),
        })]);
        started().when(start(1, 12)).then_nothing();
    }

    #[test]
    fn a_stale_or_stopping_attempt_says_nothing_more() {
        for command in [start(7, 11), ask(7, "which?"), claim(7), usage(7, Usage::default())] {
            started().when(command).then_rejected(LOST);
        }
        for command in [start(1, 31), ask(1, "which?"), claim(1), usage(1, Usage::default())] {
            stopping().when(command).then_rejected(LOST);
        }
        queued().when(start(1, 11)).then_rejected(Rejection::LeaseLost { current_epoch: 0 });
    }

    #[test]
    fn usage_is_recorded_with_its_sums_filled_in() {
        started().when(usage(1, Usage { input_tokens: 2, output_tokens: 3, ..Usage::default() })).then_with(
            |events, _| {
                let Event::UsageRecorded(recorded) = &events[0] else { panic!("usage") };
                assert_eq!(recorded.usage.total_tokens, 5);
            },
        );
    }

    #[test]
    fn empty_usage_is_not_recorded_and_a_negative_or_absurd_cost_is_refused() {
        started().when(usage(1, Usage::default())).then_nothing();
        for cost_usd in [-1.0, f64::NAN, f64::INFINITY, 1.1e9] {
            started().when(usage(1, Usage { cost_usd, ..Usage::default() })).then_rejected(
                Rejection::invalid("/usage/cost_usd", "cost_usd must be >= 0 and at most 1000000000"),
            );
        }
        let dear = |name: &str| (name.to_owned(), ModelUsage { cost_usd: 1e308, ..ModelUsage::default() });
        let models = [dear("a"), dear("b")].into();
        started()
            .when(usage(1, Usage { models, ..Usage::default() }))
            .then_rejected_with(|no| matches!(no, Rejection::Invalid(faults) if faults.len() == 3));
    }

    #[test]
    fn a_question_makes_the_task_wait_for_its_answer() {
        started().when(ask(1, " which one? ")).then_with(|events, state| {
            assert_eq!(kinds(events), ["asked"]);
            let task = state.as_ref().unwrap();
            assert_eq!(task.state, TaskState::Waiting);
            let blocker = task.blocker.as_ref().unwrap();
            assert_eq!(
                (blocker.opened.blocker_id, blocker.opened.summary.as_str()),
                (blocker_id(1), "which one?")
            );
        });
    }

    #[test]
    fn another_question_supersedes_the_open_one_and_the_same_is_left_alone() {
        waiting().when(ask(1, "which one?")).then_nothing();
        waiting().when(ask(1, "how many?")).then_with(|events, state| {
            let Event::BlockerClosed(closed) = &events[0] else { panic!("closed") };
            assert_eq!((closed.blocker_id, closed.status), (blocker_id(1), BlockerStatus::Superseded));
            assert_eq!(state.as_ref().unwrap().blocker.as_ref().unwrap().opened.blocker_id, blocker_id(2));
        });
        let mut detailed = question("which one?");
        detailed.questions.push(Question { id: "a".into(), text: "this?".into() });
        let ask_detailed =
            Command::OpenBlocker(OpenBlocker { attempt_id: attempt(1), blocker: detailed, at: at(16) });
        waiting().when(ask_detailed).then_with(|events, _| assert_eq!(kinds(events), ["answered", "asked"]));
    }

    #[test]
    fn a_question_repeated_before_its_answer_was_taken_is_not_asked_twice() {
        let answered = || started().and(say(1, "red")).and(ask(1, "which colour?"));
        answered().when(ask(1, "which colour?")).then_nothing();
        waiting().and(say(1, "red")).when(ask(1, "which one?")).then_nothing();
        // Once the answer is taken, the same words are a new question.
        waiting()
            .and(say(1, "red"))
            .and(claim(1))
            .when(ask(1, "which one?"))
            .then_with(|_, state| assert_eq!(state.as_ref().unwrap().blocker_revision, 2));
    }

    #[test]
    fn a_question_without_words_is_refused() {
        started()
            .when(ask(1, "  "))
            .then_rejected(Rejection::invalid("/blocker/summary", "summary is required"));
    }

    #[test]
    fn a_cancelled_attempt_cannot_ask() {
        started().and(cancel()).when(ask(1, "may I?")).then_rejected(LOST);
    }
}
