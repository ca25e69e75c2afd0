//! Looks at a server without changing anything: would the log be safe on it, and are the streams as they must be?

use capstan_envelope::Position;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::config::{Durability, JetStreamConfig};
use super::connection::{Connection, RequestError};
use super::get::Gets;
use super::server::{self, ServerError, ServerVersion};
use super::streams::{self, STREAM_NOT_FOUND, differences};
use super::{ConnectError, open, unavailable};
use crate::{Difference, ReadError, StreamSpec, Topology};

/// Findings about a server.
#[derive(Debug)]
pub struct Inspection {
    /// The server's release, or why the log would not be safe on it.
    pub version: Result<ServerVersion, ServerError>,
    /// Largest message it takes, in bytes.
    pub max_payload: usize,
    /// An error when JetStream is off or too old.
    pub jetstream: Result<(), ServerError>,
    /// Durability of an acknowledgement.
    pub durability: Durability,
    /// Every stream there should be.
    pub streams: Vec<InspectedStream>,
    /// Difference of the server's clock to this machine's, positive when it is ahead; `None` when no stream answered.
    pub clock_ahead: Option<TimeDelta>,
    connection: Connection,
    topology: Topology,
    replicas: usize,
}

/// A stream there should be.
#[derive(Debug)]
pub struct InspectedStream {
    /// Its name.
    pub name: String,
    /// State of the stream.
    pub state: StreamState,
}

/// State of a stream.
#[derive(Debug)]
pub enum StreamState {
    /// As it must be.
    AsWanted {
        /// Number of messages it holds.
        messages: u64,
    },
    /// Not there; the first start creates it.
    Missing,
    /// There, with settings that would break a promise: each with what it is and what it must be.
    Differs(Vec<String>),
    /// It could not be looked at.
    Unknown(Box<dyn std::error::Error + Send + Sync>),
}

#[derive(Deserialize)]
struct Info {
    config: Map<String, Value>,
    state: Counts,
    ts: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
struct Counts {
    messages: u64,
}

impl Inspection {
    /// Looks at the server of this configuration.
    pub async fn of(config: &JetStreamConfig) -> Result<Self, ConnectError> {
        let topology = Topology::new(config.stream_prefix.as_deref())?;
        let connection = open(config, "doctor").await?;
        let server = connection.client().server_info();
        let jetstream = server::check_api_level(&connection, config.connect_timeout).await;
        let (mut streams, mut clock_ahead) = (Vec::new(), None);
        if jetstream.is_ok() {
            let events = topology.events(config.replicas);
            for spec in std::iter::once(events).chain(topology.side_streams(config.replicas)) {
                let (state, ahead) = look_at(&connection, &spec).await;
                clock_ahead = clock_ahead.or(ahead);
                streams.push(InspectedStream { name: spec.name, state });
            }
        }
        Ok(Self {
            version: server::check_version(&server.version),
            max_payload: server.max_payload,
            jetstream,
            durability: server::find_durability(config.durability, config.monitor_url.as_deref()).await,
            streams,
            clock_ahead,
            connection,
            topology,
            replicas: config.replicas,
        })
    }

    /// Number of commits that the log holds after `position`, or the difference when it is not one of its own.
    pub async fn commits_after(&self, position: Position) -> Result<u64, ReadError> {
        let stream = self.topology.events_stream();
        let gets = Gets::new(self.connection.clone(), stream.clone(), self.replicas);
        let stored = gets.at(position.sequence()).await.map_err(unavailable)?;
        // The end is read last: a log in use grows, and must not seem shorter than the position.
        let last = streams::status(&self.connection, &stream).await.map_err(unavailable)?.last;
        let after = position.sequence();
        let difference = match stored {
            Some(stored) if stored.position(&self.topology) == position => return Ok(last - after),
            None if position == Position::START => return Ok(last),
            Some(_) => Difference::OtherCommit,
            None => Difference::EndsAt(last),
        };
        Err(ReadError::Diverged { after, difference })
    }
}

async fn look_at(connection: &Connection, spec: &StreamSpec) -> (StreamState, Option<TimeDelta>) {
    let asked = Utc::now();
    let info: Result<Info, _> = connection.call(&format!("STREAM.INFO.{}", spec.name), &json!({})).await;
    let took = Utc::now() - asked;
    match info {
        Ok(info) => {
            let ahead = info.ts.map(|theirs| theirs - (asked + took / 2));
            let mut differences = differences(spec, &info.config);
            differences.extend(streams::other_format(spec, &info.config).map(|error| error.to_string()));
            let state = if differences.is_empty() {
                StreamState::AsWanted { messages: info.state.messages }
            } else {
                StreamState::Differs(differences)
            };
            (state, ahead)
        }
        Err(RequestError::Refused { code: STREAM_NOT_FOUND, .. }) => (StreamState::Missing, None),
        Err(error) => (StreamState::Unknown(Box::new(error)), None),
    }
}
