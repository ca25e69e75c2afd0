//! The connection to the read models.

use std::sync::Arc;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::progress::Progress;
use crate::queries::QueryError;
use crate::session::Session;

/// Default size of the connection pool for reads.
const POOL_SIZE: usize = 16;

/// The reason the connection could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address is not valid.
    #[error("read the database address")]
    Address(#[source] tokio_postgres::Error),
    /// The pool could not be created.
    #[error("create the connection pool")]
    Pool(#[source] deadpool_postgres::BuildError),
}

/// The read models in Postgres. Clones share connections.
#[derive(Clone, Debug)]
pub struct ReadModels {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    address: String,
    config: tokio_postgres::Config,
    pool: Pool,
    progress: Progress,
}

impl ReadModels {
    /// Prepares connections to `database_url`; the first use opens one.
    pub fn connect(database_url: &str) -> Result<Self, ConnectError> {
        Self::connect_with(database_url, POOL_SIZE)
    }

    /// The same with a pool of `pool_size` connections for reads.
    pub fn connect_with(database_url: &str, pool_size: usize) -> Result<Self, ConnectError> {
        let mut config: tokio_postgres::Config = database_url.parse().map_err(ConnectError::Address)?;
        if config.get_application_name().is_none() {
            config.application_name("capstan");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(std::time::Duration::from_secs(5));
        }
        // No ping before reuse: a connection that Postgres closed is recognised, and a read on a dying one may be
        // retried.
        let manager_config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(config.clone(), tokio_postgres::NoTls, manager_config);
        let pool = Pool::builder(manager)
            .max_size(pool_size)
            .runtime(deadpool_postgres::Runtime::Tokio1)
            .wait_timeout(Some(std::time::Duration::from_secs(5)))
            .create_timeout(Some(std::time::Duration::from_secs(5)))
            .recycle_timeout(Some(std::time::Duration::from_secs(5)))
            .build()
            .map_err(ConnectError::Pool)?;
        let progress = Progress::new();
        Ok(Self { inner: Arc::new(Inner { address: database_url.to_owned(), config, pool, progress }) })
    }

    /// True when Postgres answers.
    pub async fn is_reachable(&self) -> bool {
        match self.client().await {
            Ok(client) => client.simple_query("SELECT 1").await.is_ok(),
            Err(_) => false,
        }
    }

    /// Makes everything that was written so far survive a crash of Postgres. A projector does not wait for that: what such a crash
    /// takes from it, it folds again.
    pub async fn flush(&self) -> Result<(), QueryError> {
        let client = self.client().await?;
        // A transaction of its own, whose record in the write-ahead log follows all others.
        let sql = "BEGIN; SET LOCAL synchronous_commit = on; SELECT pg_logical_emit_message(true, 'capstan', 'flush'); COMMIT";
        client.batch_execute(sql).await.map_err(QueryError::unavailable)
    }

    pub(crate) fn address(&self) -> &str {
        &self.inner.address
    }

    pub(crate) fn progress(&self) -> &Progress {
        &self.inner.progress
    }

    pub(crate) async fn client(&self) -> Result<Object, QueryError> {
        self.inner.pool.get().await.map_err(QueryError::unavailable)
    }

    /// Runs a prepared read on a connection of the pool.
    pub(crate) async fn rows(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, QueryError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(sql).await.map_err(QueryError::unavailable)?;
        client.query(&statement, parameters).await.map_err(QueryError::from_statement)
    }

    /// The same, planned for these parameters and not kept.
    pub(crate) async fn rows_by_value(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, QueryError> {
        let client = self.client().await?;
        let statement = client.prepare(sql).await.map_err(QueryError::unavailable)?;
        client.query(&statement, parameters).await.map_err(QueryError::from_statement)
    }

    pub(crate) async fn session(&self) -> Result<Session, tokio_postgres::Error> {
        Session::open(&self.inner.config).await
    }
}
