//! Accepting a command to an agent.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::Faults;
use crate::agent::TaskSettings;
use crate::class_key::execution_class_key;
use crate::id::RunId;
use crate::limits::{
    self, LABEL_BYTES_MAX, LABELS_BYTES_MAX, NAME_BYTES_MAX, REFERENCE_BYTES_MAX, ROUTING_BYTES_MAX,
};
use crate::policy::RunPolicy;
use crate::redaction::{refuse_placeholder_labels, refuse_placeholders, refuse_placeholders_in_all};
use crate::session;
use crate::span::{SPAN_MS_MAX, later};
use crate::stored::json_bytes;
use crate::task::command::{
    ATTACHMENT_BYTES_MAX, ATTACHMENTS_MAX, Accept, AcceptAgentCommand, MESSAGE_BYTES_MAX,
};
use crate::task::event::{
    DEPTH_MAX, Event, InputNumbers, Opening, Priority, RunCause, RunRequested, TaskAccepted, TaskSlept,
};
use crate::task::rejection::Rejection;
use crate::task::steps::watches;
use crate::task::words;
use crate::text::non_blank;

/// Longest attempt when the command names none, in milliseconds.
pub const DEFAULT_TIMEOUT_MS: i64 = 600_000;

pub(super) fn accept(accept: &Accept, at: DateTime<Utc>) -> Result<Vec<Event>, Rejection> {
    let command = &accept.command;
    if command.message.len() > accept.message_bytes_max {
        return Err(Rejection::TooLarge { field: "message", limit_bytes: accept.message_bytes_max });
    }
    if command.attachments.iter().any(|attachment| json_bytes(attachment) > ATTACHMENT_BYTES_MAX) {
        return Err(Rejection::TooLarge { field: "attachments", limit_bytes: ATTACHMENT_BYTES_MAX });
    }
    if !accept.agent.active {
        return Err(Rejection::AgentInactive(accept.agent.agent_key.clone()));
    }
    let accepted = validated(accept, at).map_err(Rejection::Invalid)?;
    let wake_at = wake_at(command, at);
    let task_id = accepted.task_id;
    let mut events = vec![Event::TaskAccepted(Arc::new(accepted))];
    // No run has number 0, so the ids of these watches collide with no others.
    events.extend(watches::armed(RunId::for_task(task_id, 0), &accept.watches, at));
    events.push(match wake_at {
        Some(wake_at) => Event::TaskSlept(TaskSlept {
            wake_at,
            reason: Some("Scheduled follow-up".to_owned()),
            follow_up_prompt: None,
            agenda: Vec::new(),
            at,
        }),
        None => Event::RunRequested(RunRequested {
            run_id: RunId::for_task(task_id, 1),
            run_no: 1,
            cause: RunCause::Accepted,
            note: None,
            opening: Opening::Message,
            inputs: InputNumbers::default(),
            reopens: false,
            resumed_from_run_id: None,
            queued_at: at,
        }),
    });
    Ok(events)
}

/// The wake time of a delayed command; none when it has passed.
fn wake_at(command: &AcceptAgentCommand, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let delayed = command.dispatch_delay_ms.map(|ms| later(at, ms));
    delayed.or(command.not_before).filter(|wake_at| *wake_at > at)
}

