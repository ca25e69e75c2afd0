//! One server, one workspace, one token.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use capstan_contract::command::Conditions;
use reqwest::{Method, RequestBuilder, Response, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Error, Problem};

/// Time limit of a call that waits for nothing.
const CALL_LIMIT: Duration = Duration::from_secs(30);
/// Time limit for connecting.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// The server, the token and the workspace of a client.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The server, for example `http://127.0.0.1:7070`.
    pub url: String,
    /// The bearer token; none for a server that asks for none.
    pub token: Option<String>,
    /// The workspace that calls without one of their own go to.
    pub workspace: String,
}

impl ClientConfig {
    /// A server without tokens, workspace `dev`.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), token: None, workspace: "dev".to_owned() }
    }
}

/// A typed client of `/v1`. Clones share one connection pool.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<Arc<str>>,
    workspace: Arc<str>,
}

impl Client {
    /// Prepares a client; nothing is sent yet.
    pub fn new(config: &ClientConfig) -> Result<Self, Error> {
        let base = Url::parse(&config.url).map_err(|_| Error::Address { url: config.url.clone() })?;
        if base.cannot_be_a_base() || !matches!(base.scheme(), "http" | "https") {
            return Err(Error::Address { url: config.url.clone() });
        }
        Ok(Self {
            http: connection_pool(&base).map_err(Error::Transport)?,
            base,
            token: config.token.as_deref().map(Arc::from),
            workspace: config.workspace.as_str().into(),
        })
    }

    /// The same client, for another workspace.
    #[must_use]
    pub fn with_workspace(&self, workspace: &str) -> Self {
        Self { workspace: workspace.into(), ..self.clone() }
    }

    /// The workspace calls go to.
    pub fn workspace(&self) -> &str {
        &self.workspace
    }

    /// The server's address.
    pub fn url(&self) -> &str {
        self.base.as_str()
    }

    /// Reads any path of the server as JSON, for what has no method of its own.
    pub async fn get_json(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, Error> {
        self.call(Method::GET, path).query(query).answer().await
    }

    /// Posts JSON to any path of the server, for what has no method of its own.
    pub async fn post_json(&self, path: &[&str], body: &Value) -> Result<Value, Error> {
        self.call(Method::POST, path).json(body).answer().await
    }

    /// A call of `/v1/workspaces/{workspace}/…`.
    pub(crate) fn of_workspace(&self, method: Method, path: &[&str]) -> Call {
        let mut full = vec!["v1", "workspaces", &*self.workspace];
        full.extend_from_slice(path);
        self.call(method, &full)
    }

    /// A call of the path made of these segments, each encoded as it needs.
    pub(crate) fn call(&self, method: Method, path: &[&str]) -> Call {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let mut request = self.http.request(method, url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        Call { request: request.timeout(CALL_LIMIT) }
    }

    /// A call that ends only when the server or the caller ends it.
    pub(crate) fn endless(&self, path: &[&str]) -> RequestBuilder {
        // A year stands for no limit: the builder can shorten a limit, but not take it away.
        self.call(Method::GET, path).request.timeout(Duration::from_hours(24 * 365))
    }
}

fn connection_pool(base: &Url) -> reqwest::Result<reqwest::Client> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    // One provider per process; whoever installed another one first is served as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECT_LIMIT)
        .tcp_nodelay(true)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("capstan/", env!("CARGO_PKG_VERSION")));
    if base.scheme() == "http"
        && let Ok(tls) =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()
    {
        // A machine without any root certificate must still be able to speak plain HTTP.
        let tls = tls.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
        builder = builder.tls_backend_preconfigured(tls);
    }
    let host = base.host_str().unwrap_or_default().trim_matches(['[', ']']);
    if host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()) {
        // A proxy cannot reach this machine's own loopback.
        builder = builder.no_proxy();
    }
    builder.build()
}

/// A wait in milliseconds, as requests state it.
pub(crate) fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}

/// A command's body with its conditions.
#[derive(Serialize)]
struct Command<'a, B> {
    #[serde(flatten)]
    body: &'a B,
    #[serde(flatten)]
    conditions: Conditions,
}

/// One request on its way.
pub(crate) struct Call {
    request: RequestBuilder,
}

impl Call {
    pub(crate) fn json(self, body: &(impl Serialize + ?Sized)) -> Self {
        Self { request: self.request.json(body) }
    }

    /// A command, under an idempotency key if one is given.
    pub(crate) fn command(self, body: &impl Serialize, key: Option<&str>) -> Self {
        self.json(&Command { body, conditions: Conditions { idempotency_key: key.map(str::to_owned) } })
    }

    pub(crate) fn query(self, query: &(impl Serialize + ?Sized)) -> Self {
        Self { request: self.request.query(query) }
    }

    pub(crate) fn header(self, name: &'static str, value: &str) -> Self {
        Self { request: self.request.header(name, value) }
    }

    /// Asks to act only on this version, if one is given.
    pub(crate) fn if_match(self, version: Option<u64>) -> Self {
        match version {
            Some(version) => self.header("if-match", &format!("\"{version}\"")),
            None => self,
        }
    }

    /// Adds this wait to the time limit of the call.
    pub(crate) fn waiting(self, wait: Duration) -> Self {
        Self { request: self.request.timeout(CALL_LIMIT.saturating_add(wait)) }
    }

    /// Sends it; the answer is read as JSON.
    pub(crate) async fn answer<T: DeserializeOwned>(self) -> Result<T, Error> {
        let response = self.send().await?;
        let status = response.status().as_u16();
        let bytes = response.bytes().await.map_err(Error::Transport)?;
        let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        serde_json::from_slice(text).map_err(|source| Error::Decode { status, source })
    }

    /// Sends it; only whether it was taken matters.
    pub(crate) async fn done(self) -> Result<(), Error> {
        let response = self.send().await?;
        // Reading to the end lets the connection be used again.
        response.bytes().await.map_err(Error::Transport)?;
        Ok(())
    }

    async fn send(self) -> Result<Response, Error> {
        let response = self.request.send().await.map_err(Error::Transport)?;
        accepted(response).await
    }
}

/// Turns an answer that is no success into the problem it describes.
pub(crate) async fn accepted(response: Response) -> Result<Response, Error> {
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status().as_u16();
    let retry_after = response
        .headers()
        .get(reqwest::header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.trim().parse().ok())
        .map(Duration::from_secs);
    let body = response.bytes().await.unwrap_or_default();
    Err(Error::Problem(Box::new(Problem::read(status, retry_after, &body))))
}
