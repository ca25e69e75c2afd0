//! The last value within a limit is kept by everything that keeps it: the live projection, the state that decisions read,
//! a rebuild. The first value beyond it is refused, and the refusal names the limit.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::process::Product;
use crate::worker_by_hand::Worker;

/// Levels of objects and lists that a body may have, its own among them.
const LEVELS_MAX: usize = 64;

/// Objects within one another.
fn nested(levels: usize) -> Value {
    (1..levels).fold(json!({}), |inner, _| json!({ "n": inner }))
}

/// A schema of this depth that takes every answer.
fn schema(levels: usize) -> Value {
    let odd = if levels.is_multiple_of(2) { json!({ "properties": {} }) } else { json!({}) };
    (0..(levels - 1) / 2).fold(odd, |inner, _| json!({ "properties": { "n": inner } }))
}

#[tokio::test]
async fn questions_and_calls_of_as_many_levels_as_a_body_may_have_are_kept_and_carried_out()
-> anyhow::Result<()> {
    let product = Product::start(&["--no-worker"]).await?;
    let worker = Worker::register(&product).await?;
    let id = product.submit("ask").await?["task"]["id"].as_str().context("an id")?.to_owned();
    let attempt = worker.take(&product).await?;

    let too_deep = format!("objects and lists may be {LEVELS_MAX} levels deep; there are more");
    let call = |arguments: &Value| json!({ "tool": "crm.write", "arguments": arguments });
    let question = |schema: &Value| json!({ "summary": "Which one?", "answer_schema": schema });
    for (what, body) in
        [("tool-calls", call(&nested(LEVELS_MAX))), ("blockers", question(&schema(LEVELS_MAX)))]
    {
        let refused = attempt.request(&product, what, &body).send().await?;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{what}");
        let refused: Value = refused.json().await?;
        assert_eq!(
            (&refused["code"], &refused["detail"]),
            (&json!("malformed_request"), &json!(too_deep)),
            "{what}"
        );
    }

    // A call waits for a decision, and then for a worker of its tool.
    executor(&product).await?;
    let arguments = nested(LEVELS_MAX - 1);
    let kept = attempt.report(&product, "tool-calls", call(&arguments)).await?;
    assert_eq!(kept["decision"], "deferred", "{kept}");
    let product = rebuilt_and_restarted(product).await?;
    let executor = executor(&product).await?;
    let approve = json!({ "action": "approve", "idempotency_key": "yes" });
    let (status, given) = product.send(Method::POST, &format!("tasks/{id}/input"), &approve).await?;
    assert_eq!(status, StatusCode::ACCEPTED, "{given}");
    let claimed = tool_call(&product, &executor).await?;
    assert_eq!(claimed["arguments"], arguments);
    let path = format!(
        "{}/v1/workers/{executor}/tool-calls/{}/result",
        product.url,
        claimed["claim"].as_str().context("a claim")?
    );
    let reported = product.http.post(path).json(&json!({ "stdout": "done" })).send().await?;
    assert!(reported.status().is_success(), "{}", reported.text().await?);

    // A question waits for an answer that its schema takes.
    let schema = schema(LEVELS_MAX - 1);
    attempt.report(&product, "blockers", question(&schema)).await?;
    let product = rebuilt_and_restarted(product).await?;
    let open = product.get("inbox").await?;
    assert_eq!(open["items"][0]["answer_schema"], schema, "{open}");
    let answer = json!({ "message": "this one", "answers": nested(LEVELS_MAX - 2) });
    let (status, given) = product.send(Method::POST, &format!("tasks/{id}/input"), &answer).await?;
    assert_eq!(status, StatusCode::ACCEPTED, "{given}");
    let product = rebuilt_and_restarted(product).await?;
    attempt.report(&product, "finish", json!({ "outcome": "ok" })).await?;
    assert_eq!(attempt.task_id, id);
    Ok(())
}

/// A worker that carries out the calls of a tool.
async fn executor(product: &Product) -> anyhow::Result<String> {
    let body = json!({ "name": "tools", "slots": 1, "capabilities": { "tools": ["crm.write"] } });
    let answer = product.http.post(format!("{}/v1/workers", product.url)).json(&body).send().await?;
    let registered: Value = answer.json().await?;
    Ok(registered["worker_id"].as_str().with_context(|| registered.to_string())?.to_owned())
}

