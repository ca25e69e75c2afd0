//! An archive of streams at every limit, on a nats-server that takes 1 MiB in one message.

use std::process::Stdio;

use anyhow::{Context, ensure};
use capstan_testkit::configured_nats::ConfiguredNats;
use capstan_testkit::servers::TestServers;
use reqwest::Method;
use serde_json::{Value, json};

use crate::operations::{capstan, serve_with, text};
use crate::process::{eventually, http_client};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const KIB: usize = 1 << 10;

/// A server, and what a caller does to it.
struct Server {
    url: String,
    http: reqwest::Client,
}

impl Server {
    async fn send(&self, method: Method, path: &str, body: &Value) -> anyhow::Result<(u16, Value)> {
        let request = self.http.request(method, format!("{}/v1/{path}", self.url)).bearer_auth(TOKEN);
        let request = if body.is_null() { request } else { request.json(body) };
        let answer = request.send().await?;
        let (status, body) = (answer.status().as_u16(), answer.text().await?);
        Ok((status, serde_json::from_str(&body).with_context(|| body.clone())?))
    }

    async fn done(&self, method: Method, path: &str, body: &Value) -> anyhow::Result<Value> {
        let (status, answer) = self.send(method, path, body).await?;
        ensure!((200..300).contains(&status), "{path}: {status} {answer}");
        Ok(answer)
    }

    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.done(Method::POST, &format!("workspaces/dev/{path}"), body).await
    }

    /// Repeats a request with other content until the task takes no more; answers the number of times it did.
    async fn fill(&self, path: &str, body: impl Fn(usize) -> Value) -> anyhow::Result<usize> {
        for number in 0..1_100 {
            let (status, answer) =
                self.send(Method::POST, &format!("workspaces/dev/{path}"), &body(number)).await?;
            if status == 409 && answer["code"] == "task_full" {
                return Ok(number);
            }
            ensure!((200..300).contains(&status), "{path}: {status} {answer}");
        }
        Ok(1_100)
    }

    /// What is shown, without what a commit that carries forward changes.
    async fn shown(&self, paths: &[String]) -> anyhow::Result<Vec<Value>> {
        let mut shown = Vec::new();
        for path in paths {
            let mut object = self.done(Method::GET, path, &Value::Null).await?;
            let fields = object.as_object_mut().context("an object")?;
            fields.retain(|field, _| !["version", "position"].contains(&field.as_str()));
            shown.push(object);
        }
        Ok(shown)
    }
}

/// The longest text of this unit.
fn long(unit: &str, bytes: usize) -> String {
    unit.repeat(bytes / unit.len())
}

/// Everything of a workspace but its tasks, each as long as it may be; the paths where they are shown.
async fn streams(server: &Server) -> anyhow::Result<Vec<String>> {
    let dev = "workspaces/dev";
    let tools: serde_json::Map<_, _> = (0..116)
        .map(|number| {
            let tool = json!({ "url": format!("https://tools.example/{number}/{}", "u".repeat(2_000)) });
            (format!("tool-{number}-{}", "n".repeat(100)), tool)
        })
        .collect();
    let disabled: Vec<_> = (0..256).map(|number| format!("d{number}-{}", "n".repeat(120))).collect();
    let resources: serde_json::Map<_, _> =
        (0..100).map(|number| (format!("r{number}-{}", "r".repeat(140)), json!(1))).collect();
    let settings = json!({
        "tools": tools, "disabled_tools": disabled, "default_policy": { "resources": resources },
    });
    server
        .done(Method::PATCH, dev, &json!({ "display_name": "d".repeat(256), "settings": settings }))
        .await?;
    let config = json!({ "system_prompt": long("\"", 255 * KIB), "runner": "process" });
    let agent = json!({
        "agent_key": "large", "name": "n".repeat(256), "role": "r".repeat(256), "memory_scope": "m".repeat(256),
        "config": config,
    });
    server.post("agents", &agent).await?;
    let paths = (0..100).map(|number| format!("/{number}/{}", "p".repeat(1_000))).collect::<Vec<_>>();
    let schedule = json!({
        "agent_id": "large", "cron_expr": "0 0 1 1 *", "prompt": long("\n\"", 255 * KIB) + "x",
        "skill_paths": paths, "source_view_id": "v".repeat(512),
    });
    let schedule = server.post("schedules", &schedule).await?;
    let schedule = format!("{dev}/schedules/{}", schedule["schedule"]["id"].as_str().context("an id")?);
    server
        .done(Method::POST, &format!("{schedule}/pause"), &json!({ "reason": "\u{1}".repeat(4_096) }))
        .await?;
    let channel = format!("{dev}/channels/email/a@b.example");
    let config = json!({ "template": long("\\", 125 * KIB) });
    server.done(Method::PUT, &channel, &json!({ "agent_id": "large", "config": config })).await?;
    let token = json!({ "name": "t".repeat(128), "scopes": ["read", "command"] });
    let token = server.post("tokens", &token).await?;
    let token = format!("{dev}/tokens/{}", token["token"]["id"].as_str().context("an id")?);
    server.done(Method::DELETE, &token, &json!({ "reason": "\u{1}".repeat(4_096) })).await?;
    // Commands with keys stand in the head of a stream, and are carried with it.
    for number in 0..40 {
        let body = json!({ "quality_score": number, "idempotency_key": format!("key {number}") });
        server.done(Method::PATCH, &format!("{dev}/agents/large"), &body).await?;
        let body =
            json!({ "display_name": format!("dev {number}"), "idempotency_key": format!("key {number}") });
        server.done(Method::PATCH, dev, &body).await?;
    }
    Ok(vec![dev.to_owned(), format!("{dev}/agents/large"), schedule, channel])
}

