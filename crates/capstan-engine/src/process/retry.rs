//! Pauses after failures.

use chrono::{DateTime, Duration, Utc};

/// First pause after a failed order, in milliseconds; doubles up to [`PAUSE_MS_MAX`].
const PAUSE_MS: i64 = 100;
const PAUSE_MS_MAX: i64 = 10_000;
/// Pause after a failure that a repeat cannot cure, or an order that changed nothing, in milliseconds.
const PARKED_MS: i64 = 60_000;

/// The earliest time of the next try after the given number of failures.
pub(super) fn after_failure(now: DateTime<Utc>, failures: u32, is_retryable: bool) -> DateTime<Utc> {
    let backoff = PAUSE_MS.saturating_mul(1 << failures.min(10)).min(PAUSE_MS_MAX);
    later(now, if is_retryable { backoff } else { PARKED_MS })
}

/// The earliest time of the next try of an order that changed nothing: without a pause its timer would fire in a loop.
pub(super) fn parked(now: DateTime<Utc>) -> DateTime<Utc> {
    later(now, PARKED_MS)
}

/// The instant `ms` milliseconds later; saturates.
pub(super) fn later(at: DateTime<Utc>, ms: i64) -> DateTime<Utc> {
    Duration::try_milliseconds(ms)
        .and_then(|span| at.checked_add_signed(span))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}
