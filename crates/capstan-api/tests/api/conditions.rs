//! Fields beside a request: the same in headers, parameters, bodies, batches and on NATS, and none of them ignored.

use serde_json::{Value, json};

use crate::harness::{Answer, Api, ask, ask_with, json_of};
use crate::nats::publish;

const COMMANDS: &str = "/v1/workspaces/dev/commands";
const ID: &str = "00000000-0000-4000-8000-0000000000aa";

/// The places of the faults, sorted.
fn pointers(problem: &Value) -> Vec<&str> {
    let faults = problem["errors"].as_array().into_iter().flatten();
    let mut found: Vec<_> = faults.filter_map(|fault| fault["pointer"].as_str()).collect();
    found.sort_unstable();
    found
}

fn refused(answer: &Answer) -> Vec<&str> {
    answer.expect_problem(422, "validation_failed");
    pointers(&answer.body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_holds_wherever_it_stands() {
    let api = Api::start().await;
    let task = api.task("x").await;
    let path = format!("/v1/workspaces/dev/tasks/{task}");
    let stale = json!({ "label": "a", "expected_version": 7 });
    api.send(api.request("PATCH", &path).body(stale.to_string()))
        .await
        .expect_problem(412, "version_mismatch");
    let items = json!([{ "type": "update-task", "task_id": task, "label": "a", "expected_version": 7 },
                       { "type": "update-task", "task_id": task, "label": "a", "expected_version": 1 }]);
    let answers = api.post(COMMANDS, items).await.expect(200);
    assert_eq!((&answers[0]["status"], &answers[1]["status"]), (&json!(412), &json!(200)), "{answers}");
    let change = json!({ "task_id": task, "label": "b" });
    let in_header = ask_with(&api, "update-task", &[("If-Match", "\"7\"")], change.clone()).await;
    assert_eq!(json_of(&in_header.payload)["code"], "version_mismatch");
    let both = json!({ "task_id": task, "label": "b", "expected_version": 2 });
    let both = ask_with(&api, "update-task", &[("If-Match", "\"2\"")], both).await;
    assert_eq!(json_of(&both.payload)["task"]["label"], "b");
    let agent = api.request("DELETE", "/v1/workspaces/dev/agents/demo?expected_version=9");
    api.send(agent).await.expect_problem(412, "version_mismatch");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_may_be_repeated_in_another_place_over_http_and_nats_alike() {
    let api = Api::start().await;
    let delete = async |version: &str, header: &[&str]| {
        let path = format!("/v1/workspaces/dev/agents/demo?expected_version={version}");
        let request = api.request("DELETE", &path);
        let request = header.iter().fold(request, |request, text| request.header("If-Match", *text));
        let over_http = api.send(request).await;
        let headers: Vec<_> = header.iter().map(|text| ("If-Match", *text)).collect();
        let version: u64 = version.parse().unwrap();
        let body = json!({ "agent_id": "demo", "expected_version": version });
        let on_bus = json_of(&ask_with(&api, "delete-agent", &headers, body).await.payload);
        assert_eq!(on_bus["code"], over_http.body["code"], "{on_bus}");
        (over_http.body, on_bus)
    };
    let (over_http, _) = delete("9", &["\"9\""]).await;
    assert_eq!(over_http["code"], "version_mismatch");
    let (over_http, on_bus) = delete("9", &["\"8\""]).await;
    assert_eq!((pointers(&over_http), pointers(&on_bus)), (vec!["If-Match"], vec!["/expected_version"]));
    let (over_http, on_bus) = delete("9", &["\"9\"", "\"9\""]).await;
    for twice in [over_http, on_bus] {
        let told = json!([{ "pointer": "If-Match", "message": "is given twice" }]);
        assert_eq!(twice["errors"], told);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_headers_are_told_with_all_others_on_both_ways() {
    let api = Api::start().await;
    let headers = [("If-Match", "\"x\""), ("Capstan-Command-Id", "7"), ("Idempotency-Key", "k")];
    let body = json!({ "agent_id": "demo", "message": 7, "idempotency_key": "other" });
    let mut request = api.request("POST", "/v1/workspaces/dev/tasks").body(body.to_string());
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let over_http = api.send(request).await;
    for pointer in ["/message", "Capstan-Command-Id", "If-Match"] {
        assert!(refused(&over_http).contains(&pointer), "{}", over_http.body);
    }
    let on_bus = json_of(&ask_with(&api, "accept-agent-command", &headers, body).await.payload);
    assert_eq!(pointers(&on_bus), pointers(&over_http.body));
    assert!(on_bus["correlation_id"].as_str().is_some_and(|id| !id.starts_with("00000000")), "{on_bus}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_is_read_or_refused_by_name() {
    let api = Api::start().await;
    let task = api.task("x").await;
    let path = format!("/v1/workspaces/dev/tasks/{task}");
    for (method, path, header) in [
        ("GET", &*path, "If-Match"),
        ("GET", "/v1/workspaces/dev/tasks", "Idempotency-Key"),
        ("GET", "/v1/workspaces/dev/stream", "Capstan-Min-Position"),
        ("GET", "/v1/admin/projections", "Capstan-Position"),
        ("POST", &format!("{path}/cancel"), "Capstan-Lease-Epoch"),
        ("POST", COMMANDS, "If-Match"),
        ("POST", COMMANDS, "Capstan-Command-Id"),
        ("POST", &format!("/v1/attempts/dev.{task}.1/return"), "If-Match"),
        ("POST", "/v1/workers", "Idempotency-Key"),
        ("POST", "/v1/workspaces/dev/tasks", "If-Match"),
        ("POST", "/v1/workspaces/dev/source-events", "If-Match"),
        ("POST", "/v1/workspaces/dev/outputs/archive-all", "If-Match"),
        ("POST", "/v1/admin/projections/all/verify", "Idempotency-Key"),
        ("POST", "/v1/admin/deadletters/command-1/retry", "If-Match"),
    ] {
        let answer = api.send(api.request(method, path).header(header, "1")).await;
        assert!(refused(&answer).contains(&header), "{method} {path}: {}", answer.body);
    }
    for (name, header) in [
        ("batch", "If-Match"),
        ("get-task", "Idempotency-Key"),
        ("worker.drain-worker", "If-Match"),
        ("archive-all-outputs", "If-Match"),
    ] {
        let body = if name == "batch" { json!([]) } else { json!({ "task_id": task }) };
        let answer = json_of(&ask_with(&api, name, &[(header, "1")], body).await.payload);
        assert!(pointers(&answer).contains(&header), "{name}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_on_nats_stand_for_the_fields_they_name() {
    let api = Api::start().await;
    let task = api.task("x").await;
    let lease = api.lease(&task).await;
    let epoch = lease.epoch.to_string();
    let claim = json!({ "attempt_id": lease.attempt_id });
    let stale = ask_with(&api, "worker.claim-input", &[("Capstan-Lease-Epoch", "9")], claim.clone()).await;
    assert_eq!(json_of(&stale.payload)["code"], "lease_lost");
    let both = json!({ "attempt_id": lease.attempt_id, "lease_epoch": 9 });
    let both = ask_with(&api, "worker.claim-input", &[("Capstan-Lease-Epoch", &epoch)], both).await;
    let both = json_of(&both.payload);
    assert_eq!(both["errors"][0]["message"], "contradicts the header Capstan-Lease-Epoch", "{both}");
    assert_eq!(pointers(&both), ["/lease_epoch"]);
    let claimed = ask_with(&api, "worker.claim-input", &[("capstan-lease-epoch", &epoch)], claim).await;
    assert_eq!(json_of(&claimed.payload)["receipt"]["duplicate"], false);
    let head = api.head().await.to_string();
    let asked = json!({ "task_id": task });
    let shown = ask_with(&api, "get-task", &[("Capstan-Min-Position", &head)], asked).await;
    assert_eq!(json_of(&shown.payload)["state"], "running");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_id_of_a_durable_command_may_stand_in_its_payload() {
    let api = Api::start().await;
    let accept = |id: &str| json!({ "agent_id": "demo", "message": "x", "command_id": id }).to_string();
    let outcome = publish(&api, "accept-agent-command", ID, &accept(ID)).await;
    assert_eq!(outcome["receipt"]["command_id"], ID, "{outcome}");
    let other =
        publish(&api, "accept-agent-command", ID, &accept("00000000-0000-4000-8000-0000000000ab")).await;
    assert_eq!(other["errors"][0]["message"], "contradicts the header Capstan-Command-Id", "{other}");
    let nameless = ask(&api, "accept-agent-command", serde_json::from_str(&accept(ID)).unwrap()).await;
    assert_eq!(json_of(&nameless.payload)["receipt"]["duplicate"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_option_of_a_request_is_ignored() {
    let api = Api::start().await;
    let head = api.head().await;
    let tasks = "/v1/workspaces/dev/tasks";
    let stream = "/v1/workspaces/dev/stream";
    for (path, pointer) in [
        (format!("{tasks}?colour"), "?colour"),
        (format!("{tasks}?colour="), "?colour"),
        (format!("{tasks}?limit=1&count"), "?count"),
        (format!("{tasks}/{ID}?task_id="), "?task_id"),
        (format!("{tasks}/{ID}?task_id={ID}"), "?task_id"),
        (format!("{tasks}?min_position={head}&wait_ms=30001"), "?wait_ms"),
        (format!("{tasks}?wait_ms=30001"), "?wait_ms"),
        (format!("{stream}?types=task-exploded"), "?types/0"),
        (format!("{stream}?snapshot=1&after=0"), "?snapshot"),
        (format!("{stream}?log_after=7"), "?log_after"),
        (format!("{stream}?include=outputs"), "?include/0"),
    ] {
        assert_eq!(refused(&api.get(&path).await), [pointer], "{path}");
    }
    let several = api.get(&format!("{tasks}?yy&limit=x&colour=red&%C3%BC")).await;
    assert_eq!(refused(&several), ["?colour", "?limit", "?yy", "?ü"]);
    let several = api.post("/v1/workspaces/dev/tasks?a=1&b", json!({})).await;
    assert_eq!(refused(&several), ["?a", "?b"]);
    api.get(&format!("{tasks}?label=&q=%20&count=")).await.expect(200);
    api.task("x").await;
    let path = format!("{stream}?after={}", api.head().await);
    let back = api.send(api.request("GET", &path).header("Last-Event-ID", head.to_string())).await;
    assert_eq!(refused(&back), ["Last-Event-ID"]);
    let with_body = api.send(api.request("GET", tasks).body(r#"{"limit":1}"#)).await;
    assert_eq!(refused(&with_body), [""]);
    for (call, body, pointer) in [
        ("lease", json!({ "wait_ms": 30_001 }), "/wait_ms"),
        ("lease", json!({ "max": 10_001 }), "/max"),
        ("renew", json!({ "renewals": [], "wait_ms": 30_001 }), "/wait_ms"),
        ("tool-calls", json!({ "wait_ms": 30_001 }), "/wait_ms"),
    ] {
        let answer = api.post(&format!("/v1/workers/{ID}/{call}"), body).await;
        assert_eq!(refused(&answer), [pointer], "{call}");
    }
    let on_bus = ask(&api, "list-tasks", json!({ "min_position": head, "wait_ms": 30_001 })).await;
    assert_eq!(json_of(&on_bus.payload)["errors"][0]["message"], "must be 30000 or less");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plus_sign_in_an_instant_need_not_be_encoded() {
    let api = Api::start().await;
    api.task("x").await;
    for instant in ["2026-01-01T00:00:00+01:00", "2026-01-01T00:00:00%2B01:00"] {
        let listed =
            api.get_now(&format!("/v1/workspaces/dev/tasks?created_after={instant}")).await.expect(200);
        assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{instant}");
    }
    let wrong = api.get("/v1/workspaces/dev/tasks?created_after=2026-01-01+00:00").await;
    assert_eq!(refused(&wrong), ["?created_after"]);
}
