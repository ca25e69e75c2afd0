//! One kind of event on the wire: its name, its version, and how every version ever written is read.

use capstan_domain::implied::{self, Reading};
use capstan_envelope::{CodecError, EventRecord};
use serde::Serialize;
use serde::de::{DeserializeOwned, Error as _};
use serde_json::Value;

use crate::field_order::FieldOrder;

/// Turns the data of version n into that of version n + 1.
///
/// Pure and total: it takes any value and passes on what it does not recognise, so that the one place which
/// judges data is the current shape at the chain's end. Fields keep the place in which they were written, and a name that is new
/// comes last: a field that others follow from keeps its name.
pub type Upcaster = fn(Value) -> Value;

/// A kind of event as it stands in the log.
#[derive(Clone, Copy, Debug)]
pub struct EventName {
    /// The category whose streams hold it.
    pub category: &'static str,
    /// Its wire name, kebab-case; stored for ever.
    pub name: &'static str,
    /// The steps from version 1 to the current one; there are as many as retired versions.
    pub upcasters: &'static [Upcaster],
    /// The JSON Schema of its current data as stored.
    pub schema: fn() -> Value,
    /// The JSON Schema of its current data as callers get it: whole.
    pub whole_schema: fn() -> Value,
    /// Reads a record of any version and writes it as it would be written today.
    pub rewrite: fn(&EventRecord) -> Result<EventRecord, CodecError>,
}

impl EventName {
    /// The version that is written today, from 1.
    pub const fn version(&self) -> u16 {
        self.upcasters.len() as u16 + 1
    }

    /// Writes data of the current version.
    pub fn write<T: Serialize>(&self, data: &T) -> Result<EventRecord, CodecError> {
        let data = serde_json::value::to_raw_value(data)
            .map_err(|source| CodecError::Unwritable { name: self.name, source })?;
        Ok(EventRecord { name: self.name.to_owned(), version: self.version(), data })
    }

    /// Reads data of any version up to the current one. The current one is parsed straight into its shape.
    pub fn read<T: DeserializeOwned>(&self, record: &EventRecord) -> Result<T, CodecError> {
        let (parsed, reading) = implied::reading(|| {
            if record.version == self.version() {
                Ok(serde_json::from_str(record.data.get()))
            } else {
                self.upcast(record)
            }
        });
        known_default(&record.name, record.version, reading)?;
        let unsaid = || serde_json::Error::custom("a field is absent that the commit does not say");
        let whole = parsed?.and_then(|data| if reading.is_complete { Ok(data) } else { Err(unsaid()) });
        whole.map_err(|source| CodecError::Malformed {
            name: record.name.clone(),
            version: record.version,
            source,
        })
    }

    /// Leads a retired version through every step to the current shape.
    fn upcast<T: DeserializeOwned>(&self, record: &EventRecord) -> Result<serde_json::Result<T>, CodecError> {
        let steps = usize::from(record.version)
            .checked_sub(1)
            .and_then(|done| self.upcasters.get(done..))
            .ok_or_else(|| unknown(self.category, record))?;
        let text = record.data.get();
        Ok(serde_json::from_str::<FieldOrder>(text).and_then(|order| {
            let data = steps.iter().fold(serde_json::from_str(text)?, |data: Value, step| step(data));
            serde_json::from_str(&order.text(&data))
        }))
    }
}

/// The refusal of a record this build has no shape for.
pub(crate) fn unknown(category: &str, record: &EventRecord) -> CodecError {
    CodecError::Unknown { category: category.to_owned(), name: record.name.clone(), version: record.version }
}

/// Refuses what refers to a frozen default that this build does not have.
pub(crate) fn known_default(name: &str, version: u16, reading: Reading) -> Result<(), CodecError> {
    reading.unknown_default.map_or(Ok(()), |(default, found)| {
        Err(CodecError::UnknownDefault { name: name.to_owned(), version, default, found })
    })
}
