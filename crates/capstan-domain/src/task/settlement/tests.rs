//! The settlement table, row by row.

use super::*;
use crate::Requested;
use crate::id::WorkerId;
use crate::task::command::{AskedDeadline, NewOutputStatus, OpenBlocker, ReturnAttempt, SubtaskSpec};
use crate::task::event::{AgendaItem, DeadlineDefault, Event, SourceWatch};
use crate::task::fixture::{
    ack, ask, at, attempt, blocker_id, cancel, claim, done, expire, failure, finish_ok, finishing,
    finishing_by, kinds, lease, leased, produce, question, queued, report, run, say, start, started,
    stopping, task_of, time_out, waiting, wake_in,
};
use crate::task::{Command, TaskDecider};
use crate::usage::{ModelUsage, Usage};
use capstan_decider::spec::{Given, given};

fn ok() -> FinishAttempt {
    report(ReportedOutcome::Ok)
}

fn error(text: &str) -> FinishAttempt {
    FinishAttempt { error: Some(text.into()), ..report(ReportedOutcome::Error) }
}

fn state_after(history: Given<TaskDecider>, command: Requested<Command>) -> TaskState {
    task_of(&history.and(command)).state
}

fn with_retry(max_attempts: i64, delay_ms: i64) -> Given<TaskDecider> {
    let mut command = crate::task::fixture::accept();
    let mut policy = crate::policy::RunPolicy::default();
    policy.retry.max_attempts = max_attempts;
    policy.retry.delay_ms = delay_ms;
    command.command.policy = Some(policy);
    given::<TaskDecider>([]).and(crate::task::fixture::accepting(command)).and(lease(1, 10))
}

#[test]
fn ok_without_a_plan_is_done() {
    started().when(finish_ok(1)).then_with(|events, state| {
        assert_eq!(kinds(events), ["attempt ended", "run ended", "done"]);
        let task = state.as_ref().unwrap();
        assert_eq!(
            (task.state, &task.live, task.runs.last().unwrap().status),
            (TaskState::Done, &None, RunStatus::Ok)
        );
    });
}

#[test]
fn ok_with_a_question_waits() {
    let asking = FinishAttempt { blocker: Some(question("which?")), ..ok() };
    started().when(finishing(asking)).then_with(|events, state| {
        assert_eq!(kinds(events), ["attempt ended", "run ended", "asked"]);
        assert_eq!(state.as_ref().unwrap().state, TaskState::Waiting);
    });
    let waits = FinishAttempt { waiting_for_input: true, ..ok() };
    assert_eq!(state_after(started(), finishing(waits)), TaskState::Waiting);
}

#[test]
fn ok_keeps_the_question_that_is_open_already() {
    waiting().when(finishing(FinishAttempt { waiting_for_input: true, ..ok() })).then_with(
        |events, state| {
            assert_eq!(kinds(events), ["attempt ended", "run ended"]);
            let task = state.as_ref().unwrap();
            assert_eq!(
                (task.state, task.blocker.as_ref().unwrap().opened.blocker_id),
                (TaskState::Waiting, blocker_id(1))
            );
        },
    );
    waiting()
        .when(finish_ok(1))
        .then_with(|events, _| assert_eq!(kinds(events), ["attempt ended", "run ended"]));
    waiting()
        .when(finishing(FinishAttempt { blocker: Some(question("another?")), ..ok() }))
        .then_with(|events, _| assert_eq!(kinds(events)[2..], ["question updated"]));
    let of_group = OpenBlocker { wait_group_id: Some("g".into()), ..question("another?") };
    waiting()
        .when(finishing(FinishAttempt { blocker: Some(of_group), ..ok() }))
        .then_with(|events, _| assert_eq!(kinds(events)[2..], ["answered", "asked"]));
}

#[test]
fn ok_with_a_wake_sleeps_five_minutes_by_default() {
    for (wake, expected) in [
        (wake_in(0), at(350)),
        (WakePlan::default(), at(350)),
        (wake_in(2), at(170)),
        (wake_in(2880), at(50 + 2 * 86_400)),
        (WakePlan { at: Some(at(77)), ..WakePlan::default() }, at(77)),
    ] {
        let sleeping = started().and(finishing(FinishAttempt { wake: Some(wake), ..ok() }));
        assert_eq!(task_of(&sleeping).progress.sleep.unwrap().wake_at, expected);
    }
}

