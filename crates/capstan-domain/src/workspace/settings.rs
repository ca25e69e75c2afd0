//! What a workspace has decided for everything in it.
//!
//! Nothing in here is a secret: a tool's headers name variables of the server's environment, so that no event, no read
//! and no live stream ever holds a token.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::finite;
use crate::policy::RunPolicy;
use crate::workspace::tool::Tool;

/// What a workspace has decided for everything in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// Tools no agent of the workspace may use; every other is allowed.
    pub disabled_tools: BTreeSet<String>,
    /// The rules of execution of commands that give none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_policy: Option<RunPolicy>,
    /// How much of each thing there may be.
    pub quotas: Quotas,
    /// Limit of what all runs of a day may cost together, in US dollars.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "finite::serialize_option")]
    pub budget_usd_per_day: Option<f64>,
    /// What may be written without asking a person.
    pub approval_policy: ApprovalPolicy,
    /// Where deferred tool calls are executed once they are approved, by the tool's name.
    pub tools: BTreeMap<String, Tool>,
}

/// How much of each thing a workspace may have; without a number there is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Quotas {
    /// Tasks that are not over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_tasks_max: Option<u32>,
    /// Agents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agents_max: Option<u32>,
    /// Schedules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedules_max: Option<u32>,
}

/// What agents may write without asking a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalPolicy {
    /// Nothing.
    #[default]
    Ask,
    /// Everything.
    AutoApproveAll,
    /// Everything but emails.
    ApproveEmailsOnly,
}
