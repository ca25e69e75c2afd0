//! Commits of events with values drawn by chance from few, so that they often repeat each other, read back as they were.
#![expect(clippy::unwrap_used, reason = "functions the tests share fail the test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use capstan_contract::schema_files::sample_path;
use capstan_contract::{CATALOGUE, DomainEvent, EventName};
use capstan_domain::id::{
    AgentId, AttemptId, BindingId, BlockerId, InputId, OutputId, RunId, TaskId, ToolCallId,
};
use capstan_domain::implied::{self, Implied};
use capstan_envelope::EventRecord;
use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

/// Commits that are drawn of every two kinds of events.
const COMMITS: u64 = 4;

/// Numbers by chance that are the same in every run (`SplitMix64`).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_800_000_000_123).unwrap()
}

fn task() -> TaskId {
    TaskId(Uuid::from_u128(0x17))
}

fn key() -> String {
    format!("12/{}/m3", OutputId(Uuid::from_u128(0x75)))
}

/// The sample of an event, whole.
fn sample(event: &EventName) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas");
    serde_json::from_str(&fs::read_to_string(folder.join(sample_path(event, event.version()))).unwrap())
        .unwrap()
}

fn read(event: &EventName, whole: &Value) -> Option<DomainEvent> {
    let data = RawValue::from_string(whole.to_string()).unwrap();
    let record = EventRecord { name: event.name.to_owned(), version: event.version(), data };
    DomainEvent::decode(event.category, &record).ok()
}

/// The values that a field of this name has in any sample.
fn harvest(value: &Value, into: &mut BTreeMap<String, Vec<Value>>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                into.entry(name.clone()).or_default().push(value.clone());
                harvest(value, into);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| harvest(item, into)),
        _ => {}
    }
}

/// The words of the choices below a schema.
fn words(schema: &Value, into: &mut Vec<Value>) {
    match schema {
        Value::Object(object) => {
            into.extend(object.get("const").filter(|word| word.is_string()).cloned());
            into.extend(object.get("enum").and_then(Value::as_array).into_iter().flatten().cloned());
            object.values().for_each(|inner| words(inner, into));
        }
        Value::Array(items) => items.iter().for_each(|inner| words(inner, into)),
        _ => {}
    }
}

/// Values of a field of this name that follow from the commit or from each other; few, so that they meet.
fn related(name: &str) -> Vec<Value> {
    let numbers = || [1, 2, 3, 12].into_iter();
    let run = |number| RunId::for_task(task(), number);
    let blocker = |number| BlockerId::for_task(task(), number);
    match name {
        "task_id" | "root_task_id" | "parent_task_id" => {
            let subtasks = numbers().map(|number| json!(TaskId::for_subtask(run(number), number - 1)));
            subtasks.chain([json!(task()), json!(TaskId::for_subtask(run(1), 1))]).collect()
        }
        "run_id" | "resumed_from_run_id" => numbers().map(|number| json!(run(number))).collect(),
        "attempt_id" => {
            let of = |workspace: &str, number: u32| {
                json!(AttemptId { workspace: workspace.into(), task: task(), epoch: number.into() })
            };
            numbers().map(|number| of("dev", number)).chain([of("w", 1)]).collect()
        }
        "blocker_id" | "superseded_by" => numbers().map(|number| json!(blocker(number))).collect(),
        "tool_call_id" => [1, 2].map(|number| json!(ToolCallId::for_blocker(blocker(number)))).into(),
        "input_id" => {
            let reports = [1, 2].map(|number| json!(InputId::of_report(task(), number)));
            let others = [InputId::from_key(task(), "test", &key()), InputId::of_batch(task(), "x")];
            reports.into_iter().chain(others.map(|id| json!(id))).collect()
        }
        "output_id" => vec![json!(OutputId(Uuid::from_u128(0x75))), json!(OutputId::of_key(task(), &key()))],
        "agent_id" => vec![json!(task()), json!(AgentId::from_key("dev", "demo"))],
        "agent_key" => vec![json!("demo"), json!("x")],
        "binding_id" => vec![json!(BindingId::for_channel("dev", task().0.into()))],
        "session_id" => vec![json!(task())],
        "workspace" => vec![json!("dev"), json!("x")],
        "accepted_by" | "by" | "resolved_by" => vec![json!("ann"), json!("x")],
        "message" => vec![
            json!("no x"),
            json!("x"),
            json!("is what it is, and it is what it is"),
            json!("it is what it is, and it"),
        ],
        // Some of which the messages quote.
        "said" | "stdout" | "stderr" | "reason" | "result" | "error" => {
            vec![json!("x"), json!("it is what it is"), json!(" is what it is, and it\n")]
        }
        "seq" | "revision" | "run_no" | "index" | "attempt_no" | "depth" => {
            [0, 1, 2, 3].map(|number| json!(number)).into()
        }
        "arguments" => vec![json!({ "x": 1 })],
        "details" => vec![json!(format!("{:#}", json!({ "x": 1 }))), json!("x")],
        "inputs" => vec![json!([1]), json!([2]), json!([[1, 3]]), json!([])],
        "source" => vec![json!("caller"), json!("tool_call")],
        "fingerprint" => vec![json!("x")],
        _ => vec![json!("x"), json!(now()), json!(1), json!({}), json!([]), json!({ "x": 1 })],
    }
}

