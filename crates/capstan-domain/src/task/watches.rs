//! Source events a task may watch for. The task's own state decides whether a watch matches, so whoever looks for matches
//! may be late or wrong.

use chrono::{DateTime, Utc};

use serde_json::Value;

use crate::id::{InputId, derived};
use crate::task::command::FireWatch;
use crate::task::event::{Event, InputSource, SourceWatch, WatchFired};
use crate::task::state::Task;
use crate::task::steps::input;

/// Most items an input lists one by one.
const ITEMS_MAX: usize = 20;

impl FireWatch {
    /// Names the event by what is new: the same items in any order are the same event.
    pub fn items_hash(&self) -> String {
        let mut items: Vec<String> = self.items.iter().map(text_of).collect();
        items.sort_unstable();
        items.dedup();
        let kind = self.event_type.as_deref().unwrap_or_default();
        let mut parts = vec!["items", self.integration.as_str(), kind];
        parts.extend(items.iter().map(String::as_str));
        derived(&parts).to_string()
    }
}

fn text_of(item: &Value) -> String {
    item.as_str().map_or_else(|| item.to_string(), |text| text.trim().to_owned())
}

/// Accepts one input for an event, however many watches match; none for an event that fired before.
pub(super) fn fire(task: &Task, command: &FireWatch, at: DateTime<Utc>) -> Vec<Event> {
    let items_hash = command.items_hash();
    let matches = |watch: &&SourceWatch| {
        watch.integration == command.integration
            && watch.takes(command.event_type.as_deref())
            && watch.keys().any(|key| command.correlation_keys.iter().any(|given| given == key))
    };
    let found = task.watches.iter().find(|(_, watch)| matches(watch));
    let Some((watch_id, watch)) = found.filter(|_| !task.state.is_terminal()) else { return Vec::new() };
    if task.watches.batches.contains(&items_hash) {
        return Vec::new();
    }
    let input_id = InputId::from_key(task.id(), &format!("watch:{items_hash}"));
    let mut events = vec![Event::WatchFired(WatchFired { watch_id: *watch_id, items_hash, input_id, at })];
    let message = news(watch, &command.items);
    events.extend(input::report(task, input_id, InputSource::Watch, message, at));
    events
}

/// The message about an event.
fn news(watch: &SourceWatch, items: &[Value]) -> String {
    let mut text = format!("News from {}:", watch.integration);
    for item in items.iter().take(ITEMS_MAX) {
        text.push_str(&format!("\n- {}", text_of(item)));
    }
    if items.len() > ITEMS_MAX {
        text.push_str(&format!("\n- and {} more", items.len() - ITEMS_MAX));
    }
    if let Some(reason) = &watch.reason {
        text.push_str(&format!("\n\nYou were waiting: {reason}."));
    }
    if let (Some(thread), "gmail" | "outlook") = (&watch.thread_id, watch.integration.as_str()) {
        text.push_str(&format!("\nReply in the {} thread {thread}.", watch.integration));
    }
    text
}
