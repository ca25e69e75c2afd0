//! Queries: from a name and fields to an answer.

use std::time::Duration;

use capstan_contract::beside::Beside;
use capstan_contract::{for_each_query, query};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};

use super::answer::Answer;
use super::resolve;
use super::wait::must_wait_at_most;
use crate::App;
use crate::answered::Answered;
use crate::problem::Problem;
use crate::request::{self, Outer};

/// Answers a query of the workspace with this name.
pub(crate) async fn of_workspace<Q: Answer>(
    app: &App,
    workspace: &str,
    outer: &[Outer<'_>],
    json: &[u8],
) -> Result<Answered, Problem> {
    let workspace = resolve::workspace(app, workspace).await?;
    run::<Q, _>(app, &workspace, outer, json).await
}

/// Reads a query, waits for the position it names and answers it.
pub(crate) async fn run<Q: Answer<P>, P: Sync>(
    app: &App,
    place: &P,
    outer: &[Outer<'_>],
    json: &[u8],
) -> Result<Answered, Problem> {
    let (query, beside) = request::read::<Q, Q::Beside>(outer, json)?;
    let wait_ms = beside.wait_ms().map_or(app.config.wait_ms_default, u64::from);
    must_wait_at_most(app.config.wait_ms_max, wait_ms).map_err(|problem| request::located(problem, outer))?;
    if let Some(position) = beside.min_position() {
        app.wait_for(position, Duration::from_millis(wait_ms)).await?;
    }
    query.answer(app, place, beside).await.map_err(|problem| request::located(problem, outer))
}

macro_rules! answer_by_name {
    ($($query:ident($beside:ident) = $name:literal, $method:ident $path:literal => $shown:tt;)*) => {
        /// Answers the query of this wire name; its fields stand in `outer` and in the body. Boxed: the queries of all
        /// kinds together are compiled once.
        pub(crate) fn answer<'a>(
            app: &'a App,
            workspace: &'a str,
            wire_name: &'a str,
            outer: &'a [Outer<'a>],
            json: &'a [u8],
        ) -> BoxFuture<'a, Result<Answered, Problem>> {
            match wire_name {
                $($name => of_workspace::<query::$query>(app, workspace, outer, json).boxed(),)*
                _ => ready(Err(Problem::not_found("query"))).boxed(),
            }
        }
    };
}

for_each_query!(answer_by_name);
