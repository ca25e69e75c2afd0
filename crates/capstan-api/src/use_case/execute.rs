//! What a command of a caller is to the api.

use capstan_contract::command::CommandBody;
use capstan_envelope::Workspace;

use crate::App;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::receipt::Reply;

/// A command that can be executed in a workspace.
pub(crate) trait Execute: CommandBody + Send + Sync + 'static {
    /// True for the one command whose workspace need not exist.
    const CREATES_WORKSPACE: bool = false;

    /// The name of the workspace the command creates.
    fn new_workspace(&self) -> Option<&str> {
        None
    }

    /// Executes the command.
    fn execute(
        self,
        app: &App,
        workspace: &Workspace,
        call: &CallContext,
    ) -> impl Future<Output = Result<Reply, Problem>> + Send;
}
