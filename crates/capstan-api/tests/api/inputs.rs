//! Everything that can be said to a task, and every question it can wait on.

use capstan_domain::id::TaskId;
use capstan_domain::task::{Command, command};
use chrono::{Duration, Utc};
use serde_json::{Value, json};

use crate::harness::{Api, Lease, ask, json_of};

/// A task whose live attempt asks to approve two outputs; the third waits for something else.
async fn asking(api: &Api, more: Value) -> (String, Lease, Vec<String>) {
    let task = api.task("write").await;
    let lease = api.lease(&task).await;
    let mut outputs = Vec::new();
    for (title, group) in [("Letter", "g"), ("Invoice", "g"), ("Other", "h")] {
        let output = json!({
            "output_type": "report", "title": title, "status": "pending", "metadata": { "_wait_group_id": group },
        });
        let produced = api.report(&lease, "outputs", output).await.expect(201);
        outputs.push(produced["output_id"].as_str().unwrap().to_owned());
    }
    let mut question =
        json!({ "kind": "approval", "summary": "May I send these?", "output_ids": outputs[..2] });
    question.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    api.report(&lease, "blockers", question).await.expect(201);
    (task, lease, outputs)
}

async fn statuses(api: &Api, task: &str) -> Vec<String> {
    let shown = api.get_now(&format!("/v1/workspaces/dev/tasks/{task}/outputs")).await.expect(200);
    let mut outputs: Vec<_> = shown["items"].as_array().unwrap().iter().collect();
    outputs.sort_by_key(|output| {
        ["Letter", "Invoice", "Other"].iter().position(|title| output["title"] == *title)
    });
    outputs.iter().map(|output| output["status"].as_str().unwrap().to_owned()).collect()
}

