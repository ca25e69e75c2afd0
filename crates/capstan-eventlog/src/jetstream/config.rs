//! What the adapter must be told.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How to reach the server and what to expect of it.
#[derive(Clone, Debug)]
pub struct JetStreamConfig {
    /// Address of the server, for example `nats://127.0.0.1:4222`; several are separated by commas.
    pub url: String,
    /// How to log in; `None` where the server asks nobody.
    pub credentials: Option<Credentials>,
    /// Copies of every stream in a cluster: 1, 3 or 5.
    pub replicas: usize,
    /// What the server does before it acknowledges.
    pub durability: DurabilityHint,
    /// Address of the server's monitoring, for example `http://127.0.0.1:8222`; lets
    /// [`DurabilityHint::Auto`] ask instead of assume.
    pub monitor_url: Option<String>,
    /// Leads all stream names and subjects, so that several installations can share one server.
    pub stream_prefix: Option<String>,
    /// How long the first connection may take, a recovering server included.
    pub connect_timeout: Duration,
    /// How long one acknowledgement may take before its outcome is looked up.
    pub ack_timeout: Duration,
    /// How long an append is tried in all before it is reported as unavailable.
    pub append_timeout: Duration,
}

impl JetStreamConfig {
    /// One server at `url`, everything else as it comes.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            credentials: None,
            replicas: 1,
            durability: DurabilityHint::Auto,
            monitor_url: None,
            stream_prefix: None,
            connect_timeout: Duration::from_secs(10),
            ack_timeout: Duration::from_secs(5),
            append_timeout: Duration::from_secs(15),
        }
    }
}

/// How to log in. Never shown in logs.
#[derive(Clone)]
pub enum Credentials {
    /// User name and password.
    Password {
        /// User name.
        user: String,
        /// Password.
        password: String,
    },
    /// A shared token.
    Token(String),
    /// A `.creds` file with user JWT and seed.
    File(PathBuf),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password { .. } => "Password",
            Self::Token(_) => "Token",
            Self::File(_) => "File",
        })
    }
}

/// What the caller knows of the server's flushing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DurabilityHint {
    /// Ask the server's monitoring when its address is known, else assume [`Durability::Always`]'s needs.
    #[default]
    Auto,
    /// `sync_interval: always`.
    Always,
    /// Any other `sync_interval`.
    Interval,
}

/// What an acknowledgement is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Flushed to disk before it is acknowledged: survives a power cut.
    Always,
    /// Flushed this often: a power cut may cost the last interval, a killed process nothing.
    Interval(Duration),
    /// Flushed at some interval the server was not asked for.
    SomeInterval,
    /// Nobody said, and the server's monitoring was not reachable.
    Unknown,
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => f.write_str("always"),
            Self::Interval(every) => write!(f, "interval ({} ms)", every.as_millis()),
            Self::SomeInterval => f.write_str("interval"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}
