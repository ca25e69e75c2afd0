//! Fields that may be absent (leave it), null (clear it) or a value (set it).

use serde::{Deserialize, Deserializer};

/// Reads a field that is there: null clears.
#[expect(clippy::option_option, reason = "absent, null and a value are three things")]
pub(super) fn read<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Some)
}