#[test]
fn a_wake_without_a_reason_takes_it_from_its_agenda() {
    let item = AgendaItem { kind: None, title: Some("call Ann".into()), reason: None };
    let wake = WakePlan { agenda: vec![item], ..wake_in(1) };
    started().when(finishing(FinishAttempt { wake: Some(wake), ..ok() })).then_with(|events, _| {
        let Some(Event::TaskSlept(slept)) = events.last() else { panic!("slept") };
        assert_eq!(slept.reason.as_deref(), Some("call Ann"));
    });
}

#[test]
fn waiting_beats_wake() {
    let both = FinishAttempt { wake: Some(wake_in(1)), waiting_for_input: true, ..ok() };
    assert_eq!(state_after(started(), finishing(both)), TaskState::Waiting);
}

#[test]
fn ok_with_inputs_left_goes_back_to_the_queue_whatever_the_plan() {
    for plan in [
        ok(),
        FinishAttempt { waiting_for_input: true, ..ok() },
        FinishAttempt { wake: Some(wake_in(1)), ..ok() },
    ] {
        started().and(say(1, "one")).and(claim(1)).and(say(2, "two")).when(finishing(plan)).then_with(
            |events, state| {
                assert_eq!(kinds(events), ["returned", "attempt ended", "run ended", "run requested"]);
                let task = state.as_ref().unwrap();
                let last = task.current_run().unwrap();
                assert_eq!((task.current_prompt(), last.resumed_from), ("one\n\ntwo", Some(run(1))));
                assert!(task.inbox.is_empty(), "{task:?}");
            },
        );
    }
}

#[test]
fn an_attempt_that_reports_nothing_but_its_success_has_delivered_its_prompt() {
    leased().and(say(1, "one")).when(finish_ok(1)).then_with(|_, state| {
        let task = state.as_ref().unwrap();
        assert_eq!((task.current_prompt(), task.current_run().unwrap().resumed_from), ("one", Some(run(1))));
    });
}

#[test]
fn ok_with_a_claimed_input_left_over_answers_the_open_question_with_it() {
    let asked = started().and(say(1, "one")).and(claim(1)).and(ask(1, "which?"));
    asked.when(finish_ok(1)).then_with(|events, state| {
        assert_eq!(kinds(events), ["returned", "attempt ended", "run ended", "answered", "run requested"]);
        assert_eq!(state.as_ref().unwrap().blocker, None);
    });
}

#[test]
fn acknowledged_inputs_are_not_left_over() {
    assert_eq!(
        state_after(started().and(say(1, "one")).and(claim(1)).and(ack(1, 1)), finish_ok(1)),
        TaskState::Done
    );
}

#[test]
fn a_retryable_error_is_retried_up_to_the_limit_of_the_policy() {
    let again = failure(ErrorClass::Retryable);
    with_retry(2, 3000).when(finishing(again.clone())).then_with(|events, state| {
        assert_eq!(kinds(events), ["started", "attempt ended", "retry"]);
        let Event::RetryScheduled(retry) = &events[2] else { panic!("retry") };
        assert_eq!(
            (retry.attempt_no, retry.reason, retry.available_at),
            (2, RetryReason::RetryableError, at(53))
        );
        assert_eq!(state.as_ref().unwrap().state, TaskState::Queued);
    });
    let history = with_retry(2, 0).and(finishing(failure(ErrorClass::Retryable))).and(lease(1, 60));
    assert_eq!(state_after(history, finishing_by(2, again)), TaskState::Error);
}

#[test]
fn a_retry_ignores_the_plan_and_closes_the_question() {
    let planned =
        FinishAttempt { wake: Some(wake_in(1)), waiting_for_input: true, ..failure(ErrorClass::Retryable) };
    waiting().when(finishing(planned)).then_with(|events, state| {
        assert_eq!(kinds(events), ["attempt ended", "answered", "retry"]);
        assert_eq!(state.as_ref().unwrap().state, TaskState::Queued);
    });
}

#[test]
fn a_terminal_error_ends_the_task() {
    started().when(finishing(failure(ErrorClass::Terminal))).then_with(|events, state| {
        assert_eq!(kinds(events), ["attempt ended", "run ended", "failed"]);
        let task = state.as_ref().unwrap();
        assert_eq!((task.state, task.runs.last().unwrap().status), (TaskState::Error, RunStatus::Error));
    });
    assert_eq!(state_after(waiting(), finishing(failure(ErrorClass::Terminal))), TaskState::Error);
}

