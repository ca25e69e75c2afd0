//! The schemas that are written by hand: the problem document and the answers of a batch.

use serde_json::{Map, Value, json};

use crate::problem::Code;

/// Adds the schemas that are not derived from a type.
pub(super) fn add(schemas: &mut Map<String, Value>) {
    schemas.insert("agent-defaults".to_owned(), json!({ "type": "object", "title": "agent-defaults" }));
    schemas.insert("problem".to_owned(), problem());
    schemas.insert("batch-answer".to_owned(), batch_answer());
}

/// The answer to one command of a batch: a receipt with the entity, or a problem document.
fn batch_answer() -> Value {
    json!({
        "title": "batch-answer",
        "type": "object",
        "required": ["status"],
        "properties": {
            "status": { "type": "integer", "minimum": 200, "maximum": 599 },
            "receipt": { "$ref": "#/components/schemas/receipt" },
            "code": { "type": "string" },
        },
        "oneOf": [{ "required": ["receipt"] }, { "required": ["code"] }],
    })
}

/// A problem document (RFC 9457).
fn problem() -> Value {
    let codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let number = json!({ "type": "integer", "minimum": 0 });
    json!({
        "title": "problem",
        "type": "object",
        "required": ["type", "title", "status", "detail", "code", "correlation_id"],
        "properties": {
            "type": { "type": "string", "description": "The page that explains the code." },
            "title": { "type": "string" },
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
            "detail": { "type": "string", "description": "The particular problem, for people." },
            "code": { "enum": codes, "description": "The kind of problem; stable." },
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["pointer", "message"],
                    "properties": { "pointer": { "type": "string" }, "message": { "type": "string" } },
                },
            },
            "correlation_id": { "type": "string", "format": "uuid" },
            "retry_after": number,
            "current_epoch": number,
            "current_version": number,
            "position": { "description": "The position of the read models." },
            "lag_events": number,
        },
        "example": {
            "type": "/errors/not_found", "title": "Not found", "status": 404, "detail": "there is no such task",
            "code": "not_found", "correlation_id": "01890a5d-ac96-774b-bcce-b302099a8057",
        },
    })
}
