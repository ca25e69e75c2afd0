//! Changing a workspace: only what differs becomes part of the event.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::change::only_changes_are_null;
use crate::fault::below;
use crate::finite::{self, AMOUNT_MAX};
use crate::implied::{At, OwnWorkspace};
use crate::policy::RunPolicy;
use crate::stored::json_bytes;
use crate::workspace::settings::{ApprovalPolicy, Quotas, Settings};
use crate::workspace::tool::{self, Tool, ToolSettings};
use crate::workspace::{Details, check_display_name};
use crate::{Change, Fault, Faults};

/// Most entries of a list of settings.
const ENTRIES_MAX: usize = 256;

/// Most bytes of all tools of a workspace as JSON.
const TOOLS_BYTES_MAX: usize = 256 << 10;

/// Changes a workspace; what is absent stays.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = only_changes_are_null)]
pub struct UpdateWorkspace {
    /// Display name.
    pub display_name: Option<String>,
    /// Settings to change.
    pub settings: Option<SettingsChanges>,
}

/// Settings to change; what is absent stays.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = only_changes_are_null)]
pub struct SettingsChanges {
    /// All tools that no agent may use.
    pub disabled_tools: Option<Vec<String>>,
    /// The rules of execution of commands that give none; null takes them away.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub default_policy: Change<RunPolicy>,
    /// Quotas of the workspace.
    pub quotas: Option<QuotaChanges>,
    /// Limit of what all runs of a day may cost together, in US dollars; null lifts it.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    #[schemars(range(min = 0.0, max = AMOUNT_MAX))]
    pub budget_usd_per_day: Change<f64>,
    /// Tool calls that need no approval.
    pub approval_policy: Option<ApprovalPolicy>,
    /// Endpoints that execute deferred tool calls, by tool name; null removes one, the others keep their value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tools: BTreeMap<String, Option<ToolSettings>>,
}

/// Changes of quotas; what is absent stays, null lifts a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QuotaChanges {
    /// Most tasks that are not terminal.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub open_tasks_max: Change<u32>,
    /// Most agents.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub agents_max: Change<u32>,
    /// Most schedules.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub schedules_max: Change<u32>,
}

impl QuotaChanges {
    /// True when nothing changes.
    pub fn is_keep(&self) -> bool {
        *self == Self::default()
    }

    fn apply(&self, quotas: &mut Quotas) {
        self.open_tasks_max.apply(&mut quotas.open_tasks_max);
        self.agents_max.apply(&mut quotas.agents_max);
        self.schedules_max.apply(&mut quotas.schedules_max);
    }

    fn against(&self, quotas: &Quotas) -> Self {
        Self {
            open_tasks_max: self.open_tasks_max.against(quotas.open_tasks_max.as_ref()),
            agents_max: self.agents_max.against(quotas.agents_max.as_ref()),
            schedules_max: self.schedules_max.against(quotas.schedules_max.as_ref()),
        }
    }
}

stored! {
/// The workspace was changed; what is absent stayed.
pub struct Updated {
    /// The workspace.
    pub workspace: OwnWorkspace,
    /// Its new display name.
    pub display_name: Option<String>,
    /// All tools that no agent may use any more.
    pub disabled_tools: Option<BTreeSet<String>>,
    /// The new default policy of commands; null when it was removed.
    #[serde(default, skip_serializing_if = "Change::is_keep", with = "crate::policy::based::change")]
    #[schemars(with = "Change<crate::policy::based::Drawn>")]
    pub default_policy: Change<RunPolicy>,
    /// The changed quotas; null for one that is lifted.
    #[serde(default, skip_serializing_if = "QuotaChanges::is_keep")]
    pub quotas: QuotaChanges,
    /// The new limit of a day; null when there is none any more.
    #[serde(default, skip_serializing_if = "Change::is_keep", serialize_with = "finite::serialize_change")]
    pub budget_usd_per_day: Change<f64>,
    /// Writes now allowed without asking a person.
    pub approval_policy: Option<ApprovalPolicy>,
    /// The changed executors by tool; null for one that is gone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tools: BTreeMap<String, Option<Tool>>,
    /// Time of the event.
    pub updated_at: At,
}
}

impl Updated {
    /// Changes the settings; whoever folds the event uses this.
    pub fn apply(&self, display_name: &mut String, settings: &mut Settings) {
        if let Some(name) = &self.display_name {
            display_name.clone_from(name);
        }
        if let Some(disabled) = &self.disabled_tools {
            settings.disabled_tools.clone_from(disabled);
        }
        self.default_policy.apply(&mut settings.default_policy);
        self.quotas.apply(&mut settings.quotas);
        self.budget_usd_per_day.apply(&mut settings.budget_usd_per_day);
        settings.approval_policy = self.approval_policy.unwrap_or(settings.approval_policy);
        for (name, tool) in &self.tools {
            match tool {
                Some(tool) => drop(settings.tools.insert(name.clone(), tool.clone())),
                None => drop(settings.tools.remove(name)),
            }
        }
    }

