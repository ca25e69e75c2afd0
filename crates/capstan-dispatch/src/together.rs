//! One command that changes two streams of different categories, both or neither.

use std::sync::Arc;

use capstan_decider::fold;
use capstan_envelope::{Applied, Codec, CommitId, StreamId};
use capstan_eventlog::AppendError;

use crate::cache::Slot;
use crate::dispatcher::{Known, Step, count_as, unchanged};
use crate::{CommandContext, Decided, DispatchError, Dispatchable, Dispatcher};

/// The outcome of a command over two streams.
pub struct Together<A: Dispatchable, B: Dispatchable> {
    /// The first stream's part.
    pub first: Decided<A>,
    /// The second stream's part; none when the first one's events asked for none.
    pub second: Option<Decided<B>>,
}

impl<A, B> std::fmt::Debug for Together<A, B>
where
    A: Dispatchable<Event: std::fmt::Debug>,
    B: Dispatchable<Event: std::fmt::Debug>,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Together").field("first", &self.first).field("second", &self.second).finish()
    }
}

/// An error of one of the two decisions.
#[derive(Debug, thiserror::Error)]
pub enum TogetherError<A, B> {
    /// The first stream's, or what both share: the log.
    #[error("execute the command on its first stream")]
    First(DispatchError<A>),
    /// The second stream's.
    #[error("execute the command on its second stream")]
    Second(DispatchError<B>),
}

impl<A, B> TogetherError<A, B> {
    /// True when repeating the command, with the same command id, may succeed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::First(error) => error.is_retryable(),
            Self::Second(error) => error.is_retryable(),
        }
    }
}

type Outcome<A, B> = Result<
    Together<A, B>,
    TogetherError<<A as capstan_decider::Decider>::Rejection, <B as capstan_decider::Decider>::Rejection>,
>;

/// Executes a command on a stream and, in the same atomic append, the command that follows from it on another.
///
/// `follow` is pure: from the first stream's new events and its state after them it makes the second stream's name and
/// command, or says that the events ask for none. Both decisions are taken before anything is written; when either
/// stream has moved on, both are read and decided again. A "no" of either is confirmed against the log, and then nothing
/// is recorded at all. Command id and idempotency key are those of `context` on both streams; its expected version is
/// the first one's. A repeat gets the first answer of both.
///
/// Writers of the first stream take turns as in [`Dispatcher::execute`]. The second one's turn is not waited for, so that
/// two such commands cannot wait for each other; who is late there decides again.
pub async fn execute_together<A, CA, B, CB>(
    (first, stream, command): (&Dispatcher<A, CA>, &StreamId, &A::Command),
    second: &Dispatcher<B, CB>,
    follow: impl Fn(&[A::Event], &A::State) -> Option<(StreamId, B::Command)> + Send + Sync,
    context: &CommandContext,
) -> Outcome<A, B>
where
    A: Dispatchable,
    CA: Codec<Event = A::Event>,
    B: Dispatchable<Command: Send>,
    CB: Codec<Event = B::Event>,
{
    let slot = first.slot(stream);
    let context = &context.keyed(first.log.fingerprint_key());
    let outcome = {
        let _turn = slot.turn.lock().await;
        Pair { first, stream, slot: &slot, second, follow, context }.run(command).await
    };
    if let Err(TogetherError::First(DispatchError::Log(_) | DispatchError::Broken { .. })) = &outcome {
        // The commit's fate may be unknown, or what we know is not in the log: look again next time.
        slot.forget();
    }
    match &outcome {
        Ok(together) => {
            count_as(CA::CATEGORY, together.first.as_outcome());
            if let Some(second) = &together.second {
                count_as(CB::CATEGORY, second.as_outcome());
            }
        }
        Err(TogetherError::First(error)) => count_as(CA::CATEGORY, error.as_outcome()),
        Err(TogetherError::Second(error)) => count_as(CB::CATEGORY, error.as_outcome()),
    }
    outcome
}

/// The two streams of one command.
struct Pair<'a, A: Dispatchable, CA: Codec<Event = A::Event>, B: Dispatchable, CB: Codec<Event = B::Event>, F>
{
    first: &'a Dispatcher<A, CA>,
    stream: &'a StreamId,
    slot: &'a Slot<A::State>,
    second: &'a Dispatcher<B, CB>,
    follow: F,
    context: &'a CommandContext,
}

