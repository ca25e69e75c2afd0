//! Temporary servers, clients, and the state of processes for tests.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use async_nats::jetstream;
use capstan_launcher::{LaunchConfig, Servers};

pub(crate) fn throwaway(data_dir: &Path) -> LaunchConfig {
    LaunchConfig { throwaway: true, ..LaunchConfig::new(data_dir) }
}

pub(crate) async fn start(data_dir: &Path) -> Servers {
    Servers::start(throwaway(data_dir)).await.unwrap()
}

/// Puts one row and one message in.
pub(crate) async fn write_something(servers: &Servers) {
    let client = database(servers).await;
    client.batch_execute("CREATE TABLE kept (n int); INSERT INTO kept VALUES (42)").await.unwrap();
    let stream = jetstream::stream::Config {
        name: "KEPT".into(),
        subjects: vec!["kept.>".into()],
        ..jetstream::stream::Config::default()
    };
    let context = log(servers).await;
    context.create_stream(stream).await.unwrap();
    context.publish("kept.one", "42".into()).await.unwrap().await.unwrap();
}

/// True when the row and the message exist.
pub(crate) async fn assert_all_kept(servers: &Servers) {
    let row = database(servers).await.query_one("SELECT n FROM kept", &[]).await.unwrap();
    assert_eq!(row.get::<_, i32>(0), 42);
    let stream = log(servers).await.get_stream("KEPT").await.unwrap();
    assert_eq!(stream.get_raw_message(1).await.unwrap().payload, "42");
}

pub(crate) async fn database(servers: &Servers) -> tokio_postgres::Client {
    let (client, connection) =
        tokio_postgres::connect(&servers.database_url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

pub(crate) async fn log(servers: &Servers) -> jetstream::Context {
    jetstream::new(async_nats::connect(servers.nats_url()).await.unwrap())
}

pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie is dead already, only not yet collected.
    stat.rsplit(") ").next().is_some_and(|after_name| !after_name.is_empty() && !after_name.starts_with('Z'))
}

#[track_caller]
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::yield_now();
    }
}

/// The error with all its sources, as a person would see it.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
