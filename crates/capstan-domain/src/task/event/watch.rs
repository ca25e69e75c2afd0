//! Things outside that wake a task.

use crate::id::{InputId, WatchId};
use crate::implied::{self, At};

/// Integrations a watch can look into.
pub const INTEGRATIONS: [&str; 10] =
    ["gmail", "outlook", "gdrive", "notion", "github", "slack", "linear", "posthog", "confluence", "web"];

stored! {
/// A watch was armed.
pub struct WatchArmed {
    /// The watch.
    pub watch_id: WatchId,
    /// The watch as requested.
    pub watch: SourceWatch,
    /// Time of the event.
    pub at: At,
}

/// A source to watch. An event matches when its integration is the same and one of its correlation keys is the
/// thread, the message, the entity or the query.
pub struct SourceWatch {
    /// The integration, in lower case.
    pub integration: String,
    /// The reason, for people.
    pub reason: Option<String>,
    /// The query that would find it.
    pub query: Option<String>,
    /// The thread it would be in.
    pub thread_id: Option<String>,
    /// The message it would follow.
    pub message_id: Option<String>,
    /// The key of the entity it is about.
    pub entity_key: Option<String>,
    /// The entity's name for people.
    pub entity_label: Option<String>,
    /// The output it is about, as the agent named it.
    pub source_output_id: Option<String>,
    /// Kinds of events; any when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub event_types: Vec<String>,
}

/// A watch fired.
pub struct WatchFired {
    /// The watch.
    pub watch_id: WatchId,
    /// Fingerprint of the batch of items under the key of the log, so that the same batch fires once.
    #[serde(with = "implied::batch")]
    #[schemars(with = "String")]
    pub fingerprint: String,
    /// The input that informs the agent.
    #[serde(default = "implied::batch_input", with = "implied::input")]
    #[serde(skip_serializing_if = "implied::is_batch_input")]
    #[schemars(with = "InputId", transform = implied::drawn)]
    pub input_id: InputId,
    /// Time of the event.
    pub at: At,
}

/// A watch was disarmed.
pub struct WatchDisarmed {
    /// The watch.
    pub watch_id: WatchId,
    /// The reason, for people.
    pub cause: DisarmCause,
    /// Time of the event.
    pub at: At,
}
}

choice! {
/// The cause of the end of a watch.
pub enum DisarmCause {
    /// It fired.
    Fired = "fired",
    /// Another watch took its place.
    Replaced = "replaced",
    /// A subtask has it now.
    HandedOff = "handed_off",
    /// The task is over.
    Settled = "settled",
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