async fn tool_call(product: &Product, executor: &str) -> anyhow::Result<Value> {
    let path = format!("{}/v1/workers/{executor}/tool-calls", product.url);
    Ok(product.http.post(path).json(&json!({ "wait_ms": 20_000 })).send().await?.json().await?)
}

/// The product after its rows were compared with the log, made anew from it, and its memory was lost.
async fn rebuilt_and_restarted(product: Product) -> anyhow::Result<Product> {
    let data_dir = product.data_dir.to_string_lossy().into_owned();
    product.command(&["projection", "verify", "--data-dir", &data_dir]).await?;
    product.command(&["projection", "rebuild", "--all", "--data-dir", &data_dir]).await?;
    product.command(&["projection", "verify", "--data-dir", &data_dir]).await?;
    product.crash_and_restart().await
}

/// Texts that no compression makes shorter, of characters of several bytes whose lower case is longer still.
fn incompressible(bytes: usize) -> String {
    let mut number = 1_u64;
    let letters = ['İ', 'Ⱥ', 'Ⱦ', 'Ж', 'Ω', 'Δ', 'Ő', 'Ğ'];
    let mut text: String = std::iter::repeat_with(|| {
        // Knuth's generator: its upper bits look like chance.
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        letters[(number >> 61) as usize]
    })
    .take(bytes / 2)
    .collect();
    text.extend((text.len()..bytes).map(|_| 'x'));
    text
}

/// Longest name of a workspace, and of the key of an agent, in bytes.
const WORD_MAX: usize = 128;
/// Longest name of an agent.
const NAME_MAX: usize = 256;
/// Longest label of a task.
const LABEL_MAX: usize = 1024;
/// Longest reference to something outside Capstan.
const REFERENCE_MAX: usize = 512;

