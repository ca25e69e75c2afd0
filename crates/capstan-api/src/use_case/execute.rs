//! Code the commands share.

use capstan_contract::command::CommandBody;
use capstan_envelope::Workspace;
use serde::de::DeserializeOwned;

use crate::App;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::receipt::Reply;

/// A body that can be executed in a workspace.
pub(crate) trait Execute: CommandBody + DeserializeOwned + Send + Sync {
    /// Executes the command.
    fn execute(
        self,
        app: &App,
        workspace: &Workspace,
        call: &CallContext,
    ) -> impl Future<Output = Result<Reply, Problem>> + Send;
}

/// The id a command must contain when no path names it.
pub(super) fn required<T>(id: Option<T>, pointer: &str) -> Result<T, Problem> {
    id.ok_or_else(|| {
        Problem::invalid_field(pointer, format!("{} is required", pointer.trim_start_matches('/')))
    })
}
