//! Health, metrics, error pages, read models.

use std::time::Duration;

use capstan_api::{Check, ReadModelsCheck};
use capstan_projections::ReadModels;
use capstan_testkit::eventually::eventually;
use serde_json::json;

use crate::harness::{Api, PATIENCE};

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_sees_how_things_are() {
    let api = Api::start().await;
    assert_eq!(api.get("/healthz").await.expect(200)["alive"], true);
    let ready = eventually("the server is ready", PATIENCE, async || {
        let answer = api.get("/readyz").await;
        (answer.status == 200).then_some(answer.body)
    })
    .await;
    assert_eq!((&ready["ready"], &ready["reasons"]), (&json!(true), &json!([])));
    assert_eq!(ready["checks"]["log"]["durability"], "interval");
    assert_eq!(api.get("/metrics").await.status, 200);
    let page = api.get("/errors/lease_lost").await.expect(200);
    assert!(page.as_str().unwrap().starts_with("# lease_lost"));
    for name in ["accept-agent-command", "task-accepted", "leased-attempt"] {
        assert_eq!(api.get(&format!("/schemas/{name}")).await.expect(200)["type"], "object", "{name}");
    }
    api.get("/schemas/nonsense").await.expect_problem(404, "not_found");
    api.get("/errors/nonsense").await.expect_problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn read_models_are_listed_and_made_anew() {
    let api = Api::start().await;
    let task = api.task("kept").await;
    let shown = api.get_now(&format!("/v1/workspaces/dev/tasks/{task}")).await.expect(200);
    let list = api.get("/v1/admin/projections").await.expect(200);
    let tasks = list["items"].as_array().unwrap().iter().find(|model| model["name"] == "tasks").unwrap();
    assert_eq!(tasks["lag_events"], 0, "{tasks}");
    let built = api.post("/v1/admin/projections/all/rebuild", json!({})).await.expect(200);
    assert_eq!(built["done"], true);
    assert_eq!(api.get(&format!("/v1/workspaces/dev/tasks/{task}")).await.expect(200), shown);
    api.post("/v1/admin/projections/nonsense/rebuild", json!({})).await.expect_problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_without_a_projector_is_not_ready_while_the_rows_are_behind() {
    let api = Api::start().await;
    let rows = ReadModels::connect(&api.servers.fresh_database().await.unwrap()).unwrap();
    rows.migrate().await.unwrap();
    let look = async |limit| ReadModelsCheck::new(rows.clone(), api.log.clone(), None, limit).look().await;
    let finding = look(Duration::ZERO).await;
    assert!(!finding.ok && finding.reason.unwrap().contains("behind"));
    assert!(look(Duration::from_hours(1)).await.ok);
    // The rows that a projector keeps show the whole log.
    let rows = ReadModels::connect(&api.database).unwrap();
    api.get_now("/v1/workspaces/dev").await.expect(200);
    assert!(ReadModelsCheck::new(rows, api.log.clone(), None, Duration::ZERO).look().await.ok);
}
