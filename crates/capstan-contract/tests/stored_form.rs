//! Stored events leave out what their commit says, and read back with it.
#![expect(clippy::unwrap_used, reason = "functions the tests share fail the test")]

use std::fs;
use std::path::Path;

use capstan_contract::schema_files::sample_path;
use capstan_contract::{AgentCodec, CATALOGUE, DomainEvent, TaskCodec, decode_commit, whole_records};
use capstan_domain::class_key::execution_class_key;
use capstan_domain::id::{AgentId, AttemptId, BlockerId, InputId, OutputId, RunId, TaskId};
use capstan_domain::implied::{self, Implied};
use capstan_domain::task::Event;
use capstan_domain::task::event::TaskAccepted;
use capstan_envelope::{
    Actor, Codec as _, CodecError, Commit, CommitHash, CommitId, EventRecord, Idempotency, Metadata,
    Position, StreamId,
};
use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

fn sample(event: &capstan_contract::EventName) -> EventRecord {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas");
    let text = fs::read_to_string(folder.join(sample_path(event, event.version()))).unwrap();
    let data = RawValue::from_string(text.trim_end().to_owned()).unwrap();
    EventRecord { name: event.name.to_owned(), version: event.version(), data }
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_800_000_000_123).unwrap()
}

fn task() -> TaskId {
    TaskId(Uuid::from_u128(0x17))
}

fn commit(actor: Actor, events: &[Event]) -> Commit {
    let stream: StreamId = format!("dev/task/{}", task()).parse().unwrap();
    let mut commit = Commit {
        commit_id: CommitId(Uuid::from_u128(1)),
        stream,
        version: 1,
        previous: Position::START,
        previous_hash: CommitHash::NONE,
        metadata: Metadata::new("accept-agent-command", actor, Uuid::from_u128(1), now()),
        events: Vec::new(),
    };
    commit.events = TaskCodec::encode(events, commit.facts()).unwrap();
    commit
}

fn data(commit: &Commit) -> Vec<Value> {
    commit.events.iter().map(|record| serde_json::from_str(record.data.get()).unwrap()).collect()
}

/// The sample of an event of the task, as if decided by this commit.
fn event(name: &str, changes: &Value) -> Event {
    let entry = CATALOGUE.iter().find(|entry| entry.name == name).unwrap();
    let mut whole: Value = serde_json::from_str(sample(entry).data.get()).unwrap();
    for (field, value) in changes.as_object().unwrap() {
        whole[field] = value.clone();
    }
    let data = serde_json::value::to_raw_value(&whole).unwrap();
    match DomainEvent::decode("task", &EventRecord { data, ..sample(entry) }).unwrap() {
        DomainEvent::Task(event) => event,
        other => panic!("{other:?} is no event of a task"),
    }
}

fn accepted(changes: &Value) -> Event {
    event("task-accepted", changes)
}

#[test]
fn every_sample_reads_back_from_its_stored_form_in_any_commit() {
    let elsewhere = Implied {
        workspace: "w".into(),
        entity: Some(Uuid::from_u128(5)),
        at: now(),
        client: Some("ann".into()),
        command: "c".into(),
        key: Some("k".into()),
    };
    let system = Implied { entity: None, client: None, key: None, ..elsewhere.clone() };
    for entry in CATALOGUE {
        let whole = DomainEvent::decode(entry.category, &sample(entry)).unwrap();
        for context in [&elsewhere, &system] {
            let stored = implied::within(context.clone(), || whole.encode()).unwrap();
            let read = implied::within(context.clone(), || DomainEvent::decode(entry.category, &stored));
            assert_eq!(read.unwrap(), whole, "{} stored as {}", entry.name, stored.data);
        }
    }
}

