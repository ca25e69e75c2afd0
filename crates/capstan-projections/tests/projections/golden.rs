//! Given these events, then these rows: `projections/<model>/golden/<case>.given.json` and `.rows.json`. Every
//! event is also applied a second time to the rows it produced. The READMEs name the events each model reads.
//!
//! `CAPSTAN_REGENERATE=1` writes the rows and the events; read the difference before you keep it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use capstan_contract::{CATALOGUE, DomainEvent};
use capstan_domain::id::{RunId, TaskId};
use capstan_envelope::{EventRecord, StreamHead, StreamId};
use capstan_projections::{MODELS, ReadModel, ReadModels};
use serde::Deserialize;
use serde_json::Value;

use crate::place::{Place, project};
use crate::story::Story;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    stream: StreamId,
    #[serde(default)]
    idempotency_key: Option<String>,
    events: Vec<EventRecord>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../projections")
}

fn cases(model: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder().join(model).join("golden")).unwrap();
    let mut cases: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(".given.json"))
        .collect();
    cases.sort();
    cases
}

fn given(path: &Path) -> Vec<Given> {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap())
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The objects the API returns, by id; for a model without objects its documents.
async fn rows(
    database: &tokio_postgres::Client,
    read_models: &ReadModels,
    model: &str,
) -> BTreeMap<String, Value> {
    let sql = format!("SELECT id::text, workspace, doc FROM capstan.{model}");
    let rows = database.query(&sql, &[]).await.unwrap();
    let mut objects = BTreeMap::new();
    for row in rows {
        let (id, workspace): (String, &str) = (row.get(0), row.get(1));
        let item = match model {
            "tasks" => read_models.one(workspace, &id.parse::<TaskId>().unwrap()).await.unwrap(),
            "runs" => read_models.one(workspace, &id.parse::<RunId>().unwrap()).await.unwrap(),
            _ => None,
        };
        let text = item.map_or_else(|| row.get(2), |item| item.doc.get().to_owned());
        objects.insert(id, serde_json::from_str(&text).unwrap());
    }
    objects
}

#[tokio::test]
async fn golden_events_give_golden_rows_and_a_second_time_changes_nothing() {
    let place = Place::new().await;
    let database = place.sql().await;
    let regenerates = std::env::var_os("CAPSTAN_REGENERATE").is_some();
    for model in MODELS.iter().map(|model| model.name) {
        for case in cases(model) {
            let mut story = Story::empty(9);
            let mut heads: HashMap<StreamId, StreamHead> = HashMap::new();
            for Given { stream, idempotency_key, events } in given(&case) {
                let head = heads.remove(&stream).unwrap_or_default();
                story.tick();
                let head = story.append_records(&stream, &head, events, idempotency_key.as_deref()).await;
                heads.insert(stream, head);
            }
            let log = story.shared();
            let end = story.end().await;
            let read_models = place.emptied().await;
            project(&log, &read_models, end).await;
            assert_eq!(read_models.parked(10).await.unwrap().len(), 0, "{} parks commits", case.display());
            let came = rows(&database, &read_models, model).await;
            let digests = read_models.digests().await.unwrap();

            let path = PathBuf::from(case.to_string_lossy().replace(".given.json", ".rows.json"));
            if regenerates {
                std::fs::write(&path, serde_json::to_string_pretty(&came).unwrap() + "\n").unwrap();
            }
            let golden: BTreeMap<String, Value> =
                serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            assert_eq!(came, golden, "{}", path.display());

            database
                .batch_execute("UPDATE capstan.checkpoint SET position = 0, hash = repeat('0', 64)")
                .await
                .unwrap();
            project(&log, &place.reconnected(), end).await;
            let parked = read_models.parked(10).await.unwrap();
            assert_eq!(parked.len(), 0, "{} read back: {parked:?}", case.display());
            assert_eq!(read_models.digests().await.unwrap(), digests, "{} applied twice", case.display());
        }
    }
}

