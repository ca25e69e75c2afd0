//! Election of the leading engine: a key in a JetStream bucket, changed only at the revision its changer has read.
//!
//! The leader rewrites the key several times per time-to-live; a candidate that has read one revision for a whole
//! time-to-live by its own clock takes the key over. No clocks are compared. A leader counts its time from *before* its
//! last successful write and stops when it is over, a candidate from *after* it read that write: the old leader has always
//! stopped when the new one begins. A clean stop clears the leader, so that the next candidate need not wait.

use std::time::Duration;

use async_nats::jetstream::kv;
use capstan_contract::causes::explain;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::own_thread::OwnThread;

const KEY: &str = "leader";

/// Interval at which a candidate reads the key.
const LOOK: Duration = Duration::from_millis(200);

/// The value of the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    /// The leader; none after a clean stop.
    engine_id: Option<Uuid>,
    /// Counts the changes of leader.
    epoch: u64,
}

/// Leadership was not won or kept.
#[derive(Debug, thiserror::Error)]
pub enum LeadershipError {
    /// The bucket is temporarily unreachable.
    #[error("elect a leader: the bucket is not available")]
    Unavailable {
        /// The failure of the client.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another engine has taken over, or the time to live has passed.
    #[error("stay leader: the time to live has passed")]
    Deposed,
}

pub(crate) fn unavailable(source: impl std::error::Error + Send + Sync + 'static) -> LeadershipError {
    LeadershipError::Unavailable { source: Box::new(source) }
}

/// A candidate for leadership.
#[derive(Debug)]
pub struct Candidate {
    bucket: kv::Store,
    engine_id: Uuid,
    ttl: Duration,
    /// The revision read last, and the time it was first read.
    seen: Option<(u64, Instant)>,
}

/// The right to lead, for the time to live at a time.
#[derive(Debug)]
pub struct Term {
    bucket: kv::Store,
    engine_id: Uuid,
    ttl: Duration,
    epoch: u64,
    revision: u64,
    until: Instant,
}

/// Leadership that a thread of its own keeps: whoever leads may be busy, and may keep all other threads of the process busy,
/// for longer than the time to live. Dropped, it is kept no longer and passes with its time.
#[derive(Debug)]
pub struct Leadership {
    epoch: u64,
    resigning: CancellationToken,
    /// Ends with the term, and the reason unless it was asked to stop.
    keeper: AbortOnDropHandle<(Term, Option<LeadershipError>)>,
}

impl Leadership {
    /// Counts the changes of leader.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Waits until leadership is lost; returns the reason. Not to be called again after that.
    pub async fn lost(&mut self) -> LeadershipError {
        match (&mut self.keeper).await {
            Ok((_, Some(reason))) => reason,
            Ok((_, None)) | Err(_) => LeadershipError::Deposed,
        }
    }

    /// Lets the next candidate lead at once.
    pub async fn resign(self) {
        if self.keeper.is_finished() {
            // Lost before: there is nothing to give back.
            return;
        }
        self.resigning.cancel();
        if let Ok((term, None)) = self.keeper.await {
            term.resign().await;
        }
    }
}

impl Candidate {
    /// Opens the bucket, creating it if necessary.
    pub async fn new(
        nats: async_nats::Client,
        bucket: &str,
        replicas: usize,
        engine_id: Uuid,
        ttl: Duration,
    ) -> Result<Self, LeadershipError> {
        let context = async_nats::jetstream::new(nats);
        let config = kv::Config {
            bucket: bucket.to_owned(),
            history: 1,
            num_replicas: replicas,
            ..kv::Config::default()
        };
        let bucket = match context.get_key_value(bucket).await {
            Ok(bucket) => bucket,
            Err(_) => context.create_key_value(config).await.map_err(unavailable)?,
        };
        Ok(Self { bucket, engine_id, ttl, seen: None })
    }

    /// Waits until this engine leads.
    pub async fn win(&mut self) -> Result<Term, LeadershipError> {
        loop {
            if let Some(term) = self.look().await? {
                return Ok(term);
            }
            tokio::time::sleep(LOOK.min(self.ttl / 4)).await;
        }
    }

