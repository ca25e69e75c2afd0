//! The wire as it is committed in `schemas/`: every event has its files, and they say what the code does.
#![expect(clippy::unwrap_used, reason = "functions the tests share fail the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use capstan_contract::schema_files::{current, generate, sample_path};
use capstan_contract::{CATALOGUE, DomainEvent, EventName};
use capstan_envelope::EventRecord;
use serde_json::Value;
use serde_json::value::RawValue;

fn schemas() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas")
}

fn read(path: &Path) -> String {
    fs::read_to_string(schemas().join(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&read(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every version of every event that was ever written.
fn versions() -> impl Iterator<Item = (&'static EventName, u16)> {
    CATALOGUE.iter().flat_map(|event| (1..=event.version()).map(|version| (*event, version)))
}

fn sample(event: &EventName, version: u16) -> EventRecord {
    let data = RawValue::from_string(read(&sample_path(event, version)).trim_end().to_owned()).unwrap();
    EventRecord { name: event.name.to_owned(), version, data }
}

/// The fields that an event has outside the log.
fn required(event: &EventName) -> Vec<String> {
    serde_json::from_value((event.whole_schema)()["required"].take()).unwrap_or_default()
}

#[test]
fn the_committed_files_are_what_the_code_generates() {
    let generated = generate().into_iter().chain(current(&schemas()).unwrap());
    let stale: Vec<_> = generated
        .filter(|(path, text)| fs::read_to_string(schemas().join(path)).ok().as_ref() != Some(text))
        .map(|(path, _)| path)
        .collect();
    assert!(
        stale.is_empty(),
        "{stale:#?} differ from the code; run `cargo run -p capstan-contract --example regenerate` and read the diff"
    );
}

#[test]
fn every_file_belongs_to_an_event_a_command_or_an_answer() {
    let known: BTreeSet<PathBuf> = generate()
        .into_keys()
        .chain(current(&schemas()).unwrap().into_keys())
        .chain(versions().map(|(event, version)| sample_path(event, version)))
        // Schemas of retired versions stay, and are no longer generated.
        .chain(versions().map(|(event, version)| schema_path(event, version)))
        .collect();
    let events: BTreeSet<_> = CATALOGUE.iter().map(|event| format!("events/{}", event.category)).collect();
    for folder in events.into_iter().chain(["commands".to_owned(), "worker".to_owned()]) {
        for entry in fs::read_dir(schemas().join(&folder)).unwrap() {
            let path = Path::new(&folder).join(entry.unwrap().file_name());
            assert!(known.contains(&path), "{} belongs to nothing", path.display());
        }
    }
}

#[test]
fn every_sample_validates_against_the_schema_of_its_version() {
    for (event, version) in versions() {
        let schema = json(&schema_path(event, version));
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let sample = json(&sample_path(event, version));
        let faults: Vec<_> = validator.iter_errors(&sample).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{} v{version}: {faults:?}", event.name);
    }
}

/// A sample that leaves a field out proves nothing about it.
#[test]
fn every_first_sample_shows_every_field_of_its_schema() {
    for (event, version) in versions() {
        let (schema, sample) = (json(&schema_path(event, version)), json(&sample_path(event, version)));
        let missing: Vec<_> = schema["properties"]
            .as_object()
            .unwrap()
            .keys()
            .filter(|field| sample.get(field).is_none())
            .filter(|field| !ADDED_LATER.contains(&(event.name, field)))
            .collect();
        assert!(missing.is_empty(), "{} v{version} does not show {missing:?}", event.name);
    }
}

/// Optional fields that a shape gained after a release had blessed its sample: `(event, field)`.
const ADDED_LATER: &[(&str, &str)] = &[];

#[test]
fn writing_and_reading_a_sample_loses_nothing() {
    for (event, version) in versions() {
        let read = DomainEvent::decode(event.category, &sample(event, version)).unwrap();
        assert_eq!((read.name().name, read.name().category), (event.name, event.category));
        let written = read.encode().unwrap();
        assert_eq!((written.name.as_str(), written.version), (event.name, event.version()));
        assert_eq!(DomainEvent::decode(event.category, &written).unwrap(), read);
        if version == event.version() {
            let (written, sample): (Value, Value) =
                (serde_json::from_str(written.data.get()).unwrap(), json(&sample_path(event, version)));
            assert_eq!(written, sample, "{} loses something", event.name);
        }
    }
}

/// The schema's promise to writers: what it does not require may be left out, and reading back stays exact.
#[test]
fn a_field_that_is_not_required_may_be_left_out_and_one_that_is_may_not() {
    for event in CATALOGUE {
        let version = event.version();
        let required = required(event);
        let whole = json(&sample_path(event, version));
        for field in whole.as_object().unwrap().keys() {
            let mut data = whole.clone();
            data.as_object_mut().unwrap().remove(field);
            let data = RawValue::from_string(data.to_string()).unwrap();
            let record = EventRecord { name: event.name.to_owned(), version, data };
            let read = DomainEvent::decode(event.category, &record);
            let is_required = required.contains(field);
            assert_eq!(read.is_err(), is_required, "{} without {field}", event.name);
            if let Ok(read) = read {
                let written = read.encode().unwrap();
                assert_eq!(DomainEvent::decode(event.category, &written).unwrap(), read, "{}", event.name);
            }
        }
    }
}

/// A new field must never stop an older build at any depth: shapes grow without a new version.
#[test]
fn unknown_fields_are_tolerated_in_every_object_of_every_event() {
    fn objects(value: &mut Value, visit: &mut impl FnMut(&mut serde_json::Map<String, Value>)) {
        match value {
            Value::Object(object) => {
                object.values_mut().for_each(|value| objects(value, visit));
                visit(object);
            }
            Value::Array(items) => items.iter_mut().for_each(|item| objects(item, visit)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    /// Maps whose values must be texts or shapes of their own: a foreign entry there is data, not a field.
    const TYPED_MAPS: &[&str] = &["labels", "models", "tools"];
    for event in CATALOGUE {
        let mut data = json(&sample_path(event, event.version()));
        objects(&mut data, &mut |object| {
            object.retain(|name, _| !TYPED_MAPS.contains(&name.as_str()));
            object.insert("of_a_later_build".into(), Value::Array(Vec::new()));
        });
        let data = RawValue::from_string(data.to_string()).unwrap();
        let record = EventRecord { name: event.name.to_owned(), version: event.version(), data };
        let read = DomainEvent::decode(event.category, &record);
        assert!(read.is_ok(), "{}: {:?}", event.name, read.err());
    }
}

#[test]
fn a_record_without_its_required_fields_is_refused() {
    for event in CATALOGUE {
        let empty = EventRecord {
            name: event.name.to_owned(),
            version: event.version(),
            data: RawValue::from_string("{}".to_owned()).unwrap(),
        };
        let is_refused = DomainEvent::decode(event.category, &empty).is_err();
        assert_eq!(is_refused, !required(event).is_empty(), "{}", event.name);
    }
}

#[test]
fn names_are_unique_and_in_kebab_case() {
    let mut seen = BTreeMap::new();
    for event in CATALOGUE {
        let words = event.name.split('-');
        let is_kebab = words.clone().count() > 1
            && words
                .clone()
                .all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase()));
        assert!(is_kebab, "{} is no kebab-case name of two words or more", event.name);
        assert_eq!(seen.insert(event.name, event.category), None, "{} is there twice", event.name);
    }
}

fn schema_path(event: &EventName, version: u16) -> PathBuf {
    format!("events/{}/{}.v{version}.schema.json", event.category, event.name).into()
}
