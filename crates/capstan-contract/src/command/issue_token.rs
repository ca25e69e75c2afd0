use capstan_domain::token::Scope;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Issues a token of the workspace. The secret is in the answer, this once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IssueToken {
    /// Whose it is, for people and for the log.
    pub name: String,
    /// What it allows; `admin` implies the others.
    pub scopes: Vec<Scope>,
    /// From when on it is no longer good; for ever when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
}
