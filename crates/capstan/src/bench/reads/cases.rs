//! The reads that are measured.

use chrono::{DateTime, SecondsFormat, Utc};

use super::seed::{Seeded, word};

/// A kind of read.
pub(super) struct Case<'a> {
    pub(super) name: &'static str,
    /// The path below `/v1/workspaces/` of the read with this number.
    pub(super) path: Box<dyn Fn(usize) -> String + 'a>,
    /// Whether the first of them finds something; unknown for what is no list.
    pub(super) has_hits: Option<bool>,
}

/// Reads of the large workspace with a fixed query: name, path and query, and whether something is found.
const OF_LARGE: &[(&str, &str, Option<bool>)] = &[
    ("tasks", "tasks", Some(true)),
    ("tasks, page of 500", "tasks?limit=500", Some(true)),
    ("tasks, counted", "tasks?count=true", Some(true)),
    ("tasks by state", "tasks?state=done", Some(true)),
    ("tasks by state, counted", "tasks?state=error&count=true", Some(true)),
    ("tasks by state, none", "tasks?state=sleeping&count=true", Some(false)),
    ("tasks by states", "tasks?state=queued,waiting,error", Some(true)),
    ("tasks by priority", "tasks?priority=urgent&count=true", Some(true)),
    ("tasks by priority, none", "tasks?priority=low&count=true", Some(false)),
    ("tasks by waiting reason", "tasks?waiting_reason=input&count=true", Some(true)),
    ("tasks by label", "tasks?label=Case+8&count=true", Some(true)),
    ("tasks by label, none", "tasks?label=none&count=true", Some(false)),
    ("tasks by labels", "tasks?labels=team:t7&count=true", Some(true)),
    ("tasks by labels only old ones have", "tasks?labels=batch:first", Some(true)),
    ("tasks by labels, none", "tasks?labels=team:none&count=true", Some(false)),
    ("tasks by source output, none", "tasks?source_output_id=none", Some(false)),
    ("tasks archived, none", "tasks?archived=true&count=true", Some(false)),
    ("search, in every task", "tasks?q=report", Some(true)),
    ("search, in every task, counted", "tasks?q=report&count=true", Some(true)),
    ("search, rare", "tasks?q=%C3%BCBERRASCHUNG&count=true", Some(true)),
    ("search, only in old tasks", "tasks?q=bygone", Some(true)),
    ("search, none", "tasks?q=unobtainium", Some(false)),
    ("search, none of three letters", "tasks?q=zzq", Some(false)),
    ("search, none of one sign", "tasks?q=%26", Some(false)),
    ("search, a number", "tasks?q=Report+1000:", Some(true)),
    ("search in failed tasks", "tasks?q=bygone&state=error", Some(true)),
    ("search in failed tasks, none", "tasks?q=unobtainium&state=error", Some(false)),
    ("runs", "runs", Some(true)),
    ("runs, counted", "runs?count=true", Some(true)),
    ("runs by status", "runs?status=error&count=true", Some(true)),
    ("runs by status, none", "runs?status=timeout&count=true", Some(false)),
    ("runs by session", "runs?session_id=conversation-1", Some(true)),
    ("outputs", "outputs", Some(true)),
    ("outputs, counted", "outputs?count=true", Some(true)),
    ("outputs by type", "outputs?type=report&count=true", Some(true)),
    ("outputs by type, none", "outputs?type=none&count=true", Some(false)),
    ("outputs archived, none", "outputs?archived=true", Some(false)),
    ("inbox", "inbox?count=true", Some(true)),
    ("inbox by kind", "inbox?kind=input&count=true", Some(true)),
    ("inbox by kind, none", "inbox?kind=budget&count=true", Some(false)),
    ("agents", "agents", Some(true)),
    ("classes", "classes", None),
    ("schedules", "schedules", None),
    ("channels", "channels", None),
    ("tokens", "tokens", None),
    ("newest tasks and outputs", "batch", None),
];

