//! Children and watches, with an engine on real servers.

use serde_json::{Value, json};

use crate::harness::Api;

const TASKS: &str = "/v1/workspaces/dev/tasks";

/// A task whose run has ended with this plan.
async fn planned(api: &Api, plan: Value) -> String {
    let task = api.task("plan").await;
    let lease = api.lease(&task).await;
    let mut finish = json!({"outcome": "ok"});
    finish.as_object_mut().unwrap().extend(plan.as_object().unwrap().clone());
    api.report(&lease, "finish", finish).await.expect(200);
    task
}

async fn subtasks(api: &Api, task: &str, count: usize) -> Vec<Value> {
    let path = format!("{TASKS}/{task}/subtasks");
    let shown =
        api.until(&path, |shown| shown["items"].as_array().is_some_and(|items| items.len() == count)).await;
    shown["items"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_receives_the_results_of_the_children_it_waits_for() {
    let api = Api::start().await;
    let _engine = api.lead().await;
    let specs = json!([{"prompt": "one", "label": "One", "source_output_id": "o-1"}, {"prompt": "two", "entity_label": "Two"}]);
    let parent = planned(&api, json!({"subtasks": specs, "join": "all"})).await;
    let shown = api.get_now(&format!("{TASKS}/{parent}")).await.expect(200);
    assert_eq!((&shown["state"], &shown["waiting_reason"]), (&json!("waiting"), &json!("subtasks")));
    let children = subtasks(&api, &parent, 2).await;
    for child in &children {
        let id = child["id"].as_str().unwrap();
        let lease = api.lease(id).await;
        let finish = json!({"outcome": "ok", "result": format!("answer of {}", child["label"]), "usage": {"cost_usd": 0.25}});
        api.report(&lease, "finish", finish).await.expect(200);
    }
    let shown = api.until(&format!("{TASKS}/{parent}"), |task| task["state"] == "queued").await;
    assert_eq!(shown["subtasks_cost_usd"], 0.5);
    let inputs = api.get_now(&format!("{TASKS}/{parent}/inputs")).await.expect(200);
    let told = inputs["items"][0]["message"].as_str().unwrap();
    assert!(told.contains("One: done") && told.contains("answer of \"Two\""), "{told}");
    let of_output =
        api.get_now(&format!("{TASKS}/{parent}/subtasks?source_output_id=o-1,o-9")).await.expect(200);
    assert_eq!(of_output["items"].as_array().map(Vec::len), Some(1));
    api.get(&format!("{TASKS}/{}/subtasks", uuid::Uuid::nil())).await.expect_problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn children_are_cancelled_with_their_parent() {
    let api = Api::start().await;
    let _engine = api.lead().await;
    let parent = planned(&api, json!({"subtasks": [{"prompt": "one"}], "join": "any"})).await;
    let child = subtasks(&api, &parent, 1).await.remove(0);
    api.post(&format!("{TASKS}/{parent}/cancel"), json!({})).await.expect(202);
    let child = format!("{TASKS}/{}", child["id"].as_str().unwrap());
    api.until(&child, |task| task["state"] == "cancelled").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_wakes_the_tasks_that_watch_for_it_once() {
    let api = Api::start().await;
    let _engine = api.lead().await;
    let watch = |thread: &str| json!({"source_watches": [{"integration": "gmail", "thread_id": thread}]});
    let (one, two) = (planned(&api, watch("t-1")).await, planned(&api, watch("t-2")).await);
    let publish = |items: Value| {
        let keys = json!(["t-1", "t-2", "t-3"]);
        api.post(
            "/v1/workspaces/dev/source-events",
            json!({"integration": "gmail", "correlation_keys": keys, "items": items}),
        )
    };
    api.post("/v1/workspaces", json!({"workspace": "other"})).await.expect(201);
    let elsewhere = json!({"integration": "gmail", "correlation_keys": ["t-1"], "items": ["z"]});
    let elsewhere = api.post("/v1/workspaces/other/source-events", elsewhere).await.expect(202);
    assert_eq!(elsewhere["event"]["tasks"], json!([]), "what another workspace hears wakes nobody here");
    let told = publish(json!(["b", "a"])).await.expect(202);
    let mut woken: Vec<_> = told["event"]["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["task_id"].as_str().unwrap())
        .collect();
    woken.sort_unstable();
    let mut expected = [one.as_str(), two.as_str()];
    expected.sort_unstable();
    assert_eq!(woken, expected);
    assert_eq!(told["event"]["unmatched_keys"], json!(["t-3"]));
    assert_eq!(told["event"]["tasks"][0]["outcome"], "resumed");
    let again = publish(json!(["a", "b", "a"])).await.expect(202);
    assert!(
        again["event"]["tasks"].as_array().unwrap().iter().all(|task| task["duplicate"] == true),
        "{again}"
    );
    assert_eq!(again["receipt"]["duplicate"], true);

    // The id of the whole is the receipt's; the commits of the tasks have ids of their own.
    let id = "00000000-0000-4000-8000-0000000000aa";
    let body =
        json!({"integration": "gmail", "correlation_keys": ["t-1", "t-2"], "items": ["c"], "command_id": id});
    let path = "/v1/workspaces/dev/source-events";
    let first = api.post(path, body.clone()).await.expect(202);
    assert_eq!(
        (&first["receipt"]["command_id"], &first["receipt"]["duplicate"]),
        (&json!(id), &json!(false))
    );
    let told = first["event"]["tasks"].as_array().unwrap();
    assert_eq!(told.iter().filter(|task| task["duplicate"] == false).count(), 2, "{first}");
    let repeat = api.post(path, body).await.expect(202);
    assert_eq!(
        (&repeat["receipt"]["command_id"], &repeat["receipt"]["duplicate"]),
        (&json!(id), &json!(true))
    );
    let keyed =
        json!({"integration": "gmail", "correlation_keys": ["t-1"], "items": ["d"], "idempotency_key": "k"});
    let first = api.post(path, keyed.clone()).await.expect(202);
    let repeat = api.post(path, keyed).await.expect(202);
    assert_eq!(first["receipt"]["command_id"], repeat["receipt"]["command_id"]);
    assert_eq!(repeat["receipt"]["duplicate"], true);
    api.post(
        "/v1/workspaces/dev/source-events",
        json!({"integration": "fax", "correlation_keys": [], "items": []}),
    )
    .await
    .expect_problem(422, "validation_failed");
}
