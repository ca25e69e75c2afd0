//! What a task waits for outside (domain.md 7). Watches are facts of the task: whether one matches an event is decided
//! here, on the task's own state, so whoever looks for matches may be late or wrong.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::Faults;
use crate::id::{InputId, RunId, WatchId, derived};
use crate::task::automated_input;
use crate::task::command::{FireWatch, WakePlan};
use crate::task::event::{
    AgendaItem, DisarmCause, Event, InputSource, SourceWatch, Subtask, WatchArmed, WatchDisarmed, WatchFired,
};
use crate::task::rejection::Rejection;
use crate::task::state::Task;

/// Where a watch can look.
pub const INTEGRATIONS: [&str; 10] =
    ["gmail", "outlook", "gdrive", "notion", "github", "slack", "linear", "posthog", "confluence", "web"];
/// Most watches one run may ask for.
const WATCHES_MAX: usize = 100;
/// Longest text of a watch, in bytes.
const TEXT_BYTES_MAX: usize = 4096;
/// Most items an input names one by one.
const ITEMS_TOLD_MAX: usize = 20;

/// What was asked for, cleaned: texts without blanks around them, each once. Those that name no place to look are
/// dropped; an integration nobody can look into is refused.
pub(super) fn normalised(asked: &[SourceWatch]) -> Result<Vec<SourceWatch>, Rejection> {
    let mut faults = Faults::default();
    let mut watches = Vec::new();
    for (place, watch) in asked.iter().enumerate() {
        let watch = clean(watch);
        let looks = [&watch.query, &watch.thread_id, &watch.message_id];
        if watch.integration.is_empty() || looks.into_iter().all(Option::is_none) || watches.contains(&watch)
        {
            continue;
        }
        if !INTEGRATIONS.contains(&watch.integration.as_str()) {
            faults.add(
                &format!("/source_watches/{place}/integration"),
                format!("unsupported source watch integration {:?}", watch.integration),
            );
        }
        let is_short = texts(&watch).into_iter().flatten().all(|text| text.len() <= TEXT_BYTES_MAX);
        faults.require(is_short, &format!("/source_watches/{place}"), "a text exceeds 4096 bytes");
        watches.push(watch);
    }
    faults.require(
        watches.len() <= WATCHES_MAX,
        "/source_watches",
        "at most 100 watches may be asked for at once",
    );
    faults.into_result().map_err(Rejection::Invalid)?;
    Ok(watches)
}

