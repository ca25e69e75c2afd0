//! Pauses after failures.

use capstan_domain::span::{backoff_ms, later};
use chrono::{DateTime, Utc};

/// First pause after a failed order, in milliseconds; doubles up to [`PAUSE_MS_MAX`].
const PAUSE_MS: i64 = 100;
const PAUSE_MS_MAX: i64 = 10_000;
/// Pause after a failure that a repeat cannot cure, or an order that changed nothing, in milliseconds.
const PARKED_MS: i64 = 60_000;

/// The earliest time of the next try after the given number of failures.
pub(super) fn after_failure(now: DateTime<Utc>, failures: u32, is_retryable: bool) -> DateTime<Utc> {
    later(now, if is_retryable { backoff_ms(PAUSE_MS, failures, PAUSE_MS_MAX) } else { PARKED_MS })
}

/// The earliest time of the next try of an order that changed nothing: without a pause its timer would fire in a loop.
pub(super) fn parked(now: DateTime<Utc>) -> DateTime<Utc> {
    later(now, PARKED_MS)
}
