//! Batches of commands, queries by request, and the poll form of the streams.

use capstan_api::Operation;
use serde_json::{Value, json};

use crate::harness::{ADMIN, Api, ask, issue, json_of, with_token};
use crate::nats::request;

fn statuses(answers: &Value) -> Vec<u64> {
    answers.as_array().unwrap().iter().map(|answer| answer["status"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_item_harms_no_other_and_answers_keep_their_order() {
    let api = Api::start().await;
    let accept =
        |message: &str| json!({ "type": "accept-agent-command", "agent_id": "demo", "message": message });
    let batch = |second: &str| {
        json!([
            accept("one"),
            { "type": "launch-rocket" },
            accept(""),
            { "agent_id": "demo" },
            { "type": "create-agent", "agent_key": second, "name": second },
            { "type": "accept-agent-command", "agent_id": second, "message": "two" },
            7,
            { "type": 5 },
        ])
    };
    for answers in [
        api.post("/v1/workspaces/dev/commands", batch("second")).await.expect(200),
        request(&api, "batch", batch("third")).await,
    ] {
        let got = statuses(&answers);
        assert_eq!(got, [202, 404, 422, 422, 201, 202, 422, 422], "{answers}");
        assert_eq!(answers[0]["task"]["message"], "one");
        assert_eq!(answers[2]["code"], "validation_failed");
        assert_eq!(answers[3]["errors"][0]["pointer"], "/type");
        assert_eq!(answers[5]["task"]["message"], "two", "the agent of the item before is there");
        assert_eq!(answers[6]["errors"][0]["pointer"], "");
        assert_eq!(answers[7]["errors"][0]["pointer"], "/type");
    }
    let empty = api.send(api.request("POST", "/v1/workspaces/dev/commands").body(" ")).await;
    empty.expect_problem(422, "validation_failed");
    assert_eq!(empty.body["errors"], json!([{ "pointer": "", "message": "must be a list of commands" }]));
    let too_many: Vec<_> = (0..1001).map(|_| accept("x")).collect();
    let refused = api.post("/v1/workspaces/dev/commands", json!(too_many)).await;
    refused.expect_problem(413, "payload_too_large");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_on_one_entity_keep_their_order() {
    let api = Api::start().await;
    let task = api.task("to be said much to").await;
    let mut batch: Vec<_> = (0..40)
        .map(|n| json!({ "type": "submit-task-input", "task_id": task, "message": format!("m{n:02}") }))
        .collect();
    batch.push(json!({ "type": "cancel-task", "task_id": task }));
    batch.push(json!({ "type": "cancel-task", "task_id": task }));
    let answers = api.post("/v1/workspaces/dev/commands", json!(batch)).await.expect(200);
    let got = statuses(&answers);
    assert!(got[..41].iter().all(|status| *status == 202), "{got:?}");
    assert_eq!(got[41], 409, "it was cancelled before");
    let inputs = api.get_now(&format!("/v1/workspaces/dev/tasks/{task}/inputs")).await.expect(200);
    let said: Vec<_> =
        inputs["items"].as_array().unwrap().iter().map(|input| input["message"].clone()).collect();
    let wanted: Vec<_> = (0..40).map(|n| json!(format!("m{n:02}"))).collect();
    assert_eq!(said, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_repeated_under_its_key_is_carried_out_once() {
    let api = Api::start().await;
    let accept = json!({ "type": "accept-agent-command", "agent_id": "demo", "message": "once" });
    let send = || {
        let request = api.request("POST", "/v1/workspaces/dev/commands").header("idempotency-key", "b");
        api.send(request.body(json!([accept, accept]).to_string()))
    };
    let (first, second) = (send().await.expect(200), send().await.expect(200));
    assert_eq!((statuses(&first), statuses(&second)), (vec![202, 202], vec![200, 200]));
    assert_ne!(first[0]["task"]["id"], first[1]["task"]["id"], "each place has a key of its own");
    assert_eq!(first[1]["receipt"]["command_id"], second[1]["receipt"]["command_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_gives_nobody_more_than_single_commands_would() {
    let api = Api::start_with(with_token(ADMIN)).await;
    let open = api.request("POST", "/v1/workspaces").bearer_auth(ADMIN);
    api.send(open.body(json!({ "workspace": "dev" }).to_string())).await.expect(201);
    let issue_one = json!([{ "type": "issue-token", "name": "t", "scopes": ["admin"] }]);
    let (commander, admin) = (issue(&api, "dev", &["command"]).await, issue(&api, "dev", &["admin"]).await);
    for (token, status) in [(&commander, 403), (&admin, 201)] {
        let request = api.request("POST", "/v1/workspaces/dev/commands").bearer_auth(token);
        let answers = api.send(request.body(issue_one.to_string())).await.expect(200);
        assert_eq!(statuses(&answers), [status], "{answers}");
    }
    let on_bus = request(&api, "batch", issue_one).await;
    assert_eq!(on_bus[0]["code"], "forbidden", "NATS' permissions cannot look into a batch");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_by_request_answers_what_http_answers() {
    let api = Api::start().await;
    let task = api.task("to be looked at").await;
    let head = api.head().await.to_string();
    let over_http = api.get_now(&format!("/v1/workspaces/dev/tasks/{task}")).await.expect(200);
    let answer = ask(&api, "get-task", json!({ "task_id": task, "min_position": head })).await;
    assert_eq!(json_of(&answer.payload), over_http);
    let headers = answer.headers.unwrap();
    assert_eq!(headers.get("Capstan-Status").map(async_nats::HeaderValue::as_str), Some("200"));
    assert!(headers.get("ETag").is_some() && headers.get("Capstan-Position").is_some());

    let list = request(&api, "list-tasks", json!({ "state": ["queued"], "limit": 1 })).await;
    assert_eq!(list["items"][0]["id"], *task);
    assert_eq!(request(&api, "get-agent", json!({ "agent_id": "demo" })).await["agent_key"], "demo");
    for unnamed in [json!({ "task_id": "nonsense" }), json!({})] {
        assert_eq!(request(&api, "get-task", unnamed).await["errors"][0]["pointer"], "/task_id");
    }
    for (refused, pointer) in [("colour", "/colour"), ("cursor", "/cursor")] {
        let refused = request(&api, "list-tasks", json!({ refused: "red" })).await;
        assert_eq!(refused["errors"][0]["pointer"], pointer);
    }
    let nowhere = api.topology.rpc_subject("nowhere", "list-tasks");
    let nowhere = api.nats.request(nowhere, "".into()).await.unwrap();
    assert_eq!(json_of(&nowhere.payload)["code"], "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_is_found_with_everything_that_can_be_asked() {
    let api = Api::start().await;
    request(&api, "get-workspace", json!({})).await;
    for what in ["PING", "INFO", "STATS"] {
        let answer = api.nats.request(format!("$SRV.{what}.capstan"), "".into()).await.unwrap();
        assert_eq!(json_of(&answer.payload)["name"], "capstan", "{what}");
    }
    let found = json_of(&api.nats.request("$SRV.INFO.capstan", "".into()).await.unwrap().payload);
    let mut subjects: Vec<_> =
        found["endpoints"].as_array().unwrap().iter().map(|one| one["subject"].as_str().unwrap()).collect();
    let mut wanted: Vec<_> = capstan_api::operations()
        .iter()
        .filter_map(Operation::rpc_name)
        .chain([capstan_api::BATCH.to_owned()])
        .map(|name| api.topology.rpc_subject("*", &name))
        .collect();
    subjects.sort_unstable();
    wanted.sort();
    assert_eq!(subjects, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn polling_a_task_brings_what_is_new_and_nothing_twice() {
    let api = Api::start().await;
    let task = api.task("to be polled").await;
    let lease = api.lease(&task).await;
    let say = async |what: &str, lines: Value| api.report(&lease, what, lines).await.expect(202);
    say("logs", json!({ "lines": [{ "stream": "stdout", "data": "first" }] })).await;
    say("events", json!({ "events": [{ "event_type": "tool_call", "payload": {} }] })).await;
    let path = format!("/v1/workspaces/dev/tasks/{task}/batch");
    let first = api.get_now(&path).await.expect(200);
    assert_eq!(
        (first["task"]["id"].as_str(), first["run_id"].as_str()),
        (Some(&*task), Some(&*lease.run_id))
    );
    assert_eq!(first["interaction"]["state"], "working");
    assert_eq!(first["blocker"], Value::Null);
    let lines: Vec<_> = first["logs"].as_array().unwrap().iter().map(|line| &line["data"]).collect();
    assert_eq!(lines, ["to be polled", "first"], "what the task was told comes first");
    assert_eq!(first["run_events"].as_array().unwrap().len(), 1, "{first}");

    say("logs", json!({ "lines": [{ "stream": "stdout", "data": "second" }] })).await;
    let again = format!(
        "{path}?log_cursor={}&run_event_cursor={}&cursor_run_id={}",
        first["next_log_cursor"], first["next_run_event_cursor"], lease.run_id
    );
    let second = api.get_now(&again).await.expect(200);
    let lines = second["logs"].as_array().unwrap();
    assert_eq!((lines.len(), &lines[0]["data"]), (1, &json!("second")), "{second}");
    assert_eq!(second["run_events"], json!([]));

    for (name, role) in [("shown", "primary"), ("hidden", "supporting"), ("archived", "primary")] {
        let output = json!({ "name": name, "title": name, "output_type": "report",
                             "metadata": { "artifact_role": role } });
        let path = format!("/v1/workspaces/dev/tasks/{task}/outputs");
        let made = api.post(&path, output).await.expect(201);
        if name == "archived" {
            let id = made["output"]["id"].as_str().unwrap();
            api.post(&format!("/v1/workspaces/dev/outputs/{id}/archive"), json!({})).await.expect(200);
        }
    }
    let all = api.get_now("/v1/workspaces/dev/batch").await.expect(200);
    let titles: Vec<_> = all["outputs"].as_array().unwrap().iter().map(|output| &output["title"]).collect();
    assert_eq!((all["tasks"][0]["id"].as_str(), titles), (Some(&*task), vec![&json!("shown")]));
    api.get(&format!("{path}?log_cursor=x")).await.expect_problem(422, "validation_failed");
}

/// A map of the item would keep the last of two fields of one name, and another task than meant would be cancelled.
#[tokio::test(flavor = "multi_thread")]
async fn a_field_given_twice_is_refused_in_a_batch_as_in_a_single_command() {
    let api = Api::start().await;
    let (first, second) = (api.task("first").await, api.task("second").await);
    let twice = |name: &str| format!(r#"{{"type":"cancel-task","task_id":"{first}","{name}":"{second}"}}"#);
    let batch = format!(
        r#"[{},{},{{"type":"cancel-task","type":"archive-task","task_id":"{first}"}}]"#,
        twice("task_id"),
        twice("\\u0074ask_id")
    );
    let answers = api.send(api.request("POST", "/v1/workspaces/dev/commands").body(batch)).await.expect(200);
    for (answer, pointer) in answers.as_array().unwrap().iter().zip(["/task_id", "/task_id", "/type"]) {
        assert_eq!(
            (&answer["status"], &answer["errors"][0]["pointer"]),
            (&json!(422), &json!(pointer)),
            "{answer}"
        );
    }
    for task in [first, second] {
        let shown = api.get_now(&format!("/v1/workspaces/dev/tasks/{task}")).await.expect(200);
        assert_eq!(shown["state"], "queued");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_faults_of_shape_are_named_at_once_over_http_in_batches_and_over_nats() {
    let api = Api::start().await;
    let body = json!({ "message": 7, "colour": 1, "policy": { "hots": 1 }, "timeout_ms": "soon" });
    let expected = ["/agent_id", "/colour", "/message", "/policy/hots", "/timeout_ms"];
    let over_http = api.post("/v1/workspaces/dev/tasks", body.clone()).await.expect(422);
    let over_nats = request(&api, "accept-agent-command", body.clone()).await;
    let mut item = body;
    item["type"] = json!("accept-agent-command");
    let in_batch = api.post("/v1/workspaces/dev/commands", json!([item])).await.expect(200)[0].clone();
    for problem in [over_http, over_nats, in_batch] {
        let faults = problem["errors"].as_array().unwrap_or_else(|| panic!("{problem}"));
        let mut pointers: Vec<_> = faults.iter().map(|fault| fault["pointer"].as_str().unwrap()).collect();
        pointers.sort_unstable();
        assert_eq!(pointers, expected, "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_key_of_a_batch_names_each_of_its_commands() {
    let api = Api::start().await;
    let accept = json!({ "type": "accept-agent-command", "agent_id": "demo", "message": "x" });
    let send = async || {
        let request = api.request("POST", "/v1/workspaces/dev/commands");
        let request = request.header("idempotency-key", "k".repeat(512));
        api.send(request.body(json!([accept, accept]).to_string())).await.expect(200)
    };
    let (first, again) = (send().await, send().await);
    assert_eq!((statuses(&first), statuses(&again)), (vec![202, 202], vec![200, 200]), "{first} {again}");
    assert_ne!(first[0]["task"]["id"], first[1]["task"]["id"]);
    assert_eq!(first[1]["receipt"]["command_id"], again[1]["receipt"]["command_id"]);
}