fn clean(watch: &SourceWatch) -> SourceWatch {
    let given = |text: &Option<String>| {
        text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let mut event_types: Vec<String> = Vec::new();
    for kind in watch.event_types.iter().map(|kind| kind.trim()).filter(|kind| !kind.is_empty()) {
        if !event_types.iter().any(|known| known == kind) {
            event_types.push(kind.to_owned());
        }
    }
    SourceWatch {
        integration: watch.integration.trim().to_lowercase(),
        reason: given(&watch.reason),
        query: given(&watch.query),
        thread_id: given(&watch.thread_id),
        message_id: given(&watch.message_id),
        entity_key: given(&watch.entity_key),
        entity_label: given(&watch.entity_label),
        source_output_id: given(&watch.source_output_id),
        event_types,
    }
}

fn texts(watch: &SourceWatch) -> [Option<&String>; 7] {
    [
        watch.reason.as_ref(),
        watch.query.as_ref(),
        watch.thread_id.as_ref(),
        watch.message_id.as_ref(),
        watch.entity_key.as_ref(),
        watch.entity_label.as_ref(),
        watch.source_output_id.as_ref(),
    ]
}

/// Gives each child the watches that are about its output, else about its name; the others stay.
pub(super) fn hand_over(watches: &mut Vec<SourceWatch>, subtasks: &mut [Subtask]) {
    let plain = |text: &Option<String>| text.as_deref().map(|text| text.trim().to_lowercase());
    watches.retain(|watch| {
        let by_output = subtasks.iter().position(|subtask| {
            watch.source_output_id.is_some() && subtask.source_output_id == watch.source_output_id
        });
        let label = plain(&watch.entity_label);
        let by_label =
            || subtasks.iter().position(|subtask| label.is_some() && plain(&subtask.label) == label);
        let Some(place) = by_output.or_else(by_label) else { return true };
        subtasks[place].watches.push(watch.clone());
        false
    });
}

/// The facts of new watches of a run.
pub(super) fn armed(run_id: RunId, watches: &[SourceWatch], at: DateTime<Utc>) -> Vec<Event> {
    let arm = |(place, watch): (usize, &SourceWatch)| {
        let watch_id = WatchId::of_run(run_id, u32::try_from(place).unwrap_or(u32::MAX));
        Event::WatchArmed(WatchArmed { watch_id, watch: watch.clone(), at })
    };
    watches.iter().enumerate().map(arm).collect()
}

/// Puts the run's watches in the place of the earlier ones; without any, those that have not fired stay. Answers what
/// is watched from now on.
pub(super) fn rearm(
    task: &Task,
    run_id: RunId,
    mut wanted: Vec<SourceWatch>,
    at: DateTime<Utc>,
    events: &mut Vec<Event>,
) -> Vec<SourceWatch> {
    let has_fired = |watch_id: &WatchId| task.fired_watches.contains(watch_id);
    let mut disarm = |watch_id: &WatchId, cause| {
        events.push(Event::WatchDisarmed(WatchDisarmed { watch_id: *watch_id, cause, at }));
    };
    if wanted.is_empty() {
        task.watches.keys().filter(|id| has_fired(id)).for_each(|id| disarm(id, DisarmCause::Fired));
        return task
            .watches
            .iter()
            .filter(|(id, _)| !has_fired(id))
            .map(|(_, watch)| watch.clone())
            .collect();
    }
    for watch in &mut wanted {
        fill(watch, task.watches.values());
    }
    let mut watched: Vec<SourceWatch> = Vec::with_capacity(wanted.len());
    for watch in wanted {
        if !watched.contains(&watch) {
            watched.push(watch);
        }
    }
    let mut new = watched.clone();
    for (watch_id, watch) in &task.watches {
        if has_fired(watch_id) {
            disarm(watch_id, DisarmCause::Fired);
        } else if watched.contains(watch) {
            new.retain(|wanted| wanted != watch);
        } else {
            disarm(watch_id, DisarmCause::Replaced);
        }
    }
    events.extend(armed(run_id, &new, at));
    watched
}

/// Fills what a watch leaves open from the earlier watch it most probably continues.
fn fill<'a>(watch: &mut SourceWatch, known: impl Iterator<Item = &'a SourceWatch> + Clone) {
    let mut of_integration = known.filter(|known| known.integration == watch.integration);
    let best =
        of_integration.clone().map(|known| (score(watch, known), known)).max_by_key(|(score, _)| *score);
    let earlier = match best {
        Some((score, known)) if score > 0 => known,
        _ => match (of_integration.next(), of_integration.next()) {
            (Some(only), None) => only,
            _ => return,
        },
    };
    let fill = |own: &mut Option<String>, earlier: &Option<String>| {
        if own.is_none() {
            own.clone_from(earlier);
        }
    };
    fill(&mut watch.reason, &earlier.reason);
    fill(&mut watch.query, &earlier.query);
    fill(&mut watch.thread_id, &earlier.thread_id);
    fill(&mut watch.message_id, &earlier.message_id);
    fill(&mut watch.entity_key, &earlier.entity_key);
    fill(&mut watch.entity_label, &earlier.entity_label);
    fill(&mut watch.source_output_id, &earlier.source_output_id);
    if watch.event_types.is_empty() {
        watch.event_types.clone_from(&earlier.event_types);
    }
}

/// How surely two watches are about the same thing (reference/behaviour 4.8).
fn score(one: &SourceWatch, other: &SourceWatch) -> u32 {
    let same = |one: &Option<String>, other: &Option<String>| one.is_some() && one == other;
    let signs = [
        (100, same(&one.thread_id, &other.thread_id)),
        (90, same(&one.message_id, &other.message_id)),
        (80, same(&one.source_output_id, &other.source_output_id)),
        (70, same(&one.query, &other.query)),
        (60, same(&one.entity_key, &other.entity_key)),
        (50, same(&one.entity_label, &other.entity_label)),
    ];
    signs.into_iter().filter(|(_, holds)| *holds).map(|(score, _)| score).max().unwrap_or(0)
}

/// The facts that end every watch.
pub(super) fn disarmed(task: &Task, cause: DisarmCause, at: DateTime<Utc>) -> Vec<Event> {
    let disarm = |watch_id: &WatchId| Event::WatchDisarmed(WatchDisarmed { watch_id: *watch_id, cause, at });
    task.watches.keys().map(disarm).collect()
}

