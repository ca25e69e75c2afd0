//! The schemas of what the api answers besides the rows of the read models.

use capstan_contract::schema::{NamedSchema, answer_schema_of};
use capstan_projections::TaskTree;
use serde_json::{Map, Value, json};

use crate::http::routes::{AgentStatsShown, Projection, ToolDecision};
use crate::problem::Code;
use crate::receipt::Receipt;
use crate::use_case::archive_all_outputs::ArchivedOutputs;
use crate::use_case::history::HistoryEntry;
use crate::use_case::interaction::Interaction;
use crate::use_case::logs::LogEntry;
use crate::use_case::preview::Preview;
use crate::use_case::run_snapshots::RunSnapshot;
use crate::use_case::task_batch::{TaskEventBatch, WorkspaceLiveBatch};
use crate::use_case::why::Why;

/// Answers by the names the route table gives them.
pub(super) static ANSWERS: &[NamedSchema] = &[
    NamedSchema { name: "receipt", schema: || answer_schema_of::<Receipt>("receipt") },
    NamedSchema { name: "history-entry", schema: || answer_schema_of::<HistoryEntry>("history-entry") },
    NamedSchema { name: "log-entry", schema: log_entry },
    NamedSchema { name: "run-snapshot", schema: || answer_schema_of::<RunSnapshot>("run-snapshot") },
    NamedSchema { name: "interaction", schema: || answer_schema_of::<Interaction>("interaction") },
    NamedSchema { name: "schedule-preview", schema: || answer_schema_of::<Preview>("schedule-preview") },
    NamedSchema { name: "task-tree", schema: || answer_schema_of::<TaskTree>("task-tree") },
    NamedSchema {
        name: "archived-outputs",
        schema: || answer_schema_of::<ArchivedOutputs>("archived-outputs"),
    },
    NamedSchema { name: "why", schema: || answer_schema_of::<Why>("why") },
    NamedSchema { name: "agent-stats", schema: || answer_schema_of::<AgentStatsShown>("agent-stats") },
    NamedSchema { name: "tool-decision", schema: || answer_schema_of::<ToolDecision>("tool-decision") },
    NamedSchema { name: "projection", schema: || answer_schema_of::<Projection>("projection") },
    NamedSchema {
        name: "task-event-batch",
        schema: || answer_schema_of::<TaskEventBatch>("task-event-batch"),
    },
    NamedSchema {
        name: "workspace-live-batch",
        schema: || answer_schema_of::<WorkspaceLiveBatch>("workspace-live-batch"),
    },
];

/// A line as it is read: what every line has is named, the rest is its own.
fn log_entry() -> Value {
    let mut schema = answer_schema_of::<LogEntry>("log-entry");
    if let Some(schema) = schema.as_object_mut() {
        let uuid = json!({ "type": "string", "format": "uuid" });
        // What the task was told stands before all lines and is of no run.
        schema.insert("required".to_owned(), json!(["seq", "task_id"]));
        schema.insert(
            "properties".to_owned(),
            json!({ "seq": { "type": "integer", "minimum": 0 }, "task_id": uuid, "run_id": uuid,
                    "kind": { "enum": ["log", "run-event"] } }),
        );
    }
    schema
}

/// Schemas that are written, not derived.
pub(super) fn add_fixed(schemas: &mut Map<String, Value>) {
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
            "type": { "type": "string", "description": "A page that explains the code." },
            "title": { "type": "string" },
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
            "detail": { "type": "string", "description": "What happened this time, for people." },
            "code": { "enum": codes, "description": "The kind of no; stable." },
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
            "position": { "description": "Where the read models stand." },
            "lag_events": number,
        },
        "example": {
            "type": "/errors/not_found", "title": "Not found", "status": 404, "detail": "there is no such task",
            "code": "not_found", "correlation_id": "01890a5d-ac96-774b-bcce-b302099a8057",
        },
    })
}
