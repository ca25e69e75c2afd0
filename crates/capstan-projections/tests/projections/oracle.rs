//! The reads compared with naive filters over the deciders' states, which share no code with the rows.

use std::collections::{BTreeMap, BTreeSet};

use capstan_contract::query::Page;
use capstan_domain::id::{AgentId, RunId, TaskId};
use capstan_domain::task::event::{Priority, RunStatus};
use capstan_domain::task::{Task, TaskState};
use capstan_projections::{
    AgentFilter, BindingFilter, BlockerFilter, BlockersOfTask, InputsOfTask, OutputFilter, OutputOfTask,
    QueryError, ReadModels, RunFilter, TaskFilter, ThisWorkspace,
};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::place::{Place, project};
use crate::story::{Chance, Story};

pub fn ids(items: &[Box<RawValue>]) -> Vec<String> {
    let id =
        |doc: &RawValue| serde_json::from_str::<Value>(doc.get()).unwrap()["id"].as_str().unwrap().to_owned();
    items.iter().map(|doc| id(doc)).collect()
}

/// All pages of a list of tasks.
async fn listed(read_models: &ReadModels, workspace: &str, filter: &TaskFilter, limit: u32) -> Vec<String> {
    let mut page = Page { limit: Some(limit), ..Page::default() };
    let mut all = Vec::new();
    loop {
        let listing = read_models.list(workspace, filter, &page).await.unwrap();
        assert!(listing.items.len() <= limit as usize && listing.limit == limit);
        all.extend(ids(&listing.items));
        match listing.next_cursor {
            Some(cursor) => page.cursor = Some(cursor),
            None => return all,
        }
    }
}

fn naive<'a>(tasks: impl Iterator<Item = &'a Task>, workspace: &str, filter: &TaskFilter) -> Vec<String> {
    let holds = |task: &&Task| {
        let accepted = &task.accepted;
        let text = format!("{}\n{}", accepted.label.clone().unwrap_or_default(), accepted.message);
        let text = text.replace('\0', "\u{fffd}").to_lowercase();
        accepted.workspace == workspace
            && (filter.states.is_empty() || filter.states.contains(&task.state))
            && (filter.priorities.is_empty() || filter.priorities.contains(&accepted.priority))
            && filter.agent_id.is_none_or(|id| id == accepted.agent_id)
            && filter.label.as_ref().is_none_or(|label| accepted.label.as_ref() == Some(label))
            && filter.labels.iter().all(|(name, value)| accepted.labels.get(name) == Some(value))
            && filter.parent_task_id.is_none_or(|id| Some(id) == accepted.parent_task_id)
            && (filter.waiting_reasons.is_empty() || task.state == TaskState::Waiting)
            && filter
                .created
                .after
                .is_none_or(|at| accepted.accepted_at.timestamp_micros() > at.timestamp_micros())
            && filter
                .created
                .before
                .is_none_or(|at| accepted.accepted_at.timestamp_micros() < at.timestamp_micros())
            && filter.archived.is_none_or(|archived| !archived)
            && filter
                .text
                .as_ref()
                .is_none_or(|sought| text.contains(&sought.replace('\0', "\u{fffd}").to_lowercase()))
    };
    let mut found: Vec<&Task> = tasks.filter(holds).collect();
    found.sort_by_key(|task| std::cmp::Reverse((task.accepted.accepted_at.timestamp_micros(), task.id())));
    found.iter().map(|task| task.id().to_string()).collect()
}

fn any_filter(chance: &mut Chance, story: &Story) -> TaskFilter {
    let task = |chance: &mut Chance| {
        let entry = &story.tasks[chance.below(story.tasks.len() as u64) as usize];
        entry.state.as_deref().unwrap().clone()
    };
    let mut filter = TaskFilter::default();
    for _ in 0..=chance.below(3) {
        match chance.below(11) {
            0 => filter.states = vec![TaskState::Queued, TaskState::Running],
            1 => filter.states.push(task(chance).state),
            2 => filter.priorities = vec![Priority::Urgent],
            3 => filter.agent_id = Some(task(chance).accepted.agent_id),
            4 => filter.label.clone_from(&task(chance).accepted.label),
            5 => {
                filter.labels =
                    BTreeMap::from([("team".into(), if chance.one_in(3) { "re" } else { "red" }.into())]);
            }
            6 => filter.parent_task_id = task(chance).accepted.parent_task_id,
            7 => filter.created.after = Some(task(chance).accepted.accepted_at),
            8 => filter.created.before = Some(task(chance).accepted.accepted_at),
            9 => filter.archived = Some(chance.one_in(3)),
            _ => {
                filter.text = Some(match chance.below(4) {
                    0 => "REPORT".into(),
                    1 => "\0\"Quoted\"".into(),
                    _ => format!("at {}", chance.below(9)),
                });
            }
        }
    }
    filter
}

