//! A worker played by hand, through HTTP: the test decides when it says what.

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::process::Product;

/// A worker played by hand.
pub(crate) struct Worker {
    id: String,
}

/// An attempt it holds.
pub(crate) struct Attempt {
    pub(crate) id: String,
    pub(crate) epoch: u64,
    pub(crate) task_id: String,
    pub(crate) prompt: String,
    /// The whole body it was leased with.
    pub(crate) leased: Value,
}

impl Worker {
    pub(crate) async fn register(product: &Product) -> anyhow::Result<Self> {
        let worker = json!({ "name": "by hand", "slots": 4 });
        let registered: Value = product
            .http
            .post(format!("{}/v1/workers", product.url))
            .json(&worker)
            .send()
            .await?
            .json()
            .await?;
        let id = registered["worker_id"].as_str().with_context(|| registered.to_string())?.to_owned();
        Ok(Self { id })
    }

    /// Takes the next attempt and begins it.
    pub(crate) async fn take(&self, product: &Product) -> anyhow::Result<Attempt> {
        let lease = format!("{}/v1/workers/{}/lease", product.url, self.id);
        let body = json!({ "max": 1, "wait_ms": 20_000 });
        let leased: Value = product.http.post(lease).json(&body).send().await?.json().await?;
        let leased = leased.get(0).with_context(|| format!("an attempt: {leased}"))?;
        let text = |name: &str| leased[name].as_str().unwrap_or_default().to_owned();
        let epoch = leased["epoch"].as_u64().context("an epoch")?;
        let attempt = Attempt {
            id: text("attempt_id"),
            epoch,
            task_id: text("task_id"),
            prompt: text("prompt"),
            leased: leased.clone(),
        };
        // Nothing is executed before its lease was renewed.
        let renew = format!("{}/v1/workers/{}/renew", product.url, self.id);
        let renewals = json!({ "renewals": [{ "attempt_id": attempt.id, "epoch": attempt.epoch }] });
        let renewed: Value = product.http.post(renew).json(&renewals).send().await?.json().await?;
        ensure!(renewed[0]["status"] == "ok", "{renewed}");
        Ok(attempt)
    }
}

impl Attempt {
    /// A report as it may be repeated.
    pub(crate) fn request(&self, product: &Product, what: &str, body: &Value) -> reqwest::RequestBuilder {
        let url = format!("{}/v1/attempts/{}/{what}", product.url, self.id);
        product.http.post(url).header("capstan-lease-epoch", self.epoch).json(body)
    }

    pub(crate) async fn report(&self, product: &Product, what: &str, body: Value) -> anyhow::Result<Value> {
        let answer = self.request(product, what, &body).send().await?;
        let status = answer.status();
        let answer: Value = answer.json().await?;
        ensure!(status.is_success(), "{what}: {status} {answer}");
        Ok(answer)
    }

    /// Takes what was said to the live agent.
    pub(crate) async fn hear(&self, product: &Product) -> anyhow::Result<String> {
        let claimed = self.report(product, "inputs/claim", json!({})).await?;
        let input = claimed["input"]["input_id"].as_str().with_context(|| format!("an input: {claimed}"))?;
        self.report(product, &format!("inputs/{input}/ack"), json!({})).await?;
        Ok(claimed["input"]["message"].as_str().unwrap_or_default().to_owned())
    }

    pub(crate) async fn produce(&self, product: &Product, name: &str) -> anyhow::Result<String> {
        let output =
            json!({ "name": name, "output_type": "offer", "title": name, "status": "pending", "data": {} });
        let produced = self.report(product, "outputs", output).await?;
        Ok(produced["output_id"].as_str().context("an output id")?.to_owned())
    }
}
