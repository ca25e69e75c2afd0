//! The state of the read models.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Client, Error};

/// A read model's state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Projection {
    /// Its name.
    pub name: String,
    /// The position it has reached.
    #[serde(default)]
    pub position: Option<String>,
    /// The state: following the log, rebuilding or stopped.
    #[serde(default)]
    pub state: Option<String>,
    /// Every other field, by its wire name.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// The two shapes a list without pages may have.
#[derive(Deserialize)]
#[serde(untagged)]
enum Listed {
    Items { items: Vec<Projection> },
    Bare(Vec<Projection>),
}

impl Client {
    /// Lists the read models with their lag.
    pub async fn projections(&self) -> Result<Vec<Projection>, Error> {
        let listed = self.call(Method::GET, &["v1", "admin", "projections"]).answer().await?;
        Ok(match listed {
            Listed::Items { items } | Listed::Bare(items) => items,
        })
    }

    /// Rebuilds a read model from the log.
    pub async fn rebuild_projection(&self, name: &str) -> Result<Value, Error> {
        self.call(Method::POST, &["v1", "admin", "projections", name, "rebuild"])
            .json(&Value::Object(Map::new()))
            .answer()
            .await
    }
}
