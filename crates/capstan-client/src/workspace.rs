//! Workspaces: the tenants.

use capstan_contract::command::CreateWorkspace;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Client, Error};

/// A workspace as the server shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workspace {
    /// Its name.
    #[serde(alias = "id", alias = "workspace")]
    pub name: String,
    /// Every other field, by its wire name.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Client {
    /// Creates a workspace; the answer is `{receipt, workspace}`.
    pub async fn create_workspace(&self, name: &str) -> Result<Value, Error> {
        let body = CreateWorkspace { workspace: name.to_owned(), display_name: None };
        self.call(Method::POST, &["v1", "workspaces"]).json(&body).answer().await
    }

    /// Changes the client's workspace: the fields of `changes` that are there. Only if it stands at `version`, when one
    /// is given. The answer is `{receipt, workspace}`.
    pub async fn update_workspace(&self, changes: &Value, version: Option<u64>) -> Result<Value, Error> {
        self.of_workspace(Method::PATCH, &[]).if_match(version).json(changes).answer().await
    }

    /// Reads the client's workspace as the server shows it.
    pub async fn workspace_details(&self) -> Result<Workspace, Error> {
        self.of_workspace(Method::GET, &[]).answer().await
    }
}
