//! What agents, workspaces and trees of tasks spend, and which tasks that stops.
//!
//! A task judges its own budget in the decision that exceeds it. Here is what it cannot know: what others spend of a
//! budget it shares. The ledger is loaded at a position and follows the log from there, so no report counts twice and none
//! is missed. A task that draws on a spent budget is held back from matching; if it runs, it is told to stop; once there
//! is room again it is told so.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use capstan_contract::{AgentCodec, WorkspaceCodec};
use capstan_decider::fold;
use capstan_domain::agent::{self, Agent};
use capstan_domain::id::{AgentId, TaskId};
use capstan_domain::matching::{StreamKey, WaitingReason};
use capstan_domain::task::budget::Spending;
use capstan_domain::task::command::{LiftBudget, StopForBudget, WarnBudget};
use capstan_domain::task::event::{BlockerKind, BudgetScope};
use capstan_domain::task::{Command, Event, Task, TaskState};
use capstan_domain::workspace::{self, Workspace};
use capstan_envelope::{Codec, CodecError, Position, Recorded};
use capstan_eventlog::Spent;
use chrono::{DateTime, Days, NaiveDate, Utc};

use super::Process;
use super::tracked::Tracked;

/// Deepest tree whose upper tasks still bind the lower ones.
const DEPTH_MAX: usize = 64;

/// A budget several tasks draw on.
#[derive(Debug, Default)]
struct Account {
    limit: Option<f64>,
    spent: f64,
    /// The limit people were warned about.
    warned: Option<f64>,
    /// A warning is on its way.
    is_warning: bool,
}

impl Account {
    fn spending(&self, scope: BudgetScope) -> Option<Spending> {
        self.limit.map(|limit_usd| Spending { scope, limit_usd, spent_usd: self.spent })
    }

    fn is_exceeded(&self) -> bool {
        self.spending(BudgetScope::Agent).is_some_and(Spending::is_exceeded)
    }

    /// The warning that is due.
    fn warning(&self, scope: BudgetScope) -> Option<Spending> {
        let is_due = !self.is_warning && self.warned != self.limit;
        self.spending(scope).filter(|spending| is_due && spending.is_almost_exceeded())
    }
}

type AgentKey = (Arc<str>, AgentId);

/// Everything that is known of money.
#[derive(Debug)]
pub(super) struct Budgets {
    /// The ledger holds every report up to here.
    position: Position,
    today: NaiveDate,
    agents: HashMap<AgentKey, Account>,
    days: HashMap<Arc<str>, Account>,
    profiles: HashMap<AgentKey, agent::State>,
    /// What workspaces decided, their tools included.
    pub(super) workspaces: HashMap<Arc<str>, workspace::State>,
    /// What children that are not over cost so far, with everything below them.
    children: HashMap<StreamKey, BTreeMap<TaskId, f64>>,
}

impl Budgets {
    pub(super) fn new(now: DateTime<Utc>) -> Self {
        Self {
            position: Position::START,
            today: now.date_naive(),
            agents: HashMap::new(),
            days: HashMap::new(),
            profiles: HashMap::new(),
            workspaces: HashMap::new(),
            children: HashMap::new(),
        }
    }

    /// When a spent day ends.
    pub(super) fn next_due(&self) -> Option<DateTime<Utc>> {
        self.days.values().any(Account::is_exceeded).then(|| midnight_after(self.today)).flatten()
    }

    /// Forgets a task that is over.
    pub(super) fn forget(&mut self, key: &StreamKey) {
        self.children.remove(key);
    }

    /// What a task spent, with everything below it.
    fn tree_spent(&self, key: &StreamKey, task: &Task) -> f64 {
        let live = self.children.get(key).into_iter().flatten();
        let is_counted = |id: &TaskId| task.children.get(id).is_some_and(|child| child.ended.is_some());
        live.filter(|(id, _)| !is_counted(id)).fold(task.spent_usd(), |sum, (_, cost)| sum + cost)
    }
}

fn midnight_after(day: NaiveDate) -> Option<DateTime<Utc>> {
    Some(day.checked_add_days(Days::new(1))?.and_hms_opt(0, 0, 0)?.and_utc())
}

fn parent_key(key: &StreamKey, task: &Task) -> Option<StreamKey> {
    let task_id = task.accepted.parent_task_id?;
    Some(StreamKey { workspace: Arc::clone(&key.workspace), task_id })
}

