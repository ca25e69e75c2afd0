//! One connection to the server that knows when it was lost.

use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, Event, HeaderMap, Message, Request, ServerError};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::Instant;

use super::config::JetStreamConfig;
use super::denial::Denials;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Time limit of creating a consumer or opening a cold stream: such calls read files.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(30);

/// Pause between tries of the first connection.
const CONNECT_PAUSE: Duration = Duration::from_millis(200);

/// A NATS connection of its own.
///
/// One connection is one ordered pipe, so appends, readers and gets use different ones. The client reconnects
/// for ever by itself, but leaves requests in flight to their time-out; this wrapper ends them at once, because
/// only a look-up can tell what became of them. Those that the server denies end at once too.
#[derive(Clone, Debug)]
pub struct Connection {
    client: Client,
    link: watch::Receiver<Link>,
}

#[derive(Clone, Debug, Default)]
struct Link {
    connected: bool,
    /// Counts losses.
    losses: u64,
    denials: Denials,
}

/// A request whose outcome is not known: it may or may not have been carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// No answer in time.
    #[error("ask {subject}: no answer within {} ms", timeout.as_millis())]
    TimedOut { subject: String, timeout: Duration },
    /// The caller's own deadline passed.
    #[error("ask the log: there was no time left")]
    TooLate,
    /// The connection broke while waiting.
    #[error("ask {subject}: the connection was lost")]
    Lost { subject: String },
    /// This user may not do it; it was not carried out.
    #[error("ask {subject}: the NATS user needs the permission to {needed}")]
    Denied { subject: String, needed: String },
    /// Nobody listens: JetStream is not (yet) up, or the stream does not exist.
    #[error("ask {subject}: nobody answers there")]
    NoResponders { subject: String },
    /// The client refused or failed.
    #[error("ask {subject}")]
    Client {
        subject: String,
        #[source]
        source: BoxError,
    },
    /// The answer was not of the promised shape.
    #[error("ask {subject}: the answer cannot be read")]
    Unreadable {
        subject: String,
        #[source]
        source: serde_json::Error,
    },
    /// The server said no.
    #[error("ask {subject}: {description} ({code})")]
    Refused { subject: String, code: u64, description: String },
}

/// The error part of a JetStream answer.
#[derive(Debug, Clone, serde::Deserialize)]
pub(crate) struct ApiError {
    #[serde(default)]
    pub(crate) err_code: u64,
    #[serde(default)]
    pub(crate) description: String,
}

#[derive(serde::Deserialize)]
struct ErrorPart {
    error: Option<ApiError>,
}