#[tokio::test]
async fn lists_match_naive_filters() {
    let place = Place::new().await;
    let mut story = Story::begin(31).await;
    for _ in 0..900 {
        story.step().await;
    }
    project(&story.shared(), &place.read_models, story.end().await).await;
    let mut chance = Chance::new(32);
    let mut sizes = BTreeSet::new();
    for case in 0..150 {
        let filter = if case == 0 { TaskFilter::default() } else { any_filter(&mut chance, &story) };
        for workspace in ["dev", "other", "nobody"] {
            let tasks = story.tasks.iter().map(|entry| entry.state.as_deref().unwrap());
            let expected = naive(tasks, workspace, &filter);
            let limit = 1 + chance.below(40) as u32;
            let found = listed(&place.read_models, workspace, &filter, limit).await;
            assert_eq!(found, expected, "case {case} in {workspace}: {filter:?}");
            sizes.insert(expected.len());
        }
    }
    assert!(sizes.len() > 10, "the filters are too much alike: {sizes:?}");
}

/// Tasks, failed tasks and costs of an agent, from the deciders' states.
fn naive_stats(story: &Story, agent: AgentId) -> (u64, u64, f64) {
    let tasks = story.tasks.iter().map(|entry| entry.state.as_deref().unwrap());
    let tasks: Vec<&Task> = tasks.filter(|task| task.accepted.agent_id == agent).collect();
    let failed = tasks.iter().filter(|task| matches!(task.state, TaskState::Error | TaskState::Dropped));
    (tasks.len() as u64, failed.count() as u64, story.costs.get(&agent).copied().unwrap_or_default())
}