fn input_of(task: &str) -> String {
    format!("/v1/workspaces/dev/tasks/{task}/input")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_output_is_approved_and_one_rejected_in_one_decision_that_is_never_repeated() {
    let api = Api::start().await;
    let (task, lease, outputs) = asking(&api, json!({})).await;
    let wrong = json!({ "queue_mode": "soon", "items": [
        { "output_id": "", "action": "maybe" },
        { "output_id": "018f0000-0000-7000-8000-000000000001", "action": "approve" },
    ] });
    let refused = api.post(&input_of(&task), wrong).await;
    refused.expect_problem(422, "validation_failed");
    let pointers: Vec<_> = refused.body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| fault["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(pointers, ["/queue_mode", "/items/0/action", "/items/0/output_id", "/items/1/output_id"]);

    let decision = json!({ "idempotency_key": "d", "message": "Thanks", "items": [
        { "output_id": outputs[0], "action": "Approve" },
        { "output_id": outputs[1], "action": "reject", "reason": "wrong sum" },
    ] });
    let decided = api.post(&input_of(&task), decision.clone()).await.expect(202);
    assert_eq!(
        (decided["outcome"].as_str(), decided["task"]["state"].as_str()),
        (Some("delivered"), Some("running"))
    );
    let head = api.head().await;
    let again = api.post(&input_of(&task), decision).await.expect(200);
    assert_eq!(
        (again["outcome"].as_str(), again["first_outcome"].as_str()),
        (Some("duplicate"), Some("delivered"))
    );
    assert_eq!(api.head().await, head, "the repeat wrote something");
    assert_eq!(statuses(&api, &task).await, ["approved", "rejected", "pending"]);
    let claimed = api.report(&lease, "inputs/claim", json!({})).await.expect(200);
    let message = claimed["input"]["message"].as_str().unwrap();
    assert_eq!(message, "Approved:\n1. Letter\n\nRejected:\n1. Invoice (reason: wrong sum)\n\nThanks");
    let inputs = api.get_now(&format!("/v1/workspaces/dev/tasks/{task}/inputs")).await.expect(200);
    assert_eq!(
        (&inputs["items"][0]["action"], &inputs["items"][0]["said"]),
        (&json!("mixed"), &json!("Thanks"))
    );
    let blockers = api.get_now("/v1/workspaces/dev/inbox").await.expect(200);
    assert_eq!(blockers["items"], json!([]));

    let elsewhere = api.task("another").await;
    let foreign = json!({ "items": [{ "output_id": outputs[2], "action": "approve" }] });
    let refused = api.post(&input_of(&elsewhere), foreign).await;
    let message = refused.body["errors"][0]["message"].as_str().unwrap();
    assert!(message.ends_with(&format!("does not belong to task {elsewhere}")), "{message}");
    api.post(&input_of(&task), json!({})).await.expect_problem(422, "message_required");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_is_steered_into_the_turn_or_falls_back_and_says_so() {
    let api = Api::start().await;
    let task = api.task("drive").await;
    let lease = api.lease(&task).await;
    let run_input = format!("/v1/workspaces/dev/runs/{}/input", lease.run_id);
    api.post(&run_input, json!({ "message": "later" })).await.expect(202);
    let steer = json!({ "message": "left!", "queue_mode": "Steer-Backlog" });
    let steered = api.post(&run_input, steer).await.expect(202);
    assert_eq!(steered["outcome"], "delivered");
    let claimed = api.report(&lease, "inputs/claim", json!({})).await.expect(200);
    assert_eq!(
        claimed["input"]["input_id"], steered["input_id"],
        "it overtakes what waits for the turn's end"
    );
    let path = format!("inputs/{}/defer", steered["input_id"].as_str().unwrap());
    api.report(&lease, &path, json!({})).await.expect_problem(422, "validation_failed");
    api.report(&lease, &path, json!({ "reason": "it takes no input" })).await.expect(200);
    let inputs = api.get_now(&format!("/v1/workspaces/dev/tasks/{task}/inputs")).await.expect(200);
    let shown =
        inputs["items"].as_array().unwrap().iter().find(|input| input["id"] == steered["input_id"]).unwrap();
    assert_eq!(
        (shown["status"].as_str(), shown["outcome"].as_str(), shown["queue_mode"].as_str()),
        (Some("pending"), Some("queued"), Some("followup"))
    );
    api.report(&lease, "finish", json!({ "outcome": "ok" })).await.expect(200);
    assert_eq!(api.prompt(&task).await, "later\n\nleft!");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_stops_what_runs_and_resumes_the_session_once_the_old_attempt_is_gone() {
    let api = Api::start().await;
    let task = api.task("long").await;
    let lease = api.lease(&task).await;
    // Its first report says that the agent has the prompt.
    api.report(&lease, "usage", json!({ "usage": { "input_tokens": 1 } })).await.expect(200);
    let interrupt = json!({ "message": "rather this", "queue_mode": "interrupt" });
    let told = api.post(&input_of(&task), interrupt).await.expect(202);
    assert_eq!(
        (told["outcome"].as_str(), told["task"]["state"].as_str()),
        (Some("interrupted"), Some("queued"))
    );
    let late = json!({ "output_type": "x", "title": "late" });
    api.report(&lease, "outputs", late).await.expect_problem(409, "lease_lost");
    api.report(&lease, "finish", json!({ "outcome": "cancelled" })).await.expect(200);
    let next = api.lease(&task).await;
    assert_ne!(next.run_id, lease.run_id);
    assert_eq!(api.prompt(&task).await, "rather this");
    let old = api.get_now(&format!("/v1/workspaces/dev/runs/{}", lease.run_id)).await.expect(200);
    assert_eq!(old["status"], "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_names_its_approvers_is_not_answered_by_whoever_asked() {
    let api = Api::start().await;
    let (task, _, _) =
        asking(&api, json!({ "approvers": { "required": 1, "among": ["anonymous", "nats"] } })).await;
    let approve = json!({ "action": "approve" });
    api.post(&input_of(&task), approve).await.expect_problem(403, "forbidden");
    let over_nats = ask(&api, "submit-task-input", json!({ "task_id": task, "action": "approve" })).await;
    let approved = json_of(&over_nats.payload);
    assert_eq!(approved["outcome"], "delivered", "{approved}");
    assert_eq!(statuses(&api, &task).await, ["approved", "approved", "pending"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_ends_by_itself_when_its_time_is_over() {
    let api = Api::start().await;
    let deadline = json!({ "deadline": { "after_ms": 60_000, "default": "reject" } });
    let (task, _, _) = asking(&api, deadline).await;
    let inbox = api.get_now("/v1/workspaces/dev/inbox").await.expect(200);
    assert_eq!(inbox["items"][0]["deadline"]["default"], "reject");
    let blocker_id = inbox["items"][0]["id"].as_str().unwrap().parse().unwrap();
    let at = Utc::now() + Duration::minutes(2);
    let command = Command::ExpireBlocker(command::ExpireBlocker { blocker_id, grace_ms: 1000 }).at(at);
    let task_id: TaskId = task.parse().unwrap();
    api.as_engine(task_id, &command).await;
    assert_eq!(statuses(&api, &task).await, ["rejected", "rejected", "pending"]);
    let shown = api.get_now(&format!("/v1/workspaces/dev/tasks/{task}")).await.expect(200);
    assert_eq!(shown["state"], "running");
    let late = json!({ "action": "approve", "blocker_id": blocker_id });
    api.post(&input_of(&task), late).await.expect_problem(409, "blocker_closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_have_the_shape_the_question_wants() {
    let api = Api::start().await;
    let task = api.task("ask").await;
    let lease = api.lease(&task).await;
    let bad = json!({ "summary": "Which?", "answer_schema": { "type": "colour" } });
    let refused = api.report(&lease, "blockers", bad).await;
    refused.expect_problem(422, "validation_failed");
    assert_eq!(refused.body["errors"][0]["pointer"], "/answer_schema");
    let mute = json!({ "summary": " ", "answer_schema": { "type": "colour" } });
    let refused = api.report(&lease, "blockers", mute.clone()).await;
    assert_eq!(pointers(&refused.body), ["/summary", "/answer_schema"]);
    let wrong = json!({ "outcome": "ok", "blocker": mute, "retry_after_ms": -1 });
    let refused = api.report(&lease, "finish", wrong).await;
    refused.expect_problem(422, "validation_failed");
    assert_eq!(pointers(&refused.body), ["/retry_after_ms", "/blocker/summary", "/blocker/answer_schema"]);
    let schema = json!({ "type": "object", "properties": { "colour": { "enum": ["red", "blue"] } } });
    let question = json!({ "summary": "Which?", "answer_schema": schema });
    api.report(&lease, "blockers", question).await.expect(201);
    let wrong = api.post(&input_of(&task), json!({ "answers": { "colour": "grey" } })).await;
    wrong.expect_problem(422, "validation_failed");
    assert_eq!(wrong.body["errors"][0]["pointer"], "/answers/colour");
    api.post(&input_of(&task), json!({ "message": "grey" })).await.expect_problem(422, "validation_failed");
    let bare = api.post(&input_of(&task), json!({ "action": "approve" })).await;
    bare.expect_problem(422, "validation_failed");
    assert_eq!(pointers(&bare.body), ["/answers"]);
    let wrong = json!({ "action": "approve", "answers": { "colour": "grey" } });
    let wrong = api.post(&input_of(&task), wrong).await;
    wrong.expect_problem(422, "validation_failed");
    assert_eq!(pointers(&wrong.body), ["/answers/colour"]);
    let right = json!({ "action": "approve", "answers": { "colour": "red" } });
    let given = api.post(&input_of(&task), right).await.expect(202);
    assert_eq!(given["outcome"], "delivered");
}

/// The pointers of the faults of a refusal.
fn pointers(refusal: &serde_json::Value) -> Vec<&str> {
    let faults = refusal["errors"].as_array().into_iter().flatten();
    faults.filter_map(|fault| fault["pointer"].as_str()).collect()
}
