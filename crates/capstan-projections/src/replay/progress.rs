//! The progress of a replay.

use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::config::OnReplay;

/// Interval at which the progress is told.
const TELL_EVERY: Duration = Duration::from_millis(250);
/// Interval at which it is logged.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// A step of a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayStep {
    /// The log is read and put aside.
    Reading,
    /// Its buckets are folded, and their rows copied or compared.
    Folding,
    /// The last tables get their keys and indexes.
    Indexing,
    /// What was appended meanwhile is folded, and the tables are switched.
    CatchingUp,
}

/// How far a replay is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayProgress {
    /// The current step.
    pub step: ReplayStep,
    /// Commits read.
    pub commits: u64,
    /// Commits to read.
    pub commits_total: u64,
    /// Bytes of commits in the file.
    pub spilled_bytes: u64,
    /// Buckets folded.
    pub buckets: u64,
    /// Buckets to fold; grows where one is split.
    pub buckets_total: u64,
    /// Rows copied or compared.
    pub rows: u64,
    /// Tables with keys and indexes.
    pub tables: u64,
    /// Tables to fill.
    pub tables_total: u64,
}

impl fmt::Display for ReplayProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = (self.commits * 100).checked_div(self.commits_total).unwrap_or(100);
        match self.step {
            ReplayStep::Reading => {
                write!(f, "read {percent} % of {} commits", self.commits_total)?;
                if self.spilled_bytes > 0 {
                    write!(f, ", {} MB on disk", self.spilled_bytes / 1_000_000)?;
                }
                Ok(())
            }
            ReplayStep::Folding => {
                write!(f, "folded {} of {} buckets, {} rows", self.buckets, self.buckets_total, self.rows)
            }
            ReplayStep::Indexing => {
                write!(f, "{} rows, indexed {} of {} tables", self.rows, self.tables, self.tables_total)
            }
            ReplayStep::CatchingUp => write!(f, "{} rows, catching up", self.rows),
        }
    }
}

/// Counts the progress and tells it.
pub(crate) struct Meter {
    listener: Option<OnReplay>,
    began: Instant,
    /// Milliseconds since the beginning at which it is told and logged next.
    tell_at: AtomicU64,
    log_at: AtomicU64,
    step: AtomicU8,
    commits: AtomicU64,
    commits_total: AtomicU64,
    spilled: AtomicU64,
    buckets: AtomicU64,
    buckets_total: AtomicU64,
    rows: AtomicU64,
    tables: AtomicU64,
    tables_total: AtomicU64,
}

const STEPS: [ReplayStep; 4] =
    [ReplayStep::Reading, ReplayStep::Folding, ReplayStep::Indexing, ReplayStep::CatchingUp];

impl Meter {
    /// Nothing done yet.
    pub(crate) fn new(listener: Option<OnReplay>) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            listener,
            began: Instant::now(),
            tell_at: zero(),
            log_at: AtomicU64::new(LOG_EVERY.as_millis() as u64),
            step: AtomicU8::new(0),
            commits: zero(),
            commits_total: zero(),
            spilled: zero(),
            buckets: zero(),
            buckets_total: zero(),
            rows: zero(),
            tables: zero(),
            tables_total: zero(),
        }
    }

    /// Time since the beginning.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn begin_reading(&self, commits: u64) {
        self.commits_total.store(commits, Ordering::Relaxed);
        self.begin(ReplayStep::Reading);
    }

    pub(crate) fn begin_folding(&self, buckets: usize, tables: usize) {
        for (counter, value) in [
            (&self.buckets, 0),
            (&self.buckets_total, buckets as u64),
            (&self.rows, 0),
            (&self.tables, 0),
            (&self.tables_total, tables as u64),
        ] {
            counter.store(value, Ordering::Relaxed);
        }
        self.begin(ReplayStep::Folding);
    }

    /// Begins a step, and tells so at once.
    pub(crate) fn begin(&self, step: ReplayStep) {
        self.step.store(step as u8, Ordering::Relaxed);
        self.tell_at.store(0, Ordering::Relaxed);
        self.tell();
    }

    pub(crate) fn read(&self, commits: u64, spilled: u64) {
        self.commits.fetch_add(commits, Ordering::Relaxed);
        self.spilled.store(spilled, Ordering::Relaxed);
        self.tell();
    }

    pub(crate) fn split(&self, into: usize) {
        self.buckets_total.fetch_add(into as u64, Ordering::Relaxed);
        self.folded();
    }

    pub(crate) fn folded(&self) {
        self.buckets.fetch_add(1, Ordering::Relaxed);
        self.tell();
    }

    pub(crate) fn rows(&self, rows: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.tell();
    }

    pub(crate) fn indexed(&self) {
        self.tables.fetch_add(1, Ordering::Relaxed);
        self.tell();
    }

    /// The counts so far.
    pub(crate) fn progress(&self) -> ReplayProgress {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ReplayProgress {
            step: STEPS[usize::from(self.step.load(Ordering::Relaxed))],
            commits: of(&self.commits),
            commits_total: of(&self.commits_total),
            spilled_bytes: of(&self.spilled),
            buckets: of(&self.buckets),
            buckets_total: of(&self.buckets_total),
            rows: of(&self.rows),
            tables: of(&self.tables),
            tables_total: of(&self.tables_total),
        }
    }

    fn tell(&self) {
        let now = self.began.elapsed().as_millis() as u64;
        if let Some(listener) = &self.listener
            && is_due(&self.tell_at, now, TELL_EVERY)
        {
            listener(&self.progress());
        }
        if is_due(&self.log_at, now, LOG_EVERY) {
            tracing::info!(progress = %self.progress(), "replaying the log");
        }
    }
}

/// True for one of the callers after each interval.
fn is_due(at: &AtomicU64, now: u64, every: Duration) -> bool {
    let due = at.load(Ordering::Relaxed);
    let next = now + every.as_millis() as u64;
    now >= due && at.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn each_step_is_told_when_it_begins_and_counts_in_its_own_words() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let listener = Arc::clone(&told);
        let meter = Meter::new(Some(Arc::new(move |progress: &ReplayProgress| {
            listener.lock().unwrap().push(progress.to_string());
        })));
        meter.begin_reading(200);
        meter.read(50, 3_000_000);
        assert_eq!(meter.progress().to_string(), "read 25 % of 200 commits, 3 MB on disk");
        meter.begin_folding(8, 2);
        meter.split(3);
        meter.rows(40);
        assert_eq!(meter.progress().to_string(), "folded 1 of 11 buckets, 40 rows");
        meter.begin(ReplayStep::Indexing);
        meter.indexed();
        assert_eq!(meter.progress().to_string(), "40 rows, indexed 1 of 2 tables");
        let told = told.lock().unwrap();
        for begun in
            ["read 0 % of 200 commits", "folded 0 of 8 buckets, 0 rows", "40 rows, indexed 0 of 2 tables"]
        {
            assert!(told.iter().any(|line| line == begun), "{told:?}");
        }
    }
}