impl<A, CA, B, CB, F> Pair<'_, A, CA, B, CB, F>
where
    A: Dispatchable,
    CA: Codec<Event = A::Event>,
    B: Dispatchable<Command: Send>,
    CB: Codec<Event = B::Event>,
    F: Fn(&[A::Event], &A::State) -> Option<(StreamId, B::Command)> + Send + Sync,
{
    /// The loop of [`Dispatcher::execute`] over two streams.
    async fn run(&self, command: &A::Command) -> Outcome<A, B> {
        let known = self.first.known(self.stream, self.slot).await;
        let mut known = known.map_err(|failure| TogetherError::First(failure.into()))?;
        let mut confirmed = false;
        for conflicts in 0..=self.first.config.conflicts_max {
            let loaded = known.clone().unwrap_or_default();
            match self.first.step(self.stream, &loaded, command, self.context.into()).await {
                Ok(Step::Repeat(applied)) => return self.first_answer(loaded, applied).await,
                Ok(Step::Record(events)) => match self.record(loaded, events, confirmed).await {
                    Err(TogetherError::First(DispatchError::Log(AppendError::Conflict { .. }))) => {
                        self.first.pause(conflicts).await;
                    }
                    Err(TogetherError::Second(_)) if !confirmed => {}
                    outcome => return outcome,
                },
                Ok(Step::Nothing) if confirmed => return Ok(alone(unchanged(loaded))),
                Err(refusal) if confirmed || matches!(refusal, DispatchError::Snapshot(_)) => {
                    return Err(TogetherError::First(refusal));
                }
                Ok(Step::Nothing) | Err(_) => {}
            }
            let newest = self.first.newest(self.stream, self.slot, known).await;
            known = Some(newest.map_err(|failure| TogetherError::First(failure.into()))?);
            confirmed = true;
        }
        Err(TogetherError::First(DispatchError::Contended))
    }

    /// Records what the first stream decided, with what follows from it.
    async fn record(&self, loaded: Known<A>, events: Vec<A::Event>, confirmed: bool) -> Outcome<A, B> {
        let after = fold::<A>(loaded.state.clone(), &events);
        let Some((stream, command)) = (self.follow)(&events, &after) else {
            let appended =
                self.first.append(self.stream, self.slot, loaded, events, self.context.into()).await;
            return appended.map(alone).map_err(TogetherError::First);
        };
        let slot = self.second.slot(&stream);
        let known = self.second.known(&stream, &slot).await;
        let mut known = known.map_err(|failure| TogetherError::Second(failure.into()))?;
        if confirmed {
            let newest = self.second.newest(&stream, &slot, known).await;
            known = Some(newest.map_err(|failure| TogetherError::Second(failure.into()))?);
        }
        let second = known.unwrap_or_default();
        let context = CommandContext { expected_version: None, ..self.context.clone() };
        match self.second.step(&stream, &second, &command, (&context).into()).await {
            Ok(Step::Record(second_events)) => {
                let second = Part { stream: &stream, slot: &slot, loaded: second, events: second_events };
                self.append_both(loaded, events, second).await
            }
            // Only the log's word counts, as for a "no": the loop comes back with it.
            Ok(Step::Nothing) if !confirmed => Err(TogetherError::Second(DispatchError::Contended)),
            Ok(Step::Nothing) => {
                let appended =
                    self.first.append(self.stream, self.slot, loaded, events, self.context.into()).await;
                let first = appended.map_err(TogetherError::First)?;
                Ok(Together { first, second: Some(unchanged(second)) })
            }
            // The command was executed on this stream and not on the first one, so it was another command.
            Ok(Step::Repeat(_)) => Err(TogetherError::Second(DispatchError::IdempotencyConflict)),
            Err(refusal) => Err(TogetherError::Second(refusal)),
        }
    }

    async fn append_both(
        &self,
        loaded: Known<A>,
        events: Vec<A::Event>,
        second: Part<'_, B>,
    ) -> Outcome<A, B> {
        let commit = Dispatcher::<A, CA>::commit(self.stream, &loaded, &events, self.context.into())
            .map_err(|error| TogetherError::First(error.into()))?;
        let second_commit =
            Dispatcher::<B, CB>::commit(second.stream, &second.loaded, &second.events, self.context.into())
                .map_err(|error| TogetherError::Second(error.into()))?;
        let group = [commit, second_commit];
        let appended = match self.first.log.append_together(&group).await {
            Ok(appended) => appended,
            Err(error) => {
                // Whichever stream has moved on, or if nobody knows: both are looked at again.
                second.slot.forget();
                return Err(TogetherError::First(DispatchError::Log(error)));
            }
        };
        let ([commit, second_commit], [place, second_place]) = (group, appended.as_slice()) else {
            return Err(TogetherError::First(DispatchError::Contended));
        };
        if place.duplicate {
            let first =
                self.first.stored_before(self.stream, self.slot, place.position, self.context.into()).await;
            let first = first.map_err(TogetherError::First)?;
            let position = second_place.position;
            let stored =
                self.second.stored_before(second.stream, second.slot, position, self.context.into()).await;
            return Ok(Together { first, second: Some(stored.map_err(TogetherError::Second)?) });
        }
        Ok(Together {
            first: Dispatcher::<A, CA>::stored(
                self.slot,
                &loaded,
                events,
                commit,
                place,
                self.context.into(),
            ),
            second: Some(Dispatcher::<B, CB>::stored(
                second.slot,
                &second.loaded,
                second.events,
                second_commit,
                second_place,
                self.context.into(),
            )),
        })
    }

    /// The answer to a command both streams know already.
    async fn first_answer(&self, loaded: Known<A>, applied: Applied) -> Outcome<A, B> {
        let first = self.first.first_answer(loaded, applied).await.map_err(TogetherError::First)?;
        let Some((stream, _)) = (self.follow)(&first.events, &first.loaded.state) else {
            return Ok(alone(first));
        };
        let slot = self.second.slot(&stream);
        let second = self.second.newest(&stream, &slot, slot.get()).await;
        let second = second.map_err(|failure| TogetherError::Second(failure.into()))?;
        let command_id = CommitId(self.context.command_id);
        let applied = self.second.applied(&stream, &second, command_id).await;
        let second = match applied.map_err(TogetherError::Second)? {
            Some(applied) => {
                self.second.first_answer(second, applied).await.map_err(TogetherError::Second)?
            }
            None => unchanged(second),
        };
        Ok(Together { first, second: Some(second) })
    }
}

/// The second stream's part of an append.
struct Part<'a, B: Dispatchable> {
    stream: &'a StreamId,
    slot: &'a Arc<Slot<B::State>>,
    loaded: Known<B>,
    events: Vec<B::Event>,
}

fn alone<A: Dispatchable, B: Dispatchable>(first: Decided<A>) -> Together<A, B> {
    Together { first, second: None }
}
