//! Between stored records and typed events.

use crate::{Commit, CommitFacts, EventRecord, Position, Recorded};

/// Turns the events of one category into records and back; upcasts retired versions while reading.
pub trait Codec: Send + Sync + 'static {
    /// The current shape of the category's events.
    type Event;

    /// The category whose events these are, as it stands in subjects.
    const CATEGORY: &'static str;

    /// Writes the events of one commit in their current versions, without what the commit says itself.
    fn encode(events: &[Self::Event], commit: CommitFacts<'_>) -> Result<Vec<EventRecord>, CodecError>;

    /// Reads the events of a commit, each of any known version, with what the commit says itself. A commit that carries its
    /// stream forward has none.
    fn decode(commit: &Commit) -> Result<Vec<Self::Event>, CodecError>;
}

/// A commit with an event that is unknown to this build or damaged.
#[derive(Debug, thiserror::Error)]
#[error("read the commit at {position}")]
pub struct UnreadableCommit {
    /// Its position.
    pub position: Position,
    /// The fault of the event.
    #[source]
    pub source: CodecError,
}

impl UnreadableCommit {
    /// This commit, with its fault.
    pub fn at(recorded: &Recorded, source: CodecError) -> Self {
        Self { position: recorded.position, source }
    }
}

/// An event that cannot be written or read by this build.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// A name or version newer than, or foreign to, this build. Wait for the upgrade; do not skip.
    #[error("read event {name} version {version} of category {category}: unknown to this build")]
    Unknown {
        /// The category it was read as; foreign when no codec knows it.
        category: String,
        /// The event's wire name.
        name: String,
        /// The event's version.
        version: u16,
    },
    /// A known event that leaves something to a version of a frozen default that this build does not have. Wait for the
    /// upgrade; do not skip.
    #[error(
        "read event {name} version {version}: version {found} of the default of {default} is unknown to this build"
    )]
    UnknownDefault {
        /// The event's wire name.
        name: String,
        /// The event's version.
        version: u16,
        /// The frozen default.
        default: &'static str,
        /// The version of it that the event names.
        found: u64,
    },
    /// The data does not have the shape its name and version promise.
    #[error("read event {name} version {version}: the data has another shape")]
    Malformed {
        /// The event's wire name.
        name: String,
        /// The event's version.
        version: u16,
        /// Error of the decoder.
        #[source]
        source: serde_json::Error,
    },
    /// The event could not be written as JSON.
    #[error("write event {name}")]
    Unwritable {
        /// The event's wire name.
        name: &'static str,
        /// Error of the encoder.
        #[source]
        source: serde_json::Error,
    },
}

impl CodecError {
    /// True for an event of a newer build: neither its commit nor a later one may be applied before the upgrade. Anything else
    /// is a fault of the event itself.
    pub fn needs_newer_build(&self) -> bool {
        match self {
            Self::Unknown { .. } | Self::UnknownDefault { .. } => true,
            Self::Malformed { .. } | Self::Unwritable { .. } => false,
        }
    }
}
