//! Waiting for the read models.

use std::time::Duration;

use capstan_envelope::Position;

use crate::App;
use crate::answered::Object;
use crate::problem::Problem;

/// Waits until reads show everything that is in the log by now.
pub(super) async fn for_head(app: &App) -> Result<(), Problem> {
    let head = app.log.head().await?;
    app.reads.wait_for(head, Duration::from_millis(app.config.wait_ms_default)).await?;
    Ok(())
}

/// The entity as reads show it at this position; nothing when the read models do not reach it soon. The command is
/// stored either way, so a failure of the read models is no failure of the command. Without a read nothing is waited for.
pub(super) async fn shown(
    app: &App,
    position: Position,
    read: Option<impl Future<Output = Result<Option<Object>, Problem>>>,
) -> Option<Object> {
    let read = read?;
    let wait = Duration::from_millis(app.config.show_wait_ms);
    let look = async {
        app.reads.wait_for(position, wait).await.ok()?;
        read.await.ok()?
    };
    // Postgres may be gone: getting a connection must not take longer than the wait.
    tokio::time::timeout(wait, look).await.ok()?
}

/// Refuses a wait beyond the limit, both in milliseconds.
pub(super) fn must_wait_at_most(limit_ms: u64, wait_ms: u64) -> Result<(), Problem> {
    if wait_ms > limit_ms {
        return Err(Problem::invalid_field("/wait_ms", format!("must be {limit_ms} or less")));
    }
    Ok(())
}
