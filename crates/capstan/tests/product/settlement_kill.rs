//! Capstan is killed in the middle of a settlement, and while a tool is carried out: nothing is lost and nothing happens
//! twice.

use std::path::Path;

use anyhow::{Context, ensure};
use futures_util::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::bus::commits;
use crate::process::{CAPSTAN, PATIENCE, Product, eventually, repository};
use crate::sse;
use crate::worker_by_hand::{Attempt, Worker};

/// The progress of an attempt's last report when capstan is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// Half of the request is sent.
    HalfSaid,
    /// The request is sent, and nothing is known.
    Said,
    /// The commit is on its way to the log.
    OnItsWay,
    /// The live stream tells the end.
    Told,
    /// The read model shows the end.
    Shown,
}

/// The events of a task by their names.
async fn names(product: &Product, id: &str) -> anyhow::Result<Vec<String>> {
    let history = product.get(&format!("tasks/{id}/history?limit=500")).await?;
    let entries = history["items"].as_array().cloned().unwrap_or_default();
    Ok(entries.iter().filter_map(|entry| entry["event"].as_str().map(str::to_owned)).collect())
}

fn count(names: &[String], name: &str) -> usize {
    names.iter().filter(|found| *found == name).count()
}

/// Waits for a commit on the bus that holds an event of this name. The bus shows it when it is sent, stored or not.
async fn on_its_way(commits: &mut async_nats::Subscriber, event: &str) -> anyhow::Result<()> {
    let event = format!("\"{event}\"");
    let seen = async {
        while let Some(commit) = commits.next().await {
            if String::from_utf8_lossy(&commit.payload).contains(&event) {
                return Ok(());
            }
        }
        anyhow::bail!("the bus is gone")
    };
    tokio::time::timeout(PATIENCE, seen).await.with_context(|| format!("no {event} on the bus"))?
}

/// The last report, with all that hangs on it: an approved output that becomes active, and a subtask.
fn ending() -> Value {
    json!({ "outcome": "ok", "subtasks": [{ "prompt": "the rest", "label": "Rest" }] })
}

/// Says the last report on a connection of its own until the moment has come; nobody reads the answer.
async fn say_until(product: &Product, attempt: &Attempt, moment: Moment) -> anyhow::Result<TcpStream> {
    let mut commits = commits(product, &attempt.task_id).await?;
    let request = attempt.request(product, "finish", &ending()).header("idempotency-key", "end").build()?;
    let address = product.url.trim_start_matches("http://");
    let mut head = format!("POST {} HTTP/1.1\r\nhost: {address}\r\n", request.url().path());
    let body = request.body().and_then(reqwest::Body::as_bytes).context("a body")?;
    for (name, value) in request.headers() {
        head += &format!("{name}: {}\r\n", value.to_str()?);
    }
    head += &format!("content-length: {}\r\n\r\n", body.len());
    let said = match moment {
        Moment::HalfSaid => &body[..body.len() / 2],
        _ => body,
    };
    let told = format!("tasks/{}/stream?after=0", attempt.task_id);
    let mut connection = TcpStream::connect(address).await?;
    connection.write_all(&[head.as_bytes(), said].concat()).await?;
    match moment {
        Moment::HalfSaid | Moment::Said => {}
        Moment::OnItsWay => on_its_way(&mut commits, "attempt-ended").await?,
        Moment::Told => {
            sse::read_until(product, &told, None, |frame| frame.event == "attempt-ended").await?;
        }
        Moment::Shown => {
            product.task_in(&attempt.task_id, "done").await?;
        }
    }
    Ok(connection)
}

#[tokio::test]
async fn a_settlement_capstan_is_killed_in_happens_once_and_whole() -> anyhow::Result<()> {
    let mut product =
        Product::start(&["--no-worker", "--lease-ms", "60000", "--class-concurrency", "4"]).await?;
    for moment in [Moment::HalfSaid, Moment::Said, Moment::OnItsWay, Moment::Told, Moment::Shown] {
        let worker = Worker::register(&product).await?;
        let accepted = product.submit(&format!("{moment:?}")).await?;
        let id = accepted["task"]["id"].as_str().context("a task")?;
        let attempt = worker.take(&product).await?;
        ensure!(attempt.task_id == id, "{moment:?}");
        let output = attempt.produce(&product, "Result").await?;
        let question = json!({ "kind": "approval", "summary": "Is it good?", "output_ids": [output] });
        attempt.report(&product, "blockers", question).await?;
        let yes = json!({ "action": "approve" });
        product.send(Method::POST, &format!("tasks/{id}/input"), &yes).await?;
        attempt.hear(&product).await?;
        let connection = say_until(&product, &attempt, moment).await?;
        product = product.crash_and_restart().await?;
        drop(connection);

        // As a worker does that has heard nothing: it says it again, under the same key.
        for _ in 0..2 {
            let again = attempt.request(&product, "finish", &ending()).header("idempotency-key", "end");
            let answer = again.send().await?;
            let is_success = answer.status().is_success();
            let answer = answer.text().await?;
            ensure!(is_success, "{moment:?}: {answer} {:?}", names(&product, id).await?);
        }
        product.task_in(id, "done").await?;
        let names = names(&product, id).await?;
        for once in ["attempt-leased", "attempt-ended", "run-ended", "output-produced", "task-done"] {
            ensure!(count(&names, once) == 1, "{moment:?}: {once} in {names:?}");
        }
        let outputs = product.get(&format!("tasks/{id}/outputs")).await?;
        let statuses: Vec<_> =
            outputs["items"].as_array().into_iter().flatten().map(|output| &output["status"]).collect();
        ensure!(statuses == [&json!("active")], "{moment:?}: {outputs}");

        // The subtask is there, once.
        let worker = Worker::register(&product).await?;
        let child = worker.take(&product).await?;
        child.report(&product, "finish", json!({ "outcome": "ok" })).await?;
        product.task_in(&child.task_id, "done").await?;
        let children = product.get(&format!("tasks?parent_task_id={id}")).await?;
        let ids: Vec<_> =
            children["items"].as_array().into_iter().flatten().map(|child| &child["id"]).collect();
        ensure!(ids == [&json!(child.task_id)], "{moment:?}: {children}");
    }
    Ok(())
}

