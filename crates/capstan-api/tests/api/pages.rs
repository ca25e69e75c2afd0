//! The pages of `docs` that list what the code defines: they list all of it.

use std::collections::BTreeSet;

use capstan_api::{COMMAND_NAMES, Operation, Scope, operations};
use serde_json::Value;

use crate::conformance::DOCUMENT;

const API: &str = include_str!("../../../../docs/api.md");
const WORKERS: &str = include_str!("../../../../docs/worker-protocol.md");

type Names = BTreeSet<String>;

/// The part of a page from a text to the next one.
fn between<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
    let (_, after) = page.split_once(from).unwrap_or_else(|| panic!("no page says {from:?}"));
    after.split_once(to).map_or(after, |(part, _)| part)
}

/// The text in backticks.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The wire names in backticks.
fn wire_names(text: &str) -> Names {
    let is_name = |text: &&str| text.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-');
    code(text).filter(is_name).map(str::to_owned).collect()
}

/// First cells of the rows of a table.
fn first_cells(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
}

#[test]
fn every_command_and_every_worker_call_is_listed() {
    let commands: Names = COMMAND_NAMES.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(wire_names(between(API, "\nCommands:\n\n", "\n\n")), commands);

    let calls = between(WORKERS, "| call | fields besides", "\n\n");
    let calls: Names = first_cells(calls).flat_map(wire_names).map(|name| format!("worker.{name}")).collect();
    let there = operations().iter().filter(|operation| operation.is_worker_call());
    assert_eq!(calls, there.filter_map(Operation::rpc_name).collect());
}

/// A method and a path with its parameters as `{}`.
type Route = (String, String);

/// The route in backticks: `POST W/tasks/{id}`; without a method it is a GET.
fn route(text: &str) -> Option<Route> {
    let mut open = String::new();
    for (index, part) in text.split('{').enumerate() {
        let rest = if index == 0 { part } else { part.split_once('}')?.1 };
        open.push_str(if index == 0 { "" } else { "{}" });
        open.push_str(rest);
    }
    let (method, path) = match open.split_once(' ') {
        Some((method, path)) if method.chars().all(|letter| letter.is_ascii_uppercase()) => (method, path),
        _ => ("GET", open.as_str()),
    };
    let path = path.split(['?', ' ']).next()?;
    let path = match path.strip_prefix('W') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("/v1/workspaces/{{}}{rest}"),
        _ if path.starts_with("/v1/") && !path.contains('…') => path.to_owned(),
        _ => return None,
    };
    Some((method.to_owned(), path))
}

/// The routes of a cell: what follows one without being one replaces its last part.
fn routes_of_cell(cell: &str) -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    for text in code(cell) {
        let next = route(text).or_else(|| {
            let (method, path) = routes.last()?;
            let parent = path.rsplit_once('/')?.0;
            let (_, part) = route(&format!("/v1/{}", text.trim_start_matches('/')))?;
            Some((method.clone(), part.replacen("/v1", parent, 1)))
        });
        routes.extend(next);
    }
    routes
}

fn routes(of: impl Fn(&&Operation) -> bool) -> BTreeSet<Route> {
    let of_operation = |operation: &Operation| {
        let text = format!("{} {}", operation.method.as_str(), operation.path);
        route(&text).expect("a route")
    };
    operations().iter().filter(of).map(of_operation).collect()
}

#[test]
fn every_route_is_listed_and_every_listed_route_is_there() {
    let rows: BTreeSet<Route> = first_cells(API).flat_map(routes_of_cell).collect();
    let there = routes(|operation| operation.path.starts_with("/v1/") && !operation.is_worker_call());
    let unknown: Vec<_> = rows.difference(&there).collect();
    assert!(unknown.is_empty(), "docs/api.md lists {unknown:?}");
    let listed: BTreeSet<Route> = rows.into_iter().chain(code(API).filter_map(route)).collect();
    let missing: Vec<_> = there.difference(&listed).collect();
    assert!(missing.is_empty(), "docs/api.md does not list {missing:?}");

    let calls = between(WORKERS, "### Calls of a worker\n", "\n\nAn attempt is leased");
    let mut listed: BTreeSet<Route> = first_cells(calls).flat_map(routes_of_cell).collect();
    let about_attempts = between(WORKERS, "### Calls about an attempt\n\n", "\n\n");
    let below = first_cells(about_attempts).filter(|cell| cell.starts_with('`')).flat_map(code);
    listed.extend(below.filter_map(|call| route(&format!("POST /v1/attempts/{{attempt_id}}/{call}"))));
    assert_eq!(listed, routes(|operation| operation.scope == Scope::Worker));
}

/// The values of a choice in the document.
fn values(schema: &str) -> Vec<&str> {
    let schema = &DOCUMENT["components"]["schemas"][schema];
    let listed = schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mapped = schema["discriminator"]["mapping"].as_object().into_iter().flatten();
    listed.chain(mapped.map(|(value, _)| value.as_str())).collect()
}

#[test]
fn every_value_of_a_choice_a_page_explains_is_explained() {
    let places = [
        ("InputOutcome", between(API, "**Outcomes**:\n\n", "\n\n")),
        ("QueueMode", between(API, "**Queue modes**:\n\n", "\n\n")),
        ("QueueReason", between(API, "**Why** a task does not run, as `reason`:\n\n", "\n\n")),
        ("OwnReason", between(API, "**Why** a task does not run, as `reason`:\n\n", "\n\n")),
        ("GapReason", between(API, "Control frames:\n\n", "\n\n")),
        ("ProjectorState", between(API, "`projector` is the state", "\n\n")),
        ("ApprovalPolicy", between(API, "### Settings of a workspace\n", "\n###")),
        ("RunCause", between(WORKERS, "- `cause` is the reason of the run:", "\n- ")),
        ("GateDecision", between(WORKERS, "| `decision` | meaning |", "\n\n")),
        ("RenewStatus", between(WORKERS, "In an answer\n\n", "\n- `inputs_pending`")),
        ("ErrorClass", between(WORKERS, "- `error_class` (", "\n- ")),
    ];
    for (schema, text) in places {
        let explained: BTreeSet<_> = text.split('`').collect();
        let values = values(schema);
        assert!(!values.is_empty(), "{schema} is no choice");
        let missing: Vec<_> = values.into_iter().filter(|value| !explained.contains(value)).collect();
        assert!(missing.is_empty(), "no page explains {missing:?} of {schema}");
    }
}
