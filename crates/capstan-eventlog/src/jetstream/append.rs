//! The life of one commit: encoded, sent with its expectation, its outcome made certain.

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;
use capstan_envelope::{Commit, CommitHash, Position};
use futures_util::future::try_join_all;
use metrics::{counter, histogram};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use super::batch::{BatchMessage, NotStored, begin_batch, stored_at};
use super::connection::{Connection, RequestError};
use super::get::{EXPECTED, Gets, Stored};
use super::group_commit::{self, Waiting};
use crate::event_log::{check_group, check_well_formed};
use crate::metric;
use crate::{AppendError, Appended, Topology};

/// Appends under way at once; beyond it writers wait here and not in the server's ingest queue.
const IN_FLIGHT_MAX: usize = 512;
/// Multi-stream decisions under way at once; a server allows fifty open batches per stream.
const GROUPS_IN_FLIGHT_MAX: usize = 16;
/// Most messages a server takes in one batch.
const GROUP_MAX: usize = 1_000;
/// Room left below the server's limit for headers, which count as well.
const HEADER_ROOM: usize = 2_048;
/// Commits of one stream looked through at a time.
const LOOK_UP_PAGE: usize = 64;
/// Pauses between tries while the log is unavailable.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Leads the batch id of a decision over several streams, which readers must not see in part.
pub(crate) const TOGETHER: &str = "t-";
/// Characters behind it, of 62 each: 59 bits. Two batches under way under one id would be taken for one, and each message of a
/// batch is stored with its id.
const BATCH_ID_CHARACTERS: usize = 10;

const WRONG_LAST_SEQUENCE: u64 = 10_071;
/// A rival on the same subject is still in flight, or wrote it earlier in the same batch.
const WRONG_LAST_SEQUENCE_UNKNOWN: u64 = 10_164;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A commit ready to be sent, as often as needed, always with the same ids.
#[derive(Clone, Debug)]
pub(crate) struct Sealed {
    pub(crate) subject: String,
    /// Number of the stream's last commit as the writer knows it.
    pub(crate) expected: u64,
    pub(crate) payload: Bytes,
    headers: HeaderMap,
    hash: CommitHash,
}

impl Sealed {
    fn stored_at(&self, sequence: u64) -> Appended {
        Appended { position: Position::new(sequence, self.hash), hash: self.hash, duplicate: false }
    }

    fn in_batch(&self) -> BatchMessage {
        let Self { subject, headers, payload, .. } = self.clone();
        BatchMessage { subject, headers, payload }
    }
}

/// The server's answer to a commit or a batch.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Stored at this sequence; of a batch, the last member's.
    Stored { sequence: u64 },
    /// The expectation failed.
    Stale,
    /// Refused for another reason.
    Refused(BoxError),
    /// Nobody knows.
    Unknown(BoxError),
}

/// Sends sealed commits over the append connection.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    connection: Connection,
    ack_timeout: Duration,
}

impl Sender {
    pub(crate) fn new(connection: Connection, ack_timeout: Duration) -> Self {
        Self { connection, ack_timeout }
    }

    /// Sends one commit alone.
    pub(crate) async fn send(&self, sealed: &Sealed) -> Outcome {
        self.ask(&sealed.subject, sealed.headers.clone(), sealed.payload.clone()).await
    }

    /// Sends several as one atomic batch; `kind` leads the batch id.
    pub(crate) async fn send_batch(&self, kind: &str, members: &[&Sealed]) -> Outcome {
        let client = self.connection.client();
        // Every try gets a batch id of its own: the server may still hold the open half of an earlier one.
        let token = client.new_inbox();
        let behind = token.len().saturating_sub(BATCH_ID_CHARACTERS);
        let batch_id = format!("{kind}{}", token.get(behind..).unwrap_or(&token));
        let losses = self.connection.losses();
        let members = members.iter().map(|member| member.in_batch()).collect();
        let BatchMessage { subject, headers, payload } = match begin_batch(client, &batch_id, members).await {
            Ok(Some(last)) => last,
            Ok(None) => return Outcome::Unknown("an empty batch".into()),
            Err(error) => return Outcome::Unknown(Box::new(error)),
        };
        let outcome = self.ask(&subject, headers, payload).await;
        if matches!(outcome, Outcome::Refused(_)) && self.connection.losses() > losses {
            // The end of the batch went over another connection than its beginning.
            return Outcome::Unknown("the connection was lost inside a batch".into());
        }
        outcome
    }

