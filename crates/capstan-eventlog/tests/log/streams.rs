//! The streams on the server: created as designed, refused when they are not.

use std::time::Duration;

use capstan_envelope::{CommitHash, FORMAT_EPOCH, Position};
use capstan_eventlog::{
    ConnectError, Difference, Durability, EventLog, Inspection, JetStreamConfig, JetStreamLog, ReadError,
    StreamError, StreamState,
};
use serde_json::{Value, json};

use crate::server::{Server, api};
use crate::writer::Writer;

#[tokio::test]
async fn the_streams_are_created_as_designed() {
    let server = Server::start("100ms").await;
    let log = server.log().await;
    let client = server.client().await;
    let settings =
        async |name: &str| api(&client, &format!("STREAM.INFO.{name}"), &json!({})).await["config"].clone();
    let events = settings("CAPSTAN_EVENTS").await;
    for (setting, value) in [
        ("subjects", json!(["capstan.evt.>"])),
        ("storage", json!("file")),
        ("retention", json!("limits")),
        ("discard", json!("new")),
        ("max_msgs", json!(-1)),
        ("max_bytes", json!(-1)),
        ("max_age", json!(0)),
        ("duplicate_window", json!(120_000_000_000u64)),
        ("allow_direct", json!(true)),
        ("allow_atomic", json!(true)),
        ("deny_delete", json!(true)),
        ("deny_purge", json!(false)),
    ] {
        assert_eq!(events[setting], value, "{setting}");
    }
    let epoch = events["metadata"]["store_epoch"].as_str().unwrap().to_owned();
    assert_eq!(log.identity().await.unwrap().store_epoch, epoch);
    assert_eq!(settings("CAPSTAN_COMMANDS").await["retention"], "workqueue");
    assert_eq!(settings("CAPSTAN_CMD_RESULTS").await["max_age"], json!(86_400_000_000_000u64));
    assert_eq!(settings("CAPSTAN_DEADLETTERS").await["subjects"], json!(["capstan.dlq.>"]));
    assert_eq!(settings("CAPSTAN_LOGS").await["discard"], "old");
}

#[tokio::test]
async fn a_log_of_another_format_epoch_is_refused_by_name() {
    let server = Server::start("100ms").await;
    server.log().await;
    let client = server.client().await;
    let mut config = api(&client, "STREAM.INFO.CAPSTAN_EVENTS", &json!({})).await["config"].clone();
    for (metadata, found) in
        [(json!({ "store_epoch": "x", "format_epoch": "7" }), "7"), (json!({ "store_epoch": "x" }), "none")]
    {
        config["metadata"] = metadata;
        api(&client, "STREAM.UPDATE.CAPSTAN_EVENTS", &config).await;
        let error = JetStreamLog::connect(server.config()).await.unwrap_err();
        assert!(
            matches!(&error, ConnectError::Stream(StreamError::OtherFormat { found: is, .. }) if is == found),
            "{error:?}"
        );
        let expected = format!(
            "use stream CAPSTAN_EVENTS: its log has format epoch {found}, this build reads epoch {FORMAT_EPOCH}; start \
             the version of Capstan that wrote it, or begin with an empty log"
        );
        assert_eq!(error.to_string(), expected);
        let inspection = Inspection::of(&server.config()).await.unwrap();
        let events = inspection.streams.iter().find(|stream| stream.name == "CAPSTAN_EVENTS").unwrap();
        assert!(
            matches!(&events.state, StreamState::Differs(differences) if *differences == [expected]),
            "{events:?}"
        );
    }
}

#[tokio::test]
async fn the_key_of_fingerprints_is_drawn_once_and_can_be_taken_over() {
    let (one, two) = (Server::start("100ms").await, Server::start("100ms").await);
    let (first, copy) = (one.log().await, two.log().await);
    let key = first.fingerprint_key().clone();
    assert_eq!(*one.log().await.fingerprint_key(), key, "the same log, the same key");
    assert_ne!(*copy.fingerprint_key(), key);
    let identity = copy.identity().await.unwrap();
    copy.adopt_fingerprint_key(&key).await.unwrap();
    let reopened = two.log().await;
    assert_eq!((reopened.fingerprint_key(), reopened.identity().await.unwrap()), (&key, identity));

    let client = one.client().await;
    let mut config = api(&client, "STREAM.INFO.CAPSTAN_EVENTS", &json!({})).await["config"].clone();
    config["metadata"].as_object_mut().unwrap().remove("fingerprint_key");
    api(&client, "STREAM.UPDATE.CAPSTAN_EVENTS", &config).await;
    let error = JetStreamLog::connect(one.config()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Stream(StreamError::NoFingerprintKey { .. })), "{error:?}");
}

