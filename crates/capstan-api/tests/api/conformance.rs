//! Every answer a test gets over HTTP, held against what `/openapi.json` says of the operation.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use capstan_api::{Operation, operations};
use jsonschema::{Draft, Validator};
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

/// What was asked, and how it was answered.
pub(crate) struct Exchange<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) status: u16,
    pub(crate) content_type: &'a str,
    pub(crate) body: &'a Value,
}

impl Exchange<'_> {
    /// What the document does not say of this answer. Nothing when no operation was asked.
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
        // A media type is described with its parameters or without them.
        let whole = self.content_type;
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
}

/// What is wrong with the data of a frame of a live stream.
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
    let faults = |path, status, content_type, body: Value| {
        Exchange { method: "GET", path, status, content_type, body: &body }.faults()
    };
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
    assert!(faults(agents, 418, "application/json", page).is_err());
    assert!(faults("/v1/workspaces/dev/agents/defaults", 200, "application/json", json!([])).is_err());
    assert_eq!(frame_faults(&json!({ "event": "end", "position": "0-7-9f3ac21b" })), Vec::<String>::new());
    assert!(!frame_faults(&json!({ "event": "end" })).is_empty());
}
