//! A time zone and its wall clock.

use std::fmt;

use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeZone, Utc};
use chrono_tz::{GapInfo, Tz};

/// An IANA time zone of the built-in database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone(Tz);

/// A name that the time zone database does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not an IANA time zone such as `Europe/Berlin`")]
pub struct UnknownZone {
    /// The requested name.
    pub name: String,
}

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self(Tz::UTC);

    /// The zone of that name, written exactly as IANA does; surrounding blanks do not count.
    pub fn parse(name: &str) -> Result<Self, UnknownZone> {
        let trimmed = name.trim();
        trimmed.parse().map(Self).map_err(|_| UnknownZone { name: trimmed.to_owned() })
    }

    /// The IANA name.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// The wall clock of the zone at an instant.
    pub(super) fn wall_clock(self, instant: DateTime<Utc>) -> NaiveDateTime {
        instant.with_timezone(&self.0).naive_local()
    }

    /// The first instant at which the clocks show `wall`, or the end of the gap when they skip it.
    ///
    /// A later wall-clock time never gives an earlier instant.
    pub(super) fn instant_of(self, wall: NaiveDateTime) -> Option<DateTime<Utc>> {
        match self.0.from_local_datetime(&wall) {
            LocalResult::Single(instant) | LocalResult::Ambiguous(instant, _) => Some(instant.to_utc()),
            LocalResult::None => {
                // The clocks leave the old offset at the very instant at which the gap ends.
                let (skipped_from, offset) = GapInfo::new(&wall, &self.0)?.begin?;
                Some((skipped_from - offset.fix()).and_utc())
            }
        }
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}
