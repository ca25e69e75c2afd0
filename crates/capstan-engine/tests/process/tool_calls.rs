//! Approved tool calls: claimed before they are executed, and repeated only when the outcome is unknown.

use capstan_contract::WorkspaceCodec;
use capstan_contract::command::{RegisterWorker, WorkerCapabilities};
use capstan_contract::lease::{ClaimedToolCall, ToolClaim};
use capstan_domain::Requested;
use capstan_domain::id::{AttemptId, ToolCallId, WorkerId};
use capstan_domain::matching::{Reach, StreamKey};
use capstan_domain::task::command::{CancelTask, CheckToolCall, EndToolCall, ToolCheck};
use capstan_domain::task::event::{BlockerClosed, BlockerStatus, ToolExecutor, ToolOutcome};
use capstan_domain::task::state::ToolCallState;
use capstan_domain::task::tool_call::decide_call;
use capstan_domain::task::{Command, Event, TaskState};
use capstan_domain::workspace;
use capstan_domain::workspace::settings::ApprovalPolicy;
use capstan_engine::process::{CallId, Effect, Settled, ToolAnswer};
use capstan_engine::protocol::{Answer, Request};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::bench::Bench;
use crate::commands::{Birth, input};
use crate::world::start;

/// The workspace registers an endpoint for `crm`.
fn register_endpoint(bench: &mut Bench) {
    let created =
        workspace::Created { workspace: "dev".into(), display_name: "Dev".into(), created_at: start() };
    let tools = json!({ "tools": { "crm": { "url": "http://tools.example/crm", "timeout_ms": 1000 } } });
    tell(bench, &[workspace::Event::Created(created), updated(tools)]);
}

/// The workspace forbids `crm`.
fn disable(bench: &mut Bench) {
    tell(bench, &[updated(json!({ "disabled_tools": ["crm"] }))]);
}

fn updated(mut changes: Value) -> workspace::Event {
    changes["workspace"] = "dev".into();
    changes["updated_at"] = json!(start());
    workspace::Event::Updated(serde_json::from_value(changes).unwrap())
}

fn tell(bench: &mut Bench, events: &[workspace::Event]) {
    let id = bench.fresh();
    bench.world.tell::<WorkspaceCodec>("dev/workspace/dev", id, events);
    bench.settle();
}

/// A task whose call of `crm` was deferred.
fn kept(bench: &mut Bench, executor: Option<ToolExecutor>) -> (StreamKey, AttemptId, ToolCallId) {
    let worker = bench.worker();
    let session = bench.fresh().to_string();
    let key = bench.accept(&Birth { session, ..Birth::default() });
    let attempt = bench.lease_now(worker, 1).remove(0).attempt_id;
    let check = ToolCheck {
        command: CheckToolCall::new("crm", json!({ "id": 1 })),
        arguments_fingerprint: "fingerprint".into(),
        attempt_id: attempt.clone(),
        approval_policy: ApprovalPolicy::Ask,
        is_disabled: false,
        is_listed: false,
        executor,
    };
    bench.send(&key, &Command::CheckToolCall(Box::new(check)).at(bench.now));
    let call = *bench.world.task(&key).tool_calls.keys().next().unwrap();
    (key, attempt, call)
}

/// Records the approval.
fn approve(bench: &mut Bench, key: &StreamKey, call: ToolCallId) {
    let task = bench.world.task(key);
    let Some(decision) = decide_call(task, call, true, "", bench.now) else { return };
    let closed = BlockerClosed {
        blocker_id: task.blocker.as_ref().unwrap().opened.blocker_id,
        status: BlockerStatus::Resolved,
        input_id: None,
        resolution: None,
        closed_at: bench.now,
    };
    let id = bench.fresh();
    bench.world.append(key, id, &[Event::BlockerClosed(closed), decision.event]);
    bench.settle();
}

fn approved() -> (Bench, StreamKey, AttemptId, ToolCallId) {
    let mut bench = Bench::new();
    register_endpoint(&mut bench);
    let (key, attempt, call) = kept(&mut bench, Some(ToolExecutor::Http));
    approve(&mut bench, &key, call);
    (bench, key, attempt, call)
}

