//! The wall clock of the loop; everything below receives the time as a value.

use chrono::{DateTime, Utc};

/// The time now, in whole milliseconds.
pub(crate) fn now() -> DateTime<Utc> {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    // Facts carry milliseconds: finer digits mean nothing between machines and only make documents longer.
    DateTime::from_timestamp_millis(since_epoch.as_millis() as i64).unwrap_or_default()
}