/// The places of values inside a value.
fn places(value: &Value, at: &str, into: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let at = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
                into.push(at.clone());
                places(value, &at, into);
            }
        }
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                places(item, &format!("{at}/{number}"), into);
            }
        }
        _ => {}
    }
}

/// An event that is drawn from its sample.
struct Kind {
    event: &'static EventName,
    sample: Value,
    /// The places of its values.
    places: Vec<String>,
    /// The words of its choices, and nothing.
    choices: Vec<Value>,
}

impl Kind {
    fn new(event: &'static EventName) -> Self {
        let (sample, mut fields, mut choices) = (sample(event), Vec::new(), vec![Value::Null]);
        places(&sample, "", &mut fields);
        words(&(event.whole_schema)(), &mut choices);
        Self { event, sample, places: fields, choices }
    }

    /// The sample, in which most fields have another value that they may have. `said`: the last value of each name.
    fn drawn(
        &self,
        known: &BTreeMap<String, Vec<Value>>,
        said: &mut BTreeMap<String, Value>,
        chance: &mut Chance,
    ) -> DomainEvent {
        let (mut whole, mut event) = (self.sample.clone(), read(self.event, &self.sample).unwrap());
        for place in &self.places {
            let name = place.rsplit('/').next().unwrap();
            let value = match (chance.below(16), said.get(name)) {
                (0, _) => continue,
                (1, _) => chance.of(&known[name]).clone(),
                (2 | 3, _) => chance.of(&self.choices).clone(),
                (4..12, Some(said)) => said.clone(),
                _ => chance.of(&related(name)).clone(),
            };
            let mut changed = whole.clone();
            // Not below a value that has become another one.
            let Some(old) = changed.pointer_mut(place) else { continue };
            old.clone_from(&value);
            if let Some(read) = read(self.event, &changed) {
                said.insert(name.to_owned(), value);
                (whole, event) = (changed, read);
            }
        }
        event
    }
}

#[test]
fn commits_with_values_that_repeat_each_other_read_back_as_they_were() {
    let kinds: Vec<_> = CATALOGUE.iter().copied().map(Kind::new).collect();
    let mut known = BTreeMap::new();
    for kind in &kinds {
        harvest(&kind.sample, &mut known);
    }
    let pairs = kinds.iter().flat_map(|first| kinds.iter().map(move |second| (first, second)));
    let pairs = pairs.filter(|(first, second)| first.event.category == second.event.category);
    let mut chance = Chance(0);
    for (first, second) in pairs {
        for number in 0..COMMITS {
            let implied = Implied {
                workspace: "dev".into(),
                entity: Some(task().0),
                at: now(),
                client: (number % 3 > 0).then(|| "ann".to_owned()),
                command: "test".into(),
                key: (number % 2 > 0).then(key),
            };
            let mut said = BTreeMap::new();
            let events = [first, second, first].map(|kind| kind.drawn(&known, &mut said, &mut chance));
            let stored = implied::within(implied.clone(), || {
                events.iter().map(DomainEvent::encode).collect::<Result<Vec<_>, _>>().unwrap()
            });
            let category = first.event.category;
            let read = implied::within(implied, || {
                stored
                    .iter()
                    .map(|record| DomainEvent::decode(category, record))
                    .collect::<Result<Vec<_>, _>>()
            });
            assert_eq!(read.unwrap(), events, "{stored:#?}");
        }
    }
}
