//! Reports of several attempts in one request.

use capstan_contract::command::REPORTS_MAX;
use capstan_contract::lease::ReportOutcomes;
use capstan_testkit::eventually::eventually;
use serde_json::{Value, json};

use crate::harness::{Api, Lease, PATIENCE};

const WORKER: &str = "00000000-0000-0000-0000-000000000001";

/// A report of the attempt, under a key of its own.
fn report(lease: &Lease, name: &str, key: &str, mut body: Value) -> Value {
    body["type"] = name.into();
    body["attempt_id"] = lease.attempt_id.as_str().into();
    body["lease_epoch"] = lease.epoch.into();
    body["idempotency_key"] = key.into();
    body
}

/// Sends reports; the outcome of each.
async fn send(api: &Api, reports: &[Value]) -> Vec<Value> {
    let path = format!("/v1/workers/{WORKER}/reports");
    let answer = api.post(&path, json!({ "reports": reports })).await.expect(200);
    serde_json::from_value::<ReportOutcomes>(answer.clone()).expect("it reads as the contract says");
    answer["reports"].as_array().expect("a list").clone()
}

fn statuses(outcomes: &[Value]) -> Vec<u64> {
    outcomes.iter().map(|outcome| outcome["status"].as_u64().expect("a status")).collect()
}

async fn held(api: &Api, message: &str) -> (String, Lease) {
    let task = api.task(message).await;
    let lease = api.lease(&task).await;
    (task, lease)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_report_has_an_outcome_of_its_own_and_a_stale_one_harms_none() {
    let api = Api::start().await;
    let (one, of_one) = held(&api, "one").await;
    let (two, of_two) = held(&api, "two").await;
    let (_, stale) = held(&api, "three").await;
    api.report(&stale, "finish", json!({ "outcome": "ok" })).await.expect(200);

    let outcomes = send(
        &api,
        &[
            report(&of_one, "finish-attempt", "m1", json!({ "outcome": "ok" })),
            report(&stale, "finish-attempt", "m1", json!({ "outcome": "error" })),
            report(&of_two, "record-usage", "m1", json!({ "usage": { "input_tokens": -1 } })),
            report(&of_two, "finish-attempt", "m2", json!({ "outcome": "error", "error": "no" })),
            json!({ "type": "record-usage" }),
            report(&of_one, "fetch-attempt", "m2", json!({})),
        ],
    )
    .await;
    assert_eq!(statuses(&outcomes), [200, 409, 422, 200, 422, 422], "{outcomes:?}");
    assert_eq!(outcomes[1]["code"], "lease_lost");
    assert!(outcomes[0]["receipt"]["position"].is_string(), "{}", outcomes[0]);
    assert_eq!(outcomes[5]["errors"][0]["pointer"], "/type", "{}", outcomes[5]);
    for (task, state) in [(one, "done"), (two, "error")] {
        let shown = api.get_now(&format!("/v1/workspaces/dev/tasks/{task}")).await.expect(200);
        assert_eq!(shown["state"], state, "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_of_an_attempt_keep_their_order_and_a_repeated_request_changes_nothing() {
    let api = Api::start().await;
    let (one, of_one) = held(&api, "one").await;
    let (two, of_two) = held(&api, "two").await;
    let table = json!({ "name": "t", "output_type": "table", "title": "T", "data": { "rows": [] } });
    let produced = send(&api, &[report(&of_one, "produce-output", "m1", table)]).await;
    assert_eq!(statuses(&produced), [201], "{produced:?}");
    let output = &produced[0]["output_id"];
    let rows = |key: &str, rows: Value| {
        report(&of_one, "append-output-rows", key, json!({ "output_id": output, "rows": rows }))
    };
    let usage = json!({ "usage": { "input_tokens": 5 } });
    let reports = [
        report(&of_one, "append-logs", "m0", json!({ "lines": [{ "stream": "stdout", "data": "line" }] })),
        report(&of_two, "record-usage", "m1", usage.clone()),
        rows("m2", json!([1, 2])),
        rows("m3", json!([3])),
        report(&of_one, "finalize-output", "m4", json!({ "output_id": output, "summary": "three" })),
        report(&of_one, "finish-attempt", "m5", json!({ "outcome": "ok" })),
        // Behind the end of its attempt.
        report(&of_one, "record-usage", "m6", usage),
    ];
    let first = send(&api, &reports).await;
    assert_eq!(statuses(&first), [202, 200, 200, 200, 200, 200, 409], "{first:?}");
    let again = send(&api, &reports).await;
    for place in 1..=5 {
        assert_eq!(again[place]["receipt"]["duplicate"], true, "{place}: {}", again[place]);
        assert_eq!(again[place]["receipt"]["position"], first[place]["receipt"]["position"], "{place}");
    }
    let outputs = api.get_now(&format!("/v1/workspaces/dev/tasks/{one}/outputs")).await.expect(200);
    assert_eq!(outputs["items"][0]["data"]["rows"], json!([1, 2, 3]), "{outputs}");
    let shown = api.get_now(&format!("/v1/workspaces/dev/tasks/{two}")).await.expect(200);
    assert_eq!(shown["usage"]["input_tokens"], 5, "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_may_ask_for_work_with_its_reports() {
    let api = Api::start().await;
    let _engine = api.lead().await;
    let worker = json!({ "name": "w", "slots": 2 });
    let registered = api.post("/v1/workers", worker).await.expect(201);
    let path = format!("/v1/workers/{}/reports", registered["worker_id"].as_str().expect("an id"));
    let task = api.task("work").await;
    let ask = json!({ "reports": [], "lease_max": 1 });
    let leased = eventually("the task is leased", PATIENCE, async || {
        let answer = api.post(&path, ask.clone()).await.expect(200);
        answer["leased"].as_array().and_then(|leased| leased.first().cloned())
    })
    .await;
    assert_eq!(leased["task_id"], task.as_str(), "{leased}");
    let end = json!({
        "type": "finish-attempt", "attempt_id": leased["attempt_id"], "lease_epoch": leased["epoch"], "outcome": "ok",
    });
    let ended = api.post(&path, json!({ "reports": [end], "lease_max": 1 })).await.expect(200);
    assert_eq!((&ended["reports"][0]["status"], &ended["leased"]), (&json!(200), &json!([])), "{ended}");

    // A worker the engine does not know is told so; its reports count all the same.
    let other = format!("/v1/workers/{WORKER}/reports");
    let (_, lease) = held(&api, "more").await;
    let end = report(&lease, "finish-attempt", "m1", json!({ "outcome": "ok" }));
    let answer = api.post(&other, json!({ "reports": [end], "lease_max": 1 })).await.expect(200);
    let told = (&answer["reports"][0]["status"], &answer["lease_problem"]["code"]);
    assert_eq!(told, (&json!(200), &json!("not_found")), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_too_many_reports_is_refused_as_a_whole() {
    let api = Api::start().await;
    let path = format!("/v1/workers/{WORKER}/reports");
    let many = vec![json!({}); REPORTS_MAX + 1];
    api.post(&path, json!({ "reports": many })).await.expect_problem(413, "payload_too_large");
    api.post(&path, json!({ "reports": [], "lease_max": 10_001 }))
        .await
        .expect_problem(422, "validation_failed");
    api.post(&path, json!({})).await.expect_problem(422, "validation_failed");
}
