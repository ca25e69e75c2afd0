//! A commit as it is stored: what neither its subject nor a header says.

use std::borrow::Cow;
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The header that carries the hash of a commit.
pub(crate) const HASH: &str = "C-Hash";
/// The subjects of all tasks begin with it.
pub(crate) const SUBJECTS: &str = "evt";

/// The first commit of a task.
#[derive(Serialize, Deserialize)]
pub(crate) struct Acceptance<'a> {
    pub(crate) id: Uuid,
    /// Milliseconds since 1970.
    pub(crate) at: u64,
    pub(crate) by: &'a str,
    pub(crate) key: &'a str,
    pub(crate) fingerprint: &'a str,
    pub(crate) version: u32,
    #[serde(borrow)]
    pub(crate) events: [Accepted<'a>; 1],
    pub(crate) previous: Option<&'a str>,
}

/// The event of the first commit.
#[derive(Serialize, Deserialize)]
pub(crate) struct Accepted<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: &'a str,
    pub(crate) agent: &'a str,
    pub(crate) agent_version: u32,
    pub(crate) session: Uuid,
    #[serde(borrow)]
    pub(crate) message: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) priority: Option<i16>,
}

/// A later commit of a task; all that is read of it is its version.
#[derive(Deserialize)]
pub(crate) struct Step {
    pub(crate) version: u32,
}

/// The payload of a later commit, with events written by their names only: a lease or the end of nothing has little more.
pub(crate) fn step(version: u32, events: &[&str]) -> String {
    let events: Vec<String> = events.iter().map(|name| format!(r#"{{"type":"{name}"}}"#)).collect();
    format!(
        r#"{{"id":"{}","at":{},"by":"worker","version":{version},"events":[{}],"previous":"0123456789abcdef"}}"#,
        Uuid::now_v7(),
        now_ms(),
        events.join(",")
    )
}

/// The subject of a task's commits.
pub(crate) fn subject(workspace: &str, task: Uuid) -> String {
    format!("{SUBJECTS}.{workspace}.task.{task}")
}

/// The hash of a commit, over its subject and payload.
pub(crate) fn hash(subject: &str, payload: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(subject.as_bytes());
    hash.update(payload);
    hash.finalize().into()
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is beyond 1970");
    since.as_millis() as u64
}

/// Fingerprints of bodies, which tell a repeat from another command under the same key.
pub(crate) struct Fingerprints(Hmac<Sha256>);

impl Fingerprints {
    /// With the key of the installation.
    pub(crate) fn new() -> Self {
        Self(Hmac::new_from_slice(b"key of the installation").expect("keys may have any length"))
    }

    /// The fingerprint of a body.
    pub(crate) fn of(&self, body: &[u8]) -> String {
        let mut mac = self.0.clone();
        mac.update(body);
        hex(&mac.finalize().into_bytes()[..16])
    }
}
