use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Sets the limits of an execution class. What is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigureClass {
    /// Key of the class, as tasks name it.
    pub instance_key: String,
    /// Attempts of the class that may run at once; 0 = the server's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_dispatch_concurrency: Option<u32>,
    /// Failures in a row after which nothing is given out for a while; 0 = the default of 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_attempt_threshold: Option<u32>,
    /// False pauses the class: no attempt is leased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// Forget all failures.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reset: bool,
}
