//! The settings of a workspace.
//!
//! Nothing in here is a secret: a tool's headers name variables of the server's environment, so that no event, no read
//! and no live stream ever holds a token.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::finite;
use crate::policy::RunPolicy;
use crate::workspace::tool::Tool;

/// The settings of a workspace.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// Tools no agent of the workspace may use; every other is allowed.
    pub disabled_tools: BTreeSet<String>,
    /// The default policy of commands.
    #[serde(with = "crate::policy::based::option")]
    #[schemars(with = "Option<crate::policy::based::Drawn>")]
    pub default_policy: Option<RunPolicy>,
    /// Quotas of the workspace.
    pub quotas: Quotas,
    /// Limit of what all runs of a day may cost together, in US dollars.
    #[serde(serialize_with = "finite::serialize_option")]
    pub budget_usd_per_day: Option<f64>,
    /// Writes allowed without asking a person.
    pub approval_policy: ApprovalPolicy,
    /// Executors of approved tool calls, by the tool's name.
    pub tools: BTreeMap<String, Tool>,
}

/// Quotas of a workspace; an absent one is no limit.
#[serde_with::skip_serializing_none]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Quotas {
    /// Number of open tasks.
    pub open_tasks_max: Option<u32>,
    /// Number of agents.
    pub agents_max: Option<u32>,
    /// Number of schedules.
    pub schedules_max: Option<u32>,
}

/// Writes agents may make without asking a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalPolicy {
    /// Nothing may be written.
    #[default]
    Ask,
    /// Everything may be written.
    AutoApproveAll,
    /// Everything but emails may be written.
    ApproveEmailsOnly,
}
