//! Agents of the runner `claude_code`, with a stand-in for the command line that speaks its documented messages.

use std::path::{Path, PathBuf};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::process::{Product, eventually, is_gone};

const STAND_IN: &str = concat!("python3 ", env!("CARGO_MANIFEST_DIR"), "/tests/product/claude_stand_in.py");

async fn product() -> anyhow::Result<Product> {
    let arguments = ["--runner", "claude_code", "--claude", STAND_IN, "--class-concurrency", "4"];
    Product::start(&[&arguments[..], &["--grace-ms", "3000"]].concat()).await
}

/// The texts of the task's log, of one kind.
async fn logged(product: &Product, id: &str, kind: &str) -> anyhow::Result<Vec<String>> {
    let logs = product.get(&format!("tasks/{id}/logs")).await?;
    let lines = logs["items"].as_array().cloned().unwrap_or_default();
    let lines = lines.iter().filter(|line| line["kind"] == "log");
    let of_kind = lines.filter(|line| line["chunk_type"].as_str().unwrap_or_default() == kind);
    Ok(of_kind.map(|line| line["data"].as_str().unwrap_or_default().to_owned()).collect())
}

async fn answers(product: &Product, id: &str) -> anyhow::Result<Vec<String>> {
    let outputs = product.get(&format!("tasks/{id}/outputs")).await?;
    let texts = outputs["items"].as_array().into_iter().flatten();
    Ok(texts.map(|output| output["data"]["text"].as_str().unwrap_or_default().to_owned()).collect())
}

async fn say(product: &Product, id: &str, message: &str) -> anyhow::Result<Value> {
    let (status, answer) =
        product.send(Method::POST, &format!("tasks/{id}/input"), &json!({ "message": message })).await?;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    Ok(answer)
}

/// The command line's session of every process, as it was told to the server.
async fn sessions(product: &Product, id: &str) -> anyhow::Result<Vec<Value>> {
    let logs = product.get(&format!("tasks/{id}/logs")).await?;
    let events = logs["items"].as_array().cloned().unwrap_or_default().into_iter();
    let of_session = events.filter(|event| event["event_type"] == "agent_session");
    Ok(of_session.map(|event| event["payload"]["session_id"].clone()).collect())
}

/// Says something to a finished task and waits until it is done again.
async fn go_on(product: &Product, id: &str, message: &str) -> anyhow::Result<Value> {
    let answer = say(product, id, message).await?;
    let position = answer["receipt"]["position"].as_str().unwrap();
    product.get(&format!("tasks/{id}?min_position={position}")).await?;
    product.task_in(id, "done").await
}

fn conversations_in(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            conversations_in(&path, found);
        } else if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("conversation-")) {
            found.push(path);
        }
    }
}

