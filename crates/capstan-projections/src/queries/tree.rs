//! A task with its subtasks at every depth, and their cost.

use std::collections::HashMap;

use capstan_domain::id::{AgentId, TaskId};
use capstan_envelope::Position;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use crate::checkpoint;
use crate::queries::QueryError;
use crate::read_models::ReadModels;

/// Breadth first, so that the deepest tasks are the ones omitted. Names and cost are in the document only; Postgres does
/// not parse one that contains an escaped NUL.
const SQL: &str = "WITH RECURSIVE tree AS ( \
        SELECT id, 0 AS depth FROM capstan.tasks WHERE workspace = $1 AND id = $2 \
        UNION ALL \
        SELECT t.id, tree.depth + 1 FROM capstan.tasks t JOIN tree ON t.parent_task_id = tree.id \
        WHERE t.workspace = $1 AND tree.depth <= $3), \
    shown AS (SELECT id, depth FROM tree LIMIT $4) \
    SELECT c.position, shown.depth, t.id, t.parent_task_id, t.agent_id, t.state, t.label, t.created_at, \
           a.doc #>> '{accepted,agent_name}', (d.doc #>> '{shown,usage,cost_usd}')::float8, c.hash \
    FROM capstan.checkpoint c, shown JOIN capstan.tasks t ON t.id = shown.id AND t.workspace = $1, \
         LATERAL (SELECT replace(t.doc, '\\u0000', '\\ufffd')::json AS doc) d, \
         LATERAL (SELECT replace(a.doc, '\\u0000', '\\ufffd')::json AS doc \
                  FROM capstan.acceptances a WHERE a.id = t.id) a \
    ORDER BY shown.depth, t.created_at, t.id";

/// A task and its subtasks.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct TaskTree {
    /// The requested task.
    pub root: TreeTask,
    /// Number of tasks in the tree.
    pub tasks: usize,
    /// True when tasks were omitted, below the depth limit or beyond the task limit; totals then cover the tasks shown.
    pub truncated: bool,
}

/// A task in a tree.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct TreeTask {
    /// Id of the task.
    pub id: TaskId,
    /// Label of the task.
    pub label: Option<String>,
    /// Its agent.
    pub agent_id: AgentId,
    /// Name of the agent.
    pub agent_name: String,
    /// State of the task.
    pub state: String,
    /// Time of creation.
    pub created_at: DateTime<Utc>,
    /// Cost of its own runs, in US dollars.
    pub cost_usd: f64,
    /// The same including all subtasks.
    pub total_cost_usd: f64,
    /// Its subtasks, oldest first.
    pub children: Vec<TreeTask>,
}

impl ReadModels {
    /// The tree below a task, limited in depth and number of tasks, and the position it was read at.
    pub async fn task_tree(
        &self,
        workspace: &str,
        id: TaskId,
        depth_max: u32,
        tasks_max: u32,
    ) -> Result<Option<(TaskTree, Position)>, QueryError> {
        let depth_max = i32::try_from(depth_max).unwrap_or(i32::MAX - 1);
        // One level and one task more than the limits: something is omitted.
        let more = i64::from(tasks_max) + 1;
        let rows = self.rows(SQL, &[&workspace, &id.0, &depth_max, &more]).await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let position = checkpoint::position(first);
        let shown =
            rows.iter().take(tasks_max.max(1) as usize).filter(|row| row.get::<_, i32>(1) <= depth_max);
        let mut tasks: Vec<(Option<TaskId>, TreeTask)> = shown
            .map(|row| {
                let cost_usd = row.get::<_, Option<f64>>(9).unwrap_or_default();
                let task = TreeTask {
                    id: TaskId(row.get(2)),
                    label: row.get(6),
                    agent_id: AgentId(row.get(4)),
                    agent_name: row.get::<_, Option<String>>(8).unwrap_or_default(),
                    state: row.get(5),
                    created_at: row.get(7),
                    cost_usd,
                    total_cost_usd: cost_usd,
                    children: Vec::new(),
                };
                (row.get::<_, Option<uuid::Uuid>>(3).map(TaskId), task)
            })
            .collect();
        let count = tasks.len();
        let truncated = count < rows.len();
        // Deepest first: a task comes after all its children.
        let mut children: HashMap<TaskId, Vec<TreeTask>> = HashMap::new();
        while let Some((parent, mut task)) = tasks.pop() {
            let mut below = children.remove(&task.id).unwrap_or_default();
            below.reverse();
            task.total_cost_usd += below.iter().map(|child| child.total_cost_usd).sum::<f64>();
            task.children = below;
            match parent.filter(|_| !tasks.is_empty()) {
                Some(parent) => children.entry(parent).or_default().push(task),
                None => return Ok(Some((TaskTree { root: task, tasks: count, truncated }, position))),
            }
        }
        Ok(None)
    }
}
