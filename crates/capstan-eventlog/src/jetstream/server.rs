//! Is the server one we can trust with the log, and what is its acknowledgement worth?

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::config::{Durability, DurabilityHint};
use super::connection::{Connection, RequestError};

/// JetStream API level of the first release with atomic batches.
const API_LEVEL_MIN: u64 = 2;

/// Time limit of one question about the API level.
const API_PATIENCE: Duration = Duration::from_secs(1);

/// A server that cannot hold the log.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Before the fix of expected versions inside batches.
    #[error(
        "use nats-server {found}: it is too old, 2.12.14, 2.14.4 or newer is needed because expected versions \
         inside atomic batches are not safe before"
    )]
    TooOld {
        /// Version the server reports.
        found: String,
    },
    /// A version nobody can read.
    #[error("use nats-server {found:?}: this is not a version number")]
    UnknownVersion {
        /// Version the server reports.
        found: String,
    },
    /// JetStream is off, or runs with too old an API.
    #[error("use JetStream at API level {found}: level {API_LEVEL_MIN} or higher is needed")]
    ApiLevel {
        /// API level JetStream reports.
        found: u64,
    },
    /// JetStream did not answer in time; it may be switched off or still be recovering.
    #[error("reach JetStream on the server: is it enabled, and has it recovered?")]
    JetStream {
        /// Error of the transport.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A nats-server release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerVersion {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number.
    pub patch: u32,
}

impl ServerVersion {
    /// True when expected versions inside atomic batches are safe.
    pub fn is_supported(self) -> bool {
        let at_least = |minor, patch| self >= Self { major: 2, minor, patch };
        if self.minor == 12 && self.major == 2 { at_least(12, 14) } else { at_least(14, 4) }
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for ServerVersion {
    type Err = ServerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || ServerError::UnknownVersion { found: text.to_owned() };
        let release = text.trim_start_matches('v').split(['-', '+']).next().unwrap_or_default();
        let mut numbers = release.split('.').map(str::parse::<u32>);
        let mut number = || numbers.next().and_then(Result::ok).ok_or_else(unknown);
        Ok(Self { major: number()?, minor: number()?, patch: number()? })
    }
}

/// Refuses servers the log would not be safe on.
pub(crate) fn check_version(found: &str) -> Result<ServerVersion, ServerError> {
    let version: ServerVersion = found.parse()?;
    if version.is_supported() { Ok(version) } else { Err(ServerError::TooOld { found: found.to_owned() }) }
}

/// Refuses a JetStream without atomic batches; waits while it is still recovering.
pub(crate) async fn check_api_level(connection: &Connection, patience: Duration) -> Result<(), ServerError> {
    #[derive(serde::Deserialize)]
    struct Account {
        #[serde(default)]
        api: Api,
    }
    #[derive(serde::Deserialize, Default)]
    struct Api {
        #[serde(default)]
        level: u64,
    }
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        match connection.call_within::<Account>("INFO", &serde_json::json!({}), API_PATIENCE).await {
            Ok(account) if account.api.level >= API_LEVEL_MIN => return Ok(()),
            Ok(account) => return Err(ServerError::ApiLevel { found: account.api.level }),
            // A server that recovers does not listen yet; a cluster without a leader listens and says nothing.
            Err(
                RequestError::NoResponders { .. } | RequestError::TimedOut { .. } | RequestError::Lost { .. },
            ) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(error) => return Err(ServerError::JetStream { source: Box::new(error) }),
        }
    }
}

/// Finds out what an acknowledgement is worth: asks where it can, else believes the hint.
pub(crate) async fn find_durability(hint: DurabilityHint, monitor_url: Option<&str>) -> Durability {
    if let Some(url) = monitor_url {
        match ask_monitoring(url).await {
            Ok(durability) => return durability,
            Err(error) => {
                tracing::warn!(error = %error, "the server's monitoring did not say how it flushes");
            }
        }
    }
    match hint {
        DurabilityHint::Always => Durability::Always,
        DurabilityHint::Interval => Durability::SomeInterval,
        DurabilityHint::Auto => Durability::Unknown,
    }
}

async fn ask_monitoring(url: &str) -> std::io::Result<Durability> {
    let host = url.trim_start_matches("http://").split('/').next().unwrap_or_default();
    let fetch = async {
        let mut socket = TcpStream::connect(host).await?;
        // HTTP/1.0 closes after the answer, which makes reading to the end the whole protocol.
        socket.write_all(format!("GET /varz HTTP/1.0\r\nHost: {host}\r\n\r\n").as_bytes()).await?;
        let mut answer = Vec::new();
        socket.take(16 << 20).read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = tokio::time::timeout(Duration::from_secs(5), fetch).await??;
    let body =
        answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(&answer[..], |at| &answer[at + 4..]);
    parse_varz(body).ok_or_else(|| {
        std::io::Error::new(std::io::ErrorKind::InvalidData, "no JetStream configuration there")
    })
}

fn parse_varz(body: &[u8]) -> Option<Durability> {
    let varz: serde_json::Value = serde_json::from_slice(body).ok()?;
    let config = varz.pointer("/jetstream/config")?;
    if config.get("sync_always").and_then(serde_json::Value::as_bool) == Some(true) {
        return Some(Durability::Always);
    }
    let nanos = config.get("sync_interval").and_then(serde_json::Value::as_u64)?;
    Some(Durability::Interval(Duration::from_nanos(nanos)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_before_the_batch_fix_are_refused_with_a_clear_message() {
        for old in ["2.9.10", "2.11.9", "2.12.13", "2.13.0", "2.14.0", "2.14.3", "1.99.99"] {
            let error = check_version(old).unwrap_err();
            assert!(error.to_string().contains("2.12.14"), "{error}");
            assert!(error.to_string().contains(old), "{error}");
        }
    }

    #[test]
    fn servers_with_the_batch_fix_are_taken() {
        for new in ["2.12.14", "2.12.20", "2.14.4", "2.15.1", "2.15.0-dev", "v2.15.1", "3.0.0"] {
            assert!(check_version(new).is_ok(), "{new} was refused");
        }
    }

    #[test]
    fn a_version_nobody_can_read_is_refused() {
        assert!(matches!(check_version("banana"), Err(ServerError::UnknownVersion { .. })));
    }

    #[test]
    fn the_monitoring_tells_how_the_server_flushes() {
        let always = br#"{"jetstream":{"config":{"sync_interval":120000000000,"sync_always":true}}}"#;
        assert_eq!(parse_varz(always), Some(Durability::Always));
        let interval = br#"{"jetstream":{"config":{"sync_interval":100000000}}}"#;
        assert_eq!(parse_varz(interval), Some(Durability::Interval(Duration::from_millis(100))));
        assert_eq!(parse_varz(b"{}"), None);
    }
}
