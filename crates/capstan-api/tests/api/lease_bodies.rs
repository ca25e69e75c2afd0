//! Attempts that are longer than one message: on a stock nats-server, over HTTP and over NATS.

use capstan_contract::lease::ANSWER_BYTES_MAX;
use capstan_testkit::configured_nats::ConfiguredNats;
use capstan_testkit::eventually::eventually;
use serde_json::{Value, json};

use crate::harness::{ADMIN, Answer, Api, PATIENCE, with_token};

const KIB: usize = 1 << 10;

/// A server on a nats-server that carries 1 MiB in one message, with the agent `large`, whose configuration is nearly as
/// long as one may be.
async fn start(nats: &ConfiguredNats) -> Api {
    let api = Api::start_on(&nats.url("capstan", "word-a"), with_token(ADMIN)).await;
    post(&api, "/v1/workspaces", &json!({ "workspace": "dev" })).await.expect(201);
    let config = json!({ "system_prompt": "c".repeat(500 * KIB) });
    let agent = json!({ "agent_key": "large", "name": "Large", "config": config });
    post(&api, "/v1/workspaces/dev/agents", &agent).await.expect(201);
    api
}

async fn post(api: &Api, path: &str, body: &Value) -> Answer {
    api.send(api.request("POST", path).bearer_auth(ADMIN).body(body.to_string())).await
}

/// A worker of `dev` on NATS alone.
async fn bus(nats: &ConfiguredNats) -> async_nats::Client {
    async_nats::ConnectOptions::new()
        .custom_inbox_prefix("_INBOX.dev-worker")
        .user_and_password("dev-worker".to_owned(), "word-e".to_owned())
        .connect(nats.address())
        .await
        .expect("it connects")
}

/// A worker's call over NATS: its status and its answer.
async fn ask(bus: &async_nats::Client, call: &str, body: &Value) -> (String, Vec<u8>) {
    let subject = format!("capstan.rpc.dev.worker.{call}");
    // The surface comes up beside the HTTP one.
    let answer = eventually("the service answers", PATIENCE, async || {
        let request = async_nats::Request::new().payload(body.to_string().into());
        bus.send_request(subject.clone(), request.timeout(Some(PATIENCE))).await.ok()
    })
    .await;
    let status = answer.headers.as_ref().and_then(|headers| headers.get("Capstan-Status"));
    (status.map(ToString::to_string).unwrap_or_default(), answer.payload.to_vec())
}

/// The message of a task, the input that is delivered with it, and the prompt of that run: nearly as long as one may be.
fn texts() -> (String, String, String) {
    let (message, input) = ("m".repeat(15 * KIB), "ä\"".repeat(80 * KIB));
    let prompt = format!("{message}\n\n{input}");
    (message, input, prompt)
}

