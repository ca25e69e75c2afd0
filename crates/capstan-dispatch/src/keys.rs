//! Repeats of keyed commands, also of those the head of the stream has forgotten (see [`AppliedKeys`]).
//!
//! [`AppliedKeys`]: capstan_envelope::AppliedKeys

use capstan_envelope::{Applied, Codec, CommitId, Position, Remembered, StreamId, UnreadableCommit};
use capstan_eventlog::KeptKey;

use crate::context::Context;
use crate::dispatcher::{Dispatchable, Dispatcher};
use crate::{DispatchError, Loaded};

impl<D: Dispatchable, C: Codec<Event = D::Event>> Dispatcher<D, C> {
    /// The commit of this command, when it is a repeat; refuses a key that was used with another body.
    pub(crate) async fn repeated(
        &self,
        stream: &StreamId,
        loaded: &Loaded<D::State>,
        context: Context<'_>,
    ) -> Result<Option<Applied>, DispatchError<D::Rejection>> {
        let Some((command, idempotency)) = context.repeatable() else { return Ok(None) };
        match self.applied(stream, loaded, command).await? {
            Some(applied) if applied.fingerprint != idempotency.fingerprint => {
                Err(DispatchError::IdempotencyConflict)
            }
            found => Ok(found),
        }
    }

    /// The commit of a keyed command, if it was applied; an error when that is known and its commit is archived.
    ///
    /// `loaded` is the stream as it is known.
    pub async fn applied(
        &self,
        stream: &StreamId,
        loaded: &Loaded<D::State>,
        command: CommitId,
    ) -> Result<Option<Applied>, DispatchError<D::Rejection>> {
        let until = match loaded.head.applied.look(command) {
            Remembered::New => return Ok(None),
            Remembered::Applied(applied) => return Ok(Some(applied.clone())),
            Remembered::Perhaps(until) => until,
        };
        match self.snapshots.applied(stream, command, until).await.map_err(DispatchError::Snapshot)? {
            KeptKey::Applied(applied) => Ok(Some(applied)),
            KeptKey::Archived => Err(DispatchError::KeyArchived),
            KeptKey::New => Ok(None),
            KeptKey::NotKept => self.applied_in_log(stream, command).await,
        }
    }

    /// Reads the whole stream: for categories whose streams are short.
    async fn applied_in_log(
        &self,
        stream: &StreamId,
        command: CommitId,
    ) -> Result<Option<Applied>, DispatchError<D::Rejection>> {
        let commits = self.log.read_stream(stream, Position::START).await.map_err(DispatchError::Read)?;
        if let Some(recorded) = commits.iter().find(|recorded| recorded.commit.commit_id == command) {
            let idempotency = recorded.commit.metadata.idempotency.as_ref();
            return Ok(idempotency.map(|idempotency| Applied {
                position: recorded.position,
                version: recorded.commit.version,
                fingerprint: idempotency.fingerprint.clone(),
            }));
        }
        let last = commits.iter().rfind(|recorded| recorded.commit.carries_forward());
        let Some(last) = last else { return Ok(None) };
        let carried = last.commit.carried().map_err(|source| UnreadableCommit::at(last, source))?;
        let Some(carried) = carried else { return Ok(None) };
        // Newer than what is known of the stream: the command may have been applied in between.
        if let Remembered::Applied(applied) = carried.keys.look(command) {
            return Ok(Some(applied.clone()));
        }
        if carried.older.knows(command) {
            return Err(DispatchError::KeyArchived);
        }
        Ok(None)
    }
}
