//! The definition of a schedule: its times, prompt and options, and their checks.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Faults;
use crate::cron::{CronExpression, Zone};
use crate::id::ScheduleId;
use crate::limits::{self, PATH_BYTES_MAX, REFERENCE_BYTES_MAX, SCHEDULE_PROMPT_BYTES_MAX};
use crate::schedule::command::{CreateSchedule, JITTER_MS_MAX, SKILL_PATHS_MAX, UpdateSchedule};
use crate::schedule::{Next, Rhythm};

/// The longest cron expression, in bytes.
const CRON_BYTES_MAX: usize = 1_000;

/// The treatment of a tick while a task of an earlier one is still open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// Its task waits in the schedule's lane.
    #[default]
    Queue,
    /// It makes no task.
    Skip,
    /// The open tasks are cancelled first.
    CancelRunning,
}

/// The treatment of ticks that passed while the system was down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// The latest of them fires, once.
    #[default]
    One,
    /// The latest hundred fire.
    All,
    /// None of them fires.
    None,
}

/// The whole definition of a schedule: an event that changes something carries all of it.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Definition {
    /// Five-field cron expression.
    pub cron_expr: String,
    /// IANA name of the zone whose clocks it follows.
    pub timezone: String,
    /// The prompt for the agent at each tick.
    pub prompt: String,
    /// Skills handed to the agent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skill_paths: Vec<String>,
    /// The view it works for.
    pub source_view_id: Option<String>,
    /// While a task of an earlier tick is still open.
    pub overlap: Overlap,
    /// The treatment of ticks that passed while the system was down.
    pub catch_up: CatchUp,
    /// Longest delay of a tick, in milliseconds; the delay depends only on the schedule and the tick.
    pub jitter_ms: i64,
}

impl From<&CreateSchedule> for Definition {
    fn from(create: &CreateSchedule) -> Self {
        Self {
            cron_expr: create.cron_expr.clone(),
            timezone: create.timezone.clone().unwrap_or_default(),
            prompt: create.prompt.clone(),
            skill_paths: create.skill_paths.clone().unwrap_or_default(),
            source_view_id: create.source_view_id.clone(),
            overlap: create.overlap.unwrap_or_default(),
            catch_up: create.catch_up.unwrap_or_default(),
            jitter_ms: create.jitter_ms.unwrap_or_default(),
        }
    }
}

impl Definition {
    /// The definition with the changes of an update, not checked yet.
    pub(super) fn with(&self, update: &UpdateSchedule) -> Self {
        Self {
            cron_expr: update.cron_expr.as_ref().unwrap_or(&self.cron_expr).clone(),
            timezone: update.timezone.as_ref().unwrap_or(&self.timezone).clone(),
            prompt: update.prompt.as_ref().unwrap_or(&self.prompt).clone(),
            skill_paths: update.skill_paths.as_ref().unwrap_or(&self.skill_paths).clone(),
            source_view_id: update.source_view_id.on(self.source_view_id.as_ref()),
            overlap: update.overlap.unwrap_or(self.overlap),
            catch_up: update.catch_up.unwrap_or(self.catch_up),
            jitter_ms: update.jitter_ms.unwrap_or(self.jitter_ms),
        }
    }

    /// The definition as it is stored: trimmed, zone and expression in their canonical spelling. Notes what is wrong.
    pub(super) fn checked(self, faults: &mut Faults) -> Self {
        // The zone first: an expression is read in it.
        let timezone = match self.timezone.trim() {
            "" => Zone::UTC.name().to_owned(),
            named => match Zone::parse(named) {
                Ok(zone) => zone.name().to_owned(),
                Err(unknown) => {
                    faults.add("/timezone", unknown.to_string());
                    named.to_owned()
                }
            },
        };
        let prompt = self.prompt.trim().to_owned();
        limits::check_json("/prompt", &prompt, SCHEDULE_PROMPT_BYTES_MAX, faults);
        faults.require((0..=JITTER_MS_MAX).contains(&self.jitter_ms), "/jitter_ms", "must be 0 to a day");
        let cron_expr = checked_cron(&self.cron_expr, faults);
        let skill_paths: Vec<_> = self.skill_paths.iter().map(|path| path.trim().to_owned()).collect();
        faults.require(
            skill_paths.len() <= SKILL_PATHS_MAX,
            "/skill_paths",
            format_args!("must be at most {SKILL_PATHS_MAX} paths"),
        );
        faults.require(
            skill_paths.iter().all(|path| !path.is_empty()),
            "/skill_paths",
            "a skill path cannot be empty",
        );
        for path in &skill_paths {
            limits::check("/skill_paths", Some(path), PATH_BYTES_MAX, faults);
        }
        limits::check("/source_view_id", self.source_view_id.as_deref(), REFERENCE_BYTES_MAX, faults);
        let source_view_id = self.source_view_id.filter(|view| !view.trim().is_empty());
        Self { cron_expr, timezone, prompt, skill_paths, source_view_id, ..self }
    }

    /// The rhythm it describes; none when another build stored what this one cannot read.
    pub fn rhythm(&self, schedule_id: ScheduleId) -> Option<Rhythm> {
        let cron = CronExpression::parse(&self.cron_expr).ok()?;
        let zone = Zone::parse(&self.timezone).ok()?;
        Some(Rhythm::new(schedule_id, cron, zone, self.jitter_ms))
    }

    /// The first tick strictly after an instant. A rhythm without one is a fault; of one that cannot be read, the fault was
    /// noted by [`Self::checked`].
    pub(super) fn checked_next(
        &self,
        schedule_id: ScheduleId,
        after: DateTime<Utc>,
        faults: &mut Faults,
    ) -> Option<Next> {
        let rhythm = self.rhythm(schedule_id)?;
        let next = rhythm.next_after(after);
        faults.require(next.is_some(), "/cron_expr", "never fires");
        next
    }

    /// The first tick strictly after an instant.
    pub(super) fn next_after(&self, schedule_id: ScheduleId, after: DateTime<Utc>) -> Option<Next> {
        self.rhythm(schedule_id)?.next_after(after)
    }
}

fn checked_cron(expression: &str, faults: &mut Faults) -> String {
    let expression = expression.trim();
    if expression.is_empty() {
        faults.add("/cron_expr", "cron_expr is required");
        return String::new();
    }
    if expression.len() > CRON_BYTES_MAX {
        faults.add("/cron_expr", format!("must be at most {CRON_BYTES_MAX} bytes long"));
        return String::new();
    }
    match CronExpression::parse(expression) {
        Ok(cron) => cron.as_str().to_owned(),
        Err(fault) => {
            faults.add("/cron_expr", fault.to_string());
            expression.to_owned()
        }
    }
}
