//! Whole commits as they are stored, in `schemas/commits/`, and what is read from them: an event leaves out what follows from
//! its commit, so that the way in which it follows is part of the format.
//!
//! To add one, write `stream` and `message`; `CAPSTAN_REGENERATE=1` brings the message into the form that is written, and adds what
//! is read from it. A file that is complete never changes.
#![expect(clippy::unwrap_used, reason = "functions the tests share fail the test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use capstan_contract::catalogue::implied_by;
use capstan_contract::causes::explain;
use capstan_contract::{CATALOGUE, DomainEvent, EventName, decode_commit, whole_records};
use capstan_domain::implied::{self, NOT_STORED};
use capstan_domain::task::event::TaskAccepted;
use capstan_domain::{agent, channel, class, schedule, session, task, token, workspace};
use capstan_envelope::{Carried, CodecError, Commit, CommitHash, EventRecord};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

/// A file: a stream, the message of one of its commits as it is stored, and what that says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    stream: String,
    message: Box<RawValue>,
    #[serde(default)]
    read: Option<Read>,
}

/// What is read from the message.
#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    hash: String,
    commit_id: String,
    correlation_id: String,
    events: Vec<Map<String, Value>>,
}

impl Read {
    fn new(commit: &Commit, message: &str) -> Self {
        let named = |event: &EventRecord| {
            Map::from_iter([(event.name.clone(), serde_json::from_str(event.data.get()).unwrap())])
        };
        Self {
            hash: CommitHash::of(&commit.stream.tokens(), message.as_bytes()).to_string(),
            commit_id: commit.commit_id.to_string(),
            correlation_id: commit.metadata.correlation_id.to_string(),
            events: whole_records(commit).iter().map(named).collect(),
        }
    }
}

fn files() -> Vec<(PathBuf, Stored)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/commits");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let file = serde_json::from_str(&fs::read_to_string(&path).unwrap());
        let file = file.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path, file)
    };
    paths.into_iter().map(read).collect()
}

fn commit(path: &Path, file: &Stored) -> Commit {
    let message = file.message.get().as_bytes();
    Commit::from_bytes(file.stream.parse().unwrap(), 0, message)
        .unwrap_or_else(|error| panic!("{}: {error:?}", path.display()))
}

/// The state that is carried forward, as this build writes it.
fn written_state(category: &str, carried: &Carried) -> Result<Box<RawValue>, CodecError> {
    fn of<S: Serialize + DeserializeOwned>(carried: &Carried) -> Result<Box<RawValue>, CodecError> {
        Ok(to_raw_value(&carried.state::<S>()?).unwrap())
    }
    match category {
        "agent" => of::<agent::State>(carried),
        "channel" => of::<channel::State>(carried),
        "class" => of::<class::State>(carried),
        "schedule" => of::<schedule::State>(carried),
        "session" => of::<session::State>(carried),
        "task" => of::<task::State>(carried),
        "token" => of::<token::State>(carried),
        "workspace" => of::<workspace::State>(carried),
        other => panic!("{other} is no category"),
    }
}

/// The message as this build writes it.
fn written(commit: &Commit) -> Result<String, CodecError> {
    let events = decode_commit(commit)?;
    if let Some(carried) = commit.carried()? {
        let state = written_state(commit.stream.category(), &carried)?;
        let events = vec![Carried { state, ..carried }.record()?];
        return Ok(String::from_utf8(Commit { events, ..commit.clone() }.to_bytes().unwrap()).unwrap());
    }
    let events = implied::within(implied_by(commit.facts()), || {
        events.iter().map(DomainEvent::encode).collect::<Result<_, _>>()
    })?;
    Ok(String::from_utf8(Commit { events, ..commit.clone() }.to_bytes().unwrap()).unwrap())
}

