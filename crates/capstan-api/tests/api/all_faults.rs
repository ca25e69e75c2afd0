//! One answer names all that is wrong with a request, in whatever places it is.

use serde_json::{Value, json};

use crate::harness::{Answer, Api};
use crate::nats::request;

/// The places of the faults of an answer, sorted.
fn places(problem: &Value) -> Vec<&str> {
    let mut places: Vec<_> = problem["errors"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|fault| fault["pointer"].as_str())
        .collect();
    places.sort_unstable();
    places
}

fn refused(answer: &Answer, expected: &[&str]) {
    answer.expect_problem(422, "validation_failed");
    assert_eq!(places(&answer.body), expected, "{}", answer.body);
}

async fn call(api: &Api, method: &str, path: &str, body: &Value) -> Answer {
    api.send(api.request(method, path).body(body.to_string())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_faults_of_a_body_are_told_beside_or_before_those_of_its_agent() {
    let api = Api::start().await;
    for key in ["twin-one", "twin_one"] {
        let agent = json!({ "agent_key": key, "name": key });
        api.post("/v1/workspaces/dev/agents", agent).await.expect(201);
    }
    api.get_now("/v1/workspaces/dev/agents").await.expect(200);
    let task = |agent: &str| json!({ "agent_id": agent, "message": "", "budget_usd": -1, "queue_ttl_ms": 0 });
    let schedule =
        |agent: &str| json!({ "agent_id": agent, "cron_expr": "x", "prompt": " ", "jitter_ms": -1 });
    for agent in ["", "Twin One"] {
        let answer = api.post("/v1/workspaces/dev/tasks", task(agent)).await;
        refused(&answer, &["/agent_id", "/budget_usd", "/message", "/queue_ttl_ms"]);
        let answer = api.post("/v1/workspaces/dev/schedules", schedule(agent)).await;
        refused(&answer, &["/agent_id", "/cron_expr", "/jitter_ms", "/prompt"]);
    }
    let answer = api.post("/v1/workspaces/dev/tasks", task("nobody")).await;
    refused(&answer, &["/budget_usd", "/message", "/queue_ttl_ms"]);
    let answer = api.post("/v1/workspaces/dev/schedules", schedule("nobody")).await;
    refused(&answer, &["/cron_expr", "/jitter_ms", "/prompt"]);
    let valid = json!({ "agent_id": "nobody", "message": "x" });
    api.post("/v1/workspaces/dev/tasks", valid).await.expect_problem(404, "not_found");
    let valid = json!({ "agent_id": "nobody", "cron_expr": "* * * * *", "prompt": "x" });
    api.post("/v1/workspaces/dev/schedules", valid).await.expect_problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_hides_no_other_one_of_the_query_string_or_the_path() {
    let api = Api::start().await;
    for (path, expected) in [
        ("/v1/workspaces/dev/stream?after=0&types=foo,task-done,bar", &["?types/0", "?types/2"][..]),
        (
            "/v1/workspaces/dev/stream?after=zz&types=foo&last_event_id=q",
            &["?after", "?last_event_id", "?types/0"],
        ),
        ("/v1/admin/deadletters?limit=x&cursor=zz", &["?cursor", "?limit"]),
        (
            "/v1/workspaces/dev/tasks?limit=x&cursor=q&created_after=y",
            &["?created_after", "?cursor", "?limit"],
        ),
        ("/v1/workspaces/dev/tasks/zzz?as_of=q&min_position=z", &["/task_id", "?as_of", "?min_position"]),
    ] {
        refused(&api.get(path).await, expected);
    }
    let class =
        json!({ "failed_attempt_threshold": 1_000_001, "desired_dispatch_concurrency": -1, "active": 1 });
    let expected = ["/active", "/desired_dispatch_concurrency", "/failed_attempt_threshold", "/instance_key"];
    refused(&call(&api, "PUT", "/v1/workspaces/dev/classes/zz", &class).await, &expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_without_an_id_hides_no_fault_and_is_answered_as_on_nats() {
    let api = Api::start().await;
    let wrong = json!({ "label": 3, "foo": 2 });
    let expected = ["/foo", "/label", "/task_id"];
    refused(&call(&api, "PATCH", "/v1/workspaces/dev/tasks/zzz", &wrong).await, &expected);
    let on_bus = request(&api, "update-task", json!({ "task_id": "zzz", "label": 3, "foo": 2 })).await;
    assert_eq!((on_bus["status"].as_u64(), places(&on_bus)), (Some(422), expected.to_vec()), "{on_bus}");
    let alone = call(&api, "PATCH", "/v1/workspaces/dev/tasks/zzz", &json!({ "label": "x" })).await;
    alone.expect_problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn words_and_limits_are_part_of_the_shape() {
    let api = Api::start().await;
    let tasks = "/v1/workspaces/dev/tasks";
    let task = json!({
        "agent_id": 1, "message": "x", "priority": "x", "queue_mode": "zz", "timeout_ms": -5, "queue_ttl_ms": 0,
        "dispatch_delay_ms": 4_000_000_000_000_i64, "budget_usd": -1,
        "policy": {
            "host": "x", "security": "x", "ask": "x", "runtime_type": "x", "workspace_access": "x",
            "retry": { "factor": 0.5, "max_delay_ms": -1 },
        },
    });
    let expected = [
        "/agent_id",
        "/budget_usd",
        "/dispatch_delay_ms",
        "/policy/ask",
        "/policy/host",
        "/policy/retry/factor",
        "/policy/retry/max_delay_ms",
        "/policy/runtime_type",
        "/policy/security",
        "/policy/workspace_access",
        "/priority",
        "/queue_mode",
        "/queue_ttl_ms",
        "/timeout_ms",
    ];
    let answer = api.post(tasks, task).await;
    refused(&answer, &expected);
    let told = answer.body["errors"].to_string();
    assert!(told.contains("must be one of low, normal, high, urgent"), "{told}");

    // What is accepted alone is no fault beside another one either.
    let lenient = json!({
        "message": "x", "priority": " HIGH ", "queue_mode": "Reject", "policy": { "host": " ", "ask": " always" },
    });
    let mut wrong = lenient.clone();
    wrong["agent_id"] = json!(1);
    refused(&api.post(tasks, wrong).await, &["/agent_id"]);
    let mut right = lenient;
    right["agent_id"] = json!("demo");
    api.post(tasks, right).await.expect(202);

    let input = json!({ "message": 1, "kind": "x", "action": "y", "queue_mode": "reject", "items": [{ "output_id": 1, "action": "z" }] });
    let of_task = format!("{tasks}/{}/input", api.task("asked").await);
    let expected = ["/action", "/items/0/action", "/items/0/output_id", "/kind", "/message", "/queue_mode"];
    refused(&api.post(&of_task, input).await, &expected);

    let worker = |extra: &str| {
        json!({
            "name": "w", "slots": 1, "labels": extra,
            "capabilities": { "workspace_access": ["rw", "zz"], "runtimes": ["zz"] },
        })
    };
    let mut expected = vec!["/capabilities/runtimes/0", "/capabilities/workspace_access/1", "/labels"];
    refused(&api.post("/v1/workers", worker("x")).await, &expected);
    let mut worker = worker("x");
    worker["labels"] = json!({});
    expected.pop();
    refused(&api.post("/v1/workers", worker).await, &expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn null_is_refused_where_it_clears_nothing() {
    let api = Api::start().await;
    let task = api.task("kept").await;
    let schedule = json!({ "agent_id": "demo", "cron_expr": "* * * * *", "prompt": "x", "timezone": null });
    let schedule = api.post("/v1/workspaces/dev/schedules", schedule).await.expect(201);
    let schedule = schedule["schedule"]["id"].as_str().unwrap().to_owned();
    let class = format!("/v1/workspaces/dev/classes/execclass_{}", "0".repeat(32));
    let head = api.head().await;
    for (method, path, fields) in [
        (
            "PATCH",
            format!("/v1/workspaces/dev/tasks/{task}"),
            &["labels", "payload_json", "priority", "routing_json"][..],
        ),
        (
            "PATCH",
            "/v1/workspaces/dev/agents/demo".to_owned(),
            &["active", "config", "memory_scope", "name", "role"],
        ),
        (
            "PATCH",
            format!("/v1/workspaces/dev/schedules/{schedule}"),
            &["active", "catch_up", "cron_expr", "jitter_ms", "overlap", "prompt", "skill_paths", "timezone"],
        ),
        ("PATCH", "/v1/workspaces/dev".to_owned(), &["display_name", "settings"]),
        ("PUT", class, &["active", "desired_dispatch_concurrency", "failed_attempt_threshold", "reset"]),
    ] {
        let whole: Value = fields.iter().map(|field| ((*field).to_owned(), Value::Null)).collect();
        let expected: Vec<_> = fields.iter().map(|field| format!("/{field}")).collect();
        refused(
            &call(&api, method, &path, &whole).await,
            &expected.iter().map(String::as_str).collect::<Vec<_>>(),
        );
        for field in fields {
            let expected = format!("/{field}");
            refused(&call(&api, method, &path, &json!({ *field: null })).await, &[&expected]);
        }
    }
    let settings = json!({ "settings": { "disabled_tools": null, "approval_policy": null, "quotas": null, "tools": null } });
    let expected =
        ["/settings/approval_policy", "/settings/disabled_tools", "/settings/quotas", "/settings/tools"];
    refused(&call(&api, "PATCH", "/v1/workspaces/dev", &settings).await, &expected);
    let payload = json!({ "payload_json": { "message": null, "timeout_ms": null } });
    let expected = ["/payload_json/message", "/payload_json/timeout_ms"];
    refused(&call(&api, "PATCH", &format!("/v1/workspaces/dev/tasks/{task}"), &payload).await, &expected);
    let on_bus = request(&api, "update-task", json!({ "task_id": task, "priority": null })).await;
    assert_eq!(places(&on_bus), ["/priority"], "{on_bus}");
    assert_eq!(api.head().await, head, "nothing is written");

    let clears = json!({ "label": null, "budget_usd": null, "deadline": null });
    call(&api, "PATCH", &format!("/v1/workspaces/dev/tasks/{task}"), &clears).await.expect(200);
    let settings = json!({ "settings": { "default_policy": null, "quotas": { "agents_max": null }, "tools": { "x": null } } });
    call(&api, "PATCH", "/v1/workspaces/dev", &settings).await.expect(200);
}
