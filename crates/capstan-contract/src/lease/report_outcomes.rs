use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::LeasedAttempt;

/// The outcomes of reports that were sent together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReportOutcomes {
    /// The outcome of each report, in the order of the request: the answer to its single call with the HTTP status of it as
    /// `status`, or the problem document.
    pub reports: Vec<Map<String, Value>>,
    /// The attempts leased to the worker; empty unless it asked for some.
    #[serde(default)]
    pub leased: Vec<LeasedAttempt>,
    /// The problem document of the request for work, when that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_problem: Option<Map<String, Value>>,
}
