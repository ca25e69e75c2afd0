//! Creates the streams, or makes sure that existing ones are what Capstan relies on.

use capstan_envelope::FORMAT_EPOCH;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::connection::{Connection, RequestError};
use crate::{Archived, FingerprintKey, LogIdentity, StreamSpec};

/// Error code of a stream that does not exist.
pub(crate) const STREAM_NOT_FOUND: u64 = 10_059;
/// Error code of a name that is taken by a stream with other settings.
const STREAM_NAME_IN_USE: u64 = 10_058;
/// Error code while the folder of a stream deleted a moment ago is still being removed.
const STREAM_STORE_FAILED: u64 = 10_049;
/// Error code while a cluster has not chosen its leader.
const NOT_YET_AVAILABLE: u64 = 10_008;
/// Error code while the leader of a cluster has not heard of enough servers to place the copies.
const NO_SUITABLE_PEERS: u64 = 10_005;
/// Names the format epoch in the metadata of a stream.
const FORMAT_EPOCH_KEY: &str = "format_epoch";
/// Names the key for fingerprints in the metadata of a stream.
const FINGERPRINT_KEY_KEY: &str = "fingerprint_key";
/// Names, in the metadata of a stream, the number of the last message that was archived.
const ARCHIVED_KEY: &str = "archived_through";
/// Names, in the metadata of a stream, the number of the last message of which the state was carried forward.
const CARRIED_KEY: &str = "carried_through";
/// Most repeats of a question with such an answer.
const TRIES_MAX: usize = 200;

