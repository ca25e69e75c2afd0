//! `/openapi.json`: the HTTP surface, described from the operations and the schemas of bodies and answers.
//!
//! `schemas/openapi.json` is the same document; a test compares them.

pub(crate) mod components;
mod examples;
mod fixed;
pub(crate) mod paths;

use capstan_contract::schema::NamedSchema;

use serde_json::{Value, json};

use components::Components;

use crate::operation::Operation;

/// The document for these operations, with the schemas of their answers.
pub(crate) fn document(operations: &[Operation], answers: &[NamedSchema]) -> Value {
    let components = Components::new(answers);
    let paths = paths::draw(operations, &components);
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
                    "description": "The admin token of the installation, or a token of a workspace: \
                                    `cap_<workspace>.<id>.<secret>`. A development server requires none from the same \
                                    machine.",
                },
            },
        },
    })
}
