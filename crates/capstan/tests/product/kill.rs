//! Processes are killed under load; nothing acknowledged is lost or doubled.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use crate::process::{Product, eventually, is_gone, signal};

/// Submits keyed tasks until told to stop; every key is repeated until it is acknowledged. Answers key and task id
/// of everything acknowledged.
struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Vec<(String, String)>>>,
    clients: tokio::task::JoinSet<()>,
}

impl Load {
    fn start(product: &Product, clients: usize) -> Self {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let mut tasks = tokio::task::JoinSet::new();
        for client in 0..clients {
            let (stop, acknowledged) = (stop.clone(), acknowledged.clone());
            let (http, url) = (product.http.clone(), product.at("tasks"));
            tasks.spawn(async move {
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let key = format!("{client}-{number}");
                    let body = json!({ "agent_id": "demo", "message": key, "idempotency_key": key });
                    while !stop.load(Ordering::Relaxed) {
                        let answer =
                            http.post(&url).json(&body).timeout(Duration::from_secs(10)).send().await;
                        // No pause: the load is stopped as soon as its server is killed.
                        let Ok(answer) = answer else { continue };
                        if answer.status().is_success()
                            && let Ok(answer) = answer.json::<Value>().await
                            && let Some(id) = answer["task"]["id"].as_str()
                        {
                            acknowledged.lock().unwrap().push((key.clone(), id.to_owned()));
                            break;
                        }
                    }
                }
            });
        }
        Self { stop, acknowledged, clients: tasks }
    }

    async fn reach(&self, count: usize) -> anyhow::Result<()> {
        eventually("enough tasks are acknowledged", || async {
            Ok(self.acknowledged.lock().unwrap().len() >= count)
        })
        .await
    }

    fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    async fn finish(mut self) -> Vec<(String, String)> {
        self.stop.store(true, Ordering::Relaxed);
        while self.clients.join_next().await.is_some() {}
        std::mem::take(&mut *self.acknowledged.lock().unwrap())
    }
}

/// Every acknowledged task is there once, and ends well.
async fn all_there_once_and_done(product: &Product, acknowledged: &[(String, String)]) -> anyhow::Result<()> {
    let mut found = std::collections::BTreeMap::<String, Vec<String>>::new();
    let position = product.log_position().await?;
    eventually("no task is open", || async {
        let at = format!("&min_position={position}&wait_ms=10000");
        let open = product.get(&format!("tasks?state=queued,running,sleeping,waiting&limit=1{at}")).await?;
        Ok(open["items"] == json!([]))
    })
    .await?;
    let mut cursor = None::<String>;
    loop {
        let after = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let page = product.get(&format!("tasks?limit=500{after}")).await?;
        for task in page["items"].as_array().context("items")? {
            assert_eq!(task["state"], "done", "{task}");
            let message = task["message"].as_str().context("a message")?.to_owned();
            found.entry(message).or_default().push(task["id"].as_str().context("an id")?.to_owned());
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    for (key, id) in acknowledged {
        assert_eq!(found.get(key), Some(&vec![id.clone()]), "task of key {key}");
    }
    for (message, ids) in &found {
        assert_eq!(ids.len(), 1, "key {message} made several tasks: {ids:?}");
    }
    Ok(())
}

#[tokio::test]
async fn killing_capstan_under_load_loses_and_doubles_nothing() -> anyhow::Result<()> {
    // Attempts that die with the process come back after their lease.
    let mut product =
        Product::start(&["--exec", "true", "--lease-ms", "3000", "--class-concurrency", "4"]).await?;
    let mut acknowledged = Vec::new();
    for _ in 0..2 {
        let load = Load::start(&product, 8);
        load.reach(40).await?;
        let pid = product.pid()?;
        signal("KILL", pid).await?;
        acknowledged.extend(load.finish().await);
        product = product.crash_and_restart().await?;
    }
    // Keys of the second round repeat those of the first: they must meet the same tasks.
    acknowledged.sort();
    acknowledged.dedup();
    all_there_once_and_done(&product, &acknowledged).await
}

#[tokio::test]
async fn killing_nats_and_postgres_in_turn_is_noticed_and_healed() -> anyhow::Result<()> {
    let product =
        Product::start(&["--exec", "true", "--lease-ms", "3000", "--class-concurrency", "4"]).await?;
    let load = Load::start(&product, 8);
    for (victim, lock) in [("nats_pid", "nats-server.lock"), ("postgres_pid", "postgres.lock")] {
        load.reach(load.count() + 30).await?;
        // A server runs only with its lock. Next in line for it, we keep the server down until the loss was seen.
        let lock = std::fs::File::open(product.data_dir.join(lock))?;
        let held = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock));
        let pid = product.servers()?[victim].as_u64().context("a server's pid")?;
        signal("KILL", u32::try_from(pid)?).await?;
        let held = held.await??;
        eventually("the service says that it is not ready", || async { Ok(!is_ready(&product).await?) })
            .await?;
        drop(held);
        eventually("the service is ready again", || is_ready(&product)).await?;
    }
    load.reach(load.count() + 30).await?;
    let acknowledged = load.finish().await;
    all_there_once_and_done(&product, &acknowledged).await
}

async fn is_ready(product: &Product) -> anyhow::Result<bool> {
    let status = product.http.get(format!("{}/readyz", product.url)).send().await?.status();
    anyhow::ensure!(status.is_success() || status == reqwest::StatusCode::SERVICE_UNAVAILABLE, "{status}");
    Ok(status.is_success())
}