/// A stream that cannot be had as it must be.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// It exists with settings that would break a promise.
    #[error("use stream {stream}: it exists with other settings: {}", differences.join("; "))]
    WrongSettings {
        /// The stream's name.
        stream: String,
        /// Each wrong setting, with what it is and what it must be.
        differences: Vec<String>,
    },
    /// It holds formats that this build does not read.
    #[error(
        "use stream {stream}: its log has format epoch {found}, this build reads epoch {FORMAT_EPOCH}; start the \
         version of Capstan that wrote it, or begin with an empty log"
    )]
    OtherFormat {
        /// The stream's name.
        stream: String,
        /// Its epoch, `none` where it names none.
        found: String,
    },
    /// It does not say under which key the fingerprints in it were made.
    #[error(
        "use stream {stream}: its metadata name no fingerprint key; restore the metadata it was created with"
    )]
    NoFingerprintKey {
        /// The stream's name.
        stream: String,
    },
    /// Its beginning is not there, and not all of it was carried forward.
    #[error(
        "archive stream {stream}: its messages up to {through} were removed by hand, not carried forward"
    )]
    NotCarried {
        /// The stream's name.
        stream: String,
        /// Number of the last of them.
        through: u64,
    },
    /// Creating or looking at it failed.
    #[error("open stream {stream}")]
    Request {
        /// The stream's name.
        stream: String,
        /// Error of the server or the transport.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// First and last message of a stream.
#[derive(Clone, Debug)]
pub(crate) struct StreamStatus {
    pub(crate) identity: LogIdentity,
    /// Number of the first message; one more than `last` when the stream is empty.
    pub(crate) first: u64,
    /// Key for fingerprints; `None` in a stream that holds none.
    pub(crate) fingerprint_key: Option<FingerprintKey>,
    /// What of its beginning was archived.
    pub(crate) archived: Archived,
    /// Number of the last message; 0 when there never was one.
    pub(crate) last: u64,
    /// Bytes of its messages, with what the server adds to each.
    pub(crate) bytes: u64,
    /// Number of its subjects.
    pub(crate) subjects: u64,
}

#[derive(Deserialize)]
struct StreamInfo {
    config: Map<String, Value>,
    created: DateTime<Utc>,
    state: StreamState,
}

#[derive(Deserialize)]
struct StreamState {
    first_seq: u64,
    last_seq: u64,
    bytes: u64,
    /// The server leaves it out of an empty stream.
    #[serde(default)]
    num_subjects: u64,
}

impl From<StreamInfo> for StreamStatus {
    fn from(info: StreamInfo) -> Self {
        let metadata = |key: &str| info.config.get("metadata")?.get(key)?.as_str();
        let store_epoch = metadata("store_epoch").unwrap_or_default().to_owned();
        let number = |key: &str| metadata(key).and_then(|number| number.parse().ok()).unwrap_or(0);
        let archived = Archived { through: number(ARCHIVED_KEY), carried_through: number(CARRIED_KEY) };
        Self {
            identity: LogIdentity { store_epoch, created_at: info.created },
            first: info.state.first_seq,
            fingerprint_key: metadata(FINGERPRINT_KEY_KEY).and_then(|text| text.parse().ok()),
            archived,
            last: info.state.last_seq,
            bytes: info.state.bytes,
            subjects: info.state.num_subjects,
        }
    }
}

/// Asks where a stream stands.
pub(crate) async fn status(connection: &Connection, stream: &str) -> Result<StreamStatus, RequestError> {
    let info: StreamInfo = connection.call(&format!("STREAM.INFO.{stream}"), &json!({})).await?;
    Ok(info.into())
}

/// Creates the stream unless it exists, and checks every setting Capstan relies on.
pub(crate) async fn ensure(connection: &Connection, spec: &StreamSpec) -> Result<StreamStatus, StreamError> {
    let failed = |source| StreamError::Request { stream: spec.name.clone(), source: Box::new(source) };
    let mut tries = 0;
    loop {
        let known: Result<StreamInfo, _> =
            connection.call(&format!("STREAM.INFO.{}", spec.name), &json!({})).await;
        let info = match known {
            Ok(info) => info,
            Err(RequestError::Refused { code: STREAM_NOT_FOUND, .. }) => {
                let created: Result<StreamInfo, _> = connection
                    .call(&format!("STREAM.CREATE.{}", spec.name), &with_epoch(connection, spec))
                    .await;
                match created {
                    Ok(info) => info,
                    // Another process was faster with another epoch, the name's last owner is still leaving, or the
                    // cluster is still forming.
                    Err(RequestError::Refused {
                        code: STREAM_NAME_IN_USE | STREAM_STORE_FAILED | NOT_YET_AVAILABLE | NO_SUITABLE_PEERS,
                        ..
                    }) if tries < TRIES_MAX => {
                        tries += 1;
                        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                        continue;
                    }
                    Err(error) => return Err(failed(error)),
                }
            }
            Err(error) => return Err(failed(error)),
        };
        let differences = differences(spec, &info.config);
        if !differences.is_empty() {
            return Err(StreamError::WrongSettings { stream: spec.name.clone(), differences });
        }
        return match other_format(spec, &info.config) {
            Some(error) => Err(error),
            None => Ok(info.into()),
        };
    }
}

fn with_epoch(connection: &Connection, spec: &StreamSpec) -> Value {
    // An inbox name is the client's own unpredictable, never repeated token.
    let token = connection.client().new_inbox();
    let epoch = Uuid::new_v5(&Uuid::NAMESPACE_OID, token.as_bytes());
    let mut config = serde_json::to_value(spec).unwrap_or_default();
    config["metadata"] = json!({ "store_epoch": epoch.to_string() });
    if let Some(format) = spec.format_epoch {
        config["metadata"][FORMAT_EPOCH_KEY] = json!(format.to_string());
        config["metadata"][FINGERPRINT_KEY_KEY] = json!(FingerprintKey::draw().to_text());
    }
    config
}

/// Replaces the key in the metadata of a stream.
pub(crate) async fn set_fingerprint_key(
    connection: &Connection,
    stream: &str,
    key: &FingerprintKey,
) -> Result<(), StreamError> {
    set_metadata(connection, stream, &[(FINGERPRINT_KEY_KEY, key.to_text())]).await
}

/// Fails unless the user may archive. Changes nothing: the server looks at the permission first, and a list is no request.
pub(crate) async fn may_archive(connection: &Connection, stream: &str) -> Result<(), StreamError> {
    for action in ["UPDATE", "PURGE"] {
        let asked: Result<Value, _> = connection.call(&format!("STREAM.{action}.{stream}"), &json!([])).await;
        match asked {
            Ok(_) | Err(RequestError::Refused { .. }) => {}
            Err(error) => {
                return Err(StreamError::Request { stream: stream.to_owned(), source: Box::new(error) });
            }
        }
    }
    Ok(())
}

/// Declares the beginning of a stream up to this number as archived and carried forward, and removes it; as far as more is
/// declared, that much. Says what is archived then.
pub(crate) async fn archive(
    connection: &Connection,
    stream: &str,
    mut through: u64,
) -> Result<Archived, StreamError> {
    let failed = |source| StreamError::Request { stream: stream.to_owned(), source: Box::new(source) };
    let mut known = status(connection, stream).await.map_err(failed)?;
    let removed = known.archived.through.max(known.first.saturating_sub(1));
    if removed > known.archived.carried_through {
        return Err(StreamError::NotCarried { stream: stream.to_owned(), through: removed });
    }
    loop {
        through = through.max(known.archived.through);
        // First declared: readers take a beginning that is missing without it for lost.
        if through > known.archived.through {
            let number = through.to_string();
            set_metadata(connection, stream, &[(ARCHIVED_KEY, number.clone()), (CARRIED_KEY, number)])
                .await?;
        }
        if known.first <= through {
            let purge = json!({ "seq": through.saturating_add(1) });
            let purged: Result<Value, _> = connection.call(&format!("STREAM.PURGE.{stream}"), &purge).await;
            purged.map_err(failed)?;
        }
        // The server compares nothing: of two that archive at once, one may have declared less than the other removed.
        known = status(connection, stream).await.map_err(failed)?;
        through = through.max(known.first.saturating_sub(1));
        if known.archived.through >= through {
            return Ok(known.archived);
        }
    }
}

async fn set_metadata(
    connection: &Connection,
    stream: &str,
    values: &[(&str, String)],
) -> Result<(), StreamError> {
    let failed = |source| StreamError::Request { stream: stream.to_owned(), source: Box::new(source) };
    let info: Result<StreamInfo, _> = connection.call(&format!("STREAM.INFO.{stream}"), &json!({})).await;
    let mut config = Value::Object(info.map_err(failed)?.config);
    for (key, value) in values {
        config["metadata"][key] = json!(value);
    }
    let updated: Result<StreamInfo, _> = connection.call(&format!("STREAM.UPDATE.{stream}"), &config).await;
    updated.map(|_| ()).map_err(failed)
}

/// The error of a stream whose formats are not those of this build.
pub(super) fn other_format(spec: &StreamSpec, actual: &Map<String, Value>) -> Option<StreamError> {
    let wanted = spec.format_epoch?.to_string();
    let found = actual.get("metadata").and_then(|metadata| metadata.get(FORMAT_EPOCH_KEY));
    let found = found.and_then(Value::as_str).unwrap_or("none");
    (found != wanted).then(|| StreamError::OtherFormat { stream: spec.name.clone(), found: found.to_owned() })
}

/// Each setting that is not as it must be.
pub(super) fn differences(spec: &StreamSpec, actual: &Map<String, Value>) -> Vec<String> {
    let Ok(Value::Object(wanted)) = serde_json::to_value(spec) else { return Vec::new() };
    let mut found = Vec::new();
    for (setting, wanted) in &wanted {
        // The server leaves out what is off.
        let absent = match wanted {
            Value::Bool(_) => Value::Bool(false),
            Value::Number(_) => json!(0),
            _ => Value::Null,
        };
        let is = actual.get(setting).unwrap_or(&absent);
        if is != wanted {
            found.push(format!("{setting} is {is} and must be {wanted}"));
        }
    }
    for ruinous in ["mirror", "sources", "subject_transform", "sealed", "allow_rollup_hdrs"] {
        if spec.deny_delete && actual.get(ruinous).is_some_and(|is| *is != Value::Bool(false)) {
            found.push(format!("{ruinous} is set and must not be"));
        }
    }
    if actual.get("persist_mode").is_some_and(|mode| mode == "async") {
        found.push("persist_mode is \"async\": acknowledgements would come before the write".to_owned());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Topology;

    #[test]
    fn a_stream_that_forgets_is_named_with_every_wrong_setting() {
        let spec = Topology::new(None).unwrap().events(1);
        let Value::Object(mut actual) = serde_json::to_value(&spec).unwrap() else { unreachable!() };
        assert_eq!(differences(&spec, &actual), Vec::<String>::new());
        actual.insert("max_msgs".into(), json!(5));
        actual.remove("deny_delete");
        assert_eq!(
            differences(&spec, &actual),
            ["deny_delete is false and must be true", "max_msgs is 5 and must be -1"]
        );
    }
}