impl Tracked {
    /// What the task must be told about money.
    pub(super) fn budget_command(&self, now: DateTime<Utc>, grace_ms: i64) -> Option<Command> {
        let task = self.task.as_deref()?;
        if let Some(spending) = self.warn {
            return Some(Command::WarnBudget(WarnBudget { spending, at: now }));
        }
        let waits = task.blocker.as_ref().filter(|blocker| blocker.opened.kind == BlockerKind::Budget);
        match (self.over, waits) {
            (Some(spending), _) if task.state == TaskState::Running && task.working_attempt().is_some() => {
                Some(Command::StopForBudget(StopForBudget { spending, grace_ms, at: now }))
            }
            (None, Some(blocker)) => {
                Some(Command::LiftBudget(LiftBudget { blocker_id: blocker.opened.blocker_id, at: now }))
            }
            _ => None,
        }
    }
}

impl Process {
    /// Takes the ledger as the read models have it at `position`; reports after it follow with the log.
    pub fn begin_with_spending(&mut self, position: Position, spent: Vec<Spent>) {
        self.budgets.position = position;
        for Spent { workspace, agent_id, day, cost_usd, warned_limit_usd } in spent {
            let workspace: Arc<str> = workspace.into();
            let account = match (agent_id.map(AgentId), day) {
                (Some(agent), _) => self.budgets.agents.entry((workspace, agent)).or_default(),
                (None, Some(day)) if day == self.budgets.today => {
                    self.budgets.days.entry(workspace).or_default()
                }
                (None, _) => continue,
            };
            account.spent = cost_usd;
            account.warned = warned_limit_usd;
        }
        self.review_where(|_, _| true);
    }

    /// Takes an agent as a snapshot has it.
    pub fn begin_with_agent(&mut self, workspace: &str, agent_id: AgentId, state: agent::State) {
        self.take_agent((workspace.into(), agent_id), state);
    }

    /// Takes a workspace as a snapshot has it.
    pub fn begin_with_workspace(&mut self, workspace: &str, state: workspace::State) {
        self.take_workspace(&workspace.into(), state);
    }

    /// Takes a commit of an agent.
    pub(super) fn agent_commit(&mut self, agent_id: AgentId, recorded: &Recorded) -> Result<(), CodecError> {
        let events = recorded.commit.events.iter().map(AgentCodec::decode).collect::<Result<Vec<_>, _>>()?;
        let key = (Arc::from(recorded.commit.stream.workspace().as_str()), agent_id);
        let known = self.budgets.profiles.get(&key).cloned().unwrap_or_default();
        self.take_agent(key, fold::<Agent>(known, &events));
        Ok(())
    }

    /// Takes a commit of a workspace.
    pub(super) fn workspace_commit(&mut self, recorded: &Recorded) -> Result<(), CodecError> {
        let events =
            recorded.commit.events.iter().map(WorkspaceCodec::decode).collect::<Result<Vec<_>, _>>()?;
        let name: Arc<str> = recorded.commit.stream.workspace().as_str().into();
        let known = self.budgets.workspaces.get(&name).cloned().unwrap_or_default();
        self.take_workspace(&name, fold::<Workspace>(known, &events));
        Ok(())
    }

    #[expect(clippy::needless_pass_by_value, reason = "the key is made for the account")]
    fn take_agent(&mut self, key: AgentKey, state: agent::State) {
        let limit = state.profile.as_ref().and_then(|profile| profile.cost_budget_usd);
        let account = self.budgets.agents.entry(key.clone()).or_default();
        let is_other = account.limit != limit;
        account.limit = limit;
        self.budgets.profiles.insert(key.clone(), state);
        if is_other {
            self.review_where(|stream, task| stream.workspace == key.0 && task.accepted.agent_id == key.1);
        }
    }

    fn take_workspace(&mut self, name: &Arc<str>, state: workspace::State) {
        let limit = state.settings().and_then(|settings| settings.budget_usd_per_day);
        let account = self.budgets.days.entry(Arc::clone(name)).or_default();
        let is_other = account.limit != limit;
        account.limit = limit;
        self.budgets.workspaces.insert(Arc::clone(name), state);
        if is_other {
            self.review_where(|stream, _| stream.workspace == *name);
        }
    }

