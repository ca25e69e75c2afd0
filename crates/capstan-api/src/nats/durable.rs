//! Commands from the work queue.
//!
//! The server keeps a published command until its effect is stored in the log and its outcome published on
//! `capstan.cmd-result.<workspace>.<command-id>`; only then is it acknowledged. A redelivery finds the command executed
//! and publishes the same outcome again. Commands that name one entity run in the order in which they were published, all
//! others side by side; outcomes and acknowledgements are stored together with those that are ready at the same time.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::LazyLock;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::{self, AckKind, Message};
use bytes::Bytes;
use capstan_contract::command::COMMAND_NAMES;
use capstan_domain::span::backoff_ms;
use capstan_envelope::Held;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::lanes::Lanes;
use super::message::{self, Given};
use super::outcomes::{self, Outcome};
use super::surface::Surface;
use crate::answered::Answered;
use crate::call::CallContext;
use crate::http::routes::operations;
use crate::operation::Operation;
use crate::problem::{Code, Problem};
use crate::request::Outer;
use crate::use_case::commands;

/// The consumer all replicas share.
const CONSUMER: &str = "capstan-commands";
/// Longest pause before a retry, in milliseconds.
const BACK_OFF_MS_MAX: i64 = 30_000;
/// Commands that may wait for earlier ones of their entity, for each that may run.
const WAITING_MAX: usize = 4;
/// Part of the memory that held commands take before no more are taken.
const HELD_PART: usize = 2;
/// Part of it that one request to the server may answer, of which two are under way; more where a single message may be longer.
const PULL_PART: usize = 4;
/// The fields that name a session, in a command that creates a task.
const SESSION_FIELDS: [&str; 2] = ["session_id", "session_key"];

pub(super) async fn serve(surface: Surface) {
    surface.keep_alive("commands", serve_once).await;
}

async fn serve_once(surface: Surface) -> Result<(), async_nats::Error> {
    let bounds = &surface.app.config.nats;
    let jetstream = jetstream::new(surface.client.clone());
    let stream = jetstream.get_stream(surface.topology.commands_stream()).await?;
    let config = pull::Config {
        durable_name: Some(CONSUMER.to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: bounds.ack_wait,
        // Capstan decides when to give up, and stores a dead letter.
        max_deliver: -1,
        max_ack_pending: i64::try_from(bounds.concurrency.saturating_mul(16)).unwrap_or(i64::MAX),
        ..pull::Config::default()
    };
    let consumer = stream.get_or_create_consumer(CONSUMER, config).await?;
    let mut messages = consumer
        .stream()
        .max_messages_per_batch(bounds.concurrency)
        .max_bytes_per_batch(
            (bounds.intake.limit() / PULL_PART).max(2 * surface.client.server_info().max_payload),
        )
        .expires(Duration::from_secs(30))
        .heartbeat(Duration::from_secs(5))
        .messages()
        .await?;
    let (outcomes, ready) = mpsc::channel(bounds.concurrency);
    let publisher = tokio::spawn(outcomes::publish(surface.client.clone(), ready));
    let mut intake = Intake {
        lanes: Lanes::default(),
        running: JoinSet::new(),
        resting: JoinSet::new(),
        ends: surface.stop.child_token(),
        outcomes,
        held: bounds.intake.hold(0),
        surface: &surface,
    };
    let ended = intake.work_off(&mut messages).await;
    drop(messages);
    intake.stop().await;
    // A panic of the publisher is logged already; what it has not acknowledged is delivered again.
    let _ = publisher.await;
    ended
}

/// A command from the queue.
#[derive(Debug)]
struct Command {
    message: Message,
    lane: Lane,
    id: Uuid,
    /// The fields that stand in headers, its id among them.
    fields: Vec<Outer<'static>>,
    /// Number of its deliveries, and of the tries since this one.
    tries: i64,
    /// Its number in the queue.
    place: u64,
}

/// Commands of one lane run in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Lane {
    /// Those of a workspace that have this value in this field.
    Entity { workspace: String, field: &'static str, value: String },
    /// The one that the queue holds at this place.
    Alone(u64),
}

/// The end of a try.
#[derive(Debug)]
enum Tried {
    /// The effect of a command of so many bytes is stored, or it is refused.
    Over(Lane, usize),
    /// It failed and is tried again.
    Failed(Box<Command>),
}

/// The execution of a command panicked.
#[derive(Debug, thiserror::Error)]
#[error("the execution of the command panicked")]
struct Panicked;

/// The commands this process holds.
struct Intake<'a> {
    surface: &'a Surface,
    lanes: Lanes<Lane, Command>,
    running: JoinSet<Tried>,
    /// Those that failed, until they are tried again. Their lanes wait for them.
    resting: JoinSet<Command>,
    outcomes: mpsc::Sender<Outcome>,
    /// Cancelled when nothing more is tried.
    ends: CancellationToken,
    /// Bytes of the commands that are not over.
    held: Held,
}

