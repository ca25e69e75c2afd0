//! The stored form of a commit: the JSON text of one message of the log.
//!
//! It says only what the message does not say otherwise. The subject names the stream, the header
//! `Nats-Expected-Last-Subject-Sequence` the sequence of the stream's commit before this one. The hash covers the stream's
//! name and this text, so neither can be exchanged. The link to the commit before is a hash, not a sequence: it
//! survives an import into another log. An event stands under its name, `<name>` for version 1 and `<name>.v<version>`
//! for later ones.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{Actor, Commit, CommitHash, CommitId, EventRecord, Idempotency, Metadata, Position, StreamId};

/// Generation of the stored formats. A log of another one cannot be read by this build; within one, formats grow by
/// versions of events only.
pub const FORMAT_EPOCH: u32 = 6;

/// Declares a struct, and `FIELDS` with the names of its fields.
macro_rules! with_field_names {
    ($(#[$of_struct:meta])* struct $name:ident<$life:lifetime> {
        $($(#[$of_field:meta])* $field:ident: $holds:ty,)+
    }) => {
        $(#[$of_struct])*
        struct $name<$life> {
            $($(#[$of_field])* $field: $holds,)+
        }

        /// Names of the fields.
        const FIELDS: &[&str] = &[$(stringify!($field)),+];
    };
}

with_field_names! {
    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct StoredCommit<'a> {
        /// Absent where it derives from the idempotency key, or from the whole commit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<CommitId>,
        version: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        link: Option<CommitHash>,
        at: DateTime<Utc>,
        #[serde(borrow)]
        by: Cow<'a, str>,
        #[serde(borrow)]
        command: Cow<'a, str>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        correlation: Option<Uuid>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<Uuid>,
        #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
        trace: Option<Cow<'a, str>>,
        #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
        key: Option<Cow<'a, str>>,
        #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
        fingerprint: Option<Cow<'a, str>>,
        #[serde(borrow)]
        events: Cow<'a, [StoredEvent<'a>]>,
    }
}

/// Version of an event, or of all events of a commit, that says more than this build knows: none has a version that high.
pub(crate) const OF_A_NEWER_BUILD: u16 = u16::MAX;

/// The text without the fields that only a newer build knows; `None` when it has none.
fn without_newer_fields(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut fields: BTreeMap<&str, &RawValue> = serde_json::from_slice(bytes).ok()?;
    let all = fields.len();
    fields.retain(|name, _| FIELDS.contains(name));
    (fields.len() < all).then(|| serde_json::to_vec(&fields).ok()).flatten()
}

/// `{"<name>": data}`.
#[derive(Clone)]
struct StoredEvent<'a> {
    name: Cow<'a, str>,
    version: u16,
    data: &'a RawValue,
}

/// A text that is not a stored commit.
#[derive(Debug, thiserror::Error)]
pub enum StoredCommitError {
    /// It does not have the shape of a commit.
    #[error("read a commit")]
    Shape(#[from] serde_json::Error),
    /// It holds no event.
    #[error("read a commit: it holds no event")]
    NoEvents,
    /// It has an idempotency key without a fingerprint, or the other way round.
    #[error("read a commit: an idempotency key and its fingerprint are there together")]
    HalfAKey,
    /// Its actor is none that Capstan writes.
    #[error("read a commit")]
    Actor(#[from] ParseActorError),
}

impl Commit {
    /// The stored text.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let metadata = &self.metadata;
        let stored = StoredCommit {
            id: Some(self.commit_id).filter(|_| !self.says_its_id()),
            version: self.version,
            link: Some(self.previous_hash).filter(|hash| *hash != CommitHash::NONE),
            at: metadata.occurred_at,
            by: metadata.actor.to_string().into(),
            command: metadata.command.as_str().into(),
            correlation: Some(metadata.correlation_id).filter(|id| *id != self.commit_id.0),
            cause: metadata.causation_id,
            trace: metadata.traceparent.as_deref().map(Cow::Borrowed),
            key: metadata.idempotency.as_ref().map(|given| given.key.as_str().into()),
            fingerprint: metadata.idempotency.as_ref().map(|given| given.fingerprint.as_str().into()),
            events: self.events.iter().map(StoredEvent::new).collect(),
        };
        serde_json::to_vec(&stored)
    }

    /// Reads the stored text of a commit of `stream`, whose commit before this one has the sequence `previous_sequence`, 0
    /// for none. A commit with a field that this build does not know comes with events of a version that it does not know
    /// either: whoever must understand it stops there, as at a newer event, and everybody else hands it on.
    pub fn from_bytes(
        stream: StreamId,
        previous_sequence: u64,
        bytes: &[u8],
    ) -> Result<Self, StoredCommitError> {
        match serde_json::from_slice(bytes) {
            Ok(stored) => Self::from_stored(stream, previous_sequence, stored),
            Err(error) => {
                let known = without_newer_fields(bytes).ok_or(error)?;
                let stored = serde_json::from_slice(&known)?;
                let mut commit = Self::from_stored(stream, previous_sequence, stored)?;
                commit.events.iter_mut().for_each(|event| event.version = OF_A_NEWER_BUILD);
                Ok(commit)
            }
        }
    }

    fn from_stored(
        stream: StreamId,
        previous_sequence: u64,
        stored: StoredCommit<'_>,
    ) -> Result<Self, StoredCommitError> {
        if stored.events.is_empty() {
            return Err(StoredCommitError::NoEvents);
        }
        let previous_hash = stored.link.unwrap_or_default();
        let idempotency = match (stored.key, stored.fingerprint) {
            (Some(key), Some(fingerprint)) => {
                Some(Idempotency { key: key.into_owned(), fingerprint: fingerprint.into_owned() })
            }
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(StoredCommitError::HalfAKey),
        };
        let metadata = Metadata {
            occurred_at: stored.at,
            actor: stored.by.parse()?,
            command: stored.command.into_owned(),
            correlation_id: Uuid::nil(),
            causation_id: stored.cause,
            traceparent: stored.trace.map(Cow::into_owned),
            idempotency,
        };
        let named = stored.id.or_else(|| keyed_id(&stream, &metadata));
        let mut commit = Self {
            commit_id: named.unwrap_or(CommitId(Uuid::nil())),
            stream,
            version: stored.version,
            previous: match previous_sequence {
                0 => Position::START,
                sequence => Position::new(sequence, previous_hash),
            },
            previous_hash,
            metadata,
            events: stored.events.iter().map(StoredEvent::record).collect(),
        };
        if named.is_none() {
            commit.commit_id = CommitId::of_content(&commit);
        }
        commit.metadata.correlation_id = stored.correlation.unwrap_or(commit.commit_id.0);
        Ok(commit)
    }

    /// True when the id follows from what is stored besides it.
    fn says_its_id(&self) -> bool {
        match keyed_id(&self.stream, &self.metadata) {
            Some(id) => id == self.commit_id,
            None => self.commit_id.is_of_content() && CommitId::of_content(self) == self.commit_id,
        }
    }
}

fn keyed_id(stream: &StreamId, metadata: &Metadata) -> Option<CommitId> {
    let idempotency = metadata.idempotency.as_ref()?;
    Some(CommitId::from_key(stream, &metadata.command, &idempotency.key))
}

impl<'a> StoredEvent<'a> {
    fn new(record: &'a EventRecord) -> Self {
        Self { name: record.name.as_str().into(), version: record.version, data: &record.data }
    }

    fn record(&self) -> EventRecord {
        EventRecord { name: self.name.as_ref().to_owned(), version: self.version, data: self.data.to_owned() }
    }
}

impl Serialize for StoredEvent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match self.version {
            1 => map.serialize_entry(&self.name, self.data)?,
            version => map.serialize_entry(&format_args!("{}.v{version}", self.name), self.data)?,
        }
        map.end()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for StoredEvent<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneEvent;
        impl<'de> Visitor<'de> for OneEvent {
            type Value = StoredEvent<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with one field: the name of an event")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                use serde::de::Error;
                let Some((key, data)) = map.next_entry::<Cow<'de, str>, &'de RawValue>()? else {
                    return Err(A::Error::custom("an event needs a name"));
                };
                if map.next_key::<serde::de::IgnoredAny>()?.is_some() {
                    return Err(A::Error::custom("an event has one name"));
                }
                let split = key.rsplit_once(".v").map(|(name, version)| (name.to_owned(), version.parse()));
                let (name, version) = match split {
                    None => (key, 1),
                    Some((name, Ok(version))) if version > 1 => (Cow::Owned(name), version),
                    Some(_) => return Err(A::Error::custom("the version of an event is a number from 2")),
                };
                Ok(StoredEvent { name, version, data })
            }
        }
        deserializer.deserialize_map(OneEvent)
    }
}

