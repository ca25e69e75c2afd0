//! Spans of time, and arithmetic with them that saturates instead of overflowing.

use chrono::{DateTime, Duration, Utc};

/// Longest span a command may name, in milliseconds: a century.
pub const SPAN_MS_MAX: i64 = 100 * 366 * 86_400_000;

/// The instant `ms` milliseconds after `at`: at most a century later, never earlier.
pub fn later(at: DateTime<Utc>, ms: i64) -> DateTime<Utc> {
    at.checked_add_signed(Duration::milliseconds(ms.clamp(0, SPAN_MS_MAX))).unwrap_or(at)
}

/// The pause before a repetition, in milliseconds: `first_ms`, doubled `doublings` times, at most `max_ms`.
pub fn backoff_ms(first_ms: i64, doublings: u32, max_ms: i64) -> i64 {
    first_ms.saturating_mul(1 << doublings.min(32)).min(max_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_saturate_instead_of_overflowing() {
        let epoch = DateTime::UNIX_EPOCH;
        assert_eq!(later(epoch, -5), epoch);
        assert_eq!(later(DateTime::<Utc>::MAX_UTC, 5), DateTime::<Utc>::MAX_UTC);
        assert!(later(epoch, i64::MAX) < DateTime::<Utc>::MAX_UTC);
    }

    #[test]
    fn a_pause_doubles_up_to_its_limit() {
        let pauses: Vec<_> = (0..4).map(|doublings| backoff_ms(500, doublings, 3000)).collect();
        assert_eq!(pauses, [500, 1000, 2000, 3000]);
        assert_eq!(backoff_ms(i64::MAX, u32::MAX, 3000), 3000);
    }
}
