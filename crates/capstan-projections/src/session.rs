//! One connection to Postgres, with its prepared statements.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use capstan_contract::causes::explain;
use tokio_postgres::{Client, Statement};
use tokio_util::task::AbortOnDropHandle;

/// A connection outside the pool: its statements keep their order, and its transaction ends with it.
#[derive(Debug)]
pub(crate) struct Session {
    client: Client,
    statements: Mutex<HashMap<String, Statement>>,
    _driver: AbortOnDropHandle<()>,
}

impl Session {
    /// Connects. Rows can be folded again from the log, so commits do not wait for the disk. `work_mem` keeps the rows of
    /// a batch in memory. Nothing is compiled: a plan that is switched off counts as very expensive, and compiling it takes
    /// longer than it runs.
    pub(crate) async fn open(config: &tokio_postgres::Config) -> Result<Self, tokio_postgres::Error> {
        let (client, connection) = config.connect(tokio_postgres::NoTls).await?;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = explain(&error), "a projector's connection ended");
            }
        });
        let session = Self { client, statements: Mutex::default(), _driver: AbortOnDropHandle::new(driver) };
        session
            .client
            .batch_execute(
                "SET synchronous_commit = off; SET work_mem = '64MB'; SET jit = off; SET TIME ZONE 'UTC'; \
                 SET client_min_messages = warning",
            )
            .await?;
        Ok(session)
    }

    /// Makes statements find rows by their keys, whatever the statistics say: each names the rows of one batch, and a plan
    /// made while a table was small would read all of it later. Plain index scans are off, too: unlike bitmap scans they may
    /// read a whole index. Of several indexes with the key, an empty table leaves the choice to their order, in which
    /// the last one made is the first; that is the primary key.
    pub(crate) async fn plan_by_key(&self) -> Result<(), tokio_postgres::Error> {
        let sql = "SET enable_seqscan = off; SET enable_indexscan = off; SET enable_indexonlyscan = off; \
                   SET enable_hashjoin = off; SET enable_mergejoin = off; \
                   SET plan_cache_mode = force_generic_plan";
        self.client.batch_execute(sql).await
    }

    /// The connection.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// A prepared statement, prepared on first use.
    pub(crate) async fn prepared(&self, sql: &str) -> Result<Statement, tokio_postgres::Error> {
        let known = self.statements.lock().unwrap_or_else(PoisonError::into_inner).get(sql).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = self.client.prepare(sql).await?;
        self.statements
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

#[cfg(test)]
mod tests {
    use capstan_testkit::servers::TestServers;

    use crate::catalogue::MODELS;
    use crate::generation;
    use crate::read_models::ReadModels;

    #[tokio::test]
    async fn rows_are_found_by_their_primary_key_where_plans_were_made_for_empty_tables() {
        let servers = TestServers::start().await.unwrap();
        let read_models = ReadModels::connect(&servers.fresh_database().await.unwrap()).unwrap();
        read_models.migrate().await.unwrap();
        let session = read_models.session().await.unwrap();
        session.plan_by_key().await.unwrap();
        let client = session.client();
        let schemas = generation::active(client).await.unwrap();
        assert_eq!(schemas.len(), MODELS.len());
        for (model, schema) in schemas {
            let table = format!("{schema}.{model}");
            let of_key = "SELECT format_type(atttypid, NULL) FROM pg_attribute \
                          WHERE attrelid = $1::text::regclass AND attname = 'id'";
            let key: String = client.query_one(of_key, &[&table]).await.unwrap().get(0);
            client.batch_execute(&format!("ANALYZE {table}")).await.unwrap();
            let statements = [
                format!(
                    "UPDATE {table} AS t SET position = u.position FROM UNNEST($1, $2) AS u (id, position) \
                     WHERE t.id = u.id AND t.position < u.position"
                ),
                format!("DELETE FROM {table} WHERE id = ANY($1) AND $2 IS NOT NULL"),
                format!("SELECT doc FROM {table} WHERE id = ANY($1) AND $2 IS NOT NULL"),
            ];
            for statement in statements {
                let prepare = format!("PREPARE it({key}[], bigint[]) AS {statement}");
                client.batch_execute(&prepare).await.unwrap();
                let plan = client.query("EXPLAIN EXECUTE it(NULL, NULL)", &[]).await.unwrap();
                let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
                let plan = plan.join("\n");
                let by_key = format!("Bitmap Index Scan on {model}_pkey");
                assert!(
                    plan.contains(&by_key) && plan.matches("Scan on").count() <= 3,
                    "{statement}\n{plan}"
                );
                client.batch_execute("DEALLOCATE it").await.unwrap();
            }
        }
    }
}
