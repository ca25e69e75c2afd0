//! The schemas of the responses of the routes, besides the rows of the read models.

use capstan_contract::schema::NamedSchema;
use capstan_live::{Control, EventData};
use capstan_projections::{NumberedRow, RebuildReport, TaskTree, VerifyReport};
use serde_json::{Map, Value};

use super::health::Health;
use super::live::Snapshot;
use super::schemas::SchemaNames;
use crate::problem::ProblemDocument;
use crate::receipt::Receipt;
use crate::use_case::agent::Stats;
use crate::use_case::agent_config::NumberedConfig;
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

/// Response schemas by the names that the lists of requests use.
pub(crate) static ANSWERS: &[NamedSchema] = &[
    NamedSchema::of_answer::<ProblemDocument<'static>>("problem"),
    NamedSchema::of_answer::<Delivery>("delivery"),
    NamedSchema::of_answer::<DeadLetter>("dead-letter"),
    NamedSchema::of_answer::<Handled>("handled-dead-letter"),
    NamedSchema::of_answer::<Job<RebuildReport>>("rebuild"),
    NamedSchema::of_answer::<Job<VerifyReport>>("verification"),
    NamedSchema::of_answer::<Draining>("draining"),
    NamedSchema::of_answer::<AcceptedLines>("accepted-lines"),
    NamedSchema::of_answer::<Health>("health"),
    NamedSchema::of_answer::<Report>("readiness"),
    NamedSchema::of_answer::<SchemaNames>("schema-names"),
    NamedSchema::of_answer::<NumberedConfig>("agent-configuration"),
    NamedSchema::of_answer::<Map<String, Value>>("agent-defaults"),
    NamedSchema::of_answer::<EventData<'static>>("event-data"),
    NamedSchema::of_answer::<Control>("control-frame"),
    NamedSchema::of_answer::<Snapshot>("snapshot"),
    NamedSchema::of_answer::<Receipt>("receipt"),
    NamedSchema::of_answer::<HistoryEntry>("history-entry"),
    NamedSchema::of_answer::<LogEntry>("log-entry"),
    NamedSchema::of_answer::<RunSnapshot>("run-snapshot"),
    NamedSchema::of_answer::<Interaction>("interaction"),
    NamedSchema::of_answer::<Preview>("schedule-preview"),
    NamedSchema::of_answer::<TaskTree>("task-tree"),
    NamedSchema::of_answer::<NumberedRow>("output-row"),
    NamedSchema::of_answer::<ArchivedOutputs>("archived-outputs"),
    NamedSchema::of_answer::<Why>("why"),
    NamedSchema::of_answer::<Stats>("agent-stats"),
    NamedSchema::of_answer::<Projection>("projection"),
    NamedSchema::of_answer::<TaskEventBatch>("task-event-batch"),
    NamedSchema::of_answer::<WorkspaceLiveBatch>("workspace-live-batch"),
];
