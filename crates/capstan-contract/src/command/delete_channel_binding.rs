use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Releases a channel: any workspace may bind it then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteChannelBinding {
    /// Repeats under the same key are answered with the first outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// What kind of channel. Needed where no path names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel_type: Option<String>,
    /// Its address. Needed where no path names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}
