//! Calls that only the holder of a lease may make.

use serde_json::{Value, json};

use crate::harness::{Api, Lease};

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_is_reported_from_start_to_finish() {
    let api = Api::start().await;
    let task = api.task("work").await;
    let lease = api.lease(&task).await;
    let lines = json!([{ "stream": "stdout", "data": "one" }, { "stream": "stderr", "data": "two", "chunk_type": "x" }]);
    assert_eq!(api.report(&lease, "logs", json!({ "lines": lines })).await.expect(202)["accepted"], 2);
    api.report(&lease, "events", json!({ "events": [{ "event_type": "tool", "payload": { "n": 1 } }] }))
        .await
        .expect(202);

    let output =
        json!({ "name": "summary", "output_type": "table", "title": "Summary", "data": { "rows": [1] } });
    let produced = api.report(&lease, "outputs", output.clone()).await.expect(201);
    let again = api.report(&lease, "outputs", output).await.expect(200);
    assert_eq!(again["output_id"], produced["output_id"], "the same name is the same output");
    let output_id = produced["output_id"].as_str().unwrap();
    api.report(&lease, &format!("outputs/{output_id}/rows"), json!({ "rows": [2, 3] })).await.expect(200);
    api.report(&lease, &format!("outputs/{output_id}/finalize"), json!({ "summary": "all" }))
        .await
        .expect(200);
    api.report(&lease, "usage", json!({ "usage": { "input_tokens": 5, "cost_usd": 0.5 } })).await.expect(200);
    api.report(&lease, "finish", json!({ "outcome": "ok", "exit_code": 0 })).await.expect(200);

    let shown = api.get_now(&format!("/v1/workspaces/dev/tasks/{task}")).await.expect(200);
    assert_eq!((shown["state"].as_str(), shown["usage"]["total_tokens"].as_u64()), (Some("done"), Some(5)));
    let outputs = api.get(&format!("/v1/workspaces/dev/tasks/{task}/outputs")).await.expect(200);
    let output = &outputs["items"][0];
    assert_eq!(output["data"]["rows"], json!([1, 2, 3]));
    assert_eq!(&api.get(&format!("/v1/workspaces/dev/outputs/{output_id}")).await.expect(200), output);

    let logs = api.get(&format!("/v1/workspaces/dev/tasks/{task}/logs?limit=2")).await.expect(200);
    let texts: Vec<_> = logs["items"].as_array().unwrap().iter().map(|line| line["data"].clone()).collect();
    assert_eq!(texts, ["work", "one", "two"]);
    let rest =
        format!("/v1/workspaces/dev/tasks/{task}/logs?cursor={}", logs["next_cursor"].as_str().unwrap());
    let rest = api.get(&rest).await.expect(200);
    assert_eq!(rest["items"][0]["kind"], "run-event");
    assert_eq!(rest["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_shows_its_turning_points_its_events_and_how_it_can_be_talked_to() {
    let api = Api::start().await;
    let task = api.task("work").await;
    let lease = api.lease(&task).await;
    let run =
        api.get_now(&format!("/v1/workspaces/dev/tasks/{task}")).await.expect(200)["target_run_id"].clone();
    let of_run = |part: &str| format!("/v1/workspaces/dev/runs/{}/{part}", run.as_str().unwrap());
    let interaction = api.get(&of_run("interaction")).await.expect(200);
    assert_eq!(
        (interaction["state"].as_str(), &interaction["attempt_id"]),
        (Some("working"), &json!(lease.attempt_id))
    );

    api.report(&lease, "logs", json!({ "lines": [{ "stream": "stdout", "data": "noise" }] }))
        .await
        .expect(202);
    let tools = json!([{ "event_type": "tool", "payload": { "n": 1 } }, { "event_type": "tool", "payload": { "n": 2 } }]);
    api.report(&lease, "events", json!({ "events": tools })).await.expect(202);
    let first = api.get(&of_run("events?limit=1")).await.expect(200);
    assert_eq!(first["items"][0]["payload"]["n"], 1);
    let rest = of_run(&format!("events?cursor={}", first["next_cursor"].as_str().unwrap()));
    let rest = api.get(&rest).await.expect(200);
    assert_eq!(
        (rest["items"].as_array().map(Vec::len), &rest["items"][0]["payload"]["n"]),
        (Some(1), &json!(2))
    );

    api.report(&lease, "blockers", json!({ "summary": "Which?" })).await.expect(201);
    assert_eq!(api.get(&of_run("interaction")).await.expect(200)["state"], "waiting_for_input");
    api.post(&format!("/v1/workspaces/dev/tasks/{task}/cancel"), json!({ "reason": "enough" }))
        .await
        .expect(202);
    assert_eq!(api.get(&of_run("interaction")).await.expect(200)["state"], "closed");

    let snapshots = api.get(&of_run("snapshots")).await.expect(200);
    let turns: Vec<_> =
        snapshots["items"].as_array().unwrap().iter().map(|one| one["event"].clone()).collect();
    assert_eq!(turns, ["accepted", "leased", "started", "stop_requested", "finished"]);
    let last = &snapshots["items"][4];
    assert_eq!((last["seq"].as_u64(), last["status"].as_str()), (Some(5), Some("cancelled")));
    let later = api.get(&of_run("snapshots?cursor=4")).await.expect(200);
    assert_eq!(&later["items"], &json!([last]));

    let history = api.get(&format!("/v1/workspaces/dev/tasks/{task}/history")).await.expect(200);
    let told: Vec<_> = history["items"].as_array().unwrap().iter().map(|one| one["text"].clone()).collect();
    assert!(
        told.contains(&json!("Asks: “Which?”")) && told.contains(&json!("Cancelled: enough")),
        "{told:?}"
    );
    let nobody = "/v1/workspaces/dev/runs/00000000-0000-4000-8000-000000000009";
    for part in ["snapshots", "events", "interaction"] {
        api.get(&format!("{nobody}/{part}")).await.expect(404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_report_is_answered_as_the_first_time() {
    let api = Api::start().await;
    let lease = api.lease(&api.task("work").await).await;
    let finish = || {
        api.request("POST", &format!("/v1/attempts/{}/finish", lease.attempt_id))
            .header("capstan-lease-epoch", lease.epoch)
            .header("idempotency-key", "end")
            .body(r#"{"outcome":"ok"}"#)
    };
    let first = api.send(finish()).await.expect(200);
    let again = api.send(finish()).await.expect(200);
    assert_eq!(again["receipt"]["position"], first["receipt"]["position"]);
    assert_eq!(again["receipt"]["duplicate"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_answered_through_claim_and_acknowledgement() {
    let api = Api::start().await;
    let task = api.task("ask").await;
    let lease = api.lease(&task).await;
    let question = json!({ "summary": "Which colour?", "questions": [{ "id": "c", "text": "Colour?" }] });
    api.report(&lease, "blockers", question).await.expect(201);
    let inbox = api.get_now("/v1/workspaces/dev/inbox").await.expect(200);
    assert_eq!(inbox["items"][0]["summary"], "Which colour?");
    assert_eq!(api.report(&lease, "inputs/claim", json!({})).await.expect(200)["input"], json!(null));

    let answer = json!({ "answers": { "c": "red" } });
    let given = api.post(&format!("/v1/workspaces/dev/tasks/{task}/input"), answer).await.expect(202);
    assert_eq!(
        (given["outcome"].as_str(), given["task"]["state"].as_str()),
        (Some("delivered"), Some("running"))
    );
    assert_eq!(api.get_now("/v1/workspaces/dev/inbox").await.expect(200)["items"], json!([]));

    let claimed = api.report(&lease, "inputs/claim", json!({})).await.expect(200);
    assert_eq!(claimed["input"]["answers"], json!({ "c": "red" }));
    let again = api.report(&lease, "inputs/claim", json!({})).await.expect(200);
    assert_eq!(again["input"], claimed["input"], "a claim whose answer was lost is answered again");
    let input_id = claimed["input"]["input_id"].as_str().unwrap();
    api.report(&lease, &format!("inputs/{input_id}/ack"), json!({})).await.expect(200);
    assert_eq!(api.report(&lease, "inputs/claim", json!({})).await.expect(200)["input"], json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_is_given_back_is_anothers_at_once() {
    let api = Api::start().await;
    let task = api.task("work").await;
    let lease = api.lease(&task).await;
    let give_back = || {
        api.request("POST", &format!("/v1/attempts/{}/return", lease.attempt_id))
            .header("capstan-lease-epoch", lease.epoch)
            .header("idempotency-key", "back")
            .body(r#"{"reason":"draining"}"#)
    };
    api.send(give_back()).await.expect(200);
    assert_eq!(api.send(give_back()).await.expect(200)["receipt"]["duplicate"], true);
    api.report(&lease, "return", json!({})).await.expect_problem(409, "lease_lost");
    api.report(&lease, "finish", json!({ "outcome": "ok" })).await.expect_problem(409, "lease_lost");

    let shown = api.get_now(&format!("/v1/workspaces/dev/tasks/{task}")).await.expect(200);
    assert_eq!(shown["state"], "queued");
    let runs = api.get(&format!("/v1/workspaces/dev/tasks/{task}/runs")).await.expect(200);
    assert_eq!(runs["items"][0]["attempts"][0]["error"], "draining", "{runs}");
    let next = api.lease(&task).await;
    assert!(next.epoch > lease.epoch);

    // What was told to stop is finished, not given back.
    api.post(&format!("/v1/workspaces/dev/tasks/{task}/cancel"), json!({})).await.expect(202);
    api.report(&next, "return", json!({})).await.expect_problem(409, "lease_lost");
    api.report(&next, "finish", json!({ "outcome": "cancelled" })).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_lease_nothing_can_be_done() {
    let api = Api::start().await;
    let task = api.task("work").await;
    let lease = api.lease(&task).await;
    let head = api.head().await;
    let path = format!("/v1/attempts/{}/inputs/claim", lease.attempt_id);
    api.send(api.request("POST", &path)).await.expect_problem(422, "validation_failed");
    let epoch = |text: &str| api.request("POST", &path).header("capstan-lease-epoch", text);
    let contradicted = epoch("1").body(r#"{"lease_epoch":2}"#);
    for (request, pointer) in [(epoch("one"), "Capstan-Lease-Epoch"), (contradicted, "/lease_epoch")] {
        let refused = api.send(request).await;
        refused.expect_problem(422, "validation_failed");
        assert_eq!(refused.body["errors"][0]["pointer"], pointer, "{}", refused.body);
    }
    let wrong = api.send(epoch("9")).await;
    wrong.expect_problem(409, "lease_lost");
    assert_eq!(wrong.body["current_epoch"], lease.epoch);
    let stranger = Lease {
        attempt_id: lease.attempt_id.replace("dev.", "prod."),
        epoch: lease.epoch,
        run_id: String::new(),
    };
    api.report(&stranger, "inputs/claim", json!({})).await.expect_problem(404, "not_found");
    let malformed = Lease { attempt_id: "x".into(), epoch: 1, run_id: String::new() };
    api.report(&malformed, "inputs/claim", json!({})).await.expect_problem(404, "not_found");
    let bad = api.report(&lease, "finish", json!({ "outcome": "splendid" })).await;
    bad.expect_problem(422, "validation_failed");
    let line = json!([{ "stream": "stdout", "data": "x".repeat(600 << 10) }]);
    api.report(&lease, "logs", json!({ "lines": line })).await.expect_problem(413, "payload_too_large");
    assert_eq!(api.head().await, head, "something was written");

    api.post(&format!("/v1/workspaces/dev/tasks/{task}/cancel"), json!({})).await.expect(202);
    let head = api.head().await;
    let output = json!({ "output_type": "x", "title": "late" });
    let late = api.report(&lease, "outputs", output).await;
    late.expect_problem(409, "lease_lost");
    assert_eq!(api.head().await, head, "a late worker did harm");
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_are_told_when_no_engine_answers() {
    let api = Api::start().await;
    let worker = json!({ "name": "w", "slots": 2 });
    let answer = api.post("/v1/workers", worker).await;
    answer.expect_problem(503, "engine_unavailable");
    assert_eq!(answer.header("retry-after"), "1");
    let faulty = api.post("/v1/workers", json!({ "name": "", "slots": 0 })).await;
    faulty.expect_problem(422, "validation_failed");
    assert_eq!(faulty.body["errors"].as_array().map(Vec::len), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_holds_for_the_output_it_was_used_for() {
    let api = Api::start().await;
    let lease = api.lease(&api.task("work").await).await;
    let mut outputs = Vec::new();
    for name in ["a", "b"] {
        let output = json!({ "name": name, "output_type": "table", "title": name });
        let produced = api.report(&lease, "outputs", output).await.expect(201);
        outputs.push(produced["output_id"].as_str().unwrap().to_owned());
    }
    for (output, duplicate) in [(&outputs[0], false), (&outputs[1], false), (&outputs[0], true)] {
        let path = format!("/v1/attempts/{}/outputs/{output}/rows", lease.attempt_id);
        let request = api.request("POST", &path).header("capstan-lease-epoch", lease.epoch);
        let answer =
            api.send(request.header("idempotency-key", "rows").body(r#"{"rows":[1]}"#)).await.expect(200);
        assert_eq!(answer["receipt"]["duplicate"], duplicate);
    }
    for output in outputs {
        let shown = api.get_now(&format!("/v1/workspaces/dev/outputs/{output}")).await.expect(200);
        assert_eq!(shown["data"]["rows"], json!([1]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_a_worker_has_1_to_512_bytes() {
    let api = Api::start().await;
    let lease = api.lease(&api.task("work").await).await;
    let path = format!("/v1/attempts/{}/usage", lease.attempt_id);
    let report = |key: &str, body: String| {
        let request = api.request("POST", &path).header("capstan-lease-epoch", lease.epoch);
        let request = if key.is_empty() { request } else { request.header("idempotency-key", key) };
        request.body(body)
    };
    let usage = json!({ "input_tokens": 1 });
    let plain = || json!({ "usage": usage }).to_string();
    let in_body = |key: &str| json!({ "usage": usage, "idempotency_key": key }).to_string();
    let long = "k".repeat(513);
    for (refused, pointer) in [
        (report(&long, plain()), "Idempotency-Key"),
        (report("", in_body(&long)), "/idempotency_key"),
        (report("", in_body("")), "/idempotency_key"),
    ] {
        let refused = api.send(refused).await;
        refused.expect_problem(422, "validation_failed");
        assert_eq!(refused.body["errors"][0]["pointer"], pointer, "{}", refused.body);
    }
    api.send(report("a", in_body("b"))).await.expect_problem(422, "validation_failed");
    let longest = api.send(report(&long[1..], plain())).await.expect(200);
    assert_eq!(longest["receipt"]["duplicate"], false);
    let again = api.send(report("", in_body(&long[1..]))).await.expect(200);
    assert_eq!(again["receipt"]["duplicate"], true, "header and body say the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_again_under_its_key_happens_once() {
    let api = Api::start().await;
    let task = api.task("work").await;
    let lease = api.lease(&task).await;
    let line =
        |text: &str| json!({ "lines": [{ "stream": "stdout", "data": text }], "idempotency_key": "1" });
    for text in ["a", "a", "b"] {
        assert_eq!(api.report(&lease, "logs", line(text)).await.expect(202)["accepted"], 1);
    }
    let event = json!({ "events": [{ "event_type": "step" }], "command_id": uuid::Uuid::from_u128(7) });
    for _ in 0..2 {
        api.report(&lease, "events", event.clone()).await.expect(202);
    }
    let logs = api.get(&format!("/v1/workspaces/dev/tasks/{task}/logs")).await.expect(200);
    let shown = logs["items"].as_array().unwrap().iter().skip(1);
    let shown: Vec<_> = shown.map(|line| line.get("data").or(line.get("event_type")).unwrap()).collect();
    assert_eq!(shown, ["a", "b", "step"], "the lines of another body are other lines");

    for message in ["first", "second"] {
        api.post(&format!("/v1/workspaces/dev/tasks/{task}/input"), json!({ "message": message }))
            .await
            .expect(202);
    }
    let claim = async |key: &str| {
        api.report(&lease, "inputs/claim", json!({ "idempotency_key": key })).await.expect(200)
    };
    let first = claim("k1").await;
    let ack = format!("inputs/{}/ack", first["input"]["input_id"].as_str().unwrap());
    api.report(&lease, &ack, json!({})).await.expect(200);
    let second = claim("k2").await;
    assert_ne!(first["input"]["input_id"], second["input"]["input_id"]);
    for (key, before, held) in [("k1", &first, &Value::Null), ("k2", &second, &second["input"]["input_id"])] {
        let again = claim(key).await;
        assert_eq!(&again["input"]["input_id"], held, "{key}: what was acknowledged is not handed out again");
        assert_eq!(again["receipt"]["command_id"], before["receipt"]["command_id"], "{key}");
        assert_eq!(again["receipt"]["duplicate"], true, "{key}");
    }
}
