//! Answers to workers. Readers tolerate unknown fields, so that a worker outlives the next server.

mod attempt_page;
mod claimed_input;
mod claimed_tool_call;
mod leased_attempt;
mod registered_worker;
mod renew_answer;
mod report_outcomes;
mod tool_decision;

pub use attempt_page::AttemptPage;
pub use claimed_input::ClaimedInput;
pub use claimed_tool_call::{ClaimedToolCall, ParseToolClaimError, ToolClaim};
pub use leased_attempt::LeasedAttempt;
pub use registered_worker::RegisteredWorker;
pub use renew_answer::{RenewAnswer, RenewStatus};
pub use report_outcomes::ReportOutcomes;
pub use tool_decision::{Decision, ToolDecision};

use capstan_domain::task::event::{InputKind, RunCause};
use serde::de::value::{Error as ValueError, StringDeserializer};
use serde::de::{Deserialize, Deserializer, IntoDeserializer};

use crate::schema::NamedSchema;

/// Most attempts a worker runs at once.
pub const SLOTS_MAX: u32 = 10_000;
/// Longest wait of a worker's call, in milliseconds; also the longest wait of a read, unless the server is set otherwise.
pub const WAIT_MS_MAX: u64 = 30_000;

/// Most bytes of an answer with leased attempts, or with a page of one: half of what a stock nats-server takes in one message.
pub const ANSWER_BYTES_MAX: usize = 512 << 10;

/// Reads a value of a choice; one that only a newer server knows reads as `otherwise`.
fn known_or<'de, D: Deserializer<'de>, T: for<'a> Deserialize<'a>>(
    deserializer: D,
    otherwise: T,
) -> Result<T, D::Error> {
    let text: StringDeserializer<ValueError> = String::deserialize(deserializer)?.into_deserializer();
    Ok(T::deserialize(text).unwrap_or(otherwise))
}

/// Reads the cause of a run; an unknown one reads as an input, the most general cause.
fn cause<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RunCause, D::Error> {
    known_or(deserializer, RunCause::Input)
}

/// Reads the kind of an input; an unknown one reads as free text.
fn input_kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<InputKind, D::Error> {
    known_or(deserializer, InputKind::FreeText)
}

/// Every answer's wire name and its JSON Schema.
pub static ANSWERS: &[NamedSchema] = &[
    NamedSchema::of_answer::<RegisteredWorker>("registered-worker"),
    NamedSchema::of_answer::<LeasedAttempt>("leased-attempt"),
    NamedSchema::of_answer::<AttemptPage>("attempt-page"),
    NamedSchema::of_answer::<RenewAnswer>("renew-answer"),
    NamedSchema::of_answer::<ReportOutcomes>("report-outcomes"),
    NamedSchema::of_answer::<ClaimedToolCall>("claimed-tool-call"),
    NamedSchema::of_answer::<ClaimedInput>("claimed-input"),
    NamedSchema::of_answer::<ToolDecision>("tool-decision"),
];