impl Intake<'_> {
    /// Executes commands until the surface stops or the queue is lost.
    async fn work_off(&mut self, messages: &mut pull::Stream) -> Result<(), async_nats::Error> {
        let bounds = &self.surface.app.config.nats;
        let mut hold = tokio::time::interval(bounds.ack_wait / 3);
        loop {
            let has_room = self.running.len() < bounds.concurrency
                && self.lanes.waiting() < WAITING_MAX * bounds.concurrency
                && self.held.bytes() < bounds.intake.limit() / HELD_PART;
            tokio::select! {
                () = self.surface.stop.cancelled() => return Ok(()),
                Some(tried) = self.running.join_next() => self.go_on(tried?),
                Some(rested) = self.resting.join_next() => self.run(rested?),
                _ = hold.tick() => self.hold().await?,
                message = messages.next(), if has_room => {
                    let command = Command::from_message(self.surface, message.ok_or("the consumer ended")??)?;
                    self.held.add(command.message.payload.len());
                    let lane = command.lane.clone();
                    if let Some(first) = self.lanes.arrive(&lane, command) {
                        self.run(first);
                    }
                }
            }
        }
    }

    fn run(&mut self, command: Command) {
        self.running.spawn(command.run(self.surface.clone(), self.outcomes.clone()));
    }

    fn go_on(&mut self, tried: Tried) {
        match tried {
            Tried::Over(lane, bytes) => {
                self.held.remove(bytes);
                if let Some(next) = self.lanes.done(&lane) {
                    self.run(next);
                }
            }
            Tried::Failed(command) => {
                let ends = self.ends.clone();
                self.resting.spawn(async move {
                    let _ = ends.run_until_cancelled(tokio::time::sleep(back_off(command.tries))).await;
                    Command { tries: command.tries + 1, ..*command }
                });
            }
        }
    }

    /// Keeps the server from delivering again what waits here.
    async fn hold(&self) -> Result<(), async_nats::Error> {
        for waiting in self.lanes.iter() {
            waiting.message.ack_with(AckKind::Progress).await?;
        }
        Ok(())
    }

    /// Waits for the commands under way, and gives back those that wait, in their order.
    async fn stop(mut self) {
        self.ends.cancel();
        let mut held = Vec::new();
        while let Some(tried) = self.running.join_next().await {
            if let Ok(Tried::Failed(command)) = tried {
                held.push(*command);
            }
        }
        while let Some(rested) = self.resting.join_next().await {
            held.extend(rested);
        }
        held.extend(self.lanes.into_waiting());
        held.sort_by_key(|command| command.place);
        for command in held {
            // Without it the server delivers the command again once it has waited for an acknowledgement.
            let _ = command.message.ack_with(AckKind::Nak(None)).await;
        }
    }
}

impl Command {
    fn from_message(surface: &Surface, message: Message) -> Result<Self, async_nats::Error> {
        let info = message.info()?;
        let (place, tries) = (info.stream_sequence, info.delivered);
        // A recreated queue counts from 1 again; the time of storage makes the place unique.
        let unique = format!("{place}:{}", info.published.unix_timestamp_nanos());
        let (workspace, name) = surface.topology.parse_command(&message.subject).unwrap_or_default();
        let given = message::given(&message.payload);
        let mut fields = message::fields(message.headers.as_ref());
        let id = message::command_id(&message, &given, &mut fields, workspace, &unique);
        let lane = lane(workspace, name, &given).unwrap_or(Lane::Alone(place));
        Ok(Self { message, lane, id, fields, tries, place })
    }

    /// Tries the command. When it is over its outcome joins those to be published.
    async fn run(self, surface: Surface, outcomes: mpsc::Sender<Outcome>) -> Tried {
        let outcome = AssertUnwindSafe(self.execute(&surface)).catch_unwind().await;
        let outcome = outcome.unwrap_or_else(|_| Err(Problem::internal(Panicked)));
        if let Err(problem) = &outcome {
            problem.log(self.id);
            let is_failure = problem.status() >= 500;
            if is_failure && self.tries < surface.app.config.nats.deliveries_max {
                return Tried::Failed(Box::new(self));
            }
            if (is_failure || self.is_unreadable(&surface, problem))
                && let Err(error) =
                    surface.app.dead_letters.keep(&self.message, Some(self.id), problem, self.tries).await
            {
                tracing::warn!(%error, "failed to store a dead letter");
                return Tried::Failed(Box::new(self));
            }
        }
        let publish = self.outcome(&surface, outcome);
        let Self { lane, message, .. } = self;
        let bytes = message.payload.len();
        // The publisher ends after all who have outcomes.
        let _ = outcomes.send(Outcome { command: message, publish }).await;
        Tried::Over(lane, bytes)
    }

