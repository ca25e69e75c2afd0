//! The account of an agent, as its stream carries it forward.

use capstan_domain::usage::Usage;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What was spent on an agent, over all its time.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentAccount {
    /// Tokens and cost.
    pub usage: Usage,
    /// The limit of the latest warning.
    pub warned_limit_usd: Option<f64>,
    /// Time of the first report.
    pub created_at: DateTime<Utc>,
    /// Time of the last one.
    pub updated_at: DateTime<Utc>,
}
