//! Follows the log: decodes commits while the reader works on the batch before.
//!
//! A task of its own per tail receives, checks and decodes, so that a slow reader finds one large batch and a fast
//! one finds each commit as it comes. It never lets a reader see part of a decision over several streams.

use std::time::Duration;

use async_nats::HeaderName;
use async_nats::header::{NATS_BATCH_COMMIT, NATS_BATCH_ID};
use async_trait::async_trait;
use capstan_envelope::Position;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::append::TOGETHER;
use super::assembly::Assembly;
use super::cursor::{Cursor, Delivered, Event, Followed, unavailable};
use super::get::{Gets, expected_in};
use super::streams::status;
use crate::{Difference, RawCommit, ReadError, Tail, TailBatch, TailSource, Topology};

/// Most commits of one batch.
const BATCH_MAX: usize = 5_000;
/// Bytes of them from which on no further one is added.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Shortest and longest interval at which an idle filtered reader learns the position of the whole log.
const PROGRESS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Opens a tail; refuses at once what it could only wait for in vain.
pub(crate) async fn follow(
    followed: Followed,
    gets: Gets,
    topology: Topology,
    after: Position,
) -> Result<Tail, ReadError> {
    let mut cursor = Cursor::new(followed.clone(), after.sequence());
    let opened = cursor.open().await?;
    let mut task = Follower {
        cursor,
        followed,
        gets,
        topology,
        assembly: Assembly::after(after),
        bytes: 0,
        progress_at: Instant::now() + PROGRESS.0,
        progress_pause: PROGRESS.0,
    };
    task.take(opened).await?;
    let (sender, batches) = mpsc::channel(1);
    tokio::spawn(task.run(sender));
    Ok(Tail::new(JetStreamTail { batches, ended: None }))
}

/// The reader's end.
struct JetStreamTail {
    batches: mpsc::Receiver<Result<TailBatch, ReadError>>,
    /// An end that asking again does not change.
    ended: Option<Ended>,
}

#[derive(Clone, Copy)]
enum Ended {
    Diverged { after: u64, difference: Difference },
    Corrupt { position: Position },
}

#[async_trait]
impl TailSource for JetStreamTail {
    async fn next(&mut self) -> Result<TailBatch, ReadError> {
        let next = self.batches.recv().await;
        match &next {
            Some(Err(ReadError::Diverged { after, difference })) => {
                self.ended = Some(Ended::Diverged { after: *after, difference: *difference });
            }
            Some(Err(ReadError::Corrupt { position, .. })) => {
                self.ended = Some(Ended::Corrupt { position: *position });
            }
            _ => {}
        }
        match next {
            Some(next) => next,
            None => match self.ended {
                Some(Ended::Diverged { after, difference }) => Err(ReadError::Diverged { after, difference }),
                Some(Ended::Corrupt { position }) => {
                    Err(ReadError::Corrupt { position, source: "it was reported before".into() })
                }
                None => Err(unavailable("the tail has ended")),
            },
        }
    }
}

/// The working end.
struct Follower {
    cursor: Cursor,
    followed: Followed,
    gets: Gets,
    topology: Topology,
    assembly: Assembly,
    /// Bytes of the commits that were not handed out.
    bytes: usize,
    progress_at: Instant,
    progress_pause: Duration,
}

/// The events a follower waits for.
#[expect(clippy::large_enum_variant, reason = "one lives at a time, on the stack, for a moment")]
enum Happening<'a> {
    Wanted(mpsc::Permit<'a, Result<TailBatch, ReadError>>),
    Arrived(Result<Event, ReadError>),
    Idle,
    Abandoned,
}

impl Follower {
    async fn run(mut self, reader: mpsc::Sender<Result<TailBatch, ReadError>>) {
        let mut was_full = false;
        loop {
            let is_full = self.is_full();
            if was_full && !is_full {
                self.cursor.was_paused();
            }
            was_full = is_full;
            let has_news = self.assembly.has_news();
            let tells_progress = self.followed.filter.is_some()
                && self.assembly.is_caught_up()
                && !has_news
                && self.cursor.is_open();
            let happening = tokio::select! {
                biased;
                () = reader.closed() => Happening::Abandoned,
                permit = reader.reserve(), if has_news => permit.map_or(Happening::Abandoned, Happening::Wanted),
                arrived = self.cursor.next(), if !is_full => Happening::Arrived(arrived),
                () = tokio::time::sleep_until(self.progress_at), if tells_progress => Happening::Idle,
            };
            let result = match happening {
                Happening::Wanted(permit) => {
                    permit.send(Ok(self.hand_out()));
                    Ok(())
                }
                Happening::Arrived(Ok(event)) => self.take(event).await.and_then(|()| self.take_arrived()),
                Happening::Arrived(Err(error)) => Err(error),
                Happening::Idle => {
                    self.look_for_progress().await;
                    Ok(())
                }
                Happening::Abandoned => break,
            };
            if let Err(error) = result {
                // What was read before the failure is still good.
                if self.assembly.ready_len() > 0 && reader.send(Ok(self.hand_out())).await.is_err() {
                    break;
                }
                let is_final = !error.is_retryable();
                if reader.send(Err(error)).await.is_err() || is_final {
                    break;
                }
                self.start_over();
            }
        }
        self.cursor.close().await;
    }

