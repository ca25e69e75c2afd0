//! Execution classes over HTTP and NATS.

use serde_json::json;

use crate::harness::{Api, ask};

#[tokio::test(flavor = "multi_thread")]
async fn a_class_is_configured_listed_and_read() {
    let api = Api::start().await;
    let path = &format!("/v1/workspaces/dev/classes/{}", key("a"));
    api.get(path).await.expect_problem(404, "not_found");
    let put = |body: serde_json::Value| api.request("PUT", path).body(body.to_string());
    let set = api.send(put(json!({ "desired_dispatch_concurrency": 3 }))).await.expect(200);
    assert_eq!(
        (&set["class"]["status"], &set["class"]["failed_attempt_threshold"]),
        (&json!("healthy"), &json!(5))
    );
    let again = api.send(put(json!({ "desired_dispatch_concurrency": 3 }))).await.expect(200);
    assert_eq!(again["receipt"]["version"], set["receipt"]["version"], "the same again records nothing");
    let off = api.send(put(json!({ "active": false }))).await.expect(200);
    assert_eq!(
        (&off["class"]["active"], &off["class"]["desired_dispatch_concurrency"]),
        (&json!(false), &json!(3))
    );
    let shown = api.get_now(path).await.expect(200);
    assert_eq!(shown, off["class"]);
    let list = api.get("/v1/workspaces/dev/classes").await.expect(200);
    assert_eq!(list["items"], json!([shown]));
    let absurd = api.send(put(
        json!({ "desired_dispatch_concurrency": 4_000_000, "failed_attempt_threshold": 4_000_000 }),
    ));
    let absurd = absurd.await;
    absurd.expect_problem(422, "validation_failed");
    assert_eq!(absurd.body["errors"].as_array().map(Vec::len), Some(2));
    let other = api.send(put(json!({ "instance_key": key("b") }))).await;
    other.expect_problem(422, "validation_failed");
    for name in ["foo", "a.b", "execclass_a", "_"] {
        let path = format!("/v1/workspaces/dev/classes/{name}");
        let body = json!({ "desired_dispatch_concurrency": 4_000_000 }).to_string();
        let no_class = api.send(api.request("PUT", &path).body(body)).await;
        no_class.expect_problem(422, "validation_failed");
        let pointers: Vec<_> =
            no_class.body["errors"].as_array().unwrap().iter().map(|fault| &fault["pointer"]).collect();
        assert_eq!(pointers, ["/instance_key", "/desired_dispatch_concurrency"], "{name}");
    }
}

/// A key as tasks have it.
fn key(digit: &str) -> String {
    format!("execclass_{}", digit.repeat(32))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_class_is_configured_over_nats() {
    let api = Api::start().await;
    let body = json!({ "instance_key": key("0"), "desired_dispatch_concurrency": 2 });
    ask(&api, "configure-class", body).await;
    let shown = api.get_now(&format!("/v1/workspaces/dev/classes/{}", key("0"))).await.expect(200);
    assert_eq!(shown["desired_dispatch_concurrency"], 2);
}
