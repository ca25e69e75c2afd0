//! The choice among the ticks that are due.

use chrono::{DateTime, Utc};

use crate::schedule::{CatchUp, Next, Schedule};

/// Most ticks that are made up for.
pub const CATCH_UP_MAX: usize = 100;
/// A tick that is later than this was missed, where missed ticks are not made up for: a minute, so that a change of
/// engines makes none.
pub const LATE_MS: i64 = 60_000;
/// Most ticks one decision looks at; more are left to the next one, so that a year of minutes costs no long pause.
pub(super) const LOOK_MAX: usize = 1_000;

/// The plan for the ticks that are due.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The first, the last and the number of those that are missed.
    pub(super) missed: Option<Missed>,
    /// The one to fire.
    pub(super) fire: Option<Next>,
    /// The next tick after all of these.
    pub(super) next: Option<Next>,
}

/// Ticks that are not made up for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Missed {
    pub(super) from: DateTime<Utc>,
    pub(super) to: DateTime<Utc>,
    pub(super) count: usize,
    /// The tick after them.
    pub(super) next: Option<Next>,
}

/// Judges the ticks from `first` on that are due at `at`.
pub(super) fn plan(schedule: &Schedule, first: Next, at: DateTime<Utc>) -> Plan {
    let rhythm = schedule.definition.rhythm(schedule.schedule_id);
    let mut due = vec![first];
    let mut following = None;
    for next in rhythm.iter().flat_map(|rhythm| rhythm.after(first.tick)) {
        if next.run_at > at || due.len() == LOOK_MAX {
            following = Some(next);
            break;
        }
        due.push(next);
    }
    let is_all = following.is_none_or(|next| next.run_at > at);
    let kept = match schedule.definition.catch_up {
        CatchUp::All => CATCH_UP_MAX,
        CatchUp::One => usize::from(is_all),
        CatchUp::None => {
            let last = due.last().unwrap_or(&first);
            usize::from(is_all && (at - last.run_at).num_milliseconds() <= LATE_MS)
        }
    };
    let missed = due.len().saturating_sub(kept);
    let tick_after = |index: usize| due.get(index).copied().or(following);
    // While there is more to look at, nothing fires: which ticks are the latest ones is not known yet.
    let fire = due.get(missed).copied().filter(|_| is_all);
    Plan {
        missed: (missed > 0).then(|| Missed {
            from: due[0].tick,
            to: due[missed - 1].tick,
            count: missed,
            next: tick_after(missed),
        }),
        fire,
        next: tick_after(missed + usize::from(fire.is_some())),
    }
}
