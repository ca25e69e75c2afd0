//! `/openapi.json`: the HTTP surface, described from the operations and the schemas of bodies and answers.
//!
//! `schemas/openapi.json` is the same document; a test compares them.

mod choices;
pub(crate) mod components;
mod examples;
mod parameters;
pub(crate) mod paths;
mod responses;
pub(crate) mod schemas;
mod shared;

use std::collections::BTreeSet;

use capstan_contract::schema::NamedSchema;

use serde_json::{Value, json};

use crate::operation::Operation;

/// The document for these operations, with the schemas of their answers.
pub(crate) fn document(operations: &[Operation], answers: &[NamedSchema]) -> Value {
    let mut components = schemas::all(operations, answers);
    let mut paths = paths::draw(operations, &mut components);
    let parameters = shared::parameters(&mut paths);
    let mut responses = shared::responses(&mut paths);
    responses.extend(paths::problem_responses(&components));
    let used = components.used_by(&json!([paths, parameters, responses]));
    let tags: BTreeSet<_> = operations.iter().map(paths::tag).collect();
    let tags: Vec<_> = tags.into_iter().map(|tag| json!({ "name": tag })).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Capstan",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "An event-sourced control plane for AI-agent work.",
            "description": "Commands return a receipt with their log position; queries wait for a position with \
                            `min_position`. Every error is a problem document with a stable `code`.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "Bearer": [] }, {}],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": used,
            "parameters": parameters,
            "headers": paths::response_headers(),
            "responses": responses,
            "securitySchemes": {
                "Bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The admin token of the installation, or a token of a workspace: \
                                    `cap_<workspace>.<id>.<secret>`. A development server requires none from the same \
                                    machine.",
                },
            },
        },
    })
}
