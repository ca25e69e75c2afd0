//! Bodies of commands and answers to workers: what they take, what they refuse, and that their schemas agree.
#![expect(clippy::unwrap_used, reason = "functions the tests share fail the test")]

use capstan_contract::command::{
    AcceptAgentCommand, AckInput, AppendLogs, AppendOutputRows, AppendRunEvents, AppendTaskOutputRows,
    ArchiveAllOutputs, ArchiveOutput, ArchiveTask, CancelRun, CancelTask, CheckToolCall, ClaimInput,
    ClaimToolCall, ConfigureClass, CreateAgent, CreateSchedule, CreateTaskOutput, CreateWorkspace,
    DeferInput, DeleteAgent, DeleteChannelBinding, DeleteSchedule, DrainWorker, EnqueueRunInput,
    FetchAttempt, FinalizeOutput, FinalizeTaskOutput, FinishAttempt, LeaseAttempts, OpenBlocker,
    PauseSchedule, ProduceOutput, PublishSourceEvent, RecordUsage, RegisterWorker, RenewLeases,
    ReportToolCall, ResumeSchedule, RetryTask, ReturnAttempt, SendReports, SubmitTaskInput, TriggerSchedule,
    UnarchiveTask, UpdateAgent, UpdateSchedule, UpdateTask, UpdateWorkspace, UpsertChannelBinding,
    body_schemas,
};
use capstan_contract::lease::{
    ANSWERS, ClaimedInput, Decision, LeasedAttempt, RenewAnswer, RenewStatus, ToolDecision,
};
use capstan_contract::request::Request;
use capstan_contract::schema::NamedSchema;
use capstan_contract::schema_files::generate;
use capstan_domain::Change;
use capstan_domain::task::event::InputKind;
use serde_json::{Value, json};

const TASK: &str = "018f6b1e-7c3a-7d10-9a55-0b8f3c2d1e4f";

/// Holds a body against the schema. A body that fits reads as its type, and reads the same after it is written.
fn reads<B: Request>(body: &Value) -> bool {
    let read = serde_json::from_value::<B>(body.clone());
    if let Ok(read) = &read {
        let written = serde_json::to_value(read).unwrap();
        let again: B = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(serde_json::to_value(again).unwrap(), written, "{}", B::NAME);
    }
    let by_schema = jsonschema::draft202012::new(&schema(B::NAME)).unwrap().is_valid(body);
    assert!(read.is_ok() || !by_schema, "{} of {body} fits the schema only: {:?}", B::NAME, read.err());
    by_schema
}

fn schema(name: &str) -> Value {
    body_schemas().find(|body| body.name == name).expect("the body is in a table").schema()
}

/// A full body, and the places in it where a foreign field must be refused.
fn takes<B: Request>(body: &Value, objects: &[&str]) {
    assert!(reads::<B>(body), "{} refuses {body}", B::NAME);
    for pointer in objects {
        let mut foreign = body.clone();
        let object = foreign.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer} in {body}"));
        object["of_a_later_slice"] = json!(1);
        assert!(!reads::<B>(&foreign), "{} takes an unknown field at {pointer:?}", B::NAME);
    }
}

fn usage() -> Value {
    json!({"input_tokens": 5, "cost_usd": 0.25, "models": {"m-1": {"input_tokens": 5, "cost_usd": 0.25}}})
}

/// The body of a call about an attempt, with the fields of its lease.
fn under_lease(mut body: Value) -> Value {
    body["attempt_id"] = json!(format!("dev.{TASK}.3"));
    body["lease_epoch"] = json!(3);
    body["idempotency_key"] = json!("k");
    body
}

