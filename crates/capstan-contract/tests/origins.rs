//! What a schedule, a parent, a source event and a channel bring about names them once.
#![expect(clippy::unwrap_used, reason = "functions the tests share fail the test")]

use capstan_contract::{ChannelCodec, TaskCodec};
use capstan_decider::Decider as _;
use capstan_domain::agent::{AgentForTask, Created};
use capstan_domain::channel::{self, Channel, UpsertChannelBinding};
use capstan_domain::id::TaskId;
use capstan_domain::schedule::command::{CreateSchedule, NewSchedule, Tick};
use capstan_domain::schedule::{self, ScheduleDecider, firing};
use capstan_domain::task::command::{
    Accept, CheckToolCall, FinishAttempt, FireWatch, Lease, ReportedOutcome, SubmitInput, SubmitTaskInput,
    SubtaskSpec, ToolCheck,
};
use capstan_domain::task::event::{Event, SourceWatch};
use capstan_domain::task::{self, Command, TaskDecider, subtasks};
use capstan_domain::workspace::settings::ApprovalPolicy;
use capstan_domain::{Requested, id};
use capstan_envelope::{Actor, Codec, Commit, CommitHash, CommitId, Metadata, Position, StreamId};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

const PROMPT: &str =
    "Write the report of the week, with everything that was done, what it cost and what is left to do";

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_800_000_000_123).unwrap()
}

fn agent() -> AgentForTask {
    Created::named("dev", "demo", "Demo", now()).into()
}

/// The commit of these events, which reads back as it is, and its events as stored.
fn commit<C: Codec>(stream: &str, command: &str, actor: Actor, events: &[C::Event]) -> (usize, Vec<Value>)
where
    C::Event: PartialEq + std::fmt::Debug,
{
    let stream: StreamId = stream.parse().unwrap();
    let mut commit = Commit {
        commit_id: CommitId(Uuid::from_u128(1)),
        stream,
        version: 1,
        previous: Position::START,
        previous_hash: CommitHash::NONE,
        metadata: Metadata::new(command, actor, Uuid::from_u128(1), now()),
        events: Vec::new(),
    };
    commit.events = C::encode(events, commit.facts()).unwrap();
    let bytes = commit.to_bytes().unwrap();
    let read = Commit::from_bytes(commit.stream.clone(), 0, &bytes).unwrap();
    assert_eq!(C::decode(&read).unwrap(), events);
    let data = commit.events.iter().map(|event| serde_json::from_str(event.data.get()).unwrap());
    (bytes.len(), data.collect())
}

fn fold(events: &[Event]) -> task::State {
    capstan_decider::fold::<TaskDecider>(None, events)
}

fn schedule() -> (schedule::State, Box<schedule::Schedule>) {
    let create =
        CreateSchedule { cron_expr: "0 9 * * 1".into(), prompt: PROMPT.into(), ..CreateSchedule::default() };
    let new = NewSchedule {
        schedule_id: id::ScheduleId(Uuid::from_u128(0x5c)),
        workspace: "dev".into(),
        agent: Created::named("dev", "demo", "Demo", now()),
        prompt_bytes_max: 10_000,
    };
    let command = schedule::Command::Create(Box::new(create), Box::new(new));
    let events = ScheduleDecider::decide(&None, &Requested::new(command, now())).unwrap();
    let state = capstan_decider::fold::<ScheduleDecider>(None, &events);
    (state.clone(), state.unwrap())
}

/// The acceptance that follows from these events of the schedule, in a commit of the engine.
fn scheduled(command: schedule::Command, at: DateTime<Utc>) -> (usize, Value, Vec<Event>) {
    let (state, known) = schedule();
    let events = ScheduleDecider::decide(&state, &Requested::new(command, at)).unwrap();
    let accept = firing::accept_of(&known, &events, &agent()).unwrap();
    let stream = format!("dev/task/{}", accept.task_id);
    let accepted = TaskDecider::decide(&None, &Command::Accept(Box::new(accept)).at(now())).unwrap();
    let (bytes, mut data) = commit::<TaskCodec>(&stream, "tick-schedule", Actor::Engine, &accepted);
    (bytes, data.remove(0), accepted)
}

