//! Accepting a command to an agent (domain.md 3, reference/behaviour 9.3).

use chrono::{DateTime, Duration, Utc};

use crate::Faults;
use crate::class_key::execution_class_key;
use crate::id::RunId;
use crate::policy::RunPolicy;
use crate::task::command::Accept;
use crate::task::event::{Event, Priority, RunCause, RunRequested, TaskAccepted, TaskSlept};
use crate::task::rejection::Rejection;

/// Longest attempt when the command names none, in milliseconds.
pub const DEFAULT_TIMEOUT_MS: i64 = 600_000;

/// The latest instant and longest span a command may name, so that time arithmetic cannot overflow: a century.
const SPAN_MS_MAX: i64 = 100 * 366 * 86_400_000;

pub(super) fn accept(command: &Accept) -> Result<Vec<Event>, Rejection> {
    if command.message.len() > command.message_bytes_max {
        return Err(Rejection::TooLarge { field: "message", limit_bytes: command.message_bytes_max });
    }
    if !command.agent.active {
        return Err(Rejection::AgentInactive(command.agent.agent_key.clone()));
    }
    let accepted = validated(command).map_err(Rejection::Invalid)?;
    let wake_at = wake_at(command);
    let prompt = accepted.message.clone();
    let task_id = accepted.task_id;
    let label = accepted.label.clone();
    let mut events = vec![Event::TaskAccepted(Box::new(accepted))];
    events.push(match wake_at {
        Some(wake_at) => {
            Event::TaskSlept(TaskSlept {
                wake_at,
                reason: Some(label.map_or_else(
                    || "Scheduled follow-up".to_owned(),
                    |label| format!("Follow up with {label}"),
                )),
                follow_up_prompt: None,
                agenda: Vec::new(),
                at: command.at,
            })
        }
        None => Event::RunRequested(RunRequested {
            run_id: RunId::of_task(task_id, 1),
            run_no: 1,
            cause: RunCause::Accepted,
            prompt,
            input_ids: Vec::new(),
            resumed_from_run_id: None,
            queued_at: command.at,
        }),
    });
    Ok(events)
}

/// When the command wants to be woken, if not at once: the later of its two ways to say so.
fn wake_at(command: &Accept) -> Option<DateTime<Utc>> {
    let delayed = command
        .dispatch_delay_ms
        .filter(|ms| *ms > 0)
        .and_then(|ms| command.at.checked_add_signed(Duration::milliseconds(ms)));
    delayed.max(command.not_before).filter(|wake_at| *wake_at > command.at)
}

fn validated(command: &Accept) -> Result<TaskAccepted, Vec<crate::Fault>> {
    let mut faults = Faults::default();
    let message = command.message.trim();
    faults.require(!message.is_empty(), "/message", "message is required");
    faults.require(!command.session_id.trim().is_empty(), "/session_id", "session_id is required");
    let timeout_ms = command.timeout_ms.unwrap_or(DEFAULT_TIMEOUT_MS);
    faults.require(timeout_ms >= 0, "/timeout_ms", "timeout_ms must be >= 0");
    faults.require(
        command.budget_usd.is_none_or(|budget| budget.is_finite() && budget >= 0.0),
        "/budget_usd",
        "budget_usd must be >= 0",
    );
    for (pointer, span) in [
        ("/timeout_ms", command.timeout_ms),
        ("/dispatch_delay_ms", command.dispatch_delay_ms),
        ("/queue_ttl_ms", command.queue_ttl_ms),
    ] {
        faults.require(span.is_none_or(|ms| ms <= SPAN_MS_MAX), pointer, "must be at most a century");
    }
    faults.require(
        command.dispatch_delay_ms.is_none_or(|ms| ms >= 0),
        "/dispatch_delay_ms",
        "dispatch_delay_ms must be >= 0",
    );
    faults.require(command.queue_ttl_ms.is_none_or(|ms| ms > 0), "/queue_ttl_ms", "queue_ttl_ms must be > 0");
    faults.require(
        command.deadline.is_none_or(|deadline| deadline > command.at),
        "/deadline",
        "deadline must lie in the future",
    );
    let priority = priority(command.priority.as_deref(), &mut faults);
    let policy = command.policy.clone().unwrap_or_default().normalised();
    policy.check(&mut faults);
    if let Some(parent) = &command.parent {
        faults.require(
            parent.is_open,
            "/parent_task_id",
            "parent_task_id must name an open task of this workspace",
        );
    }
    faults.into_result()?;
    Ok(frozen(command, message, timeout_ms, priority, policy))
}

fn priority(given: Option<&str>, faults: &mut Faults) -> Priority {
    let text = given.map(str::trim).unwrap_or_default().to_lowercase();
    match text.as_str() {
        "" | "normal" => Priority::Normal,
        "low" => Priority::Low,
        "high" => Priority::High,
        "urgent" => Priority::Urgent,
        other => {
            faults.add("/priority", format!("priority {other:?} is not supported"));
            Priority::Normal
        }
    }
}

fn frozen(
    command: &Accept,
    message: &str,
    timeout_ms: i64,
    priority: Priority,
    policy: RunPolicy,
) -> TaskAccepted {
    let given = |text: &Option<String>| {
        text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let lane = given(&command.lane);
    let of_config =
        |key: &str| command.agent.config.get(key).and_then(serde_json::Value::as_str).map(str::to_owned);
    TaskAccepted {
        task_id: command.task_id,
        workspace: command.workspace.clone(),
        agent_id: command.agent.agent_id,
        agent_key: command.agent.agent_key.clone(),
        agent_name: command.agent.name.clone(),
        agent_config: command.agent.config.clone(),
        provider: of_config("provider"),
        model: of_config("model"),
        message: message.to_owned(),
        session_id: command.session_id.trim().to_owned(),
        session_key: given(&command.session_key),
        instance_key: execution_class_key(
            &command.workspace,
            command.agent.agent_id,
            lane.as_deref(),
            &policy,
        ),
        lane,
        policy,
        timeout_ms,
        priority,
        budget_usd: command.budget_usd,
        parent_task_id: command.parent.as_ref().map(|parent| parent.task_id),
        label: given(&command.label),
        labels: command.labels.clone(),
        routing: command.routing.clone(),
        input_provenance: command.input_provenance.clone(),
        attachments: command.attachments.clone(),
        extra_system_prompt: given(&command.extra_system_prompt),
        deliver: command.deliver,
        source_view_id: given(&command.source_view_id),
        spawned_by: given(&command.spawned_by),
        hook_id: given(&command.hook_id),
        deadline: command.deadline,
        queue_ttl_ms: command.queue_ttl_ms,
        accepted_at: command.at,
    }
}
