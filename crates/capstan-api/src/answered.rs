//! The answer to a request that succeeded, before a transport renders it.

use capstan_envelope::Position;
use serde::Serialize;

use crate::receipt::Reply;
use crate::use_case::read::{List, Object};

/// The answer to a request that succeeded: the same over HTTP and NATS.
#[derive(Debug)]
pub struct Answered {
    /// The HTTP status, 200 to 299; replies over NATS carry it too.
    pub status: u16,
    /// The position the answer was read at or the command was stored at.
    pub position: Option<Position>,
    /// The version of the entity shown.
    pub version: Option<u64>,
    /// The body.
    pub json: Vec<u8>,
    /// True when the body contains a secret, which no cache may keep.
    pub is_secret: bool,
}

impl Answered {
    /// Status 200 with this value.
    pub(crate) fn json(value: &impl Serialize) -> Self {
        let json = serde_json::to_vec(value).expect("an answer is plain data");
        Self { status: 200, position: None, version: None, json, is_secret: false }
    }

    /// Read at this position.
    #[must_use]
    pub(crate) fn at(self, position: Position) -> Self {
        Self { position: Some(position), ..self }
    }
}

impl From<Reply> for Answered {
    fn from(reply: Reply) -> Self {
        let stored = &reply.receipt;
        let (version, position) = reply.shown_at.unwrap_or((stored.version, stored.position));
        Self {
            status: reply.success.status(),
            position: Some(position.later_of(stored.position)),
            version: Some(version),
            is_secret: reply.secret.is_some(),
            ..Self::json(&reply)
        }
    }
}

impl From<Object> for Answered {
    fn from(Object { json, version, position }: Object) -> Self {
        let json = String::from(Box::<str>::from(json)).into_bytes();
        Self { status: 200, position: Some(position), version: Some(version), json, is_secret: false }
    }
}

impl<T: Serialize> From<List<T>> for Answered {
    fn from(list: List<T>) -> Self {
        Self::json(&list).at(list.position)
    }
}