fn validated(accept: &Accept, at: DateTime<Utc>) -> Result<TaskAccepted, Vec<crate::Fault>> {
    let command = &accept.command;
    let mut faults = Faults::default();
    let message = faults.required("/message", &command.message);
    faults.require(
        command.attachments.len() <= ATTACHMENTS_MAX,
        "/attachments",
        format_args!("attachments must be at most {ATTACHMENTS_MAX}"),
    );
    let timeout_ms = command.timeout_ms.unwrap_or(DEFAULT_TIMEOUT_MS);
    faults.require(timeout_ms >= 0, "/timeout_ms", "timeout_ms must be >= 0");
    faults.amount("/budget_usd", command.budget_usd);
    for (pointer, span) in [
        ("/timeout_ms", command.timeout_ms),
        ("/dispatch_delay_ms", command.dispatch_delay_ms),
        ("/queue_ttl_ms", command.queue_ttl_ms),
    ] {
        faults.span(pointer, span);
    }
    faults.require(
        command.dispatch_delay_ms.is_none_or(|ms| ms >= 0),
        "/dispatch_delay_ms",
        "dispatch_delay_ms must be >= 0",
    );
    faults.require(command.queue_ttl_ms.is_none_or(|ms| ms > 0), "/queue_ttl_ms", "queue_ttl_ms must be > 0");
    faults.require(
        command.deadline.is_none_or(|deadline| deadline > at),
        "/deadline",
        "deadline must be in the future",
    );
    let latest = later(at, SPAN_MS_MAX);
    for (pointer, instant) in [("/not_before", command.not_before), ("/deadline", command.deadline)] {
        faults.require(instant.is_none_or(|at| at <= latest), pointer, "must be within a century");
    }
    faults.require(
        command.dispatch_delay_ms.is_none() || command.not_before.is_none(),
        "",
        "at most one of dispatch_delay_ms and not_before may be given",
    );
    let priority = words::priority(command.priority.as_deref(), &mut faults);
    session::check_mode(command.queue_mode.as_deref(), &mut faults);
    let policy = command.policy.as_ref().or(accept.default_policy.as_ref()).cloned();
    let policy = policy.unwrap_or_default().normalised();
    policy.check(&mut faults);
    for (pointer, text, bytes_max) in [
        ("/label", &command.label, LABEL_BYTES_MAX),
        ("/lane", &command.lane, NAME_BYTES_MAX),
        ("/session_id", &command.session_id, REFERENCE_BYTES_MAX),
        ("/session_key", &command.session_key, REFERENCE_BYTES_MAX),
        ("/source_view_id", &command.source_view_id, REFERENCE_BYTES_MAX),
        ("/spawned_by", &command.spawned_by, REFERENCE_BYTES_MAX),
        ("/hook_id", &command.hook_id, REFERENCE_BYTES_MAX),
        ("/extra_system_prompt", &command.extra_system_prompt, MESSAGE_BYTES_MAX),
    ] {
        limits::check(pointer, text.as_deref(), bytes_max, &mut faults);
    }
    limits::check_json("/labels", &command.labels, LABELS_BYTES_MAX, &mut faults);
    limits::check_json("/routing", &command.routing, ROUTING_BYTES_MAX, &mut faults);
    limits::check_json("/input_provenance", &command.input_provenance, ROUTING_BYTES_MAX, &mut faults);
    refuse_placeholder_labels(&command.labels, "/labels", &mut faults);
    refuse_placeholders(&command.routing, "/routing", &mut faults);
    refuse_placeholders(&command.input_provenance, "/input_provenance", &mut faults);
    refuse_placeholders_in_all(&command.attachments, "/attachments", &mut faults);
    if let Some(parent) = &accept.parent {
        faults.require(
            parent.is_open,
            "/parent_task_id",
            "parent_task_id must name an open task of this workspace",
        );
        faults.require(
            parent.depth < DEPTH_MAX,
            "/parent_task_id",
            format_args!("tasks may be nested at most {DEPTH_MAX} levels deep"),
        );
    }
    faults.into_result()?;
    Ok(frozen(accept, at, message, timeout_ms, priority, policy))
}

fn frozen(
    accept: &Accept,
    at: DateTime<Utc>,
    message: &str,
    timeout_ms: i64,
    priority: Priority,
    policy: RunPolicy,
) -> TaskAccepted {
    let command = &accept.command;
    let given = |text: &Option<String>| non_blank(text.as_deref());
    let lane = given(&command.lane);
    let TaskSettings { provider, model, pool } = accept.agent.settings.clone();
    TaskAccepted {
        task_id: accept.task_id,
        workspace: accept.agent.workspace.clone(),
        agent_id: accept.agent.agent_id,
        agent_key: accept.agent.agent_key.clone(),
        agent_name: accept.agent.name.clone(),
        agent_config_version: accept.agent.config_version,
        provider,
        model,
        pool,
        message: message.to_owned(),
        session_id: given(&command.session_id).unwrap_or_else(|| accept.task_id.to_string()),
        session_key: given(&command.session_key),
        instance_key: execution_class_key(
            &accept.agent.workspace,
            accept.agent.agent_id,
            lane.as_deref(),
            &policy,
        ),
        lane,
        policy,
        timeout_ms,
        priority,
        budget_usd: command.budget_usd,
        parent_task_id: accept.parent.as_ref().map(|parent| parent.task_id),
        root_task_id: accept.parent.as_ref().map(|parent| parent.root_task_id),
        depth: accept.parent.as_ref().map_or(0, |parent| parent.depth.saturating_add(1)),
        parent_close: command.parent_close.unwrap_or_default(),
        source_output_id: given(&accept.source_output_id),
        runs_after: accept.runs_after,
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
        schedule_id: given(&accept.schedule_id),
        occasion: given(&accept.occasion),
        skill_paths: accept.skill_paths.clone(),
        deadline: command.deadline,
        queue_ttl_ms: command.queue_ttl_ms,
        accepted_by: accept.accepted_by.clone(),
        accepted_at: at,
    }
}

