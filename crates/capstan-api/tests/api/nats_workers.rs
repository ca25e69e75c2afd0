//! The worker protocol as requests on NATS.

use async_nats::Request;
use capstan_testkit::eventually::eventually;
use serde_json::{Value, json};

use crate::harness::{Api, PATIENCE, json_of};

/// A worker's call on `capstan.rpc.<workspace>.worker.<call>`: status and body.
async fn call(api: &Api, workspace: &str, call: &str, body: Value) -> (String, Value) {
    let subject = api.topology.rpc_subject(workspace, &format!("worker.{call}"));
    // The surface comes up beside the HTTP one; until then nobody answers.
    let answer = eventually("the service answers", PATIENCE, async || {
        let request = Request::new().payload(body.to_string().into());
        api.nats.send_request(subject.clone(), request.timeout(Some(PATIENCE))).await.ok()
    })
    .await;
    let status = answer.headers.as_ref().and_then(|headers| headers.get("Capstan-Status"));
    (status.map(ToString::to_string).unwrap_or_default(), json_of(&answer.payload))
}

/// A body with more fields.
fn with(mut body: Value, more: &Value) -> Value {
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

async fn register(api: &Api, workspace: &str, tools: &[&str]) -> String {
    let worker = json!({ "name": "bus", "slots": 2, "capabilities": { "tools": tools } });
    let (status, registered) = call(api, workspace, "register-worker", worker).await;
    assert_eq!(status, "201", "{registered}");
    registered["worker_id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_is_worked_off_on_the_bus_alone() {
    let api = Api::start().await;
    let _engine = api.lead().await;
    let worker = register(&api, "dev", &[]).await;
    // The question stands until there is work.
    let lease = json!({ "worker_id": worker, "max": 1, "wait_ms": 20_000 });
    let leased = call(&api, "dev", "lease-attempts", lease);
    let ((status, leased), task) = tokio::join!(leased, api.task("work on the bus"));
    assert_eq!((status.as_str(), &leased[0]["prompt"]), ("200", &json!("work on the bus")), "{leased}");
    let attempt = leased[0]["attempt_id"].as_str().unwrap().to_owned();
    let fence = json!({ "attempt_id": attempt, "lease_epoch": leased[0]["epoch"] });
    let said = async |name: &str, body: Value| {
        let (status, answer) = call(&api, "dev", name, with(body, &fence)).await;
        assert!(status.starts_with('2'), "{name}: {status} {answer}");
        answer
    };
    said("append-logs", json!({ "lines": [{ "stream": "stdout", "data": "one" }] })).await;
    said("append-run-events", json!({ "events": [{ "event_type": "tool", "payload": {} }] })).await;
    let table = json!({ "name": "t", "output_type": "table", "title": "T", "data": { "rows": [] },
                        "idempotency_key": "m1" });
    let produced = said("produce-output", table.clone()).await;
    let again = said("produce-output", table).await;
    assert_eq!(again["receipt"]["duplicate"], true, "{again}");
    let output = &produced["output_id"];
    said("append-output-rows", json!({ "output_id": output, "rows": [1, 2] })).await;
    said("finalize-output", json!({ "output_id": output, "summary": "two" })).await;
    said("record-usage", json!({ "usage": { "input_tokens": 5 } })).await;
    let read = json!({ "tool": "crm.read", "is_write": false });
    assert_eq!(said("check-tool-call", read).await["decision"], "allow");
    said("open-blocker", json!({ "summary": "which?" })).await;

    // News reaches a renewal that stands.
    let renewal = json!({ "attempt_id": attempt, "epoch": leased[0]["epoch"] });
    let renewals = json!({ "worker_id": worker, "renewals": [renewal], "wait_ms": 10_000 });
    let news = call(&api, "dev", "renew-leases", renewals);
    let answered = async {
        let input = format!("/v1/workspaces/dev/tasks/{task}/input");
        api.post(&input, json!({ "message": "the blue one" })).await.expect(202);
    };
    let ((_, renewed), ()) = tokio::join!(news, answered);
    assert_eq!(renewed[0]["inputs_pending"], 1, "{renewed}");
    let claimed = said("claim-input", json!({})).await;
    assert_eq!(claimed["input"]["message"], "the blue one");
    said("ack-input", json!({ "input_id": claimed["input"]["input_id"] })).await;
    said("finish-attempt", json!({ "outcome": "ok" })).await;
    let (status, drained) = call(&api, "dev", "drain-worker", json!({ "worker_id": worker })).await;
    assert_eq!((status.as_str(), drained), ("200", json!({ "draining": true })));

    let shown = api.get_now(&format!("/v1/workspaces/dev/tasks/{task}")).await.expect(200);
    assert_eq!((&shown["state"], &shown["usage"]["input_tokens"]), (&json!("done"), &json!(5)), "{shown}");
    let late = with(json!({ "usage": { "input_tokens": 1 } }), &fence);
    let (status, late) = call(&api, "dev", "record-usage", late).await;
    assert_eq!((status.as_str(), &late["code"]), ("409", &json!("lease_lost")), "{late}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_call_is_carried_out_on_the_bus() {
    let api = Api::start().await;
    let _engine = api.lead().await;
    let worker = register(&api, "dev", &["crm.update"]).await;
    let task = api.task("write").await;
    let lease = api.lease(&task).await;
    let kept =
        api.report(&lease, "tool-calls", json!({ "tool": "crm.update", "arguments": { "n": 1 } })).await;
    assert_eq!(kept.expect(200)["decision"], "deferred");
    let input = format!("/v1/workspaces/dev/tasks/{task}/input");
    api.post(&input, json!({ "action": "approve" })).await.expect(202);
    let poll = json!({ "worker_id": worker, "wait_ms": 20_000 });
    let (_, given) = call(&api, "dev", "claim-tool-call", poll).await;
    assert_eq!((&given["tool"], &given["arguments"]["n"]), (&json!("crm.update"), &json!(1)), "{given}");
    let result = json!({ "worker_id": worker, "claim": given["claim"], "stdout": "stored" });

    // Whoever serves another workspace cannot speak about it.
    api.post("/v1/workspaces", json!({ "workspace": "other" })).await.expect(201);
    let (status, _) = call(&api, "other", "report-tool-call", result.clone()).await;
    assert_eq!(status, "404");
    let (status, reported) = call(&api, "dev", "report-tool-call", result).await;
    assert_eq!(status, "200", "{reported}");
    let told = api.report(&lease, "inputs/claim", json!({})).await.expect(200);
    assert!(told["input"]["message"].as_str().unwrap().contains("stored"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_reaches_its_own_workspace_and_no_other() {
    let api = Api::start().await;
    let _engine = api.lead().await;
    api.post("/v1/workspaces", json!({ "workspace": "other" })).await.expect(201);
    let task = api.task("dev's own").await;
    let stranger = register(&api, "other", &[]).await;
    let lease = json!({ "worker_id": stranger, "max": 1 });
    let (_, leased) = call(&api, "other", "lease-attempts", lease).await;
    assert_eq!(leased, json!([]), "nothing of dev");
    let lease = api.lease(&task).await;
    let fence = json!({ "attempt_id": lease.attempt_id, "lease_epoch": lease.epoch });
    let end = with(json!({ "outcome": "ok" }), &fence);
    let (status, refused) = call(&api, "other", "finish-attempt", end.clone()).await;
    assert_eq!((status.as_str(), &refused["code"]), ("404", &json!("not_found")), "{refused}");
    let end = with(end, &json!({ "type": "finish-attempt" }));
    let together = json!({ "worker_id": stranger, "reports": [end], "lease_max": 1 });
    let (status, outcomes) = call(&api, "other", "send-reports", together.clone()).await;
    let told = (&outcomes["reports"][0]["code"], &outcomes["leased"]);
    assert_eq!((status.as_str(), told), ("200", (&json!("not_found"), &json!([]))), "{outcomes}");
    let (status, _) = call(&api, "nowhere", "register-worker", json!({ "name": "w", "slots": 1 })).await;
    assert_eq!(status, "404");
    let (status, refused) = call(&api, "dev", "return-attempt", json!({ "colour": "red" })).await;
    assert_eq!((status.as_str(), &refused["code"]), ("422", &json!("validation_failed")), "{refused}");
    let faults: Vec<_> =
        refused["errors"].as_array().unwrap().iter().map(|fault| &fault["pointer"]).collect();
    assert_eq!(faults, ["/attempt_id", "/lease_epoch", "/colour"], "all faults at once: {refused}");
    // Dev's worker is no business of a subject of another workspace.
    let own = register(&api, "dev", &[]).await;
    let (_, outcomes) = call(&api, "dev", "send-reports", with(together, &json!({ "worker_id": own }))).await;
    assert_eq!(outcomes["reports"][0]["status"], 200, "{outcomes}");
    let (status, _) = call(&api, "other", "drain-worker", json!({ "worker_id": own })).await;
    assert_eq!(status, "404");
}
