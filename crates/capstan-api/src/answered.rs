//! The answer to a request that succeeded, before a transport renders it.

use capstan_envelope::Position;
use capstan_projections::{Item, Listing, Total};
use serde::Serialize;
use serde_json::value::RawValue;

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
    /// True when the reply to a command has no entity because the caller preferred that.
    pub is_minimal: bool,
}

impl Answered {
    /// Status 200 with this value.
    pub(crate) fn json(value: &impl Serialize) -> Self {
        let json = serde_json::to_vec(value).expect("an answer is plain data");
        Self { status: 200, position: None, version: None, json, is_secret: false, is_minimal: false }
    }

    /// Read at this position.
    #[must_use]
    pub(crate) fn at(self, position: Position) -> Self {
        Self { position: Some(position), ..self }
    }
}

impl From<Object> for Answered {
    fn from(Object { json, version, position }: Object) -> Self {
        let json = String::from(Box::<str>::from(json)).into_bytes();
        Self {
            status: 200,
            position: Some(position),
            version: Some(version),
            json,
            is_secret: false,
            is_minimal: false,
        }
    }
}

impl<T: Serialize> From<List<T>> for Answered {
    fn from(list: List<T>) -> Self {
        Self::json(&list).at(list.position)
    }
}

/// One object as JSON.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) json: Box<RawValue>,
    pub(crate) version: u64,
    pub(crate) position: Position,
}

/// One page of a list.
#[serde_with::skip_serializing_none]
#[derive(Debug, Serialize)]
pub(crate) struct List<T = Box<RawValue>> {
    pub(crate) items: Vec<T>,
    pub(crate) next_cursor: Option<String>,
    pub(crate) position: Position,
    pub(crate) limit: u32,
    #[serde(flatten)]
    pub(crate) total: Option<ListTotal>,
}

/// The number of objects on all pages together, when the caller asks for it.
#[derive(Debug, Serialize)]
pub(crate) struct ListTotal {
    /// Number of objects counted.
    total: u64,
    /// True when more objects exist than were counted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    total_is_more: bool,
}

impl From<Total> for ListTotal {
    fn from(total: Total) -> Self {
        Self { total: total.count, total_is_more: total.is_more }
    }
}

impl From<Item> for Object {
    fn from(item: Item) -> Self {
        Self { json: item.doc, version: item.version, position: item.position }
    }
}

impl From<Listing> for List {
    fn from(listing: Listing) -> Self {
        let Listing { items, next_cursor, limit, total, position } = listing;
        Self { items, next_cursor, position, limit, total: total.map(Into::into) }
    }
}
