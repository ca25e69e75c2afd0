//! A reader's own place in a stream, over consumers that may vanish at any time.
//!
//! The consumer on the server is disposable: ephemeral, without acknowledgements, created from *our* position and
//! created anew from it on any doubt. Doubt is silence beyond the heartbeat, a lost connection, a consumer sequence
//! that skips, any status we do not know. The client library's ordered consumer is not used, because it restarts
//! at the beginning when it is recreated before its first delivery.

use std::time::Duration;

use async_nats::{Message, Subscriber};
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::connection::{Connection, RequestError};
use super::streams::{StreamStatus, status};
use crate::metric;
use crate::{Difference, LogIdentity, ReadError};

/// Messages asked for at a time; a second request goes out when half of them have come.
const PULL_MESSAGES: usize = 4_096;
/// Most bytes asked for at a time, more than any message has; two requests stay below what makes the server drop a slow
/// connection.
const PULL_BYTES: usize = 16 << 20;
/// Fewest bytes asked for at a time.
const PULL_BYTES_MIN: usize = 256 << 10;
/// Lifetime of one pull request.
const PULL_EXPIRES: Duration = Duration::from_secs(30);
/// Interval of an idle server's heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Silence after which the consumer is given up.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// Time after which the server removes a consumer without requests.
const INACTIVE_THRESHOLD: Duration = Duration::from_mins(1);
/// Time limit of one call of [`Cursor::next`] for getting a consumer; after it, the log is reported as unavailable.
const RECOVERY_MAX: Duration = Duration::from_secs(10);
/// Pauses between such tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// Error code of a stream that does not exist.
const STREAM_NOT_FOUND: u64 = 10_059;

/// The commits a cursor follows.
#[derive(Debug, Clone)]
pub(crate) struct Followed {
    pub(crate) connection: Connection,
    pub(crate) stream: String,
    /// `None` takes every message.
    pub(crate) filter: Option<String>,
    /// Every sequence must be there: nothing is ever removed from this stream.
    pub(crate) is_gapless: bool,
}

/// A message with its place.
#[derive(Debug)]
pub(crate) struct Delivered {
    /// Its number in the stream.
    pub(crate) sequence: u64,
    pub(crate) recorded_at: DateTime<Utc>,
    /// Selected messages behind this one, as far as the server knew.
    pub(crate) pending: u64,
    pub(crate) message: Message,
}

/// One thing that happened to a reader.
#[derive(Debug)]
pub(crate) enum Event {
    /// A message, in order.
    Message(Delivered),
    /// A consumer was created from our position; nothing was selected behind it when `live_at` is given.
    Opened { live_at: Option<u64> },
}

/// A reader's place and its current consumer.
#[derive(Debug)]
pub(crate) struct Cursor {
    followed: Followed,
    /// Number of the last message handed out.
    sequence: u64,
    /// Set at the first opening; another one later means that the stream was replaced.
    identity: Option<LogIdentity>,
    /// Number of the last message that was archived.
    archived_through: u64,
    /// Bytes asked for at a time. They grow when a message does not fit.
    pull_bytes: usize,
    session: Option<Session>,
}

#[derive(Debug)]
struct Session {
    consumer: String,
    /// Subject on which the consumer is asked for messages.
    pulls: String,
    inbox: String,
    messages: Subscriber,
    /// Losses of the connection when it was opened.
    losses: u64,
    /// Denied publications of the connection when it was opened.
    denials: u64,
    /// Messages asked for that have not come yet.
    outstanding: usize,
    /// True when no message came since a request ended.
    is_starved: bool,
    /// The consumer's own count, dense by contract.
    consumer_sequence: u64,
    heard_at: Instant,
}

/// The reasons a consumer is not trusted any longer.
#[derive(Debug, thiserror::Error)]
enum Doubt {
    #[error("the consumer sent nothing for too long")]
    Silence,
    #[error("the connection was lost")]
    ConnectionLost,
    #[error("the consumer skipped from message {expected} to {got}")]
    Gap { expected: u64, got: u64 },
    #[error("the server answered {code} {description}")]
    Status { code: u16, description: String },
    #[error("a message has no sequence number")]
    Unreadable,
    #[error("the user may not read")]
    Denied(#[source] RequestError),
}

impl Cursor {
    /// A cursor after the message with this number. Opening it is left to the first [`Cursor::next`], or to [`Cursor::open`].
    pub(crate) fn new(followed: Followed, sequence: u64) -> Self {
        let pull_bytes = PULL_BYTES;
        Self { followed, sequence, identity: None, archived_through: 0, pull_bytes, session: None }
    }

