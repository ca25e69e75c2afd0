//! The accepted command, as the field `payload_json` of a task.

use capstan_domain::id::AgentId;
use capstan_domain::policy::RunPolicy;
use capstan_domain::task::event::{Priority, TaskAccepted};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

/// The command as frozen at acceptance.
#[serde_with::skip_serializing_none]
#[derive(Serialize, JsonSchema)]
pub(super) struct Payload<'a> {
    message: &'a str,
    session_id: &'a str,
    session_key: Option<&'a str>,
    agent_id: AgentId,
    hook_id: Option<&'a str>,
    timeout_ms: i64,
    policy: &'a RunPolicy,
    lane: Option<&'a str>,
    extra_system_prompt: Option<&'a str>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    input_provenance: &'a Map<String, Value>,
    deliver: Option<bool>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    attachments: &'a [Map<String, Value>],
    instance_key: &'a str,
    label: Option<&'a str>,
    spawned_by: Option<&'a str>,
    priority: Priority,
    provider: Option<&'a str>,
    model: Option<&'a str>,
    agent_config_version: u64,
    source_view_id: Option<&'a str>,
    queue_ttl_ms: Option<i64>,
}

impl<'a> Payload<'a> {
    pub(super) fn new(accepted: &'a TaskAccepted) -> Self {
        Self {
            message: &accepted.message,
            session_id: &accepted.session_id,
            session_key: accepted.session_key.as_deref(),
            agent_id: accepted.agent_id,
            hook_id: accepted.hook_id.as_deref(),
            timeout_ms: accepted.timeout_ms,
            policy: &accepted.policy,
            lane: accepted.lane.as_deref(),
            extra_system_prompt: accepted.extra_system_prompt.as_deref(),
            input_provenance: &accepted.input_provenance,
            deliver: accepted.deliver,
            attachments: &accepted.attachments,
            instance_key: &accepted.instance_key,
            label: accepted.label.as_deref(),
            spawned_by: accepted.spawned_by.as_deref(),
            priority: accepted.priority,
            provider: accepted.provider.as_deref(),
            model: accepted.model.as_deref(),
            agent_config_version: accepted.agent_config_version,
            source_view_id: accepted.source_view_id.as_deref(),
            queue_ttl_ms: accepted.queue_ttl_ms,
        }
    }
}
