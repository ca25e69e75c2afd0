//! The worker protocol as requests on NATS.

use async_nats::{HeaderMap, Request};
use capstan_testkit::eventually::eventually;
use serde_json::{Value, json};

use crate::harness::{Api, PATIENCE, json_of};

/// A worker's call on `capstan.rpc.<workspace>.worker.<call>`: status and body.
async fn call(
    api: &Api,
    workspace: &str,
    call: &str,
    headers: &[(&str, &str)],
    body: Value,
) -> (String, Value) {
    let subject = api.topology.rpc_subject(workspace, &format!("worker.{call}"));
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, *value);
    }
    // The surface comes up beside the HTTP one; until then nobody answers.
    let answer = eventually("the service answers", PATIENCE, async || {
        let request = Request::new().payload(body.to_string().into()).headers(map.clone());
        api.nats.send_request(subject.clone(), request.timeout(Some(PATIENCE))).await.ok()
    })
    .await;
    let status = answer.headers.as_ref().and_then(|headers| headers.get("Capstan-Status"));
    (status.map(ToString::to_string).unwrap_or_default(), json_of(&answer.payload))
}

async fn register(api: &Api, workspace: &str, tools: &[&str]) -> String {
    let worker = json!({ "name": "bus", "slots": 2, "capabilities": { "tools": tools } });
    let (status, registered) = call(api, workspace, "register-worker", &[], worker).await;
    assert_eq!(status, "201", "{registered}");
    registered["worker_id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_is_worked_off_on_the_bus_alone() {
    let api = Api::start().await;
    let _engine = api.lead().await;
    let worker = register(&api, "dev", &[]).await;
    let of_worker = [("Capstan-Worker", worker.as_str())];
    // The question stands until there is work.
    let leased = call(&api, "dev", "lease-attempts", &of_worker, json!({ "max": 1, "wait_ms": 20_000 }));
    let ((status, leased), task) = tokio::join!(leased, api.task("work on the bus"));
    assert_eq!((status.as_str(), &leased[0]["prompt"]), ("200", &json!("work on the bus")), "{leased}");
    let attempt = leased[0]["attempt_id"].as_str().unwrap().to_owned();
    let epoch = leased[0]["epoch"].to_string();
    let fence = [("Capstan-Attempt", attempt.as_str()), ("Capstan-Lease-Epoch", epoch.as_str())];
    let said = async |name: &str, more: &[(&str, &str)], body: Value| {
        let (status, answer) = call(&api, "dev", name, &[&fence, more].concat(), body).await;
        assert!(status.starts_with('2'), "{name}: {status} {answer}");
        answer
    };
    said("start-attempt", &[], json!({})).await;
    said("append-logs", &[], json!({ "lines": [{ "stream": "stdout", "data": "one" }] })).await;
    said("append-run-events", &[], json!({ "events": [{ "event_type": "tool", "payload": {} }] })).await;
    let rows = json!({ "name": "t", "output_type": "table", "title": "T", "data": { "rows": [] } });
    let key = [("Idempotency-Key", "m1")];
    let produced = said("produce-output", &key, rows.clone()).await;
    let again = said("produce-output", &key, rows).await;
    assert_eq!(again["receipt"]["duplicate"], true, "{again}");
    let output = [("Capstan-Output", produced["output_id"].as_str().unwrap())];
    said("append-output-rows", &output, json!({ "rows": [1, 2] })).await;
    said("finalize-output", &output, json!({ "summary": "two" })).await;
    said("record-usage", &[], json!({ "usage": { "input_tokens": 5 } })).await;
    let read = json!({ "tool": "crm.read", "is_write": false });
    assert_eq!(said("check-tool-call", &[], read).await["decision"], "allow");
    said("open-blocker", &[], json!({ "summary": "which?" })).await;

    // News reaches a renewal that stands.
    let renewals =
        json!({ "renewals": [{ "attempt_id": attempt, "epoch": leased[0]["epoch"] }], "wait_ms": 10_000 });
    let waiting = [of_worker[0], ("Capstan-Wait-Ms", "20000")];
    let news = call(&api, "dev", "renew-leases", &waiting, renewals);
    let answered = async {
        let input = format!("/v1/workspaces/dev/tasks/{task}/input");
        api.post(&input, json!({ "message": "the blue one" })).await.expect(202);
    };
    let ((_, renewed), ()) = tokio::join!(news, answered);
    assert_eq!(renewed[0]["inputs_pending"], 1, "{renewed}");
    let claimed = said("claim-input", &[], json!({})).await;
    assert_eq!(claimed["input"]["message"], "the blue one");
    let input = [("Capstan-Input", claimed["input"]["input_id"].as_str().unwrap())];
    said("ack-input", &input, json!({})).await;
    said("finish-attempt", &[], json!({ "outcome": "ok" })).await;
    call(&api, "dev", "drain-worker", &of_worker, json!({})).await;

    let shown = api.get_now(&format!("/v1/workspaces/dev/tasks/{task}")).await.expect(200);
    assert_eq!((&shown["state"], &shown["usage"]["input_tokens"]), (&json!("done"), &json!(5)), "{shown}");
    let (status, late) =
        call(&api, "dev", "record-usage", &fence, json!({ "usage": { "input_tokens": 1 } })).await;
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
    let of_worker = ("Capstan-Worker", worker.as_str());
    let (_, given) = call(&api, "dev", "claim-tool-call", &[of_worker], json!({ "wait_ms": 20_000 })).await;
    assert_eq!((&given["tool"], &given["arguments"]["n"]), (&json!("crm.update"), &json!(1)), "{given}");
    let of_claim = [of_worker, ("Capstan-Claim", given["claim"].as_str().unwrap())];

    // Whoever serves another workspace cannot speak about it.
    api.post("/v1/workspaces", json!({ "workspace": "other" })).await.expect(201);
    let result = json!({ "stdout": "stored" });
    let (status, _) = call(&api, "other", "report-tool-call", &of_claim, result.clone()).await;
    assert_eq!(status, "404");
    let (status, reported) = call(&api, "dev", "report-tool-call", &of_claim, result).await;
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
    let of_stranger = [("Capstan-Worker", stranger.as_str())];
    let (_, leased) = call(&api, "other", "lease-attempts", &of_stranger, json!({ "max": 1 })).await;
    assert_eq!(leased, json!([]), "nothing of dev");
    let lease = api.lease(&task).await;
    let fence =
        [("Capstan-Attempt", lease.attempt_id.as_str()), ("Capstan-Lease-Epoch", &lease.epoch.to_string())];
    let (status, refused) = call(&api, "other", "finish-attempt", &fence, json!({ "outcome": "ok" })).await;
    assert_eq!((status.as_str(), &refused["code"]), ("404", &json!("not_found")), "{refused}");
    let (status, _) = call(&api, "nowhere", "register-worker", &[], json!({ "name": "w", "slots": 1 })).await;
    assert_eq!(status, "404");
    let (status, refused) = call(&api, "dev", "start-attempt", &[], json!({})).await;
    assert_eq!((status.as_str(), &refused["code"]), ("422", &json!("validation_failed")), "{refused}");
    // Dev's worker is no business of a subject of another workspace.
    let own = register(&api, "dev", &[]).await;
    let (status, _) = call(&api, "other", "drain-worker", &[("Capstan-Worker", &own)], json!({})).await;
    assert_eq!(status, "404");
}
