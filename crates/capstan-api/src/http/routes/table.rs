//! The routes: the lists of the contract, and what is served beside them.
//!
//! The router is built from here alone: a route that is not listed does not exist, and a listed one is authorised by its
//! scope.

use std::sync::Arc;

use axum::routing::{MethodFilter, MethodRouter, on};
use capstan_contract::request::Request;
use capstan_contract::stream::{SubscribeRunEvents, SubscribeTaskLive, SubscribeWorkspaceLive};
use capstan_contract::{
    admin as of_admin, command as body, for_each_admin_request, for_each_command, for_each_query,
    for_each_worker_call, query,
};

use super::{admin, batches, commands, descriptions, errors, health, live, queries, schemas, worker_calls};
use crate::App;
use crate::operation::Answer::{Array, Entity, List, Maybe, Object, Receipt, Stream, Text, View};
use crate::operation::Verb::{Get, Post};
use crate::operation::{Answer, Operation, Scope, Verb};
use crate::use_case::answer::{Answer as Answers, Installation};
use crate::use_case::execute::Execute;
use crate::use_case::worker_call::WorkerCall;

/// An operation and its handler.
pub(crate) struct Route {
    pub(crate) operation: Operation,
    pub(crate) handler: fn(MethodFilter) -> MethodRouter<Arc<App>>,
}

type Handler = fn(MethodFilter) -> MethodRouter<Arc<App>>;

/// The handler of a route.
macro_rules! to {
    ($handler:path) => {
        |method| on(method, $handler)
    };
}

/// The status of a success, unless the contract lists another.
const OK: &[u16] = &[200];

/// Makes the routes of a list of the contract, each with this constructor.
macro_rules! routes {
    (
        $list:ident = $route:ident::<$module:ident>;
        $($request:ident($beside:ident) = $name:literal, $method:ident $path:literal
            => [$($status:literal)+, $answer:ident($schema:literal), $scope:ident, $summary:literal];)*
    ) => {
        const $list: &[Route] = &[$(
            $route::<$module::$request>(&[$($status),+], $answer($schema), Scope::$scope, $summary),
        )*];
    };
}

for_each_command!(routes COMMANDS = command::<body>;);
for_each_query!(routes QUERIES = query::<query>;);
for_each_worker_call!(routes WORKER_CALLS = worker::<body>;);
for_each_admin_request!(routes ADMIN_REQUESTS = admin::<of_admin>;);

#[rustfmt::skip]
const OTHERS: &[Route] = &[
    post("ExecuteBatch", "/v1/workspaces/{workspace}/commands", Scope::Command, Array("batch-answer"), "executes up to 1000 commands, each with its own answer", to!(batches::commands)),
    stream::<SubscribeWorkspaceLive>("the events of a workspace as they happen", to!(live::of_workspace)),
    stream::<SubscribeTaskLive>("the events of a task as they happen", to!(live::of_task)),
    stream::<SubscribeRunEvents>("the events of a run as they happen", to!(live::of_run)),
    get("GetHealth", "/healthz", Scope::Public, Object("health"), "liveness", to!(health::alive)),
    get("GetReadiness", "/readyz", Scope::Public, Object("readiness"), "readiness", to!(health::ready)),
    get("GetMetrics", "/metrics", Scope::Public, Text("text/plain; version=0.0.4"), "metrics for Prometheus", to!(health::metrics)),
    get("GetErrorPage", "/errors/{code}", Scope::Public, Text("text/markdown"), "the page of an error code", to!(errors::page)),
    get("GetOpenApi", "/openapi.json", Scope::Public, Text("application/json"), "the HTTP API as OpenAPI", to!(descriptions::openapi)),
    get("GetAsyncApi", "/asyncapi.json", Scope::Public, Text("application/json"), "live streams and NATS subjects as AsyncAPI", to!(descriptions::asyncapi)),
    get("ListSchemas", "/schemas", Scope::Public, Object("schema-names"), "the names of all schemas", to!(schemas::names)),
    get("GetSchema", "/schemas/{name}", Scope::Public, Text("application/schema+json"), "one JSON Schema", to!(schemas::one)),
];

/// Every route.
pub(crate) fn routes() -> impl Iterator<Item = &'static Route> {
    [COMMANDS, QUERIES, WORKER_CALLS, ADMIN_REQUESTS, OTHERS].into_iter().flatten()
}

const fn route(
    name: &'static str,
    method: Verb,
    path: &'static str,
    scope: Scope,
    answer: Answer,
    summary: &'static str,
    handler: Handler,
) -> Route {
    let operation =
        Operation { name, method, path, scope, bus: None, summary, body: None, answer, statuses: OK };
    Route { operation, handler }
}

