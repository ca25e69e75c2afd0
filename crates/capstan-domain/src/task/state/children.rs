//! Subtasks of a task.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{InputId, TaskId};
use crate::task::event::{Join, JoinWait, Subtask, SubtaskEnded, SubtasksSpawned};

/// A subtask, as far as its parent knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Child {
    /// Its name for people.
    pub label: Option<String>,
    /// The request it is made from, while it is not known to be over.
    pub subtask: Option<Box<Subtask>>,
    /// Its end, once it has ended.
    pub ended: Option<SubtaskEnded>,
}

/// The subtasks of a task: those it requested, and those that ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Children {
    /// The subtasks by id.
    pub by_id: BTreeMap<TaskId, Child>,
    /// The waits for subtasks that are not over, oldest first.
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
            let made_from = Some(Box::new(subtask.clone()));
            let child = Child { label: subtask.label.clone(), subtask: made_from, ended: None };
            self.by_id.entry(subtask.task_id).or_insert(child);
        }
        self.joins.extend(e.join_wait());
    }

    pub(in crate::task) fn ended(&mut self, e: &SubtaskEnded) {
        let child = Child { label: e.label.clone(), subtask: None, ended: Some(e.clone()) };
        self.by_id.insert(e.task_id, child);
    }

    /// The end of a wait was reported with this input.
    pub(in crate::task) fn join_reported(&mut self, task_id: TaskId, input_id: InputId) {
        self.joins.retain(|join| join.input_id(task_id) != input_id);
    }

    /// A task that is over waits for nothing; the ends of its subtasks are recorded all the same.
    pub(in crate::task) fn task_ended(&mut self) {
        self.joins.clear();
    }
}
