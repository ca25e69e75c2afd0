//! Commands about outputs: of the holder of the task's lease, and of callers from outside.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::canonical;
use crate::id::{OutputId, TaskId};
use crate::task::event::OutputStatus;

/// Declares the bodies that describe an output: that of a worker, and that of a caller, who names the task.
macro_rules! output_bodies {
    ($($(#[$doc:meta])* $field:ident: $type:ty,)*) => {
        /// The agent produced something. The same id or name inside a task is the same output.
        #[serde_with::skip_serializing_none]
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        pub struct ProduceOutput {
            $($(#[$doc])* pub $field: $type,)*
        }

        /// Adds an output to a task from outside. The same id or name inside a task is the same output.
        #[serde_with::skip_serializing_none]
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        pub struct CreateTaskOutput {
            /// Id of the task.
            pub task_id: TaskId,
            $($(#[$doc])* pub $field: $type,)*
        }

        impl From<CreateTaskOutput> for ProduceOutput {
            fn from(body: CreateTaskOutput) -> Self {
                Self { $($field: body.$field,)* }
            }
        }
    };
}

output_bodies! {
    /// Its id, when the producer chose one.
    id: Option<OutputId>,
    /// The producer's name for it; its id derives from this when no id is given.
    name: Option<String>,
    /// Type of the output, free.
    output_type: String,
    /// Display name.
    title: String,
    /// Short summary.
    summary: Option<String>,
    /// Address of the content.
    uri: Option<String>,
    /// Content of the output.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    data: Map<String, Value>,
    /// Additional names and values.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    metadata: Map<String, Value>,
    /// `active` when absent, or `pending` when it waits for a decision.
    status: Option<NewOutputStatus>,
}

choice! {
    /// The status of a new output.
    pub enum NewOutputStatus {
        /// It waits for nothing.
        Active = "active",
        /// It waits for a decision.
        Pending = "pending",
    }
}

impl From<NewOutputStatus> for OutputStatus {
    fn from(status: NewOutputStatus) -> Self {
        match status {
            NewOutputStatus::Active => Self::Active,
            NewOutputStatus::Pending => Self::Pending,
        }
    }
}

impl ProduceOutput {
    /// The id of the output: the same for the same id or name inside a task, so that it can meet no other task's.
    /// `unnamed` gives it when the producer named neither.
    pub fn output_id(&self, task: TaskId, unnamed: impl FnOnce() -> OutputId) -> OutputId {
        let name = self.name.as_deref().map(str::trim).filter(|name| !name.is_empty());
        match (self.id, name) {
            (Some(id), _) => OutputId::from_id(task, id),
            (None, Some(name)) => OutputId::from_name(task, name),
            (None, None) => unnamed(),
        }
    }

    /// The text by which a repeat is known, independent of producer and time. It is stored as its fingerprint under the key
    /// of the log, which only the application has.
    pub fn identity(&self, task: TaskId) -> String {
        let Self { id: _, name: _, output_type, title, summary, uri, data, metadata, status } = self;
        let (output_type, title) = (output_type.trim(), title.trim());
        let status = status.map_or(OutputStatus::Active, Into::into);
        canonical::text(json!(["output", task, output_type, title, summary, uri, data, metadata, status]))
    }
}

/// Adds rows to an output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AppendOutputRows {
    /// Id of the output.
    pub output_id: OutputId,
    /// The new rows, at most 10,000.
    pub rows: Vec<Value>,
}

/// Adds rows to an output from outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AppendTaskOutputRows {
    /// Id of the task.
    pub task_id: TaskId,
    /// Id of the output.
    pub output_id: OutputId,
    /// The new rows, at most 10,000.
    pub rows: Vec<Value>,
}

/// Gives an output its final summary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FinalizeOutput {
    /// Id of the output.
    pub output_id: OutputId,
    /// The summary.
    pub summary: String,
}

impl FinalizeOutput {
    /// The text by which a repeat is known; see [`ProduceOutput::identity`].
    pub fn identity(&self, task: TaskId) -> String {
        canonical::text(json!(["summary", task, self.output_id, self.summary]))
    }
}

/// Gives an output its final summary from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FinalizeTaskOutput {
    /// Id of the task.
    pub task_id: TaskId,
    /// Id of the output.
    pub output_id: OutputId,
    /// The summary.
    pub summary: String,
}

/// Archives an output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ArchiveOutput {
    /// Id of the output.
    pub output_id: OutputId,
}

/// Archives outputs; archived ones stay as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveOutputs {
    /// Ids of the outputs.
    pub output_ids: Vec<OutputId>,
}
