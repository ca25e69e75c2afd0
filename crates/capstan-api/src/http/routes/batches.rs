//! Many commands at once.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::IntoResponse;
use axum::{Extension, Json};
use capstan_contract::command::Unconditional;

use crate::App;
use crate::auth::caller::Caller;
use crate::auth::place::Place;
use crate::call::CallContext;
use crate::http::body;
use crate::http::fields::Fields;
use crate::operation::Operation;
use crate::prefer::{APPLIED, MINIMAL};
use crate::problem::Problem;
use crate::request;
use crate::use_case::batch::{self, BODIES};
use crate::use_case::resolve;

pub(super) async fn commands(
    State(app): State<Arc<App>>,
    Extension(operations): Extension<&'static [Operation]>,
    fields: Fields,
    caller: Caller,
    call: CallContext,
    sent: Request,
) -> Result<impl IntoResponse, Problem> {
    let (Unconditional {}, conditions) = request::read(fields.outer(), b"")?;
    let workspace = fields.workspace().unwrap_or_default();
    let (head, body) = sent.into_parts();
    let json = body::read(&head.headers, body, app.config.command_bytes_max * BODIES).await?;
    resolve::workspace(&app, workspace).await?;
    let answers = batch::execute(&app, workspace, conditions, &json, &call, |name| {
        let operation = operations.iter().find(|operation| operation.bus == Some(name));
        let operation = operation.ok_or_else(|| Problem::not_found("command"))?;
        app.rates.take(&caller)?;
        let is_of_workspace = operation.names_workspace();
        let place = if is_of_workspace { Place::Workspace(workspace.to_owned()) } else { Place::Anywhere };
        caller.must_be_allowed(operation.scope, &place)
    });
    let applied = call.is_minimal.then_some([(APPLIED, MINIMAL)]);
    Ok((applied, Json(answers.await?)))
}
