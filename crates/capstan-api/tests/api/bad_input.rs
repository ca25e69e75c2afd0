//! Whatever is wrong with a request: the right problem document, and nothing written.

use capstan_envelope::{CommitHash, Position};
use serde_json::{Value, json};

use crate::harness::{Answer, Api, ask_with, json_of};
use crate::nats::request;

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_and_writes_nothing() {
    let api = Api::start().await;
    let task = api.task("kept").await;
    let head = api.head().await;
    let nil = "00000000-0000-0000-0000-000000000000";
    let tasks = "/v1/workspaces/dev/tasks";
    let of_task = |what: &str| format!("{tasks}/{task}/{what}");
    let huge = json!({ "agent_id": "demo", "message": "x".repeat(1 << 20) }).to_string();
    let long = json!({ "agent_id": "demo", "message": "x".repeat((256 << 10) + 1) }).to_string();
    let orphan = json!({ "agent_id": "demo", "message": "x", "parent_task_id": nil }).to_string();
    let other_task = json!({ "message": "x", "task_id": nil }).to_string();
    let cases: &[(&str, &str, u16, &str, &[&str])] = &[
        (tasks, "", 422, "validation_failed", &["/message", "/agent_id"]),
        (tasks, "{", 400, "malformed_request", &[]),
        (tasks, r#"{"agent_id":"demo","message":"x"} {}"#, 400, "malformed_request", &[]),
        (tasks, r#"{"agent_id":"demo","message":"x","colour":1}"#, 422, "validation_failed", &["/colour"]),
        (tasks, r#"{"agent_id":"demo","message":7}"#, 422, "validation_failed", &["/message"]),
        (
            tasks,
            r#"{"agent_id":"demo","message":"x","policy":{"hots":1}}"#,
            422,
            "validation_failed",
            &["/policy/hots"],
        ),
        (tasks, "[]", 422, "validation_failed", &[""]),
        (tasks, "{}", 422, "validation_failed", &["/agent_id", "/message"]),
        (
            tasks,
            r#"{"agent_id":"demo","message":" ","priority":"soon","timeout_ms":-1}"#,
            422,
            "validation_failed",
            &["/message", "/timeout_ms", "/priority"],
        ),
        (tasks, &orphan, 422, "validation_failed", &["/parent_task_id"]),
        (tasks, r#"{"agent_id":"nobody","message":"x"}"#, 404, "not_found", &[]),
        (tasks, &long, 413, "payload_too_large", &[]),
        (tasks, &huge, 413, "payload_too_large", &[]),
        ("/v1/workspaces/nowhere/tasks", r#"{"agent_id":"demo","message":"x"}"#, 404, "not_found", &[]),
        ("/v1/workspaces/no.where/tasks", r#"{"agent_id":"demo","message":"x"}"#, 404, "not_found", &[]),
        ("/v1/workspaces", r#"{"workspace":"no.dots"}"#, 422, "validation_failed", &["/workspace"]),
        (
            "/v1/workspaces/dev/agents",
            r#"{"agent_key":" ","name":""}"#,
            422,
            "validation_failed",
            &["/agent_key", "/name"],
        ),
        (&of_task("input"), r#"{"message":" "}"#, 422, "message_required", &["/message"]),
        (&of_task("input"), r#"{"message":"x","action":"maybe"}"#, 422, "validation_failed", &["/action"]),
        (&of_task("input"), &other_task, 422, "validation_failed", &["/task_id"]),
        (
            &of_task("input"),
            r#"{"message":"x","blocker_id":"00000000-0000-0000-0000-000000000000"}"#,
            409,
            "blocker_closed",
            &[],
        ),
        (&format!("{tasks}/{nil}/input"), r#"{"message":"x"}"#, 404, "not_found", &[]),
        (&format!("{tasks}/not-an-id/cancel"), "{}", 404, "not_found", &[]),
        (&format!("/v1/workspaces/dev/runs/{nil}/cancel"), "{}", 404, "not_found", &[]),
        (
            tasks,
            r#"{"agent_id":"demo","message":"x","labels":{"a":"1","a":"2"},"idempotency_key":"k"}"#,
            422,
            "validation_failed",
            &["/labels/a"],
        ),
        (
            tasks,
            r#"{"agent_id":"demo","message":"x","idempotency_key":" "}"#,
            422,
            "validation_failed",
            &["/idempotency_key"],
        ),
        (
            &of_task("outputs"),
            r#"{"output_type":"report","title":"t","status":"approved"}"#,
            422,
            "validation_failed",
            &["/status"],
        ),
        (
            &format!("{tasks}?colour=red"),
            r#"{"agent_id":"demo","message":"x"}"#,
            422,
            "validation_failed",
            &["?colour"],
        ),
    ];
    for (path, body, status, code, pointers) in cases {
        let answer = api.send(api.request("POST", path).body((*body).to_owned())).await;
        let shown: String = body.chars().take(80).collect();
        assert_eq!(
            (answer.status, answer.body["code"].as_str()),
            (*status, Some(*code)),
            "{path} {shown}: {}",
            answer.body
        );
        answer.expect_problem(*status, code);
        if !pointers.is_empty() {
            let faults = answer.body["errors"].as_array().cloned().unwrap_or_default();
            let found: Vec<_> = faults.iter().map(|fault| fault["pointer"].as_str().unwrap_or("?")).collect();
            for pointer in *pointers {
                assert!(found.contains(pointer), "{path} {shown}: {pointer} in {found:?}");
            }
        }
    }
    assert_eq!(api.head().await, head, "something was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_reads_are_refused() {
    let api = Api::start().await;
    let nil = "00000000-0000-0000-0000-000000000000";
    for (path, status, code) in [
        ("/v1/workspaces/dev/tasks?state=asleep".to_owned(), 422, "validation_failed"),
        ("/v1/workspaces/dev/tasks?limit=many".to_owned(), 422, "validation_failed"),
        ("/v1/workspaces/dev/tasks?cursor=zz".to_owned(), 422, "validation_failed"),
        ("/v1/workspaces/dev/tasks?min_position=x".to_owned(), 422, "validation_failed"),
        (format!("/v1/workspaces/dev/tasks/{nil}"), 404, "not_found"),
        (format!("/v1/workspaces/dev/tasks/{nil}/runs"), 404, "not_found"),
        (format!("/v1/workspaces/dev/tasks/{nil}/history"), 404, "not_found"),
        (format!("/v1/workspaces/dev/tasks/{nil}/stream"), 404, "not_found"),
        (format!("/v1/workspaces/dev/runs/{nil}"), 404, "not_found"),
        (format!("/v1/workspaces/dev/outputs/{nil}"), 404, "not_found"),
        ("/v1/workspaces/nowhere/agents".to_owned(), 404, "not_found"),
        ("/nothing/here".to_owned(), 404, "not_found"),
    ] {
        let answer = api.get(&path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        answer.expect_problem(status, code);
    }
    let answer = api.send(api.request("DELETE", "/v1/workspaces/dev/tasks")).await;
    answer.expect_problem(405, "method_not_allowed");
    assert!(answer.header("allow").contains("POST"), "{:?}", answer.headers);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_does_not_come_times_out_with_the_lag() {
    let api = Api::start().await;
    let head = api.head().await;
    api.get(&format!("/v1/workspaces/dev/tasks?min_position={head}")).await.expect(200);
    // Whoever holds the checkpoint's row keeps the projector from moving it.
    let (mut sql, connection) = tokio_postgres::connect(&api.database, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let lock = sql.transaction().await.unwrap();
    lock.query_one("SELECT 1 FROM capstan.checkpoint FOR UPDATE", &[]).await.unwrap();
    for message in ["1", "2", "3", "4", "5"] {
        let task = json!({ "agent_id": "demo", "message": message });
        api.post("/v1/workspaces/dev/tasks", task).await.expect(202);
    }
    let answer =
        api.get(&format!("/v1/workspaces/dev/tasks?min_position={}&wait_ms=50", api.head().await)).await;
    answer.expect_problem(504, "position_timeout");
    assert!(answer.body["lag_events"].as_u64().unwrap() >= 5, "{}", answer.body);
    assert_eq!(answer.header("retry-after"), "1");
    lock.rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_of_another_history_is_refused_on_both_ways() {
    let api = Api::start().await;
    let task = api.task("a task").await;
    let head = api.head().await;
    let beyond = Position::new(head.sequence() + 5, CommitHash::NONE);
    // The log holds a commit of this number, so that only the hash differs.
    let foreign = [1, head.sequence()].map(|sequence| Position::new(sequence, CommitHash::NONE));
    for position in [beyond].into_iter().chain(foreign) {
        let path = format!("/v1/workspaces/dev/tasks/{task}");
        for query in [
            format!("{path}?min_position={position}"),
            format!("{path}/history?cursor={position}"),
            format!("{path}?as_of={position}"),
        ] {
            api.get(&query).await.expect_problem(409, "position_unknown");
        }
        for header in ["Capstan-Min-Position", "Capstan-Position"] {
            let request = api.request("GET", &path).header(header, position.to_string());
            api.send(request).await.expect_problem(409, "position_unknown");
            let asked = json!({ "task_id": task });
            let on_bus = ask_with(&api, "get-task", &[(header, &position.to_string())], asked).await;
            assert_eq!(json_of(&on_bus.payload)["code"], "position_unknown", "{on_bus:?}");
        }
        let asked = json!({ "task_id": task, "min_position": position });
        let on_bus = request(&api, "get-task", asked).await;
        assert_eq!(on_bus["code"], "position_unknown", "{on_bus}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_that_no_page_answered_is_refused() {
    let api = Api::start().await;
    let (task, other) = (api.task("a task").await, api.task("another").await);
    let lease = api.lease(&task).await;
    let lines =
        json!({ "lines": [{ "stream": "stdout", "data": "a" }, { "stream": "stdout", "data": "b" }] });
    api.report(&lease, "logs", lines.clone()).await.expect(202);
    let third = api.task("a third").await;
    let of_third = api.lease(&third).await;
    api.report(&of_third, "logs", lines).await.expect(202);
    api.get_now(&format!("/v1/workspaces/dev/tasks/{task}")).await.expect(200);
    let (of_task, of_run) =
        (format!("/v1/workspaces/dev/tasks/{task}"), format!("/v1/workspaces/dev/runs/{}", lease.run_id));
    for path in [
        format!("{of_task}/logs?cursor="),
        format!("{of_task}/batch?log_cursor="),
        format!("{of_task}/batch?run_event_cursor="),
        format!("{of_run}/events?cursor="),
    ] {
        api.get(&format!("{path}2")).await.expect(200);
        // The number of a line of another task is that of none of this one.
        for beyond in ["3", "99999999"] {
            let refused = api.get(&format!("{path}{beyond}")).await;
            refused.expect_problem(409, "position_unknown");
            let told = format!("there is no log line {beyond}: the last one of the task is 2");
            assert_eq!(refused.body["detail"], told);
        }
    }
    let silent = format!("/v1/workspaces/dev/tasks/{other}/logs?cursor=");
    api.get(&format!("{silent}0")).await.expect(200);
    let refused = api.get(&format!("{silent}2")).await;
    refused.expect_problem(409, "position_unknown");
    assert_eq!(refused.body["detail"], "there is no log line 2: the task has none");
    let on_bus = request(&api, "get-task-logs", json!({ "task_id": task, "cursor": 99_999_999 })).await;
    assert_eq!(on_bus["code"], "position_unknown", "{on_bus}");

    let last = |page: &Value| page["items"].as_array().unwrap().last().unwrap().clone();
    let history = api.get(&format!("{of_task}/history")).await.expect(200);
    let own = last(&history)["position"].as_str().unwrap().to_owned();
    let foreign = api.get(&format!("/v1/workspaces/dev/tasks/{other}/history")).await.expect(200);
    let foreign = last(&foreign)["position"].as_str().unwrap().to_owned();
    let snapshots = last(&api.get(&format!("{of_run}/snapshots")).await.expect(200))["seq"].clone();
    for (path, own, foreign) in [
        (format!("{of_task}/history?cursor="), own, foreign),
        (format!("{of_run}/snapshots?cursor="), snapshots.to_string(), "99999999".to_owned()),
    ] {
        api.get(&format!("{path}{own}")).await.expect(200);
        let refused = api.get(&format!("{path}{foreign}")).await;
        refused.expect_problem(422, "validation_failed");
        assert_eq!(refused.body["errors"][0]["pointer"], "?cursor");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_is_not_a_position_is_named() {
    let api = Api::start().await;
    let tasks = "/v1/workspaces/dev/tasks";
    let pointer = |answer: &Answer| {
        answer.expect_problem(422, "validation_failed");
        answer.body["errors"][0]["pointer"].as_str().unwrap().to_owned()
    };
    for text in ["x", "7", "0-7-9F3AC21B", "0-07-9f3ac21b", "0-7"] {
        assert_eq!(pointer(&api.get(&format!("{tasks}?min_position={text}")).await), "?min_position");
        for header in ["Capstan-Min-Position", "Capstan-Position"] {
            assert_eq!(pointer(&api.send(api.request("GET", tasks).header(header, text)).await), header);
        }
        let stream = "/v1/workspaces/dev/stream";
        assert_eq!(pointer(&api.get(&format!("{stream}?after={text}")).await), "?after");
        let resumed = api.request("GET", stream).header("Last-Event-ID", text);
        assert_eq!(pointer(&api.send(resumed).await), "Last-Event-ID");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blank_parameter_counts_as_absent_in_every_query() {
    let api = Api::start().await;
    let document = api.get("/openapi.json").await.expect(200);
    let mut tried = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let parameters = methods["get"]["parameters"].as_array().into_iter().flatten();
        let parameters = parameters.map(|parameter| {
            let reference =
                parameter["$ref"].as_str().and_then(|to| document.pointer(to.trim_start_matches('#')));
            reference.unwrap_or(parameter)
        });
        let of_query = parameters.filter(|parameter| parameter["in"] == "query");
        let names: Vec<_> = of_query.map(|parameter| parameter["name"].as_str().unwrap()).collect();
        if path.ends_with("/stream") || names.is_empty() {
            continue;
        }
        let place = |part: &str| match part {
            "{workspace}" => "dev".to_owned(),
            "{agent_id}" => "demo".to_owned(),
            _ if part.starts_with('{') => "00000000-0000-0000-0000-000000000000".to_owned(),
            _ => part.to_owned(),
        };
        let path: Vec<_> = path.split('/').map(place).collect();
        let path = path.join("/");
        let plain = api.get(&path).await.status;
        for blank in ["", "%20"] {
            let query: Vec<_> = names.iter().map(|name| format!("{name}={blank}")).collect();
            let answer = api.get(&format!("{path}?{}", query.join("&"))).await;
            assert_eq!(answer.status, plain, "{path}: {}", answer.body);
        }
        tried += 1;
    }
    assert!(tried >= 30, "only {tried} queries have parameters");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_cannot_be_read_as_they_are_meant_are_refused() {
    let api = Api::start().await;
    let tasks = "/v1/workspaces/dev/tasks";
    let query = api.get(&format!("{tasks}?q=%ff%fe")).await;
    query.expect_problem(400, "malformed_request");
    assert_eq!(query.body["detail"], "the query string is not UTF-8");
    api.get(&format!("{tasks}?q=%c3%a9+%EF%BF%BD")).await.expect(200);
    let body = json!({ "agent_id": "demo", "message": "x" }).to_string();
    let sent = |encoding: &str| {
        api.send(api.request("POST", tasks).header("content-encoding", encoding).body(body.clone()))
    };
    let encoded = sent("gzip").await;
    encoded.expect_problem(415, "unsupported_encoding");
    assert!(encoded.body["detail"].as_str().unwrap().contains("gzip"), "{}", encoded.body);
    sent("identity").await.expect(202);
}

#[tokio::test(flavor = "multi_thread")]
async fn values_beyond_what_is_stored_are_the_callers_fault() {
    let api = Api::start().await;
    let task = api.task("kept").await;
    let dev = "/v1/workspaces/dev";
    for path in [
        "tasks?created_after=-9999-01-01T00:00:00Z",
        "runs?created_before=-9999-01-01T00:00:00Z",
        "outputs?created_after=-9999-01-01T00:00:00Z",
        "schedules?source_view_id=%00",
    ] {
        let refused = api.get(&format!("{dev}/{path}")).await;
        assert_eq!((refused.status, &refused.body["code"]), (422, &json!("validation_failed")), "{path}");
    }
    // The last place there can be is beyond the last line, like any other that no line has.
    let last = u64::MAX;
    api.get_now(&format!("{dev}/tasks/{task}")).await.expect(200);
    for path in [format!("tasks/{task}/logs?cursor={last}"), format!("tasks/{task}/batch?log_cursor={last}")]
    {
        api.get(&format!("{dev}/{path}")).await.expect_problem(409, "position_unknown");
    }
}
