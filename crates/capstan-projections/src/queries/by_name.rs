//! The reads by the names they had before [`ReadModels::one`], [`ReadModels::list`] and [`ReadModels::count`].

use capstan_domain::id::{AgentId, BindingId, OutputId, RunId, ScheduleId, TaskId, TokenId};

use crate::queries::agent::AgentFilter;
use crate::queries::blocker::BlockerFilter;
use crate::queries::channel::BindingFilter;
use crate::queries::class::{ClassFilter, InstanceKey};
use crate::queries::cursor::Page;
use crate::queries::input::InputsOfTask;
use crate::queries::output::{OutputFilter, OutputOfTask};
use crate::queries::run::RunFilter;
use crate::queries::schedule::ScheduleFilter;
use crate::queries::task::{OpenTasksOf, TaskFilter};
use crate::queries::token::TokenFilter;
use crate::queries::workspace::ThisWorkspace;
use crate::queries::{Item, Listing, QueryError};
use crate::read_models::ReadModels;

/// Declares reads that forward: objects by id, lists by filter.
macro_rules! forwards {
    (one { $($one:ident($id:ty);)* } list { $($list:ident($filter:ty);)* }) => {
        #[expect(missing_docs, reason = "each forwards to `one` or `list` with its argument")]
        impl ReadModels {
            $(pub async fn $one(&self, workspace: &str, id: $id) -> Result<Option<Item>, QueryError> {
                self.one(workspace, &id).await
            })*

            $(pub async fn $list(
                &self,
                workspace: &str,
                filter: &$filter,
                page: &Page,
            ) -> Result<Listing, QueryError> {
                self.list(workspace, filter, page).await
            })*
        }
    };
}

forwards! {
    one {
        agent(AgentId);
        channel(BindingId);
        token(TokenId);
        task(TaskId);
        run(RunId);
        schedule(ScheduleId);
    }
    list {
        blockers(BlockerFilter);
        channels(BindingFilter);
        outputs(OutputFilter);
        runs(RunFilter);
        schedules(ScheduleFilter);
        tasks(TaskFilter);
    }
}

#[expect(missing_docs, reason = "each forwards with its arguments")]
impl ReadModels {
    pub async fn workspace(&self, workspace: &str) -> Result<Option<Item>, QueryError> {
        self.one(workspace, &ThisWorkspace).await
    }

    pub async fn class(&self, workspace: &str, instance_key: &str) -> Result<Option<Item>, QueryError> {
        self.one(workspace, &InstanceKey(instance_key)).await
    }

    pub async fn output(
        &self,
        workspace: &str,
        task: Option<TaskId>,
        id: OutputId,
    ) -> Result<Option<Item>, QueryError> {
        match task {
            Some(task) => self.one(workspace, &OutputOfTask(task, id)).await,
            None => self.one(workspace, &id).await,
        }
    }

    pub async fn agents(&self, workspace: &str, page: &Page) -> Result<Listing, QueryError> {
        self.list(workspace, &AgentFilter, page).await
    }

    pub async fn classes(&self, workspace: &str, page: &Page) -> Result<Listing, QueryError> {
        self.list(workspace, &ClassFilter, page).await
    }

    pub async fn inputs(&self, workspace: &str, task: TaskId, page: &Page) -> Result<Listing, QueryError> {
        self.list(workspace, &InputsOfTask(task), page).await
    }

    pub async fn tokens(
        &self,
        workspace: &str,
        revoked: Option<bool>,
        page: &Page,
    ) -> Result<Listing, QueryError> {
        self.list(workspace, &TokenFilter { revoked }, page).await
    }

    pub async fn count_agents(&self, workspace: &str, limit: u64) -> Result<u64, QueryError> {
        self.count(workspace, &AgentFilter, limit).await
    }

    pub async fn count_schedules(&self, workspace: &str, limit: u64) -> Result<u64, QueryError> {
        self.count(workspace, &ScheduleFilter::default(), limit).await
    }

    pub async fn count_open_tasks(
        &self,
        workspace: &str,
        agent_id: Option<AgentId>,
        limit: u64,
    ) -> Result<u64, QueryError> {
        self.count(workspace, &OpenTasksOf { agent_id }, limit).await
    }

    pub async fn task_of_run(&self, workspace: &str, id: RunId) -> Result<Option<TaskId>, QueryError> {
        self.task_of(workspace, &id).await
    }

    pub async fn task_of_output(&self, workspace: &str, id: OutputId) -> Result<Option<TaskId>, QueryError> {
        self.task_of(workspace, &id).await
    }

    pub async fn agents_of_form(
        &self,
        workspace: &str,
        form: &str,
        limit: i64,
    ) -> Result<Vec<(AgentId, String)>, QueryError> {
        self.agents_by_form(workspace, form, limit).await
    }
}
