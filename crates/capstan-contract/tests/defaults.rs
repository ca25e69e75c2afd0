//! What a stored event leaves out has a value that cannot change with the code: nothing, what its commit says, or a frozen
//! default.
#![expect(clippy::unwrap_used, reason = "functions the tests share fail the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use capstan_contract::schema_files::sample_path;
use capstan_contract::{CATALOGUE, DomainEvent};
use capstan_domain::implied::{self, Implied};
use capstan_envelope::EventRecord;
use chrono::DateTime;
use serde_json::Value;
use uuid::Uuid;

/// Fields whose absence has another value than nothing, with the file and place of that value below `schemas/defaults`. Fields
/// of such a field are at the same place below.
const FROZEN: &[(&str, &str, &str)] = &[
    ("agent-created/active", STORED, "/active"),
    ("agent-created/memory_scope", STORED, "/memory_scope"),
    ("agent-created/role", STORED, "/agent_role"),
    ("attempt-leased/attempt_no", STORED, "/first"),
    ("attempt-leased/lease_ms", STORED, "/lease_ms"),
    ("input-accepted/kind", STORED, "/input_kind"),
    ("output-produced/status", STORED, "/output_status"),
    ("subtask-ended/run_no", STORED, "/first"),
    ("subtasks-spawned/subtasks/0/policy", POLICY, ""),
    ("task-accepted/policy", POLICY, ""),
    ("task-accepted/priority", STORED, "/priority"),
    ("task-accepted/timeout_ms", STORED, "/timeout_ms"),
    ("workspace-updated/default_policy", POLICY, ""),
];
const STORED: &str = "stored.v1.json";
const POLICY: &str = "run-policy.v1.json";

/// Fields whose absence means what another field of the same event says.
const SAID: &[&str] = &[
    "blocker-opened/details",
    "blocker-updated/details",
    "run-requested/opening",
    "schedule-changed/next/run_at",
    "schedule-created/next/run_at",
    "schedule-resumed/next/run_at",
    "subtasks-spawned/subtasks/0/task_id",
    "task-accepted/depth",
    "task-accepted/input_provenance",
    "task-accepted/lane",
    "task-accepted/root_task_id",
    "task-accepted/session_id",
    "task-accepted/spawned_by",
    "tick-fired/next/run_at",
    "tick-skipped/next/run_at",
    "ticks-missed/next/run_at",
    "tool-call-deferred/details",
    "usage-recorded/usage/cache_creation_input_tokens",
    "usage-recorded/usage/cache_read_input_tokens",
    "usage-recorded/usage/cost_usd",
    "usage-recorded/usage/input_tokens",
    "usage-recorded/usage/output_tokens",
    "usage-recorded/usage/total_tokens",
];

fn schemas() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas")
}

fn context(number: u128, name: &str) -> Implied {
    Implied {
        workspace: format!("w-{name}"),
        entity: Some(Uuid::from_u128(number)),
        at: DateTime::from_timestamp_millis(1_800_000_000_000 + i64::try_from(number).unwrap()).unwrap(),
        client: Some(format!("client-{name}")),
        command: format!("command-{name}"),
        key: Some(format!("key-{name}")),
    }
}

/// The pointers of all fields of objects in a value.
fn fields(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields_of) => {
            for (name, inner) in fields_of {
                let at = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
                fields(inner, &at, found);
                found.push(at);
            }
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| fields(item, &format!("{at}/{index}"), found));
        }
        _ => {}
    }
}

fn without(value: &Value, pointer: &str) -> Value {
    let mut left = value.clone();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = left.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    parent.remove(&name.replace("~1", "/").replace("~0", "~"));
    left
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(is) => !is,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_nothing),
    }
}

/// Every field of every sample is taken away in turn. What the rest reads as is the same whatever the commit says only if it
/// comes from the event itself or from a default.
#[test]
fn every_default_that_is_not_nothing_is_frozen() {
    let mut found = BTreeMap::new();
    for entry in CATALOGUE {
        let text = fs::read_to_string(schemas().join(sample_path(entry, entry.version()))).unwrap();
        let whole: Value = serde_json::from_str(&text).unwrap();
        let mut pointers = Vec::new();
        fields(&whole, "", &mut pointers);
        for pointer in pointers {
            let data = serde_json::value::to_raw_value(&without(&whole, &pointer)).unwrap();
            let record = EventRecord { name: entry.name.to_owned(), version: entry.version(), data };
            let read = |context| {
                let read = implied::within(context, || DomainEvent::decode(entry.category, &record)).ok()?;
                let whole: Value = serde_json::from_str(read.encode().unwrap().data.get()).unwrap();
                whole.pointer(&pointer).cloned().filter(|value| !is_nothing(value))
            };
            let (one, two) = (read(context(1, "one")), read(context(2, "two")));
            if let Some(value) = one.filter(|one| two.as_ref() == Some(one)) {
                found.insert(format!("{}{pointer}", entry.name), value);
            }
        }
    }
    let mut unexplained = BTreeMap::new();
    let mut unused: BTreeSet<_> =
        SAID.iter().copied().chain(FROZEN.iter().map(|(field, ..)| *field)).collect();
    for (field, value) in found {
        if unused.remove(field.as_str()) && SAID.contains(&field.as_str()) {
            continue;
        }
        let frozen =
            FROZEN.iter().find_map(|(above, file, place)| Some((field.strip_prefix(above)?, file, place)));
        let Some((below, file, place)) = frozen else {
            unexplained.insert(field, value);
            continue;
        };
        unused.retain(|above| !field.starts_with(above));
        let text = fs::read_to_string(schemas().join("defaults").join(file)).unwrap();
        let whole: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(whole.pointer(&format!("{place}{below}")), Some(&value), "{field}");
    }
    assert_eq!(unexplained, BTreeMap::new(), "these have a value of their own where they are absent");
    assert_eq!(unused, BTreeSet::new(), "these say nothing where they are absent");
}
