//! The HTTP surface: one file for each family of endpoints, and the table of them all.

mod admin;
mod agents;
mod attempts;
mod batches;
mod channels;
mod classes;
mod commands;
mod dead_letters;
mod descriptions;
mod errors;
mod health;
mod inbox;
mod live;
mod outputs;
mod report;
mod runs;
mod schedules;
mod schemas;
mod table;
mod tasks;
mod tokens;
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
use crate::auth::{self, Caller};
use crate::call::{CallContext, fresh_id};
use crate::http::conventions::{self, Correlation};
use crate::operation::{Operation, Scope};
use crate::problem::{Code, Problem};
use table::{ROUTES, Route};

pub(crate) use admin::Projection;
pub(crate) use agents::Stats as AgentStatsShown;
pub(crate) use tool_calls::Answer as ToolDecision;

/// Everything a caller may ask for over HTTP.
pub fn operations() -> impl Iterator<Item = &'static Operation> {
    ROUTES.iter().map(|route| &route.operation)
}

/// The command of this wire name.
pub(crate) fn operation_on_bus(wire_name: &str) -> Option<&'static Operation> {
    operations().find(|operation| operation.bus == Some(wire_name))
}

/// What the bus asks of the table: queries and what workers say. Each request holds its caller, who is known already.
pub(crate) fn bus_router(app: &Arc<App>) -> Router {
    let mut router = Router::new();
    let is_asked = |operation: &Operation| operation.is_query() || operation.is_worker_call();
    for Route { operation, handler } in ROUTES.iter().filter(|route| is_asked(&route.operation)) {
        let mut method = handler(operation.method.filter());
        if operation.waits_for_position() {
            method = method.route_layer(from_fn_with_state(app.clone(), conventions::read_your_writes));
        }
        router = router.route(operation.path, method);
    }
    router
        .fallback(async || Problem::not_found("query"))
        .layer(CatchPanicLayer::custom(conventions::panicked))
        .with_state(app.clone())
}

/// The routes of the table, with everything that holds for each of them.
pub fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for Route { operation, handler } in ROUTES {
        let mut method = handler(operation.method.filter());
        if operation.waits_for_position() {
            method = method.route_layer(from_fn_with_state(app.clone(), conventions::read_your_writes));
        }
        if operation.scope != Scope::Public {
            method = method.route_layer(from_fn_with_state((app.clone(), operation), auth::authorise));
        }
        router = router.route(operation.path, method);
    }
    router
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
        let call = Self::of_headers(&parts.headers, correlation_id)?;
        match parts.extensions.get::<Caller>() {
            Some(caller) => Ok(Self { actor: caller.actor(), ..call }),
            None => Ok(call),
        }
    }
}
