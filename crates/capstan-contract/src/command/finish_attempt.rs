use capstan_domain::outcome_text::ErrorClass;
use capstan_domain::task::command::WakePlan;
use capstan_domain::task::event::{AgendaItem, AttemptOutcome};
use capstan_domain::usage::Usage;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::command::OpenBlocker;
use crate::command::usage::{self, UsageBody};

/// The attempt is over: how it ended and what is to follow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FinishAttempt {
    /// How it ended; `lost` is not a worker's to say.
    pub outcome: AttemptOutcome,
    /// The process' exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether another try may help, when the worker knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_class: Option<ErrorClass>,
    /// How long the provider asks to wait, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<i64>,
    /// What was used and not reported before.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "usage::optional_strictly")]
    #[schemars(with = "Option<UsageBody>")]
    pub usage: Option<Usage>,
    /// The agent waits for an answer.
    #[serde(default)]
    pub waiting_for_input: bool,
    /// The question, when it was not opened before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocker: Option<OpenBlocker>,
    /// Sleep and come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wake: Option<WakeRequest>,
    /// What the agent answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
}

/// When and why to come back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WakeRequest {
    /// In so many minutes; none or not positive means five.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_minutes: Option<i64>,
    /// At this instant; wins over the delay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the agent is told then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow_up_prompt: Option<String>,
    /// What is planned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agenda: Vec<AgendaEntry>,
}

/// One thing planned for a wake.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AgendaEntry {
    /// What kind of thing.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl From<WakeRequest> for WakePlan {
    fn from(body: WakeRequest) -> Self {
        let item = |AgendaEntry { kind, title, reason }| AgendaItem { kind, title, reason };
        Self {
            delay_minutes: body.delay_minutes,
            at: body.at,
            reason: body.reason,
            follow_up_prompt: body.follow_up_prompt,
            agenda: body.agenda.into_iter().map(item).collect(),
        }
    }
}
