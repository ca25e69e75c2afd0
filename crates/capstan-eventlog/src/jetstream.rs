//! The log in NATS JetStream.

pub(crate) mod append;
pub(crate) mod assembly;
pub(crate) mod batch;
pub(crate) mod config;
pub(crate) mod connection;
pub(crate) mod cursor;
mod denial;
pub(crate) mod get;
pub(crate) mod group_commit;
pub(crate) mod inspection;
pub(crate) mod scan;
pub(crate) mod server;
mod size;
pub(crate) mod streams;
pub(crate) mod tail;

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use capstan_envelope::{Commit, Position, Recorded, StreamId};

use self::append::{Appender, Sender};
use self::config::{Durability, JetStreamConfig};
use self::connection::Connection;
use self::cursor::{Cursor, Followed, unavailable};
use self::get::{Gets, Stored};
use self::scan::JetStreamScan;
use self::server::{ServerError, ServerVersion};
use self::size::Size;
use self::streams::StreamError;
use crate::{
    AppendError, Appended, Archived, Difference, EventLog, FingerprintKey, InvalidPrefix, LogIdentity,
    RawCommit, ReadError, Scan, Selection, Tail, Telemetry, Topology,
};

/// A log that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The stream prefix cannot be used.
    #[error(transparent)]
    Prefix(#[from] InvalidPrefix),
    /// The server cannot be reached or refuses the login.
    #[error("connect to NATS at {url}")]
    Connect {
        /// The configured address.
        url: String,
        /// Error of the client.
        #[source]
        source: async_nats::ConnectError,
    },
    /// The server is not one the log would be safe on.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// A stream cannot be had as it must be.
    #[error(transparent)]
    Stream(#[from] StreamError),
}

/// The log in one JetStream stream.
///
/// Appends, readers and gets use connections of their own, because one connection is one ordered pipe.
#[derive(Debug)]
pub struct JetStreamLog {
    topology: Topology,
    server: ServerVersion,
    durability: Durability,
    identity: LogIdentity,
    fingerprint_key: FingerprintKey,
    /// As of the last look at the stream.
    archived: Mutex<Archived>,
    size: Size,
    appends: Connection,
    reads: Connection,
    gets_connection: Connection,
    gets: Gets,
    appender: Appender,
    telemetry: Telemetry,
}

impl JetStreamLog {
    /// Connects, checks the server, and creates the streams or verifies the ones that exist.
    pub async fn connect(config: JetStreamConfig) -> Result<Self, ConnectError> {
        let topology = Topology::new(config.stream_prefix.as_deref())?;
        let appends = open(&config, "appends").await?;
        let server = server::check_version(&appends.client().server_info().version)?;
        let (reads, gets_connection) = (open(&config, "reads").await?, open(&config, "gets").await?);
        server::check_api_level(&gets_connection, config.connect_timeout).await?;
        let status = streams::ensure(&gets_connection, &topology.events(config.replicas)).await?;
        for side in topology.side_streams(config.replicas) {
            streams::ensure(&gets_connection, &side).await?;
        }
        let durability = server::find_durability(config.durability, config.monitor_url.as_deref()).await;
        // Replicated streams share flushes by themselves, and without a flush there is nothing to share.
        let grouped = config.replicas == 1 && matches!(durability, Durability::Always | Durability::Unknown);
        let gets = Gets::new(gets_connection.clone(), topology.events_stream(), config.replicas);
        let sender = Sender::new(appends.clone(), config.ack_timeout);
        let appender = Appender::new(topology.clone(), sender, gets.clone(), grouped, config.append_timeout);
        let log_gets = Gets::new(gets_connection.clone(), topology.logs_stream(), config.replicas);
        let telemetry =
            Telemetry::new(topology.clone(), appends.clone(), reads.clone(), log_gets, config.ack_timeout);
        tracing::info!(
            server.version = %server, log.durability = %durability, log.grouped = grouped,
            log.store_epoch = %status.identity.store_epoch, log.commits = status.last, "the log is open"
        );
        let fingerprint_key = status.fingerprint_key;
        let fingerprint_key = fingerprint_key
            .ok_or_else(|| StreamError::NoFingerprintKey { stream: topology.events_stream() })?;
        let (identity, archived) = (status.identity, Mutex::new(status.archived));
        Ok(Self {
            topology,
            server,
            durability,
            identity,
            fingerprint_key,
            archived,
            size: Size::default(),
            appends,
            reads,
            gets_connection,
            gets,
            appender,
            telemetry,
        })
    }

    /// The names of all streams and subjects.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// The server's release.
    pub fn server_version(&self) -> ServerVersion {
        self.server
    }

    /// Durability of an acknowledgement on this server.
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// Number of entities with a history, as of the last look at the log.
    pub fn subjects(&self) -> u64 {
        self.size.subjects()
    }

    /// Bytes of the log with what the server adds to each commit, as of the last look at it.
    pub fn bytes(&self) -> u64 {
        self.size.bytes()
    }

    /// The output of running agents, kept beside the log on the same server.
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Largest commit this log takes, in bytes of its stored text.
    pub fn commit_bytes_max(&self) -> usize {
        self.appender.commit_bytes_max()
    }

    /// True while all connections stand.
    pub fn is_connected(&self) -> bool {
        [&self.appends, &self.reads, &self.gets_connection].iter().all(|one| one.is_connected())
    }

    /// Takes over the key of the log that this empty one becomes a copy of, so that repeats of its commands are recognised.
    /// Processes that hold this log open keep the key from before.
    pub async fn adopt_fingerprint_key(&self, key: &FingerprintKey) -> Result<(), ConnectError> {
        Ok(streams::set_fingerprint_key(&self.gets_connection, &self.topology.events_stream(), key).await?)
    }

    /// Fails unless the user may [archive](Self::archive): update the stream and purge its beginning. Changes nothing.
    pub async fn may_archive(&self) -> Result<(), ConnectError> {
        Ok(streams::may_archive(&self.gets_connection, &self.topology.events_stream()).await?)
    }

    /// Removes the beginning of the log up to this number, once it is declared as archived and carried forward. What was declared
    /// before is removed too: an archive may be repeated after an interruption, and two may run at once.
    pub async fn archive(&self, through: u64) -> Result<(), ConnectError> {
        let archived =
            streams::archive(&self.gets_connection, &self.topology.events_stream(), through).await?;
        *self.known_archive() = archived;
        Ok(())
    }

    /// Asks the server whether the log is there and still the one it was when it was opened; answers its end.
    pub async fn check(&self) -> Result<Position, ReadError> {
        let status = self.status().await?;
        if status.identity != self.identity {
            return Err(ReadError::Diverged { after: 0, difference: Difference::Replaced });
        }
        self.position_of(status.last).await
    }

    async fn status(&self) -> Result<streams::StreamStatus, ReadError> {
        let status = streams::status(&self.gets_connection, &self.topology.events_stream()).await;
        let status = status.map_err(unavailable)?;
        *self.known_archive() = status.archived;
        self.size.observe(&status);
        Ok(status)
    }

    fn known_archive(&self) -> MutexGuard<'_, Archived> {
        // Nothing below a guard can panic.
        self.archived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The position of the last commit, whose number the server has just named.
    async fn position_of(&self, last: u64) -> Result<Position, ReadError> {
        if last == 0 {
            return Ok(Position::START);
        }
        let stored = self.gets.at(last).await.map_err(unavailable)?;
        stored
            .map(|stored| stored.position(&self.topology))
            .ok_or_else(|| unavailable("the log's last commit is not there"))
    }

    fn followed(&self, selection: &Selection) -> Followed {
        Followed {
            connection: self.reads.clone(),
            stream: self.topology.events_stream(),
            filter: self.topology.event_filter(selection),
            is_gapless: true,
        }
    }

    fn decode(&self, stored: &Stored) -> Result<Recorded, ReadError> {
        let raw = RawCommit {
            sequence: stored.sequence,
            recorded_at: stored.recorded_at,
            stream: self.topology.stream_tokens(&stored.subject),
            expected: stored.expected,
            payload: &stored.payload,
        };
        raw.decode()
    }
}

async fn open(config: &JetStreamConfig, role: &str) -> Result<Connection, ConnectError> {
    Connection::open(config, role)
        .await
        .map_err(|source| ConnectError::Connect { url: config.url.clone(), source })
}

#[async_trait]
impl EventLog for JetStreamLog {
    async fn append(&self, commit: &Commit) -> Result<Appended, AppendError> {
        self.appender.append(commit).await
    }

    async fn append_together(&self, commits: &[Commit]) -> Result<Vec<Appended>, AppendError> {
        self.appender.append_together(commits).await
    }

    async fn last(&self, stream: &StreamId) -> Result<Option<Recorded>, ReadError> {
        let stored = self.gets.last(&self.topology.event_subject(stream)).await.map_err(unavailable)?;
        stored.map(|stored| self.decode(&stored)).transpose()
    }

    async fn read_stream(&self, stream: &StreamId, after: Position) -> Result<Vec<Recorded>, ReadError> {
        let stored = self
            .gets
            .all(&self.topology.event_subject(stream), after.sequence())
            .await
            .map_err(unavailable)?;
        stored.iter().map(|stored| self.decode(stored)).collect()
    }

    async fn at(&self, position: Position) -> Result<Option<Recorded>, ReadError> {
        let stored = self.gets.at(position.sequence()).await.map_err(unavailable)?;
        let stored = stored.filter(|stored| stored.position(&self.topology) == position);
        stored.map(|stored| self.decode(&stored)).transpose()
    }

    async fn next(&self, position: Position) -> Result<Option<Recorded>, ReadError> {
        let stored = self.gets.at(position.sequence().saturating_add(1)).await.map_err(unavailable)?;
        stored.map(|stored| self.decode(&stored)).transpose()
    }

    async fn tail(&self, selection: Selection, after: Position) -> Result<Tail, ReadError> {
        let followed = self.followed(&selection);
        tail::follow(followed, self.gets.clone(), self.topology.clone(), after).await
    }

    async fn scan(&self, after: Position, end: Position, ahead: usize) -> Result<Scan, ReadError> {
        let bytes = self.status().await?.bytes;
        if !self.holds(after).await? {
            return Err(ReadError::Diverged { after: after.sequence(), difference: Difference::OtherCommit });
        }
        let cursor = Cursor::new(self.followed(&Selection::All), after.sequence());
        Ok(Scan::new(JetStreamScan::new(cursor, self.topology.clone(), end, ahead), Some(bytes)))
    }

    async fn head(&self) -> Result<Position, ReadError> {
        self.position_of(self.status().await?.last).await
    }

    fn fingerprint_key(&self) -> &FingerprintKey {
        &self.fingerprint_key
    }

    fn archived(&self) -> Archived {
        *self.known_archive()
    }

    async fn identity(&self) -> Result<LogIdentity, ReadError> {
        Ok(self.status().await?.identity)
    }
}
