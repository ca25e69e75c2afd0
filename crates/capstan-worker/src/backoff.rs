//! Pauses between retries.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Growing pauses with jitter, so that the workers of a failed server do not return at the same time.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next pause; never shorter than the server's `retry-after`.
    pub(crate) fn next(&mut self, asked: Option<Duration>) -> Duration {
        self.next_with(rand::random(), asked)
    }

    fn next_with(&mut self, chance: f64, asked: Option<Duration>) -> Duration {
        let ceiling = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        // Between half and all of it.
        ceiling.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0).max(asked.unwrap_or_default())
    }

    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..8).map(|_| backoff.next_with(1.0, None).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        backoff.reset();
        assert_eq!(backoff.next_with(0.0, None).as_millis(), 50);
    }

    #[test]
    fn the_servers_retry_after_is_a_lower_bound() {
        assert_eq!(Backoff::default().next(Some(Duration::from_secs(9))), Duration::from_secs(9));
    }
}
