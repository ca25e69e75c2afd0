//! The calls of workers: from a wire name and a JSON body to an answer.

use capstan_contract::command::{
    AckInput, AppendLogs, AppendOutputRows, AppendRunEvents, CheckToolCall, ClaimInput, ClaimToolCall,
    DeferInput, DrainWorker, FetchAttempt, FinalizeOutput, FinishAttempt, LeaseAttempts, OpenBlocker,
    ProduceOutput, RecordUsage, RegisterWorker, RenewLeases, ReportToolCall, ReturnAttempt, SendReports,
};
use capstan_contract::for_each_worker_call;
use capstan_contract::request::Request;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};

use crate::App;
use crate::answered::Answered;
use crate::auth::caller::Caller;
use crate::call::CallContext;
use crate::problem::Problem;
use crate::request::{self, Outer};

/// A call of a worker.
pub(crate) trait WorkerCall: Request {
    /// True for batches of log lines, which have a size limit of their own.
    const IS_LOG_BATCH: bool = false;

    /// Executes the call.
    fn execute(
        self,
        from: Calling<'_, Self::Beside>,
    ) -> impl Future<Output = Result<Answered, Problem>> + Send;
}

/// The circumstances of a worker's call.
pub(crate) struct Calling<'a, C> {
    pub(crate) app: &'a App,
    pub(crate) caller: &'a Caller,
    pub(crate) call: CallContext,
    pub(crate) conditions: C,
}

/// Longest body of the call, in bytes.
pub(crate) fn bytes_max<C: WorkerCall>(app: &App) -> usize {
    if C::IS_LOG_BATCH { app.config.log_batch_bytes_max } else { app.config.command_bytes_max }
}

/// Reads and executes a call; its fields stand in `outer` and in the body.
pub(crate) async fn execute<C: WorkerCall>(
    app: &App,
    caller: &Caller,
    call: CallContext,
    outer: &[Outer<'_>],
    json: &[u8],
) -> Result<Answered, Problem> {
    let bytes_max = bytes_max::<C>(app);
    if json.len() > bytes_max {
        return Err(Problem::too_large(bytes_max));
    }
    let (body, conditions) = request::read::<C, C::Beside>(outer, json)?;
    body.execute(Calling { app, caller, call, conditions }).await
}

macro_rules! execute_by_name {
    ($($body:ident($beside:ident) = $name:literal, $method:ident $path:literal => $shown:tt;)*) => {
        /// Executes the call of this wire name; its fields stand in `outer` and in the body. Boxed, as the commands of callers are.
        pub(crate) fn execute_by_name<'a>(
            app: &'a App,
            caller: &'a Caller,
            wire_name: &'a str,
            outer: &'a [Outer<'a>],
            json: &'a [u8],
            call: CallContext,
        ) -> BoxFuture<'a, Result<Answered, Problem>> {
            match wire_name {
                $($name => execute::<$body>(app, caller, call, outer, json).boxed(),)*
                _ => ready(Err(Problem::not_found("worker call"))).boxed(),
            }
        }
    };
}

for_each_worker_call!(execute_by_name);