#[test]
fn an_acceptance_stores_nothing_that_its_commit_or_its_own_message_says() {
    let own = json!({
        "task_id": task(), "workspace": "dev", "session_id": task(), "accepted_by": "ann", "accepted_at": now(),
        "schedule_id": null, "occasion": null, "message": "Say \"é\".", "priority": "normal", "timeout_ms": 600_000,
        "policy": json!({ "ask": "always" }),
    });
    let run = json!({ "run_id": RunId::for_task(task(), 1), "run_no": 1, "cause": "accepted", "opening": "message", "queued_at": now() });
    let events = [accepted(&own), event("run-requested", &run)];
    let commit = commit(Actor::Client { name: "ann".into() }, &events);
    let [accepted, requested] = &data(&commit)[..] else { panic!("two events") };
    for field in
        ["task_id", "workspace", "session_id", "accepted_by", "accepted_at", "priority", "timeout_ms"]
    {
        assert_eq!(accepted.get(field), None, "{field} is stored");
    }
    assert_eq!(accepted["policy"], json!({ "base": 1, "ask": "always" }));
    for field in ["opening", "queued_at", "run_id"] {
        assert_eq!(requested.get(field), None, "{field} is stored");
    }
    assert_eq!(requested["run_no"], 1);

    let bytes = commit.to_bytes().unwrap();
    let read = Commit::from_bytes(commit.stream.clone(), 0, &bytes).unwrap();
    assert_eq!(TaskCodec::decode(&read).unwrap(), events);
    assert_eq!(decode_commit(&read).unwrap(), events.clone().map(DomainEvent::Task));
    let whole = whole_records(&read);
    let shown: Value = serde_json::from_str(whole[0].data.get()).unwrap();
    assert_eq!((&shown["workspace"], &shown["policy"]["ask"]), (&json!("dev"), &json!("always")));
    assert_eq!(shown["policy"]["retry"]["max_attempts"], 2);
}

#[test]
fn the_policy_of_a_subtask_holds_what_differs_from_the_frozen_default_too() {
    let subtask = json!({
        "task_id": TaskId(Uuid::from_u128(9)), "index": 0, "prompt": "p", "policy": { "ask": "always" },
    });
    let spawned = event("subtasks-spawned", &json!({ "subtasks": [subtask] }));
    let commit = commit(Actor::Engine, std::slice::from_ref(&spawned));
    assert_eq!(data(&commit)[0]["subtasks"][0]["policy"], json!({ "base": 1, "ask": "always" }));
    assert_eq!(TaskCodec::decode(&commit).unwrap(), [spawned]);
}

/// As an event of an unknown version: it is no damage, and nothing after it may be applied.
#[test]
fn an_unknown_version_of_a_default_needs_a_newer_build_and_any_other_is_malformed() {
    let own = json!({ "policy": json!({ "ask": "always" }) });
    let read = |base: &Value| {
        let mut commit = commit(Actor::Engine, &[accepted(&own)]);
        let mut stored = data(&commit).remove(0);
        stored["policy"]["base"] = base.clone();
        commit.events[0].data = serde_json::value::to_raw_value(&stored).unwrap();
        let error = TaskCodec::decode(&commit).unwrap_err();
        assert_eq!(decode_commit(&commit).unwrap_err().to_string(), error.to_string());
        // Readers of the API get it as it is stored, as an event of an unknown version.
        assert_eq!(whole_records(&commit)[0].data.get(), commit.events[0].data.get());
        error
    };
    let newer = read(&json!(2));
    assert!(newer.needs_newer_build(), "{newer:?}");
    assert_eq!(
        newer.to_string(),
        "read event task-accepted version 1: version 2 of the default of policies is unknown to this build"
    );
    for damaged in [json!(0), json!(-1), json!("2"), json!(1.5)] {
        let error = read(&damaged);
        assert!(matches!(error, CodecError::Malformed { .. }), "{damaged}: {error:?}");
    }
}

#[test]
fn what_differs_from_the_commit_is_stored() {
    let others = json!({ "task_id": Uuid::from_u128(9), "workspace": "w", "accepted_by": "bob" });
    let commit = commit(Actor::Engine, &[accepted(&others)]);
    let stored = &data(&commit)[0];
    assert_eq!((&stored["workspace"], &stored["accepted_by"]), (&json!("w"), &json!("bob")));
    assert!(stored.get("task_id").is_some() && stored.get("accepted_at").is_some(), "{stored}");

    // Nobody asked for it, though a client caused the commit.
    let Event::TaskAccepted(whole) = accepted(&others) else { panic!("an acceptance") };
    let anonymous = Event::TaskAccepted(TaskAccepted { accepted_by: None, ..(*whole).clone() }.into());
    let commit = self::commit(Actor::Client { name: "ann".into() }, std::slice::from_ref(&anonymous));
    assert_eq!(data(&commit)[0]["accepted_by"], Value::Null);
    assert_eq!(TaskCodec::decode(&commit).unwrap(), [anonymous]);
}

/// serde asks first for the number of fields, and then writes them.
#[test]
fn an_input_with_the_id_of_an_earlier_one_does_not_follow_from_itself() {
    let said = |seq: u32, source: &str, input: InputId| {
        event("input-accepted", &json!({ "seq": seq, "source": source, "input_id": input }))
    };
    let report = InputId::of_report(task(), 2);
    let fired = event("watch-fired", &json!({ "input_id": InputId(Uuid::from_u128(9)) }));
    let events = [said(2, "tool_call", report), fired, said(3, "caller", report)];
    let commit = commit(Actor::Engine, &events);
    assert_eq!(TaskCodec::decode(&commit).unwrap(), events, "{:?}", data(&commit));
}

