//! The inbox: the open questions of all tasks of a workspace.

use capstan_contract::query::{ListInbox, Page};
use capstan_envelope::Workspace;
use capstan_projections::BlockerFilter;

use super::answer::Answer;
use super::resolve;
use crate::App;
use crate::answered::Answered;
use crate::problem::Problem;

impl Answer for ListInbox {
    async fn answer(self, app: &App, workspace: &Workspace, page: Page) -> Result<Answered, Problem> {
        let agent_id = resolve::agent_filter(app, workspace, self.agent_id).await?;
        let filter = BlockerFilter { kinds: self.kind, agent_id };
        Ok(app.reads.list(workspace, &filter, &page).await?.into())
    }
}
