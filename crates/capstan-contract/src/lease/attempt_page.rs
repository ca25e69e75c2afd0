use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A page of a leased attempt. The texts of all pages, one after another, are the attempt as JSON.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AttemptPage {
    /// Bytes of the texts before it. A page at 0 begins anew, also where another was asked for: the task was changed since,
    /// and the texts before belong to another attempt.
    pub offset: u64,
    /// A part of the attempt's JSON, of at most 240 KiB.
    pub text: String,
    /// The cursor of the next page; none on the last.
    pub next_cursor: Option<String>,
}

impl AttemptPage {
    /// Most bytes of its text. Escaped in an answer it takes at most twice as many, less than
    /// [`ANSWER_BYTES_MAX`](super::ANSWER_BYTES_MAX).
    pub const TEXT_BYTES_MAX: usize = 240 << 10;
}
