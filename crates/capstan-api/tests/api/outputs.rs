//! Outputs that callers add, the feed they stand in, and how they are put away.

use serde_json::{Value, json};

use crate::harness::{Api, ask, json_of};

const FEED: &str = "/v1/workspaces/dev/outputs";

async fn titles(api: &Api, path: &str) -> Vec<String> {
    let list = api.get_now(path).await.expect(200);
    let title = |item: &Value| item["title"].as_str().unwrap().to_owned();
    list["items"].as_array().unwrap().iter().map(title).collect()
}

fn report(name: &str) -> Value {
    json!({ "name": name, "output_type": "report", "title": name, "data": { "x": 1 } })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_from_outside_is_made_once_grows_and_is_put_away() {
    let api = Api::start().await;
    let (task, other) = (api.task("make").await, api.task("other").await);
    let outputs = format!("/v1/workspaces/dev/tasks/{task}/outputs");
    // What blocks is told in the metadata, and comes back as it was given.
    let metadata = json!({ "_blocking_kind": "approval", "_blocker_id": "b", "_wait_group_id": "w" });
    let body = json!({ "name": "r", "output_type": "report", "title": "R", "metadata": metadata, "status": "pending" });
    let made = api.post(&outputs, body.clone()).await.expect(201);
    let id = made["output"]["id"].as_str().unwrap().to_owned();
    assert_eq!((&made["output"]["metadata"], &made["output"]["status"]), (&metadata, &json!("pending")));
    assert_eq!(made["output"].get("run_id"), None);

    // The same again, also over NATS, is the same output; something else under its name is refused.
    let again = api.post(&outputs, body.clone()).await.expect(200);
    assert_eq!(
        (&again["output"]["id"], &again["receipt"]["version"]),
        (&json!(id), &made["receipt"]["version"])
    );
    let mut on_bus = body.clone();
    on_bus["task_id"] = json!(task);
    let again = json_of(&ask(&api, "create-task-output", on_bus).await.payload);
    assert_eq!(
        (&again["output"]["id"], &again["receipt"]["version"]),
        (&json!(id), &made["receipt"]["version"])
    );
    let mut changed = body.clone();
    changed["title"] = json!("Another");
    api.post(&outputs, changed).await.expect_problem(409, "output_conflict");
    // Another task's output of this name is another output.
    let elsewhere = format!("/v1/workspaces/dev/tasks/{other}/outputs");
    assert_ne!(api.post(&elsewhere, body).await.expect(201)["output"]["id"], json!(id));

    let one = format!("{outputs}/{id}");
    let rows = json!({ "task_id": task, "output_id": id, "rows": [[0]] });
    let grown = json_of(&ask(&api, "append-task-output-rows", rows).await.payload);
    assert_eq!(grown["output"]["data"]["rows"], json!([[0]]), "{grown}");
    let grown = api.post(&format!("{one}/rows"), json!({ "rows": [[1], [2]] })).await.expect(200);
    assert_eq!(grown["output"]["data"]["rows"], json!([[0], [1], [2]]));
    assert_eq!(grown["output"]["row_count"], 3);
    let page = api.get_now(&format!("{FEED}/{id}/rows?limit=2")).await.expect(200);
    assert_eq!(page["items"], json!([{ "number": 1, "row": [0] }, { "number": 2, "row": [1] }]), "{page}");
    assert_eq!((&page["next_cursor"], &page["limit"]), (&json!("2"), &json!(2)));
    let rest = json_of(&ask(&api, "list-output-rows", json!({ "output_id": id, "cursor": 2 })).await.payload);
    assert_eq!(rest["items"], json!([{ "number": 3, "row": [2] }]), "{rest}");
    assert_eq!(rest.get("next_cursor"), None);
    let on_bus = json!({ "task_id": task, "output_id": id, "summary": "some rows" });
    let closed = json_of(&ask(&api, "finalize-task-output", on_bus).await.payload);
    assert_eq!(closed["output"]["summary"], "some rows", "{closed}");
    let closed = api.post(&format!("{one}/finalize"), json!({ "summary": "three rows" })).await.expect(200);
    assert_eq!(closed["output"]["summary"], "three rows");
    assert_eq!(api.get_now(&one).await.expect(200)["summary"], "three rows");
    api.get_now(&format!("{elsewhere}/{id}")).await.expect_problem(404, "not_found");
    api.post(&format!("{elsewhere}/{id}/rows"), json!({ "rows": [1] }))
        .await
        .expect_problem(404, "not_found");

    let archive = format!("{FEED}/{id}/archive");
    let archived = api.post(&archive, json!({})).await.expect(200);
    assert!(archived["output"]["archived_at"].is_string(), "{archived}");
    let twice = json_of(&ask(&api, "archive-output", json!({ "output_id": id })).await.payload);
    assert_eq!(twice["receipt"]["version"], archived["receipt"]["version"], "{twice}");
    assert_eq!(titles(&api, FEED).await.len(), 1);
    assert_eq!(titles(&api, &format!("{FEED}?archived=true")).await, ["R"]);
    assert_eq!(titles(&api, &format!("{FEED}?archived=any")).await.len(), 2);
    let unknown = "00000000-0000-4000-8000-000000000000";
    api.post(&format!("{FEED}/{unknown}/archive"), json!({})).await.expect_problem(404, "not_found");
    api.get_now(&format!("{FEED}/{unknown}/rows")).await.expect_problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_meets_the_same_rule() {
    let api = Api::start().await;
    let task = api.task("make").await;
    let lease = api.lease(&task).await;
    let made = api.report(&lease, "outputs", report("r")).await.expect(201);
    assert_eq!(api.report(&lease, "outputs", report("r")).await.expect(200)["output_id"], made["output_id"]);
    let mut other = report("r");
    other["data"]["x"] = json!(2);
    api.report(&lease, "outputs", other).await.expect_problem(409, "output_conflict");
    // What the agent made may be said again from outside.
    let outputs = format!("/v1/workspaces/dev/tasks/{task}/outputs");
    let same = api.post(&outputs, report("r")).await.expect(200);
    assert_eq!(same["output"]["id"], made["output_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_hides_what_only_supports_and_drafts_and_filters_by_what_is_asked() {
    let api = Api::start().await;
    let task = api.task("make").await;
    let outputs = format!("/v1/workspaces/dev/tasks/{task}/outputs");
    let make = async |title: &str, output_type: &str, role: &str, data: Value| {
        let body = json!({ "name": title, "title": title, "output_type": output_type, "data": data,
                           "metadata": { "artifact_role": role } });
        api.post(&outputs, body).await.expect(201);
    };
    make("primary", "report", "primary", json!({})).await;
    make("supporting", "report", "supporting", json!({})).await;
    make("incidental", "report", "incidental", json!({})).await;
    make("draft", "email", "primary", json!({ "draft_id": "d" })).await;
    make("sent", "email", "primary", json!({ "draft_id": "d", "message_id": "m" })).await;
    assert_eq!(titles(&api, FEED).await, ["sent", "primary"]);
    let on_bus = json_of(&ask(&api, "list-outputs", json!({ "archived": "any" })).await.payload);
    assert_eq!(on_bus["items"].as_array().unwrap().len(), 2, "{on_bus}");
    assert_eq!(titles(&api, &format!("{FEED}?hidden=true")).await.len(), 5);
    assert_eq!(titles(&api, &outputs).await.len(), 5);
    assert_eq!(titles(&api, &format!("{FEED}?type=email&agent_id=demo")).await, ["sent"]);
    assert_eq!(titles(&api, &format!("{FEED}?status=pending,rejected")).await, [""; 0]);
    assert_eq!(titles(&api, &format!("{FEED}?created_before=2020-01-01T00:00:00Z")).await, [""; 0]);
    // A page is filled from what is shown, not cut after the hidden ones were counted.
    let page = api.get_now(&format!("{FEED}?limit=2&count=true")).await.expect(200);
    assert_eq!((page["items"].as_array().unwrap().len(), &page["total"]), (2, &json!(2)));
    assert_eq!(page.get("next_cursor"), None);

    let path = format!("{FEED}/archive-all");
    let some = api.post(&path, json!({ "output_type": "email" })).await.expect(200);
    assert_eq!(some["archived"], json!({ "count": 2, "more": false }));
    let rest = json_of(&ask(&api, "archive-all-outputs", json!({ "agent_id": "demo" })).await.payload);
    assert_eq!(rest["archived"]["count"], 3, "{rest}");
    assert_eq!(api.post(&path, json!({})).await.expect(200)["archived"]["count"], 0);
    assert_eq!(titles(&api, &format!("{FEED}?hidden=true")).await, [""; 0]);

    // The same command again has the same id, and archives what is left.
    make("late", "report", "primary", json!({})).await;
    let keyed = json!({ "output_type": "report", "idempotency_key": "k" });
    let first = api.post(&path, keyed.clone()).await.expect(200);
    let again = api.post(&path, keyed).await.expect(200);
    assert_eq!((&first["archived"]["count"], &again["archived"]["count"]), (&json!(1), &json!(0)));
    assert_eq!(first["receipt"]["command_id"], again["receipt"]["command_id"]);
}
