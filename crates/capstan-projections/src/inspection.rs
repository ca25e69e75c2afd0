//! Inspects a database without changing it: its fitness for the read models, and their position.

use capstan_envelope::Position;
use chrono::{DateTime, TimeDelta, Utc};

use crate::catalogue::{MODELS, ReadModel};
use crate::checkpoint;
use crate::generation;
use crate::migrate;
use crate::read_models::ReadModels;
use crate::session::Session;

/// State of a database.
#[derive(Clone, Debug)]
pub struct DatabaseInspection {
    /// Version of the server, as text.
    pub version: String,
    /// The same as a number: 140005 for 14.5.
    pub version_number: i32,
    /// Offset of the server's clock from this machine's.
    pub clock_ahead: TimeDelta,
    /// State of the projector's own tables.
    pub tables: TablesState,
    /// The checkpoint, if the tables exist.
    pub position: Option<Position>,
    /// True when a projector holds the lease.
    pub has_projector: bool,
    /// Models without a table of this build's version; they are rebuilt at the next start.
    pub outdated_models: Vec<&'static str>,
    /// Number of parked commits.
    pub parked_commits: i64,
}

/// State of the projector's own tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TablesState {
    /// Present, in this build's version or one it can migrate.
    There,
    /// Absent; this login may create them.
    CanBeMade,
    /// Absent; this login may not create them.
    CannotBeMade,
    /// Created by a newer build, with this version.
    Newer(i32),
}

impl ReadModels {
    /// Inspects the database.
    pub async fn inspect(&self) -> Result<DatabaseInspection, tokio_postgres::Error> {
        let session = self.session().await?;
        let client = session.client();
        let sent = Utc::now();
        let row = client
            .query_one(
                "SELECT clock_timestamp(), current_setting('server_version_num')::int, \
                 current_setting('server_version'), has_database_privilege(current_database(), 'CREATE'), \
                 to_regclass('capstan.migration') IS NOT NULL AND to_regclass('capstan.checkpoint') IS NOT NULL \
                 AND to_regclass('capstan.model') IS NOT NULL AND to_regclass('capstan.parked') IS NOT NULL",
                &[],
            )
            .await?;
        let took = Utc::now() - sent;
        let (may_create, exist): (bool, bool) = (row.get(3), row.get(4));
        let mut found = DatabaseInspection {
            version: row.get(2),
            version_number: row.get(1),
            clock_ahead: row.get::<_, DateTime<Utc>>(0) - (sent + took / 2),
            tables: if may_create { TablesState::CanBeMade } else { TablesState::CannotBeMade },
            position: None,
            has_projector: false,
            outdated_models: names(MODELS),
            parked_commits: 0,
        };
        if exist {
            found.inspect_tables(&session).await?;
        }
        Ok(found)
    }
}

impl DatabaseInspection {
    async fn inspect_tables(&mut self, session: &Session) -> Result<(), tokio_postgres::Error> {
        let client = session.client();
        let applied: i32 =
            client.query_one("SELECT coalesce(max(version), 0) FROM capstan.migration", &[]).await?.get(0);
        self.tables =
            if applied > migrate::NEWEST { TablesState::Newer(applied) } else { TablesState::There };
        self.position = checkpoint::read(client).await?.map(|at| at.position);
        let sql = "SELECT EXISTS (SELECT 1 FROM capstan.checkpoint \
                   WHERE owner IS NOT NULL AND lease_until > clock_timestamp()), (SELECT count(*) FROM capstan.parked)";
        let row = client.query_one(sql, &[]).await?;
        (self.has_projector, self.parked_commits) = (row.get(0), row.get(1));
        self.outdated_models = names(generation::missing(client).await.map_err(|error| error.0)?);
        Ok(())
    }
}

fn names(models: impl IntoIterator<Item = &'static ReadModel>) -> Vec<&'static str> {
    models.into_iter().map(|model| model.name).collect()
}
