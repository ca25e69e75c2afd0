//! The environment of a test: its own servers and an empty database.

use std::sync::Arc;
use std::time::Duration;

use capstan_envelope::Position;
use capstan_eventlog::EventLog;
use capstan_projections::{Projector, ProjectorConfig, ProjectorHandle, ProjectorState, ReadModels};
use capstan_testkit::eventually::eventually;
use capstan_testkit::servers::TestServers;

/// Timeout of every step.
pub const LIMIT: Duration = Duration::from_mins(1);

/// Servers and read models of one test.
pub struct Place {
    pub servers: TestServers,
    pub read_models: ReadModels,
    pub database: String,
}

impl Place {
    pub async fn new() -> Self {
        let servers = TestServers::start().await.unwrap();
        let database = servers.fresh_database().await.unwrap();
        let read_models = ReadModels::connect(&database).unwrap();
        read_models.migrate().await.unwrap();
        Self { servers, read_models, database }
    }

    /// Read models in another empty database of the same server.
    pub async fn elsewhere(&self) -> ReadModels {
        let read_models = ReadModels::connect(&self.servers.fresh_database().await.unwrap()).unwrap();
        read_models.migrate().await.unwrap();
        read_models
    }

    /// Drops everything in the database and migrates it again.
    pub async fn emptied(&self) -> ReadModels {
        let drop_all = "DO $$ DECLARE s text; BEGIN \
            FOR s IN SELECT nspname FROM pg_namespace WHERE nspname LIKE 'capstan%' LOOP \
            EXECUTE format('DROP SCHEMA %I CASCADE', s); END LOOP; END $$";
        self.sql().await.batch_execute(drop_all).await.unwrap();
        let read_models = self.reconnected();
        read_models.migrate().await.unwrap();
        read_models
    }

    /// A second connection to the same read models, as of another process.
    pub fn reconnected(&self) -> ReadModels {
        ReadModels::connect(&self.database).unwrap()
    }

    /// A plain connection.
    pub async fn sql(&self) -> tokio_postgres::Client {
        sql(&self.database).await
    }
}

/// A plain connection to a database.
pub async fn sql(address: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(address, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A projector with this name and short intervals.
pub fn config(owner: &str) -> ProjectorConfig {
    ProjectorConfig {
        owner: owner.to_owned(),
        lease: Duration::from_millis(1_500),
        renew_every: Duration::from_millis(300),
        search_block: 16,
        ..ProjectorConfig::default()
    }
}

/// Projects up to a position and stops.
pub async fn project(log: &Arc<dyn EventLog>, read_models: &ReadModels, to: Position) {
    let projector = Projector::start(Arc::clone(log), read_models.clone(), config("once"));
    reached(&projector, read_models, to).await;
    projector.stop().await;
}

/// Waits until a projector has reached a position; panics with its status otherwise.
pub async fn reached(projector: &ProjectorHandle, read_models: &ReadModels, to: Position) {
    if let Err(timeout) = read_models.wait_for(to, LIMIT).await {
        panic!("{timeout}; {:?}", *projector.status().borrow());
    }
}

/// Waits for a state of the projector.
pub async fn in_state(projector: &ProjectorHandle, what: &str, is: impl Fn(&ProjectorState) -> bool) {
    eventually(what, LIMIT, async || is(&projector.status().borrow().state).then_some(())).await;
}