/// A task whose command is as long as one may be, and which takes no more of anything when it is cancelled.
async fn cancelled(server: &Server, attachments: usize, unit: &str) -> anyhow::Result<String> {
    let command = json!({
        "agent_id": "large", "message": "the old message", "dispatch_delay_ms": 3_600_000, "session_key": "one",
        "attachments": vec![json!({ "text": "a".repeat(240 * KIB) }); attachments], "label": "l".repeat(1_024),
        "routing": { "to": "r".repeat(4_000) }, "policy": { "ask": "off" }, "queue_mode": "queue",
    });
    let accepted = server.post("tasks", &command).await?;
    let id = accepted["task"]["id"].as_str().context("an id")?.to_owned();
    // A change is stored beside what it changes.
    for bytes in [40 * KIB, 20 * KIB] {
        let payload = json!({ "message": long(unit, bytes) });
        let path = format!("workspaces/dev/tasks/{id}");
        server.done(Method::PATCH, &path, &json!({ "payload_json": payload, "label": "changed" })).await?;
    }
    let output = |number: usize| {
        json!({
            "output_type": "email", "title": format!("{number} {}", "t".repeat(500)), "status": "pending",
            "name": format!("output {number}"), "data": { "draft_id": "d".repeat(1_000), "to": "o".repeat(1_000) },
        })
    };
    server.fill(&format!("tasks/{id}/outputs"), output).await?;
    server.post(&format!("tasks/{id}/cancel"), &json!({})).await?;
    // It is tried again and cancelled before it begins: what was said last is the prompt of that run.
    let words = |number: usize| json!({ "message": format!("{number} {}", long(unit, 15 * KIB)) });
    server.fill(&format!("tasks/{id}/input"), words).await?;
    server.post(&format!("tasks/{id}/cancel"), &json!({})).await?;
    for number in 0..20 {
        let body =
            json!({ "priority": (["low", "high"][number % 2]), "idempotency_key": format!("key {number}") });
        server.done(Method::PATCH, &format!("workspaces/dev/tasks/{id}"), &body).await?;
    }
    Ok(format!("workspaces/dev/tasks/{id}"))
}