#[test]
fn runs_and_attempts_of_the_task_stand_as_numbers() {
    let attempt = |task| AttemptId { workspace: "dev".into(), task, epoch: 3 };
    let stored = |run: u32, attempt: &AttemptId| {
        let changes = json!({ "attempt_id": attempt, "run_id": RunId::for_task(task(), run) });
        let started = event("attempt-started", &changes);
        let commit = commit(Actor::Engine, std::slice::from_ref(&started));
        assert_eq!(TaskCodec::decode(&commit).unwrap(), [started]);
        data(&commit)[0].clone()
    };
    assert_eq!(stored(8, &attempt(task())), json!({ "attempt_id": 3, "run_id": 8 }));
    let (other, late) = (attempt(TaskId(Uuid::from_u128(9))), RunId::for_task(task(), 9));
    assert_eq!(stored(9, &other), json!({ "attempt_id": other, "run_id": late }));
}

#[test]
fn a_run_that_ends_as_its_attempt_did_does_not_repeat_its_error() {
    let ends = |run: &Value| {
        let attempt = json!({ "exit_code": 1, "error": "out of memory" });
        let events = [event("attempt-ended", &attempt), event("run-ended", run)];
        let commit = commit(Actor::Engine, &events);
        assert_eq!(TaskCodec::decode(&commit).unwrap(), events);
        data(&commit)[1].clone()
    };
    let same = ends(&json!({ "exit_code": 1, "error": "out of memory" }));
    assert_eq!((same.get("exit_code"), same.get("error"), same.get("run_id")), (None, None, None));
    let other = ends(&json!({ "exit_code": null, "error": "given up" }));
    assert_eq!((&other["exit_code"], &other["error"]), (&Value::Null, &json!("given up")));
}

/// One event may say what the next one leaves out, whichever they are.
#[test]
fn every_two_events_of_a_task_read_back_from_one_commit() {
    let tasks = || CATALOGUE.iter().filter(|entry| entry.category == "task");
    for first in tasks() {
        for second in tasks() {
            let events = [event(first.name, &json!({})), event(second.name, &json!({}))];
            let commit = commit(Actor::Client { name: "ann".into() }, &events);
            let read = TaskCodec::decode(&commit).unwrap();
            assert_eq!(read, events, "{} and {}: {:?}", first.name, second.name, commit.events);
        }
    }
}

#[test]
fn an_answer_stands_once() {
    let blocker = BlockerId::for_task(task(), 2);
    let (input, key) = (
        InputId::from_key(task(), "accept-agent-command", "k"),
        Idempotency { key: "k".into(), fingerprint: "f".into() },
    );
    let accepted = json!({
        "input_id": input, "seq": 40, "kind": "free_text", "message": "Yes.", "said": null, "action": null, "items": [],
        "blocker_id": blocker, "accepted_at": now(),
    });
    let resolution = json!({ "message": "Yes.", "by": "ann" });
    let closed =
        json!({ "blocker_id": blocker, "input_id": input, "resolution": resolution, "closed_at": now() });
    let run = json!({
        "run_id": RunId::for_task(task(), 12), "run_no": 12, "cause": "input", "opening": "nothing", "note": null,
        "inputs": [40],
        "resumed_from_run_id": RunId::for_task(task(), 11), "queued_at": now(),
    });
    let events =
        [event("input-accepted", &accepted), event("blocker-closed", &closed), event("run-requested", &run)];
    let mut commit = commit(Actor::Client { name: "ann".into() }, &[]);
    commit.metadata.idempotency = Some(key);
    commit.events = TaskCodec::encode(&events, commit.facts()).unwrap();
    assert_eq!(TaskCodec::decode(&commit).unwrap(), events);
    let [accepted, closed, requested] = &data(&commit)[..] else { panic!("three events") };
    assert_eq!((accepted.get("input_id"), &accepted["blocker_id"]), (None, &json!(2)));
    assert_eq!(closed, &json!({ "status": "resolved", "resolution": {} }));
    for field in ["note", "opening", "inputs", "run_id", "resumed_from_run_id"] {
        assert_eq!(requested.get(field), None, "{field} is stored");
    }
}