#[test]
fn callers_bodies_take_their_fields_and_no_others() {
    takes::<AcceptAgentCommand>(
        &json!({
            "idempotency_key": "k", "message": "do it", "agent_id": "demo", "session_id": "s", "session_key": "sk",
            "lane": "l", "policy": {"host": "sandbox", "retry": {"max_attempts": 3}}, "timeout_ms": 1000,
            "priority": "high", "budget_usd": 1.5, "parent_task_id": TASK, "label": "x", "labels": {"a": "b"},
            "routing": {"a": 1}, "input_provenance": {"b": 2}, "attachments": [{"c": 3}],
            "extra_system_prompt": "p", "deliver": true, "source_view_id": "v", "spawned_by": "w", "hook_id": "h",
            "dispatch_delay_ms": 5, "not_before": "2026-01-01T00:00:00Z", "deadline": "2026-01-01T00:00:00Z",
            "queue_ttl_ms": 7,
        }),
        &["", "/policy", "/policy/retry"],
    );
    let input = json!({"idempotency_key": "k", "task_id": TASK, "message": "m", "answers": {"q": 1}, "blocker_id": TASK});
    takes::<SubmitTaskInput>(&input, &[""]);
    takes::<EnqueueRunInput>(&json!({"idempotency_key": "k", "run_id": TASK, "message": "m"}), &[""]);
    takes::<CancelTask>(&json!({"idempotency_key": "k", "task_id": TASK, "reason": "r"}), &[""]);
    takes::<ConfigureClass>(
        &json!({"idempotency_key": "k", "instance_key": "execclass_0123456789abcdef0123456789abcdef", "desired_dispatch_concurrency": 2,
                "failed_attempt_threshold": 3, "active": true, "reset": true}),
        &[""],
    );
    takes::<CancelRun>(&json!({"idempotency_key": "k", "run_id": TASK, "reason": "r"}), &[""]);
    takes::<RetryTask>(&json!({"idempotency_key": "k", "task_id": TASK, "message": "m"}), &[""]);
    takes::<ArchiveTask>(&json!({"idempotency_key": "k", "task_id": TASK}), &[""]);
    takes::<UnarchiveTask>(&json!({"idempotency_key": "k", "task_id": TASK}), &[""]);
    takes::<UpdateTask>(
        &json!({"idempotency_key": "k", "task_id": TASK, "priority": "low", "budget_usd": 1.5, "label": "x",
                "payload_json": {"message": "m", "extra_system_prompt": "p", "attachments": [{"c": 3}],
                                 "timeout_ms": 5, "deliver": true},
                "routing_json": {"a": 1}, "labels": {"a": "b"}, "deadline": "2026-01-01T00:00:00Z"}),
        &["", "/payload_json"],
    );
    takes::<PublishSourceEvent>(
        &json!({"idempotency_key": "k", "integration": "gmail", "correlation_keys": ["t"], "items": ["a", {"b": 1}],
                "event_type": "fs.create"}),
        &[""],
    );
    takes::<CreateAgent>(
        &json!({"idempotency_key": "k", "agent_key": "a", "name": "n", "role": "r", "memory_scope": "m",
                "quality_score": 0.5, "cost_budget_usd": 1, "config": {"runner": "process"}, "active": false}),
        &[""],
    );
    takes::<CreateWorkspace>(&json!({"idempotency_key": "k", "workspace": "w", "display_name": "W"}), &[""]);
    takes::<UpdateAgent>(
        &json!({"idempotency_key": "k", "agent_id": "a", "name": "n", "role": "r", "memory_scope": "m",
                "quality_score": null, "cost_budget_usd": 1, "config": {"model": null}, "active": false}),
        &[""],
    );
    takes::<DeleteAgent>(&json!({"idempotency_key": "k", "agent_id": "a", "cancel_open": true}), &[""]);
    takes::<UpdateWorkspace>(
        &json!({"idempotency_key": "k", "display_name": "W", "settings": {
            "disabled_tools": ["t"], "default_policy": {"ask": "always", "retry": {"max_attempts": 3}},
            "quotas": {"open_tasks_max": 1, "agents_max": null, "schedules_max": 3}, "budget_usd_per_day": null,
            "approval_policy": "auto_approve_all",
            "tools": {"crm": {"url": "https://x", "headers": {"a": "env:CAPSTAN_TOOL_A"}, "timeout_ms": 5}, "old": null}}}),
        &[
            "",
            "/settings",
            "/settings/default_policy",
            "/settings/default_policy/retry",
            "/settings/quotas",
            "/settings/tools/crm",
        ],
    );
    takes::<UpsertChannelBinding>(
        &json!({"idempotency_key": "k", "channel_type": "email", "address": "a@b", "agent_id": "a",
                "config": {"x": 1}, "active": true}),
        &[""],
    );
    takes::<DeleteChannelBinding>(
        &json!({"idempotency_key": "k", "channel_type": "email", "address": "a@b"}),
        &[""],
    );
}

