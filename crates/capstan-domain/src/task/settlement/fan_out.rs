//! The subtasks a run requests, and the watches it hands over to them.

use chrono::{DateTime, Utc};

use crate::Faults;
use crate::id::{RunId, TaskId};
use crate::limits::LABEL_BYTES_MAX;
use crate::task::command::SubtaskSpec;
use crate::task::event::{DEPTH_MAX, DisarmCause, Event, Join, SourceWatch, Subtask, SubtasksSpawned};
use crate::task::state::{Live, Task};
use crate::task::steps::watches::disarmed;
use crate::task::words;
use crate::text::non_blank;

use super::watching::rearm;

/// Most subtasks of one run.
const SUBTASKS_MAX: usize = 100;
/// Most subtasks a task may have, over all its runs.
const CHILDREN_MAX: usize = 1000;
/// Most runs whose subtasks are waited for.
const JOINS_MAX: usize = 8;
/// Longest prompt of a subtask, in bytes.
const PROMPT_BYTES_MAX: usize = 256 << 10;

/// Subtasks and watches of a run that ended successfully, whatever the next state. Returns the watches in force from now
/// on, and whether all requested watches were handed over to subtasks.
pub(super) fn fan_out(
    task: &Task,
    live: &Live,
    mut subtasks: Vec<Subtask>,
    join: Join,
    requested: Option<Vec<SourceWatch>>,
    at: DateTime<Utc>,
    events: &mut Vec<Event>,
) -> (Vec<SourceWatch>, bool) {
    let ends_watching = requested.as_ref().is_some_and(Vec::is_empty);
    let mut wanted = requested.unwrap_or_default();
    let asked = !wanted.is_empty();
    hand_over(&mut wanted, &mut subtasks);
    let all_handed_over = asked && wanted.is_empty();
    if !subtasks.is_empty() {
        events.push(Event::SubtasksSpawned(SubtasksSpawned { run_id: live.run_id, join, subtasks, at }));
    }
    let watched = if all_handed_over {
        disarm_all(task, DisarmCause::HandedOff, at, events);
        Vec::new()
    } else if ends_watching {
        disarm_all(task, DisarmCause::Replaced, at, events);
        Vec::new()
    } else {
        rearm(task, live.run_id, wanted, at, events)
    };
    (watched, all_handed_over)
}

fn disarm_all(task: &Task, cause: DisarmCause, at: DateTime<Utc>, events: &mut Vec<Event>) {
    events.extend(task.watches.keys().map(|watch_id| disarmed(*watch_id, cause, at)));
}

/// The subtasks a run requests, without watches.
pub(super) fn subtasks(
    task: &Task,
    run_id: RunId,
    wanted: &[SubtaskSpec],
    faults: &mut Faults,
) -> Vec<Subtask> {
    if wanted.is_empty() {
        return Vec::new();
    }
    faults.require(
        wanted.len() <= SUBTASKS_MAX,
        "/subtasks",
        format_args!("at most {SUBTASKS_MAX} subtasks may be requested at once"),
    );
    faults.require(
        task.children.len() + wanted.len() <= CHILDREN_MAX,
        "/subtasks",
        format_args!("a task may have at most {CHILDREN_MAX} subtasks"),
    );
    faults.require(
        task.accepted.depth < DEPTH_MAX,
        "/subtasks",
        format_args!("subtasks may be nested at most {DEPTH_MAX} levels deep"),
    );
    faults.require(
        task.children.joins.len() < JOINS_MAX,
        "/join",
        format_args!("a task may wait for the subtasks of at most {JOINS_MAX} runs"),
    );
    let left = task.accepted.budget_usd.map(|budget| (budget - task.spent_usd()).max(0.0));
    let checked = |(place, spec): (usize, &SubtaskSpec)| {
        faults.within(&format!("/subtasks/{place}"), |faults| subtask(run_id, place, spec, left, faults))
    };
    wanted.iter().enumerate().map(checked).collect()
}

fn subtask(
    run_id: RunId,
    place: usize,
    spec: &SubtaskSpec,
    left: Option<f64>,
    faults: &mut Faults,
) -> Subtask {
    let index = u32::try_from(place).unwrap_or(u32::MAX);
    let given = |text: &Option<String>| non_blank(text.as_deref());
    let prompt = faults.required("/prompt", &spec.prompt).to_owned();
    let is_short = spec.prompt.len() <= PROMPT_BYTES_MAX;
    faults.require(is_short, "/prompt", format_args!("prompt exceeds {PROMPT_BYTES_MAX} bytes"));
    for (pointer, text) in [
        ("/label", &spec.label),
        ("/entity_label", &spec.entity_label),
        ("/source_output_id", &spec.source_output_id),
    ] {
        faults.at_most(pointer, text.as_deref().unwrap_or_default(), LABEL_BYTES_MAX);
    }
    let minutes = spec.wake_delay_minutes;
    faults.require(
        minutes.is_none_or(|minutes| minutes >= 0),
        "/wake_delay_minutes",
        "wake_delay_minutes must be >= 0",
    );
    let delay_ms = minutes.filter(|minutes| *minutes > 0).map(|minutes| minutes.saturating_mul(60_000));
    faults.span("/wake_delay_minutes", delay_ms);
    faults.amount("/budget_usd", spec.budget_usd);
    let priority = given(&spec.priority).map(|text| words::priority(Some(&text), faults));
    let policy = spec.policy.clone().map(crate::policy::RunPolicy::normalised);
    if let Some(policy) = &policy {
        policy.check(faults);
    }
    Subtask {
        task_id: TaskId::for_subtask(run_id, index),
        index,
        prompt,
        label: given(&spec.label).or_else(|| given(&spec.entity_label)),
        source_output_id: given(&spec.source_output_id),
        dispatch_delay_ms: delay_ms,
        priority,
        budget_usd: match (spec.budget_usd, left) {
            (Some(given), Some(left)) => Some(given.min(left)),
            (given, left) => given.or(left),
        },
        policy,
        watches: Vec::new(),
    }
}

/// Gives each child the watches that are about its output, else about its name; the others stay.
fn hand_over(watches: &mut Vec<SourceWatch>, subtasks: &mut [Subtask]) {
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