#[tokio::test]
async fn a_conversation_is_held_resumed_and_begun_anew_when_it_is_gone() -> anyhow::Result<()> {
    let product = product().await?;
    let body = json!({ "agent_id": "demo", "message": "hello there", "extra_system_prompt": "Be kind." });
    let (_, accepted) = product.send(Method::POST, "tasks", &body).await?;
    let id = accepted["task"]["id"].as_str().unwrap();
    let done = product.task_in(id, "done").await?;
    assert_eq!(answers(&product, id).await?, ["Heard 'hello there' after [], told 'Be kind.'."]);
    // What the parts of messages state is not counted beside the result.
    let used = |task: &Value| {
        let usage = &task["usage"];
        (usage["input_tokens"].as_u64(), usage["total_tokens"].as_u64(), task["cost_usd"].as_f64())
    };
    assert_eq!(used(&done), (Some(10), Some(115), Some(0.25)), "{done}");
    assert_eq!(logged(&product, id, "tool_use").await?, [r#"Bash {"command":"ls"}"#]);
    assert_eq!(logged(&product, id, "tool_result").await?, ["a.txt"]);
    assert_eq!(logged(&product, id, "").await?.first().map(String::as_str), Some("a line nobody expects"));

    let done = go_on(&product, id, "and then?").await?;
    let heard = answers(&product, id).await?;
    assert!(
        heard.contains(&"Heard 'and then?' after ['hello there'], told 'Be kind.'.".to_owned()),
        "{heard:?}"
    );
    assert_eq!(used(&done), (Some(20), Some(230), Some(0.5)), "{done}");
    let sessions = sessions(&product, id).await?;
    assert!(sessions.len() == 2 && sessions[0] == sessions[1], "{sessions:?}");

    let mut conversations = Vec::new();
    conversations_in(&product.data_dir.join("worker"), &mut conversations);
    assert_eq!(conversations.len(), 1);
    std::fs::remove_file(&conversations[0])?;
    go_on(&product, id, "still there?").await?;
    let heard = answers(&product, id).await?;
    let anew = heard.iter().find(|answer| answer.contains("still there?")).unwrap();
    assert!(
        anew.contains("history of that conversation is not available") && anew.contains("after []"),
        "{anew}"
    );
    Ok(())
}

#[tokio::test]
async fn a_failed_turn_fails_the_task_with_what_the_agent_said() -> anyhow::Result<()> {
    let product = product().await?;
    let attempts = |runs: &Value| runs["items"][0]["attempts"].as_array().map_or(0, Vec::len);
    for (message, says) in [("turns", "error_max_turns"), ("silent", "something went wrong")] {
        let accepted = product.submit(message).await?;
        let id = accepted["task"]["id"].as_str().unwrap();
        let failed = product.task_in(id, "error").await?;
        assert!(failed["error"].as_str().is_some_and(|error| error.contains(says)), "{failed}");
        let runs = product.get(&format!("tasks/{id}/runs")).await?;
        assert_eq!(attempts(&runs), 1, "{message}: {runs}");
    }
    let limited = product.submit("limit").await?;
    let id = limited["task"]["id"].as_str().unwrap();
    eventually("an agent that met a limit is tried again", || async {
        let runs = product.get(&format!("tasks/{id}/runs")).await?;
        let error = runs["items"][0]["attempts"][0]["error"].as_str().unwrap_or_default().to_owned();
        Ok(attempts(&runs) >= 2 && error.contains("429"))
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_question_is_answered_in_the_live_conversation() -> anyhow::Result<()> {
    let product = product().await?;
    let accepted = product.submit("ask me").await?;
    let id = accepted["task"]["id"].as_str().unwrap();
    let waiting = product.task_in(id, "waiting").await?;
    assert_eq!(waiting["current_blocker"]["summary"], "Which colour?");
    assert_eq!(say(&product, id, "blue").await?["outcome"], "delivered");
    let done = product.task_in(id, "done").await?;
    let heard = answers(&product, id).await?;
    assert!(heard.contains(&"Heard 'blue' after ['ask me'], told 'none'.".to_owned()), "{heard:?}");
    let runs = product.get(&format!("tasks/{id}/runs")).await?;
    assert_eq!(
        runs["items"].as_array().map(Vec::len),
        Some(1),
        "one process held the whole conversation: {runs}"
    );
    // The second result states the totals of both turns.
    assert_eq!((&done["usage"]["input_tokens"], &done["cost_usd"]), (&json!(20), &json!(0.5)), "{done}");
    Ok(())
}

#[tokio::test]
async fn a_permission_the_command_line_asks_for_is_decided_by_a_person() -> anyhow::Result<()> {
    let product = product().await?;
    let accepted = product.submit("run it").await?;
    let id = accepted["task"]["id"].as_str().unwrap();
    let waiting = product.task_in(id, "waiting").await?;
    assert!(waiting["current_blocker"]["tool_call_id"].is_string(), "{waiting}");
    eventually("the turn ends without the call", || async {
        Ok(answers(&product, id).await?.iter().any(|answer| answer.starts_with("Denied: Not now")))
    })
    .await?;
    product.send(Method::POST, &format!("tasks/{id}/input"), &json!({ "action": "approve" })).await?;
    product.task_in(id, "done").await?;
    let heard = answers(&product, id).await?;
    assert!(heard.contains(&"Deployed.".to_owned()), "told to repeat it, it was let through: {heard:?}");
    Ok(())
}

#[tokio::test]
async fn a_cancelled_agent_is_interrupted_and_its_whole_group_ended() -> anyhow::Result<()> {
    let product = product().await?;
    let accepted = product.submit("hang around").await?;
    let id = accepted["task"]["id"].as_str().unwrap();
    eventually("the agent says its child", || async {
        Ok(logged(&product, id, "text").await?.iter().any(|text| text.starts_with("child ")))
    })
    .await?;
    let texts = logged(&product, id, "text").await?;
    let child = texts.iter().find_map(|text| text.strip_prefix("child ")).unwrap().to_owned();
    product.send(Method::POST, &format!("tasks/{id}/cancel"), &json!({ "reason": "enough" })).await?;
    product.task_in(id, "cancelled").await?;
    eventually("the agent's child is gone", || async { Ok(is_gone(&child)) }).await?;
    eventually("the interrupted turn was heard out", || async {
        Ok(logged(&product, id, "text").await?.contains(&"interrupted".to_owned()))
    })
    .await?;
    Ok(())
}
