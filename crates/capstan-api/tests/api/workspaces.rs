//! Workspaces: their settings, and what follows from them.

use serde_json::{Value, json};

use crate::harness::{Answer, Api, ask, json_of};

const DEV: &str = "/v1/workspaces/dev";

async fn patch(api: &Api, body: Value) -> Answer {
    api.send(api.request("PATCH", DEV).body(body.to_string())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_changed_one_by_one_and_shown() {
    let api = Api::start().await;
    let tool = json!({ "url": "https://crm.example/run", "headers": { "authorization": "Bearer env:CAPSTAN_TOOL_CRM" } });
    let body = json!({ "display_name": "Development", "settings": {
        "disabled_tools": ["b", "a", " a "], "quotas": { "agents_max": 7 }, "budget_usd_per_day": 12.5,
        "approval_policy": "approve_emails_only", "tools": { "crm": tool } } });
    let changed = patch(&api, body).await.expect(200)["workspace"].clone();
    let settings = &changed["settings"];
    assert_eq!(
        (&changed["display_name"], &settings["disabled_tools"]),
        (&json!("Development"), &json!(["a", "b"]))
    );
    assert_eq!(settings["tools"]["crm"]["timeout_ms"], 30_000);
    assert_eq!(settings["quotas"], json!({ "agents_max": 7 }));

    let body = json!({ "settings": { "quotas": { "agents_max": null, "open_tasks_max": 3 }, "budget_usd_per_day": null,
                                     "tools": { "crm": null } } });
    let changed = json_of(&ask(&api, "update-workspace", body).await.payload)["workspace"].clone();
    let settings = &changed["settings"];
    assert_eq!((&settings["quotas"], &settings["tools"]), (&json!({ "open_tasks_max": 3 }), &json!({})));
    assert_eq!(
        (settings.get("budget_usd_per_day"), &settings["approval_policy"]),
        (None, &json!("approve_emails_only"))
    );
    let read = api.get_now(DEV).await;
    assert_eq!(read.header("etag"), "\"3\"");
    assert_eq!(read.expect(200), changed);
    let stale = api.request("PATCH", DEV).header("if-match", "\"1\"").body(r#"{"display_name":"x"}"#);
    api.send(stale).await.expect_problem(412, "version_mismatch");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_the_settings_is_named_and_no_secret_is_stored() {
    let api = Api::start().await;
    let head = api.head().await;
    let body = json!({ "display_name": " ", "settings": {
        "default_policy": { "host": "moon" }, "disabled_tools": [""], "budget_usd_per_day": -1,
        "tools": { "crm": { "url": "ftp://x", "headers": { "authorization": "Bearer s3cret" }, "timeout_ms": 0 } } } });
    let refused = patch(&api, body).await;
    refused.expect_problem(422, "validation_failed");
    let pointers: Vec<&str> =
        refused.body["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap()).collect();
    assert_eq!(
        pointers,
        [
            "/display_name",
            "/settings/default_policy/host",
            "/settings/disabled_tools/0",
            "/settings/budget_usd_per_day",
            "/settings/tools/crm/url",
            "/settings/tools/crm/timeout_ms",
            "/settings/tools/crm/headers/authorization",
        ]
    );
    patch(&api, json!({ "settings": { "colour": 1 } })).await.expect_problem(422, "validation_failed");
    patch(&api, json!({ "settings": { "approval_policy": "x" } }))
        .await
        .expect_problem(422, "validation_failed");
    assert_eq!(api.head().await, head);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_without_a_policy_run_under_that_of_the_workspace() {
    let api = Api::start().await;
    let policy = json!({ "ask": "always", "network_enabled": false });
    patch(&api, json!({ "settings": { "default_policy": policy } })).await.expect(200);
    let of = async |body: Value| {
        let task = api.post(&format!("{DEV}/tasks"), body).await.expect(202)["task"].clone();
        task["payload_json"]["policy"].clone()
    };
    let given_none = of(json!({ "agent_id": "demo", "message": "x" })).await;
    assert_eq!((&given_none["ask"], &given_none["network_enabled"]), (&json!("always"), &json!(false)));
    let own = of(json!({ "agent_id": "demo", "message": "x", "policy": { "ask": "off" } })).await;
    assert_eq!((&own["ask"], &own["network_enabled"]), (&json!("off"), &json!(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_refuse_what_is_too_much_and_nothing_that_is_there() {
    let api = Api::start().await;
    let quotas = json!({ "open_tasks_max": 2, "agents_max": 2 });
    patch(&api, json!({ "settings": { "quotas": quotas } })).await.expect(200);
    let agents = format!("{DEV}/agents");
    api.post(&agents, json!({ "agent_key": "two", "name": "Two" })).await.expect(201);
    api.post(&agents, json!({ "agent_key": "three", "name": "3" }))
        .await
        .expect_problem(409, "quota_exceeded");
    api.post(&agents, json!({ "agent_key": "two", "name": "Two" })).await.expect_problem(409, "agent_exists");

    let tasks = format!("{DEV}/tasks");
    let keyed = json!({ "agent_id": "demo", "message": "x", "idempotency_key": "k" });
    let first = api.post(&tasks, keyed.clone()).await.expect(202);
    api.task("second").await;
    let third = json!({ "agent_id": "demo", "message": "third" });
    api.post(&tasks, third.clone()).await.expect_problem(409, "quota_exceeded");
    assert_eq!(api.post(&tasks, keyed).await.expect(200)["receipt"]["duplicate"], true);
    let cancel = format!("{tasks}/{}/cancel", first["task"]["id"].as_str().unwrap());
    api.post(&cancel, json!({})).await.expect(202);
    api.post(&tasks, third).await.expect(202);
    patch(&api, json!({ "settings": { "quotas": { "open_tasks_max": null } } })).await.expect(200);
    api.task("fourth").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_of_schedules_counts_those_that_are_there() {
    let api = Api::start().await;
    let quota = |max: Value| json!({ "settings": { "quotas": { "schedules_max": max } } });
    patch(&api, quota(json!(1))).await.expect(200);
    let schedules = format!("{DEV}/schedules");
    let body = |key: &str| json!({ "agent_id": "demo", "cron_expr": "0 9 * * *", "prompt": "x", "idempotency_key": key });
    let first = api.post(&schedules, body("a")).await.expect(201)["schedule"].clone();
    let head = api.head().await;
    api.post(&schedules, body("b")).await.expect_problem(409, "quota_exceeded");
    assert_eq!(api.head().await, head, "nothing is written");
    assert_eq!(api.post(&schedules, body("a")).await.expect(200)["receipt"]["duplicate"], true);

    let delete = api.request("DELETE", &format!("{schedules}/{}", first["id"].as_str().unwrap()));
    api.send(delete).await.expect(200);
    api.post(&schedules, body("b")).await.expect(201);
    assert_eq!(api.post(&schedules, body("a")).await.expect(200)["receipt"]["duplicate"], true);
    api.post(&schedules, body("c")).await.expect_problem(409, "quota_exceeded");
    patch(&api, quota(Value::Null)).await.expect(200);
    api.post(&schedules, body("c")).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_creates_or_enters_a_workspace_of_the_system() {
    let api = Api::start().await;
    let refused = api.post("/v1/workspaces", json!({ "workspace": "_channels" })).await;
    refused.expect_problem(422, "validation_failed");
    assert_eq!(refused.body["errors"][0]["pointer"], "/workspace");
    let demo = json!({ "agent_id": "demo" });
    let put = api.request("PUT", &format!("{DEV}/channels/email/a@b.c")).body(demo.to_string());
    api.send(put).await.expect(200);
    for path in ["", "/channels", "/agents", "/tasks", "/stream?after=0"] {
        let refused = api.get_now(&format!("/v1/workspaces/_channels{path}")).await;
        refused.expect_problem(404, "not_found");
    }
}
