//! The watches a run requests for its own task.

use chrono::{DateTime, Utc};

use crate::Faults;
use crate::id::{RunId, WatchId};
use crate::task::command::WakePlan;
use crate::task::event::{AgendaItem, DisarmCause, Event, INTEGRATIONS, SourceWatch};
use crate::task::state::Task;
use crate::task::steps::watches::{armed, disarmed};
use crate::text::non_blank;

/// Most watches of one run.
const WATCHES_MAX: usize = 100;
/// Longest text of a watch, in bytes.
const TEXT_BYTES_MAX: usize = 4096;

/// The requested watches, each once, with texts trimmed.
pub(super) fn normalised(asked: &[SourceWatch], faults: &mut Faults) -> Vec<SourceWatch> {
    let mut watches = Vec::new();
    for (place, asked) in asked.iter().enumerate() {
        let watch = clean(asked);
        faults.within(&format!("/source_watches/{place}"), |faults| check(asked, &watch, faults));
        if !watches.contains(&watch) {
            watches.push(watch);
        }
    }
    faults.require(
        watches.len() <= WATCHES_MAX,
        "/source_watches",
        format_args!("at most {WATCHES_MAX} watches may be requested at once"),
    );
    watches
}

/// Notes the faults of a watch; `clean` is the watch with its texts trimmed.
fn check(asked: &SourceWatch, clean: &SourceWatch, faults: &mut Faults) {
    let integration = faults.required("/integration", &clean.integration);
    faults.require(
        integration.is_empty() || INTEGRATIONS.contains(&integration),
        "/integration",
        format_args!("unsupported source watch integration {integration:?}"),
    );
    faults.require(
        [&clean.query, &clean.thread_id, &clean.message_id].into_iter().any(Option::is_some),
        "",
        "at least one of query, thread_id and message_id is required",
    );
    let too_long = format_args!("must be at most {TEXT_BYTES_MAX} bytes");
    for (field, text) in texts(clean) {
        let is_short = text.as_ref().is_none_or(|text| text.len() <= TEXT_BYTES_MAX);
        faults.require(is_short, &format!("/{field}"), too_long);
    }
    for (place, kind) in asked.event_types.iter().enumerate() {
        let pointer = format!("/event_types/{place}");
        faults.require(!kind.trim().is_empty(), &pointer, "an event type cannot be empty");
        faults.require(kind.len() <= TEXT_BYTES_MAX, &pointer, too_long);
    }
}

fn clean(watch: &SourceWatch) -> SourceWatch {
    let given = |text: &Option<String>| non_blank(text.as_deref());
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

/// The texts of a watch by the names of their fields.
fn texts(watch: &SourceWatch) -> [(&'static str, &Option<String>); 7] {
    [
        ("reason", &watch.reason),
        ("query", &watch.query),
        ("thread_id", &watch.thread_id),
        ("message_id", &watch.message_id),
        ("entity_key", &watch.entity_key),
        ("entity_label", &watch.entity_label),
        ("source_output_id", &watch.source_output_id),
    ]
}

/// Replaces the earlier watches with those of the run; without any, the earlier ones that have not fired stay. Returns
/// the watches in force from now on.
pub(super) fn rearm(
    task: &Task,
    run_id: RunId,
    mut wanted: Vec<SourceWatch>,
    at: DateTime<Utc>,
    events: &mut Vec<Event>,
) -> Vec<SourceWatch> {
    let has_fired = |watch_id: &WatchId| task.watches.fired.contains(watch_id);
    let mut disarm = |watch_id: &WatchId, cause| {
        events.push(disarmed(*watch_id, cause, at));
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
    for (watch_id, watch) in task.watches.iter() {
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

/// The likelihood that two watches are about the same thing; 0 for none.
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

/// The sleep of a task that watches and requested no wake.
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

#[cfg(test)]
mod tests;