#[test]
fn a_scheduled_task_names_its_schedule_and_its_occasion_once() {
    let (_, known) = schedule();
    let tick = known.next.unwrap().tick;
    let ticks = schedule::Command::Tick(Tick { tick, obstacle: None, open_task_ids: Vec::new() });
    let (bytes, accepted, events) = scheduled(ticks, tick);
    let id = known.schedule_id.to_string();
    assert_eq!(
        (&accepted["schedule_id"], &accepted["occasion"]),
        (&json!(id), &json!(tick.timestamp().to_string()))
    );
    let text = accepted.to_string();
    assert_eq!((text.matches(&id).count(), text.matches("Write the report").count()), (1, 1), "{text}");
    for field in ["session_id", "lane", "label", "spawned_by", "input_provenance"] {
        assert_eq!(accepted.get(field), None, "{field} is stored");
    }
    let Event::TaskAccepted(whole) = &events[0] else { panic!("an acceptance") };
    assert!(whole.session_id.contains(&id) && whole.label.as_ref().unwrap().contains("Write the report"));
    // 978 bytes when every field named them.
    assert!(bytes <= 560, "{bytes}: {text}");
}

#[test]
fn a_triggered_task_is_its_own_occasion() {
    let task = TaskId(Uuid::from_u128(0x17));
    let (_, accepted, events) = scheduled(schedule::Command::Trigger { task_id: task }, now());
    assert_eq!(accepted.get("occasion"), None);
    assert!(!accepted.to_string().contains(&task.to_string()), "{accepted}");
    let Event::TaskAccepted(whole) = &events[0] else { panic!("an acceptance") };
    assert_eq!(whole.occasion.as_deref(), Some(format!("trigger-{task}").as_str()));
    assert!(whole.session_id.ends_with(&format!("trigger-{task}")));
}

/// A task that runs, with its events so far.
fn running() -> (task::State, id::AttemptId) {
    let accept = Accept::new(
        TaskId(Uuid::from_u128(7)),
        agent(),
        task::command::AcceptAgentCommand { message: PROMPT.into(), ..Default::default() },
    );
    let mut state = None;
    let mut send = |command: Command| {
        let events = TaskDecider::decide(&state, &command.at(now())).unwrap();
        state = capstan_decider::fold::<TaskDecider>(state.take(), &events);
    };
    send(Command::Accept(Box::new(accept)));
    let attempt_id = id::AttemptId { workspace: "dev".into(), task: TaskId(Uuid::from_u128(7)), epoch: 1 };
    let run_id = id::RunId::for_task(attempt_id.task, 1);
    let (worker_id, worker_name) = (id::WorkerId(Uuid::from_u128(3)), "w".into());
    send(Command::Lease(Lease { run_id, worker_id, worker_name, lease_ms: 30_000 }));
    (state, attempt_id)
}

fn finish(change: impl FnOnce(&mut FinishAttempt)) -> (task::State, Vec<Event>) {
    let (state, attempt_id) = running();
    let mut command = Box::new(FinishAttempt::new(ReportedOutcome::Ok));
    change(&mut command);
    let events = TaskDecider::decide(&state, &Command::Finish { command, attempt_id }.at(now())).unwrap();
    (capstan_decider::fold::<TaskDecider>(state, &events), events)
}

#[test]
fn a_subtask_follows_from_its_run_and_its_parent() {
    let asked = |prompt: &str| SubtaskSpec { prompt: prompt.into(), ..SubtaskSpec::default() };
    let (parent, events) = finish(|finish| finish.subtasks = vec![asked("Ask Ann."), asked("Ask Bob.")]);
    let parent = parent.unwrap();
    let (_, data) =
        commit::<TaskCodec>(&format!("dev/task/{}", parent.id()), "finish-attempt", Actor::Worker, &events);
    let spawned = data.iter().find(|event| event.get("subtasks").is_some()).unwrap();
    assert_eq!(spawned["subtasks"], json!([{ "prompt": "Ask Ann." }, { "prompt": "Ask Bob." }]));

    let subtask = parent.open_subtasks().next().unwrap();
    let accept = subtasks::acceptance(&parent, subtask);
    let stream = format!("dev/task/{}", accept.task_id);
    let born = TaskDecider::decide(&None, &Command::Accept(Box::new(accept)).at(now())).unwrap();
    let (_, data) = commit::<TaskCodec>(&stream, "make-subtask", Actor::Engine, &born);
    assert_eq!(data[0]["parent_task_id"], json!(parent.id()));
    for field in ["root_task_id", "depth", "lane", "spawned_by"] {
        assert_eq!(data[0].get(field), None, "{field} is stored: {}", data[0]);
    }
    assert_eq!(fold(&born).unwrap().accepted.depth, 1);
}

