//! Budgets: what agents, workspaces and trees of tasks spend, and the tasks that stops.
//!
//! A task judges its own budget in the decision that exceeds it. The spending of others on a budget it shares is known
//! only here. The ledger is loaded at a position and follows the log from there, so no report counts twice and none is
//! missed. A task whose budget is exceeded is held back from matching; a running one is ordered to stop; once there is
//! room again its blocker is lifted.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use capstan_contract::AgentCodec;
use capstan_contract::account::AgentAccount;
use capstan_decider::fold;
use capstan_domain::agent::{self, Agent};
use capstan_domain::id::{AgentId, TaskId};
use capstan_domain::matching::{StreamKey, WaitingReason};
use capstan_domain::task::command::{LiftBudget, StopForBudget, WarnBudget};
use capstan_domain::task::event::{BudgetScope, BudgetWarned};
use capstan_domain::task::spending::Spending;
use capstan_domain::task::{Command, Event, TaskState};
use capstan_envelope::{Carried, CarriedAccount, Codec as _, CodecError, Position, Recorded};
use capstan_eventlog::Spent;
use chrono::{DateTime, Days, NaiveDate, Utc};

use super::facts::TaskFacts;
use super::reviews::Reviews;
use super::shared::Shared;
use super::tasks::Tasks;

/// Deepest tree whose upper tasks still bind the lower ones.
const DEPTH_MAX: usize = 64;

/// A budget several tasks draw on.
#[derive(Debug, Default)]
struct Account {
    limit: Option<f64>,
    spent: f64,
    /// The limit of the last recorded warning.
    warned: Option<f64>,
    /// True while a warning is ordered and not recorded.
    is_warning: bool,
    /// Number of the last commit that is known to have changed what is spent or warned about.
    changed: u64,
}

impl Account {
    fn spending(&self, scope: BudgetScope) -> Option<Spending> {
        self.limit.map(|limit_usd| Spending { scope, limit_usd, spent_usd: self.spent })
    }

    fn is_exceeded(&self) -> bool {
        self.spending(BudgetScope::Agent).is_some_and(Spending::is_exceeded)
    }

    /// Changes it; true when that may bind other tasks than before, or bind them otherwise.
    fn change(&mut self, change: impl FnOnce(&mut Self)) -> bool {
        let (was_exceeded, limit) = (self.is_exceeded(), self.limit);
        change(self);
        was_exceeded != self.is_exceeded() || (was_exceeded && limit != self.limit)
    }

    /// The warning that is due.
    fn warning(&self, scope: BudgetScope) -> Option<Spending> {
        let is_due = !self.is_warning && self.warned != self.limit;
        self.spending(scope).filter(|spending| is_due && spending.is_almost_exceeded())
    }
}

/// Budget findings about one task; most tasks have none.
#[derive(Debug, Default)]
struct Findings {
    /// The exceeded budget that binds it.
    exceeded: Option<Spending>,
    /// A warning to be recorded.
    warning: Option<Spending>,
    /// True when its own budget is exceeded, with everything below it.
    is_tree_exceeded: bool,
}

impl Findings {
    fn is_empty(&self) -> bool {
        self.exceeded.is_none() && self.warning.is_none() && !self.is_tree_exceeded
    }
}

type AgentKey = (Arc<str>, AgentId);

/// The ledger of spending, and the tasks it binds.
#[derive(Debug)]
pub(super) struct Budgets {
    /// The ledger holds every report up to here.
    position: Position,
    today: NaiveDate,
    agents: HashMap<AgentKey, Account>,
    days: HashMap<Arc<str>, Account>,
    profiles: HashMap<AgentKey, agent::State>,
    /// Cost of children that are not over, with everything below them, by parent.
    children: HashMap<StreamKey, BTreeMap<TaskId, f64>>,
    findings: HashMap<StreamKey, Findings>,
    reviews: Reviews,
}

impl Budgets {
    pub(super) fn new(now: DateTime<Utc>) -> Self {
        Self {
            position: Position::START,
            today: now.date_naive(),
            agents: HashMap::new(),
            days: HashMap::new(),
            profiles: HashMap::new(),
            children: HashMap::new(),
            findings: HashMap::new(),
            reviews: Reviews::default(),
        }
    }

