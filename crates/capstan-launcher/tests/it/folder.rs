//! The lock of the data folder, and the user of Postgres.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use capstan_child::Identity;
use capstan_launcher::{LaunchConfig, Servers};

use crate::stage::{assert_all_kept, start, throwaway, told, write_something};

#[tokio::test]
async fn a_folder_in_use_is_refused_and_names_the_holder() {
    let folder = tempfile::tempdir().unwrap();
    let first = start(folder.path()).await;
    let error = told(&Servers::start(throwaway(folder.path())).await.err().unwrap());
    assert!(error.contains(&format!("it is in use by process {}", std::process::id())), "{error}");
    first.shutdown().await;
    start(folder.path()).await.shutdown().await;
}

#[tokio::test]
async fn postgres_never_runs_as_root() {
    let folder = tempfile::tempdir().unwrap();
    let servers = start(folder.path()).await;
    let owner = fs::metadata(format!("/proc/{}", servers.postgres_pid().unwrap())).unwrap().uid();
    assert_ne!(owner, 0);
    if !Identity::is_root() {
        assert_eq!(owner, fs::metadata("/proc/self").unwrap().uid());
    }
}

#[tokio::test]
async fn a_data_folder_below_a_closed_one_serves_all_the_same() {
    let closed = tempfile::tempdir().unwrap();
    fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let config = LaunchConfig::new(closed.path().join("data"));
    let servers = Servers::start(config.clone()).await.unwrap();
    write_something(&servers).await;
    servers.shutdown().await;
    let servers = Servers::start(config).await.unwrap();
    assert_all_kept(&servers).await;
    servers.shutdown().await;

    let cluster = closed.path().join("data/postgres");
    if Identity::is_root() {
        let elsewhere = fs::read_link(&cluster).unwrap();
        assert!(elsewhere.starts_with("/var/lib/capstan"), "{elsewhere:?}");
        fs::remove_dir_all(elsewhere).unwrap();
    } else {
        assert!(cluster.join("PG_VERSION").is_file());
    }
}

#[tokio::test]
async fn throwaway_data_kept_elsewhere_goes_with_the_servers() {
    let closed = tempfile::tempdir().unwrap();
    let servers = start(&closed.path().join("data")).await;
    write_something(&servers).await;
    let cluster = closed.path().join("data/postgres");
    let place = fs::read_link(&cluster).unwrap_or(cluster);
    assert!(place.exists());
    servers.shutdown().await;
    assert!(!place.exists() || place.starts_with(closed.path()));
}
