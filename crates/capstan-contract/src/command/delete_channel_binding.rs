use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Releases a channel: any workspace may bind it then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeleteChannelBinding {
    /// Kind of channel, for example `email`.
    pub channel_type: String,
    /// Address of the channel.
    pub address: String,
}