    /// The same with so many bytes asked for at a time; two requests are under way at once.
    pub(crate) fn pulling(self, bytes: usize) -> Self {
        Self { pull_bytes: bytes.clamp(PULL_BYTES_MIN, PULL_BYTES), ..self }
    }

    /// Number of the last message handed out.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Number of the last message that was archived, as of the last opening.
    pub(crate) fn archived_through(&self) -> u64 {
        self.archived_through
    }

    /// True when a reader from the beginning finds this message first: those before it were archived. A reader that stands
    /// among the archived ones has missed some.
    pub(crate) fn may_begin_at(&self, first: u64) -> bool {
        self.sequence == 0 && first <= self.archived_through.saturating_add(1)
    }

    /// Goes back to the message with this number: later ones were not used.
    pub(crate) fn rewind(&mut self, sequence: u64) {
        self.sequence = sequence;
        self.session = None;
    }

    /// Creates a consumer from our position; refuses a stream that cannot continue it.
    pub(crate) async fn open(&mut self) -> Result<Event, ReadError> {
        let before = self.check_stream().await?;
        let session_and_pending = self.create_consumer().await?;
        // The stream may have been replaced between the check and the creation.
        self.check_stream().await?;
        let (session, pending) = session_and_pending;
        self.session = Some(session);
        let live_at = (pending == 0).then(|| before.last.max(self.sequence));
        Ok(Event::Opened { live_at })
    }

    async fn check_stream(&mut self) -> Result<StreamStatus, ReadError> {
        let Followed { connection, stream, is_gapless, .. } = &self.followed;
        let after = self.sequence;
        let status = match status(connection, stream).await {
            Ok(status) => status,
            Err(RequestError::Refused { code: STREAM_NOT_FOUND, .. }) => {
                return Err(ReadError::Diverged { after, difference: Difference::EndsAt(0) });
            }
            Err(error) => return Err(unavailable(error)),
        };
        let remembered = self.identity.get_or_insert_with(|| status.identity.clone());
        let is_replaced = *remembered != status.identity;
        // A consumer beyond the end would be accepted and wait in silence until the old number is reached.
        let is_beyond = after > status.last;
        self.archived_through = status.archived.through;
        let next = after.saturating_add(1);
        let lost_beginning = *is_gapless && status.first > next && !self.may_begin_at(status.first);
        let difference = if is_replaced {
            Difference::Replaced
        } else if is_beyond {
            Difference::EndsAt(status.last)
        } else if lost_beginning {
            Difference::CommitsMissing { before: status.first }
        } else {
            return Ok(status);
        };
        Err(ReadError::Diverged { after, difference })
    }

    async fn create_consumer(&self) -> Result<(Session, u64), ReadError> {
        #[derive(Deserialize)]
        struct Created {
            name: String,
            #[serde(default)]
            num_pending: u64,
        }
        let Followed { connection, stream, filter, .. } = &self.followed;
        let client = connection.client();
        let (losses, denials) = (connection.losses(), connection.denials());
        let inbox = client.new_inbox();
        let messages = client.subscribe(inbox.clone()).await.map_err(unavailable)?;
        let name = format!("tail-{}", inbox.rsplit('.').next().unwrap_or_default());
        let mut config = json!({
            "name": name,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self.sequence.saturating_add(1),
            "ack_policy": "none",
            "replay_policy": "instant",
            "mem_storage": true,
            "num_replicas": 1,
            "inactive_threshold": INACTIVE_THRESHOLD.as_nanos() as u64,
        });
        let mut endpoint = format!("CONSUMER.CREATE.{stream}.{name}");
        if let Some(filter) = filter {
            config["filter_subject"] = json!(filter);
            endpoint = format!("{endpoint}.{filter}");
        }
        let question = json!({ "stream_name": stream, "config": config, "action": "create" });
        let created: Created = connection.call(&endpoint, &question).await.map_err(unavailable)?;
        let session = Session {
            pulls: format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{}", created.name),
            consumer: created.name,
            inbox,
            messages,
            losses,
            denials,
            outstanding: 0,
            is_starved: false,
            consumer_sequence: 0,
            heard_at: Instant::now(),
        };
        Ok((session, created.num_pending))
    }

    /// Waits for the next message or a new opening. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Event, ReadError> {
        loop {
            if self.session.is_none() {
                return self.recover().await;
            }
            match self.receive().await {
                Ok(Some(delivered)) => return Ok(Event::Message(delivered)),
                Ok(None) => {}
                Err(Doubt::Denied(error)) => {
                    self.session = None;
                    return Err(unavailable(error));
                }
                Err(doubt) => self.give_up(&doubt),
            }
        }
    }