#[cfg(test)]
mod tests {
    use capstan_decider::spec::given;
    use chrono::Duration;

    use serde_json::json;

    use super::*;
    use crate::agent::{self, AgentForTask};
    use crate::task::command::Parent;
    use crate::task::event::InputOutcome;
    use crate::task::fixture::{
        accept, accepting, agent, agent_command, at, kinds, lease, queued, run, say_as, task_id,
    };
    use crate::task::{TaskDecider, TaskState};

    fn refused(accept: impl Into<Accept>, pointers: &[&str]) {
        given::<TaskDecider>([]).when(accepting(accept)).then_rejected_with(|rejection| match rejection {
            Rejection::Invalid(faults) => {
                let found: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
                assert_eq!(found, pointers);
                true
            }
            _ => false,
        });
    }

    #[test]
    fn an_accepted_command_waits_in_the_queue_with_its_message_as_prompt() {
        let command = AcceptAgentCommand {
            message: "  do it \n".into(),
            priority: Some(" HIGH ".into()),
            ..agent_command()
        };
        given::<TaskDecider>([]).when(accepting(command)).then_with(|events, state| {
            assert_eq!(kinds(events), ["accepted", "run requested"]);
            let task = state.as_ref().unwrap();
            assert_eq!(
                (task.state, task.priority, task.queued_at),
                (TaskState::Queued, Priority::High, Some(at(0)))
            );
            assert_eq!(task.accepted.timeout_ms, DEFAULT_TIMEOUT_MS);
            let first = task.current_run().unwrap();
            assert_eq!((first.run_id, task.prompt(first)), (run(1), "do it"));
        });
    }

    #[test]
    fn without_a_session_or_a_policy_it_has_its_own_session_and_the_policy_of_the_workspace() {
        let default_policy = Some(RunPolicy { interactive: false, ..RunPolicy::default() });
        for session_id in [None, Some(" ".to_owned())] {
            let command = AcceptAgentCommand { session_id, ..agent_command() };
            let command = Accept { default_policy: default_policy.clone(), ..command.into() };
            given::<TaskDecider>([]).when(accepting(command)).then_with(|_, state| {
                let accepted = &state.as_ref().unwrap().accepted;
                assert_eq!(
                    (&accepted.session_id, accepted.policy.interactive),
                    (&task_id().to_string(), false)
                );
            });
        }
        let policy = Some(RunPolicy::default());
        let command = AcceptAgentCommand { policy, ..agent_command() };
        let command = Accept { default_policy, ..command.into() };
        given::<TaskDecider>([]).when(accepting(command)).then_with(|_, state| {
            assert!(state.as_ref().unwrap().accepted.policy.interactive);
        });
    }

    #[test]
    fn agent_configuration_is_frozen_at_acceptance() {
        let mut command = accept();
        command.agent = AgentForTask::from(agent::Created {
            config: json!({ "provider": "claude", "model": "m-1", "pool": "gpu" })
                .as_object()
                .cloned()
                .unwrap_or_default(),
            ..agent()
        });
        let config_version = command.agent.config_version;
        given::<TaskDecider>([]).when(accepting(command)).then_with(|_, state| {
            let accepted = &state.as_ref().unwrap().accepted;
            assert_eq!(
                (accepted.provider.as_deref(), accepted.model.as_deref(), accepted.pool.as_deref()),
                (Some("claude"), Some("m-1"), Some("gpu"))
            );
            assert_eq!(accepted.agent_config_version, config_version);
        });
    }

    #[test]
    fn texts_that_streams_rows_and_indexes_keep_have_limits() {
        let long = |bytes: usize| Some("x".repeat(bytes + 1));
        let too_long = AcceptAgentCommand {
            label: long(LABEL_BYTES_MAX),
            lane: long(NAME_BYTES_MAX),
            session_id: long(REFERENCE_BYTES_MAX),
            session_key: long(REFERENCE_BYTES_MAX),
            source_view_id: long(REFERENCE_BYTES_MAX),
            spawned_by: long(REFERENCE_BYTES_MAX),
            hook_id: long(REFERENCE_BYTES_MAX),
            extra_system_prompt: long(MESSAGE_BYTES_MAX),
            labels: [("a".to_owned(), "x".repeat(LABELS_BYTES_MAX))].into(),
            routing: [("a".to_owned(), json!("x".repeat(ROUTING_BYTES_MAX)))].into_iter().collect(),
            input_provenance: [("a".to_owned(), json!("x".repeat(ROUTING_BYTES_MAX)))].into_iter().collect(),
            ..agent_command()
        };
        let pointers = [
            "/label",
            "/lane",
            "/session_id",
            "/session_key",
            "/source_view_id",
            "/spawned_by",
            "/hook_id",
            "/extra_system_prompt",
            "/labels",
            "/routing",
            "/input_provenance",
        ];
        refused(too_long, &pointers);
        let fits = |bytes: usize| Some("x".repeat(bytes));
        let longest = AcceptAgentCommand {
            label: fits(LABEL_BYTES_MAX),
            lane: fits(NAME_BYTES_MAX),
            session_id: fits(REFERENCE_BYTES_MAX),
            ..agent_command()
        };
        given::<TaskDecider>([]).when(accepting(longest)).then_with(|events, _| {
            assert_eq!(kinds(events), ["accepted", "run requested"]);
        });
    }