#[tokio::test]
async fn every_text_with_an_index_is_kept_at_its_limit_by_projector_and_rebuild() -> anyhow::Result<()> {
    let product = Product::start(&["--no-worker"]).await?;
    let send = async |method: Method, path: &str, body: Value| {
        let answer =
            product.http.request(method, format!("{}/v1/{path}", product.url)).json(&body).send().await?;
        let status = answer.status();
        Ok::<_, anyhow::Error>((status, answer.json::<Value>().await?))
    };
    let taken = async |path: &str, body: Value| {
        let (status, answer) = send(Method::POST, path, body).await?;
        ensure!(status.is_success(), "{path}: {status} {answer}");
        Ok(answer)
    };
    let refused = async |path: &str, body: Value, limit: usize| {
        let (status, answer) = send(Method::POST, path, body).await?;
        ensure!(status.is_client_error(), "{path}: {status} {answer}");
        ensure!(answer.to_string().contains(&limit.to_string()), "{path}: the limit of {limit}: {answer}");
        Ok(())
    };
    let word = |bytes: usize| "A-b_7".repeat(bytes).split_at(bytes).0.to_owned();

    let workspace = word(WORD_MAX);
    taken("workspaces", json!({ "workspace": workspace })).await?;
    refused("workspaces", json!({ "workspace": word(WORD_MAX + 1) }), WORD_MAX).await?;

    let agents = format!("workspaces/{workspace}/agents");
    let (key, name) = (word(WORD_MAX), incompressible(NAME_MAX));
    let agent = |key: &str, name: &str| json!({ "agent_key": key, "name": name });
    taken(&agents, agent(&key, &name)).await?;
    refused(&agents, agent(&word(WORD_MAX + 1), "n"), WORD_MAX).await?;
    refused(&agents, agent("other", &incompressible(NAME_MAX + 1)), NAME_MAX).await?;

    let schedules = format!("workspaces/{workspace}/schedules");
    let schedule = |view: usize| json!({ "agent_id": key, "cron_expr": "0 0 1 1 *", "prompt": "p", "source_view_id": incompressible(view) });
    taken(&schedules, schedule(REFERENCE_MAX)).await?;
    refused(&schedules, schedule(REFERENCE_MAX + 1), REFERENCE_MAX).await?;

    let tasks = format!("workspaces/{workspace}/tasks");
    let task = |label: usize| json!({ "agent_id": key, "message": "m", "label": incompressible(label) });
    refused(&tasks, task(LABEL_MAX + 1), LABEL_MAX).await?;
    // What it spends and what it produces have keys of their own.
    taken(&tasks, task(LABEL_MAX)).await?;
    let attempt = Worker::register(&product).await?.take(&product).await?;
    attempt.report(&product, "usage", json!({ "usage": { "cost_usd": 1.0 } })).await?;
    let output = |kind: usize| json!({ "name": "n", "output_type": incompressible(kind), "title": "t", "data": { "rows": [1] } });
    ensure!(
        attempt.report(&product, "outputs", output(NAME_MAX + 1)).await.is_err(),
        "a longer type was taken"
    );
    attempt.report(&product, "outputs", output(NAME_MAX)).await?;
    attempt.report(&product, "finish", json!({ "outcome": "ok" })).await?;

    let longest = BTreeMap::from([
        ("agents.agent_key", WORD_MAX),
        ("agents.key_form", WORD_MAX),
        ("agents.name_form", name.to_lowercase().len()),
        ("blockers.kind", 0),
        ("output_rows.id", "00000000-0000-0000-0000-000000000000/0000000001".len()),
        ("outputs.output_type", NAME_MAX),
        ("outputs.status", "active".len()),
        ("runs.status", "ok".len()),
        ("schedules.source_view_id", REFERENCE_MAX),
        ("spending.day", "2026-01-31".len()),
        ("spending.id", "agent//00000000-0000-0000-0000-000000000000".len() + WORD_MAX),
        ("streams.id", "/workspace/".len() + 2 * WORD_MAX),
        ("task_counts.state", "done".len()),
        ("tasks.label", LABEL_MAX),
        ("tasks.priority", "normal".len()),
        // Of subtasks only, as long as a label.
        ("tasks.source_output_id", 0),
        ("tasks.state", "done".len()),
        ("tasks.waiting_reason", 0),
        ("workspaces.id", WORD_MAX),
    ]);
    let longest = longest.into_iter().map(|(column, bytes)| (column.to_owned(), bytes)).collect();
    assert_eq!(indexed_texts(&product).await?, longest, "by the projector");
    let product = rebuilt_and_restarted(product).await?;
    assert_eq!(indexed_texts(&product).await?, longest, "by the rebuild");
    let shown: Value =
        product.http.get(format!("{}/v1/{agents}/{key}", product.url)).send().await?.json().await?;
    assert_eq!(shown["name"], name);
    Ok(())
}

/// Bytes of the longest value of each text that is a part of an index, but for the name of the row's workspace. Fails when a
/// stream is parked.
async fn indexed_texts(product: &Product) -> anyhow::Result<BTreeMap<String, usize>> {
    let database_url = product.servers()?["database_url"].as_str().context("an address")?.to_owned();
    let position = product.log_position().await?;
    product.get(&format!("tasks?min_position={position}&wait_ms=20000")).await?;
    let (client, connection) = tokio_postgres::connect(&database_url, tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    let parked = client.query("SELECT error FROM capstan.parked", &[]).await?;
    ensure!(parked.is_empty(), "parked: {}", parked[0].get::<_, &str>(0));
    let columns = client
        .query(
            "SELECT DISTINCT t.relname::text, a.attname::text FROM pg_index i \
             JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace \
             JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = ANY (i.indkey) \
             WHERE n.nspname LIKE 'capstan\\_%' AND a.atttypid = 'text'::regtype AND a.attname <> 'workspace'",
            &[],
        )
        .await?;
    let mut longest = BTreeMap::new();
    for row in columns {
        let (table, column): (&str, &str) = (row.get(0), row.get(1));
        let sql = format!("SELECT coalesce(max(octet_length({column})), 0) FROM capstan.{table}");
        let bytes: i32 = client.query_one(&sql, &[]).await?.get(0);
        longest.insert(format!("{table}.{column}"), usize::try_from(bytes)?);
    }
    Ok(longest)
}