/// One event of each name in the golden cases.
fn golden_events() -> BTreeMap<String, DomainEvent> {
    let given = MODELS.iter().flat_map(|model| cases(model.name)).flat_map(|case| given(&case));
    given
        .flat_map(|Given { stream, events, .. }| {
            let decode = move |event: EventRecord| {
                (event.name.clone(), DomainEvent::decode(stream.category(), &event).unwrap())
            };
            events.into_iter().map(decode)
        })
        .collect()
}

#[test]
fn every_event_is_in_a_golden_case() {
    let known: BTreeSet<String> = CATALOGUE.iter().map(|event| event.name.to_owned()).collect();
    assert_eq!(golden_events().into_keys().collect::<BTreeSet<_>>(), known);
}

/// The events a model reads, as the READMEs name them: long categories in one word.
fn events_read(model: &ReadModel, examples: &BTreeMap<String, DomainEvent>) -> String {
    let of = |category: Option<&str>| -> Vec<&str> {
        let events =
            CATALOGUE.iter().filter(|event| category.is_none_or(|category| event.category == category));
        events.map(|event| event.name).collect()
    };
    let reads: Vec<&str> = of(None).into_iter().filter(|name| (model.reads)(&examples[*name])).collect();
    if reads == of(None) {
        return "every event".to_owned();
    }
    match ["task", "schedule"].into_iter().find(|category| reads == of(Some(category))) {
        Some(category) => format!("every event of a {category}"),
        None => reads.join(", "),
    }
}

/// The row of a model in the table of all: what the README of the model says first of its content and its key.
fn row_of(model: &ReadModel, events: &str) -> String {
    let readme = std::fs::read_to_string(folder().join(model.name).join("README.md")).unwrap();
    let sentence = |from: &str| -> String {
        let (_, text) = readme.split_once(from).unwrap_or_else(|| panic!("{}: no {from:?}", model.name));
        let end =
            text.match_indices('.').map(|(end, _)| end).find(|end| text[end + 1..].starts_with([' ', '\n']));
        text[..end.unwrap_or(text.len())].split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let (content, key) = (sentence("\n\n"), sentence("- **Key**:"));
    format!("| [{name}]({name}/README.md) | {content} | {events} | {key} |\n", name = model.name)
}

#[test]
fn the_readmes_name_the_events_each_model_reads() {
    let examples = golden_events();
    let regenerates = std::env::var_os("CAPSTAN_REGENERATE").is_some();
    let check = |path: PathBuf, expected: &dyn Fn(&str) -> String| {
        let text = std::fs::read_to_string(&path).unwrap();
        let expected = expected(&text);
        if regenerates {
            std::fs::write(&path, expected).unwrap();
        } else {
            assert_eq!(text, expected, "{}", path.display());
        }
    };
    for model in MODELS {
        let with_events = |text: &str| {
            let (head, rest) = text.split_once("- **Events read**: ").expect("a line of the events read");
            let (_, foot) = rest.split_once('\n').expect("more lines");
            format!("{head}- **Events read**: {}.\n{foot}", events_read(model, &examples))
        };
        check(folder().join(model.name).join("README.md"), &with_events);
    }
    let rows: String = MODELS.iter().map(|model| row_of(model, &events_read(model, &examples))).collect();
    let with_rows = |text: &str| {
        let (head, rest) = text.split_once("|---|---|---|---|\n").expect("a table");
        let (_, foot) = rest.split_once("\n\n").expect("text below the table");
        format!("{head}|---|---|---|---|\n{rows}\n{foot}")
    };
    check(folder().join("README.md"), &with_rows);
}

#[test]
fn folders_and_models_match_one_to_one() {
    let models: BTreeSet<String> = MODELS.iter().map(|model| model.name.to_owned()).collect();
    let mut folders = BTreeSet::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            for file in ["README.md", "schema.sql"] {
                assert!(path.join(file).is_file(), "{} has no {file}", path.display());
            }
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            assert!(!cases(&name).is_empty(), "{name} has no golden case");
            folders.insert(name);
        }
    }
    assert_eq!(folders, models);
}
