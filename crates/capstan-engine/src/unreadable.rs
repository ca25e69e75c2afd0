//! Commits that this build cannot read.

use capstan_contract::causes::explain;
use capstan_envelope::{CodecError, Recorded};

use crate::leader_error::LeaderError;
use crate::metric;

/// Passes over a commit that cannot be read and counts it: its task does nothing until a build that can read it leads, the
/// others continue. Fails at a commit of a newer build. What it says may be about anything, so nothing is decided behind it,
/// just as no row is written.
pub(crate) fn pass_over(recorded: &Recorded, error: CodecError) -> Result<(), LeaderError> {
    metrics::counter!(metric::UNREADABLE_COMMITS).increment(1);
    if error.needs_newer_build() {
        return Err(LeaderError::NewerBuild { position: recorded.position, source: error });
    }
    tracing::error!(position = %recorded.position, stream = %recorded.commit.stream, error = explain(&error), "a commit cannot be read");
    Ok(())
}
