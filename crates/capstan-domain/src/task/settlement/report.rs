//! The report of an attempt's end, checked as a whole: every fault is named before anything is decided.

use chrono::{DateTime, Utc};

use crate::Faults;
use crate::span::{SPAN_MS_MAX, later};
use crate::task::command::{FinishAttempt, MESSAGE_BYTES_MAX, WakePlan};
use crate::task::event::{Join, SourceWatch, Subtask};
use crate::task::rejection::Rejection;
use crate::task::state::{Live, Task};
use crate::task::steps::blocker::NewQuestion;
use crate::usage::Usage;

use super::{fan_out, watching};

/// The parts of a report in the form in which they are decided on.
pub(super) struct Report {
    /// The usage, with its sums filled in.
    pub(super) usage: Usage,
    /// The question of the report.
    pub(super) asked: Option<NewQuestion>,
    /// The subtasks to make.
    pub(super) subtasks: Vec<Subtask>,
    /// The requested watches, each once; none when the report does not name any list.
    pub(super) watches: Option<Vec<SourceWatch>>,
}

impl Report {
    pub(super) fn check(
        task: &Task,
        live: &Live,
        command: &FinishAttempt,
        at: DateTime<Utc>,
    ) -> Result<Self, Rejection> {
        let mut faults = Faults::default();
        faults.require(
            command.retry_after_ms.is_none_or(|ms| ms >= 0),
            "/retry_after_ms",
            "retry_after_ms must be >= 0",
        );
        let usage = command.usage.clone().unwrap_or_default().reported();
        let usage = faults.valid(usage).unwrap_or_default();
        let asked = command
            .blocker
            .as_ref()
            .map(|spec| faults.within("/blocker", |faults| NewQuestion::check(task, spec, at, faults)));
        if let Some(wake) = &command.wake {
            faults.within("/wake", |faults| check_wake(wake, at, faults));
        }
        let subtasks = fan_out::subtasks(task, live.run_id, &command.subtasks, &mut faults);
        faults.require(
            !subtasks.is_empty() || matches!(command.join, None | Some(Join::None)),
            "/join",
            "join needs subtasks",
        );
        let watches = command.source_watches.as_deref();
        let watches = watches.map(|watches| watching::normalised(watches, &mut faults));
        faults.into_result().map_err(Rejection::Invalid)?;
        Ok(Self { usage, asked, subtasks, watches })
    }
}

fn check_wake(wake: &WakePlan, at: DateTime<Utc>, faults: &mut Faults) {
    faults.require(
        wake.at.is_none() || wake.delay_minutes.is_none(),
        "",
        "at most one of at and delay_minutes may be given",
    );
    let prompt = wake.follow_up_prompt.as_deref().unwrap_or_default();
    faults.at_most("/follow_up_prompt", prompt, MESSAGE_BYTES_MAX);
    let minutes = wake.delay_minutes;
    faults.require(
        minutes.is_none_or(|minutes| minutes >= 0),
        "/delay_minutes",
        "delay_minutes must be >= 0",
    );
    faults.span("/delay_minutes", minutes.map(|minutes| minutes.saturating_mul(60_000)));
    let latest = later(at, SPAN_MS_MAX);
    faults.require(wake.at.is_none_or(|instant| instant <= latest), "/at", "must be within a century");
}
