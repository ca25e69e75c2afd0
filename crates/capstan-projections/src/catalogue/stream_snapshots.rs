//! What would folding this stream give? Saves dispatch and the engine from reading whole histories.
//!
//! It is also the spine of all other models: they learn from it what a task was accepted as.

use capstan_contract::DomainEvent;
use capstan_decider::Decider;
use capstan_domain::agent::{self, Agent};
use capstan_domain::channel::{self, Channel};
use capstan_domain::class::{self, Class};
use capstan_domain::schedule::{self, ScheduleDecider};
use capstan_domain::session::{self, Session};
use capstan_domain::task::event::TaskAccepted;
use capstan_domain::task::{self, TaskDecider};
use capstan_domain::token::{self, Token};
use capstan_domain::workspace::{self, Workspace};
use capstan_envelope::{Recorded, StreamHead, StreamId};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::cell::{Cell, CellType, Column};
use crate::fact::Fact;
use crate::model::Model;

/// The model.
#[derive(Debug)]
pub(crate) struct StreamSnapshots;

/// The key of a stream's row: its name. Made for every event, so without the detour of formatting.
pub(crate) fn stream_key(stream: &StreamId) -> String {
    [stream.workspace().as_str(), "/", stream.category(), "/", stream.id()].concat()
}

/// The state of one stream, by category.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum StreamState {
    Workspace(workspace::State),
    Agent(agent::State),
    Schedule(schedule::State),
    Channel(channel::State),
    Class(class::State),
    Token(token::State),
    Session(session::State),
    Task(task::State),
}

/// A stream at one of its commits.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SnapshotRow {
    /// Where it stands.
    pub(crate) head: StreamHead,
    /// The decider's state.
    pub(crate) state: StreamState,
}

/// Never used: which state it is stands in the key, see [`Model::read`].
impl<'de> Deserialize<'de> for SnapshotRow {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("a snapshot is read together with its stream's name"))
    }
}

#[derive(Deserialize)]
struct Stored<'a> {
    head: StreamHead,
    #[serde(borrow)]
    state: &'a RawValue,
}

impl SnapshotRow {
    /// What the task was accepted as.
    pub(crate) fn accepted(&self) -> Option<&TaskAccepted> {
        match &self.state {
            StreamState::Task(Some(task)) => Some(&task.accepted),
            _ => None,
        }
    }

    /// True when the engine must know of the stream: a task that is not over, still holds a lease, has children to be
    /// made or heard of or a parent to be told; an active schedule; and everything that decides which task may run.
    fn is_open(&self) -> bool {
        match &self.state {
            StreamState::Task(Some(task)) => !task.is_at_rest(),
            StreamState::Schedule(Some(schedule)) => schedule.is_waited_for(),
            StreamState::Workspace(_) | StreamState::Agent(_) | StreamState::Class(_) => true,
            _ => false,
        }
    }
}

impl Model for StreamSnapshots {
    const NAME: &'static str = "stream_snapshots";
    const VERSION: i32 = 7;
    const SCHEMA: &'static str = include_str!("../../../../projections/stream_snapshots/schema.sql");
    const COLUMNS: &'static [Column] = &[Column::changing("open", CellType::Flag)];
    const STARTS_EMPTY: bool = false;
    type Key = String;
    type Row = SnapshotRow;

    fn keys(recorded: &Recorded, _: &DomainEvent, keys: &mut Vec<String>) {
        keys.push(stream_key(&recorded.commit.stream));
    }

    fn apply(row: Option<SnapshotRow>, _: &String, fact: &Fact<'_>) -> Option<SnapshotRow> {
        let (mut head, state) =
            row.map_or_else(|| (StreamHead::default(), None), |row| (row.head, Some(row.state)));
        // The same for each event of the commit, so it may be repeated.
        head.advance(fact.recorded);
        let state = match (fact.event, state) {
            (DomainEvent::Workspace(event), Some(StreamState::Workspace(state))) => {
                StreamState::Workspace(Workspace::evolve(state, event))
            }
            (DomainEvent::Workspace(event), _) => {
                StreamState::Workspace(Workspace::evolve(workspace::State::default(), event))
            }
            (DomainEvent::Agent(event), Some(StreamState::Agent(state))) => {
                StreamState::Agent(Agent::evolve(state, event))
            }
            (DomainEvent::Agent(event), _) => {
                StreamState::Agent(Agent::evolve(agent::State::default(), event))
            }
            (DomainEvent::Schedule(event), Some(StreamState::Schedule(state))) => {
                StreamState::Schedule(ScheduleDecider::evolve(state, event))
            }
            (DomainEvent::Schedule(event), _) => {
                StreamState::Schedule(ScheduleDecider::evolve(schedule::State::default(), event))
            }
            (DomainEvent::Channel(event), Some(StreamState::Channel(state))) => {
                StreamState::Channel(Channel::evolve(state, event))
            }
            (DomainEvent::Channel(event), _) => {
                StreamState::Channel(Channel::evolve(channel::State::default(), event))
            }
            (DomainEvent::Class(event), Some(StreamState::Class(state))) => {
                StreamState::Class(Class::evolve(state, event))
            }
            (DomainEvent::Class(event), _) => {
                StreamState::Class(Class::evolve(class::State::default(), event))
            }
            (DomainEvent::Token(event), Some(StreamState::Token(state))) => {
                StreamState::Token(Token::evolve(state, event))
            }
            (DomainEvent::Token(event), _) => {
                StreamState::Token(Token::evolve(token::State::default(), event))
            }
            (DomainEvent::Session(event), Some(StreamState::Session(state))) => {
                StreamState::Session(Session::evolve(state, event))
            }
            (DomainEvent::Session(event), _) => {
                StreamState::Session(Session::evolve(session::State::default(), event))
            }
            (DomainEvent::Task(event), Some(StreamState::Task(state))) => {
                StreamState::Task(TaskDecider::evolve(state, event))
            }
            (DomainEvent::Task(event), _) => {
                StreamState::Task(TaskDecider::evolve(task::State::default(), event))
            }
        };
        Some(SnapshotRow { head, state })
    }

    fn cells(row: &SnapshotRow) -> Vec<Cell<'_>> {
        vec![Cell::Flag(Some(row.is_open()))]
    }

    fn read(key: &String, doc: &str) -> Result<SnapshotRow, serde_json::Error> {
        let Stored { head, state } = serde_json::from_str(doc)?;
        let state = match key.split('/').nth(1) {
            Some("workspace") => StreamState::Workspace(serde_json::from_str(state.get())?),
            Some("class") => StreamState::Class(serde_json::from_str(state.get())?),
            Some("channel") => StreamState::Channel(serde_json::from_str(state.get())?),
            Some("token") => StreamState::Token(serde_json::from_str(state.get())?),
            Some("session") => StreamState::Session(serde_json::from_str(state.get())?),
            Some("agent") => StreamState::Agent(serde_json::from_str(state.get())?),
            Some("schedule") => StreamState::Schedule(serde_json::from_str(state.get())?),
            _ => StreamState::Task(serde_json::from_str(state.get())?),
        };
        Ok(SnapshotRow { head, state })
    }
}
