//! Programs that do not serve are refused with a reason.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use capstan_launcher::Servers;

use crate::stage::{throwaway, told};

#[tokio::test]
async fn an_explicit_nats_server_that_is_too_old_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = throwaway(&folder.path().join("data"));
    config.nats_server = Some(program(folder.path(), "nats-server", "nats-server: v2.9.10"));
    let error = told(&Servers::start(config).await.err().unwrap());
    assert!(error.contains("it is version 2.9.10, and 2.14.4 or newer"), "{error}");
}

#[tokio::test]
async fn an_explicit_program_that_is_missing_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = throwaway(&folder.path().join("data"));
    config.nats_server = Some("/nowhere/nats-server".into());
    let error = told(&Servers::start(config).await.err().unwrap());
    assert!(error.contains("run /nowhere/nats-server, which was configured: No such file"), "{error}");
}

#[tokio::test]
async fn an_explicit_postgres_that_is_too_old_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let programs = reachable_by_all(folder.path());
    program(&programs, "initdb", "initdb (PostgreSQL) 13.4");
    program(&programs, "postgres", "postgres (PostgreSQL) 13.4");
    let mut config = throwaway(&folder.path().join("data"));
    config.postgres_bin_dir = Some(programs);
    let error = told(&Servers::start(config).await.err().unwrap());
    assert!(error.contains("it is version 13.4.0, and 14 or newer is needed"), "{error}");
}

#[tokio::test]
async fn data_of_a_postgres_that_is_not_there_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = folder.path().join("postgres");
    fs::create_dir(&cluster).unwrap();
    fs::write(cluster.join("PG_VERSION"), "11\n").unwrap();
    let error = told(&Servers::start(throwaway(folder.path())).await.err().unwrap());
    assert!(error.contains("Postgres 11 made it, and at hand: "), "{error}");
    assert!(error.contains("Postgres 17 could be fetched; install Postgres 11"), "{error}");
    assert_eq!(fs::read_dir(&cluster).unwrap().count(), 1, "the data was touched");
}

fn reachable_by_all(folder: &Path) -> PathBuf {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    let programs = folder.join("bin");
    fs::create_dir(&programs).unwrap();
    programs
}

/// A program that prints its version and can do nothing else.
fn program(folder: &Path, name: &str, version: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\necho '{version}'\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}
