//! Dead letters: commands that could not be processed, and commits that the read models could not fold.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Client, Error, Page};

/// A dead letter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The dead letter's id.
    pub id: String,
    /// `command` or `commit`.
    pub kind: String,
    /// The subject of a command, the stream of a commit.
    pub source: String,
    /// The error that made it a dead letter.
    pub error: String,
    /// Every other field, by its wire name.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Client {
    /// Lists dead letters.
    pub async fn dead_letters(
        &self,
        limit: Option<u32>,
        cursor: Option<&str>,
    ) -> Result<Page<DeadLetter>, Error> {
        let limit = limit.map(|limit| limit.to_string());
        let query: Vec<(&str, &str)> = [("limit", limit.as_deref()), ("cursor", cursor)]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        self.call(Method::GET, &["v1", "admin", "deadletters"]).query(&query).answer().await
    }

    /// Reads one.
    pub async fn dead_letter(&self, id: &str) -> Result<DeadLetter, Error> {
        self.call(Method::GET, &["v1", "admin", "deadletters", id]).answer().await
    }

    /// Retries it; the answer has `done`.
    pub async fn retry_dead_letter(&self, id: &str) -> Result<Value, Error> {
        self.settle_dead_letter(id, "retry").await
    }

    /// Discards a command.
    pub async fn discard_dead_letter(&self, id: &str) -> Result<Value, Error> {
        self.settle_dead_letter(id, "discard").await
    }

    async fn settle_dead_letter(&self, id: &str, how: &str) -> Result<Value, Error> {
        self.call(Method::POST, &["v1", "admin", "deadletters", id, how])
            .json(&Value::Object(Map::new()))
            .answer()
            .await
    }
}