#[test]
fn what_follows_from_a_stored_commit_follows_for_ever() {
    let regenerates = std::env::var_os("CAPSTAN_REGENERATE").is_some();
    let mut faults = Vec::new();
    for (path, mut file) in files() {
        let commit = commit(&path, &file);
        let written = match written(&commit) {
            Ok(written) => written,
            Err(error) => {
                faults.push(format!("{}: {}", path.display(), explain(&error)));
                continue;
            }
        };
        if file.read.is_none() && regenerates {
            file.read = Some(Read::new(&commit, &written));
            file.message = RawValue::from_string(written).unwrap();
            fs::write(&path, serde_json::to_string_pretty(&file).unwrap() + "\n").unwrap();
            continue;
        }
        if written != file.message.get() {
            faults.push(format!("{} is written as {written}", path.display()));
        }
        let read = Read::new(&commit, file.message.get());
        if file.read.as_ref() != Some(&read) {
            let read = serde_json::to_string_pretty(&read).unwrap();
            faults.push(format!("{} is read as {read}", path.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The fields of an event, or of a part of it, that a schema says may be left out, each with its part of the schema.
fn may_be_left_out(schema: &Value) -> BTreeSet<String> {
    let own = ("", &schema["properties"]);
    let parts = schema["$defs"].as_object().into_iter().flatten();
    let parts = parts.map(|(name, part)| (name.as_str(), &part["properties"]));
    let fields = std::iter::once(own).chain(parts).flat_map(|(part, fields)| {
        fields.as_object().into_iter().flatten().map(move |(name, field)| (part, name, field))
    });
    let is_left_out =
        |field: &Value| field["description"].as_str().is_some_and(|text| text.ends_with(NOT_STORED));
    fields
        .filter(|(_, _, field)| is_left_out(field))
        .map(|(part, name, _)| format!("{part}/{name}"))
        .collect()
}

/// The fields that the whole has and the stored form has not. Those of parts count for each part that may lack them.
fn left_out(stored: &Value, whole: &Value, parts: &[String], found: &mut BTreeSet<String>) {
    match (stored, whole) {
        (Value::Object(stored), Value::Object(whole)) => {
            for (name, value) in whole {
                match stored.get(name) {
                    Some(stored) => left_out(stored, value, parts, found),
                    None if !value.is_null() => {
                        found.extend(parts.iter().map(|part| format!("{part}/{name}")));
                    }
                    None => {}
                }
            }
        }
        (Value::Array(stored), Value::Array(whole)) => {
            stored.iter().zip(whole).for_each(|(stored, whole)| left_out(stored, whole, parts, found));
        }
        _ => {}
    }
}

#[test]
fn each_event_stands_in_a_commit_without_each_field_that_may_be_left_out() {
    let commits: Vec<_> = files().iter().map(|(path, file)| commit(path, file)).collect();
    let mut missing = Vec::new();
    for event in CATALOGUE {
        let schema = (event.schema)();
        let parts: Vec<_> = schema["$defs"].as_object().into_iter().flat_map(Map::keys).cloned().collect();
        let parts: Vec<_> = std::iter::once(String::new()).chain(parts).collect();
        let (mut found, mut stands) = (BTreeSet::new(), false);
        for commit in commits.iter().filter(|commit| commit.stream.category() == event.category) {
            for (stored, whole) in commit.events.iter().zip(whole_records(commit)) {
                if stored.name == event.name {
                    let [stored, whole] =
                        [stored, &whole].map(|record| serde_json::from_str(record.data.get()).unwrap());
                    left_out(&stored, &whole, &parts, &mut found);
                    stands = true;
                }
            }
        }
        let fields = may_be_left_out(&schema);
        if !stands || !fields.is_subset(&found) {
            missing.push(format!("{}: {:?}", event.name, fields.difference(&found).collect::<Vec<_>>()));
        }
    }
    assert!(missing.is_empty(), "{missing:#?} in no commit of schemas/commits");
}

#[test]
fn each_category_has_a_commit_that_carries_its_stream_forward() {
    let carried: BTreeSet<_> = files()
        .iter()
        .map(|(path, file)| commit(path, file))
        .filter(Commit::carries_forward)
        .map(|commit| commit.stream.category().to_owned())
        .collect();
    let categories: BTreeSet<_> = CATALOGUE.iter().map(|event| event.category.to_owned()).collect();
    assert_eq!(carried, categories);
}

/// Fields that are left out follow from those before them, in the order in which a retired version was written.
#[test]
fn what_follows_in_a_retired_version_follows_in_its_upcast_form() {
    let current = CATALOGUE.iter().find(|event| event.name == "task-accepted").unwrap();
    let retired = EventName { upcasters: &[|data| data], ..**current };
    let mut count = 0;
    for (path, file) in files() {
        let commit = commit(&path, &file);
        let accepted = commit.events.iter().filter(|event| event.name == "task-accepted");
        for stored in accepted {
            let read = |event: &EventName| {
                implied::within(implied_by(commit.facts()), || event.read::<TaskAccepted>(stored).unwrap())
            };
            assert_eq!(read(&retired), read(current), "{}", path.display());
            count += 1;
        }
    }
    assert!(count >= 4, "{count}");
}