/// A worker in a process of its own, which outlives capstan.
fn worker_of(product: &Product, arguments: &[&str]) -> std::io::Result<tokio::process::Child> {
    let mut worker = tokio::process::Command::new(CAPSTAN);
    worker.args(["worker", "--url", &product.url]).args(arguments);
    worker.current_dir(repository()).kill_on_drop(true).spawn()
}

fn lines(file: &Path) -> Vec<String> {
    let mut lines: Vec<_> =
        std::fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn agents_of_a_worker_that_outlives_capstan_run_once_however_often_it_is_killed_as_they_end()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("runs");
    // What an agent does to the world is a line in a file.
    let agent = format!(
        r#"echo "$CAPSTAN_TASK_ID" >> {}; echo '{{"capstan":"output","output_type":"note","title":"Done"}}'"#,
        file.display()
    );
    let mut product = Product::start(&["--no-worker", "--class-concurrency", "4"]).await?;
    let mut worker = worker_of(&product, &["--slots", "4", "--exec", &agent])?;
    let mut ids = Vec::new();
    for ends in [1, 2, 4] {
        let mut commits = commits(&product, "*").await?;
        for _ in 0..6 {
            let accepted = product.submit("run once").await?;
            ids.push(accepted["task"]["id"].as_str().context("a task")?.to_owned());
        }
        for _ in 0..ends {
            on_its_way(&mut commits, "attempt-ended").await?;
        }
        product = product.crash_and_restart().await?;
    }
    for id in &ids {
        product.task_in(id, "done").await?;
        let names = names(&product, id).await?;
        for once in ["attempt-started", "output-produced", "run-ended", "task-done"] {
            ensure!(count(&names, once) == 1, "{once} in {names:?}");
        }
        // One that was given out as capstan died reached nobody, and ended with its lease.
        ensure!(count(&names, "attempt-ended") == count(&names, "attempt-leased"), "{names:?}");
    }
    ids.sort();
    ensure!(lines(&file) == ids, "each agent once: {:?}", lines(&file));
    worker.kill().await?;
    Ok(())
}

#[tokio::test]
async fn a_tool_that_runs_while_capstan_is_killed_has_its_effect_once_and_its_result_is_told()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (file, go) = (folder.path().join("calls"), folder.path().join("go"));
    let tool = format!(
        "crm.update=read line; echo \"$line\" >> {}; while [ ! -e {} ]; do sleep 0.05; done; echo \"stored $line\"",
        file.display(),
        go.display()
    );
    let agent = concat!("python3 ", env!("CARGO_MANIFEST_DIR"), "/tests/product/tool_agent.py");
    let mut product = Product::start(&["--no-worker", "--lease-ms", "60000"]).await?;
    let mut worker = worker_of(&product, &["--exec", agent, "--tool", &tool])?;
    let accepted = product.submit("call live").await?;
    let id = accepted["task"]["id"].as_str().context("a task")?;
    product
        .task_when(id, "asking about its call", |task| task["current_blocker"]["tool_call_id"].is_string())
        .await?;
    let yes = json!({ "action": "approve", "idempotency_key": "yes" });
    let input = format!("tasks/{id}/input");
    product.send(Method::POST, &input, &yes).await?;
    eventually("the tool runs", || async { Ok(!lines(&file).is_empty()) }).await?;
    // While it runs, while its result is on its way, and again.
    product = product.crash_and_restart().await?;
    let mut commits = commits(&product, "*").await?;
    std::fs::write(&go, "")?;
    on_its_way(&mut commits, "tool-execution-ended").await?;
    product = product.crash_and_restart().await?;
    product.task_in(id, "done").await?;
    ensure!(lines(&file) == ["{\"n\":1}"], "carried out once: {:?}", lines(&file));
    let names = names(&product, id).await?;
    ensure!(count(&names, "tool-execution-ended") == 1, "{names:?}");
    let heard = product.get(&format!("tasks/{id}/outputs")).await?.to_string();
    ensure!(heard.matches("stored {").count() == 1, "{heard}");
    worker.kill().await?;
    Ok(())
}
