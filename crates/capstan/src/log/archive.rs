//! Archives the beginning of the log: carries every stream in it forward, declares it archived, and removes it.
//!
//! Each step may be repeated after an interruption. A stream that was carried forward is not carried again, and nothing is
//! removed before the last one is. What is written is weighed before the first step.

mod carry;
mod content;
mod limit;
mod notes;
pub(super) mod weight;

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use capstan_envelope::Position;
use capstan_eventlog::{Durability, EventLog, JetStreamLog};
use capstan_projections::ReadModels;
use chrono::{DateTime, TimeDelta, Utc};

use self::carry::{Carrier, ROWS_WAIT, TRIES_MAX};
use self::content::{Content, Memory};
use self::limit::{Limit, OpenTasks};
use self::weight::Weight;
use crate::output;

/// Interval at which nats-server flushes when it is told nothing.
const FLUSHED_EVERY: Duration = Duration::from_mins(2);

/// The last commit to archive.
#[derive(Clone, Copy, Debug)]
pub(super) enum Through {
    /// At most this number.
    Number(u64),
    /// This one, which the log must hold or have archived.
    Position(Position),
    /// The last one recorded before this time.
    Time(DateTime<Utc>),
}

impl FromStr for Through {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(time) = text.parse() {
            return Ok(Self::Time(time));
        }
        if let Ok(number) = text.parse() {
            return Ok(Self::Number(number));
        }
        let position: Position =
            text.parse().map_err(|_| "expected a position, a number or an RFC 3339 time")?;
        Ok(Self::Position(position))
    }
}

impl Through {
    /// Refuses a position of another log. One that is archived is known by its number alone.
    async fn check(self, log: &JetStreamLog, head: Position) -> anyhow::Result<()> {
        let Self::Position(position) = self else { return Ok(()) };
        if position.sequence() > log.archived().through && !log.holds(position).await? {
            bail!(
                "archive the log up to {position}: this log does not hold that position, it ends at {head}"
            );
        }
        Ok(())
    }
}

/// An archive that was asked for.
#[derive(Clone, Debug)]
pub(super) struct Archive {
    /// The last commit.
    pub(super) through: Through,
    /// Days of which everything stays.
    pub(super) keep_days: u32,
    /// Time after which what is acknowledged is flushed; by default as the server says.
    pub(super) flushed_after: Option<Duration>,
    /// Least number of bytes it must free for each that it writes.
    pub(super) min_ratio: f64,
    /// True when nothing is changed.
    pub(super) dry_run: bool,
    /// Bytes of memory.
    pub(super) memory_bytes: usize,
    /// Folder for what does not fit the memory.
    pub(super) directory: PathBuf,
}

impl Archive {
    /// Archives.
    pub(super) async fn run(self, log: &JetStreamLog, read_models: &ReadModels) -> anyhow::Result<()> {
        if !self.dry_run {
            // Before hours of work that would end here.
            log.may_archive().await.context("archive the log")?;
        }
        let head = log.head().await?;
        self.through.check(log, head).await?;
        read_models.wait_for(head, ROWS_WAIT).await.context("wait for the read models")?;
        let parked = read_models.parked(1).await?;
        ensure!(parked.is_empty(), "archive the log: a stream is parked; see capstan dlq list");
        let archived = log.archived();
        ensure!(
            !archived.forgets_streams(),
            "archive the log: its commits up to {} were archived by hand, and only those up to {} carried forward; what else \
             stood there would count as carried forward too",
            archived.through,
            archived.carried_through
        );
        let memory = Memory { bytes: self.memory_bytes, directory: self.directory.clone() };
        let carrier = Carrier::new(log, read_models, memory.carried());
        let (mut content, mut limit) = self.read(log, head, memory).await?;
        let open = OpenTasks::read(read_models, &content).await?;
        open.keep_tasks(&content, &mut limit)?;
        open.keep_configurations(&content, Some(read_models), &mut limit).await?;
        drop(open);
        if limit.through <= archived.through {
            return self.nothing(log, &limit).await;
        }
        let through = limit.through;
        let weight = Weight::of(&content, &carrier, through).await?;
        output::line(&format!("{weight}; the log would begin after {through} ({})", limit.reason))?;
        if self.dry_run {
            return Ok(());
        }
        weight.check(self.min_ratio)?;
        carry(&mut content, &carrier, through, log, read_models).await?;
        // The rows would otherwise stand before the beginning of the log after a crash of Postgres.
        read_models.flush().await.context("flush the read models")?;
        let flushed_after = self.flushed_after.unwrap_or_else(|| flushes_within(log.durability()));
        if !flushed_after.is_zero() {
            tracing::info!(seconds = flushed_after.as_secs_f64(), "waiting until the log is flushed");
            tokio::time::sleep(flushed_after).await;
        }
        // Agents changed since the first look, and tasks were accepted. Less may be removed than is carried forward.
        read_on(&mut content, log, read_models).await?;
        let open = OpenTasks::read(read_models, &content).await?;
        open.keep_configurations(&content, None, &mut limit).await?;
        if limit.through <= archived.through {
            return self.nothing(log, &limit).await;
        }
        log.archive(limit.through).await.context("archive the log")?;
        let Limit { through, reason } = limit;
        output::line(&format!(
            "{} streams carried forward; the log begins after {through} ({reason})",
            weight.streams
        ))
    }

