//! Commands on one task whose path names it and whose body may be left out.

use std::sync::Arc;

use axum::extract::{Path, State};
use capstan_contract::command::{ArchiveTask, CancelTask, RetryTask, UnarchiveTask, UpdateTask};
use capstan_domain::id::TaskId;

use crate::App;
use crate::asked::Asked;
use crate::body;
use crate::commands::Execute;
use crate::parameters::path_id;
use crate::problem::Problem;
use crate::receipt::Reply;

/// A body that names its task, which the path names too.
pub(super) trait OfTask {
    fn task_id(&mut self) -> &mut Option<TaskId>;
}

macro_rules! of_task {
    ($($body:ident)*) => {$(
        impl OfTask for $body {
            fn task_id(&mut self) -> &mut Option<TaskId> {
                &mut self.task_id
            }
        }
    )*};
}

of_task! { UpdateTask CancelTask RetryTask ArchiveTask UnarchiveTask }

pub(super) async fn about<B: Execute + OfTask>(
    State(app): State<Arc<App>>,
    Path((workspace, task)): Path<(String, String)>,
    mut asked: Asked,
) -> Result<Reply, Problem> {
    let (workspace, task_id) = (app.workspace(&workspace).await?, path_id(&task, "task")?);
    let mut body: B = asked.body_if_any()?;
    *body.task_id() = body::of_path(body.task_id().take(), task_id, "/task_id")?;
    body.execute(&app, &workspace, &asked.call).await
}