    async fn ask(&self, subject: &str, headers: HeaderMap, payload: Bytes) -> Outcome {
        let answer = match self.connection.ask(subject, Some(headers), payload, self.ack_timeout).await {
            Ok(answer) => answer,
            Err(error @ RequestError::Denied { .. }) => return Outcome::Refused(Box::new(error)),
            Err(error) => return Outcome::Unknown(Box::new(error)),
        };
        match stored_at(&answer.payload) {
            Ok(sequence) => Outcome::Stored { sequence },
            Err(NotStored::Refused { code: WRONG_LAST_SEQUENCE | WRONG_LAST_SEQUENCE_UNKNOWN, .. }) => {
                Outcome::Stale
            }
            Err(NotStored::Refused { code, description }) => {
                let subject = subject.to_owned();
                Outcome::Refused(Box::new(RequestError::Refused { subject, code, description }))
            }
            Err(error @ (NotStored::NoSequence | NotStored::Unreadable(_))) => {
                Outcome::Unknown(Box::new(error))
            }
        }
    }
}

/// The way commits of one stream each reach the server.
#[derive(Clone, Debug)]
enum Route {
    /// Every writer sends its own, side by side: the server flushes at its own pace.
    Single,
    /// One task shares a flush among all who wait.
    Grouped(mpsc::Sender<Waiting>),
}

/// Appends commits and makes every outcome certain.
#[derive(Debug)]
pub(crate) struct Appender {
    topology: Topology,
    sender: Sender,
    gets: Gets,
    route: Route,
    append_timeout: Duration,
    in_flight: Arc<Semaphore>,
    groups_in_flight: Arc<Semaphore>,
}

impl Appender {
    pub(crate) fn new(
        topology: Topology,
        sender: Sender,
        gets: Gets,
        grouped: bool,
        append_timeout: Duration,
    ) -> Self {
        let route = if grouped {
            Route::Grouped(group_commit::start(sender.clone(), IN_FLIGHT_MAX))
        } else {
            Route::Single
        };
        Self {
            topology,
            sender,
            gets,
            route,
            append_timeout,
            in_flight: Arc::new(Semaphore::new(IN_FLIGHT_MAX)),
            groups_in_flight: Arc::new(Semaphore::new(GROUPS_IN_FLIGHT_MAX)),
        }
    }

    /// Appends one commit.
    pub(crate) async fn append(&self, commit: &Commit) -> Result<Appended, AppendError> {
        let started = Instant::now();
        let sealed = self.seal(commit)?;
        let _permit = self.in_flight.acquire().await;
        let result = self.until_certain(commit, &sealed).await;
        observe(started, &result);
        result
    }

    async fn until_certain(&self, commit: &Commit, sealed: &Sealed) -> Result<Appended, AppendError> {
        let mut patience = Patience::new(self.append_timeout);
        let mut sent_blindly = false;
        loop {
            let trouble = match self.send(sealed).await {
                Outcome::Stored { sequence } => return Ok(sealed.stored_at(sequence)),
                Outcome::Stale => match patience.bound(self.find_mine(commit, sealed)).await {
                    Ok(Some(stored)) => return Ok(self.repeated(&stored, sealed, sent_blindly)),
                    Ok(None) => return Err(conflict(commit)),
                    Err(error) => Box::new(error) as BoxError,
                },
                Outcome::Refused(source) => {
                    return Err(AppendError::Unavailable { stream: commit.stream.clone(), source });
                }
                Outcome::Unknown(source) => {
                    sent_blindly = true;
                    counter!(metric::UNKNOWN_OUTCOMES).increment(1);
                    match patience.bound(self.find_mine(commit, sealed)).await {
                        Ok(Some(stored)) => return Ok(self.repeated(&stored, sealed, sent_blindly)),
                        Ok(None) | Err(_) => source,
                    }
                }
            };
            patience.wait(commit, trouble).await?;
        }
    }

