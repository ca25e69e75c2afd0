use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A worker has carried out an approved tool call. It failed when there is an error or an exit code other than 0.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReportToolCall {
    /// Exit code of the tool, if any.
    pub exit_code: Option<i32>,
    /// Standard output of the tool.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stdout: String,
    /// Standard error of the tool.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stderr: String,
    /// Error message.
    pub error: Option<String>,
}