const fn get(
    name: &'static str,
    path: &'static str,
    scope: Scope,
    answer: Answer,
    summary: &'static str,
    handler: Handler,
) -> Route {
    route(name, Get, path, scope, answer, summary, handler)
}

const fn post(
    name: &'static str,
    path: &'static str,
    scope: Scope,
    answer: Answer,
    summary: &'static str,
    handler: Handler,
) -> Route {
    route(name, Post, path, scope, answer, summary, handler)
}

/// A request with a type of its own.
const fn typed<R: Request>(
    statuses: &'static [u16],
    answer: Answer,
    scope: Scope,
    summary: &'static str,
    handler: Handler,
) -> Route {
    let mut route = route(R::OPERATION, R::METHOD, R::PATH, scope, answer, summary, handler);
    route.operation.body = Some(R::NAME);
    route.operation.statuses = statuses;
    route
}

/// A query of a workspace, also served over NATS.
const fn query<Q: Answers>(
    statuses: &'static [u16],
    answer: Answer,
    scope: Scope,
    summary: &'static str,
) -> Route {
    typed::<Q>(statuses, answer, scope, summary, |method| on(method, queries::of_workspace::<Q>))
}

/// A request about the installation.
const fn admin<R: Answers<Installation>>(
    statuses: &'static [u16],
    answer: Answer,
    scope: Scope,
    summary: &'static str,
) -> Route {
    typed::<R>(statuses, answer, scope, summary, |method| on(method, admin::answer::<R>))
}

/// A command of a caller, also served over NATS; the response is a receipt with the entity.
const fn command<C: Execute>(
    statuses: &'static [u16],
    answer: Answer,
    scope: Scope,
    summary: &'static str,
) -> Route {
    let mut route = typed::<C>(statuses, answer, scope, summary, |method| on(method, commands::execute::<C>));
    route.operation.bus = Some(C::NAME);
    route
}

/// A call of a worker.
const fn worker<C: WorkerCall>(
    statuses: &'static [u16],
    answer: Answer,
    scope: Scope,
    summary: &'static str,
) -> Route {
    typed::<C>(statuses, answer, scope, summary, |method| on(method, worker_calls::execute::<C>))
}

/// A live stream.
const fn stream<S: Request>(summary: &'static str, handler: Handler) -> Route {
    typed::<S>(OK, Stream, Scope::Read, summary, handler)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use capstan_contract::request;

    use super::*;
    use crate::use_case::batch::BATCH;

    #[test]
    fn names_and_routes_are_unique() {
        let names: BTreeSet<_> = routes().map(|route| route.operation.name).collect();
        let places: BTreeSet<_> =
            routes().map(|route| (route.operation.path, route.operation.method)).collect();
        assert_eq!((names.len(), places.len()), (routes().count(), routes().count()));
    }

    #[test]
    fn whatever_reads_or_commands_says_in_which_workspace() {
        for Route { operation, .. } in routes() {
            if matches!(operation.scope, Scope::Read | Scope::Command) {
                assert!(operation.path.starts_with("/v1/workspaces/{workspace}"), "{}", operation.name);
            }
            let is_below_v1 = operation.path.starts_with("/v1/");
            assert_eq!(is_below_v1, operation.scope != Scope::Public, "{}", operation.name);
            assert!(!operation.statuses.is_empty(), "{}", operation.name);
        }
    }

    #[test]
    fn every_read_and_command_of_a_workspace_is_asked_on_the_bus_under_a_name_of_its_own() {
        for Route { operation, .. } in routes() {
            let is_read = operation.scope == Scope::Read && operation.answer != Stream;
            let is_command = operation.scope == Scope::Command && operation.name != "ExecuteBatch";
            assert!(!(is_read || is_command) || operation.rpc_name().is_some(), "{}", operation.name);
        }
        let names: Vec<_> = routes().filter_map(|route| route.operation.rpc_name()).collect();
        let once: BTreeSet<_> = names.iter().collect();
        assert_eq!(names.len(), once.len());
        assert!(!once.contains(&BATCH.to_owned()));
    }

    #[test]
    fn every_request_of_the_contract_has_its_route_and_every_route_its_schema() {
        let routed: BTreeSet<_> = routes().filter_map(|route| route.operation.body).collect();
        let in_contract: BTreeSet<_> = request::schemas().map(|named| named.name).collect();
        assert_eq!(routed, in_contract);
    }
}