fn answered(stdout: &str) -> ToolAnswer {
    ToolAnswer::Answered { exit_code: Some(0), stdout: stdout.into(), stderr: String::new(), error: None }
}

fn failed(is_unknown: bool) -> ToolAnswer {
    ToolAnswer::Failed { error: "no".into(), is_unknown }
}

fn answer(bench: &mut Bench, answer: ToolAnswer) {
    let request = bench.calls.remove(0);
    bench.process.tool_called(&request, answer, bench.now);
    bench.settle();
}

#[test]
fn an_approved_call_is_claimed_and_called_once_and_the_agent_gets_its_result() {
    let (mut bench, key, _, call) = approved();
    approve(&mut bench, &key, call);
    approve(&mut bench, &key, call);
    assert_eq!(bench.calls.len(), 1, "approved three times, called once");
    let request = &bench.calls[0];
    assert_eq!((request.tool_call_id, request.url.as_str()), (call, "http://tools.example/crm"));
    assert_eq!((&request.body["tool"], &request.body["arguments"]), (&json!("crm"), &json!({ "id": 1 })));
    assert_eq!(bench.world.state(&key), TaskState::Waiting);
    answer(&mut bench, answered("done"));
    let task = bench.world.task(&key);
    assert_eq!(task.state, TaskState::Running);
    assert!(task.inbox[0].message.contains("done"));
    bench.pass_ms(600_000);
    assert!(bench.calls.is_empty());
}

/// Calls of one workspace that may be under way.
const SHARE: usize = 64;

/// So many tasks of one workspace, each with an approved call of an endpoint.
fn many_approved(count: usize) -> (Bench, Vec<StreamKey>) {
    let mut bench = Bench::new();
    register_endpoint(&mut bench);
    let mut keys = Vec::new();
    for _ in 0..count {
        let (key, _, call) = kept(&mut bench, Some(ToolExecutor::Http));
        approve(&mut bench, &key, call);
        keys.push(key);
    }
    (bench, keys)
}

fn is_claimed(bench: &Bench, key: &StreamKey) -> bool {
    let mut calls = bench.world.task(key).tool_calls.values();
    calls.any(|call| matches!(call.state, ToolCallState::Executing { .. }))
}

#[test]
fn a_call_is_claimed_when_it_has_a_place_and_keeps_its_task_from_nothing_until_then() {
    let (mut bench, keys) = many_approved(SHARE + 3);
    let claimed = |bench: &Bench| keys.iter().map(|key| is_claimed(bench, key)).collect::<Vec<_>>();
    let first = |count: usize| (0..keys.len()).map(|number| number < count).collect::<Vec<_>>();
    assert_eq!((bench.calls.len(), claimed(&bench)), (SHARE, first(SHARE)));
    // A claim would have run out meanwhile, had there been one.
    bench.pass_ms(20_000);
    assert_eq!((bench.calls.len(), claimed(&bench)), (SHARE, first(SHARE)));
    answer(&mut bench, answered("done"));
    assert_eq!(bench.calls.len(), SHARE, "the next one has the place");
    assert!(is_claimed(&bench, &keys[SHARE]) && !is_claimed(&bench, &keys[SHARE + 1]));
    // The lease of the attempt that asked ends, although its call waits.
    let waits = keys[SHARE + 1].clone();
    assert!(bench.world.task(&waits).working_attempt().is_some());
    bench.pass_ms(15_000);
    assert!(bench.world.task(&waits).working_attempt().is_none());
    // One that is cancelled leaves the line.
    let cancel = CancelTask { task_id: waits.task_id, reason: None };
    let cancel = Command::Cancel { command: cancel, grace_ms: 0 }.at(bench.now);
    bench.send(&waits, &cancel);
    answer(&mut bench, answered("done"));
    assert!(is_claimed(&bench, &keys[SHARE + 2]) && !is_claimed(&bench, &waits));
    while !bench.calls.is_empty() {
        answer(&mut bench, answered("done"));
    }
    assert!(!claimed(&bench).contains(&true));
}

