//! The service that Restate calls: one handler that does nothing.
//!
//! `peer-restate-service 127.0.0.1:9080`

use anyhow::Context as _;
use restate_sdk::prelude::*;
use serde_json::Value;

struct Bench;

#[service]
impl Bench {
    /// Answers with the id of its input.
    #[handler]
    async fn noop(&self, _context: Context<'_>, input: Json<Value>) -> Result<String, HandlerError> {
        Ok(input.into_inner()["id"].as_str().unwrap_or_default().to_owned())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let address = std::env::args().nth(1).context("usage: peer-restate-service ADDRESS")?;
    HttpServer::new(Endpoint::builder().bind(Bench).build()).listen_and_serve(address.parse()?).await;
    Ok(())
}