    /// Enters what a commit of a task says about money.
    pub(super) fn account(&mut self, key: &Arc<StreamKey>, position: Position, events: &[Event]) {
        if position <= self.budgets.position {
            return;
        }
        self.budgets.position = position;
        for event in events {
            match event {
                Event::UsageRecorded(used) => {
                    let is_today = used.at.date_naive() >= self.budgets.today;
                    self.spend(key, used.agent_id, used.usage.cost_usd, is_today);
                }
                Event::BudgetWarned(warned) => {
                    let account = match warned.scope {
                        BudgetScope::Task => None,
                        BudgetScope::Agent => {
                            let agent = warned.agent_id.map(|id| (Arc::clone(&key.workspace), id));
                            agent.and_then(|agent| self.budgets.agents.get_mut(&agent))
                        }
                        BudgetScope::Workspace => self.budgets.days.get_mut(&key.workspace),
                    };
                    if let Some(account) = account {
                        account.warned = Some(warned.limit_usd);
                        account.is_warning = false;
                    }
                }
                _ => {}
            }
        }
    }

    fn spend(&mut self, key: &Arc<StreamKey>, agent_id: Option<AgentId>, cost: f64, is_today: bool) {
        if cost <= 0.0 {
            return;
        }
        if is_today {
            let account = self.budgets.days.entry(Arc::clone(&key.workspace)).or_default();
            let before = account.is_exceeded();
            account.spent += cost;
            if account.is_exceeded() != before {
                self.review_where(|stream, _| stream.workspace == key.workspace);
            }
        }
        if let Some(agent_id) = agent_id {
            let account = self.budgets.agents.entry((Arc::clone(&key.workspace), agent_id)).or_default();
            let before = account.is_exceeded();
            account.spent += cost;
            if account.is_exceeded() != before {
                self.review_where(|stream, task| {
                    stream.workspace == key.workspace && task.accepted.agent_id == agent_id
                });
            }
        }
        self.warn_if_due(key, agent_id);
    }

    /// Lets the task that spends tell people that most of a shared budget is gone.
    fn warn_if_due(&mut self, key: &Arc<StreamKey>, agent_id: Option<AgentId>) {
        let Some(tracked) = self.tasks.get_mut(key).filter(|tracked| tracked.warn.is_none()) else { return };
        let agent = agent_id.map(|id| (Arc::clone(&key.workspace), id));
        let agent = agent.and_then(|agent| self.budgets.agents.get_mut(&agent));
        let day = self.budgets.days.get_mut(&key.workspace);
        let accounts = [(BudgetScope::Agent, agent), (BudgetScope::Workspace, day)];
        for (scope, account) in accounts {
            let Some(account) = account else { continue };
            if let Some(spending) = account.warning(scope) {
                account.is_warning = true;
                tracked.warn = Some(spending);
                break;
            }
        }
        self.tidy(key);
    }

    /// Judges a task after a change of its own, and everything its spending may stop.
    pub(super) fn review_after(&mut self, key: &Arc<StreamKey>) {
        let mut at = (**key).clone();
        let mut stopped = None;
        for _ in 0..DEPTH_MAX {
            let Some(task) = self.tasks.get(&at).and_then(|tracked| tracked.task.as_deref()) else { break };
            let spent = self.budgets.tree_spent(&at, task);
            let limit = task.accepted.budget_usd;
            let is_over = limit.is_some_and(|limit_usd| {
                Spending { scope: BudgetScope::Task, limit_usd, spent_usd: spent }.is_exceeded()
            });
            let warning = self.tree_warning(&at, task);
            let parent = parent_key(&at, task);
            let task_id = at.task_id;
            let Some(tracked) = self.tasks.get_mut(&at) else { break };
            if tracked.is_tree_over != is_over {
                stopped = Some(at.clone());
            }
            tracked.is_tree_over = is_over;
            if let (None, Some(warning)) = (tracked.warn, warning) {
                tracked.warn = Some(warning);
                let key = Arc::clone(&tracked.key);
                self.tidy(&key);
            }
            let Some(parent) = parent else { break };
            self.budgets.children.entry(parent.clone()).or_default().insert(task_id, spent);
            at = parent;
        }
        match stopped {
            Some(top) => self.review_tree(top),
            None => self.review(key),
        }
    }

