use capstan_domain::usage::Usage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::command::usage::{self, UsageBody};

/// What was used since the last report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct RecordUsage(
    /// Tokens and money.
    #[serde(deserialize_with = "usage::strictly")]
    #[schemars(with = "UsageBody")]
    pub Usage,
);