#[test]
fn a_source_event_is_named_by_its_fingerprint_alone() {
    let watch = SourceWatch {
        integration: "gmail".into(),
        reason: None,
        query: None,
        thread_id: Some("t-1".into()),
        message_id: None,
        entity_key: None,
        entity_label: None,
        source_output_id: None,
        event_types: Vec::new(),
    };
    let (state, _) = finish(|finish| finish.source_watches = Some(vec![watch]));
    let command = FireWatch {
        integration: "gmail".into(),
        correlation_keys: vec!["t-1".into()],
        items: vec![json!("Yes.")],
        event_type: None,
    };
    let fired = Command::FireWatch { command, fingerprint: "x".repeat(22) }.at(now());
    let events = TaskDecider::decide(&state, &fired).unwrap();
    let stream = format!("dev/task/{}", state.unwrap().id());
    let actor = Actor::Client { name: "ann".into() };
    let (_, data) = commit::<TaskCodec>(&stream, "publish-source-event", actor, &events);
    assert_eq!(data[0].get("input_id"), None, "{}", data[0]);
    assert_eq!(data[1].get("input_id"), None, "{}", data[1]);
}

#[test]
fn a_deferred_call_and_its_rejection_say_each_text_once() {
    let (state, attempt_id) = running();
    let called = CheckToolCall::new("crm.update", json!({ "id": 1, "note": "Call \"Ann\" back." }));
    let check = ToolCheck {
        command: called,
        arguments_fingerprint: "f".into(),
        attempt_id,
        approval_policy: ApprovalPolicy::Ask,
        is_disabled: false,
        is_listed: false,
        executor: None,
    };
    let kept = TaskDecider::decide(&state, &Command::CheckToolCall(Box::new(check)).at(now())).unwrap();
    let state = capstan_decider::fold::<TaskDecider>(state, &kept);
    let task_id = state.as_ref().unwrap().id();
    let stream = format!("dev/task/{task_id}");
    let (_, data) = commit::<TaskCodec>(&stream, "check-tool-call", Actor::Worker, &kept);
    let text = Value::from(data).to_string();
    assert_eq!(text.matches("back.").count(), 1, "{text}");

    let words = "Ask her first:\n\nis it still wanted? \u{e9}";
    let reject = SubmitTaskInput {
        action: Some("reject".into()),
        ..SubmitTaskInput::from_text(task_id, words.to_owned())
    };
    let input_id = id::InputId::from_key(task_id, "test", "k");
    let reject = Command::SubmitInput(SubmitInput::new(input_id, reject)).at(now());
    let rejected = TaskDecider::decide(&state, &reject).unwrap();
    let (_, data) =
        commit::<TaskCodec>(&stream, "submit-task-input", Actor::Client { name: "ann".into() }, &rejected);
    assert_eq!((&data[0]["said"], &data[0]["message"][1]), (&json!(words), &json!(0)));
    let text = Value::from(data).to_string();
    assert_eq!(text.matches("still wanted").count(), 1, "{text}");
}

#[test]
fn a_binding_follows_from_workspace_and_channel() {
    let address = channel::Address::new("slack", "C1").unwrap();
    let binding = UpsertChannelBinding {
        channel_type: "slack".into(),
        address: "C1".into(),
        ..UpsertChannelBinding::default()
    };
    let upsert = |active| channel::Command::Upsert {
        workspace: "dev".into(),
        agent_id: None,
        binding: Box::new(UpsertChannelBinding { active: Some(active), ..binding.clone() }),
    };
    let stream = format!("_channels/channel/{}", address.channel_id());
    let mut state = channel::State::default();
    for command in [upsert(true), upsert(false), channel::Command::Delete { workspace: "dev".into() }] {
        let events = Channel::decide(&state, &Requested::new(command, now())).unwrap();
        let (_, data) = commit::<ChannelCodec>(&stream, "c", Actor::System, &events);
        assert_eq!((data[0].get("binding_id"), &data[0]["workspace"]), (None, &json!("dev")));
        state = capstan_decider::fold::<Channel>(state, &events);
    }
}