#[test]
fn a_call_of_a_task_that_cannot_be_loaded_takes_no_place_from_another() {
    let (mut bench, keys) = many_approved(SHARE + 2);
    let [broken, behind] = [keys[SHARE].clone(), keys[SHARE + 1].clone()];
    bench.unreadable = Some(broken.clone());
    let said = input(&broken, 900, bench.now);
    bench.send(&broken, &said);
    answer(&mut bench, answered("done"));
    assert_eq!(bench.calls.len(), SHARE, "the place is the next one's");
    assert!(is_claimed(&bench, &behind) && !is_claimed(&bench, &broken));
    // It asks again when it can be loaded.
    bench.unreadable = None;
    answer(&mut bench, answered("done"));
    assert!(!is_claimed(&bench, &broken));
    bench.pass_ms(60_000);
    assert!(is_claimed(&bench, &broken));
}

#[test]
fn a_failed_try_is_repeated_under_the_same_key_with_growing_pauses_and_given_up_after_five() {
    for (is_unknown, told) in [(true, "nobody knows"), (false, "it failed")] {
        let (mut bench, key, _, call) = approved();
        for pause in [1_000, 2_000, 4_000, 8_000] {
            assert_eq!(bench.calls[0].tool_call_id, call);
            answer(&mut bench, failed(is_unknown));
            bench.pass_ms(pause - 1);
            assert!(bench.calls.is_empty(), "too early");
            bench.pass_ms(1);
        }
        assert_eq!(bench.calls[0].try_no, 5);
        answer(&mut bench, failed(is_unknown));
        assert!(bench.calls.is_empty());
        let message = &bench.world.task(&key).inbox[0].message;
        assert!(message.contains(told), "{message}");
    }
}

#[test]
fn a_call_approved_before_a_crash_is_executed_by_the_next_leader() {
    let mut bench = Bench::new();
    register_endpoint(&mut bench);
    let (key, _, call) = kept(&mut bench, Some(ToolExecutor::Http));
    bench.failing = true;
    approve(&mut bench, &key, call);
    assert!(bench.calls.is_empty(), "nothing is executed that was not claimed");
    bench.failing = false;
    bench.fail_over(1);
    assert_eq!(bench.calls.len(), 1);
    answer(&mut bench, answered("done"));
    assert_eq!(bench.world.state(&key), TaskState::Running);
}

#[test]
fn a_call_under_way_in_a_crash_is_repeated_after_its_claim_passed() {
    let (mut bench, key, _, call) = approved();
    assert_eq!(bench.calls.len(), 1);
    bench.fail_over(0);
    assert!(bench.calls.is_empty(), "somebody may still be at it");
    bench.pass_ms(15_999);
    assert!(bench.calls.is_empty());
    bench.pass_ms(1);
    assert_eq!((bench.calls[0].tool_call_id, bench.calls[0].try_no), (call, 2), "the same key, the next try");
    answer(&mut bench, answered("done"));
    assert_eq!(bench.world.state(&key), TaskState::Running);
}

#[test]
fn a_missing_endpoint_is_reported_and_not_waited_for() {
    let mut bench = Bench::new();
    let (key, _, call) = kept(&mut bench, Some(ToolExecutor::Http));
    approve(&mut bench, &key, call);
    let task = bench.world.task(&key);
    assert_eq!(task.state, TaskState::Running);
    assert!(task.inbox[0].message.contains("no endpoint"), "{}", task.inbox[0].message);
}

#[test]
fn a_disabled_tool_is_not_called_however_it_was_approved() {
    for executor in [ToolExecutor::Http, ToolExecutor::Worker] {
        let mut bench = Bench::new();
        register_endpoint(&mut bench);
        let worker = tool_worker(&mut bench);
        let (key, _, call) = kept(&mut bench, Some(executor));
        disable(&mut bench);
        approve(&mut bench, &key, call);
        assert!(claimed(&mut bench, worker).is_none(), "{executor:?}");
        assert!(bench.calls.is_empty(), "{executor:?}");
        let task = bench.world.task(&key);
        assert_eq!(task.state, TaskState::Running, "{executor:?}");
        assert!(task.inbox[0].message.contains("disabled"), "{}", task.inbox[0].message);
    }
}