    /// Reads the log up to `end`; answers also the last commit that is asked for and old enough, and why.
    async fn read(
        &self,
        log: &JetStreamLog,
        end: Position,
        memory: Memory,
    ) -> anyhow::Result<(Content, Limit)> {
        let kept_since = Utc::now() - TimeDelta::days(i64::from(self.keep_days));
        let kept_since = kept_since.date_naive().and_time(chrono::NaiveTime::MIN).and_utc();
        let kept_since = if self.keep_days == 0 { DateTime::<Utc>::MAX_UTC } else { kept_since };
        let (mut asked, mut old) = (0, 0);
        let content = Content::read(log, end, memory, |number, recorded_at| {
            let is_asked = match self.through {
                Through::Number(last) => number <= last,
                Through::Position(last) => number <= last.sequence(),
                Through::Time(time) => recorded_at < time,
            };
            if is_asked {
                asked = number;
            }
            if is_asked && recorded_at < kept_since {
                old = number;
            }
        });
        let content = content.await?;
        Ok((content, Limit::asked(asked, old, self.keep_days)))
    }

    /// Says why nothing is archived, once what an interrupted archive declared is removed.
    async fn nothing(&self, log: &JetStreamLog, limit: &Limit) -> anyhow::Result<()> {
        let through = log.archived().through;
        if through > 0 && !self.dry_run {
            log.archive(through).await.context("remove what is archived")?;
        }
        output::line(&format!("nothing to archive: {}", limit.reason))
    }
}

/// Carries every stream forward that begins up to `through`.
async fn carry(
    content: &mut Content,
    carrier: &Carrier<'_>,
    through: u64,
    log: &JetStreamLog,
    read_models: &ReadModels,
) -> anyhow::Result<()> {
    for bucket in 0..content.others.buckets() {
        let streams = content.streams(&content.others, bucket, 0)?;
        carrier.carry(&streams, through, content.end).await?;
    }
    // Agents whose accounts others changed meanwhile are carried again.
    for tries in 0.. {
        let mut count = 0;
        for bucket in 0..content.agents.buckets() {
            let streams = content.streams(&content.agents, bucket, 0)?;
            let waiting = streams.iter().find(|(_, seen)| seen.waits(through)).map(|(name, _)| name);
            if let Some(name) = waiting {
                ensure!(tries < TRIES_MAX, "archive the log: {name} is spent on all the time; archive again");
            }
            count += carrier.carry(&streams, through, content.end).await?;
        }
        if count == 0 {
            break;
        }
        read_on(content, log, read_models).await?;
    }
    Ok(())
}

/// Reads on to where the log ends now, once the rows stand there.
async fn read_on(content: &mut Content, log: &JetStreamLog, read_models: &ReadModels) -> anyhow::Result<()> {
    let end = log.head().await?;
    read_models.wait_for(end, ROWS_WAIT).await.context("wait for the read models")?;
    content.read_on(log, end).await
}

/// The time after which an acknowledged commit is flushed.
fn flushes_within(durability: Durability) -> Duration {
    match durability {
        Durability::Always => Duration::ZERO,
        // A flush that is under way may have begun before the commit.
        Durability::Interval(every) => 2 * every,
        Durability::SomeInterval | Durability::Unknown => 2 * FLUSHED_EVERY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_a_number_a_position_or_a_time() {
        assert!(matches!("17".parse(), Ok(Through::Number(17))));
        let position = "0-17-0a0b0c0d".parse();
        assert!(matches!(position, Ok(Through::Position(last)) if last.sequence() == 17));
        assert!(matches!("2026-01-02T03:04:05Z".parse(), Ok(Through::Time(_))));
        assert!("yesterday".parse::<Through>().is_err());
    }
}
