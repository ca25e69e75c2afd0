use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Appends log lines of a running agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AppendLogs {
    /// The lines, in order.
    pub lines: Vec<LogLine>,
}

/// One line.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LogLine {
    /// Stream of the line.
    pub stream: LogStream,
    /// Time it occurred; the time of arrival when absent.
    pub ts: Option<DateTime<Utc>>,
    /// Kind of the piece, if the writer distinguishes kinds.
    pub chunk_type: Option<String>,
    /// The text.
    pub data: String,
    /// Additional names and values.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

/// The origin of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogStream {
    /// Standard output of the agent.
    Stdout,
    /// Standard error of the agent, and refusals of what it reported.
    Stderr,
    /// Messages of the program that runs the agent.
    System,
}
