//! Commits that this build cannot read.

use capstan_contract::causes::explain;
use capstan_envelope::{CodecError, Recorded};

use crate::metric;

/// Counts a commit that cannot be read. Its task does nothing until a build that can read it leads; the others continue.
pub(crate) fn tell_unreadable(recorded: &Recorded, error: &CodecError) {
    metrics::counter!(metric::UNREADABLE_COMMITS).increment(1);
    tracing::error!(position = %recorded.position, stream = %recorded.commit.stream, error = explain(error), "a commit cannot be read");
}
