//! What a commit tells an agent, a person or a parent, it says once: messages quote it, and later events repeat it.
#![expect(clippy::unwrap_used, reason = "functions the tests share fail the test")]

use capstan_contract::{DomainEvent, TaskCodec, decode_commit};
use capstan_decider::Decider as _;
use capstan_domain::agent::Created;
use capstan_domain::id::{AttemptId, InputId, OutputId, RunId, TaskId, WorkerId};
use capstan_domain::task::command::{
    Accept, AcceptAgentCommand, CheckToolCall, ChildEnded, DecidedItem, EndToolCall, FinishAttempt, Lease,
    NewOutputStatus, OpenBlocker, ProduceOutput, ReportedOutcome, StartAttempt, StartToolCall, SubmitInput,
    SubmitTaskInput, SubtaskSpec, ToolCheck, UpdateTask,
};
use capstan_domain::task::event::{
    Event, InputAccepted, InputKind, InputOutcome, InputSource, Join, QueueMode, ToolExecutionEnded,
    ToolExecutor, ToolOutcome,
};
use capstan_domain::task::transitions::TaskState;
use capstan_domain::task::{self, Command, TaskDecider};
use capstan_domain::workspace::settings::ApprovalPolicy;
use capstan_envelope::{
    Actor, Codec as _, Commit, CommitHash, CommitId, Idempotency, Metadata, Position, StreamId,
};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::value::to_raw_value;
use serde_json::{Map, Value, json};
use uuid::Uuid;

const TASK: TaskId = TaskId(Uuid::from_u128(7));
const WORKER: WorkerId = WorkerId(Uuid::from_u128(3));

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_800_000_000_123).unwrap()
}

fn attempt() -> AttemptId {
    AttemptId { workspace: "dev".into(), task: TASK, epoch: 1 }
}

fn commit(command: &str, key: Option<&str>) -> Commit {
    let stream: StreamId = format!("dev/task/{TASK}").parse().unwrap();
    let id = CommitId::from_key(&stream, command, key.unwrap_or("none"));
    let mut metadata = Metadata::new(command, Actor::Client { name: "ann".into() }, id.0, now());
    metadata.idempotency =
        key.map(|key| Idempotency { key: key.into(), fingerprint: "q83vEjRWeJCrze8SNFZ4kA".into() });
    Commit {
        commit_id: id,
        stream,
        version: 9,
        previous: Position::START,
        previous_hash: CommitHash::of("dev.task.1", b"the commit before"),
        metadata,
        events: Vec::new(),
    }
}

/// The commit as it is stored, which reads back as it is.
fn stored(mut commit: Commit, events: &[Event]) -> String {
    commit.events = TaskCodec::encode(events, commit.facts()).unwrap();
    let text = String::from_utf8(commit.to_bytes().unwrap()).unwrap();
    let read = Commit::from_bytes(commit.stream.clone(), 0, text.as_bytes()).unwrap();
    assert_eq!(TaskCodec::decode(&read).unwrap(), events, "{text}");
    text
}

/// A task, and the commit of the last command as it is stored.
struct Story {
    state: task::State,
    stored: String,
}

impl Story {
    fn running() -> Self {
        let command = AcceptAgentCommand { message: "go".into(), ..AcceptAgentCommand::default() };
        let accept = Accept::new(TASK, Created::named("dev", "demo", "Demo", now()), command);
        let lease = Lease {
            run_id: RunId::for_task(TASK, 1),
            worker_id: WORKER,
            worker_name: "w".into(),
            lease_ms: 30_000,
        };
        Self { state: None, stored: String::new() }
            .send("accept", None, Command::Accept(Box::new(accept)))
            .send("lease", None, Command::Lease(lease))
            .send("start", None, Command::Start(StartAttempt { attempt_id: attempt() }))
    }

    fn send(self, name: &str, key: Option<&str>, command: Command) -> Self {
        let events = TaskDecider::decide(&self.state, &command.at(now())).unwrap();
        let stored = stored(commit(name, key), &events);
        Self { state: capstan_decider::fold::<TaskDecider>(self.state, &events), stored }
    }

