use capstan_decider::spec::{Given, given};
use serde_json::{Value, json};

use super::*;
use crate::Requested;
use crate::policy::RunPolicy;
use crate::stored::json_bytes;
use crate::task::TaskDecider;
use crate::task::command::{CheckToolCall, Command};
use crate::task::event::RunCause;
use crate::task::fixture::{
    accept, accepting, ask, at, attempt, blocker_id, cancel, decide, fingerprint, finish_ok, input_with,
    kinds, lease, say, start, started, task_id, task_of,
};

fn email() -> Value {
    json!({"to": "a@x", "subject": "Hello", "body": "Hi"})
}

fn checked(tool: &str, arguments: Value) -> ToolCheck {
    let command = CheckToolCall::new(tool, arguments);
    ToolCheck {
        arguments_fingerprint: fingerprint(&command.arguments_identity(task_id())),
        command,
        attempt_id: attempt(1),
        approval_policy: ApprovalPolicy::Ask,
        is_disabled: false,
        is_listed: false,
        executor: Some(ToolExecutor::Http),
    }
}

fn reading(tool: &str) -> ToolCheck {
    let command = CheckToolCall { is_write: false, ..CheckToolCall::new(tool, json!({})) };
    ToolCheck { command, ..checked(tool, json!({})) }
}

fn checking(check: ToolCheck) -> Requested<Command> {
    Command::CheckToolCall(Box::new(check)).at(at(20))
}

fn says(history: &Given<TaskDecider>, check: &ToolCheck) -> Gate {
    says_at(history, check, 20)
}

fn says_at(history: &Given<TaskDecider>, check: &ToolCheck, seconds: i64) -> Gate {
    gate(&task_of(history), check, at(seconds)).expect("the attempt lives")
}

#[test]
fn so_many_decisions_are_remembered_and_none_after_the_end() {
    let asked =
        |number: i64| checking(ToolCheck { executor: None, ..checked("crm", json!({ "n": number })) });
    let history = (0..40_i64).fold(started(), |history, number| {
        let approve = input_with(100 + u128::from(number.unsigned_abs()), "", |input| {
            input.action = Some("reject".into());
        });
        let history = history.and(asked(number)).and(Command::SubmitInput(approve).at(at(20 + number)));
        let task = task_of(&history);
        assert!(task.tool_calls.len() <= 32 && task.progress_bytes() < 40_000, "{}", task.progress_bytes());
        let told = task.inbox.last().map(|input| input.input_id).unwrap();
        let ack = Command::AckInput {
            command: crate::task::command::AckInput { input_id: told },
            attempt_id: attempt(1),
        };
        history.and(Command::ClaimInput { attempt_id: attempt(1) }.at(at(60))).and(ack.at(at(60)))
    });
    assert_eq!(task_of(&history).tool_calls.len(), 32);
    assert_eq!(task_of(&history.and(finish_ok(1))).tool_calls.len(), 0);
}

fn call_id() -> ToolCallId {
    ToolCallId::for_blocker(blocker_id(1))
}

/// A task that waits for a decision on an email.
fn kept(executor: Option<ToolExecutor>) -> Given<TaskDecider> {
    started().and(checking(ToolCheck { executor, ..checked("gmail.send", email()) }))
}

/// The decision, as a person gives it.
fn decided(history: Given<TaskDecider>, action: &str, said: &str, seconds: i64) -> Given<TaskDecider> {
    let action = Some(action.to_owned()).filter(|action| !action.is_empty());
    history.and(Command::SubmitInput(input_with(7, said, |input| input.action = action)).at(at(seconds)))
}

fn approved() -> Given<TaskDecider> {
    decided(kept(Some(ToolExecutor::Http)), "approve", "", 30)
}

fn starting(try_no: u32, seconds: i64) -> Requested<Command> {
    Command::StartToolCall(StartToolCall {
        tool_call_id: call_id(),
        try_no,
        worker_id: None,
        has_failed: false,
        until: at(seconds + 40),
    })
    .at(at(seconds))
}

fn ended(try_no: u32, outcome: ToolOutcome, stdout: &str) -> EndToolCall {
    EndToolCall {
        tool_call_id: call_id(),
        try_no,
        worker_id: None,
        outcome,
        exit_code: Some(0),
        stdout: stdout.into(),
        stderr: String::new(),
        error: None,
    }
}

