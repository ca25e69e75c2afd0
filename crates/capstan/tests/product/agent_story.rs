//! A real agent does real work.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::process::Product;
use crate::sse;

const AGENT: &[&str] = &["--exec", "python3 examples/agent.py"];

#[tokio::test]
async fn a_task_runs_to_its_end_and_everything_about_it_can_be_read() -> anyhow::Result<()> {
    let product = Product::start(AGENT).await?;
    let accepted = product.submit("summarise README.md").await?;
    let (id, position) =
        (accepted["task"]["id"].as_str().unwrap(), accepted["receipt"]["position"].as_str().unwrap());

    // Read your writes: the position of the receipt is enough to see the task.
    let task = product.get(&format!("tasks/{id}?min_position={position}")).await?;
    assert_eq!((&task["id"], &task["message"]), (&accepted["task"]["id"], &json!("summarise README.md")));

    let frames = sse::read_until(&product, &format!("tasks/{id}/stream?after=0"), None, |frame| {
        frame.event == "task-done"
    })
    .await?;
    let names: Vec<_> = sse::events(&frames).iter().map(|frame| frame.event.clone()).collect();
    assert_eq!(names[..3], ["task-accepted", "run-requested", "attempt-leased"]);
    for expected in ["attempt-started", "output-produced", "usage-recorded", "attempt-ended", "run-ended"] {
        assert!(names.contains(&expected.to_owned()), "{expected} is missing in {names:?}");
    }

    let done = product.task_in(id, "done").await?;
    assert!(done["finished_at"].is_string() && done["usage"]["total_tokens"].as_u64() > Some(0), "{done}");
    let outputs = product.get(&format!("tasks/{id}/outputs")).await?;
    assert!(outputs["items"][0]["data"].as_object().is_some_and(|data| !data.is_empty()), "{outputs}");
    let runs = product.get(&format!("tasks/{id}/runs")).await?;
    assert_eq!(
        (&runs["items"][0]["status"], &runs["items"][0]["attempts"][0]["attempt_no"]),
        (&json!("ok"), &json!(1))
    );
    let logs = product.get(&format!("tasks/{id}/logs")).await?;
    assert!(logs["items"].as_array().is_some_and(|lines| !lines.is_empty()), "{logs}");
    Ok(())
}

#[tokio::test]
async fn a_dropped_stream_resumes_anywhere_without_loss_or_repetition() -> anyhow::Result<()> {
    let product = Product::start(AGENT).await?;
    let accepted = product.submit("summarise Cargo.toml").await?;
    let path = format!("tasks/{}/stream?after=0", accepted["task"]["id"].as_str().unwrap());
    let is_last = |frame: &sse::Frame| frame.event == "task-done";
    let whole = sse::events(&sse::read_until(&product, &path, None, is_last).await?);
    let mut ids: Vec<_> = whole.iter().map(|frame| frame.id.clone()).collect();
    ids.dedup();
    assert_eq!(ids.len(), whole.len(), "every frame has its own id");
    for cut in 0..whole.len() - 1 {
        let resumed = sse::read_until(&product, &path, whole[cut].id.as_deref(), is_last).await?;
        assert_eq!(sse::events(&resumed), whole[cut + 1..], "resumed after {:?}", whole[cut].id);
    }
    // The workspace's stream tells the same story about this task.
    let task_id = &accepted["task"]["id"];
    let all = sse::read_until(&product, "stream?after=0", None, is_last).await?;
    let of_task: Vec<_> =
        sse::events(&all).into_iter().filter(|frame| frame.data["id"] == *task_id).collect();
    assert_eq!(of_task, whole);
    Ok(())
}

#[tokio::test]
async fn an_agent_asks_and_goes_on_with_the_answer() -> anyhow::Result<()> {
    let product = Product::start(AGENT).await?;
    let accepted = product.submit("ask").await?;
    let id = accepted["task"]["id"].as_str().unwrap();
    let waiting = product.task_in(id, "waiting").await?;
    assert!(waiting["current_blocker"]["summary"].is_string(), "{waiting}");
    let inbox = product.get("inbox").await?;
    assert_eq!(inbox["items"][0]["task_id"], *id);

    let answer = json!({ "message": "forty-two" });
    let (status, outcome) = product.send(Method::POST, &format!("tasks/{id}/input"), &answer).await?;
    assert_eq!((status, &outcome["outcome"]), (StatusCode::ACCEPTED, &json!("delivered")));
    product.task_in(id, "done").await?;
    let outputs = product.get(&format!("tasks/{id}/outputs")).await?;
    assert!(outputs.to_string().contains("forty-two"), "the answer reached the agent: {outputs}");
    let inputs = product.get(&format!("tasks/{id}/inputs")).await?;
    assert_eq!(inputs["items"][0]["status"], "consumed");
    assert_eq!(product.get("inbox").await?["items"], json!([]));
    Ok(())
}

