//! Replies without the entity, for callers that prefer them (`Prefer: return=minimal`).

use capstan_api::ApiConfig;
use serde_json::{Value, json};

use crate::harness::{Answer, Api, PATIENCE, ask_with, json_of};

const DEV: &str = "/v1/workspaces/dev";
const MINIMAL: &str = "return=minimal";

async fn minimal(api: &Api, method: &str, path: &str, body: Value) -> Answer {
    let request = api.request(method, &format!("{DEV}{path}")).header("prefer", MINIMAL);
    api.send(request.body(body.to_string())).await
}

fn fields(body: &Value) -> Vec<&str> {
    body.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_prefers_a_minimal_reply_gets_the_receipt_and_can_go_on_with_it() {
    let api = Api::start().await;
    let body = json!({ "agent_id": "demo", "message": "hello", "idempotency_key": "k" });
    let answer = minimal(&api, "POST", "/tasks", body.clone()).await;
    assert_eq!(answer.header("preference-applied"), MINIMAL);
    assert_eq!(answer.header("capstan-position"), answer.body["receipt"]["position"]);
    assert_eq!(answer.header("etag"), "\"1\"");
    let accepted = answer.expect(202);
    assert_eq!(fields(&accepted), ["receipt"], "{accepted}");
    let receipt = &accepted["receipt"];
    assert_eq!(fields(receipt), ["command_id", "duplicate", "id", "position", "version"]);
    let (task, position) = (receipt["id"].as_str().unwrap(), receipt["position"].as_str().unwrap());
    let read = api.get(&format!("{DEV}/tasks/{task}?min_position={position}")).await.expect(200);
    assert_eq!((&read["id"], &read["message"]), (&receipt["id"], &json!("hello")));

    let repeat = minimal(&api, "POST", "/tasks", body.clone()).await.expect(200);
    assert_eq!((fields(&repeat), &repeat["receipt"]["duplicate"]), (vec!["receipt"], &json!(true)));
    for pointer in ["/receipt/id", "/receipt/position", "/receipt/command_id", "/receipt/version"] {
        assert_eq!(repeat.pointer(pointer), accepted.pointer(pointer), "{pointer}");
    }
    // Whole replies name the entity in their receipts too, and a preference that is not known changes nothing.
    for other in ["return=representation, return=minimal", "respond-async"] {
        let request = api.request("POST", &format!("{DEV}/tasks")).header("prefer", other);
        let answer = api.send(request.body(body.to_string())).await;
        assert!(!answer.headers.contains_key("preference-applied"), "{other}");
        let whole = answer.expect(200);
        assert_eq!(
            (&whole["receipt"]["id"], &whole["task"]["id"]),
            (&receipt["id"], &receipt["id"]),
            "{other}"
        );
    }
    let refused = minimal(&api, "POST", "/tasks", json!({})).await;
    refused.expect_problem(422, "validation_failed");
    assert!(!refused.headers.contains_key("preference-applied"));
}

/// What a command tells beside its entity is told all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_minimal_reply_names_whatever_the_command_made() {
    let api = Api::start().await;
    let task = api.task("to be worked on").await;
    let input = json!({ "message": "more" });
    let said = minimal(&api, "POST", &format!("/tasks/{task}/input"), input).await.expect(202);
    assert_eq!(fields(&said), ["input_id", "outcome", "receipt"]);
    assert_eq!(said["receipt"]["id"], task);

    let outputs = format!("/tasks/{task}/outputs");
    let body = json!({ "output_type": "table", "title": "Findings" });
    let made = minimal(&api, "POST", &outputs, body).await.expect(201);
    assert_eq!((fields(&made), &made["receipt"]["id"]), (vec!["output_id", "receipt"], &json!(task)));
    let output = made["output_id"].as_str().unwrap();
    let rows = format!("{outputs}/{output}/rows");
    let grown = minimal(&api, "POST", &rows, json!({ "rows": [1] })).await.expect(200);
    assert_eq!(grown["output_id"], output);
    let archived =
        minimal(&api, "POST", "/outputs/archive-all", json!({ "task_id": task })).await.expect(200);
    assert_eq!(
        (fields(&archived), fields(&archived["archived"])),
        (vec!["archived", "receipt"], vec!["count", "more"])
    );
    assert_eq!(archived["receipt"].get("id"), None, "it may have been about many");

    let daily = json!({ "agent_id": "demo", "cron_expr": "0 9 * * *", "prompt": "report" });
    let made = minimal(&api, "POST", "/schedules", daily).await.expect(201);
    let schedule = made["receipt"]["id"].as_str().unwrap();
    let run = minimal(&api, "POST", &format!("/schedules/{schedule}/trigger"), json!({})).await.expect(202);
    assert_eq!((fields(&run), &run["receipt"]["id"]), (vec!["receipt", "task_id"], &json!(schedule)));
    let made = api.until(&format!("{DEV}/tasks/{}", run["task_id"].as_str().unwrap()), |_| true).await;
    assert_eq!(made["message"], "report");

    let token = minimal(&api, "POST", "/tokens", json!({ "name": "t", "scopes": ["read"] })).await;
    assert_eq!(token.header("cache-control"), "no-store");
    let token = token.expect(201);
    assert_eq!(fields(&token), ["receipt", "secret"]);
    assert!(
        token["secret"]
            .as_str()
            .unwrap()
            .contains(&token["receipt"]["id"].as_str().unwrap().replace('-', ""))
    );

    let agent = json!({ "agent_key": "second", "name": "Second" });
    let agent = minimal(&api, "POST", "/agents", agent).await.expect(201);
    let shown = api.until(&format!("{DEV}/agents/second"), |_| true).await;
    assert_eq!(agent["receipt"]["id"], shown["id"]);
    let channel = "/channels/email/ada@example.org";
    let bound = minimal(&api, "PUT", channel, json!({ "agent_id": "second" })).await.expect(200);
    let whole = api
        .send(api.request("PUT", &format!("{DEV}{channel}")).body(r#"{"active":false}"#))
        .await
        .expect(200);
    assert_eq!((fields(&bound), &bound["receipt"]["id"]), (vec!["receipt"], &whole["channel"]["id"]));
    let changed = minimal(&api, "PATCH", "", json!({ "display_name": "Dev" })).await.expect(200);
    assert_eq!((fields(&changed), &changed["receipt"]["id"]), (vec!["receipt"], &json!("dev")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minimal_reply_waits_for_no_read_model() {
    let api = Api::start().await;
    // Longer than the test may take.
    let patient = api.replica(ApiConfig { show_wait_ms: 3_600_000, ..ApiConfig::default() }).await;
    let task = patient.task("to be cancelled").await;
    api.servers.servers().stop_postgres().await;
    let path = format!("/tasks/{task}/cancel");
    let cancelled = minimal(&patient, "POST", &path, json!({}));
    let answer = tokio::time::timeout(PATIENCE, cancelled).await.expect("nothing is waited for");
    assert_eq!(answer.expect(202)["receipt"]["version"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_and_a_request_over_nats_are_answered_without_entities_too() {
    let api = Api::start().await;
    let accept = json!({ "agent_id": "demo", "message": "by request" });
    let answer = ask_with(&api, "accept-agent-command", &[("Prefer", MINIMAL)], accept.clone()).await;
    assert_eq!(fields(&json_of(&answer.payload)), ["receipt"]);
    let headers = answer.headers.unwrap();
    assert_eq!(headers.get("Preference-Applied").map(async_nats::HeaderValue::as_str), Some(MINIMAL));

    let mut item = accept;
    item["type"] = "accept-agent-command".into();
    let batch = json!([item, { "type": "cancel-task" }]);
    let over_http = minimal(&api, "POST", "/commands", batch.clone()).await;
    assert_eq!(over_http.header("preference-applied"), MINIMAL);
    let over_nats = ask_with(&api, "batch", &[("prefer", MINIMAL)], batch).await;
    let headers = over_nats.headers.unwrap();
    assert_eq!(headers.get("Preference-Applied").map(async_nats::HeaderValue::as_str), Some(MINIMAL));
    for answers in [over_http.expect(200), json_of(&over_nats.payload)] {
        assert_eq!(fields(&answers[0]), ["receipt", "status"], "{answers}");
        assert_eq!((&answers[0]["status"], &answers[1]["status"]), (&json!(202), &json!(422)));
    }
}