#[test]
fn without_a_stated_class_the_text_decides_and_the_class_is_recorded() {
    for (text, state, class) in [
        ("HTTP 503", TaskState::Queued, ErrorClass::Retryable),
        ("i/o timeout", TaskState::Queued, ErrorClass::Retryable),
        ("boom", TaskState::Error, ErrorClass::Terminal),
    ] {
        started().when(finishing(error(text))).then_with(|events, after| {
            assert_eq!(after.as_ref().unwrap().state, state);
            let Event::AttemptEnded(ended) = &events[0] else { panic!("ended") };
            assert_eq!(ended.error_class, Some(class));
        });
    }
    let silent = FinishAttempt { error: None, exit_code: Some(3), ..error("") };
    started().when(finishing(silent)).then_with(|events, _| {
        assert!(matches!(events.last(), Some(Event::TaskFailed(failed)) if failed.error == "exit code 3"));
    });
}

#[test]
fn a_rate_limited_attempt_waits_as_asked_and_does_not_count_as_failed() {
    let limited = |ms| FinishAttempt { retry_after_ms: Some(ms), ..failure(ErrorClass::RateLimited) };
    with_retry(1, 0).when(finishing(limited(20_000))).then_with(|_, state| {
        let task = state.as_ref().unwrap();
        assert_eq!(
            (task.available_at, task.runs.last().unwrap().failed, task.runs.last().unwrap().lost),
            (Some(at(70)), 0, 1)
        );
    });
    // Nobody parks a task for longer than a day.
    with_retry(1, 0).when(finishing(limited(i64::MAX))).then_with(|_, state| {
        assert_eq!(state.as_ref().unwrap().available_at, Some(at(50 + 86_400)));
    });
    let mut history = with_retry(1, 0);
    for epoch in 1..=u64::from(LOST_ATTEMPTS_MAX) {
        history = history.and(finishing_by(epoch, limited(0))).and(lease(1, 50));
    }
    assert_eq!(state_after(history, finishing_by(9, limited(0))), TaskState::Error);
}

#[test]
fn a_reported_timeout_ends_in_error_and_is_not_tried_again() {
    started().when(finishing(report(ReportedOutcome::Timeout))).then_with(|_, state| {
        let task = state.as_ref().unwrap();
        assert_eq!((task.state, task.runs.last().unwrap().status), (TaskState::Error, RunStatus::Timeout));
    });
}

#[test]
fn a_reported_cancellation_cancels_the_task_and_its_undecided_outputs() {
    started()
        .and(produce(1, NewOutputStatus::Pending))
        .when(finishing(report(ReportedOutcome::Cancelled)))
        .then_with(|events, _| {
            assert_eq!(kinds(events), ["attempt ended", "run ended", "output changed", "cancelled"]);
        });
}

#[test]
fn no_worker_may_report_an_absurd_cost() {
    let dear = |name: &str| (name.to_owned(), ModelUsage { cost_usd: 1e308, ..ModelUsage::default() });
    let sum = Usage { models: [dear("a"), dear("b")].into(), ..Usage::default() };
    for usage in [Usage { cost_usd: -1.0, ..Usage::default() }, sum] {
        started()
            .when(finishing(FinishAttempt { usage: Some(usage), ..ok() }))
            .then_rejected_with(|no| matches!(no, Rejection::Invalid(_)));
    }
}

/// The faults of the first attempt's report, by their pointers; the attempt lives on.
fn faults_of(report: FinishAttempt) -> Vec<String> {
    let mut found = Vec::new();
    started().when(finishing(report)).then_rejected_with(|no| {
        let Rejection::Invalid(faults) = no else { return false };
        found.extend(faults.iter().map(|fault| fault.pointer.clone()));
        true
    });
    found
}

