//! Commits that carry a stream forward: read strictly, and shown to callers without the state in them.
#![expect(clippy::unwrap_used, reason = "functions the tests share fail the test")]

use capstan_contract::{TaskCodec, decode_commit, whole_records};
use capstan_domain::id::TaskId;
use capstan_domain::task::Task;
use capstan_envelope::{
    Actor, AppliedKeys, CARRIED_FORWARD, Carried, Codec as _, CodecError, Commit, CommitHash, CommitId,
    EventRecord, Metadata, OlderKeys, Position,
};
use chrono::DateTime;
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

fn commit(events: Vec<EventRecord>) -> Commit {
    let at = DateTime::UNIX_EPOCH;
    Commit {
        commit_id: CommitId(Uuid::from_u128(1)),
        stream: "dev/agent/00000000-0000-0000-0000-000000000007".parse().unwrap(),
        version: 4,
        previous: Position::new(41, CommitHash::of("dev.agent.7", b"the one before")),
        previous_hash: CommitHash::of("dev.agent.7", b"the one before"),
        metadata: Metadata::new("carry-forward", Actor::System, Uuid::from_u128(1), at),
        events,
    }
}

fn carried() -> Carried {
    let state = to_raw_value(&serde_json::json!({ "profile": null, "secret": 7 })).unwrap();
    Carried { state, keys: AppliedKeys::default(), older: OlderKeys::default(), shown: None, spent: None }
}

#[test]
fn a_commit_that_carries_forward_has_no_facts_and_shows_callers_no_state() {
    let stored = commit(vec![carried().record().unwrap()]);
    let read = Commit::from_bytes(stored.stream.clone(), 41, &stored.to_bytes().unwrap()).unwrap();
    assert_eq!(read, stored);
    assert_eq!(read.carried().unwrap().unwrap().state.get(), carried().state.get());
    assert_eq!(decode_commit(&read).unwrap(), []);
    let shown = whole_records(&read);
    assert_eq!((shown[0].name.as_str(), shown[0].data.get()), (CARRIED_FORWARD, "{}"));
}

/// A state that leaves something to a default of a newer build is none that this build may begin with.
#[test]
fn a_state_that_refers_to_an_unknown_default_needs_a_newer_build() {
    let id = Uuid::from_u128(7);
    let acceptance = |base: u64| {
        let accepted = format!(
            r#"{{"agent_key":"demo","agent_name":"Demo","agent_config_version":1,"message":"m","instance_key":"k","policy":{{"base":{base}}}}}"#
        );
        format!(r#"{{"workspace":"dev","at":"2026-01-02T03:04:05Z","accepted":{accepted}}}"#)
    };
    let read = |base| {
        let state = Task::json_of(TaskId(id), &acceptance(base), "{}");
        let state = RawValue::from_string(state).unwrap();
        let mut commit = commit(vec![Carried { state, ..carried() }.record().unwrap()]);
        commit.stream = format!("dev/task/{id}").parse().unwrap();
        assert_eq!(
            TaskCodec::decode(&commit).map_err(|error| error.to_string()).err(),
            decode_commit(&commit).map_err(|error| error.to_string()).err()
        );
        decode_commit(&commit)
    };
    assert_eq!(read(1).unwrap(), []);
    let error = read(2).unwrap_err();
    assert!(error.needs_newer_build(), "{error:?}");
    assert_eq!(
        error.to_string(),
        "read event carried-forward version 1: version 2 of the default of policies is unknown to this build"
    );
}

#[test]
fn what_is_carried_forward_is_read_strictly() {
    let record = || carried().record().unwrap();
    let newer = EventRecord { version: 2, ..record() };
    let error = commit(vec![newer]).carried().unwrap_err();
    assert!(matches!(error, CodecError::Unknown { version: 2, .. }), "{error:?}");
    let raw = |text: &str| EventRecord { data: RawValue::from_string(text.to_owned()).unwrap(), ..record() };
    let error = decode_commit(&commit(vec![raw(r#"{"state":null,"later":1}"#)])).unwrap_err();
    assert!(error.needs_newer_build(), "{error:?}");
    for (what, events) in [("beside another event", vec![record(), record()]), ("no state", vec![raw("{}")])]
    {
        let error = decode_commit(&commit(events)).unwrap_err();
        assert!(matches!(error, CodecError::Malformed { .. }), "{what}: {error:?}");
    }
}
