//! Commits that carry a stream forward: read strictly, and shown to callers without the state in them.
#![expect(clippy::unwrap_used, reason = "functions the tests share fail the test")]

use capstan_contract::{decode_commit, whole_records};
use capstan_envelope::{
    Actor, AppliedKeys, CARRIED_FORWARD, Carried, CodecError, Commit, CommitHash, CommitId, EventRecord,
    Metadata, Position,
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
    Carried { state, keys: AppliedKeys::default(), shown: None }
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

#[test]
fn what_is_carried_forward_is_read_strictly() {
    let record = || carried().record().unwrap();
    let newer = EventRecord { version: 2, ..record() };
    let error = commit(vec![newer]).carried().unwrap_err();
    assert!(matches!(error, CodecError::Unknown { version: 2, .. }), "{error:?}");
    let raw = |text: &str| EventRecord { data: RawValue::from_string(text.to_owned()).unwrap(), ..record() };
    for (what, events) in [
        ("beside another event", vec![record(), record()]),
        ("no state", vec![raw("{}")]),
        ("an unknown field", vec![raw(r#"{"state":null,"later":1}"#)]),
    ] {
        let error = decode_commit(&commit(events)).unwrap_err();
        assert!(matches!(error, CodecError::Malformed { .. }), "{what}: {error:?}");
    }
}
