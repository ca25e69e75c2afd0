//! Commits that carry a stream forward: what stood before them, for a log whose beginning was archived.
//!
//! Such a commit holds one event of this name and nothing else. It follows the stream's last commit like any other, at the
//! next version and with its hash as the link, and changes nothing for a reader who knows what is before it. A reader who
//! does not begins with it.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::stored_commit::OF_A_NEWER_BUILD;
use crate::{AppliedKeys, CodecError, Commit, EventRecord, OlderKeys, Position};

/// Name of the event, in every category.
pub const CARRIED_FORWARD: &str = "carried-forward";
/// Version of its shape, that of the states included: an older build waits at a higher one. One that raises it reads those before, too.
const VERSION: u16 = 1;

/// A stream as all commits up to the one that says this left it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Carried {
    /// The decider's state in its stored form.
    pub state: Box<RawValue>,
    /// The commands that carried an idempotency key.
    #[serde(default, skip_serializing_if = "AppliedKeys::is_empty")]
    pub keys: AppliedKeys,
    /// Older ones, of which no answer is known any more.
    #[serde(default, skip_serializing_if = "OlderKeys::is_empty")]
    pub older: OlderKeys,
    /// What reads show of it that its state lacks. Absent where they show nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<Box<RawValue>>,
    /// Of an agent: what was spent on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent: Option<CarriedAccount>,
}

/// An account that several streams add to. Who wrote this down read it at `through`; the commit that carries it came later, and
/// says nothing when one of them added to it in between.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CarriedAccount {
    /// The last commit that is counted.
    pub through: Position,
    /// The account as all commits up to that left it.
    pub account: Box<RawValue>,
}

impl CarriedAccount {
    /// True unless a later commit changed the account: `last` is the number of the last one before this that did.
    pub fn holds(&self, last: u64) -> bool {
        last <= self.through.sequence()
    }
}

impl Carried {
    /// The event.
    pub fn record(&self) -> Result<EventRecord, CodecError> {
        let data = serde_json::value::to_raw_value(self)
            .map_err(|source| CodecError::Unwritable { name: CARRIED_FORWARD, source })?;
        Ok(EventRecord { name: CARRIED_FORWARD.to_owned(), version: VERSION, data })
    }

    /// The decider's state.
    pub fn state<S: serde::de::DeserializeOwned>(&self) -> Result<S, CodecError> {
        serde_json::from_str(self.state.get()).map_err(malformed)
    }

    /// The fault of a part that has another shape.
    pub fn malformed(source: serde_json::Error) -> CodecError {
        malformed(source)
    }
}

impl Commit {
    /// True when it carries its stream forward.
    pub fn carries_forward(&self) -> bool {
        self.events.iter().any(|event| event.name == CARRIED_FORWARD)
    }

    /// What it carries forward; `None` for a commit with facts. A field of it that this build does not know is a newer build's, as
    /// one of the envelope is: a stream must not begin without what it says.
    pub fn carried(&self) -> Result<Option<Carried>, CodecError> {
        if !self.carries_forward() {
            return Ok(None);
        }
        let [EventRecord { version, data, .. }] = self.events.as_slice() else {
            let source = serde::de::Error::custom("it stands beside other events");
            return Err(malformed(source));
        };
        let unknown = |version| CodecError::Unknown {
            category: self.stream.category().to_owned(),
            name: CARRIED_FORWARD.to_owned(),
            version,
        };
        if *version != VERSION {
            return Err(unknown(*version));
        }
        let mut is_newer = false;
        let mut text = serde_json::Deserializer::from_str(data.get());
        let carried = serde_ignored::deserialize(&mut text, |_| is_newer = true).map_err(malformed)?;
        if is_newer { Err(unknown(OF_A_NEWER_BUILD)) } else { Ok(Some(carried)) }
    }
}

fn malformed(source: serde_json::Error) -> CodecError {
    CodecError::Malformed { name: CARRIED_FORWARD.to_owned(), version: VERSION, source }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;
    use crate::{Actor, CommitHash, CommitId, Metadata};

    fn read(data: &str) -> Result<Option<Carried>, CodecError> {
        let data = RawValue::from_string(data.to_owned()).unwrap();
        let commit = Commit {
            commit_id: CommitId(Uuid::nil()),
            stream: "dev/agent/a".parse().unwrap(),
            version: 2,
            previous: Position::START,
            previous_hash: CommitHash::NONE,
            metadata: Metadata::new("c", Actor::System, Uuid::nil(), DateTime::UNIX_EPOCH),
            events: vec![EventRecord { name: CARRIED_FORWARD.to_owned(), version: VERSION, data }],
        };
        commit.carried()
    }

    #[test]
    fn a_field_that_is_unknown_at_any_depth_is_a_newer_builds_and_another_shape_is_damage() {
        let position = Position::new(7, CommitHash::of("dev.agent.a", b"before"));
        let text = format!(
            r#"{{"state":{{"any":1}},"keys":{{"recent":[]}},"shown":{{"any":1}},"spent":{{"through":"{position}","account":{{"any":1}}}}}}"#
        );
        assert_eq!(read(&text).unwrap().unwrap().state.get(), r#"{"any":1}"#);
        for known in ["{\"state\"", "{\"recent\"", "{\"through\""] {
            let newer = text.replace(known, &known.replace('{', "{\"newer\":{},"));
            assert_ne!(newer, text);
            let error = read(&newer).unwrap_err();
            assert!(matches!(error, CodecError::Unknown { version: u16::MAX, .. }), "{newer}: {error}");
            assert!(error.needs_newer_build());
        }
        for damaged in
            [text.replace("state", "stat"), text.replace("through", "thru"), text.replace("[]", "7")]
        {
            let error = read(&damaged).unwrap_err();
            assert!(!error.needs_newer_build(), "{damaged}: {error}");
        }
    }
}
