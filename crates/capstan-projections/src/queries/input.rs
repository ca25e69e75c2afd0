//! Reads of inputs.

use capstan_domain::id::TaskId;

use crate::queries::select::{Query, Select};

/// All inputs of a task, oldest first.
#[derive(Clone, Copy, Debug)]
pub struct InputsOfTask(pub TaskId);

impl Query for InputsOfTask {
    fn select(&self, workspace: &str) -> Select {
        let mut select = Select::all("inputs", workspace).by_sequence("seq");
        select.filter("task_id = ?", self.0.0);
        select
    }
}
