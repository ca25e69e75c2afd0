//! The routes: one file for each kind of entity, and the table that lists them all.

mod admin;
mod answers;
mod batches;
mod commands;
mod descriptions;
mod errors;
mod health;
mod live;
mod queries;
mod schemas;
mod table;
mod worker_calls;

use std::sync::{Arc, LazyLock};

use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::MethodFilter;
use axum::{Extension, Router};

use super::admission::admit;
use super::conventions;
use crate::App;
use crate::operation::{Operation, Scope, Verb};
use crate::problem::{Code, Problem};
use descriptions::Documents;
use table::Route;

/// Every operation, in the order of the table.
static OPERATIONS: LazyLock<Vec<Operation>> =
    LazyLock::new(|| table::routes().map(|route| route.operation).collect());

/// The published documents; drawn at the first request for one of them.
static DOCUMENTS: LazyLock<Documents> = LazyLock::new(|| Documents::new(operations()));

/// Every operation of the api.
pub fn operations() -> &'static [Operation] {
    &OPERATIONS
}

fn filter(method: Verb) -> MethodFilter {
    match method {
        Verb::Get => MethodFilter::GET,
        Verb::Post => MethodFilter::POST,
        Verb::Put => MethodFilter::PUT,
        Verb::Patch => MethodFilter::PATCH,
        Verb::Delete => MethodFilter::DELETE,
    }
}

/// The router of every route, with admission and the conventions of all responses.
///
/// Each layer costs every request a boxed service and a copy of all layers below it, so there are two: one that knows the
/// operation, and one around all.
pub fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for Route { operation, handler } in table::routes() {
        let mut method = handler(filter(operation.method));
        if operation.is_batch() {
            method = method.route_layer(Extension(operations()));
        }
        if operation.scope == Scope::Public {
            method = method.route_layer(Extension(&DOCUMENTS));
        }
        method = method.route_layer(from_fn_with_state((app.clone(), operation), admit));
        router = router.route(operation.path, method);
    }
    router
        .fallback(async || Problem::not_found("route"))
        .method_not_allowed_fallback(async || {
            Problem::new(Code::MethodNotAllowed, "this route does not support this method")
        })
        .layer(from_fn(conventions::answer))
        .with_state(app)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::answers::ANSWERS;
    use super::*;
    use crate::describe::{asyncapi, openapi};

    #[test]
    fn the_committed_documents_are_those_that_are_served() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas");
        let documents = [
            ("openapi.json", openapi::document(operations(), ANSWERS)),
            ("asyncapi.json", asyncapi::document(operations(), ANSWERS)),
        ];
        for (file, mut sorted) in documents {
            let file = root.join(file);
            sorted.sort_all_objects();
            let text = format!("{sorted:#}\n");
            if std::env::var_os("CAPSTAN_REGENERATE").is_some() {
                std::fs::write(&file, &text).unwrap();
            }
            let committed = std::fs::read_to_string(&file).unwrap_or_default();
            assert!(
                committed == text,
                "{} is not up to date: CAPSTAN_REGENERATE=1 cargo test -p capstan-api the_committed_documents",
                file.display()
            );
        }
    }
}