    fn changes_nothing(&self) -> bool {
        self.display_name.is_none()
            && self.disabled_tools.is_none()
            && self.default_policy.is_keep()
            && self.quotas.is_keep()
            && self.budget_usd_per_day.is_keep()
            && self.approval_policy.is_none()
            && self.tools.is_empty()
    }
}

/// The change as an event; none when it changes nothing.
pub(super) fn updated(
    details: &Details,
    workspace: &str,
    update: &UpdateWorkspace,
    at: DateTime<Utc>,
) -> Result<Option<Updated>, Vec<Fault>> {
    let settings = &details.settings;
    let mut faults = Faults::default();
    if let Some(name) = &update.display_name {
        check_display_name(name, &mut faults);
    }
    let changes = update.settings.clone().unwrap_or_default();
    let default_policy = changes.default_policy.map(RunPolicy::normalised);
    let disabled = changes.disabled_tools.as_ref().map(|names| distinct(names));
    let tools: BTreeMap<_, _> =
        changes.tools.into_iter().map(|(name, tool)| (name, tool.map(Tool::from))).collect();
    check_policy(default_policy.value(), &mut faults);
    for (index, name) in changes.disabled_tools.iter().flatten().enumerate() {
        tool::check_name(name.trim(), &format!("/settings/disabled_tools/{index}"), &mut faults);
    }
    let few = disabled.as_ref().is_none_or(|names| names.len() <= ENTRIES_MAX);
    faults.require(few, "/settings/disabled_tools", format_args!("must be at most {ENTRIES_MAX} names"));
    faults.amount("/settings/budget_usd_per_day", changes.budget_usd_per_day.value().copied());
    check_tools(&tools, settings, &mut faults);
    faults.into_result()?;
    let display_name = update.display_name.as_deref().map(|name| name.trim().to_owned());
    let event = Updated {
        workspace: workspace.to_owned(),
        display_name: display_name.filter(|name| *name != details.display_name),
        disabled_tools: disabled.filter(|names| *names != settings.disabled_tools),
        default_policy: default_policy.against(settings.default_policy.as_ref()),
        quotas: changes.quotas.unwrap_or_default().against(&settings.quotas),
        budget_usd_per_day: changes.budget_usd_per_day.against(settings.budget_usd_per_day.as_ref()),
        approval_policy: changes.approval_policy.filter(|policy| *policy != settings.approval_policy),
        tools: tools.into_iter().filter(|(name, tool)| settings.tools.get(name) != tool.as_ref()).collect(),
        updated_at: at,
    };
    Ok(Some(event).filter(|event| !event.changes_nothing()))
}

fn distinct(names: &[String]) -> BTreeSet<String> {
    names.iter().map(|name| name.trim().to_owned()).collect()
}

fn check_policy(policy: Option<&RunPolicy>, faults: &mut Faults) {
    let mut of_policy = Faults::default();
    policy.inspect(|policy| policy.check(&mut of_policy));
    for Fault { pointer, message } in of_policy.into_result().err().unwrap_or_default() {
        faults.add(&pointer.replacen("/policy", "/settings/default_policy", 1), message);
    }
}

fn check_tools(tools: &BTreeMap<String, Option<Tool>>, settings: &Settings, faults: &mut Faults) {
    for (name, tool) in tools {
        let pointer = below("/settings/tools", name);
        if let Some(tool) = tool {
            tool.check(name, &pointer, faults);
        }
    }
    let added = tools.iter().filter(|(name, tool)| tool.is_some() && !settings.tools.contains_key(*name));
    let few = settings.tools.len() + added.count() <= ENTRIES_MAX;
    faults.require(few, "/settings/tools", format_args!("must be at most {ENTRIES_MAX} tools"));
    let kept = settings.tools.iter().filter(|(name, _)| !tools.contains_key(*name));
    let new = tools.iter().filter_map(|(name, tool)| Some((name, tool.as_ref()?)));
    let bytes: usize = kept.chain(new).map(|(name, tool)| name.len() + json_bytes(tool)).sum();
    let is_small = bytes <= TOOLS_BYTES_MAX;
    faults.require(
        is_small,
        "/settings/tools",
        format_args!("must be at most {TOOLS_BYTES_MAX} bytes together"),
    );
}

#[cfg(test)]
mod tests {
    use capstan_decider::spec::{Given, given};

    use super::*;
    use crate::Requested;
    use crate::workspace::{Command, CreateWorkspace, Event, Rejection, Workspace};

    fn dev() -> Given<Workspace> {
        let create = CreateWorkspace { workspace: "dev".into(), display_name: Some("Development".into()) };
        given::<Workspace>([]).and(Requested::new(Command::Create(create), DateTime::UNIX_EPOCH))
    }

