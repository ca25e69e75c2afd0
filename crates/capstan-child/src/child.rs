//! A running child and its process group.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::time::timeout;

use crate::keeper;

/// A child process that leads its own process group.
///
/// Dropping it does what the parent's death would do: the group gets the death signal, and the runtime collects the
/// remains.
#[derive(Debug)]
pub struct Child {
    /// The child's standard input, when it was piped.
    pub stdin: Option<ChildStdin>,
    /// The child's standard output, when it was piped.
    pub stdout: Option<ChildStdout>,
    /// The child's standard error, when it was piped.
    pub stderr: Option<ChildStderr>,
    process: tokio::process::Child,
    group: Pid,
    death_signal: Signal,
}

impl Child {
    pub(crate) fn new(mut process: tokio::process::Child, death_signal: Signal) -> io::Result<Self> {
        let group = process
            .id()
            .and_then(|pid| Pid::from_raw(pid.cast_signed()))
            .ok_or_else(|| io::Error::other("the child has no process id"))?;
        let (stdin, stdout, stderr) = (process.stdin.take(), process.stdout.take(), process.stderr.take());
        Ok(Self { stdin, stdout, stderr, process, group, death_signal })
    }

    pub(crate) fn group(&self) -> Pid {
        self.group
    }

    /// The process id, which is also the id of the group.
    pub fn pid(&self) -> u32 {
        self.group.as_raw_nonzero().get().cast_unsigned()
    }

    /// Sends `signal` to every process of the group; one that is gone already is no error.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match rustix::process::kill_process_group(self.group, signal) {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            sent => Ok(sent?),
        }
    }

    /// Waits until the child itself ends; members of its group may live on, see [`Child::end_group`].
    ///
    /// Cancel safe: dropping the future loses nothing.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.process.wait().await
    }

    /// Collects the exit if the child has ended.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.process.try_wait()
    }

    /// Asks the group to end with `signal`, kills it after `grace`, and leaves no member behind.
    pub async fn terminate(&mut self, signal: Signal, grace: Duration) -> io::Result<ExitStatus> {
        if let Some(status) = self.try_wait()? {
            self.end_group()?;
            return Ok(status);
        }
        self.signal(signal)?;
        let ended = timeout(grace, self.wait()).await;
        self.end_group()?;
        match ended {
            Ok(status) => status,
            Err(_) => self.wait().await,
        }
    }

    /// Kills what is left of the group.
    ///
    /// To be called soon after the child was waited for: the kernel keeps the group's number from being given out
    /// again only while the group has members.
    pub fn end_group(&self) -> io::Result<()> {
        self.signal(Signal::KILL)?;
        keeper::forget(self.group);
        Ok(())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            let _ = self.signal(self.death_signal);
        }
        keeper::forget(self.group);
    }
}