#[tokio::test]
async fn a_killed_capstan_leaves_no_process_behind() -> anyhow::Result<()> {
    let product = Product::start(&["--exec", "echo agent $$; sleep 600"]).await?;
    let accepted = product.submit("stay").await?;
    let id = accepted["task"]["id"].as_str().unwrap();
    product.task_in(id, "running").await?;
    let servers = product.servers()?;
    let pids = [servers["nats_pid"].as_u64(), servers["postgres_pid"].as_u64()];
    signal("KILL", product.pid()?).await?;
    for pid in pids {
        let pid = pid.context("a server's pid")?;
        eventually("the server is gone", || async { Ok(is_gone(&pid.to_string())) }).await?;
    }
    Ok(())
}

/// A worker in a process of its own that gives up quickly what it is to give up.
fn worker_of(product: &Product, command: &str) -> std::io::Result<tokio::process::Child> {
    let mut worker = tokio::process::Command::new(crate::process::CAPSTAN);
    worker.args([
        "worker",
        "--url",
        &product.url,
        "--drain-ms",
        "100",
        "--grace-ms",
        "1000",
        "--exec",
        command,
    ]);
    worker.kill_on_drop(true).spawn()
}

#[tokio::test]
async fn a_killed_worker_costs_an_attempt_but_no_task() -> anyhow::Result<()> {
    let product = Product::start(&["--no-worker", "--lease-ms", "2000"]).await?;
    let accepted = product.submit("survive").await?;
    let id = accepted["task"]["id"].as_str().unwrap();
    let worker = |command: &str| worker_of(&product, command);
    let mut first = worker("sleep 600")?;
    product.task_in(id, "running").await?;
    eventually("the attempt has started", || async {
        let runs = product.get(&format!("tasks/{id}/runs")).await?;
        Ok(runs["items"][0]["status"] == "running")
    })
    .await?;
    first.kill().await?;
    let mut second = worker("true")?;
    product.task_in(id, "done").await?;
    let runs = product.get(&format!("tasks/{id}/runs")).await?;
    let outcomes: Vec<_> =
        runs["items"][0]["attempts"].as_array().into_iter().flatten().map(|a| a["status"].clone()).collect();
    assert_eq!(outcomes, [json!("lost"), json!("ok")], "{runs}");
    second.kill().await?;
    Ok(())
}

#[tokio::test]
async fn a_paused_worker_that_comes_back_late_changes_nothing() -> anyhow::Result<()> {
    let product = Product::start(&["--no-worker", "--lease-ms", "1500"]).await?;
    let accepted = product.submit("fenced").await?;
    let id = accepted["task"]["id"].as_str().unwrap();
    let worker = |command: &str| worker_of(&product, command);
    let mut late = worker("sleep 600")?;
    product.task_in(id, "running").await?;
    signal("STOP", late.id().context("a running worker")?).await?;
    let mut prompt = worker("echo the second worker; true")?;
    let done = product.task_in(id, "done").await?;
    let events_before = product.get(&format!("tasks/{id}/history")).await?;
    signal("CONT", late.id().context("a running worker")?).await?;
    // The late worker learns that its lease is lost and asks for new work: let it take a task to prove it is back.
    prompt.kill().await?;
    let next = product.submit("after the pause").await?;
    product.task_in(next["task"]["id"].as_str().unwrap(), "running").await?;
    assert_eq!(product.get(&format!("tasks/{id}")).await?["version"], done["version"]);
    assert_eq!(product.get(&format!("tasks/{id}/history")).await?["items"], events_before["items"]);
    late.kill().await?;
    Ok(())
}

#[tokio::test]
async fn a_killed_worker_leaves_no_process_of_its_agents_behind() -> anyhow::Result<()> {
    let product = Product::start(&["--no-worker"]).await?;
    let accepted = product.submit("fork").await?;
    let id = accepted["task"]["id"].as_str().unwrap();
    let mut worker = worker_of(&product, "sleep 600 & echo child $!; wait")?;
    let child = || async {
        let logs = product.get(&format!("tasks/{id}/logs")).await?;
        let lines = logs["items"].as_array().cloned().unwrap_or_default();
        let texts = lines.iter().filter_map(|line| line["data"].as_str());
        anyhow::Ok(texts.filter_map(|text| text.strip_prefix("child ")).map(str::to_owned).next())
    };
    eventually("the agent says its child", || async { Ok(child().await?.is_some()) }).await?;
    let child = child().await?.context("a child")?;
    worker.kill().await?;
    eventually("the agent's child is gone", || async { Ok(is_gone(&child)) }).await
}

#[tokio::test]
async fn a_worker_that_stops_hands_back_what_it_cannot_finish() -> anyhow::Result<()> {
    // The lease would outlast the test: only handing back lets another worker have the attempt in time.
    let product = Product::start(&["--no-worker", "--lease-ms", "600000"]).await?;
    let accepted = product.submit("hand over").await?;
    let id = accepted["task"]["id"].as_str().unwrap();
    let mut first = worker_of(&product, "echo first; sleep 600")?;
    eventually("the agent works", || async {
        Ok(product.get(&format!("tasks/{id}/logs")).await?.to_string().contains("first"))
    })
    .await?;
    signal("TERM", first.id().context("a running worker")?).await?;
    let mut second = worker_of(&product, "true")?;
    product.task_in(id, "done").await?;
    let runs = product.get(&format!("tasks/{id}/runs")).await?;
    let attempt = &runs["items"][0]["attempts"][0];
    assert_eq!(
        (&attempt["status"], &attempt["error"]),
        (&json!("lost"), &json!("the worker stops")),
        "{runs}"
    );
    assert!(first.wait().await?.success());
    second.kill().await?;
    Ok(())
}