    fn update(change: impl FnOnce(&mut UpdateWorkspace)) -> Requested<Command> {
        let mut update = Box::new(UpdateWorkspace::default());
        change(&mut update);
        Requested::new(Command::Update { workspace: "dev".into(), update }, DateTime::UNIX_EPOCH)
    }

    fn settings(change: impl FnOnce(&mut SettingsChanges)) -> Requested<Command> {
        update(|update| change(update.settings.insert(SettingsChanges::default())))
    }

    fn quotas(change: impl FnOnce(&mut QuotaChanges)) -> QuotaChanges {
        let mut quotas = QuotaChanges::default();
        change(&mut quotas);
        quotas
    }

    fn crm() -> ToolSettings {
        ToolSettings { url: "https://crm.example/run".into(), ..ToolSettings::default() }
    }

    #[test]
    fn only_what_is_given_changes() {
        let first = settings(|settings| {
            settings.disabled_tools = Some(vec![" b ".into(), "a".into(), "b".into()]);
            settings.quotas = Some(quotas(|quotas| quotas.agents_max = Change::Set(3)));
            settings.tools.insert("crm".into(), Some(crm()));
        });
        let second = settings(|settings| {
            settings.quotas = Some(quotas(|quotas| quotas.open_tasks_max = Change::Set(10)));
            settings.approval_policy = Some(ApprovalPolicy::AutoApproveAll);
        });
        dev().and(first).when(second).then_with(|events, state| {
            let [Event::Updated(event)] = events else { panic!("one update: {events:?}") };
            let told = serde_json::to_value(event).unwrap();
            let fields: Vec<&String> = told.as_object().unwrap().keys().collect();
            assert_eq!(fields, ["approval_policy", "quotas", "updated_at", "workspace"]);
            let settings = &state.details.as_ref().unwrap().settings;
            assert_eq!(
                settings.quotas,
                Quotas { open_tasks_max: Some(10), agents_max: Some(3), schedules_max: None }
            );
            assert_eq!(settings.disabled_tools, BTreeSet::from(["a".to_owned(), "b".to_owned()]));
            let crm =
                Tool { url: "https://crm.example/run".into(), headers: BTreeMap::new(), timeout_ms: 30_000 };
            assert_eq!(settings.tools["crm"], crm);
        });
    }

    #[test]
    fn limits_policies_and_tools_can_be_taken_back() {
        let set = settings(|settings| {
            settings.default_policy = Change::Set(RunPolicy { ask: "always".into(), ..RunPolicy::default() });
            settings.budget_usd_per_day = Change::Set(5.0);
            settings.quotas = Some(quotas(|quotas| quotas.agents_max = Change::Set(3)));
            settings.tools.insert("crm".into(), Some(crm()));
        });
        let clear = settings(|settings| {
            settings.default_policy = Change::Clear;
            settings.budget_usd_per_day = Change::Clear;
            settings.quotas = Some(quotas(|quotas| quotas.agents_max = Change::Clear));
            settings.tools.insert("crm".into(), None);
        });
        dev().and(set).when(clear).then_with(|_, state| {
            assert_eq!(state.details.as_ref().unwrap().settings, Settings::default());
        });
    }

    #[test]
    fn an_update_to_what_is_there_already_records_nothing() {
        dev()
            .when(update(|update| {
                update.display_name = Some("Development".into());
                update.settings = Some(SettingsChanges {
                    disabled_tools: Some(Vec::new()),
                    budget_usd_per_day: Change::Clear,
                    approval_policy: Some(ApprovalPolicy::Ask),
                    tools: BTreeMap::from([("absent".into(), None)]),
                    ..SettingsChanges::default()
                });
            }))
            .then_nothing();
    }

    #[test]
    fn all_faults_are_reported_together() {
        let wrong = update(|update| {
            update.display_name = Some(" ".into());
            let tool = ToolSettings { url: "x".into(), ..crm() };
            update.settings = Some(SettingsChanges {
                default_policy: Change::Set(RunPolicy { host: "moon".into(), ..RunPolicy::default() }),
                disabled_tools: Some(vec!["a".into(), " ".into()]),
                budget_usd_per_day: Change::Set(f64::NAN),
                tools: BTreeMap::from([("a/b".into(), Some(tool))]),
                ..SettingsChanges::default()
            });
        });
        dev().when(wrong).then_rejected_with(|no| {
            let Rejection::Invalid(faults) = no else { return false };
            let pointers: Vec<&str> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
            pointers
                == [
                    "/display_name",
                    "/settings/default_policy/host",
                    "/settings/disabled_tools/1",
                    "/settings/budget_usd_per_day",
                    "/settings/tools/a~1b",
                    "/settings/tools/a~1b/url",
                ]
        });
    }

    #[test]
    fn a_workspace_that_is_not_there_cannot_be_changed() {
        given::<Workspace>([]).when(update(|_| {})).then_rejected(Rejection::NotFound);
    }
}
