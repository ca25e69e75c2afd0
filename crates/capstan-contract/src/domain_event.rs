//! An event of any category, for readers that follow the whole log.

use capstan_domain::implied;
use capstan_domain::{agent, channel, class, schedule, session, task, token, workspace};
use capstan_envelope::{Codec, CodecError, Commit, EventRecord};
use serde_json::value::RawValue;

use crate::catalogue::{
    AgentCodec, ChannelCodec, ClassCodec, ScheduleCodec, SessionCodec, TaskCodec, TokenCodec, WorkspaceCodec,
    implied_by,
};
use crate::event_name::{EventName, unknown};

/// An event of any category.
#[derive(Clone, Debug, PartialEq)]
pub enum DomainEvent {
    /// Of a workspace.
    Workspace(workspace::Event),
    /// Of an agent.
    Agent(agent::Event),
    /// Of a schedule.
    Schedule(schedule::Event),
    /// Of a channel.
    Channel(channel::Event),
    /// Of an execution class.
    Class(class::Event),
    /// Of a token.
    Token(token::Event),
    /// Of a session.
    Session(session::Event),
    /// Of a task.
    Task(task::Event),
}

impl DomainEvent {
    /// Reads one event of a stream of this category, written whole.
    pub fn decode(category: &str, record: &EventRecord) -> Result<Self, CodecError> {
        match category {
            TaskCodec::CATEGORY => TaskCodec::read(record).map(Self::Task),
            AgentCodec::CATEGORY => AgentCodec::read(record).map(Self::Agent),
            ScheduleCodec::CATEGORY => ScheduleCodec::read(record).map(Self::Schedule),
            ChannelCodec::CATEGORY => ChannelCodec::read(record).map(Self::Channel),
            ClassCodec::CATEGORY => ClassCodec::read(record).map(Self::Class),
            SessionCodec::CATEGORY => SessionCodec::read(record).map(Self::Session),
            WorkspaceCodec::CATEGORY => WorkspaceCodec::read(record).map(Self::Workspace),
            TokenCodec::CATEGORY => TokenCodec::read(record).map(Self::Token),
            foreign => Err(unknown(foreign, record)),
        }
    }

    /// Writes the event whole, in its current version.
    pub fn encode(&self) -> Result<EventRecord, CodecError> {
        match self {
            Self::Workspace(event) => WorkspaceCodec::write(event),
            Self::Agent(event) => AgentCodec::write(event),
            Self::Schedule(event) => ScheduleCodec::write(event),
            Self::Channel(event) => ChannelCodec::write(event),
            Self::Class(event) => ClassCodec::write(event),
            Self::Token(event) => TokenCodec::write(event),
            Self::Session(event) => SessionCodec::write(event),
            Self::Task(event) => TaskCodec::write(event),
        }
    }

    /// Its entry in the catalogue.
    pub const fn name(&self) -> &'static EventName {
        match self {
            Self::Workspace(event) => WorkspaceCodec::name_of(event),
            Self::Agent(event) => AgentCodec::name_of(event),
            Self::Schedule(event) => ScheduleCodec::name_of(event),
            Self::Channel(event) => ChannelCodec::name_of(event),
            Self::Class(event) => ClassCodec::name_of(event),
            Self::Token(event) => TokenCodec::name_of(event),
            Self::Session(event) => SessionCodec::name_of(event),
            Self::Task(event) => TaskCodec::name_of(event),
        }
    }
}

/// Reads all events of a commit; the commit's stream says which codec reads them.
pub fn decode_commit(commit: &Commit) -> Result<Vec<DomainEvent>, CodecError> {
    let category = commit.stream.category();
    if let Some(carried) = commit.carried()? {
        return match category {
            TaskCodec::CATEGORY => TaskCodec::check_carried(commit, &carried),
            AgentCodec::CATEGORY => AgentCodec::check_carried(commit, &carried),
            ScheduleCodec::CATEGORY => ScheduleCodec::check_carried(commit, &carried),
            ChannelCodec::CATEGORY => ChannelCodec::check_carried(commit, &carried),
            ClassCodec::CATEGORY => ClassCodec::check_carried(commit, &carried),
            SessionCodec::CATEGORY => SessionCodec::check_carried(commit, &carried),
            WorkspaceCodec::CATEGORY => WorkspaceCodec::check_carried(commit, &carried),
            TokenCodec::CATEGORY => TokenCodec::check_carried(commit, &carried),
            _ => Ok(()),
        }
        .map(|()| Vec::new());
    }
    implied::within(implied_by(commit.facts()), || {
        commit.events.iter().map(|record| DomainEvent::decode(category, record)).collect()
    })
}

