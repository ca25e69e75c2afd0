//! Lists, pages, trees and the past.

use serde_json::{Value, json};

use crate::harness::{Api, ask, json_of};

const W: &str = "/v1/workspaces/dev";

#[tokio::test(flavor = "multi_thread")]
async fn values_that_cannot_be_meant_are_refused_by_name() {
    let api = Api::start().await;
    for (path, parameter) in [
        ("tasks?state=queued,idle", "state/1"),
        ("tasks?waiting_reason=lunch", "waiting_reason/0"),
        ("tasks?updated_after=yesterday", "updated_after"),
        ("tasks?priority=huge", "priority/0"),
        ("tasks?archived=maybe", "archived"),
        ("tasks?limit=many", "limit"),
        ("tasks?count=much", "count"),
        ("runs?status=done", "status/0"),
        ("runs?updated_before=1", "updated_before"),
        ("runs?task_id=7", "task_id"),
        ("outputs?status=fine", "status/0"),
        ("outputs?hidden=2", "hidden"),
        ("inbox?kind=mood", "kind/0"),
        ("schedules?active=2", "active"),
        ("channels?active=x", "active"),
        ("tokens?revoked=x", "revoked"),
    ] {
        let answer = api.get(&format!("{W}/{path}")).await;
        answer.expect_problem(422, "validation_failed");
        assert_eq!(answer.body["errors"][0]["pointer"], format!("?{parameter}"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_counts_on_request_and_its_cursor_is_good_for_it_alone() {
    let api = Api::start().await;
    for number in 0..5 {
        api.task(&format!("number {number}")).await;
    }
    let page = api.get_now(&format!("{W}/tasks?limit=2&state=queued&count=true")).await.expect(200);
    assert_eq!((&page["limit"], &page["total"], page.get("total_is_more")), (&json!(2), &json!(5), None));
    let cursor = page["next_cursor"].as_str().unwrap();
    let next = api.get(&format!("{W}/tasks?limit=3&state=queued&cursor={cursor}")).await.expect(200);
    assert_eq!((next["items"].as_array().unwrap().len(), next.get("total")), (3, None));
    for other in ["tasks?", "tasks?state=running&", "runs?", "outputs?"] {
        let refused = api.get(&format!("{W}/{other}cursor={cursor}")).await;
        refused.expect_problem(422, "validation_failed");
        assert_eq!(refused.body["errors"][0]["pointer"], "?cursor");
    }
    let much = api.get(&format!("{W}/tasks?limit=100000")).await.expect(200);
    assert_eq!(much["limit"], 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_found_by_when_they_changed() {
    let api = Api::start().await;
    let task = api.task("run").await;
    let run = api.get_now(&format!("{W}/runs?task_id={task}")).await.expect(200)["items"][0].clone();
    let before = run["updated_at"].as_str().unwrap().to_owned();
    api.lease(&task).await;
    let found = async |query: String| {
        let list = api.get_now(&format!("{W}/runs?{query}")).await.expect(200);
        list["items"].as_array().unwrap().len()
    };
    assert_eq!(found(format!("updated_after={before}")).await, 1);
    assert_eq!(found(format!("updated_before={before}")).await, 0);
    assert_eq!(found(format!("created_before={before}&updated_after={before}")).await, 0);
    assert_eq!(found("agent_id=demo&session_id=none".to_owned()).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_and_its_run_are_shown_as_they_stood() {
    let api = Api::start().await;
    let before = api.head().await;
    let task = api.task("then").await;
    let path = format!("{W}/tasks/{task}");
    let born = api.get_now(&path).await;
    let position = born.header("capstan-position").to_owned();
    let born = born.expect(200);
    let lease = api.lease(&task).await;
    api.report(&lease, "finish", json!({ "outcome": "ok" })).await.expect(200);
    assert_eq!(api.get_now(&path).await.expect(200)["state"], "done");

    let then = api.get(&format!("{path}?as_of={position}")).await;
    assert_eq!(then.header("etag"), format!("\"{}\"", born["version"]));
    assert_eq!(then.expect(200), born);
    let at = born["created_at"].as_str().unwrap();
    assert_eq!(api.get(&format!("{path}?as_of={at}")).await.expect(200), born);
    let now = api.get(&format!("{path}?as_of={}", api.head().await)).await.expect(200);
    assert_eq!(now, api.get_now(&path).await.expect(200));
    let run = format!("{W}/runs/{}", lease.run_id);
    assert_eq!(api.get(&format!("{run}?as_of={position}")).await.expect(200)["status"], "accepted");
    assert_eq!(api.get_now(&run).await.expect(200)["status"], "ok");

    for unborn in [before.to_string(), "2020-01-01T00:00:00Z".to_owned()] {
        api.get(&format!("{path}?as_of={unborn}")).await.expect_problem(404, "not_found");
        api.get(&format!("{run}?as_of={unborn}")).await.expect_problem(404, "not_found");
    }
    api.get(&format!("{path}?as_of=noon")).await.expect_problem(422, "validation_failed");
    // Over NATS it is the same read.
    let on_bus = ask(&api, "get-task", json!({ "task_id": task, "as_of": position })).await;
    assert_eq!(json_of(&on_bus.payload), born);
    // Lists show the present only, and say so.
    for list in ["tasks", "runs", "outputs"] {
        let refused = api.get(&format!("{W}/{list}?as_of={position}")).await;
        refused.expect_problem(422, "validation_failed");
        assert_eq!(refused.body["errors"][0]["pointer"], "?as_of", "{list}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_shows_what_was_made_for_a_task_and_what_all_of_it_costs() {
    let api = Api::start().await;
    let child_of = async |parent: &str, message: &str| {
        let body =
            json!({ "agent_id": "demo", "message": message, "label": message, "parent_task_id": parent });
        let made = api.post(&format!("{W}/tasks"), body).await.expect(202);
        made["task"]["id"].as_str().unwrap().to_owned()
    };
    let root = api.task("root").await;
    let first = child_of(&root, "first").await;
    child_of(&root, "second").await;
    let below = child_of(&first, "below \u{0} all").await;
    for (task, cost_usd) in [(&root, 1.0), (&first, 0.5), (&below, 0.25)] {
        let lease = api.lease(task).await;
        api.report(&lease, "usage", json!({ "usage": { "cost_usd": cost_usd } })).await.expect(200);
    }
    let tree = api.get_now(&format!("{W}/tasks/{root}/tree")).await.expect(200);
    assert_eq!((&tree["tasks"], &tree["truncated"]), (&json!(4), &json!(false)));
    let costs = |task: &Value| (task["cost_usd"].as_f64().unwrap(), task["total_cost_usd"].as_f64().unwrap());
    assert_eq!(costs(&tree["root"]), (1.0, 1.75));
    let children = tree["root"]["children"].as_array().unwrap();
    assert_eq!(
        (children.len(), &children[0]["label"], &children[1]["label"]),
        (2, &json!("first"), &json!("second"))
    );
    assert_eq!(costs(&children[0]), (0.5, 0.75));
    assert_eq!(children[0]["children"][0]["id"], json!(below));

    let shallow = api.get_now(&format!("{W}/tasks/{root}/tree?depth=1")).await.expect(200);
    assert_eq!((&shallow["tasks"], &shallow["truncated"]), (&json!(3), &json!(true)));
    assert_eq!(costs(&shallow["root"]), (1.0, 1.5));
    let small = api.get_now(&format!("{W}/tasks/{root}/tree?limit=2")).await.expect(200);
    assert_eq!((&small["tasks"], &small["truncated"]), (&json!(2), &json!(true)));
    let leaf = api.get_now(&format!("{W}/tasks/{below}/tree?depth=0")).await.expect(200);
    assert_eq!((&leaf["tasks"], &leaf["truncated"]), (&json!(1), &json!(false)));
    let unknown = "00000000-0000-4000-8000-000000000000";
    api.get_now(&format!("{W}/tasks/{unknown}/tree")).await.expect_problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_begin_with_what_the_task_was_told_unless_a_writer_said_it() {
    let api = Api::start().await;
    let told = async |task: &str, query: &str| {
        let logs = api.get(&format!("{W}/tasks/{task}/logs{query}")).await.expect(200);
        let items = logs["items"].as_array().unwrap().clone();
        (items.iter().map(|line| line["data"].as_str().unwrap().to_owned()).collect::<Vec<_>>(), logs)
    };
    let task = api.task("count the files").await;
    let (lines, logs) = told(&task, "").await;
    assert_eq!((lines, logs.get("next_cursor")), (vec!["count the files".to_owned()], None));
    let first = &logs["items"][0];
    assert_eq!((&first["chunk_type"], &first["seq"]), (&json!("task_prompt"), &json!(0)));
    let lease = api.lease(&task).await;
    api.report(&lease, "logs", json!({ "lines": [{ "stream": "stdout", "data": "a" }] })).await.expect(202);
    let (lines, logs) = told(&task, "?cursor=0").await;
    assert_eq!(lines, ["count the files", "a"]);
    assert_eq!(told(&task, &format!("?cursor={}", logs["next_cursor"].as_str().unwrap())).await.0, [""; 0]);

    // Nobody but the server writes in the name of a person.
    let lines = json!([{ "stream": "user", "data": "count the files" }]);
    let refused = api.report(&lease, "logs", json!({ "lines": lines })).await;
    refused.expect_problem(422, "validation_failed");
    assert_eq!(refused.body["errors"][0]["pointer"], "/lines/0/stream");
    let refused = api.report(&lease, "events", json!({ "events": [{ "event_type": " " }] })).await;
    refused.expect_problem(422, "validation_failed");
    assert_eq!(refused.body["errors"][0]["pointer"], "/events/0/event_type");
}
