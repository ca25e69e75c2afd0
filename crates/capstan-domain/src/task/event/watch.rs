//! Things outside that wake a task.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{InputId, WatchId};

/// Integrations a watch can look into.
pub const INTEGRATIONS: [&str; 10] =
    ["gmail", "outlook", "gdrive", "notion", "github", "slack", "linear", "posthog", "confluence", "web"];

stored! {
/// Something outside is waited for.
pub struct WatchArmed {
    /// The watch.
    pub watch_id: WatchId,
    /// What for.
    pub watch: SourceWatch,
    /// When.
    pub at: DateTime<Utc>,
}

/// What is waited for. An event matches when its integration is the same and one of its correlation keys is the
/// thread, the message, the entity or the query.
pub struct SourceWatch {
    /// Where it would happen, in lower case.
    pub integration: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The query that would find it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The thread it would be in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<String>,
    /// The message it would follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// The thing it would be about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity_key: Option<String>,
    /// That thing's name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity_label: Option<String>,
    /// The output it is about, as the agent named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_output_id: Option<String>,
    /// Kinds of events; any when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub event_types: Vec<String>,
}

/// It happened.
pub struct WatchFired {
    /// The watch.
    pub watch_id: WatchId,
    /// Names the batch of items, so that the same batch fires once.
    pub items_hash: String,
    /// The input that tells the agent.
    pub input_id: InputId,
    /// When.
    pub at: DateTime<Utc>,
}

/// It is no longer waited for.
pub struct WatchDisarmed {
    /// The watch.
    pub watch_id: WatchId,
    /// Why.
    pub cause: DisarmCause,
    /// When.
    pub at: DateTime<Utc>,
}
}

choice! {
/// Why a watch ended.
pub enum DisarmCause {
    /// It fired.
    Fired,
    /// Another watch took its place.
    Replaced,
    /// A subtask has it now.
    HandedOff,
    /// The task is over.
    Settled,
}
}

impl SourceWatch {
    /// The keys under which it is found.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        [&self.thread_id, &self.message_id, &self.entity_key, &self.query]
            .into_iter()
            .flatten()
            .map(String::as_str)
    }

    /// True when it waits for events of this type; a watch without types waits for any.
    pub fn takes(&self, event_type: Option<&str>) -> bool {
        self.event_types.is_empty()
            || event_type.is_none_or(|kind| self.event_types.iter().any(|taken| taken == kind))
    }
}