#[test]
fn all_faults_of_a_report_are_told_together_whatever_its_outcome() {
    let late = AskedDeadline { at: Some(at(1)), after_ms: None, default: DeadlineDefault::Reject };
    let nowhere = SourceWatch {
        integration: "gmail".into(),
        reason: None,
        query: None,
        thread_id: None,
        message_id: None,
        entity_key: None,
        entity_label: Some("Ann".into()),
        source_output_id: None,
        event_types: Vec::new(),
    };
    let outcomes =
        [ReportedOutcome::Ok, ReportedOutcome::Error, ReportedOutcome::Timeout, ReportedOutcome::Cancelled];
    for outcome in outcomes {
        let wrong = FinishAttempt {
            retry_after_ms: Some(-1),
            usage: Some(Usage { cost_usd: -1.0, ..Usage::default() }),
            blocker: Some(OpenBlocker { deadline: Some(late.clone()), ..question(" ") }),
            wake: Some(WakePlan { at: Some(at(99)), ..wake_in(-1) }),
            subtasks: vec![SubtaskSpec { wake_delay_minutes: Some(-1), ..SubtaskSpec::default() }],
            source_watches: Some(vec![nowhere.clone()]),
            ..report(outcome)
        };
        let expected = [
            "/retry_after_ms",
            "/usage/cost_usd",
            "/blocker/summary",
            "/blocker/deadline/at",
            "/wake",
            "/wake/delay_minutes",
            "/subtasks/0/prompt",
            "/subtasks/0/wake_delay_minutes",
            "/source_watches/0",
        ];
        assert_eq!(faults_of(wrong), expected, "{outcome:?}");
    }
}

#[test]
fn a_wake_names_an_instant_or_a_delay_within_a_century() {
    let wake = |wake| FinishAttempt { wake: Some(wake), ..ok() };
    assert_eq!(faults_of(wake(wake_in(i64::MAX))), ["/wake/delay_minutes"]);
    let far = WakePlan { at: Some(DateTime::<Utc>::MAX_UTC), ..WakePlan::default() };
    assert_eq!(faults_of(wake(far)), ["/wake/at"]);
    // The instant passed while the report was under way.
    let passed = WakePlan { at: Some(at(49)), ..WakePlan::default() };
    started().when(finishing(wake(passed))).then_with(|_, state| {
        assert_eq!(state.as_ref().unwrap().sleep.as_ref().unwrap().wake_at, at(50));
    });
    started().when(finishing(wake(wake_in(0)))).then_with(|_, state| {
        assert_eq!(state.as_ref().unwrap().sleep.as_ref().unwrap().wake_at, at(50 + 300));
    });
}

#[test]
fn a_join_without_subtasks_is_refused() {
    for join in [Join::All, Join::Any] {
        assert_eq!(faults_of(FinishAttempt { join: Some(join), ..ok() }), ["/join"]);
    }
    let none = FinishAttempt { join: Some(Join::None), ..ok() };
    assert_eq!(state_after(started(), finishing(none)), TaskState::Done);
}

#[test]
fn usage_of_the_report_is_recorded_before_the_end() {
    let usage = Some(Usage { input_tokens: 4, cost_usd: 0.5, ..Usage::default() });
    let report = FinishAttempt { usage, ..ok() };
    started().when(finishing(report.clone())).then_with(|events, _| {
        let Event::UsageRecorded(recorded) = &events[0] else { panic!("usage") };
        assert_eq!((recorded.usage.input_tokens, recorded.usage.cost_usd), (4, 0.5));
    });
    let late = stopping().when(finishing(report)).events();
    assert_eq!(kinds(&late), ["usage", "attempt ended"]);
}

#[test]
fn a_second_or_stale_report_changes_nothing_and_is_rejected() {
    let lost = Rejection::LeaseLost { current_epoch: 1 };
    done().when(finish_ok(1)).then_rejected(lost.clone());
    started().when(finish_ok(2)).then_rejected(lost);
    let retried = started().and(expire(1)).and(lease(1, 60));
    retried.when(finish_ok(1)).then_rejected(Rejection::LeaseLost { current_epoch: 2 });
    queued().when(finish_ok(1)).then_rejected(Rejection::LeaseLost { current_epoch: 0 });
}

#[test]
fn a_report_of_a_cancelled_attempt_only_frees_the_session() {
    for outcome in [ReportedOutcome::Ok, ReportedOutcome::Error, ReportedOutcome::Cancelled] {
        stopping().when(finishing(report(outcome))).then_with(|events, state| {
            assert_eq!(kinds(events), ["attempt ended"]);
            let task = state.as_ref().unwrap();
            assert_eq!((task.state, &task.live), (TaskState::Cancelled, &None));
            assert_eq!(task.runs.last().unwrap().status, RunStatus::Cancelled);
        });
        // The same when the task has restarted by then.
        stopping().and(say(1, "go on")).when(finishing(report(outcome))).then_with(|events, state| {
            assert_eq!(kinds(events), ["attempt ended"]);
            let task = state.as_ref().unwrap();
            assert_eq!(
                (task.state, task.runs.last().unwrap().status),
                (TaskState::Queued, RunStatus::Accepted)
            );
        });
    }
}

