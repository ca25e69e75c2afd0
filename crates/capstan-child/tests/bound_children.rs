//! Real processes: what a bound child does and how it ends.
#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use capstan_child::{ChildCommand, Identity, Signal};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

/// Set for the copy of this test program that plays the parent to be killed.
const PARENT_ROLE: &str = "CAPSTAN_CHILD_TEST_PARENT";

#[tokio::test]
async fn a_child_leads_its_own_process_group() {
    let mut child = ChildCommand::new("sleep").arg("600").spawn().await.unwrap();
    assert_eq!(stat_field(child.pid(), 2), child.pid().to_string());
    child.terminate(Signal::TERM, Duration::from_secs(5)).await.unwrap();
    assert!(!is_alive(child.pid()));
}

#[tokio::test]
async fn standard_streams_can_be_piped() {
    let mut child =
        ChildCommand::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().await.unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"a prompt").await.unwrap();
    drop(stdin);
    let mut heard = String::new();
    child.stdout.take().unwrap().read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "a prompt");
    assert!(child.wait().await.unwrap().success());
}

#[tokio::test]
async fn the_whole_group_is_ended_with_its_leader() {
    let mut child = ChildCommand::new("sh")
        .args(["-c", "sleep 600 & echo $!; wait"])
        .stdout(Stdio::piped())
        .spawn()
        .await
        .unwrap();
    let grandchild = first_line(&mut child).await.parse().unwrap();
    assert!(is_alive(grandchild));
    child.terminate(Signal::TERM, Duration::from_secs(5)).await.unwrap();
    until("the grandchild is gone", || !is_alive(grandchild));
}

#[tokio::test]
async fn a_child_deaf_to_the_polite_signal_is_killed_after_the_grace() {
    let mut child = ChildCommand::new("sh")
        .args(["-c", "trap '' TERM; echo deaf; while :; do sleep 1; done"])
        .stdout(Stdio::piped())
        .spawn()
        .await
        .unwrap();
    assert_eq!(first_line(&mut child).await, "deaf");
    let asked = Instant::now();
    let status = child.terminate(Signal::TERM, Duration::from_millis(200)).await.unwrap();
    assert!(asked.elapsed() >= Duration::from_millis(200));
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
}

#[tokio::test]
async fn a_dropped_child_gets_its_death_signal() {
    let folder = tempfile::tempdir().unwrap();
    let will = folder.path().join("will");
    let mut child = ChildCommand::new("sh")
        .args([
            "-c",
            &format!(
                "trap 'echo quit > {}; exit' QUIT; echo ready; while :; do sleep 0.05; done",
                will.display()
            ),
        ])
        .stdout(Stdio::piped())
        .death_signal(Signal::QUIT)
        .spawn()
        .await
        .unwrap();
    assert_eq!(first_line(&mut child).await, "ready");
    let pid = child.pid();
    drop(child);
    until("the child wrote its will", || will.exists());
    until("the child is gone", || !is_alive(pid));
}

#[tokio::test]
async fn a_program_that_outlives_the_limit_is_not_waited_for() {
    let error = ChildCommand::new("sleep").arg("600").output(Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
}

#[test]
fn a_child_outlives_the_runtime_thread_that_asked_for_it() {
    let asked = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let child = runtime.block_on(ChildCommand::new("sleep").arg("600").spawn()).unwrap();
        (runtime, child)
    });
    let (_runtime, mut child) = asked.join().unwrap();
    // Had that thread forked, its end would have killed the child by now.
    assert!(child.try_wait().unwrap().is_none());
    assert!(is_alive(child.pid()));
}

#[tokio::test]
async fn root_can_hand_a_child_to_another_user_and_nobody_else_can() {
    let nobody = Identity::named("nobody").unwrap().expect("every system has nobody");
    let ran =
        ChildCommand::new("id").identity(&nobody).current_dir("/").output(Duration::from_secs(10)).await;
    if Identity::is_root() {
        let said = ran.unwrap().stdout;
        assert!(said.contains(&format!("uid={}(nobody)", nobody.uid)), "{said}");
        assert!(
            said.trim_end().ends_with(&format!("groups={0}({1})", nobody.gid, group_name(nobody.gid))),
            "{said}"
        );
    } else {
        assert_eq!(ran.unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
    }
}

#[test]
fn killing_the_parent_kills_its_children_even_those_of_another_user_and_kept_groups() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("pids");
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "role_parent"])
        .env(PARENT_ROLE, &report)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    until("the parent has reported", || report.exists());
    let pids: Vec<u32> =
        fs::read_to_string(&report).unwrap().split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(pids.len(), 3);
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    parent.kill().unwrap();
    parent.wait().unwrap();
    until("both children and the kept grandchild are gone", || pids.iter().all(|pid| !is_alive(*pid)));
}

/// Not a test: the parent that the test above kills.
#[test]
#[ignore = "plays the parent for another test"]
fn role_parent() {
    let Some(report) = std::env::var_os(PARENT_ROLE) else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let plain = ChildCommand::new("sleep").arg("600").spawn().await.unwrap();
        let mut other = ChildCommand::new("sleep").arg("600").current_dir("/");
        if let (true, Some(nobody)) = (Identity::is_root(), Identity::named("nobody").unwrap()) {
            other = other.identity(&nobody);
        }
        let other = other.spawn().await.unwrap();
        let mut forking = ChildCommand::new("sh")
            .args(["-c", "sleep 600 & echo $!; wait"])
            .stdout(Stdio::piped())
            .group_dies_with_parent()
            .spawn()
            .await
            .unwrap();
        let grandchild = first_line(&mut forking).await;
        let draft = Path::new(&report).with_extension("draft");
        fs::write(&draft, format!("{} {} {grandchild}", plain.pid(), other.pid())).unwrap();
        fs::rename(&draft, &report).unwrap();
        std::future::pending::<()>().await;
    });
}

async fn first_line(child: &mut capstan_child::Child) -> String {
    let mut line = String::new();
    let mut reader = BufReader::new(child.stdout.as_mut().unwrap());
    reader.read_line(&mut line).await.unwrap();
    line.trim_end().to_owned()
}

fn is_alive(pid: u32) -> bool {
    // A zombie is dead already, only not yet collected.
    Path::new(&format!("/proc/{pid}")).exists() && stat_field(pid, 0) != "Z"
}

/// A field of `/proc/PID/stat` after the program's name: 0 is the state, 2 the process group.
fn stat_field(pid: u32, index: usize) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(") ").next().unwrap_or_default().to_owned();
    after_name.split(' ').nth(index).unwrap_or("Z").to_owned()
}

fn group_name(gid: u32) -> String {
    let table = fs::read_to_string("/etc/group").unwrap();
    let line = table.lines().find(|line| line.split(':').nth(2) == Some(&gid.to_string())).unwrap();
    line.split(':').next().unwrap().to_owned()
}

#[track_caller]
fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::yield_now();
    }
}