    /// Takes the ledger as the read models have it at `position`; reports after it follow with the log.
    pub(super) fn load(&mut self, position: Position, spent: Vec<Spent>) {
        self.position = position;
        for Spent { workspace, agent_id, day, cost_usd, warned_limit_usd } in spent {
            let workspace: Arc<str> = workspace.into();
            let agent_id = agent_id.map(AgentId);
            let account = match (agent_id, day) {
                (Some(agent), _) => self.agents.entry((Arc::clone(&workspace), agent)).or_default(),
                (None, Some(day)) if day == self.today => {
                    self.days.entry(Arc::clone(&workspace)).or_default()
                }
                (None, _) => continue,
            };
            if account.change(|account| {
                account.spent = cost_usd;
                account.warned = warned_limit_usd;
                account.changed = position.sequence();
            }) {
                self.reviews.seek(&workspace, agent_id);
            }
        }
    }

    /// Takes a commit of an agent.
    pub(super) fn agent_commit(&mut self, agent_id: AgentId, recorded: &Recorded) -> Result<(), CodecError> {
        let events = AgentCodec::decode(&recorded.commit)?;
        let key = (Arc::from(recorded.commit.stream.workspace().as_str()), agent_id);
        let known = self.profiles.get(&key).cloned().unwrap_or_default();
        self.replace_agent(key, fold::<Agent>(known, &events));
        Ok(())
    }

    /// Takes an agent's state.
    pub(super) fn replace_agent(&mut self, key: AgentKey, state: agent::State) {
        let limit = state.profile.as_ref().and_then(|profile| profile.cost_budget_usd);
        let account = self.agents.entry(key.clone()).or_default();
        if account.change(|account| account.limit = limit) {
            self.reviews.seek(&key.0, Some(key.1));
        }
        self.profiles.insert(key, state);
    }

    /// Takes what was spent on an agent, as its stream carries it forward.
    pub(super) fn carry(
        &mut self,
        key: &AgentKey,
        position: Position,
        carried: &CarriedAccount,
    ) -> Result<(), CodecError> {
        let account = self.agents.entry(key.clone()).or_default();
        if self.position.reaches(position) || !carried.holds(account.changed) {
            return Ok(());
        }
        let AgentAccount { usage, warned_limit_usd, .. } =
            serde_json::from_str(carried.account.get()).map_err(Carried::malformed)?;
        if account.change(|account| {
            account.spent = usage.cost_usd;
            account.warned = warned_limit_usd;
            account.changed = position.sequence();
        }) {
            self.reviews.seek(&key.0, Some(key.1));
        }
        Ok(())
    }

    /// Takes the daily budget of a workspace.
    pub(super) fn set_day_limit(&mut self, workspace: &Arc<str>, shared: &Shared) {
        let limit = shared.workspaces.settings(workspace).and_then(|settings| settings.budget_usd_per_day);
        let account = self.days.entry(Arc::clone(workspace)).or_default();
        if account.change(|account| account.limit = limit) {
            self.reviews.seek(workspace, None);
        }
    }

    /// Books the costs and warnings in a commit of a task.
    pub(super) fn book(
        &mut self,
        key: &StreamKey,
        position: Position,
        events: &[Event],
        shared: &mut Shared,
    ) {
        if self.position.reaches(position) {
            return;
        }
        self.position = position;
        for event in events {
            if let Event::UsageRecorded(used) = event {
                let is_today = used.at.date_naive() >= self.today;
                self.spend(key, used.agent_id, used.usage.cost_usd, is_today, shared);
            }
            if let Event::BudgetWarned(warned) = event {
                self.warned(&key.workspace, warned);
            }
        }
    }

    fn warned(&mut self, workspace: &Arc<str>, warned: &BudgetWarned) {
        let account = match warned.scope {
            BudgetScope::Task => None,
            BudgetScope::Agent => {
                let agent = warned.agent_id.map(|id| (Arc::clone(workspace), id));
                agent.and_then(|agent| self.agents.get_mut(&agent))
            }
            BudgetScope::Workspace => self.days.get_mut(workspace),
        };
        if let Some(account) = account {
            account.changed = self.position.sequence();
            account.warned = Some(warned.limit_usd);
            account.is_warning = false;
        }
    }

    fn spend(
        &mut self,
        key: &StreamKey,
        agent_id: Option<AgentId>,
        cost: f64,
        is_today: bool,
        shared: &mut Shared,
    ) {
        if cost <= 0.0 {
            return;
        }
        if is_today {
            let account = self.days.entry(Arc::clone(&key.workspace)).or_default();
            if account.change(|account| account.spent += cost) {
                self.reviews.seek(&key.workspace, None);
            }
        }
        if let Some(agent_id) = agent_id {
            let account = self.agents.entry((Arc::clone(&key.workspace), agent_id)).or_default();
            account.changed = self.position.sequence();
            if account.change(|account| account.spent += cost) {
                self.reviews.seek(&key.workspace, Some(agent_id));
            }
        }
        self.warn_if_due(key, agent_id, shared);
    }

