//! Each field of a stored event that may hold a text of people's is decided on, in `schemas/texts.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

/// The fields of an event, by their paths: `[]` for the items of a list, `{}` for the values of an object.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Texts {
    /// Those that may hold words or data of people.
    #[serde(default)]
    personal: BTreeSet<String>,
    /// Those that name things or say facts by which Capstan acts.
    #[serde(default)]
    technical: BTreeSet<String>,
}

/// Collects the paths of free texts and of values of any shape.
fn collect(schema: &Value, root: &Value, path: &str, within: &[&str], found: &mut BTreeSet<String>) {
    let Some(fields) = schema.as_object() else {
        if schema == true {
            found.insert(path.to_owned());
        }
        return;
    };
    if let Some(name) = fields.get("$ref").and_then(|reference| reference.as_str()?.rsplit('/').next())
        && !within.contains(&name)
    {
        collect(&root["$defs"][name], root, path, &[within, &[name]].concat(), found);
    }
    for choices in ["anyOf", "oneOf", "allOf"].iter().filter_map(|key| fields.get(*key)?.as_array()) {
        for choice in choices {
            collect(choice, root, path, within, found);
        }
    }
    let is_text = match fields.get("type") {
        Some(Value::Array(types)) => types.contains(&"string".into()),
        given => given == Some(&"string".into()),
    };
    let is_bound = ["format", "enum", "const", "pattern"].iter().any(|key| fields.contains_key(*key));
    let is_any = fields.keys().all(|key| ["description", "default"].contains(&key.as_str()));
    if is_text && !is_bound || is_any {
        found.insert(path.to_owned());
    }
    for (name, field) in fields.get("properties").and_then(Value::as_object).into_iter().flatten() {
        collect(field, root, &format!("{path}/{name}"), within, found);
    }
    for (key, end) in [("items", "[]"), ("additionalProperties", "{}")] {
        if let Some(inner) = fields.get(key) {
            collect(inner, root, &format!("{path}{end}"), within, found);
        }
    }
}

#[test]
fn each_text_of_a_stored_event_is_personal_or_technical() {
    let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas");
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let mut decided: BTreeMap<String, Texts> =
        serde_json::from_str(&read(&schemas.join("texts.json"))).unwrap();
    for category in fs::read_dir(schemas.join("events")).unwrap() {
        for file in fs::read_dir(category.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let file = path.file_name().unwrap().to_string_lossy().into_owned();
            let Some(event) = file.strip_suffix(".schema.json") else { continue };
            let schema = serde_json::from_str(&read(&path)).unwrap();
            let mut found = BTreeSet::new();
            collect(&schema, &schema, "", &[], &mut found);
            found.remove("");
            let texts = decided.remove(event);
            let (personal, technical) =
                texts.map_or_else(Default::default, |texts| (texts.personal, texts.technical));
            assert!(personal.is_disjoint(&technical), "{event}: a field is one of both");
            let listed: BTreeSet<_> = personal.union(&technical).cloned().collect();
            assert_eq!(found, listed, "the texts of {event}, and those that schemas/texts.json decides on");
        }
    }
    assert!(decided.is_empty(), "no events: {:?}", decided.keys());
}
