//! The queries of runs.

use capstan_contract::query::{GetRun, ListRuns, Page, Wait};
use capstan_envelope::Workspace;
use capstan_projections::{RunFilter, Span};

use super::answer::Answer;
use super::{as_of, resolve};
use crate::App;
use crate::answered::Answered;
use crate::problem::Problem;

impl Answer for ListRuns {
    async fn answer(self, app: &App, workspace: &Workspace, page: Page) -> Result<Answered, Problem> {
        let filter = RunFilter {
            statuses: self.status,
            agent_id: resolve::agent_filter(app, workspace, self.agent_id).await?,
            task_id: self.task_id,
            session_id: self.session_id,
            created: Span { after: self.created_after, before: self.created_before },
            updated: Span { after: self.updated_after, before: self.updated_before },
        };
        Ok(app.reads.list(workspace, &filter, &page).await?.into())
    }
}

impl Answer for GetRun {
    async fn answer(self, app: &App, workspace: &Workspace, _: Wait) -> Result<Answered, Problem> {
        match self.as_of {
            Some(as_of) => Ok(as_of::run(app, workspace, self.run_id, as_of).await?.into()),
            None => app.reads.get(workspace, &self.run_id, "run").await,
        }
    }
}
