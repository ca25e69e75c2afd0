//! The subtasks a run requests, and the watches it hands over to them.

use chrono::{DateTime, Utc};

use crate::Faults;
use crate::id::{RunId, TaskId};
use crate::task::command::{FinishAttempt, SubtaskSpec};
use crate::task::event::{DEPTH_MAX, DisarmCause, Event, Join, SourceWatch, Subtask, SubtasksSpawned};
use crate::task::rejection::Rejection;
use crate::task::state::{Live, Task};
use crate::task::steps::watches::disarmed;
use crate::task::words;
use crate::text::non_blank;

use super::watching::{normalised, rearm};

/// Most subtasks of one run.
const SUBTASKS_MAX: usize = 100;
/// Most subtasks a task may have, over all its runs.
const CHILDREN_MAX: usize = 1000;
/// Longest prompt of a subtask, in bytes.
const PROMPT_BYTES_MAX: usize = 256 << 10;

/// Subtasks and watches of a run that ended successfully, whatever the next state. Returns the watches in force from now
/// on, and whether all requested watches were handed over to subtasks.
pub(super) fn fan_out(
    task: &Task,
    live: &Live,
    plan: &FinishAttempt,
    at: DateTime<Utc>,
    events: &mut Vec<Event>,
) -> Result<(Vec<SourceWatch>, bool), Rejection> {
    let mut wanted = normalised(plan.source_watches.as_deref().unwrap_or_default())?;
    let asked = !wanted.is_empty();
    let ends_watching = plan.source_watches.as_ref().is_some_and(Vec::is_empty);
    let spawned = spawned(task, live.run_id, plan, &mut wanted, at)?;
    let all_handed_over = asked && wanted.is_empty();
    events.extend(spawned.map(Event::SubtasksSpawned));
    let watched = if all_handed_over {
        disarm_all(task, DisarmCause::HandedOff, at, events);
        Vec::new()
    } else if ends_watching {
        disarm_all(task, DisarmCause::Replaced, at, events);
        Vec::new()
    } else {
        rearm(task, live.run_id, wanted, at, events)
    };
    Ok((watched, all_handed_over))
}

fn disarm_all(task: &Task, cause: DisarmCause, at: DateTime<Utc>, events: &mut Vec<Event>) {
    events.extend(task.watches.keys().map(|watch_id| disarmed(*watch_id, cause, at)));
}

/// The subtasks a run requests, if any. Moves the watches that belong to them out of `watches`.
fn spawned(
    task: &Task,
    run_id: RunId,
    plan: &FinishAttempt,
    watches: &mut Vec<SourceWatch>,
    at: DateTime<Utc>,
) -> Result<Option<SubtasksSpawned>, Rejection> {
    let wanted: Vec<_> =
        plan.subtasks.iter().enumerate().filter(|(_, spec)| !spec.prompt.trim().is_empty()).collect();
    if wanted.is_empty() {
        return Ok(None);
    }
    let mut faults = Faults::default();
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
    let left = task.accepted.budget_usd.map(|budget| (budget - task.spent_usd()).max(0.0));
    let mut subtasks = Vec::with_capacity(wanted.len());
    for (place, (given_at, spec)) in wanted.into_iter().enumerate() {
        let mut own = Faults::default();
        let subtask = subtask(run_id, place, spec, left, &mut own);
        for fault in own.into_result().err().into_iter().flatten() {
            faults.add(&format!("/subtasks/{given_at}{}", fault.pointer), fault.message);
        }
        subtasks.push(subtask);
    }
    faults.into_result().map_err(Rejection::Invalid)?;
    hand_over(watches, &mut subtasks);
    Ok(Some(SubtasksSpawned { run_id, join: plan.join.unwrap_or(Join::None), subtasks, at }))
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
    let is_short = spec.prompt.len() <= PROMPT_BYTES_MAX;
    faults.require(is_short, "/prompt", format_args!("prompt exceeds {PROMPT_BYTES_MAX} bytes"));
    let delay_ms = spec.wake_delay_minutes.filter(|minutes| *minutes > 0).map(|m| m.saturating_mul(60_000));
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
        prompt: spec.prompt.trim().to_owned(),
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
