use capstan_envelope::Position;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A point of the past: a log position, or an instant as in `2026-01-02T03:04:05Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum AsOf {
    /// With everything up to this position.
    Position(Position),
    /// With everything decided up to this instant.
    Time(DateTime<Utc>),
}

impl From<AsOf> for String {
    fn from(as_of: AsOf) -> Self {
        match as_of {
            AsOf::Position(position) => position.to_string(),
            AsOf::Time(time) => time.to_rfc3339(),
        }
    }
}

impl TryFrom<String> for AsOf {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if let Ok(position) = text.parse() {
            return Ok(Self::Position(position));
        }
        let time = text.parse();
        time.map(Self::Time).map_err(|_| "must be a position or an instant, as in 2026-01-02T03:04:05Z")
    }
}