#[test]
fn a_call_a_worker_has_begun_may_be_reported_after_the_tool_was_disabled() {
    let mut bench = Bench::new();
    register_endpoint(&mut bench);
    let worker = tool_worker(&mut bench);
    let (key, _, call) = kept(&mut bench, Some(ToolExecutor::Worker));
    approve(&mut bench, &key, call);
    let begun = claimed(&mut bench, worker).unwrap();
    disable(&mut bench);
    assert!(claimed(&mut bench, worker).is_none());
    let command = report(worker, &begun, &bench);
    bench.send(&key, &command);
    assert_eq!(bench.world.state(&key), TaskState::Running);
    assert!(!bench.world.task(&key).inbox[0].message.contains("disabled"));
}

fn tool_worker(bench: &mut Bench) -> WorkerId {
    tool_worker_within(bench, Reach::All)
}

fn tool_worker_within(bench: &mut Bench, reach: Reach) -> WorkerId {
    let capabilities = WorkerCapabilities { tools: vec!["crm".into()], ..WorkerCapabilities::default() };
    let worker = RegisterWorker { name: "t".into(), slots: 1, capabilities, ..RegisterWorker::default() };
    let call = bench.ask(Request::Register { worker, reach });
    match bench.answers.remove(&call) {
        Some(Answer::Registered(registered)) => registered.worker_id,
        other => panic!("not registered but {other:?}"),
    }
}

fn claimed(bench: &mut Bench, worker_id: WorkerId) -> Option<ClaimedToolCall> {
    let call = bench.ask(Request::ClaimToolCall { worker_id, wait_ms: 0, reach: Reach::All });
    match bench.answers.remove(&call) {
        Some(Answer::ToolCall(call)) => call.map(|call| *call),
        other => panic!("not answered but {other:?}"),
    }
}

fn report(worker: WorkerId, claimed: &ClaimedToolCall, bench: &Bench) -> Requested<Command> {
    let claim: ToolClaim = claimed.claim.parse().unwrap();
    Command::EndToolCall(Box::new(EndToolCall {
        tool_call_id: claim.tool_call_id,
        try_no: claim.try_no,
        worker_id: Some(worker),
        outcome: ToolOutcome::Ok,
        exit_code: None,
        stdout: "done".into(),
        stderr: String::new(),
        error: None,
    }))
    .at(bench.now)
}

#[test]
fn only_a_worker_that_declares_the_tool_executes_it() {
    let mut bench = Bench::new();
    let (key, _, call) = kept(&mut bench, Some(ToolExecutor::Worker));
    let plain = bench.worker();
    let worker = tool_worker(&mut bench);
    let waiting = bench.ask(Request::ClaimToolCall { worker_id: worker, wait_ms: 20_000, reach: Reach::All });
    assert!(!bench.is_answered(waiting));
    approve(&mut bench, &key, call);
    assert_eq!(claimed(&mut bench, plain), None);
    let Some(Answer::ToolCall(Some(given))) = bench.answers.remove(&waiting) else {
        panic!("the poll is served")
    };
    assert_eq!((given.tool_call_id, given.try_no, given.tool.as_str()), (call, 1, "crm"));
    assert_eq!(claimed(&mut bench, worker), None, "claimed is claimed");
    let report = report(worker, &given, &bench);
    bench.send(&key, &report);
    assert_eq!(bench.world.state(&key), TaskState::Running);
    assert!(bench.calls.is_empty());
}

#[test]
fn a_worker_is_offered_nothing_of_workspaces_it_may_not_serve() {
    let mut bench = Bench::new();
    let (key, _, call) = kept(&mut bench, Some(ToolExecutor::Worker));
    approve(&mut bench, &key, call);
    let elsewhere = Reach::Only(["mine".to_owned()].into());
    let stranger = tool_worker_within(&mut bench, elsewhere.clone());
    assert_eq!(claimed(&mut bench, stranger), None);
    let worker = tool_worker(&mut bench);
    // Nor may it speak for a worker that may.
    let asked = bench.ask(Request::ClaimToolCall { worker_id: worker, wait_ms: 0, reach: elsewhere });
    let answer = bench.answers.remove(&asked);
    assert!(matches!(answer, Some(Answer::UnknownWorker)), "{answer:?}");
    assert!(claimed(&mut bench, worker).is_some());
}

