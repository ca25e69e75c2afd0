//! The same key gives the same task, for ever.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::process::Product;

#[tokio::test]
async fn a_repeated_key_gives_the_first_task_even_after_a_crash() -> anyhow::Result<()> {
    let product = Product::start(&["--exec", "true"]).await?;
    let body = json!({ "agent_id": "demo", "message": "once", "idempotency_key": "k-1" });
    let (status, first) = product.send(Method::POST, "tasks", &body).await?;
    assert_eq!((status, &first["receipt"]["duplicate"]), (StatusCode::ACCEPTED, &json!(false)));

    let check_repeat = async |product: &Product| -> anyhow::Result<()> {
        let (status, repeat) = product.send(Method::POST, "tasks", &body).await?;
        assert_eq!((status, &repeat["receipt"]["duplicate"]), (StatusCode::OK, &json!(true)));
        assert_eq!(repeat["task"]["id"], first["task"]["id"]);
        assert_eq!(repeat["receipt"]["position"], first["receipt"]["position"]);
        let mut other = body.clone();
        other["message"] = Value::from("another");
        let (status, problem) = product.send(Method::POST, "tasks", &other).await?;
        assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("idempotency_conflict")));
        Ok(())
    };
    check_repeat(&product).await?;
    let product = product.crash_and_restart().await?;
    check_repeat(&product).await?;
    let product = product.stop_and_restart().await?;
    check_repeat(&product).await?;
    let tasks = product.get("tasks").await?;
    assert_eq!(tasks["items"].as_array().map(Vec::len), Some(1), "{tasks}");
    Ok(())
}

#[tokio::test]
async fn concurrent_repeats_of_one_key_make_one_task() -> anyhow::Result<()> {
    let product = Product::start(&["--exec", "true"]).await?;
    let body = json!({ "agent_id": "demo", "message": "once", "idempotency_key": "race" });
    let sends = (0..16).map(|_| product.send(Method::POST, "tasks", &body));
    let answers = futures_util::future::try_join_all(sends).await?;
    let firsts = answers.iter().filter(|(status, _)| *status == StatusCode::ACCEPTED).count();
    let repeats = answers.iter().filter(|(status, _)| *status == StatusCode::OK).count();
    assert_eq!((firsts, repeats), (1, 15), "{answers:?}");
    assert!(answers.iter().all(|(_, answer)| answer["task"]["id"] == answers[0].1["task"]["id"]));
    Ok(())
}

#[tokio::test]
async fn a_repeated_input_has_one_effect_and_one_answer() -> anyhow::Result<()> {
    let product = Product::start(&["--exec", "cat"]).await?;
    let accepted = product.submit("first").await?;
    let id = accepted["task"]["id"].as_str().unwrap();
    product.task_in(id, "done").await?;
    let body = json!({ "message": "again", "idempotency_key": "i-1" });
    let path = format!("tasks/{id}/input");
    let (_, first) = product.send(Method::POST, &path, &body).await?;
    let (_, repeat) = product.send(Method::POST, &path, &body).await?;
    assert_eq!(first["input_id"], repeat["input_id"]);
    assert_eq!(repeat["receipt"]["duplicate"], true);
    product.task_in(id, "done").await?;
    let inputs = product.get(&format!("tasks/{id}/inputs")).await?;
    assert_eq!(inputs["items"].as_array().map(Vec::len), Some(1), "{inputs}");
    Ok(())
}
