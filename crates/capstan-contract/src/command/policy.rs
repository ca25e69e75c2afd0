//! Rules of execution as a caller gives them: the domain's shape, with unknown fields refused.
//!
//! Stored policies must tolerate unknown fields, a caller's must not; hence one shape read in two ways. The
//! compiler holds the two lists of fields together.

use capstan_domain::Change;
use capstan_domain::policy::{RetryPolicy, RunPolicy};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// How often and how fast a failed attempt is tried again.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "RetryPolicy")]
pub(crate) struct RetryPolicyBody {
    /// Attempts that may fail before the run does, the first included. At least 1.
    max_attempts: i64,
    /// Pause before the second attempt, in milliseconds.
    delay_ms: i64,
    /// The pause grows by this factor with every further attempt. At least 1.
    factor: f64,
    /// The pause never exceeds this, in milliseconds.
    max_delay_ms: i64,
}

/// The rules a run executes under. Blank fields are filled with the defaults.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "RunPolicy")]
pub(crate) struct RunPolicyBody {
    /// Where: `sandbox`.
    host: String,
    /// What may be executed: `deny`, `allowlist`, `full`.
    security: String,
    /// When a person is asked before a tool writes: `off`, `on-miss`, `always`.
    ask: String,
    /// The isolation the worker must offer: `gvisor`, `runc`.
    runtime_type: String,
    /// Access to the workspace's files: `none`, `ro`, `rw`.
    workspace_access: String,
    /// Whether the run may use the network.
    network_enabled: bool,
    /// Whether inputs may reach the run while it lives.
    interactive: bool,
    /// What the run asks of its machine, for example `{"cpu": 2000}`; numbers by name.
    resources: Map<String, Value>,
    /// How failed attempts are tried again.
    retry: RetryPolicyBody,
}

impl From<RetryPolicyBody> for RetryPolicy {
    fn from(RetryPolicyBody { max_attempts, delay_ms, factor, max_delay_ms }: RetryPolicyBody) -> Self {
        Self { max_attempts, delay_ms, factor, max_delay_ms }
    }
}

impl From<RetryPolicy> for RetryPolicyBody {
    fn from(RetryPolicy { max_attempts, delay_ms, factor, max_delay_ms }: RetryPolicy) -> Self {
        Self { max_attempts, delay_ms, factor, max_delay_ms }
    }
}

impl From<RunPolicyBody> for RunPolicy {
    fn from(policy: RunPolicyBody) -> Self {
        let RunPolicyBody {
            host,
            security,
            ask,
            runtime_type,
            workspace_access,
            network_enabled,
            interactive,
            resources,
            retry,
        } = policy;
        Self {
            host,
            security,
            ask,
            runtime_type,
            workspace_access,
            network_enabled,
            interactive,
            resources,
            retry: retry.into(),
        }
    }
}

impl From<RunPolicy> for RunPolicyBody {
    fn from(policy: RunPolicy) -> Self {
        let RunPolicy {
            host,
            security,
            ask,
            runtime_type,
            workspace_access,
            network_enabled,
            interactive,
            resources,
            retry,
        } = policy;
        Self {
            host,
            security,
            ask,
            runtime_type,
            workspace_access,
            network_enabled,
            interactive,
            resources,
            retry: retry.into(),
        }
    }
}

impl Default for RetryPolicyBody {
    fn default() -> Self {
        RetryPolicy::default().into()
    }
}

impl Default for RunPolicyBody {
    fn default() -> Self {
        RunPolicy::default().into()
    }
}

/// Reads an optional policy and refuses unknown fields.
pub(crate) fn strictly<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<RunPolicy>, D::Error> {
    Ok(Option::<RunPolicyBody>::deserialize(deserializer)?.map(RunPolicy::from))
}

/// Reads what becomes of a policy and refuses unknown fields.
pub(crate) fn change_strictly<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Change<RunPolicy>, D::Error> {
    Ok(Change::<RunPolicyBody>::deserialize(deserializer)?.map(RunPolicy::from))
}
