//! `capstan log verify` names the commits that this build cannot read.

use capstan_envelope::{Actor, Commit, CommitHash, CommitId, EventRecord, Metadata, Position};
use capstan_eventlog::{EventLog as _, JetStreamConfig, JetStreamLog};
use capstan_testkit::servers::TestServers;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::operations::{capstan, text};

fn commit(number: u128, name: &str, version: u16, data: &str) -> Commit {
    Commit {
        commit_id: CommitId(Uuid::from_u128(number)),
        stream: format!("dev/task/{}", Uuid::from_u128(number)).parse().unwrap(),
        version: 1,
        previous: Position::START,
        previous_hash: CommitHash::NONE,
        metadata: Metadata::new("test", Actor::System, Uuid::nil(), chrono::DateTime::UNIX_EPOCH),
        events: vec![EventRecord {
            name: name.into(),
            version,
            data: RawValue::from_string(data.into()).unwrap(),
        }],
    }
}

#[tokio::test]
async fn a_commit_that_cannot_be_read_is_named_with_its_fault() -> anyhow::Result<()> {
    let servers = TestServers::start().await?;
    let nats_url = servers.nats_url();
    let environment = [("NATS_URL", nats_url.as_str())];
    let log = JetStreamLog::connect(JetStreamConfig::new(nats_url.clone())).await?;
    log.append(&commit(1, "task-done", 1, "{}")).await?;
    let verified = capstan(&["log", "verify"], &environment).await?;
    assert!(verified.status.success(), "{}", text(&verified.stderr));
    assert!(text(&verified.stdout).contains("every hash chain is valid"));

    let mut expected = Vec::new();
    for (number, name, version, data, fault) in [
        (2, "task-dreamt", 1, "{}", "needs a newer build"),
        (3, "task-done", 9, "{}", "needs a newer build"),
        (4, "task-reprioritised", 1, r#"{"priority":7}"#, "is malformed"),
        (5, "carried-forward", 1, r#"{"state":7}"#, "is malformed"),
        (6, "carried-forward", 9, "{}", "needs a newer build"),
    ] {
        let commit = commit(number, name, version, data);
        let position = log.append(&commit).await?.position;
        expected.push(format!("the commit at {position} of {} {fault}: ", commit.stream));
    }
    let verified = capstan(&["log", "verify"], &environment).await?;
    let (lines, error) = (text(&verified.stdout), text(&verified.stderr));
    for (line, expected) in lines.lines().zip(&expected) {
        assert!(line.starts_with(expected), "{line}: {expected}");
    }
    assert_eq!(lines.lines().count(), expected.len() + 1, "{lines}");
    assert!(error.contains("3 commits need a newer build, 2 are malformed"), "{error}");
    assert_eq!(verified.status.code(), Some(1));
    Ok(())
}
