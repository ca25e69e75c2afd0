//! `/openapi.json`: the HTTP surface, described from the route table and the schemas of what travels.
//!
//! Made once, when somebody first asks. `schemas/openapi.json` is the same document; a test compares.

mod answers;
mod components;
mod examples;
mod paths;

use std::sync::LazyLock;

use serde_json::{Value, json};

pub(crate) use components::Components;
pub(crate) use paths::schema_of;

/// The document.
pub(crate) static DOCUMENT: LazyLock<Value> = LazyLock::new(draw);

fn draw() -> Value {
    let components = Components::of_everything();
    let paths = paths::draw(&components);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Capstan",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "An event-sourced control plane for the work of agents.",
            "description": "Commands answer a receipt with the log position they stand at; reads wait for a position \
                            with `min_position`. Every no is a problem document with a stable `code`.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "bearer": [] }, {}],
        "paths": paths,
        "components": {
            "schemas": components.schemas,
            "parameters": paths::shared_parameters(),
            "headers": paths::shared_headers(),
            "responses": paths::shared_responses(),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The installation's token, or one of a workspace: `cap_<workspace>.<id>.<secret>`. \
                                    A development server asks callers on the same machine for none.",
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn refs<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(to)) = map.get("$ref") {
                    found.push(to);
                }
                map.values().for_each(|value| refs(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| refs(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let mut found = Vec::new();
        refs(&DOCUMENT, &mut found);
        assert!(found.len() > 100);
        for to in found {
            let pointer = to.strip_prefix('#').unwrap_or_else(|| panic!("{to} leads out of the document"));
            assert!(DOCUMENT.pointer(pointer).is_some(), "{to}");
        }
    }

    #[test]
    fn the_committed_documents_are_those_that_are_served() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas");
        for (file, document) in
            [("openapi.json", &*DOCUMENT), ("asyncapi.json", &*crate::describe::asyncapi::DOCUMENT)]
        {
            let file = root.join(file);
            let mut sorted = document.clone();
            sorted.sort_all_objects();
            let text = format!("{sorted:#}\n");
            if std::env::var_os("CAPSTAN_REGENERATE").is_some() {
                std::fs::write(&file, &text).unwrap();
            }
            let committed = std::fs::read_to_string(&file).unwrap_or_default();
            assert!(
                committed == text,
                "{} is not up to date: CAPSTAN_REGENERATE=1 cargo test -p capstan-api the_committed_documents",
                file.display()
            );
        }
    }
}
