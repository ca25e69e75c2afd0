//! The schemas of the responses of the routes, besides the rows of the read models.

use capstan_contract::schema::{NamedSchema, answer_schema_of};
use capstan_projections::TaskTree;
use serde_json::{Value, json};

use crate::receipt::Receipt;
use crate::use_case::agent::Stats;
use crate::use_case::archive_all_outputs::ArchivedOutputs;
use crate::use_case::history::HistoryEntry;
use crate::use_case::interaction::Interaction;
use crate::use_case::logs::LogEntry;
use crate::use_case::preview::Preview;
use crate::use_case::projection::Projection;
use crate::use_case::run_snapshots::RunSnapshot;
use crate::use_case::task_batch::{TaskEventBatch, WorkspaceLiveBatch};
use crate::use_case::tool_call::ToolDecision;
use crate::use_case::why::Why;

/// Response schemas by the names the route table uses.
pub(crate) static ANSWERS: &[NamedSchema] = &[
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
    NamedSchema { name: "agent-stats", schema: || answer_schema_of::<Stats>("agent-stats") },
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

/// A log line: the fields every line has are listed, others may follow.
fn log_entry() -> Value {
    let mut schema = answer_schema_of::<LogEntry>("log-entry");
    if let Some(schema) = schema.as_object_mut() {
        let uuid = json!({ "type": "string", "format": "uuid" });
        // The prompt of the task comes before all lines and belongs to no run.
        schema.insert("required".to_owned(), json!(["seq", "task_id"]));
        schema.insert(
            "properties".to_owned(),
            json!({ "seq": { "type": "integer", "minimum": 0 }, "task_id": uuid, "run_id": uuid,
                    "kind": { "enum": ["log", "run-event"] } }),
        );
    }
    schema
}