fn ending(command: EndToolCall) -> Requested<Command> {
    Command::EndToolCall(Box::new(command)).at(at(90))
}

fn under(ask: &str) -> Given<TaskDecider> {
    let mut accept = accept();
    accept.command.policy = Some(RunPolicy { ask: ask.into(), ..RunPolicy::default() });
    given::<TaskDecider>([]).and(accepting(accept)).and(lease(1, 10)).and_events([start(1)])
}

#[test]
fn reading_passes_and_writing_asks() {
    let read = reading("crm.read");
    assert_eq!(says(&started(), &read), Gate::Allow(None));
    started().when(checking(read)).then_nothing();
    assert_eq!(says(&started(), &checked("crm.update", json!({}))), Gate::Defer);
}

#[test]
fn the_workspace_may_let_everything_pass_or_everything_but_email() {
    let with = |tool: &str, approval_policy| ToolCheck { approval_policy, ..checked(tool, json!({})) };
    let passes = Gate::Allow(Some(ToolPermission::Policy));
    assert_eq!(says(&started(), &with("gmail.send", ApprovalPolicy::AutoApproveAll)), passes);
    assert_eq!(says(&started(), &with("slack.post", ApprovalPolicy::ApproveEmailsOnly)), passes);
    for email in ["gmail.send", "Outlook.send", "agentmail_send", "email"] {
        assert_eq!(says(&started(), &with(email, ApprovalPolicy::ApproveEmailsOnly)), Gate::Defer);
    }
    started()
        .when(checking(with("slack.post", ApprovalPolicy::ApproveEmailsOnly)))
        .then_with(|events, _| assert_eq!(kinds(events), ["call allowed"]));
}

#[test]
fn the_runs_own_rule_comes_before_the_workspaces() {
    let read = |tool: &str| ToolCheck { approval_policy: ApprovalPolicy::AutoApproveAll, ..reading(tool) };
    let listed = |check: ToolCheck| ToolCheck { is_listed: true, ..check };
    assert_eq!(says(&under("always"), &listed(read("crm.read"))), Gate::Defer);
    let on_miss = || under("on-miss");
    assert_eq!(says(&on_miss(), &listed(read("crm.read"))), Gate::Allow(None));
    let write = listed(checked("crm.read", json!({})));
    assert_eq!(says(&on_miss(), &write), Gate::Allow(Some(ToolPermission::Policy)));
    assert_eq!(says(&on_miss(), &read("crm.read")), Gate::Defer, "no list is no leave");
}

#[test]
fn a_disabled_tool_is_refused_and_a_call_without_a_name_or_with_absurd_arguments_is_no_call() {
    let disabled = ToolCheck { is_disabled: true, ..reading("crm.read") };
    assert!(matches!(says(&started(), &disabled), Gate::Refuse(_)));
    started()
        .when(checking(checked(" ", json!({}))))
        .then_rejected_with(|no| matches!(no, Rejection::Invalid(_)));
    let huge = checked("crm", json!({"x": "y".repeat(300_000)}));
    started().when(checking(huge)).then_rejected_with(|no| matches!(no, Rejection::TooLarge { .. }));
}

#[test]
fn only_the_live_attempt_is_answered() {
    let stale = ToolCheck { attempt_id: attempt(7), ..checked("crm", json!({})) };
    started().when(checking(stale)).then_rejected(Rejection::LeaseLost { current_epoch: 1 });
    started()
        .and(cancel())
        .when(checking(checked("crm", json!({}))))
        .then_rejected(Rejection::LeaseLost { current_epoch: 1 });
}

#[test]
fn a_kept_call_is_an_event_with_its_question() {
    started().when(checking(checked("gmail.send", email()))).then_with(|events, state| {
        assert_eq!(kinds(events), ["call kept", "asked"]);
        let task = state.as_ref().unwrap();
        let opened = &task.blocker.as_ref().unwrap().opened;
        assert_eq!((opened.kind, opened.tool_call_id), (BlockerKind::Approval, Some(call_id())));
        assert_eq!(opened.summary, "Send an email to a@x about Hello");
        assert_eq!(task.state, TaskState::Waiting);
    });
}

