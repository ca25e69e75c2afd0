//! A log whose beginning is archived: what was carried forward is as it was.

use anyhow::ensure;
use capstan_testkit::servers::TestServers;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::operations::{capstan, text};
use crate::process::Product;

/// Changes an agent under a key.
fn rated(number: usize) -> Value {
    json!({ "quality_score": number, "idempotency_key": format!("rating {number}") })
}

/// The same command on the bus.
async fn rated_on_the_bus(product: &Product, number: usize) -> anyhow::Result<Value> {
    let bus = async_nats::connect(product.servers()?["nats_url"].as_str().unwrap_or_default()).await?;
    let mut command = rated(number);
    command["agent_id"] = json!("deep");
    let answer = bus.request("capstan.rpc.dev.update-agent", command.to_string().into()).await?;
    Ok(serde_json::from_slice(&answer.payload)?)
}

/// Repeats an old command: it is known, whether or not its answer is.
async fn rate_again(product: &Product, number: usize, is_answer_known: bool) -> anyhow::Result<()> {
    let (status, http) = product.send(Method::PATCH, "agents/deep", &rated(number)).await?;
    let bus = rated_on_the_bus(product, number).await?;
    for answer in [http, bus] {
        if is_answer_known {
            assert_eq!((status, &answer["receipt"]["duplicate"]), (StatusCode::OK, &json!(true)), "{answer}");
        } else {
            let code = json!("idempotency_key_archived");
            assert_eq!((status, &answer["code"]), (StatusCode::CONFLICT, &code), "{answer}");
        }
    }
    let agent = product.get("agents/deep").await?;
    assert_eq!(agent["quality_score"].as_f64(), Some(41.0), "nothing was applied again: {agent}");
    Ok(())
}

/// Names an archived position of a task: reads have reached it, but what stood there is gone.
async fn archived_positions(product: &Product, id: &str, position: &str) -> anyhow::Result<()> {
    let task = product.get(&format!("tasks/{id}?min_position={position}")).await?;
    assert_eq!(task["state"], "done", "{task}");
    let ask = async |query: &str| -> anyhow::Result<(StatusCode, Value)> {
        let answer = product.http.get(product.at(&format!("tasks/{id}{query}"))).send().await?;
        Ok((answer.status(), answer.json().await?))
    };
    let (status, past) = ask(&format!("?as_of={position}")).await?;
    assert_eq!((status, &past["code"]), (StatusCode::CONFLICT, &json!("position_unknown")), "{past}");
    assert_eq!(past["detail"], format!("what stood at position {position} is archived"));
    // Beyond the end there is nothing that could have been archived.
    let (status, beyond) = ask("?min_position=0-9999999-00000000").await?;
    assert_eq!((status, &beyond["code"]), (StatusCode::CONFLICT, &json!("position_unknown")), "{beyond}");
    Ok(())
}

/// Writes into the metadata of the log what is archived, and up to which it was carried forward.
async fn declare(product: &Product, through: u64, carried_through: u64) -> anyhow::Result<()> {
    let bus = async_nats::connect(product.servers()?["nats_url"].as_str().unwrap_or_default()).await?;
    let info = bus.request("$JS.API.STREAM.INFO.CAPSTAN_EVENTS", "{}".into()).await?;
    let mut config = serde_json::from_slice::<Value>(&info.payload)?["config"].clone();
    config["metadata"]["archived_through"] = json!(through.to_string());
    config["metadata"]["carried_through"] = json!(carried_through.to_string());
    let updated = bus.request("$JS.API.STREAM.UPDATE.CAPSTAN_EVENTS", config.to_string().into()).await?;
    let updated: Value = serde_json::from_slice(&updated.payload)?;
    ensure!(updated.get("error").is_none(), "{updated}");
    Ok(())
}