    #[test]
    fn a_delayed_command_sleeps_until_its_instant() {
        let command = AcceptAgentCommand {
            not_before: Some(at(90)),
            label: Some("Ann".into()),
            spawned_by: Some("bob".into()),
            ..agent_command()
        };
        given::<TaskDecider>([]).when(accepting(command)).then_with(|events, state| {
            assert_eq!(kinds(events), ["accepted", "slept"]);
            let Event::TaskSlept(slept) = &events[1] else { panic!("slept") };
            assert_eq!((slept.wake_at, slept.reason.as_deref()), (at(90), Some("Scheduled follow-up")));
            let task = state.as_ref().unwrap();
            assert_eq!((task.state, task.accepted.spawned_by.as_deref()), (TaskState::Sleeping, Some("bob")));
        });
    }

    #[test]
    fn without_a_label_the_reason_to_sleep_is_a_general_one() {
        let command = AcceptAgentCommand { dispatch_delay_ms: Some(7_200_000), ..agent_command() };
        given::<TaskDecider>([]).when(accepting(command)).then_with(|events, _| {
            let Event::TaskSlept(slept) = &events[1] else { panic!("slept") };
            assert_eq!((slept.wake_at, slept.reason.as_deref()), (at(7200), Some("Scheduled follow-up")));
        });
    }

    #[test]
    fn wrong_fields_are_refused_in_the_words_people_know() {
        for (command, pointer, words) in [
            (
                AcceptAgentCommand { timeout_ms: Some(-1), ..agent_command() },
                "/timeout_ms",
                "timeout_ms must be >= 0",
            ),
            (
                AcceptAgentCommand { budget_usd: Some(-0.01), ..agent_command() },
                "/budget_usd",
                "budget_usd must be >= 0 and at most 1e12",
            ),
            // So every task has a prompt.
            (
                AcceptAgentCommand { message: " \n".into(), ..agent_command() },
                "/message",
                "message is required",
            ),
        ] {
            given::<TaskDecider>([])
                .when(accepting(command))
                .then_rejected(Rejection::invalid(pointer, words));
        }
    }

    #[test]
    fn a_run_takes_inputs_under_any_policy() {
        let policy = Some(RunPolicy { interactive: false, ..RunPolicy::default() });
        given::<TaskDecider>([])
            .and(accepting(AcceptAgentCommand { policy, ..agent_command() }))
            .and(lease(1, 10))
            .when(say_as(1, "left!", "steer"))
            .then_with(|events, _| {
                let Event::InputAccepted(said) = &events[0] else { panic!("said") };
                assert_eq!(said.outcome, InputOutcome::Delivered);
            });
    }

    #[test]
    fn an_instant_that_passed_delays_nothing() {
        for command in [
            AcceptAgentCommand { dispatch_delay_ms: Some(0), ..agent_command() },
            AcceptAgentCommand { not_before: Some(at(0)), ..agent_command() },
        ] {
            given::<TaskDecider>([])
                .when(accepting(command))
                .then_with(|events, _| assert_eq!(kinds(events), ["accepted", "run requested"]));
        }
    }

    #[test]
    fn a_delay_and_an_instant_are_not_given_together() {
        refused(
            AcceptAgentCommand {
                dispatch_delay_ms: Some(1_000),
                not_before: Some(at(90)),
                ..agent_command()
            },
            &[""],
        );
    }

    #[test]
    fn the_placeholder_of_a_hidden_value_is_refused_in_every_map() {
        let map = || json!({ "deep": [{ "token": "[redacted]" }] }).as_object().cloned().unwrap();
        refused(
            AcceptAgentCommand {
                labels: [("api_key".to_owned(), "[redacted]".to_owned())].into(),
                routing: map(),
                input_provenance: map(),
                attachments: vec![map()],
                ..agent_command()
            },
            &[
                "/labels/api_key",
                "/routing/deep/0/token",
                "/input_provenance/deep/0/token",
                "/attachments/0/deep/0/token",
            ],
        );
    }

