//! A process that starts while Postgres is away.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use capstan_testkit::servers::TestServers;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use crate::operations::serve_with;
use crate::process::{eventually, http_client};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Lets Postgres be reached at `at` from now on, while this future runs.
async fn come_back(at: SocketAddr, postgres: String) -> anyhow::Result<()> {
    let listener = TcpListener::bind(at).await?;
    loop {
        let (mut client, _) = listener.accept().await?;
        let mut server = TcpStream::connect(&postgres).await?;
        tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
    }
}

#[tokio::test]
async fn a_process_starts_leads_and_works_without_postgres_and_shows_everything_when_it_is_there()
-> anyhow::Result<()> {
    let servers = TestServers::start().await?;
    let database_url = servers.fresh_database().await?;
    let (_, rest) = database_url.split_once('@').context("a user")?;
    let (postgres, _) = rest.split_once('/').context("a database")?;
    let address = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let away = database_url.replace(postgres, &address.to_string());
    let environment =
        [("NATS_URL", servers.nats_url()), ("DATABASE_URL", away), ("CAPSTAN_ADMIN_TOKEN", TOKEN.to_owned())];
    let environment: Vec<_> = environment.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let (_process, url) =
        serve_with(&["--workspace", "dev"], &environment, std::process::Stdio::inherit()).await?;
    let http = http_client()?;
    let send = |method: Method, path: &str, body: Value, epoch: Option<u64>| {
        let request = http.request(method, format!("{url}{path}")).bearer_auth(TOKEN);
        let request = match epoch {
            Some(epoch) => request.header("capstan-lease-epoch", epoch),
            None => request,
        };
        let request = if body.is_null() { request } else { request.json(&body) };
        async move {
            let answer = request.send().await?;
            let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
            anyhow::Ok((status, headers, answer.json::<Value>().await.unwrap_or_default()))
        }
    };
    let post = |path: &str, body: Value| send(Method::POST, path, body, None);
    let get = |path: &str| send(Method::GET, path, Value::Null, None);

    let (status, _, agent) =
        post("/v1/workspaces/dev/agents", json!({ "agent_key": "demo", "name": "D" })).await?;
    ensure!(status == 201, "{status} {agent}");
    let task = json!({ "agent_id": "demo", "message": "x" });
    let (status, _, accepted) = post("/v1/workspaces/dev/tasks", task).await?;
    ensure!(status == 202, "{status} {accepted}");
    let task_id = accepted["task"]["id"].as_str().with_context(|| accepted.to_string())?;

    // The engine leads from the log.
    let worker = std::sync::Mutex::new(String::new());
    eventually("an engine takes workers", || async {
        let (status, _, registered) = post("/v1/workers", json!({ "name": "w", "slots": 1 })).await?;
        ensure!(status < 300, "{status} {registered}");
        *worker.lock().unwrap() = registered["worker_id"].as_str().context("a worker")?.to_owned();
        Ok(true)
    })
    .await?;
    let lease = format!("/v1/workers/{}/lease", worker.into_inner()?);
    let (_, _, leased) = post(&lease, json!({ "max": 1, "wait_ms": 20_000 })).await?;
    let attempt = leased[0]["attempt_id"].as_str().with_context(|| leased.to_string())?.to_owned();
    let epoch = leased[0]["epoch"].as_u64().context("an epoch")?;
    let (path, end) =
        (format!("/v1/attempts/{attempt}/finish"), json!({ "outcome": "ok", "result": "well" }));
    let (status, _, answer) = send(Method::POST, &path, end, Some(epoch)).await?;
    ensure!(status < 300, "{status} {answer}");

    // Reads say that they cannot be answered yet, and readiness says why.
    let shown = format!("/v1/workspaces/dev/tasks/{task_id}");
    let (status, headers, answer) = get(&shown).await?;
    assert_eq!((status, &answer["code"]), (503, &json!("read_model_unavailable")), "{answer}");
    assert!(headers.contains_key("retry-after"), "{headers:?}");
    let (status, _, answer) = get("/readyz").await?;
    assert_eq!(status, 503);
    assert!(answer.to_string().contains("read models"), "{answer}");

    let _postgres =
        tokio_util::task::AbortOnDropHandle::new(tokio::spawn(come_back(address, postgres.to_owned())));
    eventually("the task is shown as done", || async {
        let (status, _, task) = get(&shown).await?;
        Ok(status == 200 && task["state"] == "done")
    })
    .await?;
    eventually("the process is ready", || async { Ok(get("/readyz").await?.0 == 200) }).await
}
