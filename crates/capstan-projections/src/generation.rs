//! Generations of tables: each rebuild creates its tables in a new Postgres schema; views in the schema `capstan`
//! select from the active ones.

use std::collections::HashMap;

use tokio_postgres::{Client, Error};

use crate::catalogue::{MODELS, ReadModel, model};
use crate::model::Sum;

/// The Postgres schema that holds the table of each model, by model.
pub(crate) type Schemas = HashMap<String, String>;

/// Prefix of a generation's schema, followed by its number.
const PREFIX: &str = "capstan_rm_";

/// A statement on tables or views failed.
#[derive(Debug, thiserror::Error)]
#[error("change the tables of the read models")]
pub struct GenerationError(#[source] pub tokio_postgres::Error);

impl From<Error> for GenerationError {
    fn from(source: Error) -> Self {
        Self(source)
    }
}

/// The schema of each model that is active in this build's version and whose table exists.
pub(crate) async fn active(client: &Client) -> Result<Schemas, GenerationError> {
    let exists: bool = client.query_one("SELECT to_regclass('capstan.model') IS NOT NULL", &[]).await?.get(0);
    if !exists {
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
    let current = rows
        .iter()
        .filter(|row| model(row.get(0)).is_some_and(|model| model.version == row.get::<_, i32>(1)));
    let mut schemas: Schemas = current.map(|row| (row.get(0), row.get(2))).collect();
    for (model, (aside, _)) in MODELS.iter().filter_map(|model| Some((model, (model.aside)()?))) {
        let Some(schema) = schemas.get(model.name) else { continue };
        let sql = "SELECT to_regclass($1) IS NOT NULL AND to_regclass($2) IS NOT NULL";
        let (table, view) = (format!("{schema}.{aside}"), format!("capstan.{aside}"));
        if !client.query_one(sql, &[&table, &view]).await?.get::<_, bool>(0) {
            schemas.remove(model.name);
        }
    }
    Ok(schemas)
}

/// The models without an active table of this build's version.
pub(crate) async fn missing(client: &Client) -> Result<Vec<&'static ReadModel>, GenerationError> {
    let active = active(client).await?;
    Ok(MODELS.iter().filter(|model| !active.contains_key(model.name)).collect())
}

/// Creates the next free schema.
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

/// Drops everything in a schema.
pub(crate) async fn empty_schema(client: &Client, schema: &str) -> Result<(), GenerationError> {
    Ok(client.batch_execute(&format!("DROP SCHEMA {schema} CASCADE; CREATE SCHEMA {schema}")).await?)
}

/// Creates the tables without indexes.
pub(crate) async fn create_tables(
    client: &Client,
    place: &str,
    models: &[&ReadModel],
) -> Result<(), GenerationError> {
    for model in models {
        let (table, _, _) = statements(model);
        client.batch_execute(&format!("SET search_path TO {place}; {table}; RESET search_path")).await?;
    }
    Ok(())
}

/// The statements that complete one table once it has its rows.
#[derive(Debug)]
pub(crate) struct TableIndexes {
    /// Those that create indexes, in any order.
    pub(crate) first: Vec<String>,
    /// Those behind them: the key is created last, see [`crate::session::Session::plan_by_key`], and the table analyzed.
    pub(crate) last: String,
}

/// Columns of documents: their statistics cost more than those of all others, and decide nothing.
const DOCUMENTS: [&str; 2] = ["doc", "reduced"];

/// The statements that complete the tables of a model.
pub(crate) fn indexes(model: &ReadModel) -> Vec<TableIndexes> {
    let (_, sql, sums) = statements(model);
    let code = sql.lines().filter(|line| !line.trim_start().starts_with("--"));
    let code: String = code.collect::<Vec<_>>().join(" ");
    let all: Vec<&str> = code.split(';').map(str::trim).collect();
    let completed = |(table, columns): (&'static str, Vec<&'static str>)| {
        let of = |start: &str| {
            let start = format!("{start} {table} ");
            all.iter().filter_map(move |sql| sql.strip_prefix(start.as_str()))
        };
        // The names that Postgres would choose are the same for indexes of a table that are created at once.
        let first = of("CREATE INDEX ON").zip(1..);
        let first = first.map(|(on, number)| format!("CREATE INDEX {table}_{number}_idx ON {table} {on}"));
        let key = of("ALTER TABLE").map(|key| format!("ALTER TABLE {table} {key}"));
        let columns: Vec<_> = columns.into_iter().filter(|column| !DOCUMENTS.contains(column)).collect();
        let analyze = format!("ANALYZE {table} ({})", columns.join(", "));
        // Sums are made of the rows, and kept by triggers from then on.
        let sums = Some(sums.trim().trim_end_matches(';').to_owned());
        let sums = sums.filter(|sums| table == model.name && !sums.is_empty());
        let last = key.chain([analyze]).chain(sums).collect::<Vec<_>>().join("; ");
        TableIndexes { first: first.collect(), last }
    };
    model.tables().into_iter().map(completed).collect()
}

/// Creates the keys and indexes of several models' tables, and analyzes them.
pub(crate) async fn create_indexes(
    client: &Client,
    place: &str,
    models: &[&ReadModel],
) -> Result<(), GenerationError> {
    for TableIndexes { first, last } in models.iter().flat_map(|model| indexes(model)) {
        let sql = [first, vec![last]].concat().join("; ");
        client.batch_execute(&format!("SET search_path TO {place}; {sql}; RESET search_path")).await?;
    }
    Ok(())
}

/// Points the views at these tables; the tables they selected from are kept as the previous generation.
pub(crate) async fn activate(
    client: &Client,
    place: &str,
    models: &[&ReadModel],
) -> Result<(), GenerationError> {
    for model in models {
        let ReadModel { name, version, .. } = model;
        client
            .execute(
                "INSERT INTO capstan.model (name, version, schema) VALUES ($1, $2, $3) \
                 ON CONFLICT (name) DO UPDATE SET version = excluded.version, schema = excluded.schema, \
                 previous_schema = model.schema",
                &[name, version, &place],
            )
            .await?;
        for (table, columns) in model.tables() {
            let columns = columns.join(", ");
            client
                .batch_execute(&format!(
                    "DROP VIEW IF EXISTS capstan.{table}; \
                     CREATE VIEW capstan.{table} AS SELECT {columns} FROM {place}.{table}"
                ))
                .await?;
        }
        for table in model.trailing {
            client
                .batch_execute(&format!(
                    "DROP VIEW IF EXISTS capstan.{table}; CREATE VIEW capstan.{table} AS SELECT * FROM {place}.{table}"
                ))
                .await?;
        }
        for Sum { table, columns, .. } in model.sums {
            let columns = columns.join(", ");
            client
                .batch_execute(&format!(
                    "DROP VIEW IF EXISTS capstan.{table}; \
                     CREATE VIEW capstan.{table} AS SELECT {columns} FROM {place}.{table} WHERE counted <> 0"
                ))
                .await?;
        }
    }
    Ok(())
}

/// Drops the schemas that are neither active nor the previous generation of a model.
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

/// The statements that create the tables, those that create their keys and indexes, and those that make the sums.
fn statements(model: &ReadModel) -> (&'static str, &'static str, &'static str) {
    let sql = model.schema;
    let (tables, rest) = sql.split_once("-- indexes\n").unwrap_or((sql, ""));
    let (indexes, sums) = rest.split_once("-- sums\n").unwrap_or((rest, ""));
    (tables.trim().trim_end_matches(';'), indexes, sums)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_statement_behind_the_tables_is_run_and_each_table_has_a_key() {
        for model in MODELS {
            let (_, sql, _) = statements(model);
            let completed = indexes(model);
            let keys = completed.iter().filter(|table| table.last.contains("ADD PRIMARY KEY (id)")).count();
            assert_eq!(keys, completed.len(), "{sql}");
            let first: usize = completed.iter().map(|table| table.first.len()).sum();
            assert_eq!(first + keys, sql.matches(';').count(), "{sql}");
        }
    }
}