#[test]
fn what_the_system_reports_has_the_id_of_its_number_and_a_run_names_its_inputs_by_theirs() {
    for source in ["tool_call", "subtasks", "deadline"] {
        let accepted = json!({
            "input_id": InputId::of_report(task(), 996), "seq": 996, "source": source, "kind": "free_text",
            "message": "Done.", "said": null, "action": null, "items": [], "blocker_id": null, "accepted_at": now(),
        });
        let many: Vec<_> = (3..=996).collect();
        let run = |inputs: &[u32]| {
            let run = RunId::for_task(task(), 12);
            event(
                "run-requested",
                &json!({ "run_id": run, "run_no": 12, "inputs": inputs, "queued_at": now() }),
            )
        };
        // The number of a caller's input says nothing about its id.
        let said = json!({ "seq": 1, "source": "caller" });
        let events = [
            event("input-accepted", &said),
            event("input-accepted", &accepted),
            run(&[996]),
            event("input-accepted", &said),
            run(&many),
        ];
        let commit = commit(Actor::Engine, &events);
        assert_eq!(TaskCodec::decode(&commit).unwrap(), events);
        let [caller, report, alone, _, together] = &data(&commit)[..] else { panic!("five events") };
        assert!(caller.get("input_id").is_some(), "{caller}");
        assert_eq!((report.get("input_id"), &report["seq"]), (None, &json!(996)));
        assert_eq!((alone.get("inputs"), &together["inputs"]), (None, &json!([[3, 996]])));
    }
}

/// The commit of a client's keyed command, which reads back as it is, and its events as stored.
fn keyed(key: &str, events: &[Event]) -> Vec<Value> {
    let mut commit = commit(Actor::Client { name: "ann".into() }, &[]);
    commit.metadata.idempotency = Some(Idempotency { key: key.into(), fingerprint: "f".into() });
    commit.events = TaskCodec::encode(events, commit.facts()).unwrap();
    assert_eq!(TaskCodec::decode(&commit).unwrap(), events);
    data(&commit)
}

#[test]
fn the_execution_class_of_a_task_follows_from_its_agent_lane_and_policy() {
    let agent = AgentId::from_key("dev", "researcher");
    for (lane, policy) in
        [(None, json!({})), (Some("night"), json!({ "ask": "always", "resources": { "cpu": 2 } }))]
    {
        let read = serde_json::from_value(policy.clone()).unwrap();
        let class = execution_class_key("dev", agent, lane, &read);
        let own = json!({ "agent_id": agent, "lane": lane, "policy": policy, "instance_key": class });
        let other =
            json!({ "agent_id": agent, "lane": lane, "policy": policy, "instance_key": "execclass_0" });
        // One after the other: what the first says is not taken for the second's.
        let stored = keyed("k", &[accepted(&other), accepted(&own), accepted(&other)]);
        let classes: Vec<_> = stored.iter().map(|accepted| accepted.get("instance_key")).collect();
        assert_eq!(classes, [Some(&json!("execclass_0")), None, Some(&json!("execclass_0"))]);
    }
}

#[test]
fn an_output_that_the_key_names_is_not_named_again() {
    let output = OutputId(Uuid::from_u128(0x0075));
    let appended = |id: OutputId| event("output-rows-appended", &json!({ "output_id": id }));
    let finalized = event("output-finalized", &json!({ "output_id": output }));
    let stored =
        keyed(&format!("12/{output}/m3"), &[appended(output), finalized, appended(OutputId(Uuid::nil()))]);
    let named: Vec<_> = stored.iter().map(|event| event.get("output_id").is_some()).collect();
    assert_eq!(named, [false, false, true]);
    let produced = |id: OutputId| event("output-produced", &json!({ "output_id": id }));
    let stored = keyed("12//m3", &[produced(OutputId::of_key(task(), "12//m3")), produced(output)]);
    let named: Vec<_> = stored.iter().map(|event| event.get("output_id").is_some()).collect();
    assert_eq!(named, [false, true]);
}

