//! Decisions on outputs: whole, once each, and without contradiction.

use serde_json::{Value, json};

use crate::harness::{Api, ask, json_of};

/// A task that asks to approve this many outputs, with their ids.
async fn asking(api: &Api, count: usize) -> (String, Vec<String>) {
    let task = api.task("write").await;
    let lease = api.lease(&task).await;
    let mut outputs = Vec::new();
    for number in 0..count {
        let output = json!({ "output_type": "report", "title": number.to_string(), "status": "pending" });
        let produced = api.report(&lease, "outputs", output).await.expect(201);
        outputs.push(produced["output_id"].as_str().unwrap().to_owned());
    }
    let question = json!({ "kind": "approval", "summary": "May I send these?", "output_ids": outputs });
    api.report(&lease, "blockers", question).await.expect(201);
    (task, outputs)
}

fn items(decisions: &[(&String, &str)]) -> Value {
    decisions.iter().map(|(id, action)| json!({ "output_id": id, "action": action })).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_contradicts_itself_or_leaves_an_output_out_changes_nothing() {
    let api = Api::start().await;
    let (task, outputs) = asking(&api, 3).await;
    let [a, b, c] = &outputs[..] else { panic!("three outputs") };
    let path = format!("/v1/workspaces/dev/tasks/{task}/input");
    let head = api.head().await;
    for (body, expected) in [
        (
            json!({ "items": items(&[(a, "approve"), (a, "reject"), (b, "approve"), (c, "approve")]) }),
            json!([{ "pointer": "/items/1/output_id", "message": format!("output {a} is named twice") }]),
        ),
        (
            json!({ "action": "reject", "items": items(&[(a, "approve"), (b, "approve"), (c, "approve")]) }),
            json!([{
                "pointer": "/action",
                "message": "contradicts the items, which together mean approve: omit it, or decide all of them so",
            }]),
        ),
        (
            json!({ "items": items(&[(b, "approve")]) }),
            json!([{
                "pointer": "/items",
                "message": format!("must decide every output the question is about; missing: {a}, {c}"),
            }]),
        ),
        (
            json!({ "kind": "free_text", "message": "fine", "action": "approve" }),
            json!([{
                "pointer": "/kind",
                "message": "an input of kind free_text takes neither action nor items",
            }]),
        ),
    ] {
        let refused = api.post(&path, body.clone()).await;
        refused.expect_problem(422, "validation_failed");
        assert_eq!(refused.body["errors"], expected, "{body}");
        let mut over_nats = body;
        over_nats["task_id"] = json!(task);
        let refused = json_of(&ask(&api, "submit-task-input", over_nats).await.payload);
        assert_eq!(refused["errors"], expected, "{refused}");
    }
    assert_eq!(api.head().await, head, "nothing was written");
    let shown = api.get_now("/v1/workspaces/dev/inbox").await.expect(200);
    assert_eq!(shown["items"].as_array().map(Vec::len), Some(1), "the question is still open");

    let whole =
        json!({ "action": "approve", "items": items(&[(a, "approve"), (b, "approve"), (c, "approve")]) });
    api.post(&path, whole).await.expect(202);
    let shown = api.get_now("/v1/workspaces/dev/inbox").await.expect(200);
    assert_eq!(shown["items"], json!([]));
}
