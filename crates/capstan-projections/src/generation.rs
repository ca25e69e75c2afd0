//! Generations of tables: each rebuild makes its tables in a Postgres schema of its own; views in the schema
//! `capstan` show the active ones.

use std::collections::HashMap;

use tokio_postgres::{Client, Error};

use crate::catalogue::{MODELS, columns, schema};

/// The Postgres schema that holds the table of each model, by model.
pub(crate) type Schemas = HashMap<String, String>;

/// Before the number of a generation's schema.
const PREFIX: &str = "capstan_rm_";

/// Postgres did not do as told with tables and views.
#[derive(Debug, thiserror::Error)]
#[error("change the tables of the read models")]
pub struct GenerationError(#[source] pub tokio_postgres::Error);

impl From<Error> for GenerationError {
    fn from(source: Error) -> Self {
        Self(source)
    }
}

/// The schema of each model that is active in this build's version and whose table is there.
pub(crate) async fn active(client: &Client) -> Result<Schemas, GenerationError> {
    let there: bool = client.query_one("SELECT to_regclass('capstan.model') IS NOT NULL", &[]).await?.get(0);
    if !there {
        return Ok(Schemas::new());
    }
    let rows = client
        .query(
            "SELECT name, version, schema FROM capstan.model \
             WHERE to_regclass(quote_ident(schema) || '.' || quote_ident(name)) IS NOT NULL \
               AND to_regclass('capstan.' || quote_ident(name)) IS NOT NULL",
            &[],
        )
        .await?;
    let versions: HashMap<&str, i32> = MODELS.iter().copied().collect();
    let current = rows.iter().filter(|row| versions.get(row.get::<_, &str>(0)) == Some(&row.get(1)));
    Ok(current.map(|row| (row.get(0), row.get(2))).collect())
}

/// The models without an active table of this build's version.
pub(crate) async fn missing(client: &Client) -> Result<Vec<&'static str>, GenerationError> {
    let active = active(client).await?;
    Ok(MODELS.iter().map(|(name, _)| *name).filter(|name| !active.contains_key(*name)).collect())
}

/// Makes the next free schema.
pub(crate) async fn next_schema(client: &Client) -> Result<String, GenerationError> {
    let row = client
        .query_one(
            "SELECT coalesce(max(substr(nspname, length($1) + 1)::bigint), 0) + 1 FROM pg_namespace \
             WHERE nspname ~ ('^' || $1 || '[0-9]+$')",
            &[&PREFIX],
        )
        .await?;
    let schema = format!("{PREFIX}{}", row.get::<_, i64>(0));
    client.batch_execute(&format!("CREATE SCHEMA {schema}")).await?;
    Ok(schema)
}

/// Makes the bare tables.
pub(crate) async fn create_tables(
    client: &Client,
    place: &str,
    models: &[&str],
) -> Result<(), GenerationError> {
    for model in models {
        let (table, _) = halves(model);
        client.batch_execute(&format!("SET search_path TO {place}; {table}; RESET search_path")).await?;
    }
    Ok(())
}

/// Makes keys and indexes of one model's table, and lets the planner look at it.
pub(crate) async fn create_index(client: &Client, place: &str, model: &str) -> Result<(), GenerationError> {
    let (_, indexes) = halves(model);
    let sql = format!("SET search_path TO {place}; {indexes}; ANALYZE {model}; RESET search_path");
    client.batch_execute(&sql).await?;
    Ok(())
}

/// Makes keys and indexes of several tables.
pub(crate) async fn create_indexes(
    client: &Client,
    place: &str,
    models: &[&str],
) -> Result<(), GenerationError> {
    for model in models {
        create_index(client, place, model).await?;
    }
    Ok(())
}

/// Points the views at these tables; what they showed before is kept as the previous generation.
pub(crate) async fn activate(client: &Client, place: &str, models: &[&str]) -> Result<(), GenerationError> {
    for model in models {
        let version = MODELS.iter().find(|(name, _)| name == model).map_or(0, |(_, version)| *version);
        client
            .execute(
                "INSERT INTO capstan.model (name, version, schema) VALUES ($1, $2, $3) \
                 ON CONFLICT (name) DO UPDATE SET version = excluded.version, schema = excluded.schema, \
                 previous_schema = model.schema",
                &[model, &version, &place],
            )
            .await?;
        let names = columns(model).join(", ");
        client
            .batch_execute(&format!(
                "DROP VIEW IF EXISTS capstan.{model}; \
                 CREATE VIEW capstan.{model} AS SELECT {names} FROM {place}.{model}"
            ))
            .await?;
    }
    Ok(())
}

/// Drops the schemas no model uses or used last.
pub(crate) async fn drop_unused(client: &Client) -> Result<(), GenerationError> {
    let rows = client
        .query(
            "SELECT nspname::text FROM pg_namespace WHERE nspname ~ ('^' || $1 || '[0-9]+$') AND nspname NOT IN \
             (SELECT schema FROM capstan.model UNION SELECT previous_schema FROM capstan.model \
              WHERE previous_schema IS NOT NULL)",
            &[&PREFIX],
        )
        .await?;
    for row in rows {
        client.batch_execute(&format!("DROP SCHEMA {} CASCADE", row.get::<_, &str>(0))).await?;
    }
    Ok(())
}

fn halves(model: &str) -> (&'static str, &'static str) {
    let sql = schema(model).unwrap_or_default();
    sql.split_once("-- indexes\n")
        .map_or((sql, ""), |(table, indexes)| (table.trim().trim_end_matches(';'), indexes))
}
