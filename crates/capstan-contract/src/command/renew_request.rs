use capstan_domain::id::AttemptId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A worker renews the leases it holds, all at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct RenewRequest(pub Vec<Renewal>);

/// One lease to renew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Renewal {
    /// The attempt.
    pub attempt_id: AttemptId,
    /// The epoch of its lease.
    pub epoch: u64,
}
