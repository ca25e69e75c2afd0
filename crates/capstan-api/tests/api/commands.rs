//! Callers' commands and reads.

use capstan_envelope::Position;
use serde_json::json;
use uuid::Uuid;

use crate::harness::Api;

const TASKS: &str = "/v1/workspaces/dev/tasks";

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_command_is_shown_as_reads_show_it() {
    let api = Api::start().await;
    let agent = api.get("/v1/workspaces/dev/agents/demo").await.expect(200);
    let body =
        json!({ "agent_id": "demo", "message": " hello ", "labels": { "team": "a" }, "priority": "High" });
    let answer = api.post(TASKS, body).await;
    assert_eq!(answer.header("capstan-position"), answer.body["receipt"]["position"], "{}", answer.body);
    let accepted = answer.expect(202);
    let (receipt, task) = (&accepted["receipt"], &accepted["task"]);
    assert_eq!(task["agent_id"], agent["id"]);
    assert_eq!((receipt["duplicate"].as_bool(), receipt["version"].as_u64()), (Some(false), Some(1)));
    assert_eq!((task["state"].as_str(), task["message"].as_str()), (Some("queued"), Some("hello")));

    let path = format!(
        "{TASKS}/{}?min_position={}",
        task["id"].as_str().unwrap(),
        receipt["position"].as_str().unwrap()
    );
    let read = api.get(&path).await;
    assert_eq!(read.header("etag"), "\"1\"");
    let (shown, written) = (read.header("capstan-position"), receipt["position"].as_str().unwrap());
    assert!(shown.parse::<Position>().unwrap().reaches(written.parse().unwrap()), "{shown} {written}");
    assert_eq!(&read.expect(200), task, "the answer and the read model agree");

    for query in
        ["state=queued", "priority=high,low", "agent_id=demo", "labels=team:a", "q=HELL", "limit=9999"]
    {
        let list = api.get(&format!("{TASKS}?{query}")).await.expect(200);
        assert_eq!(list["items"], json!([task]), "{query}");
        assert_eq!(list["limit"], if query == "limit=9999" { 500 } else { 50 });
    }
    for query in ["state=done", "priority=low", "labels=team:b", "archived=true"] {
        assert_eq!(api.get(&format!("{TASKS}?{query}")).await.expect(200)["items"], json!([]), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_read_page_by_page() {
    let api = Api::start().await;
    for number in 0..5 {
        api.task(&format!("task {number}")).await;
    }
    let mut seen = Vec::new();
    let mut page = api.get_now(&format!("{TASKS}?limit=2")).await.expect(200);
    loop {
        seen.extend(page["items"].as_array().unwrap().iter().map(|task| task["message"].clone()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        page = api.get(&format!("{TASKS}?limit=2&cursor={cursor}")).await.expect(200);
    }
    assert_eq!(seen, ["task 4", "task 3", "task 2", "task 1", "task 0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_makes_one_task_for_ever() {
    let api = Api::start().await;
    let body = json!({ "agent_id": "demo", "message": "once", "idempotency_key": "k" });
    let first = api.post(TASKS, body.clone()).await.expect(202);
    let again = api.post(TASKS, body).await.expect(200);
    assert_eq!(again["receipt"]["duplicate"], true);
    for pointer in ["/receipt/position", "/receipt/command_id", "/receipt/version", "/task/id"] {
        assert_eq!(again.pointer(pointer), first.pointer(pointer), "{pointer}");
    }
    let by_header = api.request("POST", TASKS).header("idempotency-key", "k");
    let by_header = by_header.body(json!({ "agent_id": "demo", "message": "once" }).to_string());
    assert_eq!(api.send(by_header).await.expect(200)["task"]["id"], first["task"]["id"]);

    let head = api.head().await;
    let other =
        api.post(TASKS, json!({ "agent_id": "demo", "message": "twice", "idempotency_key": "k" })).await;
    other.expect_problem(409, "idempotency_conflict");
    let id = Uuid::from_u128(77);
    let named = |message: &str| {
        let body = json!({ "agent_id": "demo", "message": message }).to_string();
        api.request("POST", TASKS).header("capstan-command-id", id.to_string()).body(body)
    };
    let first = api.send(named("by id")).await.expect(202);
    assert_eq!(first["receipt"]["command_id"], id.to_string());
    assert_eq!(api.send(named("by id")).await.expect(200)["task"]["id"], first["task"]["id"]);
    api.send(named("another")).await.expect_problem(409, "idempotency_conflict");
    assert_eq!(api.head().await.sequence(), head.sequence() + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_carries_the_version_of_the_task_it_shows() {
    let api = Api::start().await;
    let body = json!({ "agent_id": "demo", "message": "once", "idempotency_key": "k" });
    let first = api.post(TASKS, body.clone()).await.expect(202);
    let task = first["task"]["id"].as_str().unwrap();
    api.post(&format!("{TASKS}/{task}/cancel"), json!({})).await.expect(202);
    let shown = api.get_now(&format!("{TASKS}/{task}")).await;
    let again = api.post(TASKS, body).await;
    assert_eq!(again.body["task"]["state"], "cancelled");
    assert_ne!(again.header("etag"), "\"1\"");
    assert_eq!(again.header("etag"), shown.header("etag"));
    assert_eq!(again.header("capstan-position"), shown.header("capstan-position"));
    assert_eq!(again.body["receipt"]["position"], first["receipt"]["position"]);
    assert_eq!(again.body["receipt"]["version"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_is_shown_and_cannot_be_done_twice() {
    let api = Api::start().await;
    let task = api.task("long").await;
    let path = format!("{TASKS}/{task}/cancel");
    let cancelled = api.send(api.request("POST", &path)).await.expect(202);
    assert_eq!(cancelled["task"]["state"], "cancelled");
    api.post(&path, json!({})).await.expect_problem(409, "illegal_transition");
    let history = api.get(&format!("{TASKS}/{task}/history")).await.expect(200);
    let events: Vec<_> =
        history["items"].as_array().unwrap().iter().map(|one| one["event"].as_str().unwrap()).collect();
    assert_eq!((events.first(), events.last()), (Some(&"task-accepted"), Some(&"task-cancelled")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_says_what_becomes_of_it() {
    let api = Api::start().await;
    let task = api.task("first").await;
    let input = json!({ "message": "more", "idempotency_key": "i" });
    let path = format!("{TASKS}/{task}/input");
    let first = api.post(&path, input.clone()).await.expect(202);
    assert_eq!(
        (first["outcome"].as_str(), first["task"]["id"].as_str()),
        (Some("queued"), Some(task.as_str()))
    );
    let again = api.post(&path, input).await.expect(200);
    assert_eq!((&again["input_id"], &again["first_outcome"]), (&first["input_id"], &first["outcome"]));
    assert_eq!(again["outcome"], "duplicate");
    let inputs = api.get_now(&format!("{TASKS}/{task}/inputs")).await.expect(200);
    assert_eq!(inputs["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_addressed_by_its_id() {
    let api = Api::start().await;
    let task = api.task("work").await;
    let lease = api.lease(&task).await;
    let runs = "/v1/workspaces/dev/runs";
    let input = json!({ "message": "hurry" });
    let told = api.post(&format!("{runs}/{}/input", lease.run_id), input).await.expect(202);
    assert_eq!(told["outcome"], "queued");
    let cancelled = api.post(&format!("{runs}/{}/cancel", lease.run_id), json!({ "reason": "enough" })).await;
    assert_eq!(cancelled.expect(202)["task"]["state"], "cancelled");
    let run = api.get_now(&format!("{runs}/{}", lease.run_id)).await.expect(200);
    assert_eq!((run["task_id"].as_str(), run["status"].as_str()), (Some(task.as_str()), Some("cancelled")));
    let list = api.get(&format!("{runs}?status=cancelled&task_id={task}")).await.expect(200);
    assert_eq!(list["items"], json!([run]));
    assert_eq!(api.get(&format!("{TASKS}/{task}/runs")).await.expect(200)["items"], json!([run]));
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_are_found_by_id_and_key() {
    let api = Api::start().await;
    let path = "/v1/workspaces/dev/agents";
    let body = json!({ "agent_key": "second", "name": "Second", "active": false });
    let created = api.post(path, body.clone()).await.expect(201);
    let agent = &created["agent"];
    assert_eq!(agent["config"]["runner"], "claude_code");
    for named in [agent["id"].as_str().unwrap(), "second"] {
        assert_eq!(&api.get(&format!("{path}/{named}")).await.expect(200), agent);
    }
    assert_eq!(api.get(path).await.expect(200)["items"].as_array().map(Vec::len), Some(2));
    api.post(path, body).await.expect_problem(409, "agent_exists");
    let refused = api.post(TASKS, json!({ "agent_id": "second", "message": "x" })).await;
    refused.expect_problem(409, "agent_inactive");
    assert_eq!(api.get("/v1/workspaces/dev").await.expect(200)["version"], 1);
    api.post("/v1/workspaces", json!({ "workspace": "dev" })).await.expect_problem(409, "workspace_exists");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_on_the_version_is_held() {
    let api = Api::start().await;
    let task = api.task("x").await;
    let path = format!("{TASKS}/{task}/cancel");
    let stale = api.send(api.request("POST", &path).header("if-match", "\"7\"")).await;
    stale.expect_problem(412, "version_mismatch");
    assert_eq!(stale.body["current_version"], 1);
    api.send(api.request("POST", &path).header("if-match", "\"1\"")).await.expect(202);
}
