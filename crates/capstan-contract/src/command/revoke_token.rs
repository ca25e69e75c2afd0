use capstan_domain::id::TokenId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Revokes a token before it expires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RevokeToken {
    /// Id of the token.
    pub token_id: TokenId,
    /// Reason; free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