#[test]
fn a_lost_lease_puts_the_run_back_into_the_queue_with_growing_pauses() {
    started().when(expire(1)).then_with(|events, state| {
        assert_eq!(kinds(events), ["attempt ended", "retry"]);
        let task = state.as_ref().unwrap();
        assert_eq!(
            (task.state, task.available_at, task.runs.last().unwrap().lost),
            (TaskState::Queued, Some(at(40)), 1)
        );
    });
    started().and(expire(1)).and(lease(1, 41)).when(expire(2)).then_with(|events, _| {
        let Event::RetryScheduled(retry) = &events[1] else { panic!("retry") };
        assert_eq!((retry.reason, retry.available_at), (RetryReason::LeaseLost, at(41)));
    });
    assert_eq!([0, 1, 5, 6, 60].map(pause_ms), [500, 1000, 16_000, 30_000, 30_000]);
}

#[test]
fn too_many_lost_attempts_drop_the_task() {
    let mut history = leased();
    for epoch in 1..=u64::from(LOST_ATTEMPTS_MAX) {
        history = history.and(expire(epoch)).and(lease(1, 1000));
    }
    history.when(expire(9)).then_with(|events, state| {
        assert_eq!(kinds(events), ["attempt ended", "run ended", "dropped"]);
        assert_eq!(state.as_ref().unwrap().state, TaskState::Dropped);
    });
}

#[test]
fn a_returned_attempt_is_recorded_as_returned() {
    for (reason, recorded) in [(Some("draining"), "draining"), (None, "the worker gave it back")] {
        let command = ReturnAttempt { reason: reason.map(str::to_owned) };
        let returned = Command::Return { command, attempt_id: attempt(1) };
        started().when(returned.at(at(40))).then_with(|events, _| {
            assert!(
                matches!(&events[0], Event::AttemptEnded(ended) if ended.error.as_deref() == Some(recorded))
            );
            assert!(
                matches!(&events[1], Event::RetryScheduled(retry) if retry.reason == RetryReason::Returned)
            );
        });
    }
}

#[test]
fn a_question_outlives_the_attempt_that_asked_it() {
    waiting().when(expire(1)).then_with(|events, state| {
        assert_eq!(kinds(events), ["attempt ended", "run ended"]);
        let task = state.as_ref().unwrap();
        assert_eq!((task.state, &task.live), (TaskState::Waiting, &None));
    });
    waiting().and(expire(1)).when(say(1, "red")).then_with(|events, _| {
        assert_eq!(kinds(events), ["said", "answered", "run requested"]);
    });
}

#[test]
fn an_input_the_lost_attempt_never_acknowledged_answers_its_question() {
    started().and(say(1, "one")).and(claim(1)).and(ask(1, "which?")).when(expire(1)).then_with(
        |events, state| {
            assert_eq!(
                kinds(events),
                ["returned", "attempt ended", "run ended", "answered", "run requested"]
            );
            let task = state.as_ref().unwrap();
            assert_eq!((task.state, task.current_prompt()), (TaskState::Queued, "one"));
        },
    );
}

#[test]
fn a_lease_that_is_not_the_live_one_does_not_run_out() {
    started().when(expire(2)).then_nothing();
    done().when(expire(1)).then_nothing();
    started().and(expire(1)).when(expire(1)).then_nothing();
    // A cancelled attempt has its grace; after that the session is free anyway.
    stopping().when(expire(1)).then_nothing();
}

#[test]
fn an_attempt_that_runs_too_long_fails_the_task_and_is_asked_to_stop() {
    started().when(time_out(1, 611)).then_with(|events, state| {
        assert_eq!(kinds(events), ["stop requested", "run ended", "failed"]);
        let task = state.as_ref().unwrap();
        assert_eq!((task.state, task.runs.last().unwrap().status), (TaskState::Error, RunStatus::Timeout));
        assert_eq!(task.live.as_ref().unwrap().cancel_grace_until, Some(at(621)));
    });
    assert_eq!(kinds(&waiting().when(time_out(1, 611)).events())[1..], ["answered", "run ended", "failed"]);
}

#[test]
fn a_time_out_that_is_early_or_of_another_attempt_changes_nothing() {
    started().when(time_out(1, 609)).then_nothing();
    started().when(time_out(2, 700)).then_nothing();
    stopping().when(time_out(1, 700)).then_nothing();
    done().when(time_out(1, 700)).then_nothing();
    queued().when(time_out(1, 700)).then_nothing();
}

