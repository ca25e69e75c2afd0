//! Parts of many answers: pages and receipts.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The page's objects.
    pub items: Vec<T>,
    /// Asks for the next page; none on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// The position the page shows.
    #[serde(default)]
    pub position: Option<String>,
}

/// The proof that a command was accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// The command.
    pub command_id: Uuid,
    /// The position of its events in the log; wait for it with `min_position`.
    pub position: String,
    /// The entity's version after it.
    pub version: u64,
    /// True when the same command had been accepted before.
    #[serde(default)]
    pub duplicate: bool,
    /// Every other field, by its wire name.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}
