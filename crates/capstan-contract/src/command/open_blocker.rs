use capstan_domain::task::command::BlockerSpec;
use capstan_domain::task::event::Question;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The agent asks something and waits for the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenBlocker {
    /// The question in one line.
    #[serde(default)]
    #[schemars(!default)]
    pub summary: String,
    /// More about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
    /// The single questions, when there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<BlockerQuestion>,
}

/// One of several questions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BlockerQuestion {
    /// Names the question in the answer.
    pub id: String,
    /// The question.
    pub text: String,
}

impl From<OpenBlocker> for BlockerSpec {
    fn from(body: OpenBlocker) -> Self {
        let question = |BlockerQuestion { id, text }| Question { id, text };
        Self {
            summary: body.summary,
            details: body.details,
            questions: body.questions.into_iter().map(question).collect(),
        }
    }
}