    /// Judges everything below a task.
    fn review_tree(&mut self, top: StreamKey) {
        let mut open = vec![top];
        while let Some(key) = open.pop() {
            let below = self.budgets.children.get(&key).into_iter().flat_map(|children| children.keys());
            let workspace = Arc::clone(&key.workspace);
            open.extend(below.map(|id| StreamKey { workspace: Arc::clone(&workspace), task_id: *id }));
            if let Some(tracked) = self.tasks.get(&key) {
                let key = Arc::clone(&tracked.key);
                self.review(&key);
            }
        }
    }

    fn review_where(&mut self, concerns: impl Fn(&StreamKey, &Task) -> bool) {
        let concerned = self
            .tasks
            .values()
            .filter(|tracked| tracked.task.as_deref().is_some_and(|task| concerns(&tracked.key, task)));
        let keys: Vec<_> = concerned.map(|tracked| Arc::clone(&tracked.key)).collect();
        for key in keys {
            self.review(&key);
        }
    }

    /// Finds out which spent budget binds a task, and holds it back or lets it go.
    fn review(&mut self, key: &Arc<StreamKey>) {
        let Some(task) = self.tasks.get(key).and_then(|tracked| tracked.task.as_deref()) else { return };
        let over = self.exceeded(key, task);
        let Some(tracked) = self.tasks.get_mut(key) else { return };
        if tracked.over.is_some() != over.is_some() && tracked.retry.is_none() {
            // Whatever was parked, this is new.
            tracked.not_before = None;
        }
        tracked.over = over;
        let reason = over.map(|Spending { scope, limit_usd, spent_usd }| WaitingReason::BudgetExceeded {
            scope,
            limit_usd,
            spent_usd,
        });
        self.matching.hold(key, reason);
        self.desk.has_news();
        self.tidy(key);
    }

    /// The first spent budget the task draws on.
    fn exceeded(&self, key: &StreamKey, task: &Task) -> Option<Spending> {
        let day = self.budgets.days.get(&key.workspace).and_then(|day| day.spending(BudgetScope::Workspace));
        let agent = self.budgets.agents.get(&(Arc::clone(&key.workspace), task.accepted.agent_id));
        let agent = agent.and_then(|account| account.spending(BudgetScope::Agent));
        let shared = [day, agent].into_iter().flatten().find(|spending| spending.is_exceeded());
        if shared.is_some() {
            return shared;
        }
        let (mut at, mut task) = (key.clone(), task);
        for _ in 0..DEPTH_MAX {
            let spent_usd = self.budgets.tree_spent(&at, task);
            let own = task.accepted.budget_usd.map(|limit_usd| Spending {
                scope: BudgetScope::Task,
                limit_usd,
                spent_usd,
            });
            if let Some(own) = own.filter(|own| own.is_exceeded()) {
                return Some(own);
            }
            at = parent_key(&at, task)?;
            task = self.tasks.get(&at)?.task.as_deref()?;
        }
        None
    }

    /// The warning of the task's own budget that only its children's costs make due.
    fn tree_warning(&self, key: &StreamKey, task: &Task) -> Option<Spending> {
        let limit_usd = task.accepted.budget_usd.filter(|_| !task.state.is_terminal())?;
        let spent_usd = self.budgets.tree_spent(key, task);
        let spending = Spending { scope: BudgetScope::Task, limit_usd, spent_usd };
        let is_told = task
            .warned
            .get(&BudgetScope::Task)
            .is_some_and(|told| told.limit_usd.total_cmp(&limit_usd).is_eq());
        Some(spending).filter(|spending| spending.is_almost_exceeded() && !is_told)
    }

    /// Begins a new day's accounts when one has come.
    pub(super) fn roll_day(&mut self, now: DateTime<Utc>) {
        if now.date_naive() <= self.budgets.today {
            return;
        }
        self.budgets.today = now.date_naive();
        let mut lifted = Vec::new();
        for (workspace, day) in &mut self.budgets.days {
            if day.is_exceeded() {
                lifted.push(Arc::clone(workspace));
            }
            *day = Account { limit: day.limit, ..Account::default() };
        }
        for workspace in lifted {
            self.review_where(|stream, _| stream.workspace == workspace);
        }
    }
}
