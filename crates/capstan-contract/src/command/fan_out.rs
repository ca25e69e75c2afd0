use capstan_domain::policy::RunPolicy;
use capstan_domain::task::command::SubtaskSpec;
use capstan_domain::task::event::SourceWatch;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A child to make. What is absent is inherited.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SubtaskRequest {
    /// Prompt of the subtask; a subtask without one is dropped.
    #[serde(default)]
    pub prompt: String,
    /// Display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The same as `label`, which wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity_label: Option<String>,
    /// The output it is about, as the agent names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_output_id: Option<String>,
    /// Sleep this long first, in minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake_delay_minutes: Option<i64>,
    /// `low`, `normal`, `high` or `urgent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
    /// Limit in US dollars; never more than the parent has left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_usd: Option<f64>,
    /// Rules of execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<RunPolicy>,
}

impl From<SubtaskRequest> for SubtaskSpec {
    fn from(body: SubtaskRequest) -> Self {
        Self {
            prompt: body.prompt,
            label: body.label.or(body.entity_label),
            source_output_id: body.source_output_id,
            wake_delay_minutes: body.wake_delay_minutes,
            priority: body.priority,
            budget_usd: body.budget_usd,
            policy: body.policy,
        }
    }
}

/// Something outside to wait for; one without an integration, or without a query, a thread and a message, is dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceWatchRequest {
    /// Integration that reports it: gmail, outlook, gdrive, notion, github, slack, linear, posthog, confluence or web.
    #[serde(default)]
    pub integration: String,
    /// Reason; free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The query that would find it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The thread it would be in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<String>,
    /// The message it would follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// The thing it would be about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity_key: Option<String>,
    /// That thing's name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity_label: Option<String>,
    /// The output it is about, as the agent names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_output_id: Option<String>,
    /// Kinds of events; any when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub event_types: Vec<String>,
}

impl From<SourceWatchRequest> for SourceWatch {
    fn from(body: SourceWatchRequest) -> Self {
        Self {
            integration: body.integration,
            reason: body.reason,
            query: body.query,
            thread_id: body.thread_id,
            message_id: body.message_id,
            entity_key: body.entity_key,
            entity_label: body.entity_label,
            source_output_id: body.source_output_id,
            event_types: body.event_types,
        }
    }
}
