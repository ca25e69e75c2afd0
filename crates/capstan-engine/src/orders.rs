//! Execution of the process' orders and loads, each with its outcome.

use capstan_contract::causes::explain;
use capstan_contract::{ClassCodec, TaskCodec};
use capstan_dispatch::{CommandContext, DispatchError, Dispatcher, OnceContext};
use capstan_domain::matching::StreamKey;
use capstan_domain::task::TaskDecider;
use capstan_envelope::Actor;
use tokio::sync::Semaphore;

use crate::commands::stream_of;
use crate::deciders::Classes;
use crate::process::{ClassOrder, ClassSettled, Loaded, Order, Settled};

type Tasks = Dispatcher<TaskDecider, TaskCodec>;

/// Sends a command to a task. One that no worker waits for loads its task among few others.
pub(crate) async fn execute(tasks: &Tasks, order: &Order, loads: &Semaphore) -> Settled {
    let Some(stream) = stream_of::<TaskCodec>(&order.key.workspace, &order.key.task_id.to_string()) else {
        return Settled::Failed { is_retryable: false };
    };
    if !order.is_waited_for() && !tasks.knows(&stream) {
        let _permit = loads.acquire().await;
        // The command meets the same failure and tells it.
        let _ = tasks.load(&stream).await;
    }
    let at = order.command.at;
    let decided = if let Some(expected_version) = order.expected_version {
        let context =
            OnceContext { command: order.name, actor: Actor::Engine, occurred_at: at, expected_version };
        tasks.execute_once(&stream, &order.command, &context).await
    } else {
        let context = CommandContext::new(order.command_id, order.name, Actor::Engine, at);
        tasks.execute(&stream, &order.command, &context).await
    };
    match decided {
        Ok(decided) => Settled::Decided {
            version: decided.loaded.head.version,
            state: decided.loaded.state.clone(),
            events: decided.events,
        },
        Err(DispatchError::Rejected(_) | DispatchError::VersionMismatch { .. }) => Settled::Refused,
        Err(error) => {
            let is_retryable = error.is_retryable();
            tracing::warn!(%stream, command = order.name, is_retryable, error = explain(&error), "a command of the engine failed");
            Settled::Failed { is_retryable }
        }
    }
}

/// Sends a command to a class.
pub(crate) async fn order_class(classes: &Classes, order: &ClassOrder) -> ClassSettled {
    let Some(stream) = stream_of::<ClassCodec>(&order.key.workspace, &order.key.instance_key) else {
        return ClassSettled::Failed { is_retryable: false };
    };
    let context = CommandContext::new(order.command_id, order.name, Actor::Engine, order.command.at);
    match classes.execute(&stream, &order.command, &context).await {
        Ok(decided) => ClassSettled::Decided {
            version: decided.loaded.head.version,
            state: decided.loaded.state.clone(),
        },
        Err(error) => {
            let is_retryable = error.is_retryable();
            tracing::warn!(%stream, command = order.name, is_retryable, error = explain(&error), "a command to a class failed");
            ClassSettled::Failed { is_retryable }
        }
    }
}

/// Reads a task from the log.
pub(crate) async fn load(tasks: &Tasks, key: &StreamKey) -> Loaded {
    let Some(stream) = stream_of::<TaskCodec>(&key.workspace, &key.task_id.to_string()) else {
        return Loaded::Failed { is_retryable: false };
    };
    match tasks.refresh(&stream).await {
        Ok(loaded) => Loaded::State { version: loaded.head.version, state: loaded.state.clone() },
        Err(error) => {
            let is_retryable = error.is_retryable();
            tracing::warn!(%stream, is_retryable, error = explain(&error), "a task was not loaded");
            Loaded::Failed { is_retryable }
        }
    }
}
