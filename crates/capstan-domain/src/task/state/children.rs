//! Subtasks of a task.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::id::TaskId;
use crate::task::event::{Join, JoinWait, Subtask, SubtaskEnded, SubtasksSpawned};
use crate::task::shortened::{shortened_as_json, shortened_value};
use crate::task::transitions::TaskState;

/// Longest result and error of a subtask that its parent's agent receives, in bytes each.
const REPORT_BYTES_MAX: usize = 8 << 10;
/// Most bytes of the results, and of the errors, that one wait tells together.
const JOIN_BYTES_MAX: usize = 128 << 10;

/// Longest result and error of each subtask that a wait tells, in bytes.
fn report_bytes_max(join: &JoinWait) -> usize {
    REPORT_BYTES_MAX.min(JOIN_BYTES_MAX / join.task_ids.len().max(1))
}

/// A subtask, as far as its parent knows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Child {
    /// The request it is made from, while it is not known to be over.
    #[serde(default, skip_serializing_if = "crate::stored::is_nothing")]
    pub subtask: Option<Box<Subtask>>,
    /// Its end, once it has ended.
    #[serde(default, skip_serializing_if = "crate::stored::is_nothing")]
    pub ended: Option<ChildEnd>,
}

/// The end of a subtask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChildEnd {
    /// Cost of its whole tree, in US dollars.
    #[serde(default, skip_serializing_if = "crate::stored::is_nothing")]
    pub cost_usd: f64,
    /// Number of its runs when it ended.
    #[serde(default, skip_serializing_if = "crate::stored::is_nothing")]
    pub run_no: u32,
    /// Its outcome.
    pub state: TaskState,
    /// The report, while a wait is to tell it to the agent.
    #[serde(default, skip_serializing_if = "crate::stored::is_nothing")]
    pub report: Option<Box<SubtaskEnded>>,
}

impl ChildEnd {
    /// True when this report of it says nothing new. One that was opened again has more runs, is in another state, or has
    /// cost more.
    pub(in crate::task) fn is_told_by(&self, e: &SubtaskEnded) -> bool {
        (self.run_no, self.state) == (e.run_no, e.state) && self.cost_usd.total_cmp(&e.cost_usd).is_eq()
    }
}

impl Child {
    /// Its name for people, while it is not over and told.
    pub fn label(&self) -> Option<&str> {
        let report = self.ended.as_ref().and_then(|ended| ended.report.as_ref());
        let label = match report {
            Some(report) => &report.label,
            None => &self.subtask.as_ref()?.label,
        };
        label.as_deref()
    }
}

/// The subtasks of a task: those it requested, and those that ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Children {
    /// The subtasks by id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub by_id: BTreeMap<TaskId, Child>,
    /// The waits for subtasks that are not over, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joins: Vec<JoinWait>,
}

impl std::ops::Deref for Children {
    type Target = BTreeMap<TaskId, Child>;

    fn deref(&self) -> &Self::Target {
        &self.by_id
    }
}

impl Children {
    /// True when nothing is left to wait for.
    pub(in crate::task) fn is_met(&self, join: &JoinWait) -> bool {
        let mut over =
            join.task_ids.iter().map(|id| self.by_id.get(id).is_some_and(|child| child.ended.is_some()));
        match join.join {
            Join::None => true,
            Join::All => over.all(|over| over),
            Join::Any => over.any(|over| over),
        }
    }

    /// Cost of the subtasks that are over, with their trees, in US dollars.
    pub(in crate::task) fn cost_usd(&self) -> f64 {
        self.by_id.values().filter_map(|child| child.ended.as_ref()).map(|ended| ended.cost_usd).sum()
    }

    pub(in crate::task) fn spawned(&mut self, e: &SubtasksSpawned) {
        for subtask in &e.subtasks {
            let child = Child { subtask: Some(Box::new(subtask.clone())), ended: None };
            self.by_id.entry(subtask.task_id).or_insert(child);
        }
        self.joins.extend(e.join_wait());
    }

    pub(in crate::task) fn ended(&mut self, e: &SubtaskEnded) {
        let ended = ChildEnd {
            cost_usd: e.cost_usd,
            run_no: e.run_no,
            state: e.state,
            report: self.awaited(e.task_id).map(|bytes_max| Box::new(kept(e, bytes_max))),
        };
        self.by_id.insert(e.task_id, Child { subtask: None, ended: Some(ended) });
    }

    /// The longest report that a wait will tell of this subtask, in bytes; none when nothing waits for it.
    fn awaited(&self, child: TaskId) -> Option<usize> {
        let joins = self.joins.iter().filter(|join| join.task_ids.contains(&child));
        joins.map(report_bytes_max).max()
    }

    /// Drops the reports that no wait is left to tell.
    fn drop_reports(&mut self) {
        let awaited: BTreeSet<TaskId> =
            self.joins.iter().flat_map(|join| join.task_ids.iter().copied()).collect();
        for (id, child) in &mut self.by_id {
            if let Some(ended) = child.ended.as_mut().filter(|_| !awaited.contains(id)) {
                ended.report = None;
            }
        }
    }

    /// The end of a wait was reported, which is at once when it is met.
    pub(in crate::task) fn join_reported(&mut self) {
        let mut joins = std::mem::take(&mut self.joins);
        joins.retain(|join| !self.is_met(join));
        self.joins = joins;
        self.drop_reports();
    }

    /// A task that is over waits for nothing; the ends of its subtasks are recorded all the same.
    pub(in crate::task) fn task_ended(&mut self) {
        self.joins.clear();
        self.drop_reports();
    }
}

/// The report as it will be told.
fn kept(e: &SubtaskEnded, bytes_max: usize) -> SubtaskEnded {
    SubtaskEnded {
        result: e.result.as_ref().map(|result| shortened_value(result, bytes_max)),
        error: e.error.as_deref().map(|error| shortened_as_json(error, bytes_max)),
        ..e.clone()
    }
}
