//! A second start on the same folder finds everything there.

use std::fs;

use capstan_launcher::{Durability, LaunchConfig, Servers};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::stage::{assert_all_kept, is_alive, start, until, write_something};

#[tokio::test]
async fn a_second_start_resumes_with_everything_there() {
    let folder = tempfile::tempdir().unwrap();
    let config = LaunchConfig::new(folder.path().join("data"));
    let servers = Servers::start(config.clone()).await.unwrap();
    write_something(&servers).await;
    servers.shutdown().await;
    let servers = Servers::start(config).await.unwrap();
    assert_all_kept(&servers).await;
    servers.shutdown().await;
    forget_data_kept_elsewhere(&folder.path().join("data"));
}

#[tokio::test]
async fn a_shutdown_leaves_no_process_and_no_address() {
    let folder = tempfile::tempdir().unwrap();
    let servers = start(folder.path()).await;
    let pids = [servers.nats_pid().unwrap(), servers.postgres_pid().unwrap()];
    let run_file = folder.path().join("run.json");
    let told: serde_json::Value = serde_json::from_slice(&fs::read(&run_file).unwrap()).unwrap();
    assert_eq!(told["nats_url"], servers.nats_url());
    assert_eq!(told["database_url"], servers.database_url());
    assert_eq!([&told["nats_pid"], &told["postgres_pid"]], [pids[0], pids[1]]);
    servers.shutdown().await;
    assert!(pids.iter().all(|pid| !is_alive(*pid)));
    assert!(!run_file.exists());
}

#[tokio::test]
async fn dropping_the_servers_ends_them_and_frees_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let servers = start(folder.path()).await;
    let pids = [servers.nats_pid().unwrap(), servers.postgres_pid().unwrap()];
    write_something(&servers).await;
    drop(servers);
    until("both are gone", || pids.iter().all(|pid| !is_alive(*pid)));
    assert_all_kept(&start(folder.path()).await).await;
}

#[tokio::test]
async fn the_durability_asked_for_is_what_the_server_reports() {
    let folder = tempfile::tempdir().unwrap();
    for (durability, always) in [(Durability::Always, true), (Durability::Interval, false)] {
        let config = LaunchConfig { durability, throwaway: true, ..LaunchConfig::new(folder.path()) };
        let servers = Servers::start(config).await.unwrap();
        let report = http_get(&servers.nats_monitor_url(), "/varz").await;
        let jetstream = &report["jetstream"]["config"];
        assert_eq!(jetstream["sync_always"].as_bool().unwrap_or(false), always, "{jetstream}");
        if !always {
            assert_eq!(jetstream["sync_interval"], 100_000_000, "{jetstream}");
        }
        servers.shutdown().await;
    }
}

async fn http_get(base: &str, path: &str) -> serde_json::Value {
    let address = base.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

/// As root and under a closed folder, durable data lives outside the data folder.
fn forget_data_kept_elsewhere(data_dir: &std::path::Path) {
    if let Ok(elsewhere) = fs::read_link(data_dir.join("postgres")) {
        fs::remove_dir_all(elsewhere).unwrap();
    }
}