    async fn send(&self, sealed: &Sealed) -> Outcome {
        let Route::Grouped(queue) = &self.route else { return self.sender.send(sealed).await };
        let (answer, outcome) = oneshot::channel();
        if queue.send(Waiting { sealed: sealed.clone(), answer }).await.is_err() {
            return Outcome::Unknown("the group commit has ended".into());
        }
        outcome.await.unwrap_or_else(|_| Outcome::Unknown("the group commit has ended".into()))
    }

    /// Appends commits of several streams, all or none.
    pub(crate) async fn append_together(&self, commits: &[Commit]) -> Result<Vec<Appended>, AppendError> {
        check_group(commits)?;
        match commits {
            [] => return Ok(Vec::new()),
            [alone] => return Ok(vec![self.append(alone).await?]),
            [first, ..] if commits.len() > GROUP_MAX => {
                let reason = "a group holds at most 1000 commits";
                return Err(AppendError::Invalid { stream: first.stream.clone(), reason });
            }
            _ => {}
        }
        let started = Instant::now();
        let sealed = commits.iter().map(|commit| self.seal(commit)).collect::<Result<Vec<_>, _>>()?;
        let _permit = self.groups_in_flight.acquire().await;
        let result = self.until_group_is_certain(commits, &sealed).await;
        observe(started, &result);
        result
    }

    async fn until_group_is_certain(
        &self,
        commits: &[Commit],
        sealed: &[Sealed],
    ) -> Result<Vec<Appended>, AppendError> {
        let mut patience = Patience::new(self.append_timeout);
        let mut sent_blindly = false;
        let members: Vec<&Sealed> = sealed.iter().collect();
        loop {
            let (refusal, trouble) = match self.sender.send_batch(TOGETHER, &members).await {
                Outcome::Stored { sequence } => {
                    let first = sequence + 1 - sealed.len() as u64;
                    return Ok((first..)
                        .zip(sealed)
                        .map(|(sequence, sealed)| sealed.stored_at(sequence))
                        .collect());
                }
                Outcome::Stale => (true, "the expectation failed".into()),
                Outcome::Refused(source) => {
                    return Err(AppendError::Unavailable { stream: commits[0].stream.clone(), source });
                }
                Outcome::Unknown(source) => {
                    sent_blindly = true;
                    counter!(metric::UNKNOWN_OUTCOMES).increment(1);
                    (false, source)
                }
            };
            let look_ups = commits.iter().zip(sealed).map(|(commit, sealed)| self.find_mine(commit, sealed));
            let mine = patience.bound(try_join_all(look_ups)).await;
            let trouble = match mine {
                Err(error) => Box::new(error) as BoxError,
                Ok(mine) => {
                    let stranger = mine.iter().position(Option::is_none);
                    match stranger {
                        None => {
                            let stored = mine.iter().flatten().zip(sealed);
                            return Ok(stored
                                .map(|(stored, sealed)| self.repeated(stored, sealed, sent_blindly))
                                .collect());
                        }
                        Some(_) if refusal => return Err(self.blame(commits, sealed).await),
                        Some(_) => trouble,
                    }
                }
            };
            patience.wait(&commits[0], trouble).await?;
        }
    }

    /// Names the member whose stream has moved on.
    async fn blame(&self, commits: &[Commit], sealed: &[Sealed]) -> AppendError {
        for (commit, sealed) in commits.iter().zip(sealed) {
            if let Ok(last) = self.gets.last(&sealed.subject).await
                && last.map_or(0, |last| last.sequence) != commit.previous.sequence()
            {
                return conflict(commit);
            }
        }
        conflict(&commits[0])
    }