#[test]
fn a_lost_claim_of_a_worker_is_offered_again_under_the_same_key_and_then_given_up() {
    let mut bench = Bench::new();
    let (key, _, call) = kept(&mut bench, Some(ToolExecutor::Worker));
    approve(&mut bench, &key, call);
    let mut late: Option<Requested<Command>> = None;
    for try_no in 1..=5 {
        let worker = tool_worker(&mut bench);
        let given = claimed(&mut bench, worker).expect("it is offered");
        assert_eq!((given.tool_call_id, given.try_no), (call, try_no));
        if let Some(late) = late.replace(report(worker, &given, &bench)) {
            let id = bench.fresh();
            assert!(bench.world.send(&key, id, &late).is_err(), "a late report changes nothing");
        }
        bench.pass_ms(119_999);
        let other = tool_worker(&mut bench);
        assert_eq!(claimed(&mut bench, other), None, "the claim is honoured until it passes");
        bench.pass_ms(1);
    }
    let prompt = bench.world.task(&key).current_prompt();
    assert!(prompt.contains("nobody knows"), "{prompt}");
}

/// So many turns of a process whose orders fail at once, each with the outcomes of the one before.
fn orders_that_fail(bench: &mut Bench, turns: usize) -> usize {
    let mut orders = 0;
    for _ in 0..turns {
        for effect in bench.process.turn(usize::MAX, bench.now) {
            let Effect::Execute(order) = effect else { panic!("nothing else is due: {effect:?}") };
            orders += 1;
            let failed = Settled::Failed { is_retryable: true };
            bench.process.settled(&order, &failed, bench.now);
        }
    }
    orders
}

#[test]
fn a_claim_of_a_worker_that_failed_is_repeated_after_a_pause_and_keeps_no_other_call_waiting() {
    let mut bench = Bench::new();
    let (first, _, call) = kept(&mut bench, Some(ToolExecutor::Worker));
    approve(&mut bench, &first, call);
    let worker = tool_worker(&mut bench);
    let poll = CallId(7);
    let request = Request::ClaimToolCall { worker_id: worker, wait_ms: 20_000, reach: Reach::All };
    bench.process.request(poll, request, Uuid::nil(), bench.now);
    assert_eq!(orders_that_fail(&mut bench, 10), 1, "nothing is ordered in the pause after a failure");
    // The call behind it is offered meanwhile, to the same worker.
    bench.pass_ms(1);
    let (second, _, call) = kept(&mut bench, Some(ToolExecutor::Worker));
    approve(&mut bench, &second, call);
    let Some(Answer::ToolCall(Some(given))) = bench.answers.remove(&poll) else {
        panic!("the poll is served")
    };
    assert_eq!(given.task_id, second.task_id);
    // It wakes by itself when the pause has passed.
    let poll = bench.ask(Request::ClaimToolCall { worker_id: worker, wait_ms: 20_000, reach: Reach::All });
    assert!(!bench.is_answered(poll));
    bench.pass_ms(200);
    let Some(Answer::ToolCall(Some(given))) = bench.answers.remove(&poll) else {
        panic!("the poll is served")
    };
    assert_eq!(given.task_id, first.task_id);
}

#[test]
fn the_end_of_a_call_of_a_disabled_tool_that_failed_is_repeated_after_a_pause() {
    let mut bench = Bench::new();
    register_endpoint(&mut bench);
    let worker = tool_worker(&mut bench);
    let (key, _, call) = kept(&mut bench, Some(ToolExecutor::Worker));
    approve(&mut bench, &key, call);
    disable(&mut bench);
    let request = Request::ClaimToolCall { worker_id: worker, wait_ms: 20_000, reach: Reach::All };
    bench.process.request(CallId(7), request, Uuid::nil(), bench.now);
    assert_eq!(orders_that_fail(&mut bench, 10), 1, "nothing is ordered in the pause after a failure");
    bench.pass_ms(200);
    assert!(bench.world.task(&key).inbox[0].message.contains("disabled"));
}