/// Reads of one agent of the large workspace, another one each time.
const OF_AGENT: &[(&str, &str, Option<bool>)] = &[
    ("tasks by agent", "tasks?count=true&agent_id=", Some(true)),
    ("tasks by agent and state", "tasks?state=done&count=true&agent_id=", Some(true)),
    ("tasks by agent and state, none", "tasks?state=sleeping&count=true&agent_id=", Some(false)),
    ("search of an agent", "tasks?q=bygone&agent_id=", Some(true)),
    ("runs by agent", "runs?count=true&agent_id=", Some(true)),
    ("outputs by agent", "outputs?count=true&agent_id=", Some(true)),
    ("inbox by agent", "inbox?agent_id=", None),
];

/// Reads of one task, another one each time.
const OF_TASK: &[(&str, &str)] = &[
    ("a task", ""),
    ("its runs", "/runs"),
    ("its outputs", "/outputs"),
    ("its inputs", "/inputs"),
    ("its subtasks", "/subtasks"),
    ("its tree", "/tree"),
    ("its history", "/history"),
];

/// Reads of small workspaces, another one each time.
const OF_SMALL: &[(&str, &str, Option<bool>)] = &[
    ("small workspace: tasks", "tasks?count=true", Some(true)),
    ("small workspace: search", "tasks?q=report", Some(true)),
    ("small workspace: search, none", "tasks?q=unobtainium", Some(false)),
    ("small workspace: labels, none", "tasks?labels=team:none", Some(false)),
    ("small workspace: statistics", "agents/agent-0/stats", None),
];

/// All reads. `later` is the query of a later page.
pub(super) fn cases<'a>(seeded: &'a Seeded, later: &'a str) -> Vec<Case<'a>> {
    let large = &seeded.large;
    let fixed = |&(name, query, has_hits): &'a (&'static str, &'static str, Option<bool>)| Case {
        name,
        path: Box::new(move |_| format!("{large}/{query}")),
        has_hits,
    };
    let mut cases: Vec<Case<'a>> = OF_LARGE.iter().map(fixed).collect();
    cases.extend(OF_AGENT.iter().map(|&(name, query, has_hits)| Case {
        name,
        path: Box::new(move |number| format!("{large}/{query}{}", of(&seeded.agents, number))),
        has_hits,
    }));
    cases.extend(OF_TASK.iter().map(|&(name, part)| Case {
        name,
        path: Box::new(move |number| format!("{large}/tasks/{}{part}", of(&seeded.done, number))),
        has_hits: None,
    }));
    cases.extend(OF_SMALL.iter().map(|&(name, query, has_hits)| Case {
        name,
        path: Box::new(move |number| format!("{}/{query}", of(&seeded.small, number))),
        has_hits,
    }));
    let (after, before) = (instant(seeded.middle.0), instant(seeded.middle.1));
    let is_middle = format!("created_after={after}&created_before={before}");
    let was_changed = format!("updated_after={after}&updated_before={before}");
    let mut add =
        |name, path: Box<dyn Fn(usize) -> String + 'a>, has_hits| cases.push(Case { name, path, has_hits });
    add("tasks, a later page", Box::new(move |_| format!("{large}/tasks?{later}")), Some(true));
    add("tasks by creation", Box::new(move |_| format!("{large}/tasks?{is_middle}&count=true")), Some(true));
    add("tasks by change", Box::new(move |_| format!("{large}/tasks?{was_changed}")), Some(true));
    add(
        "runs by task",
        Box::new(move |number| format!("{large}/runs?task_id={}", of(&seeded.done, number))),
        Some(true),
    );
    add(
        "search, frequent words",
        Box::new(move |number| format!("{large}/tasks?q={}", word(number as u64 % 100))),
        Some(true),
    );
    add(
        "search, words",
        Box::new(move |number| format!("{large}/tasks?q={}", word(number as u64 * 97))),
        None,
    );
    add(
        "statistics of an agent",
        Box::new(move |number| format!("{large}/agents/{}/stats", of(&seeded.agents, number))),
        None,
    );
    cases
}

fn of<T>(all: &[T], number: usize) -> &T {
    &all[number % all.len()]
}

fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