#[test]
fn bodies_about_schedules_take_their_fields_and_no_others() {
    takes::<CreateSchedule>(
        &json!({"idempotency_key": "k", "agent_id": "demo", "cron_expr": "0 9 * * *", "timezone": "UTC", "prompt": "p",
                "skill_paths": ["s"], "source_view_id": "v", "active": false, "overlap": "cancel_running",
                "catch_up": "all", "jitter_ms": 5}),
        &[""],
    );
    let update = json!({"idempotency_key": "k", "schedule_id": TASK, "cron_expr": "0 9 * * *", "timezone": "",
                        "prompt": "p", "skill_paths": [], "source_view_id": null, "active": true, "overlap": "skip",
                        "catch_up": "none", "jitter_ms": 0});
    takes::<UpdateSchedule>(&update, &[""]);
    let cleared: UpdateSchedule = serde_json::from_value(update).unwrap();
    assert_eq!(cleared.source_view_id, Change::Clear);
    let named = json!({"idempotency_key": "k", "schedule_id": TASK});
    takes::<DeleteSchedule>(&named, &[""]);
    takes::<ResumeSchedule>(&named, &[""]);
    takes::<TriggerSchedule>(&named, &[""]);
    takes::<PauseSchedule>(&json!({"idempotency_key": "k", "schedule_id": TASK, "reason": "r"}), &[""]);
    assert!(!reads::<CreateSchedule>(
        &json!({"agent_id": "demo", "cron_expr": "x", "prompt": "p", "overlap": "never"})
    ));
}

#[test]
fn workers_bodies_take_their_fields_and_no_others() {
    takes::<RegisterWorker>(
        &json!({"name": "w", "pools": ["p"], "slots": 2, "labels": {"a": "b"}, "capabilities": {
            "runtimes": ["runc"], "network_isolation": true, "workspace_access": ["ro"], "tools": ["t"]}}),
        &["", "/capabilities"],
    );
    takes::<LeaseAttempts>(&json!({"worker_id": TASK, "max": 4, "wait_ms": 30000}), &[""]);
    takes::<RenewLeases>(
        &json!({"worker_id": TASK, "renewals": [{"attempt_id": format!("dev.{TASK}.3"), "epoch": 3}], "wait_ms": 5}),
        &["", "/renewals/0"],
    );
    takes::<AppendLogs>(
        &under_lease(
            json!({"lines": [{"stream": "stdout", "ts": "2026-01-01T00:00:00Z", "chunk_type": "text", "data": "d",
                           "metadata": {"a": 1}}]}),
        ),
        &["", "/lines/0"],
    );
    takes::<AppendRunEvents>(
        &under_lease(
            json!({"events": [{"event_type": "e", "payload": {"a": 1}, "ts": "2026-01-01T00:00:00Z"}]}),
        ),
        &["", "/events/0"],
    );
    takes::<ProduceOutput>(
        &under_lease(
            json!({"id": TASK, "name": "n", "output_type": "o", "title": "t", "summary": "s", "uri": "u",
                "data": {"a": 1}, "metadata": {"b": 2}, "status": "pending"}),
        ),
        &[""],
    );
    takes::<AppendOutputRows>(&under_lease(json!({"output_id": TASK, "rows": [1, {"a": 2}]})), &[""]);
    takes::<CheckToolCall>(
        &under_lease(
            json!({"tool": "t", "arguments": {"a": 1}, "summary": "s", "details": "d", "is_write": false}),
        ),
        &[""],
    );
    takes::<ClaimToolCall>(&json!({"worker_id": TASK, "wait_ms": 5}), &[""]);
    takes::<ReportToolCall>(
        &json!({"idempotency_key": "k", "worker_id": TASK, "claim": "c", "exit_code": 1, "stdout": "o", "stderr": "e", "error": "x"}),
        &[""],
    );
    takes::<FinalizeOutput>(&under_lease(json!({"output_id": TASK, "summary": "s"})), &[""]);
    let blocker = json!({"summary": "s", "details": "d", "questions": [{"id": "q", "text": "?"}]});
    takes::<OpenBlocker>(&under_lease(blocker.clone()), &["", "/questions/0"]);
    takes::<ClaimInput>(&under_lease(json!({})), &[""]);
    takes::<FetchAttempt>(&under_lease(json!({"cursor": "1.a"})), &[""]);
    takes::<AckInput>(&under_lease(json!({"input_id": TASK})), &[""]);
    takes::<DeferInput>(&under_lease(json!({"input_id": TASK, "reason": "r"})), &[""]);
    takes::<DrainWorker>(&json!({"worker_id": TASK}), &[""]);
    takes::<SendReports>(
        &json!({"worker_id": TASK, "reports": [{"type": "record-usage"}], "lease_max": 1}),
        &[""],
    );
    takes::<RecordUsage>(&under_lease(json!({ "usage": usage() })), &["", "/usage", "/usage/models/m-1"]);
    takes::<ReturnAttempt>(&under_lease(json!({"reason": "r"})), &[""]);
    takes::<FinishAttempt>(
        &under_lease(
            json!({"outcome": "error", "exit_code": 1, "error": "e", "error_class": "rate_limited", "retry_after_ms": 5,
                "subtasks": [{"prompt": "p", "label": "l", "entity_label": "e", "source_output_id": "o",
                              "wake_delay_minutes": 5, "priority": "low", "budget_usd": 1.5,
                              "policy": {"host": "sandbox"}}], "join": "all",
                "source_watches": [{"integration": "gmail", "reason": "r", "query": "q", "thread_id": "t",
                                    "message_id": "m", "entity_key": "k", "entity_label": "l",
                                    "source_output_id": "o", "event_types": ["fs.create"]}],
                "usage": usage(), "waiting_for_input": true, "blocker": blocker, "result": {"free": 1},
                "wake": {"delay_minutes": 5, "at": "2026-01-01T00:00:00Z", "reason": "r", "follow_up_prompt": "p",
                         "agenda": [{"type": "t", "title": "x", "reason": "y"}]}}),
        ),
        &[
            "",
            "/usage",
            "/usage/models/m-1",
            "/blocker",
            "/blocker/questions/0",
            "/wake",
            "/wake/agenda/0",
            "/subtasks/0",
            "/subtasks/0/policy",
            "/source_watches/0",
        ],
    );
}