/// A task at its limits, whose next run delivers as much as one may.
async fn task(api: &Api) -> String {
    let (message, input, _) = texts();
    let command = json!({
        "agent_id": "large", "message": message, "dispatch_delay_ms": 3_600_000,
        "extra_system_prompt": "e".repeat(50 * KIB),
        "attachments": [{ "text": "a".repeat(250 * KIB) }, { "text": "b".repeat(130 * KIB) }],
        "input_provenance": { "from": "p".repeat(20 * KIB) }, "routing": { "to": "r".repeat(20 * KIB) },
    });
    let accepted = post(api, "/v1/workspaces/dev/tasks", &command).await.expect(202);
    let task = accepted["task"]["id"].as_str().unwrap().to_owned();
    // It wakes the task: this is the prompt of its first run.
    let input = json!({ "message": input });
    post(api, &format!("/v1/workspaces/dev/tasks/{task}/input"), &input).await.expect(202);
    task
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_at_every_limit_reach_a_worker_on_a_stock_server() {
    let nats = ConfiguredNats::start().await.unwrap();
    let api = start(&nats).await;
    let bus = bus(&nats).await;
    assert_eq!(bus.max_payload(), 1 << 20);
    let _engine = api.lead().await;
    let worker = json!({ "name": "w", "slots": 4 });
    let worker = post(&api, "/v1/workers", &worker).await.expect(201)["worker_id"].clone();
    let worker = worker.as_str().unwrap();
    let first = task(&api).await;

    let lease = json!({ "max": 4, "wait_ms": 20_000 });
    let leased = post(&api, &format!("/v1/workers/{worker}/lease"), &lease).await.expect(200);
    assert!(leased.to_string().len() <= ANSWER_BYTES_MAX, "{} bytes", leased.to_string().len());
    let short = &leased[0];
    assert_eq!((short["task_id"].as_str(), &short["agent_key"]), (Some(first.as_str()), &json!("large")));
    for name in ["agent_config", "prompt"] {
        assert!(short["omitted"].as_array().unwrap().contains(&json!(name)), "{}", short["omitted"]);
        assert!(short.get(name).is_none(), "{name} is left out");
    }

    // Over HTTP.
    let attempt = short["attempt_id"].as_str().unwrap();
    let (mut text, mut body) = (String::new(), json!({ "lease_epoch": short["epoch"] }));
    loop {
        let page = post(&api, &format!("/v1/attempts/{attempt}/fetch"), &body).await.expect(200);
        assert_eq!(page["offset"], text.len());
        text.push_str(page["text"].as_str().unwrap());
        let Some(cursor) = page.get("next_cursor") else { break };
        body["cursor"] = cursor.clone();
    }
    let whole: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(whole["prompt"], json!(texts().2));
    assert_eq!(whole["agent_config"]["system_prompt"], json!("c".repeat(500 * KIB)));
    assert_eq!(whole["attachments"][1]["text"], json!("b".repeat(130 * KIB)));
    assert!(whole.get("omitted").is_none());

    // Over NATS, where each answer is one message.
    let (mut told, mut body) =
        (String::new(), json!({ "attempt_id": attempt, "lease_epoch": short["epoch"] }));
    loop {
        let (status, page) = ask(&bus, "fetch-attempt", &body).await;
        assert_eq!(status, "200");
        assert!(page.len() <= ANSWER_BYTES_MAX, "{} bytes", page.len());
        let page: Value = serde_json::from_slice(&page).unwrap();
        told.push_str(page["text"].as_str().unwrap());
        let Some(cursor) = page.get("next_cursor") else { break };
        body["cursor"] = cursor.clone();
    }
    assert_eq!(told, text);

    // Fenced, and read strictly.
    body["lease_epoch"] = json!(7);
    assert_eq!(ask(&bus, "fetch-attempt", &body).await.0, "409");
    (body["lease_epoch"], body["cursor"]) = (short["epoch"].clone(), json!("7"));
    assert_eq!(ask(&bus, "fetch-attempt", &body).await.0, "422");
    let end = json!({ "lease_epoch": short["epoch"], "outcome": "ok" });
    let again = json!({ "lease_epoch": short["epoch"] });
    post(&api, &format!("/v1/attempts/{attempt}/finish"), &end).await.expect(200);
    post(&api, &format!("/v1/attempts/{attempt}/fetch"), &again).await.expect_problem(409, "lease_lost");

    // The lease itself over NATS.
    let second = task(&api).await;
    let registered = json!({ "name": "bus", "slots": 1 });
    let (_, registered) = ask(&bus, "register-worker", &registered).await;
    let registered: Value = serde_json::from_slice(&registered).unwrap();
    let poll = json!({ "worker_id": registered["worker_id"], "max": 1, "wait_ms": 20_000 });
    let (status, leased) = ask(&bus, "lease-attempts", &poll).await;
    assert!(leased.len() <= ANSWER_BYTES_MAX, "{} bytes", leased.len());
    let leased: Value = serde_json::from_slice(&leased).unwrap();
    assert_eq!((status.as_str(), leased[0]["task_id"].as_str()), ("200", Some(second.as_str())));
}