#[tokio::test]
async fn connecting_again_finds_the_same_log() {
    let server = Server::start("100ms").await;
    let first = server.log().await;
    let written = Writer::new("dev/task/1").write(&first, "a").await;
    let second = server.log().await;
    assert_eq!(second.identity().await.unwrap(), first.identity().await.unwrap());
    assert_eq!(second.check().await.unwrap(), written.position);
}

#[tokio::test]
async fn two_that_connect_at_once_agree_on_one_log() {
    let server = Server::start("100ms").await;
    let (one, two) = tokio::join!(server.log(), server.log());
    assert_eq!(one.identity().await.unwrap(), two.identity().await.unwrap());
}

#[tokio::test]
async fn a_stream_that_forgets_is_refused_and_named() {
    let server = Server::start("100ms").await;
    let client = server.client().await;
    let config = json!({ "name": "CAPSTAN_EVENTS", "subjects": ["capstan.evt.>"], "max_msgs": 5 });
    api(&client, "STREAM.CREATE.CAPSTAN_EVENTS", &config).await;
    let error = JetStreamLog::connect(server.config()).await.unwrap_err();
    let ConnectError::Stream(StreamError::WrongSettings { differences, .. }) = &error else {
        panic!("{error:?}");
    };
    assert!(differences.iter().any(|text| text == "max_msgs is 5 and must be -1"), "{differences:?}");
    assert!(error.to_string().contains("deny_delete is false and must be true"), "{error}");
}

#[tokio::test]
async fn logs_under_different_prefixes_share_a_server() {
    let server = Server::start("100ms").await;
    let under = async |prefix: &str| {
        let stream_prefix = Some(prefix.to_owned());
        JetStreamLog::connect(JetStreamConfig { stream_prefix, ..server.config() }).await.unwrap()
    };
    let (one, two) = (under("one").await, under("two").await);
    Writer::new("dev/task/1").write(&one, "a").await;
    assert_eq!(one.head().await.unwrap().sequence(), 1);
    assert_eq!(two.head().await.unwrap().sequence(), 0);
}

#[tokio::test]
async fn no_single_commit_can_be_deleted() {
    let server = Server::start("100ms").await;
    let log = server.log().await;
    Writer::new("dev/task/1").write(&log, "a").await;
    let client = server.client().await;
    let answer = api(&client, "STREAM.MSG.DELETE.CAPSTAN_EVENTS", &json!({ "seq": 1 })).await;
    assert_ne!(answer["error"], Value::Null, "{answer}");
    assert_eq!(log.head().await.unwrap().sequence(), 1);
}

#[tokio::test]
async fn the_servers_real_durability_is_reported() {
    let always = Server::start("always").await;
    assert_eq!(always.log().await.durability(), Durability::Always);
    let interval = Server::start("100ms").await;
    assert_eq!(interval.log().await.durability(), Durability::Interval(Duration::from_millis(100)));
    let config = JetStreamConfig { monitor_url: None, ..interval.config() };
    assert_eq!(JetStreamLog::connect(config).await.unwrap().durability(), Durability::Unknown);
}

#[tokio::test]
async fn a_server_without_jetstream_is_refused() {
    let server = Server::start_plain().await;
    let config = JetStreamConfig { connect_timeout: Duration::from_millis(500), ..server.config() };
    let error = JetStreamLog::connect(config).await.unwrap_err();
    assert!(matches!(error, ConnectError::Server(_)), "{error:?}");
}

#[tokio::test]
async fn an_absent_server_is_reported_in_bounded_time() {
    let config = JetStreamConfig {
        connect_timeout: Duration::from_millis(300),
        ..JetStreamConfig::new("nats://127.0.0.1:9")
    };
    let error = JetStreamLog::connect(config).await.unwrap_err();
    assert!(matches!(error, ConnectError::Connect { .. }), "{error:?}");
}

#[tokio::test]
async fn an_inspection_compares_a_position_with_the_log_as_it_is_now() {
    let server = Server::start("100ms").await;
    let log = server.log().await;
    let inspection = Inspection::of(&server.config()).await.unwrap();
    assert_eq!(inspection.commits_after(Position::START).await.unwrap(), 0);
    let mut writer = Writer::new("dev/task/1");
    let mut written = Vec::new();
    for text in ["a", "b", "c"] {
        written.push(writer.write(&log, text).await.position);
    }
    // Written after the inspection began, as by a server in use.
    assert_eq!(inspection.commits_after(Position::START).await.unwrap(), 3);
    assert_eq!(inspection.commits_after(written[1]).await.unwrap(), 1);
    for (sequence, expected) in [(2, Difference::OtherCommit), (9, Difference::EndsAt(3))] {
        let foreign = Position::new(sequence, CommitHash::of("dev.task.1", b"another commit"));
        let error = inspection.commits_after(foreign).await.unwrap_err();
        assert!(
            matches!(error, ReadError::Diverged { difference, .. } if difference == expected),
            "{error:?}"
        );
    }
}