#[test]
fn commands_about_outputs_take_their_fields_and_no_others() {
    takes::<CreateTaskOutput>(
        &json!({"idempotency_key": "k", "task_id": TASK, "id": TASK, "name": "n", "output_type": "o", "title": "t",
                "summary": "s", "uri": "u", "data": {"a": 1}, "metadata": {"b": 2}, "status": "pending"}),
        &[""],
    );
    takes::<AppendTaskOutputRows>(
        &json!({"idempotency_key": "k", "task_id": TASK, "output_id": TASK, "rows": [1]}),
        &[""],
    );
    takes::<FinalizeTaskOutput>(
        &json!({"idempotency_key": "k", "task_id": TASK, "output_id": TASK, "summary": "s"}),
        &[""],
    );
    takes::<ArchiveOutput>(&json!({"idempotency_key": "k", "output_id": TASK}), &[""]);
    takes::<ArchiveAllOutputs>(
        &json!({"idempotency_key": "k", "task_id": TASK, "agent_id": "demo", "output_type": "o", "status": "active",
                "created_before": "2026-01-01T00:00:00Z"}),
        &[""],
    );
}

#[test]
fn null_clears_what_an_update_can_clear_and_absence_leaves_it() {
    let cleared = json!({"task_id": TASK, "budget_usd": null, "label": null, "deadline": null});
    assert!(reads::<UpdateTask>(&cleared));
    let cleared: UpdateTask = serde_json::from_value(cleared).unwrap();
    assert_eq!(
        (cleared.budget_usd, cleared.label, cleared.deadline),
        (Change::Clear, Change::Clear, Change::Clear)
    );
    let left: UpdateTask = serde_json::from_value(json!({ "task_id": TASK })).unwrap();
    assert_eq!((left.budget_usd, left.label, left.deadline), (Change::Keep, Change::Keep, Change::Keep));
}

#[test]
fn optional_fields_may_be_absent_or_null() {
    let least = json!({"message": "m", "agent_id": "demo"});
    assert!(reads::<AcceptAgentCommand>(&least));
    assert!(reads::<AcceptAgentCommand>(
        &json!({"message": "m", "agent_id": "demo", "policy": null, "label": null})
    ));
    assert!(reads::<CancelTask>(&json!({ "task_id": TASK })));
    assert!(reads::<FinishAttempt>(&under_lease(json!({"outcome": "ok", "usage": null, "blocker": null}))));
    assert!(reads::<LeaseAttempts>(&json!({ "worker_id": TASK })));
}

#[test]
fn wrong_types_are_refused() {
    assert!(!reads::<AcceptAgentCommand>(&json!({"message": 1, "agent_id": "demo"})));
    assert!(!reads::<AcceptAgentCommand>(
        &json!({"message": "m", "agent_id": "demo", "policy": {"retry": 3}})
    ));
    assert!(!reads::<SubmitTaskInput>(&json!({"message": "m", "answers": []})));
    assert!(!reads::<RenewLeases>(&json!({"worker_id": TASK, "renewals": [{"attempt_id": 7, "epoch": 1}]})));
    assert!(!reads::<FinishAttempt>(&under_lease(json!({"outcome": "well"}))));
    assert!(!reads::<FinishAttempt>(&under_lease(json!({"outcome": "lost"}))), "only the engine says so");
    assert!(!reads::<RecordUsage>(&under_lease(json!({"usage": {"input_tokens": -1}}))));
}

