//! Execution classes: the runs that share a concurrency limit.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Client, Error, Page};

/// An execution class as the server shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Class {
    /// Its key, as tasks name it.
    pub instance_key: String,
    /// `healthy`, `degraded` or `half_open`.
    pub status: String,
    /// False when nothing of it is given out.
    pub active: bool,
    /// Every other field, by its wire name.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Client {
    /// Sets the limits of a class: the fields of `limits` that are there. The answer is `{receipt, class}`.
    pub async fn configure_class(&self, instance_key: &str, limits: &Value) -> Result<Value, Error> {
        self.of_workspace(Method::PUT, &["classes", instance_key]).json(limits).answer().await
    }

    /// Reads an execution class.
    pub async fn class(&self, instance_key: &str) -> Result<Class, Error> {
        self.of_workspace(Method::GET, &["classes", instance_key]).answer().await
    }

    /// Lists the execution classes of the workspace.
    pub async fn classes(&self) -> Result<Page<Class>, Error> {
        self.of_workspace(Method::GET, &["classes"]).answer().await
    }
}