    fn says(&self, text: &str, times: usize) {
        assert_eq!(self.stored.matches(text).count(), times, "{text} in {}", self.stored);
    }

    fn takes_at_most(&self, bytes_max: usize) {
        assert!(self.stored.len() <= bytes_max, "{} bytes: {}", self.stored.len(), self.stored);
    }

    fn asked_for_a_call(self) -> Self {
        let check = ToolCheck {
            command: CheckToolCall::new("crm.write", json!({ "rows": 40 })),
            arguments_fingerprint: "f".into(),
            attempt_id: attempt(),
            approval_policy: ApprovalPolicy::Ask,
            is_disabled: false,
            is_listed: false,
            executor: Some(ToolExecutor::Worker),
        };
        self.send("check-tool-call", None, Command::CheckToolCall(Box::new(check)))
    }

    fn told(self, key: &str, input: SubmitTaskInput) -> Self {
        let input_id = InputId::from_key(TASK, "submit-task-input", key);
        let submit = Command::SubmitInput(SubmitInput::new(input_id, input));
        self.send("submit-task-input", Some(key), submit)
    }

    fn with_pending(self, number: u128, title: &str) -> Self {
        let command = Box::new(ProduceOutput {
            id: None,
            name: None,
            output_type: "text".into(),
            title: title.into(),
            summary: None,
            uri: None,
            data: Map::new(),
            metadata: json!({ "pending_action": "approval" }).as_object().cloned().unwrap(),
            status: Some(NewOutputStatus::Pending),
        });
        let output_id = OutputId(Uuid::from_u128(number));
        let fingerprint = "q83vEjRWeJCrze8SNFZ4kA".into();
        let produce = Command::ProduceOutput { command, fingerprint, output_id, attempt_id: Some(attempt()) };
        self.send("produce-output", None, produce)
    }

    fn asked(self, question: OpenBlocker) -> Self {
        let command = Box::new(question);
        self.send(
            "open-blocker",
            None,
            Command::OpenBlocker { command, attempt_id: attempt(), fitting: vec![] },
        )
    }
}

fn text(message: &str) -> SubmitTaskInput {
    SubmitTaskInput::from_text(TASK, message.to_owned())
}

#[test]
fn the_result_of_a_tool_stands_once() {
    let approve = SubmitTaskInput { action: Some("approve".into()), ..text("") };
    let approved = Story::running().asked_for_a_call().told("yes", approve);
    let call = *approved.state.as_ref().unwrap().tool_calls.keys().next().unwrap();
    let start = StartToolCall {
        tool_call_id: call,
        try_no: 1,
        worker_id: Some(WORKER),
        has_failed: false,
        until: now() + TimeDelta::seconds(60),
    };
    let end = EndToolCall {
        tool_call_id: call,
        try_no: 1,
        worker_id: Some(WORKER),
        outcome: ToolOutcome::Error,
        exit_code: Some(2),
        stdout: format!("\n{}\n", "3 of 40 rows \"written\".".repeat(100)),
        stderr: "the table is full".into(),
        error: Some("the tool ended with an error".into()),
    };
    let ended = approved.send("claim-tool-call", None, Command::StartToolCall(start)).send(
        "report-tool-call",
        Some(&format!("1/{call}/m7")),
        Command::EndToolCall(Box::new(end)),
    );
    ended.says("3 of 40 rows", 100);
    ended.says("the table is full", 1);
    ended.says("the tool ended with an error", 1);
    ended.says(&call.to_string(), 1);
    ended.takes_at_most(3_300);

    // A text that was erased moves no other.
    let written = serde_json::to_string(&format!("\n{}\n", "3 of 40 rows \"written\".".repeat(100))).unwrap();
    let erased = ended.stored.replacen(&written, "\"\"", 1);
    assert_ne!(erased, ended.stored);
    let stream: StreamId = format!("dev/task/{TASK}").parse().unwrap();
    let read = Commit::from_bytes(stream, 0, erased.as_bytes()).unwrap();
    let events = TaskCodec::decode(&read).unwrap();
    let told = events.iter().find_map(|event| match event {
        Event::InputAccepted(told) => Some(told.message.as_str()),
        _ => None,
    });
    let told = told.unwrap();
    assert!(told.contains("the table is full") && !told.contains("3 of 40 rows"), "{told}");
}

