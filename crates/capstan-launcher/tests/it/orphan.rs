//! The death of the parent, however sudden, is the death of the servers.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use capstan_launcher::{LaunchConfig, Servers};

use crate::stage::{is_alive, start, until};

/// Set for the copy of this test program that plays the parent to be killed.
const PARENT_ROLE: &str = "CAPSTAN_LAUNCHER_TEST_PARENT";

#[test]
fn killing_the_parent_leaves_no_server_behind() {
    let folder = tempfile::tempdir().unwrap();
    let run_file = folder.path().join("run.json");
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "orphan::role_parent_of_servers"])
        .env(PARENT_ROLE, folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    until("the servers run", || run_file.exists());
    let told: serde_json::Value = serde_json::from_slice(&fs::read(&run_file).unwrap()).unwrap();
    let servers = ["nats_pid", "postgres_pid"].map(|name| told[name].as_u64().unwrap() as u32);
    let backends = children_of(servers[1]);
    assert!(servers.iter().all(|pid| is_alive(*pid)) && !backends.is_empty());

    parent.kill().unwrap();
    parent.wait().unwrap();
    // The next start need not wait for the dead: it does so itself.
    let next = tokio::runtime::Runtime::new().unwrap();
    next.block_on(async { start(folder.path()).await.shutdown().await });
    until("both servers are gone", || servers.iter().all(|pid| !is_alive(*pid)));
    until("Postgres' own processes are gone", || backends.iter().all(|pid| !is_alive(*pid)));
}

/// Not a test: the parent that the test above kills.
#[test]
#[ignore = "plays the parent for another test"]
fn role_parent_of_servers() {
    let Some(folder) = std::env::var_os(PARENT_ROLE) else { return };
    let config = LaunchConfig { throwaway: true, ..LaunchConfig::new(Path::new(&folder)) };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let _servers = Servers::start(config).await.unwrap();
        std::future::pending::<()>().await;
    });
}

fn children_of(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.split_whitespace().map(|child| child.parse().unwrap()).collect()
}
