//! The log is the truth; rows are a cache.

use serde_json::json;

use crate::process::Product;

#[tokio::test]
async fn dropped_read_models_are_rebuilt_to_the_same_digests() -> anyhow::Result<()> {
    let product = Product::start(&["--exec", "python3 examples/agent.py"]).await?;
    let mut ids = Vec::new();
    for message in ["summarise README.md", "summarise Cargo.toml", "summarise LICENSE"] {
        ids.push(product.submit(message).await?["task"]["id"].as_str().unwrap().to_owned());
    }
    for id in &ids {
        product.task_in(id, "done").await?;
    }
    let database_url = product.servers()?["database_url"].as_str().unwrap().to_owned();
    let digest = async || product.command(&["projection", "digest", "--database-url", &database_url]).await;
    let before = digest().await?;
    assert!(before.contains("tasks"), "{before}");

    let (client, connection) = tokio_postgres::connect(&database_url, tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    let schemas = client
        .query(
            "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'",
            &[],
        )
        .await?;
    for schema in &schemas {
        let name: String = schema.get(0);
        client.batch_execute(&format!("DROP SCHEMA \"{name}\" CASCADE")).await?;
    }
    client.batch_execute("CREATE SCHEMA public").await?;

    let nats_url = product.servers()?["nats_url"].as_str().unwrap().to_owned();
    product
        .command(&[
            "projection",
            "rebuild",
            "--all",
            "--database-url",
            &database_url,
            "--nats-url",
            &nats_url,
        ])
        .await?;
    assert_eq!(digest().await?, before);

    // Life goes on: reads answer, and new commands are projected.
    let task = product.task_in(&ids[0], "done").await?;
    assert_eq!(task["id"], json!(ids[0]));
    let fresh = product.submit("summarise clippy.toml").await?;
    product.task_in(fresh["task"]["id"].as_str().unwrap(), "done").await?;
    Ok(())
}