#[test]
fn while_a_call_waits_the_same_and_every_other_are_pending() {
    let pending = Gate::Pending { tool_call_id: Some(call_id()), blocker_id: Some(blocker_id(1)) };
    let waiting = || kept(None);
    assert_eq!(says(&waiting(), &checked("gmail.send", email())), pending);
    assert_eq!(says(&waiting(), &checked("crm.update", json!({}))), pending);
    waiting().when(checking(checked("crm.update", json!({})))).then_nothing();
    let asked = started().and(ask(1, "which?"));
    let pending = Gate::Pending { tool_call_id: None, blocker_id: Some(blocker_id(1)) };
    assert_eq!(says(&asked, &checked("crm.update", json!({}))), pending);
}

#[test]
fn an_approved_call_is_recorded_before_it_is_executed_and_the_task_waits_for_it() {
    let task = task_of(&kept(Some(ToolExecutor::Http)));
    let decision = decide_call(&task, call_id(), true, "", at(30)).unwrap();
    assert_eq!(decision.message, None);
    let approved = approved();
    let task = task_of(&approved);
    assert_eq!((task.state, &task.blocker), (TaskState::Waiting, &None));
    assert_eq!(task.owner(), Some(crate::task::state::Owner::ToolExecution));
    assert_eq!(decide_call(&task, call_id(), true, "", at(31)), None, "a second approval decides nothing");
}

#[test]
fn each_try_is_claimed_and_a_claim_is_honoured_until_it_passes() {
    approved().when(starting(1, 31)).then_with(|events, _| assert_eq!(kinds(events), ["execution started"]));
    let claimed = || approved().and(starting(1, 31));
    claimed().when(starting(1, 32)).then_nothing();
    claimed()
        .when(starting(2, 32))
        .then_rejected_with(|no| matches!(no, Rejection::IllegalTransition { .. }));
    claimed().when(starting(2, 71)).then_with(|events, _| assert_eq!(kinds(events), ["execution started"]));
    let failed = StartToolCall {
        tool_call_id: call_id(),
        try_no: 2,
        worker_id: None,
        has_failed: true,
        until: at(80),
    };
    claimed()
        .when(Command::StartToolCall(failed).at(at(33)))
        .then_with(|events, _| assert_eq!(events.len(), 1));
}

#[test]
fn only_the_executor_of_an_approved_call_may_execute_it() {
    let refused = |no: &Rejection| matches!(no, Rejection::IllegalTransition { .. });
    kept(Some(ToolExecutor::Http)).when(starting(1, 31)).then_rejected_with(refused);
    decided(kept(None), "approve", "", 30).when(starting(1, 31)).then_rejected_with(refused);
    let worker = StartToolCall {
        tool_call_id: call_id(),
        try_no: 1,
        worker_id: Some(crate::id::WorkerId(uuid::Uuid::from_u128(9))),
        has_failed: false,
        until: at(80),
    };
    approved().when(Command::StartToolCall(worker).at(at(33))).then_rejected_with(refused);
}

#[test]
fn after_five_tries_there_is_no_sixth() {
    let mut history = approved();
    for n in 1..=5 {
        history = history.and(starting(n, i64::from(n) * 100));
    }
    history.when(starting(6, 700)).then_rejected_with(|no| matches!(no, Rejection::IllegalTransition { .. }));
}

#[test]
fn the_result_reaches_the_live_attempt_or_resumes_the_session() {
    let claimed = || approved().and(starting(1, 31));
    claimed().when(ending(ended(1, ToolOutcome::Ok, "done"))).then_with(|events, state| {
        assert_eq!(kinds(events), ["execution ended", "said", "continued"]);
        let task = state.as_ref().unwrap();
        assert_eq!((task.state, task.pending_inputs().count()), (TaskState::Running, 1));
        let told = &task.pending_inputs().next().unwrap().message;
        assert!(told.contains("Do not repeat it") && told.contains("done"), "{told}");
    });
    let gone = || claimed().and(finish_ok(1));
    assert_eq!(
        task_of(&gone()).state,
        TaskState::Waiting,
        "the end of the attempt does not end the execution"
    );
    gone().when(ending(ended(1, ToolOutcome::Unknown, ""))).then_with(|events, state| {
        assert_eq!(kinds(events), ["execution ended", "said", "run requested"]);
        let task = state.as_ref().unwrap();
        assert_eq!(task.current_run().unwrap().cause, RunCause::ToolCall);
        assert!(task.current_prompt().contains("nobody knows"), "{}", task.current_prompt());
    });
}

