//! Retry, archive and update, over HTTP and NATS.

use serde_json::json;

use crate::harness::Api;

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_updated_archived_and_brought_back() {
    let api = Api::start().await;
    let task = api.task("work").await;
    let path = format!("/v1/workspaces/dev/tasks/{task}");
    let changes =
        json!({"priority": "high", "budget_usd": 2.5, "label": "Ann", "payload_json": {"message": "other"}});
    let update = || api.request("PATCH", &path);
    let stale = api.send(update().header("if-match", "\"7\"").body(changes.to_string())).await;
    stale.expect_problem(412, "version_mismatch");
    let shown = api.send(update().header("if-match", "\"1\"").body(changes.to_string())).await.expect(200);
    let shown = &shown["task"];
    assert_eq!(
        (&shown["priority"], &shown["budget_usd"], &shown["label"]),
        (&json!("high"), &json!(2.5), &json!("Ann"))
    );
    assert_eq!(shown["message"], "other");
    let again = api.send(update().body(changes.to_string())).await.expect(200);
    assert_eq!(again["receipt"]["version"], 2, "nothing new, nothing recorded");
    let wrong = api.send(update().body(r#"{"payload_json":{"colour":1}}"#)).await;
    wrong.expect_problem(422, "validation_failed");
    assert_eq!(wrong.body["errors"][0]["pointer"], "/payload_json/colour");
    let cleared = api.send(update().body(r#"{"budget_usd":null,"label":null}"#)).await.expect(200);
    assert!(cleared["task"].get("budget_usd").is_none() && cleared["task"].get("label").is_none());

    let archived = api.post(&format!("{path}/archive"), json!({})).await.expect(202);
    assert_eq!(archived["task"]["state"], "cancelled");
    let at = &archived["task"]["archived_at"];
    let again = api.post(&format!("{path}/archive"), json!({})).await.expect(202);
    assert_eq!(&again["task"]["archived_at"], at);
    api.post(&format!("{path}/retry"), json!({})).await.expect_problem(409, "task_archived");
    api.post(&format!("{path}/unarchive"), json!({})).await.expect(202);
    let retried = api.post(&format!("{path}/retry"), json!({"message": "now"})).await.expect(202);
    assert_eq!(retried["task"]["state"], "queued");
    api.post(&format!("{path}/retry"), json!({})).await.expect_problem(409, "illegal_transition");
}
