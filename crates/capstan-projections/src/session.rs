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
    /// a batch in memory.
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
                "SET synchronous_commit = off; SET work_mem = '64MB'; SET TIME ZONE 'UTC'; SET client_min_messages = warning",
            )
            .await?;
        Ok(session)
    }

    /// Makes statements find rows by their keys, whatever the statistics say: each names the rows of one batch, and a plan
    /// made while a table was small would read all of it later.
    pub(crate) async fn plan_by_key(&self) -> Result<(), tokio_postgres::Error> {
        let sql = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; \
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