/// A task that is over watches nothing: whatever ends it ends its watches in the same decision.
pub(super) fn disarm_at_end(task: &Task, mut events: Vec<Event>) -> Vec<Event> {
    let end = events.iter().enumerate().find_map(|(place, event)| Some((place, event.ends_task_at()?)));
    let Some((place, at)) = end else { return events };
    let mut open: BTreeSet<WatchId> = task.watches.keys().copied().collect();
    for event in &events {
        if let Event::WatchArmed(e) = event {
            open.insert(e.watch_id);
        }
        if let Event::WatchDisarmed(e) = event {
            open.remove(&e.watch_id);
        }
    }
    let disarm = |watch_id| Event::WatchDisarmed(WatchDisarmed { watch_id, cause: DisarmCause::Settled, at });
    events.splice(place..place, open.into_iter().map(disarm));
    events
}

/// The sleep of a task that waits for what it watches and named no wake of its own.
pub(super) fn wake(watched: &[SourceWatch]) -> WakePlan {
    let first = watched.first();
    let about = first.map(|watch| {
        let name = watch.entity_label.as_ref().or(watch.thread_id.as_ref()).or(watch.entity_key.as_ref());
        match name {
            Some(name) => format!("Waiting for {name} in {}", watch.integration),
            None => format!("Waiting for news from {}", watch.integration),
        }
    });
    let reason = first.and_then(|watch| watch.reason.clone()).or(about);
    let pinned = match watched {
        [only] if matches!(only.integration.as_str(), "gmail" | "outlook") => {
            only.thread_id.as_ref().map(|thread| {
                let kind = if only.integration == "gmail" { "thread" } else { "conversation" };
                format!("Look into the {} {kind} {thread}, and no other, for news.", only.integration)
            })
        }
        _ => None,
    };
    let prompt = pinned.unwrap_or_else(|| "Look for news from what you watch.".to_owned());
    let why = reason.as_ref().map(|reason| format!(" You were waiting: {reason}.")).unwrap_or_default();
    WakePlan {
        delay_minutes: None,
        at: None,
        follow_up_prompt: Some(format!("{prompt}{why}")),
        agenda: vec![AgendaItem {
            kind: Some("source_watch".to_owned()),
            title: reason.clone(),
            reason: reason.clone(),
        }],
        reason,
    }
}

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

impl SourceWatch {
    /// The keys under which it is found.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        [&self.thread_id, &self.message_id, &self.entity_key, &self.query]
            .into_iter()
            .flatten()
            .map(String::as_str)
    }

    /// True when it waits for events of this kind; one that names no kind is one of any.
    pub fn takes(&self, event_type: Option<&str>) -> bool {
        self.event_types.is_empty()
            || event_type.is_none_or(|kind| self.event_types.iter().any(|taken| taken == kind))
    }
}

/// One input for an event, whichever and however many of its watches match; none for an event it knows.
pub(super) fn fire(task: &Task, command: &FireWatch) -> Vec<Event> {
    let items_hash = command.items_hash();
    let matches = |watch: &&SourceWatch| {
        watch.integration == command.integration
            && watch.takes(command.event_type.as_deref())
            && watch.keys().any(|key| command.correlation_keys.iter().any(|given| given == key))
    };
    let found = task.watches.iter().find(|(_, watch)| matches(watch));
    let Some((watch_id, watch)) = found.filter(|_| !task.state.is_terminal()) else { return Vec::new() };
    if task.fired.contains(&items_hash) {
        return Vec::new();
    }
    let input_id = InputId::of_key(task.id(), &format!("watch:{items_hash}"));
    let mut events =
        vec![Event::WatchFired(WatchFired { watch_id: *watch_id, items_hash, input_id, at: command.at })];
    let told = news(watch, &command.items);
    events.extend(automated_input::tell(task, input_id, InputSource::Watch, told, command.at));
    events
}

/// What the agent is told of an event.
fn news(watch: &SourceWatch, items: &[Value]) -> String {
    let mut text = format!("News from {}:", watch.integration);
    for item in items.iter().take(ITEMS_TOLD_MAX) {
        text.push_str(&format!("\n- {}", text_of(item)));
    }
    if items.len() > ITEMS_TOLD_MAX {
        text.push_str(&format!("\n- and {} more", items.len() - ITEMS_TOLD_MAX));
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
mod tests;