#[test]
fn of_a_usage_only_what_does_not_follow_is_stored() {
    let stored = |usage: &Value| {
        let events = [event("usage-recorded", &json!({ "usage": usage }))];
        keyed("k", &events)[0]["usage"].clone()
    };
    let model = json!({ "input_tokens": 18, "output_tokens": 1, "cost_usd": 0.5 });
    let sums = json!({ "input_tokens": 18, "output_tokens": 1, "total_tokens": 19, "cost_usd": 0.5 });
    let with = |usage: &Value, models: Value| {
        let mut usage = usage.clone();
        usage["models"] = models;
        usage
    };
    let models = json!({ "a": model });
    assert_eq!(stored(&with(&sums, models.clone())), json!({ "models": models }));
    assert_eq!(stored(&sums), json!({ "input_tokens": 18, "output_tokens": 1, "cost_usd": 0.5 }));
    // What a reporter stated is kept, whatever it adds up to; a zero, too.
    let stated = json!({ "input_tokens": 0, "output_tokens": 1, "total_tokens": 5, "cost_usd": 0.0 });
    let kept = with(&json!({ "input_tokens": 0, "total_tokens": 5, "cost_usd": 0.0 }), models.clone());
    assert_eq!(stored(&with(&stated, models)), kept);
    assert_eq!(
        stored(&json!({ "output_tokens": 1, "total_tokens": 5 })),
        json!({ "output_tokens": 1, "total_tokens": 5 })
    );
}

#[test]
fn an_agent_with_nothing_chosen_stores_no_defaults() {
    let stream: StreamId = "dev/agent/00000000-0000-0000-0000-000000000017".parse().unwrap();
    let created = capstan_domain::agent::Created {
        agent_id: AgentId(Uuid::from_u128(0x17)),
        ..capstan_domain::agent::Created::named("dev", "demo", "Demo", now())
    };
    let mut commit = commit(Actor::System, &[]);
    commit.stream = stream;
    let events = [capstan_domain::agent::Event::Created(created)];
    commit.events = AgentCodec::encode(&events, commit.facts()).unwrap();
    assert_eq!(AgentCodec::decode(&commit).unwrap(), events);
    let stored = data(&commit).remove(0);
    let fields: Vec<_> = stored.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, ["agent_key", "config", "name"]);
}

/// The texts of a commit of a worker and of the engine, each the longer for what differs between tasks.
#[test]
fn a_lease_takes_at_most_280_bytes_and_a_start_with_its_end_360() {
    let (attempt, run) =
        (AttemptId { workspace: "dev".into(), task: task(), epoch: 12 }, RunId::for_task(task(), 12));
    let worker = json!({
        "attempt_id": attempt, "run_id": run, "attempt_no": 1, "worker_id": Uuid::from_u128(3),
        "worker_name": "worker-1", "lease_ms": 30_000, "leased_at": now(),
    });
    let started = json!({ "attempt_id": attempt, "run_id": run });
    let ended = json!({
        "attempt_id": attempt, "run_id": run, "outcome": "ok", "exit_code": null, "error": null,
        "error_class": null, "ended_at": now(),
    });
    let over = json!({
        "run_id": run, "status": "ok", "exit_code": null, "error": null,
        "result": { "text": "All notes are there." }, "ended_at": now(),
    });
    let bytes = |actor, command: &str, key: Option<&str>, events: &[Event]| {
        let mut commit = commit(actor, events);
        commit.version = 37;
        commit.previous_hash = CommitHash::of("dev.task.1", b"the commit before");
        commit.metadata.command = command.to_owned();
        let fingerprint = "x".repeat(22);
        commit.metadata.idempotency = key.map(|key| Idempotency { key: key.to_owned(), fingerprint });
        if let Some(key) = key {
            commit.commit_id = CommitId::from_key(&commit.stream, command, key);
        }
        commit.metadata.correlation_id = commit.commit_id.0;
        // As the engine names a lease.
        let commit = if command == "lease-attempt" { commit.named_by_content() } else { commit };
        commit.to_bytes().unwrap().len()
    };
    let lease = bytes(Actor::Engine, "lease-attempt", None, &[event("attempt-leased", &worker)]);
    // The attempt's only report, which its start stands in front of.
    let ends = [
        event("attempt-started", &started),
        event("attempt-ended", &ended),
        event("run-ended", &over),
        event("task-done", &json!({ "at": now() })),
    ];
    let end = bytes(Actor::Worker, "finish-attempt", Some("12//m3"), &ends);
    assert!(lease <= 280 && end <= 360, "{lease}, {end}");
}

#[test]
fn a_number_outside_the_stream_of_its_task_is_malformed() {
    for changes in [json!({ "run_id": 1 }), json!({ "attempt_id": 1 })] {
        let entry = CATALOGUE.iter().find(|entry| entry.name == "attempt-started").unwrap();
        let mut whole: Value = serde_json::from_str(sample(entry).data.get()).unwrap();
        whole.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let data = serde_json::value::to_raw_value(&whole).unwrap();
        assert!(DomainEvent::decode("task", &EventRecord { data, ..sample(entry) }).is_err(), "{whole}");
    }
}
