use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The worker gives an attempt back unfinished, because it leaves: another worker may try at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReturnAttempt {
    /// Reason; free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