    /// The next message if it has already arrived.
    pub(crate) fn next_ready(&mut self) -> Option<Delivered> {
        use futures_util::FutureExt;
        loop {
            let session = self.session.as_mut()?;
            if session.outstanding < PULL_MESSAGES / 2 {
                return None;
            }
            let message = session.messages.next().now_or_never()??;
            match self.accept(message) {
                Ok(Some(delivered)) => return Some(delivered),
                Ok(None) => {}
                Err(doubt) => {
                    self.give_up(&doubt);
                    return None;
                }
            }
        }
    }

    /// False while a new consumer is needed.
    pub(crate) fn is_open(&self) -> bool {
        self.session.is_some()
    }

    /// Tells the cursor that its owner did not listen for a while on purpose.
    pub(crate) fn was_paused(&mut self) {
        if let Some(session) = &mut self.session {
            session.heard_at = Instant::now();
        }
    }

    /// Lets the server forget the consumer at once.
    pub(crate) async fn close(&mut self) {
        let Some(session) = self.session.take() else { return };
        let endpoint = format!("CONSUMER.DELETE.{}.{}", self.followed.stream, session.consumer);
        let nothing = json!({});
        let gone = self.followed.connection.call::<serde_json::Value>(&endpoint, &nothing);
        // If this does not work out, the server forgets it by itself a little later.
        let _ = tokio::time::timeout(Duration::from_secs(2), gone).await;
    }

    fn give_up(&mut self, doubt: &Doubt) {
        tracing::debug!(
            log.sequence = self.sequence, log.stream = %self.followed.stream, doubt = %doubt,
            "the consumer is given up and created anew from our position"
        );
        metrics::counter!(metric::CONSUMER_RECREATIONS).increment(1);
        self.session = None;
    }

