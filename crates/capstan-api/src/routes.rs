//! The HTTP surface: one file for each family of endpoints.

mod admin;
mod agents;
mod attempts;
mod channels;
mod classes;
mod errors;
mod health;
mod inbox;
mod live;
mod outputs;
mod runs;
mod schemas;
mod tasks;
mod tool_calls;
mod workers;
mod workspaces;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::middleware::from_fn_with_state;
use tower_http::catch_panic::CatchPanicLayer;

use crate::App;
use crate::call::{CallContext, fresh_id};
use crate::conventions::{self, Correlation};
use crate::problem::{Code, Problem};

/// All routes, with everything that holds for each of them.
pub fn router(app: Arc<App>) -> Router {
    let reads = Router::new()
        .merge(workspaces::reads())
        .merge(agents::reads())
        .merge(channels::reads())
        .merge(classes::reads())
        .merge(tasks::reads())
        .merge(runs::reads())
        .merge(outputs::reads())
        .merge(inbox::reads())
        .route_layer(from_fn_with_state(app.clone(), conventions::read_your_writes));
    let v1 = Router::new()
        .merge(reads)
        .merge(workspaces::commands())
        .merge(agents::commands())
        .merge(channels::commands())
        .merge(classes::commands())
        .merge(tasks::commands())
        .merge(runs::commands())
        .merge(live::routes())
        .merge(workers::routes())
        .merge(attempts::routes())
        .merge(tool_calls::routes())
        .merge(admin::routes())
        .route_layer(from_fn_with_state(app.clone(), crate::auth::require));
    Router::new()
        .merge(v1)
        .merge(health::routes())
        .merge(errors::routes())
        .merge(schemas::routes())
        .fallback(async || Problem::not_found("route"))
        .method_not_allowed_fallback(async || {
            Problem::new(Code::MethodNotAllowed, "this route does not answer to this method")
        })
        .layer(CatchPanicLayer::custom(conventions::panicked))
        .layer(from_fn_with_state(app.clone(), conventions::answer))
        .with_state(app)
}

impl<S: Sync> FromRequestParts<S> for CallContext {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let correlation = parts.extensions.get::<Correlation>();
        let correlation_id = correlation.map_or_else(|| fresh_id(chrono::Utc::now()), |one| one.0);
        Self::of_headers(&parts.headers, correlation_id)
    }
}
