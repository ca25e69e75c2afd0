//! Looks at a database without changing anything: could the read models live there, and how far are they?

use capstan_envelope::Position;
use chrono::{DateTime, TimeDelta, Utc};

use crate::catalogue::MODELS;
use crate::checkpoint;
use crate::generation;
use crate::migrate;
use crate::read_models::ReadModels;
use crate::session::Session;

/// What was found in a database.
#[derive(Clone, Debug)]
pub struct DatabaseInspection {
    /// The server's release as it says it.
    pub version: String,
    /// The same as a number: 140005 for 14.5.
    pub version_number: i32,
    /// How far the server's clock is ahead of this machine's.
    pub clock_ahead: TimeDelta,
    /// The projector's own tables.
    pub tables: TablesState,
    /// The checkpoint, once there are tables.
    pub position: Option<Position>,
    /// Whether a projector holds the lease, once there are tables.
    pub has_projector: bool,
    /// Models without a table of this build's version: they are made anew at the next start.
    pub outdated_models: Vec<&'static str>,
    /// Commits that could not be folded, and those behind them.
    pub parked_commits: i64,
}

/// The projector's own tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TablesState {
    /// There, in this build's version or one it can bring up to date.
    There,
    /// Not there; this login may make them.
    CanBeMade,
    /// Not there, and this login may not make them.
    CannotBeMade,
    /// Made by a build newer than this one.
    Newer(i32),
}

impl ReadModels {
    /// Looks at the database.
    pub async fn inspect(&self) -> Result<DatabaseInspection, tokio_postgres::Error> {
        let session = self.session().await?;
        let client = session.client();
        let asked = Utc::now();
        let row = client
            .query_one(
                "SELECT clock_timestamp(), current_setting('server_version_num')::int, \
                 current_setting('server_version'), has_database_privilege(current_database(), 'CREATE'), \
                 to_regclass('capstan.migration') IS NOT NULL AND to_regclass('capstan.checkpoint') IS NOT NULL \
                 AND to_regclass('capstan.model') IS NOT NULL AND to_regclass('capstan.parked') IS NOT NULL",
                &[],
            )
            .await?;
        let took = Utc::now() - asked;
        let (may_create, is_there): (bool, bool) = (row.get(3), row.get(4));
        let mut found = DatabaseInspection {
            version: row.get(2),
            version_number: row.get(1),
            clock_ahead: row.get::<_, DateTime<Utc>>(0) - (asked + took / 2),
            tables: if may_create { TablesState::CanBeMade } else { TablesState::CannotBeMade },
            position: None,
            has_projector: false,
            outdated_models: MODELS.iter().map(|(name, _)| *name).collect(),
            parked_commits: 0,
        };
        if is_there {
            found.look_at_tables(&session).await?;
        }
        Ok(found)
    }
}

impl DatabaseInspection {
    async fn look_at_tables(&mut self, session: &Session) -> Result<(), tokio_postgres::Error> {
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
        self.outdated_models = generation::missing(client).await.map_err(|error| error.0)?;
        Ok(())
    }
}