#[test]
fn what_a_caller_says_and_why_an_output_is_rejected_stands_once() {
    let asked = || {
        let question = OpenBlocker {
            kind: Some(task::command::AskedKind::Approval),
            summary: "Send both?".into(),
            ..OpenBlocker::default()
        };
        Story::running().with_pending(0x75, "Offer").with_pending(0x76, "Letter").asked(question)
    };
    // The details of a question are its summary where there are no others.
    asked().says("Send both?", 1);
    let item = |number: u128, reason: &str| DecidedItem {
        output_id: Uuid::from_u128(number).to_string(),
        action: "reject".into(),
        reason: Some(reason.into()),
    };
    let items =
        vec![item(0x75, "those are the prices of last year"), item(0x76, "there is no address in it")];
    let rejected = asked().told("no", SubmitTaskInput { items, ..text("See the list of March.") });
    for words in ["the prices of last year", "no address in it", "the list of March"] {
        rejected.says(words, 1);
    }
    rejected.says(&Uuid::from_u128(0x76).to_string(), 1);
    rejected.says("approve_reject", 0);
    rejected.takes_at_most(980);
    // A text that decides nothing rejects all of them.
    let revised = asked().told("no", text("Say both in two sentences."));
    revised.says("in two sentences", 1);
    revised.takes_at_most(1_000);
}

#[test]
fn a_wait_for_subtasks_and_their_results_stand_once() {
    let spec = |label: &str| SubtaskSpec {
        prompt: format!("Ask {label}."),
        label: Some(label.into()),
        ..SubtaskSpec::default()
    };
    let finish = |labels: &[&str]| {
        let command = Box::new(FinishAttempt {
            subtasks: labels.iter().map(|label| spec(label)).collect(),
            join: Some(Join::All),
            ..FinishAttempt::new(ReportedOutcome::Ok)
        });
        let finish = Command::Finish { command, attempt_id: attempt() };
        Story::running().send("finish-attempt", Some("1//m3"), finish)
    };
    let waiting = finish(&["Ann", "Bob"]);
    for index in [0, 1] {
        let subtask = TaskId::for_subtask(RunId::for_task(TASK, 1), index);
        waiting.says(&subtask.to_string(), 0);
    }
    let ended = |result: Value| {
        let ended = ChildEnded {
            task_id: TaskId::for_subtask(RunId::for_task(TASK, 1), 0),
            label: Some("Ann".into()),
            run_no: 1,
            state: TaskState::Done,
            result: Some(result),
            error: None,
            cost_usd: 0.0,
        };
        finish(&["Ann"]).send("end-subtask", None, Command::ChildEnded(Box::new(ended)))
    };
    for result in [json!("All offers are there."), json!({ "text": "All offers are there.", "number": 3 })] {
        ended(result).says("All offers are there.", 1);
    }
    ended(json!({ "text": "All offers are there.", "share": 0.1 })).says("All offers are there.", 1);
}

#[test]
fn a_change_of_a_label_says_nothing_of_the_labels() {
    let change = |body: Value| {
        let command = Box::new(serde_json::from_value::<UpdateTask>(body).unwrap());
        Command::Update { command, message_bytes_max: 1000 }
    };
    let labelled = change(json!({ "task_id": TASK, "label": "Report", "labels": { "team": "a" } }));
    let named = Story::running().send("update-task", None, labelled);
    let renamed = named.send("update-task", None, change(json!({ "task_id": TASK, "label": "Offers" })));
    renamed.says("team", 0);
    let moved =
        renamed.send("update-task", None, change(json!({ "task_id": TASK, "labels": { "team": "b" } })));
    moved.says("Offers", 0);
    let nameless = moved.send("update-task", None, change(json!({ "task_id": TASK, "label": null })));
    let accepted = &nameless.state.unwrap().accepted;
    assert_eq!((&accepted.label, accepted.labels.get("team").map(String::as_str)), (&None, Some("b")));
}

