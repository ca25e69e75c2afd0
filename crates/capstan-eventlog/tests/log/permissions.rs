//! What a user may not do ends at once with the permission it needs: nats-server answers nothing to a denied publication.

use std::fmt::Debug;
use std::time::Duration;

use capstan_envelope::Position;
use capstan_eventlog::{EventLog, JetStreamConfig, JetStreamLog, Selection};
use capstan_testkit::configured_nats::ConfiguredNats;

use crate::reading::next_failure;
use crate::server::Server;
use crate::writer::Writer;

/// Most time until a denied request has failed.
const FAILS_WITHIN: Duration = Duration::from_secs(10);

/// Checks that the outcome is an error about this permission.
async fn needs<T: Debug, E: std::error::Error + Send + Sync + 'static>(
    permission: &str,
    work: impl Future<Output = Result<T, E>>,
) {
    let outcome = tokio::time::timeout(FAILS_WITHIN, work).await;
    let outcome = outcome.unwrap_or_else(|_| panic!("{permission}: it still waits"));
    let error = format!("{:#}", anyhow::Error::new(outcome.unwrap_err()));
    assert!(error.contains(&format!("the NATS user needs the permission to {permission}")), "{error}");
}

#[tokio::test]
async fn users_of_the_template_are_told_what_they_may_not_do() {
    let nats = ConfiguredNats::start().await.unwrap();
    let connect =
        async |user, password| JetStreamLog::connect(JetStreamConfig::new(nats.url(user, password))).await;
    needs("publish to $JS.API.INFO", connect("dev-reader", "word-c")).await;
    // Its inbox is another one, with which it did not connect.
    needs("subscribe to _INBOX.", connect("operator", "word-f")).await;
    let log = connect("capstan", "word-a").await.unwrap();
    let written = Writer::new("dev/task/1").write(&log, "a").await;
    let update = "publish to $JS.API.STREAM.UPDATE.CAPSTAN_EVENTS";
    needs(update, log.may_archive()).await;
    needs(update, log.archive(1)).await;
    needs(update, log.adopt_fingerprint_key(log.fingerprint_key())).await;
    let archiver = connect("archiver", "word-g").await.unwrap();
    archiver.may_archive().await.unwrap();
    let (status, kept) = (archiver.check().await.unwrap(), archiver.at(written.position).await.unwrap());
    assert_eq!(
        (status, kept.as_ref(), archiver.archived()),
        (written.position, Some(&written), log.archived())
    );
    archiver.archive(1).await.unwrap();
}

#[tokio::test]
async fn every_way_to_use_the_log_names_the_permission_that_is_missing() {
    let users = [
        ("purger", "$JS.API.STREAM.PURGE.>"),
        ("writer", "capstan.evt.>"),
        ("getter", "$JS.API.DIRECT.GET.>"),
        ("opener", "$JS.API.CONSUMER.CREATE.>"),
        ("puller", "$JS.API.CONSUMER.MSG.NEXT.>"),
    ]
    .map(|(user, denied)| {
        format!("{{ user: {user}, password: p, permissions: {{ publish: {{ allow: \">\", deny: {denied:?} }} }} }}")
    });
    let server = Server::start_on(|store| {
        format!(
            "jetstream {{ store_dir: {store:?} }}\nauthorization {{ users: [ {{ user: all, password: p }}, {} ] }}",
            users.join(", ")
        )
    })
    .await;
    let connect = async |user: &str| {
        let url = format!("nats://{user}:p@{}", server.address());
        JetStreamLog::connect(JetStreamConfig::new(url)).await.unwrap()
    };
    let written = Writer::new("dev/task/1").write(&connect("all").await, "a").await;
    let (purge, purger) = ("publish to $JS.API.STREAM.PURGE.CAPSTAN_EVENTS", connect("purger").await);
    needs(purge, purger.may_archive()).await;
    needs(purge, purger.archive(1)).await;
    let log = connect("writer").await;
    let others = [Writer::new("dev/task/2").decide("b"), Writer::new("dev/task/3").decide("c")];
    needs("publish to capstan.evt.dev.task.2", log.append(&others[0])).await;
    needs("publish to capstan.evt.dev.task.3", log.append_together(&others)).await;
    let log = connect("getter").await;
    let get = "publish to $JS.API.DIRECT.GET.CAPSTAN_EVENTS";
    needs(get, log.at(written.position)).await;
    needs(get, log.read_stream(&written.commit.stream, Position::START)).await;
    let log = connect("opener").await;
    needs("publish to $JS.API.CONSUMER.CREATE.CAPSTAN_EVENTS.", log.tail(Selection::All, Position::START))
        .await;
    let log = connect("puller").await;
    let mut tail = log.tail(Selection::All, Position::START).await.unwrap();
    let read = async { Err::<(), _>(next_failure(&mut tail).await) };
    needs("publish to $JS.API.CONSUMER.MSG.NEXT.CAPSTAN_EVENTS.", read).await;
}