    /// Lets the task that spends warn people that most of a shared budget is gone.
    fn warn_if_due(&mut self, key: &StreamKey, agent_id: Option<AgentId>, shared: &mut Shared) {
        let has_warning = self.findings.get(key).is_some_and(|findings| findings.warning.is_some());
        if has_warning || !shared.tasks.contains(key) {
            return;
        }
        let agent = agent_id.map(|id| (Arc::clone(&key.workspace), id));
        let agent = agent.and_then(|agent| self.agents.get_mut(&agent));
        let day = self.days.get_mut(&key.workspace);
        let accounts = [(BudgetScope::Agent, agent), (BudgetScope::Workspace, day)];
        for (scope, account) in accounts {
            let Some(account) = account else { continue };
            if let Some(spending) = account.warning(scope) {
                account.is_warning = true;
                self.findings.entry(key.clone()).or_default().warning = Some(spending);
                break;
            }
        }
        shared.tasks.touch(key);
    }

    /// Judges a task after a change of its own, and everything its spending may stop.
    pub(super) fn observe(&mut self, key: &StreamKey, shared: &mut Shared) {
        let mut at = key.clone();
        let mut stopped = None;
        for _ in 0..DEPTH_MAX {
            let Some(facts) = shared.tasks.facts(&at) else { break };
            let parent = facts.parent();
            let spent = self.tree_spent(&at, facts);
            let own = own_budget(facts, spent);
            let warning = own.filter(|own| is_warning_due(facts, *own));
            let is_exceeded = own.is_some_and(Spending::is_exceeded);
            let findings = self.findings.entry(at.clone()).or_default();
            if findings.is_tree_exceeded != is_exceeded {
                stopped = Some(at.clone());
            }
            findings.is_tree_exceeded = is_exceeded;
            if let (None, Some(warning)) = (findings.warning, warning) {
                findings.warning = Some(warning);
                shared.tasks.touch(&at);
            }
            if findings.is_empty() {
                self.findings.remove(&at);
            }
            let Some(parent) = parent else { break };
            let parent = StreamKey { workspace: Arc::clone(&at.workspace), task_id: parent };
            self.children.entry(parent.clone()).or_default().insert(at.task_id, spent);
            at = parent;
        }
        match stopped {
            Some(top) => self.review_tree(top, shared),
            None => self.review(key, shared),
        }
    }

    /// Judges a task and everything below it.
    fn review_tree(&mut self, top: StreamKey, shared: &mut Shared) {
        let mut open = vec![top];
        while let Some(key) = open.pop() {
            let below = self.children.get(&key).into_iter().flat_map(|children| children.keys());
            let workspace = Arc::clone(&key.workspace);
            open.extend(below.map(|id| StreamKey { workspace: Arc::clone(&workspace), task_id: *id }));
            self.review(&key, shared);
        }
    }

    /// Finds the exceeded budget that binds a task, and holds it back or releases it.
    fn review(&mut self, key: &StreamKey, shared: &mut Shared) {
        let Some(facts) = shared.tasks.facts(key) else { return };
        let exceeded = self.exceeded(key, facts, &shared.tasks);
        let before = self.findings.get(key).and_then(|findings| findings.exceeded);
        if before.is_some() != exceeded.is_some()
            && let Some(tracked) = shared.tasks.get_mut(key)
        {
            tracked.end_pause();
        }
        if before != exceeded {
            let findings = self.findings.entry(key.clone()).or_default();
            findings.exceeded = exceeded;
            if findings.is_empty() {
                self.findings.remove(key);
            }
        }
        let reason = exceeded.map(|Spending { scope, limit_usd, spent_usd }| WaitingReason::BudgetExceeded {
            scope,
            limit_usd,
            spent_usd,
        });
        shared.matching.hold(key, reason);
        shared.may_match = true;
        shared.tasks.touch(key);
    }

