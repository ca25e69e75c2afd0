//! The execution of a caller's command.

use capstan_contract::command::Conditions;
use capstan_contract::request::Request;
use capstan_dispatch::{CommandContext, DispatchError, Dispatchable, Dispatcher};
use capstan_domain::Requested;
use capstan_envelope::{Codec, StreamId, Workspace};

use super::wait;
use crate::App;
use crate::answered::Object;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::receipt::{Reply, Success};

/// A command that can be executed in a workspace.
pub(crate) trait Execute: Request<Beside: Into<Conditions>> {
    /// The name of the workspace the command creates; present for the one command whose workspace need not exist.
    const NEW_WORKSPACE: Option<fn(&Self) -> &str> = None;

    /// Executes the command.
    fn execute(
        self,
        app: &App,
        workspace: &Workspace,
        call: &CallContext,
    ) -> impl Future<Output = Result<Reply, Problem>> + Send;
}

/// The faults of a command on an entity that is not there yet, without its execution.
pub(super) fn check<D: Dispatchable>(command: &D::Command) -> Result<(), Problem>
where
    Problem: From<D::Rejection>,
{
    Ok(D::decide(&D::State::default(), command).map(drop)?)
}

/// Decides a command on the stream of an entity, and replies with the entity as reads show it. `entity`: its read, if the caller
/// wants it.
pub(super) async fn decide_and_show<D, K, C>(
    app: &App,
    dispatcher: &Dispatcher<D, K>,
    stream: &StreamId,
    command: C,
    context: &CommandContext,
    success: Success,
    entity: Option<impl Future<Output = Result<Option<Object>, Problem>>>,
) -> Result<Reply, Problem>
where
    D: Dispatchable<Command = Requested<C>>,
    K: Codec<Event = D::Event>,
    Problem: From<DispatchError<D::Rejection>>,
{
    let command = Requested { command, at: context.occurred_at };
    let decided = dispatcher.execute(stream, &command, context).await?;
    let shown = wait::shown(app, decided.position, entity).await;
    Ok(Reply::new(success, stream, context, &decided).showing_object(K::CATEGORY, shown))
}
