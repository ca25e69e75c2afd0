use capstan_domain::outcome_text::ErrorClass;
use capstan_domain::task::command::{FanOut, WakePlan};
use capstan_domain::task::event::{AgendaItem, AttemptOutcome, Join};
use capstan_domain::usage::Usage;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::command::{OpenBlocker, SourceWatchRequest, SubtaskRequest};

/// The attempt is over: how it ended and what is to follow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FinishAttempt {
    /// Outcome of the attempt; a worker may not report `lost`.
    pub outcome: AttemptOutcome,
    /// The process' exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Error message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Class of the error, if the worker knows it: it decides whether the run is retried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_class: Option<ErrorClass>,
    /// Delay requested by the provider before a retry, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<i64>,
    /// Usage that was not reported before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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
    /// Children to make, when the outcome is `ok`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subtasks: Vec<SubtaskRequest>,
    /// Subtasks the task waits for: `none` (default), `all` or `any`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<Join>,
    /// Things outside to wait for, when the outcome is `ok`; absent, what is watched stays watched, and an empty list
    /// ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_watches: Option<Vec<SourceWatchRequest>>,
    /// Result of the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
}

impl FinishAttempt {
    /// The end of an attempt with this outcome, and nothing to follow.
    pub fn new(outcome: AttemptOutcome) -> Self {
        Self {
            outcome,
            exit_code: None,
            error: None,
            error_class: None,
            retry_after_ms: None,
            usage: None,
            waiting_for_input: false,
            blocker: None,
            wake: None,
            subtasks: Vec::new(),
            join: None,
            source_watches: None,
            result: None,
        }
    }

    /// The children and watches it asks for.
    pub fn fan_out(&self) -> FanOut {
        FanOut {
            subtasks: self.subtasks.iter().cloned().map(Into::into).collect(),
            join: self.join,
            watches: self.source_watches.as_ref().map(|list| list.iter().cloned().map(Into::into).collect()),
        }
    }
}

/// Time and reason of a wake-up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WakeRequest {
    /// Delay in minutes; 5 when absent or not positive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_minutes: Option<i64>,
    /// At this instant; wins over the delay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
    /// Reason; free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Prompt of the run that the wake-up starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow_up_prompt: Option<String>,
    /// Agenda of the wake-up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agenda: Vec<AgendaEntry>,
}

/// One thing planned for a wake.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AgendaEntry {
    /// Kind of the entry, free.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Reason; free text.
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
