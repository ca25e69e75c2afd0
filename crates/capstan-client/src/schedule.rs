//! Schedules: the same prompt again and again.

use capstan_contract::command::{PauseSchedule, ResumeSchedule, TriggerSchedule};
use capstan_domain::id::ScheduleId;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{Client, Error, Page};

/// A schedule as the server shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// The schedule.
    pub id: Uuid,
    /// The agent of its tasks.
    pub agent_id: Uuid,
    /// The agent's name.
    #[serde(default)]
    pub agent_name: String,
    /// Five-field cron expression.
    pub cron_expr: String,
    /// IANA name of its zone.
    pub timezone: String,
    /// The prompt of its tasks.
    pub prompt: String,
    /// False while it is paused.
    pub active: bool,
    /// The time of its next tick, jitter included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_run_at: Option<String>,
    /// The time of its last tick.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run_at: Option<String>,
    /// The task made last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_task_id: Option<Uuid>,
    /// Every other field, by its wire name.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// A filter of schedules; all given conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ScheduleFilter {
    /// For this view.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_view_id: Option<String>,
    /// Of this agent, by id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// Active, or paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// Maximum number of items.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// The page after this cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

impl Client {
    /// Begins a schedule from the fields of `create-schedule`; the answer is `{receipt, schedule}`.
    pub async fn create_schedule(&self, fields: &Value) -> Result<Value, Error> {
        self.of_workspace(Method::POST, &["schedules"]).json(fields).answer().await
    }

    /// Changes the given fields of a schedule, when `version` is given only if it still has that version.
    pub async fn update_schedule(
        &self,
        id: Uuid,
        fields: &Value,
        version: Option<u64>,
    ) -> Result<Value, Error> {
        let call = self.of_workspace(Method::PATCH, &["schedules", &id.to_string()]).json(fields);
        match version {
            Some(version) => call.header("if-match", &version.to_string()).answer().await,
            None => call.answer().await,
        }
    }

    /// Ends a schedule; the tasks it made stay.
    pub async fn delete_schedule(&self, id: Uuid) -> Result<Value, Error> {
        self.of_workspace(Method::DELETE, &["schedules", &id.to_string()]).answer().await
    }

    /// Stops a schedule until it is resumed.
    pub async fn pause_schedule(&self, id: Uuid, reason: Option<&str>) -> Result<Value, Error> {
        let body = PauseSchedule { schedule_id: ScheduleId(id), reason: reason.map(str::to_owned) };
        self.of_workspace(Method::POST, &["schedules", &id.to_string(), "pause"]).json(&body).answer().await
    }

    /// Resumes a paused schedule, from now.
    pub async fn resume_schedule(&self, id: Uuid) -> Result<Value, Error> {
        let body = ResumeSchedule { schedule_id: ScheduleId(id) };
        self.of_workspace(Method::POST, &["schedules", &id.to_string(), "resume"]).json(&body).answer().await
    }

    /// Makes one task now, under an idempotency key if one is given; the answer is `{receipt, task}`.
    pub async fn trigger_schedule(&self, id: Uuid, key: Option<&str>) -> Result<Value, Error> {
        let body = TriggerSchedule { schedule_id: ScheduleId(id) };
        let call = self.of_workspace(Method::POST, &["schedules", &id.to_string(), "trigger"]);
        call.command(&body, key).answer().await
    }

    /// Reads a schedule.
    pub async fn schedule(&self, id: Uuid) -> Result<Schedule, Error> {
        self.of_workspace(Method::GET, &["schedules", &id.to_string()]).answer().await
    }

    /// Lists schedules, newest first.
    pub async fn schedules(&self, filter: &ScheduleFilter) -> Result<Page<Schedule>, Error> {
        self.of_workspace(Method::GET, &["schedules"]).query(filter).answer().await
    }

    /// The next `count` ticks of a schedule.
    pub async fn next_ticks(&self, id: Uuid, count: u32) -> Result<Value, Error> {
        let call = self.of_workspace(Method::GET, &["schedules", &id.to_string(), "next"]);
        call.query(&[("n", count)]).answer().await
    }
}
