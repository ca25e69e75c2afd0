//! The commands of callers over HTTP.

use std::sync::Arc;

use axum::extract::State;

use crate::App;
use crate::http::command_request::CommandRequest;
use crate::problem::Problem;
use crate::receipt::Reply;
use crate::use_case::execute::Execute;

/// Executes the command. Its fields stand in the path, in the query string and in the body.
pub(super) async fn execute<C: Execute>(
    State(app): State<Arc<App>>,
    request: CommandRequest,
) -> Result<Reply, Problem> {
    request.execute::<C>(&app).await
}
