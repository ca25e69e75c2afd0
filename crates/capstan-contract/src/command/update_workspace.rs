use std::collections::BTreeMap;

use capstan_domain::Change;
use capstan_domain::policy::RunPolicy;
use capstan_domain::workspace::settings::ApprovalPolicy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Changes a workspace; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UpdateWorkspace {
    /// Display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Settings to change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<SettingsChanges>,
}

/// Settings to change; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SettingsChanges {
    /// All tools that no agent may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_tools: Option<Vec<String>>,
    /// The rules of execution of commands that give none; null takes them away.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub default_policy: Change<RunPolicy>,
    /// Quotas of the workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quotas: Option<QuotaSettings>,
    /// Limit of what all runs of a day may cost together, in US dollars; null lifts it.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub budget_usd_per_day: Change<f64>,
    /// Tool calls that need no approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_policy: Option<ApprovalPolicy>,
    /// Endpoints that execute deferred tool calls, by tool name; null removes one, the others keep their value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tools: BTreeMap<String, Option<ToolSettings>>,
}

/// Quotas of a workspace; null removes a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QuotaSettings {
    /// Most tasks that are not terminal.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub open_tasks_max: Change<u32>,
    /// Most agents.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub agents_max: Change<u32>,
    /// Most schedules.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub schedules_max: Change<u32>,
}

/// An HTTP endpoint that executes the deferred calls of a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ToolSettings {
    /// URL the call is posted to.
    pub url: String,
    /// Headers sent along. A value is `env:CAPSTAN_TOOL_…`, a variable of the server's environment, if need be after
    /// `Bearer `, `Basic ` or `Token `.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Longest time a call may take, in milliseconds; 30,000 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u32>,
}
