//! What is said to a task, and how it reaches a run (domain.md 4).

use crate::task::command::{AckInput, ClaimInput, SubmitInput};
use crate::task::decide::request_run_with_inputs;
use crate::task::event::{
    BlockerClosed, BlockerStatus, Event, InputAccepted, InputClaimed, InputConsumed, InputKind, InputOutcome,
    InputSource, QueueMode, TaskContinued,
};
use crate::task::rejection::Rejection;
use crate::task::state::{InputState, Task, TaskState};
use crate::task::tool_call;
use crate::task::worker_report::fenced;

pub(super) fn submit(task: &Task, command: &SubmitInput) -> Result<Vec<Event>, Rejection> {
    if command.message.len() > command.message_bytes_max {
        return Err(Rejection::TooLarge { field: "message", limit_bytes: command.message_bytes_max });
    }
    if task.input(command.input_id).is_some() {
        return Ok(Vec::new());
    }
    if let Some(run_id) = command.run_id {
        task.run(run_id).ok_or(Rejection::PartNotFound("run"))?;
    }
    let message = text_of(command);
    let about_call = task.blocker.as_ref().filter(|open| {
        open.opened.tool_call_id.is_some()
            && command.blocker_id.is_none_or(|named| named == open.opened.blocker_id)
    });
    if let Some(blocker) = about_call
        && let Some(events) = tool_call::answer(task, blocker, command, &message)?
    {
        return Ok(events);
    }
    if message.is_empty() {
        return Err(Rejection::invalid("/message", "message is required"));
    }
    let open = task.blocker.as_ref();
    if let Some(named) = command.blocker_id
        && open.is_none_or(|blocker| blocker.opened.blocker_id != named)
    {
        return Err(Rejection::BlockerClosed);
    }
    let outcome = match (task.state, task.working_attempt()) {
        (TaskState::Waiting, Some(_)) => InputOutcome::Delivered,
        // A queued task gets its inputs with the run it already waits for, once that run's turn ends.
        (TaskState::Running | TaskState::Queued, _) => InputOutcome::Queued,
        _ => InputOutcome::Resumed,
    };
    let mut events = vec![Event::InputAccepted(InputAccepted {
        input_id: command.input_id,
        seq: u32::try_from(task.inbox.len()).unwrap_or(u32::MAX).saturating_add(1),
        kind: InputKind::FreeText,
        message: message.clone(),
        said: None,
        action: None,
        items: Vec::new(),
        queue_mode: QueueMode::default(),
        source: InputSource::default(),
        answers: command.answers.clone(),
        blocker_id: open.map(|blocker| blocker.opened.blocker_id),
        outcome,
        accepted_at: command.at,
    })];
    if let Some(blocker) = open {
        events.push(Event::BlockerClosed(BlockerClosed {
            blocker_id: blocker.opened.blocker_id,
            status: BlockerStatus::Resolved,
            resolution: None,
            input_id: Some(command.input_id),
            closed_at: command.at,
        }));
    }
    match outcome {
        InputOutcome::Delivered => {
            if let Some(live) = task.working_attempt() {
                events.push(Event::TaskContinued(TaskContinued { run_id: live.run_id, at: command.at }));
            }
        }
        InputOutcome::Resumed => {
            // No run is active here: a run ends with its attempt, and before that the task is queued, running
            // or waiting on a live attempt. Older inputs that no run took come first: nothing said to the
            // task is lost or overtaken.
            let said = Some((command.input_id, message.as_str()));
            events.push(request_run_with_inputs(task, None, said, command.at));
        }
        InputOutcome::Queued | InputOutcome::Interrupted | InputOutcome::Recorded => {}
    }
    Ok(events)
}

