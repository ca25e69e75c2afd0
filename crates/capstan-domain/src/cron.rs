//! Standard five-field cron on the wall clock of a zone.
//!
//! An expression is `minute hour day-of-month month day-of-week`; [`field`] describes the fields. When both
//! day fields are restricted either may match, otherwise both must. Clock changes have one rule: a wall-clock time
//! that is skipped fires at the first instant after the gap, one that comes twice fires the first time only.
//!
//! The calendar walk is the `cron` crate's. It never sees a zone: it walks wall-clock times written as if they
//! were UTC, and [`zone`] places each of them in time (see docs/decisions/0003-cron.md).

pub mod field;
pub mod zone;

use std::str::FromStr;

use ::cron::Schedule;
use chrono::{DateTime, Datelike, TimeZone, Utc};

pub use field::{CronFault, CronField};
pub use zone::{UnknownZone, Zone};

use field::Ticks;

/// The years in which an expression can fire.
const YEARS: std::ops::RangeInclusive<i32> = 1970..=2100;

/// A standard five-field cron expression that has been read and found good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronExpression {
    source: String,
    /// Fires when any of these does: one schedule, or two when either day field may match.
    schedules: Vec<Schedule>,
}

impl CronExpression {
    /// Reads an expression; the first bad field is named.
    pub fn parse(expression: &str) -> Result<Self, CronFault> {
        let [minute, hour, day_of_month, month, day_of_week] = field::split(expression)?;
        let minute = Ticks::parse(CronField::Minute, minute)?;
        let hour = Ticks::parse(CronField::Hour, hour)?;
        let days = Ticks::parse(CronField::DayOfMonth, day_of_month)?;
        let month = Ticks::parse(CronField::Month, month)?;
        let weekdays = Ticks::parse(CronField::DayOfWeek, day_of_week)?;
        let schedule = |days: &str, weekdays: &str| {
            let text = format!("0 {} {} {days} {} {weekdays}", minute.list(), hour.list(), month.list());
            Schedule::from_str(&text).map_err(|_| CronFault {
                field: CronField::Expression,
                message: format!("`{expression}` cannot be scheduled"),
            })
        };
        // The crate wants both day fields to match, so "either" is two schedules.
        let schedules = if days.is_restricted() && weekdays.is_restricted() {
            vec![schedule(&days.list(), "*")?, schedule("*", &weekdays.list())?]
        } else {
            vec![schedule(&days.list(), &weekdays.list())?]
        };
        Ok(Self { source: expression.split_whitespace().collect::<Vec<_>>().join(" "), schedules })
    }

    /// The expression as given, with single spaces.
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// The first firing strictly after `after`; none when there is no more before the year 2101, which for an
    /// expression such as `0 0 30 2 *` means never.
    pub fn next_after(&self, after: DateTime<Utc>, zone: &Zone) -> Option<DateTime<Utc>> {
        let after = in_calendar(after)?;
        // Every wall-clock time up to the one `after` shows has had its first turn by then, and later wall-clock
        // times never fire earlier, so the first candidate that lands after `after` is the answer.
        let mut wall = zone.wall_clock(after).and_utc();
        loop {
            wall = self.schedules.iter().filter_map(|schedule| schedule.after(&wall).next()).min()?;
            let fires = zone.instant_of(wall.naive_utc())?;
            if fires > after {
                return Some(fires);
            }
        }
    }
}

/// `after`, or the eve of the calendar when it is earlier; nothing when the calendar is over. The eve leaves room
/// for zones west of Greenwich, whose 1970 begins later.
fn in_calendar(after: DateTime<Utc>) -> Option<DateTime<Utc>> {
    if after.year() > *YEARS.end() + 1 {
        return None;
    }
    let eve = Utc.with_ymd_and_hms(YEARS.start() - 1, 12, 30, 0, 0, 0).single()?;
    Some(after.max(eve))
}

#[cfg(test)]
mod tests;
