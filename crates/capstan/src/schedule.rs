//! `capstan schedule`: sends a prompt to an agent at each tick.

use capstan_client::Client;
use capstan_contract::command::{
    Conditions, CreateSchedule, DeleteSchedule, IdempotencyKey, PauseSchedule, ResumeSchedule,
    TriggerSchedule, UpdateSchedule,
};
use capstan_contract::query::{GetSchedule, ListSchedules, Page, PreviewSchedule};
use capstan_domain::Change;
use capstan_domain::id::ScheduleId;
use capstan_domain::schedule::{CatchUp, Overlap};
use clap::{Args, Subcommand};

use crate::argument::{PageArguments, ScheduleArgument, word};
use crate::output::Format;
use crate::remote_command::RemoteAction;

#[derive(Subcommand)]
pub(crate) enum Action {
    /// Create a schedule.
    Create {
        /// Five-field cron expression, for example "0 9 * * mon-fri".
        cron: String,
        /// Prompt sent to the agent at each tick.
        prompt: String,
        /// Id or key of the agent.
        #[arg(long, default_value = "demo")]
        agent: String,
        /// Makes a repetition safe: the same key returns the first result.
        #[arg(long)]
        idempotency_key: Option<IdempotencyKey>,
        #[command(flatten)]
        options: Options,
    },
    /// List schedules, newest first.
    List {
        /// Only schedules of this view.
        #[arg(long)]
        source_view: Option<String>,
        #[command(flatten)]
        page: PageArguments,
    },
    /// Show one schedule.
    Get(ScheduleArgument),
    /// Change a schedule; omitted fields keep their value.
    Update {
        #[command(flatten)]
        schedule: ScheduleArgument,
        /// Five-field cron expression.
        #[arg(long)]
        cron: Option<String>,
        /// Prompt sent to the agent at each tick.
        #[arg(long)]
        prompt: Option<String>,
        /// Fail unless the schedule has this version.
        #[arg(long)]
        version: Option<u64>,
        #[command(flatten)]
        options: Options,
    },
    /// Delete a schedule; its tasks stay.
    Delete(ScheduleArgument),
    /// Pause a schedule until it is resumed.
    Pause {
        #[command(flatten)]
        schedule: ScheduleArgument,
        /// Reason, shown with the schedule.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Resume a paused schedule; ticks missed while paused do not fire.
    Resume(ScheduleArgument),
    /// Create one task now, independent of the ticks.
    Trigger {
        #[command(flatten)]
        schedule: ScheduleArgument,
        /// Makes a repetition safe: the same key returns the first result.
        #[arg(long)]
        idempotency_key: Option<IdempotencyKey>,
    },
    /// Show the next ticks.
    Next {
        #[command(flatten)]
        schedule: ScheduleArgument,
        /// Number of ticks.
        #[arg(short, default_value_t = 10)]
        n: u32,
    },
}

#[derive(Args)]
pub(crate) struct Options {
    /// IANA name of the time zone; empty for UTC.
    #[arg(long)]
    timezone: Option<String>,
    /// Skill of the agent; may be repeated.
    #[arg(long = "skill")]
    skills: Vec<String>,
    /// View that the schedule belongs to.
    #[arg(long)]
    source_view: Option<String>,
    /// Policy while a task of an earlier tick is open: `queue`, `skip` or `cancel_running`.
    #[arg(long, value_parser = word::<Overlap>)]
    overlap: Option<Overlap>,
    /// Missed ticks that fire late: `one`, `all` or `none`.
    #[arg(long, value_parser = word::<CatchUp>)]
    catch_up: Option<CatchUp>,
    /// Largest random delay of a tick, in milliseconds.
    #[arg(long)]
    jitter_ms: Option<i64>,
    /// `false` for a paused schedule.
    #[arg(long)]
    active: Option<bool>,
}

impl RemoteAction for Action {
    async fn run(self, client: &Client, output: Format) -> anyhow::Result<()> {
        let answer = match self {
            Self::Create { cron, prompt, agent, idempotency_key, options } => {
                let create = CreateSchedule {
                    agent_id: agent,
                    cron_expr: cron,
                    timezone: options.timezone,
                    prompt,
                    skill_paths: (!options.skills.is_empty()).then_some(options.skills),
                    source_view_id: options.source_view,
                    active: options.active,
                    overlap: options.overlap,
                    catch_up: options.catch_up,
                    jitter_ms: options.jitter_ms,
                };
                client.send_with(&create, &Conditions { idempotency_key, ..Conditions::default() }).await?
            }
            Self::Update { schedule: ScheduleArgument { id }, cron, prompt, version, options } => {
                let update = UpdateSchedule {
                    schedule_id: ScheduleId(id),
                    cron_expr: cron,
                    timezone: options.timezone,
                    prompt,
                    skill_paths: (!options.skills.is_empty()).then_some(options.skills),
                    source_view_id: options.source_view.map_or(Change::Keep, Change::Set),
                    active: options.active,
                    overlap: options.overlap,
                    catch_up: options.catch_up,
                    jitter_ms: options.jitter_ms,
                };
                let conditions = Conditions { expected_version: version, ..Conditions::default() };
                client.send_with(&update, &conditions).await?
            }
            Self::Delete(ScheduleArgument { id }) => {
                client.send(&DeleteSchedule { schedule_id: ScheduleId(id) }).await?
            }
            Self::Pause { schedule: ScheduleArgument { id }, reason } => {
                client.send(&PauseSchedule { schedule_id: ScheduleId(id), reason }).await?
            }
            Self::Resume(ScheduleArgument { id }) => {
                client.send(&ResumeSchedule { schedule_id: ScheduleId(id) }).await?
            }
            Self::Trigger { schedule: ScheduleArgument { id }, idempotency_key } => {
                let trigger = TriggerSchedule { schedule_id: ScheduleId(id) };
                client.send_with(&trigger, &Conditions { idempotency_key, ..Conditions::default() }).await?
            }
            Self::Get(ScheduleArgument { id }) => {
                serde_json::to_value(client.send(&GetSchedule { schedule_id: ScheduleId(id) }).await?)?
            }
            Self::List { source_view, page: PageArguments { limit, cursor } } => {
                let query = ListSchedules { source_view_id: source_view, ..ListSchedules::default() };
                let page = Page { limit: Some(limit), cursor, ..Page::default() };
                let columns =
                    ["id", "active", "cron_expr", "timezone", "agent_name", "next_run_at", "prompt"];
                return output.page(&client.send_with(&query, &page).await?, &columns);
            }
            Self::Next { schedule: ScheduleArgument { id }, n } => {
                let query = PreviewSchedule { schedule_id: ScheduleId(id), n: Some(n) };
                return output.page(&client.send(&query).await?, &["tick", "run_at"]);
            }
        };
        // The object that the command changed, if the response has it.
        let shown = ["schedule", "task"].into_iter().find_map(|name| answer.get(name));
        output.object(shown.unwrap_or(&answer))
    }
}
