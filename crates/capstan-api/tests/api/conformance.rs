//! Every answer a test gets over HTTP, held against what `/openapi.json` says of the operation.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use capstan_api::{Operation, operations};
use jsonschema::{Draft, Validator};
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

/// The document that is served; a test of the crate compares the two.
pub(crate) static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../../schemas/openapi.json")).expect("the document is JSON")
});

/// A part of the document, or what it refers to.
pub(crate) fn resolved(part: &'static Value) -> &'static Value {
    let target = part["$ref"].as_str().and_then(|to| DOCUMENT.pointer(to.trim_start_matches('#')));
    target.unwrap_or(part)
}

/// Validators by where their schema stands in the document.
static VALIDATORS: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);

/// A request and its answer.
pub(crate) struct Exchange<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) status: u16,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a Value,
}

impl Exchange<'_> {
    /// Refuses an answer that the document does not describe. A request of no operation passes.
    pub(crate) fn faults(&self) -> Result<(), String> {
        let Some(operation) = asked(self.method, self.path) else { return Ok(()) };
        let Self { method, path, status, .. } = self;
        let place = operation.path.replace('~', "~0").replace('/', "~1");
        let mut response = format!("/paths/{place}/{}/responses/{status}", method.to_lowercase());
        let said = DOCUMENT
            .pointer(&response)
            .ok_or(format!("{method} {path}: status {status} is not described"))?;
        if let Some(Value::String(to)) = said.get("$ref") {
            response = to.trim_start_matches('#').to_owned();
        }
        self.header_faults(&response)?;
        // A media type is described with its parameters or without them.
        let whole = self.headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let media = [whole, whole.split(';').next().unwrap_or_default()];
        let schemas = media.map(|media| format!("{response}/content/{}/schema", media.replace('/', "~1")));
        let Some(validator) = schemas.iter().find_map(|schema| validator(schema)) else {
            return Err(format!("{method} {path}: {status} as {whole:?} is not described"));
        };
        let faults: Vec<_> = validator
            .iter_errors(self.body)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        if faults.is_empty() {
            Ok(())
        } else {
            Err(format!("{method} {path}: {status} {faults:#?} {}", self.body))
        }
    }

    /// Every required header must be present, and one of [`HEADERS`] that is present must be described.
    fn header_faults(&self, response: &str) -> Result<(), String> {
        let described = DOCUMENT.pointer(&format!("{response}/headers"));
        let described = described.and_then(Value::as_object);
        let is_described = |name: &str| described.is_some_and(|headers| headers.contains_key(name));
        let is_required = |header: &Value| {
            let place = header["$ref"].as_str().map(|place| place.trim_start_matches('#'));
            let header = place.and_then(|place| DOCUMENT.pointer(place)).unwrap_or(header);
            header["required"] == true
        };
        let required = described.into_iter().flatten().filter(|(_, header)| is_required(header));
        let missing = required.map(|(name, _)| name).find(|name| !self.headers.contains_key(*name));
        if let Some(name) = missing {
            return Err(format!("{} {}: {} has no header {name}", self.method, self.path, self.status));
        }
        let unknown = HEADERS.iter().find(|name| self.headers.contains_key(**name) && !is_described(name));
        unknown.map_or(Ok(()), |name| {
            Err(format!("{} {}: {} has the header {name}", self.method, self.path, self.status))
        })
    }
}

/// Headers that no answer may have unless they are described.
const HEADERS: [&str; 7] = [
    "capstan-position",
    "etag",
    "retry-after",
    "www-authenticate",
    "allow",
    "cache-control",
    "preference-applied",
];

/// The faults in the data of a frame of a live stream.
pub(crate) fn frame_faults(data: &Value) -> Vec<String> {
    let frame = validator("/components/schemas/LiveFrame").expect("it is described");
    frame.iter_errors(data).map(|error| error.to_string()).collect()
}

/// The operation of a path; names that are spelt out win over those left open.
fn asked(method: &str, path: &str) -> Option<&'static Operation> {
    let fits = |operation: &&Operation| {
        operation.method.as_str() == method
            && operation.path.split('/').count() == path.split('/').count()
            && operation
                .path
                .split('/')
                .zip(path.split('/'))
                .all(|(part, given)| part.starts_with('{') || part == given)
    };
    operations().iter().filter(fits).min_by_key(|operation| operation.path_names().count())
}

fn validator(pointer: &str) -> Option<Arc<Validator>> {
    let mut made = VALIDATORS.lock().expect("nobody panics with it");
    if let Some(validator) = made.get(pointer) {
        return Some(validator.clone());
    }
    let schema = json!({ "allOf": [DOCUMENT.pointer(pointer)?], "components": DOCUMENT["components"] });
    let options = jsonschema::options().with_draft(Draft::Draft202012).should_validate_formats(true);
    let validator = Arc::new(options.build(&schema).expect("a schema of the document"));
    made.insert(pointer.to_owned(), validator.clone());
    Some(validator)
}

#[test]
fn an_answer_the_document_does_not_describe_is_noticed() {
    let header = HeaderValue::from_static;
    let shown = |content_type| {
        [
            ("capstan-position", "0-7-9f3ac21b"),
            ("capstan-correlation-id", "x"),
            ("content-type", content_type),
        ]
    };
    let headers = |list: &[(&'static str, &'static str)]| {
        list.iter().map(|(name, value)| (name.parse().unwrap(), header(value))).collect::<HeaderMap>()
    };
    let with_headers = |path, status, headers, body: Value| {
        Exchange { method: "GET", path, status, headers: &headers, body: &body }.faults()
    };
    let faults =
        |path, status, content_type, body| with_headers(path, status, headers(&shown(content_type)), body);
    let page = json!({ "items": [], "position": "0-7-9f3ac21b", "limit": 50 });
    let agents = "/v1/workspaces/dev/agents";
    assert_eq!(faults(agents, 200, "application/json; charset=utf-8", page.clone()), Ok(()));
    assert!(faults(agents, 200, "application/json", json!({ "items": [] })).is_err());
    assert!(
        faults(
            agents,
            200,
            "application/json",
            json!({ "items": [{}], "position": "0-7-9f3ac21b", "limit": 50 })
        )
        .is_err()
    );
    assert!(faults(agents, 200, "text/plain", page.clone()).is_err());
    assert!(faults(agents, 418, "application/json", page.clone()).is_err());
    let json = shown("application/json");
    assert!(with_headers(agents, 200, headers(&json[1..]), page.clone()).is_err(), "no position");
    let with_version = [&json[..], &[("etag", "\"1\"")]].concat();
    assert!(with_headers(agents, 200, headers(&with_version), page).is_err(), "a list has no version");
    assert!(faults("/v1/workspaces/dev/agents/defaults", 200, "application/json", json!([])).is_err());
    assert_eq!(frame_faults(&json!({ "event": "end", "position": "0-7-9f3ac21b" })), Vec::<String>::new());
    assert!(!frame_faults(&json!({ "event": "end" })).is_empty());
}
