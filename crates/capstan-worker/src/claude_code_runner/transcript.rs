//! The facts about a conversation, collected by its reader and used at its end.

use std::sync::{Arc, Mutex};

use capstan_client::Usage;
use serde::Deserialize;
use serde_json::Value;

use super::meter::Meter;
use crate::agent::Said;

/// A conversation so far.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    /// The session's id, as the command line names it.
    pub(super) session_id: Option<String>,
    /// True once the model has said anything.
    pub(super) has_answered: bool,
    /// The end of the last turn, unless another has begun.
    pub(super) result: Option<TurnResult>,
    /// The error kind of the model's last message.
    pub(super) trouble: Option<String>,
    /// The end of a rate limit, in seconds since 1970.
    pub(super) limit_until: Option<i64>,
    pub(super) meter: Meter,
}

/// The end of a turn.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct TurnResult {
    /// `success`, `error_max_turns`, `error_during_execution` …
    pub(super) subtype: String,
    pub(super) is_error: bool,
    /// The last words.
    #[serde(rename = "result")]
    pub(super) text: Option<String>,
    pub(super) errors: Vec<Value>,
    pub(super) num_turns: Option<u64>,
    pub(super) duration_ms: Option<u64>,
    /// The status the model's server answered with.
    pub(super) api_error_status: Option<u16>,
}

impl TurnResult {
    pub(super) fn is_success(&self) -> bool {
        !self.is_error && matches!(self.subtype.as_str(), "success" | "completion" | "")
    }

    /// Everything it says about what went wrong.
    pub(super) fn error_text(&self) -> String {
        let errors = self.errors.iter().map(|error| match error {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        let texts: Vec<_> =
            self.text.clone().into_iter().chain(errors).filter(|text| !text.trim().is_empty()).collect();
        match (self.subtype.as_str(), texts.is_empty()) {
            ("success" | "", _) => texts.join("\n"),
            (subtype, true) => subtype.to_owned(),
            (subtype, false) => format!("{subtype}: {}", texts.join("\n")),
        }
    }
}

impl Transcript {
    pub(super) fn shared() -> Arc<Mutex<Self>> {
        Arc::default()
    }

    /// True when the command line did not find the session it was to resume.
    pub(super) fn knows_no_conversation(&self, said: &Said) -> bool {
        let result = self.result.as_ref().map(TurnResult::error_text);
        let mut texts = said.last_errors.iter().chain(result.as_ref());
        !self.has_answered && texts.any(|text| text.to_lowercase().contains("no conversation found"))
    }

    /// The usage not yet counted by a result.
    pub(super) fn unreported(&self) -> Option<Usage> {
        self.meter.unreported()
    }
}
