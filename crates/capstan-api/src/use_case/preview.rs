//! The next ticks of a schedule.

use capstan_contract::query::{PreviewSchedule, Wait};
use capstan_domain::id::ScheduleId;
use capstan_domain::schedule::Next;
use capstan_envelope::Workspace;
use chrono::Utc;
use schemars::JsonSchema;
use serde::Serialize;

use super::answer::Answer;
use super::streams;
use crate::App;
use crate::answered::Answered;
use crate::problem::Problem;

/// Ticks shown when the caller does not say.
const COUNT_DEFAULT: u32 = 10;
/// Most ticks shown.
const COUNT_MAX: u32 = 100;

/// The next ticks of a schedule.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Preview {
    schedule_id: ScheduleId,
    timezone: String,
    /// False for a paused schedule: these ticks are what it would do.
    active: bool,
    items: Vec<Next>,
    /// Most ticks in the answer.
    limit: u32,
}

impl Answer for PreviewSchedule {
    async fn answer(self, app: &App, workspace: &Workspace, _: Wait) -> Result<Answered, Problem> {
        let stream = streams::schedule(workspace, self.schedule_id)?;
        let loaded = app.dispatch.schedules.refresh(&stream).await?;
        let schedule = loaded.state.as_deref().filter(|schedule| !schedule.deleted);
        let schedule = schedule.ok_or_else(|| Problem::not_found("schedule"))?;
        let limit = self.n.unwrap_or(COUNT_DEFAULT).clamp(1, COUNT_MAX);
        Ok(Answered::json(&Preview {
            schedule_id: self.schedule_id,
            timezone: schedule.definition.timezone.clone(),
            active: schedule.active,
            items: schedule.preview(Utc::now(), limit as usize),
            limit,
        }))
    }
}