#[test]
fn what_a_command_needs_is_required() {
    assert_eq!(schema("accept-agent-command")["required"], json!(["message", "agent_id"]));
    assert_eq!(schema("create-agent")["required"], json!(["agent_key", "name"]));
    assert_eq!(schema("cancel-task")["required"], json!(["task_id"]));
    assert!(!reads::<CancelTask>(&json!({})));
}

#[test]
fn a_call_takes_the_conditions_of_its_kind() {
    let takes = |name: &str, field: &str| schema(name)["properties"].get(field).is_some();
    assert!(takes("cancel-task", "idempotency_key") && !takes("cancel-task", "lease_epoch"));
    assert!(takes("claim-input", "idempotency_key") && !takes("lease-attempts", "idempotency_key"));
    assert!(takes("cancel-task", "expected_version") && takes("cancel-task", "command_id"));
    assert!(takes("claim-input", "command_id") && !takes("claim-input", "expected_version"));
    for name in ["accept-agent-command", "publish-source-event", "archive-all-outputs"] {
        assert!(takes(name, "idempotency_key") && takes(name, "command_id"), "{name}");
        assert!(!takes(name, "expected_version"), "{name} changes no single entity");
    }
    assert_eq!(schema("claim-input")["required"], json!(["attempt_id", "lease_epoch"]));
    assert!(!reads::<RecordUsage>(&json!({"usage": {}})), "without a lease");
}

#[test]
fn every_command_and_answer_has_its_schema() {
    let generated = generate();
    for NamedSchema { name, .. } in body_schemas() {
        let path = format!("commands/{name}.v1.schema.json");
        assert!(generated.contains_key(std::path::Path::new(&path)), "{path}");
    }
    for NamedSchema { name, .. } in ANSWERS {
        let path = format!("worker/{name}.v1.schema.json");
        assert!(generated.contains_key(std::path::Path::new(&path)), "{path}");
    }
    assert_eq!(generated.keys().filter(|path| path.starts_with("commands")).count(), body_schemas().count());
}

#[test]
fn an_answer_of_a_newer_server_is_still_read() {
    let answer = RenewAnswer {
        attempt_id: format!("dev.{TASK}.3").parse().unwrap(),
        status: RenewStatus::Cancel,
        reason: Some("cancelled".into()),
        inputs_pending: 2,
        waiting: true,
        steer: false,
    };
    let mut written = serde_json::to_value(&answer).unwrap();
    assert_eq!(written["status"], "cancel");
    written["of_a_later_server"] = json!({});
    assert_eq!(serde_json::from_value::<RenewAnswer>(written).unwrap(), answer);
}

#[test]
fn a_leased_attempt_matches_its_schema_and_reads_back() {
    let attempt = json!({
        "attempt_id": format!("dev.{TASK}.3"), "epoch": 3, "lease_ms": 30000, "workspace": "dev", "task_id": TASK,
        "run_id": TASK, "run_no": 1, "attempt_no": 2, "agent_id": TASK, "agent_key": "demo", "agent_name": "Demo",
        "agent_config_version": 1, "agent_config": {"runner": "process"}, "prompt": "p", "cause": "input", "session_id": "s", "policy": {},
        "timeout_ms": 600_000,
    });
    let schema = ANSWERS.iter().find(|answer| answer.name == "leased-attempt").unwrap().schema();
    let schema = jsonschema::draft202012::new(&schema).unwrap();
    assert!(!schema.is_valid(&attempt), "an answer shows fields with a default too");
    let read: LeasedAttempt = serde_json::from_value(attempt).unwrap();
    let mut written = serde_json::to_value(&read).unwrap();
    assert!(schema.is_valid(&written));
    assert_eq!(serde_json::from_value::<LeasedAttempt>(written.clone()).unwrap(), read);
    written["cause"] = json!("a_cause_of_a_later_server");
    assert_eq!(serde_json::from_value::<LeasedAttempt>(written).unwrap(), read, "it reads as an input");
}

#[test]
fn an_input_of_a_kind_of_a_later_server_reads_as_free_text() {
    let input = json!({"input_id": TASK, "seq": 1, "kind": "of_a_later_server", "message": "m"});
    assert_eq!(serde_json::from_value::<ClaimedInput>(input).unwrap().kind, InputKind::FreeText);
}

#[test]
fn a_decision_of_a_later_server_is_no_permission() {
    for answer in [json!({"decision": "perhaps", "reason": "?"}), json!({})] {
        let read: ToolDecision = serde_json::from_value(answer).unwrap();
        assert_eq!(read.decision, Decision::Rejected);
    }
    let kept: ToolDecision = serde_json::from_value(json!({"decision": "deferred"})).unwrap();
    assert!(kept.decision.is_kept());
}
