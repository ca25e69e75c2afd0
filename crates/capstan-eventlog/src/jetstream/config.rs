//! Configuration of the adapter.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

/// Address of the server and the guarantees expected of it.
#[derive(Clone, Debug)]
pub struct JetStreamConfig {
    /// Address of the server, for example `nats://127.0.0.1:4222`; several are separated by commas.
    pub url: String,
    /// Credentials; `None` where the server needs none.
    pub credentials: Option<Credentials>,
    /// Copies of every stream in a cluster: 1, 3 or 5.
    pub replicas: usize,
    /// The server's flushing before it acknowledges.
    pub durability: DurabilityHint,
    /// Address of the server's monitoring, for example `http://127.0.0.1:8222`; lets
    /// [`DurabilityHint::Auto`] ask instead of assume.
    pub monitor_url: Option<String>,
    /// Leads all stream names and subjects, so that several installations can share one server.
    pub stream_prefix: Option<String>,
    /// Time limit of the first connection, a recovering server included.
    pub connect_timeout: Duration,
    /// Time limit of one acknowledgement; after it, the outcome is looked up.
    pub ack_timeout: Duration,
    /// Time limit of an append in all; after it, the log is reported as unavailable.
    pub append_timeout: Duration,
}

impl JetStreamConfig {
    /// The options with these credentials, for a connection of one's own to the same server.
    pub async fn log_in(
        &self,
        options: async_nats::ConnectOptions,
    ) -> std::io::Result<async_nats::ConnectOptions> {
        Ok(match &self.credentials {
            None => options,
            Some(Credentials::Password { user, password }) => {
                options.user_and_password(user.clone(), password.clone())
            }
            Some(Credentials::Token(token)) => options.token(token.clone()),
            Some(Credentials::File(path)) => options.credentials_file(path).await?,
        })
    }

    /// One server at `url`, everything else as it comes. A login in the address (`nats://user:password@host`) becomes the
    /// credentials, so that no message shows it.
    pub fn new(url: impl Into<String>) -> Self {
        let (url, credentials) = without_login(&url.into());
        Self {
            url,
            credentials,
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

/// Takes the login out of the addresses, which the client itself does not read there.
fn without_login(urls: &str) -> (String, Option<Credentials>) {
    let mut credentials = None;
    let bare: Vec<String> = urls
        .split(',')
        .map(|url| {
            let (scheme, rest) = url.split_once("://").map_or(("nats", url), |(scheme, rest)| (scheme, rest));
            let Some((login, host)) = rest.rsplit_once('@') else { return url.to_owned() };
            credentials.get_or_insert(match login.split_once(':') {
                Some((user, password)) => {
                    Credentials::Password { user: decoded(user), password: decoded(password) }
                }
                None => Credentials::Token(decoded(login)),
            });
            format!("{scheme}://{host}")
        })
        .collect();
    (bare.join(","), credentials)
}

/// A part of an address with its `%40` and the like read.
fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Credentials. Never shown in logs.
#[derive(Clone)]
pub enum Credentials {
    /// User name and password.
    Password {
        /// User name.
        user: String,
        /// Password of the user.
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

/// The caller's knowledge of the server's flushing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DurabilityHint {
    /// Ask the server's monitoring when its address is known, else assume [`Durability::Always`]'s needs.
    #[default]
    Auto,
    /// `sync_interval: always`.
    Always,
    /// Any other `sync_interval`.
    Interval,
}

/// The guarantee an acknowledgement gives.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_in_the_address_becomes_the_credentials_and_is_shown_nowhere() {
        let config = JetStreamConfig::new("nats://me:p%40ss@a:4222,nats://me:p%40ss@b:4222");
        assert_eq!(config.url, "nats://a:4222,nats://b:4222");
        let Some(Credentials::Password { user, password }) = config.credentials else { panic!("no login") };
        assert_eq!((user.as_str(), password.as_str()), ("me", "p@ss"));
        let config = JetStreamConfig::new("nats://t0ken@a");
        assert!(matches!(config.credentials, Some(Credentials::Token(token)) if token == "t0ken"));
        assert!(JetStreamConfig::new("nats://a").credentials.is_none());
    }
}
