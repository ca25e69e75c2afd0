//! Input of callers is stored as it came and shown without its secrets everywhere.

use capstan_domain::task::command::CheckToolCall;
use capstan_eventlog::EventLog as _;
use serde_json::{Value, json};

use crate::harness::{Api, PATIENCE};

const SECRET: &str = "open-sesame-8731";
const TOKEN: &str = "sk-live-0123456789abcdef";

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_shown_nowhere_and_reach_the_worker_whole() {
    let api = Api::start().await;
    let agent = json!({
        "agent_key": "keeper", "name": "Keeper", "config": { "runner": "process", "api_key": SECRET, "note": TOKEN }
    });
    let mut shown = vec![api.post("/v1/workspaces/dev/agents", agent).await.expect(201)];
    let body = json!({
        "agent_id": "keeper",
        "message": "go",
        "idempotency_key": "k",
        "labels": { "api_key": SECRET },
        "routing": { "headers": { "Authorization": format!("Bearer {SECRET}") }, "n": [{ "client_secret": SECRET }] },
        "input_provenance": { "token": SECRET, "say": TOKEN },
        "attachments": [{ "password": SECRET, "name": "a.txt" }],
    });
    let accepted = api.post("/v1/workspaces/dev/tasks", body.clone()).await.expect(202);
    let task = accepted["task"]["id"].as_str().unwrap().to_owned();
    shown.push(accepted);
    shown.push(api.post("/v1/workspaces/dev/tasks", body).await.expect(200));
    let lease = api.lease(&task).await;
    let line = json!([{ "stream": "stdout", "data": format!("hello password={SECRET} {TOKEN}"), "metadata": { "api_key": SECRET, "a": TOKEN } }]);
    api.report(&lease, "logs", json!({ "lines": line })).await.expect(202);
    let output = json!({ "output_type": "note", "title": "t", "data": { "password": SECRET, "rows": [] } });
    let output = api.report(&lease, "outputs", output).await.expect(201);
    let rows = format!("outputs/{}/rows", output["output_id"].as_str().unwrap());
    api.report(&lease, &rows, json!({ "rows": [{ "access_token": SECRET }] })).await.expect(200);

    // An update starts from what is kept, not from what is shown.
    let update = api.request("PATCH", &format!("/v1/workspaces/dev/tasks/{task}"));
    shown.push(api.send(update.body(json!({ "priority": "high" }).to_string())).await.expect(200));

    for path in [
        "agents".to_owned(),
        "agents/keeper".to_owned(),
        "tasks".to_owned(),
        format!("tasks/{task}"),
        format!("tasks/{task}/runs"),
        format!("tasks/{task}/outputs"),
        format!("tasks/{task}/history"),
        format!("tasks/{task}/logs"),
        "outputs".to_owned(),
        "runs".to_owned(),
    ] {
        shown.push(api.get_now(&format!("/v1/workspaces/dev/{path}")).await.expect(200));
    }
    let ended = json!({ "outcome": "ok", "exit_code": 0, "result": { "api_key": SECRET, "answer": 42 } });
    shown.push(api.report(&lease, "finish", ended).await.expect(200));
    shown.push(api.get_now(&format!("/v1/workspaces/dev/runs/{}", lease.run_id)).await.expect(200));
    let stream = format!("/v1/workspaces/dev/tasks/{task}/stream?after=0&include=logs,events");
    let frames = api.request("GET", &stream).send().await.unwrap();
    let frames = tokio::time::timeout(PATIENCE, frames.text()).await.expect("the stream ends").unwrap();
    assert!(frames.contains("event: log") && frames.contains("event: task-accepted"), "{frames}");
    shown.push(Value::String(frames));
    for text in shown.iter().map(Value::to_string) {
        assert!(!text.contains(SECRET) && !text.contains(TOKEN), "{text}");
    }
    assert!(shown.iter().any(|answer| answer.to_string().contains("[redacted]")));

    // The agent needs what it was given.
    let stream = format!("dev/task/{task}").parse().unwrap();
    let kept = api.tasks.refresh(&stream).await.unwrap();
    let kept = &kept.state.as_ref().unwrap().accepted;
    let agent = api.get("/v1/workspaces/dev/agents/keeper/configs/1").await.expect(200);
    assert_eq!(
        (&agent["version"], &agent["config"]["api_key"]),
        (&json!(kept.agent_config_version), &json!("[redacted]"))
    );
    assert_eq!(kept.routing.get("n"), Some(&json!([{ "client_secret": SECRET }])));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secrets_of_a_deferred_call_are_shown_nowhere_and_kept_for_its_execution() {
    let api = Api::start().await;
    let task = api.task("post it").await;
    let lease = api.lease(&task).await;
    let arguments = json!({
        "password": SECRET, "api_key": TOKEN, "headers": { "Authorization": format!("Bearer {SECRET}") },
        "note": TOKEN, "url": "https://example.org/",
    });
    let call = json!({ "tool": "http.post", "arguments": arguments, "is_write": true });
    let mut shown = vec![api.report(&lease, "tool-calls", call).await.expect(200)];
    assert_eq!(shown[0]["decision"], "deferred");
    let head = api.head().await;
    for path in [
        "inbox".to_owned(),
        format!("tasks/{task}"),
        format!("tasks/{task}?as_of={head}"),
        format!("tasks/{task}/history"),
    ] {
        let answer = api.get_now(&format!("/v1/workspaces/dev/{path}")).await.expect(200);
        assert!(answer.to_string().contains("[redacted]"), "{path}: {answer}");
        shown.push(answer);
    }
    let stream = format!("dev/task/{task}").parse().unwrap();
    let kept = api.tasks.refresh(&stream).await.unwrap();
    let calls = &kept.state.as_ref().unwrap().tool_calls;
    assert_eq!(calls.values().map(|call| &call.deferred.arguments).collect::<Vec<_>>(), [&arguments]);
    // What stays of them after the decision cannot be guessed without the key of the log.
    let identity = CheckToolCall::new("http.post", arguments).arguments_identity(task.parse().unwrap());
    let kept = calls.values().map(|call| call.deferred.arguments_fingerprint.as_str());
    assert_eq!(kept.collect::<Vec<_>>(), [api.log.fingerprint_key().fingerprint(&identity)]);
    let input = format!("/v1/workspaces/dev/tasks/{task}/input");
    shown.push(api.post(&input, json!({ "action": "reject" })).await.expect(202));
    shown.push(api.report(&lease, "inputs/claim", json!({})).await.expect(200));
    let cancel = format!("/v1/workspaces/dev/tasks/{task}/cancel");
    shown.push(api.post(&cancel, json!({})).await.expect(202));
    let stream = format!("/v1/workspaces/dev/tasks/{task}/stream?after=0&include=events");
    let frames = api.request("GET", &stream).send().await.unwrap();
    let frames = tokio::time::timeout(PATIENCE, frames.text()).await.expect("the stream ends").unwrap();
    for event in ["tool-call-deferred", "blocker-opened"] {
        assert!(frames.contains(&format!("event: {event}")), "{frames}");
    }
    shown.push(Value::String(frames));
    for text in shown.iter().map(Value::to_string) {
        assert!(!text.contains(SECRET) && !text.contains(TOKEN), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_is_sent_back_overwrites_no_secret() {
    let api = Api::start().await;
    let task = api.task("go").await;
    let agent = "/v1/workspaces/dev/agents/demo";
    let channel = "/v1/workspaces/dev/channels/slack/C1";
    let task_path = format!("/v1/workspaces/dev/tasks/{task}");
    let send = async |method: &str, path: &str, body: &Value| {
        api.send(api.request(method, path).body(body.to_string())).await
    };
    let secret = json!({ "config": { "api_key": SECRET } });
    send("PATCH", agent, &secret).await.expect(200);
    send("PUT", channel, &secret).await.expect(200);
    let routing = json!({ "routing_json": { "headers": { "Authorization": SECRET } } });
    send("PATCH", &task_path, &routing).await.expect(200);
    let head = api.head().await;

    let config = api.get_now(agent).await.expect(200)["config"].clone();
    assert_eq!(config["api_key"], "[redacted]");
    let shown = json!({ "config": config });
    let output = json!({
        "output_type": "note", "title": "t", "data": { "token": "[redacted]" }, "metadata": { "token": "[redacted]" },
    });
    for (method, path, body, pointers) in [
        ("PATCH", agent, shown, &["/config/api_key"][..]),
        ("PUT", channel, api.get_now(channel).await.expect(200)["config"].clone(), &["/config/api_key"]),
        (
            "PATCH",
            &task_path,
            api.get_now(&task_path).await.expect(200)["routing_json"].clone(),
            &["/routing_json/headers/Authorization"],
        ),
        (
            "POST",
            "/v1/workspaces/dev/tasks",
            json!({ "agent_id": "demo", "message": "go", "routing": { "token": "[redacted]" } }),
            &["/routing/token"],
        ),
        ("POST", &format!("{task_path}/outputs"), output, &["/data/token", "/metadata/token"]),
        (
            "POST",
            &format!("{task_path}/input"),
            json!({ "answers": { "password": "[redacted]" } }),
            &["/answers/password"],
        ),
    ] {
        let body = match method {
            "PUT" => json!({ "config": body }),
            "PATCH" if path == task_path => json!({ "routing_json": body }),
            _ => body,
        };
        let refused = send(method, path, &body).await;
        refused.expect_problem(422, "validation_failed");
        let faults = refused.body["errors"].as_array().unwrap();
        let found: Vec<_> = faults.iter().map(|fault| fault["pointer"].as_str().unwrap()).collect();
        assert_eq!(found, pointers, "{method} {path}: {}", refused.body);
    }
    assert_eq!(api.head().await, head, "nothing was written");
}
