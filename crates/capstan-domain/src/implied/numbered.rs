//! Ids of parts of the stream's task that stand as numbers: runs, blockers and attempts. One that was just spoken of is
//! left out.

#![expect(clippy::ref_option, reason = "serde hands fields by reference")]

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::context::{SaidRun, said, say, this_task, this_workspace, unsaid};
use crate::id::{AttemptId, BlockerId, RunId, TaskId};

/// Numbers among which the number of an id is looked for: the first ones, and those up to the one spoken of. Other ids are
/// written out, which bounds the search.
const NUMBERS_MAX: u32 = 8;

/// A part of the stream's task whose id derives from a number: that number, or its id.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Numbered<T> {
    /// Number within the task, from 1.
    Number(u32),
    /// Its id.
    Id(T),
}

/// A part whose id derives from the task and a number.
trait Part: Copy + PartialEq {
    fn of_task(task: TaskId, number: u32) -> Self;

    /// The number that was spoken of last, if any.
    fn said() -> Option<u32>;
}

impl Part for RunId {
    fn of_task(task: TaskId, number: u32) -> Self {
        Self::for_task(task, number)
    }

    fn said() -> Option<u32> {
        said(|said| match said.run {
            Some(SaidRun::Number(number)) => Some(number),
            Some(SaidRun::Id(_)) | None => None,
        })
    }
}

impl Part for BlockerId {
    fn of_task(task: TaskId, number: u32) -> Self {
        Self::for_task(task, number)
    }

    fn said() -> Option<u32> {
        None
    }
}

impl<T: Part> Numbered<T> {
    fn new(id: T) -> Self {
        let Some(task) = this_task() else { return Self::Id(id) };
        let near = T::said().map(|said| said.saturating_sub(NUMBERS_MAX - 1).max(1)..=said);
        let mut numbers = near.into_iter().flatten().rev().chain(1..=NUMBERS_MAX);
        numbers.find(|number| T::of_task(task, *number) == id).map_or(Self::Id(id), Self::Number)
    }

    fn id<E: serde::de::Error>(&self) -> Result<T, E> {
        match (self, this_task()) {
            (Self::Id(id), _) => Ok(*id),
            (Self::Number(number), Some(task)) => Ok(T::of_task(task, *number)),
            (Self::Number(_), None) => {
                Err(E::custom("an id stands as a number only in the stream of its task"))
            }
        }
    }
}

/// An attempt of the stream's task: its lease epoch, or its id.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum AttemptText {
    /// Lease epoch of the attempt.
    Epoch(u64),
    /// Id of the attempt.
    Id(AttemptId),
}

impl AttemptText {
    fn new(attempt: &AttemptId) -> Self {
        let is_own = this_task() == Some(attempt.task)
            && this_workspace().is_some_and(|workspace| workspace == attempt.workspace);
        if is_own { Self::Epoch(attempt.epoch) } else { Self::Id(attempt.clone()) }
    }

    fn attempt<E: serde::de::Error>(self) -> Result<AttemptId, E> {
        match (self, this_task().zip(this_workspace())) {
            (Self::Id(attempt), _) => Ok(attempt),
            (Self::Epoch(epoch), Some((task, workspace))) => Ok(AttemptId { workspace, task, epoch }),
            (Self::Epoch(_), None) => {
                Err(E::custom("an attempt stands as an epoch only in the stream of its task"))
            }
        }
    }
}

pub(crate) mod run {
    use super::{Deserialize, Deserializer, Numbered, RunId, SaidRun, Serialize, Serializer, say};

    fn note(text: &Numbered<RunId>) {
        let run = match text {
            Numbered::Number(number) => SaidRun::Number(*number),
            Numbered::Id(run) => SaidRun::Id(*run),
        };
        say(|said| said.run = Some(run));
    }