    #[test]
    fn all_faults_of_a_command_are_reported_together() {
        let command = AcceptAgentCommand {
            message: " ".into(),
            queue_mode: Some("later".into()),
            timeout_ms: Some(-1),
            budget_usd: Some(f64::NAN),
            dispatch_delay_ms: Some(i64::MAX),
            queue_ttl_ms: Some(0),
            deadline: Some(at(0)),
            not_before: Some(at(0) + Duration::days(100_000)),
            priority: Some("soon".into()),
            policy: Some(RunPolicy { host: "vm".into(), ..RunPolicy::default() }),
            ..agent_command()
        };
        let parent = Some(Parent { task_id: task_id(), root_task_id: task_id(), depth: 0, is_open: false });
        refused(
            Accept { parent, ..command.into() },
            &[
                "/message",
                "/timeout_ms",
                "/budget_usd",
                "/dispatch_delay_ms",
                "/queue_ttl_ms",
                "/deadline",
                "/not_before",
                "",
                "/priority",
                "/queue_mode",
                "/policy/host",
                "/parent_task_id",
            ],
        );
    }

    #[test]
    fn an_absurd_budget_is_refused() {
        for budget in [-0.1, 1.1e12, f64::INFINITY] {
            refused(AcceptAgentCommand { budget_usd: Some(budget), ..agent_command() }, &["/budget_usd"]);
        }
    }

    #[test]
    fn a_negative_delay_is_refused() {
        refused(
            AcceptAgentCommand { dispatch_delay_ms: Some(-1), ..agent_command() },
            &["/dispatch_delay_ms"],
        );
    }

    #[test]
    fn a_message_over_the_limit_is_too_large_and_one_at_the_limit_is_not() {
        let of = |bytes: usize| {
            let command = AcceptAgentCommand { message: "x".repeat(bytes), ..agent_command() };
            accepting(Accept { message_bytes_max: 8, ..command.into() })
        };
        given::<TaskDecider>([])
            .when(of(9))
            .then_rejected(Rejection::TooLarge { field: "message", limit_bytes: 8 });
        given::<TaskDecider>([]).when(of(8)).then_with(|events, _| assert_eq!(events.len(), 2));
    }

    #[test]
    fn attachments_are_limited_in_number_and_each_in_size() {
        let attachment = |bytes: usize| {
            // {"a":"…"} has eight characters besides the text.
            serde_json::Map::from_iter([("a".to_owned(), "x".repeat(bytes - 8).into())])
        };
        let with = |attachments| AcceptAgentCommand { attachments, ..agent_command() };
        refused(with(vec![attachment(9); ATTACHMENTS_MAX + 1]), &["/attachments"]);
        for taken in [vec![attachment(9); ATTACHMENTS_MAX], vec![attachment(ATTACHMENT_BYTES_MAX)]] {
            given::<TaskDecider>([])
                .when(accepting(with(taken)))
                .then_with(|events, _| assert_eq!(events.len(), 2));
        }
        let large = with(vec![attachment(9), attachment(ATTACHMENT_BYTES_MAX + 1)]);
        given::<TaskDecider>([])
            .when(accepting(large))
            .then_rejected(Rejection::TooLarge { field: "attachments", limit_bytes: ATTACHMENT_BYTES_MAX });
    }

    #[test]
    fn an_inactive_agent_takes_no_commands() {
        let mut command = accept();
        command.agent.active = false;
        given::<TaskDecider>([])
            .when(accepting(command))
            .then_rejected(Rejection::AgentInactive("demo".into()));
    }

    #[test]
    fn a_task_is_accepted_once() {
        queued().when(accepting(accept())).then_rejected(Rejection::Exists);
    }

    #[test]
    fn an_open_parent_is_kept_and_blank_texts_are_not() {
        let parent = Some(Parent { task_id: task_id(), root_task_id: task_id(), depth: 0, is_open: true });
        let command =
            AcceptAgentCommand { label: Some(" ".into()), lane: Some(" a ".into()), ..agent_command() };
        let command = Accept { parent, ..command.into() };
        given::<TaskDecider>([]).when(accepting(command)).then_with(|_, state| {
            let accepted = &state.as_ref().unwrap().accepted;
            assert_eq!((accepted.parent_task_id, &accepted.label), (Some(task_id()), &None));
            assert_eq!(accepted.lane.as_deref(), Some("a"));
        });
    }
}
