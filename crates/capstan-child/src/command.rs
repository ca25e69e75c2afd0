//! A program to start: its arguments, its environment, and its death signal.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::{Child, Identity, keeper, spawner};

/// A program to be started as a bound child.
///
/// Standard input is empty and the outputs go to the parent's unless said otherwise.
#[derive(Debug)]
pub struct ChildCommand {
    command: Command,
    death_signal: Signal,
    is_group_kept: bool,
}

/// The output of a program that has ended.
#[derive(Debug)]
pub struct Output {
    /// Its exit status.
    pub status: ExitStatus,
    /// Everything it wrote to standard output, read as text.
    pub stdout: String,
    /// Everything it wrote to standard error, read as text.
    pub stderr: String,
}

impl ChildCommand {
    /// Names the program; without a slash it is looked up on `PATH`.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command.process_group(0).stdin(Stdio::null());
        Self { command, death_signal: Signal::KILL, is_group_kept: false }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets one environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Withholds one environment variable.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Withholds the parent's whole environment.
    #[must_use]
    pub fn env_clear(mut self) -> Self {
        self.command.env_clear();
        self
    }

    /// Starts the program in `dir`.
    #[must_use]
    pub fn current_dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// Says where standard input comes from.
    #[must_use]
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.command.stdin(stdin);
        self
    }

    /// Says where standard output goes.
    #[must_use]
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.command.stdout(stdout);
        self
    }

    /// Says where standard error goes.
    #[must_use]
    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.command.stderr(stderr);
        self
    }

    /// Runs the program as another user; only root may.
    #[must_use]
    pub fn identity(mut self, identity: &Identity) -> Self {
        // The standard library drops the supplementary groups by itself when root becomes another user.
        self.command.uid(identity.uid).gid(identity.gid);
        self
    }

    /// Picks the signal the program gets when this process dies or drops the [`Child`]; SIGKILL unless said otherwise.
    ///
    /// A program with children of its own wants a signal it can still pass on to them.
    #[must_use]
    pub fn death_signal(mut self, signal: Signal) -> Self {
        self.death_signal = signal;
        self
    }

    /// Has everything in the program's process group killed when this process dies, not only the program itself.
    ///
    /// For programs whose own children nobody else would end.
    #[must_use]
    pub fn group_dies_with_parent(mut self) -> Self {
        self.is_group_kept = true;
        self
    }

    /// Starts the program.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub async fn spawn(mut self) -> io::Result<Child> {
        bind_to_parent(&mut self.command, self.death_signal);
        let child = Child::new(spawner::spawn(self.command).await?, self.death_signal)?;
        if self.is_group_kept {
            keeper::keep(child.group())?;
        }
        Ok(child)
    }

    /// Runs the program to its end and collects what it wrote; it is killed when `limit` passes first.
    pub async fn output(self, limit: Duration) -> io::Result<Output> {
        let mut child = self.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().await?;
        let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
        let run = async {
            let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
            tokio::try_join!(
                async { out.as_mut().expect("piped above").read_to_end(&mut stdout).await },
                async { err.as_mut().expect("piped above").read_to_end(&mut stderr).await },
            )?;
            let status = child.wait().await?;
            Ok(Output { status, stdout: text(&stdout), stderr: text(&stderr) })
        };
        match tokio::time::timeout(limit, run).await {
            Ok(output) => output,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("no end within {limit:?}"))),
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Makes the kernel signal the child when this process dies.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "between fork and exec only the child itself can ask for its death signal")]
fn bind_to_parent(command: &mut Command, signal: Signal) {
    let parent = rustix::process::getpid();
    // The closure runs after the change of user, which would have cleared the setting.
    let bind = move || {
        rustix::process::set_parent_process_death_signal(Some(signal))?;
        // A parent that died before the line above will never be reported: do not start at all.
        if rustix::process::getppid() == Some(parent) { Ok(()) } else { Err(rustix::io::Errno::SRCH.into()) }
    };
    // SAFETY: the closure runs in the forked child, where only async-signal-safe work is allowed. It makes two plain
    // system calls on captured plain values; it takes no lock, allocates nothing and touches no shared memory.
    unsafe { command.pre_exec(bind) };
}

/// Elsewhere the process group is all there is.
#[cfg(not(target_os = "linux"))]
fn bind_to_parent(_command: &mut Command, _signal: Signal) {}
