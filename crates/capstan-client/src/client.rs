//! One server, one workspace, one token.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use capstan_contract::request::{Request, Verb};
use reqwest::{Method, RequestBuilder, Response, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{Error, Problem, Sendable};

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
    is_minimal: bool,
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
            is_minimal: false,
        })
    }

    /// The same client, for another workspace.
    #[must_use]
    pub fn with_workspace(&self, workspace: &str) -> Self {
        Self { workspace: workspace.into(), ..self.clone() }
    }

    /// The same client, whose commands are answered with their receipts and without the entity, which costs the server a wait
    /// for its read models. A receipt names what to read.
    #[must_use]
    pub fn minimal(&self) -> Self {
        Self { is_minimal: true, ..self.clone() }
    }

    /// The workspace calls go to.
    pub fn workspace(&self) -> &str {
        &self.workspace
    }

    /// The server's address.
    pub fn url(&self) -> &str {
        self.base.as_str()
    }

    /// Sends a request.
    pub async fn send<R: Sendable<Beside: Default>>(&self, request: &R) -> Result<R::Answer, Error> {
        self.send_with(request, &R::Beside::default()).await
    }

    /// Sends a request with the fields beside it. A request that waits has the time for it.
    pub async fn send_with<R: Sendable>(&self, request: &R, beside: &R::Beside) -> Result<R::Answer, Error> {
        self.prepare(request, beside)?.answer().await
    }

    /// Puts the fields of a request where the server reads them.
    fn prepare<R: Request>(&self, request: &R, beside: &impl Serialize) -> Result<Call, Error> {
        let mut fields = fields_of(request)?;
        fields.extend(fields_of(beside)?);
        let path = self.path::<R>(&mut fields);
        let wait = Duration::from_millis(fields.get("wait_ms").and_then(Value::as_u64).unwrap_or(0));
        let mut call = self.call(method(R::METHOD), &path).waiting(wait);
        if self.is_minimal && R::METHOD != Verb::Get {
            call.request = call.request.header("prefer", "return=minimal");
        }
        Ok(match R::METHOD {
            Verb::Get | Verb::Delete => call.query(&parameters(fields)),
            Verb::Post | Verb::Put | Verb::Patch => call.json(&fields),
        })
    }

    /// The segments of a request's path; takes the fields that stand there.
    pub(crate) fn path<R: Request>(&self, fields: &mut Map<String, Value>) -> Vec<String> {
        let segment = |part: &str| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            None => part.to_owned(),
            Some("workspace") => self.workspace.to_string(),
            Some(name) => fields.remove(name).map_or_else(String::new, text),
        };
        R::PATH.split('/').skip(1).map(segment).collect()
    }

    /// A call of the path made of these segments, each encoded as it needs.
    fn call(&self, method: Method, path: &[String]) -> Call {
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
    pub(crate) fn endless(&self, path: &[String]) -> RequestBuilder {
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

/// A report as one of several in a request: its fields and those beside it, with its wire name as `type`.
pub fn report_of<R: Sendable>(report: &R, beside: &R::Beside) -> Result<Map<String, Value>, Error> {
    let mut fields = fields_of(report)?;
    fields.extend(fields_of(beside)?);
    fields.insert("type".to_owned(), R::NAME.into());
    Ok(fields)
}

/// The fields of a request as JSON.
pub(crate) fn fields_of(request: &impl Serialize) -> Result<Map<String, Value>, Error> {
    match serde_json::to_value(request).map_err(Error::Encode)? {
        Value::Object(fields) => Ok(fields),
        _ => Ok(Map::new()),
    }
}

/// Fields as parameters of the query string.
pub(crate) fn parameters(fields: Map<String, Value>) -> Vec<(String, String)> {
    let given = fields.into_iter().map(|(name, value)| (name, text(value)));
    given.filter(|(_, text)| !text.is_empty()).collect()
}

/// A value as the path or the query string states it.
fn text(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        Value::Array(items) => items.into_iter().map(text).collect::<Vec<_>>().join(","),
        Value::Object(fields) => {
            let named = fields.into_iter().map(|(name, value)| format!("{name}:{}", text(value)));
            named.collect::<Vec<_>>().join(",")
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn method(verb: Verb) -> Method {
    match verb {
        Verb::Get => Method::GET,
        Verb::Post => Method::POST,
        Verb::Put => Method::PUT,
        Verb::Patch => Method::PATCH,
        Verb::Delete => Method::DELETE,
    }
}

/// One request on its way.
pub(crate) struct Call {
    request: RequestBuilder,
}

impl Call {
    pub(crate) fn json(self, body: &(impl Serialize + ?Sized)) -> Self {
        Self { request: self.request.json(body) }
    }

    pub(crate) fn query(self, query: &(impl Serialize + ?Sized)) -> Self {
        Self { request: self.request.query(query) }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use capstan_contract::command::{
        CancelTask, Conditions, DeleteAgent, FetchAttempt, LeaseAttempts, LeaseConditions, Unconditional,
        UpdateAgent,
    };
    use capstan_contract::query::{ListTasks, Page};
    use capstan_domain::Change;
    use capstan_domain::id::{AttemptId, TaskId, WorkerId};
    use capstan_domain::task::TaskState;
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    /// Method, address, body and time limit of a request.
    fn sent<R: Sendable>(request: &R, beside: &R::Beside) -> (String, String, Value, Duration) {
        let config = ClientConfig { workspace: "w 1".to_owned(), ..ClientConfig::new("http://h/base/") };
        let call = Client::new(&config).unwrap().prepare(request, beside).unwrap();
        let request = call.request.build().unwrap();
        let body = request.body().and_then(|body| body.as_bytes()).unwrap_or(b"null");
        let url = request.url().as_str().strip_prefix("http://h/base/v1/").unwrap().to_owned();
        (
            request.method().to_string(),
            url,
            serde_json::from_slice(body).unwrap(),
            *request.timeout().unwrap(),
        )
    }

    #[test]
    fn the_fields_of_a_command_stand_in_the_path_and_in_the_body() {
        let cancel = CancelTask { task_id: TaskId(Uuid::nil()), reason: Some("enough".to_owned()) };
        let conditions = Conditions {
            idempotency_key: Some("k".parse().unwrap()),
            expected_version: Some(3),
            ..Conditions::default()
        };
        let (method, url, body, limit) = sent(&cancel, &conditions);
        assert_eq!(method, "POST");
        assert_eq!(url, "workspaces/w%201/tasks/00000000-0000-0000-0000-000000000000/cancel");
        assert_eq!(body, json!({ "reason": "enough", "idempotency_key": "k", "expected_version": 3 }));
        assert_eq!(limit, CALL_LIMIT);
        let agent_id = "a/b?".to_owned();
        let update = UpdateAgent { agent_id, quality_score: Change::Clear, ..UpdateAgent::default() };
        let (method, url, body, _) = sent(&update, &Conditions::default());
        assert_eq!((&*method, &*url), ("PATCH", "workspaces/w%201/agents/a%2Fb%3F"));
        assert_eq!(body, json!({ "quality_score": null }));
        let delete = DeleteAgent { agent_id: "a".to_owned(), cancel_open: true };
        let (method, url, body, _) = sent(&delete, &Conditions::default());
        assert_eq!((&*method, &*url), ("DELETE", "workspaces/w%201/agents/a?cancel_open=true"));
        assert_eq!(body, Value::Null);
    }

    #[test]
    fn a_minimal_client_prefers_replies_to_commands_without_entities() {
        let client = Client::new(&ClientConfig::new("http://h/")).unwrap();
        let preferred = |client: &Client| {
            let cancel = CancelTask { task_id: TaskId(Uuid::nil()), reason: None };
            let command = client.prepare(&cancel, &Conditions::default()).unwrap();
            let query = client.prepare(&ListTasks::default(), &Page::default()).unwrap();
            [command, query].map(|call| call.request.build().unwrap().headers().get("prefer").cloned())
        };
        assert_eq!(preferred(&client), [None, None]);
        assert_eq!(preferred(&client.minimal()), [Some("return=minimal".parse().unwrap()), None]);
    }

    #[test]
    fn the_fields_of_a_query_stand_in_the_query_string() {
        let query = ListTasks {
            state: vec![TaskState::Running, TaskState::Waiting],
            labels: BTreeMap::from([("a".to_owned(), "b".to_owned()), ("c".to_owned(), "d".to_owned())]),
            ..ListTasks::default()
        };
        let page = Page { limit: Some(7), wait_ms: Some(2_000), ..Page::default() };
        let (method, url, body, limit) = sent(&query, &page);
        assert_eq!(method, "GET");
        let url = Url::parse("http://h/").unwrap().join(&url).unwrap();
        let given: BTreeMap<_, _> = url.query_pairs().collect();
        let expected = [
            ("archived", "false"),
            ("count", "false"),
            ("labels", "a:b,c:d"),
            ("limit", "7"),
            ("state", "running,waiting"),
            ("wait_ms", "2000"),
        ];
        assert_eq!(given, BTreeMap::from(expected.map(|(name, value)| (name.into(), value.into()))));
        assert_eq!((body, limit), (Value::Null, CALL_LIMIT + Duration::from_secs(2)));
    }

    #[test]
    fn a_worker_calls_under_its_lease_and_waits() {
        let attempt_id: AttemptId = "dev.00000000-0000-0000-0000-000000000001.3".parse().unwrap();
        let lease = LeaseConditions { attempt_id, lease_epoch: 4, idempotency_key: None, command_id: None };
        let (_, url, body, _) = sent(&FetchAttempt::default(), &lease);
        assert_eq!(url, "attempts/dev.00000000-0000-0000-0000-000000000001.3/fetch");
        assert_eq!(body, json!({ "lease_epoch": 4 }));
        let lease = LeaseAttempts { worker_id: WorkerId(Uuid::nil()), max: 2, wait_ms: 5_000 };
        let (_, url, body, limit) = sent(&lease, &Unconditional {});
        assert_eq!(url, "workers/00000000-0000-0000-0000-000000000000/lease");
        assert_eq!(body, json!({ "max": 2, "wait_ms": 5000 }));
        assert_eq!(limit, CALL_LIMIT + Duration::from_secs(5));
    }
}
