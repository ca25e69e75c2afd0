//! Things by their id.

use capstan_domain::id::{AgentId, BindingId, OutputId, RunId, ScheduleId, TaskId, TokenId};

use crate::queries::select::{PartOfTask, Query, Select};

macro_rules! by_id {
    ($($id:ident in $table:literal,)*) => {$(
        impl Query for $id {
            fn select(&self, workspace: &str) -> Select {
                Select::by_id($table, workspace, self.0)
            }
        }
    )*};
}

by_id! {
    AgentId in "agents",
    BindingId in "channels",
    OutputId in "outputs",
    RunId in "runs",
    ScheduleId in "schedules",
    TaskId in "tasks",
    TokenId in "tokens",
}

impl PartOfTask for OutputId {}
impl PartOfTask for RunId {}
