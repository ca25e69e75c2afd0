//! The ticks of a schedule, each with its delay.

use chrono::{DateTime, Duration, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cron::{CronExpression, Zone};
use crate::id::{ScheduleId, derived};
use crate::implied;

/// A tick and when it fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Next {
    /// The instant the cron expression names; it names the tick's task too.
    #[serde(with = "implied::tick")]
    #[schemars(with = "DateTime<Utc>")]
    pub tick: DateTime<Utc>,
    /// The instant it fires: the tick and its jitter.
    #[serde(default = "implied::tick", skip_serializing_if = "implied::is_tick")]
    #[schemars(transform = implied::drawn)]
    pub run_at: DateTime<Utc>,
}

/// The ticks of a schedule.
#[derive(Clone, Debug)]
pub struct Rhythm {
    schedule_id: ScheduleId,
    cron: CronExpression,
    zone: Zone,
    jitter_ms: i64,
}

impl Rhythm {
    pub(super) fn new(schedule_id: ScheduleId, cron: CronExpression, zone: Zone, jitter_ms: i64) -> Self {
        Self { schedule_id, cron, zone, jitter_ms }
    }

    /// The first tick strictly after an instant.
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<Next> {
        let tick = self.cron.next_after(after, &self.zone)?;
        Some(Next { tick, run_at: self.run_at(tick) })
    }

    /// The ticks after an instant, in order.
    pub fn after(&self, after: DateTime<Utc>) -> impl Iterator<Item = Next> {
        std::iter::successors(self.next_after(after), |last| self.next_after(last.tick))
    }

    /// The tick and what is left of the wait for the one after it, so that ticks never overtake each other.
    fn run_at(&self, tick: DateTime<Utc>) -> DateTime<Utc> {
        if self.jitter_ms <= 0 {
            return tick;
        }
        let following = self.cron.next_after(tick, &self.zone);
        let gap_ms = following.map_or(i64::MAX, |following| (following - tick).num_milliseconds());
        let choices = u128::from(self.jitter_ms.saturating_add(1).min(gap_ms).max(1).unsigned_abs());
        let dice = derived(&["jitter", &self.schedule_id.to_string(), &tick.timestamp().to_string()]);
        let delay_ms = i64::try_from(dice.as_u128() % choices).unwrap_or_default();
        tick.checked_add_signed(Duration::milliseconds(delay_ms)).unwrap_or(tick)
    }
}