#[tokio::test]
async fn parts_of_tasks_are_found_only_in_their_workspace() {
    let place = Place::new().await;
    let mut story = Story::begin(33).await;
    for _ in 0..900 {
        story.step().await;
    }
    let read_models = &place.read_models;
    project(&story.shared(), read_models, story.end().await).await;
    let all = Page { limit: Some(500), ..Page::default() };
    let mut seen = [0_usize; 4];
    for entry in &story.tasks {
        let task = entry.state.as_deref().unwrap();
        let workspace = task.accepted.workspace.as_str();
        let stranger = if workspace == "dev" { "other" } else { "dev" };
        let item = read_models.one(workspace, &entry.id).await.unwrap().unwrap();
        assert_eq!((item.version, item.position), (entry.head.version, story.end().await));
        let doc: Value = serde_json::from_str(item.doc.get()).unwrap();
        assert_eq!(
            (doc["state"].as_str(), doc["workspace"].as_str()),
            (Some(task.state.as_str()), Some(workspace))
        );
        assert_eq!(doc["version"], entry.head.version);
        assert_eq!(doc.get("current_blocker").is_some(), task.state == TaskState::Waiting);
        assert_eq!(doc.get("wake_at").is_some(), task.state == TaskState::Sleeping);
        assert_eq!(doc.get("finished_at").is_some(), task.state.is_terminal());
        assert!(read_models.one(stranger, &entry.id).await.unwrap().is_none());

        let filter = RunFilter { task_id: Some(entry.id), ..RunFilter::default() };
        let runs = read_models.list(workspace, &filter, &all).await.unwrap();
        let mut expected: Vec<String> = entry.runs.iter().map(|run| run.run_id.to_string()).collect();
        expected.reverse();
        assert_eq!(ids(&runs.items), expected);
        for run in &entry.runs {
            let shown = read_models.one(workspace, &run.run_id).await.unwrap().unwrap();
            let shown: Value = serde_json::from_str(shown.doc.get()).unwrap();
            assert_eq!(shown["status"], run.status.as_str());
            assert_eq!(shown["attempt_no"], run.attempts);
            assert_eq!(shown["attempts"].as_array().unwrap().len(), run.attempts as usize);
            assert_eq!(read_models.task_of(workspace, &run.run_id).await.unwrap(), Some(entry.id));
            assert_eq!(read_models.task_of(stranger, &run.run_id).await.unwrap(), None);
            assert!(read_models.one(stranger, &run.run_id).await.unwrap().is_none());
        }
        let filter = OutputFilter { task_id: Some(entry.id), ..OutputFilter::default() };
        let outputs = read_models.list(workspace, &filter, &all).await.unwrap();
        let found: BTreeSet<String> = ids(&outputs.items).into_iter().collect();
        assert_eq!(found, task.outputs.named().map(|(id, _)| id.to_string()).collect());
        assert!(read_models.list(stranger, &filter, &all).await.unwrap().items.is_empty());
        for (id, _) in task.outputs.named() {
            let id = &id;
            assert_eq!(read_models.task_of(workspace, id).await.unwrap(), Some(entry.id));
            assert!(read_models.one(stranger, id).await.unwrap().is_none());
            assert!(read_models.one(workspace, &OutputOfTask(entry.id, *id)).await.unwrap().is_some());
            let other_task = OutputOfTask(TaskId(uuid::Uuid::nil()), *id);
            assert!(read_models.one(workspace, &other_task).await.unwrap().is_none());
        }
        let inputs = read_models
            .list(workspace, &InputsOfTask(entry.id), &Page { limit: Some(500), ..Page::default() })
            .await
            .unwrap();
        assert_eq!(ids(&inputs.items), entry.inputs.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert!(read_models.list(stranger, &InputsOfTask(entry.id), &all).await.unwrap().items.is_empty());
        let blockers = read_models.list(workspace, &BlockersOfTask(entry.id), &all).await.unwrap();
        assert_eq!(blockers.items.len(), task.blocker_revision as usize);
        seen[0] += runs.items.len();
        seen[1] += outputs.items.len();
        seen[2] += inputs.items.len();
        seen[3] += blockers.items.len();
    }
    assert!(seen.iter().all(|count| *count > 10), "the story is too dull: {seen:?}");
    for workspace in ["dev", "other"] {
        let open = |entry: &&crate::story::StoryTask| {
            let task = entry.state.as_deref().unwrap();
            task.accepted.workspace == workspace && task.blocker.is_some()
        };
        let inbox = read_models.list(workspace, &BlockerFilter::default(), &all).await.unwrap();
        assert_eq!(inbox.items.len(), story.tasks.iter().filter(open).count());
        assert_eq!(read_models.list(workspace, &AgentFilter, &all).await.unwrap().items.len(), 2);
        assert!(read_models.one(workspace, &ThisWorkspace).await.unwrap().is_some());
        let bindings = read_models.list(workspace, &BindingFilter::default(), &all).await.unwrap().items;
        assert_eq!(bindings.len(), if workspace == "dev" { 1 } else { 2 }, "{bindings:?}");
        assert!(bindings.iter().all(|doc| doc.get().contains(&format!("\"workspace\":\"{workspace}\""))));
        let filter = RunFilter { statuses: vec![RunStatus::Ok], ..RunFilter::default() };
        for run in read_models.list(workspace, &filter, &all).await.unwrap().items {
            assert_eq!(serde_json::from_str::<Value>(run.get()).unwrap()["status"], "ok");
        }
    }
    for agent in &story.agents {
        let (stats, position) = read_models.agent_stats(&agent.workspace, agent.agent_id).await.unwrap();
        let naive = naive_stats(&story, agent.agent_id);
        assert_eq!((stats.total, stats.failed_count, position), (naive.0, naive.1, story.end().await));
        assert!((stats.total_cost_usd - naive.2).abs() < 1e-6, "{stats:?} {naive:?}");
        assert_eq!(stats.by_state.values().sum::<u64>(), stats.total);
        assert!(stats.avg_run_sec.is_some_and(|seconds| seconds > 0.0), "{stats:?}");
        let (foreign, _) = read_models.agent_stats("nobody", agent.agent_id).await.unwrap();
        assert_eq!((foreign.total, foreign.avg_run_sec), (0, None));
        let open = read_models.open_tasks_of(&agent.workspace, agent.agent_id, 10_000).await.unwrap();
        let counted = read_models.count_open_tasks(&agent.workspace, Some(agent.agent_id)).await.unwrap();
        assert_eq!(open.len() as u64, counted);
        assert!(read_models.one(&agent.workspace, &agent.agent_id).await.unwrap().is_some());
        assert!(read_models.one("nobody", &agent.agent_id).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn an_empty_answer_has_a_position_too() {
    let place = Place::new().await;
    let story = Story::begin(34).await;
    project(&story.shared(), &place.read_models, story.end().await).await;
    let nothing = place.read_models.list("dev", &TaskFilter::default(), &Page::default()).await.unwrap();
    assert_eq!((nothing.items.len(), nothing.position, nothing.limit), (0, story.end().await, 50));
    assert_eq!(nothing.next_cursor, None);
    let unknown = RunId("00000000-0000-0000-0000-000000000001".parse().unwrap());
    assert!(place.read_models.one("dev", &unknown).await.unwrap().is_none());
    assert!(place.read_models.one("nobody", &ThisWorkspace).await.unwrap().is_none());
    let bad = Page { cursor: Some("nonsense".into()), ..Page::default() };
    let refused = place.read_models.list("dev", &TaskFilter::default(), &bad).await;
    assert!(matches!(refused, Err(QueryError::Cursor(_))), "{refused:?}");
}
