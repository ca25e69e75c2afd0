//! Two workspaces, two tokens: one walks every route with the other's ids and finds nothing.

use std::collections::BTreeMap;

use capstan_api::{Scope, Verb, operations};
use capstan_testkit::eventually::eventually;
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::harness::{ADMIN, Api, PATIENCE, issue, with_token};

/// Stands in everything the first workspace holds, and may never be seen by the second.
const MARK: &str = "belongs-to-dev-only";

async fn post(api: &Api, path: &str, body: Value) -> Value {
    let answer = api.send(api.request("POST", path).bearer_auth(ADMIN).body(body.to_string())).await;
    assert!((200..300).contains(&answer.status), "{path}: {}", answer.body);
    answer.body
}

/// The body of an answer, or the frames that a stream has sent so far.
async fn found(response: reqwest::Response) -> (u16, String) {
    let status = response.status().as_u16();
    let mut chunks = response.bytes_stream();
    let mut text = String::new();
    while let Ok(Some(Ok(chunk))) = tokio::time::timeout(PATIENCE, chunks.next()).await {
        text.push_str(&String::from_utf8_lossy(&chunk));
        if text.contains("event: caught_up") {
            break;
        }
    }
    (status, text)
}

/// A workspace full of things, by the names paths give them.
async fn furnish(api: &Api) -> BTreeMap<&'static str, String> {
    for workspace in ["dev", "mine"] {
        post(api, "/v1/workspaces", json!({ "workspace": workspace, "display_name": workspace })).await;
    }
    let agent = json!({ "agent_key": MARK, "name": MARK });
    let agent = post(api, "/v1/workspaces/dev/agents", agent).await;
    let accept = json!({ "agent_id": MARK, "message": MARK, "label": MARK, "labels": { "l": MARK } });
    let task = post(api, "/v1/workspaces/dev/tasks", accept).await["task"]["id"].as_str().unwrap().to_owned();
    let lease = api.lease(&task).await;
    let report = async |what: &str, body: Value| {
        let path = format!("/v1/attempts/{}/{what}", lease.attempt_id);
        let request = api.request("POST", &path).bearer_auth(ADMIN);
        let answer =
            api.send(request.header("capstan-lease-epoch", lease.epoch).body(body.to_string())).await;
        assert!((200..300).contains(&answer.status), "{what}: {}", answer.body);
        answer.body
    };
    report("logs", json!({ "lines": [{ "stream": "stdout", "data": MARK }] })).await;
    let output = report("outputs", json!({ "output_type": "note", "title": MARK })).await;
    let questions = json!([{ "id": "q", "text": MARK }]);
    report("blockers", json!({ "summary": MARK, "questions": questions })).await;
    let said = json!({ "message": MARK });
    let input = post(api, &format!("/v1/workspaces/dev/tasks/{task}/input"), said).await;
    let token = json!({ "name": MARK, "scopes": ["read"] });
    let token = post(api, "/v1/workspaces/dev/tokens", token).await;
    let schedule = json!({ "agent_id": MARK, "prompt": MARK, "cron_expr": "0 9 * * *" });
    let schedule = post(api, "/v1/workspaces/dev/schedules", schedule).await;
    let channel = api.request("PUT", "/v1/workspaces/dev/channels/email/a@example.org").bearer_auth(ADMIN);
    api.send(channel.body(json!({ "agent_id": MARK, "config": { "c": MARK } }).to_string()))
        .await
        .expect(200);
    BTreeMap::from([
        ("agent_id", agent["agent"]["id"].as_str().unwrap().to_owned()),
        ("task_id", task),
        ("run_id", lease.run_id.clone()),
        ("attempt_id", lease.attempt_id.clone()),
        ("output_id", output["output_id"].as_str().unwrap().to_owned()),
        ("input_id", input["input_id"].as_str().unwrap().to_owned()),
        ("token_id", token["token"]["id"].as_str().unwrap().to_owned()),
        ("schedule_id", schedule["schedule"]["id"].as_str().unwrap().to_owned()),
        ("address", "a@example.org".to_owned()),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn one_workspace_finds_nothing_of_another_on_any_route() {
    let api = Api::start_with(with_token(ADMIN)).await;
    let ids = furnish(&api).await;
    let mine = issue(&api, "mine", &["admin"]).await;
    let head = api.head().await;
    let cursor = {
        let path = format!("/v1/workspaces/dev/tasks?min_position={head}&wait_ms=20000");
        let listed = api.send(api.request("GET", &path).bearer_auth(ADMIN)).await.expect(200);
        assert!(listed.to_string().contains(MARK), "there is nothing to find");
        listed["position"].as_str().unwrap_or_default().to_owned()
    };
    let fill = |path: &str, workspace: &str| {
        let path = ids.iter().fold(path.replace("{workspace}", workspace), |path, (name, id)| {
            path.replace(&format!("{{{name}}}"), id)
        });
        path.replace("{worker_id}", "00000000-0000-4000-8000-000000000001")
            .replace("{name}", "tasks")
            .replace("{channel_type}", "email")
            .replace("{instance_key}", "default")
            .replace("{dead_letter_id}", "command-1")
            .replace("{code}", "not_found")
            .replace("{version}", "1")
            .replace("{body}", "accept-agent-command")
    };
    let mut walked = 0;
    for operation in operations().iter().filter(|operation| operation.scope != Scope::Public) {
        // A class is named by a key of the workspace's own, whatever others name so.
        let names_entity =
            operation.path.replace("{workspace}", "").replace("{instance_key}", "").contains('{');
        let waits_for_engine = operation.path.starts_with("/v1/workers");
        if waits_for_engine {
            continue; // Asked with an engine, in capstan-engine: a worker of one workspace is nobody in another.
        }
        for workspace in ["dev", "mine"] {
            let mut path = fill(operation.path, workspace);
            assert!(!path.contains('{'), "{path} is asked without an id of the other's");
            if operation.path.ends_with("/stream") {
                path.push_str("?after=0&include=logs,events");
            }
            let body = match operation.name {
                "AcceptAgentCommand" => {
                    json!({ "agent_id": ids["agent_id"], "message": "x", "parent_task_id": ids["task_id"] })
                }
                "AppendTaskOutputRows" => json!({ "rows": [1] }),
                "CreateTaskOutput" => json!({ "output_type": "report", "title": "x" }),
                "FinalizeTaskOutput" => json!({ "summary": "x" }),
                "SubmitTaskInput" | "EnqueueRunInput" => json!({ "message": "x" }),
                "CreateAgent" | "IssueToken" | "CreateWorkspace" => json!({ "name": "" }),
                _ => json!({}),
            };
            let request = api.request(operation.method.as_str(), &path).bearer_auth(&mine);
            let is_about_attempt = operation.path.contains("{attempt_id}");
            let request = if is_about_attempt { request.header("capstan-lease-epoch", 1) } else { request };
            let request =
                if operation.method == Verb::Get { request } else { request.body(body.to_string()) };
            let (status, text) = found(request.send().await.unwrap()).await;
            walked += 1;
            let name = operation.name;
            assert!(!text.contains(MARK), "{name} in {workspace} shows {text}");
            assert!(status < 500, "{name} in {workspace}: {status} {text}");
            // An address is of one workspace at a time: who wants it learns that it is taken, not by whom.
            let is_taken = (name, workspace) == ("UpsertChannelBinding", "mine");
            if operation.names_workspace() && (workspace == "dev" || names_entity) {
                assert_eq!(status, if is_taken { 409 } else { 404 }, "{name} in {workspace}: {text}");
            }
        }
    }
    assert!(walked > 70, "only {walked} walked");
    assert_eq!(head_without_mine(&api, head).await, 0, "something of dev was changed");

    // Filters and cursors that name the other's things.
    for query in [
        format!("tasks?parent_task_id={}", ids["task_id"]),
        format!("tasks?agent_id={}", ids["agent_id"]),
        format!("tasks?q={MARK}"),
        format!("tasks?label={MARK}"),
        format!("tasks?labels=l:{MARK}"),
        format!("runs?task_id={}", ids["task_id"]),
        format!("outputs?task_id={}", ids["task_id"]),
        format!("tasks?cursor={cursor}"),
        "inbox".to_owned(),
        format!("agents/{MARK}"),
    ] {
        let request = api.request("GET", &format!("/v1/workspaces/mine/{query}")).bearer_auth(&mine);
        let answer = api.send(request).await;
        assert!(answer.status < 500, "{query}: {}", answer.body);
        let items = answer.body["items"].as_array().map_or(0, Vec::len);
        assert_eq!(items, 0, "{query}: {}", answer.body);
        let text = answer.body.to_string();
        assert!(!text.contains(&ids["run_id"]) && !text.contains(&ids["output_id"]), "{query}: {text}");
    }

    // The bus: the same ids under a subject of the other workspace.
    for (command, body) in [
        ("cancel-task", json!({ "task_id": ids["task_id"] })),
        ("cancel-run", json!({ "run_id": ids["run_id"] })),
        ("submit-task-input", json!({ "task_id": ids["task_id"], "message": "x" })),
        ("enqueue-run-input", json!({ "run_id": ids["run_id"], "message": "x" })),
        ("accept-agent-command", json!({ "agent_id": ids["agent_id"], "message": "x" })),
        ("revoke-token", json!({ "token_id": ids["token_id"] })),
    ] {
        let subject = api.topology.rpc_subject("mine", command);
        let reply = eventually("the service answers", PATIENCE, async || {
            api.nats.request(subject.clone(), body.to_string().into()).await.ok()
        })
        .await;
        let answer: Value = serde_json::from_slice(&reply.payload).unwrap();
        assert_eq!(answer["code"], "not_found", "{command}: {answer}");
    }
}

/// Number of commits of the workspace `dev` after a position.
async fn head_without_mine(api: &Api, after: capstan_envelope::Position) -> usize {
    use capstan_eventlog::EventLog as _;
    let (mut count, mut position) = (0, after);
    while let Some(recorded) = api.log.next(position).await.unwrap() {
        count += usize::from(recorded.commit.stream.workspace().as_str() == "dev");
        position = recorded.position;
    }
    count
}
