//! The size of the log: metrics, and warnings on the way to what one nats-server carries.

use std::sync::atomic::{AtomicU64, Ordering};

use metrics::gauge;

use super::streams::StreamStatus;
use crate::metric;

/// Number of subjects at the first warning: docs/operations/sizing.md, What a log may hold.
const SUBJECTS_WARNED: u64 = 5_000_000;

/// The size as of the last look at the stream.
#[derive(Debug, Default)]
pub(super) struct Size {
    subjects: AtomicU64,
    bytes: AtomicU64,
    /// Number of subjects that the last warning was given for; 0 before the first.
    warned: AtomicU64,
}

impl Size {
    /// Takes over what the server has just said.
    pub(super) fn observe(&self, status: &StreamStatus) {
        let StreamStatus { subjects, bytes, .. } = *status;
        self.subjects.store(subjects, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
        gauge!(metric::SUBJECTS).set(subjects as f64);
        gauge!(metric::BYTES).set(bytes as f64);
        if self.is_to_be_warned_of(subjects) {
            tracing::warn!(
                log.subjects = subjects,
                log.bytes = bytes,
                limit = SUBJECTS_WARNED,
                "the log has many subjects: nats-server needs more memory, and longer to stop and start, for each"
            );
        }
    }

    /// Number of subjects.
    pub(super) fn subjects(&self) -> u64 {
        self.subjects.load(Ordering::Relaxed)
    }

    /// Bytes, with what the server adds to each message.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// True once at the limit, and again whenever a fifth was added since.
    fn is_to_be_warned_of(&self, subjects: u64) -> bool {
        let warned = self.warned.load(Ordering::Relaxed);
        let due = subjects >= SUBJECTS_WARNED.max(warned + warned / 5) && subjects > warned;
        if due {
            self.warned.store(subjects, Ordering::Relaxed);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_grows_is_warned_of_at_the_limit_and_each_fifth_after_it() {
        let size = Size::default();
        let warned: Vec<u64> = (0..=10)
            .map(|millions| millions * 1_000_000)
            .filter(|subjects| size.is_to_be_warned_of(*subjects))
            .collect();
        assert_eq!(warned, [5_000_000, 6_000_000, 8_000_000, 10_000_000]);
    }
}
