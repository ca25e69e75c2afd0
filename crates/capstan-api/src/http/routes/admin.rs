//! Jobs of administrators on the read models.

use std::sync::Arc;

use axum::extract::{Request, State};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::App;
use crate::answered::Answered;
use crate::http::fields::Fields;
use crate::problem::Problem;
use crate::use_case::projection;

/// A read model by its name; `all` for all of them.
#[derive(Deserialize, JsonSchema)]
struct Named {
    name: String,
}

pub(super) async fn rebuild(
    State(app): State<Arc<App>>,
    fields: Fields,
    request: Request,
) -> Result<Answered, Problem> {
    let Named { name } = fields.read(&app, request).await?;
    Ok(projection::rebuild(&app, name).await?.into())
}

pub(super) async fn verify(
    State(app): State<Arc<App>>,
    fields: Fields,
    request: Request,
) -> Result<Answered, Problem> {
    let Named { name } = fields.read(&app, request).await?;
    Ok(projection::verify(&app, name).await?.into())
}