const CLIENT: &str = "client:";
const WORKER: &str = "worker";
const ENGINE: &str = "engine";
const SYSTEM: &str = "system";

/// `client:<name>`, `worker`, `engine` or `system`.
impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client { name } => write!(f, "{CLIENT}{name}"),
            Self::Worker => f.write_str(WORKER),
            Self::Engine => f.write_str(ENGINE),
            Self::System => f.write_str(SYSTEM),
        }
    }
}

/// A text that names no actor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read actor {0:?}: expected client:<name>, worker, engine or system")]
pub struct ParseActorError(String);

impl FromStr for Actor {
    type Err = ParseActorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(name) = text.strip_prefix(CLIENT) {
            return Ok(Self::Client { name: name.to_owned() });
        }
        match text {
            WORKER => Ok(Self::Worker),
            ENGINE => Ok(Self::Engine),
            SYSTEM => Ok(Self::System),
            _ => Err(ParseActorError(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::to_raw_value;

    use super::*;

    fn commit(actor: Actor, previous: Position, version: u64) -> Commit {
        let event = |name: &str, version| EventRecord {
            name: name.to_owned(),
            version,
            data: to_raw_value(&serde_json::json!({ "text": "é \"quoted\"" })).unwrap(),
        };
        Commit {
            commit_id: CommitId(Uuid::from_u128(7)),
            stream: "dev/task/1".parse().unwrap(),
            version,
            previous,
            previous_hash: if version == 1 {
                CommitHash::NONE
            } else {
                CommitHash::of("dev.task.1", b"the one before")
            },
            metadata: Metadata {
                causation_id: Some(Uuid::from_u128(9)),
                traceparent: Some("00-x-y-01".into()),
                idempotency: Some(Idempotency { key: "k".into(), fingerprint: "f".into() }),
                ..Metadata::new("note", actor, Uuid::from_u128(8), DateTime::UNIX_EPOCH)
            },
            events: vec![event("noted", 1), event("noted", 3)],
        }
    }

    fn actors() -> [Actor; 4] {
        [Actor::Client { name: "worker:engine \"é\"".into() }, Actor::Worker, Actor::Engine, Actor::System]
    }

    #[test]
    fn a_commit_reads_back_from_its_text_with_what_the_message_says() {
        for actor in actors() {
            let linked = CommitHash::of("dev.task.1", b"the one before");
            for (previous, version) in [(Position::START, 1), (Position::new(41, linked), 2)] {
                let commit = commit(actor.clone(), previous, version);
                let bytes = commit.to_bytes().unwrap();
                let read = Commit::from_bytes(commit.stream.clone(), previous.sequence(), &bytes).unwrap();
                assert_eq!(read, commit);
            }
        }
    }

    #[test]
    fn a_commit_that_says_more_than_this_build_knows_has_events_of_a_newer_one() {
        let whole = commit(Actor::Worker, Position::START, 1);
        let text = String::from_utf8(whole.to_bytes().unwrap()).unwrap();
        let fields: BTreeMap<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
        assert!(fields.keys().all(|name| FIELDS.contains(&name.as_str())), "{fields:?}");
        let newer = text.replacen('{', r#"{"subject_key":"s-1","#, 1);
        let read = Commit::from_bytes(whole.stream.clone(), 0, newer.as_bytes()).unwrap();
        assert!(read.events.iter().all(|event| event.version == OF_A_NEWER_BUILD), "{read:?}");
        let as_known = |mut commit: Commit| {
            commit.events.iter_mut().for_each(|event| event.version = 1);
            commit
        };
        assert_eq!(as_known(read), as_known(whole.clone()));
        for damaged in [newer.replace("version", "versio"), newer.replace("events", "event"), newer + "}"] {
            assert!(Commit::from_bytes(whole.stream.clone(), 0, damaged.as_bytes()).is_err(), "{damaged}");
        }
    }

    #[test]
    fn the_text_of_a_plain_first_commit_says_nothing_twice() {
        let mut plain = commit(Actor::Engine, Position::START, 1);
        plain.metadata = Metadata::new("note", Actor::Engine, plain.commit_id.0, DateTime::UNIX_EPOCH);
        plain.events.truncate(1);
        assert_eq!(
            String::from_utf8(plain.to_bytes().unwrap()).unwrap(),
            r#"{"id":"00000000-0000-0000-0000-000000000007","version":1,"at":"1970-01-01T00:00:00Z","by":"engine","command":"note","events":[{"noted":{"text":"é \"quoted\""}}]}"#
        );
    }

    #[test]
    fn an_id_that_derives_from_the_key_is_not_stored() {
        let mut keyed = commit(Actor::Engine, Position::START, 1);
        keyed.commit_id = CommitId::from_key(&keyed.stream, "note", "k");
        keyed.metadata.correlation_id = keyed.commit_id.0;
        let bytes = keyed.to_bytes().unwrap();
        let text: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!((text.get("id"), text.get("correlation")), (None, None), "{text}");
        assert_eq!(Commit::from_bytes(keyed.stream.clone(), 0, &bytes).unwrap(), keyed);
        let others = [("dev/task/2", "note", "k"), ("dev/task/1", "noted", "k"), ("dev/task/1", "note", "l")];
        for (stream, command, key) in others {
            assert_ne!(CommitId::from_key(&stream.parse().unwrap(), command, key), keyed.commit_id);
        }
    }

    #[test]
    fn an_id_that_follows_from_the_commit_is_not_stored() {
        let unnamed = |version| {
            let mut commit = commit(Actor::Engine, Position::START, version);
            commit.metadata.idempotency = None;
            commit
        };
        let named = unnamed(1).named_by_content();
        let bytes = named.to_bytes().unwrap();
        let text: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!((text.get("id"), text.get("correlation")), (None, None), "{text}");
        assert_eq!(Commit::from_bytes(named.stream.clone(), 0, &bytes).unwrap(), named);
        let changes: [fn(&mut Commit); 6] = [
            |commit| commit.stream = "dev/task/2".parse().unwrap(),
            |commit| commit.version = 2,
            |commit| commit.metadata.command = "noted".into(),
            |commit| commit.metadata.occurred_at += chrono::TimeDelta::microseconds(1),
            |commit| commit.events[0].version = 2,
            |commit| commit.events.truncate(1),
        ];
        for change in changes {
            let mut other = unnamed(1);
            change(&mut other);
            assert_ne!(other.named_by_content().commit_id, named.commit_id);
        }
        // An id of another commit stays, as it was given.
        let strange = Commit { commit_id: unnamed(2).named_by_content().commit_id, ..unnamed(1) };
        let bytes = strange.to_bytes().unwrap();
        assert_eq!(Commit::from_bytes(strange.stream.clone(), 0, &bytes).unwrap(), strange);
    }

    #[test]
    fn what_is_no_commit_is_refused() {
        let before = Position::new(41, CommitHash::of("dev.task.1", b"the one before"));
        let whole = commit(Actor::Engine, before, 2).to_bytes().unwrap();
        let whole: serde_json::Value = serde_json::from_slice(&whole).unwrap();
        for (pointer, wrong) in [
            ("/events", serde_json::json!([])),
            ("/events/0", serde_json::json!({})),
            ("/events/0", serde_json::json!({ "a": {}, "b": {} })),
            ("/events/0", serde_json::json!({ "a.v1": {} })),
            ("/events/0", serde_json::json!({ "a.vx": {} })),
            ("/by", serde_json::json!("ghost")),
            ("/by", serde_json::json!("worker:x")),
            ("/link", serde_json::json!("A".repeat(42))),
        ] {
            let mut commit = whole.clone();
            *commit.pointer_mut(pointer).unwrap() = wrong.clone();
            let bytes = serde_json::to_vec(&commit).unwrap();
            let read = Commit::from_bytes("dev/task/1".parse().unwrap(), 0, &bytes);
            assert!(read.is_err(), "{pointer} {wrong}");
        }
        let mut halved = whole.clone();
        halved.as_object_mut().unwrap().remove("fingerprint");
        let read = Commit::from_bytes("dev/task/1".parse().unwrap(), 0, halved.to_string().as_bytes());
        assert!(matches!(read, Err(StoredCommitError::HalfAKey)), "{read:?}");
    }
}