/// The text of an input: what was said, else its answers by question.
fn text_of(command: &SubmitInput) -> String {
    let message = command.message.trim();
    if !message.is_empty() || command.answers.is_empty() {
        return message.to_owned();
    }
    let line = |(id, answer): (&String, &serde_json::Value)| match answer.as_str() {
        Some(text) => format!("{id}: {text}"),
        None => format!("{id}: {answer}"),
    };
    command.answers.iter().map(line).collect::<Vec<_>>().join("\n")
}

pub(super) fn claim(task: &Task, command: &ClaimInput) -> Result<Vec<Event>, Rejection> {
    fenced(task, &command.attempt_id)?;
    if task.claimed_input(&command.attempt_id).is_some() {
        // One at a time, in order: a repeated claim is answered with the input it has.
        return Ok(Vec::new());
    }
    Ok(task
        .pending_inputs()
        .next()
        .map(|input| {
            Event::InputClaimed(InputClaimed {
                input_id: input.input_id,
                attempt_id: command.attempt_id.clone(),
                at: command.at,
            })
        })
        .into_iter()
        .collect())
}

pub(super) fn ack(task: &Task, command: &AckInput) -> Result<Vec<Event>, Rejection> {
    fenced(task, &command.attempt_id)?;
    let input = task.input(command.input_id).ok_or(Rejection::PartNotFound("input"))?;
    match &input.state {
        InputState::Claimed(by) if *by == command.attempt_id => {
            Ok(vec![Event::InputConsumed(InputConsumed {
                input_id: command.input_id,
                attempt_id: command.attempt_id.clone(),
                at: command.at,
            })])
        }
        InputState::Consumed => Ok(Vec::new()),
        InputState::Pending | InputState::Claimed(_) => {
            Err(Rejection::invalid("/input_id", "the input is not claimed by this attempt"))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::id::AttemptId;
    use crate::task::event::AttemptOutcome;
    use crate::task::fixture::{
        ack, ask, attempt, blocker_id, cancel, claim, done, expire, failure, finish_ok, finishing, input,
        input_id, kinds, lease, leased, queued, report, run, say, start, started, stopping, task_of, waiting,
    };
    use crate::task::{Command, Event};

    fn outcome(events: &[Event]) -> InputOutcome {
        match &events[0] {
            Event::InputAccepted(accepted) => accepted.outcome,
            other => panic!("expected an accepted input, got {other:?}"),
        }
    }

    #[test]
    fn an_input_to_a_running_task_stays_in_the_inbox() {
        started().when(say(1, "more")).then_with(|events, state| {
            assert_eq!((kinds(events), outcome(events)), (vec!["said"], InputOutcome::Queued));
            assert_eq!(state.as_ref().unwrap().pending_inputs().count(), 1);
        });
    }

    #[test]
    fn an_input_to_a_queued_task_waits_for_the_turn_and_then_gets_a_run_of_its_own() {
        let answered = queued().and(say(1, "more"));
        assert_eq!(outcome(&answered.events()[2..]), InputOutcome::Queued);
        answered.and(lease(1, 10)).and(start(1, 11)).when(finish_ok(1)).then_with(|events, state| {
            assert_eq!(kinds(events), ["attempt ended", "run ended", "run requested"]);
            let task = state.as_ref().unwrap();
            assert_eq!(
                (task.state, task.current_run().unwrap().prompt.as_str()),
                (TaskState::Queued, "more")
            );
            assert_eq!(task.input(input_id(1)).unwrap().state, InputState::Consumed);
        });
    }

    #[test]
    fn an_answer_to_a_live_attempt_continues_the_task() {
        waiting().when(say(1, "the red one")).then_with(|events, state| {
            assert_eq!(kinds(events), ["said", "answered", "continued"]);
            assert_eq!(outcome(events), InputOutcome::Delivered);
            let task = state.as_ref().unwrap();
            assert_eq!((task.state, &task.blocker), (TaskState::Running, &None));
        });
    }

    #[test]
    fn an_answer_after_the_asking_attempt_ended_resumes_the_session_in_a_new_run() {
        waiting().and(finish_ok(1)).when(say(1, "the red one")).then_with(|events, state| {
            assert_eq!(kinds(events), ["said", "answered", "run requested"]);
            assert_eq!(outcome(events), InputOutcome::Resumed);
            let last = state.as_ref().unwrap().current_run().unwrap().clone();
            assert_eq!((last.run_id, last.resumed_from), (run(2), Some(run(1))));
        });
    }

    #[test]
    fn an_input_reopens_a_task_that_is_over() {
        for over in [
            done(),
            started().and(finishing(report(1, AttemptOutcome::Timeout))),
            started().and(finishing(report(1, AttemptOutcome::Cancelled))),
            stopping(),
        ] {
            over.when(say(1, "again")).then_with(|events, state| {
                assert_eq!(
                    (kinds(events), outcome(events)),
                    (vec!["said", "run requested"], InputOutcome::Resumed)
                );
                let task = state.as_ref().unwrap();
                assert_eq!(
                    (task.state, task.current_run().unwrap().prompt.as_str()),
                    (TaskState::Queued, "again")
                );
            });
        }
    }

    #[test]
    fn reopening_says_again_what_reached_no_agent() {
        queued().and(cancel()).when(say(1, "do it after all")).then_with(|_, state| {
            let last = state.as_ref().unwrap().current_run().unwrap().clone();
            assert_eq!((last.prompt.as_str(), last.resumed_from), ("do it\n\ndo it after all", None));
        });
        // The same for an input whose run was cancelled in the queue.
        done().and(say(1, "one")).and(cancel()).when(say(2, "two")).then_with(|_, state| {
            let last = state.as_ref().unwrap().current_run().unwrap().clone();
            assert_eq!((last.prompt.as_str(), last.resumed_from), ("one\n\ntwo", Some(run(1))));
        });
    }

    #[test]
    fn older_pending_inputs_come_before_the_one_that_resumes() {
        started().and(say(1, "one")).and(cancel()).when(say(2, "two")).then_with(|events, state| {
            let Event::RunRequested(requested) = &events[1] else { panic!("a run") };
            assert_eq!((requested.prompt.as_str(), requested.input_ids.len()), ("one\n\ntwo", 2));
            assert_eq!(state.as_ref().unwrap().pending_inputs().count(), 0);
        });
    }

    #[test]
    fn the_same_input_again_changes_nothing_in_any_state() {
        for history in [started(), waiting(), done(), queued()] {
            history.and(say(1, "more")).when(say(1, "more")).then_nothing();
        }
    }

    #[test]
    fn an_empty_input_is_refused_and_answers_alone_are_not() {
        started().when(say(1, " \n")).then_rejected(Rejection::invalid("/message", "message is required"));
        let mut answers = input(1, "");
        answers.answers.insert("colour".into(), json!("red"));
        answers.answers.insert("size".into(), json!(3));
        waiting().when(Command::SubmitInput(answers)).then_with(|_, state| {
            assert_eq!(state.as_ref().unwrap().inbox[0].message, "colour: red\nsize: 3");
        });
    }

    #[test]
    fn an_input_over_the_limit_is_too_large() {
        let long = SubmitInput { message_bytes_max: 3, ..input(1, "long") };
        started()
            .when(Command::SubmitInput(long))
            .then_rejected(Rejection::TooLarge { field: "message", limit_bytes: 3 });
    }

    #[test]
    fn an_input_for_a_run_of_another_task_is_refused() {
        let other = SubmitInput { run_id: Some(run(9)), ..input(1, "hi") };
        started().when(Command::SubmitInput(other)).then_rejected(Rejection::PartNotFound("run"));
        let own = SubmitInput { run_id: Some(run(1)), ..input(1, "hi") };
        started().when(Command::SubmitInput(own)).then_with(|events, _| assert_eq!(kinds(events), ["said"]));
    }

    #[test]
    fn a_second_answer_to_a_closed_question_is_refused() {
        let answer = |number| {
            Command::SubmitInput(SubmitInput { blocker_id: Some(blocker_id(1)), ..input(number, "x") })
        };
        waiting().and(answer(1)).when(answer(2)).then_rejected(Rejection::BlockerClosed);
        waiting().and(answer(1)).when(answer(1)).then_nothing();
        started().when(answer(1)).then_rejected(Rejection::BlockerClosed);
    }

    #[test]
    fn inputs_are_claimed_one_at_a_time_in_order() {
        let two = || started().and(say(1, "one")).and(say(2, "two"));
        two().when(claim(1)).then_with(|_, state| {
            let task = state.as_ref().unwrap();
            assert_eq!(task.claimed_input(&attempt(1)).unwrap().input_id, input_id(1));
        });
        // A repeated claim has the same answer: the state names the input it holds.
        two().and(claim(1)).when(claim(1)).then_nothing();
        two().and(claim(1)).and(ack(1, 1)).when(claim(1)).then_with(|events, _| {
            assert!(matches!(&events[0], Event::InputClaimed(claimed) if claimed.input_id == input_id(2)));
        });
        started().when(claim(1)).then_nothing();
    }

    #[test]
    fn an_acknowledged_input_is_consumed_once() {
        let claimed = || started().and(say(1, "one")).and(claim(1));
        claimed().when(ack(1, 1)).then_with(|events, _| assert_eq!(kinds(events), ["consumed"]));
        claimed().and(ack(1, 1)).when(ack(1, 1)).then_nothing();
        claimed().when(ack(1, 5)).then_rejected(Rejection::PartNotFound("input"));
        started()
            .and(say(1, "one"))
            .when(ack(1, 1))
            .then_rejected(Rejection::invalid("/input_id", "the input is not claimed by this attempt"));
    }

    #[test]
    fn only_the_live_attempt_claims_and_acknowledges() {
        let lost = Rejection::LeaseLost { current_epoch: 1 };
        leased().and(say(1, "one")).when(claim(2)).then_rejected(lost.clone());
        stopping().when(claim(1)).then_rejected(lost.clone());
        let cancelled = started().and(say(1, "one")).and(claim(1)).and(cancel());
        cancelled.when(ack(1, 1)).then_rejected(lost);
        let elsewhere = AttemptId { workspace: "other".into(), ..attempt(1) };
        started()
            .when(Command::ClaimInput(ClaimInput { attempt_id: elsewhere, at: crate::task::fixture::at(21) }))
            .then_rejected(Rejection::LeaseLost { current_epoch: 1 });
    }

    #[test]
    fn an_input_claimed_by_a_lost_attempt_is_pending_again() {
        let lost = started().and(say(1, "one")).and(claim(1)).and(expire(1));
        assert_eq!(task_of(&lost).pending_inputs().count(), 1);
        lost.and(lease(1, 60)).when(claim(2)).then_with(|events, _| assert_eq!(kinds(events), ["claimed"]));
    }

    #[test]
    fn a_failed_run_leaves_its_unread_inputs_visibly_pending_for_the_next() {
        let failed = started()
            .and(say(1, "one"))
            .and(finishing(failure(1, crate::outcome_text::ErrorClass::Terminal)));
        let task = task_of(&failed);
        assert_eq!((task.state, task.pending_inputs().count()), (TaskState::Error, 1));
        failed.when(say(2, "two")).then_with(|_, state| {
            assert_eq!(state.as_ref().unwrap().current_run().unwrap().prompt, "one\n\ntwo");
        });
    }

    #[test]
    fn an_answer_that_came_before_its_question_answers_it() {
        started().and(say(1, "red")).when(ask(1, "which colour?")).then_with(|events, state| {
            assert_eq!(kinds(events), ["asked", "answered", "continued"]);
            let task = state.as_ref().unwrap();
            assert_eq!((task.state, task.pending_inputs().count()), (TaskState::Running, 1));
        });
    }
}
