//! Agents: changed, deleted, counted, and found by what people call them.

use serde_json::{Value, json};

use crate::harness::{Answer, Api, ask, json_of};

const AGENTS: &str = "/v1/workspaces/dev/agents";
const TASKS: &str = "/v1/workspaces/dev/tasks";

async fn patch(api: &Api, agent: &str, body: Value) -> Answer {
    api.send(api.request("PATCH", &format!("{AGENTS}/{agent}")).body(body.to_string())).await
}

async fn delete(api: &Api, agent: &str, query: &str) -> Answer {
    api.send(api.request("DELETE", &format!("{AGENTS}/{agent}{query}"))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_changes_what_it_names_and_nothing_else() {
    let api = Api::start().await;
    let body = json!({ "name": "Renamed", "quality_score": 0.5, "cost_budget_usd": 9,
                       "config": { "model": "m-1", "deep": { "a": 1 } } });
    let changed = patch(&api, "demo", body).await.expect(200)["agent"].clone();
    assert_eq!((changed["name"].as_str(), changed["version"].as_u64()), (Some("Renamed"), Some(2)));
    assert_eq!(changed["config"]["runner"], "claude_code", "the stored configuration stays");

    let body = json!({ "quality_score": null, "config": { "model": null, "deep": { "b": 2 } }, "role": " " });
    let cleared = patch(&api, "demo", body).await.expect(200)["agent"].clone();
    assert_eq!((cleared.get("quality_score"), &cleared["cost_budget_usd"]), (None, &json!(9.0)));
    assert_eq!((cleared["config"].get("model"), &cleared["config"]["deep"]), (None, &json!({ "b": 2 })));
    assert_eq!(api.get_now(&format!("{AGENTS}/demo")).await.expect(200), cleared);

    let head = api.head().await;
    let same = patch(&api, "demo", json!({ "name": "Renamed" })).await.expect(200);
    assert_eq!((api.head().await, &same["receipt"]["version"]), (head, &json!(3)), "nothing changed");
    let refused = patch(&api, "demo", json!({ "name": "", "config": { "runner": "x" } })).await;
    refused.expect_problem(422, "validation_failed");
    assert_eq!(refused.body["errors"].as_array().map(Vec::len), Some(2));
    patch(&api, "nobody", json!({})).await.expect_problem(404, "not_found");
    assert_eq!(api.head().await, head);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_updates_of_one_version_one_is_told_so() {
    let api = Api::start().await;
    let read = api.get_now(&format!("{AGENTS}/demo")).await;
    let update = |name: &str| {
        let request = api.request("PATCH", &format!("{AGENTS}/demo")).header("if-match", read.header("etag"));
        api.send(request.body(json!({ "name": name }).to_string()))
    };
    let answers = tokio::join!(update("One"), update("Two"));
    let mut statuses = [answers.0.status, answers.1.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);
    let stale = if answers.0.status == 412 { answers.0 } else { answers.1 };
    stale.expect_problem(412, "version_mismatch");
    assert_eq!(stale.body["current_version"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_with_open_tasks_is_deleted_only_together_with_them() {
    let api = Api::start().await;
    let (first, second) = (api.task("one").await, api.task("two").await);
    delete(&api, "demo", "").await.expect_problem(409, "agent_has_open_tasks");
    let stale = api.request("DELETE", &format!("{AGENTS}/demo?cancel_open=true")).header("if-match", "\"9\"");
    api.send(stale).await.expect_problem(412, "version_mismatch");
    assert_eq!(api.get_now(&format!("{TASKS}/{first}")).await.expect(200)["state"], "queued");

    let keyed =
        || api.request("DELETE", &format!("{AGENTS}/demo?cancel_open=1")).header("idempotency-key", "k");
    let deleted = api.send(keyed()).await.expect(200);
    let mut cancelled: Vec<_> =
        deleted["cancelled_tasks"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    cancelled.sort_unstable();
    let mut both = [first.as_str(), second.as_str()];
    both.sort_unstable();
    assert_eq!(cancelled, both);
    let task = api.get_now(&format!("{TASKS}/{first}")).await.expect(200);
    assert_eq!((task["state"].as_str(), task["agent_name"].as_str()), (Some("cancelled"), Some("Demo")));
    api.get(&format!("{AGENTS}/demo")).await.expect_problem(404, "not_found");
    api.post(TASKS, json!({ "agent_id": "demo", "message": "x" })).await.expect_problem(404, "not_found");
    patch(&api, "demo", json!({})).await.expect_problem(404, "not_found");
    delete(&api, "demo", "").await.expect_problem(404, "not_found");

    // A second life under the same id, which the repeat of the first one's end leaves alone.
    let again = api.post(AGENTS, json!({ "agent_key": "demo", "name": "Second life" })).await.expect(201);
    let third = api.task("three").await;
    let repeated = api.send(keyed()).await.expect(200);
    assert_eq!(repeated["receipt"]["duplicate"], true);
    assert_eq!(repeated["receipt"]["position"], deleted["receipt"]["position"]);
    assert_eq!(api.get_now(&format!("{TASKS}/{third}")).await.expect(200)["state"], "queued");
    assert_eq!(again["agent"]["id"], task["agent_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_found_by_what_people_call_it_unless_that_may_mean_several() {
    let api = Api::start().await;
    let agents = [
        ("code-reviewer", "Reviewer", true),
        ("writer-one", "The Writer", true),
        ("the-writer", "Two", true),
    ];
    for (key, name, active) in agents {
        let body = json!({ "agent_key": key, "name": name, "active": active });
        api.post(AGENTS, body).await.expect(201);
    }
    for named in ["Code_Reviewer", "CODE-REVIEWER-agent", "reviewer", "reviewer_agent"] {
        let task = api.post(TASKS, json!({ "agent_id": named, "message": "x" })).await.expect(202);
        assert_eq!(task["task"]["agent_name"], "Reviewer", "{named}");
        assert_eq!(api.get(&format!("{AGENTS}/{named}")).await.expect(200)["agent_key"], "code-reviewer");
    }
    let refused = api.post(TASKS, json!({ "agent_id": "The_Writer", "message": "x" })).await;
    refused.expect_problem(422, "validation_failed");
    let message = refused.body["errors"][0]["message"].as_str().unwrap();
    assert!(message.contains("the-writer, writer-one"), "{message}");
    let exact = api.post(TASKS, json!({ "agent_id": "the-writer", "message": "x" })).await.expect(202);
    assert_eq!(exact["task"]["agent_name"], "Two", "an exact key means one agent");

    patch(&api, "code-reviewer", json!({ "active": false })).await.expect(200);
    let inactive = json!({ "agent_id": "code-reviewer", "message": "x" });
    api.post(TASKS, inactive).await.expect_problem(409, "agent_inactive");
    let spelt = json!({ "agent_id": "Reviewer", "message": "x" });
    api.post(TASKS, spelt).await.expect_problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_figures_of_an_agent_are_those_of_its_tasks_and_runs() {
    let api = Api::start().await;
    patch(&api, "demo", json!({ "quality_score": 0.75 })).await.expect(200);
    let stats = api.get_now(&format!("{AGENTS}/demo/stats")).await.expect(200);
    assert_eq!(
        (&stats["total"], stats.get("avg_run_sec"), &stats["by_state"]["done"]),
        (&json!(0), None, &json!(0))
    );
    for (message, outcome) in [("well", "ok"), ("ill", "error"), ("open", "")] {
        let task = api.task(message).await;
        if outcome.is_empty() {
            continue;
        }
        let lease = api.lease(&task).await;
        let usage = json!({ "input_tokens": 5, "cost_usd": 0.25 });
        let finish = json!({ "outcome": outcome, "error_class": "terminal", "usage": usage });
        let finish = if outcome == "ok" { json!({ "outcome": outcome, "usage": usage }) } else { finish };
        let answer = api.report(&lease, "finish", finish).await;
        assert!(answer.status < 300, "{}", answer.body);
    }
    let answer = api.get_now(&format!("{AGENTS}/demo/stats")).await;
    assert_eq!(answer.header("capstan-position"), api.head().await.to_string());
    let stats = answer.expect(200);
    assert_eq!(
        (&stats["total"], &stats["completed_count"], &stats["failed_count"]),
        (&json!(3), &json!(1), &json!(1))
    );
    assert_eq!((&stats["by_state"]["queued"], &stats["running_count"]), (&json!(1), &json!(0)));
    assert_eq!((&stats["total_cost_usd"], &stats["quality_score"]), (&json!(0.5), &json!(0.75)));
    assert!(stats["avg_run_sec"].as_f64().unwrap() >= 0.0);
    api.get(&format!("{AGENTS}/nobody/stats")).await.expect_problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_configuration_is_shown_before_there_is_an_agent() {
    let api = Api::start().await;
    let config = api.get(&format!("{AGENTS}/defaults?agent_key=x")).await.expect(200);
    assert_eq!((&config["runner"], &config["provider"]), (&json!("claude_code"), &json!("claude")));
    assert_eq!(config["workspace_dir"], "/workspace/agents/x");
    assert_eq!(config["system_prompt"].as_str().unwrap().matches("## Working over time").count(), 1);
    let created = api.post(AGENTS, json!({ "agent_key": "x", "name": "X" })).await.expect(201);
    assert_eq!(created["agent"]["config"], config);
    api.post(AGENTS, json!({ "agent_key": "defaults", "name": "X" }))
        .await
        .expect_problem(422, "validation_failed");
    api.get("/v1/workspaces/nowhere/agents/defaults").await.expect_problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_are_changed_and_deleted_over_nats_too() {
    let api = Api::start().await;
    let body = json!({ "agent_id": "demo", "quality_score": 1, "config": { "model": "m-1" } });
    let changed = json_of(&ask(&api, "update-agent", body).await.payload);
    assert_eq!(
        (&changed["agent"]["config"]["model"], &changed["receipt"]["version"]),
        (&json!("m-1"), &json!(2))
    );
    api.task("open").await;
    let refused = ask(&api, "delete-agent", json!({ "agent_id": "demo" })).await;
    assert_eq!(json_of(&refused.payload)["code"], "agent_has_open_tasks");
    let nameless = ask(&api, "delete-agent", json!({})).await;
    assert_eq!(json_of(&nameless.payload)["errors"][0]["pointer"], "/agent_id");
    let deleted = ask(&api, "delete-agent", json!({ "agent_id": "demo", "cancel_open": true })).await;
    assert_eq!(json_of(&deleted.payload)["cancelled_tasks"].as_array().map(Vec::len), Some(1));
    api.get_now(&format!("{AGENTS}/demo")).await.expect_problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_key_of_a_configuration_has_its_type() {
    let api = Api::start().await;
    let head = api.head().await;
    let config = json!({
        "runner": 5, "provider": 3, "model": 5, "pool": {}, "system_prompt": 7, "workspace_dir": 3,
        "skills": [1, "a"], "allowed_tools": "x", "of_ours": [1],
    });
    let body = json!({ "agent_key": "typed", "name": "Typed", "config": config });
    for refused in [api.post(AGENTS, body).await, patch(&api, "demo", json!({ "config": config })).await] {
        refused.expect_problem(422, "validation_failed");
        let faults = refused.body["errors"].as_array().unwrap();
        let pointers: Vec<_> = faults.iter().map(|fault| fault["pointer"].as_str().unwrap()).collect();
        let keys = ["runner", "provider", "model", "pool", "system_prompt", "workspace_dir", "skills/0"];
        let expected: Vec<_> =
            keys.iter().chain(&["allowed_tools"]).map(|key| format!("/config/{key}")).collect();
        assert_eq!(pointers, expected);
    }
    assert_eq!(api.head().await, head);
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_of_a_policy_are_refused_and_never_replaced() {
    let api = Api::start().await;
    let policy = json!({
        "ask": "z", "resources": { "memory_mb": -3 }, "retry": { "max_attempts": 0, "delay_ms": -4 },
    });
    let pointers = |answer: &Answer, below: &str| {
        answer.expect_problem(422, "validation_failed");
        let found: Vec<_> = answer.body["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|fault| fault["pointer"].as_str().unwrap().strip_prefix(below).unwrap().to_owned())
            .collect();
        assert_eq!(found, ["/ask", "/resources/memory_mb", "/retry/max_attempts", "/retry/delay_ms"]);
    };
    let body = json!({ "agent_id": "demo", "message": "go", "policy": policy });
    pointers(&api.post(TASKS, body).await, "/policy");
    let body = json!({ "settings": { "default_policy": policy } }).to_string();
    let settings = api.send(api.request("PATCH", "/v1/workspaces/dev").body(body)).await;
    pointers(&settings, "/settings/default_policy");
}
