//! What follows from the origin of a task: the schedule whose tick made it, or the task it is a part of. An acceptance names
//! the origin once, before the fields that repeat it; the subtasks of a run follow from the run and their places.

#![expect(
    clippy::ptr_arg,
    clippy::ref_option,
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands fields by reference"
)]

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::context::{Said, is_stored, said, say, this_task, unsaid};
use super::said::{is_noted, noted, noting, repeated};
use super::{entity, run};
use crate::id::TaskId;
use crate::schedule::firing;
use crate::task::subtasks;

/// The schedule, when one made the task.
fn schedule() -> Option<String> {
    said(|said| said.schedule_id.clone())
}

/// The schedule and its occasion.
fn occurrence() -> Option<(String, String)> {
    said(|said| said.schedule_id.clone().zip(said.occasion.clone()))
}

fn parent() -> Option<TaskId> {
    said(|said| said.parent)
}

fn triggered() -> Option<String> {
    schedule().zip(this_task()).map(|(_, task)| firing::triggered(task))
}

fn lane_of_origin() -> Option<String> {
    match (schedule(), parent().and(this_task())) {
        (Some(schedule), _) => Some(firing::lane(&schedule)),
        (None, Some(task)) => Some(subtasks::lane(task)),
        (None, None) => None,
    }
}

fn note_lane(said: &mut Said, lane: &Option<String>) {
    said.lane.clone_from(lane);
}

pub(crate) fn lane() -> Option<String> {
    noted(lane_of_origin(), note_lane)
}

pub(crate) fn is_lane(value: &Option<String>) -> bool {
    is_noted(value, &lane_of_origin(), note_lane)
}

fn note_occasion(said: &mut Said, occasion: &Option<String>) {
    said.occasion.clone_from(occasion);
}

pub(crate) fn triggered_occasion() -> Option<String> {
    noted(triggered(), note_occasion)
}

pub(crate) fn is_triggered_occasion(value: &Option<String>) -> bool {
    is_noted(value, &triggered(), note_occasion)
}

noting! {
    /// The lane of a task, which its execution class follows from.
    said_lane(value: Option<String>) |said| said.lane.clone_from(value);
    /// The message of a task: the label of a scheduled one follows from it.
    scheduled_message(value: String) |said| {
        if said.schedule_id.is_some() {
            said.label = Some(firing::label(value));
        }
    };
    /// The place of a subtask among those of its commit.
    place(value: u32) |said| said.subtask = Some(*value);
    /// A subtask with an id of its own.
    named_subtask(value: TaskId) |said| note_together(said, Some(*value));
    /// The prompt of a subtask, which every subtask has: it counts them.
    counted_prompt(_value: String) |said| said.subtasks = said.subtasks.saturating_add(1);
}

/// A session of its own has the id of the task, or the name of the occasion.
pub(crate) fn session() -> String {
    match occurrence() {
        Some((schedule, occasion)) => firing::session(&schedule, &occasion),
        None => entity::<TaskId>().to_string(),
    }
}

pub(crate) fn is_session(value: &str) -> bool {
    match occurrence() {
        Some((schedule, occasion)) => value == firing::session(&schedule, &occasion),
        None => this_task().is_some_and(|task| value == task.to_string()),
    }
}

repeated! {
    spawned_by, is_spawned_by: Option<String> = match (schedule(), parent()) {
        (Some(schedule), _) => Some(firing::spawned_by(&schedule)),
        (None, Some(_)) => Some(subtasks::SPAWNED_BY.to_owned()),
        (None, None) => None,
    };
    label, is_label: Option<String> = schedule().and(said(|said| said.label.clone()));
    provenance, is_provenance: Map<String, Value> =
        occurrence().map(|(schedule, occasion)| firing::provenance(&schedule, &occasion)).unwrap_or_default();
    root_task, is_root_task: Option<TaskId> = parent();
    depth, is_depth: u32 = parent().map_or(0, |_| 1);
}

fn note_place(said: &mut Said, place: &Option<u32>) {
    said.subtask = *place;
}

/// The place of the subtask that was counted last: an absent field is filled in behind its prompt.
pub(crate) fn next_place() -> u32 {
    noted(said(|said| said.subtasks.checked_sub(1)), note_place).unwrap_or_else(|| unsaid(0))
}

/// Whether it is left out is decided before the subtask is counted.
pub(crate) fn is_next_place(value: &u32) -> bool {
    is_noted(&Some(*value), &said(|said| Some(said.subtasks)), note_place)
}

fn subtask_of_place() -> Option<TaskId> {
    let index = said(|said| said.subtask)?;
    said(|said| said.run).map(|_| TaskId::for_subtask(run(), index))
}

/// serde asks twice whether a field is left out, so the last one may be told again.
fn note_together(said: &mut Said, subtask: Option<TaskId>) {
    if said.together.last() != subtask.as_ref() {
        said.together.extend(subtask);
    }
}

fn note_subtask(said: &mut Said, subtask: &Option<TaskId>) {
    note_together(said, *subtask);
}

pub(crate) fn subtask() -> TaskId {
    noted(subtask_of_place(), note_subtask).unwrap_or_else(|| unsaid(TaskId(Uuid::nil())))
}

pub(crate) fn is_subtask(value: &TaskId) -> bool {
    is_noted(&Some(*value), &subtask_of_place(), note_subtask)
}