    /// True when what is ready should be handed out before more is read.
    fn is_full(&self) -> bool {
        let ready = self.assembly.ready_len();
        ready >= BATCH_MAX || (ready > 0 && self.bytes >= BATCH_BYTES_MAX)
    }

    fn hand_out(&mut self) -> TailBatch {
        self.bytes = 0;
        self.assembly.hand_out()
    }

    fn start_over(&mut self) {
        self.assembly.drop_held();
        self.cursor.rewind(self.assembly.position().sequence());
    }

    /// Takes what has already arrived, so that a batch is as large as the reader is slow.
    fn take_arrived(&mut self) -> Result<(), ReadError> {
        while !self.is_full() {
            let Some(delivered) = self.cursor.next_ready() else { break };
            self.take_message(&delivered)?;
        }
        Ok(())
    }

    async fn take(&mut self, event: Event) -> Result<(), ReadError> {
        match event {
            Event::Message(delivered) => return self.take_message(&delivered),
            // The new consumer continues behind what is held, but it is safer to hear the decision whole.
            Event::Opened { .. } if self.assembly.is_holding() => self.start_over(),
            Event::Opened { live_at } => {
                self.check_history().await?;
                if let Some(live_at) = live_at {
                    let position = self.position_of(live_at).await?;
                    self.assembly.take_progress(position);
                }
            }
        }
        Ok(())
    }

    /// Compares the commit where the reader stands with the log's. Identity and numbers do not show a log that was
    /// restored to an older state and has outgrown the reader since; the hash does.
    async fn check_history(&self) -> Result<(), ReadError> {
        let here = self.assembly.position();
        if here == Position::START || self.stored_position(here.sequence()).await? == Some(here) {
            return Ok(());
        }
        Err(ReadError::Diverged { after: here.sequence(), difference: Difference::OtherCommit })
    }

    /// The position of the commit with this number, which the server has just named.
    async fn position_of(&self, sequence: u64) -> Result<Position, ReadError> {
        let here = self.assembly.position();
        if sequence == here.sequence() {
            return Ok(here);
        }
        self.stored_position(sequence).await?.ok_or_else(|| unavailable("the log's last commit is not there"))
    }

    async fn stored_position(&self, sequence: u64) -> Result<Option<Position>, ReadError> {
        Ok(self.gets.at(sequence).await.map_err(unavailable)?.map(|stored| stored.position(&self.topology)))
    }

    fn take_message(&mut self, delivered: &Delivered) -> Result<(), ReadError> {
        let Delivered { sequence, recorded_at, pending, message } = delivered;
        let after = self.assembly.received().sequence();
        let is_next =
            *sequence == after + 1 || (after == 0 && *sequence <= self.cursor.archived_through() + 1);
        if self.followed.is_gapless && self.followed.filter.is_none() && !is_next {
            // The consumer counted without a gap, so the log itself lost what is missing.
            let difference = Difference::CommitsMissing { before: *sequence };
            return Err(ReadError::Diverged { after, difference });
        }
        let stored = RawCommit {
            sequence: *sequence,
            recorded_at: *recorded_at,
            stream: self.topology.stream_tokens(&message.subject),
            expected: expected_in(message.headers.as_ref()),
            payload: &message.payload,
        };
        let recorded = stored.decode()?;
        let header = |name: HeaderName| message.headers.as_ref().and_then(|headers| headers.get(name));
        let is_part = header(NATS_BATCH_ID).is_some_and(|id| id.as_str().starts_with(TOGETHER));
        // A reader of one stream gets one commit of each decision, so there is nothing to wait for.
        let is_open = is_part && header(NATS_BATCH_COMMIT).is_none() && !self.reads_one_stream();
        self.bytes += message.payload.len();
        self.assembly.take(recorded, is_open, *pending == 0);
        self.progress_pause = PROGRESS.0;
        self.progress_at = Instant::now() + PROGRESS.0;
        Ok(())
    }

    fn reads_one_stream(&self) -> bool {
        self.followed.filter.as_ref().is_some_and(|filter| !filter.ends_with('>'))
    }

    /// Moves an idle filtered reader over commits that are not selected.
    async fn look_for_progress(&mut self) {
        let Some(filter) = &self.followed.filter else { return };
        let here = self.assembly.received().sequence();
        // First the head, then the look behind us: a selected commit up to that head would be found.
        let head = status(&self.followed.connection, &self.followed.stream).await;
        let next = self.gets.next(filter, here).await;
        let reached = match (head, next) {
            (Ok(head), Ok(None)) if head.last > here => self.position_of(head.last).await.ok(),
            _ => None,
        };
        match reached {
            Some(position) => {
                self.assembly.take_progress(position);
                self.progress_pause = PROGRESS.0;
            }
            None => self.progress_pause = (self.progress_pause * 2).min(PROGRESS.1),
        }
        self.progress_at = Instant::now() + self.progress_pause;
    }
}