    /// Largest stored text that the server takes beside the headers.
    pub(crate) fn commit_bytes_max(&self) -> usize {
        self.sender.connection.client().max_payload().saturating_sub(HEADER_ROOM)
    }

    fn seal(&self, commit: &Commit) -> Result<Sealed, AppendError> {
        check_well_formed(commit)?;
        let payload = commit.to_bytes().map_err(|_| AppendError::Invalid {
            stream: commit.stream.clone(),
            reason: "the commit cannot be written as JSON",
        })?;
        let limit_bytes = self.commit_bytes_max();
        if payload.len() > limit_bytes {
            return Err(AppendError::TooLarge {
                stream: commit.stream.clone(),
                size_bytes: payload.len(),
                limit_bytes,
            });
        }
        let mut headers = HeaderMap::new();
        // This refuses a repeat, too, so the server need not remember message ids.
        headers.insert(EXPECTED, commit.previous.sequence().to_string().as_str());
        Ok(Sealed {
            subject: self.topology.event_subject(&commit.stream),
            expected: commit.previous.sequence(),
            hash: CommitHash::of(&commit.stream.tokens(), &payload),
            payload: payload.into(),
            headers,
        })
    }

    /// A stored commit with our id. It counts as stored before, unless it is the very one we have just sent without
    /// hearing of it.
    fn repeated(&self, stored: &Stored, sealed: &Sealed, sent_blindly: bool) -> Appended {
        let hash = stored.hash(&self.topology);
        Appended {
            position: Position::new(stored.sequence, hash),
            hash,
            duplicate: !(sent_blindly && hash == sealed.hash),
        }
    }

    /// Looks for this very commit among those its stream got since it was decided.
    async fn find_mine(&self, commit: &Commit, sealed: &Sealed) -> Result<Option<Stored>, RequestError> {
        let is_mine = |stored: &Stored| {
            Commit::from_bytes(commit.stream.clone(), stored.expected, &stored.payload)
                .is_ok_and(|stored| stored.commit_id == commit.commit_id)
        };
        let mut after = commit.previous.sequence();
        loop {
            let page = self.gets.page(&sealed.subject, after, LOOK_UP_PAGE).await?;
            let Some(last) = page.last().map(|stored| stored.sequence) else { return Ok(None) };
            let is_end = page.len() < LOOK_UP_PAGE;
            if let Some(mine) = page.into_iter().find(is_mine) {
                return Ok(Some(mine));
            }
            if is_end {
                return Ok(None);
            }
            after = last;
        }
    }
}

fn conflict(commit: &Commit) -> AppendError {
    counter!(metric::CONFLICTS).increment(1);
    AppendError::Conflict { stream: commit.stream.clone() }
}

fn observe<T>(started: Instant, result: &Result<T, AppendError>) {
    let outcome = match result {
        Ok(_) => "stored",
        Err(AppendError::Conflict { .. }) => "conflict",
        Err(_) => "failed",
    };
    histogram!(metric::APPEND_SECONDS, "outcome" => outcome).record(started.elapsed().as_secs_f64());
}

/// Growing pauses up to a deadline.
struct Patience {
    deadline: Instant,
    pause: Duration,
}

impl Patience {
    fn new(total: Duration) -> Self {
        Self { deadline: Instant::now() + total, pause: PAUSES.0 }
    }

    /// Ends a look-up at the deadline.
    async fn bound<T>(
        &self,
        look_up: impl Future<Output = Result<T, RequestError>>,
    ) -> Result<T, RequestError> {
        match tokio::time::timeout_at(self.deadline, look_up).await {
            Ok(result) => result,
            Err(_) => Err(RequestError::TooLate),
        }
    }

    async fn wait(&mut self, commit: &Commit, source: BoxError) -> Result<(), AppendError> {
        if Instant::now() + self.pause >= self.deadline {
            return Err(AppendError::Unavailable { stream: commit.stream.clone(), source });
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSES.1);
        Ok(())
    }
}