    /// The first exceeded budget the task draws on.
    fn exceeded(&self, key: &StreamKey, facts: &TaskFacts, tasks: &Tasks) -> Option<Spending> {
        let day = self.days.get(&key.workspace).and_then(|day| day.spending(BudgetScope::Workspace));
        let agent = self.agents.get(&(Arc::clone(&key.workspace), facts.origin.agent_id));
        let agent = agent.and_then(|account| account.spending(BudgetScope::Agent));
        let shared = [day, agent].into_iter().flatten().find(|spending| spending.is_exceeded());
        if shared.is_some() {
            return shared;
        }
        let (mut at, mut facts) = (key.clone(), facts);
        for _ in 0..DEPTH_MAX {
            let own = own_budget(facts, self.tree_spent(&at, facts));
            if let Some(own) = own.filter(|own| own.is_exceeded()) {
                return Some(own);
            }
            at.task_id = facts.parent()?;
            facts = tasks.facts(&at)?;
        }
        None
    }

    /// The cost of a task with everything below it.
    fn tree_spent(&self, key: &StreamKey, facts: &TaskFacts) -> f64 {
        let live = self.children.get(key).into_iter().flatten();
        live.filter(|(id, _)| !facts.has_ended(**id)).fold(facts.spent_usd, |sum, (_, cost)| sum + cost)
    }

    /// Begins a new day's accounts when one has come, and judges tasks whose shared budgets changed.
    pub(super) fn turn(&mut self, shared: &mut Shared, now: DateTime<Utc>) {
        if now.date_naive() > self.today {
            self.begin_day(now.date_naive());
        }
        for key in self.reviews.next(&shared.tasks) {
            self.review(&key, shared);
        }
    }

    fn begin_day(&mut self, today: NaiveDate) {
        self.today = today;
        for (workspace, day) in &mut self.days {
            let limit = day.limit;
            if day.change(|day| *day = Account { limit, ..Account::default() }) {
                self.reviews.seek(workspace, None);
            }
        }
    }

    /// True while tasks are to be judged whose shared budgets changed.
    pub(super) fn is_reviewing(&self) -> bool {
        self.reviews.are_under_way()
    }

    /// The end of the day, while a daily budget is exceeded; at once while tasks are to be judged.
    pub(super) fn next_due(&self) -> Option<DateTime<Utc>> {
        if self.is_reviewing() {
            return Some(DateTime::<Utc>::MIN_UTC);
        }
        self.days.values().any(Account::is_exceeded).then(|| midnight_after(self.today)).flatten()
    }

    /// The command about budgets that is due for a task.
    pub(super) fn due_command(&self, key: &StreamKey, facts: &TaskFacts, grace_ms: i64) -> Option<Command> {
        let findings = self.findings.get(key);
        if let Some(spending) = findings.and_then(|findings| findings.warning) {
            return Some(Command::WarnBudget(WarnBudget { spending }));
        }
        match (findings.and_then(|findings| findings.exceeded), facts.rare().budget_blocker) {
            (Some(spending), _) if facts.state == TaskState::Running && facts.is_working() => {
                Some(Command::StopForBudget(StopForBudget { spending, grace_ms }))
            }
            (None, Some(blocker_id)) => Some(Command::LiftBudget(LiftBudget { blocker_id })),
            (Some(_), _) | (None, None) => None,
        }
    }

    /// True while a warning of the task is not recorded.
    pub(super) fn has_warning(&self, key: &StreamKey) -> bool {
        self.findings.get(key).is_some_and(|findings| findings.warning.is_some())
    }

    /// Takes the outcome of the order of a warning: there is nothing left to record.
    pub(super) fn warning_settled(&mut self, key: &StreamKey) {
        if let Some(findings) = self.findings.get_mut(key) {
            findings.warning = None;
            if findings.is_empty() {
                self.findings.remove(key);
            }
        }
    }

    /// Forgets a task that is over.
    pub(super) fn forget(&mut self, key: &StreamKey) {
        self.children.remove(key);
        self.findings.remove(key);
    }
}

fn own_budget(facts: &TaskFacts, spent_usd: f64) -> Option<Spending> {
    facts.rare().budget_usd.map(|limit_usd| Spending { scope: BudgetScope::Task, limit_usd, spent_usd })
}

/// True when the cost of its children makes a warning about its own budget due.
fn is_warning_due(facts: &TaskFacts, own: Spending) -> bool {
    let is_warned = facts.rare().warned_usd.is_some_and(|warned| warned.total_cmp(&own.limit_usd).is_eq());
    !facts.state.is_terminal() && own.is_almost_exceeded() && !is_warned
}

fn midnight_after(day: NaiveDate) -> Option<DateTime<Utc>> {
    Some(day.checked_add_days(Days::new(1))?.and_hms_opt(0, 0, 0)?.and_utc())
}
