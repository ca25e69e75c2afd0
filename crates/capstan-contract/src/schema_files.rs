//! The committed files below `schemas/`: what is written there, and what is only ever read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use capstan_envelope::{CodecError, EventRecord};
use serde_json::{Value, value::RawValue};

use crate::catalogue::CATALOGUE;
use crate::command::body_schemas;
use crate::event_name::EventName;
use crate::lease::ANSWERS;
use crate::query::QUERIES;
use crate::schema::{NamedSchema, envelope};

/// A schema folder that cannot be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum RegenerateError {
    /// A sample is missing or unreadable. Samples are written by hand, once.
    #[error("read the sample {}", .path.display())]
    Sample {
        /// The sample's path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A sample is not JSON.
    #[error("parse the sample {}", .path.display())]
    Json {
        /// The sample's path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// A sample does not read as its event any more: history would be lost.
    #[error("decode the sample {}", .path.display())]
    Decode {
        /// The sample's path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: CodecError,
    },
    /// A file could not be written.
    #[error("write {}", .path.display())]
    Write {
        /// The file's path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// Every schema by its path below `schemas/`, as pretty JSON text with a final newline.
pub fn generate() -> BTreeMap<PathBuf, String> {
    let events = CATALOGUE.iter().map(|event| {
        let (category, name, version) = (event.category, event.name, event.version());
        (format!("events/{category}/{name}.v{version}.schema.json"), (event.schema)())
    });
    let commands = body_schemas().map(|body| at(body, "commands"));
    let queries = QUERIES.iter().map(|query| at(query, "queries"));
    let answers = ANSWERS.iter().map(|answer| at(answer, "worker"));
    let envelope = std::iter::once(("envelope.v1.schema.json".to_owned(), envelope::schema()));
    envelope
        .chain(events)
        .chain(commands)
        .chain(queries)
        .chain(answers)
        .map(|(path, schema)| (PathBuf::from(path), pretty(&schema)))
        .collect()
}

/// The file of a named schema below `schemas/`, and what stands in it.
fn at(named: &NamedSchema, folder: &str) -> (String, Value) {
    (format!("{folder}/{}.v1.schema.json", named.name), named.schema())
}

/// Path, below `schemas/`, of the first bytes ever written of an event's version.
pub fn sample_path(event: &EventName, version: u16) -> PathBuf {
    path(event, version, "sample")
}

fn path(event: &EventName, version: u16, kind: &str) -> PathBuf {
    format!("events/{}/{}.v{version}.{kind}.json", event.category, event.name).into()
}

/// The samples below `schemas` as they are read today, by path: every version of every event, rewritten in its
/// current shape.
pub fn current(schemas: &Path) -> Result<BTreeMap<PathBuf, String>, RegenerateError> {
    let versions =
        CATALOGUE.iter().flat_map(|event| (1..=event.version()).map(move |version| (event, version)));
    versions
        .map(|(event, version)| {
            let sample = schemas.join(sample_path(event, version));
            Ok((path(event, version, "current"), pretty(&reread(event, version, &sample)?)))
        })
        .collect()
}

fn reread(event: &EventName, version: u16, sample: &Path) -> Result<Value, RegenerateError> {
    let text = fs::read_to_string(sample)
        .map_err(|source| RegenerateError::Sample { path: sample.to_owned(), source })?;
    let json = |source| RegenerateError::Json { path: sample.to_owned(), source };
    let data: Box<RawValue> = serde_json::from_str(&text).map_err(json)?;
    let record = EventRecord { name: event.name.to_owned(), version, data };
    let rewritten = (event.rewrite)(&record)
        .map_err(|source| RegenerateError::Decode { path: sample.to_owned(), source })?;
    serde_json::from_str(rewritten.data.get()).map_err(json)
}

/// Brings the folder `schemas` up to date and names the files that changed. Samples are never touched, nor are
/// the schemas of retired versions.
pub fn regenerate(schemas: &Path) -> Result<Vec<PathBuf>, RegenerateError> {
    let mut changed = Vec::new();
    for (path, text) in generate().into_iter().chain(current(schemas)?) {
        let file = schemas.join(&path);
        if fs::read_to_string(&file).is_ok_and(|present| present == text) {
            continue;
        }
        let folder = file.parent().map_or(Ok(()), fs::create_dir_all);
        folder
            .and_then(|()| fs::write(&file, text))
            .map_err(|source| RegenerateError::Write { path: file.clone(), source })?;
        changed.push(path);
    }
    Ok(changed)
}

/// The form of every committed JSON file: sorted, for any order that the build's maps keep.
fn pretty(value: &Value) -> String {
    let mut sorted = value.clone();
    sorted.sort_all_objects();
    format!("{sorted:#}\n")
}
