//! What workers are answered. Readers tolerate unknown fields, so that a worker outlives the next server.

mod claimed_input;
mod claimed_tool_call;
mod leased_attempt;
mod registered_worker;
mod renew_answer;

pub use claimed_input::ClaimedInput;
pub use claimed_tool_call::{ClaimedToolCall, ParseToolClaimError, ToolClaim};
pub use leased_attempt::LeasedAttempt;
pub use registered_worker::RegisteredWorker;
pub use renew_answer::{RenewAnswer, RenewStatus};

use crate::schema::{NamedSchema, schema_of};

/// Every answer's wire name and its JSON Schema.
pub static ANSWERS: &[NamedSchema] = &[
    NamedSchema { name: "registered-worker", schema: || schema_of::<RegisteredWorker>("registered-worker") },
    NamedSchema { name: "leased-attempt", schema: || schema_of::<LeasedAttempt>("leased-attempt") },
    NamedSchema { name: "renew-answer", schema: || schema_of::<RenewAnswer>("renew-answer") },
    NamedSchema { name: "claimed-tool-call", schema: || schema_of::<ClaimedToolCall>("claimed-tool-call") },
    NamedSchema { name: "claimed-input", schema: || schema_of::<ClaimedInput>("claimed-input") },
];