/// A task whose worker fails with as long an error and as many models as are kept.
async fn failed(server: &Server) -> anyhow::Result<String> {
    let command = json!({
        "agent_id": "large", "message": long("\"", 100 * KIB),
        "attachments": [{ "text": "a".repeat(250 * KIB) }, { "text": "b".repeat(250 * KIB) }],
    });
    let accepted = server.post("tasks", &command).await?;
    let id = accepted["task"]["id"].as_str().context("an id")?.to_owned();
    let worker = server.done(Method::POST, "workers", &json!({ "name": "w", "slots": 4 })).await?;
    let lease = format!("workers/{}/lease", worker["worker_id"].as_str().context("an id")?);
    let leased = server.done(Method::POST, &lease, &json!({ "max": 1, "wait_ms": 20_000 })).await?;
    let attempt =
        format!("attempts/{}", leased[0]["attempt_id"].as_str().with_context(|| leased.to_string())?);
    let epoch = &leased[0]["epoch"];
    let models: serde_json::Map<_, _> = (0..64)
        .map(|number| {
            let tokens = 1_000_000_000_000_u64 + number;
            let used = json!({ "input_tokens": tokens, "output_tokens": tokens, "cost_usd": 0.123_456_789 });
            (format!("{number:02} {}", "m".repeat(250)), used)
        })
        .collect();
    let finish = json!({
        "lease_epoch": epoch, "outcome": "error", "error_class": "terminal", "error": "\u{1}".repeat(150 * KIB),
        "usage": { "models": models },
    });
    server.done(Method::POST, &format!("{attempt}/finish"), &finish).await?;
    Ok(format!("workspaces/dev/tasks/{id}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_at_every_limit_are_archived_on_a_stock_server() -> anyhow::Result<()> {
    let (nats, servers) = (ConfiguredNats::stock().await?, TestServers::start().await?);
    let (nats_url, database_url) = (format!("nats://{}", nats.address()), servers.fresh_database().await?);
    let environment =
        [("NATS_URL", nats_url.as_str()), ("DATABASE_URL", &database_url), ("CAPSTAN_ADMIN_TOKEN", TOKEN)];
    let (_serve, url) = serve_with(&["--workspace", "dev"], &environment, Stdio::inherit()).await?;
    let server = Server { url, http: http_client()? };
    eventually("it is ready", || async {
        Ok(server.http.get(format!("{}/readyz", server.url)).send().await?.status() == 200)
    })
    .await?;
    let mut paths = streams(&server).await?;
    paths.push(failed(&server).await?);
    for (attachments, unit) in [(0, "x"), (0, "\u{1}"), (1, "ä\""), (2, "\n."), (3, "x")] {
        paths.push(cancelled(&server, attachments, unit).await?);
    }
    let before = server.shown(&paths).await?;
    let command = async |arguments: &[&str]| {
        let done = capstan(arguments, &environment).await?;
        ensure!(done.status.success(), "{arguments:?}: {}", text(&done.stderr));
        Ok(text(&done.stdout))
    };
    let archived = command(&[
        "log",
        "archive",
        "--through",
        "1000000",
        "--keep-days",
        "0",
        "--min-ratio",
        "0",
        "--flush-ms",
        "0",
    ])
    .await?;
    ensure!(archived.contains("carried forward; the log begins after"), "{archived}");
    let log = command(&["log", "tail"]).await?;
    let sizes = log.lines().filter(|line| line.contains(r#""carried-forward":"#)).map(str::len);
    let largest = sizes.max().unwrap_or(0);
    ensure!(largest > 850 * KIB, "the largest has {largest} bytes");
    let differs = |now: &[Value]| {
        let different = before.iter().zip(now).find(|(before, now)| before != now);
        different.map(|(before, now)| {
            let text = |object: &Value| object.to_string().chars().take(2_000).collect::<String>();
            format!("{}\n{}", text(before), text(now))
        })
    };
    assert_eq!(differs(&server.shown(&paths).await?), None);
    command(&["projection", "verify"]).await?;
    command(&["projection", "rebuild", "--all"]).await?;
    assert_eq!(differs(&server.shown(&paths).await?), None);
    command(&["projection", "verify"]).await?;
    command(&["log", "verify"]).await?;
    // What was said to a cancelled task is said again.
    for path in &paths[5..] {
        let again = server.done(Method::POST, &format!("{path}/retry"), &json!({})).await?;
        assert_eq!(again["task"]["state"], "queued", "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn an_archive_by_a_user_who_may_not_is_refused_before_anything_else() -> anyhow::Result<()> {
    let nats = ConfiguredNats::start().await?;
    let nats_url = nats.url("capstan", "word-a");
    // Nothing else is asked for: the read models are away.
    let environment = [("NATS_URL", nats_url.as_str()), ("DATABASE_URL", "postgres://127.0.0.1:1/none")];
    let refused = capstan(&["log", "archive", "--through", "1"], &environment).await?;
    let error = text(&refused.stderr);
    let needed = "the NATS user needs the permission to publish to $JS.API.STREAM.UPDATE.CAPSTAN_EVENTS";
    ensure!(!refused.status.success() && error.contains(needed), "{error}");
    Ok(())
}
