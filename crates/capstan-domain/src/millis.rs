//! Instants in eight bytes.

use std::num::NonZeroI64;

use chrono::{DateTime, Utc};

/// An instant in whole milliseconds: eight bytes, also as an option, where a `DateTime` takes twelve. The engine holds some
/// for each task. It is never earlier than the time it was made of, so that no timer fires too soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(NonZeroI64);

/// Stands for the epoch too, whose count is 0.
const FIRST: NonZeroI64 = NonZeroI64::new(1).expect("one is not zero");

impl Millis {
    /// The first whole millisecond at or after a time.
    pub fn since(time: DateTime<Utc>) -> Self {
        let is_whole = time.timestamp_subsec_nanos().is_multiple_of(1_000_000);
        let millis = time.timestamp_millis().saturating_add(i64::from(!is_whole));
        Self(NonZeroI64::new(millis).unwrap_or(FIRST))
    }

    /// The same as a time.
    pub fn time(self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0.get()).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_the_time_it_was_made_of_or_up_to_a_millisecond_later() {
        assert_eq!(size_of::<Option<Millis>>(), 8);
        let (min, max) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
        for nanos in [-1_500_000, 1, 999_999, 1_000_000, 1_700_000_000_123_456_789] {
            let time = DateTime::from_timestamp_nanos(nanos);
            let after = Millis::since(time).time() - time;
            assert!((0..1_000_000).contains(&after.num_nanoseconds().unwrap()), "{nanos}: {after}");
        }
        assert_eq!((Millis::since(min).time(), Millis::since(max).time()), (min, max));
        assert!(Millis::since(DateTime::UNIX_EPOCH).time() > DateTime::UNIX_EPOCH);
    }
}
