//! Channel bindings: one holder at a time over all workspaces.

use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::harness::{Answer, Api, PATIENCE, ask, json_of};

const EMAIL: &str = "channels/email/ada@example.org";

async fn two_workspaces() -> Api {
    let api = Api::start().await;
    api.post("/v1/workspaces", json!({ "workspace": "other" })).await.expect(201);
    api
}

async fn put(api: &Api, workspace: &str, channel: &str, body: Value) -> Answer {
    let path = format!("/v1/workspaces/{workspace}/{channel}");
    api.send(api.request("PUT", &path).header("idempotency-key", "k").body(body.to_string())).await
}

async fn delete(api: &Api, workspace: &str, channel: &str) -> Answer {
    api.send(api.request("DELETE", &format!("/v1/workspaces/{workspace}/{channel}"))).await
}

async fn items(api: &Api, path: &str) -> Vec<Value> {
    api.get_now(path).await.expect(200)["items"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_one_holder_until_it_is_released() {
    let api = two_workspaces().await;
    let bound =
        put(&api, "dev", EMAIL, json!({ "agent_id": "Demo", "config": { "x": 1 } })).await.expect(200);
    let channel = &bound["channel"];
    assert_eq!((&channel["address"], &channel["workspace"]), (&json!("ada@example.org"), &json!("dev")));
    // The same key and body of another workspace is another command, not a repeat.
    for body in [json!({ "config": { "x": 1 } }), json!({})] {
        put(&api, "other", "channels/EMAIL/Ada@Example.org", body).await.expect_problem(409, "channel_taken");
    }
    let inactive = json!({ "channel_type": "email", "address": "ada@example.org", "active": false });
    let changed = json_of(&ask(&api, "upsert-channel-binding", inactive).await.payload);
    assert_eq!((&changed["channel"]["active"], changed["channel"].get("agent_id")), (&json!(false), None));
    put(&api, "other", EMAIL, json!({})).await.expect_problem(409, "channel_taken");
    delete(&api, "other", EMAIL).await.expect_problem(404, "not_found");
    assert_eq!(items(&api, "/v1/workspaces/other/channels").await, [] as [Value; 0]);
    api.get(&format!("/v1/workspaces/other/{EMAIL}")).await.expect_problem(404, "not_found");

    let release = json!({ "channel_type": "email", "address": "ada@example.org" });
    let released = json_of(&ask(&api, "delete-channel-binding", release).await.payload);
    assert_eq!(released["receipt"]["duplicate"], false, "{released}");
    let taken = put(&api, "other", EMAIL, json!({ "config": { "x": 1 } })).await.expect(200);
    assert_eq!(
        (&taken["receipt"]["duplicate"], &taken["channel"]["workspace"]),
        (&json!(false), &json!("other"))
    );
    assert_eq!(items(&api, "/v1/workspaces/dev/channels").await, [] as [Value; 0]);
    delete(&api, "dev", EMAIL).await.expect_problem(404, "not_found");
    delete(&api, "other", EMAIL).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_bind_an_address_at_once_one_gets_it() {
    let api = two_workspaces().await;
    let attempts = (0..8).map(|n| {
        let api = &api;
        async move { put(api, if n % 2 == 0 { "dev" } else { "other" }, EMAIL, json!({})).await.status }
    });
    let statuses = futures_util::future::join_all(attempts).await;
    assert!(statuses.iter().all(|status| [200, 409].contains(status)), "{statuses:?}");
    let held = items(&api, "/v1/workspaces/dev/channels").await.len()
        + items(&api, "/v1/workspaces/other/channels").await.len();
    assert_eq!((held, statuses.iter().filter(|status| **status == 200).count()), (1, 4), "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bindings_are_listed_by_agent_and_end_with_it() {
    let api = two_workspaces().await;
    put(&api, "dev", EMAIL, json!({ "agent_id": "demo" })).await.expect(200);
    put(&api, "dev", "channels/slack/C01%2Fx", json!({})).await.expect(200);
    let list = "/v1/workspaces/dev/channels";
    assert_eq!(items(&api, list).await.len(), 2);
    let of_demo = items(&api, &format!("{list}?agent_id=demo")).await;
    assert_eq!((of_demo.len(), &of_demo[0]["channel_type"]), (1, &json!("email")));
    let of_nobody = items(&api, &format!("{list}?without_agent=true")).await;
    assert_eq!((of_nobody.len(), &of_nobody[0]["address"]), (1, &json!("C01/x")));
    api.get(&format!("{list}?agent_id=demo&without_agent=1")).await.expect_problem(422, "validation_failed");
    put(&api, "dev", "channels/sms/1", json!({ "agent_id": "nobody" }))
        .await
        .expect_problem(404, "not_found");
    put(&api, "dev", "channels/a%20b/1", json!({})).await.expect_problem(422, "validation_failed");

    api.send(api.request("DELETE", "/v1/workspaces/dev/agents/demo")).await.expect(200);
    let read = api.get_now(&format!("/v1/workspaces/dev/{EMAIL}")).await.expect(200);
    assert_eq!((&read["active"], &read["agent_id"]), (&json!(false), &of_demo[0]["agent_id"]));
    assert_eq!(api.get(&format!("{list}/slack/C01%2Fx")).await.expect(200)["active"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_live_stream_of_a_workspace_carries_no_binding() {
    let api = two_workspaces().await;
    put(&api, "dev", EMAIL, json!({})).await.expect(200);
    put(&api, "other", "channels/slack/C01", json!({})).await.expect(200);
    // Whatever is between them on the log, the stream ends with what is of its own workspace.
    api.task("the end").await;
    for workspace in ["dev", "other"] {
        let request = api.request("GET", &format!("/v1/workspaces/{workspace}/stream?after=0"));
        let mut frames = request.send().await.unwrap().bytes_stream();
        let mut seen = String::new();
        tokio::time::timeout(PATIENCE, async {
            while !["event: caught_up", "workspace-created"].iter().all(|part| seen.contains(part)) {
                seen.push_str(&String::from_utf8_lossy(&frames.next().await.unwrap().unwrap()));
            }
        })
        .await
        .expect("the stream catches up");
        assert!(!seen.contains("channel"), "{workspace}: {seen}");
    }
}