/// The end of a call, and the message about it.
fn told(stdout: &str, stderr: &str, message: &str) -> [Event; 2] {
    let ended = ToolExecutionEnded {
        tool_call_id: Uuid::from_u128(6).into(),
        outcome: ToolOutcome::Ok,
        exit_code: None,
        stdout: stdout.into(),
        stderr: stderr.into(),
        error: None,
        at: now(),
    };
    let accepted = InputAccepted {
        input_id: InputId::of_report(TASK, 9),
        seq: 9,
        kind: InputKind::FreeText,
        message: message.into(),
        said: None,
        action: None,
        items: Vec::new(),
        queue_mode: QueueMode::default(),
        source: InputSource::ToolCall,
        answers: Map::new(),
        blocker_id: None,
        outcome: InputOutcome::Resumed,
        accepted_at: now(),
    };
    [Event::ToolExecutionEnded(ended), Event::InputAccepted(accepted)]
}

/// Texts that overlap, hold one another, are blank or short, or stand in the message several times.
#[test]
fn whatever_a_message_quotes_it_reads_back_as_it_was() {
    let texts = [
        "",
        "short",
        "twelve bytes",
        "twelve bytes and more",
        "es and more twelve",
        "ééé ÄÄÄ \u{1f642}",
        "aaaaaaaaaaaaa",
    ];
    let shapes: [fn(&str, &str) -> String; 7] = [
        |one, two| format!("{one}{two}"),
        |one, two| format!("{two}{one}{two}"),
        |one, two| format!("Output:\n{one}\n\nMessages:\n{two}\n"),
        |one, _| one.to_owned(),
        |one, _| format!("{one}{one}a"),
        |one, two| format!("{}{two}", &one.get(1..).unwrap_or_default()),
        |_, _| String::new(),
    ];
    for (one, two) in texts.iter().flat_map(|one| texts.iter().map(move |two| (one, two))) {
        for shape in shapes {
            stored(commit("test", None), &told(&format!(" {one}\n"), two, &shape(one, two)));
        }
    }
    let pieces = |events: &[Event]| {
        let text: Value = serde_json::from_str(&stored(commit("test", None), events)).unwrap();
        text["events"][1]["input-accepted"]["message"].clone()
    };
    assert_eq!(pieces(&told("twelve bytes", "", "twelve bytes")), json!([0]));
    assert_eq!(
        pieces(&told(
            "twelve bytes",
            "twelve bytes and more",
            "It wrote: twelve bytes and more, twelve bytes."
        )),
        json!(["It wrote: ", 1, ", ", 0, "."])
    );
    assert_eq!(pieces(&told("short", "", "short")), json!("short"));
}

#[test]
fn a_number_that_names_no_text_before_it_is_malformed() {
    for message in [json!([0, 1]), json!(["a", -1]), json!([0, [0]]), json!({ "0": 1 }), json!(7)] {
        let mut commit = commit("test", None);
        let events = told("twelve bytes", "", "twelve bytes");
        commit.events = TaskCodec::encode(&events, commit.facts()).unwrap();
        let mut data: Value = serde_json::from_str(commit.events[1].data.get()).unwrap();
        data["message"] = message.clone();
        commit.events[1].data = to_raw_value(&data).unwrap();
        assert!(TaskCodec::decode(&commit).is_err(), "{message}");
        // Nor does it name one outside of a commit.
        assert!(DomainEvent::decode("task", &commit.events[1]).is_err(), "{message}");
    }
    // A text that is told again and again has a bound.
    let mut commit = commit("test", None);
    commit.events = TaskCodec::encode(&told(&"x".repeat(1 << 20), "", "m"), commit.facts()).unwrap();
    let mut data: Value = serde_json::from_str(commit.events[1].data.get()).unwrap();
    data["message"] = json!(vec![0; 17]);
    commit.events[1].data = to_raw_value(&data).unwrap();
    assert!(decode_commit(&commit).is_err());
}
