//! The envelope as it is drawn is the envelope as it is written.
#![expect(clippy::unwrap_used, reason = "functions the tests share fail the test")]

use capstan_contract::schema_files::generate;
use capstan_contract::{DomainEvent, decode_commit};
use capstan_domain::task;
use capstan_envelope::{Actor, Commit, CommitHash, CommitId, Idempotency, Metadata, Position};
use chrono::DateTime;
use serde_json::{Value, json};
use uuid::Uuid;

fn done() -> DomainEvent {
    DomainEvent::Task(task::Event::TaskDone(task::event::TaskDone { at: DateTime::UNIX_EPOCH }))
}

fn commit(actor: Actor) -> Commit {
    let before = CommitHash::of("dev.task.018f6b1e-7c3a-7d10-9a55-0b8f3c2d1e4f", b"the commit before");
    Commit {
        commit_id: CommitId(Uuid::from_u128(1)),
        stream: "dev/task/018f6b1e-7c3a-7d10-9a55-0b8f3c2d1e4f".parse().unwrap(),
        version: 7,
        previous: Position::new(41, before),
        previous_hash: before,
        metadata: Metadata {
            causation_id: Some(Uuid::from_u128(3)),
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
            idempotency: Some(Idempotency { key: "k".into(), fingerprint: "f".into() }),
            ..Metadata::new("finish-attempt", actor, Uuid::from_u128(2), DateTime::UNIX_EPOCH)
        },
        events: vec![done().encode().unwrap()],
    }
}

fn written(commit: &Commit) -> Value {
    serde_json::from_slice(&commit.to_bytes().unwrap()).unwrap()
}

fn schema() -> Value {
    let generated = generate();
    serde_json::from_str(&generated[std::path::Path::new("envelope.v1.schema.json")]).unwrap()
}

#[test]
fn every_commit_matches_the_schema_and_every_written_field_is_drawn() {
    let schema = schema();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let actors = [Actor::Client { name: "ann".into() }, Actor::Worker, Actor::Engine, Actor::System];
    for actor in actors {
        let written = written(&commit(actor));
        let faults: Vec<_> = validator.iter_errors(&written).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{faults:?}");
        for field in written.as_object().unwrap().keys() {
            assert!(schema["properties"].get(field).is_some(), "{field} is not drawn");
        }
    }
}

#[test]
fn what_is_no_commit_does_not_match() {
    let validator = jsonschema::draft202012::new(&schema()).unwrap();
    let whole = written(&commit(Actor::Engine));
    for (pointer, wrong) in [
        ("/events", json!([])),
        ("/version", json!(0)),
        ("/link", json!("00")),
        ("/by", json!("worker:00000000-0000-0000-0000-000000000004")),
        ("/by", json!("ghost")),
        ("/events/0", json!({})),
        ("/events/0", json!({"TaskDone": {}})),
        ("/events/0", json!({"task-done": {}, "task-failed": {}})),
    ] {
        let mut commit = whole.clone();
        *commit.pointer_mut(pointer).unwrap() = wrong;
        assert!(!validator.is_valid(&commit), "{pointer} may be anything");
    }
}

#[test]
fn all_events_of_a_commit_are_read() {
    let mut commit = commit(Actor::Engine);
    commit.events.push(done().encode().unwrap());
    assert_eq!(decode_commit(&commit).unwrap(), [done(), done()]);
}

#[test]
fn one_unknown_event_stops_the_whole_commit() {
    let mut commit = commit(Actor::Engine);
    let mut future = done().encode().unwrap();
    future.version = 2;
    commit.events.push(future);
    assert!(decode_commit(&commit).is_err());
}
