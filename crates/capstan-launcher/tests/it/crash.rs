//! A server that crashes comes back, on the same port and data.

use std::time::Duration;

use tokio::net::TcpStream;

use crate::stage::{assert_all_kept, start, throwaway, told, write_something};
use capstan_launcher::Servers;

#[tokio::test]
async fn a_killed_nats_server_comes_back_on_the_same_port_and_data() {
    let folder = tempfile::tempdir().unwrap();
    let servers = start(folder.path()).await;
    write_something(&servers).await;
    let (url, pid) = (servers.nats_url(), servers.nats_pid());
    for _ in 0..3 {
        servers.kill_nats().await;
        servers.wait_until_up().await;
    }
    assert_eq!(servers.nats_url(), url);
    assert_ne!(servers.nats_pid(), pid);
    assert_all_kept(&servers).await;
}

#[tokio::test]
async fn a_killed_postgres_comes_back_on_the_same_port_and_data() {
    let folder = tempfile::tempdir().unwrap();
    let servers = start(folder.path()).await;
    write_something(&servers).await;
    let (url, pid) = (servers.database_url(), servers.postgres_pid());
    for _ in 0..3 {
        servers.kill_postgres().await;
        servers.wait_until_up().await;
    }
    assert_eq!(servers.database_url(), url);
    assert_ne!(servers.postgres_pid(), pid);
    assert_all_kept(&servers).await;
}

#[tokio::test]
async fn a_server_killed_by_a_stranger_comes_back_too() {
    let folder = tempfile::tempdir().unwrap();
    let servers = start(folder.path()).await;
    let before = [servers.nats_pid().unwrap(), servers.postgres_pid().unwrap()];
    for pid in before {
        let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
    let others = async {
        while [servers.nats_pid(), servers.postgres_pid()]
            .iter()
            .zip(before)
            .any(|(now, old)| *now == Some(old))
        {
            tokio::task::yield_now().await;
        }
        servers.wait_until_up().await;
    };
    tokio::time::timeout(Duration::from_secs(30), others).await.unwrap();
    write_something(&servers).await;
    assert_all_kept(&servers).await;
}

#[tokio::test]
async fn a_stopped_server_stays_down_until_it_is_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let servers = start(folder.path()).await;
    write_something(&servers).await;
    servers.stop_nats().await;
    servers.stop_postgres().await;
    assert_eq!((servers.nats_pid(), servers.postgres_pid()), (None, None));
    let address = servers.nats_url().replace("nats://", "");
    assert!(TcpStream::connect(&address).await.is_err());
    servers.resume_nats().await.unwrap();
    servers.resume_postgres().await.unwrap();
    assert_all_kept(&servers).await;
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why_in_the_error() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();

    let mut config = throwaway(folder.path());
    config.nats_port = port;
    let error = told(&Servers::start(config).await.err().unwrap());
    assert!(error.contains("start nats-server") && error.contains("address already in use"), "{error}");
    assert!(error.contains("logs/nats-server.log"), "{error}");

    let mut config = throwaway(folder.path());
    config.postgres_port = port;
    let error = told(&Servers::start(config).await.err().unwrap());
    assert!(error.contains("start postgres") && error.contains("Address already in use"), "{error}");
}
