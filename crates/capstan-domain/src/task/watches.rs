//! Source events a task may watch for. The task's own state decides whether a watch matches, so whoever looks for matches
//! may be late or wrong.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::canonical;
use crate::id::{InputId, TaskId};
use crate::task::command::{FireWatch, PublishSourceEvent};
use crate::task::event::{Event, INTEGRATIONS, InputSource, SourceWatch, WatchFired};
use crate::task::shortened::shortened_as_json;
use crate::task::state::Task;
use crate::task::steps::input;
use crate::text::non_blank;
use crate::{Fault, Faults};

/// Most keys and most items of one event.
const LIST_MAX: usize = 1000;
/// Most items an input lists one by one.
const ITEMS_MAX: usize = 20;
/// Longest item that is told, in bytes.
const ITEM_BYTES_MAX: usize = 4 << 10;

impl PublishSourceEvent {
    /// The event in normal form: texts trimmed, each key once.
    pub fn checked(&self) -> Result<FireWatch, Vec<Fault>> {
        let mut faults = Faults::default();
        let integration = faults.required("/integration", &self.integration).to_lowercase();
        if !integration.is_empty() && !INTEGRATIONS.contains(&integration.as_str()) {
            faults.add("/integration", format!("unsupported source watch integration {integration:?}"));
        }
        let mut correlation_keys: Vec<_> =
            self.correlation_keys.iter().filter_map(|key| non_blank(Some(key))).collect();
        correlation_keys.sort_unstable();
        correlation_keys.dedup();
        for (name, len) in [("correlation_keys", correlation_keys.len()), ("items", self.items.len())] {
            let holds = (1..=LIST_MAX).contains(&len);
            faults.require(
                holds,
                &format!("/{name}"),
                format_args!("{name} must have 1 to {LIST_MAX} entries"),
            );
        }
        faults.into_result()?;
        Ok(FireWatch {
            integration,
            correlation_keys,
            items: self.items.clone(),
            event_type: non_blank(self.event_type.as_deref()),
        })
    }
}

impl FireWatch {
    /// The text by which a repeat is known: the same items in any order are the same event. It is stored as its fingerprint
    /// under the key of the log, which only the application has.
    pub fn identity(&self, task: TaskId) -> String {
        let mut items: Vec<String> = self.items.iter().map(text_of).collect();
        items.sort_unstable();
        items.dedup();
        canonical::text(json!(["source event", task, self.integration, self.event_type, items]))
    }
}

fn text_of(item: &Value) -> String {
    item.as_str().map_or_else(|| item.to_string(), |text| text.trim().to_owned())
}

/// Accepts one input for an event, however many watches match; none for an event that fired before.
pub(super) fn fire(task: &Task, command: &FireWatch, fingerprint: &str, at: DateTime<Utc>) -> Vec<Event> {
    let matches = |watch: &&SourceWatch| {
        watch.integration == command.integration
            && watch.takes(command.event_type.as_deref())
            && watch.keys().any(|key| command.correlation_keys.iter().any(|given| given == key))
    };
    let found = task.watches.iter().find(|(_, watch)| matches(watch));
    let Some((watch_id, watch)) = found.filter(|_| !task.state.is_terminal()) else { return Vec::new() };
    if task.watches.batches.iter().any(|batch| batch == fingerprint) {
        return Vec::new();
    }
    let (watch_id, fingerprint) = (*watch_id, fingerprint.to_owned());
    let input_id = InputId::of_batch(task.id(), &fingerprint);
    let mut events = vec![Event::WatchFired(WatchFired { watch_id, fingerprint, input_id, at })];
    let message = news(watch, &command.items);
    events.extend(input::report(task, input_id, InputSource::Watch, message, at));
    events
}

/// The message about an event.
fn news(watch: &SourceWatch, items: &[Value]) -> String {
    let mut text = format!("News from {}:", watch.integration);
    for item in items.iter().take(ITEMS_MAX) {
        text.push_str(&format!("\n- {}", shortened_as_json(&text_of(item), ITEM_BYTES_MAX)));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_event_is_matched_in_normal_form() {
        let event = PublishSourceEvent {
            integration: " Gmail ".into(),
            correlation_keys: vec!["t-2".into(), " t-1 ".into(), " ".into(), "t-2".into()],
            items: vec![json!("a")],
            event_type: Some(" ".into()),
        };
        let normal = FireWatch {
            integration: "gmail".into(),
            correlation_keys: vec!["t-1".into(), "t-2".into()],
            items: vec![json!("a")],
            event_type: None,
        };
        assert_eq!(event.checked(), Ok(normal));
    }

    #[test]
    fn all_faults_of_a_source_event_are_reported_together() {
        let pointers = |event: PublishSourceEvent| {
            event.checked().unwrap_err().into_iter().map(|fault| fault.pointer).collect::<Vec<_>>()
        };
        let empty = PublishSourceEvent::default();
        assert_eq!(pointers(empty), ["/integration", "/correlation_keys", "/items"]);
        let (integration, keys) = ("fax".to_owned(), vec!["k".to_owned()]);
        let items = vec![json!(1); LIST_MAX + 1];
        let event = PublishSourceEvent {
            integration,
            correlation_keys: keys,
            items,
            ..PublishSourceEvent::default()
        };
        assert_eq!(pointers(event.clone()), ["/integration", "/items"]);
        let correlation_keys = (0..=LIST_MAX).map(|key| key.to_string()).collect();
        let event = PublishSourceEvent { correlation_keys, ..event };
        assert_eq!(pointers(event), ["/integration", "/correlation_keys", "/items"]);
    }
}