#[tokio::test]
async fn what_an_archived_log_carries_forward_is_as_it_was_and_nothing_runs_twice() -> anyhow::Result<()> {
    let product = Product::start(&["--exec", "true"]).await?;
    let data_dir = product.data_dir.to_string_lossy().into_owned();
    let log = async |product: &Product, arguments: &[&str]| {
        product.command(&[&["log"], arguments, &["--data-dir", &data_dir]].concat()).await
    };
    let body = json!({
        "agent_id": "demo", "message": "once", "idempotency_key": "k-1", "session_key": "mail", "label": "old"
    });
    let (_, first) = product.send(Method::POST, "tasks", &body).await?;
    let id = first["task"]["id"].as_str().unwrap().to_owned();
    let before = product.task_in(&id, "done").await?;
    // A command that begins a session's task, and one that goes on with it.
    let of_session = |number: u32| {
        json!({
            "agent_id": "demo", "message": "talk", "idempotency_key": format!("talk-{number}"), "session_id": "talk"
        })
    };
    let (_, begun) = product.send(Method::POST, "tasks", &of_session(1)).await?;
    let talk_id = begun["task"]["id"].as_str().unwrap().to_owned();
    product.task_in(&talk_id, "done").await?;
    let (_, goes_on) = product.send(Method::POST, "tasks", &of_session(2)).await?;
    assert_eq!(goes_on["continued"], json!(true), "{goes_on}");
    let version = goes_on["receipt"]["version"].as_u64();
    product
        .task_when(&talk_id, "done again", |task| {
            task["state"] == "done" && task["version"].as_u64() > version
        })
        .await?;
    let agent = product.get("agents/demo").await?;
    // As many levels as a body may have lie deeper in a row, in a state, and in the commit that carries it forward.
    let nested = (0..61).fold(json!({}), |inner, _| json!({ "n": inner }));
    let deep = json!({
        "agent_key": "deep", "name": "x".repeat(256), "config": { "runner": "process", "nested": nested },
    });
    let (status, made) = product.send(Method::POST, "agents", &deep).await?;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    for number in 1..=41 {
        let (status, answer) = product.send(Method::PATCH, "agents/deep", &rated(number)).await?;
        assert_eq!((status, &answer["receipt"]["duplicate"]), (StatusCode::OK, &json!(false)), "{answer}");
    }
    let deep = product.get("agents/deep").await?;
    assert_eq!(deep["config"]["nested"], nested, "{deep}");
    let (_, by_deep) =
        product.send(Method::POST, "tasks", &json!({ "agent_id": "deep", "message": "a" })).await?;
    product.task_in(by_deep["task"]["id"].as_str().unwrap(), "done").await?;
    // What is not asked for, or too young, stays.
    let nothing = log(&product, &["archive", "--through", "1000000"]).await?;
    let told = "nothing to archive: --keep-days 2 keeps every commit that was asked for";
    ensure!(nothing.contains(told), "{nothing}");
    // Nor is anything archived up to a position of another log, though this one has a commit of that number.
    for foreign in ["0-2-00000000", "0-9999999-00000000"] {
        let refused =
            log(&product, &["archive", "--through", foreign, "--keep-days", "0"]).await.unwrap_err();
        let told = format!("archive the log up to {foreign}: this log does not hold that position");
        ensure!(refused.to_string().contains(&told), "{refused}");
    }
    let position = first["receipt"]["position"].as_str().unwrap();
    let number = position.split('-').nth(1).unwrap();
    let dry = log(&product, &["archive", "--through", position, "--keep-days", "0", "--dry-run"]).await?;
    ensure!(dry.contains(&format!("{number} is the last one asked for")), "{dry}");
    let archived = log(&product, &["archive", "--through", "1000000", "--keep-days", "0"]).await?;
    ensure!(archived.contains("carried forward; the log begins after"), "{archived}");
    for through in ["2", position] {
        let again = log(&product, &["archive", "--through", through, "--keep-days", "0"]).await?;
        ensure!(again.contains("nothing to archive: no commit that is left was asked for"), "{again}");
    }
    archived_positions(&product, &id, position).await?;
    let first_line: Value = serde_json::from_str(log(&product, &["tail"]).await?.lines().next().unwrap())?;
    ensure!(first_line["commit"]["events"][0].get("carried-forward").is_some(), "{first_line}");

    let is_as_before = async |product: &Product| -> anyhow::Result<()> {
        let (status, repeat) = product.send(Method::POST, "tasks", &body).await?;
        assert_eq!((status, &repeat["receipt"]["duplicate"]), (StatusCode::OK, &json!(true)), "{repeat}");
        assert_eq!(
            (&repeat["task"]["id"], &repeat["receipt"]["position"]),
            (&first["task"]["id"], &first["receipt"]["position"])
        );
        let (status, repeat) = product.send(Method::POST, "tasks", &of_session(1)).await?;
        assert_eq!((status, &repeat["receipt"]["duplicate"]), (StatusCode::OK, &json!(true)), "{repeat}");
        assert_eq!(repeat["task"]["id"], json!(talk_id));
        let (status, repeat) = product.send(Method::POST, "tasks", &of_session(2)).await?;
        assert_eq!((status, &repeat["code"]), (StatusCode::CONFLICT, &json!("idempotency_key_archived")));
        let without_version = |mut object: Value| {
            object
                .as_object_mut()
                .unwrap()
                .retain(|field, _| !["version", "position"].contains(&field.as_str()));
            object
        };
        let task = product.get(&format!("tasks/{id}")).await?;
        assert_eq!(without_version(task), without_version(before.clone()));
        let now = product.get("agents/demo").await?;
        assert_eq!(without_version(now), without_version(agent.clone()));
        let now = product.get("agents/deep").await?;
        assert_eq!(without_version(now), without_version(deep.clone()));
        let history = product.get(&format!("tasks/{id}/history")).await?;
        assert_eq!(history["items"][0]["event"], "carried-forward", "{history}");
        assert_eq!(history["items"][0]["data"], json!({}));
        Ok(())
    };
    // The rows stand where the log begins or later, whatever a crash takes from them.
    let product = product.crash_and_restart().await?;
    is_as_before(&product).await?;
    archived_positions(&product, &id, position).await?;
    rate_again(&product, 1, true).await?;
    let verify = async || product.command(&["projection", "verify", "--data-dir", &data_dir]).await;
    verify().await?;
    let chains = log(&product, &["verify"]).await?;
    ensure!(chains.contains("every hash chain is valid; the log begins after"), "{chains}");

    product.command(&["projection", "rebuild", "--all", "--data-dir", &data_dir]).await?;
    is_as_before(&product).await?;
    verify().await?;
    rate_again(&product, 1, false).await?;
    let product = product.crash_and_restart().await?;
    is_as_before(&product).await?;
    // The rebuild is not lost. The head keeps the newest 16, and of those before them up to three.
    rate_again(&product, 22, false).await?;
    rate_again(&product, 26, true).await?;
    // The session goes on, and the agent has its configuration.
    let next = json!({ "agent_id": "demo", "message": "next", "session_key": "mail" });
    let (status, next) = product.send(Method::POST, "tasks", &next).await?;
    assert_eq!(status, StatusCode::ACCEPTED, "{next}");
    product.task_in(next["task"]["id"].as_str().unwrap(), "done").await?;

    let next = json!({ "agent_id": "deep", "message": "next" });
    let (status, next) = product.send(Method::POST, "tasks", &next).await?;
    assert_eq!(status, StatusCode::ACCEPTED, "{next}");
    product.task_in(next["task"]["id"].as_str().unwrap(), "done").await?;

    let exported = product.command(&["log", "export", "--data-dir", &data_dir]).await?;
    let servers = TestServers::start().await?;
    let nats_url = servers.nats_url();
    let environment = [("NATS_URL", nats_url.as_str())];
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("log.jsonl");
    std::fs::write(&file, &exported)?;
    let imported = capstan(&["log", "import", &file.to_string_lossy()], &environment).await?;
    ensure!(imported.status.success(), "{}", text(&imported.stderr));
    let copied = capstan(&["log", "export"], &environment).await?;
    let hashes = |lines: &str| -> Vec<Value> {
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|line| json!([line["position"], line["hash"], line["end"]])).collect()
    };
    assert_eq!(hashes(&text(&copied.stdout)), hashes(&exported));
    let verified = capstan(&["log", "verify"], &environment).await?;
    ensure!(verified.status.success(), "{}", text(&verified.stderr));

    // An archive that was killed between its last two steps is finished by the next one, though that finds nothing to do.
    let begins_at = async || -> anyhow::Result<u64> {
        let lines = log(&product, &["tail"]).await?;
        let line: Value = serde_json::from_str(lines.lines().next().unwrap_or_default())?;
        Ok(line["position"].as_str().unwrap_or_default().split('-').nth(1).unwrap_or_default().parse()?)
    };
    let first = begins_at().await?;
    declare(&product, first + 1, first + 1).await?;
    let nothing = log(&product, &["archive", "--through", "2", "--keep-days", "0"]).await?;
    ensure!(nothing.contains("nothing to archive"), "{nothing}");
    assert_eq!(begins_at().await?, first + 2);
    declare(&product, first + 1, first).await?;
    let refused = log(&product, &["archive", "--through", "1000000", "--keep-days", "0"]).await.unwrap_err();
    ensure!(refused.to_string().contains("archived by hand"), "{refused}");
    Ok(())
}