/// Reads a whole commit and tells what is wrong with it: its events, or the state it carries forward.
pub fn verify_commit(commit: &Commit) -> Result<(), CodecError> {
    decode_commit(commit)?;
    let Some(carried) = commit.carried()? else { return Ok(()) };
    match commit.stream.category() {
        TaskCodec::CATEGORY => carried.state::<task::State>().map(drop),
        AgentCodec::CATEGORY => carried.state::<agent::State>().map(drop),
        ScheduleCodec::CATEGORY => carried.state::<schedule::State>().map(drop),
        ChannelCodec::CATEGORY => carried.state::<channel::State>().map(drop),
        ClassCodec::CATEGORY => carried.state::<class::State>().map(drop),
        SessionCodec::CATEGORY => carried.state::<session::State>().map(drop),
        WorkspaceCodec::CATEGORY => carried.state::<workspace::State>().map(drop),
        TokenCodec::CATEGORY => carried.state::<token::State>().map(drop),
        foreign => commit.events.first().map_or(Ok(()), |record| Err(unknown(foreign, record))),
    }
}

/// The events of a commit as readers of the API get them: whole, and each in its current version. An event that this build
/// cannot read stays as it is stored, and so do those after it, which may leave out what it says. Of one that carries its
/// stream forward only the name is shown: the state of a decider is not part of the API.
pub fn whole_records(commit: &Commit) -> Vec<EventRecord> {
    if commit.carries_forward() {
        let bare = |event: &EventRecord| EventRecord { data: nothing(), ..event.clone() };
        return commit.events.iter().map(bare).collect();
    }
    let category = commit.stream.category();
    let read: Vec<_> = implied::within(implied_by(commit.facts()), || {
        commit.events.iter().map_while(|record| DomainEvent::decode(category, record).ok()).collect()
    });
    let whole = read.iter().zip(&commit.events);
    let whole = whole.map(|(event, stored)| event.encode().unwrap_or_else(|_| stored.clone()));
    whole.chain(commit.events.iter().skip(read.len()).cloned()).collect()
}

/// An event without fields.
fn nothing() -> Box<RawValue> {
    RawValue::from_string("{}".to_owned()).unwrap_or_else(|_| unreachable!("an empty object is JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, data: &str) -> EventRecord {
        EventRecord {
            name: name.into(),
            version: 1,
            data: serde_json::value::RawValue::from_string(data.into()).unwrap(),
        }
    }

    #[test]
    fn an_event_reads_back_and_knows_its_name() {
        let event =
            DomainEvent::decode("task", &record("task-done", r#"{"at":"2026-01-02T03:04:05Z"}"#)).unwrap();
        assert_eq!((event.name().category, event.name().name), ("task", "task-done"));
        assert_eq!(DomainEvent::decode("task", &event.encode().unwrap()).unwrap(), event);
    }

    #[test]
    fn unknown_fields_are_tolerated_so_that_a_shape_may_grow() {
        let grown = record("task-done", r#"{"at":"2026-01-02T03:04:05Z","later":{"x":1}}"#);
        assert!(DomainEvent::decode("task", &grown).is_ok());
    }

    #[test]
    fn a_name_of_another_category_is_unknown() {
        for category in ["agent", "workspace", "schedule"] {
            let error = DomainEvent::decode(category, &record("task-done", "{}")).unwrap_err();
            assert!(matches!(&error, CodecError::Unknown { category: of, .. } if of == category), "{error}");
        }
    }

    #[test]
    fn data_of_another_shape_is_malformed() {
        let error = DomainEvent::decode("task", &record("task-done", r#"{"at":5}"#)).unwrap_err();
        assert!(matches!(error, CodecError::Malformed { .. }), "{error}");
    }
}
