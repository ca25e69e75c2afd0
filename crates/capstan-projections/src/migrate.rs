//! The projector's own tables, created at start. They contain nothing that cannot be recreated.

use crate::catalogue::MODELS;
use crate::checkpoint;
use crate::generation::{self, GenerationError};
use crate::read_models::ReadModels;

/// Versioned SQL, in order. Each file runs as a whole and its statements never change once released.
const MIGRATIONS: &[(i32, &str)] = &[(1, include_str!("../migrations/0001_control.sql"))];

/// Version of the newest file.
pub(crate) const NEWEST: i32 = MIGRATIONS[MIGRATIONS.len() - 1].0;

/// Longest wait for a connection when the address names none.
const CONNECT_MAX: std::time::Duration = std::time::Duration::from_secs(5);

/// Lets one process migrate at a time; the number is arbitrary.
const ADVISORY_LOCK: i64 = 0x6361_7073_7461_6e01;

/// The reason the tables could not be created.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A statement of a migration failed.
    #[error("migrate the read models")]
    Postgres(#[source] postgres::Error),
    /// The tables of the read models could not be created.
    #[error("create the tables of the read models")]
    Tables(#[from] GenerationError),
    /// The migrating thread panicked.
    #[error("finish the migration")]
    Interrupted(#[source] tokio::task::JoinError),
}

impl MigrateError {
    /// True when a retry may succeed: Postgres was not reachable, is starting or stopping, or has no connection left.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Postgres(source) | Self::Tables(GenerationError(source)) => {
                let is_passing = |code: &str| ["08", "53", "57P"].iter().any(|class| code.starts_with(class));
                source.code().is_none_or(|code| is_passing(code.code()))
            }
            Self::Interrupted(_) => false,
        }
    }
}

impl ReadModels {
    /// Creates the projector's own tables and, before anything was projected, empty tables of all models. Tables that
    /// are missing later are created by a rebuild.
    pub async fn migrate(&self) -> Result<(), MigrateError> {
        let address = self.address().to_owned();
        tokio::task::spawn_blocking(move || run(&address))
            .await
            .map_err(MigrateError::Interrupted)?
            .map_err(MigrateError::Postgres)?;
        let session = self.session().await.map_err(GenerationError)?;
        let client = session.client();
        client.batch_execute("BEGIN").await.map_err(GenerationError)?;
        let at = checkpoint::lock(client).await.map_err(GenerationError)?;
        let unprojected = at.is_none_or(|at| at.position.sequence() == 0);
        let missing = generation::missing(client).await?;
        if unprojected && missing.len() == MODELS.len() {
            let schema = generation::next_schema(client).await?;
            generation::create_tables(client, &schema, &missing).await?;
            generation::create_indexes(client, &schema, &missing).await?;
            generation::activate(client, &schema, &missing).await?;
        }
        client.batch_execute("COMMIT").await.map_err(GenerationError)?;
        Ok(())
    }
}

fn run(address: &str) -> Result<(), postgres::Error> {
    let mut config: postgres::Config = address.parse()?;
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_MAX);
    }
    let mut client = config.connect(postgres::NoTls)?;
    client.batch_execute("SET client_min_messages = warning")?;
    client.execute("SELECT pg_advisory_lock($1)", &[&ADVISORY_LOCK])?;
    client.batch_execute(
        "CREATE SCHEMA IF NOT EXISTS capstan; \
         CREATE TABLE IF NOT EXISTS capstan.migration (version integer PRIMARY KEY, applied_at timestamptz NOT NULL)",
    )?;
    // The tables may have been dropped while the record of their migration was kept.
    let complete: bool = client
        .query_one(
            "SELECT to_regclass('capstan.checkpoint') IS NOT NULL AND to_regclass('capstan.model') IS NOT NULL \
             AND to_regclass('capstan.parked') IS NOT NULL",
            &[],
        )?
        .get(0);
    let applied: i32 = if complete {
        client.query_one("SELECT coalesce(max(version), 0) FROM capstan.migration", &[])?.get(0)
    } else {
        0
    };
    for (version, sql) in MIGRATIONS.iter().filter(|(version, _)| *version > applied) {
        let mut transaction = client.transaction()?;
        transaction.batch_execute(sql)?;
        transaction.execute(
            "INSERT INTO capstan.migration VALUES ($1, clock_timestamp()) ON CONFLICT DO NOTHING",
            &[version],
        )?;
        transaction.commit()?;
    }
    client.execute(
        "INSERT INTO capstan.checkpoint (name, position, hash, epoch, lease_until) \
         VALUES ($1, 0, repeat('0', 64), 0, 'epoch') ON CONFLICT DO NOTHING",
        &[&checkpoint::NAME],
    )?;
    Ok(())
}