#[test]
fn the_attempt_that_was_stopped_for_its_time_ends_as_timed_out() {
    let report = || finishing(report(ReportedOutcome::Cancelled));
    for (history, expected) in
        [(started().and(time_out(1, 611)), AttemptOutcome::Timeout), (stopping(), AttemptOutcome::Cancelled)]
    {
        history.when(report()).then_with(|events, _| {
            assert!(matches!(&events[0], Event::AttemptEnded(ended) if ended.outcome == expected));
        });
    }
}

#[test]
fn a_task_cancelled_while_it_waits_for_its_retry_is_not_tried_again() {
    let cancelled = started().and(expire(1)).and(cancel());
    cancelled.when(lease(1, 60)).then_rejected(Rejection::illegal("leasing", TaskState::Cancelled));
}

#[test]
fn approved_outputs_come_into_force_when_the_run_succeeds() {
    // No command approves outputs yet; the history states that something did.
    let approved = started().and(produce(1, NewOutputStatus::Pending));
    let mut history = approved.events().to_vec();
    history.push(Event::OutputStatusChanged(crate::task::event::OutputStatusChanged {
        output_id: crate::task::fixture::output_id(1),
        status: OutputStatus::Approved,
        reason: None,
        at: at(20),
    }));
    given::<TaskDecider>(history).when(finish_ok(1)).then_with(|events, state| {
        assert_eq!(kinds(events), ["attempt ended", "run ended", "output changed", "done"]);
        assert!(
            state
                .as_ref()
                .unwrap()
                .outputs
                .named()
                .all(|(_, output)| output.record.status == OutputStatus::Active)
        );
    });
}

#[test]
fn a_resumed_run_is_leased_under_a_new_epoch_by_any_worker() {
    let other = crate::task::command::Lease {
        run_id: run(2),
        worker_id: WorkerId(uuid::Uuid::from_u128(77)),
        worker_name: "other".into(),
        lease_ms: 1,
    };
    done().and(say(1, "again")).when(Command::Lease(other).at(at(60))).then_with(|_, state| {
        assert_eq!(state.as_ref().unwrap().live.as_ref().unwrap().attempt_id, attempt(2));
    });
}

#[test]
fn what_the_worker_states_counts_and_not_the_words_of_the_answer() {
    for text in ["timeout waiting", "cancelled by user", "429"] {
        let told =
            FinishAttempt { result: Some(text.into()), error: Some(text.into()), exit_code: Some(0), ..ok() };
        assert_eq!(state_after(started(), finishing(told)), TaskState::Done, "{text}");
    }
}

#[test]
fn a_task_costs_what_its_runs_cost() {
    let cost = |cost_usd| Some(Usage { cost_usd, ..Usage::default() });
    let first = started().and(finishing(FinishAttempt { usage: cost(0.5), ..ok() }));
    let second = first.and(say(1, "again")).and(lease(2, 60)).and_events([start(2)]);
    let ended = second.and(finishing_by(2, FinishAttempt { usage: cost(0.25), ..ok() }));
    assert!((task_of(&ended).cost_usd - 0.75).abs() < 1e-9);
}

#[test]
fn every_outcome_of_a_run_has_its_state_of_the_task() {
    for (outcome, state, status) in [
        (ReportedOutcome::Ok, TaskState::Done, RunStatus::Ok),
        (ReportedOutcome::Cancelled, TaskState::Cancelled, RunStatus::Cancelled),
        (ReportedOutcome::Error, TaskState::Error, RunStatus::Error),
        (ReportedOutcome::Timeout, TaskState::Error, RunStatus::Timeout),
    ] {
        let ended = task_of(&started().and(finishing(report(outcome))));
        assert_eq!((ended.state, ended.runs.last().unwrap().status), (state, status));
    }
}

#[test]
fn a_long_error_is_cut_and_never_refused() {
    for outcome in [ReportedOutcome::Error, ReportedOutcome::Timeout, ReportedOutcome::Cancelled] {
        let report = FinishAttempt { error: Some("x".repeat(1_000_000)), ..report(outcome) };
        started().when(finishing(report)).then_with(|events, state| {
            assert!(state.as_ref().unwrap().state.is_terminal());
            for event in events {
                let bytes = format!("{event:?}").len();
                assert!(
                    bytes < ERROR_BYTES_MAX + 1000,
                    "{bytes} bytes of {}",
                    kinds(std::slice::from_ref(event))[0]
                );
            }
        });
    }
}