    async fn recover(&mut self) -> Result<Event, ReadError> {
        let deadline = Instant::now() + RECOVERY_MAX;
        let mut pause = PAUSES.0;
        loop {
            let opened = tokio::time::timeout_at(deadline, self.open()).await;
            match opened {
                Ok(Ok(event)) => return Ok(event),
                Ok(Err(error)) if !error.is_retryable() || Instant::now() + pause >= deadline => {
                    return Err(error);
                }
                Ok(Err(_)) => tokio::time::sleep(pause).await,
                Err(elapsed) => return Err(unavailable(elapsed)),
            }
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    async fn receive(&mut self) -> Result<Option<Delivered>, Doubt> {
        let Some(session) = &mut self.session else { return Ok(None) };
        if session.outstanding < PULL_MESSAGES / 2 {
            let question = json!({
                "batch": PULL_MESSAGES,
                "max_bytes": self.pull_bytes,
                "expires": PULL_EXPIRES.as_nanos() as u64,
                "idle_heartbeat": HEARTBEAT.as_nanos() as u64,
            });
            // Counted first: if this call is dropped while sending, too few are asked for, never too many.
            session.outstanding += PULL_MESSAGES;
            let client = self.followed.connection.client();
            let sent = client
                .publish_with_reply(session.pulls.clone(), session.inbox.clone(), question.to_string().into())
                .await;
            if sent.is_err() {
                return Err(Doubt::ConnectionLost);
            }
        }
        let message = tokio::select! {
            biased;
            message = session.messages.next() => message,
            denied = self.followed.connection.denied_since(session.denials, &session.pulls) => return Err(Doubt::Denied(denied)),
            () = self.followed.connection.lost_since(session.losses) => return Err(Doubt::ConnectionLost),
            () = tokio::time::sleep_until(session.heard_at + SILENCE_MAX) => return Err(Doubt::Silence),
        };
        self.accept(message.ok_or(Doubt::ConnectionLost)?)
    }

    /// Judges one message of the consumer; `None` for news that are not messages.
    fn accept(&mut self, message: Message) -> Result<Option<Delivered>, Doubt> {
        let Some(session) = &mut self.session else { return Ok(None) };
        session.heard_at = Instant::now();
        if let Some(status) = message.status {
            let heard = session.hear(status.as_u16(), &message)?;
            if heard == Heard::TooLarge {
                // Nothing fitted the whole request: the next message is larger.
                if std::mem::replace(&mut session.is_starved, true) {
                    self.pull_bytes = (self.pull_bytes * 2).min(PULL_BYTES);
                }
            }
            return Ok(None);
        }
        session.is_starved = false;
        let place = message.reply.as_ref().and_then(|reply| Place::read(reply)).ok_or(Doubt::Unreadable)?;
        session.outstanding = session.outstanding.saturating_sub(1);
        session.consumer_sequence += 1;
        if place.consumer_sequence != session.consumer_sequence {
            return Err(Doubt::Gap { expected: session.consumer_sequence, got: place.consumer_sequence });
        }
        let sequence = place.stream_sequence;
        if sequence <= self.sequence {
            return Err(Doubt::Gap { expected: self.sequence.saturating_add(1), got: sequence });
        }
        self.sequence = sequence;
        Ok(Some(Delivered { sequence, recorded_at: place.recorded_at, pending: place.pending, message }))
    }
}

impl Session {
    fn hear(&mut self, code: u16, message: &Message) -> Result<Heard, Doubt> {
        let number = |name: &str| -> Option<u64> {
            message.headers.as_ref().and_then(|headers| headers.get(name))?.as_str().parse().ok()
        };
        let description = message.description.as_deref().unwrap_or_default();
        match code {
            // A heartbeat says how far the consumer has delivered: more than we got means that some were lost.
            100 => match number("Nats-Last-Consumer") {
                Some(delivered) if delivered > self.consumer_sequence => {
                    Err(Doubt::Gap { expected: self.consumer_sequence + 1, got: delivered })
                }
                _ => Ok(Heard::News),
            },
            // The request has ended: by time, or because it was full.
            408 | 404 => {
                self.outstanding = self.outstanding.saturating_sub(rest(number("Nats-Pending-Messages")));
                Ok(Heard::News)
            }
            409 if description.eq_ignore_ascii_case("Message Size Exceeds MaxBytes") => {
                self.outstanding = self.outstanding.saturating_sub(rest(number("Nats-Pending-Messages")));
                Ok(Heard::TooLarge)
            }
            409 if description.eq_ignore_ascii_case("Batch Completed") => {
                self.outstanding = self.outstanding.saturating_sub(rest(number("Nats-Pending-Messages")));
                Ok(Heard::News)
            }
            _ => Err(Doubt::Status { code, description: description.to_owned() }),
        }
    }
}

/// What a status message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    /// That the consumer lives, or that a request has ended.
    News,
    /// That a request has ended because the next message does not fit what is left of its bytes.
    TooLarge,
}

/// Number of messages an ended request did not deliver; without the number, all of them.
fn rest(pending: Option<u64>) -> usize {
    pending.map_or(PULL_MESSAGES, |pending| usize::try_from(pending).unwrap_or(PULL_MESSAGES))
}

/// The place a delivered message states in its reply subject.
#[derive(Debug, PartialEq)]
struct Place {
    stream_sequence: u64,
    consumer_sequence: u64,
    recorded_at: DateTime<Utc>,
    pending: u64,
}

impl Place {
    /// Reads `$JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<tries>.<stream seq>.<consumer seq>.<time>.<pending>`.
    fn read(reply: &str) -> Option<Self> {
        let mut tokens = [""; 10];
        let mut count = 0;
        for token in reply.strip_prefix("$JS.ACK.")?.split('.').take(tokens.len()) {
            tokens[count] = token;
            count += 1;
        }
        let numbers = match count {
            7 => &tokens[3..7],
            9.. => &tokens[5..9],
            _ => return None,
        };
        Some(Self {
            stream_sequence: numbers[0].parse().ok()?,
            consumer_sequence: numbers[1].parse().ok()?,
            recorded_at: DateTime::from_timestamp_nanos(numbers[2].parse().ok()?),
            pending: numbers[3].parse().ok()?,
        })
    }
}

pub(crate) fn unavailable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ReadError {
    ReadError::Unavailable { source: error.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_place_are_read() {
        let place = Place {
            stream_sequence: 17,
            consumer_sequence: 4,
            recorded_at: DateTime::from_timestamp_nanos(1_700_000_000_000_000_001),
            pending: 9,
        };
        let short = "$JS.ACK.LOG.c1.1.17.4.1700000000000000001.9";
        let long = "$JS.ACK._.hash.LOG.c1.1.17.4.1700000000000000001.9.token";
        assert_eq!(Place::read(short).as_ref(), Some(&place));
        assert_eq!(Place::read(long).as_ref(), Some(&place));
        assert_eq!(Place::read("$JS.ACK.LOG.c1.1"), None);
        assert_eq!(Place::read("_INBOX.x"), None);
    }
}