    pub(crate) fn serialize<S: Serializer>(run: &RunId, serializer: S) -> Result<S::Ok, S::Error> {
        let text = Numbered::new(*run);
        note(&text);
        text.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RunId, D::Error> {
        let text = Numbered::deserialize(deserializer)?;
        note(&text);
        text.id()
    }
}

fn said_run() -> Option<RunId> {
    said(|said| said.run).and_then(|run| match run {
        SaidRun::Id(run) => Some(run),
        SaidRun::Number(number) => this_task().map(|task| RunId::for_task(task, number)),
    })
}

/// The run spoken of last. A run whose number is the epoch of its attempt is spoken of with the attempt.
pub(crate) fn run() -> RunId {
    said_run().unwrap_or_else(|| unsaid(RunId(Uuid::nil())))
}

pub(crate) fn is_run(value: &RunId) -> bool {
    said_run() == Some(*value)
}

pub(crate) mod optional_run {
    use super::{Deserialize, Deserializer, Numbered, RunId, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(run: &Option<RunId>, serializer: S) -> Result<S::Ok, S::Error> {
        run.map(Numbered::new).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<RunId>, D::Error> {
        Option::<Numbered<RunId>>::deserialize(deserializer)?.map(|text| text.id()).transpose()
    }
}

pub(crate) mod blocker {
    use super::{BlockerId, Deserialize, Deserializer, Numbered, Serialize, Serializer, say};

    pub(crate) fn serialize<S: Serializer>(blocker: &BlockerId, serializer: S) -> Result<S::Ok, S::Error> {
        say(|said| said.blocker = Some(*blocker));
        Numbered::new(*blocker).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BlockerId, D::Error> {
        let blocker = Numbered::deserialize(deserializer)?.id()?;
        say(|said| said.blocker = Some(blocker));
        Ok(blocker)
    }
}

/// The blocker spoken of last.
pub(crate) fn blocker() -> BlockerId {
    said(|said| said.blocker).unwrap_or_else(|| unsaid(BlockerId(Uuid::nil())))
}

pub(crate) fn is_blocker(value: &BlockerId) -> bool {
    said(|said| said.blocker) == Some(*value)
}

pub(crate) mod optional_blocker {
    use super::{BlockerId, Deserialize, Deserializer, Numbered, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        blocker: &Option<BlockerId>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        blocker.map(Numbered::new).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<BlockerId>, D::Error> {
        Option::<Numbered<BlockerId>>::deserialize(deserializer)?.map(|text| text.id()).transpose()
    }
}

/// The blocker that an input answers, which the event that closes it repeats.
pub(crate) mod answered_blocker {
    use super::{BlockerId, Deserializer, Serializer, optional_blocker, say};

    pub(crate) fn serialize<S: Serializer>(
        blocker: &Option<BlockerId>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        say(|said| said.blocker = *blocker);
        optional_blocker::serialize(blocker, serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<BlockerId>, D::Error> {
        let blocker = optional_blocker::deserialize(deserializer)?;
        say(|said| said.blocker = blocker);
        Ok(blocker)
    }
}

pub(crate) mod attempt {
    use super::{
        AttemptId, AttemptText, Deserialize, Deserializer, SaidRun, Serialize, Serializer, say, this_task,
    };

    fn note(attempt: &AttemptId) {
        let is_own = this_task() == Some(attempt.task);
        let number = u32::try_from(attempt.epoch).ok().filter(|_| is_own);
        say(|said| {
            said.run = number.map(SaidRun::Number);
            said.attempt = Some(attempt.clone());
        });
    }

    pub(crate) fn serialize<S: Serializer>(attempt: &AttemptId, serializer: S) -> Result<S::Ok, S::Error> {
        note(attempt);
        AttemptText::new(attempt).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AttemptId, D::Error> {
        let attempt = AttemptText::deserialize(deserializer)?.attempt()?;
        note(&attempt);
        Ok(attempt)
    }
}

/// The attempt spoken of last.
pub(crate) fn attempt() -> AttemptId {
    let nobody = || AttemptId { workspace: String::new(), task: TaskId(Uuid::nil()), epoch: 0 };
    said(|said| said.attempt.clone()).unwrap_or_else(|| unsaid(nobody()))
}

pub(crate) fn is_attempt(value: &AttemptId) -> bool {
    said(|said| Some(said.attempt.as_ref() == Some(value))).unwrap_or(false)
}

/// Draws the schema of an id: as readers of the API get it, or as it is stored, where the number may stand instead.
macro_rules! drawn_id {
    ($($name:ident, $id:ty, $text:ty;)*) => {$(
        pub(crate) struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                if generator.contract().is_serialize() {
                    generator.subschema_for::<$id>()
                } else {
                    <$text>::json_schema(generator)
                }
            }
        }
    )*};
}

drawn_id! {
    DrawnRun, RunId, Numbered<RunId>;
    DrawnBlocker, BlockerId, Numbered<BlockerId>;
    DrawnAttempt, AttemptId, AttemptText;
}