    async fn look(&mut self) -> Result<Option<Term>, LeadershipError> {
        let begun = Instant::now();
        let Some(entry) = self.bucket.entry(KEY).await.map_err(unavailable)? else {
            return Ok(self.try_take(1, None, begun).await);
        };
        let holder: Option<Holder> = serde_json::from_slice(&entry.value).ok();
        let epoch = holder.as_ref().map_or(1, |holder| holder.epoch + 1);
        let is_held =
            entry.operation == kv::Operation::Put && holder.is_some_and(|holder| holder.engine_id.is_some());
        let is_fresh = match self.seen {
            Some((revision, since)) if revision == entry.revision => since.elapsed() < self.ttl,
            _ => {
                self.seen = Some((entry.revision, Instant::now()));
                true
            }
        };
        if is_held && is_fresh {
            return Ok(None);
        }
        Ok(self.try_take(epoch, Some(entry.revision), begun).await)
    }

    /// None when another candidate was faster.
    async fn try_take(&self, epoch: u64, revision: Option<u64>, begun: Instant) -> Option<Term> {
        let value = encode(Some(self.engine_id), epoch);
        let revision = match revision {
            None => self.bucket.create(KEY, value).await.ok()?,
            Some(revision) => self.bucket.update(KEY, value, revision).await.ok()?,
        };
        let bucket = self.bucket.clone();
        let until = begun + self.ttl;
        Some(Term { bucket, engine_id: self.engine_id, ttl: self.ttl, epoch, revision, until })
    }
}

impl Term {
    /// Counts the changes of leader.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Keeps it from this thread until it is lost or given back. The connection of the bucket must live there as well.
    pub fn keep(mut self, thread: &OwnThread) -> Leadership {
        let (epoch, resigning) = (self.epoch, CancellationToken::new());
        let resigned = resigning.clone();
        let keeper = thread.spawn(async move {
            let reason = tokio::select! {
                () = resigned.cancelled() => None,
                reason = self.hold() => Some(reason),
            };
            (self, reason)
        });
        Leadership { epoch, resigning, keeper }
    }

    /// Renews until that fails; returns the reason.
    pub async fn hold(&mut self) -> LeadershipError {
        loop {
            tokio::time::sleep_until((Instant::now() + self.ttl / 4).min(self.until)).await;
            if Instant::now() >= self.until {
                return LeadershipError::Deposed;
            }
            let begun = Instant::now();
            let value = encode(Some(self.engine_id), self.epoch);
            let renewal = self.bucket.update(KEY, value, self.revision);
            match tokio::time::timeout_at(self.until, renewal).await {
                Ok(Ok(revision)) => {
                    self.revision = revision;
                    self.until = begun + self.ttl;
                }
                Ok(Err(error)) if error.kind() == kv::UpdateErrorKind::WrongLastRevision => {
                    // Either another engine took over, or an earlier renewal was stored though its answer was lost.
                    match self.own_revision().await {
                        Some(revision) => self.revision = revision,
                        None => return LeadershipError::Deposed,
                    }
                }
                // The bucket may be back before the time to live has passed.
                Ok(Err(error)) => tracing::warn!(error = explain(&error), "leadership was not renewed"),
                Err(_) => return LeadershipError::Deposed,
            }
        }
    }

    async fn own_revision(&self) -> Option<u64> {
        let entry = tokio::time::timeout_at(self.until, self.bucket.entry(KEY)).await.ok()?.ok()??;
        let holder: Holder = serde_json::from_slice(&entry.value).ok()?;
        (holder.engine_id == Some(self.engine_id) && holder.epoch == self.epoch).then_some(entry.revision)
    }

    /// Lets the next candidate lead at once.
    pub async fn resign(self) {
        let value = encode(None, self.epoch);
        let resigned = tokio::time::timeout(self.ttl, async {
            // A renewal may have been under way when the loop ended.
            let revision = self.own_revision().await?;
            self.bucket.update(KEY, value, revision).await.ok()
        });
        if !matches!(resigned.await, Ok(Some(_))) {
            tracing::info!("the leader's key was not freed; the next engine begins after its time to live");
        }
    }
}

fn encode(engine_id: Option<Uuid>, epoch: u64) -> bytes::Bytes {
    serde_json::json!({ "engine_id": engine_id, "epoch": epoch }).to_string().into()
}
