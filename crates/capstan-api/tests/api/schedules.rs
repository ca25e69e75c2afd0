//! Schedules over HTTP and NATS. No engine runs here: ticks are tested where it does.

use serde_json::{Value, json};

use crate::harness::Api;

const SCHEDULES: &str = "/v1/workspaces/dev/schedules";

fn daily() -> Value {
    json!({ "agent_id": "demo", "cron_expr": " 0  9 * * mon-fri", "timezone": "Europe/Berlin",
            "prompt": "write the report", "skill_paths": ["skills/report"], "source_view_id": "v1" })
}

async fn created(api: &Api, body: Value) -> Value {
    api.post(SCHEDULES, body).await.expect(201)["schedule"].clone()
}

fn path(schedule: &Value) -> String {
    format!("{SCHEDULES}/{}", schedule["id"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_is_shown_as_it_was_made_and_changed() {
    let api = Api::start().await;
    let schedule = created(&api, daily()).await;
    assert_eq!(schedule["cron_expr"], "0 9 * * mon-fri");
    assert_eq!((&schedule["agent_name"], &schedule["active"]), (&json!("Demo"), &json!(true)), "{schedule}");
    assert_eq!((&schedule["overlap"], &schedule["catch_up"]), (&json!("queue"), &json!("one")));
    assert!(schedule["next_run_at"].is_string() && schedule["last_run_at"].is_null());
    let read = api.get(&path(&schedule)).await;
    assert_eq!(read.header("etag"), "\"1\"");
    assert_eq!(read.expect(200), schedule);

    let change = json!({ "prompt": "write two", "source_view_id": null, "overlap": "skip" });
    let request = |body: &Value| api.request("PATCH", &path(&schedule)).body(body.to_string());
    let changed = api.send(request(&change).header("if-match", "\"1\"")).await.expect(200);
    assert_eq!(changed["schedule"]["prompt"], "write two");
    assert_eq!(changed["schedule"]["source_view_id"], Value::Null);
    assert_eq!(changed["schedule"]["next_run_at"], schedule["next_run_at"], "its times are as they were");
    api.send(request(&change).header("if-match", "\"1\"")).await.expect_problem(412, "version_mismatch");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_is_refused_with_the_place_of_the_fault() {
    let api = Api::start().await;
    for (field, value, pointer) in [
        ("cron_expr", json!("61 * * * *"), "/cron_expr"),
        ("cron_expr", json!("0 0 30 2 *"), "/cron_expr"),
        ("timezone", json!("Mars/Base"), "/timezone"),
        ("prompt", json!(" "), "/prompt"),
        ("agent_id", json!(""), "/agent_id"),
        ("overlap", json!("never"), "/overlap"),
        ("jitter_ms", json!(-1), "/jitter_ms"),
    ] {
        let mut body = daily();
        body[field] = value;
        let refused = api.post(SCHEDULES, body).await;
        refused.expect_problem(422, "validation_failed");
        assert_eq!(refused.body["errors"][0]["pointer"], pointer, "{}", refused.body);
    }
    let mut stranger = daily();
    stranger["agent_id"] = json!("nobody");
    api.post(SCHEDULES, stranger).await.expect_problem(404, "not_found");
    assert_eq!(api.get_now(SCHEDULES).await.expect(200)["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_creation_makes_one_schedule() {
    let api = Api::start().await;
    let mut body = daily();
    body["idempotency_key"] = json!("k");
    let first = created(&api, body.clone()).await;
    let again = api.post(SCHEDULES, body.clone()).await.expect(200);
    assert_eq!((&again["schedule"]["id"], &again["receipt"]["duplicate"]), (&first["id"], &json!(true)));
    body["prompt"] = json!("other");
    api.post(SCHEDULES, body).await.expect_problem(409, "idempotency_conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_and_read_page_by_page() {
    let api = Api::start().await;
    let mut ids = Vec::new();
    for view in ["v1", "v2", "v1"] {
        let mut body = daily();
        body["source_view_id"] = json!(view);
        body["active"] = json!(view == "v1");
        ids.push(created(&api, body).await["id"].clone());
    }
    let listed = async |query: &str| {
        let list = api.get_now(&format!("{SCHEDULES}?{query}")).await.expect(200);
        let ids = list["items"].as_array().unwrap().iter().map(|item| item["id"].clone());
        (ids.collect::<Vec<_>>(), list["next_cursor"].as_str().map(str::to_owned))
    };
    assert_eq!(listed("").await.0, [ids[2].clone(), ids[1].clone(), ids[0].clone()]);
    assert_eq!(listed("source_view_id=v1").await.0, [ids[2].clone(), ids[0].clone()]);
    assert_eq!(listed("active=false").await.0, [ids[1].clone()]);
    let (page, cursor) = listed("limit=2").await;
    assert_eq!(page, [ids[2].clone(), ids[1].clone()]);
    assert_eq!(listed(&format!("limit=2&cursor={}", cursor.unwrap())).await, (vec![ids[0].clone()], None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_shows_the_next_ticks_also_of_a_paused_schedule() {
    let api = Api::start().await;
    let schedule = created(&api, daily()).await;
    let next = api.get(&format!("{}/next?n=3", path(&schedule))).await.expect(200);
    let items = next["items"].as_array().unwrap();
    assert_eq!((items.len(), &items[0]["run_at"]), (3, &schedule["next_run_at"]), "{next}");
    assert_eq!(api.get(&format!("{}/next?n=999", path(&schedule))).await.expect(200)["limit"], 100);

    let reason = json!({ "reason": "holidays" });
    let paused = api.post(&format!("{}/pause", path(&schedule)), reason).await.expect(200);
    assert_eq!(
        (&paused["schedule"]["active"], &paused["schedule"]["next_run_at"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!(paused["schedule"]["paused"]["reason"], "holidays");
    let would = api.get(&format!("{}/next?n=3", path(&schedule))).await.expect(200);
    assert_eq!((&would["items"], &would["active"]), (&next["items"], &json!(false)));
    let resumed = api.post(&format!("{}/resume", path(&schedule)), json!({})).await.expect(200);
    assert_eq!(resumed["schedule"]["next_run_at"], schedule["next_run_at"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_makes_its_task_in_the_same_append() {
    let api = Api::start().await;
    let schedule = created(&api, daily()).await;
    let trigger = json!({ "idempotency_key": "now" });
    let made = api.post(&format!("{}/trigger", path(&schedule)), trigger.clone()).await.expect(202);
    let task = &made["task"];
    assert_eq!((&task["message"], &task["state"]), (&json!("write the report"), &json!("queued")), "{made}");
    assert_eq!(task["label"], "Schedule: write the report");
    let again = api.post(&format!("{}/trigger", path(&schedule)), trigger).await.expect(200);
    assert_eq!((&again["task"]["id"], &again["receipt"]["duplicate"]), (&task["id"], &json!(true)));
    let shown = api.get_now(&path(&schedule)).await.expect(200);
    assert_eq!((&shown["last_task_id"], shown["last_run_at"].is_string()), (&task["id"], true));
    let tasks = api.get("/v1/workspaces/dev/tasks").await.expect(200);
    assert_eq!(tasks["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_schedule_is_gone_and_its_tasks_stay() {
    let api = Api::start().await;
    let schedule = created(&api, daily()).await;
    let made = api.post(&format!("{}/trigger", path(&schedule)), json!({})).await.expect(202);
    api.send(api.request("DELETE", &path(&schedule))).await.expect(200);
    api.get_now(&path(&schedule)).await.expect_problem(404, "not_found");
    api.get(&format!("{}/next", path(&schedule))).await.expect_problem(404, "not_found");
    api.send(api.request("DELETE", &path(&schedule))).await.expect_problem(404, "not_found");
    api.post(&format!("{}/trigger", path(&schedule)), json!({})).await.expect_problem(404, "not_found");
    api.get(&format!("/v1/workspaces/dev/tasks/{}", made["task"]["id"].as_str().unwrap())).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_commands_go_over_nats() {
    let api = Api::start().await;
    let mut body = daily();
    body["idempotency_key"] = json!("bus");
    let first = crate::nats::request(&api, "create-schedule", body.clone()).await;
    let over_http = api.post(SCHEDULES, body).await.expect(200);
    assert_eq!(over_http["schedule"]["id"], first["schedule"]["id"], "both ways are one command");
    let named = json!({ "schedule_id": first["schedule"]["id"] });
    for (command, shown) in [
        ("pause-schedule", "/schedule/paused/cause"),
        ("resume-schedule", "/schedule/next_run_at"),
        ("update-schedule", "/schedule/prompt"),
        ("trigger-schedule", "/task/id"),
        ("delete-schedule", "/receipt/position"),
    ] {
        let answer = crate::nats::request(&api, command, named.clone()).await;
        assert!(answer.pointer(shown).is_some_and(Value::is_string), "{command}: {answer}");
    }
    let durable = crate::nats::publish(
        &api,
        "create-schedule",
        "00000000-0000-0000-0000-00000000000b",
        &daily().to_string(),
    )
    .await;
    assert_eq!(durable["schedule"]["active"], true, "{durable}");
}
