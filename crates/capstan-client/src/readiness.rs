//! Liveness and readiness of the server.

use reqwest::Method;
use serde_json::Value;

use crate::{Client, Error};

/// The answer of `/readyz`.
#[derive(Clone, Debug, PartialEq)]
pub struct Readiness {
    /// True when everything accepts work.
    pub ready: bool,
    /// The document: reasons, durability, lags.
    pub report: Value,
}

impl Client {
    /// Asks whether the process lives.
    pub async fn healthz(&self) -> Result<(), Error> {
        self.call(Method::GET, &["healthz"]).done().await
    }

    /// Asks whether everything accepts work; "not ready" is an answer, not an error.
    pub async fn readyz(&self) -> Result<Readiness, Error> {
        match self.call(Method::GET, &["readyz"]).answer().await {
            Ok(report) => Ok(Readiness { ready: true, report }),
            Err(Error::Decode { .. }) => Ok(Readiness { ready: true, report: Value::Null }),
            Err(Error::Problem(problem)) if problem.status == 503 => {
                let mut report = problem.rest.clone();
                report.insert("detail".to_owned(), problem.detail.clone().into());
                Ok(Readiness { ready: false, report: Value::Object(report) })
            }
            Err(error) => Err(error),
        }
    }
}
