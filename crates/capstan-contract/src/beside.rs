//! Fields that apply to every request of a kind and stand beside its own.

use capstan_envelope::Position;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

/// Fields that may stand in every request of a kind, and are not part of the request.
pub trait Beside: DeserializeOwned + JsonSchema + Send + 'static {
    /// Their names.
    const NAMES: &'static [&'static str];

    /// The position the read models must have reached before the request is answered, and the longest wait for it in
    /// milliseconds.
    fn min_position(&self) -> Option<(Position, Option<u32>)> {
        None
    }
}