#[tokio::test]
async fn a_finished_task_is_resumed_by_an_input() -> anyhow::Result<()> {
    let product = Product::start(&["--exec", "cat; echo; echo cause=$CAPSTAN_CAUSE"]).await?;
    let accepted = product.submit("first").await?;
    let id = accepted["task"]["id"].as_str().unwrap();
    product.task_in(id, "done").await?;
    let (_, outcome) =
        product.send(Method::POST, &format!("tasks/{id}/input"), &json!({"message": "second"})).await?;
    assert_eq!(outcome["outcome"], "resumed");
    let position = outcome["receipt"]["position"].as_str().unwrap();
    product.get(&format!("tasks/{id}?min_position={position}")).await?;
    product.task_in(id, "done").await?;
    let runs = product.get(&format!("tasks/{id}/runs")).await?;
    assert_eq!(runs["items"].as_array().map(Vec::len), Some(2), "{runs}");
    let logs = product.get(&format!("tasks/{id}/logs")).await?.to_string();
    assert!(logs.contains("second") && logs.contains("cause=input"), "{logs}");
    Ok(())
}

#[tokio::test]
async fn a_failing_agent_is_retried_only_when_that_may_help() -> anyhow::Result<()> {
    let product = Product::start(&["--exec", "read word; echo \"$word\" >&2; exit 3"]).await?;
    let terminal = product.submit("boom").await?;
    let id = terminal["task"]["id"].as_str().unwrap();
    let task = product.task_in(id, "error").await?;
    assert!(task["error"].as_str().is_some_and(|error| error.contains("boom")), "{task}");
    let passing = product.submit("503 service unavailable").await?;
    let id = passing["task"]["id"].as_str().unwrap();
    product.task_in(id, "error").await?;
    let runs = product.get(&format!("tasks/{id}/runs")).await?;
    assert_eq!(
        runs["items"][0]["attempts"].as_array().map(Vec::len),
        Some(2),
        "two attempts by policy: {runs}"
    );
    Ok(())
}

#[tokio::test]
async fn cancelling_stops_the_agents_process_and_settles_the_task_at_once() -> anyhow::Result<()> {
    let product = Product::start(&["--exec", "echo pid $$; sleep 600 & wait"]).await?;
    let accepted = product.submit("wait").await?;
    let id = accepted["task"]["id"].as_str().unwrap();
    let mut agent_pid = 0_u32;
    crate::process::eventually("the agent says its pid", || async {
        let logs = product.get(&format!("tasks/{id}/logs")).await?;
        Ok(logs.to_string().contains("pid "))
    })
    .await?;
    let logs = product.get(&format!("tasks/{id}/logs")).await?;
    for line in logs["items"].as_array().into_iter().flatten() {
        if let Some(pid) = line["data"].as_str().and_then(|text| text.trim().strip_prefix("pid ")) {
            agent_pid = pid.parse()?;
        }
    }
    assert!(std::path::Path::new(&format!("/proc/{agent_pid}")).exists());
    let (status, _) =
        product.send(Method::POST, &format!("tasks/{id}/cancel"), &json!({"reason": "enough"})).await?;
    assert_eq!(status, StatusCode::ACCEPTED);
    product.task_in(id, "cancelled").await?;
    crate::process::eventually("the agent's process is gone", || async {
        Ok(!std::path::Path::new(&format!("/proc/{agent_pid}")).exists())
    })
    .await?;
    let (status, problem) = product.send(Method::POST, &format!("tasks/{id}/cancel"), &json!({})).await?;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("illegal_transition")));
    Ok(())
}

#[tokio::test]
async fn a_run_over_its_timeout_ends_in_an_error() -> anyhow::Result<()> {
    let product = Product::start(&["--exec", "sleep 600"]).await?;
    let body = json!({ "agent_id": "demo", "message": "slow", "timeout_ms": 500 });
    let (_, accepted) = product.send(Method::POST, "tasks", &body).await?;
    let id = accepted["task"]["id"].as_str().unwrap();
    let task = product.task_in(id, "error").await?;
    assert!(task["error"].as_str().is_some_and(|error| error.contains("timed out")), "{task}");
    let runs = product.get(&format!("tasks/{id}/runs")).await?;
    assert_eq!(runs["items"][0]["status"], "timeout");
    Ok(())
}

#[tokio::test]
async fn a_plan_the_server_refuses_fails_the_run_and_says_why() -> anyhow::Result<()> {
    let agent = r#"echo '{"capstan":"event","event_type":7}'; echo '{"capstan":"subtask","colour":"red"}'"#;
    let product = Product::start(&["--exec", agent]).await?;
    let accepted = product.submit("plan").await?;
    let id = accepted["task"]["id"].as_str().unwrap();
    let task = product.task_in(id, "error").await?;
    assert!(task["error"].as_str().is_some_and(|error| error.contains("was refused")), "{task}");
    let runs = product.get(&format!("tasks/{id}/runs")).await?;
    assert_eq!(
        runs["items"][0]["attempts"].as_array().map(Vec::len),
        Some(1),
        "it is not tried again: {runs}"
    );
    let logs = product.get(&format!("tasks/{id}/logs")).await?.to_string();
    assert!(logs.contains("capstan: refused: message event"), "{logs}");
    Ok(())
}
