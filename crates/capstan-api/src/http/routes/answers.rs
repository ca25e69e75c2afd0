//! The schemas of the responses of the routes, besides the rows of the read models.

use capstan_contract::schema::{NamedSchema, answer_schema_of};
use capstan_live::{Control, EventData};
use capstan_projections::{RebuildReport, TaskTree, VerifyReport};
use serde_json::{Map, Value};

use super::health::Health;
use super::live::Snapshot;
use super::schemas::SchemaNames;
use crate::problem::ProblemDocument;
use crate::receipt::Receipt;
use crate::use_case::agent::Stats;
use crate::use_case::archive_all_outputs::ArchivedOutputs;
use crate::use_case::dead_letters::{DeadLetter, Handled};
use crate::use_case::fence::AcceptedLines;
use crate::use_case::history::HistoryEntry;
use crate::use_case::interaction::Interaction;
use crate::use_case::logs::LogEntry;
use crate::use_case::preview::Preview;
use crate::use_case::projection::{Job, Projection};
use crate::use_case::publish_source_event::Delivery;
use crate::use_case::readiness::Report;
use crate::use_case::run_snapshots::RunSnapshot;
use crate::use_case::task_batch::{TaskEventBatch, WorkspaceLiveBatch};
use crate::use_case::why::Why;
use crate::use_case::worker::Draining;

/// Response schemas by the names the route table uses.
pub(crate) static ANSWERS: &[NamedSchema] = &[
    NamedSchema { name: "problem", schema: || answer_schema_of::<ProblemDocument<'static>>("problem") },
    NamedSchema { name: "delivery", schema: || answer_schema_of::<Delivery>("delivery") },
    NamedSchema { name: "dead-letter", schema: || answer_schema_of::<DeadLetter>("dead-letter") },
    NamedSchema {
        name: "handled-dead-letter",
        schema: || answer_schema_of::<Handled>("handled-dead-letter"),
    },
    NamedSchema { name: "rebuild", schema: || answer_schema_of::<Job<RebuildReport>>("rebuild") },
    NamedSchema { name: "verification", schema: || answer_schema_of::<Job<VerifyReport>>("verification") },
    NamedSchema { name: "draining", schema: || answer_schema_of::<Draining>("draining") },
    NamedSchema { name: "accepted-lines", schema: || answer_schema_of::<AcceptedLines>("accepted-lines") },
    NamedSchema { name: "health", schema: || answer_schema_of::<Health>("health") },
    NamedSchema { name: "readiness", schema: || answer_schema_of::<Report>("readiness") },
    NamedSchema { name: "schema-names", schema: || answer_schema_of::<SchemaNames>("schema-names") },
    NamedSchema {
        name: "agent-defaults",
        schema: || answer_schema_of::<Map<String, Value>>("agent-defaults"),
    },
    NamedSchema { name: "event-data", schema: || answer_schema_of::<EventData<'static>>("event-data") },
    NamedSchema { name: "control-frame", schema: || answer_schema_of::<Control>("control-frame") },
    NamedSchema { name: "snapshot", schema: || answer_schema_of::<Snapshot>("snapshot") },
    NamedSchema { name: "receipt", schema: || answer_schema_of::<Receipt>("receipt") },
    NamedSchema { name: "history-entry", schema: || answer_schema_of::<HistoryEntry>("history-entry") },
    NamedSchema { name: "log-entry", schema: || answer_schema_of::<LogEntry>("log-entry") },
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