    async fn execute(&self, surface: &Surface) -> Result<Answered, Problem> {
        let (workspace, name) = self.address(surface).ok_or_else(|| Problem::not_found("command"))?;
        let call = CallContext { answer_is_kept: true, ..message::call(self.message.headers.as_ref()) };
        let (fields, json) = (&self.fields, &self.message.payload);
        Ok(commands::execute_given(&surface.app, workspace, name, fields, json, &[], &call).await?.into())
    }

    /// The workspace and the wire name of the command.
    fn address<'a>(&'a self, surface: &Surface) -> Option<(&'a str, &'a str)> {
        surface.topology.parse_command(&self.message.subject)
    }

    /// True when no command could be made of the message, whatever the state of the entities.
    fn is_unreadable(&self, surface: &Surface, problem: &Problem) -> bool {
        matches!(problem.code, Code::MalformedRequest)
            || self.address(surface).is_none_or(|(workspace, name)| {
                !COMMAND_NAMES.contains(&name) || capstan_envelope::Workspace::new(workspace).is_err()
            })
    }

    /// The message that tells the outcome; none where nobody could subscribe to its subject.
    fn outcome(
        &self,
        surface: &Surface,
        outcome: Result<Answered, Problem>,
    ) -> Option<(String, HeaderMap, Bytes)> {
        let (workspace, _) = self.address(surface)?;
        let subject = surface.topology.command_result_subject(&workspace.parse().ok()?, &self.id.to_string());
        let (mut headers, payload) = match outcome {
            Ok(answered) => (message::headers_of(&answered), answered.json),
            Err(problem) => message::refusal(&problem, self.id),
        };
        headers.insert(message::COMMAND_ID, self.id.to_string());
        Some((subject, headers, payload.into()))
    }
}

/// The lane of a command that names an entity: by the first field of its path over HTTP, or, where it creates a task, by the
/// session it is for.
fn lane(workspace: &str, name: &str, given: &Given) -> Option<Lane> {
    /// The fields that may name the entity, by command.
    static FIELDS: LazyLock<HashMap<&str, Vec<&str>>> = LazyLock::new(|| {
        let commands = operations().iter().filter_map(|operation| Some((operation.bus?, operation)));
        commands.map(|(name, operation)| (name, entity_fields(operation))).collect()
    });
    let named = |field: &&'static str| Some((*field, given.get(*field)?.get().to_owned()));
    let (field, value) = FIELDS.get(name)?.iter().find_map(named)?;
    Some(Lane::Entity { workspace: workspace.to_owned(), field, value })
}

fn entity_fields(operation: &Operation) -> Vec<&'static str> {
    let in_path = operation.path_names().find(|name| *name != "workspace");
    in_path.map_or(SESSION_FIELDS.to_vec(), |field| vec![field])
}

/// 100 ms, doubled with every delivery.
fn back_off(deliveries: i64) -> Duration {
    let doublings = u32::try_from(deliveries.max(1) - 1).unwrap_or(u32::MAX);
    Duration::from_millis(backoff_ms(100, doublings, BACK_OFF_MS_MAX).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_between_deliveries_grows_to_its_limit() {
        let pauses: Vec<_> = [1, 2, 5, 10, i64::MAX].into_iter().map(|n| back_off(n).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 1_600, 30_000, 30_000]);
    }

    #[test]
    fn commands_of_one_entity_share_a_lane_and_new_tasks_share_that_of_their_session() {
        let lane =
            |workspace: &str, name: &str, json: &str| lane(workspace, name, &message::given(json.as_bytes()));
        let task = r#"{"task_id":"a","reason":"x"}"#;
        let cancel = lane("dev", "cancel-task", task);
        assert!(cancel.is_some());
        assert_eq!(cancel, lane("dev", "submit-task-input", r#"{"message":"m","task_id":"a"}"#));
        assert_ne!(cancel, lane("prod", "cancel-task", task));
        assert_ne!(cancel, lane("dev", "cancel-task", r#"{"task_id":"b"}"#));
        let accept = "accept-agent-command";
        assert_eq!(lane("dev", accept, r#"{"agent_id":"demo","message":"m"}"#), None);
        let of_session = lane("dev", accept, r#"{"agent_id":"demo","message":"m","session_key":"s"}"#);
        assert_eq!(of_session, lane("dev", accept, r#"{"session_key":"s","message":"n"}"#));
        assert_ne!(of_session, lane("dev", accept, r#"{"session_key":"t","message":"n"}"#));
        assert_eq!(lane("dev", "launch-rocket", task), None);
        assert_eq!(lane("dev", "cancel-task", "{"), None);
    }
}
