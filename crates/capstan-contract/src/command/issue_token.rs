use capstan_domain::token::Scope;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Issues a token of the workspace. The secret is in the answer, this once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IssueToken {
    /// Name of the holder, shown to people and recorded in the log.
    pub name: String,
    /// Scopes of the token; `admin` implies the others.
    pub scopes: Vec<Scope>,
    /// From when on it is no longer good; for ever when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
}