#[test]
fn what_was_said_with_the_approval_reaches_the_agent_with_the_result() {
    let approved = decided(kept(Some(ToolExecutor::Http)), "approve", "Copy Bob next time.", 30);
    approved.and(starting(1, 31)).when(ending(ended(1, ToolOutcome::Ok, "done"))).then_with(|_, state| {
        let told = &state.as_ref().unwrap().pending_inputs().next().unwrap().message;
        assert!(told.contains("done") && told.ends_with("Copy Bob next time."), "{told}");
    });
}

#[test]
fn only_the_claimed_try_reports_and_only_once() {
    let claimed = || approved().and(starting(1, 31));
    let stale = |no: &Rejection| matches!(no, Rejection::IllegalTransition { .. });
    claimed().and(starting(2, 71)).when(ending(ended(1, ToolOutcome::Ok, ""))).then_rejected_with(stale);
    approved().when(ending(ended(1, ToolOutcome::Ok, ""))).then_rejected_with(stale);
    let over = claimed().and(ending(ended(1, ToolOutcome::Ok, "")));
    over.when(ending(ended(1, ToolOutcome::Ok, ""))).then_nothing();
}

#[test]
fn a_cancelled_task_takes_an_approved_call_with_it_and_one_that_began_may_still_report() {
    let task = task_of(&approved().and(cancel()));
    assert!(task.tool_calls.is_empty(), "nobody carries out what was cancelled");
    let begun = approved().and(starting(1, 31)).and(cancel());
    begun.when(ending(ended(1, ToolOutcome::Ok, "x"))).then_with(|events, state| {
        assert_eq!(kinds(events), ["execution ended"]);
        assert_eq!(state.as_ref().unwrap().state, TaskState::Cancelled);
    });
}

#[test]
fn a_rejection_without_a_word_marks_the_call_for_ten_minutes() {
    let rejected = || decided(kept(None), "reject", "", 30);
    let again = checked("gmail.send", email());
    assert!(task_of(&rejected()).inbox[0].message.contains("rejected"));
    assert!(matches!(says_at(&rejected(), &again, 31), Gate::Refuse(_)));
    assert!(matches!(says_at(&rejected(), &again, 629), Gate::Refuse(_)));
    assert_eq!(says_at(&rejected(), &again, 630), Gate::Defer);
}

#[test]
fn the_mark_is_for_that_very_call_and_opens_no_question() {
    let rejected = || decided(kept(None), "reject", "", 30);
    rejected().when(checking(checked("gmail.send", email()))).then_nothing();
    let other = checked("gmail.send", json!({"to": "b@x"}));
    assert_eq!(says(&rejected(), &other), Gate::Defer);
}

#[test]
fn a_rejection_with_a_word_is_feedback_and_marks_nothing() {
    let revised = || decided(kept(None), "reject", "be kinder", 30);
    assert!(task_of(&revised()).inbox[0].message.contains("be kinder"));
    assert_eq!(says(&revised(), &checked("gmail.send", email())), Gate::Defer);
}

#[test]
fn without_an_executor_the_agent_is_asked_to_call_again() {
    let approved = decided(kept(None), "approve", "", 30);
    let task = task_of(&approved);
    assert_eq!(task.state, TaskState::Running);
    assert!(task.inbox[0].message.contains("same call again"), "{}", task.inbox[0].message);
}

#[test]
fn a_pre_approval_lets_that_very_call_pass_once_within_two_minutes() {
    let approved = || decided(kept(None), "approve", "", 30);
    let again = checked("gmail.send", email());
    assert_eq!(says_at(&approved(), &again, 149), Gate::Allow(Some(ToolPermission::PreApproval)));
    assert_eq!(says_at(&approved(), &again, 150), Gate::Defer);
    let other = checked("gmail.send", json!({"to": "b@x"}));
    assert_eq!(says(&approved(), &other), Gate::Defer, "other arguments");
    assert_eq!(says(&approved(), &checked("outlook.send", email())), Gate::Defer, "another tool");
    let used = approved().and(Command::CheckToolCall(Box::new(again.clone())).at(at(40)));
    assert_eq!(says_at(&used, &again, 41), Gate::Defer, "it is used up");
}

