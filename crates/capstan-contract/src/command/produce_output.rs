use capstan_domain::id::{AttemptId, OutputId, TaskId};
use capstan_domain::task::command;
use capstan_domain::task::event::OutputStatus;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A body that describes an output, with the fields that are only its own.
macro_rules! output_body {
    ($(#[$doc:meta])* $body:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
                pub struct $body {
            $($(#[$field_doc])* pub $field: $type,)*
            /// Its id, when the producer chose one.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub id: Option<OutputId>,
            /// The producer's name for it; its id derives from this when no id is given.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub name: Option<String>,
            /// Type of the output, free.
            pub output_type: String,
            /// Display name.
            pub title: String,
            /// Short summary.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub summary: Option<String>,
            /// Address of the content.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub uri: Option<String>,
            /// Content of the output.
            #[serde(default, skip_serializing_if = "Map::is_empty")]
            pub data: Map<String, Value>,
            /// Additional names and values.
            #[serde(default, skip_serializing_if = "Map::is_empty")]
            pub metadata: Map<String, Value>,
            /// `active` when absent, or `pending` when it waits for a decision.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub status: Option<OutputStatus>,
        }

        impl $body {
            /// The id of the output: the same for the same id or name inside a task, so that it can meet no other
            /// task's. `unnamed` gives it when the producer named neither.
            pub fn output_id(&self, task: TaskId, unnamed: impl FnOnce() -> OutputId) -> OutputId {
                let name = self.name.as_deref().map(str::trim).filter(|name| !name.is_empty());
                match (self.id, name) {
                    (Some(id), _) => OutputId::of_name(task, &id.to_string()),
                    (None, Some(name)) => OutputId::of_name(task, name),
                    (None, None) => unnamed(),
                }
            }

            /// The command to the task.
            pub fn to_command(
                &self,
                attempt_id: Option<AttemptId>,
                output_id: OutputId,
            ) -> command::ProduceOutput {
                command::ProduceOutput {
                    attempt_id,
                    output_id,
                    output_type: self.output_type.clone(),
                    title: self.title.clone(),
                    summary: self.summary.clone(),
                    uri: self.uri.clone(),
                    data: self.data.clone(),
                    metadata: self.metadata.clone(),
                    status: self.status.unwrap_or(OutputStatus::Active),
                }
            }
        }
    };
}

output_body! {
    /// The agent produced something. The same id or name inside a task is the same output.
    ProduceOutput {}
}

output_body! {
    /// Adds an output to a task from outside. The same id or name inside a task is the same output.
    CreateTaskOutput {
        /// Id of the task.
        task_id: TaskId,
    }
}
