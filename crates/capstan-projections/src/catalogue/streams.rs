//! The state of each stream that is not a task's, so that dispatch and the engine need not read whole histories. They are
//! few, small and seldom change; the state of a task is in its row.

use capstan_contract::catalogue::{
    AgentCodec, ChannelCodec, ClassCodec, ScheduleCodec, SessionCodec, TokenCodec, WorkspaceCodec,
};
use capstan_contract::schema::NamedSchema;
use capstan_contract::{DomainEvent, TaskCodec};
use capstan_decider::Decider;
use capstan_domain::agent::{self, Agent};
use capstan_domain::channel::{self, Channel};
use capstan_domain::class::{self, Class};
use capstan_domain::schedule::{self, ScheduleDecider};
use capstan_domain::session::{self, Session};
use capstan_domain::token::{self, Token};
use capstan_domain::workspace::{self, Workspace};
use capstan_envelope::{Carried, Codec, Recorded, StreamHead, StreamId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::cell::{Cell, CellType, Column};
use crate::events::Events;
use crate::fact::Fact;
use crate::model::{Model, Stored};

/// The key of a stream's row: its name. Computed for every event, so it does not use the formatting machinery.
pub(crate) fn stream_key(stream: &StreamId) -> String {
    [stream.workspace().as_str(), "/", stream.category(), "/", stream.id()].concat()
}

/// Declares the state of a stream by category: `Variant(module, decider, codec)`.
macro_rules! stream_states {
    ($($variant:ident($module:ident, $decider:ty, $codec:ty),)*) => {
        /// The state of one stream.
        #[derive(Clone, Debug, Serialize)]
        #[serde(untagged)]
        pub(crate) enum StreamState {
            $($variant($module::State),)*
        }

        /// An event of such a stream.
        #[derive(Clone, Copy, Debug)]
        pub(crate) enum StreamEvent<'a> {
            $($variant(&'a $module::Event),)*
        }

        impl<'a> Events<'a> for StreamEvent<'a> {
            fn select(event: &'a DomainEvent) -> Option<Self> {
                match event {
                    $(DomainEvent::$variant(event) => Some(Self::$variant(event)),)*
                    DomainEvent::Task(_) => None,
                }
            }
        }

        impl StreamState {
            fn evolve(state: Option<Self>, event: StreamEvent<'_>) -> Self {
                match event {$(
                    StreamEvent::$variant(event) => {
                        let state = if let Some(Self::$variant(state)) = state { state } else { Default::default() };
                        Self::$variant(<$decider>::evolve(state, event))
                    }
                )*}
            }

            /// Reads the state of a stream of this category.
            fn read(category: &str, json: &str) -> serde_json::Result<Self> {
                match category {
                    $(<$codec>::CATEGORY => serde_json::from_str(json).map(Self::$variant),)*
                    other => Err(serde::de::Error::custom(format!("{other} is not a category of streams"))),
                }
            }
        }
    };
}

stream_states! {
    Workspace(workspace, Workspace, WorkspaceCodec),
    Agent(agent, Agent, AgentCodec),
    Schedule(schedule, ScheduleDecider, ScheduleCodec),
    Channel(channel, Channel, ChannelCodec),
    Class(class, Class, ClassCodec),
    Token(token, Token, TokenCodec),
    Session(session, Session, SessionCodec),
}

/// A stream at one of its commits.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct StreamRow {
    /// Position and version of the stream.
    pub(crate) head: StreamHead,
    /// The decider's state.
    pub(crate) state: StreamState,
}

#[derive(Deserialize)]
struct Document<'a> {
    head: StreamHead,
    #[serde(borrow)]
    state: &'a RawValue,
}

impl StreamRow {
    /// True when the engine loads the stream at start: an active schedule, and everything that decides which task may run.
    fn is_open(&self) -> bool {
        match &self.state {
            StreamState::Schedule(Some(schedule)) => schedule.is_waited_for(),
            StreamState::Workspace(_) | StreamState::Agent(_) | StreamState::Class(_) => true,
            StreamState::Schedule(None)
            | StreamState::Channel(_)
            | StreamState::Token(_)
            | StreamState::Session(_) => false,
        }
    }
}

impl Model for StreamRow {
    const VERSION: i32 = 10;
    const COLUMNS: &'static [Column<Self>] =
        &[Column::changing("open", CellType::Flag, |row| Cell::Flag(Some(row.is_open())))];
    const ANSWER: Option<NamedSchema> = None;
    const IS_CARRIED: bool = true;
    type Event<'a> = StreamEvent<'a>;
    type Key = String;

    fn keys(fact: &Fact<'_, StreamEvent<'_>>, keys: &mut Vec<String>) {
        keys.push(stream_key(&fact.recorded.commit.stream));
    }

    fn apply(row: Option<Self>, _: &String, fact: &Fact<'_, StreamEvent<'_>>) -> Option<Self> {
        let (mut head, state) =
            row.map_or_else(|| (StreamHead::default(), None), |row| (row.head, Some(row.state)));
        // Idempotent, so each event of the commit may advance it.
        head.advance(fact.recorded);
        let state = StreamState::evolve(state, fact.event);
        Some(StreamRow { head, state })
    }

    fn carried_key(stream: &StreamId, _: &Carried) -> Option<String> {
        (stream.category() != TaskCodec::CATEGORY).then(|| stream_key(stream))
    }

    fn carried(recorded: &Recorded, carried: &Carried) -> serde_json::Result<Option<(String, Self)>> {
        let stream = &recorded.commit.stream;
        let state = StreamState::read(stream.category(), carried.state.get())?;
        let row = StreamRow { head: StreamHead::carried(recorded, carried), state };
        Ok(Some((stream.workspace().as_str().to_owned(), row)))
    }

    fn read(key: &String, stored: &Stored<'_>) -> serde_json::Result<Self> {
        let Document { head, state } = serde_json::from_str(stored.doc)?;
        let category = key.split('/').nth(1).unwrap_or_default();
        let state = StreamState::read(category, state.get())?;
        Ok(StreamRow { head, state })
    }
}
