//! `docs/parity.md`: what it names exists.

use std::collections::BTreeSet;
use std::path::Path;

use capstan_api::operations;
use serde_json::json;

use crate::harness::Api;

const PAGE: &str = include_str!("../../../../docs/parity.md");

/// Operations of the reference.
const OPERATIONS: usize = 44;

struct Row {
    name: String,
    route: String,
    subject: Option<String>,
    test: String,
}

fn code(cell: &str) -> Option<&str> {
    cell.trim().strip_prefix('`')?.strip_suffix('`')
}

fn rows() -> Vec<Row> {
    let cells =
        PAGE.lines().filter_map(|line| line.strip_prefix("| ")).map(|line| line.split(" | ").collect());
    cells
        .filter(|cells: &Vec<&str>| cells[1].starts_with('`'))
        .map(|cells| Row {
            name: cells[0].to_owned(),
            route: code(cells[1]).expect("a route").to_owned(),
            subject: code(cells[2]).map(str::to_owned),
            test: code(cells[4].trim_end_matches(" |")).expect("a test").to_owned(),
        })
        .collect()
}

#[test]
fn every_row_names_a_route_a_subject_and_a_test_there_is() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for Row { name, route, subject, test } in rows() {
        let (method, path) = route.split_once(' ').unwrap();
        let path = path.split('?').next().unwrap().replacen('W', "/v1/workspaces/{workspace}", 1);
        let operation = operations().iter().find(|one| one.path == path && one.method.as_str() == method);
        let operation = operation.unwrap_or_else(|| panic!("{name}: there is no {route}"));
        assert_eq!(subject, operation.rpc_name(), "{name}");
        let (file, function) = test.split_once("::").unwrap();
        let text = std::fs::read_to_string(tests.join(file)).unwrap_or_default();
        assert!(text.contains(&format!("fn {function}(")), "{name}: there is no test {test}");
    }
}

#[test]
fn every_operation_of_the_reference_is_a_row_or_said_to_be_missing() {
    let mut named: BTreeSet<_> = rows().into_iter().map(|row| row.name).collect();
    let missing = PAGE.lines().find_map(|line| line.strip_prefix("Not here yet: "));
    let missing = missing.map_or("", |line| line.trim_end_matches('.'));
    named.extend(missing.split(", ").filter(|name| !name.is_empty()).map(str::to_owned));
    assert_eq!(named.len(), OPERATIONS);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_hold_what_was_made() {
    let api = Api::start().await;
    let task = api.task("to be found").await;
    let lease = api.lease(&task).await;
    let line = json!([{ "stream": "stdout", "data": "a line" }]);
    api.report(&lease, "logs", json!({ "lines": line })).await.expect(202);
    let run = api.get_now(&format!("/v1/workspaces/dev/runs/{}", lease.run_id)).await.expect(200);
    assert_eq!(run["task_id"], *task);
    for (path, field, value) in [
        ("agents", "agent_key", json!("demo")),
        ("runs", "id", json!(lease.run_id)),
        ("runs?status=accepted", "id", json!(lease.run_id)),
    ] {
        let list = api.get_now(&format!("/v1/workspaces/dev/{path}")).await.expect(200);
        assert_eq!(list["items"].as_array().unwrap().len(), 1, "{path}: {list}");
        assert_eq!(list["items"][0][field], value, "{path}");
    }
    let logs = api.get(&format!("/v1/workspaces/dev/tasks/{task}/logs?cursor=0")).await.expect(200);
    let lines: Vec<_> = logs["items"].as_array().unwrap().iter().map(|line| &line["data"]).collect();
    assert_eq!(lines, ["to be found", "a line"]);
    let none = api.get_now("/v1/workspaces/dev/runs?status=cancelled").await.expect(200);
    assert_eq!(none["items"], json!([]));
}