impl Connection {
    /// Connects, waiting up to the configured time for a server that is still starting or recovering.
    pub async fn open(config: &JetStreamConfig, role: &str) -> Result<Self, async_nats::ConnectError> {
        let deadline = Instant::now() + config.connect_timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match Self::try_open(config, role, left.max(CONNECT_PAUSE)).await {
                Ok(connection) => return Ok(connection),
                Err(error) if Instant::now() + CONNECT_PAUSE >= deadline => return Err(error),
                Err(error) if is_final(&error) => return Err(error),
                Err(_) => tokio::time::sleep(CONNECT_PAUSE).await,
            }
        }
    }

    async fn try_open(
        config: &JetStreamConfig,
        role: &str,
        timeout: Duration,
    ) -> Result<Self, async_nats::ConnectError> {
        let (sender, link) = watch::channel(Link { connected: true, ..Link::default() });
        let mut options = ConnectOptions::new()
            .name(format!("capstan {role}"))
            .max_reconnects(None)
            .connection_timeout(timeout)
            .ping_interval(Duration::from_secs(10))
            .reconnect_delay_callback(|attempts| Duration::from_millis((10u64 << attempts.min(7)).min(1_000)))
            .event_callback(move |event| {
                match event {
                    Event::Connected => {
                        sender.send_modify(|link| {
                            link.connected = true;
                            link.denials.reconnected();
                        });
                    }
                    Event::Disconnected | Event::Closed => sender.send_modify(|link| {
                        link.connected = false;
                        link.losses += 1;
                    }),
                    Event::SlowConsumer(_) => {
                        tracing::warn!("the client dropped messages a reader did not take in time");
                    }
                    Event::ServerError(ServerError::Other(error)) => {
                        let is_denial = sender.send_if_modified(|link| link.denials.take(&error));
                        tracing::warn!(error, is_denial, "the server refused something without an answer");
                    }
                    _ => {}
                }
                async {}
            });
        options = config.log_in(options).await?;
        let client = options.connect(config.url.split(',').collect::<Vec<_>>()).await?;
        Ok(Self { client, link })
    }

    /// The client underneath, for services, key-value and work queues.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// True while the connection stands.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected && self.link.borrow().connected
    }

    /// Number of times the connection was lost.
    pub(crate) fn losses(&self) -> u64 {
        self.link.borrow().losses
    }

    /// Waits until the connection has been lost more often than `losses`.
    pub(crate) async fn lost_since(&self, losses: u64) {
        let mut link = self.link.clone();
        let is_gone = link.wait_for(|link| link.losses > losses).await.is_err();
        if is_gone {
            // The client is gone for good; whoever waits for it must find out by its own time-out.
            std::future::pending::<()>().await;
        }
    }

    /// Number of publications that the server denied.
    pub(crate) fn denials(&self) -> u64 {
        self.link.borrow().denials.count()
    }

    /// Waits until the server denies a request to this subject that was sent after `denials` others.
    pub(crate) async fn denied_since(&self, denials: u64, subject: &str) -> RequestError {
        let mut link = self.link.clone();
        let denied = link.wait_for(|link| link.denials.needed(subject, denials).is_some()).await;
        match denied.ok().and_then(|link| link.denials.needed(subject, denials)) {
            Some(needed) => RequestError::Denied { subject: subject.to_owned(), needed },
            None => std::future::pending().await,
        }
    }

    /// Waits until the connection stands and says how often it was lost by then.
    pub(crate) async fn standing(&self) -> u64 {
        let mut link = self.link.clone();
        let losses = link.wait_for(|link| link.connected).await.map(|link| link.losses).ok();
        match losses {
            Some(losses) => losses,
            None => std::future::pending().await,
        }
    }

    /// Asks and waits for the one answer.
    pub(crate) async fn ask(
        &self,
        subject: &str,
        headers: Option<HeaderMap>,
        payload: Bytes,
        timeout: Duration,
    ) -> Result<Message, RequestError> {
        let deadline = Instant::now() + timeout;
        let timed_out = || RequestError::TimedOut { subject: subject.to_owned(), timeout };
        // Nothing is given to the client while it is disconnected: it would be sent much later, after the
        // caller has been told that it failed.
        let losses = tokio::time::timeout_at(deadline, self.standing()).await.map_err(|_| timed_out())?;
        let denials = self.denials();
        let mut request = Request::new().payload(payload).timeout(None);
        if let Some(headers) = headers {
            request = request.headers(headers);
        }
        tokio::select! {
            biased;
            answer = self.client.send_request(subject.to_owned(), request) => {
                answer.map_err(|error| match error.kind() {
                    async_nats::RequestErrorKind::NoResponders => {
                        RequestError::NoResponders { subject: subject.to_owned() }
                    }
                    async_nats::RequestErrorKind::TimedOut => timed_out(),
                    _ => RequestError::Client { subject: subject.to_owned(), source: Box::new(error) },
                })
            }
            denied = self.denied_since(denials, subject) => Err(denied),
            () = self.lost_since(losses) => Err(RequestError::Lost { subject: subject.to_owned() }),
            () = tokio::time::sleep_until(deadline) => Err(timed_out()),
        }
    }

    /// Calls the JetStream API: JSON there, JSON back.
    pub(crate) async fn call<A: DeserializeOwned>(
        &self,
        endpoint: &str,
        question: &impl Serialize,
    ) -> Result<A, RequestError> {
        self.call_within(endpoint, question, ADMIN_TIMEOUT).await
    }

    /// Calls the JetStream API with another patience.
    pub(crate) async fn call_within<A: DeserializeOwned>(
        &self,
        endpoint: &str,
        question: &impl Serialize,
        timeout: Duration,
    ) -> Result<A, RequestError> {
        let subject = format!("$JS.API.{endpoint}");
        let unreadable = |source| RequestError::Unreadable { subject: subject.clone(), source };
        let payload = serde_json::to_vec(question).map_err(unreadable)?;
        let answer = self.ask(&subject, None, payload.into(), timeout).await?;
        let part: ErrorPart = serde_json::from_slice(&answer.payload).map_err(unreadable)?;
        if let Some(ApiError { err_code: code, description }) = part.error {
            return Err(RequestError::Refused { subject, code, description });
        }
        serde_json::from_slice(&answer.payload).map_err(unreadable)
    }
}

/// True for answers that waiting does not change.
fn is_final(error: &async_nats::ConnectError) -> bool {
    use async_nats::ConnectErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ServerParse | Kind::Authentication | Kind::AuthorizationViolation | Kind::Tls
    )
}