#[test]
fn an_email_that_was_sent_is_an_output() {
    let answer = r#"{"id": "m-1", "thread_id": "t-1"}"#;
    let claimed = || approved().and(starting(1, 31));
    claimed().when(ending(ended(1, ToolOutcome::Ok, answer))).then_with(|events, _| {
        let Event::OutputProduced(output) = &events[0] else { panic!("an output first") };
        assert_eq!((output.output_type.as_str(), output.title.as_str()), ("email", "Sent: Hello"));
        assert_eq!((&output.data["status"], &output.data["thread_id"]), (&json!("sent"), &json!("t-1")));
        assert_eq!(output.metadata["integration"], "gmail");
    });
    claimed()
        .when(ending(ended(1, ToolOutcome::Ok, "sent it")))
        .then_with(|events, _| assert_eq!(kinds(events)[0], "execution ended"));
}

#[test]
fn of_long_texts_the_beginning_is_kept() {
    for unit in ["ä", "\n", "\u{1}"] {
        let long = unit.repeat(TEXT_BYTES_MAX);
        let report = EndToolCall {
            stderr: long.clone(),
            error: Some(long.clone()),
            ..ended(1, ToolOutcome::Ok, &long)
        };
        approved().and(starting(1, 31)).when(ending(report)).then_with(|events, _| {
            let Event::ToolExecutionEnded(ended) = &events[0] else { panic!("ended first") };
            let bytes = json_bytes(&ended.stdout);
            assert!((TEXT_BYTES_MAX - 8..TEXT_BYTES_MAX + 64).contains(&bytes), "{bytes} bytes of {unit:?}");
            // Twice each, and still far below what one message of the log may have.
            let told = events.iter().find_map(|event| match event {
                Event::InputAccepted(told) => Some(json_bytes(&told.message)),
                _ => None,
            });
            assert!(told.unwrap() <= 3 * TEXT_BYTES_MAX + 1024, "{told:?}");
        });
    }
}

#[test]
fn a_conversation_id_is_used_as_the_thread_id() {
    let answer = r#"{"conversation_id": "c-1"}"#;
    approved().and(starting(1, 31)).when(ending(ended(1, ToolOutcome::Ok, answer))).then_with(|events, _| {
        let Event::OutputProduced(output) = &events[0] else { panic!("an output first") };
        assert_eq!(output.data["thread_id"], "c-1");
    });
}

#[test]
fn a_run_that_ends_during_an_execution_leaves_the_task_waiting_for_it() {
    let spoken = approved().and(starting(1, 31)).and(finish_ok(1)).and(say(1, "hurry"));
    let over = spoken.and(lease(2, 60)).and(finish_ok(2));
    assert_eq!(task_of(&over).state, TaskState::Waiting);
    over.when(ending(ended(1, ToolOutcome::Ok, "done"))).then_with(|events, _| {
        assert_eq!(kinds(events), ["execution ended", "said", "run requested"]);
    });
}

#[test]
fn an_input_during_an_execution_does_not_lose_its_result() {
    let spoken = approved().and(starting(1, 31)).and(finish_ok(1)).and(say(1, "hurry"));
    spoken.when(ending(ended(1, ToolOutcome::Ok, "done"))).then_with(|events, state| {
        assert_eq!(kinds(events), ["execution ended", "said"]);
        let task = state.as_ref().unwrap();
        assert_eq!((task.state, task.pending_inputs().count()), (TaskState::Queued, 1));
    });
}

#[test]
fn an_answer_to_the_question_is_one_decision() {
    let approve = |action: &str| Command::SubmitInput(decide(7, action, "")).at(at(30));
    kept(Some(ToolExecutor::Http)).when(approve(" Approve ")).then_with(|events, state| {
        assert_eq!(kinds(events), ["said", "call decided", "answered"]);
        assert_eq!(state.as_ref().unwrap().state, TaskState::Waiting);
    });
    kept(None).when(approve("approve")).then_with(|events, _| {
        assert_eq!(kinds(events), ["said", "call decided", "answered", "continued"]);
    });
    kept(None).and(finish_ok(1)).when(approve("reject")).then_with(|events, state| {
        assert_eq!(kinds(events), ["said", "call decided", "answered", "run requested"]);
        assert!(state.as_ref().unwrap().current_prompt().contains("rejected"));
    });
    kept(None).when(approve("maybe")).then_rejected_with(|no| matches!(no, Rejection::Invalid(_)));
}

#[test]
fn a_word_without_a_decision_asks_for_a_revision() {
    let spoken = decided(kept(None), "", "ask Ada first", 30);
    let task = task_of(&spoken);
    assert!(task.tool_calls.is_empty(), "nothing is marked");
    assert!(task.inbox[0].message.contains("ask Ada first"));
}
