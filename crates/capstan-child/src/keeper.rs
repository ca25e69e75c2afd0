//! The one process that outlives this one for a moment, to kill the groups it leaves behind.
//!
//! The kernel's death signal reaches the process started here and nobody below it. So a small shell waits for the end of
//! a pipe whose other end only this process holds: however this process dies, the pipe ends, and the shell kills every
//! group that was named to it and not taken back.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::Pid;

/// Reads `+ GROUP` and `- GROUP` to the end of its input, then kills what is left.
const SCRIPT: &str = r#"
groups=" "
while read -r sign group; do
    case $sign in
        +) groups="$groups$group " ;;
        -) groups="${groups%% $group *} ${groups#* $group }" ;;
    esac
done
for group in $groups; do kill -s KILL -- "-$group"; done
"#;

/// The state of the keeper, to restore it in a new one.
struct Keeper {
    groups: BTreeSet<i32>,
    ear: Option<ChildStdin>,
}

static KEEPER: Mutex<Keeper> = Mutex::new(Keeper { groups: BTreeSet::new(), ear: None });

fn keeper() -> MutexGuard<'static, Keeper> {
    KEEPER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has the group killed when this process dies.
pub(crate) fn keep(group: Pid) -> io::Result<()> {
    let mut keeper = keeper();
    let group = group.as_raw_nonzero().get();
    keeper.groups.insert(group);
    keeper.say('+', group)
}

/// The group is nobody's any more: its number may soon be another's.
pub(crate) fn forget(group: Pid) {
    let mut keeper = keeper();
    let group = group.as_raw_nonzero().get();
    if keeper.groups.remove(&group) {
        // A keeper that cannot be told knows nothing: the next one is not told of this group.
        let _ = keeper.say('-', group);
    }
}

impl Keeper {
    fn say(&mut self, sign: char, group: i32) -> io::Result<()> {
        if let Some(ear) = &mut self.ear
            && ear.write_all(format!("{sign} {group}\n").as_bytes()).is_ok()
        {
            return Ok(());
        }
        // There is none yet, or somebody ended it.
        let mut ear = start()?;
        for group in &self.groups {
            ear.write_all(format!("+ {group}\n").as_bytes())?;
        }
        self.ear = Some(ear);
        Ok(())
    }
}

fn start() -> io::Result<ChildStdin> {
    let mut shell = Command::new("/bin/sh")
        .args(["-c", SCRIPT, "capstan-keeper"])
        .process_group(0)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    shell.stdin.take().ok_or_else(|| io::Error::other("the keeper has no input"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A group of its own, of a program that ends with its input.
    fn group() -> std::process::Child {
        Command::new("cat").process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
    }

    fn signal(child: &mut std::process::Child) -> Option<i32> {
        // Waiting closes the input, and whoever reads it would end by itself before it is killed.
        let input = child.stdin.take();
        let signal = std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap());
        drop(input);
        signal
    }

    #[test]
    fn only_groups_that_were_not_taken_back_are_killed() {
        let (mut first, mut second, mut third) = (group(), group(), group());
        let mut ear = start().unwrap();
        let said = format!("+ {}\n+ {}\n+ {}\n- {}\n", first.id(), second.id(), third.id(), second.id());
        ear.write_all(said.as_bytes()).unwrap();
        assert!(first.try_wait().unwrap().is_none());
        drop(ear);
        assert_eq!((signal(&mut first), signal(&mut third)), (Some(9), Some(9)));
        assert!(second.try_wait().unwrap().is_none());
        drop(second.stdin.take());
        assert!(second.wait().unwrap().success());
    }

    #[test]
    fn a_keeper_that_was_ended_is_replaced_and_told_everything() {
        let mut child = group();
        let pid = Pid::from_child(&child);
        keep(pid).unwrap();
        // What a keeper that somebody ended looks like from here: nobody reads what is said to it.
        let mut deaf = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
        deaf.wait().unwrap();
        keeper().ear = deaf.stdin.take();
        let mut other = group();
        keep(Pid::from_child(&other)).unwrap();
        drop(keeper().ear.take());
        assert_eq!((signal(&mut child), signal(&mut other)), (Some(9), Some(9)));
        forget(pid);
        forget(Pid::from_child(&other));
    }
}
