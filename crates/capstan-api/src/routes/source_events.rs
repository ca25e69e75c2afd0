//! Things that happen outside.

use std::sync::Arc;

use axum::extract::{Path, State};
use capstan_contract::command::PublishSourceEvent;

use crate::App;
use crate::asked::Asked;
use crate::commands::Execute;
use crate::problem::Problem;
use crate::receipt::Reply;

pub(super) async fn publish(
    State(app): State<Arc<App>>,
    Path(workspace): Path<String>,
    mut asked: Asked,
) -> Result<Reply, Problem> {
    let workspace = app.workspace(&workspace).await?;
    asked.body::<PublishSourceEvent>()?.execute(&app, &workspace, &asked.call).await
}
